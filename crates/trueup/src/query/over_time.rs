//! Usage over time, by up to two groups, out of sums: what `/api/v1/usage/query` answers, and the page
//! of `trueup report --html` shows.
//!
//! ```text
//! buckets 2026-11-01, 2026-11-02 (open); gpt-5.5: 1280, 0; Other (3): 70, 12
//! ```

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::{Value, json};
use trueup_core::prices::PriceBook;
use trueup_core::report::{Dimension, Filter, Pricer, Report, Sum, Sums, Window};
use trueup_core::{Bucket, Calendar, Text, UnixMs};

use super::{Cost, build, filter_options, sums};
use crate::render::json;
use crate::usage::Usage;

/// Most buckets of an answer.
pub(crate) const BUCKETS_MAX: usize = 400;
/// Most buckets that are chosen where nobody asks for any.
const BUCKETS_AUTO: usize = 120;

/// Each bucket by its name, the finest first.
const BUCKETS: [(&str, Bucket, Dimension); 5] = [
    ("30m", Bucket::HalfHour, Dimension::HalfHour),
    ("1h", Bucket::Hour, Dimension::Hour),
    ("1d", Bucket::Day, Dimension::Day),
    ("1w", Bucket::Week, Dimension::Week),
    ("1mo", Bucket::Month, Dimension::Month),
];

/// What is asked, whatever it is shown as.
pub(crate) struct Question<'a> {
    pub(crate) usage: &'a Usage,
    pub(crate) book: &'a PriceBook,
    pub(crate) cost: Cost,
    pub(crate) calendar: Calendar,
    pub(crate) days: Days,
    /// What passes in these days.
    pub(crate) filter: Filter,
    /// The first and the last usage of all.
    pub(crate) span: Option<(UnixMs, UnixMs)>,
    pub(crate) now: UnixMs,
    /// When the stores were last read.
    pub(crate) last_sync: Option<UnixMs>,
}

/// As what it is shown.
pub(crate) struct Shape<'a> {
    pub(crate) buckets: &'a Buckets,
    pub(crate) metric: Metric,
    /// What series are of: a group, and one within it.
    pub(crate) groups: &'a [Dimension],
    /// How many series are named; the others are one.
    pub(crate) top: usize,
    /// Whether the same length of time before is told as well.
    pub(crate) is_compared: bool,
}

impl Question<'_> {
    /// The answer, as `/api/v1/usage/query` gives it (docs/usage-api.md).
    pub(crate) fn answer(&self, shape: &Shape<'_>) -> Result<Value> {
        let Shape { buckets, metric, groups, top, is_compared } = *shape;
        let by: Vec<Dimension> = buckets.dimension.into_iter().chain(groups.to_vec()).collect();
        let report = self.sums(by, self.days.window)?;
        let states = buckets.states(self.span.map(|(first, _)| first), self.now);
        let all = Series::of(&report, buckets, groups.len());
        let ranked = Series::ranked(all, metric, top);
        let series: Vec<Value> = ranked.iter().map(|one| one.as_json(metric, &states)).collect();
        let name = |at: usize| groups.get(at).map(|group| group.name());
        let time = |time: Option<UnixMs>| time.map(|time| time.to_string());
        let last_usage = self.span.map(|(_, last)| last);
        Ok(json!({
            "schema": 1,
            "tz": self.calendar.zone_name(),
            "from": self.days.from.to_string(),
            "to": self.days.to.to_string(),
            "bucket": buckets.name,
            "metric": metric.name(),
            "group": name(0),
            "subgroup": name(1),
            "buckets": buckets.as_json(&states),
            "series": series,
            "totals": json::sums(&report.totals),
            "previous": if is_compared { self.previous()? } else { Value::Null },
            "first_usage": time(self.span.map(|(first, _)| first)),
            "last_usage": time(last_usage),
            "as_of": time(self.last_sync.max(last_usage)),
            "unpriced_models": report.unpriced_models,
            "cli": self.command_line(&report.by),
        }))
    }

    /// The same, of which only sums matter.
    fn sums(&self, by: Vec<Dimension>, window: Window) -> Result<Report> {
        let filter = Filter { window, ..self.filter.clone() };
        let pricer = Pricer::new(self.book, self.cost.mode());
        sums(self.usage, by, self.calendar.clone(), &filter, pricer)
    }

    /// What passes in a time, by dimensions.
    pub(crate) fn report(&self, by: Vec<Dimension>, window: Window) -> Result<Report> {
        let filter = Filter { window, ..self.filter.clone() };
        let pricer = Pricer::new(self.book, self.cost.mode());
        build(self.usage, by, self.calendar.clone(), &filter, pricer)
    }

    /// The same number of days before, where the calendar has them.
    fn previous(&self) -> Result<Value> {
        let Days { from, to, .. } = self.days;
        let length = to.since(from).map(|span| span.get_days()).unwrap_or_default();
        let to = from.yesterday().ok();
        let from = to.and_then(|to| to.checked_sub(length.days()).ok());
        let (Some(from), Some(to)) = (from, to) else { return Ok(Value::Null) };
        let window = Window::of_days(&self.calendar, Some(from), Some(to));
        let report = self.sums(Vec::new(), window)?;
        Ok(json!({
            "from": from.to_string(),
            "to": to.to_string(),
            "totals": json::sums(&report.totals),
        }))
    }

    /// The command that prints the same figures.
    fn command_line(&self, by: &[Dimension]) -> String {
        let by: Vec<&str> = by.iter().map(|dimension| dimension.name()).collect();
        let by = if by.is_empty() { "day".to_owned() } else { by.join(",") };
        format!("trueup report --by {by}{}", self.options())
    }

    /// Days, zone, filters and cost as options of `trueup report`.
    pub(crate) fn options(&self) -> String {
        let Self { calendar, days, filter, cost, .. } = self;
        let cost = match cost {
            Cost::Auto => "",
            Cost::Computed => " --cost computed",
            Cost::Reported => " --cost reported",
        };
        format!("{}{}{cost}", days.options(calendar), filter_options(filter))
    }
}

/// Days, and the time that they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Days {
    pub(crate) from: Date,
    pub(crate) to: Date,
    pub(crate) window: Window,
}

impl Days {
    /// The first and the last day, both included.
    pub(crate) fn of(calendar: &Calendar, from: Date, to: Date) -> Self {
        Self { from, to, window: Window::of_days(calendar, Some(from), Some(to)) }
    }

    /// Why they are no time at all: the calendar ends before them.
    pub(crate) fn beyond_time(&self) -> Option<String> {
        let is_beyond = self.window.from >= self.window.until;
        is_beyond.then(|| format!("{} lies behind the last day that there is a time of", self.from))
    }

    /// As options of `trueup report`.
    pub(crate) fn options(&self, calendar: &Calendar) -> String {
        format!(" --since {} --until {} --tz {}", self.from, self.to, calendar.zone_name())
    }
}

/// There are more than [`BUCKETS_MAX`] buckets of the name.
#[derive(Debug)]
pub(crate) struct TooMany {
    /// The name of some of which there are not.
    pub(crate) fitting: Option<&'static str>,
}

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Metric {
    Tokens,
    Input,
    CacheRead,
    CacheWrite,
    Output,
    Reasoning,
    Calls,
    Errors,
    Cost,
}

impl Metric {
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "input" => Self::Input,
            "cache_read" => Self::CacheRead,
            "cache_write" => Self::CacheWrite,
            "output" => Self::Output,
            "reasoning" => Self::Reasoning,
            "calls" => Self::Calls,
            "errors" => Self::Errors,
            "cost" => Self::Cost,
            _ => Self::Tokens,
        }
    }

    /// As it is asked for.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Input => "input",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::Calls => "calls",
            Self::Errors => "errors",
            Self::Cost => "cost",
        }
    }

    /// How much of it a sum has: a number to compare by.
    fn amount(self, sum: &Sum) -> i128 {
        let tokens = &sum.tokens;
        match self {
            Self::Tokens => tokens.total().into(),
            Self::Input => tokens.input.into(),
            Self::CacheRead => tokens.cache_read.into(),
            Self::CacheWrite => tokens.cache_written().into(),
            Self::Output => tokens.output.into(),
            Self::Reasoning => tokens.reasoning.into(),
            Self::Calls => sum.calls.into(),
            Self::Errors => sum.errors.into(),
            Self::Cost => sum.cost.0,
        }
    }

    fn value(self, sum: &Sum) -> Value {
        match self {
            Self::Cost => json!(sum.cost_nanousd().to_string()),
            Self::Tokens
            | Self::Input
            | Self::CacheRead
            | Self::CacheWrite
            | Self::Output
            | Self::Reasoning
            | Self::Calls
            | Self::Errors => json!(u64::try_from(self.amount(sum)).unwrap_or(u64::MAX)),
        }
    }
}

/// The buckets of an answer.
pub(crate) struct Buckets {
    /// What they are called; `none` where there is only one, of all the time.
    pub(crate) name: &'static str,
    pub(crate) dimension: Option<Dimension>,
    /// Where each begins, and its label.
    pub(crate) starts: Vec<(UnixMs, String)>,
    until: UnixMs,
}

impl Buckets {
    /// Those of this name, or the finest that fit.
    pub(crate) fn of(asked: &str, calendar: &mut Calendar, days: &Days) -> Result<Self, TooMany> {
        let Window { from, until } = days.window;
        let mut all = |bucket, most| calendar.buckets(bucket, from, until, most);
        if asked == "none" {
            let starts = vec![(from, String::new())];
            return Ok(Self { name: "none", dimension: None, starts, until });
        }
        let most = if asked == "auto" { BUCKETS_AUTO } else { BUCKETS_MAX };
        let mut found = BUCKETS.iter().filter(|(name, ..)| asked == "auto" || asked == *name);
        let fitting = found
            .find_map(|(name, bucket, dimension)| Some((*name, *dimension, all(*bucket, most)?)));
        let month = (Bucket::Month, BUCKETS_MAX);
        let fitting = fitting.or_else(|| {
            let starts = (asked == "auto").then(|| all(month.0, month.1))??;
            Some(("1mo", Dimension::Month, starts))
        });
        if let Some((name, dimension, starts)) = fitting {
            return Ok(Self { name, dimension: Some(dimension), starts, until });
        }
        let wider = BUCKETS.iter().find(|(_, bucket, _)| all(*bucket, BUCKETS_MAX).is_some());
        Err(TooMany { fitting: wider.map(|(name, ..)| *name) })
    }

    /// Where a bucket ends.
    fn end(&self, at: usize) -> UnixMs {
        self.starts.get(at + 1).map_or(self.until, |(start, _)| *start)
    }

    /// From where to where each is.
    pub(crate) fn spans(&self) -> Vec<(UnixMs, UnixMs)> {
        self.starts.iter().zip(0..).map(|((start, _), at)| (*start, self.end(at))).collect()
    }

    /// What is known of a bucket.
    fn state(&self, at: usize, first_usage: Option<UnixMs>, now: UnixMs) -> &'static str {
        let start = self.starts.get(at).map_or(self.until, |(start, _)| *start);
        let is_before = first_usage.is_none_or(|first| self.end(at) <= first);
        if is_before || now < start {
            "missing"
        } else if now < self.end(at) {
            "open"
        } else {
            "closed"
        }
    }

    /// The state of each.
    pub(crate) fn states(&self, first_usage: Option<UnixMs>, now: UnixMs) -> Vec<&'static str> {
        (0..self.starts.len()).map(|at| self.state(at, first_usage, now)).collect()
    }

    /// As an answer tells them.
    pub(crate) fn as_json(&self, states: &[&'static str]) -> Value {
        let each = self.starts.iter().zip(states).map(
            |((start, key), state)| json!({"key": key, "start": start.to_string(), "state": state}),
        );
        each.collect()
    }
}

/// A line of a chart: what it is of, and a sum for each bucket.
#[derive(Debug, Clone)]
struct Series {
    keys: Vec<Text>,
    is_other: bool,
    groups: usize,
    sums: Vec<Sums>,
    totals: Sums,
}

impl Series {
    fn new(keys: Vec<Text>, buckets: usize) -> Self {
        let sums = vec![Sums::default(); buckets];
        Self { keys, is_other: false, groups: 1, sums, totals: Sums::default() }
    }

    /// Those of a report, whose keys are a bucket, if there are any, and the groups.
    fn of(report: &Report, buckets: &Buckets, groups: usize) -> Vec<Self> {
        let places: BTreeMap<&str, usize> =
            buckets.starts.iter().zip(0..).map(|((_, key), at)| (&**key, at)).collect();
        let mut series: BTreeMap<&[Text], Self> = BTreeMap::new();
        for row in &report.rows {
            let (time, keys) = row.keys.split_at(row.keys.len().saturating_sub(groups));
            let place = time.first().map_or(Some(0), |label| places.get(&**label).copied());
            let one = series.entry(keys).or_insert_with(|| Self::new(keys.to_vec(), places.len()));
            if let Some(sums) = place.and_then(|place| one.sums.get_mut(place)) {
                sums.plus(&row.sums);
            }
            one.totals.plus(&row.sums);
        }
        if series.is_empty() && groups == 0 {
            return vec![Self::new(Vec::new(), places.len())];
        }
        series.into_values().collect()
    }

    /// The largest, and one of all others.
    fn ranked(mut all: Vec<Self>, metric: Metric, top: usize) -> Vec<Self> {
        let amount = |one: &Self| {
            metric.amount(&one.totals.exact).saturating_add(metric.amount(&one.totals.estimated))
        };
        all.sort_by(|one, other| (amount(other), &one.keys).cmp(&(amount(one), &other.keys)));
        let others = all.split_off(top.min(all.len()));
        if let Some(first) = others.first() {
            let mut other = Self::new(Vec::new(), first.sums.len());
            (other.is_other, other.groups) = (true, others.len());
            for one in &others {
                other.totals.plus(&one.totals);
                for (sum, more) in other.sums.iter_mut().zip(&one.sums) {
                    sum.plus(more);
                }
            }
            all.push(other);
        }
        all
    }

    fn as_json(&self, metric: Metric, states: &[&'static str]) -> Value {
        let values = |kind: fn(&Sums) -> &Sum| -> Value {
            let each = self.sums.iter().zip(states);
            each.map(|(sums, state)| {
                let sum = kind(sums);
                // What lies after now is told where a clock was wrong: usage is not hidden.
                let is_missing = *state == "missing" && sum.calls == 0;
                if is_missing { Value::Null } else { metric.value(sum) }
            })
            .collect()
        };
        json!({
            "group": self.keys.first(),
            "subgroup": self.keys.get(1),
            "is_other": self.is_other,
            "groups": self.groups,
            "exact": values(|sums| &sums.exact),
            "estimated": values(|sums| &sums.estimated),
            "totals": json::sums(&self.totals),
        })
    }
}
