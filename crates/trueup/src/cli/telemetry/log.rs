//! `trueup telemetry log`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use trueup_telemetry::outbox::{Item, ItemState};
use trueup_telemetry::product::Shown;

use super::Which;
use crate::config::Config;
use crate::render::number::grouped;

#[derive(Debug, Args)]
pub(super) struct Log {
    #[command(flatten)]
    which: Which,
    /// Print the very bytes of each request, and a newline after each
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Log {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let shown = self.which.look(config)?.sent();
        let mut out = io::BufWriter::new(io::stdout().lock());
        if self.json {
            let items: Vec<Value> = shown.iter().map(as_json).collect();
            writeln!(out, "{:#}", json!({"schema": 1, "requests": items}))?;
        } else if self.raw {
            for Shown { body, .. } in &shown {
                out.write_all(body)?;
                writeln!(out)?;
            }
        } else if shown.is_empty() {
            writeln!(out, "Nothing was sent or kept yet.")?;
        } else {
            for Shown { item, body, .. } in &shown {
                writeln!(out, "{}", line(item))?;
                if body.is_empty() {
                    writeln!(out, "    its bytes are no longer kept")?;
                } else {
                    writeln!(out, "    sha256 {}", item.sha256)?;
                }
                if let Some(reason) = &item.reason {
                    writeln!(out, "    {reason}")?;
                }
            }
            writeln!(out, "`trueup telemetry log --raw` prints the bytes themselves.")?;
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What a request is, and what became of it.
fn line(item: &Item) -> String {
    let when = item.settled.unwrap_or(item.queued);
    let end = match (item.state, item.status) {
        (ItemState::Queued, _) => "waits".to_owned(),
        (ItemState::Kept, _) => "stays here".to_owned(),
        (ItemState::Sent, None) => "sent".to_owned(),
        (ItemState::Sent, Some(status)) => format!("sent, {status}"),
        (ItemState::Quarantined, None) => "put aside".to_owned(),
        (ItemState::Quarantined, Some(status)) => format!("put aside, {status}"),
    };
    let event = if item.uuids.len() > 1 {
        format!("{} events, the first {}", item.uuids.len(), item.event)
    } else {
        item.event.clone()
    };
    format!("{when}  {end:<12} {:>7} bytes  {event}", grouped(item.bytes))
}

fn as_json(shown: &Shown) -> Value {
    let body = str::from_utf8(&shown.body).ok().filter(|body| !body.is_empty());
    json!({"item": shown.item, "body": body})
}
