//! What the program that `serve` takes the place of did wrong, each by its number.
//!
//! Here are those of posts and health. Of the others, 4, 5, 12 and 13 are in `push`, 7 and 8 in
//! `gateway_log`, 9 and 10 in `host`; those of recorded control groups are beside the sampler.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::daemon::{Daemon, Home, trace, until};

const CALLS: &str = "SELECT count(*) FROM llm_traces";
const EVENTS: &str = "SELECT count(*) FROM custom_events";

/// One failed insert ended the writer for ever, and health knew nothing of it.
#[test]
fn defect_1_a_ledger_locked_for_seconds_is_reported_and_survived() {
    let home = Home::new();
    let daemon = home.start();
    daemon.post_durably("/v1/traces", &trace(""));
    let blocker = home.lock();
    daemon.post("/v1/traces", &trace(""));
    until("health tells", || daemon.health()["db_status"] == "error");
    let health = daemon.health();
    assert_eq!(health["status"], "degraded");
    assert!(health["db_error"].as_str().unwrap().contains("another program holds"), "{health}");
    // Longer than a write of the original's took before it gave up for ever.
    std::thread::park_timeout(Duration::from_secs(5));
    drop(blocker);
    until("it has recovered", || daemon.health()["status"] == "ok");
    for _ in 0..700 {
        let answer = daemon.post("/v1/traces", &trace(""));
        assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(1)));
    }
    until("all is written", || home.number(CALLS) == 702);
    let health = daemon.health();
    assert_eq!((&health["queue_depth"], &health["dropped_total"]), (&json!(0), &json!(0)));
}

/// Of 118,584 posts that were answered with 202, 45 % were dropped, and nobody told.
#[test]
fn defect_2_what_is_dropped_under_64_connections_is_told_to_whom_it_belongs() {
    let home = Home::with(&[("TRUEUP_QUEUE_RECORDS", "24")]);
    let daemon = home.start();
    daemon.post_durably("/v1/events", r#"{"name":"before"}"#);
    let body = r#"{"name":"e"}"#.repeat(3);
    let blocker = home.lock();
    let posted = |_| {
        let answers = (0..12).map(|_| daemon.post("/v1/events", &body));
        let answers = answers.inspect(|answer| assert_eq!(answer.status, 202));
        answers.map(|answer| answer.json()).collect::<Vec<_>>()
    };
    let answers: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..64).map(|client| scope.spawn(move || posted(client))).collect();
        until("something is dropped", || daemon.health()["dropped_total"] != 0);
        drop(blocker);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let (mut told, mut dropped) = (BTreeSet::new(), 0);
    for answer in &answers {
        let ids = answer["ids"].as_array().unwrap();
        assert_eq!(ids.len(), usize::try_from(answer["accepted"].as_u64().unwrap()).unwrap());
        let lost = answer["dropped"].as_u64().unwrap_or(0);
        assert_eq!(ids.len() as u64 + lost, 3);
        dropped += lost;
        told.extend(ids.iter().map(|id| id.as_str().unwrap().to_owned()));
    }
    assert_eq!(daemon.health()["dropped_total"], dropped);
    until("what was accepted is written", || daemon.health()["queue_depth"] == 0);
    until("it is there", || home.number(EVENTS) == 1 + i64::try_from(told.len()).unwrap());
    let database = home.database();
    let mut is_there = database.prepare("SELECT 1 FROM custom_events WHERE trace_id = ?1").unwrap();
    assert!(told.iter().all(|id| is_there.exists([id]).unwrap()));
}

/// 50 of 13,490 acknowledged events were lost.
#[test]
fn defect_3_kill_9_loses_nothing_that_was_acknowledged() {
    let home = Home::new();
    let mut durable: Vec<String> = Vec::new();
    for _ in 0..3 {
        let daemon = home.start();
        let told = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let media = [("content-type", "application/json")];
                    while let Ok(answer) = daemon.try_post("/v1/traces", &trace(""), &media) {
                        let answer = answer.json();
                        if answer["durable"] == true {
                            told.lock()
                                .unwrap()
                                .push(answer["ids"][0].as_str().unwrap().to_owned());
                        }
                    }
                });
            }
            until("enough is acknowledged", || told.lock().unwrap().len() >= 200);
            daemon.signal(Signal::KILL);
        });
        durable.extend(told.into_inner().unwrap());
    }
    let database = home.database();
    let mut is_there = database.prepare("SELECT 1 FROM llm_traces WHERE trace_id = ?1").unwrap();
    let lost = durable.iter().filter(|id| !is_there.exists([id]).unwrap()).count();
    assert_eq!(lost, 0, "of {}", durable.len());
    assert_eq!(home.text("PRAGMA integrity_check"), "ok");
}

/// One post of 200 MB was taken, and 610 MB of memory with it.
#[test]
fn defect_6_a_body_of_200_mb_is_refused_and_never_held() {
    let home = Home::new();
    let daemon = home.start();
    daemon.post_durably("/v1/events", r#"{"name":"before"}"#);
    let announced =
        "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000000\r\n\r\n";
    let answer = daemon.raw(announced.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let before_kb = daemon.memory_kb("VmHWM");
    pour(&daemon, announced, b"x".repeat(1 << 20).as_slice());
    let announced_kb = daemon.memory_kb("VmHWM");
    let unannounced =
        "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = [b"100000\r\n", b"x".repeat(1 << 20).as_slice(), b"\r\n"].concat();
    pour(&daemon, unannounced, &chunk);
    let unannounced_kb = daemon.memory_kb("VmHWM");
    println!("at most {before_kb} kB before, {announced_kb} and {unannounced_kb} kB then");
    assert!(announced_kb < before_kb + 2_000, "{before_kb} kB before, {announced_kb} kB then");
    // As much as the largest body that is taken, 16 MiB, and never the rest.
    assert!(unannounced_kb < before_kb + 24_000, "{before_kb} kB before, {unannounced_kb} kB then");
    assert_eq!(daemon.health()["status"], "ok");
    daemon.post_durably("/v1/events", r#"{"name":"after"}"#);
    assert_eq!(home.number(EVENTS), 2);
}

/// Sends 200 pieces, or as many as are taken.
fn pour(daemon: &Daemon, head: &str, piece: &[u8]) {
    let mut stream = TcpStream::connect(daemon.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let sent = (0..200).take_while(|_| stream.write_all(piece).is_ok()).count();
    assert!(sent < 200, "all of it was taken");
}

/// An object as metadata and a fraction as a latency were `invalid json`; a cut could split a
/// character, and messages and stacks were never cut.
#[test]
fn defect_11_what_clients_really_send_is_taken_and_cut_between_characters() {
    let home = Home::with(&[("TRUEUP_MAX_TEXT_BYTES", "32")]);
    let daemon = home.start();
    let text = "a".repeat(31);
    let fields = format!(r#""metadata":{{"a":[1]}},"latency_ms":12.5,"input_text":"{text}😀""#);
    daemon.post_durably("/v1/traces", &trace(&fields));
    daemon.post_durably("/v1/traces", &trace(r#""metadata":"{\"a\":[1]}""#));
    let row = "SELECT json_group_array(json_array(metadata, latency_ms, input_text)) FROM calls";
    let expected = json!([["{\"a\":[1]}", 12, text], ["{\"a\":[1]}", null, null]]);
    assert_eq!(home.text(row), expected.to_string());
    let long = "ä".repeat(4_000);
    let error = json!({"error_type": "crash", "message": long, "stack_trace": long});
    daemon.post_durably("/v1/errors", &error.to_string());
    let row = "SELECT json_array(message, stack_trace, metadata) FROM error_events";
    let expected = json!(["ä".repeat(16), "ä".repeat(16), "{\"is_text_cut\":true}"]);
    assert_eq!(home.text(row), expected.to_string());
}

/// Health counted all rows through the one connection that also wrote.
#[test]
fn defect_14_health_costs_little_however_much_there_is_and_while_the_ledger_is_locked() {
    let home = Home::with(&[("TRUEUP_QUEUE_RECORDS", "100000")]);
    let daemon = home.start();
    for _ in 0..2 {
        daemon.post_durably("/v1/traces", &trace("").repeat(10_000));
    }
    let _blocker = home.lock();
    daemon.post("/v1/traces", &trace(""));
    let mut times: Vec<_> = (0..101)
        .map(|_| {
            let start = Instant::now();
            daemon.health();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    assert!(times[50] < Duration::from_millis(20), "{:?}", times[50]);
    assert!(times[100] < Duration::from_secs(1), "{:?}", times[100]);
}

/// There were no fields for a client's own time and id, sessions, agents, projects, cached and
/// reasoning tokens, and no way to post more than one record.
#[test]
fn defect_15_a_batch_keeps_every_field_of_each_record() {
    let home = Home::new();
    let daemon = home.start();
    let record = |number: u32| {
        json!({
            "trace_id": format!("t{number}"), "timestamp": 1_795_212_510_000_u64 + u64::from(number),
            "provider": "openai", "model": "gpt-5.5", "session_id": format!("s{number}"),
            "agent": "hermes", "project": "/src/x", "prompt_tokens": 1_000 + number,
            "cache_read_tokens": 600, "cache_write_tokens": 100, "completion_tokens": 50,
            "reasoning_tokens": 20 + number,
        })
    };
    let lines: Vec<_> = (0..3).map(|number| record(number).to_string()).collect();
    let answer = daemon.post_durably("/v1/traces", &lines.join("\n")).json();
    assert_eq!((&answer["accepted"], &answer["ids"]), (&json!(3), &json!(["t0", "t1", "t2"])));
    let rows = "SELECT json_group_array(json_array(trace_id, created_at, session, source, project,
        input, cache_read, cache_write, output, reasoning)) FROM (SELECT * FROM calls ORDER BY trace_id)";
    let expected: Vec<_> = (0..3_u64)
        .map(|number| {
            let (id, session) = (format!("t{number}"), format!("s{number}"));
            let time = 1_795_212_510_000 + number;
            json!([id, time, session, "hermes", "/src/x", 300 + number, 600, 100, 50, 20 + number])
        })
        .collect();
    assert_eq!(home.text(rows), json!(expected).to_string());
}
