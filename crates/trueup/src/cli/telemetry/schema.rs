//! `trueup telemetry schema`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Which;

#[derive(Debug, Args)]
pub(super) struct Schema {
    #[command(flatten)]
    which: Which,
    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    md: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Schema {
    pub(super) fn run(self) -> Result<ExitCode> {
        let manifest = self.which.manifest()?;
        let text = match (self.md, self.json) {
            (true, _) => manifest.schema_md(),
            (_, true) => format!("{:#}\n", manifest.schema_json()),
            (false, false) => manifest.screen(),
        };
        io::stdout().lock().write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}
