//! A product's telemetry through its one face.

mod consent;
mod ending;
mod laws;
pub(crate) mod past;
mod recording;
mod rollups;
mod sending;

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;
use trueup_core::UnixMs;
use trueup_telemetry::deliver::Transport;
use trueup_telemetry::manifest::{Input, Manifest};
use trueup_telemetry::product::{Environment, Options, Outcome, Telemetry};

use trueup_telemetry::sink::{Answer, Request, Unreachable};

use crate::world::NOON;

pub(crate) const MANIFEST: &str = r#"
product = "example"
env_prefix = "EXAMPLE"
default = "local"
id = "install"
base = ["version"]

[fields]
version = { semver = true }
tokens_input = { u64 = true }
cost_usd = { usd = true }
duration_ms = { u64 = true }
outcome = { enum = ["ok", "error", "aborted"] }
model = { token_max = 64, charset = "model" }

[[rollup]]
event = "observer_turn_rollup"
grain = "session"
sum = ["tokens_input", "cost_usd"]
hist = ["duration_ms"]
enum = ["outcome"]
top = ["model"]
max_age = "1h"
max_records = 1000

[[rollup]]
event = "context_injected_rollup"
grain = "5m"
sum = ["tokens_input"]
enum = ["outcome"]

[[lifecycle]]
event = "worker_started"
max_per_day = 1
fields = ["outcome"]

[errors]
rollup = "context_injected_rollup"

[budget]
events_per_day = 20
hard_cap = 40
"#;

/// The same with a place to send to.
pub(crate) fn with_sink(manifest: &str) -> String {
    let sink =
        "[sink]\ntype = \"posthog\"\nhost = \"https://example.com\"\nkey = \"phc_example\"\n";
    format!("{manifest}\n{sink}")
}

/// What somebody decided long before anything was recorded.
pub(crate) const ON: &str = r#"{"mode":"on","decidedAt":"2026-01-01T00:00:00.000Z"}"#;

pub(crate) const TURN: &str = "observer_turn_rollup";

/// A product whose clock stands still until it is moved, without a thread.
pub(crate) struct Stage {
    pub(crate) folder: TempDir,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) environment: Environment,
    pub(crate) now: Arc<AtomicI64>,
    pub(crate) mock: Mock,
    random: Arc<AtomicU64>,
}

/// A place that counts what arrives.
#[derive(Clone, Default)]
pub(crate) struct Mock {
    pub(crate) bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Answers that come before all others, which are 200.
    pub(crate) answers: Arc<Mutex<VecDeque<u16>>>,
    /// How long each answer takes.
    pub(crate) takes: Arc<Mutex<Duration>>,
    /// Requests that came, answered or not.
    pub(crate) asked: Arc<AtomicU64>,
}

impl Transport for Mock {
    fn send(&mut self, request: &Request, time_max: Duration) -> Result<Answer, Unreachable> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let takes = *self.takes.lock().unwrap();
        let body = request.body.clone();
        if takes > Duration::ZERO {
            // What hangs has been asked, and does not count as arrived.
            // Nobody wakes the network.
            let end = Instant::now() + takes.min(time_max);
            while let Some(left) = end.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(left);
            }
            if takes > time_max {
                return Err(Unreachable::TimedOut(0));
            }
        }
        let status = self.answers.lock().unwrap().pop_front().unwrap_or(200);
        self.bodies.lock().unwrap().push(body);
        Ok(Answer { status, ..Answer::default() })
    }
}

impl Mock {
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.lock().unwrap().clone()
    }

    /// Events that arrived, in the order in which they did.
    pub(crate) fn events(&self) -> Vec<Json> {
        let events = |body: Vec<u8>| {
            let body: Json = serde_json::from_slice(&body).unwrap();
            body["batch"].as_array().unwrap().clone()
        };
        self.bodies().into_iter().flat_map(events).collect()
    }
}

impl Stage {
    pub(crate) fn new(manifest: &str) -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            manifest: Arc::new(Manifest::parse(manifest, "telemetry.toml").unwrap()),
            environment: Environment::default(),
            now: Arc::new(AtomicI64::new(NOON.0)),
            mock: Mock::default(),
            random: Arc::default(),
        }
    }

    pub(crate) fn options(&self) -> Options {
        let folder = self.folder.path();
        let mut options =
            Options::new(Arc::clone(&self.manifest), folder, self.environment.clone());
        let (now, random) = (Arc::clone(&self.now), Arc::clone(&self.random));
        options.policy = folder.join("policy.json");
        options.base = vec![("version".to_owned(), Json::from("1.2.3"))];
        options.clock = Arc::new(move || UnixMs(now.load(Ordering::SeqCst)));
        options.random = Arc::new(move || {
            let mut bytes = [0; 48];
            bytes[40..].copy_from_slice(&random.fetch_add(1, Ordering::SeqCst).to_be_bytes());
            bytes
        });
        let mock = self.mock.clone();
        options.transports = Some(Arc::new(move |_: &_| Box::new(mock.clone())));
        options.is_driven = true;
        options
    }

    pub(crate) fn open(&self) -> Telemetry {
        Telemetry::open(self.options())
    }

    pub(crate) fn file(&self, text: &str) {
        fs::write(self.folder.path().join("telemetry.json"), text).unwrap();
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }

    /// A folder where a file was to be, as what cannot be written.
    pub(crate) fn block(&self, name: &str) {
        fs::create_dir_all(self.folder.path().join("telemetry").join(name)).unwrap();
    }

    pub(crate) fn unblock(&self, name: &str) {
        fs::remove_dir(self.folder.path().join("telemetry").join(name)).unwrap();
    }

    /// All files below the folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut all = Vec::new();
        walk(self.folder.path(), &mut all);
        all.sort();
        all
    }
}

/// Waits for what another thread brings about.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn walk(folder: &Path, all: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, all);
        } else {
            all.push(path.display().to_string());
        }
    }
}

pub(crate) fn turn(telemetry: &Telemetry, session: &str, tokens: u64) {
    let properties = [
        ("tokens_input", Input::U64(tokens)),
        ("cost_usd", Input::F64(0.25)),
        ("duration_ms", Input::U64(tokens * 2)),
        ("outcome", Input::Text("ok")),
        ("model", Input::Text("claude-opus-4-5")),
    ];
    let recorded = telemetry.record(TURN, Some(session), &properties);
    assert_eq!(recorded.outcome, Outcome::Taken);
    assert!(recorded.drops.is_empty(), "{:?}", recorded.drops);
}

/// What is kept or was sent, as JSON.
pub(crate) fn events(telemetry: &Telemetry) -> Vec<Json> {
    let shown = telemetry.sent();
    shown.iter().map(|shown| serde_json::from_slice(&shown.body).unwrap()).collect()
}
