//! The thread that asks providers, and what others see of it.
//!
//! It looks now and then which days of which family are due, and asks for them. What fails is left
//! alone for a while, and longer each time: a provider that is away is not asked every minute.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use trueup_core::{BilledWidth, DAY_MS, Issue, IssueCode, UnixMs};
use trueup_ledger::{Reader, Writer};
use trueup_providers::{Family, Span};

use crate::clock;
use crate::config::Config;
use crate::pull::{Connection, Connections, DAYS_BACK, Puller, Store, Summary, Wanted, due};
use crate::ticker::Ticker;

/// How long a family that failed is left alone at first.
const REST_MIN: Duration = Duration::from_mins(10);
/// How long it is left alone at most.
const REST_MAX: Duration = Duration::from_hours(6);

/// The thread, as others see it.
#[derive(Debug, Default)]
pub(crate) struct Pull {
    seen: Mutex<Seen>,
}

/// What the thread has done so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// How many connections there are.
    pub(crate) connections: usize,
    /// When something was last told as a whole.
    pub(crate) last_pull: Option<UnixMs>,
    /// Everything since the start.
    pub(crate) total: Summary,
    /// What fails at present: connection and family, and why.
    pub(crate) failing: BTreeMap<(String, &'static str), Issue>,
    /// Why nothing at all can be asked.
    pub(crate) error: Option<String>,
}

impl Seen {
    /// In one word: `disabled`, `ready`, `ok` or `error`.
    pub(crate) fn status(&self) -> &'static str {
        match (self.error.is_some() || !self.failing.is_empty(), self.connections, self.last_pull) {
            (true, ..) => "error",
            (false, 0, _) => "disabled",
            (false, _, None) => "ready",
            (false, _, Some(_)) => "ok",
        }
    }

    /// What is wrong; one thing of several.
    pub(crate) fn error(&self) -> Option<String> {
        let failing = || {
            let ((connection, family), issue) = self.failing.first_key_value()?;
            Some(format!("{connection} {family}: {issue}"))
        };
        self.error.clone().or_else(failing)
    }

    /// Whether the owner must look at it: waiting will not help.
    pub(crate) fn is_degraded(&self) -> bool {
        let is_owners =
            |issue: &Issue| matches!(issue.code, IssueCode::KeyRefused | IssueCode::ScopeMissing);
        self.error.is_some() || self.failing.values().any(is_owners)
    }
}

impl Pull {
    /// What was done so far.
    pub(crate) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread works with.
pub(super) struct Task {
    pub(super) config: Config,
    pub(super) ledger: PathBuf,
    pub(super) writer: Arc<Writer>,
    pub(super) ticker: Arc<Ticker>,
    pub(super) pull: Arc<Pull>,
}

/// Starts the thread. It ends with its ticker, or with the process: a range that was under way goes on
/// where it was.
pub(super) fn spawn(task: Task) -> std::io::Result<()> {
    std::thread::Builder::new().name("pull".into()).spawn(move || task.run()).map(drop)
}

/// A family, its connection and its key.
type RestKey = (String, String, &'static str);

/// Families that failed: how often, and until when they are left alone.
type Resting = BTreeMap<RestKey, (u32, Instant)>;

/// A family, and the days of it that are due.
type Due = (&'static Family, Vec<Span>);

/// Another key is asked with at once.
fn rest_key(connection: &Connection, family: &Family) -> RestKey {
    (connection.name.clone(), connection.key_id(), family.name)
}

impl Task {
    fn run(&self) {
        let mut resting = Resting::new();
        loop {
            let error = self.look(&mut resting).err().map(|error| format!("{error:#}"));
            let mut seen = self.pull.lock();
            if let Some(error) = error.as_ref().filter(|error| seen.error.as_ref() != Some(error)) {
                tracing::warn!(error, "pull_failed");
            }
            seen.error = error;
            drop(seen);
            if !self.ticker.tick(Duration::ZERO) {
                return;
            }
        }
    }

    /// Asks for everything that is due.
    fn look(&self, resting: &mut Resting) -> Result<()> {
        // A connection may be added, or get another key, at any time.
        let connections = Connections::load(&self.config)?;
        self.pull.lock().connections = connections.iter().count();
        if connections.is_empty() {
            self.pull.lock().failing.clear();
            return Ok(());
        }
        let reader = Reader::open(&self.ledger)?.context("the ledger has vanished")?;
        for connection in connections.iter() {
            let due = due_of(&reader, connection, resting)?;
            // A client is only made where there is something to ask.
            if !due.is_empty() {
                self.ask(connection, &due, resting)?;
            }
        }
        Ok(())
    }

    fn ask(&self, connection: &Connection, due: &[Due], resting: &mut Resting) -> Result<()> {
        let pause = |wait| self.ticker.pause(wait);
        let store = Store::new(Arc::clone(&self.writer));
        let mut puller = Puller::new(connection, store, &pause);
        for (family, spans) in due {
            let is_whole = self.pull(&mut puller, connection, family, spans)?;
            note(resting, rest_key(connection, family), is_whole);
        }
        Ok(())
    }

    /// Asks for some ranges of a family; whether all of them came.
    fn pull(
        &self,
        puller: &mut Puller<'_>,
        connection: &Connection,
        family: &'static Family,
        spans: &[Span],
    ) -> Result<bool> {
        let mut summary = Summary::default();
        for span in spans {
            puller.pull(Wanted { family, span: *span, width: BilledWidth::Day }, &mut summary)?;
        }
        let is_whole = summary.processed > 0 && summary.failed == 0;
        self.tell(connection, family, summary);
        Ok(is_whole)
    }

    fn tell(&self, connection: &Connection, family: &'static Family, summary: Summary) {
        let (connection, name) = (connection.name.as_str(), family.name);
        let (rows, pages) = (summary.rows, summary.pages);
        if rows.stored + rows.updated > 0 {
            let (stored, updated) = (rows.stored, rows.updated);
            tracing::info!(connection, family = name, pages, stored, updated, "pulled");
        }
        let mut seen = self.pull.lock();
        let key = (connection.to_owned(), name);
        match summary.failures.first() {
            Some(failure) => {
                let issue = failure.issue.clone();
                if seen.failing.get(&key) != Some(&issue) {
                    let (code, detail) = (issue.code.name(), &issue.detail);
                    tracing::warn!(connection, family = name, code, detail, "pull_failed");
                }
                seen.failing.insert(key, issue);
            }
            None if seen.failing.remove(&key).is_some() => {
                tracing::info!(connection, family = name, "pull_recovered");
            }
            None => {}
        }
        if summary.processed > 0 {
            seen.last_pull = Some(clock::now());
        }
        seen.total.add(summary);
    }
}

/// What is due of a connection, but for what is left alone.
fn due_of(reader: &Reader, connection: &Connection, resting: &Resting) -> Result<Vec<Due>> {
    let mut all = Vec::new();
    for family in connection.provider.families() {
        let until = resting.get(&rest_key(connection, family)).map(|(_, until)| *until);
        let is_resting = until.is_some_and(|until| Instant::now() < until);
        let spans = spans_due(reader, connection, family)?;
        if !is_resting && !spans.is_empty() {
            all.push((family, spans));
        }
    }
    Ok(all)
}

/// The days of a family that are due.
fn spans_due(reader: &Reader, connection: &Connection, family: &Family) -> Result<Vec<Span>> {
    let now = clock::now();
    let from = UnixMs(now.floor(DAY_MS).0 - DAYS_BACK * DAY_MS);
    let known = reader.billed_buckets(&connection.name, family.name, BilledWidth::Day, from)?;
    Ok(due(family, &known, now))
}

/// A family that did not come is left alone, twice as long each time.
fn note(resting: &mut Resting, family: RestKey, is_whole: bool) {
    if is_whole {
        resting.remove(&family);
        return;
    }
    let (failed, until) = resting.entry(family).or_insert((0, Instant::now()));
    let rest = REST_MIN.saturating_mul(1 << (*failed).min(10)).min(REST_MAX);
    *failed += 1;
    *until = Instant::now() + rest;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_left_alone_for_longer_each_time() {
        let mut resting = Resting::new();
        let family = || ("main".to_owned(), "key_1".to_owned(), "costs");
        let mut rests = Vec::new();
        for _ in 0..8 {
            let before = Instant::now();
            note(&mut resting, family(), false);
            let (_, until) = resting[&family()];
            rests.push(until.duration_since(before).as_secs().div_ceil(60));
        }
        assert_eq!(rests, [10, 20, 40, 80, 160, 320, 360, 360]);
        note(&mut resting, family(), true);
        assert!(resting.is_empty());
    }

    #[test]
    fn one_word_says_how_it_stands() {
        let mut seen = Seen::default();
        assert_eq!((seen.status(), seen.is_degraded()), ("disabled", false));
        seen.connections = 1;
        assert_eq!(seen.status(), "ready");
        seen.last_pull = Some(UnixMs(1));
        assert_eq!(seen.status(), "ok");
        let issue = Issue::new(IssueCode::Throttled, "HTTP 429");
        seen.failing.insert(("main".into(), "costs"), issue);
        assert_eq!((seen.status(), seen.is_degraded()), ("error", false));
        assert_eq!(seen.error().as_deref(), Some("main costs: throttled: HTTP 429"));
        let issue = Issue::new(IssueCode::ScopeMissing, "");
        seen.failing.insert(("main".into(), "costs"), issue);
        assert!(seen.is_degraded());
    }
}
