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

/// Which sums are wanted, and what they are told apart by besides their series.
#[derive(Debug, Clone)]
pub struct UsageQuestion<'a> {
    /// Whose.
    pub tenant: &'a str,
    /// In stretches of this length. Where sessions matter, it is taken as quarters.
    pub width: Width,
    /// From the stretch that begins here or is the first behind it.
    pub from: UnixMs,
    /// As long as they begin before.
    pub until: UnixMs,
    /// Of these devices; of all where none is named.
    pub devices: &'a [&'a str],
    /// Of these sessions, by source and name; of all where none is named.
    pub sessions: &'a [(&'a str, &'a str)],
    /// Whether stretches are told apart, or only what lies in all of them.
    pub is_by_time: bool,
    /// Whether devices are told apart.
    pub is_by_device: bool,
    /// Whether sessions are told apart.
    pub is_by_session: bool,
}

impl<'a> UsageQuestion<'a> {
    /// All of a tenant's usage in stretches of this length.
    #[must_use]
    pub const fn of(tenant: &'a str, width: Width) -> Self {
        Self {
            tenant,
            width,
            from: UnixMs(i64::MIN),
            until: UnixMs(i64::MAX),
            devices: &[],
            sessions: &[],
            is_by_time: true,
            is_by_device: false,
            is_by_session: false,
        }
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
#[must_use]
pub fn usage(question: &UsageQuestion<'_>) -> Statement {
    let is_session = question.is_by_session || !question.sessions.is_empty();
    let is_quarter = is_session || question.width == Width::Quarter;
    let mut groups = SERIES.to_vec();
    let mut key = Vec::new();
    if question.is_by_time {
        key.push("day");
        key.extend(is_quarter.then_some("quarter"));
    }
    groups.extend(question.is_by_device.then_some("device"));
    groups.extend(question.is_by_session.then_some("session"));

    let mut taken: Vec<&str> = groups.clone();
    taken.extend((!question.devices.is_empty() && !question.is_by_device).then_some("device"));
    taken.extend((is_session && !question.is_by_session).then_some("session"));
    taken.extend(["calls", "errors", "reported_cost", "first_ms", "last_ms"]);
    taken.extend(TOKENS);
    let joined: Vec<String> = taken.iter().map(|name| format!("{name} AS g_{name}")).collect();

    let mut sums = vec![
        format!("{} AS sum_calls", bounded_sum("g_calls")),
        format!("{} AS sum_errors", bounded_sum("g_errors")),
        format!("{} AS sum_reported_cost", bounded_money("g_reported_cost")),
        "min(g_first_ms) AS min_first_ms".to_owned(),
        "max(g_last_ms) AS max_last_ms".to_owned(),
    ];
    sums.extend(TOKENS.map(|name| format!("{} AS sum_{name}", bounded_sum(&format!("g_{name}")))));
    let grouped: Vec<String> = groups.iter().map(|name| format!("g_{name}")).collect();
    let key_and_groups: Vec<String> =
        key.iter().map(|name| (*name).to_owned()).chain(grouped).collect();

    let table = if is_quarter { "roll_quarter" } else { "roll_day" };
    let sql = format!(
        "SELECT {by}, {sums} FROM (
            SELECT {of_table} FROM {table} FINAL WHERE tenant = {tenant} AND {within}
         ) ARRAY JOIN {joined} {only} GROUP BY {by}{ordered}",
        by = key_and_groups.join(", "),
        sums = sums.join(", "),
        of_table = key.iter().chain(&taken).copied().collect::<Vec<_>>().join(", "),
        tenant = quoted(question.tenant),
        within = within(question, is_quarter),
        joined = joined.join(", "),
        only = only(question),
        ordered =
            if key.is_empty() { String::new() } else { format!(" ORDER BY {}", key.join(", ")) },
    );
    Statement::new(Purpose::Read, sql)
}

/// Stretches that begin between two times.
fn within(question: &UsageQuestion<'_>, is_quarter: bool) -> String {
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
        let devices: Vec<String> = question.devices.iter().map(|it| quoted(it)).collect();
        parts.push(format!("g_device IN ({})", devices.join(", ")));
    }
    if !question.sessions.is_empty() {
        let sessions = question.sessions.iter();
        let sessions: Vec<String> = sessions
            .map(|(source, name)| format!("({}, {})", quoted(source), quoted(name)))
            .collect();
        parts.push(format!("(g_source, g_session) IN ({})", sessions.join(", ")));
    }
    if parts.is_empty() { String::new() } else { format!("WHERE {}", parts.join(" AND ")) }
}

/// A sum.
///
/// # Errors
/// What is no row of the answer.
pub fn usage_of(question: &UsageQuestion<'_>, row: Row<'_>) -> Result<Usage, NativeError> {
    let is_quarter =
        question.width == Width::Quarter || question.is_by_session || !question.sessions.is_empty();
    let start = if question.is_by_time {
        let day = row.unsigned("day")?;
        let day = Day::of_column(day).ok_or(NativeError::Value { column: "day" })?;
        let quarter = if is_quarter { row.unsigned("quarter")? } else { 0 };
        UnixMs(day.start().0 + i64::try_from(quarter).unwrap_or(0) * QUARTER_MS)
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

/// A session, and when its last call was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSeen {
    /// The source.
    pub source: Text,
    /// Its name there.
    pub session: Text,
    /// Its last call in what was asked.
    pub last: UnixMs,
}

/// Asks for the sessions with the latest calls in a window, the last first: [`session_of`] reads each row.
/// Of what several shards say, the `limit` latest are those of the whole store; what they used is asked
/// by their names.
#[must_use]
pub fn latest_sessions(question: &UsageQuestion<'_>, limit: usize) -> Statement {
    let sql = format!(
        "SELECT g_source, g_session, max(g_last_ms) AS max_last_ms FROM (
            SELECT device, source, session, last_ms FROM roll_quarter FINAL
            WHERE tenant = {tenant} AND {within}
         ) ARRAY JOIN device AS g_device, source AS g_source, session AS g_session, last_ms AS g_last_ms
         {only} GROUP BY g_source, g_session
         ORDER BY max_last_ms DESC, g_source, g_session LIMIT {limit}",
        tenant = quoted(question.tenant),
        within = within(question, true),
        only = only(question),
    );
    Statement::new(Purpose::Read, sql)
}

/// A session.
///
/// # Errors
/// What is no row of the answer.
pub fn session_of(row: Row<'_>) -> Result<SessionSeen, NativeError> {
    Ok(SessionSeen {
        source: row.text("g_source")?.into(),
        session: row.text("g_session")?.into(),
        last: time(row, "max_last_ms")?,
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
        let asked = |from: &str, until: &str, is_quarter| {
            let question = UsageQuestion {
                from: at(from),
                until: at(until),
                ..UsageQuestion::of("acme", Width::Day)
            };
            within(&question, is_quarter)
        };
        let (noon, night) = ("2026-11-20T12:00:01Z", "2026-11-22T00:00:00Z");
        assert_eq!(asked(noon, night, false), "day >= toDate(20778) AND day < toDate(20779)");
        assert_eq!(
            asked(noon, night, true),
            "day >= toDate(20777) AND day <= toDate(20779) AND (day > toDate(20777) OR quarter >= 49) \
             AND (day < toDate(20779) OR quarter < 0)"
        );
        assert_eq!(asked(night, noon, true), "0");
        assert_eq!(asked("1969-01-01T00:00:00Z", "1970-01-02T00:00:00Z", true), "0");
        let all = UsageQuestion::of("acme", Width::Day);
        assert_eq!(within(&all, true), "day >= toDate(4) AND day <= toDate(49672)");
        assert_eq!(within(&all, false), "day >= toDate(4) AND day <= toDate(49672)");
    }

    #[test]
    fn nothing_that_is_asked_leaves_its_quotes() {
        let hostile = "'; DROP TABLE roll_day --";
        let question = UsageQuestion {
            devices: &[hostile],
            sessions: &[(hostile, hostile)],
            ..UsageQuestion::of(hostile, Width::Day)
        };
        for statement in [usage(&question), latest_sessions(&question, 5)] {
            let without = statement.sql.replace(r"'\'; DROP TABLE roll_day --'", "?");
            assert!(!without.contains("DROP"), "{without}");
            assert_eq!(without.matches('?').count(), 4);
        }
    }
}
