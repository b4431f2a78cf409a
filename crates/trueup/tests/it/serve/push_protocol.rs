//! What a receiver may ask of a sender, and what it is told beside the records.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::daemon::{Home, trace, until};
use super::push::{home_of, post_traces, push};
use super::receiver::{Received, Receiver};

/// A receiver whose every answer is a good one with this body.
fn saying(body: &Value) -> Receiver {
    Receiver::start(&saying_mode(body))
}

fn saying_mode(body: &Value) -> String {
    json!({ "body": body.to_string() }).to_string()
}

fn made_at(request: &Received) -> i64 {
    request.json()["batch"]["created_at"].as_i64().unwrap()
}

#[test]
fn a_receiver_says_when_the_next_cycle_is() {
    let receiver = saying(&json!({"next_push_seconds": 1}));
    let home = home_of(&receiver, &[]);
    let daemon = home.start();
    post_traces(&daemon, 0..1);
    push(&daemon);
    // From now on a cycle comes each second, where the settings say each hour.
    post_traces(&daemon, 1..2);
    let start = Instant::now();
    receiver.await_events(2);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    // Until it says otherwise.
    receiver.answer(&saying_mode(&json!({"next_push_seconds": 3_600})));
    post_traces(&daemon, 2..3);
    receiver.await_events(3);
    until("that is noted", || daemon.health()["unsynced_count"] == 0);
    post_traces(&daemon, 3..4);
    std::thread::park_timeout(Duration::from_secs(3));
    assert_eq!(receiver.events().1, 3);
}

#[test]
fn a_receiver_that_wants_to_hears_of_us_when_nothing_is_sent() {
    let receiver = saying(&json!({"heartbeat_seconds": 1}));
    let home = home_of(&receiver, &[]);
    let mut daemon = home.start();
    post_traces(&daemon, 0..2);
    push(&daemon);
    until("two heartbeats", || receiver.received().len() >= 3);
    let heartbeat = receiver.received().remove(1);
    assert_eq!(heartbeat.header("content-encoding"), "");
    let body = heartbeat.json();
    let empty = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945";
    let batch = &body["batch"];
    assert_eq!(batch["id"], heartbeat.header("idempotency-key"));
    assert_eq!((&batch["count"], &batch["sha256"]), (&0.into(), &empty.into()));
    assert_eq!((&batch["first_seq"], &batch["last_seq"]), (&3.into(), &2.into()));
    assert_eq!(body["events"], json!([]));
    assert_eq!(daemon.health()["status"], "ok");
    // Also after a restart, although nothing is to be sent.
    assert!(daemon.terminate().success());
    let before = receiver.received().len();
    let daemon = home.start();
    push(&daemon);
    assert!(receiver.received().len() > before);
    // No longer, when it no longer wants to.
    receiver.answer(&saying_mode(&json!({"heartbeat_seconds": 0})));
    until("the last one", || daemon.health()["unsynced_count"] == 0 && is_still(&receiver));
    post_traces(&daemon, 2..3);
    push(&daemon);
    assert_eq!(receiver.events().1, 3);
}

/// Whether nothing arrives for a while.
fn is_still(receiver: &Receiver) -> bool {
    let before = receiver.received().len();
    std::thread::park_timeout(Duration::from_secs(2));
    receiver.received().len() == before
}

#[test]
fn a_receiver_that_never_asks_for_heartbeats_gets_none() {
    let receiver = saying(&json!({"accepted": 2, "duplicates": null}));
    let home = home_of(&receiver, &[("TRUEUP_PUSH_INTERVAL", "100ms")]);
    let daemon = home.start();
    post_traces(&daemon, 0..2);
    push(&daemon);
    assert!(is_still(&receiver));
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn a_heartbeat_that_is_not_taken_is_not_repeated() {
    let receiver = saying(&json!({"heartbeat_seconds": 1}));
    let home = home_of(&receiver, &[]);
    let daemon = home.start();
    post_traces(&daemon, 0..2);
    push(&daemon);
    receiver.answer(r#"{"status":400}"#);
    until("a heartbeat", || receiver.received().iter().any(|one| one.status == 400));
    assert!(is_still(&receiver));
    assert_eq!(home.number("SELECT count(*) FROM push_quarantine"), 0);
    let noted = "SELECT count(*) FROM push_log WHERE status = 'refused' AND http_status = 400";
    assert_eq!(home.number(noted), 1);
    // What is to be sent is.
    receiver.answer("{}");
    post_traces(&daemon, 2..3);
    assert_eq!(push(&daemon)["status"], "ok");
    assert_eq!(receiver.events().1, 3);
}

#[test]
fn another_address_has_asked_for_no_heartbeat() {
    let receiver = saying(&json!({"heartbeat_seconds": 3_600}));
    let home = home_of(&receiver, &[]);
    let mut daemon = home.start();
    post_traces(&daemon, 0..2);
    push(&daemon);
    let asked = "SELECT count(*) FROM counters WHERE name = 'push_heartbeat_seconds'";
    assert_eq!(home.number(asked), 1);
    assert!(daemon.terminate().success());
    let other = Receiver::start("{}");
    let mut command = home.command();
    command.env("TRUEUP_PUSH_ENDPOINT", other.url());
    let daemon = super::daemon::Daemon::start(command);
    push(&daemon);
    assert_eq!((home.number(asked), other.received().len()), (0, 0));
}

#[test]
fn each_batch_says_how_it_stands_with_what_is_behind_it() {
    let receiver = Receiver::start(r#"{"poison":"question 1\""}"#);
    let home = home_of(
        &receiver,
        &[("TRUEUP_MAX_TEXT_BYTES", "100000"), ("TRUEUP_PUSH_MAX_BYTES", "65536")],
    );
    let daemon = home.start();
    post_traces(&daemon, 0..3);
    push(&daemon);
    let status = |request: &Received| request.json()["source"]["status"].clone();
    let before = receiver.received().len();
    // Two records that do not fit into one batch.
    let text = "x".repeat(40_000);
    for number in 0..2 {
        let at = 1_795_212_509_000_i64 + number;
        let fields = format!(r#""timestamp":{at},"input_text":"{text}""#);
        daemon.post_durably("/v1/traces", &trace(&fields));
    }
    push(&daemon);
    let requests = receiver.received();
    let [first, second] = &requests[before..] else { panic!("{}", requests.len()) };
    let expected = json!({"waiting": 1, "oldest_waiting_at": 1_795_212_509_001_i64, "dropped": 0,
        "refused": 1, "last_read_at": null});
    assert_eq!(status(first), expected);
    let expected = json!({"waiting": 0, "oldest_waiting_at": null, "dropped": 0, "refused": 1,
        "last_read_at": null});
    assert_eq!(status(second), expected);
}

#[test]
fn batches_never_go_back_in_time_whatever_the_clock_does() {
    let receiver = Receiver::start("{}");
    let home = home_of(&receiver, &[]);
    let mut daemon = home.start();
    for number in 0..3 {
        post_traces(&daemon, number..number + 1);
        push(&daemon);
    }
    assert!(daemon.terminate().success());
    // As if the clock had been a year ahead.
    let ahead = made_at(&receiver.received()[2]) + 365 * 86_400_000;
    let set = "UPDATE counters SET value = ?1 WHERE name = 'push_batch_made_ms'";
    assert_eq!(home.database().execute(set, [ahead]).unwrap(), 1);
    let daemon = home.start();
    for number in 3..5 {
        post_traces(&daemon, number..number + 1);
        push(&daemon);
    }
    let made: Vec<i64> = receiver.received().iter().map(made_at).collect();
    assert_eq!(made[3..], [ahead + 1, ahead + 2]);
    assert!(made.windows(2).all(|two| two[0] < two[1]), "{made:?}");
}

#[test]
fn another_version_of_the_format_pauses_and_says_what_to_do() {
    let mode = json!({"status": 426, "headers": {"Trueup-Ingest-Versions": "2"}});
    let receiver = Receiver::start(&mode.to_string());
    let home: Home = home_of(&receiver, &[]);
    let daemon = home.start();
    post_traces(&daemon, 0..10);
    let answer = push(&daemon);
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("the receiver reads version 2 of the format"), "{error}");
    assert_eq!(receiver.received().len(), 1);
    assert_eq!(daemon.health()["status"], "degraded");
    receiver.answer("{}");
    assert_eq!(push(&daemon)["status"], "ok");
    assert_eq!((receiver.events().0.len(), receiver.events().1), (10, 10));
}

/// Has an agent write lines of one answer, each better than the one before.
fn answer(home: &Home, outputs: &[u32]) {
    let line = |(second, output): (usize, &u32)| {
        format!(
            r#"{{"type":"assistant","timestamp":"2026-11-20T22:08:3{second}.117Z","sessionId":"s1","cwd":"/src/x","requestId":"r1","uuid":"u{second}","message":{{"id":"m1","model":"claude-haiku-4-5","role":"assistant","usage":{{"input_tokens":5,"output_tokens":{output}}}}}}}"#
        ) + "\n"
    };
    let folder = home.path(".claude/projects/-src-x");
    std::fs::create_dir_all(&folder).unwrap();
    let lines: String = outputs.iter().enumerate().map(line).collect();
    std::fs::write(folder.join("s1.jsonl"), lines).unwrap();
    let last = outputs.last().unwrap();
    until("the last line counts", || {
        home.number(&format!("SELECT count(*) FROM llm_traces WHERE output = {last}")) == 1
    });
}

/// What a receiver counts that keeps the newest word on each id.
fn counted(receiver: &Receiver) -> Vec<u64> {
    let mut words = std::collections::BTreeMap::new();
    let mut requests = receiver.taken();
    requests.sort_by_key(made_at);
    for event in requests.iter().flat_map(Received::events) {
        words.insert(event["id"].to_string(), event["data"]["output_tokens"].as_u64());
    }
    words.into_values().flatten().collect()
}

#[test]
fn an_older_ledger_that_is_put_back_tells_everything_anew() {
    let receiver = Receiver::start("{}");
    let home = home_of(&receiver, &[("TRUEUP_SYNC_INTERVAL", "100ms")]);
    let mut daemon = home.start();
    post_traces(&daemon, 0..1);
    push(&daemon);
    assert!(daemon.terminate().success());
    std::fs::copy(home.path("ledger.db"), home.path("copy.db")).unwrap();
    let mut daemon = home.start();
    answer(&home, &[1]);
    push(&daemon);
    assert!(daemon.terminate().success());
    assert_eq!(counted(&receiver).len(), 2);
    // From now on both lines are read together: the first is never there alone.
    std::fs::copy(home.path("copy.db"), home.path("ledger.db")).unwrap();
    let daemon = home.start();
    answer(&home, &[1, 700]);
    push(&daemon);
    let requests = receiver.received();
    let epoch = |request: &Received| request.header("x-trace-epoch").to_owned();
    assert_ne!(epoch(&requests[0]), epoch(requests.last().unwrap()));
    let mut at_receiver = counted(&receiver);
    at_receiver.sort_unstable();
    assert_eq!(at_receiver, [0, 700]);
    assert_eq!(home.number("SELECT count(*) FROM llm_calls WHERE pushed_at IS NULL"), 0);
}

#[test]
fn a_receiver_that_knows_a_newer_batch_is_told_everything_anew() {
    let receiver = Receiver::start("{}");
    let home = home_of(&receiver, &[]);
    let daemon = home.start();
    post_traces(&daemon, 0..2);
    push(&daemon);
    let ahead = made_at(&receiver.received()[0]) + 86_400_000;
    receiver
        .answer(&json!({"first": 2, "body": json!({"newest_at": ahead}).to_string()}).to_string());
    post_traces(&daemon, 2..3);
    push(&daemon);
    let requests = receiver.received();
    let counts: Vec<usize> = requests.iter().map(|one| one.events().len()).collect();
    assert_eq!(counts, [2, 1, 3]);
    assert_eq!(made_at(&requests[2]), ahead + 1);
    assert_ne!(requests[1].header("x-trace-epoch"), requests[2].header("x-trace-epoch"));
    assert_eq!(receiver.events().0.len(), 3);
    until("it is told", || {
        daemon.log().iter().any(|line| line.contains("ledger_is_an_older_copy"))
    });
}
