//! `push`: the original's defects by name, and what a receiver may do to us.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::daemon::{Daemon, Home, trace, until};
use super::receiver::Receiver;

const UNPUSHED: &str = "SELECT count(*) FROM llm_traces WHERE pushed_at IS NULL";
const PUSHED: &str = "SELECT count(*) FROM llm_traces WHERE pushed_at IS NOT NULL";

/// A home that pushes there; a cycle runs only when somebody asks for one.
pub(super) fn home_of(receiver: &Receiver, more: &[(&str, &str)]) -> Home {
    let url = receiver.url();
    let mut variables =
        vec![("TRUEUP_PUSH_ENDPOINT", url.as_str()), ("TRUEUP_PUSH_INTERVAL", "1h")];
    variables.extend_from_slice(more);
    Home::with(&variables)
}

/// Runs a cycle; what the daemon says of it.
pub(super) fn push(daemon: &Daemon) -> Value {
    let answer = daemon.post("/v1/push", "");
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// Posts traces that differ in their counts and texts.
pub(super) fn post_traces(daemon: &Daemon, numbers: std::ops::Range<u32>) {
    let lines: Vec<String> = numbers
        .map(|number| {
            trace(&format!(
                r#""prompt_tokens":{number},"completion_tokens":{},"input_text":"question {number}""#,
                number * 2
            ))
        })
        .collect();
    daemon.post_durably("/v1/traces", &lines.join("\n"));
}

#[test]
fn brief_100_traces_arrive_field_for_field_after_one_cycle() {
    let receiver = Receiver::start("{}");
    let home =
        home_of(&receiver, &[("TRUEUP_PUSH_TOKEN", "s3cret"), ("TRUEUP_PUSH_AGENT", "hermes")]);
    let daemon = home.start();
    let mut posted = BTreeMap::new();
    for number in 0..100_u32 {
        let sent = json!({
            "trace_id": format!("trace-{number}"), "timestamp": 1_795_212_509_000_u64 + u64::from(number),
            "provider": "openai", "model": "gpt-5.5", "input_text": format!("Frage {number} — «ä»\n"),
            "output_text": format!("\"{number}\"\t\u{1F600}"), "prompt_tokens": 1_000 + number,
            "completion_tokens": 50 + number, "cost_usd": f64::from(number + 1) / 1_000.0,
            "latency_ms": 400 + number, "status": if number % 10 == 0 { "error" } else { "ok" },
            "error_type": if number % 10 == 0 { "rate_limit" } else { "" },
            "session_id": "s1", "cache_read_tokens": 10, "metadata": {"k": number},
        });
        daemon.post_durably("/v1/traces", &sent.to_string());
        posted.insert(format!("trace-{number}"), sent);
    }
    let error = r#"{"error_type":"crash","message":"boom","severity":"fatal","metadata":{"a":1}}"#;
    daemon.post_durably("/v1/errors", error);
    daemon.post_durably("/v1/events", r#"{"name":"deploy"}"#);
    assert_eq!(push(&daemon)["status"], "ok");

    let requests = receiver.received();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(request.path, "/ingest");
    assert_eq!(request.header("authorization"), "Bearer s3cret");
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("content-encoding"), "gzip");
    let body = request.json();
    check_envelope(request, &body);
    assert_eq!(body["source"]["agent"], "hermes");

    let mut arrived = BTreeSet::new();
    for event in body["events"].as_array().unwrap() {
        let data = &event["data"];
        match event["type"].as_str().unwrap() {
            "llm_trace" => {
                let id = data["trace_id"].as_str().unwrap();
                let sent = &posted[id];
                for field in [
                    "provider",
                    "model",
                    "input_text",
                    "output_text",
                    "prompt_tokens",
                    "completion_tokens",
                    "latency_ms",
                    "status",
                    "cost_usd",
                ] {
                    assert_eq!(data[field], sent[field], "{field} of {id}: {data}");
                }
                let number = |value: &Value| value.as_u64().unwrap();
                assert_eq!(data["created_at"], sent["timestamp"]);
                assert_eq!(
                    number(&data["total_tokens"]),
                    number(&sent["prompt_tokens"]) + number(&sent["completion_tokens"])
                );
                assert_eq!(
                    (&data["session"], &data["cache_read_tokens"]),
                    (&"s1".into(), &10.into())
                );
                let metadata: Value =
                    serde_json::from_str(data["metadata"].as_str().unwrap()).unwrap();
                assert_eq!(metadata["k"], sent["metadata"]["k"]);
                assert!(arrived.insert(id.to_owned()), "{id} twice");
            }
            "error_event" => {
                assert_eq!(
                    (&data["error_type"], &data["message"]),
                    (&"crash".into(), &"boom".into())
                );
                assert_eq!((&data["severity"], &data["source"]), (&"fatal".into(), &"http".into()));
                assert!(data["trace_id"].is_string() && data.get("pushed_at").is_none());
            }
            "custom_event" => assert_eq!(data["name"], "deploy"),
            other => panic!("{other}"),
        }
    }
    assert_eq!(arrived.len(), 100);
    assert_eq!((home.number(UNPUSHED), home.number(PUSHED)), (0, 100));
    assert_eq!(home.number("SELECT count(*) FROM outbox"), 0);
    assert_eq!(home.number("SELECT count(*) FROM error_events WHERE pushed_at IS NULL"), 0);
    let health = daemon.health();
    assert_eq!((&health["last_push_status"], &health["unsynced_count"]), (&"ok".into(), &0.into()));
    assert!(health["last_push_time"].is_string());
    let metrics = daemon.get("/metrics").text;
    for line in ["trueup_push_records_total 102", "trueup_push_requests_total{result=\"ok\"} 1"] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    assert!(!daemon.log().iter().any(|line| line.contains("s3cret") || line.contains("Frage")));
}

/// What stands around the records says what they are.
fn check_envelope(request: &super::receiver::Received, body: &Value) {
    let batch = &body["batch"];
    assert_eq!(body["v"], 1);
    assert_eq!(batch["id"], request.header("idempotency-key"));
    assert_eq!(batch["id"].as_str().unwrap().as_bytes()[14], b'7');
    assert_eq!(batch["count"], body["events"].as_array().unwrap().len());
    assert_eq!(body["source"]["id"], request.header("x-trace-source"));
    assert_eq!(body["source"]["epoch"], request.header("x-trace-epoch"));
    assert!(!request.header("x-trace-epoch").is_empty());
    let text = request.text();
    let (_, events) = text.split_once(r#""events":"#).unwrap();
    let hash = sha256(events.strip_suffix('}').unwrap());
    assert_eq!(batch["sha256"], hash);
}

fn sha256(text: &str) -> String {
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16));
    Sha256::digest(text).iter().flat_map(digits).flatten().collect()
}

#[test]
fn nothing_is_sent_and_nothing_queued_without_an_endpoint() {
    let home = Home::new();
    let daemon = home.start();
    daemon.post_durably("/v1/traces", &trace(""));
    assert_eq!(daemon.post("/v1/push", "").status, 409);
    assert_eq!(home.number("SELECT count(*) FROM outbox"), 0);
    assert_eq!(daemon.health()["last_push_status"], "disabled");
}

#[test]
fn rows_from_before_the_endpoint_was_set_are_sent_too() {
    let home = Home::new();
    let mut daemon = home.start();
    post_traces(&daemon, 0..10);
    assert!(daemon.terminate().success());
    let receiver = Receiver::start("{}");
    let mut pushing = home.command();
    pushing.env("TRACE_PUSH_ENDPOINT", receiver.url()).env("TRACE_PUSH_INTERVAL", "1h");
    let mut daemon = Daemon::start(pushing);
    post_traces(&daemon, 10..20);
    push(&daemon);
    assert_eq!(receiver.events().1, 20);
    // Off again: what is posted meanwhile is sent when it is on again, and nothing else.
    assert!(daemon.terminate().success());
    let mut daemon = home.start();
    post_traces(&daemon, 20..25);
    assert_eq!(home.number("SELECT count(*) FROM outbox"), 0);
    assert!(daemon.terminate().success());
    let mut pushing = home.command();
    pushing.env("TRACE_PUSH_ENDPOINT", receiver.url()).env("TRACE_PUSH_INTERVAL", "1h");
    let daemon = Daemon::start(pushing);
    push(&daemon);
    assert_eq!((receiver.events().0.len(), receiver.events().1), (25, 25));
}

#[test]
fn defect_4_any_2xx_is_success_and_nothing_is_sent_again() {
    for status in [200, 201, 202, 204] {
        let receiver = Receiver::start(&json!({ "status": status }).to_string());
        let home = home_of(&receiver, &[]);
        let daemon = home.start();
        post_traces(&daemon, 0..20);
        for _ in 0..3 {
            assert_eq!(push(&daemon)["waiting"], 0);
        }
        assert_eq!((receiver.received().len(), receiver.events().1), (1, 20), "{status}");
        assert_eq!(home.number(UNPUSHED), 0, "{status}");
    }
}

#[test]
fn brief_rows_stay_unsynced_while_the_receiver_fails_and_then_arrive_once() {
    let receiver = Receiver::start(r#"{"status":500,"body":"down","headers":{"Retry-After":"0"}}"#);
    let home = home_of(&receiver, &[("TRUEUP_PUSH_INTERVAL", "200ms")]);
    let daemon = home.start();
    post_traces(&daemon, 0..100);
    until("it was tried again and again", || receiver.received().len() >= 3);
    until("health tells", || {
        let health = daemon.health();
        health["last_push_status"] == "error" || receiver.received().len() > 8
    });
    assert_eq!((home.number(PUSHED), home.number(UNPUSHED)), (0, 100));
    let failures = "SELECT count(*) FROM push_log WHERE status = 'retry' AND http_status = 500
         AND error_message = 'HTTP 500: down' AND events_pushed = 0 AND trace_id <> ''";
    assert!(home.number(failures) >= 3);
    receiver.answer("{}");
    daemon.post("/v1/push", "");
    receiver.await_events(100);
    let (by_id, count) = receiver.events();
    assert_eq!((by_id.len(), count), (100, 100));
    // Every try was the same, to the last byte.
    let received = receiver.received();
    let first = &received[0];
    for one in received.iter().filter(|one| one.status == 500) {
        assert!(one.raw == first.raw, "a retry differs");
        assert_eq!(one.header("idempotency-key"), first.header("idempotency-key"));
    }
    until("they count as pushed", || home.number(UNPUSHED) == 0);
    assert_eq!(home.number("SELECT count(*) FROM push_log WHERE status = 'ok'"), 1);
}

#[test]
fn brief_12_mb_are_at_least_three_requests_each_acknowledged_by_itself() {
    // The third request fails: the first two stay acknowledged.
    let receiver = Receiver::start("{}");
    let home = home_of(
        &receiver,
        &[("TRUEUP_MAX_TEXT_BYTES", "100000"), ("TRUEUP_QUEUE_BYTES", "100000000")],
    );
    let daemon = home.start();
    let text = "x".repeat(60_000);
    for _ in 0..20 {
        let lines = vec![trace(&format!(r#""input_text":"{text}""#)); 10];
        daemon.post_durably("/v1/traces", &lines.join("\n"));
    }
    receiver.answer(r#"{"first":2,"status":200}"#);
    push(&daemon);
    let received = receiver.received();
    assert!(received.len() >= 3, "{}", received.len());
    let mut last = 0;
    for request in &received {
        assert!(request.text().len() <= 5_000_000);
        let batch = request.json()["batch"].clone();
        assert_eq!(batch["first_seq"], last + 1, "no gap, no overlap");
        last = batch["last_seq"].as_i64().unwrap();
    }
    assert_eq!((receiver.events().0.len(), receiver.events().1), (200, 200));
    assert_eq!(
        home.number("SELECT count(*) FROM push_log WHERE status = 'ok'"),
        i64::try_from(received.len()).unwrap()
    );
    assert_eq!(home.number("SELECT sum(events_pushed) FROM push_log"), 200);
}

#[test]
fn defect_12_a_backlog_is_drained_in_one_cycle() {
    let receiver = Receiver::start("{}");
    let home = home_of(&receiver, &[("TRUEUP_QUEUE_RECORDS", "100000")]);
    let daemon = home.start();
    for part in 0..12 {
        post_traces(&daemon, part * 1_000..part * 1_000 + 1_000);
    }
    push(&daemon);
    let sizes: Vec<usize> = receiver.received().iter().map(|one| one.events().len()).collect();
    assert!(sizes.len() >= 2 && sizes.iter().all(|size| *size <= 10_000), "{sizes:?}");
    assert_eq!((receiver.events().0.len(), home.number(UNPUSHED)), (12_000, 0));
}

#[test]
fn a_receiver_that_takes_less_gets_less() {
    let receiver = Receiver::start(r#"{"bytes_max":20000}"#);
    let home = home_of(&receiver, &[("TRUEUP_MAX_TEXT_BYTES", "100000")]);
    let daemon = home.start();
    post_traces(&daemon, 0..200);
    let long = "y".repeat(60_000);
    daemon
        .post_durably("/v1/traces", &trace(&format!(r#""input_text":"{long}","trace_id":"long""#)));
    post_traces(&daemon, 200..210);
    push(&daemon);
    let (by_id, count) = receiver.events();
    assert_eq!((by_id.len(), count), (211, 211));
    let cut = by_id.values().find(|event| event["data"]["trace_id"] == "long").unwrap();
    assert_eq!((&cut["is_cut"], &cut["data"]["is_text_cut"]), (&true.into(), &true.into()));
    let left = cut["data"]["input_text"].as_str().unwrap();
    assert!(!left.is_empty() && long.starts_with(left));
    assert_eq!(by_id.values().filter(|event| event["is_cut"] == true).count(), 1);
    assert_eq!(
        (home.number(UNPUSHED), home.number("SELECT count(*) FROM push_quarantine")),
        (0, 0)
    );
}

#[test]
fn a_record_larger_than_a_request_is_sent_alone_with_its_text_cut() {
    let receiver = Receiver::start("{}");
    let home = home_of(
        &receiver,
        &[("TRUEUP_MAX_TEXT_BYTES", "1000000"), ("TRUEUP_PUSH_MAX_BYTES", "65536")],
    );
    let daemon = home.start();
    post_traces(&daemon, 0..3);
    let long = "€".repeat(100_000);
    daemon.post_durably("/v1/traces", &trace(&format!(r#""input_text":"{long}""#)));
    post_traces(&daemon, 3..6);
    push(&daemon);
    let sizes: Vec<usize> = receiver.received().iter().map(|one| one.events().len()).collect();
    assert_eq!(sizes, [3, 1, 3]);
    let alone = &receiver.received()[1];
    assert!(alone.text().len() <= 65_536);
    assert_eq!(alone.events()[0]["is_cut"], true);
    assert!(alone.events()[0]["data"]["input_text"].as_str().unwrap().chars().all(|c| c == '€'));
    assert_eq!(
        home.number(
            "SELECT length(input_text) FROM llm_trace_texts ORDER BY length(input_text) DESC"
        ),
        100_000
    );
}

#[test]
fn after_a_record_that_fits_nowhere_the_others_travel_together_again() {
    let receiver = Receiver::start(r#"{"bytes_max":20000}"#);
    let home = home_of(&receiver, &[("TRUEUP_MAX_TEXT_BYTES", "100000")]);
    let daemon = home.start();
    // Of a text enough can be cut; names stay as they are, and are six times as long in JSON.
    let (text, name) = ("y".repeat(20_000), r"\u0001".repeat(1_000));
    let long = ["project", "session_id", "session_kind", "agent"].map(|field| {
        let name = &name;
        format!(r#""{field}":"{name}""#)
    });
    let long = trace(&format!(r#""input_text":"{text}",{}"#, long.join(",")));
    daemon.post_durably("/v1/traces", &long);
    post_traces(&daemon, 0..20);
    assert_eq!(push(&daemon)["waiting"], 0);
    let reason = "larger than push_max_bytes even without its texts";
    assert_eq!(home.text("SELECT reason FROM push_quarantine"), reason);
    assert_eq!((receiver.taken().len(), receiver.events().1), (1, 20));
    assert_eq!(home.number(UNPUSHED), 1);
}

#[test]
fn defect_12_one_poisoned_record_is_found_and_put_aside() {
    let receiver = Receiver::start(r#"{"poison":"question 700\""}"#);
    let home = home_of(&receiver, &[("TRUEUP_QUEUE_RECORDS", "2000")]);
    let daemon = home.start();
    post_traces(&daemon, 0..1_000);
    assert_eq!(push(&daemon)["waiting"], 0);
    let (by_id, count) = receiver.events();
    assert_eq!((by_id.len(), count), (999, 999));
    // One for all, log2 to find it, one for what is behind it.
    assert!(receiver.received().len() <= 1 + 11 + 1, "{}", receiver.received().len());
    assert_eq!(home.number(UNPUSHED), 1);
    assert_eq!(home.text("SELECT reason FROM push_quarantine"), "HTTP 400: poisoned");
    assert_eq!(daemon.health()["push_quarantined_total"], 1);
    until("it is told", || daemon.log().iter().any(|line| line.contains("push_quarantined")));
    assert_eq!(push(&daemon)["waiting"], 0);
    assert_eq!(receiver.events().1, 999);
}

#[test]
fn a_receiver_that_refuses_everything_costs_nothing() {
    let receiver = Receiver::start(r#"{"status":422}"#);
    let home = home_of(&receiver, &[]);
    let daemon = home.start();
    post_traces(&daemon, 0..100);
    assert_eq!(push(&daemon)["status"], "error");
    assert!(home.number("SELECT count(*) FROM push_quarantine") <= 8);
    let health = daemon.health();
    assert_eq!(health["status"], "degraded");
    assert!(health["push_error"].as_str().unwrap().contains("one after the other"), "{health}");
    receiver.answer("{}");
    assert_eq!(push(&daemon)["status"], "ok");
    assert!(receiver.events().0.len() >= 92);
}

#[test]
fn a_wrong_token_or_address_pauses_and_drops_nothing() {
    for status in [301, 401, 403, 404, 410] {
        let receiver =
            Receiver::start(&json!({"status": status, "headers": {"location": "/x"}}).to_string());
        let home = home_of(&receiver, &[]);
        let daemon = home.start();
        post_traces(&daemon, 0..10);
        let answer = push(&daemon);
        assert!(answer["error"].as_str().unwrap().contains(&status.to_string()), "{answer}");
        assert_eq!(receiver.received().len(), 1, "{status}");
        assert_eq!(daemon.health()["status"], "degraded");
        until("it is told", || daemon.log().iter().any(|line| line.contains("push_paused")));
        receiver.answer("{}");
        assert_eq!(push(&daemon)["status"], "ok");
        assert_eq!((receiver.events().0.len(), home.number(UNPUSHED)), (10, 0));
        assert_eq!(daemon.health()["status"], "ok");
    }
}

#[test]
fn retry_after_is_honoured() {
    for (status, wait) in [(429, "2"), (503, "2")] {
        let mode = json!({"status": status, "first": 1, "headers": {"retry-after": wait}});
        let receiver = Receiver::start(&mode.to_string());
        let home = home_of(&receiver, &[]);
        let daemon = home.start();
        post_traces(&daemon, 0..5);
        let start = Instant::now();
        assert_eq!(push(&daemon)["status"], "ok");
        assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
        assert_eq!(receiver.received().len(), 2);
        assert!(receiver.received()[0].raw == receiver.received()[1].raw);
    }
}

#[test]
fn a_long_retry_after_survives_a_restart() {
    let receiver = Receiver::start(r#"{"status":429,"headers":{"Retry-After":"600"}}"#);
    let home = home_of(&receiver, &[]);
    let mut daemon = home.start();
    post_traces(&daemon, 0..5);
    assert_eq!(push(&daemon)["status"], "error");
    assert_eq!(receiver.received().len(), 1);
    receiver.answer("{}");
    assert!(daemon.terminate().success());
    let daemon = home.start();
    let answer = push(&daemon);
    assert!(answer["error"].as_str().unwrap().contains("asked to wait"), "{answer}");
    assert_eq!(receiver.received().len(), 1);
    let status = status(&home);
    assert!(status["not_before"].is_string() && status["batch"]["events"] == 5, "{status}");
}

/// What `trueup push status --json` says.
fn status(home: &Home) -> Value {
    let output = verb(home, &["push", "status", "--json"]);
    serde_json::from_str(&output.0).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// What a verb says on standard output and on standard error.
pub(super) fn verb(home: &Home, arguments: &[&str]) -> (String, String, Option<i32>) {
    verb_with(home, &[], arguments)
}

/// The same, with more variables set.
fn verb_with(
    home: &Home,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> (String, String, Option<i32>) {
    let serve = home.command();
    let mut command = std::process::Command::new(serve.get_program());
    command.env_clear().envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.envs(variables.iter().copied()).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[test]
fn what_is_taken_only_in_part_is_settled_record_by_record() {
    let receiver = Receiver::start(
        r#"{"first":1,"status":202,"body":"{\"accepted\":8,\"rejected\":[{\"seq\":3,\"code\":\"no_model\"},{\"seq\":5,\"code\":\"busy\",\"retryable\":true}]}"}"#,
    );
    let home = home_of(&receiver, &[]);
    let daemon = home.start();
    post_traces(&daemon, 0..10);
    assert_eq!(push(&daemon)["waiting"], 1, "what is put off is not sent in the same cycle");
    assert_eq!((home.number(PUSHED), home.number(UNPUSHED)), (8, 2));
    assert_eq!(home.text("SELECT reason FROM push_quarantine WHERE seq = 3"), "no_model");
    assert_eq!(push(&daemon)["waiting"], 0);
    assert_eq!((home.number(PUSHED), home.number(UNPUSHED)), (9, 1));
    let received = receiver.received();
    let (first, second) = (received[0].events(), received[1].events());
    assert_eq!((second.len(), &second[0]["id"]), (1, &first[4]["id"]));
    assert_eq!(status(&home)["quarantined"], 1);
}

#[test]
fn an_answer_that_is_too_long_to_be_read_takes_nothing() {
    let words = "w".repeat(70_000);
    let body = json!({"a": words, "rejected": [{"seq": 3, "code": "no_model"}]}).to_string();
    let receiver = Receiver::start(&json!({ "body": body }).to_string());
    let home = home_of(&receiver, &[]);
    let daemon = home.start();
    post_traces(&daemon, 0..10);
    // To ten records so much is read.
    push(&daemon);
    assert_eq!((home.number(PUSHED), home.number(UNPUSHED)), (9, 1));
    assert_eq!(home.text("SELECT reason FROM push_quarantine WHERE seq = 3"), "no_model");
    // Of one that is too long also to one record nothing is believed, and everything stays where it is.
    let body = json!({"a": words.repeat(2), "rejected": []}).to_string();
    receiver.answer(&json!({ "body": body }).to_string());
    post_traces(&daemon, 10..14);
    let said = daemon.post("/v1/push", "").json();
    assert!(said["error"].to_string().contains("longer than 66560 bytes"), "{said}");
    assert_eq!((home.number(PUSHED), home.number(UNPUSHED)), (9, 5));
    receiver.answer("{}");
    assert_eq!(push(&daemon)["waiting"], 0);
    assert_eq!((home.number(PUSHED), home.number(UNPUSHED)), (13, 1));
}

#[test]
fn what_is_put_off_again_and_again_is_told_as_refused() {
    let all: Vec<Value> = (1..=20).map(|seq| json!({"seq": seq, "retryable": true})).collect();
    let reply = json!({ "rejected": all }).to_string();
    let receiver = Receiver::start(&json!({ "body": reply }).to_string());
    let home = home_of(&receiver, &[]);
    let daemon = home.start();
    post_traces(&daemon, 0..1);
    for _ in 0..9 {
        push(&daemon);
    }
    assert_eq!((receiver.received().len(), home.number(UNPUSHED)), (9, 1));
    assert_eq!(status(&home)["quarantined"], 1);
    assert_eq!(daemon.health()["push_quarantined_total"], 1);
    until("it is told", || daemon.log().iter().any(|line| line.contains("push_quarantined")));
}

#[test]
fn the_encoding_is_what_the_receiver_reads() {
    let receiver = Receiver::start(r#"{"headers":{"Accept-Encoding":"gzip, zstd"}}"#);
    let home = home_of(&receiver, &[]);
    let daemon = home.start();
    for number in 0..2 {
        post_traces(&daemon, number..number + 1);
        push(&daemon);
    }
    receiver.answer(r#"{"unread":"zstd"}"#);
    post_traces(&daemon, 2..3);
    push(&daemon);
    let encodings: Vec<String> =
        receiver.received().iter().map(|one| one.header("content-encoding").to_owned()).collect();
    assert_eq!(encodings, ["gzip", "zstd", "zstd", ""]);
    assert_eq!((receiver.events().0.len(), receiver.events().1), (3, 3));
}

#[test]
fn a_receiver_that_reads_no_encoding_it_names_is_left_alone() {
    let mode = json!({"status": 415, "headers": {"accept-encoding": "gzip, zstd"}});
    let receiver = Receiver::start(&mode.to_string());
    let home = home_of(&receiver, &[]);
    let daemon = home.start();
    post_traces(&daemon, 0..3);
    assert_eq!(push(&daemon)["status"], "error");
    assert!(receiver.received().len() <= 5, "{}", receiver.received().len());
    assert_eq!(home.number(UNPUSHED), 3);
}

#[test]
fn a_receiver_that_is_not_there_loses_nothing() {
    let receiver = Receiver::start("{}");
    let url = receiver.url();
    drop(receiver);
    let home =
        Home::with(&[("TRUEUP_PUSH_ENDPOINT", url.as_str()), ("TRUEUP_PUSH_INTERVAL", "100ms")]);
    let daemon = home.start();
    post_traces(&daemon, 0..10);
    until("it was tried", || home.number("SELECT count(*) FROM push_log") >= 2);
    let log = "SELECT status || ' ' || coalesce(http_status, 'none') FROM push_log LIMIT 1";
    assert_eq!(home.text(log), "retry none");
    assert_eq!(home.number(UNPUSHED), 10);
}

#[test]
fn three_failed_cycles_open_the_breaker_and_a_probe_closes_it() {
    let receiver = Receiver::start(r#"{"status":503,"headers":{"Retry-After":"0"}}"#);
    let home = home_of(&receiver, &[("TRUEUP_PUSH_INTERVAL", "100ms")]);
    let daemon = home.start();
    post_traces(&daemon, 0..100);
    let metrics = || daemon.get("/metrics").text;
    let is_open =
        |value| metrics().lines().any(|line| line == format!("trueup_push_breaker_open {value}"));
    until("the breaker opens", || is_open(1));
    assert_eq!(daemon.health()["status"], "degraded");
    // Three cycles of five tries, then probes of one.
    let cycles = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("trueup_push_cycles_total "));
        line.unwrap().rsplit_once(' ').unwrap().1.parse::<usize>().unwrap()
    };
    until("it is probed", || cycles(&metrics()) >= 5);
    let (requests, cycles) = (receiver.received().len(), cycles(&metrics()));
    assert!(requests <= 15 + cycles - 3 + 1, "{requests} requests in {cycles} cycles");
    receiver.answer("{}");
    until("the breaker closes", || is_open(0));
    receiver.await_events(100);
    assert_eq!(daemon.health()["status"], "ok");
    assert!(daemon.log().iter().any(|line| line.contains("push_breaker_open")));
}

#[test]
fn defect_13_sigterm_in_the_middle_of_a_push_ends_in_time() {
    let receiver = Receiver::start(r#"{"delay":60}"#);
    let home = home_of(&receiver, &[]);
    let mut daemon = home.start();
    post_traces(&daemon, 0..50);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| daemon.try_post("/v1/push", "", &[]));
        until("it is under way", || receiver.received().len() == 1);
        daemon.signal(Signal::TERM);
        let _is_answered = asking.join().unwrap().is_ok();
    });
    let start = Instant::now();
    assert!(daemon.end().success());
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert_eq!(home.text("PRAGMA integrity_check"), "ok");
    assert_eq!(home.number(UNPUSHED), 50);
    receiver.answer("{}");
    let daemon = home.start();
    push(&daemon);
    let received = receiver.received();
    assert!(received[0].raw == received[1].raw, "the retry differs");
    assert_eq!((receiver.events().0.len(), home.number(UNPUSHED)), (50, 0));
}

#[test]
fn the_last_records_are_sent_at_the_end() {
    let receiver = Receiver::start("{}");
    let home = home_of(&receiver, &[]);
    let mut daemon = home.start();
    post_traces(&daemon, 0..30);
    assert!(daemon.terminate().success());
    assert_eq!((receiver.events().1, home.number(UNPUSHED)), (30, 0));
}

#[test]
fn kill_9_during_pushes_loses_nothing_and_repeats_only_the_same_bytes() {
    let receiver = Receiver::start("{}");
    let home = home_of(&receiver, &[("TRUEUP_PUSH_INTERVAL", "100ms")]);
    let mut durable = BTreeSet::new();
    for round in 0..8_u32 {
        let daemon = home.start();
        let mode = if round % 2 == 0 { r#"{"delay":0.05}"# } else { r#"{"status":500,"first":6}"# };
        receiver.answer(mode);
        let before = receiver.received().len();
        for part in 0..20 {
            let answer = daemon
                .post("/v1/traces?wait=1", &vec![trace(r#""input_text":"t""#); 20].join("\n"));
            for id in answer.json()["ids"].as_array().unwrap() {
                durable.insert(id.as_str().unwrap().to_owned());
            }
            if part > 3 && receiver.received().len() > before {
                break;
            }
        }
        until("something was sent", || receiver.received().len() > before);
        std::thread::park_timeout(Duration::from_millis(u64::from(round) * 13));
        daemon.signal(Signal::KILL);
    }
    receiver.answer("{}");
    let daemon = home.start();
    until("all is pushed", || home.number(UNPUSHED) == 0);
    drop(daemon);
    let (by_id, _) = receiver.events();
    let arrived: BTreeSet<String> = by_id
        .values()
        .map(|event| event["data"]["trace_id"].as_str().unwrap().to_owned())
        .collect();
    assert!(durable.is_subset(&arrived), "{} of {}", arrived.len(), durable.len());
    assert_eq!(by_id.len(), arrived.len(), "a record under two ids");
    // The same batch is the same bytes, and a record is in one batch.
    let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut batches: BTreeMap<String, String> = BTreeMap::new();
    for request in receiver.received() {
        let id = request.header("idempotency-key").to_owned();
        for event in request.events() {
            let event = event["id"].as_str().unwrap().to_owned();
            let batch = batches.entry(event).or_insert_with(|| id.clone());
            assert_eq!(*batch, id);
        }
        let body = bodies.entry(id).or_insert_with(|| request.raw.clone());
        assert!(*body == request.raw, "a retry differs");
    }
    assert!(receiver.received().len() > bodies.len(), "nothing was sent again");
    assert_eq!(home.text("PRAGMA integrity_check"), "ok");
}

/// Has an agent write copies of one answer, each better than the one before, and waits until the last
/// one counts.
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
    let counted = format!("SELECT count(*) FROM llm_traces WHERE output = {last}");
    until("the last copy counts", || home.number(&counted) == 1);
}

#[test]
fn a_call_that_a_better_copy_displaces_is_taken_back() {
    let receiver = Receiver::start("{}");
    let home = home_of(&receiver, &[("TRUEUP_SYNC_INTERVAL", "100ms")]);
    let daemon = home.start();
    answer(&home, &[1]);
    push(&daemon);
    answer(&home, &[1, 700]);
    push(&daemon);
    let received = receiver.received();
    let first = &received[0].events()[0];
    let second = received[1].events();
    assert_eq!(second.len(), 2, "{second:?}");
    assert_eq!(second[0]["type"], "llm_trace_retracted");
    assert_eq!(second[0]["id"], first["id"]);
    assert_eq!(
        (&second[1]["type"], &second[1]["data"]["output_tokens"]),
        (&"llm_trace".into(), &700.into())
    );
}

#[test]
fn a_receiver_that_rejects_more_than_it_was_sent_is_survived() {
    let reply = r#"{"rejected":[{"seq":1,"code":"a"},{"seq":2,"code":"b"},{"seq":3,"code":"c"}]}"#;
    let receiver = Receiver::start(&json!({"first": 1, "body": reply}).to_string());
    let home = home_of(&receiver, &[("TRUEUP_SYNC_INTERVAL", "100ms")]);
    let mut daemon = home.start();
    // Of three places the first has no row any more when the batch is made.
    answer(&home, &[1]);
    answer(&home, &[1, 700]);
    let pushed = push(&daemon);
    assert_eq!((&pushed["status"], &pushed["waiting"]), (&"ok".into(), &0.into()));
    let batch = receiver.received()[0].json()["batch"].clone();
    assert_eq!((&batch["count"], &batch["last_seq"]), (&2.into(), &3.into()));
    assert_eq!(home.number("SELECT events_pushed FROM push_log"), 0);
    let metrics = daemon.get("/metrics").text;
    assert!(metrics.lines().any(|line| line == "trueup_push_records_total 0"), "{metrics}");
    let health = daemon.health();
    assert_eq!(
        (&health["push_quarantined_total"], &health["last_push_time"]),
        (&3.into(), &Value::Null)
    );
    assert_eq!(status(&home)["quarantined"], 3);
    post_traces(&daemon, 0..4);
    assert_eq!(push(&daemon)["status"], "ok");
    assert_eq!((receiver.received()[1].events().len(), home.number(PUSHED)), (4, 4));
    assert!(daemon.terminate().success());
}

#[test]
fn push_now_sends_from_the_command_line_or_asks_serve() {
    let receiver = Receiver::start("{}");
    let home = home_of(&receiver, &[]);
    let mut daemon = home.start();
    post_traces(&daemon, 0..3);
    let port = daemon.address.port().to_string();
    let now = ["push", "--now"];
    let (out, error, code) = verb_with(&home, &[("TRUEUP_PORT", &port)], &now);
    assert!(out.starts_with("Sent by process") && code == Some(0), "{out}{error}");
    assert_eq!(receiver.events().1, 3);
    // What is no token for serve is none here.
    let (_, error, code) = verb_with(&home, &[("TRUEUP_TOKEN", "two words")], &now);
    let rule = "token (from TRUEUP_TOKEN): a token is a word of visible ASCII characters";
    assert!(error.contains(rule) && code == Some(1), "{error}");
    // Where serve listens elsewhere it says what to do.
    let (_, error, code) = verb(&home, &now);
    assert!(error.contains("holds the ledger") && code == Some(1), "{error}");
    receiver.answer(r#"{"status":503,"headers":{"retry-after":"900"}}"#);
    post_traces(&daemon, 3..5);
    assert!(daemon.terminate().success());
    receiver.answer("{}");
    home.database().execute("UPDATE push_destinations SET next_at = NULL", []).unwrap();
    let (out, error, code) = verb(&home, &now);
    assert_eq!((out.as_str(), code), ("2 records sent, 0 left.\n", Some(0)), "{error}");
    assert_eq!((receiver.events().0.len(), receiver.events().1), (5, 5));
    let (out, _, _) = verb(&home, &["push", "status"]);
    assert!(out.contains("Waiting      0 records") && out.contains("ok, 2 records"), "{out}");
}

#[test]
fn defect_5_a_push_of_many_rows_with_32_kb_needs_little_memory() {
    let receiver = Receiver::start("{}");
    let home = Home::with(&[("TRUEUP_QUEUE_BYTES", "100000000")]);
    let mut daemon = home.start();
    for part in 0..30 {
        let text =
            |row| (0..250).map(|at| sha256(&format!("{part} {row} {at}"))).collect::<String>();
        let fields =
            |text: &str| trace(&format!(r#""input_text":"{text}","output_text":"{text}""#));
        let lines: Vec<String> = (0..20).map(|row| fields(&text(row))).collect();
        daemon.post_durably("/v1/traces", &lines.join("\n"));
    }
    assert!(daemon.terminate().success());
    let mut pushing = home.command();
    pushing.env("TRACE_PUSH_ENDPOINT", receiver.url()).env("TRACE_PUSH_INTERVAL", "1h");
    let daemon = Daemon::start(pushing);
    let before = daemon.memory_kb("VmRSS");
    push(&daemon);
    let peak = daemon.memory_kb("VmHWM");
    println!("resident: {before} kB before the push, {peak} kB at most");
    assert_eq!((home.number(PUSHED), receiver.events().1), (600, 600));
    assert!(receiver.received().len() >= 4);
    assert!(peak - before < ADDED_MAX_KB, "{before} kB before, {peak} kB at most");
}

/// The brief grants 30 MB in all, of which a program that is not optimised takes 20 by itself.
const ADDED_MAX_KB: u64 = 15_000;
