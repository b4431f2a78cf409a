//! Keeps the account up to what lies in the agents' stores.
//!
//! A thread looks at the stores at an interval. Looking costs a walk over folders; only what has
//! grown is read. Nothing that goes wrong there ends the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trueup_core::UnixMs;
use trueup_ledger::{Reader, Writer};

use super::Ticker;
use crate::clock;
use crate::sync::{self, Stores};

/// How often new records are worth a line in the log.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// What the thread has done so far.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<Seen>);

/// What was seen of the stores.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// When everything was last read.
    pub(crate) last_sync: Option<UnixMs>,
    /// Bytes read since the start.
    pub(crate) bytes_read: u64,
    /// Stores that were found last.
    pub(crate) stores: u64,
    /// Why the last look failed.
    pub(crate) error: Option<String>,
}

impl Watch {
    /// What was seen so far.
    pub(crate) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread works with.
pub(super) struct Task {
    pub(super) stores: Stores,
    pub(super) threads: usize,
    pub(super) writer: Arc<Writer>,
    pub(super) reader: Reader,
    pub(super) ticker: Arc<Ticker>,
    pub(super) watch: Arc<Watch>,
}

/// Starts the thread. It ends with its ticker, or with the process: what it had not finished is read
/// again.
pub(super) fn spawn(mut task: Task) -> std::io::Result<()> {
    let run = move || {
        let mut news = News::default();
        loop {
            task.look(&mut news);
            if !task.ticker.tick() {
                break;
            }
        }
    };
    std::thread::Builder::new().name("watch".into()).spawn(run).map(drop)
}

impl Task {
    fn look(&mut self, news: &mut News) {
        let Self { stores, threads, writer, reader, .. } = self;
        let result = sync::sync(stores, writer, reader, *threads, &());
        let mut seen = self.watch.lock();
        let before = seen.error.take();
        match result {
            Ok(synced) => {
                seen.last_sync = Some(clock::now());
                seen.bytes_read += synced.bytes_read;
                seen.stores = synced.inventory.stores.len() as u64;
                news.add(synced.bytes_read, seen.stores);
            }
            Err(error) => {
                let error = format!("{error:#}");
                if before.as_ref() != Some(&error) {
                    tracing::warn!(error, "sync_failed");
                }
                seen.error = Some(error);
            }
        }
    }
}

/// What was read and not yet logged.
#[derive(Debug, Default)]
struct News {
    bytes: u64,
    logged_at: Option<Instant>,
}

impl News {
    fn add(&mut self, bytes: u64, stores: u64) {
        self.bytes += bytes;
        let is_due = self.logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if self.bytes > 0 && is_due {
            tracing::info!(bytes = self.bytes, stores, "synced");
            *self = Self { bytes: 0, logged_at: Some(Instant::now()) };
        }
    }
}
