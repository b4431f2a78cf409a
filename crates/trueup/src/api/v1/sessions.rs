//! `GET /api/v1/sessions`: sessions with usage in a time, the last first, in parts.

use serde_json::{Value, json};
use trueup_core::UnixMs;
use trueup_core::report::{CostMode, Dimension, Pricer, Row};

use super::asked::{Asked, FILTERS, Kind, Parameter, TIME};
use super::{Endpoint, Failed, Sight, told};
use crate::query::build;
use crate::render::json;
use crate::usage::Usage;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    path: "/api/v1/sessions",
    about: "Sessions with usage in a time, the last first",
    parameters: &[TIME, FILTERS, PART],
    answer,
};

/// Sessions of a part, and most of them.
const LIMIT: usize = 50;
const LIMIT_MAX: u64 = 500;

const PART: &[Parameter] = &[
    Parameter { name: "limit", about: "how many at once", kind: Kind::Count(1, LIMIT_MAX, 50) },
    Parameter { name: "cursor", about: "`next_cursor` of the part before", kind: Kind::Text },
];

/// The place of a session in the list: behind those that ended later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    last: UnixMs,
    session: String,
}

impl Place {
    fn of(row: &Row) -> Self {
        Self {
            last: row.times.1,
            session: row.keys.first().map(ToString::to_string).unwrap_or_default(),
        }
    }

    fn parse(text: &str) -> Result<Self, Failed> {
        let parts = text.split_once('.');
        let place = parts.and_then(|(last, session)| {
            Some(Self { last: UnixMs(last.parse().ok()?), session: session.to_owned() })
        });
        place.ok_or_else(told::wrong_cursor)
    }

    fn text(&self) -> String {
        format!("{}.{}", self.last.0, self.session)
    }
}

fn answer(asked: &Asked, sight: &Sight<'_>) -> Result<Value, Failed> {
    let behind = asked.text("cursor").map(Place::parse).transpose()?;
    let usage = Usage::of_ledger(sight.ledger)?;
    let calendar = asked.calendar(sight);
    let first_usage = usage.span()?.map(|(first, _)| first);
    let days = asked.days(&calendar, first_usage, sight.now)?;
    let pricer = Pricer::new(sight.book, CostMode::Auto);
    let filter = asked.filter(days.window);
    let report = build(&usage, vec![Dimension::Session], calendar.clone(), &filter, pricer)?;
    let mut rows: Vec<(Place, &Row)> =
        report.rows.iter().map(|row| (Place::of(row), row)).collect();
    rows.sort_by(|one, other| other.0.cmp(&one.0));
    let mut left = rows.iter().filter(|(place, _)| behind.as_ref().is_none_or(|it| place < it));
    let limit = asked.count("limit", LIMIT);
    let part: Vec<&(Place, &Row)> = left.by_ref().take(limit).collect();
    let next = part.last().filter(|_| left.next().is_some()).map(|(place, _)| place.text());
    Ok(json!({
        "schema": 1,
        "tz": calendar.zone_name(),
        "total": rows.len(),
        "rows": part.iter().map(|(_, row)| as_json(row)).collect::<Vec<_>>(),
        "next_cursor": next,
        "cli": format!(
            "trueup sessions --last {limit}{}{}",
            days.options(&calendar),
            asked.filter_options()
        ),
    }))
}

fn as_json(row: &Row) -> Value {
    let sums = &row.sums;
    json!({
        "session": row.keys.first(),
        "agents": row.agents,
        "projects": row.projects,
        "models": row.models.keys().collect::<Vec<_>>(),
        "kinds": row.kinds,
        "first": row.times.0.to_string(),
        "last": row.times.1.to_string(),
        "exact": json::sum(&sums.exact),
        "estimated": json::sum(&sums.estimated),
    })
}
