//! trueup's own JSON, schema 1 (docs/report-json.md). Money is decimal strings, tokens are integers.

use serde_json::{Map, Value, json};
use trueup_core::report::{Block, Dimension, Report, Row, Sum, Sums};
use trueup_core::{NanoUsd, Tokens, UnixMs};

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
    let tokens = i128::from(block.sums.total_tokens());
    let cost = i128::from(block.sums.exact.cost.plus(block.sums.estimated.cost).to_nano().0);
    let burn = block.per_minute(tokens).zip(block.per_minute(cost));
    let burn = burn.map(|(tokens, cost)| {
        json!({"tokens_per_minute": integer(tokens), "cost_usd_per_hour": usd(cost * 60)})
    });
    let projection = block.projected(tokens, now).zip(block.projected(cost, now));
    let projection = projection
        .filter(|_| is_active)
        .map(|(tokens, cost)| json!({"tokens": integer(tokens), "cost_usd": usd(cost)}));
    object.insert("burn".to_owned(), json!(burn));
    object.insert("projection".to_owned(), json!(projection));
    Value::Object(object)
}

fn integer(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

fn usd(nano: i128) -> String {
    NanoUsd(integer(nano)).to_string()
}

fn put_sums(object: &mut Map<String, Value>, of: &Sums) {
    object.insert("exact".to_owned(), sum(&of.exact));
    object.insert("estimated".to_owned(), sum(&of.estimated));
}

/// Exact and estimated usage.
pub(crate) fn sums(of: &Sums) -> Value {
    json!({"exact": sum(&of.exact), "estimated": sum(&of.estimated)})
}

/// One of the two.
pub(crate) fn sum(sum: &Sum) -> Value {
    let fields = json!({
        "calls": sum.calls,
        "errors": sum.errors,
        "cost_usd": sum.cost_nanousd().to_string(),
        "unpriced_calls": sum.unpriced_calls,
        "cache_saved_usd": sum.cache_saved.to_nano().to_string(),
    });
    with_tokens(fields, &sum.tokens)
}

/// An object with a field for each kind of tokens more, and their total.
pub(crate) fn with_tokens(mut object: Value, tokens: &Tokens) -> Value {
    let all = [
        ("input", tokens.input),
        ("cache_read", tokens.cache_read),
        ("cache_write_5m", tokens.cache_write_5m),
        ("cache_write_1h", tokens.cache_write_1h),
        ("cache_write", tokens.cache_write),
        ("output", tokens.output),
        ("reasoning", tokens.reasoning),
        ("total", tokens.total()),
    ];
    if let Value::Object(fields) = &mut object {
        fields.extend(all.map(|(name, count)| (name.to_owned(), json!(count))));
    }
    object
}

fn time(time: UnixMs) -> Value {
    json!(time.to_string())
}
