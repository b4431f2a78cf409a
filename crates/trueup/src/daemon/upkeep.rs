//! Keeps the ledger within its bounds: removes what is too old or too much, and keeps its write-ahead log
//! short. What goes and what stays is the ledger's affair; when, is decided here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use trueup_ledger::{LedgerError, Pruned, Reader, Retention, Writer};

use super::settings::{interval, number};
use crate::clock;
use crate::config::Config;
use crate::ticker::Ticker;

/// How often the length of the write-ahead log is looked at, at least.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// How often the detail of what providers say is looked at: it goes by days.
const PRUNE_INTERVAL: Duration = Duration::from_hours(1);

const DAY: Duration = Duration::from_hours(24);
const DAYS_MAX: usize = 36_500;

/// The settings of the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(super) retention: Retention,
    pub(super) cleanup_interval: Duration,
    pub(super) checkpoint_interval: Duration,
    /// Length of the write-ahead log past which it is emptied at once.
    pub(super) log_bytes_max: u64,
    /// How long the detail of what providers say is kept; `None` for ever.
    pub(super) provider_days: Option<u32>,
}

impl Settings {
    pub(super) fn of(config: &Config) -> Result<Self> {
        let bytes = |key| number(config, key, 0, usize::MAX).map(|bytes| bytes as u64);
        let limit = |limit: u64| Some(limit).filter(|limit| *limit > 0);
        let percent = number(config, "max_volume_percent", 0, 100)? as u64;
        let days = number(config, "retention_days", 0, DAYS_MAX)?;
        Ok(Self {
            retention: Retention {
                bytes_max: limit(bytes("max_ledger_bytes")?),
                volume_percent_max: limit(percent),
                age_max: u32::try_from(days).ok().filter(|days| *days > 0).map(|days| DAY * days),
                is_unsynced_too: is_unsynced_too(config)?,
                ballast_bytes: bytes("ballast_bytes")?,
            },
            cleanup_interval: interval(config, "cleanup_interval")?,
            checkpoint_interval: interval(config, "checkpoint_interval")?,
            log_bytes_max: bytes("wal_restart_bytes")?,
            provider_days: provider_days(config)?,
        })
    }

    /// A ticker that is often enough for all of it.
    pub(super) fn ticker(&self) -> Ticker {
        Ticker::new(self.cleanup_interval.min(self.checkpoint_interval).min(LOG_INTERVAL))
    }
}

/// Days that the detail of what providers say is kept; `None` for ever.
pub(crate) fn provider_days(config: &Config) -> Result<Option<u32>> {
    let days = number(config, "provider_retention_days", 0, DAYS_MAX)?;
    Ok(u32::try_from(days).ok().filter(|days| *days > 0))
}

fn is_unsynced_too(config: &Config) -> Result<bool> {
    match config.value("retention") {
        ("synced", _) => Ok(false),
        ("unsynced-too", _) => Ok(true),
        (other, origin) => {
            bail!("retention (from {origin}): `{other}` is not synced or unsynced-too")
        }
    }
}

/// What the thread works with.
pub(super) struct Task {
    pub(super) settings: Settings,
    pub(super) ledger: PathBuf,
    pub(super) writer: Arc<Writer>,
    pub(super) ticker: Arc<Ticker>,
}

/// Starts the thread. It ends with its ticker, or with the process.
pub(super) fn spawn(task: Task) -> std::io::Result<()> {
    std::thread::Builder::new().name("upkeep".into()).spawn(move || task.run()).map(drop)
}

/// Something that is done now and then.
struct Chore {
    interval: Duration,
    due: Instant,
}

impl Chore {
    /// Whether it is time; then the next time is an interval away.
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = now >= self.due;
        if is_due {
            self.due = now + self.interval;
        }
        is_due
    }
}

impl Task {
    fn run(&self) {
        let now = Instant::now();
        let Settings { cleanup_interval, checkpoint_interval, .. } = self.settings;
        let mut cleanup = Chore { interval: cleanup_interval, due: now };
        let mut checkpoint =
            Chore { interval: checkpoint_interval, due: now + checkpoint_interval };
        let mut prune = Chore { interval: PRUNE_INTERVAL, due: now };
        loop {
            if prune.is_due()
                && let Some(days) = self.settings.provider_days
            {
                tell("prune_failed", self.prune(days));
            }
            if cleanup.is_due() {
                tell("cleanup_failed", self.clean());
            }
            let is_long = self.writer.log_bytes() > self.settings.log_bytes_max;
            if checkpoint.is_due() || is_long {
                tell("checkpoint_failed", self.tidy_log());
            }
            if !self.ticker.tick(Duration::ZERO) {
                return;
            }
        }
    }

    /// In steps, so that others are written between them.
    fn clean(&self) -> Result<(), LedgerError> {
        while let Some(is_more) = self.writer.run(|ledger| ledger.clean(clock::now())) {
            if !is_more? {
                break;
            }
        }
        Ok(())
    }

    /// What there is to remove is found beside the writer, which others wait for.
    fn prune(&self, days: u32) -> Result<(), LedgerError> {
        let Some(reader) = Reader::open(&self.ledger)? else { return Ok(()) };
        if reader.prunable_billed(days, clock::now())?.going.is_nothing() {
            return Ok(());
        }
        drop(reader);
        let Pruned { pages, bytes, rows, days } = crate::pull::prune(&self.writer, days)?;
        tracing::info!(pages, bytes, rows, days, "provider_pruned");
        Ok(())
    }

    fn tidy_log(&self) -> Result<(), LedgerError> {
        let bytes_max = self.settings.log_bytes_max;
        self.writer.run(move |ledger| ledger.tidy_log(bytes_max)).transpose().map(drop)
    }
}

fn tell(what: &str, result: Result<(), LedgerError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "{what}");
    }
}
