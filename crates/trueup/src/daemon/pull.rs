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
/// How often it is asked what ids are called.
const NAMES_INTERVAL: Duration = Duration::from_hours(24);
/// How long it is left alone at most.
const REST_MAX: Duration = Duration::from_hours(6);
/// How often the thread looks where it is only asked for.
const ASKED_REST: Duration = Duration::from_hours(1);

/// The thread, as others see it.
#[derive(Debug, Default)]
pub(crate) struct Pull {
    seen: Mutex<Seen>,
    asked: Mutex<Asked>,
    /// What wakes the thread; `None` where there is none.
    ticker: Option<Arc<Ticker>>,
}

/// Pulls that somebody asked for.
#[derive(Debug, Default)]
struct Asked {
    /// How many were asked for, and how many of them are over.
    count: u64,
    answered: u64,
    /// Days that the next one takes in any case.
    days: i64,
    /// What came of the last one.
    last: Option<Result<Summary, String>>,
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
    /// Starts the thread, which pulls into the ledger of the settings: at an interval, or only when it is
    /// asked. It ends when it is told to, or with the process: a range that was under way goes on where it
    /// was.
    pub(crate) fn start(
        config: &Config,
        writer: &Arc<Writer>,
        interval: Option<Duration>,
    ) -> Result<Arc<Self>> {
        let ticker = Arc::new(Ticker::new(interval.unwrap_or(ASKED_REST)));
        let pull = Arc::new(Self { ticker: Some(Arc::clone(&ticker)), ..Self::default() });
        let task = Task {
            config: config.clone(),
            ledger: config.ledger(),
            writer: Arc::clone(writer),
            ticker,
            pull: Arc::clone(&pull),
            is_scheduled: interval.is_some(),
        };
        std::thread::Builder::new().name("pull".into()).spawn(move || task.run())?;
        Ok(pull)
    }

    /// Ends the thread, where there is one.
    pub(crate) fn end(&self) {
        if let Some(ticker) = &self.ticker {
            ticker.stop();
        }
    }

    /// What was done so far.
    pub(crate) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// Asks for a pull of what is due, and of the last so many days in any case; its number, to wait
    /// for.
    pub(crate) fn ask(&self, days: i64) -> u64 {
        let mut asked = self.lock_asked();
        let is_waited_for = asked.count > asked.answered;
        asked.days = if is_waited_for { asked.days.max(days) } else { days };
        asked.count += 1;
        let number = asked.count;
        drop(asked);
        if let Some(ticker) = &self.ticker {
            ticker.wake();
        }
        number
    }

    /// What came of the pull of this number; `None` while it is not over.
    pub(crate) fn answer(&self, number: u64) -> Option<Result<Summary, String>> {
        let asked = self.lock_asked();
        if asked.answered >= number { asked.last.clone() } else { None }
    }

    /// What is asked for and not answered: the number of the last one, and days.
    fn waiting(&self) -> Option<(u64, i64)> {
        let asked = self.lock_asked();
        (asked.count > asked.answered).then_some((asked.count, asked.days))
    }

    fn answered(&self, number: u64, came: Result<Summary, String>) {
        let mut asked = self.lock_asked();
        asked.answered = number;
        asked.last = Some(came);
    }

    fn lock_asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread works with.
struct Task {
    config: Config,
    ledger: PathBuf,
    writer: Arc<Writer>,
    ticker: Arc<Ticker>,
    pull: Arc<Pull>,
    /// Whether it pulls by itself, and not only when it is asked.
    is_scheduled: bool,
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
            let asked = self.pull.waiting();
            let came = if asked.is_some() || self.is_scheduled {
                self.look(&mut resting, asked.map(|(_, days)| days))
            } else {
                Ok(Summary::default())
            };
            let came = came.map_err(|error| format!("{error:#}"));
            let error = came.as_ref().err().cloned();
            if let Some((number, _)) = asked {
                self.pull.answered(number, came);
            }
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

    /// Asks for everything that is due; where somebody wants it, for the last so many days in any case,
    /// and also for what is left alone.
    fn look(&self, resting: &mut Resting, days: Option<i64>) -> Result<Summary> {
        let mut total = Summary::default();
        // A connection may be added, or get another key, at any time.
        let connections = Connections::load(&self.config)?;
        let mut seen = self.pull.lock();
        seen.connections = connections.iter().count();
        seen.failing.retain(|(name, _), _| connections.get(name).is_some());
        drop(seen);
        if connections.is_empty() {
            return Ok(total);
        }
        let reader = Reader::open(&self.ledger)?.context("the ledger has vanished")?;
        for connection in connections.iter() {
            if days.is_some() {
                resting.retain(|(name, ..), _| *name != connection.name);
            }
            let due = due_of(&reader, connection, resting, days.unwrap_or(0))?;
            // A client is only made where there is something to ask.
            if !due.is_empty() {
                total.add(self.ask(connection, &due, resting)?);
            }
        }
        Ok(total)
    }

    fn ask(&self, connection: &Connection, due: &[Due], resting: &mut Resting) -> Result<Summary> {
        let mut total = Summary::default();
        let pause = |wait| self.ticker.pause(wait);
        let store = Store::new(Arc::clone(&self.writer));
        let mut puller = Puller::new(connection, store, &pause);
        for (family, spans) in due {
            if puller.is_shut() {
                note(resting, rest_key(connection, family), false);
                continue;
            }
            let summary = self.pull(&mut puller, connection, family, spans)?;
            let is_whole = summary.processed > 0 && summary.failed == 0;
            note(resting, rest_key(connection, family), is_whole);
            total.add(summary);
        }
        let names = (connection.name.clone(), connection.key_id(), "names");
        let is_due = resting.get(&names).is_none_or(|(_, until)| Instant::now() >= *until);
        if is_due && !puller.is_shut() {
            let mut summary = Summary::default();
            puller.names(&mut summary)?;
            resting.insert(names, (0, Instant::now() + NAMES_INTERVAL));
            self.pull.lock().total.add(summary.clone());
            total.add(summary);
        }
        Ok(total)
    }

    /// Asks for some ranges of a family.
    fn pull(
        &self,
        puller: &mut Puller<'_>,
        connection: &Connection,
        family: &'static Family,
        spans: &[Span],
    ) -> Result<Summary> {
        let mut summary = Summary::default();
        for span in spans {
            puller.pull(Wanted { family, span: *span, width: BilledWidth::Day }, &mut summary)?;
        }
        self.tell(connection, family, summary.clone());
        Ok(summary)
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
            // A pull that the end of the process cut short has neither failed nor come.
            None if summary.processed == 0 && summary.issues.is_empty() => {}
            None => {
                if seen.failing.remove(&key).is_some() {
                    tracing::info!(connection, family = name, "pull_recovered");
                }
            }
        }
        if summary.processed > 0 {
            seen.last_pull = Some(clock::now());
        }
        seen.total.add(summary);
    }
}

/// What is due of a connection, but for what is left alone; the last so many days in any case.
fn due_of(
    reader: &Reader,
    connection: &Connection,
    resting: &Resting,
    days: i64,
) -> Result<Vec<Due>> {
    let mut all = Vec::new();
    for family in connection.provider.families() {
        let until = resting.get(&rest_key(connection, family)).map(|(_, until)| *until);
        let is_resting = until.is_some_and(|until| Instant::now() < until);
        let spans = spans_due(reader, connection, family, days)?;
        if !is_resting && !spans.is_empty() {
            all.push((family, spans));
        }
    }
    Ok(all)
}

/// The days of a family that are due.
fn spans_due(
    reader: &Reader,
    connection: &Connection,
    family: &Family,
    days: i64,
) -> Result<Vec<Span>> {
    let now = clock::now();
    let from = UnixMs(now.floor(DAY_MS).0 - DAYS_BACK * DAY_MS);
    let mut known = reader.billed_buckets(&connection.name, family.name, BilledWidth::Day, from)?;
    // What is wanted in any case is due as if it had never been told.
    known.retain(|bucket| bucket.start.0 <= now.floor(DAY_MS).0 - days * DAY_MS);
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
