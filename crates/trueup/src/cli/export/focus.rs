//! `trueup export focus`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{Selection, tell};
use crate::config::Config;
use crate::export::{self, to_place};
use crate::render::terminal::Terminal;

/// Options of `trueup export focus`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExportFocus {
    #[command(flatten)]
    selection: Selection,
}

impl ExportFocus {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        let gathered = self.selection.gather(config)?;
        let sentences = gathered.sentences();
        to_place(self.selection.out.as_deref(), |out| export::focus(gathered.rows, out))?;
        tell(&sentences, Terminal::of_stdout(&config.environment))?;
        Ok(ExitCode::SUCCESS)
    }
}
