//! What cogni-track's `usage-telemetry-diff` wrote: rows of a CSV against rows of a database.
//!
//! The CSV is the statement, the database what was pulled. Without a statement the provider's usage
//! stands for the CSV, and the account for the database: what is missing in it is what nobody tracked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use trueup_core::reconcile::{Quantity, Row, Side, Sums};
use trueup_core::{DAY_MS, Decimal, UnixMs};

use super::Shown;

pub(super) fn diff(shown: &Shown<'_>) -> Value {
    let is_told = |side| shown.input.coverage.keys().any(|(told, _)| *told == side);
    let (one, other) = match (is_told(Side::Statement), is_told(Side::Usage)) {
        (true, true) => (Side::Statement, Side::Usage),
        (true, false) => (Side::Statement, Side::Account),
        (false, _) => (Side::Usage, Side::Account),
    };
    // Both are told apart only by what both can tell.
    let has_ids = other != Side::Account;
    let (csv, db) = (rows(shown, one, has_ids), rows(shown, other, has_ids));
    let keys: BTreeSet<&String> = csv.keys().chain(db.keys()).collect();
    let (mut mismatched, mut missing_in_db, mut missing_in_csv) = (vec![], vec![], vec![]);
    for key in keys {
        match (csv.get(key), db.get(key)) {
            (Some(one), Some(other)) if counts(one) != counts(other) => mismatched.push(json!({
                "key": key, "deltas": deltas(one, other), "csv": counts(one), "db": counts(other),
            })),
            (Some(_), Some(_)) | (None, None) => {}
            (Some(one), None) => missing_in_db.push(json!({"key": key, "csv": counts(one)})),
            (None, Some(other)) => missing_in_csv.push(json!({"key": key, "db": counts(other)})),
        }
    }
    json!({
        "mismatched": mismatched,
        "missingInDb": missing_in_db,
        "missingInCsv": missing_in_csv,
        "totals": {"csv": counts(&total(&csv)), "db": counts(&total(&db))},
        "inspectedCsvFiles": shown.files,
    })
}

/// Sums by `windowStart|windowEnd|project|api_key|user|model|tier|batch`.
fn rows(shown: &Shown<'_>, side: Side, has_ids: bool) -> BTreeMap<String, Sums> {
    let run = shown.run;
    let mut rows: BTreeMap<String, Sums> = BTreeMap::new();
    let in_window = |row: &&Row| run.from <= row.start && row.start < run.until;
    for row in shown.input.rows.iter().filter(|row| row.side == side).filter(in_window) {
        if !row.is_estimated && !row.sums.is_zero() {
            rows.entry(key(row, has_ids)).or_default().add(&row.sums);
        }
    }
    rows
}

fn key(row: &Row, has_ids: bool) -> String {
    let start = row.start.floor(DAY_MS);
    let labels = &row.labels;
    let text = |label: &Option<trueup_core::Text>| label.as_deref().unwrap_or_default().to_owned();
    let (project, api_key) =
        if has_ids { (text(&labels.project), text(&labels.key)) } else { Default::default() };
    let is_batch = has_ids && labels.tier.as_deref() == Some("batch");
    let tier = if is_batch || !has_ids { String::new() } else { text(&labels.tier) };
    let model = if has_ids {
        text(&labels.model)
    } else {
        trueup_core::prices::model_key(labels.model.as_deref().unwrap_or_default()).to_owned()
    };
    let end = UnixMs(start.0 + DAY_MS);
    format!("{start}|{end}|{project}|{api_key}||{model}|{tier}|{is_batch}")
}

fn total(rows: &BTreeMap<String, Sums>) -> Sums {
    let mut total = Sums::default();
    for sums in rows.values() {
        total.add(sums);
    }
    total
}

/// The counts by their names there; the prompt includes what came from caches.
const COUNTS: [(&str, &[Quantity]); 4] = [
    (
        "inputTokens",
        &[Quantity::InUncached, Quantity::InCacheRead, Quantity::InCacheWrite, Quantity::In],
    ),
    ("outputTokens", &[Quantity::Out]),
    ("inputCachedTokens", &[Quantity::InCacheRead]),
    ("numModelRequests", &[Quantity::Requests]),
];

fn count(sums: &Sums, quantities: &[Quantity]) -> Decimal {
    quantities.iter().fold(Decimal::ZERO, |sum, of| sum.plus(&sums.or_zero(*of)))
}

fn counts(sums: &Sums) -> Value {
    object(|quantities| count(sums, quantities))
}

fn deltas(one: &Sums, other: &Sums) -> Value {
    object(|quantities| count(one, quantities).minus(&count(other, quantities)))
}

fn object(of: impl Fn(&[Quantity]) -> Decimal) -> Value {
    let number = |amount: Decimal| {
        let negative =
            || Decimal::ZERO.minus(&amount).to_count().and_then(|n| i64::try_from(n).ok());
        match amount.to_count() {
            Some(count) => json!(count),
            None => negative().map_or_else(|| json!(amount.to_string()), |n| json!(-n)),
        }
    };
    let counts = COUNTS.iter().map(|(name, of_it)| ((*name).to_owned(), number(of(of_it))));
    Value::Object(counts.collect())
}
