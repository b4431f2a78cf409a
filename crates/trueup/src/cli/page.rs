//! `trueup report --html`: the account as one page, to be kept, sent or printed.
//!
//! Its data are answers that the usage API gives (docs/usage-api.md), and the report by day.

use anyhow::{Result, bail};
use jiff::civil::Date;
use serde_json::{Map, Value, json};
use trueup_core::report::{Dimension, Filter, Sums};
use trueup_core::{Calendar, Text, UnixMs};

use super::WrongUsage;
use crate::query::over_time::{BUCKETS_MAX, Buckets, Days, Metric, Question, Shape};
use crate::render::json as render;

/// Layers of the chart that are named.
const LAYERS: usize = 10;
/// Rows of a table that are named; the others are one.
const ROWS_MAX: usize = 50;

/// What the chart can show. The first is shown first.
const METRICS: [Metric; 3] = [Metric::Tokens, Metric::Cost, Metric::Calls];
/// What there are tables of.
const TABLES: [Dimension; 3] = [Dimension::Model, Dimension::Project, Dimension::Agent];

/// The data of a page, and what there is to say of them.
pub(super) struct Page {
    pub(super) data: Value,
    pub(super) totals: Sums,
    pub(super) unpriced_models: std::collections::BTreeMap<Text, u64>,
}

/// The days that are asked for: from the first usage, to today or to what a wrong clock wrote later.
pub(super) fn days(
    calendar: &Calendar,
    (since, until): (Option<Date>, Option<Date>),
    span: Option<(UnixMs, UnixMs)>,
    now: UnixMs,
) -> Result<Days> {
    let today = calendar.day(now);
    let last = span.map_or(today, |(_, last)| calendar.day(last)).max(today);
    let to = until.unwrap_or(last);
    let first = span.map_or(today, |(first, _)| calendar.day(first)).min(to);
    let from = since.unwrap_or(first);
    if to < from {
        bail!(WrongUsage(format!("--since {from} lies after {to}, the last day")));
    }
    let days = Days::of(calendar, from, to);
    match days.beyond_time() {
        Some(why) => bail!(WrongUsage(format!("--since {why}"))),
        None => Ok(days),
    }
}

/// Answers all that the page shows. `is_compared`: whether there is a time before it.
pub(super) fn of(question: &Question<'_>, is_compared: bool) -> Result<Page> {
    let buckets = fitting(question, &["auto"])?;
    let whole = fitting(question, &["none"])?;
    let rows = fitting(question, &["1d", "1w", "1mo"])?;
    let over_time = METRICS.map(|metric| {
        let groups = &[Dimension::Model];
        question.answer(&Shape { buckets: &buckets, metric, groups, top: LAYERS, is_compared })
    });
    let by = TABLES.map(|group| {
        let (buckets, metric, groups) = (&whole, Metric::Tokens, &[group]);
        question.answer(&Shape { buckets, metric, groups, top: ROWS_MAX, is_compared: false })
    });
    let by_time = rows.dimension.into_iter().collect();
    let times = question.report(by_time, question.days.window)?;
    let data = json!({
        "schema": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "generated_at": question.now.to_string(),
        "cli": format!("trueup report --html{}", question.options()),
        "filters": filters(&question.filter),
        "over_time": all(over_time)?,
        "by": all(by)?,
        "times": render::report(&times, false),
    });
    Ok(Page { data, totals: times.totals, unpriced_models: times.unpriced_models })
}

fn all(answers: impl IntoIterator<Item = Result<Value>>) -> Result<Vec<Value>> {
    answers.into_iter().collect()
}

/// The first of these that are not too many.
fn fitting(question: &Question<'_>, names: &[&str]) -> Result<Buckets> {
    let mut calendar = question.calendar.clone();
    let days = &question.days;
    let found = names.iter().find_map(|name| Buckets::of(name, &mut calendar, days).ok());
    found.ok_or_else(|| {
        let Days { from, to, .. } = days;
        let text = format!(
            "there are more than {BUCKETS_MAX} months from {from} to {to}; ask for fewer days with \
             --since and --until"
        );
        WrongUsage(text).into()
    })
}

/// What was filtered by, by the names of options.
fn filters(filter: &Filter) -> Value {
    let lists = [
        ("agent", &filter.sources),
        ("provider", &filter.providers),
        ("model", &filter.models),
        ("project", &filter.projects),
        ("kind", &filter.kinds),
        ("tier", &filter.tiers),
    ];
    let given = lists.into_iter().filter(|(_, texts)| !texts.is_empty());
    Value::Object(given.map(|(name, texts)| (name.to_owned(), json!(texts))).collect::<Map<_, _>>())
}
