//! `trueup telemetry status`.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use trueup_telemetry::consent::{Content, Mode, StateFile};
use trueup_telemetry::identity::{Found, IdKind};
use trueup_telemetry::manifest::Manifest;
use trueup_telemetry::outbox::Item;
use trueup_telemetry::product;

use super::{Which, decided_by, meaning};
use crate::clock;
use crate::config::Config;
use crate::render::number::{counted, grouped};
use crate::render::terminal::Terminal;
use crate::render::wrap::wrapped;
use crate::telemetry::shown;

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Columns of what stands before a value.
const LABEL_COLUMNS: usize = 14;

impl Status {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let telemetry = self.which.look(config)?;
        let (status, manifest) = (telemetry.status(), telemetry.manifest());
        let mut out = io::BufWriter::new(io::stdout().lock());
        if self.json {
            writeln!(out, "{:#}", shown::status(&status, manifest))?;
        } else {
            let columns = Terminal::of_stdout(&config.environment).columns;
            writeln!(out, "{}: {}, {}", status.product, status.mode, meaning(status.mode))?;
            for (label, value) in rows(&status, manifest) {
                let lines = wrapped(&value, columns, LABEL_COLUMNS + 2);
                for (at, line) in lines.iter().enumerate() {
                    let label = if at == 0 { label } else { "" };
                    writeln!(out, "  {label:<LABEL_COLUMNS$}{}", line.trim_start())?;
                }
            }
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What is said of each thing.
fn rows(status: &product::Status, manifest: &Manifest) -> Vec<(&'static str, String)> {
    let mut rows = vec![("decided by", decided_by(status, manifest))];
    if let Some(as_of) = status.as_of {
        rows.push(("as of", format!("{as_of}; what is older is never sent")));
    }
    if status.awaits_notice {
        let words = "it would be on, but waits until its notice was shown";
        rows.push(("notice", words.to_owned()));
    }
    rows.push(("file", format!("{} ({})", status.file.display(), state(&status.file))));
    rows.push(("id", id_words(manifest.id, &status.identity)));
    rows.push(("errors", if status.errors { "may be told" } else { "are not told" }.to_owned()));
    rows.push(("goes to", goes_to(manifest, status.mode)));
    if status.mode != Mode::Off {
        rows.push(("sent today", sent_today(status)));
        rows.push(("waits", waits(status)));
    }
    if let Some(last) = &status.last {
        rows.push(("last answer", last_words(last)));
    }
    rows.extend(status.warnings.iter().map(|warning| ("warning", warning.clone())));
    rows.extend(status.problem.iter().map(|problem| ("problem", problem.clone())));
    rows
}

/// What a file with a decision is.
fn state(path: &Path) -> &'static str {
    match StateFile::read(path).content {
        Content::Absent => "not there",
        Content::Unreadable(_) => "cannot be read",
        Content::Read(_) => "read",
    }
}

fn id_words(kind: IdKind, id: &Found) -> String {
    match id {
        Found::NotYet => "none yet; one is made when something is first sent".to_owned(),
        Found::Unreadable => "none: the file cannot be read".to_owned(),
        Found::NotAnId { key } => {
            format!("none: `{key}` is not an id; `trueup telemetry reset-id` makes a new one")
        }
        Found::Made(identity) => match (kind, identity.id_at(clock::now())) {
            (IdKind::Daily, Some(id)) => format!("{id} today"),
            (_, Some(id)) => id,
            (_, None) => "none".to_owned(),
        },
    }
}

fn goes_to(manifest: &Manifest, mode: Mode) -> String {
    let places = manifest.places();
    match (places.is_empty(), mode) {
        (true, _) => "nowhere: its manifest names no place".to_owned(),
        (false, Mode::On) => places.join(", "),
        (false, Mode::Off | Mode::Local) => format!("{}, if it were on", places.join(", ")),
    }
}

/// How much of a UTC day's ceilings is used up.
fn sent_today(status: &product::Status) -> String {
    let (spent, caps) = (&status.spent, &status.caps);
    format!(
        "{} of {} events, {} of {} bytes, in {}",
        spent.events,
        caps.hard_cap,
        grouped(spent.bytes),
        grouped(caps.bytes_per_day),
        counted(spent.requests, "request"),
    )
}

fn waits(status: &product::Status) -> String {
    let requests = match status.queued {
        0 => "nothing".to_owned(),
        queued => counted(queued, "request"),
    };
    let days = status.days.iter();
    let days = days.map(|(event, day, records)| {
        format!("{} of {event} on {day}", counted(*records, "record"))
    });
    let kept = (status.kept > 0).then(|| format!("{} kept here", counted(status.kept, "event")));
    let lost =
        (status.expired > 0).then(|| format!("{} given up", counted(status.expired, "event")));
    let all: Vec<String> = [requests].into_iter().chain(days).chain(kept).chain(lost).collect();
    all.join("; ")
}

fn last_words(item: &Item) -> String {
    let status = item.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let when = item.settled.map(|time| format!(" on {time}")).unwrap_or_default();
    let reason = item.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{status} to {}{when}{reason}", item.event)
}
