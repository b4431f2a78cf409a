//! `trueup telemetry errors`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use trueup_telemetry::outbox::ItemState;
use trueup_telemetry::product::Shown;
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
/// What the parts of an error are called.
const ERROR_COLUMNS: [&str; 3] = ["fingerprint", "type", "message"];

/// Errors of a day.
#[derive(Debug, Default)]
struct Day {
    count: u64,
    other_count: u64,
    /// By fingerprint.
    kinds: BTreeMap<String, Kind>,
}

/// Errors of one kind.
#[derive(Debug, Default)]
struct Kind {
    name: String,
    text: String,
    count: u64,
}

/// Days with errors.
type Days = BTreeMap<String, Day>;

impl Errors {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let telemetry = self.which.look(config)?;
        let mut days = Days::new();
        for sums in telemetry.sums() {
            add_sums(&mut days, &sums);
        }
        let kept = telemetry.sent().into_iter().filter(|it| it.item.state == ItemState::Kept);
        for shown in kept {
            add_kept(&mut days, &shown);
        }
        let mut out = io::BufWriter::new(io::stdout().lock());
        if self.json {
            let days: Vec<Value> = days.iter().map(as_json).collect();
            writeln!(out, "{:#}", json!({"schema": 1, "days": days}))?;
        } else if days.is_empty() {
            writeln!(out, "There is no error that was not sent.")?;
        } else {
            days.iter().try_for_each(|day| print(&mut out, day))?;
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Adds what is being added up by now.
fn add_sums(days: &mut Days, sums: &Sums) {
    let whole = |name: &str| match sums.properties.0.iter().find(|(key, _)| key == name) {
        Some((_, Property::Integer(number))) => u64::try_from(*number).unwrap_or(u64::MAX),
        Some(_) | None => 0,
    };
    if whole(COUNT) == 0 {
        return;
    }
    let day = days.entry(sums.day.to_string()).or_default();
    day.count += whole(COUNT);
    day.other_count += whole(OTHER);
    for (key, list) in &sums.properties.0 {
        let Property::Counts { counts, .. } = list else { continue };
        for (value, count) in counts.iter().filter(|_| key == LIST) {
            let mut parts = value.split(COLUMN_END);
            let [fingerprint, kind, text] = [(); 3].map(|()| parts.next().unwrap_or_default());
            day.add([fingerprint, kind, text], u64::try_from(*count).unwrap_or(u64::MAX));
        }
    }
}

/// Adds what was told, and stayed on this machine.
fn add_kept(days: &mut Days, shown: &Shown) {
    let Ok(event) = serde_json::from_slice::<Value>(&shown.body) else { return };
    let property = |name: &str| event.get("properties")?.get(name);
    let whole = |name: &str| property(name).and_then(Value::as_u64).unwrap_or(0);
    if whole(COUNT) == 0 {
        return;
    }
    let day = days.entry(shown.item.day.to_string()).or_default();
    day.count += whole(COUNT);
    day.other_count += whole(OTHER);
    for error in property(LIST).and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
        day.add(ERROR_COLUMNS.map(text), error.get("count").and_then(Value::as_u64).unwrap_or(0));
    }
}

impl Day {
    fn add(&mut self, [fingerprint, kind, text]: [&str; 3], count: u64) {
        let known = self.kinds.entry(fingerprint.to_owned()).or_default();
        kind.clone_into(&mut known.name);
        text.clone_into(&mut known.text);
        known.count += count;
    }

    /// The most frequent kinds first.
    fn ordered(&self) -> Vec<(&String, &Kind)> {
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, kind)| Reverse(kind.count));
        kinds
    }
}

fn print(out: &mut impl io::Write, (date, day): (&String, &Day)) -> io::Result<()> {
    writeln!(out, "{date}: {}", counted(day.count, "error"))?;
    for (fingerprint, Kind { name, text, count }) in day.ordered() {
        writeln!(out, "  {count:>7}  {fingerprint:<16}  {name}")?;
        if !text.is_empty() {
            writeln!(out, "           {text}")?;
        }
    }
    if day.other_count > 0 {
        writeln!(out, "  {:>7}  of other kinds", day.other_count)?;
    }
    Ok(())
}

fn as_json((date, day): (&String, &Day)) -> Value {
    let kinds = day.ordered().into_iter().map(|(fingerprint, Kind { name, text, count })| {
        json!({"fingerprint": fingerprint, "type": name, "message": text, "count": count})
    });
    json!({
        "day": date,
        "count": day.count,
        "other_count": day.other_count,
        "errors": kinds.collect::<Vec<_>>(),
    })
}
