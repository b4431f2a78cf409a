//! `trueup telemetry reset-id`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use trueup_telemetry::identity::{IdKind, reset};

use super::Which;
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct ResetId {
    #[command(flatten)]
    which: Which,
}

impl ResetId {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let options = self.which.options(config)?;
        let kind = options.manifest.id;
        let words = if kind == IdKind::None {
            "Events carry no id, so that there is none to reset."
        } else if reset(kind, &options.file)? {
            "Events carry a new id from now on."
        } else {
            "There is no id yet: one is made when something is first sent."
        };
        writeln!(io::stdout(), "{words}")?;
        Ok(ExitCode::SUCCESS)
    }
}
