//! What is sent, how much of it, and what is shown of it.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use trueup_core::{DAY_MS, HOUR_MS};
use trueup_telemetry::manifest::{Input, Manifest};
use trueup_telemetry::outbox::{ItemState, sha256_hex};
use trueup_telemetry::product::{Environment, Options, Telemetry};

use super::{MANIFEST, ON, Stage, TURN, turn, with_sink};

#[test]
fn what_is_shown_is_what_is_sent_and_then_logged() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    stage.mock.answers.lock().unwrap().extend([503; 2]);
    let telemetry = stage.open();
    turn(&telemetry, "one", 7);
    telemetry.end("one");
    for _ in 0..2 {
        assert_eq!(telemetry.flush().sent, 0);
        stage.pass(HOUR_MS);
    }
    let shown = telemetry.preview().unwrap();
    assert_eq!(shown.request.as_ref().unwrap().body, shown.body);
    assert_eq!(telemetry.flush().sent, 1);
    let bodies = stage.mock.bodies();
    assert_eq!(bodies.last(), Some(&shown.body));
    assert!(bodies.iter().all(|body| *body == shown.body), "each attempt sends the same bytes");
    let sent = telemetry.sent();
    assert_eq!((sent.len(), sent[0].item.state), (1, ItemState::Sent));
    assert_eq!(sha256_hex(&sent[0].body), sha256_hex(&shown.body));
    let status = telemetry.status();
    assert_eq!((status.spent.events, status.queued), (1, 0));
    assert_eq!(telemetry.preview(), None);
}

#[test]
fn an_event_goes_to_each_sink_and_counts_for_each() {
    let two = "[[sink]]\ntype = \"posthog\"\nhost = \"https://a.example\"\nkey = \"phc_a\"\n\
               [[sink]]\ntype = \"posthog\"\nhost = \"https://b.example\"\nkey = \"phc_b\"\n";
    let manifest = MANIFEST.replace("= 20", "= 5").replace("hard_cap = 40", "hard_cap = 7");
    let stage = Stage::new(&format!("{manifest}{two}"));
    stage.file(ON);
    let telemetry = stage.open();
    for number in 0..9 {
        let session = number.to_string();
        turn(&telemetry, &session, 1);
        telemetry.end(&session);
        telemetry.lifecycle("worker_started", &[]);
        telemetry.flush();
    }
    let status = telemetry.status();
    assert!(status.spent.events <= 7, "{:?}", status.spent);
    assert!(status.spent.rollups <= 5, "{:?}", status.spent);
    let sent = stage.mock.events();
    let keys: Vec<_> = stage.mock.bodies().iter().map(|body| of_key(body)).collect();
    let count = |key: &str| keys.iter().filter(|it| *it == key).count();
    assert_eq!((count("phc_a"), count("phc_b")), (sent.len() / 2, sent.len() / 2));
    assert!(sent.len() as u64 == status.spent.events, "{sent:?}");
}

fn of_key(body: &[u8]) -> String {
    let body: Json = serde_json::from_slice(body).unwrap();
    body["api_key"].as_str().unwrap().to_owned()
}

#[test]
fn check_13_nothing_of_a_session_or_of_this_machine_is_ever_in_what_leaves() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    let telemetry = stage.open();
    let user = "alice-needle-4711";
    let hostile = format!("/home/{user}/acme-merger");
    for number in 0..20 {
        let session = format!("session-{user}-{number}");
        turn(&telemetry, &session, number);
        let properties = [
            ("cwd", Input::Text(&hostile)),
            ("model", Input::Text(&hostile)),
            ("outcome", Input::Text(user)),
            ("tokens_input", Input::Text(user)),
            ("session", Input::Text(&session)),
        ];
        telemetry.record(TURN, Some(&session), &properties);
        telemetry.end(&session);
        telemetry.flush();
        stage.pass(HOUR_MS * 6);
    }
    telemetry.shut_down(Duration::from_secs(1));
    assert!(stage.mock.bodies().len() >= 20);
    for body in stage.mock.bodies() {
        let body = String::from_utf8(body).unwrap();
        for needle in ["alice", "needle", "4711", "acme", "/home", "session-"] {
            assert!(!body.contains(needle), "{needle} in {body}");
        }
    }
    // Nor on the disk, where keys of sessions are hashes.
    for file in stage.files() {
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        assert!(!text.contains("needle"), "{file}");
    }
}

#[test]
fn check_33_a_dead_place_holds_up_no_shutdown() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    *stage.mock.takes.lock().unwrap() = Duration::from_secs(30);
    let telemetry = Telemetry::open(Options { is_driven: false, ..stage.options() });
    turn(&telemetry, "one", 1);
    let started = Instant::now();
    telemetry.shut_down(Duration::from_millis(300));
    assert!(started.elapsed() < Duration::from_millis(600), "{:?}", started.elapsed());
    *stage.mock.takes.lock().unwrap() = Duration::ZERO;
    stage.pass(HOUR_MS);
    let next = stage.open();
    next.flush();
    let sent = stage.mock.events();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["properties"]["rollup_reason"], "worker_shutdown");
}

#[test]
fn check_38_a_crash_loop_sends_no_more_than_a_day_has() {
    let manifest =
        with_sink(MANIFEST).replace("= 20", "= 2").replace("hard_cap = 40", "hard_cap = 6");
    let stage = Stage::new(&manifest);
    stage.file(ON);
    for start in 0..100_u64 {
        let telemetry = stage.open();
        telemetry.lifecycle("worker_started", &[]);
        turn(&telemetry, &start.to_string(), 1);
        telemetry.flush();
        telemetry.shut_down(Duration::from_millis(100));
        stage.pass(DAY_MS / 2_000);
    }
    let sent = stage.mock.events();
    assert!(sent.len() <= 6, "{}", sent.len());
    let starts = sent.iter().filter(|event| event["event"] == "worker_started").count();
    assert_eq!(starts, 1);
}

#[test]
fn what_could_not_be_queued_is_not_counted_against_its_day() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    let telemetry = stage.open();
    stage.block("outbox/00000001.body.tmp");
    telemetry.lifecycle("worker_started", &[]);
    assert!(telemetry.flush().problem.is_some());
    // Also by a process that was killed before it could try again.
    let next = stage.open();
    next.lifecycle("worker_started", &[]);
    assert!(next.flush().problem.is_some());
    stage.unblock("outbox/00000001.body.tmp");
    for telemetry in [&next, &telemetry] {
        telemetry.flush();
        assert_eq!(stage.mock.events().len(), 1, "once, and only once");
    }
    stage.open().lifecycle("worker_started", &[]);
    stage.open().flush();
    assert_eq!(stage.mock.events().len(), 1);
}

#[test]
fn check_39_no_step_of_the_clock_brings_another_day_twice() {
    let manifest =
        with_sink(MANIFEST).replace("= 20", "= 2").replace("hard_cap = 40", "hard_cap = 6");
    let stage = Stage::new(&manifest);
    stage.file(ON);
    let telemetry = stage.open();
    let steps = [0, 48, -48, -24, 24, 48, -48, 1, 47, -40];
    for (number, hours) in steps.into_iter().cycle().take(60).enumerate() {
        stage.pass(hours * HOUR_MS);
        let session = number.to_string();
        turn(&telemetry, &session, 1);
        telemetry.end(&session);
        telemetry.lifecycle("worker_started", &[]);
        telemetry.flush();
    }
    // The clock stood on six days at most, each of which was the latest once.
    let status = telemetry.status();
    assert!(status.spent.events <= 6, "{:?}", status.spent);
    assert!(stage.mock.events().len() <= 7 * 6, "{}", stage.mock.events().len());
}

#[test]
fn a_host_and_a_key_of_variables_stand_in_the_place_of_the_manifests() {
    let mut stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    stage.environment.host = Some("https://eu.example/".to_owned());
    stage.environment.key = Some("phc_other".to_owned());
    stage.mock.answers.lock().unwrap().extend([503; 3]);
    let telemetry = stage.open();
    turn(&telemetry, "one", 7);
    telemetry.end("one");
    telemetry.flush();
    stage.pass(HOUR_MS);
    let shown = telemetry.preview().unwrap();
    assert_eq!(of_key(&shown.body), "phc_other");
    assert!(shown.request.unwrap().url.starts_with("https://eu.example/"));
    // Made for that place, and for no other.
    stage.environment.host = None;
    let other = stage.open();
    other.flush();
    assert_eq!((other.preview(), other.status().queued), (None, 0));
    stage.environment.host = Some("http://eu.example".to_owned());
    let wrong = stage.open();
    assert!(wrong.status().problem.unwrap().contains("EXAMPLE_TELEMETRY_HOST"));
    turn(&wrong, "two", 7);
    wrong.end("two");
    assert_eq!(wrong.flush().kept, 1, "it stays here");
}

#[test]
fn an_id_is_made_when_something_is_sent_and_leaves_the_date_of_the_decision() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(r#"{"enabled":true}"#);
    let file = stage.folder.path().join("telemetry.json");
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    std::fs::File::open(&file).unwrap().set_modified(long_ago).unwrap();
    let telemetry = stage.open();
    let as_of = telemetry.status().as_of;
    turn(&telemetry, "one", 7);
    telemetry.end("one");
    assert_eq!(telemetry.flush().sent, 1);
    assert_eq!(telemetry.status().as_of, as_of);
    let text = crate::text(&file);
    let id = stage.mock.events()[0]["distinct_id"].as_str().unwrap().to_owned();
    assert!(text.contains(&id), "{text}");
}

#[test]
fn what_stands_in_the_place_of_an_id_is_told_and_nothing_is_sent() {
    let stage = Stage::new(&with_sink(MANIFEST));
    let file = r#"{"mode":"on","decidedAt":"2026-01-01T00:00:00Z","installId":"alice"}"#;
    stage.file(file);
    let telemetry = stage.open();
    turn(&telemetry, "one", 7);
    telemetry.end("one");
    assert!(telemetry.flush().problem.unwrap().contains("installId"));
    assert!(telemetry.status().problem.is_some());
    assert!(stage.mock.bodies().is_empty());
}

#[test]
fn debugging_sends_nothing() {
    let mut stage = Stage::new(&with_sink(MANIFEST));
    stage.environment.debug = Some("1".to_owned());
    stage.file(ON);
    let telemetry = stage.open();
    turn(&telemetry, "one", 7);
    telemetry.end("one");
    assert_eq!(telemetry.flush().kept, 1);
    telemetry.shut_down(Duration::from_secs(1));
    stage.environment.debug = None;
    let after = stage.open();
    after.flush();
    assert!(stage.mock.bodies().is_empty());
}

/// A process that debugs. Not a test of its own.
#[test]
#[ignore = "run by what_is_printed_while_debugging_is_what_would_be_sent"]
fn child_that_debugs() {
    let folder = std::env::current_dir().unwrap();
    if !folder.join("child-may-run").exists() {
        return;
    }
    let manifest = Manifest::parse(&with_sink(MANIFEST), "telemetry.toml").unwrap();
    let environment = Environment { debug: Some("1".to_owned()), ..Environment::default() };
    let options = Options::new(Arc::new(manifest), &folder, environment);
    let telemetry = Telemetry::open(Options { is_driven: true, ..options });
    turn(&telemetry, "one", 7);
    telemetry.end("one");
    telemetry.flush();
    telemetry.shut_down(Duration::from_millis(100));
}

#[test]
fn what_is_printed_while_debugging_is_what_would_be_sent() {
    let stage = Stage::new(MANIFEST);
    stage.file(ON);
    std::fs::write(stage.folder.path().join("child-may-run"), b"").unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "product::sending::child_that_debugs", "--ignored", "--nocapture"])
        .current_dir(stage.folder.path())
        .output()
        .unwrap();
    let printed = String::from_utf8(child.stderr).unwrap();
    let body: Json = serde_json::from_str(printed.trim()).unwrap();
    assert_eq!(
        (&body["api_key"], body["batch"].as_array().unwrap().len()),
        (&"phc_example".into(), 1)
    );
    assert_eq!(body["batch"][0]["properties"]["total_tokens_input"], 7);
    assert!(printed.ends_with("}\n"), "a line for each request");
}
