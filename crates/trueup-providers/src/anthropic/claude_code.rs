//! The Claude Code report: one day a request, a record for each actor and terminal, with models in it.
//!
//! ```json
//! {"date":"2026-10-01T00:00:00Z","organization_id":"o","customer_type":"api","terminal_type":"vscode",
//!  "actor":{"type":"user_actor","email_address":"dev@example.com"},"core_metrics":{"num_sessions":5},
//!  "model_breakdown":[{"model":"claude-opus-4-6","tokens":{"input":100,"output":35,"cache_read":10,
//!   "cache_creation":5},"estimated_cost":{"currency":"USD","amount":1025}}]}
//! ```
//!
//! A record is one row with its sessions, and one with the tokens of each model. What it estimates as
//! cost is no bill: it is kept beside, and is no amount. Source: the documents of the admin API.

use serde_json::value::RawValue;
use trueup_core::{Dim, Dims, Issue, Measure, UnixMs};

use crate::fields::{Fields, list_of, shape_unknown};
use crate::reading::{Reading, Row};

/// The family's name.
pub(super) const NAME: &str = "usage/claude_code";

/// Reads one record.
pub(super) fn read(reading: &mut Reading<'_>, raw: &RawValue) -> Result<(), Issue> {
    let mut fields = Fields::of(raw).ok_or_else(|| shape_unknown("a record is no object"))?;
    let date = fields.text("date").ok_or_else(|| shape_unknown("a record has no date"))?;
    let start = UnixMs::parse_rfc3339(&date)
        .or_else(|| UnixMs::parse_date(&date))
        .ok_or_else(|| shape_unknown("the date of a record is none"))?;
    if !reading.bucket(start, None) {
        return Ok(());
    }
    let told = fields.take_some("model_breakdown");
    let models = told.and_then(list_of);
    let mut record = reading.row_of(start, fields);
    if let (Some(raw), None) = (told, &models) {
        record.odd("model_breakdown", raw, "no list");
    }
    let dims = read_record(record);
    for model in models.unwrap_or_default() {
        if let Some(row) = reading.row(start, model) {
            read_model(row, &dims);
        }
    }
    Ok(())
}

/// Fields of a record by which it is told from others.
const TEXTS: [&str; 3] = ["customer_type", "subscription_type", "terminal_type"];

/// Who used it, and how.
fn take_dims(row: &mut Row<'_, '_>) {
    if let Some(mut actor) = row.take_object("actor") {
        let email = row.text_within("actor", &mut actor, "email_address");
        let key = row.text_within("actor", &mut actor, "api_key_name");
        let kind = row.text_within("actor", &mut actor, "type");
        for (name, text) in [("actor", email.or(key)), ("actor_type", kind)] {
            if let Some(text) = text {
                row.set_dim(name, Dim::Text(text.as_str().into()));
            }
        }
        row.rest_of("actor", actor);
    }
    for name in TEXTS {
        row.take_dim(name);
    }
}

/// The sessions of a record; lines, commits and tools are kept as they are. What the record is about
/// holds for its models, too.
fn read_record(mut row: Row<'_, '_>) -> Dims {
    take_dims(&mut row);
    row.skip(&["organization_id"]);
    if let Some(mut metrics) = row.take_object("core_metrics") {
        let sessions = metrics.take_some("num_sessions");
        let sessions = sessions.and_then(|raw| row.count_of("num_sessions", raw));
        row.set(Measure::Sessions, sessions);
        let known = ["commits_by_claude_code", "lines_of_code", "pull_requests_by_claude_code"];
        for name in known {
            if let Some(raw) = metrics.take(name) {
                row.keep_as(name, raw);
            }
        }
        row.rest_of("core_metrics", metrics);
    }
    row.keep(&["tool_actions"]);
    row.expect("customer_type", &["api", "subscription"]);
    let dims = row.dims().clone();
    row.finish();
    dims
}

/// The tokens of a model: disjoint.
fn read_model(mut row: Row<'_, '_>, dims: &Dims) {
    for (name, dim) in dims {
        row.set_dim(name, dim.clone());
    }
    if let Some(model) = row.take_text("model") {
        row.set_dim("model", Dim::Text(model.as_str().into()));
    }
    if let Some(mut tokens) = row.take_object("tokens") {
        for (name, measure) in [
            ("input", Measure::InUncached),
            ("cache_read", Measure::InCacheRead),
            ("cache_creation", Measure::InCacheWrite),
            ("output", Measure::Out),
        ] {
            let count = tokens.take_some(name).and_then(|raw| row.count_of(name, raw));
            row.set(measure, count);
        }
        row.rest_of("tokens", tokens);
    }
    row.keep(&["estimated_cost"]);
    row.finish();
}
