//! `trueup check`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use trueup_ledger::Reader;

use crate::config::Config;

/// Check the ledger file, and every sum in it against the calls below it
#[derive(Debug, Args)]
pub(super) struct CheckLedger {}

impl CheckLedger {
    pub(super) fn run(config: &Config) -> Result<ExitCode> {
        let path = config.ledger();
        let reader =
            Reader::open(&path)?.with_context(|| format!("{} does not exist", path.display()))?;
        let found = reader.check()?;
        let mut out = io::stdout().lock();
        for line in found.damage.iter().chain(&found.wrong_sums) {
            writeln!(out, "{line}")?;
        }
        if found.damage.is_empty() && found.wrong_sums.is_empty() {
            writeln!(out, "{} is whole, and every sum is that of its calls.", path.display())?;
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(
            out,
            "{} is not as it should be. Move it away: `trueup sync` makes a new one from the session \
             files that are still there. Keep the old one: it may hold what they no longer do.",
            path.display()
        )?;
        Ok(ExitCode::FAILURE)
    }
}
