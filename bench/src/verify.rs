//! Compares trueup's JSON reports with the truth: every number, no tolerance.
//!
//! ```json
//! {"schema":1,"by":"day","rows":[{"day":"2026-10-01","exact":{"calls":2,…},"estimated":{…}}],"totals":{…}}
//! ```

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::truth::{Book, Truth, Usage};

/// Differences shown per report; the rest is counted.
const SHOWN_MAX: usize = 40;

/// A report as trueup prints it. Unknown fields do no harm, missing counts are zero.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    schema: u64,
    by: String,
    rows: Vec<Row>,
    totals: Sides,
}

#[derive(Debug, Deserialize)]
struct Row {
    #[serde(flatten)]
    sides: Sides,
    #[serde(flatten)]
    keys: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Sides {
    #[serde(default)]
    exact: Counts,
    #[serde(default)]
    estimated: Counts,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
struct Counts {
    calls: u64,
    input: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    cache_write: u64,
    output: u64,
    reasoning: u64,
    total: u64,
}

impl From<Counts> for Usage {
    fn from(c: Counts) -> Self {
        Self {
            calls: c.calls,
            input: c.input,
            cache_read: c.cache_read,
            cache_write_5m: c.cache_write_5m,
            cache_write_1h: c.cache_write_1h,
            cache_write: c.cache_write,
            output: c.output,
            reasoning: c.reasoning,
            total: c.total,
        }
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scope<'a> {
    /// The reports are of this agent only.
    pub(crate) agent: Option<&'a str>,
    /// Estimates are passed over: an index that nobody reads yet claims them.
    pub(crate) is_exact_only: bool,
}

/// All differences between one report and the truth, as lines to read; none if they agree.
pub(crate) fn differences(truth: &Truth, scope: Scope<'_>, report: &[u8]) -> Result<Vec<String>> {
    let report: Report = serde_json::from_slice(report).context("parse the report")?;
    if report.schema != 1 {
        bail!("the report has schema {}, this program knows schema 1", report.schema);
    }
    let mut found = Vec::new();
    side(truth, scope.agent, &report, true, &mut found)?;
    if !scope.is_exact_only {
        side(truth, scope.agent, &report, false, &mut found)?;
    }
    let hidden = found.len().saturating_sub(SHOWN_MAX);
    if hidden > 0 {
        found.truncate(SHOWN_MAX);
        found.push(format!("… and {hidden} more"));
    }
    Ok(found)
}

fn side(
    truth: &Truth,
    agent: Option<&str>,
    report: &Report,
    exact: bool,
    found: &mut Vec<String>,
) -> Result<()> {
    let name = if exact { "exact" } else { "estimated" };
    let take = |sides: &Sides| Usage::from(if exact { sides.exact } else { sides.estimated });
    let (totals, expected) = expected(truth, agent, &report.by, exact)?;
    compare(&format!("{name} totals"), &totals, &take(&report.totals), exact, found);
    if !exact && report.by == "project" {
        return Ok(()); // an index claims tokens, not the folder in which they were spent
    }
    let mut reported: BTreeMap<String, Usage> = BTreeMap::new();
    for row in &report.rows {
        let key = row.keys.get(&report.by).and_then(Value::as_str).unwrap_or("(none)");
        reported.entry(key.to_owned()).or_default().add(&take(&row.sides));
    }
    let keys: BTreeSet<&String> = expected.keys().chain(reported.keys()).collect();
    for key in keys {
        let want = expected.get(key).copied().unwrap_or_default();
        let have = reported.get(key).copied().unwrap_or_default();
        compare(&format!("{name} {} {key}", report.by), &want, &have, exact, found);
    }
    Ok(())
}

/// The truth of one side: its totals, and one row per key.
fn expected(
    truth: &Truth,
    agent: Option<&str>,
    by: &str,
    exact: bool,
) -> Result<(Usage, BTreeMap<String, Usage>)> {
    let (mut totals, mut rows) = (Usage::default(), BTreeMap::<String, Usage>::new());
    for (name, source) in &truth.sources {
        if agent.is_some_and(|wanted| wanted != name) {
            continue;
        }
        let book = if exact { &source.exact } else { &source.estimated };
        totals.add(&book.totals);
        for (key, usage) in cut(book, name, by)? {
            rows.entry(key).or_default().add(&usage);
        }
    }
    Ok((totals, rows))
}

fn cut(book: &Book, agent: &str, by: &str) -> Result<BTreeMap<String, Usage>> {
    if by == "agent" {
        return Ok(BTreeMap::from([(agent.to_owned(), book.totals)]));
    }
    let found = book.cuts().into_iter().find(|(name, _)| *name == by);
    let Some((_, rows)) = found else { bail!("the truth has no cut by {by}") };
    Ok(rows.clone())
}

/// An estimate's number of calls is anybody's guess, so only its tokens are compared.
fn compare(what: &str, want: &Usage, have: &Usage, exact: bool, found: &mut Vec<String>) {
    for ((field, want), (_, have)) in want.fields().into_iter().zip(have.fields()) {
        if want != have && (exact || field != "calls") {
            let error = i128::from(have) - i128::from(want);
            found.push(format!("{what}: {field} is {have}, must be {want} ({error:+})"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::{Call, Source};

    fn truth() -> Truth {
        let usage = Usage { input: 5, output: 2, ..Usage::default() };
        let (model, project, session) = ("m".to_owned(), "p".to_owned(), "s".to_owned());
        let mut source = Source::default();
        source.exact.enter(&Call { at_ms: 1_793_000_000_000, model, project, session, usage });
        Truth { sources: BTreeMap::from([("codex".to_owned(), source)]), ..Truth::default() }
    }

    fn report(by: &str, key: &str, output: u64) -> Vec<u8> {
        let counts = serde_json::json!({"calls": 1, "input": 5, "output": output, "total": 5 + output, "cost_usd": "0.1"});
        let row = serde_json::json!({by: key, "exact": counts});
        let totals = serde_json::json!({"exact": counts});
        serde_json::to_vec(&serde_json::json!({"schema": 1, "by": by, "tz": "UTC", "rows": [row], "totals": totals})).unwrap()
    }

    #[test]
    fn a_right_report_has_no_difference() {
        for (by, key) in [("model", "m"), ("agent", "codex"), ("day", "2026-10-26")] {
            let found = differences(&truth(), Scope::default(), &report(by, key, 2)).unwrap();
            assert!(found.is_empty(), "{found:?}");
        }
    }

    #[test]
    fn one_token_too_many_is_a_difference_in_row_and_totals() {
        let found = differences(&truth(), Scope::default(), &report("model", "m", 3)).unwrap();
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!(found[0], "exact totals: output is 3, must be 2 (+1)");
    }

    #[test]
    fn a_row_under_another_key_is_two_differences_per_count() {
        let found = differences(
            &truth(),
            Scope { agent: Some("codex"), ..Scope::default() },
            &report("model", "x", 2),
        )
        .unwrap();
        assert_eq!(found.len(), 8, "{found:?}");
    }

    #[test]
    fn estimates_can_be_passed_over() {
        let mut truth = truth();
        let usage = Usage { input: 9, ..Usage::default() };
        let (model, project, session) = ("m".to_owned(), "p".to_owned(), "s".to_owned());
        let claim = Call { at_ms: 1_793_000_000_000, model, project, session, usage };
        truth.sources.get_mut("codex").unwrap().estimated.enter(&claim);
        let scope = Scope { is_exact_only: true, ..Scope::default() };
        assert!(differences(&truth, scope, &report("model", "m", 2)).unwrap().is_empty());
        assert!(!differences(&truth, scope, &report("model", "m", 3)).unwrap().is_empty());
        let all = differences(&truth, Scope::default(), &report("model", "m", 2)).unwrap();
        assert!(all.iter().all(|line| line.starts_with("estimated")) && !all.is_empty());
    }

    #[test]
    fn an_unknown_cut_is_an_error() {
        assert!(differences(&truth(), Scope::default(), &report("moon", "x", 2)).is_err());
    }
}
