//! What keeps a product's telemetry as it was decided: the thread, the decision, sealing, purging.
//!
//! Whoever calls in waits for no request: what is sent is sent on the thread, and without any lock.

mod decision;
mod past;
mod sealing;
mod sending;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use decision::Decided;
pub use past::Backfilled;
use serde_json::Value as Json;
use trueup_core::UnixMs;

use super::options::Options;
use super::outlets::Outlet;
use super::recording::{Intake, Outcome, Recorded, held};
use super::status::words;
use crate::backfill::Progress;
use crate::budget::{Class, Day};
use crate::consent::{Mode, StateFile};
use crate::deliver::Bounds;
use crate::errors::{self, Exceptions, Report, Told};
use crate::identity::Identity;
use crate::manifest::{Drops, Grain, Input, plan_of};
use crate::outbox::{event_uuid, hex};
use crate::rollup::Plan;
use crate::sink::Outgoing;
use crate::state::{Durability, Memory, Reach, Recorder, StateError, logs_in};

/// How long after a record it is written.
const PERSIST_AFTER: Duration = Duration::from_millis(250);
/// Events of their own that wait to be queued at most.
pub const ERRANDS_MAX: usize = 64;
/// How often something is tried again where another process holds the state, and after how long.
const BUSY_TRIES: u32 = 20;
const BUSY_WAIT: Duration = Duration::from_millis(10);
/// How far one flush may go.
const FLUSH: Bounds = Bounds { time_max: Duration::from_secs(30), failures_max: 3, jitter: 0 };
/// The longest that a shutdown may wait for the network.
const SHUTDOWN_MAX: Duration = Duration::from_secs(3);

/// Logs of open buckets that programs leave behind them before one of them seals them all.
const LEFT_MAX: usize = 32;

/// What came of a flush.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Requests that were queued.
    pub queued: u64,
    /// Events that stay on this machine.
    pub kept: u64,
    /// Requests that were made.
    pub requests: u64,
    /// Requests that arrived.
    pub sent: u64,
    /// How far the past is, where it is being told.
    pub past: Progress,
    /// What was wrong, in words.
    pub problem: Option<String>,
}

/// An event of its own on its way to the outbox.
#[derive(Debug, Clone)]
struct Errand {
    what: What,
    time: UnixMs,
    per_day_max: Option<u64>,
    /// Whether it was recorded when nothing might be sent.
    is_local: bool,
}

#[derive(Debug, Clone)]
enum What {
    Event(Outgoing),
    /// An error that may become an event of its own.
    Error(Told),
}

/// What ends a request that is under way, where there is one.
#[derive(Default)]
struct Stopper(Option<Box<dyn Fn() + Send + Sync>>);

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stopper").field(&self.0.is_some()).finish()
    }
}

#[derive(Debug)]
pub(super) struct Keeper {
    options: Options,
    intake: Intake,
    base: Vec<(String, Json)>,
    outlets: Vec<Outlet>,
    is_debug: bool,
    decided: Mutex<Decided>,
    errands: Mutex<VecDeque<Errand>>,
    exceptions: Mutex<Option<Exceptions>>,
    /// What is known of the outbox.
    memory: Memory,
    /// Held while a decision is followed.
    following: Mutex<()>,
    /// Held while the state changes, never while something is sent.
    sealing: Mutex<()>,
    /// Held by whoever sends.
    sending: Mutex<()>,
    /// What ends a request that is under way.
    stopper: Mutex<Stopper>,
    identity: Mutex<Option<Identity>>,
    /// What is wrong as long as the product is not opened anew.
    flaw: Option<String>,
    /// What is wrong until it goes well.
    problem: Mutex<Option<String>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    is_ended: AtomicBool,
    /// No request begins any more, not even to the end.
    is_cut: AtomicBool,
}

impl Keeper {
    pub(super) fn new(options: Options) -> Self {
        let manifest = Arc::clone(&options.manifest);
        let (plan, mut problem) = match plan_of(&manifest) {
            Ok(plan) => (plan, None),
            Err(error) => (Plan::default(), Some(words(&error))),
        };
        let own = options.is_driven.then(Durability::default);
        let intake = Intake::new(Arc::clone(&manifest), Arc::new(plan), own);
        let mut drops = Drops::default();
        let properties = options.base.iter().map(|(name, value)| (name.as_str(), value.into()));
        let base = manifest.accept_base(properties, &|token| intake.is_clean(token), &mut drops);
        if let Some((name, reason, _)) = drops.iter().next() {
            let told = || format!("the base field `{name}` is left out ({})", reason.name());
            problem = problem.or_else(|| Some(told()));
        }
        let base = base.iter().map(|(id, value)| (manifest.name(*id).to_owned(), value.into()));
        let outlets = Outlet::all(&manifest, &options.environment).unwrap_or_else(|wrong| {
            problem.get_or_insert(wrong);
            Vec::new()
        });
        let caps = manifest.budget.caps();
        let (places, rollups) = (outlets.len() as u64, caps.rollups());
        if rollups < places && !manifest.rollups.is_empty() {
            let few = format!(
                "`events_per_day` is {rollups}, which is too few for {places} places: no rollup is sent"
            );
            problem.get_or_insert(few);
        }
        let keeper = Self {
            base: base.collect(),
            outlets,
            is_debug: is_set(options.environment.debug.as_deref()),
            intake,
            decided: Mutex::new(Decided::now(&options)),
            errands: Mutex::default(),
            exceptions: Mutex::default(),
            memory: Memory::default(),
            following: Mutex::default(),
            sealing: Mutex::default(),
            sending: Mutex::default(),
            stopper: Mutex::default(),
            identity: Mutex::default(),
            flaw: problem,
            problem: Mutex::default(),
            thread: Mutex::default(),
            is_ended: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            options,
        };
        keeper.follow();
        keeper
    }

    pub(super) const fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn outlets(&self) -> &[Outlet] {
        &self.outlets
    }

    pub(super) fn base(&self) -> &[(String, Json)] {
        &self.base
    }

    pub(super) const fn intake(&self) -> &Intake {
        &self.intake
    }

    pub(super) fn now(&self) -> UnixMs {
        (self.options.clock)()
    }

    pub(super) fn file(&self) -> StateFile {
        StateFile::read(&self.options.file)
    }

    #[inline]
    pub(super) fn is_off(&self) -> bool {
        self.intake.is_off()
    }

    pub(super) fn problem(&self) -> Option<String> {
        held(&self.problem).clone().or_else(|| self.flaw.clone())
    }

    // --- recording -------------------------------------------------------------------------------

    pub(super) fn record(
        self: &Arc<Self>,
        event: &str,
        session: Option<&str>,
        properties: &[(&str, Input<'_>)],
    ) -> Recorded {
        let now = self.now();
        let recorded = self.intake.record(event, session, properties, now);
        if recorded.outcome != Outcome::UnknownEvent {
            self.wake();
            return recorded;
        }
        let rollups = self.options.manifest.rollups.iter().filter(|rollup| rollup.event == event);
        let mut single = rollups.filter_map(|rollup| match rollup.grain {
            Grain::Event { per_day_max } => Some(per_day_max),
            Grain::Session { .. } | Grain::Window(_) => None,
        });
        match single.next() {
            Some(per_day_max) => self.single(event, properties, (per_day_max, false)),
            None => recorded,
        }
    }

    pub(super) fn lifecycle(
        self: &Arc<Self>,
        event: &str,
        properties: &[(&str, Input<'_>)],
    ) -> Recorded {
        let mut lifecycles = self.options.manifest.lifecycles.iter();
        match lifecycles.find(|lifecycle| lifecycle.event == event) {
            Some(lifecycle) => {
                self.single(event, properties, (lifecycle.per_day_max, lifecycle.is_person))
            }
            None => Recorded { outcome: Outcome::UnknownEvent, drops: Drops::default() },
        }
    }

    fn single(
        self: &Arc<Self>,
        event: &str,
        properties: &[(&str, Input<'_>)],
        (per_day_max, is_person): (u64, bool),
    ) -> Recorded {
        let (kept, drops) = self.intake.accept(event, properties);
        let manifest = &self.options.manifest;
        let kept = kept.iter().map(|(id, value)| (manifest.name(*id).to_owned(), value.into()));
        let (time, seed) = (self.now(), hex(&(self.options.random)()));
        let day = Day::of(time).to_string();
        let outgoing = Outgoing {
            uuid: event_uuid(self.namespace(), &[event, &day, &seed]),
            name: event.to_owned(),
            class: Class::Lifecycle,
            time,
            is_person,
            properties: kept.collect(),
        };
        let is_local = self.is_local(self.intake.mode());
        let what = What::Event(outgoing);
        self.errand(Errand { what, time, per_day_max: Some(per_day_max), is_local }, drops)
    }

    /// Tells of an error.
    pub(super) fn report(self: &Arc<Self>, report: &Report<'_>) {
        let manifest = &self.options.manifest;
        let Some(errors) = &manifest.errors else { return };
        if !held(&self.decided).consent.errors {
            return;
        }
        let time = self.now();
        let told = errors::tell(report, errors.level);
        self.intake.error(errors::listed(told.as_ref()), time);
        self.wake();
        if let Some(told) = told.filter(|_| manifest.budget.exceptions_per_day > 0) {
            let is_local = self.is_local(self.intake.mode());
            let what = What::Error(told);
            self.errand(Errand { what, time, per_day_max: None, is_local }, Drops::default());
        }
    }

    fn errand(self: &Arc<Self>, errand: Errand, drops: Drops) -> Recorded {
        let mut errands = held(&self.errands);
        // Whoever ends this has set it before it looks at what waits here.
        if self.is_ended.load(Ordering::Acquire) {
            return Recorded { outcome: Outcome::Off, drops };
        }
        if errands.len() >= ERRANDS_MAX {
            return Recorded { outcome: Outcome::Full, drops };
        }
        errands.push_back(errand);
        drop(errands);
        self.wake();
        Recorded { outcome: Outcome::Taken, drops }
    }

    pub(super) fn end(self: &Arc<Self>, session: &str) {
        self.intake.end(session, self.now());
        self.wake();
    }

    /// Has the thread look: it is begun where there is none yet.
    fn wake(self: &Arc<Self>) {
        if !self.intake.is_first() {
            return;
        }
        if self.options.is_driven {
            if !self.intake.has_recorder() {
                self.persist();
            }
            return;
        }
        let mut thread = held(&self.thread);
        match &*thread {
            Some(running) if !running.is_finished() => running.thread().unpark(),
            Some(_) | None => {
                let weak = Arc::downgrade(self);
                let every = self.options.flush_every;
                let spawned = thread::Builder::new()
                    .name("telemetry".to_owned())
                    .spawn(move || run(&weak, every));
                match spawned {
                    Ok(handle) => *thread = Some(handle),
                    Err(error) => *held(&self.problem) = Some(words(&error)),
                }
            }
        }
    }

    /// Writes what was recorded.
    pub(super) fn persist(&self) {
        let now = self.now();
        let options = &self.options;
        let (folder, elsewhere) = (&options.state, Durability::ELSEWHERE);
        let open = |plan| Recorder::open(folder, plan, elsewhere, (options.random)(), now);
        self.note(told(self.intake.persist(open, now)));
    }

    /// Looks at the decision again, and follows it.
    pub(super) fn look_again(&self) {
        if !self.is_ended.load(Ordering::Acquire) {
            self.refresh(false);
        }
    }

    /// Looks at the decision, writes, seals and sends; all of it here.
    pub(super) fn flush(&self) -> Flushed {
        let Some(mut flushed) = self.write_and_seal(true) else { return Flushed::default() };
        self.send_on(&mut flushed);
        flushed
    }

    /// Looks at the decision, writes, and seals where it is time or something of its own waits. Where
    /// nothing was sealed, nothing.
    fn write_and_seal(&self, is_due: bool) -> Option<Flushed> {
        if self.is_ended.load(Ordering::Acquire) || self.refresh(false) == Mode::Off {
            return None;
        }
        let now = self.now();
        if self.intake.look() || self.intake.is_in_use() {
            self.persist();
        }
        let has_errands = !held(&self.errands).is_empty();
        let has_state = is_due && self.options.state.exists();
        if !has_errands && !has_state {
            return None;
        }
        let flushed = match self.seal(now) {
            Ok(sealed) => {
                Flushed { queued: sealed.queued, kept: sealed.kept, ..Flushed::default() }
            }
            Err(problem) => Flushed { problem: Some(problem), ..Flushed::default() },
        };
        if !is_due {
            held(&self.problem).clone_from(&flushed.problem);
        }
        Some(flushed)
    }

    /// Sends what is sealed, and says how far the past is.
    fn send_on(&self, flushed: &mut Flushed) {
        self.send(FLUSH, flushed);
        match self.progress() {
            Ok(past) => flushed.past = past,
            Err(problem) => flushed.problem = flushed.problem.take().or(Some(problem)),
        }
        held(&self.problem).clone_from(&flushed.problem);
    }

    /// The same on a thread of its own, where anything may leave: what is recorded meanwhile is written
    /// meanwhile.
    fn send_aside(self: &Arc<Self>, mut flushed: Flushed) {
        if self.sending_reach().is_none() {
            return self.send_on(&mut flushed);
        }
        let is_sending = matches!(self.sending.try_lock(), Err(TryLockError::WouldBlock));
        if is_sending {
            return self.note(flushed.problem.map_or(Ok(()), Err));
        }
        let keeper = Arc::clone(self);
        let send = move || keeper.send_on(&mut flushed);
        let spawned = thread::Builder::new().name("telemetry-send".to_owned()).spawn(send);
        self.note(spawned.map(drop).map_err(|error| words(&error)));
    }

    /// Ends it without sealing, unless much was left by others before, or an event of its own waits: those
    /// lie nowhere else.
    pub(super) fn leave(self: &Arc<Self>) {
        self.stop(|now, reach| {
            let has_errands = !held(&self.errands).is_empty();
            if has_errands || logs_in(&self.options.state) >= LEFT_MAX {
                self.note(self.seal_all(reach, now));
            } else if let Some(recorder) = self.intake.take() {
                self.note(told(recorder.close(now)));
            }
        });
    }

    /// Ends it.
    pub(super) fn shut_down(self: &Arc<Self>, bound: Duration) {
        self.stop(|now, reach| {
            let sealed = self.seal_all(reach, now);
            self.note(sealed);
            self.last_attempt(bound.min(SHUTDOWN_MAX));
        });
    }

    /// Ends it once: what was recorded is written, nothing more is, `last` does what is still to be done,
    /// and the thread ends. What comes later is answered as off, so that whatever was answered as taken is
    /// in it.
    fn stop(&self, last: impl FnOnce(UnixMs, Reach)) {
        if self.is_ended.swap(true, Ordering::AcqRel) {
            return;
        }
        self.intake.close();
        self.unpark();
        let (mode, now) = (self.intake.mode(), self.now());
        let is_local = self.is_local(mode);
        if mode != Mode::Off {
            if self.intake.is_in_use() {
                self.persist();
            }
            // From here on nothing is recorded.
            let reach = self.reach();
            self.intake.set_mode(Mode::Off, is_local);
            if let Some(reach) = reach {
                last(now, reach);
            }
        }
        self.is_cut.store(true, Ordering::Release);
        self.unpark();
    }

    /// Has the thread see that it ends, if it waits for something.
    fn unpark(&self) {
        if let Some(thread) = &*held(&self.thread) {
            thread.thread().unpark();
        }
    }

    /// Ends it as a kill would.
    pub(super) fn abandon(&self) {
        self.is_ended.store(true, Ordering::Release);
        self.is_cut.store(true, Ordering::Release);
        self.intake.set_mode(Mode::Off, true);
        self.intake.clear();
    }

    /// Remembers what is wrong, until a flush goes well.
    fn note(&self, result: Result<(), String>) {
        if let Err(problem) = result {
            *held(&self.problem) = Some(problem);
        }
    }
}

fn told<T>(result: Result<T, StateError>) -> Result<T, String> {
    result.map_err(|error| words(&error))
}

/// Whether a variable that is there means yes.
fn is_set(value: Option<&str>) -> bool {
    !matches!(value.map(str::trim), None | Some("" | "0" | "false" | "off" | "no"))
}

/// The thread: it writes a moment after a record, and seals now and then, after which another sends. It
/// ends with the last clone, with a shutdown, and where telemetry is off.
fn run(keeper: &Weak<Keeper>, every: Duration) {
    let mut due = Instant::now() + every;
    loop {
        let Some(keeper) = keeper.upgrade() else { return };
        if keeper.is_ended.load(Ordering::Acquire) || keeper.is_off() {
            return;
        }
        let is_due = Instant::now() >= due;
        let sealed = keeper.write_and_seal(is_due);
        if is_due {
            if let Some(flushed) = sealed {
                keeper.send_aside(flushed);
            }
            due = Instant::now() + every;
        }
        drop(keeper);
        thread::park_timeout(due.saturating_duration_since(Instant::now()));
        // Records that come one after the other are written together.
        thread::park_timeout(PERSIST_AFTER);
    }
}

/// Tries again while another process holds the state.
fn busy<T>(mut change: impl FnMut() -> Result<T, StateError>) -> Result<T, StateError> {
    for _ in 1..BUSY_TRIES {
        match change() {
            Err(StateError::Busy { .. }) => thread::park_timeout(BUSY_WAIT),
            other => return other,
        }
    }
    change()
}
