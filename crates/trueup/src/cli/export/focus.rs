//! `trueup export focus`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use trueup_core::ChargedSums;
use trueup_providers::FocusWriter;

use super::{Selection, tell};
use crate::config::Config;
use crate::export::to_place;
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
        let mut sums = ChargedSums::default();
        for row in gathered.rows {
            sums.add(row);
        }
        to_place(self.selection.out.as_deref(), |out| {
            let mut focus = FocusWriter::new(out)?;
            for row in sums.into_rows() {
                focus.write(&row)?;
            }
            focus.finish()?;
            Ok(())
        })?;
        tell(&sentences, Terminal::of_stdout(&config.environment))?;
        Ok(ExitCode::SUCCESS)
    }
}
