//! Reading sums: of stretches of time, of devices, of sessions.
//!
//! Each shard is asked the same, and has a part of each sum: what several say of one group is added up by
//! whoever asks.

mod parts;
mod stretches;
mod summary;
mod told;

use std::sync::Arc;

use trueup_core::report::Entry;
use trueup_core::{Counters, DAY_MS, QUARTER_MS, Series, Text, UnixMs};

use crate::day::Day;
use crate::quote::quoted;
use crate::rollup::{TOKENS, bounded_money, bounded_sum};
use crate::statement::{Purpose, Statement};

use parts::{Part, USED, of_calls, of_sums};

pub use summary::{Summary, summary, summary_of};
pub use told::KnownSeries;
pub(crate) use told::time;

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

/// What of a series sums are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apart<'a> {
    /// All of it; and the times of the first and the last call are told.
    Series,
    /// What prices depend on, which kinds of tokens were used among it, and these names. No times.
    Prices(&'a [Name]),
}

/// What of a series no price depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// The source.
    Source,
    /// The project.
    Project,
    /// The kind of session.
    Kind,
}

impl Name {
    const fn column(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Project => "project",
            Self::Kind => "kind",
        }
    }
}

/// How numbers are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adding {
    /// They stop at the largest number that there is.
    Bounded,
    /// As it goes, which is faster: where there is not so much ([`Summary::adding`]).
    Plain,
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
    /// What of their series they are told apart by.
    pub apart: Apart<'a>,
    /// Where spans of time begin, in order, the first with what is asked: all of a span is one. Where there
    /// are none, stretches are told apart.
    pub spans: &'a [UnixMs],
    /// How they are added up.
    pub adding: Adding,
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
            apart: Apart::Series,
            spans: &[],
            adding: Adding::Bounded,
            limit: usize::MAX,
        }
    }

    /// Whether sums of all devices together will do.
    const fn is_of_fleet(&self) -> bool {
        let is_of_all = self.devices.is_empty() && self.session.is_none();
        is_of_all && !self.is_by_device && !self.is_by_session
    }

    /// What of a series they are told apart by.
    fn names(&self) -> Vec<&'static str> {
        match self.apart {
            Apart::Series => SERIES.to_vec(),
            Apart::Prices(names) => {
                let names = names.iter().map(|name| name.column());
                PRICED.into_iter().chain(names).collect()
            }
        }
    }

    const fn is_by_used(&self) -> bool {
        matches!(self.apart, Apart::Prices(_))
    }

    /// What they are told apart by but for time.
    fn groups(&self) -> Vec<&'static str> {
        let mut groups = self.names();
        groups.extend(self.is_by_device.then_some("device"));
        groups.extend(self.is_by_session.then_some("session"));
        groups
    }

    /// What is added up.
    fn counters(&self) -> Vec<&'static str> {
        let mut counters = vec!["calls", "errors", "reported_cost"];
        counters.extend(TOKENS);
        if !self.is_by_used() {
            counters.extend(["first_ms", "last_ms"]);
        }
        counters
    }

    /// By what they are told apart in time.
    fn time_columns(&self) -> &'static [&'static str] {
        match (self.is_by_time, self.spans.is_empty()) {
            (false, _) => &[],
            (true, false) => &["span"],
            (true, true) => &["day", "cell"],
        }
    }

    /// These columns of time, of rows of a stretch that begins at `cell` of a day.
    fn times(&self, cell: &str, names: &[&str]) -> Vec<String> {
        let time = |name: &&str| match *name {
            "span" => format!("{} AS span", self.span(cell)),
            "cell" => format!("{cell} AS cell"),
            name => name.to_owned(),
        };
        names.iter().map(time).collect()
    }

    /// The number of a row's span, from 1.
    fn span(&self, cell: &str) -> String {
        let start = |start: &UnixMs| {
            let day = Day::near(*start);
            let quarter = (start.0 - day.start().0).clamp(0, DAY_MS - 1) / QUARTER_MS;
            (i64::from(day.number()) * QUARTERS + quarter).to_string()
        };
        let starts = joined(self.spans.iter().map(start));
        format!(
            "toUInt32(arrayCount(x -> x <= toUInt32(toUInt16(day)) * {QUARTERS} + {cell}, [{starts}]))"
        )
    }

    const fn is_quarter(&self) -> bool {
        matches!(self.width, Width::Quarter) || self.is_by_session || self.session.is_some()
    }
}

/// A sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Where its stretch or span begins; where what was asked begins, if these are not told apart.
    pub start: UnixMs,
    /// The times of its first and its last call, where they are told; else where its stretch begins.
    pub times: (UnixMs, UnixMs),
    /// The session; empty where they are not told apart.
    pub session: Text,
    /// What it is a sum of, as far as that was asked; with its device where all of a series is told apart.
    pub series: Arc<Series>,
    /// The device; empty where they are not told apart.
    pub device: Text,
    /// The sum.
    pub counters: Counters,
}

impl Usage {
    /// As a report takes it.
    #[must_use]
    pub fn entry(&self) -> Entry<'_> {
        Entry {
            start: self.start,
            times: self.times,
            series: &self.series,
            session: &self.session,
            counters: &self.counters,
        }
    }
}

/// Quarters of an hour in a day.
const QUARTERS: i64 = 96;

const SERIES: [&str; 7] =
    ["source", "provider", "model", "project", "kind", "price_class", "has_cost"];
/// What of it prices depend on.
const PRICED: [&str; 4] = ["provider", "model", "price_class", "has_cost"];

/// Asks for sums: [`KnownSeries::read`] reads each block.
///
/// Days come from their sums as a whole, those that are cut from quarters, and those whose sums lack
/// something from their calls; from sums of all devices where no device matters.
#[must_use]
pub fn usage(question: &UsageQuestion<'_>) -> Statement {
    let is_quarter = question.is_quarter();
    let mut parts = vec![of_sums(question, if is_quarter { Width::Quarter } else { Width::Day })];
    if !is_quarter && !question.cuts.is_empty() {
        parts.push(of_sums(question, Width::Quarter));
    }
    if !question.unsummed.is_empty() {
        parts.push(of_calls(question));
    }
    let sums = listed_as(&question.counters(), |name| summed(question, name));
    let named = question.time_columns();
    let alone = if parts.len() == 1 { parts.pop() } else { None };
    let (times, from, used) = match alone {
        Some(Part::Rows { times, from, used }) => (times, from, used),
        alone => {
            let parts = alone.into_iter().chain(parts).map(|part| part.told(question));
            let parts = parts.collect::<Vec<_>>().join(" UNION ALL ");
            let used = question.is_by_used().then(|| USED.to_owned());
            (owned(named), format!("FROM ({parts})"), used)
        }
    };
    let groups = grouped(&question.groups());
    let by = owned(named).into_iter().chain([groups.clone()]).chain(used);
    let ordered = named == ["day", "cell"] && !question.is_by_used();
    let sql = format!(
        "SELECT {told} {from} GROUP BY {by}{ordered}{limit}",
        told = joined(times.into_iter().chain([groups, sums])),
        by = joined(by),
        ordered = if ordered { " ORDER BY day, cell" } else { "" },
        limit = limited(question.limit),
    );
    Statement::new(Purpose::Ask, sql)
}

/// A counter, added up under the name that [`KnownSeries::read`] reads.
fn summed(question: &UsageQuestion<'_>, name: &str) -> String {
    match name {
        "first_ms" => "min(g_first_ms) AS sum_first_ms".to_owned(),
        "last_ms" => "max(g_last_ms) AS sum_last_ms".to_owned(),
        _ if question.adding == Adding::Plain => format!("sum(g_{name}) AS sum_{name}"),
        "reported_cost" => format!("{} AS sum_{name}", bounded_money(&format!("g_{name}"))),
        _ => format!("{} AS sum_{name}", bounded_sum(&format!("g_{name}"))),
    }
}

fn limited(limit: usize) -> String {
    if limit == usize::MAX { String::new() } else { format!(" LIMIT {limit}") }
}

/// As many as there are, side by side.
fn joined(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().collect::<Vec<_>>().join(", ")
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn listed_as(names: &[&str], each: impl Fn(&str) -> String) -> String {
    names.iter().map(|name| each(name)).collect::<Vec<_>>().join(", ")
}

fn grouped(names: &[&str]) -> String {
    listed_as(names, |name| format!("g_{name}"))
}

/// Texts as SQL.
pub(crate) fn listed(texts: &[&str]) -> String {
    texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_asked_leaves_its_quotes() {
        let hostile = "'; DROP TABLE roll_day --";
        let question = UsageQuestion {
            devices: &[hostile],
            session: Some(hostile),
            unsummed: &[Day::FIRST],
            ..UsageQuestion::of(hostile, Width::Day)
        };
        let of_fleet = summary(hostile, Some(hostile), &[Day::FIRST]);
        for (statement, count) in [(usage(&question), 7), (of_fleet, 4)] {
            let without = statement.sql.replace(r"'\'; DROP TABLE roll_day --'", "?");
            assert!(!without.contains("DROP"), "{without}");
            assert_eq!(without.matches('?').count(), count);
        }
    }
}
