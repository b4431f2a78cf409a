//! `trueup sync`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use trueup_agents::AGENTS;
use trueup_ledger::{Ledger, OpenOptions, Reader, Writer};

use super::WrongUsage;
use super::load::{CLOSE_PATIENCE, SCAN_LIMITS};
use crate::config::Config;
use crate::render::number;
use crate::sync::{self, Stores};

/// Read what is new in the agents' stores into the ledger
#[derive(Debug, Args)]
pub(super) struct Sync {
    /// Go on looking for new records until interrupted
    #[arg(long)]
    watch: bool,
    /// Only this agent, by its id in `trueup sources`; may be repeated
    #[arg(long, value_name = "AGENT")]
    from: Vec<String>,
}

impl Sync {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let threads = sync::threads(config.parse("threads", "a number of threads")?);
        let interval = config.duration("sync_interval")?;
        let agents = match self.from.as_slice() {
            [] => AGENTS.to_vec(),
            ids => sync::agents_named(ids).map_err(WrongUsage)?,
        };
        let mut stores = Stores::of(agents, &config.environment);
        let ledger = Ledger::open(&config.ledger(), OpenOptions::default())?;
        let path = ledger.path().to_path_buf();
        let writer = Writer::spawn(ledger, SCAN_LIMITS, crate::clock::now)?;
        let reader = Reader::open(&path)?.context("the ledger has vanished")?;
        loop {
            let synced = sync::sync(&mut stores, &writer, &reader, threads, &())?;
            if synced.bytes_read > 0 || !self.watch {
                writeln!(
                    io::stdout(),
                    "Read {} of {} stores into {}",
                    number::bytes(synced.bytes_read),
                    number::grouped(synced.inventory.stores.len() as u64),
                    path.display()
                )?;
            }
            if !self.watch {
                break;
            }
            // An interrupt ends the process here or anywhere: what is read is committed with how far
            // it was read.
            std::thread::park_timeout(interval);
        }
        drop(writer.close(CLOSE_PATIENCE));
        Ok(ExitCode::SUCCESS)
    }
}
