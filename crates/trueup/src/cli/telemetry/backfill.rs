//! `trueup telemetry backfill`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use trueup_telemetry::backfill::{Gate, History, Progress};
use trueup_telemetry::product::Telemetry;
use trueup_telemetry::redact::{Level, Limits, Redactor};

use super::{Which, meaning};
use crate::clock;
use crate::config::Config;
use crate::render::number::counted;

#[derive(Debug, Args)]
pub(super) struct Backfill {
    #[command(flatten)]
    which: Which,
    /// Records of the past: one JSON object a line, with a day [default: standard input]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Tell what was before telemetry was allowed, too
    #[arg(long)]
    include_history: bool,
    /// Print what would be sent, and send and mark nothing
    #[arg(long)]
    dry_run: bool,
}

/// Lines that are no records and are shown; the others are counted.
const LINES_SHOWN_MAX: u64 = 10;

impl Backfill {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let telemetry =
            if self.dry_run { self.which.look(config)? } else { self.which.open(config)? };
        let manifest = telemetry.manifest();
        let Some(gate) = telemetry.backfill_gate(self.include_history) else {
            writeln!(
                io::stdout(),
                "The manifest of {} tells nothing of the past.",
                manifest.product
            )?;
            return Ok(ExitCode::SUCCESS);
        };
        if let (Some(why), false) = (obstacle(gate, &telemetry), self.dry_run) {
            writeln!(io::stdout(), "{why}")?;
            return Ok(ExitCode::SUCCESS);
        }
        let Some(mut history) = History::new(manifest, clock::now()) else {
            return Ok(ExitCode::SUCCESS);
        };
        let is_all_read = self.read(&mut history)?;
        report(&history)?;
        let mut out = io::stdout().lock();
        if self.dry_run {
            for body in telemetry.backfill_rehearsal(&history) {
                out.write_all(&body)?;
                writeln!(out)?;
            }
        } else {
            let queued = telemetry.backfill(&history, self.include_history);
            queued.map_err(|problem| anyhow!("{problem}"))?;
            let flushed = telemetry.flush();
            writeln!(out, "{}", words(&flushed.past))?;
            if let Some(problem) = flushed.problem {
                bail!("{problem}");
            }
        }
        Ok(if is_all_read { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Reads the records. Says whether every line was one.
    fn read(&self, history: &mut History<'_>) -> Result<bool> {
        let (reader, name): (Box<dyn BufRead>, _) = match &self.file {
            Some(path) => {
                let file = File::open(path).with_context(|| format!("{}", path.display()))?;
                (Box::new(BufReader::new(file)), path.display().to_string())
            }
            None => (Box::new(io::stdin().lock()), "standard input".to_owned()),
        };
        let redactor = Redactor::new(Level::Redacted);
        let is_clean =
            |token: &str| redactor.redact(token, Limits::MESSAGE).as_deref() == Ok(token);
        let mut wrong = 0;
        let mut problem = |line, error| {
            wrong += 1;
            if wrong <= LINES_SHOWN_MAX {
                let _is_told = writeln!(io::stderr(), "trueup: {name}:{line}: {error}").is_ok();
            }
        };
        history.read(reader, &is_clean, &mut problem).with_context(|| name.clone())?;
        if wrong > LINES_SHOWN_MAX {
            let more = counted(wrong - LINES_SHOWN_MAX, "line");
            writeln!(io::stderr(), "trueup: {name}: {more} more that are no records")?;
        }
        Ok(wrong == 0)
    }
}

/// Why nothing is told.
fn obstacle(gate: Gate, telemetry: &Telemetry) -> Option<String> {
    match gate {
        Gate::Open => None,
        Gate::Complete => {
            Some("The past was told already, in this version of its events.".to_owned())
        }
        Gate::Off => {
            let status = telemetry.status();
            let (product, mode) = (status.product, status.mode);
            Some(format!("Telemetry of {product} is {mode}: {}.", meaning(mode)))
        }
        Gate::NotAskedFor => Some(
            "The past was before you allowed telemetry: --include-history tells it all the same."
                .to_owned(),
        ),
    }
}

/// What is not told, on standard error.
fn report(history: &History<'_>) -> io::Result<()> {
    let mut err = io::stderr().lock();
    let passed = history.passed();
    let through = history.through();
    for (count, what) in [
        (passed.too_old, "of days before 2024-01-01".to_owned()),
        (passed.too_young, format!("of days after {through}, which are told later")),
        (passed.too_many, "of more days than are told".to_owned()),
    ] {
        if count > 0 {
            writeln!(err, "trueup: {} passed over: {what}", counted(count, "record"))?;
        }
    }
    if passed.contradicted > 0 {
        let fields = counted(passed.contradicted, "field");
        writeln!(err, "trueup: {fields} left out: records of the same day contradict each other")?;
    }
    for (key, reason, count) in history.drops().iter() {
        writeln!(err, "trueup: `{key}` left out {count} times: {}", reason.name())?;
    }
    Ok(())
}

/// How far it is.
fn words(progress: &Progress) -> String {
    match progress {
        Progress::Done(marker) => format!(
            "{} of the past told, through {}.",
            counted(marker.event_count, "day"),
            marker.through_day
        ),
        Progress::None => "There was nothing to tell.".to_owned(),
        Progress::Sending(days) => format!(
            "{} of the past on the way: `trueup telemetry flush` goes on with it.",
            counted(*days, "day")
        ),
        Progress::Failed { days } => format!(
            "{} of the past did not arrive; `trueup telemetry log` says why.",
            counted(*days, "day")
        ),
    }
}
