//! `trueup export focus`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use trueup_core::{Charged, ChargedSums};
use trueup_providers::{FocusNames, FocusWriter};

use super::{Found, Selection};
use crate::config::Config;
use crate::export::to_place;
use crate::parity::Names;

/// Options of `trueup export focus`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExportFocus {
    #[command(flatten)]
    selection: Selection,
}

impl ExportFocus {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        let Found { gathered, names } = self.selection.gather(config)?;
        let names = Names::new(&names);
        let mut sums = ChargedSums::default();
        for row in &gathered.rows {
            sums.add(row.clone());
        }
        to_place(self.selection.out.as_deref(), |out| {
            let mut focus = FocusWriter::new(out)?;
            for row in sums.into_rows() {
                focus.write(&row, names_of(&row, &names))?;
            }
            focus.finish()?;
            Ok(())
        })?;
        gathered.tell()?;
        Ok(ExitCode::SUCCESS)
    }
}

fn names_of<'a>(row: &Charged, names: &Names<'a>) -> FocusNames<'a> {
    FocusNames {
        account: None,
        project: names.name("project", &row.project).map(|name| &**name),
        key: names.name("key", &row.key).map(|name| &**name),
    }
}
