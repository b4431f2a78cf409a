//! `GET /api/v1/sessions`: sessions with usage in a time, the last first, in parts.

use serde_json::{Value, json};
use trueup_core::UnixMs;
use trueup_core::report::{CostMode, Pricer, Row};

use super::asked::{Asked, FILTERS, Kind, Parameter, TIME};
use super::{Endpoint, Failed, Sight, told};
use crate::query::sessions::{self, Place};
use crate::render::json;

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

/// A place as it is written: no device has a `/` in its name.
fn parse_place(text: &str) -> Result<Place, Failed> {
    let parts = text.split_once('.').and_then(|(last, rest)| Some((last, rest.split_once('/')?)));
    let place = parts.and_then(|(last, (device, session))| {
        let last = UnixMs(last.parse().ok()?);
        Some(Place { last, session: session.into(), device: device.into() })
    });
    place.ok_or_else(told::wrong_cursor)
}

fn place_text(place: &Place) -> String {
    format!("{}.{}/{}", place.last.0, place.device, place.session)
}

fn answer(asked: &Asked, sight: &Sight<'_>) -> Result<Value, Failed> {
    let behind = asked.text("cursor").map(parse_place).transpose()?;
    let usage = sight.usage(asked)?;
    let calendar = asked.calendar(sight);
    let first_usage = usage.span()?.map(|(first, _)| first);
    let days = asked.days(&calendar, first_usage, sight.now)?;
    let pricer = Pricer::new(sight.book, CostMode::Auto);
    let filter = asked.filter(days.window);
    let limit = asked.count("limit", LIMIT);
    let part = sessions::part(&usage, calendar.clone(), &filter, pricer, behind.as_ref(), limit)?;
    Ok(json!({
        "schema": 1,
        "tz": calendar.zone_name(),
        "total": part.total,
        "rows": part.report.rows.iter().rev().map(as_json).collect::<Vec<_>>(),
        "next_cursor": part.next.as_ref().map(place_text),
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
        "device": row.keys.get(1),
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
