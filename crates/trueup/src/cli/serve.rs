//! `trueup serve`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Global;

#[derive(Debug, Args)]
pub(super) struct Serve {}

impl Serve {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        crate::daemon::serve(&global.settings(&[])?)?;
        Ok(ExitCode::SUCCESS)
    }
}
