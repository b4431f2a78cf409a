//! Reading sums: of stretches of time, of devices, of sessions.
//!
//! Each shard is asked the same, and has a part of each sum: what several say of one group is added up by
//! whoever asks.

use trueup_core::{
    Counters, DAY_MS, NanoUsd, PriceClass, QUARTER_MS, Series, Text, Tokens, UnixMs, Witness,
};

use crate::day::Day;
use crate::native::{NativeError, Row};
use crate::quote::quoted;
use crate::rollup::{TOKENS, bounded_money, bounded_sum};
use crate::statement::{Purpose, Statement};

/// How long the stretches of time are whose sums are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// A quarter of an hour. Only these know sessions.
    Quarter,
    /// A day in UTC.
    Day,
}

/// Days in UTC, one after the other, that are cut: stretches begin in each of them at midnight and at
/// these quarters of an hour, from 1 to 95, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The first day.
    pub first: Day,
    /// The last one.
    pub last: Day,
    /// Where they are cut.
    pub quarters: Vec<u8>,
}

impl Cut {
    /// Puts days that are cut alike, and follow each other, into one: days in order, each with its quarters.
    #[must_use]
    pub fn joined(days: impl IntoIterator<Item = (Day, Vec<u8>)>) -> Vec<Self> {
        let mut cuts: Vec<Self> = Vec::new();
        for (day, quarters) in days {
            match cuts.last_mut() {
                Some(cut) if cut.quarters == quarters && cut.last.ahead(1) == day => cut.last = day,
                _ => cuts.push(Self { first: day, last: day, quarters }),
            }
        }
        cuts
    }
}

/// Which sums are wanted, and what they are told apart by besides their series.
#[derive(Debug, Clone)]
pub struct UsageQuestion<'a> {
    /// Whose.
    pub tenant: &'a str,
    /// In stretches of this length. Where sessions matter, it is taken as quarters.
    pub width: Width,
    /// Days that are cut into several stretches, where these are days.
    pub cuts: &'a [Cut],
    /// From the stretch that begins here or is the first behind it.
    pub from: UnixMs,
    /// As long as they begin before.
    pub until: UnixMs,
    /// Days whose sums lack something, which are read from their calls.
    pub unsummed: &'a [Day],
    /// Of these devices; of all where none is named.
    pub devices: &'a [&'a str],
    /// Of sessions of this name; of all where none is named.
    pub session: Option<&'a str>,
    /// Whether stretches are told apart, or only what lies in all of them.
    pub is_by_time: bool,
    /// Whether devices are told apart.
    pub is_by_device: bool,
    /// Whether sessions are told apart.
    pub is_by_session: bool,
    /// At most so many sums.
    pub limit: usize,
}

impl<'a> UsageQuestion<'a> {
    /// All of a tenant's usage in stretches of this length.
    #[must_use]
    pub const fn of(tenant: &'a str, width: Width) -> Self {
        Self {
            tenant,
            width,
            cuts: &[],
            from: UnixMs(i64::MIN),
            until: UnixMs(i64::MAX),
            unsummed: &[],
            devices: &[],
            session: None,
            is_by_time: true,
            is_by_device: false,
            is_by_session: false,
            limit: usize::MAX,
        }
    }

    const fn is_quarter(&self) -> bool {
        matches!(self.width, Width::Quarter) || self.is_by_session || self.session.is_some()
    }
}

/// A sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Where its stretch begins; where what was asked begins, if stretches are not told apart.
    pub start: UnixMs,
    /// The times of its first and its last call.
    pub times: (UnixMs, UnixMs),
    /// The session; empty where they are not told apart.
    pub session: Text,
    /// What it is a sum of; with its device where these are told apart.
    pub series: Series,
    /// The sum.
    pub counters: Counters,
}

const SERIES: [&str; 7] =
    ["source", "provider", "model", "project", "kind", "price_class", "has_cost"];

/// Asks for sums: [`usage_of`] reads each row.
///
/// Days come from their sums as a whole, those that are cut from quarters, and those whose sums lack
/// something from their calls.
#[must_use]
pub fn usage(question: &UsageQuestion<'_>) -> Statement {
    let is_quarter = question.is_quarter();
    let mut groups = SERIES.to_vec();
    groups.extend(question.is_by_device.then_some("device"));
    groups.extend(question.is_by_session.then_some("session"));
    let mut taken: Vec<&str> = groups.clone();
    taken.extend((!question.devices.is_empty() && !question.is_by_device).then_some("device"));
    taken.extend((question.session.is_some() && !question.is_by_session).then_some("session"));
    taken.extend(["calls", "errors", "reported_cost", "first_ms", "last_ms"]);
    taken.extend(TOKENS);

    let mut parts =
        vec![of_sums(question, if is_quarter { Width::Quarter } else { Width::Day }, &taken)];
    if !is_quarter && !question.cuts.is_empty() {
        parts.push(of_sums(question, Width::Quarter, &taken));
    }
    if !question.unsummed.is_empty() {
        parts.push(of_calls(question, &taken));
    }
    let mut sums = vec![
        format!("{} AS sum_calls", bounded_sum("g_calls")),
        format!("{} AS sum_errors", bounded_sum("g_errors")),
        format!("{} AS sum_reported_cost", bounded_money("g_reported_cost")),
        "min(g_first_ms) AS min_first_ms".to_owned(),
        "max(g_last_ms) AS max_last_ms".to_owned(),
    ];
    sums.extend(TOKENS.map(|name| format!("{} AS sum_{name}", bounded_sum(&format!("g_{name}")))));
    let key: &[&str] = if question.is_by_time { &["day", "cell"] } else { &[] };
    let grouped = groups.iter().map(|name| format!("g_{name}"));
    let by: Vec<String> = key.iter().map(|name| (*name).to_owned()).chain(grouped).collect();
    let sql = format!(
        "SELECT {by}, {sums} FROM ({parts}) {only} GROUP BY {by}{ordered}{limit}",
        by = by.join(", "),
        sums = sums.join(", "),
        parts = parts.join(" UNION ALL "),
        only = only(question),
        ordered = if question.is_by_time { " ORDER BY day, cell" } else { "" },
        limit = limited(question.limit),
    );
    Statement::new(Purpose::Ask, sql)
}

fn limited(limit: usize) -> String {
    if limit == usize::MAX { String::new() } else { format!(" LIMIT {limit}") }
}

/// What sums of this width say: of days those that are not cut, or else of quarters those of days that are.
fn of_sums(question: &UsageQuestion<'_>, width: Width, taken: &[&str]) -> String {
    let is_quarter = width == Width::Quarter;
    let table = if is_quarter { "roll_quarter" } else { "roll_day" };
    let mut only = vec![format!("tenant = {}", quoted(question.tenant)), within(question, width)];
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
    let cell = if is_quarter { cell(question) } else { "toUInt8(0)".to_owned() };
    let joined: Vec<String> = taken.iter().map(|name| format!("{name} AS g_{name}")).collect();
    let names: Vec<String> = taken.iter().map(|name| format!("g_{name}")).collect();
    format!(
        "SELECT day, cell, {names} FROM (SELECT day, {cell} AS cell, {taken} FROM {table} FINAL WHERE {only})
         ARRAY JOIN {joined}",
        names = names.join(", "),
        taken = taken.join(", "),
        only = only.join(" AND "),
        joined = joined.join(", "),
    )
}

/// What the calls of days say whose sums lack something.
fn of_calls(question: &UsageQuestion<'_>, taken: &[&str]) -> String {
    let of_name = |name: &str| match name {
        "has_cost" => "toUInt8(isNotNull(reported_cost))".to_owned(),
        "calls" => "toUInt64(1)".to_owned(),
        "errors" => "toUInt64(isNotNull(error_type))".to_owned(),
        "reported_cost" => "ifNull(reported_cost, toInt64(0))".to_owned(),
        "first_ms" | "last_ms" => "ts_ms".to_owned(),
        "source" | "provider" | "model" | "project" | "kind" => format!("CAST({name} AS String)"),
        _ => name.to_owned(),
    };
    let mut columns: Vec<&str> = vec!["day", "ts_ms", "reported_cost", "error_type"];
    let is_column = |name: &&&str| {
        !["has_cost", "calls", "errors", "reported_cost", "first_ms", "last_ms"].contains(name)
    };
    columns.extend(taken.iter().filter(is_column));
    let taken: Vec<String> =
        taken.iter().map(|name| format!("{} AS g_{name}", of_name(name))).collect();
    let mut when = within(question, question.width);
    if question.is_quarter() {
        when = within(question, Width::Quarter);
    } else if !question.cuts.is_empty() {
        let (cut, quarters) = (cut_days(question.cuts), within(question, Width::Quarter));
        when = format!("(NOT {cut} AND {when} OR {cut} AND {quarters})");
    }
    format!(
        "SELECT day, {cell} AS cell, {taken} FROM (
            SELECT {columns}, toUInt8(intDiv(ts_ms % 86400000, 900000)) AS quarter FROM llm_event FINAL
            WHERE tenant = {tenant} AND day IN ({days}) AND counts = 1) WHERE {when}",
        columns = columns.join(", "),
        cell = cell(question),
        taken = taken.join(", "),
        tenant = quoted(question.tenant),
        days = days(question.unsummed),
    )
}

/// The quarter at which the stretch begins that a quarter lies in.
fn cell(question: &UsageQuestion<'_>) -> String {
    if question.is_quarter() {
        return "quarter".to_owned();
    }
    let cuts = question.cuts.iter().filter(|cut| !cut.quarters.is_empty());
    let mut cases: Vec<String> = Vec::new();
    for cut in cuts {
        for quarter in cut.quarters.iter().rev() {
            cases.push(format!("{} AND quarter >= {quarter}, toUInt8({quarter})", between(cut)));
        }
    }
    if cases.is_empty() {
        return "toUInt8(0)".to_owned();
    }
    format!("multiIf({}, toUInt8(0))", cases.join(", "))
}

fn between(cut: &Cut) -> String {
    format!("day >= {} AND day <= {}", cut.first.sql(), cut.last.sql())
}

fn cut_days(cuts: &[Cut]) -> String {
    format!("({})", cuts.iter().map(between).collect::<Vec<_>>().join(" OR "))
}

fn days(days: &[Day]) -> String {
    days.iter().map(|day| day.sql()).collect::<Vec<_>>().join(", ")
}

/// Stretches that begin between two times.
fn within(question: &UsageQuestion<'_>, width: Width) -> String {
    let is_quarter = width == Width::Quarter;
    let width_ms = if is_quarter { QUARTER_MS } else { DAY_MS };
    let up = |time: UnixMs| UnixMs(time.0.saturating_add(width_ms - 1)).floor(width_ms);
    let (from, until) = (up(question.from), up(question.until));
    let (first, end) = (Day::near(from), Day::near(until));
    let of_day = |time: UnixMs| time.0.rem_euclid(DAY_MS) / QUARTER_MS;
    // The last day that there is ends nothing.
    let is_open = UnixMs(until.0) > end.start() && Day::of(until).is_none();
    if until <= Day::FIRST.start() || from >= until {
        return "0".to_owned();
    }
    if !is_quarter {
        let before = if is_open { "<=" } else { "<" };
        return format!("day >= {} AND day {before} {}", first.sql(), end.sql());
    }
    let mut parts = vec![format!("day >= {} AND day <= {}", first.sql(), end.sql())];
    if Day::of(from).is_some() && of_day(from) > 0 {
        parts.push(format!("(day > {} OR quarter >= {})", first.sql(), of_day(from)));
    }
    if !is_open {
        parts.push(format!("(day < {} OR quarter < {})", end.sql(), of_day(until)));
    }
    parts.join(" AND ")
}

fn only(question: &UsageQuestion<'_>) -> String {
    let mut parts = Vec::new();
    if !question.devices.is_empty() {
        parts.push(format!("g_device IN ({})", listed(question.devices)));
    }
    if let Some(session) = question.session {
        parts.push(format!("g_session = {}", quoted(session)));
    }
    if parts.is_empty() { String::new() } else { format!("WHERE {}", parts.join(" AND ")) }
}

/// Texts as SQL.
pub(crate) fn listed(texts: &[&str]) -> String {
    texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")
}

/// A sum.
///
/// # Errors
/// What is no row of the answer.
pub fn usage_of(question: &UsageQuestion<'_>, row: Row<'_>) -> Result<Usage, NativeError> {
    let start = if question.is_by_time {
        let day = row.unsigned("day")?;
        let day = Day::of_column(day).ok_or(NativeError::Value { column: "day" })?;
        let cell = i64::try_from(row.unsigned("cell")?).unwrap_or(0);
        UnixMs(day.start().0 + cell * QUARTER_MS)
    } else {
        question.from
    };
    let named = |is_named: bool, column| if is_named { row.text(column) } else { Ok("") };
    Ok(Usage {
        start,
        times: (time(row, "min_first_ms")?, time(row, "max_last_ms")?),
        session: named(question.is_by_session, "g_session")?.into(),
        series: series_of(row, named(question.is_by_device, "g_device")?)?,
        counters: Counters {
            calls: row.unsigned("sum_calls")?,
            errors: row.unsigned("sum_errors")?,
            tokens: Tokens {
                input: row.unsigned("sum_input")?,
                cache_read: row.unsigned("sum_cache_read")?,
                cache_write_5m: row.unsigned("sum_cache_write_5m")?,
                cache_write_1h: row.unsigned("sum_cache_write_1h")?,
                cache_write: row.unsigned("sum_cache_write")?,
                output: row.unsigned("sum_output")?,
                reasoning: row.unsigned("sum_reasoning")?,
            },
            reported_cost: NanoUsd(row.signed("sum_reported_cost")?),
        },
    })
}

fn series_of(row: Row<'_>, device: &str) -> Result<Series, NativeError> {
    let code = u16::try_from(row.unsigned("g_price_class")?).ok();
    Ok(Series {
        witness: Witness::Measured,
        source: row.text("g_source")?.into(),
        provider: row.text("g_provider")?.into(),
        model: row.text("g_model")?.into(),
        project: row.text("g_project")?.into(),
        kind: row.text("g_kind")?.into(),
        class: code
            .and_then(PriceClass::from_code)
            .ok_or(NativeError::Value { column: "g_price_class" })?,
        has_reported_cost: row.unsigned("g_has_cost")? != 0,
        device: device.into(),
    })
}

pub(crate) fn time(row: Row<'_>, column: &'static str) -> Result<UnixMs, NativeError> {
    let ms = i64::try_from(row.unsigned(column)?).ok();
    ms.map(UnixMs).ok_or(NativeError::Value { column })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMs {
        UnixMs::parse_rfc3339(text).unwrap()
    }

    /// Only stretches that begin in a window are of it.
    #[test]
    fn a_window_is_rounded_up_to_stretches() {
        let asked = |from: &str, until: &str, width| {
            let question = UsageQuestion {
                from: at(from),
                until: at(until),
                ..UsageQuestion::of("acme", Width::Day)
            };
            within(&question, width)
        };
        let (noon, night) = ("2026-11-20T12:00:01Z", "2026-11-22T00:00:00Z");
        assert_eq!(asked(noon, night, Width::Day), "day >= toDate(20778) AND day < toDate(20779)");
        assert_eq!(
            asked(noon, night, Width::Quarter),
            "day >= toDate(20777) AND day <= toDate(20779) AND (day > toDate(20777) OR quarter >= 49) \
             AND (day < toDate(20779) OR quarter < 0)"
        );
        assert_eq!(asked(night, noon, Width::Quarter), "0");
        assert_eq!(asked("1969-01-01T00:00:00Z", "1970-01-02T00:00:00Z", Width::Quarter), "0");
        let all = UsageQuestion::of("acme", Width::Day);
        for width in [Width::Quarter, Width::Day] {
            assert_eq!(within(&all, width), "day >= toDate(4) AND day <= toDate(49672)");
        }
    }

    #[test]
    fn days_that_are_cut_alike_are_one_run() {
        let day = |number: u16| Day::FIRST.ahead(number);
        let cuts = Cut::joined([
            (day(1), vec![73]),
            (day(2), vec![73]),
            (day(3), vec![77]),
            (day(5), vec![77]),
        ]);
        let run = |first, last, quarter| Cut {
            first: day(first),
            last: day(last),
            quarters: vec![quarter],
        };
        assert_eq!(cuts, [run(1, 2, 73), run(3, 3, 77), run(5, 5, 77)]);
        let question = UsageQuestion { cuts: &cuts, ..UsageQuestion::of("acme", Width::Day) };
        let told = cell(&question);
        let first =
            "multiIf(day >= toDate(5) AND day <= toDate(6) AND quarter >= 73, toUInt8(73), ";
        assert!(told.starts_with(first) && told.ends_with(", toUInt8(0))"), "{told}");
        // Where quarters are asked for anyhow, nothing is cut.
        assert_eq!(cell(&UsageQuestion { width: Width::Quarter, ..question }), "quarter");
    }

    #[test]
    fn nothing_that_is_asked_leaves_its_quotes() {
        let hostile = "'; DROP TABLE roll_day --";
        let question = UsageQuestion {
            devices: &[hostile],
            session: Some(hostile),
            unsummed: &[Day::FIRST],
            ..UsageQuestion::of(hostile, Width::Day)
        };
        let without = usage(&question).sql.replace(r"'\'; DROP TABLE roll_day --'", "?");
        assert!(!without.contains("DROP"), "{without}");
        assert_eq!(without.matches('?').count(), 5);
    }
}
