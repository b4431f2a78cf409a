//! Keeps ledgers within their bounds: removes what is too old or too much, and keeps their write-ahead
//! logs short. What goes and what stays is the ledger's affair; when, is decided here.

use std::path::{Path, PathBuf};
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
    pub(crate) retention: Retention,
    pub(super) cleanup_interval: Duration,
    pub(super) checkpoint_interval: Duration,
    /// Length of the write-ahead log past which it is emptied at once.
    pub(super) log_bytes_max: u64,
    /// How long the detail of what providers say is kept; `None` for ever.
    pub(super) provider_days: Option<u32>,
}

impl Settings {
    pub(super) fn of(config: &Config) -> Result<Self> {
        let retention = Retention {
            bytes_max: limit(bytes(config, "max_ledger_bytes")?),
            volume_percent_max: limit(number(config, "max_volume_percent", 0, 100)? as u64),
            age_max: age_max(config, "retention_days")?,
            is_unsynced_too: is_unsynced_too(config)?,
            ballast_bytes: bytes(config, "ballast_bytes")?,
        };
        Self::with(retention, config)
    }

    /// The same for the ledgers that a hub keeps. Nothing is lost where their volume is full: what cannot
    /// be written is not acknowledged.
    pub(crate) fn of_hub(config: &Config) -> Result<Self> {
        let retention = Retention {
            bytes_max: limit(bytes(config, "hub_max_ledger_bytes")?),
            age_max: age_max(config, "hub_retention_days")?,
            ..Retention::default()
        };
        Self::with(retention, config)
    }

    fn with(retention: Retention, config: &Config) -> Result<Self> {
        Ok(Self {
            retention,
            cleanup_interval: interval(config, "cleanup_interval")?,
            checkpoint_interval: interval(config, "checkpoint_interval")?,
            log_bytes_max: bytes(config, "wal_restart_bytes")?,
            provider_days: provider_days(config)?,
        })
    }

    /// A ticker that is often enough for all of it.
    pub(crate) fn ticker(&self) -> Ticker {
        Ticker::new(self.cleanup_interval.min(self.checkpoint_interval).min(LOG_INTERVAL))
    }
}

fn bytes(config: &Config, key: &str) -> Result<u64> {
    number(config, key, 0, usize::MAX).map(|bytes| bytes as u64)
}

fn limit(limit: u64) -> Option<u64> {
    Some(limit).filter(|limit| *limit > 0)
}

/// A number of days; `None` for ever.
pub(crate) fn days(config: &Config, key: &str) -> Result<Option<u32>> {
    let days = number(config, key, 0, DAYS_MAX)?;
    Ok(u32::try_from(days).ok().filter(|days| *days > 0))
}

fn age_max(config: &Config, key: &str) -> Result<Option<Duration>> {
    Ok(days(config, key)?.map(|days| DAY * days))
}

/// Days that the detail of what providers say is kept; `None` for ever.
pub(crate) fn provider_days(config: &Config) -> Result<Option<u32>> {
    days(config, "provider_retention_days")
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

/// A ledger that is kept within bounds.
pub(crate) struct OpenLedger {
    pub(crate) path: PathBuf,
    pub(crate) writer: Arc<Writer>,
}

/// What the thread works with.
pub(crate) struct Task {
    pub(crate) settings: Settings,
    /// The ledgers that there are now.
    pub(crate) ledgers: Box<dyn Fn() -> Vec<OpenLedger> + Send>,
    pub(crate) ticker: Arc<Ticker>,
}

/// Starts the thread. It ends with its ticker, or with the process.
pub(crate) fn spawn(task: Task) -> std::io::Result<()> {
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
            let due = (prune.is_due(), cleanup.is_due(), checkpoint.is_due());
            for one in (self.ledgers)() {
                self.keep(&one, due);
            }
            if !self.ticker.tick(Duration::ZERO) {
                return;
            }
        }
    }

    /// Does what is due for one ledger: what providers say, rows, the write-ahead log.
    fn keep(&self, one: &OpenLedger, (prunes, cleans, tidies): (bool, bool, bool)) {
        let tell = |what: &str, result: Result<(), LedgerError>| {
            if let Err(error) = result {
                tracing::warn!(%error, ledger = %one.path.display(), "{what}");
            }
        };
        if let Some(days) = self.settings.provider_days.filter(|_| prunes) {
            tell("prune_failed", prune(&one.path, &one.writer, days));
        }
        if cleans {
            tell("cleanup_failed", clean(&one.writer));
        }
        if tidies || one.writer.log_bytes() > self.settings.log_bytes_max {
            tell("checkpoint_failed", self.tidy_log(&one.writer));
        }
    }

    fn tidy_log(&self, writer: &Writer) -> Result<(), LedgerError> {
        let bytes_max = self.settings.log_bytes_max;
        writer.run(move |ledger| ledger.tidy_log(bytes_max)).transpose().map(drop)
    }
}

/// In steps, so that others are written between them.
fn clean(writer: &Writer) -> Result<(), LedgerError> {
    while let Some(is_more) = writer.run(|ledger| ledger.clean(clock::now())) {
        if !is_more? {
            break;
        }
    }
    Ok(())
}

/// What there is to remove is found beside the writer, which others wait for.
fn prune(ledger: &Path, writer: &Writer, days: u32) -> Result<(), LedgerError> {
    let Some(reader) = Reader::open(ledger)? else { return Ok(()) };
    if reader.prunable_billed(days, clock::now())?.going.is_nothing() {
        return Ok(());
    }
    drop(reader);
    let Pruned { pages, bytes, rows, days } = crate::pull::prune(writer, days)?;
    tracing::info!(pages, bytes, rows, days, "provider_pruned");
    Ok(())
}
