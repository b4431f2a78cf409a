//! The JSON of ccusage 20.0.24, for those who come from there.
//!
//! Its shape knows no exact and estimated: both are added, as ccusage does. Its costs are floating
//! point; they are rounded here and nowhere else.

use serde_json::{Map, Value, json};
use trueup_core::report::{Block, Dimension, Report, Row, Sums};
use trueup_core::{NANO_PER_USD, Tokens, UnixMs};

/// A report by day, week, month or session; `None` for others, which ccusage does not have.
pub(crate) fn report(report: &Report) -> Option<Value> {
    let (list, key) = match report.by.as_slice() {
        [Dimension::Day] => ("daily", "date"),
        [Dimension::Week] => ("weekly", "week"),
        [Dimension::Month] => ("monthly", "month"),
        [Dimension::Session] | [Dimension::Session, Dimension::Device] => ("session", "sessionId"),
        _ => return None,
    };
    let rows: Vec<Value> = report.rows.iter().map(|row| row_of(row, key)).collect();
    let mut totals = usage(&report.totals);
    if !report.unpriced_models.is_empty() {
        let models: Vec<_> = report.unpriced_models.keys().collect();
        totals.insert("unpricedModels".to_owned(), json!(models));
    }
    Some(json!({ list: rows, "totals": totals }))
}

fn row_of(row: &Row, key: &str) -> Value {
    let mut object = usage(&row.sums);
    let period = row.keys.first().map(|key| json!(key)).unwrap_or_default();
    object.insert(key.to_owned(), period.clone());
    object.insert("period".to_owned(), period);
    let agents: Vec<&str> = row.agents.iter().map(|agent| agent_name(agent)).collect();
    let agent = if key == "sessionId" { agents.first().copied().unwrap_or("all") } else { "all" };
    object.insert("agent".to_owned(), json!(agent));
    object.insert("metadata".to_owned(), metadata(row, key, &agents));
    object.insert("modelsUsed".to_owned(), json!(row.models.keys().collect::<Vec<_>>()));
    let breakdowns: Vec<Value> = row
        .models
        .iter()
        .map(|(model, sums)| {
            let mut usage = usage(sums);
            usage.remove("totalTokens");
            let cost = usage.remove("totalCost").unwrap_or_default();
            usage.insert("cost".to_owned(), cost);
            usage.insert("modelName".to_owned(), json!(model));
            Value::Object(usage)
        })
        .collect();
    object.insert("modelBreakdowns".to_owned(), json!(breakdowns));
    Value::Object(object)
}

fn metadata(row: &Row, key: &str, agents: &[&str]) -> Value {
    if key == "sessionId" {
        json!({
            "lastActivity": row.times.1.to_string(),
            "projectPath": row.projects.first(),
            "reasoningOutputTokens": row.sums.exact.tokens.reasoning,
        })
    } else {
        json!({ "agents": agents })
    }
}

/// ccusage's own names of agents.
fn agent_name(source: &str) -> &str {
    match source {
        "claude-code" => "claude",
        "gemini-cli" => "gemini",
        other => other,
    }
}

fn all(sums: &Sums) -> (Tokens, f64) {
    let mut both = *sums;
    let estimated = Sums { exact: both.estimated, ..Sums::default() };
    both.plus(&estimated);
    #[expect(clippy::cast_precision_loss, reason = "ccusage's costs are floating point")]
    let cost = both.exact.cost_nanousd().0 as f64 / NANO_PER_USD as f64;
    (both.exact.tokens, cost)
}

fn usage(sums: &Sums) -> Map<String, Value> {
    let (tokens, cost) = all(sums);
    let mut object = Map::new();
    object.insert("inputTokens".to_owned(), json!(tokens.input));
    object.insert("outputTokens".to_owned(), json!(tokens.output));
    object.insert("cacheCreationTokens".to_owned(), json!(tokens.cache_written()));
    object.insert("cacheReadTokens".to_owned(), json!(tokens.cache_read));
    object.insert("totalTokens".to_owned(), json!(tokens.total()));
    object.insert("totalCost".to_owned(), json!(cost));
    object
}

/// Blocks of five hours.
pub(crate) fn blocks(blocks: &[Block], now: UnixMs) -> Value {
    let rows: Vec<Value> = blocks
        .iter()
        .map(|block| {
            let (tokens, cost) = all(&block.sums);
            json!({
                "id": block.start.to_string(),
                "startTime": block.start.to_string(),
                "endTime": block.end.to_string(),
                "actualEndTime": block.times.1.to_string(),
                "isActive": block.is_active(now),
                "isGap": false,
                "entries": block.sums.exact.calls,
                "models": block.models.keys().collect::<Vec<_>>(),
                "tokenCounts": {
                    "inputTokens": tokens.input,
                    "outputTokens": tokens.output,
                    "cacheCreationInputTokens": tokens.cache_written(),
                    "cacheReadInputTokens": tokens.cache_read,
                },
                "totalTokens": tokens.total(),
                "costUSD": cost,
                "burnRate": null,
                "projection": null,
            })
        })
        .collect();
    json!({ "blocks": rows })
}
