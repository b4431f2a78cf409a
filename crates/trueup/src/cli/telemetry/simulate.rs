//! `trueup telemetry simulate`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;
use trueup_telemetry::simulate::{Figures, RESTARTS, Scenario, simulate};

use super::Which;
use crate::render::number::grouped;

#[derive(Debug, Args)]
pub(super) struct Simulate {
    #[command(flatten)]
    which: Which,
    /// Installations
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    installs: u64,
    /// Days of each
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// Some are killed every ten seconds, some have storms of errors
    #[arg(long)]
    bad: bool,
    /// The same number brings the same days
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Simulate {
    pub(super) fn run(self) -> Result<ExitCode> {
        let manifest = self.which.manifest()?;
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        let Self { installs, days, bad: is_bad, seed, json, .. } = self;
        let scenario = Scenario { installs, days, is_bad, restarts: RESTARTS, seed };
        let figures = simulate(&manifest, scenario, folder.path())?;
        let hard_cap = manifest.budget.hard_cap;
        let mut out = io::stdout().lock();
        if json {
            writeln!(out, "{:#}", as_json(&figures, hard_cap))?;
        } else {
            print(&mut out, &figures, &manifest.product, hard_cap)?;
        }
        let is_kept = u64::try_from(figures.most()).is_ok_and(|most| most <= hard_cap);
        Ok(if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn print(
    out: &mut impl io::Write,
    figures: &Figures,
    product: &str,
    hard_cap: u64,
) -> io::Result<()> {
    let Figures { installs, days, records, told, events, requests, bytes, .. } = figures;
    let (installs, days) = (grouped(*installs), grouped(*days));
    writeln!(out, "{product}: {installs} installations, {days} days each")?;
    writeln!(out, "  records made           {:>14}", grouped(*records))?;
    writeln!(out, "  records that arrived   {:>14}  in the sums of rollups", grouped(*told))?;
    writeln!(out, "  events                 {:>14}", grouped(*events))?;
    writeln!(out, "  requests               {:>14}", grouped(*requests))?;
    writeln!(out, "  bytes                  {:>14}", grouped(*bytes))?;
    writeln!(out, "  events of an installation and day")?;
    writeln!(out, "    mean                 {:>14.2}", figures.mean())?;
    writeln!(out, "    half at most         {:>14}", figures.p50())?;
    writeln!(out, "    99 of 100 at most    {:>14}", figures.p99())?;
    writeln!(
        out,
        "    most                 {:>14}  of {hard_cap} that a day may have",
        figures.most()
    )
}

fn as_json(figures: &Figures, hard_cap: u64) -> serde_json::Value {
    json!({
        "schema": 1,
        "installs": figures.installs,
        "days": figures.days,
        "records": figures.records,
        "records_told": figures.told,
        "events": figures.events,
        "requests": figures.requests,
        "bytes": figures.bytes,
        "events_per_install_and_day": {
            "mean": figures.mean(), "p50": figures.p50(), "p99": figures.p99(),
            "most": figures.most(), "hard_cap": hard_cap,
        },
    })
}
