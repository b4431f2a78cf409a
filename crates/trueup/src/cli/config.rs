//! `trueup config`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Global;

#[derive(Debug, Args)]
pub(super) struct ShowConfig {}

impl ShowConfig {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        global.settings(&[])?;
        Ok(ExitCode::SUCCESS)
    }
}
