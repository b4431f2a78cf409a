//! `trueup telemetry`.

mod redact;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Tools for product telemetry
#[derive(Debug, Args)]
pub(super) struct Telemetry {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Take secrets and personal data out of a text, from standard input to standard output
    ///
    /// A line that is longer than 8 KiB is cut. docs/redaction.md says what goes, and what stays.
    Redact(redact::Redact),
}

impl Telemetry {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self.verb {
            Verb::Redact(redact) => redact.run(),
        }
    }
}
