//! What is recorded, and what becomes of it.

use std::fs;
use std::time::Duration;

use serde_json::Value as Json;
use trueup_telemetry::consent::Mode;
use trueup_telemetry::manifest::Input;
use trueup_telemetry::product::{Options, Outcome, Telemetry};

use super::{MANIFEST, Stage, TURN, events, turn};

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
