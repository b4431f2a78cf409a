//! Hands exports on to a collector, as they came.
//!
//! trueup can so stand where a collector was: the collector sees all that it would see without it, bytes
//! and headers unchanged. Nobody waits for it: what does not fit into the queue, or is not taken after a
//! few tries, is dropped and counted by its reason.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use crate::net::{self, backoff, random};
use crate::ticker::Ticker;

/// Exports that may wait.
const EXPORTS_MAX: usize = 256;
/// Bytes that may wait.
const BYTES_MAX: usize = 16 << 20;
/// Times that an export is tried.
const TRIES_MAX: u32 = 4;
/// How long the collector may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 4 << 10;
/// What says that an export was handed on already: two that name each other would do so for ever.
pub(crate) const MARK: &str = "x-trueup-forwarded";

/// An export as it came.
#[derive(Debug)]
pub(crate) struct Passed {
    /// Behind the collector's address.
    pub(crate) signal: &'static str,
    pub(crate) media: &'static str,
    pub(crate) packing: Option<&'static str>,
    pub(crate) body: Vec<u8>,
}

/// What hands them on.
#[derive(Debug)]
pub(crate) struct Forward {
    queue: SyncSender<Passed>,
    waiting: Arc<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: AtomicUsize,
    /// Exports by what became of them.
    results: Mutex<BTreeMap<&'static str, u64>>,
}

impl Waiting {
    fn count(&self, result: &'static str) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        *results.entry(result).or_default() += 1;
    }
}

impl Forward {
    /// Starts the thread that hands exports on to the collector at `base`, until `ticker` is stopped.
    pub(crate) fn start(base: &str, ticker: Arc<Ticker>) -> Result<Arc<Self>> {
        let (queue, exports) = sync_channel(EXPORTS_MAX);
        let waiting = Arc::new(Waiting::default());
        let task = Task {
            agent: net::agent(),
            base: base.trim_end_matches('/').to_owned(),
            ticker,
            waiting: Arc::clone(&waiting),
        };
        let run = move || task.run(&exports);
        std::thread::Builder::new().name("otlp-forward".into()).spawn(run)?;
        Ok(Arc::new(Self { queue, waiting }))
    }

    /// Queues an export, if there is room.
    pub(crate) fn offer(&self, export: Passed) {
        let length = export.body.len();
        let before = self.waiting.bytes.fetch_add(length, Ordering::Relaxed);
        let is_roomy = before.saturating_add(length) <= BYTES_MAX;
        if !is_roomy || self.queue.try_send(export).is_err() {
            self.waiting.bytes.fetch_sub(length, Ordering::Relaxed);
            self.waiting.count("queue_full");
        }
    }

    /// How many exports were handed on, and dropped, by reason.
    pub(crate) fn results(&self) -> BTreeMap<&'static str, u64> {
        self.waiting.results.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Task {
    agent: ureq::Agent,
    base: String,
    ticker: Arc<Ticker>,
    waiting: Arc<Waiting>,
}

impl Task {
    fn run(&self, exports: &Receiver<Passed>) {
        while let Ok(export) = exports.recv() {
            let Some(result) = self.hand_on(&export) else { return };
            self.waiting.bytes.fetch_sub(export.body.len(), Ordering::Relaxed);
            self.waiting.count(result);
        }
    }

    /// What became of an export; `None` where the process ends.
    fn hand_on(&self, export: &Passed) -> Option<&'static str> {
        let mut result = "unreachable";
        for tries in 1..=TRIES_MAX {
            result = match self.send(export) {
                Some(200..=299) => return Some("ok"),
                Some(408 | 429 | 502..=504) => "busy",
                Some(_) => return Some("refused"),
                None => "unreachable",
            };
            if tries < TRIES_MAX && !self.ticker.pause(backoff(tries, random())) {
                return None;
            }
        }
        Some(result)
    }

    fn send(&self, export: &Passed) -> Option<u16> {
        let url = format!("{}/v1/{}", self.base, export.signal);
        let mut request = self
            .agent
            .post(url)
            .config()
            .timeout_global(Some(ANSWER_TIME_MAX))
            .build()
            .header("content-type", export.media)
            .header(MARK, "1");
        if let Some(packing) = export.packing {
            request = request.header("content-encoding", packing);
        }
        let reply = request.send(&export.body[..]).ok()?;
        net::read(reply, ANSWER_BYTES_MAX).ok().map(|reply| reply.status)
    }
}
