//! `trueup backfill provider`: a long past of what providers say, in chunks.
//!
//! ```text
//! backfill:openai:chunk-1: 2026-09-21 to 2026-10-21: 812 new, 0 changed, 0 known
//! backfill:openai:chunk-2: 2026-10-22 to 2026-11-21: 1 of 12 ranges not whole
//! ```
//!
//! What is to be asked is in the ledger before anything is asked, and each step when it is over: a
//! backfill that was killed goes on with `--resume`, over the same days.

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::civil::Date;
use serde_json::{Value, json};
use trueup_core::{BilledWidth, DAY_MS, UnixMs};
use trueup_ledger::{BackfillStep, Reader};
use trueup_providers::{Family, Span};

use crate::cli::WrongUsage;
use crate::cli::load::CLOSE_PATIENCE;
use crate::cli::provider::chosen;
use crate::cli::pull::{say, start_of, writer};
use crate::cli::push::pause;
use crate::clock;
use crate::config::Config;
use crate::pull::{Connection, Connections, Puller, Store, Summary, Wanted, clipped};
use crate::query::day;
use crate::render::number::{counted, grouped};

/// Days that are asked for where nothing else is said.
const DAYS_DEFAULT: u16 = 30;
/// Most days of one backfill: no provider tells of more.
const DAYS_MAX: u16 = 3_660;
/// Days of a chunk where nothing else is said: what one request may span.
const CHUNK_DAYS: u16 = 31;
/// Most days of a chunk.
const CHUNK_DAYS_MAX: u16 = 366;
/// The label where none is given.
const LABEL: &str = "backfill";
/// Longest label.
const LABEL_BYTES_MAX: usize = 40;

/// Ask providers for a long past, in chunks that go on where they were left
#[derive(Debug, Args)]
pub(super) struct BackfillProviders {
    /// Only these connections
    names: Vec<String>,
    /// The last so many days, today among them [default: 30]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(DAYS_MAX)))]
    days: Option<u16>,
    /// From this day on, in UTC
    #[arg(long, value_name = "DAY", value_parser = day, conflicts_with = "days")]
    start: Option<Date>,
    /// To the end of this day, in UTC [default: today]
    #[arg(long, value_name = "DAY", value_parser = day)]
    end: Option<Date>,
    /// Days of one chunk
    #[arg(long, value_name = "N", default_value_t = CHUNK_DAYS, value_parser = clap::value_parser!(u16).range(1..=i64::from(CHUNK_DAYS_MAX)))]
    chunk_days: u16,
    /// How long to wait between two chunks
    #[arg(long, value_name = "MS", default_value_t = 0)]
    sleep_ms: u64,
    /// What the backfill is called; its chunks are LABEL:CONNECTION:chunk-N
    #[arg(long, value_name = "LABEL", default_value = LABEL, value_parser = label)]
    label: String,
    /// Go on with the backfill of this label, over its days; what failed is asked for again
    #[arg(long, conflicts_with_all = ["days", "start", "end", "chunk_days"])]
    resume: bool,
    /// Say what would be asked for, and ask for nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A label as it is given.
fn label(text: &str) -> Result<String, String> {
    let is_label = (1..=LABEL_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
    if is_label {
        return Ok(text.to_owned());
    }
    Err(format!("a label is made of letters, digits, -, _ and ., {LABEL_BYTES_MAX} at most"))
}

/// Some days of one connection.
struct Chunk<'a> {
    connection: &'a Connection,
    number: u32,
    span: Span,
    families: Vec<(&'static Family, Span)>,
}

/// What came of a chunk.
#[derive(Debug, Default)]
struct Done {
    summary: Summary,
    /// Families that were not asked for any more, because the key is refused.
    left: u64,
}

impl Done {
    const fn is_whole(&self) -> bool {
        self.summary.failed == 0 && self.left == 0
    }
}

impl BackfillProviders {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        let connections = Connections::load(config)?;
        let chosen = chosen(&connections, &self.names)?;
        let chunks = if self.resume { self.left(config, &chosen)? } else { self.planned(&chosen)? };
        let mut out = io::stdout().lock();
        if self.dry_run {
            self.say_planned(&chunks, &mut out)?;
            return Ok(ExitCode::SUCCESS);
        }
        let done = self.pull(config, &chunks, &mut out)?;
        let is_whole = done.iter().all(Done::is_whole);
        if self.json {
            writeln!(out, "{:#}", self.json_of(&chunks, done))?;
        } else {
            self.say_done(done, &mut out)?;
        }
        Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The days that are wanted.
    fn span(&self) -> Result<Span, String> {
        let today = clock::now().floor(DAY_MS);
        let until = self.end.map_or(Ok(today), start_of)?;
        let until = UnixMs(until.0 + DAY_MS);
        let days = i64::from(self.days.unwrap_or(DAYS_DEFAULT));
        let from = self.start.map_or(Ok(UnixMs(until.0 - days * DAY_MS)), start_of)?;
        if from >= until {
            return Err("--start is after --end".to_owned());
        }
        if (until.0 - from.0) / DAY_MS > i64::from(DAYS_MAX) {
            return Err(format!("--start is more than {DAYS_MAX} days before --end"));
        }
        Ok(Span { from, until })
    }

    /// The chunks of the days that are wanted, without those of which a provider does not tell.
    fn planned<'a>(&self, chosen: &[&'a Connection]) -> Result<Vec<Chunk<'a>>> {
        let span = self.span().map_err(WrongUsage)?;
        let now = clock::now();
        let families = |connection: &Connection, span| {
            let all = connection.provider.families().iter();
            let by_day = all.filter(|family| family.widths.contains(&BilledWidth::Day));
            let told = by_day.map(|family| (family, clipped(family, span, BilledWidth::Day, now)));
            told.filter(|(_, span)| span.from < span.until).collect::<Vec<_>>()
        };
        let chunks = chosen.iter().flat_map(|connection| {
            (1..).zip(span.parts(u32::from(self.chunk_days))).map(|(number, span)| {
                let families = families(connection, span);
                Chunk { connection, number, span, families }
            })
        });
        Ok(chunks.filter(|chunk| !chunk.families.is_empty()).collect())
    }

    /// The chunks that are left of an earlier run.
    fn left<'a>(&self, config: &Config, chosen: &[&'a Connection]) -> Result<Vec<Chunk<'a>>> {
        let left = match Reader::open(&config.ledger())? {
            Some(reader) => reader.backfill_left(&self.label)?,
            None => None,
        };
        let Some(left) = left else {
            bail!("no backfill `{}` was begun; leave --resume out to begin one", self.label);
        };
        let mut chunks: Vec<Chunk<'a>> = Vec::new();
        for step in left {
            let connection = chosen.iter().find(|one| one.name == step.connection);
            let Some(connection) = connection else { continue };
            // A family that this version does not know was one of another version.
            let Some(family) = connection.provider.family(&step.family) else { continue };
            let span = Span { from: step.from, until: step.until };
            match chunks.last_mut() {
                Some(last) if last.is(connection, step.chunk) => {
                    last.families.push((family, span));
                    last.span.from = last.span.from.min(span.from);
                    last.span.until = last.span.until.max(span.until);
                }
                _ => {
                    let (number, families) = (step.chunk, vec![(family, span)]);
                    chunks.push(Chunk { connection, number, span, families });
                }
            }
        }
        Ok(chunks)
    }

    /// Asks for one chunk after the other; what fails does not stop those after it.
    fn pull(
        &self,
        config: &Config,
        chunks: &[Chunk<'_>],
        out: &mut impl Write,
    ) -> Result<Vec<Done>> {
        let writer = writer(
            config,
            "`trueup serve` keeps the last 35 days by itself; stop it for a backfill of more",
        )?;
        let store = Store::new(Arc::clone(&writer));
        if !self.resume {
            let steps = chunks.iter().flat_map(Chunk::steps).collect();
            store.begin_backfill(self.label.clone(), steps)?;
        }
        let bar = bar(chunks.iter().map(|chunk| chunk.families.len() as u64).sum());
        let mut done: Vec<Done> = Vec::new();
        for chunks in chunks.chunk_by(|one, next| one.connection.name == next.connection.name) {
            let Some(first) = chunks.first() else { continue };
            let mut puller = Puller::new(first.connection, store.clone(), &pause);
            for chunk in chunks {
                if !done.is_empty() {
                    pause(Duration::from_millis(self.sleep_ms));
                }
                bar.set_message(chunk.label(&self.label));
                let came = self.pull_chunk(chunk, &mut puller, &store, &bar)?;
                if !self.json {
                    bar.suspend(|| writeln!(out, "{}", self.line(chunk, &came)))?;
                }
                done.push(came);
            }
            if let Some(last) = done.last_mut() {
                puller.names(&mut last.summary).context("names could not be stored")?;
            }
        }
        bar.finish_and_clear();
        drop(writer.close(CLOSE_PATIENCE));
        Ok(done)
    }

    fn pull_chunk(
        &self,
        chunk: &Chunk<'_>,
        puller: &mut Puller<'_>,
        store: &Store,
        bar: &ProgressBar,
    ) -> Result<Done> {
        let mut done = Done::default();
        for (step, (family, span)) in chunk.steps().zip(&chunk.families) {
            if puller.is_shut() {
                done.left += 1;
                bar.inc(1);
                continue;
            }
            let mut summary = Summary::default();
            let wanted = Wanted { family, span: *span, width: BilledWidth::Day };
            puller.pull(wanted, &mut summary).context("what was pulled could not be stored")?;
            store.end_backfill_step(self.label.clone(), step, summary.failed == 0)?;
            done.summary.add(summary);
            bar.inc(1);
        }
        Ok(done)
    }

    /// A chunk, in words.
    fn line(&self, chunk: &Chunk<'_>, done: &Done) -> String {
        let place = format!("{}: {}", chunk.label(&self.label), chunk.days());
        let Summary { rows, failed, .. } = &done.summary;
        if done.is_whole() {
            let [stored, updated, skipped] = [rows.stored, rows.updated, rows.skipped].map(grouped);
            return format!("{place}: {stored} new, {updated} changed, {skipped} known");
        }
        let families = chunk.families.len() as u64;
        format!("{place}: {} of {} not whole", failed + done.left, counted(families, "range"))
    }

    fn say_done(&self, done: Vec<Done>, out: &mut impl Write) -> Result<()> {
        if done.is_empty() {
            let what =
                if self.resume { "is left of this backfill" } else { "is told of these days" };
            writeln!(out, "Nothing {what}.")?;
            return Ok(());
        }
        let chunks = done.len() as u64;
        let others = done.iter().filter(|done| !done.is_whole()).count() as u64;
        let mut total = Summary::default();
        for done in done {
            total.add(done.summary);
        }
        write!(out, "{}: ", counted(chunks, "chunk"))?;
        say(&total, out)?;
        if others > 0 {
            let label = if self.label == LABEL {
                String::new()
            } else {
                format!(" --label {}", self.label)
            };
            writeln!(
                out,
                "{} not whole; `trueup backfill provider --resume{label}` asks again.",
                if others == 1 { "1 chunk is".to_owned() } else { format!("{others} chunks are") }
            )?;
        }
        Ok(())
    }

    fn say_planned(&self, chunks: &[Chunk<'_>], out: &mut impl Write) -> Result<()> {
        let requests: u64 = chunks.iter().map(Chunk::requests_min).sum();
        if self.json {
            let chunks: Vec<Value> = chunks.iter().map(|chunk| self.planned_json(chunk)).collect();
            let planned = json!({
                "schema": 1, "label": self.label, "dry_run": true, "chunks": chunks,
                "requests_min": requests,
            });
            writeln!(out, "{planned:#}")?;
            return Ok(());
        }
        for chunk in chunks {
            let families = counted(chunk.families.len() as u64, "range");
            writeln!(out, "{}: {}: {families}", chunk.label(&self.label), chunk.days())?;
        }
        let chunks = counted(chunks.len() as u64, "chunk");
        writeln!(out, "{chunks}, at least {}; nothing was asked.", counted(requests, "request"))?;
        Ok(())
    }

    fn planned_json(&self, chunk: &Chunk<'_>) -> Value {
        let families: Vec<&str> = chunk.families.iter().map(|(family, _)| family.name).collect();
        let (first, last) = chunk.first_and_last();
        json!({
            "label": chunk.label(&self.label),
            "connection": chunk.connection.name,
            "start": first,
            "end": last,
            "families": families,
        })
    }

    fn json_of(&self, chunks: &[Chunk<'_>], done: Vec<Done>) -> Value {
        let mut total = Summary::default();
        let mut told = Vec::new();
        for (chunk, done) in chunks.iter().zip(done) {
            let (first, last) = chunk.first_and_last();
            told.push(json!({
                "label": chunk.label(&self.label),
                "connection": chunk.connection.name,
                "start": first,
                "end": last,
                "processed": done.summary.processed,
                "failed": done.summary.failed,
                "left": done.left,
                "stored": done.summary.rows.stored,
                "updated": done.summary.rows.updated,
                "skipped": done.summary.rows.skipped,
            }));
            total.add(done.summary);
        }
        let mut all = total.as_json();
        if let Some(fields) = all.as_object_mut() {
            fields.insert("label".to_owned(), self.label.clone().into());
            fields.insert("dry_run".to_owned(), false.into());
            fields.insert("chunks".to_owned(), told.into());
        }
        all
    }
}

impl Chunk<'_> {
    fn is(&self, connection: &Connection, number: u32) -> bool {
        self.connection.name == connection.name && self.number == number
    }

    fn label(&self, label: &str) -> String {
        format!("{label}:{}:chunk-{}", self.connection.name, self.number)
    }

    /// Its first and its last day.
    fn first_and_last(&self) -> (String, String) {
        (self.span.from.utc_date(), UnixMs(self.span.until.0 - DAY_MS).utc_date())
    }

    fn days(&self) -> String {
        let (first, last) = self.first_and_last();
        if first == last { first } else { format!("{first} to {last}") }
    }

    /// Requests that it takes where each range has one page.
    fn requests_min(&self) -> u64 {
        let parts = |(family, span): &(&Family, Span)| span.parts(family.days_max).count() as u64;
        self.families.iter().map(parts).sum()
    }

    /// What is written down of it, in the order of its families.
    fn steps(&self) -> impl Iterator<Item = BackfillStep> {
        self.families.iter().map(|(family, span)| BackfillStep {
            connection: self.connection.name.clone(),
            chunk: self.number,
            family: family.name.to_owned(),
            from: span.from,
            until: span.until,
        })
    }
}

/// A bar, where somebody watches.
fn bar(steps: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {eta}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    bar
}

/// How often the bar is drawn anew.
const TICK: Duration = Duration::from_millis(250);
