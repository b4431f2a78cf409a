//! A product's telemetry through its one face.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value as Json;
use tempfile::TempDir;
use trueup_core::UnixMs;
use trueup_telemetry::consent::Mode;
use trueup_telemetry::manifest::{Input, Manifest};
use trueup_telemetry::product::{Environment, Options, Outcome, Telemetry};

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

pub(crate) const TURN: &str = "observer_turn_rollup";

/// A product whose clock stands still until it is moved, without a thread.
pub(crate) struct Stage {
    pub(crate) folder: TempDir,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) environment: Environment,
    pub(crate) now: Arc<AtomicI64>,
    random: Arc<AtomicU64>,
}

impl Stage {
    pub(crate) fn new(manifest: &str) -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            manifest: Arc::new(Manifest::parse(manifest, "telemetry.toml").unwrap()),
            environment: Environment::default(),
            now: Arc::new(AtomicI64::new(NOON.0)),
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
        options.is_driven = true;
        options
    }

    pub(crate) fn open(&self) -> Telemetry {
        Telemetry::open(self.options())
    }

    #[expect(dead_code, reason = "used with the sinks")]
    pub(crate) fn file(&self, text: &str) {
        fs::write(self.folder.path().join("telemetry.json"), text).unwrap();
    }

    #[expect(dead_code, reason = "used with the sinks")]
    pub(crate) fn pass(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }

    /// All files below the folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut all = Vec::new();
        walk(self.folder.path(), &mut all);
        all.sort();
        all
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

#[test]
fn what_is_recorded_is_kept_here_and_not_sent() {
    let stage = Stage::new(MANIFEST);
    let telemetry = stage.open();
    for tokens in 1..=10 {
        turn(&telemetry, "one", tokens);
    }
    telemetry.end("one");
    telemetry.end("one");
    assert_eq!(telemetry.flush().kept, 1);
    assert_eq!(telemetry.preview(), None);
    let events = events(&telemetry);
    assert_eq!(events.len(), 1);
    let properties = &events[0]["properties"];
    assert_eq!(properties["count"], 10);
    assert_eq!(properties["total_tokens_input"], 55);
    assert_eq!(properties["total_cost_usd"], 2.5);
    assert_eq!(properties["rollup_reason"], "session_end");
    assert_eq!(properties["version"], "1.2.3");
    assert_eq!(properties["top_model"], "claude-opus-4-5");
    let status = telemetry.status();
    assert_eq!((status.mode, status.kept, status.queued), (Mode::Local, 1, 0));
    assert_eq!(status.spent.events, 0, "nothing was sent");
    assert_eq!(status.problem, None);
}

#[test]
fn check_06_looking_makes_no_file() {
    let stage = Stage::new(MANIFEST);
    let telemetry = stage.open();
    assert_eq!(telemetry.status().mode, Mode::Local);
    assert_eq!((telemetry.preview(), telemetry.sent()), (None, Vec::new()));
    telemetry.shut_down(Duration::ZERO);
    assert_eq!(stage.files(), Vec::<String>::new());
}

#[test]
fn check_16_a_shutdown_ends_what_is_open() {
    let stage = Stage::new(MANIFEST);
    let telemetry = stage.open();
    turn(&telemetry, "one", 1);
    turn(&telemetry, "two", 2);
    telemetry.shut_down(Duration::ZERO);
    let reasons: Vec<_> =
        events(&telemetry).iter().map(|it| it["properties"]["rollup_reason"].clone()).collect();
    assert_eq!(reasons, ["worker_shutdown", "worker_shutdown"]);
    let after = telemetry.record(TURN, Some("one"), &[]);
    assert_eq!(after.outcome, Outcome::Off);
    assert!(stage.files().iter().all(|file| !file.contains("open-")), "{:?}", stage.files());
}

#[test]
fn off_deletes_what_was_recorded_and_nothing_is_recorded_after() {
    let stage = Stage::new(MANIFEST);
    let telemetry = stage.open();
    turn(&telemetry, "one", 1);
    telemetry.end("one");
    turn(&telemetry, "two", 1);
    assert_eq!(telemetry.flush().kept, 1);
    telemetry.set_mode(Mode::Off).unwrap();
    let left = stage.files();
    assert!(left.iter().all(|it| !it.contains("open-") && !it.contains("outbox")), "{left:?}");
    assert_eq!(telemetry.record(TURN, Some("one"), &[]).outcome, Outcome::Off);
    telemetry.flush();
    telemetry.shut_down(Duration::from_millis(100));
    assert_eq!(stage.files(), left);
}

#[test]
fn a_thread_writes_what_was_recorded_and_ends() {
    let stage = Stage::new(MANIFEST);
    let options = Options { is_driven: false, ..stage.options() };
    let telemetry = Telemetry::open(options);
    turn(&telemetry, "one", 7);
    let started = std::time::Instant::now();
    let has_log =
        || stage.files().iter().any(|it| it.contains("open-") && fs::read(it).unwrap().len() > 100);
    while !has_log() {
        assert!(started.elapsed() < Duration::from_secs(5), "nothing was written");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    telemetry.lifecycle("worker_started", &[("outcome", Input::Text("ok"))]);
    telemetry.shut_down(Duration::ZERO);
    let names: Vec<_> = events(&telemetry).iter().map(|it| it["event"].clone()).collect();
    assert!(names.contains(&Json::from(TURN)), "{names:?}");
    assert!(names.contains(&Json::from("worker_started")), "{names:?}");
}
