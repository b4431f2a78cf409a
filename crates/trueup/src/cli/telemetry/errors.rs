//! `trueup telemetry errors`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use trueup_telemetry::rollup::{COLUMN_END, Property};
use trueup_telemetry::state::Sums;

use super::Which;
use crate::config::Config;
use crate::render::number::counted;

#[derive(Debug, Args)]
pub(super) struct Errors {
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The properties of a rollup that tell of errors.
const LIST: &str = "errors";
const COUNT: &str = "errors_count";
const OTHER: &str = "errors_other_count";

impl Errors {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let telemetry = self.which.look(config)?;
        let sums = telemetry.sums();
        let days: Vec<&Sums> = sums.iter().filter(|sums| number(sums, COUNT) > 0).collect();
        let mut out = io::BufWriter::new(io::stdout().lock());
        if self.json {
            let days: Vec<Value> = days.iter().map(|sums| as_json(sums)).collect();
            writeln!(out, "{:#}", json!({"schema": 1, "days": days}))?;
        } else if days.is_empty() {
            writeln!(out, "No error was recorded that is not sent yet.")?;
        } else {
            for sums in days {
                print(&mut out, sums)?;
            }
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

fn print(out: &mut impl io::Write, sums: &Sums) -> io::Result<()> {
    writeln!(out, "{}: {}", sums.day, counted(number(sums, COUNT), "error"))?;
    for (columns, count) in listed(sums) {
        let [fingerprint, kind, text] = columns;
        writeln!(out, "  {count:>7}  {fingerprint:<16}  {kind}")?;
        if !text.is_empty() {
            writeln!(out, "           {text}")?;
        }
    }
    let other = number(sums, OTHER);
    if other > 0 {
        writeln!(out, "  {other:>7}  of other kinds")?;
    }
    Ok(())
}

/// A property that is a whole number; 0 where there is none.
fn number(sums: &Sums, name: &str) -> u64 {
    let found = sums.properties.0.iter().find(|(key, _)| key == name);
    match found {
        Some((_, Property::Integer(number))) => u64::try_from(*number).unwrap_or(u64::MAX),
        Some(_) | None => 0,
    }
}

/// Fingerprint, type and text of each kind of error, and how often.
fn listed(sums: &Sums) -> impl Iterator<Item = ([&str; 3], u128)> {
    let lists = sums.properties.0.iter().filter(|(key, _)| key == LIST);
    let counts = lists.flat_map(|(_, list)| match list {
        Property::Counts { counts, .. } => counts.as_slice(),
        _ => &[],
    });
    counts.map(|(value, count)| {
        let mut parts = value.split(COLUMN_END);
        ([(); 3].map(|()| parts.next().unwrap_or_default()), *count)
    })
}

fn as_json(sums: &Sums) -> Value {
    let errors: Vec<Value> = listed(sums)
        .map(|([fingerprint, kind, text], count)| {
            json!({"fingerprint": fingerprint, "type": kind, "message": text, "count": count.to_string().parse::<u64>().ok()})
        })
        .collect();
    json!({
        "day": sums.day.to_string(),
        "event": sums.event,
        "count": number(sums, COUNT),
        "other_count": number(sums, OTHER),
        "errors": errors,
    })
}
