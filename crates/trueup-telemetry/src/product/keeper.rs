//! What keeps a product's telemetry as it was decided: the thread, the decision, sealing, purging.
//!
//! Whoever calls in waits for no request: what is sent is sent on the thread, and without any lock.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json};
use trueup_core::UnixMs;
use uuid::Uuid;

use super::options::Options;
use super::recording::{BEHIND, Intake, Outcome, Recorded, held};
use super::status::words;
use crate::budget::{Class, Day};
use crate::consent::{Consent, Evidence, Mode, StateFile, WriteError, decide};
use crate::manifest::{Drops, FieldId, Grain, Input, Value, plan_of};
use crate::outbox::{Draft, Item, event_uuid};
use crate::rollup::Plan;
use crate::state::{Durability, Event, Look, Reach, Recorder, Sealed, Settings, StateError, Store};

/// How long after a record it is written.
const PERSIST_AFTER: Duration = Duration::from_millis(250);
/// Events of their own that wait to be queued at most.
pub const ERRANDS_MAX: usize = 64;
/// How often something is tried again where another process holds the state, and after how long.
const BUSY_TRIES: u32 = 20;
const BUSY_WAIT: Duration = Duration::from_millis(10);

/// What came of a flush.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Requests that were queued.
    pub queued: u64,
    /// Events that stay on this machine.
    pub kept: u64,
    /// What was wrong, in words.
    pub problem: Option<String>,
}

/// An event of its own on its way to the outbox.
#[derive(Debug, Clone)]
struct Errand {
    event: String,
    kept: Vec<(FieldId, Value)>,
    per_day_max: u64,
    is_local: bool,
    now: UnixMs,
    random: [u8; 48],
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
    decided: Mutex<Decided>,
    errands: Mutex<VecDeque<Errand>>,
    /// Held while the state changes, never while something is sent.
    sealing: Mutex<()>,
    problem: Mutex<Option<String>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    is_ended: AtomicBool,
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
        let keeper = Self {
            base: base.collect(),
            intake,
            decided: Mutex::new(Decided { consent: ask(&options), stamps: stamps(&options) }),
            errands: Mutex::default(),
            sealing: Mutex::default(),
            problem: Mutex::new(problem),
            thread: Mutex::default(),
            is_ended: AtomicBool::new(false),
            options,
        };
        keeper.follow();
        keeper
    }

    pub(super) const fn options(&self) -> &Options {
        &self.options
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
        held(&self.problem).clone()
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
            Some(per_day_max) => self.single(event, properties, per_day_max),
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
            Some(lifecycle) => self.single(event, properties, lifecycle.per_day_max),
            None => Recorded { outcome: Outcome::UnknownEvent, drops: Drops::default() },
        }
    }

    fn single(
        self: &Arc<Self>,
        event: &str,
        properties: &[(&str, Input<'_>)],
        per_day_max: u64,
    ) -> Recorded {
        let (kept, drops) = self.intake.accept(event, properties);
        let errand = Errand {
            event: event.to_owned(),
            kept,
            per_day_max,
            is_local: self.is_local(self.intake.mode()),
            now: self.now(),
            random: (self.options.random)(),
        };
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
                self.persist(self.now());
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
            let consent = ask(&self.options);
            let is_other = consent != decided.consent;
            *decided = Decided { consent, stamps };
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
            self.note(self.purge());
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
        // Until there are encoders, whatever the manifest says.
        mode <= Mode::On || self.options.manifest.sinks.is_empty()
    }

    /// Deletes what was recorded and not sent.
    pub(super) fn purge(&self) -> Result<(), StateError> {
        let _sealing = held(&self.sealing);
        self.intake.clear();
        held(&self.errands).clear();
        let mut store = self.store(Reach::Local, String::new());
        busy(|| store.purge())
    }

    // --- the thread ------------------------------------------------------------------------------

    /// Writes what was recorded.
    fn persist(&self, now: UnixMs) {
        let options = &self.options;
        let durability = if options.is_driven { Durability::default() } else { BEHIND };
        let open = |plan| Recorder::open(&options.state, plan, durability, (options.random)(), now);
        self.note(self.intake.persist(open, now));
    }

    /// Looks at the decision, writes, and, where it is time, seals and sends.
    pub(super) fn flush(&self, is_due: bool) -> Flushed {
        if self.is_ended.load(Ordering::Acquire) || self.refresh(false) == Mode::Off {
            return Flushed::default();
        }
        let now = self.now();
        if self.intake.look() || self.intake.is_in_use() {
            self.persist(now);
        }
        let has_errands = !held(&self.errands).is_empty();
        let has_state = is_due && self.options.state.exists();
        if !has_errands && !has_state {
            return Flushed::default();
        }
        let sealed = self.seal(now);
        let problem = self.note(sealed.as_ref().map(drop).map_err(|error| words(error)));
        let sealed = sealed.unwrap_or_default();
        Flushed { queued: sealed.queued, kept: sealed.kept, problem }
    }

    /// Seals what has ended.
    fn seal(&self, now: UnixMs) -> Result<Sealed, StateError> {
        let _sealing = held(&self.sealing);
        let Some(reach) = self.reach() else { return Ok(Sealed::default()) };
        let mut store = self.store(reach, String::new());
        self.run_errands(&mut store, now)?;
        let handed = self.intake.hand_over(now);
        let mut encode = |event: &Event| self.encode(event);
        let sealed = store.seal(handed.as_ref(), now, &mut encode)?;
        self.intake.forget(&sealed)?;
        Ok(sealed)
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

    fn run_errands(&self, store: &mut Store, now: UnixMs) -> Result<(), StateError> {
        loop {
            let Some(errand) = held(&self.errands).front().cloned() else { return Ok(()) };
            let manifest = &self.options.manifest;
            let fields = errand.kept.iter();
            let fields = fields.map(|(id, value)| (manifest.name(*id).to_owned(), json(value)));
            let day = Day::of(errand.now);
            let [first, second, ..] = errand.random;
            let seed = format!("{:x?}{first}{second}", errand.random);
            let uuid = event_uuid(self.namespace(), &[&errand.event, &day.to_string(), &seed]);
            let body = self.body_here(uuid, &errand.event, errand.now, fields.collect());
            debug_assert!(errand.is_local, "there is no sink yet");
            let (class, event) = (Class::Lifecycle, errand.event);
            let draft = Draft { class, event, uuids: vec![uuid], day, body };
            let max = Some(errand.per_day_max);
            store.queue_each(vec![(None, draft)], Some(errand.now), max, now)?;
            held(&self.errands).pop_front();
        }
    }

    /// Ends it.
    pub(super) fn shut_down(&self, _bound: Duration) {
        if self.is_ended.swap(true, Ordering::AcqRel) {
            return;
        }
        let mode = self.intake.mode();
        let now = self.now();
        let is_local = self.is_local(mode);
        if mode != Mode::Off {
            if self.intake.is_in_use() {
                self.persist(now);
            }
            // From here on nothing is recorded.
            let reach = self.reach();
            self.intake.set_mode(Mode::Off, is_local, now);
            if let Some(reach) = reach {
                self.note(self.seal_all(reach, now));
            }
        }
        let thread = held(&self.thread).take();
        if let Some(thread) = thread {
            thread.thread().unpark();
        }
    }

    fn seal_all(&self, reach: Reach, now: UnixMs) -> Result<(), StateError> {
        let _sealing = held(&self.sealing);
        let mut store = self.store(reach, String::new());
        if !held(&self.errands).is_empty() {
            busy(|| self.run_errands(&mut store, now))?;
        }
        let Some(mut recorder) = self.intake.take() else { return Ok(()) };
        recorder.end_all(now);
        let handed = recorder.hand_over(now);
        let mut encode = |event: &Event| self.encode(event);
        let sealed = busy(|| store.seal(Some(&handed), now, &mut encode))?;
        if !sealed.is_purged {
            recorder.forget(&sealed)?;
            recorder.close(now)?;
        }
        Ok(())
    }

    // --- the state -------------------------------------------------------------------------------

    fn store(&self, reach: Reach, install: String) -> Store {
        let settings = Settings {
            caps: self.options.manifest.budget.caps(),
            install,
            namespace: self.namespace(),
        };
        let mut random = [0; 16];
        random.iter_mut().zip((self.options.random)()).for_each(|(to, from)| *to = from);
        let plan = Arc::clone(&self.intake.plan);
        Store::new(&self.options.state, plan, settings, random).reaching(reach, vec![String::new()])
    }

    /// The namespace of the product's ids.
    fn namespace(&self) -> Uuid {
        let name = format!("trueup-telemetry/{}", self.options.manifest.product);
        Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
    }

    pub(super) fn look(&self) -> Result<Look, StateError> {
        let reach = self.reach().unwrap_or(Reach::Local);
        self.store(reach, String::new()).look(self.now())
    }

    pub(super) fn body(&self, item: &Item) -> Vec<u8> {
        let body = self.store(Reach::Local, String::new()).body(item);
        body.ok().flatten().unwrap_or_default()
    }

    /// The bytes of an event.
    fn encode(&self, event: &Event) -> Vec<u8> {
        let properties = serde_json::to_value(&event.properties);
        let Ok(Json::Object(properties)) = properties else { return Vec::new() };
        self.body_here(event.uuid, &event.name, event.time, properties)
    }

    /// The bytes of an event that stays on this machine.
    fn body_here(
        &self,
        uuid: Uuid,
        name: &str,
        time: UnixMs,
        properties: Map<String, Json>,
    ) -> Vec<u8> {
        let mut all: Map<String, Json> = self.base.iter().cloned().collect();
        all.extend(properties);
        let time = time.to_string();
        let event = serde_json::json!({
            "event": name, "uuid": uuid, "timestamp": time, "properties": all,
        });
        event.to_string().into_bytes()
    }

    /// Remembers what is wrong, until the same goes well.
    fn note<E: Into<Wrong>>(&self, result: Result<(), E>) -> Option<String> {
        let problem = result.err().map(|error| error.into().0);
        if problem.is_some() {
            held(&self.problem).clone_from(&problem);
        }
        problem
    }
}

/// What is wrong, in words.
struct Wrong(String);

impl From<StateError> for Wrong {
    fn from(error: StateError) -> Self {
        Self(words(&error))
    }
}

impl From<String> for Wrong {
    fn from(words: String) -> Self {
        Self(words)
    }
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
