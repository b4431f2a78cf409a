//! trueup's own JSON, schema 1 (docs/report-json.md). Money is decimal strings, tokens are integers.

use serde_json::{Map, Value, json};
use trueup_core::UnixMs;
use trueup_core::report::{Block, Dimension, Report, Row, Sum, Sums};

/// The version of the shape. It changes only when a reader of an older one would misread.
const SCHEMA: u32 = 1;

/// A report.
pub(crate) fn report(report: &Report, has_breakdown: bool) -> Value {
    let by: Vec<&str> = report.by.iter().map(|dimension| dimension.name()).collect();
    let rows: Vec<Value> =
        report.rows.iter().map(|row| row_of(report, row, has_breakdown)).collect();
    json!({
        "schema": SCHEMA,
        "by": by.join(","),
        "tz": report.zone,
        "rows": rows,
        "totals": sums(&report.totals),
        "unpriced_models": report.unpriced_models,
    })
}

fn row_of(report: &Report, row: &Row, has_breakdown: bool) -> Value {
    let mut object = Map::new();
    for (dimension, key) in report.by.iter().zip(&row.keys) {
        object.insert(dimension.name().to_owned(), json!(key));
    }
    if report.by.contains(&Dimension::Session) {
        object.insert("agents".to_owned(), json!(row.agents));
        object.insert("projects".to_owned(), json!(row.projects));
        object.insert("first".to_owned(), time(row.times.0));
        object.insert("last".to_owned(), time(row.times.1));
    }
    put_sums(&mut object, &row.sums);
    if has_breakdown {
        let models = row.models.iter().map(|(model, of)| (model.to_string(), sums(of)));
        object.insert("models".to_owned(), Value::Object(models.collect()));
    }
    Value::Object(object)
}

/// Blocks of five hours.
pub(crate) fn blocks(blocks: &[Block], totals: &Sums, zone: &str, now: UnixMs) -> Value {
    let rows: Vec<Value> = blocks.iter().map(|of| block(of, now)).collect();
    json!({"schema": SCHEMA, "by": "block", "tz": zone, "rows": rows, "totals": sums(totals)})
}

fn block(block: &Block, now: UnixMs) -> Value {
    let mut object = Map::new();
    let is_active = block.is_active(now);
    object.insert("block".to_owned(), time(block.start));
    object.insert("end".to_owned(), time(block.end));
    object.insert("first".to_owned(), time(block.times.0));
    object.insert("last".to_owned(), time(block.times.1));
    object.insert("is_active".to_owned(), json!(is_active));
    put_sums(&mut object, &block.sums);
    let mut all = block.sums.exact;
    let tokens = i128::from(block.sums.total_tokens());
    all.cost = all.cost.plus(block.sums.estimated.cost);
    let cost = i128::from(all.cost_nanousd().0);
    let amounts = |tokens: Option<i128>, cost: Option<i128>| match (tokens, cost) {
        (Some(tokens), Some(cost)) => json!({
            "tokens": i64::try_from(tokens).unwrap_or(i64::MAX),
            "cost_usd": trueup_core::NanoUsd(i64::try_from(cost).unwrap_or(i64::MAX)).to_string(),
        }),
        _ => Value::Null,
    };
    let burn = amounts(block.per_minute(tokens), block.per_minute(cost).map(|cost| cost * 60));
    object.insert("burn".to_owned(), rename(burn, "tokens_per_minute", "cost_usd_per_hour"));
    let projected = amounts(block.projected(tokens, now), block.projected(cost, now));
    object.insert("projection".to_owned(), if is_active { projected } else { Value::Null });
    Value::Object(object)
}

fn rename(amounts: Value, tokens: &str, cost: &str) -> Value {
    match amounts {
        Value::Object(amounts) => {
            json!({ tokens: amounts.get("tokens"), cost: amounts.get("cost_usd") })
        }
        other => other,
    }
}

fn put_sums(object: &mut Map<String, Value>, of: &Sums) {
    object.insert("exact".to_owned(), sum(&of.exact));
    object.insert("estimated".to_owned(), sum(&of.estimated));
}

/// Exact and estimated usage.
pub(crate) fn sums(of: &Sums) -> Value {
    json!({"exact": sum(&of.exact), "estimated": sum(&of.estimated)})
}

fn sum(sum: &Sum) -> Value {
    let tokens = &sum.tokens;
    json!({
        "calls": sum.calls,
        "errors": sum.errors,
        "input": tokens.input,
        "cache_read": tokens.cache_read,
        "cache_write_5m": tokens.cache_write_5m,
        "cache_write_1h": tokens.cache_write_1h,
        "cache_write": tokens.cache_write,
        "output": tokens.output,
        "reasoning": tokens.reasoning,
        "total": tokens.total(),
        "cost_usd": sum.cost_nanousd().to_string(),
        "unpriced_calls": sum.unpriced_calls,
    })
}

fn time(time: UnixMs) -> Value {
    json!(time.to_string())
}
