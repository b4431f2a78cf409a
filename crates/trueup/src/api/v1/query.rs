//! `GET /api/v1/usage/query`: usage over time, by up to two groups, out of sums.
//!
//! ```text
//! ?from=2026-11-01&bucket=1d&metric=cost&group=model&top=5&compare=previous
//! ```

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use serde_json::{Value, json};
use trueup_core::report::{Dimension, Filter, Pricer, Report, Sum, Sums, Window};
use trueup_core::{Bucket, Calendar, Text, UnixMs};

use super::asked::{Asked, Days, FILTERS, Kind, Parameter, TIME};
use super::{Endpoint, Failed, Sight};
use crate::query::{Cost, build};
use crate::render::json;
use crate::usage::Usage;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    path: "/api/v1/usage/query",
    about: "Usage over time, by up to two groups",
    parameters: &[TIME, PARAMETERS, FILTERS],
    answer,
};

/// Most buckets of an answer.
pub(super) const BUCKETS_MAX: usize = 400;
/// Most buckets that are chosen where nobody asks for any.
const BUCKETS_AUTO: usize = 120;
/// Most groups that are named, and how many where nothing else is asked for.
const TOP_MAX: u64 = 50;
const TOP: u64 = 10;

/// Each bucket by its name, the finest first.
const BUCKETS: [(&str, Bucket, Dimension); 5] = [
    ("30m", Bucket::HalfHour, Dimension::HalfHour),
    ("1h", Bucket::Hour, Dimension::Hour),
    ("1d", Bucket::Day, Dimension::Day),
    ("1w", Bucket::Week, Dimension::Week),
    ("1mo", Bucket::Month, Dimension::Month),
];

const GROUPS: &[&str] = &["agent", "provider", "model", "project", "kind", "tier"];

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "bucket",
        about: "how wide the buckets are; `auto` is the finest with at most 120",
        kind: Kind::Word(&["auto", "30m", "1h", "1d", "1w", "1mo", "none"]),
    },
    Parameter {
        name: "metric",
        about: "what the values are, and what groups are ordered by",
        kind: Kind::Word(&[
            "tokens",
            "input",
            "cache_read",
            "cache_write",
            "output",
            "reasoning",
            "calls",
            "errors",
            "cost",
        ]),
    },
    Parameter { name: "group", about: "what series are of", kind: Kind::Word(GROUPS) },
    Parameter {
        name: "subgroup",
        about: "what series are of within a group",
        kind: Kind::Word(GROUPS),
    },
    Parameter {
        name: "top",
        about: "how many groups are named; all others are one",
        kind: Kind::Count(1, TOP_MAX, TOP),
    },
    Parameter {
        name: "cost",
        about: "which cost: `auto` is what agents reported, else that of the price table",
        kind: Kind::Word(&["auto", "computed", "reported"]),
    },
    Parameter {
        name: "compare",
        about: "also the same length of time before",
        kind: Kind::Word(&["previous"]),
    },
];

/// What a value is.
#[derive(Debug, Clone, Copy)]
enum Metric {
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
    fn of(name: &str) -> Self {
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
pub(super) struct Buckets {
    /// What they are called; `none` where there is only one, of all the time.
    pub(super) name: &'static str,
    dimension: Option<Dimension>,
    /// Where each begins, and its label.
    pub(super) starts: Vec<(UnixMs, String)>,
    until: UnixMs,
}

impl Buckets {
    /// Those that are asked for, or fit.
    pub(super) fn of(asked: &Asked, calendar: &mut Calendar, days: &Days) -> Result<Self, Failed> {
        let Window { from, until } = days.window;
        let mut all = |bucket, most| calendar.buckets(bucket, from, until, most);
        let asked = asked.text("bucket").unwrap_or("auto");
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
        let remedy = wider.map_or_else(
            || "ask for fewer days".to_owned(),
            |(name, ..)| format!("`{name}` would fit"),
        );
        Err(Failed::Refused(format!(
            "`bucket`: there are more than {BUCKETS_MAX} from {} to {}; {remedy}",
            days.from, days.to
        )))
    }

    /// Where a bucket ends.
    fn end(&self, at: usize) -> UnixMs {
        self.starts.get(at + 1).map_or(self.until, |(start, _)| *start)
    }

    /// From where to where each is.
    pub(super) fn spans(&self) -> Vec<(UnixMs, UnixMs)> {
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
    pub(super) fn states(&self, first_usage: Option<UnixMs>, now: UnixMs) -> Vec<&'static str> {
        (0..self.starts.len()).map(|at| self.state(at, first_usage, now)).collect()
    }

    /// As an answer tells them.
    pub(super) fn as_json(&self, states: &[&'static str]) -> Value {
        let each = self.starts.iter().zip(states).map(
            |((start, key), state)| json!({"key": key, "start": start.to_string(), "state": state}),
        );
        each.collect()
    }
}

/// What is asked of one time.
struct Question<'a> {
    sight: &'a Sight<'a>,
    usage: &'a Usage,
    calendar: Calendar,
    cost: Cost,
}

impl Question<'_> {
    fn report(&self, by: Vec<Dimension>, filter: &Filter) -> Result<Report, Failed> {
        let pricer = Pricer::new(self.sight.book, self.cost.mode());
        Ok(build(self.usage, by, self.calendar.clone(), filter, pricer)?)
    }
}

fn answer(asked: &Asked, sight: &Sight<'_>) -> Result<Value, Failed> {
    let usage = Usage::of_ledger(sight.ledger)?;
    let span = usage.span()?;
    let first_usage = span.map(|(first, _)| first);
    let mut calendar = asked.calendar(sight);
    let days = asked.days(&calendar, first_usage, sight.now)?;
    let buckets = Buckets::of(asked, &mut calendar, &days)?;
    let (group, subgroup) = (asked.text("group"), asked.text("subgroup"));
    if group.is_none() && subgroup.is_some() {
        return Err(Failed::Refused("`subgroup`: it needs a `group`".to_owned()));
    }
    let groups: Vec<Dimension> =
        [group, subgroup].into_iter().flatten().filter_map(dimension).collect();
    let question = Question { sight, usage: &usage, calendar, cost: cost(asked) };
    let by: Vec<Dimension> = buckets.dimension.into_iter().chain(groups.clone()).collect();
    let report = question.report(by, &asked.filter(days.window))?;
    let metric = Metric::of(asked.text("metric").unwrap_or_default());
    let states = buckets.states(first_usage, sight.now);
    let top = asked.count("top", usize::try_from(TOP).unwrap_or(usize::MAX));
    let all = Series::of(&report, &buckets, groups.len());
    let series: Vec<Value> =
        Series::ranked(all, metric, top).iter().map(|one| one.as_json(metric, &states)).collect();
    let time = |time: Option<UnixMs>| time.map(|time| time.to_string());
    let last_usage = span.map(|(_, last)| last);
    Ok(json!({
        "schema": 1,
        "tz": question.calendar.zone_name(),
        "from": days.from.to_string(),
        "to": days.to.to_string(),
        "bucket": buckets.name,
        "metric": asked.text("metric").unwrap_or("tokens"),
        "group": group,
        "subgroup": subgroup,
        "buckets": buckets.as_json(&states),
        "series": series,
        "totals": json::sums(&report.totals),
        "previous": previous(&question, asked, &days)?,
        "first_usage": time(first_usage),
        "last_usage": time(last_usage),
        "as_of": time(sight.last_sync.max(last_usage)),
        "unpriced_models": report.unpriced_models,
        "cli": command_line(asked, &question.calendar, &days, &report.by),
    }))
}

fn dimension(name: &str) -> Option<Dimension> {
    Dimension::ALL.into_iter().find(|dimension| dimension.name() == name)
}

fn cost(asked: &Asked) -> Cost {
    match asked.text("cost") {
        Some("computed") => Cost::Computed,
        Some("reported") => Cost::Reported,
        _ => Cost::Auto,
    }
}

/// The same number of days before, where they are asked for and the calendar has them.
fn previous(question: &Question<'_>, asked: &Asked, days: &Days) -> Result<Value, Failed> {
    let length = days.to.since(days.from).map(|span| span.get_days()).unwrap_or_default();
    let to = days.from.yesterday().ok();
    let from = to.and_then(|to| to.checked_sub(length.days()).ok());
    let (Some(_), Some(from), Some(to)) = (asked.text("compare"), from, to) else {
        return Ok(Value::Null);
    };
    let window = Window::of_days(&question.calendar, Some(from), Some(to));
    let report = question.report(Vec::new(), &asked.filter(window))?;
    Ok(json!({
        "from": from.to_string(),
        "to": to.to_string(),
        "totals": json::sums(&report.totals),
    }))
}

/// The command that prints the same figures.
fn command_line(asked: &Asked, calendar: &Calendar, days: &Days, by: &[Dimension]) -> String {
    let by: Vec<&str> = by.iter().map(|dimension| dimension.name()).collect();
    let by = if by.is_empty() { "day".to_owned() } else { by.join(",") };
    let cost = asked.text("cost").map(|cost| format!(" --cost {cost}")).unwrap_or_default();
    format!("trueup report --by {by}{}{}{cost}", days.options(calendar), asked.filter_options())
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
