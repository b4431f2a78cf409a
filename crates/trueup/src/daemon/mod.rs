//! `trueup serve`: the process that listens, keeps the account up to date, and ends in order.

use anyhow::Result;

use crate::config::Config;

/// Serves until it is told to stop.
pub(crate) fn serve(_config: &Config) -> Result<()> {
    Ok(())
}
