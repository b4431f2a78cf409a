//! `trueup telemetry show`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Which;
use crate::config::Config;
use crate::telemetry::shown;

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
        let next = telemetry.preview();
        let mut out = io::BufWriter::new(io::stdout().lock());
        if self.json {
            writeln!(out, "{:#}", shown::next(next.as_ref()))?;
        } else if self.raw {
            out.write_all(next.as_ref().map_or(&[], |next| &next.body))?;
        } else {
            shown::write_next(next.as_ref(), &telemetry, &mut out)?;
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}
