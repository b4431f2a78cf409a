//! `trueup telemetry purge`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Which;
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct Purge {
    #[command(flatten)]
    which: Which,
}

impl Purge {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let telemetry = self.which.open(config)?;
        telemetry.purge()?;
        let status = telemetry.status();
        let name = status.product;
        writeln!(
            io::stdout(),
            "What {name} recorded and did not send is deleted. Its telemetry is {}, as before.",
            status.mode
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
