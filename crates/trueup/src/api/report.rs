//! `GET /v1/report`: what `trueup report` prints, for programs, and for the command on another machine.
//!
//! ```text
//! /v1/report?by=30m,model&since=2026-11-01&source=openclaw&source=codex&form=table&columns=80
//! ```

use std::io::Write as _;
use std::path::Path;
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

use super::{App, Problem};
use crate::cli::{Nothing, notes, tables};
use crate::export::{self, Format};
use crate::query::{self, By, Cost};
use crate::render::terminal::Terminal;
use crate::render::{ccusage, json};
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
        Ok(Ok((media, text))) => Ok(([(header::CONTENT_TYPE, media)], text).into_response()),
        Ok(Err(refusal)) => Err(wrong(refusal)),
        Err(error) if error.is::<Nothing>() => {
            Err(Problem::new(StatusCode::NOT_FOUND, format!("{error:#}")))
        }
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
    form: Form,
    has_breakdown: bool,
    is_compact: bool,
    columns: usize,
    has_colour: bool,
}

/// How the answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    #[default]
    Json,
    /// In the shape of ccusage
    Ccusage,
    Csv,
    /// For people, as the command prints it
    Table,
}

/// Columns that a table may be asked to have.
const COLUMNS: std::ops::RangeInclusive<usize> = 20..=1_000;

impl Asked {
    /// Reads the parameters. A refusal names the one that is wrong.
    fn of(parameters: Parameters, zone: &TimeZone) -> Result<Self, String> {
        let (mut by, mut cost, mut zone) = (Vec::new(), Cost::default(), zone.clone());
        let (mut since, mut until) = (None, None);
        let (mut form, mut columns) = (Form::default(), 80);
        let (mut has_breakdown, mut is_compact, mut has_colour) = (false, false, false);
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
                "colour" => has_colour = flag("colour", &value)?,
                "columns" => {
                    let wide = value.parse().ok().filter(|wide| COLUMNS.contains(wide));
                    columns = wide.ok_or("`columns`: it must be a number from 20 to 1000")?;
                }
                _ => return Err(format!("`{name}` is not a parameter; there are {PARAMETERS}")),
            }
        }
        query::dimensions(&by).map_err(|refusal| format!("`by`: {refusal}"))?;
        let calendar = Calendar::new(zone);
        let window = query::window(&calendar, since, until, "");
        filter.window = window.map_err(|refusal| format!("`until`: {refusal}"))?;
        Ok(Self {
            by,
            calendar,
            filter,
            cost,
            form,
            has_breakdown,
            is_compact,
            columns,
            has_colour,
        })
    }

    /// Reads the answer; a refusal where the ledger knows nothing of what is asked for.
    fn answer(self, path: &Path, book: &PriceBook, now: UnixMs) -> Result<Result<Told, String>> {
        let usage = Usage::of_device(path, self.filter.device.as_deref())?;
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
        let mut text = Vec::new();
        match self.form {
            Form::Json => writeln!(text, "{:#}", json::report(&report, self.has_breakdown))?,
            Form::Ccusage => {
                let Some(shape) = ccusage::report(&report) else {
                    let refusal = "ccusage has reports by day, week, month, session and block only";
                    return Ok(Err(refusal.to_owned()));
                };
                writeln!(text, "{shape:#}")?;
            }
            Form::Csv => {
                export::report(&report, Format::Csv, &mut text)?;
            }
            Form::Table if report.rows.is_empty() => writeln!(text, "{NOTHING}")?,
            Form::Table => {
                let (breakdown, compact) = (self.has_breakdown, self.is_compact);
                tables::report(&report, breakdown, compact, self.terminal(), &mut text)?;
                if !report.unpriced_models.is_empty() {
                    let note = notes::unpriced_note(&report.unpriced_models);
                    writeln!(text, "\n{}", self.terminal().dim(&note))?;
                }
            }
        }
        Ok(Ok((self.form.media(), text)))
    }

    fn blocks(
        self,
        usage: &Usage,
        pricer: Pricer<'_>,
        now: UnixMs,
    ) -> Result<Result<Told, String>> {
        let (blocks, totals) = query::blocks(usage, &self.filter, pricer)?;
        let mut text = Vec::new();
        match self.form {
            Form::Json => {
                let zone = self.calendar.zone_name();
                writeln!(text, "{:#}", json::blocks(&blocks, &totals, &zone, now))?;
            }
            Form::Ccusage => writeln!(text, "{:#}", ccusage::blocks(&blocks, now))?,
            Form::Csv => return Ok(Err("blocks have no CSV; use --json".to_owned())),
            Form::Table if blocks.is_empty() => writeln!(text, "{NOTHING}")?,
            Form::Table => {
                let terminal = self.terminal();
                tables::blocks(&blocks, &totals, &self.calendar, now, terminal, &mut text)?;
            }
        }
        Ok(Ok((self.form.media(), text)))
    }

    const fn terminal(&self) -> Terminal {
        Terminal { columns: self.columns, has_colour: self.has_colour }
    }
}

/// An answer, and of which type it is.
type Told = (&'static str, Vec<u8>);

/// What is told where no usage passes.
const NOTHING: &str = "No usage matches.";

impl Form {
    const fn media(self) -> &'static str {
        match self {
            Self::Json | Self::Ccusage => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Table => "text/plain; charset=utf-8",
        }
    }
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
