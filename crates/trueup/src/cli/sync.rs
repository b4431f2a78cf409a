//! `trueup sync`.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use trueup_ledger::{ClaimCounts, Ledger, OpenOptions, Reader, Writer};

use super::WrongUsage;
use super::load::{CLOSE_PATIENCE, SCAN_LIMITS};
use crate::completeness::{self, Lack};
use crate::config::Config;
use crate::notice::Notice;
use crate::render::number;
use crate::sync::{self, Stores};
use crate::ticker::Ticker;

/// The rest between two looks: writes come in bursts.
const REST: Duration = Duration::from_millis(500);

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

/// Says what the account lacks, where it lacks anything.
fn say_lack(lack: Lack) -> io::Result<()> {
    let ClaimCounts { sessions_estimated, sessions_without_transcript, .. } = lack.claims;
    let lacks: Vec<String> = [
        (sessions_estimated, "session", "estimated"),
        (sessions_without_transcript, "session", "without a transcript"),
        (lack.bad_lines, "line", "unreadable"),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, thing, how)| format!("{} {how}", number::counted(count, thing)))
    .collect();
    if lacks.is_empty() {
        return Ok(());
    }
    writeln!(io::stdout(), "Not exact: {}. `trueup doctor` says more.", lacks.join(", "))
}

impl Sync {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let threads = sync::threads(config.parse("threads", "a number of threads")?);
        let interval = config.duration("sync_interval")?;
        let named = self.from.iter().map(|id| sync::agent_named(id).map_err(WrongUsage));
        let mut stores = match named.collect::<Result<Vec<_>, _>>()? {
            agents if agents.is_empty() => Stores::of_all(&config.environment),
            agents => Stores::of(agents, &config.environment),
        };
        let ledger = Ledger::open(&config.ledger(), OpenOptions::default())?;
        let path = ledger.path().to_path_buf();
        let writer = Writer::spawn(ledger, SCAN_LIMITS, crate::clock::now)?;
        let reader = Reader::open(&path)?.context("the ledger has vanished")?;
        let ticker = Arc::new(Ticker::new(interval));
        let mut notice = if self.watch { Notice::spawn(Arc::clone(&ticker)) } else { None };
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
                say_lack(completeness::total(&completeness::by_source(&reader)?))?;
            }
            if !self.watch {
                break;
            }
            if let Some(notice) = &mut notice {
                notice.watch(&synced.inventory.folders);
            }
            // An interrupt ends the process here or anywhere: what is read is committed with how far
            // it was read.
            ticker.tick(REST);
        }
        drop(writer.close(CLOSE_PATIENCE));
        Ok(ExitCode::SUCCESS)
    }
}
