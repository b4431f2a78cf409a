//! `trueup telemetry on`, `local` and `off`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use trueup_telemetry::consent::{Layer, Mode, StateFile};

use super::{Which, meaning};
use crate::clock;
use crate::config::Config;
use crate::render::terminal::Terminal;
use crate::render::wrap::wrapped;

#[derive(Debug, Args)]
pub(super) struct Decide {
    #[command(flatten)]
    which: Which,
}

impl Decide {
    pub(super) fn run(self, mode: Mode, config: &Config) -> Result<ExitCode> {
        let product = self.which.product(config)?;
        StateFile::write_decision(&product.path, mode, clock::now())?;
        let consent = product.consent(&product.file(), &product.policy());
        let name = &product.manifest.product;
        let now = format!("Telemetry of {name} is {}: {}.", consent.mode, meaning(consent.mode));
        let mut lines = vec![now];
        if consent.layer != Layer::File {
            lines.push(format!(
                "`{mode}` is written to {}, but {} decides before it.",
                product.path.display(),
                product.decided_by(&consent)
            ));
        }
        if consent.mode == Mode::On && product.manifest.sinks.is_empty() {
            lines.push("Its manifest names no place to send it to, so that it stays here.".into());
        }
        lines.extend(consent.warnings.iter().map(|warning| format!("Warning: {warning}.")));
        let columns = Terminal::of_stdout(&config.environment).columns;
        let mut out = io::stdout().lock();
        for line in lines.iter().flat_map(|line| wrapped(line, columns, 0)) {
            writeln!(out, "{line}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
