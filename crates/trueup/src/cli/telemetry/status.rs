//! `trueup telemetry status`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use trueup_telemetry::consent::{Consent, Content, Mode, StateFile};
use trueup_telemetry::identity::{Found, IdKind, find};

use super::{Product, Which, meaning};
use crate::clock;
use crate::config::Config;
use crate::render::terminal::Terminal;
use crate::render::wrap::wrapped;

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
        let product = self.which.product(config)?;
        let (file, policy) = (product.file(), product.policy());
        let consent = product.consent(&file, &policy);
        let id = find(product.manifest.id, &file);
        let mut out = io::BufWriter::new(io::stdout().lock());
        if self.json {
            let status = as_json(&product, &consent, &id, [&file, &policy]);
            writeln!(out, "{status:#}")?;
        } else {
            let columns = Terminal::of_stdout(&config.environment).columns;
            let name = &product.manifest.product;
            writeln!(out, "{name}: {}, {}", consent.mode, meaning(consent.mode))?;
            for (label, value) in rows(&product, &consent, &id, &file) {
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
fn rows(
    product: &Product<'_>,
    consent: &Consent,
    id: &Found,
    file: &StateFile,
) -> Vec<(&'static str, String)> {
    let mut rows = vec![("decided by", product.decided_by(consent))];
    if let Some(as_of) = consent.as_of {
        rows.push(("as of", format!("{as_of}; what is older is never sent")));
    }
    if consent.awaits_notice {
        let words = "it would be on, but waits until its notice was shown";
        rows.push(("notice", words.to_owned()));
    }
    rows.push(("file", format!("{} ({})", file.path.display(), state(file))));
    rows.push(("id", id_words(product.manifest.id, id)));
    rows.push(("errors", if consent.errors { "may be told" } else { "are not told" }.to_owned()));
    rows.push(("goes to", goes_to(product, consent.mode)));
    rows.extend(consent.warnings.iter().map(|warning| ("warning", warning.to_string())));
    rows
}

const fn state(file: &StateFile) -> &'static str {
    match file.content {
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

fn goes_to(product: &Product<'_>, mode: Mode) -> String {
    let places = product.manifest.places();
    match (places.is_empty(), mode) {
        (true, _) => "nowhere: its manifest names no place".to_owned(),
        (false, Mode::On) => places.join(", "),
        (false, Mode::Off | Mode::Local) => format!("{}, if it were on", places.join(", ")),
    }
}

fn as_json(
    product: &Product<'_>,
    consent: &Consent,
    id: &Found,
    [file, policy]: [&StateFile; 2],
) -> Value {
    let of_file = |file: &StateFile| {
        let state = match file.content {
            Content::Absent => "absent",
            Content::Unreadable(_) => "unreadable",
            Content::Read(_) => "read",
        };
        json!({"path": file.path, "state": state})
    };
    let id_state = match id {
        Found::NotYet => "not_yet",
        Found::Unreadable => "unreadable",
        Found::NotAnId { .. } => "not_an_id",
        Found::Made(_) => "made",
    };
    let id_now = match id {
        Found::Made(identity) => identity.id_at(clock::now()),
        Found::NotYet | Found::Unreadable | Found::NotAnId { .. } => None,
    };
    let warnings: Vec<String> = consent.warnings.iter().map(ToString::to_string).collect();
    json!({
        "schema": 1,
        "product": product.manifest.product,
        "mode": consent.mode.word(),
        "decided_by": consent.layer.name(),
        "as_of": consent.as_of.map(|time| time.to_string()),
        "awaits_notice": consent.awaits_notice,
        "errors": consent.errors,
        "file": of_file(file),
        "policy": of_file(policy),
        "id": {"kind": product.manifest.id.word(), "state": id_state, "id": id_now},
        "sinks": product.manifest.places(),
        "warnings": warnings,
    })
}
