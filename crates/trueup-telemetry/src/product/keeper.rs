//! What keeps a product's telemetry as it was decided: the thread, the decision, sealing, purging.
//!
//! Whoever calls in waits for no request: what is sent is sent on the thread, and without any lock.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError, Weak, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json};
use trueup_core::UnixMs;
use uuid::Uuid;

use super::options::Options;
use super::outlets::Outlet;
use super::recording::{BEHIND, Intake, Outcome, Recorded, held};
use super::status::words;
use crate::budget::{Class, Day};
use crate::consent::{Consent, Evidence, Mode, StateFile, WriteError, decide};
use crate::deliver::{self, Bounds, Delivered, Ended, deliver};
use crate::errors::{self, Exceptions, Report, Told};
use crate::identity::{self, Found, Identity};
use crate::manifest::{Drops, Grain, Input, Value, plan_of};
use crate::outbox::{Draft, Item, event_uuid, hex};
use crate::rollup::Plan;
use crate::sink::Outgoing;
use crate::state::{Durability, Event, Look, Reach, Recorder, Sealed, Settings, StateError, Store};

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
/// How often whoever waits for another attempt looks whether that is still wanted.
const WAIT_LOOK: Duration = Duration::from_millis(200);

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

/// The decision, and the files of which it was made, as they were.
#[derive(Debug)]
struct Decided {
    consent: Consent,
    stamps: [Option<Stamp>; 2],
}

/// By what a file is known to be as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    changed: (i64, i64),
    bytes: u64,
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
    /// Held while the state changes, never while something is sent.
    sealing: Mutex<()>,
    /// Held by whoever sends.
    sending: Mutex<()>,
    identity: Mutex<Option<Identity>>,
    /// What is wrong as long as the product is not opened anew.
    flaw: Option<String>,
    /// What is wrong until it goes well.
    problem: Mutex<Option<String>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    is_ended: AtomicBool,
    /// Nothing is sent any more, not even to the end.
    is_cut: AtomicBool,
}

impl Keeper {
    pub(super) fn new(options: Options) -> Self {
        let manifest = Arc::clone(&options.manifest);
        let (plan, mut problem) = match plan_of(&manifest) {
            Ok(plan) => (plan, None),
            Err(error) => (Plan::default(), Some(words(&error))),
        };
        let intake = Intake::new(Arc::clone(&manifest), Arc::new(plan));
        let mut drops = Drops::default();
        let properties = options.base.iter().map(|(name, value)| (name.as_str(), value.into()));
        let base = manifest.accept_base(properties, &|token| intake.is_clean(token), &mut drops);
        if let Some((name, reason, _)) = drops.iter().next() {
            let told = || format!("the base field `{name}` is left out ({})", reason.name());
            problem = problem.or_else(|| Some(told()));
        }
        let base = base.iter().map(|(id, value)| (manifest.name(*id).to_owned(), json(value)));
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
            sealing: Mutex::default(),
            sending: Mutex::default(),
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
        let kept = kept.iter().map(|(id, value)| (manifest.name(*id).to_owned(), json(value)));
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

    // --- the decision ----------------------------------------------------------------------------

    pub(super) fn consent(&self) -> Consent {
        held(&self.decided).consent.clone()
    }

    /// Writes a decision, and follows it.
    pub(super) fn decide(&self, mode: Mode) -> Result<(), WriteError> {
        let written = StateFile::write_decision(&self.options.file, mode, self.now());
        self.refresh(true);
        written
    }

    pub(super) fn notice_shown(&self) -> Result<(), WriteError> {
        let written = StateFile::write_notice_shown(&self.options.file, self.now());
        self.refresh(true);
        written
    }

    /// Looks at the decision again, where its files may have changed, and follows it.
    fn refresh(&self, is_known: bool) -> Mode {
        let stamps = stamps(&self.options);
        let mut decided = held(&self.decided);
        if is_known || decided.stamps != stamps {
            *held(&self.identity) = None;
            *held(&self.exceptions) = None;
            let fresh = Decided::now(&self.options);
            let is_other = fresh.consent != decided.consent;
            *decided = fresh;
            drop(decided);
            if is_other {
                self.follow();
            }
        }
        self.intake.mode()
    }

    /// Does what was decided.
    fn follow(&self) {
        let mode =
            if self.is_ended.load(Ordering::Acquire) { Mode::Off } else { self.decided_mode() };
        let is_local = self.is_local(mode);
        self.intake.set_mode(mode, is_local, self.now());
        if mode == Mode::Off && !self.options.is_onlooker {
            self.note(told(self.purge()));
        }
    }

    /// The mode; off where nothing can be recorded.
    fn decided_mode(&self) -> Mode {
        let mode = held(&self.decided).consent.mode;
        let has_nothing = self.intake.plan.is_empty()
            && self.options.manifest.lifecycles.is_empty()
            && self.options.manifest.rollups.is_empty();
        if has_nothing { Mode::Off } else { mode }
    }

    /// Whether what is recorded now stays on this machine.
    fn is_local(&self, mode: Mode) -> bool {
        mode != Mode::On || self.outlets.is_empty() || self.is_debug
    }

    /// Deletes what was recorded and not sent.
    pub(super) fn purge(&self) -> Result<(), StateError> {
        let _sealing = held(&self.sealing);
        self.intake.clear();
        held(&self.errands).clear();
        let mut store = self.store(Reach::Local, &Identity::None);
        busy(|| store.purge())
    }

    // --- the thread ------------------------------------------------------------------------------

    /// Writes what was recorded.
    pub(super) fn persist(&self) {
        let now = self.now();
        let options = &self.options;
        let durability = if options.is_driven { Durability::default() } else { BEHIND };
        let open = |plan| Recorder::open(&options.state, plan, durability, (options.random)(), now);
        self.note(told(self.intake.persist(open, now)));
    }

    /// Looks at the decision, writes, and, where it is time, seals and sends.
    pub(super) fn flush(&self, is_due: bool) -> Flushed {
        if self.is_ended.load(Ordering::Acquire) || self.refresh(false) == Mode::Off {
            return Flushed::default();
        }
        let now = self.now();
        if self.intake.look() || self.intake.is_in_use() {
            self.persist();
        }
        let has_errands = !held(&self.errands).is_empty();
        let has_state = is_due && self.options.state.exists();
        if !has_errands && !has_state {
            return Flushed::default();
        }
        let mut flushed = match self.seal(now) {
            Ok(sealed) => {
                Flushed { queued: sealed.queued, kept: sealed.kept, ..Flushed::default() }
            }
            Err(problem) => Flushed { problem: Some(problem), ..Flushed::default() },
        };
        if is_due {
            self.send(FLUSH, &mut flushed);
        }
        held(&self.problem).clone_from(&flushed.problem);
        flushed
    }

    /// Seals what has ended.
    fn seal(&self, now: UnixMs) -> Result<Sealed, String> {
        let _sealing = held(&self.sealing);
        let Some(reach) = self.reach() else { return Ok(Sealed::default()) };
        let identity = self.identity(reach)?;
        let mut store = self.store(reach, &identity);
        let sealed = || {
            self.run_errands(&mut store, &identity, (reach, now))?;
            let handed = self.intake.hand_over(now);
            let mut encode = |event: &Event| self.encode(event, &identity, now);
            let sealed = store.seal(handed.as_ref(), now, &mut encode)?;
            self.intake.forget(&sealed)?;
            Ok(sealed)
        };
        told(busy(sealed))
    }

    /// By what events are told apart: made now, where something may be sent, and this is the first.
    fn identity(&self, reach: Reach) -> Result<Identity, String> {
        let kind = self.options.manifest.id;
        if reach == Reach::Local {
            return Ok(match identity::find(kind, &self.file()) {
                Found::Made(identity) => identity,
                Found::NotYet | Found::NotAnId { .. } | Found::Unreadable => Identity::None,
            });
        }
        let mut known = held(&self.identity);
        if let Some(identity) = &*known {
            return Ok(identity.clone());
        }
        let made = identity::obtain(kind, &self.options.file).map_err(|error| words(&error))?;
        Ok(known.insert(made).clone())
    }

    /// What may be sent of all that is recorded; nothing at all where telemetry is off.
    fn reach(&self) -> Option<Reach> {
        let mode = self.intake.mode();
        if mode == Mode::Off {
            return None;
        }
        if self.is_local(mode) {
            return Some(Reach::Local);
        }
        let as_of = held(&self.decided).consent.as_of;
        Some(Reach::Since(as_of.unwrap_or(UnixMs(i64::MIN))))
    }

    fn run_errands(
        &self,
        store: &mut Store,
        identity: &Identity,
        (reach, now): (Reach, UnixMs),
    ) -> Result<(), StateError> {
        loop {
            let Some(errand) = held(&self.errands).front().cloned() else { return Ok(()) };
            let Errand { what, time, per_day_max, is_local } = errand;
            let outgoing = match what {
                What::Event(outgoing) => Some(outgoing),
                What::Error(told) => self.exception(store, identity, &told, time)?,
            };
            let Some(outgoing) = outgoing else {
                held(&self.errands).pop_front();
                continue;
            };
            let is_local = is_local || reach.withholds(outgoing.time);
            let outlets = self.outlets.iter().map(|outlet| Some(outlet.name.clone()));
            let to = if is_local { vec![None] } else { outlets.collect() };
            let drafts = to.into_iter().map(|sink| {
                let body = self.bytes(sink.as_deref(), &outgoing, identity, now);
                let (class, event, uuids) =
                    (outgoing.class, outgoing.name.clone(), vec![outgoing.uuid]);
                (sink, Draft { class, event, uuids, day: Day::of(outgoing.time), body })
            });
            store.queue_each(drafts.collect(), Some(outgoing.time), per_day_max, now)?;
            held(&self.errands).pop_front();
        }
    }

    /// The event that an error becomes, if it is the first of its kind today.
    fn exception(
        &self,
        store: &Store,
        identity: &Identity,
        told: &Told,
        time: UnixMs,
    ) -> Result<Option<Outgoing>, StateError> {
        let mut known = held(&self.exceptions);
        if known.is_none() {
            let max = self.options.manifest.budget.exceptions_per_day;
            let mut fresh = Exceptions::new(self.namespace(), install(identity), max);
            fresh.resume(&store.look(time)?.items, time);
            *known = Some(fresh);
        }
        Ok(known.as_mut().and_then(|known| known.first(told, time)))
    }

    // --- sending ---------------------------------------------------------------------------------

    /// Sends what may be sent, unless somebody does already.
    fn send(&self, bounds: Bounds, flushed: &mut Flushed) {
        let sending = match self.sending.try_lock() {
            Ok(sending) => sending,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        for outlet in &self.outlets {
            if !self.may_send() {
                break;
            }
            match busy(|| self.deliver(outlet, bounds)) {
                Ok(delivered) => {
                    flushed.requests += delivered.requests;
                    flushed.sent += delivered.items;
                    let wrong = match delivered.ended {
                        Ended::Failed(words) | Ended::Stopped(words) => Some(words),
                        Ended::Done | Ended::Short(_) | Ended::OutOfTime | Ended::Forbidden => None,
                    };
                    let wrong = wrong.map(|words| format!("{}: {words}", outlet.sink.kind()));
                    flushed.problem = flushed.problem.take().or(wrong);
                }
                Err(error) => flushed.problem = Some(words(&error)),
            }
        }
        drop(sending);
    }

    fn deliver(&self, outlet: &Outlet, bounds: Bounds) -> Result<Delivered, StateError> {
        let Some(reach) = self.sending_reach() else {
            let ended = Ended::Forbidden;
            return Ok(Delivered { requests: 0, items: 0, quarantined: 0, refused: vec![], ended });
        };
        let manifest = &self.options.manifest;
        let mut store = self.store(reach, &Identity::None).only(&outlet.name);
        let encoder = outlet.encoder(manifest, &self.base, "");
        let mut transport = outlet.transport(&self.options);
        let clock = Waiting { keeper: self, began: Instant::now() };
        let [first, ..] = (self.options.random)();
        let seed = u64::from(first) ^ self.now().0.cast_unsigned();
        let bounds = Bounds { jitter: seed, ..bounds };
        deliver(&mut store, &encoder, &mut *transport, &clock, &|| self.may_send(), bounds)
    }

    /// Whether something may leave at this moment: the decision is looked at again.
    fn may_send(&self) -> bool {
        self.refresh(false);
        self.sending_reach().is_some()
    }

    /// What may be sent, where anything may; also while this ends.
    fn sending_reach(&self) -> Option<Reach> {
        let decided = held(&self.decided);
        let is_allowed =
            !self.is_local(decided.consent.mode) && !self.is_cut.load(Ordering::Acquire);
        let since = decided.consent.as_of.unwrap_or(UnixMs(i64::MIN));
        is_allowed.then_some(Reach::Since(since))
    }

    /// Ends it.
    pub(super) fn shut_down(self: &Arc<Self>, bound: Duration) {
        if self.is_ended.swap(true, Ordering::AcqRel) {
            return;
        }
        let mode = self.intake.mode();
        let now = self.now();
        let is_local = self.is_local(mode);
        if mode != Mode::Off {
            if self.intake.is_in_use() {
                self.persist();
            }
            // From here on nothing is recorded.
            let reach = self.reach();
            self.intake.set_mode(Mode::Off, is_local, now);
            if let Some(reach) = reach {
                let sealed = self.seal_all(reach, now);
                self.note(sealed);
                self.last_attempt(bound.min(SHUTDOWN_MAX));
            }
        }
        self.is_cut.store(true, Ordering::Release);
        let thread = held(&self.thread).take();
        if let Some(thread) = thread {
            thread.thread().unpark();
        }
    }

    /// Ends it as a kill would.
    pub(super) fn abandon(&self) {
        self.is_ended.store(true, Ordering::Release);
        self.is_cut.store(true, Ordering::Release);
        self.intake.set_mode(Mode::Off, true, self.now());
        self.intake.clear();
    }

    /// One attempt to send, for no longer than `bound`: whoever waits for the end of a program waits no
    /// longer, whatever the network does.
    fn last_attempt(self: &Arc<Self>, bound: Duration) {
        if bound.is_zero() || !self.may_send() {
            return;
        }
        let bounds = Bounds { time_max: bound, failures_max: 1, jitter: 0 };
        if self.options.is_driven {
            return self.send(bounds, &mut Flushed::default());
        }
        let (done, ended) = mpsc::sync_channel(1);
        let keeper = Arc::clone(self);
        let attempt = move || {
            keeper.send(bounds, &mut Flushed::default());
            // Nobody listens any more where it took too long.
            let _is_heard = done.send(()).is_ok();
        };
        if thread::Builder::new().name("telemetry-end".to_owned()).spawn(attempt).is_ok() {
            let _is_done = ended.recv_timeout(bound).is_ok();
        }
    }

    fn seal_all(&self, reach: Reach, now: UnixMs) -> Result<(), String> {
        let _sealing = held(&self.sealing);
        let has_errands = !held(&self.errands).is_empty();
        let recorder = self.intake.take();
        if !has_errands && recorder.is_none() {
            return Ok(());
        }
        let identity = self.identity(reach)?;
        let mut store = self.store(reach, &identity);
        told(busy(|| self.run_errands(&mut store, &identity, (reach, now))))?;
        let Some(mut recorder) = recorder else { return Ok(()) };
        recorder.end_all(now);
        let handed = recorder.hand_over(now);
        let mut encode = |event: &Event| self.encode(event, &identity, now);
        let sealed = told(busy(|| store.seal(Some(&handed), now, &mut encode)))?;
        if !sealed.is_purged {
            told(recorder.forget(&sealed))?;
            told(recorder.close(now))?;
        }
        Ok(())
    }

    // --- the state -------------------------------------------------------------------------------

    fn store(&self, reach: Reach, identity: &Identity) -> Store {
        let settings = Settings {
            caps: self.options.manifest.budget.caps(),
            install: install(identity),
            namespace: self.namespace(),
        };
        let mut random = [0; 16];
        random.iter_mut().zip((self.options.random)()).for_each(|(to, from)| *to = from);
        let plan = Arc::clone(&self.intake.plan);
        let sinks = self.outlets.iter().map(|outlet| outlet.name.clone());
        Store::new(&self.options.state, plan, settings, random).reaching(reach, sinks.collect())
    }

    /// The namespace of the product's ids.
    fn namespace(&self) -> Uuid {
        let name = format!("trueup-telemetry/{}", self.options.manifest.product);
        Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
    }

    pub(super) fn look(&self) -> Result<Look, StateError> {
        let reach = self.reach().unwrap_or(Reach::Local);
        self.store(reach, &Identity::None).look(self.now())
    }

    pub(super) fn body(&self, item: &Item) -> Vec<u8> {
        let body = self.store(Reach::Local, &Identity::None).body(item);
        body.ok().flatten().unwrap_or_default()
    }

    /// The bytes of a rollup, for one sink or for this machine.
    fn encode(&self, event: &Event, identity: &Identity, now: UnixMs) -> Vec<u8> {
        self.bytes(event.sink.as_deref(), &Outgoing::of_rollup(event), identity, now)
    }

    fn bytes(
        &self,
        sink: Option<&str>,
        event: &Outgoing,
        identity: &Identity,
        now: UnixMs,
    ) -> Vec<u8> {
        let id = identity.id_at(event.time).unwrap_or_default();
        let manifest = &self.options.manifest;
        let encoded = |outlet: &Outlet| {
            outlet.encoder(manifest, &self.base, &id).encode(slice::from_ref(event), now)
        };
        if sink.is_none() && self.is_debug {
            for outlet in &self.outlets {
                print(&encoded(outlet));
            }
        }
        let outlet = self.outlets.iter().find(|outlet| Some(outlet.name.as_str()) == sink);
        outlet.map_or_else(|| self.bytes_here(event), encoded)
    }

    /// The bytes of an event that stays on this machine.
    fn bytes_here(&self, event: &Outgoing) -> Vec<u8> {
        let mut all: Map<String, Json> = self.base.iter().cloned().collect();
        all.extend(event.properties.clone());
        let event = serde_json::json!({
            "event": event.name,
            "uuid": event.uuid,
            "timestamp": event.time.to_string(),
            "properties": all,
        });
        event.to_string().into_bytes()
    }

    /// Remembers what is wrong, until a flush goes well.
    fn note(&self, result: Result<(), String>) {
        if let Err(problem) = result {
            *held(&self.problem) = Some(problem);
        }
    }
}

/// Time as a pass of delivery needs it. Where there is no thread, nobody waits.
struct Waiting<'a> {
    keeper: &'a Keeper,
    began: Instant,
}

impl deliver::Clock for Waiting<'_> {
    fn now(&self) -> UnixMs {
        self.keeper.now()
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn wait(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let is_over = self.keeper.options.is_driven || !self.keeper.may_send();
            if left.is_zero() || is_over {
                return !is_over;
            }
            thread::park_timeout(left.min(WAIT_LOOK));
        }
    }
}

impl Decided {
    fn now(options: &Options) -> Self {
        let stamps = stamps(options);
        Self { consent: ask(options), stamps }
    }
}

/// The install as it stands in ids of events: where events cannot be told to be of one, in none.
fn install(identity: &Identity) -> String {
    match identity {
        Identity::Install(id) => id.clone(),
        Identity::None | Identity::Daily(_) => String::new(),
    }
}

fn told<T>(result: Result<T, StateError>) -> Result<T, String> {
    result.map_err(|error| words(&error))
}

/// Whether a variable that is there means yes.
fn is_set(value: Option<&str>) -> bool {
    !matches!(value.map(str::trim), None | Some("" | "0" | "false" | "off" | "no"))
}

/// Shows the very bytes of a request, with a newline behind.
fn print(body: &[u8]) {
    let mut out = io::stderr().lock();
    // Nobody may be listening, which is no reason to stop.
    let _is_shown = out.write_all(body).and_then(|()| out.write_all(b"\n")).is_ok();
}

/// The thread: it writes a moment after a record, and seals and sends now and then. It ends with the
/// last clone, with a shutdown, and where telemetry is off.
fn run(keeper: &Weak<Keeper>, every: Duration) {
    let mut due = Instant::now() + every;
    loop {
        let Some(keeper) = keeper.upgrade() else { return };
        if keeper.is_ended.load(Ordering::Acquire) || keeper.is_off() {
            return;
        }
        let is_due = Instant::now() >= due;
        let _flushed = keeper.flush(is_due);
        if is_due {
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

fn ask(options: &Options) -> Consent {
    let environment = &options.environment;
    decide(&Evidence {
        do_not_track: environment.do_not_track.as_deref(),
        prefix: &options.manifest.env_prefix,
        variable: environment.telemetry.as_deref(),
        errors_variable: environment.errors.as_deref(),
        policy: &StateFile::read(&options.policy),
        file: &StateFile::read(&options.file),
        ci: environment.ci.as_deref(),
        default: options.manifest.default,
        notice: options.manifest.notice,
    })
}

fn stamps(options: &Options) -> [Option<Stamp>; 2] {
    let stamp = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some(Stamp {
            place: (metadata.dev(), metadata.ino()),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            bytes: metadata.len(),
        })
    };
    [stamp(&options.file), stamp(&options.policy)]
}

/// A value as JSON.
fn json(value: &Value) -> Json {
    match value {
        Value::Bool(truth) => Json::from(*truth),
        Value::U64(number) => Json::from(*number),
        Value::I64(number) => Json::from(*number),
        Value::F64(number) => Json::from(*number),
        Value::Usd(dollars) => serde_json::from_str(&dollars.to_string()).unwrap_or(Json::Null),
        Value::Word(word) => Json::from(&**word),
        Value::Token(token) => Json::from(&**token),
    }
}
