//! `trueup telemetry on`, `local` and `off`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use trueup_telemetry::consent::{Layer, Mode};

use super::{Which, decided_by, meaning};
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
        let telemetry = self.which.open(config)?;
        let manifest = telemetry.manifest();
        telemetry.set_mode(mode)?;
        let status = telemetry.status();
        let name = &status.product;
        let now = format!("Telemetry of {name} is {}: {}.", status.mode, meaning(status.mode));
        let mut lines = vec![now];
        if status.layer != Layer::File {
            lines.push(format!(
                "`{mode}` is written to {}, but {} decides before it.",
                status.file.display(),
                decided_by(&status, manifest)
            ));
        }
        if status.mode == Mode::On && manifest.sinks.is_empty() {
            lines.push("Its manifest names no place to send it to, so that it stays here.".into());
        }
        lines.extend(status.warnings.iter().map(|warning| format!("Warning: {warning}.")));
        let columns = Terminal::of_stdout(&config.environment).columns;
        let mut out = io::stdout().lock();
        for line in lines.iter().flat_map(|line| wrapped(line, columns, 0)) {
            writeln!(out, "{line}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
