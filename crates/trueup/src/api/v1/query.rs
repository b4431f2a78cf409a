//! `GET /api/v1/usage/query`: usage over time, by up to two groups, out of sums.
//!
//! ```text
//! ?from=2026-11-01&bucket=1d&metric=cost&group=model&top=5&compare=previous
//! ```

use serde_json::Value;
use trueup_core::Calendar;
use trueup_core::report::Dimension;

use super::asked::{Asked, FILTERS, Kind, Parameter, TIME};
use super::{Endpoint, Failed, Sight};
use crate::query::Cost;
use crate::query::over_time::{BUCKETS_MAX, Buckets, Days, Metric, Question, Shape, TooMany};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    path: "/api/v1/usage/query",
    about: "Usage over time, by up to two groups",
    parameters: &[TIME, PARAMETERS, FILTERS],
    answer,
};

/// Most groups that are named, and how many where nothing else is asked for.
const TOP_MAX: u64 = 50;
const TOP: u64 = 10;

const GROUPS: &[&str] = &["agent", "provider", "model", "project", "kind", "tier", "device"];

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

fn answer(asked: &Asked, sight: &Sight<'_>) -> Result<Value, Failed> {
    let usage = sight.usage(asked)?;
    let span = usage.span()?;
    let mut calendar = asked.calendar(sight);
    let days = asked.days(&calendar, span.map(|(first, _)| first), sight.now)?;
    let buckets = buckets(asked, &mut calendar, &days)?;
    let (group, subgroup) = (asked.text("group"), asked.text("subgroup"));
    if group.is_none() && subgroup.is_some() {
        return Err(Failed::Refused("`subgroup`: it needs a `group`".to_owned()));
    }
    let groups: Vec<Dimension> =
        [group, subgroup].into_iter().flatten().filter_map(dimension).collect();
    let shape = Shape {
        buckets: &buckets,
        metric: Metric::of(asked.text("metric").unwrap_or_default()),
        groups: &groups,
        top: asked.count("top", usize::try_from(TOP).unwrap_or(usize::MAX)),
        is_compared: asked.text("compare").is_some(),
    };
    let question = Question {
        usage: &usage,
        book: sight.book,
        cost: cost(asked),
        calendar,
        days,
        filter: asked.filter(days.window),
        span,
        now: sight.now,
        last_sync: sight.last_sync,
    };
    Ok(question.answer(&shape)?)
}

/// The buckets that are asked for, or fit.
pub(super) fn buckets(
    asked: &Asked,
    calendar: &mut Calendar,
    days: &Days,
) -> Result<Buckets, Failed> {
    if let Some(why) = days.beyond_time() {
        return Err(Failed::Refused(format!("`from`: {why}")));
    }
    let asked = asked.text("bucket").unwrap_or("auto");
    Buckets::of(asked, calendar, days).map_err(|TooMany { fitting }| {
        let remedy = fitting.map(|name| format!("`{name}` would fit"));
        Failed::Refused(format!(
            "`bucket`: there are more than {BUCKETS_MAX} from {} to {}; {}",
            days.from,
            days.to,
            remedy.as_deref().unwrap_or("ask for fewer days")
        ))
    })
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
