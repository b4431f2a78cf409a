//! Rows of sums that a question is answered from, each by a statement's part: out of sums of days, of quarters
//! of an hour, or of calls.
//!
//! ```text
//! SELECT day, cell, g_model, … FROM (SELECT …, model AS model_of FROM roll_day FINAL …) ARRAY JOIN model_of AS g_model
//! ```

use super::stretches::{cell, cut_days, days, within};
use super::{SERIES, UsageQuestion, Width, grouped, listed, listed_as, summed};
use crate::quote::quoted;
use crate::rollup::used;

/// What sums of this width say: of days those that are not cut, or else of quarters those of days that are.
pub(super) fn of_sums(question: &UsageQuestion<'_>, width: Width) -> String {
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
    if let Some(session) = question.session {
        only.push(format!("has(session, {})", quoted(session)));
    }
    // Of a quarter and a device, each session has a sum: which kinds of tokens were used is said of all.
    let is_masked = question.is_by_used() && !is_fleet && is_quarter;
    let groups = if is_masked { series_and_device(question) } else { question.groups() };
    let mut taken = groups.clone();
    if !is_masked {
        taken.extend((is_fleet && question.is_by_used()).then_some("used"));
    }
    taken.extend(question.session.map(|_| "session").filter(|name| !taken.contains(name)));
    let counters = question.counters();
    taken.extend(&counters);
    let cell = if is_quarter { cell(question) } else { "toUInt8(0)".to_owned() };
    let times = listed_as(time_names(question), str::to_owned);
    let used_here = question.is_by_used() && !is_fleet && !is_masked;
    let told = [&question.groups()[..], &counters].concat();
    // Of some devices, arrays are cut down to theirs before rows are made of them.
    let is_of = match question.devices {
        [] => String::new(),
        [device] => format!("arrayMap(of -> of = {}, device) AS is_of, ", quoted(device)),
        devices => format!("arrayMap(of -> has([{}], of), device) AS is_of, ", listed(devices)),
    };
    let array = if is_of.is_empty() { "@" } else { "arrayFilter((x, of) -> of, @, is_of)" };
    let split = format!(
        "(SELECT {of_row}, {is_of}{rows} FROM {table} FINAL WHERE {only})
         ARRAY JOIN {joined}{filter}",
        of_row = question.times(&cell),
        rows = listed_as(&taken, |name| format!("{} AS {name}_of", array.replace('@', name))),
        only = only.join(" AND "),
        joined = listed_as(&taken, |name| format!("{name}_of AS g_{name}")),
        filter = question
            .session
            .map_or(String::new(), |session| format!(" WHERE g_session = {}", quoted(session))),
    );
    if is_masked {
        return masked(
            question,
            &times,
            &groups,
            &format!("SELECT {times}, {} FROM {split}", grouped(&taken)),
        );
    }
    let used = match (used_here, question.is_by_used()) {
        (true, _) => format!(", {} AS g_used", used("g_")),
        (false, true) => ", g_used".to_owned(),
        (false, false) => String::new(),
    };
    format!("SELECT {times}, {}{used} FROM {split}", grouped(&told))
}

/// Columns of time that parts have.
fn time_names(question: &UsageQuestion<'_>) -> &'static [&'static str] {
    if question.spans.is_empty() { &["day", "cell"] } else { &["day", "cell", "span"] }
}

/// Everything of a series, and the device where it matters.
fn series_and_device(question: &UsageQuestion<'_>) -> Vec<&'static str> {
    let device = (question.is_by_device || !question.devices.is_empty()).then_some("device");
    SERIES.into_iter().chain(device).collect()
}

/// Sums of each series and device, with which kinds of tokens they used, of finer ones.
fn masked(question: &UsageQuestion<'_>, times: &str, groups: &[&str], of: &str) -> String {
    let counters = question.counters();
    format!(
        "SELECT {times}, {groups}, {counters}, {used} AS g_used FROM (
            SELECT {times}, {inner}, {sums} FROM ({of}) GROUP BY {times}, {inner})",
        groups = grouped(&question.groups()),
        inner = grouped(groups),
        counters = listed_as(&counters, |name| format!("sum_{name} AS g_{name}")),
        used = used("sum_"),
        sums = listed_as(&counters, |name| summed(question, name)),
    )
}

/// What the calls of days say whose sums lack something.
pub(super) fn of_calls(question: &UsageQuestion<'_>) -> String {
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
    let times = listed_as(time_names(question), str::to_owned);
    let calls = format!(
        "SELECT {times}, {taken} FROM (
            SELECT {of_row}, quarter, {columns} FROM (
                SELECT {columns}, toUInt8(intDiv(ts_ms % 86400000, 900000)) AS quarter FROM llm_event FINAL
                WHERE tenant = {tenant} AND day IN ({days}) AND counts = 1) WHERE {when}){filter}",
        of_row = question.times(&cell(question)),
        columns = columns.join(", "),
        taken = listed_as(&taken, |name| format!("{} AS g_{name}", of_name(name))),
        tenant = quoted(question.tenant),
        days = days(question.unsummed),
        filter = filter(question),
    );
    if is_masked {
        return masked(question, &times, &groups, &calls);
    }
    let told = [question.groups(), question.counters()].concat();
    format!("SELECT {times}, {} FROM ({calls})", grouped(&told))
}

fn filter(question: &UsageQuestion<'_>) -> String {
    let mut parts = Vec::new();
    if !question.devices.is_empty() {
        parts.push(format!("g_device IN ({})", listed(question.devices)));
    }
    if let Some(session) = question.session {
        parts.push(format!("g_session = {}", quoted(session)));
    }
    if parts.is_empty() { String::new() } else { format!(" WHERE {}", parts.join(" AND ")) }
}
