//! Follows OpenClaw's gateway log: what its channels do, what fails, and when settings change.
//!
//! A thread reads what is new, and each line of these kinds becomes one event with its own time. How
//! far it came is committed with them; a line that is read again after a crash has the key that it had
//! before, and counts once.

mod cursor;
mod family;
mod follow;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use trueup_agents::{GatewayEvent, GatewayEventKind, GatewayLine};
use trueup_core::{Batch, CustomEvent, Fact, Key, Position, StoreId};
use trueup_ledger::{Reader, Writer};

use crate::ticker::Ticker;
use cursor::Placed;
use follow::Follower;

/// How often the files are looked at.
pub(super) const INTERVAL: Duration = Duration::from_millis(500);
/// The source of its events and of its position.
const SOURCE: &str = "openclaw-log";
/// Events that are committed at once.
const EVENTS_MAX: usize = 256;
/// How often a position alone is committed: lines that tell nothing are not worth a write each.
const COMMIT_INTERVAL: Duration = Duration::from_secs(30);

/// What was read since the start.
#[derive(Debug, Default)]
pub(crate) struct GatewayLog {
    /// Lines of each kind, in the order of [`KINDS`].
    lines: [AtomicU64; KINDS.len()],
    error: Mutex<Option<String>>,
}

/// What lines are counted as.
const KINDS: [&str; 5] = [
    GatewayEventKind::Channel.name(),
    GatewayEventKind::Error.name(),
    GatewayEventKind::Config.name(),
    "other",
    "unreadable",
];

impl GatewayLog {
    /// Lines by their kind.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS.into_iter().zip(self.lines.iter().map(|lines| lines.load(Ordering::Relaxed)))
    }

    fn count(&self, kind: &str) {
        for (lines, _) in self.lines.iter().zip(KINDS).filter(|(_, name)| *name == kind) {
            lines.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells the log once of what hinders.
    fn note(&self, result: std::io::Result<()>) {
        let error = result.err().map(|error| error.to_string());
        let mut known = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = error.as_ref().filter(|_| *known != error) {
            tracing::warn!(error, "log_unreadable");
        }
        *known = error;
    }
}

/// What the thread works with.
pub(super) struct Task {
    pub(super) writer: Arc<Writer>,
    pub(super) ticker: Arc<Ticker>,
    pub(super) log: Arc<GatewayLog>,
    store: StoreId,
    follower: Follower,
    facts: Vec<Fact>,
    /// Whether more was read than the ledger knows of.
    is_ahead: bool,
    committed_at: Instant,
}

/// Starts the thread. It ends with its ticker, or with the process.
pub(super) fn spawn(mut task: Task) -> std::io::Result<()> {
    let run = move || {
        while task.poll() && task.ticker.tick(Duration::ZERO) {}
        task.commit();
    };
    std::thread::Builder::new().name("gateway-log".into()).spawn(run).map(drop)
}

impl Task {
    /// Goes on from where the ledger says.
    pub(super) fn new(
        path: &Path,
        reader: &Reader,
        writer: Arc<Writer>,
        ticker: Arc<Ticker>,
    ) -> Result<Self> {
        let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        let name = path.display().to_string();
        let store = StoreId::of_file(SOURCE, &name);
        let position = reader.position(&store)?.unwrap_or_default();
        Ok(Self {
            writer,
            ticker,
            log: Arc::default(),
            store,
            follower: Follower::new(&path, &position.state),
            facts: Vec::new(),
            is_ahead: false,
            committed_at: Instant::now(),
        })
    }

    /// Reads what is new. `false` once the ledger takes nothing more.
    fn poll(&mut self) -> bool {
        let mut result = self.follower.look();
        loop {
            let (log, facts) = (&self.log, &mut self.facts);
            match self.follower.next(|line| facts.extend(event(log, &line))) {
                Ok(true) => self.is_ahead = true,
                Ok(false) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            if self.facts.len() >= EVENTS_MAX && !self.commit() {
                return false;
            }
        }
        self.log.note(result);
        let is_due = !self.facts.is_empty() || self.committed_at.elapsed() >= COMMIT_INTERVAL;
        !is_due || self.commit()
    }

    /// Hands over what was read, and how far.
    fn commit(&mut self) -> bool {
        self.committed_at = Instant::now();
        if !std::mem::take(&mut self.is_ahead) {
            return true;
        }
        let position = Position { state: self.follower.state(), ..Position::default() };
        self.writer.submit(Batch {
            facts: std::mem::take(&mut self.facts),
            positions: vec![(self.store.clone(), position)],
            ..Batch::default()
        })
    }
}

/// The event that a line tells, if any. Every line is counted.
fn event(log: &GatewayLog, line: &Placed<'_>) -> Option<Fact> {
    match line.bytes.map(GatewayLine::read) {
        Some(GatewayLine::Event(event)) => {
            log.count(event.kind.name());
            Some(Fact::Event(Box::new(custom_event(*event, line))))
        }
        Some(GatewayLine::Other) => {
            log.count("other");
            None
        }
        Some(GatewayLine::Unreadable) | None => {
            log.count("unreadable");
            None
        }
    }
}

fn custom_event(event: GatewayEvent, line: &Placed<'_>) -> CustomEvent {
    let fields = [
        ("subsystem", event.subsystem),
        ("level", event.level.to_owned()),
        ("message", event.message),
        ("agent", event.agent),
        ("channel", event.channel),
    ];
    let told = fields.into_iter().filter(|(_, value)| !value.is_empty());
    let metadata: serde_json::Map<String, serde_json::Value> =
        told.map(|(name, value)| (name.to_owned(), value.into())).collect();
    let offset = line.offset.to_le_bytes();
    CustomEvent {
        key: Key::of(SOURCE, &[&line.head, &offset[..], line.bytes.unwrap_or_default()]),
        time: event.time,
        trace_id: None,
        source: SOURCE.into(),
        session: event.session.into(),
        name: event.kind.name().into(),
        metadata: Some(serde_json::Value::Object(metadata).to_string()),
    }
}
