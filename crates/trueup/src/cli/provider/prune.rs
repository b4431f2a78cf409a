//! `trueup provider prune`.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use trueup_ledger::{Prunable, Pruned, Reader};

use crate::cli::load::CLOSE_PATIENCE;
use crate::cli::pull::writer;
use crate::clock;
use crate::config::Config;
use crate::daemon::provider_retention_days;
use crate::pull::prune;
use crate::render::number::{bytes, counted};

/// Remove the detail of days that are settled and were compared since
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Keep it for so many days after the day [default: as `provider_retention_days` says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    retention_days: Option<u32>,
    /// Say what would go, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Prune {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        let days = match self.retention_days {
            Some(days) => Some(days),
            None => provider_retention_days(config)?,
        };
        let found =
            days.map_or_else(|| Ok(Prunable::default()), |days| self.prune(config, days))?;
        let mut out = io::stdout().lock();
        match days {
            _ if self.json => writeln!(out, "{:#}", self.json_of(days, found))?,
            Some(days) => self.say(days, found, &mut out)?,
            None => writeln!(
                out,
                "Nothing goes: provider_retention_days is 0, which keeps everything."
            )?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What went, or would go, and what stays.
    fn prune(&self, config: &Config, days: u32) -> Result<Prunable> {
        let Some(reader) = Reader::open(&config.ledger())? else { return Ok(Prunable::default()) };
        let mut found = reader.prunable_billed(days, clock::now())?;
        if !self.dry_run && !found.going.is_nothing() {
            let writer = writer(config, "`trueup serve` does this by itself, once an hour")?;
            found.going = prune(&writer, days)?;
            drop(writer.close(CLOSE_PATIENCE));
        }
        Ok(found)
    }

    fn say(&self, days: u32, found: Prunable, out: &mut impl Write) -> Result<()> {
        let verb = if self.dry_run { "would go" } else { "are gone" };
        let Prunable { going, kept } = found;
        if going.is_nothing() {
            writeln!(out, "Nothing goes of what is older than {}.", counted(days.into(), "day"))?;
        } else {
            writeln!(out, "Older than {}: {} {verb}.", counted(days.into(), "day"), words(going))?;
        }
        if !kept.is_nothing() {
            writeln!(
                out,
                "As old, and kept: {}.\nTheir days have not settled, or `trueup parity` has not \
                 compared them since.",
                words(kept)
            )?;
        }
        Ok(())
    }

    fn json_of(&self, days: Option<u32>, found: Prunable) -> Value {
        let of = |pruned: Pruned| {
            let Pruned { pages, bytes, rows, days } = pruned;
            json!({"pages": pages, "bytes": bytes, "rows": rows, "days": days})
        };
        json!({
            "schema": 1,
            "dry_run": self.dry_run,
            "retention_days": days.unwrap_or(0),
            "going": of(found.going),
            "kept": of(found.kept),
        })
    }
}

fn words(pruned: Pruned) -> String {
    let Pruned { pages, bytes: size, rows, days } = pruned;
    let pages = format!("{} ({})", counted(pages, "page"), bytes(size));
    match (rows, days) {
        (0, 1..) => format!("{pages} and the empty hours of {}", counted(days, "day")),
        _ => format!("{pages} and {}", counted(rows, "finer row")),
    }
}
