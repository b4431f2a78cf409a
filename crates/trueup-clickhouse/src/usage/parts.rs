//! Rows of sums that a question is answered from, each by a statement's part: out of sums of days, of quarters
//! of an hour, or of calls.
//!
//! ```text
//! SELECT day, g_model, … FROM roll_day FINAL ARRAY JOIN model AS g_model, … WHERE …
//! ```
//!
//! A server takes as long to understand a statement as to do it: no part has a level that it does not need.

use super::stretches::{cell, cut_days, days, within};
use super::{SERIES, UsageQuestion, Width, grouped, joined, listed, listed_as, owned, summed};
use crate::quote::quoted;
use crate::rollup::used;

/// The column that says which kinds of tokens were used.
pub(super) const USED: &str = "g_used";

/// One of them.
pub(super) enum Part {
    /// Rows below a name each, and which kinds of tokens they used.
    Rows {
        /// The columns of time.
        times: Vec<String>,
        /// From where, and which.
        from: String,
        /// Which kinds of tokens were used, where that is asked.
        used: Option<String>,
    },
    /// A statement of its own, which has these columns.
    Told(String),
}

impl Part {
    /// As a statement that is a part of another.
    pub(super) fn told(self, question: &UsageQuestion<'_>) -> String {
        match self {
            Self::Rows { times, from, used } => {
                let told = grouped(&[&question.groups()[..], &question.counters()].concat());
                // Old servers take a name that is given to itself for two.
                let used =
                    used.map(|used| if used == USED { used } else { format!("{used} AS {USED}") });
                let told = joined(times.into_iter().chain([told]).chain(used));
                format!("SELECT {told} {from}")
            }
            Self::Told(sql) => sql,
        }
    }
}

/// What sums of this width say: of days those that are not cut, or else of quarters those of days that are.
pub(super) fn of_sums(question: &UsageQuestion<'_>, width: Width) -> Part {
    let (is_quarter, is_fleet) = (width == Width::Quarter, question.is_of_fleet());
    let table = match (is_fleet, is_quarter) {
        (true, true) => "fleet_quarter",
        (true, false) => "fleet_day",
        (false, true) => "roll_quarter",
        (false, false) => "roll_day",
    };
    let mut only = vec![format!("tenant = {}", quoted(question.tenant)), within(question, width)];
    if is_fleet {
        let is_long = ["project", "kind"].iter().any(|name| question.names().contains(name));
        only.push(format!("level = {}", u8::from(is_long)));
    }
    if !question.is_quarter() && !question.cuts.is_empty() {
        let cut = cut_days(question.cuts);
        only.push(if is_quarter { cut } else { format!("NOT {cut}") });
    }
    if !question.unsummed.is_empty() {
        only.push(format!("day NOT IN ({})", days(question.unsummed)));
    }
    let mut filters = filters(question);
    filters.extend(question.session.map(|session| format!("has(session, {})", quoted(session))));
    // Of a quarter and a device, each session has a sum: which kinds of tokens were used is said of all.
    let is_masked = question.is_by_used() && !is_fleet && is_quarter;
    let groups = if is_masked { series_and_device(question) } else { question.groups() };
    let mut taken = groups.clone();
    taken.extend((is_fleet && question.is_by_used()).then_some("used"));
    taken.extend((!question.devices.is_empty() && !taken.contains(&"device")).then_some("device"));
    taken.extend((question.session.is_some() && !taken.contains(&"session")).then_some("session"));
    taken.extend(question.counters());
    let cell = if is_quarter { cell(question) } else { "toUInt8(0)".to_owned() };
    // What is said of keys comes before arrays are joined: those of other levels are not as long as each other.
    let from = format!(
        "FROM {table} FINAL ARRAY JOIN {rows} PREWHERE {only}{filter}",
        rows = listed_as(&taken, |name| format!("{name} AS g_{name}")),
        only = only.join(" AND "),
        filter = only_where(&filters),
    );
    if is_masked {
        let times = question.times(&cell, time_names(question));
        return Part::Told(masked(question, &times, &groups, &from));
    }
    let used = match (is_fleet, question.is_by_used()) {
        (_, false) => None,
        (true, true) => Some(USED.to_owned()),
        (false, true) => Some(used("g_")),
    };
    Part::Rows { times: question.times(&cell, question.time_columns()), from, used }
}

/// Columns of time by which it is told which kinds of tokens were used.
const fn time_names(question: &UsageQuestion<'_>) -> &'static [&'static str] {
    if question.spans.is_empty() { &["day", "cell"] } else { &["day", "cell", "span"] }
}

/// Everything of a series, and the device where it matters.
fn series_and_device(question: &UsageQuestion<'_>) -> Vec<&'static str> {
    let device = (question.is_by_device || !question.devices.is_empty()).then_some("device");
    SERIES.into_iter().chain(device).collect()
}

/// Sums of each series and device, with which kinds of tokens they used, of finer ones.
fn masked(question: &UsageQuestion<'_>, times: &[String], groups: &[&str], from: &str) -> String {
    let counters = question.counters();
    let inner = |times: Vec<String>| joined(times.into_iter().chain([grouped(groups)]));
    let told = [
        grouped(&question.groups()),
        listed_as(&counters, |name| format!("sum_{name} AS g_{name}")),
        format!("{} AS {USED}", used("sum_")),
    ];
    format!(
        "SELECT {told} FROM (SELECT {inner}, {sums} {from} GROUP BY {by})",
        told = joined(owned(question.time_columns()).into_iter().chain(told)),
        inner = inner(times.to_vec()),
        by = inner(owned(time_names(question))),
        sums = listed_as(&counters, |name| summed(question, name)),
    )
}

/// What the calls of days say whose sums lack something.
pub(super) fn of_calls(question: &UsageQuestion<'_>) -> Part {
    let of_name = |name: &str| match name {
        "has_cost" => "toUInt8(isNotNull(reported_cost))".to_owned(),
        "calls" => "toUInt64(1)".to_owned(),
        "errors" => "toUInt64(isNotNull(error_type))".to_owned(),
        "reported_cost" => "ifNull(reported_cost, toInt64(0))".to_owned(),
        "first_ms" | "last_ms" => "ts_ms".to_owned(),
        "source" | "provider" | "model" | "project" | "kind" => format!("CAST({name} AS String)"),
        _ => name.to_owned(),
    };
    let is_masked = question.is_by_used();
    let groups = if is_masked { series_and_device(question) } else { question.groups() };
    let mut taken = groups.clone();
    taken.extend((!question.devices.is_empty() && !taken.contains(&"device")).then_some("device"));
    taken.extend((question.session.is_some() && !taken.contains(&"session")).then_some("session"));
    taken.extend(question.counters());
    let mut columns: Vec<&str> = vec!["day", "ts_ms", "reported_cost", "error_type"];
    let is_column = |name: &&&str| {
        !["has_cost", "calls", "errors", "reported_cost", "first_ms", "last_ms"].contains(name)
    };
    columns.extend(taken.iter().filter(is_column));
    let mut when = within(question, question.width);
    if question.is_quarter() {
        when = within(question, Width::Quarter);
    } else if !question.cuts.is_empty() {
        let (cut, quarters) = (cut_days(question.cuts), within(question, Width::Quarter));
        when = format!("(NOT {cut} AND {when} OR {cut} AND {quarters})");
    }
    let names = time_names(question);
    let calls = format!(
        "FROM (
            SELECT {times}, {taken} FROM (
                SELECT {columns}, toUInt8(intDiv(ts_ms % 86400000, 900000)) AS quarter FROM llm_event FINAL
                WHERE tenant = {tenant} AND day IN ({days}) AND counts = 1) WHERE {when}){filter}",
        times = joined(question.times(&cell(question), names)),
        columns = columns.join(", "),
        taken = listed_as(&taken, |name| format!("{} AS g_{name}", of_name(name))),
        tenant = quoted(question.tenant),
        days = days(question.unsummed),
        filter = only_where(&filters(question)),
    );
    if is_masked {
        return Part::Told(masked(question, &owned(names), &groups, &calls));
    }
    Part::Rows { times: owned(question.time_columns()), from: calls, used: None }
}

/// What of rows is asked for.
fn filters(question: &UsageQuestion<'_>) -> Vec<String> {
    let device = match question.devices {
        [] => None,
        [device] => Some(format!("g_device = {}", quoted(device))),
        devices => Some(format!("g_device IN ({})", listed(devices))),
    };
    let session = question.session.map(|session| format!("g_session = {}", quoted(session)));
    device.into_iter().chain(session).collect()
}

fn only_where(filters: &[String]) -> String {
    if filters.is_empty() { String::new() } else { format!(" WHERE {}", filters.join(" AND ")) }
}
