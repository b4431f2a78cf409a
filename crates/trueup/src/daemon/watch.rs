//! Keeps the account up to what lies in the agents' stores.
//!
//! A thread looks at the stores when something is written in them, and at an interval. Looking costs a
//! walk over folders; only what has grown is read. Nothing that goes wrong there ends the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trueup_core::UnixMs;
use trueup_ledger::{Reader, Writer};

use crate::clock;
use crate::completeness::{self, Lack};
use crate::notice::Notice;
use crate::sync::{self, Stores};
use crate::ticker::Ticker;

/// How often new records are worth a line in the log.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// The least rest between two looks: writes come in bursts.
const REST_MIN: Duration = Duration::from_millis(200);

/// Rest for each moment of looking: agents that write all the time must not keep us busy.
const REST_FACTOR: u32 = 20;

/// How often to look where nobody tells of writes.
const UNTOLD_INTERVAL: Duration = Duration::from_secs(5);

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
    pub(super) notice: Option<Notice>,
    pub(super) watch: Arc<Watch>,
}

/// What ticks for the thread, and what wakes it. Where the system tells nobody of writes, it looks more
/// often.
pub(super) fn ticker(interval: Duration) -> (Arc<Ticker>, Option<Notice>) {
    let ticker = Arc::new(Ticker::new(interval));
    match Notice::spawn(Arc::clone(&ticker)) {
        Some(notice) => (ticker, Some(notice)),
        None => (Arc::new(Ticker::new(interval.min(UNTOLD_INTERVAL))), None),
    }
}

/// Starts the thread. It ends with its ticker, or with the process: what it had not finished is read
/// again.
pub(super) fn spawn(mut task: Task) -> std::io::Result<()> {
    let run = move || {
        let mut news = News { lack: task.lack(), ..News::default() };
        loop {
            let start = Instant::now();
            task.look(&mut news);
            if !task.ticker.tick(REST_MIN.max(start.elapsed() * REST_FACTOR)) {
                break;
            }
        }
    };
    std::thread::Builder::new().name("watch".into()).spawn(run).map(drop)
}

impl Task {
    /// What the account lacks; `None` where the ledger cannot be asked now.
    fn lack(&self) -> Option<Lack> {
        completeness::by_source(&self.reader).ok().map(|lacks| completeness::total(&lacks))
    }

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
                if let Some(notice) = &mut self.notice {
                    notice.watch(&synced.inventory.folders);
                }
                news.add(synced.bytes_read, seen.stores);
                drop(seen);
                // What is not read anew lacks what it lacked.
                if synced.bytes_read > 0 {
                    news.tell_lack(self.lack());
                }
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
    /// What the account lacked when that was last told.
    lack: Option<Lack>,
}

impl News {
    fn add(&mut self, bytes: u64, stores: u64) {
        self.bytes += bytes;
        let is_due = self.logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if self.bytes > 0 && is_due {
            tracing::info!(bytes = self.bytes, stores, "synced");
            (self.bytes, self.logged_at) = (0, Some(Instant::now()));
        }
    }

    /// Says what the account lacks, and what that look has changed of it.
    fn tell_lack(&mut self, now: Option<Lack>) {
        let (Some(now), Some(before)) = (now, self.lack) else {
            self.lack = now.or(self.lack);
            return;
        };
        self.lack = Some(now);
        if now == before {
            return;
        }
        let change = |now: u64, before: u64| now.cast_signed() - before.cast_signed();
        let (claims, told) = (now.claims, before.claims);
        tracing::info!(
            sessions_estimated = claims.sessions_estimated,
            sessions_estimated_change = change(claims.sessions_estimated, told.sessions_estimated),
            sessions_superseded = claims.sessions_superseded,
            sessions_superseded_change =
                change(claims.sessions_superseded, told.sessions_superseded),
            sessions_without_transcript = claims.sessions_without_transcript,
            sessions_without_transcript_change =
                change(claims.sessions_without_transcript, told.sessions_without_transcript),
            bad_lines = now.bad_lines,
            bad_lines_change = change(now.bad_lines, before.bad_lines),
            "completeness"
        );
    }
}
