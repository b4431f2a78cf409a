//! `GET /api/v1/sessions/{session}`: one session, and its calls in order of time, in parts.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use trueup_core::report::{CostMode, Dimension, Entry, Filter, Pricer, Report, ReportBuilder, Row};
use trueup_core::{Calendar, FactId, Text};

use super::asked::{Asked, DEVICE, Kind, Parameter};
use super::{Endpoint, Failed, Sight, told};
use crate::facts::SeenCall;
use crate::query::filter_options;
use crate::query::over_time::Days;
use crate::render::json;
use crate::usage::Usage;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    path: "/api/v1/sessions/{session}",
    about: "One session, and its calls in order of time",
    parameters: &[PARAMETERS, &[DEVICE]],
    answer,
};

/// Calls of a part, and most of them.
const LIMIT: u64 = 200;
const LIMIT_MAX: u64 = 1_000;

const PARAMETERS: &[Parameter] = &[
    Parameter { name: "session", about: "the session's own name", kind: Kind::Segment },
    Parameter {
        name: "agent",
        about: "the agent, where two have a session of one name",
        kind: Kind::Text,
    },
    Parameter {
        name: "limit",
        about: "how many calls at once",
        kind: Kind::Count(1, LIMIT_MAX, LIMIT),
    },
    Parameter { name: "cursor", about: "`next_cursor` of the part before", kind: Kind::Text },
];

fn answer(asked: &Asked, sight: &Sight<'_>) -> Result<Value, Failed> {
    let name = asked.text("session").unwrap_or_default();
    let after = asked.text("cursor").map(place).transpose()?;
    let agent = asked.text("agent");
    let is_meant = |entry: &Entry<'_>| agent.is_none_or(|agent| *agent == *entry.series.source);
    let (report, devices) = sums(&sight.usage(asked)?, sight, name, &is_meant)?;
    let Some(row) = report.rows.first() else {
        return Err(Failed::Missing("there is no session of this name with usage".to_owned()));
    };
    let sources: Vec<Text> = row.agents.iter().cloned().collect();
    let limit = asked.count("limit", usize::try_from(LIMIT).unwrap_or(usize::MAX));
    let counted = row.sums.exact.calls;
    let part =
        sight.facts(asked)?.of_session(name, &sources, (after, limit), row.times, counted)?;
    let mut pricer = Pricer::new(sight.book, CostMode::Auto);
    let calls: Vec<Value> = part.calls.iter().map(|call| call_as_json(call, &mut pricer)).collect();
    let mut answer = json::sums(&row.sums);
    let fields = json!({
        "schema": 1,
        "session": name,
        "agents": row.agents,
        "devices": devices,
        "projects": row.projects,
        "models": row.models.keys().collect::<Vec<_>>(),
        "kinds": row.kinds,
        "first": row.times.0.to_string(),
        "last": row.times.1.to_string(),
        "calls": calls,
        "calls_removed": part.removed,
        "next_cursor": part.next.map(|id| id.to_string()),
        "tz": Calendar::new(sight.zone.clone()).zone_name(),
        "cli": command_line(row, sight),
    });
    if let (Value::Object(answer), Value::Object(fields)) = (&mut answer, fields) {
        answer.extend(fields);
    }
    Ok(answer)
}

/// The command that lists the session, among those of the same agents and days.
fn command_line(row: &Row, sight: &Sight<'_>) -> String {
    let calendar = Calendar::new(sight.zone.clone());
    let (first, last) = row.times;
    let days = Days::of(&calendar, calendar.day(first), calendar.day(last));
    let sources = row.agents.iter().map(ToString::to_string).collect();
    let filter = Filter { sources, ..Filter::default() };
    let options = format!("{}{}", days.options(&calendar), filter_options(&filter));
    format!("trueup sessions --last 0{options}")
}

fn place(cursor: &str) -> Result<FactId, Failed> {
    FactId::parse(cursor).ok_or_else(told::wrong_cursor)
}

/// What the sessions of this name used that are meant, as one row, none where they used nothing; and the
/// names of the devices that told of them.
fn sums(
    usage: &Usage,
    sight: &Sight<'_>,
    name: &str,
    is_meant: &dyn Fn(&Entry<'_>) -> bool,
) -> Result<(Report, BTreeSet<Text>), Failed> {
    let filter = Filter::default();
    let pricer = Pricer::new(sight.book, CostMode::Auto);
    let calendar = Calendar::new(sight.zone.clone());
    let mut report = ReportBuilder::new(vec![Dimension::Session], calendar, &filter, pricer);
    let mut devices = BTreeSet::new();
    usage.of_sessions_named(name, &mut |entry| {
        if is_meant(&entry) {
            devices.insert(Text::clone(&entry.series.device));
            report.add(entry);
        }
    })?;
    devices.retain(|device| !device.is_empty());
    Ok((report.finish(), devices))
}

fn call_as_json(call: &SeenCall, pricer: &mut Pricer<'_>) -> Value {
    let series = &call.series;
    let fields = json!({
        "id": call.id.to_string(),
        "at": call.time.to_string(),
        "agent": series.source,
        "provider": series.provider,
        "model": series.model,
        "project": series.project,
        "kind": series.kind,
        "tier": series.class.tier.name(),
        "cost_usd": told::cost(call, pricer),
        "latency_ms": call.latency_ms,
        "time_to_first_token_ms": call.time_to_first_token_ms,
        "status": if call.error_type.is_some() { "error" } else { "ok" },
        "error_type": call.error_type.as_deref().map(told::error_type),
    });
    json::with_tokens(fields, &call.counters.tokens)
}
