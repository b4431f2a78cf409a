//! A product with two rollups, its folder, and what arrives of it.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tempfile::TempDir;
use trueup_core::{DAY_MS, UnixMs};
use trueup_telemetry::budget::Caps;
use trueup_telemetry::outbox::Verdict;
use trueup_telemetry::rollup::{
    EnumSpec, FieldId, NumberSpec, Plan, RollupId, RollupSpec, Unit, Value, ValuesSpec,
};
use trueup_telemetry::state::{
    Durability, Event, Handed, Next, Recorder, Request, Sealed, Settings, StateError, Store,
};

/// 2026-11-21T12:00:00Z.
pub(crate) const NOON: UnixMs = UnixMs(20_778 * DAY_MS + DAY_MS / 2);
pub(crate) const TURN: &str = "observer_turn_rollup";
pub(crate) const WINDOW: &str = "context_injected_rollup";

/// The two rollups of the contract, with its names.
pub(crate) fn plan() -> Plan {
    let mut turns = RollupSpec::session(TURN);
    turns.numbers = vec![
        NumberSpec::sum("tokens_input", Unit::Integer),
        NumberSpec::sum("tokens_output", Unit::Integer),
        NumberSpec::sum("cost_usd", Unit::NanoUsd),
        NumberSpec::histogram("duration_ms"),
        NumberSpec::histogram("compression_ms"),
        NumberSpec::sum_as("observation_count", "observations_created"),
        NumberSpec::sum_as("obs_type_bugfix", "obs_type_bugfix"),
    ];
    turns.enums = vec![EnumSpec::plural("outcome", &["ok", "error", "aborted", "invalid_output"])];
    turns.values =
        vec![ValuesSpec::top("model"), ValuesSpec::list("fingerprint", "errors", 8, "other_count")];
    let mut window = RollupSpec::window(WINDOW, 300_000);
    window.numbers = vec![
        NumberSpec {
            average: Some("avg_tokens".to_owned()),
            ..NumberSpec::sum("tokens", Unit::Integer)
        },
        NumberSpec::sum("observations_injected", Unit::Integer),
        NumberSpec::sum("tokens_saved_vs_naive", Unit::Integer),
    ];
    window.enums = vec![EnumSpec::plural("outcome", &["ok", "error"])];
    Plan::new(vec![turns, window]).unwrap()
}

/// A cap under which every bucket is an event of its own.
pub(crate) fn roomy() -> Caps {
    Caps {
        events_per_day: 1_000,
        hard_cap: 2_000,
        bytes_per_day: 10_000_000,
        requests_per_day: 10_000,
        ..Caps::default()
    }
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) plan: Arc<Plan>,
    pub(crate) caps: Caps,
    random: Cell<u8>,
}

impl World {
    pub(crate) fn new(caps: Caps) -> Self {
        let folder = TempDir::new().unwrap();
        Self { folder, plan: Arc::new(plan()), caps, random: Cell::new(0) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("telemetry")
    }

    pub(crate) fn recorder(&self, now: UnixMs) -> Recorder {
        self.recorder_with(Durability::default(), now)
    }

    pub(crate) fn recorder_with(&self, durability: Durability, now: UnixMs) -> Recorder {
        self.random.set(self.random.get().wrapping_add(1));
        let mut random = [self.random.get(); 48];
        random[47] = 7;
        Recorder::open(&self.path(), Arc::clone(&self.plan), durability, random, now).unwrap()
    }

    pub(crate) fn store(&self) -> Store {
        store(&self.path(), Arc::clone(&self.plan), self.caps.clone())
    }

    pub(crate) fn rollup(&self, event: &str) -> RollupId {
        self.plan.rollup(event).unwrap()
    }

    pub(crate) fn field(&self, event: &str, name: &str) -> FieldId {
        self.plan.field(self.rollup(event), name).unwrap()
    }

    /// A turn with so many tokens.
    pub(crate) fn turn(&self, recorder: &mut Recorder, session: &str, tokens: i64, now: UnixMs) {
        let session = recorder.session(session);
        let values = [
            (self.field(TURN, "tokens_input"), Value::Number(tokens)),
            (self.field(TURN, "outcome"), Value::Text("ok")),
        ];
        let ack = recorder.record(self.rollup(TURN), Some(session), &values, now);
        assert!(ack.number.is_some() && ack.refused == 0);
    }

    /// Names of files in the folder that begin like this.
    pub(crate) fn files(&self, begin: &str) -> Vec<PathBuf> {
        let list = std::fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        let begins =
            |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(begin);
        let mut files: Vec<_> = list.filter(begins).collect();
        files.sort();
        files
    }
}

pub(crate) fn store(path: &Path, plan: Arc<Plan>, caps: Caps) -> Store {
    let settings =
        Settings { caps, install: "install-1".to_owned(), namespace: uuid::Uuid::NAMESPACE_URL };
    Store::new(path, plan, settings, [9; 16])
}

pub(crate) fn encode(event: &Event) -> Vec<u8> {
    serde_json::to_vec(event).unwrap()
}

pub(crate) fn seal(store: &mut Store, handed: Option<&Handed>, now: UnixMs) -> Sealed {
    free(|| store.seal(handed, now, &mut encode))
}

/// Does it once the folder is free. Another test that starts a program holds our lock, too, from when
/// the child is there until it is the program.
pub(crate) fn free<T>(mut act: impl FnMut() -> Result<T, StateError>) -> T {
    loop {
        match act() {
            Err(StateError::Busy { .. }) => std::thread::park_timeout(Duration::from_millis(1)),
            done => return done.unwrap(),
        }
    }
}

/// Hands over, seals and forgets.
pub(crate) fn flush(store: &mut Store, recorder: &mut Recorder, now: UnixMs) -> Sealed {
    let handed = recorder.hand_over(now);
    let sealed = seal(store, Some(&handed), now);
    recorder.forget(&sealed).unwrap();
    sealed
}

pub(crate) fn next(store: &mut Store, now: UnixMs) -> Option<Request> {
    match free(|| store.next(now)) {
        Next::Send(request) => Some(*request),
        Next::Nothing | Next::Short(_) => None,
    }
}

/// Sends whatever may be sent now, and gives back the events that arrive.
pub(crate) fn deliver(store: &mut Store, now: UnixMs) -> Vec<Json> {
    let mut events = Vec::new();
    while let Some(request) = next(store, now) {
        events.push(serde_json::from_slice(&request.body).unwrap());
        free(|| store.settle(request.number, Verdict::Delivered { status: 200 }, now));
    }
    events
}

/// All events that are or were in the outbox.
pub(crate) fn events(store: &Store) -> Vec<Json> {
    let items = store.look(NOON).unwrap().items;
    let body = |item| serde_json::from_slice(&store.body(item).unwrap().unwrap()).unwrap();
    items.iter().map(body).collect()
}

pub(crate) fn property<'a>(event: &'a Json, name: &str) -> &'a Json {
    event.get("properties").unwrap().get(name).unwrap_or(&Json::Null)
}

pub(crate) fn sum(events: &[Json], event: &str, name: &str) -> i64 {
    let of_event = events.iter().filter(|json| json["event"] == event);
    of_event.map(|json| property(json, name).as_i64().unwrap()).sum()
}

pub(crate) fn later(time: UnixMs, ms: i64) -> UnixMs {
    UnixMs(time.0 + ms)
}
