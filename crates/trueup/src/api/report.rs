//! `GET /v1/report`: what `trueup report --json` prints, for programs.
//!
//! ```text
//! /v1/report?by=30m,model&since=2026-11-01&source=openclaw&source=codex
//! ```

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;
use trueup_core::prices::PriceBook;
use trueup_core::report::{Filter, Pricer};
use trueup_core::{Calendar, UnixMs};

use super::{App, Problem};
use crate::query::{self, By, Cost};
use crate::usage::Usage;

/// The names and values of a URL's parameters, in order.
type Parameters = Vec<(String, String)>;

pub(super) async fn get(
    State(app): State<Arc<App>>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(parameters) = parameters.map_err(|error| wrong(error.body_text()))?;
    let asked = Asked::of(parameters, &app.settings.zone).map_err(wrong)?;
    let now = crate::clock::now();
    let read = move |path: &Path, book: &PriceBook| asked.answer(path, book, now);
    match app.read(read).await {
        Ok(Ok(report)) => {
            let json = [(header::CONTENT_TYPE, "application/json")];
            Ok((json, format!("{report:#}\n")).into_response())
        }
        Ok(Err(refusal)) => Err(wrong(refusal)),
        Err(error) => Err(Problem::busy(&format!("{error:#}"))),
    }
}

fn wrong(refusal: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, refusal)
}

/// What a client asks for.
struct Asked {
    by: Vec<By>,
    calendar: Calendar,
    filter: Filter,
    cost: Cost,
}

impl Asked {
    /// Reads the parameters. A refusal names the one that is wrong.
    fn of(parameters: Parameters, zone: &TimeZone) -> Result<Self, String> {
        let (mut by, mut cost, mut zone) = (Vec::new(), Cost::default(), zone.clone());
        let (mut since, mut until) = (None, None);
        let mut filter = Filter::default();
        for (name, value) in parameters {
            match name.as_str() {
                "by" => {
                    let words = value.split(',').map(|word| one_of("by", word));
                    by = words.collect::<Result<_, _>>()?;
                }
                "cost" => cost = one_of("cost", &value)?,
                "since" => since = Some(day("since", &value)?),
                "until" => until = Some(day("until", &value)?),
                "tz" => {
                    let named = crate::config::zone_named(&value);
                    zone = named.map_err(|error| format!("`tz`: {error}"))?;
                }
                "source" => filter.sources.push(value),
                "project" => filter.projects.push(value),
                "model" => filter.models.push(value),
                "provider" => filter.providers.push(value),
                "kind" => filter.kinds.push(value),
                "tier" => filter.tiers.push(value),
                _ => return Err(format!("`{name}` is not a parameter; there are {PARAMETERS}")),
            }
        }
        query::dimensions(&by).map_err(|refusal| format!("`by`: {refusal}"))?;
        let calendar = Calendar::new(zone);
        let window = query::window(&calendar, since, until, "");
        filter.window = window.map_err(|refusal| format!("`until`: {refusal}"))?;
        Ok(Self { by, calendar, filter, cost })
    }

    /// Reads the answer; a refusal where the ledger knows nothing of what is asked for.
    fn answer(self, path: &Path, book: &PriceBook, now: UnixMs) -> Result<Result<Value, String>> {
        let usage = Usage::of_ledger(path)?;
        if let Some(refusal) = query::unknown_source(&self.filter.sources, &usage)? {
            return Ok(Err(format!("`source`: {refusal}")));
        }
        let pricer = Pricer::new(book, self.cost.mode());
        let by = match query::dimensions(&self.by) {
            Ok(by) => by,
            Err(refusal) => return Ok(Err(refusal)),
        };
        query::answer(&usage, by, self.calendar, &self.filter, pricer, false, now).map(Ok)
    }
}

/// The parameters, for whoever got one wrong.
const PARAMETERS: &str =
    "by, since, until, tz, source, project, model, provider, kind, tier and cost";

/// One of the words of an option of `trueup report`.
pub(super) fn one_of<T: clap::ValueEnum>(parameter: &str, value: &str) -> Result<T, String> {
    T::from_str(value, false).map_err(|_| {
        let words: Vec<String> = T::value_variants()
            .iter()
            .filter_map(|word| Some(word.to_possible_value()?.get_name().to_owned()))
            .collect();
        format!("`{parameter}`: `{value}` is not one of {}", words.join(", "))
    })
}

fn day(parameter: &str, value: &str) -> Result<Date, String> {
    query::day(value).map_err(|refusal| format!("`{parameter}`: {refusal}"))
}
