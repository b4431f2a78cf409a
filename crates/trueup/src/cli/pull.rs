//! `trueup pull`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use trueup_core::{BilledWidth, DAY_MS, UnixMs};
use trueup_ledger::{Limits, Writer};
use trueup_providers::{Provider, Span};

use super::WrongUsage;
use super::load::{CLOSE_PATIENCE, open_for};
use super::provider::chosen;
use super::push::pause;
use crate::clock;
use crate::config::Config;
use crate::pull::{Connection, Connections, Puller, Store, Summary, Wanted, clipped};
use crate::query::day;
use crate::render::number::{counted, grouped};

/// Days that are pulled where nothing else is said.
const DAYS_DEFAULT: u16 = 8;

/// Ask providers what was used and charged, and keep what they say
#[derive(Debug, Args)]
pub(super) struct Pull {
    /// Only these connections
    names: Vec<String>,
    /// From this day on, in UTC
    #[arg(long, value_name = "DAY", value_parser = day)]
    from: Option<Date>,
    /// To the end of this day, in UTC [default: today]
    #[arg(long, value_name = "DAY", value_parser = day)]
    to: Option<Date>,
    /// The last so many days, today among them [default: 8]
    #[arg(long, value_name = "N", conflicts_with = "from", value_parser = clap::value_parser!(u16).range(1..))]
    days: Option<u16>,
    /// Only this family, such as usage/completions or costs; may be given again
    #[arg(long, value_name = "FAMILY")]
    family: Vec<String>,
    /// The length of buckets; families that have no such are left out
    #[arg(long, value_name = "WIDTH", default_value = "day")]
    width: Width,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Width {
    Day,
    Hour,
    Minute,
}

impl From<Width> for BilledWidth {
    fn from(width: Width) -> Self {
        match width {
            Width::Day => Self::Day,
            Width::Hour => Self::Hour,
            Width::Minute => Self::Minute,
        }
    }
}

impl Pull {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        let connections = Connections::load(config)?;
        let chosen = chosen(&connections, &self.names)?;
        let span = self.span().map_err(WrongUsage)?;
        self.check_families(&chosen)?;
        let wanted: Vec<(&Connection, Vec<Wanted>)> =
            chosen.iter().map(|connection| (*connection, self.wanted(connection, span))).collect();
        let summary = pull(config, &wanted, self.family.is_empty())?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{:#}", summary.as_json())?;
        } else {
            say(&summary, &mut out)?;
        }
        Ok(if summary.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// The days that are wanted.
    fn span(&self) -> Result<Span, String> {
        let today = clock::now().floor(DAY_MS);
        let until = self.to.map_or(Ok(today), start_of)?;
        let until = UnixMs(until.0 + DAY_MS);
        let days = i64::from(self.days.unwrap_or(DAYS_DEFAULT));
        let from = self.from.map_or(Ok(UnixMs(until.0 - days * DAY_MS)), start_of)?;
        if from >= until {
            return Err("--from is after --to".to_owned());
        }
        Ok(Span { from, until })
    }

    /// A family that none of the connections has is misspelt.
    fn check_families(&self, chosen: &[&Connection]) -> Result<()> {
        let providers: BTreeMap<&str, &dyn Provider> =
            chosen.iter().map(|one| (one.provider.id(), one.provider)).collect();
        for name in &self.family {
            if providers.values().any(|provider| provider.family(name).is_some()) {
                continue;
            }
            let without = providers.values().map(|provider| {
                let known: Vec<&str> =
                    provider.families().iter().map(|family| family.name).collect();
                format!("{} has no family `{name}`, but {}", provider.title(), known.join(", "))
            });
            return Err(WrongUsage(without.collect::<Vec<_>>().join("; ")).into());
        }
        Ok(())
    }

    /// What is asked of a connection; nothing of a family that does not tell of these days.
    fn wanted(&self, connection: &Connection, span: Span) -> Vec<Wanted> {
        let families = connection.provider.families();
        let width = BilledWidth::from(self.width);
        let is_meant =
            |name: &str| self.family.is_empty() || self.family.iter().any(|one| one == name);
        let wanted = families
            .iter()
            .filter(|family| is_meant(family.name) && family.widths.contains(&width))
            .map(|family| {
                let span = clipped(family, span, width, clock::now());
                Wanted { family, span, width }
            });
        wanted.filter(|wanted| wanted.span.from < wanted.span.until).collect()
    }
}

/// Where a day begins in UTC.
pub(super) fn start_of(day: Date) -> Result<UnixMs, String> {
    let start = day.to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
    Ok(UnixMs(start.timestamp().as_millisecond()))
}

/// Pulls what is wanted of each connection, one after the other; where that is all families, also what
/// ids are called.
fn pull(
    config: &Config,
    wanted: &[(&Connection, Vec<Wanted>)],
    is_of_all: bool,
) -> Result<Summary> {
    let writer = writer(config, "`trueup serve` pulls by itself, on a schedule")?;
    let mut summary = Summary::default();
    for (connection, wanted) in wanted {
        let mut puller = Puller::new(connection, Store::new(Arc::clone(&writer)), &pause);
        for one in wanted {
            puller.pull(*one, &mut summary).context("what was pulled could not be stored")?;
        }
        if is_of_all {
            puller.names(&mut summary)?;
        }
    }
    drop(writer.close(CLOSE_PATIENCE));
    Ok(summary)
}

/// The writer of the ledger; what to say where another process has it.
pub(super) fn writer(config: &Config, where_held: &'static str) -> Result<Arc<Writer>> {
    let ledger = open_for(&config.ledger(), where_held)?;
    Ok(Arc::new(Writer::spawn(ledger, Limits::default(), clock::now)?))
}

pub(super) fn say(summary: &Summary, out: &mut impl Write) -> Result<()> {
    let Summary { pages, windows, rows, withdrawn, missing, .. } = summary;
    writeln!(
        out,
        "{} read, {} told as a whole",
        counted(*pages, "page"),
        counted(*windows, "bucket")
    )?;
    let [stored, updated, skipped] = [rows.stored, rows.updated, rows.skipped].map(grouped);
    writeln!(
        out,
        "Rows: {stored} new, {updated} changed, {skipped} known, {} withdrawn",
        grouped(*withdrawn)
    )?;
    if *missing > 0 {
        writeln!(out, "{} did not come.", counted(*missing, "bucket"))?;
    }
    if !summary.issues.is_empty() {
        let issues =
            summary.issues.iter().map(|(code, count)| format!("{code} {}", grouped(*count)));
        writeln!(out, "Issues: {}", issues.collect::<Vec<_>>().join(", "))?;
    }
    for failure in &summary.failures {
        writeln!(out, "{} {}: {}", failure.connection, failure.family, failure.issue)?;
    }
    Ok(())
}
