//! `GET /v1/report`: what `trueup report` prints, for programs, and for the command on another machine.
//!
//! ```text
//! /v1/report?by=30m,model&since=2026-11-01&source=openclaw&source=codex&form=table&columns=80
//! ```

use std::sync::Arc;

use anyhow::Result;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use clap::ValueEnum;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use trueup_core::prices::PriceBook;
use trueup_core::report::{Filter, Pricer};
use trueup_core::{Calendar, UnixMs};

use super::v1::{Failed, Pairs, pairs_of};
use super::{App, Problem};
use crate::cli::notes;
use crate::query::{self, By, Cost};
use crate::render::form::{Form, Written};
use crate::render::terminal::Terminal;
use crate::usage::{Keeping, Usage};

pub(super) async fn get(
    State(app): State<Arc<App>>,
    parameters: Result<Query<Pairs>, QueryRejection>,
) -> Result<Response, Problem> {
    let parameters = pairs_of(parameters)?;
    let asked = Asked::of(parameters, &app.settings.zone).map_err(wrong)?;
    let now = crate::clock::now();
    let read = move |kept: &Keeping, book: &PriceBook| asked.answer(kept, book, now);
    match app.read(read).await {
        Ok(Ok((media, text))) => Ok(([(header::CONTENT_TYPE, media)], text).into_response()),
        Ok(Err(refusal)) => Err(wrong(refusal)),
        Err(error) => Err(Failed::from(error).into()),
    }
}

pub(super) fn wrong(refusal: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, refusal)
}

/// What a client asks for.
struct Asked {
    by: Vec<By>,
    calendar: Calendar,
    filter: Filter,
    cost: Cost,
    written: Written,
}

/// Columns that a table may be asked to have.
const COLUMNS: std::ops::RangeInclusive<usize> = 20..=1_000;

impl Asked {
    /// Reads the parameters. A refusal names the one that is wrong.
    fn of(parameters: Pairs, zone: &TimeZone) -> Result<Self, String> {
        let (mut by, mut cost, mut zone) = (Vec::new(), Cost::default(), zone.clone());
        let (mut since, mut until) = (None, None);
        let (mut form, mut terminal) = (Form::default(), TERMINAL);
        let (mut has_breakdown, mut is_compact) = (false, false);
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
                "device" => filter.device = Some(value),
                "form" => form = one_of("form", &value)?,
                "breakdown" => has_breakdown = flag("breakdown", &value)?,
                "compact" => is_compact = flag("compact", &value)?,
                "colour" | "columns" => show_on(&mut terminal, &name, &value)?,
                _ => return Err(format!("`{name}` is not a parameter; there are {PARAMETERS}")),
            }
        }
        query::dimensions(&by).map_err(|refusal| format!("`by`: {refusal}"))?;
        let calendar = Calendar::new(zone);
        let window = query::window(&calendar, since, until, "");
        filter.window = window.map_err(|refusal| format!("`until`: {refusal}"))?;
        let written = Written { form, has_breakdown, is_compact, terminal };
        Ok(Self { by, calendar, filter, cost, written })
    }

    /// Reads the answer; a refusal where the ledger knows nothing of what is asked for.
    fn answer(self, kept: &Keeping, book: &PriceBook, now: UnixMs) -> Result<Result<Told, String>> {
        let usage = kept.usage(self.filter.device.as_deref())?;
        if let Some(refusal) = query::unknown_source(&self.filter.sources, &usage)? {
            return Ok(Err(format!("`source`: {refusal}")));
        }
        let pricer = Pricer::new(book, self.cost.mode());
        let by = match query::dimensions(&self.by) {
            Ok(by) => by,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(by) = by else { return self.blocks(&usage, pricer, now) };
        let report = query::build(&usage, by, self.calendar.clone(), &self.filter, pricer)?;
        let (written, mut text) = (self.written, Vec::new());
        let is_table = written.form == Form::Table;
        if is_table && report.rows.is_empty() {
            text.extend_from_slice(NOTHING);
            return Ok(Ok((written.form.media(), text)));
        }
        written.report(&report, &mut text)?;
        if is_table && !report.unpriced_models.is_empty() {
            let note = written.terminal.dim(&notes::unpriced_note(&report.unpriced_models));
            text.extend_from_slice(format!("\n{note}\n").as_bytes());
        }
        Ok(Ok((written.form.media(), text)))
    }

    fn blocks(
        self,
        usage: &Usage,
        pricer: Pricer<'_>,
        now: UnixMs,
    ) -> Result<Result<Told, String>> {
        let (blocks, totals) = query::blocks(usage, &self.filter, pricer)?;
        let (written, mut text) = (self.written, Vec::new());
        if written.form == Form::Table && blocks.is_empty() {
            text.extend_from_slice(NOTHING);
        } else {
            written.blocks(&blocks, &totals, &self.calendar, now, &mut text)?;
        }
        Ok(Ok((written.form.media(), text)))
    }
}

/// An answer, and of which type it is.
type Told = (&'static str, Vec<u8>);

/// What is told where no usage passes.
const NOTHING: &[u8] = b"No usage matches.\n";

/// What a table is drawn for where nothing else is said.
pub(super) const TERMINAL: Terminal = Terminal { columns: 80, has_colour: false };

/// Takes what `columns` or `colour` says of the terminal that a table is drawn for.
pub(super) fn show_on(terminal: &mut Terminal, name: &str, value: &str) -> Result<(), String> {
    if name == "colour" {
        terminal.has_colour = flag(name, value)?;
        return Ok(());
    }
    let wide = value.parse().ok().filter(|wide| COLUMNS.contains(wide));
    terminal.columns = wide.ok_or("`columns`: it must be a number from 20 to 1000")?;
    Ok(())
}

/// The parameters, for whoever got one wrong.
const PARAMETERS: &str = "by, since, until, tz, source, project, model, provider, kind, tier, device, cost, form, breakdown, \
     compact, columns and colour";

/// One of the words of an option of `trueup report`.
pub(super) fn one_of<T: ValueEnum>(parameter: &str, value: &str) -> Result<T, String> {
    T::from_str(value, false).map_err(|_| {
        let words: Vec<String> = T::value_variants()
            .iter()
            .filter_map(|word| Some(word.to_possible_value()?.get_name().to_owned()))
            .collect();
        format!("`{parameter}`: `{value}` is not one of {}", words.join(", "))
    })
}

fn flag(parameter: &str, value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| format!("`{parameter}`: `{value}` is not true or false"))
}

fn day(parameter: &str, value: &str) -> Result<Date, String> {
    query::day(value).map_err(|refusal| format!("`{parameter}`: {refusal}"))
}
