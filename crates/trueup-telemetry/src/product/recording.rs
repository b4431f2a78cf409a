//! The way of a record: held against the manifest, and added up. Whoever records waits for nobody.
//!
//! Where another thread holds the sums the record waits in a short list, which whoever gets to the sums
//! next adds up first. Nobody holds them while the disk is waited for: what is to be written is taken
//! out of them first.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use trueup_core::UnixMs;

use crate::consent::Mode;
use crate::manifest::{Drops, FieldId, Input, Manifest, Route, Routes, Value};
use crate::redact::{Level, Limits, Redactor};
use crate::rollup::{self, Plan, SessionId};
use crate::state::{Durability, Handed, Health, Recorder, Sealed, StateError};

/// Records that wait for the sums at most; what comes when so many wait is counted, and dropped.
pub const WAITING_MAX: usize = 1_024;
/// Sessions whose hash is remembered.
const SESSIONS_MAX: usize = 256;
/// Tokens of which it is remembered that they may leave.
const CLEAN_MAX: usize = 512;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Telemetry is off, or was shut down: nothing is kept.
    Off,
    /// It was taken, as far as the manifest allows.
    Taken,
    /// The manifest has no such event, or none that takes records.
    UnknownEvent,
    /// Its event adds up sessions, and none was named.
    NoSession,
    /// Too many wait: it was dropped.
    Full,
}

/// What became of a record, and of what in it is not in the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// What became of it.
    pub outcome: Outcome,
    /// Properties that were dropped.
    pub drops: Drops,
}

/// What waits for the sums.
#[derive(Debug)]
enum Work {
    Record { event: String, session: Option<String>, kept: Vec<(FieldId, Value)>, now: UnixMs },
    End { session: String, now: UnixMs },
    Error { listed: String, now: UnixMs },
}

/// What waits, the oldest first.
#[derive(Debug, Default)]
struct Waiting {
    /// Each with whether it stays on this machine, whatever is decided until it is added up.
    works: VecDeque<(bool, Work)>,
    is_local: bool,
    /// Nothing is taken any more.
    is_closed: bool,
}

/// The sums, once there is something in them.
#[derive(Debug, Default)]
struct Sums {
    recorder: Option<Recorder>,
    sessions: HashMap<String, SessionId>,
    is_local: bool,
}

/// All that a record passes.
#[derive(Debug)]
pub(super) struct Intake {
    manifest: Arc<Manifest>,
    pub(super) plan: Arc<Plan>,
    routes: Routes,
    redactor: Redactor,
    /// How far the log may be behind before whoever records writes it; nothing where a thread does.
    own: Option<Durability>,
    mode: AtomicU8,
    /// Held, before the sums, by whoever writes them: one after the other, so that of two lines about a
    /// bucket the later one is behind the earlier. Whoever records never waits for it.
    writing: Mutex<()>,
    sums: Mutex<Sums>,
    waiting: Mutex<Waiting>,
    waiting_len: AtomicUsize,
    is_dirty: AtomicBool,
    refused: AtomicU64,
    clean: Mutex<HashSet<Box<str>>>,
    drops: Mutex<Drops>,
}

/// A lock, also where somebody panicked with it: what it guards is sums, of which each is whole.
pub(crate) fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Intake {
    pub(super) fn new(manifest: Arc<Manifest>, plan: Arc<Plan>, own: Option<Durability>) -> Self {
        Self {
            routes: Routes::of(&manifest, &plan),
            redactor: Redactor::new(Level::Redacted),
            manifest,
            plan,
            own,
            mode: AtomicU8::new(0),
            writing: Mutex::default(),
            sums: Mutex::default(),
            waiting: Mutex::default(),
            waiting_len: AtomicUsize::new(0),
            is_dirty: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            clean: Mutex::default(),
            drops: Mutex::default(),
        }
    }

    pub(super) fn mode(&self) -> Mode {
        Mode::ALL.into_iter().nth(self.mode.load(Ordering::Acquire).into()).unwrap_or(Mode::Off)
    }

    pub(super) fn is_off(&self) -> bool {
        self.mode.load(Ordering::Relaxed) == 0
    }

    /// From now on this is the mode. What was recorded before stays what it was.
    pub(super) fn set_mode(&self, mode: Mode, is_local: bool) {
        if mode != Mode::Off {
            let mut sums = held(&self.sums);
            self.catch_up(&mut sums);
            held(&self.waiting).is_local = is_local;
            sums.is_local = is_local;
            if let Some(recorder) = &mut sums.recorder {
                recorder.mark_local(is_local);
            }
        }
        self.mode
            .store(Mode::ALL.iter().position(|it| *it == mode).map_or(0, index), Ordering::Release);
    }

    /// Drops all that was recorded here.
    pub(super) fn clear(&self) {
        let _writing = held(&self.writing);
        let mut sums = held(&self.sums);
        *sums = Sums { is_local: sums.is_local, ..Sums::default() };
        held(&self.waiting).works.clear();
        self.waiting_len.store(0, Ordering::Release);
        // Nothing is left to look at: the next record says so again, and finds a thread or begins one.
        self.is_dirty.store(false, Ordering::Release);
    }

    /// Takes a record.
    pub(super) fn record(
        &self,
        event: &str,
        session: Option<&str>,
        properties: &[(&str, Input<'_>)],
        now: UnixMs,
    ) -> Recorded {
        let Some(route) = self.routes.event(event) else {
            return Recorded { outcome: Outcome::UnknownEvent, drops: Drops::default() };
        };
        let (kept, drops) = self.accept(event, properties);
        let outcome = match session {
            None if route.needs_session => Outcome::NoSession,
            _ => self.add(event, route, session, kept, now),
        };
        Recorded { outcome, drops }
    }

    /// What of a record is kept, and what is dropped.
    pub(super) fn accept(
        &self,
        event: &str,
        properties: &[(&str, Input<'_>)],
    ) -> (Vec<(FieldId, Value)>, Drops) {
        let mut drops = Drops::default();
        let properties = properties.iter().copied();
        let kept =
            self.manifest.accept(event, properties, &|token| self.is_clean(token), &mut drops);
        if !drops.is_empty() {
            held(&self.drops).merge(&drops);
        }
        (kept, drops)
    }

    fn add(
        &self,
        event: &str,
        route: &Route,
        session: Option<&str>,
        kept: Vec<(FieldId, Value)>,
        now: UnixMs,
    ) -> Outcome {
        let sums = match self.sums.try_lock() {
            Ok(sums) => Some(sums),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(mut sums) = sums.filter(|sums| sums.recorder.is_some()) {
            self.catch_up(&mut sums);
            add(&mut sums, route, session, &kept, now);
            let recorder = sums.recorder.as_ref().zip(self.own);
            let is_behind = recorder.is_some_and(|(recorder, own)| recorder.is_behind(own, now));
            drop(sums);
            if is_behind {
                self.write(&held(&self.writing), now);
            }
            return Outcome::Taken;
        }
        let (event, session) = (event.to_owned(), session.map(str::to_owned));
        self.wait(Work::Record { event, session, kept, now })
    }

    /// Ends a session.
    pub(super) fn end(&self, session: &str, now: UnixMs) {
        self.wait(Work::End { session: session.to_owned(), now });
    }

    /// Counts an error in the rollup that carries errors.
    pub(super) fn error(&self, listed: String, now: UnixMs) -> Outcome {
        if self.routes.errors().is_none() {
            return Outcome::UnknownEvent;
        }
        self.wait(Work::Error { listed, now })
    }

    fn wait(&self, work: Work) -> Outcome {
        let mut waiting = held(&self.waiting);
        if waiting.is_closed {
            return Outcome::Off;
        }
        // Ends have room behind records: an end makes whole what is there.
        let is_record = !matches!(work, Work::End { .. });
        let max = if is_record { WAITING_MAX } else { 2 * WAITING_MAX };
        if waiting.works.len() >= max {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Outcome::Full;
        }
        let is_local = waiting.is_local;
        waiting.works.push_back((is_local, work));
        self.waiting_len.store(waiting.works.len(), Ordering::Release);
        Outcome::Taken
    }

    /// From now on nothing waits here: what comes, and finds no recorder, is answered as off.
    pub(super) fn close(&self) {
        held(&self.waiting).is_closed = true;
    }

    /// Adds up what waits.
    fn catch_up(&self, sums: &mut Sums) {
        if self.waiting_len.load(Ordering::Acquire) == 0 || sums.recorder.is_none() {
            return;
        }
        let works = {
            let mut waiting = held(&self.waiting);
            self.waiting_len.store(0, Ordering::Release);
            std::mem::take(&mut waiting.works)
        };
        for (is_local, work) in works {
            if let Some(recorder) = &mut sums.recorder {
                recorder.mark_local(is_local);
            }
            self.add_up(sums, work);
        }
        if let Some(recorder) = &mut sums.recorder {
            recorder.mark_local(sums.is_local);
        }
    }

    fn add_up(&self, sums: &mut Sums, work: Work) {
        match work {
            Work::Record { event, session, kept, now } => {
                if let Some(route) = self.routes.event(&event) {
                    add(sums, route, session.as_deref(), &kept, now);
                }
            }
            Work::Error { listed, now } => {
                let error = self.routes.errors().zip(sums.recorder.as_mut());
                if let Some(((rollup, field), recorder)) = error {
                    recorder.note(rollup, None, &[(field, rollup::Value::Text(&listed))], now);
                }
            }
            Work::End { session, now } => {
                sums.sessions.remove(&session);
                if let Some(recorder) = &mut sums.recorder {
                    recorder.end(recorder.session(&session), now);
                }
            }
        }
    }

    /// Whether something was recorded since the last look, and nobody has said so before.
    pub(super) fn is_first(&self) -> bool {
        // Most often it was said: to look is much cheaper than to say it again.
        !self.is_dirty.load(Ordering::Acquire) && !self.is_dirty.swap(true, Ordering::AcqRel)
    }

    /// Whether anything was recorded since the last look.
    pub(super) fn look(&self) -> bool {
        self.is_dirty.swap(false, Ordering::AcqRel)
    }

    pub(super) fn has_recorder(&self) -> bool {
        held(&self.sums).recorder.is_some()
    }

    /// Whether there is a recorder, or something that needs one.
    pub(super) fn is_in_use(&self) -> bool {
        self.waiting_len.load(Ordering::Acquire) > 0 || held(&self.sums).recorder.is_some()
    }

    /// Has a recorder, adds up what waits, and writes it.
    pub(super) fn persist(
        &self,
        open: impl FnOnce(Arc<Plan>) -> Result<Recorder, StateError>,
        now: UnixMs,
    ) -> Result<(), StateError> {
        let writing = held(&self.writing);
        // Somebody may have turned it off since the caller looked, and cleared what was here.
        if self.is_off() {
            return Ok(());
        }
        if !self.has_recorder() {
            let mut recorder = open(Arc::clone(&self.plan))?;
            let mut sums = held(&self.sums);
            recorder.mark_local(sums.is_local);
            // Whoever turns it off in this moment waits for `writing`, and clears or ends this.
            sums.recorder = Some(recorder);
        }
        self.write(&writing, now);
        Ok(())
    }

    /// Adds up what waits, and writes what is not in the log yet, without the sums in its hold while it
    /// waits for the disk.
    fn write(&self, _writing: &MutexGuard<'_, ()>, now: UnixMs) {
        let take = |recorder: &mut Recorder| recorder.take_changes(now);
        while let Some(changes) = self.with_recorder(take).flatten() {
            let attempt = changes.write();
            let has_more = self.with_recorder(|recorder| {
                recorder.settle(attempt);
                recorder.has_more()
            });
            if has_more != Some(true) {
                break;
            }
        }
        let long = self.with_recorder(|recorder| recorder.long_log());
        if let Some((log, all)) = long.flatten() {
            log.rewrite(&all, &self.plan);
        }
    }

    /// Does something with the recorder, where there is one, once what waits is added up.
    fn with_recorder<T>(&self, work: impl FnOnce(&mut Recorder) -> T) -> Option<T> {
        let mut sums = held(&self.sums);
        self.catch_up(&mut sums);
        sums.recorder.as_mut().map(work)
    }

    pub(super) fn hand_over(&self, now: UnixMs) -> Option<Handed> {
        let writing = held(&self.writing);
        self.with_recorder(|recorder| recorder.sweep(now));
        self.write(&writing, now);
        self.with_recorder(|recorder| recorder.hand_over_rest(now))
    }

    pub(super) fn forget(&self, sealed: &Sealed) -> Result<(), StateError> {
        let _writing = held(&self.writing);
        let mut sums = held(&self.sums);
        sums.recorder.as_mut().map_or(Ok(()), |recorder| recorder.forget(sealed))
    }

    /// The recorder, to be ended: nothing is recorded here any more.
    pub(super) fn take(&self) -> Option<Recorder> {
        let _writing = held(&self.writing);
        let mut sums = held(&self.sums);
        self.catch_up(&mut sums);
        sums.recorder.take()
    }

    pub(super) fn health(&self) -> Health {
        held(&self.sums).recorder.as_ref().map(Recorder::health).unwrap_or_default()
    }

    /// Records that were dropped because too many waited.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(super) fn drops(&self) -> Drops {
        held(&self.drops).clone()
    }

    /// Whether a token may leave: whether the redactor would let it stand.
    pub(super) fn is_clean(&self, token: &str) -> bool {
        if held(&self.clean).contains(token) {
            return true;
        }
        let is_clean = self.redactor.redact(token, Limits::MESSAGE).as_deref() == Ok(token);
        if is_clean {
            let mut clean = held(&self.clean);
            if clean.len() >= CLEAN_MAX {
                clean.clear();
            }
            clean.insert(token.into());
        }
        is_clean
    }
}

fn index(place: usize) -> u8 {
    u8::try_from(place).unwrap_or(0)
}

fn add(
    sums: &mut Sums,
    route: &Route,
    session: Option<&str>,
    kept: &[(FieldId, Value)],
    now: UnixMs,
) {
    let Sums { recorder: Some(recorder), sessions, .. } = sums else { return };
    let session = session.filter(|_| route.needs_session).map(|key| hash(sessions, recorder, key));
    let mut values = Vec::with_capacity(kept.len());
    route.values(kept, &mut values);
    recorder.record(route.rollup, session, &values, now);
}

/// The hash of a session's key, which is remembered while it lasts.
fn hash(sessions: &mut HashMap<String, SessionId>, recorder: &Recorder, key: &str) -> SessionId {
    if let Some(hash) = sessions.get(key) {
        return *hash;
    }
    if sessions.len() >= SESSIONS_MAX {
        sessions.clear();
    }
    let hash = recorder.session(key);
    sessions.insert(key.to_owned(), hash);
    hash
}
