//! `trueup telemetry lint`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use trueup_telemetry::manifest::{Severity, lint};

use crate::telemetry::text_of;

#[derive(Debug, Args)]
pub(super) struct Lint {
    /// The manifest [default: trueup's own]
    file: Option<PathBuf>,
}

impl Lint {
    pub(super) fn run(self) -> Result<ExitCode> {
        let (text, name) = text_of(self.file.as_deref())?;
        let findings = lint(&text);
        let mut out = io::BufWriter::new(io::stdout().lock());
        for finding in &findings {
            writeln!(out, "{name}:{finding}")?;
        }
        let errors = findings.iter().filter(|one| one.severity == Severity::Error).count();
        let advice = findings.len() - errors;
        match (errors, advice) {
            (0, 0) => writeln!(out, "{name} can be used.")?,
            (0, _) => writeln!(out, "{name} can be used, with {advice} to think about.")?,
            (1, _) => writeln!(out, "{name} cannot be used: 1 error.")?,
            _ => writeln!(out, "{name} cannot be used: {errors} errors.")?,
        }
        out.flush()?;
        Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
