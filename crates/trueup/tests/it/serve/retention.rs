//! Rows go, totals stay, and the write-ahead log stays short.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::daemon::{Daemon, Home, trace, until};
use super::receiver::Receiver;

const CALLS: &str = "SELECT count(*) FROM llm_calls";

/// Posts that many traces with 16 KB each.
fn post_texts(daemon: &Daemon, traces: usize) {
    let text = "x".repeat(16_000);
    let line = trace(&format!(r#""prompt_tokens":7,"completion_tokens":3,"input_text":"{text}""#));
    for _ in 0..traces / 50 {
        daemon.post_durably("/v1/traces", &vec![line.as_str(); 50].join("\n"));
    }
}

fn totals(daemon: &Daemon, by: &str) -> Value {
    daemon.get(&format!("/v1/report?by={by}")).json()["totals"]["exact"].clone()
}

/// Whether rows have gone and the file has become small.
fn is_within(home: &Home, bytes: u64, calls: i64) -> bool {
    home.number(CALLS) < calls && fs::metadata(home.path("ledger.db")).unwrap().len() <= bytes
}

#[test]
fn defect_14_without_an_endpoint_the_ledger_does_not_grow_for_ever() {
    let home = Home::with(&[
        ("OCT_CLEANUP_DB_THRESHOLD_BYTES", "2200000"),
        ("OCT_CLEANUP_INTERVAL", "100ms"),
    ]);
    let mut daemon = home.start();
    post_texts(&daemon, 400);
    until("the ledger is small", || is_within(&home, 2_200_000, 150));
    for by in ["day", "session", "model"] {
        assert_eq!(totals(&daemon, by)["calls"], 400, "{by}");
        assert_eq!(totals(&daemon, by)["input"], 2_800, "{by}");
    }
    let (mut removed, mut left) = (0, 0);
    until("it is told", || {
        removed = daemon.health()["removed_total"].as_i64().unwrap();
        left = home.number(CALLS);
        removed + left == 400
    });
    // What is removed at once is more than one row.
    assert!(left > 50, "{left}");
    assert_eq!(daemon.health()["lost_to_retention_total"], 0);
    let metrics = daemon.get("/metrics").text;
    assert!(metrics.contains(&format!("\ntrueup_rows_removed_total {removed}\n")));
    until("the log tells it", || daemon.log().iter().any(|line| line.contains("rows_removed")));
    assert!(daemon.terminate().success());
    let daemon = home.start();
    assert!(daemon.health()["removed_total"].as_i64().unwrap() >= removed, "after a restart");
    assert_eq!(totals(&daemon, "day")["calls"], 400);
}

#[test]
fn what_waits_to_be_pushed_stays_unless_its_loss_is_preferred() {
    let limits = [("TRUEUP_MAX_LEDGER_BYTES", "1000000"), ("TRUEUP_CLEANUP_INTERVAL", "100ms")];
    let nobody = [("TRUEUP_PUSH_ENDPOINT", "http://127.0.0.1:9/"), ("TRUEUP_PUSH_INTERVAL", "1h")];
    let home = Home::with(&[limits, nobody].concat());
    let mut daemon = home.start();
    post_texts(&daemon, 100);
    std::thread::park_timeout(Duration::from_millis(400));
    assert_eq!((home.number(CALLS), &daemon.health()["removed_total"]), (100, &0.into()));
    assert!(daemon.terminate().success());

    let mut command = home.command();
    command.args(["--retention", "unsynced-too"]);
    let daemon = Daemon::start(command);
    until("the ledger is small", || is_within(&home, 1_000_000, 100));
    until("the loss is told", || {
        let health = daemon.health();
        let lost = health["lost_to_retention_total"].as_i64().unwrap();
        lost > 0 && lost == 100 - home.number(CALLS)
    });
    assert_eq!(totals(&daemon, "day")["calls"], 100);
}

#[test]
fn what_was_pushed_goes_first_and_is_not_sent_again() {
    let receiver = Receiver::start("{}");
    let url = receiver.url();
    let home = Home::with(&[
        ("TRUEUP_PUSH_ENDPOINT", url.as_str()),
        ("TRUEUP_PUSH_INTERVAL", "100ms"),
        ("TRUEUP_MAX_LEDGER_BYTES", "1000000"),
        ("TRUEUP_CLEANUP_INTERVAL", "100ms"),
    ]);
    let daemon = home.start();
    post_texts(&daemon, 200);
    receiver.await_events(200);
    until("all is pushed and the ledger is small", || {
        daemon.health()["unsynced_count"] == 0 && is_within(&home, 1_000_000, 100)
    });
    until("it is told", || daemon.health()["removed_total"].as_u64().unwrap() > 100);
    assert_eq!(daemon.health()["lost_to_retention_total"], 0);
    let (by_id, events) = receiver.events();
    assert_eq!((by_id.len(), events), (200, 200));
}

#[test]
fn session_files_that_are_read_again_add_nothing() {
    let home = Home::with(&[
        ("TRUEUP_SYNC_INTERVAL", "100ms"),
        ("OCT_RETENTION_DAYS", "1"),
        ("TRUEUP_CLEANUP_INTERVAL", "100ms"),
    ]);
    let folder = home.path(".claude/projects/p");
    fs::create_dir_all(&folder).unwrap();
    let line = |number: u32| {
        format!(
            r#"{{"type":"assistant","timestamp":"2026-02-14T00:{number:02}:00.000Z","sessionId":"s","cwd":"/p","requestId":"r{number}","message":{{"id":"m{number}","model":"claude-sonnet-4-5","usage":{{"input_tokens":10,"output_tokens":5}}}}}}"#
        )
    };
    let lines: Vec<String> = (0..30).map(line).collect();
    fs::write(folder.join("s.jsonl"), lines.join("\n") + "\n").unwrap();
    let daemon = home.start();
    until("all is read and removed again", || {
        home.number("SELECT coalesce(sum(calls), 0) FROM usage_removed") == 30
    });
    let before = totals(&daemon, "session");
    assert_eq!(before["calls"], 30);
    // A copy, as a fork or a backup is one.
    fs::write(folder.join("copy.jsonl"), lines.join("\n") + "\n").unwrap();
    let read = "SELECT count(*) FROM positions WHERE path LIKE '%copy.jsonl'";
    until("the copy is read", || home.number(read) == 1);
    assert_eq!(totals(&daemon, "session"), before);
    assert_eq!(home.number(CALLS), 0);
    drop(daemon);
    let check = home.verb("check").output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

#[test]
fn brief_a_long_write_ahead_log_is_emptied() {
    let home = Home::with(&[
        ("OCT_WAL_RESTART_THRESHOLD_BYTES", "2000000"),
        ("TRUEUP_CHECKPOINT_INTERVAL", "100ms"),
    ]);
    let daemon = home.start();
    // A reader keeps the log from being used again from its start.
    let reader = home.database();
    reader.execute_batch("BEGIN; SELECT count(*) FROM llm_calls").unwrap();
    post_texts(&daemon, 200);
    let log_bytes = || daemon.health()["wal_size_bytes"].as_u64().unwrap();
    assert!(log_bytes() > 2_000_000);
    drop(reader);
    until("the log is short", || log_bytes() < 1_000_000);
}

#[test]
fn ballast_is_held_beside_the_ledger() {
    let home = Home::with(&[("TRUEUP_BALLAST_BYTES", "100000")]);
    let daemon = home.start();
    assert_eq!(daemon.health()["disk_status"], "ok");
    assert_eq!(fs::metadata(home.path("ledger.db.ballast")).unwrap().len(), 100_000);
    let unknown = home.refusal(&["--retention", "all"]);
    assert!(unknown.contains("`all` is not synced or unsynced-too"), "{unknown}");
}
