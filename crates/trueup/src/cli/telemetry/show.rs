//! `trueup telemetry show`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use trueup_telemetry::consent::Mode;
use trueup_telemetry::product::{Shown, Status};
use trueup_telemetry::sink::Request;

use super::{Which, meaning};
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    which: Which,
    /// Print the body alone, to the byte
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let telemetry = self.which.look(config)?;
        let shown = telemetry.preview();
        let mut out = io::BufWriter::new(io::stdout().lock());
        match &shown {
            Some(shown) if self.json => writeln!(out, "{:#}", as_json(shown))?,
            None if self.json => writeln!(out, "{:#}", json!({"schema": 1, "request": null}))?,
            Some(shown) if self.raw => out.write_all(&shown.body)?,
            Some(shown) => print(&mut out, shown)?,
            None if self.raw => {}
            None => writeln!(out, "{}", nothing(&telemetry.status()))?,
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// As it goes over the wire, but for `Host` and `Content-Length`, which follow from it.
fn print(out: &mut impl io::Write, shown: &Shown) -> io::Result<()> {
    if let Some(Request { method, url, headers, .. }) = &shown.request {
        writeln!(out, "{method} {url}")?;
        for (name, value) in headers {
            writeln!(out, "{name}: {value}")?;
        }
        writeln!(out)?;
    }
    out.write_all(&shown.body)?;
    if !shown.body.ends_with(b"\n") {
        writeln!(out)?;
    }
    Ok(())
}

/// Why there is nothing to show.
fn nothing(status: &Status) -> String {
    let why = match status.mode {
        Mode::On if status.queued > 0 => {
            "what waits is not due yet, or the day's budget is used up"
        }
        Mode::On => "nothing has ended that is to be sent",
        Mode::Off | Mode::Local => meaning(status.mode),
    };
    format!("Telemetry of {} is {}: {why}.", status.product, status.mode)
}

fn as_json(shown: &Shown) -> serde_json::Value {
    let request = shown.request.as_ref().map(|request| {
        let headers: serde_json::Map<_, _> =
            request.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({
            "method": request.method,
            "url": request.url,
            "headers": headers,
            "body": String::from_utf8_lossy(&request.body),
            "sha256": shown.item.sha256,
        })
    });
    json!({"schema": 1, "request": request})
}
