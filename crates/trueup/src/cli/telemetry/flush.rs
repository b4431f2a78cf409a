//! `trueup telemetry flush`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use trueup_telemetry::consent::Mode;

use super::{Which, meaning};
use crate::config::Config;
use crate::render::number::counted;

#[derive(Debug, Args)]
pub(super) struct Flush {
    #[command(flatten)]
    which: Which,
}

impl Flush {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let telemetry = self.which.open(config)?;
        let flushed = telemetry.flush();
        let status = telemetry.status();
        let mut out = io::stdout().lock();
        if status.mode == Mode::Off {
            writeln!(out, "Telemetry of {} is off: {}.", status.product, meaning(Mode::Off))?;
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(
            out,
            "{}: {} made, {} kept here, {} still waiting.",
            status.product,
            counted(flushed.queued, "request"),
            counted(flushed.kept, "event"),
            counted(status.queued, "request"),
        )?;
        match flushed.problem {
            Some(problem) => {
                writeln!(out, "{problem}")?;
                Ok(ExitCode::FAILURE)
            }
            None => Ok(ExitCode::SUCCESS),
        }
    }
}
