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
            None => days_of(config)?,
        };
        let mut out = io::stdout().lock();
        let Some(days) = days else {
            writeln!(out, "Nothing goes: provider_retention_days is 0, which keeps everything.")?;
            return Ok(ExitCode::SUCCESS);
        };
        let found = match Reader::open(&config.ledger())? {
            Some(reader) => reader.prunable_billed(days, clock::now())?,
            None => Prunable::default(),
        };
        if !self.dry_run && !found.going.is_nothing() {
            prune(config, days)?;
        }
        if self.json {
            writeln!(out, "{:#}", self.json_of(days, found))?;
        } else {
            self.say(days, found, &mut out)?;
        }
        Ok(ExitCode::SUCCESS)
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

    fn json_of(&self, days: u32, found: Prunable) -> Value {
        let of = |pruned: Pruned| json!({"pages": pruned.pages, "bytes": pruned.bytes, "rows": pruned.rows});
        json!({
            "schema": 1,
            "dry_run": self.dry_run,
            "retention_days": days,
            "going": of(found.going),
            "kept": of(found.kept),
        })
    }
}

fn words(pruned: Pruned) -> String {
    let Pruned { pages, bytes: size, rows } = pruned;
    let pages = format!("{} ({})", counted(pages, "page"), bytes(size));
    format!("{pages} and {}", counted(rows, "finer row"))
}

fn prune(config: &Config, days: u32) -> Result<()> {
    let writer = writer(config, "`trueup serve` does this by itself, once an hour")?;
    while let Some(pruned) = writer.run(move |ledger| ledger.prune_billed(days, clock::now())) {
        if pruned?.is_nothing() {
            break;
        }
    }
    drop(writer.close(CLOSE_PATIENCE));
    Ok(())
}

/// The days that the settings say; `None` for ever.
fn days_of(config: &Config) -> Result<Option<u32>> {
    crate::daemon::provider_retention_days(config)
}
