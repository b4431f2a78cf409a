//! From start to end, however it comes.

use std::fs::{self, File};
use std::io::Write as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::daemon::{Home, until};

const EVENTS: &str = "SELECT count(*) FROM custom_events";
const EVENT: &str = r#"{"name":"e"}"#;

#[test]
fn sigterm_drains_the_queue() {
    let home = Home::new();
    let mut daemon = home.start();
    daemon.post_durably("/v1/events", EVENT);
    let blocker = home.lock();
    for _ in 0..100 {
        assert_eq!(daemon.post("/v1/events", EVENT).json()["durable"], false);
    }
    daemon.signal(Signal::TERM);
    until("it says that it stops", || daemon.log().iter().any(|line| line.contains("stopping")));
    drop(blocker);
    assert!(daemon.end().success());
    assert_eq!(home.number(EVENTS), 101);
    let log = home.path("ledger.db-wal");
    assert_eq!(fs::metadata(log).map_or(0, |file| file.len()), 0);
}

#[test]
fn sigint_ends_it_too_and_waiting_requests_are_answered() {
    let home = Home::new();
    let mut daemon = home.start();
    daemon.post_durably("/v1/events", EVENT);
    let blocker = home.lock();
    let status = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| daemon.post("/v1/events?wait=1", EVENT).status);
        until("it waits", || daemon.health()["db_status"] == "error");
        daemon.signal(Signal::INT);
        until("it says that it stops", || daemon.log().iter().any(|line| line.contains("SIGINT")));
        drop(blocker);
        waiting.join().unwrap()
    });
    assert_eq!(status, 200);
    assert!(daemon.end().success());
    assert_eq!(home.number(EVENTS), 2);
}

#[test]
fn brief_the_end_takes_at_most_15_s_even_with_the_ledger_locked() {
    let home = Home::new();
    let mut daemon = home.start();
    daemon.post_durably("/v1/events", EVENT);
    let _blocker = home.lock();
    daemon.post("/v1/events", EVENT);
    let start = Instant::now();
    let status = daemon.terminate();
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    // What could not be written is said, and is no success.
    assert!(!status.success());
    until("it says so", || daemon.log().iter().any(|line| line.contains("stopped_with_loss")));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let home = Home::new();
    let mut daemon = home.start();
    daemon.post_durably("/v1/events", EVENT);
    let _blocker = home.lock();
    daemon.post("/v1/events", EVENT);
    daemon.signal(Signal::TERM);
    until("it says that it stops", || daemon.log().iter().any(|line| line.contains("stopping")));
    let start = Instant::now();
    assert!(!daemon.terminate().success());
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn what_was_dropped_is_known_after_a_restart() {
    let home = Home::with(&[("TRUEUP_QUEUE_RECORDS", "10")]);
    let mut daemon = home.start();
    let answer = daemon.post("/v1/events", &EVENT.repeat(15)).json();
    assert_eq!(answer["dropped"], 5);
    assert_eq!(daemon.health()["dropped_total"], 5);
    assert!(daemon.terminate().success());
    let daemon = home.start();
    assert_eq!(daemon.health()["dropped_total"], 5);
    daemon.post("/v1/events", &EVENT.repeat(11));
    assert_eq!(daemon.health()["dropped_total"], 6);
}

#[test]
fn what_agents_write_is_noticed_long_before_the_next_look() {
    let home = Home::with(&[("TRUEUP_SYNC_INTERVAL", "1h")]);
    let projects = home.path(".claude/projects");
    fs::create_dir_all(&projects).unwrap();
    let daemon = home.start();
    until("the stores were looked at", || daemon.health()["last_sync"].is_string());
    // A folder that is new, a file in it, and more in the file.
    let folder = projects.join("-home-u-app");
    fs::create_dir(&folder).unwrap();
    let line = |id: u32| {
        format!(
            r#"{{"type":"assistant","sessionId":"s","uuid":"u{id}","timestamp":"2026-11-20T10:00:00Z","message":{{"id":"m{id}","model":"claude-sonnet-4-6","usage":{{"input_tokens":1,"output_tokens":1}}}}}}"#
        )
    };
    let path = folder.join("s.jsonl");
    fs::write(&path, line(1) + "\n").unwrap();
    until("the new folder's file", || home.number("SELECT count(*) FROM llm_traces") == 1);
    let mut file = File::options().append(true).open(&path).unwrap();
    writeln!(file, "{}", line(2)).unwrap();
    until("what was appended", || home.number("SELECT count(*) FROM llm_traces") == 2);
    let moved = folder.join("moved.jsonl");
    fs::write(home.path("elsewhere"), line(3) + "\n").unwrap();
    fs::rename(home.path("elsewhere"), moved).unwrap();
    until("what was moved there", || home.number("SELECT count(*) FROM llm_traces") == 3);
}

#[test]
fn the_agents_stores_are_watched() {
    let home = Home::with(&[("TRUEUP_SYNC_INTERVAL", "100ms")]);
    let daemon = home.start();
    until("the stores were looked at", || daemon.health()["last_sync"].is_string());
    let folder = home.path(".claude/projects/-src-x");
    fs::create_dir_all(&folder).unwrap();
    let line = r#"{"type":"assistant","timestamp":"2026-11-20T22:08:30.117Z","sessionId":"s1","cwd":"/src/x","requestId":"r1","uuid":"u1","message":{"id":"m1","model":"claude-haiku-4-5","role":"assistant","usage":{"input_tokens":5,"output_tokens":7}}}"#;
    fs::write(folder.join("s1.jsonl"), format!("{line}\n")).unwrap();
    let sample = "trueup_calls_total{agent=\"claude-code\"";
    until("the call is counted", || daemon.get("/metrics").text.contains(sample));
    assert_eq!(home.number("SELECT output FROM llm_traces"), 7);
}

#[test]
fn an_idle_daemon_is_silent() {
    let home = Home::with(&[("TRUEUP_SYNC_INTERVAL", "100ms")]);
    let daemon = home.start();
    let first = daemon.health()["last_sync"].clone();
    until("it has looked again", || {
        let last = daemon.health()["last_sync"].clone();
        last.is_string() && last != first
    });
    assert_eq!(daemon.log().len(), 1, "{:?}", daemon.log());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let home = Home::new();
    let daemon = home.start();
    let port = daemon.address.port().to_string();
    let refused = Home::new().refusal(&["--port", &port]);
    assert!(refused.contains(&format!("port {port}")) && refused.contains("--port"), "{refused}");
}

#[test]
fn a_ledger_that_is_taken_is_named() {
    let home = Home::new();
    let _daemon = home.start();
    let refused = home.refusal(&[]);
    assert!(refused.contains("ledger.db is in use by another trueup"), "{refused}");
}

#[test]
fn wrong_settings_are_named_with_their_origin() {
    let refused = Home::with(&[("LOG_LEVEL", "loud")]).refusal(&[]);
    assert!(refused.contains("log_level (from LOG_LEVEL): `loud`"), "{refused}");
    let refused = Home::new().refusal(&["--sync-interval", "soon"]);
    assert!(refused.contains("sync_interval (from flag): `soon`"), "{refused}");
}
