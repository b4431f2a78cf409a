//! What is posted, what is answered, and what is in the ledger then.

use std::time::{Duration, Instant};

use serde_json::json;

use super::daemon::{Home, trace, until};

const CALLS: &str = "SELECT count(*) FROM llm_traces";
const EVENTS: &str = "SELECT count(*) FROM custom_events";

#[test]
fn an_object_an_array_and_lines_are_taken() {
    let home = Home::new();
    let daemon = home.start();
    let event = r#"{"name":"deploy"}"#;
    for (body, media, expected) in [
        (event.to_owned(), "application/json", 1),
        (format!("[{event},{event}]"), "application/json; charset=utf-8", 2),
        (format!("{event}\r\n\n{event}\n{event}\n"), "application/x-ndjson", 3),
        (event.to_owned(), "text/plain", 1),
    ] {
        let headers = [("content-type", media), ("prefer", "wait")];
        let answer = daemon.post_with("/v1/events", &body, &headers);
        assert_eq!(answer.status, 200, "{}", answer.text);
        let answer = answer.json();
        assert_eq!((&answer["accepted"], &answer["durable"]), (&json!(expected), &json!(true)));
        assert_eq!(answer["ids"].as_array().unwrap().len(), expected);
        assert_eq!(answer.get("dropped"), None);
    }
    assert_eq!(home.number(EVENTS), 7);
}

#[test]
fn a_post_without_content_type_is_taken() {
    let home = Home::new();
    let daemon = home.start();
    let body = r#"{"name":"deploy"}"#;
    let answer = daemon.raw(
        format!(
            "POST /v1/events?wait=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(home.number(EVENTS), 1);
}

#[test]
fn posts_are_answered_at_once_and_normally_durably() {
    let home = Home::new();
    let daemon = home.start();
    daemon.post_durably("/v1/traces", &trace(""));
    let answers: Vec<_> = (0..20).map(|_| daemon.post("/v1/traces", &trace(""))).collect();
    assert!(answers.iter().all(|answer| answer.status == 202));
    assert!(answers.iter().any(|answer| answer.json()["durable"] == true));
    until("all is written", || home.number(CALLS) == 21);
}

#[test]
fn every_field_of_a_trace_is_in_the_ledger() {
    let home = Home::new();
    let daemon = home.start();
    daemon.post_durably(
        "/v1/traces",
        &trace(
            r#""trace_id":"t1","timestamp":"2026-11-20T22:08:30.117Z","input_text":"hi",
            "output_text":"ho","prompt_tokens":1020,"completion_tokens":52,"cost_usd":0.000764,
            "cache_read_tokens":400,"reasoning_tokens":7,"latency_ms":412,"status":"error",
            "error_type":"rate_limit","session_id":"s1","project":"/src/x","agent":"hermes",
            "temperature":0.20,"metadata":"{\"user\":\"u1\"}""#,
        ),
    );
    let row = "SELECT json_array(trace_id, source, provider, model, project, session, input,
        cache_read, output, reasoning, reported_cost_nanousd, latency_ms, status, error_type,
        input_text, output_text, is_text_cut, metadata, created_at) FROM calls";
    let expected = json!([
        "t1",
        "hermes",
        "openai",
        "gpt-5.5",
        "/src/x",
        "s1",
        620,
        400,
        52,
        7,
        764_000,
        412,
        "error",
        "rate_limit",
        "hi",
        "ho",
        0,
        r#"{"temperature":0.20,"user":"u1"}"#,
        1_795_212_510_117_i64
    ]);
    let found: serde_json::Value = serde_json::from_str(&home.text(row)).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn errors_and_events_are_in_the_ledger() {
    let home = Home::new();
    let daemon = home.start();
    let error = r#"{"error_type":"crash","message":"boom","stack_trace":"at x","pid":7}"#;
    daemon.post_durably("/v1/errors", error);
    let row =
        "SELECT json_array(error_type, message, stack_trace, severity, metadata) FROM error_events";
    assert_eq!(home.text(row), r#"["crash","boom","at x","error","{\"pid\":7}"]"#);
    let event = r#"{"trace_id":"e1","name":"deploy","metadata":{"v":[1,2]}}"#;
    daemon.post_durably("/v1/events", event);
    daemon.post_durably("/v1/events", event);
    let row = "SELECT json_group_array(json_array(trace_id, name, metadata)) FROM custom_events";
    assert_eq!(home.text(row), r#"[["e1","deploy","{\"v\":[1,2]}"]]"#);
}

#[test]
fn two_identical_posts_are_two_calls() {
    let home = Home::new();
    let daemon = home.start();
    let first = daemon.post_durably("/v1/traces", &trace(r#""prompt_tokens":5"#)).json();
    let second = daemon.post_durably("/v1/traces", &trace(r#""prompt_tokens":5"#)).json();
    assert_ne!(first["ids"][0], second["ids"][0]);
    assert_eq!(home.number("SELECT count(*) FROM llm_traces WHERE prompt_tokens = 5"), 2);
    let told = home.text("SELECT trace_id FROM llm_traces ORDER BY id LIMIT 1");
    assert!([&first, &second].iter().any(|answer| answer["ids"][0] == told));
}

#[test]
fn the_same_trace_id_twice_is_one_call_with_the_larger_usage() {
    let home = Home::new();
    let daemon = home.start();
    for tokens in [10, 50, 30, 50] {
        let fields = format!(r#""trace_id":"t1","completion_tokens":{tokens}"#);
        let answer = daemon.post_durably("/v1/traces", &trace(&fields));
        assert_eq!(answer.json()["ids"], json!(["t1"]));
    }
    assert_eq!(home.number(CALLS), 1);
    assert_eq!(home.number("SELECT sum(output) FROM usage_time WHERE width_minutes = 1440"), 50);
}

#[test]
fn all_records_of_a_request_are_taken_or_none() {
    let home = Home::new();
    let daemon = home.start();
    let answer = daemon.post("/v1/events", r#"[{"name":"a"},{"name":"b"},{}]"#);
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json()["error"],
        "record at index 2: `name` is missing or empty: it must be a text"
    );
    daemon.post_durably("/v1/events", r#"{"name":"z"}"#);
    assert_eq!(home.number(EVENTS), 1);
}

#[test]
fn wrong_requests_are_told_what_is_wrong() {
    let home = Home::new();
    let daemon = home.start();
    let json = "application/json";
    for (path, media, body, status, message) in [
        ("/v1/traces", json, "{\"provider\":\"p\"}", 400, "`model` is missing"),
        ("/v1/traces", json, "{\"provider\":", 400, "line 1, column 12"),
        ("/v1/events", json, "{\"name\":\"a\"}\n{\"name\":}", 400, "line 2, column 9"),
        ("/v1/events", json, "", 400, "the body is empty"),
        ("/v1/events", json, "7", 400, "a JSON object, not a number"),
        ("/v1/traces", json, "[{\"resourceSpans\":[]}]", 400, "OTLP"),
        ("/v1/traces", "application/xml", "<a/>", 415, "`application/xml` is not read"),
    ] {
        let answer = daemon.post_with(path, body, &[("content-type", media)]);
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(message), "{body}: {error}");
    }
    let gzip = [("content-type", json), ("content-encoding", "gzip")];
    let answer = daemon.post_with("/v1/events", "x", &gzip);
    assert_eq!(answer.status, 400, "{}", answer.text);
}

#[test]
fn texts_are_cut_to_exactly_the_limit() {
    let home = Home::with(&[("TRACE_MAX_TEXT_BYTES", "16")]);
    let daemon = home.start();
    daemon.post_durably(
        "/v1/traces",
        &trace(r#""input_text":"aaaaaaaaaaaaaaaaaaaaaaaa","output_text":"aaaaaaaaaaaaaaé""#),
    );
    daemon.post_durably("/v1/traces", &trace(r#""input_text":"aaaaaaaaaaaaaaa😀""#));
    let row = "SELECT json_group_array(json_array(length(CAST(input_text AS BLOB)), output_text, is_text_cut))
        FROM llm_trace_texts";
    assert_eq!(home.text(row), r#"[[16,"aaaaaaaaaaaaaaé",1],[15,null,1]]"#);
}

#[test]
fn brief_texts_are_stored_up_to_16384_bytes() {
    let home = Home::new();
    let daemon = home.start();
    let body = trace(&format!(r#""input_text":"{}""#, "x".repeat(20_000)));
    daemon.post_durably("/v1/traces", &body);
    let row = "SELECT length(input_text) FROM llm_trace_texts WHERE is_text_cut";
    assert_eq!(home.number(row), 16_384);
}

#[test]
fn absurd_times_are_kept_beside_the_time_of_receipt() {
    let home = Home::new();
    let daemon = home.start();
    daemon.post_durably("/v1/traces", &trace(r#""timestamp":12"#));
    let row = "SELECT metadata FROM llm_trace_texts";
    assert_eq!(home.text(row), r#"{"original_timestamp":12}"#);
    assert!(home.number("SELECT created_at FROM llm_traces") > 1_700_000_000_000);
}

#[test]
fn bodies_past_the_limit_are_refused_with_the_limit() {
    let home = Home::with(&[("TRUEUP_MAX_BODY_BYTES", "1000")]);
    let daemon = home.start();
    let large = format!(r#"{{"name":"{}"}}"#, "n".repeat(100_000));
    let answer = daemon.post("/v1/events", &large);
    assert_eq!(answer.status, 413);
    assert!(answer.text.contains("larger than 1000 bytes"), "{}", answer.text);
    // Without a length, the body is counted as it comes.
    let chunk = format!("{:x}\r\n{}\r\n", 600, "n".repeat(600));
    let chunked = format!(
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
         {chunk}{chunk}0\r\n\r\n"
    );
    let answer = daemon.raw(chunked.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // A length that nobody can hold is refused before anything is read.
    let huge = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
        Content-Length: 1099511627776\r\n\r\n";
    let answer = daemon.raw(huge.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    daemon.post_durably("/v1/events", r#"{"name":"small"}"#);
}

#[test]
fn too_many_records_are_refused() {
    let home = Home::new();
    let daemon = home.start();
    let answer = daemon.post("/v1/events", &"{\"name\":\"a\"}".repeat(10_001));
    assert_eq!(answer.status, 413);
    assert!(answer.text.contains("more than 10000 records"), "{}", answer.text);
}

#[test]
fn a_waiting_batch_larger_than_the_queue_is_fed_as_room_appears() {
    let home = Home::with(&[("TRUEUP_QUEUE_RECORDS", "64")]);
    let daemon = home.start();
    let answer = daemon.post_durably("/v1/events", &"{\"name\":\"a\"}\n".repeat(3_000)).json();
    assert_eq!((&answer["accepted"], &answer["durable"]), (&json!(3_000), &json!(true)));
    assert_eq!(home.number(EVENTS), 3_000);
    assert_eq!(daemon.health()["dropped_total"], 0);
}

#[test]
fn a_batch_that_does_not_wait_is_told_what_was_dropped() {
    let home = Home::with(&[("TRUEUP_QUEUE_RECORDS", "64")]);
    let daemon = home.start();
    let answer = daemon.post("/v1/events", &"{\"name\":\"a\"}\n".repeat(100));
    assert_eq!(answer.status, 202);
    let answer = answer.json();
    assert_eq!((&answer["accepted"], &answer["dropped"]), (&json!(64), &json!(36)));
    assert_eq!(answer["ids"].as_array().unwrap().len(), 64);
    until("what was accepted is written", || home.number(EVENTS) == 64);
}

#[test]
fn brief_burst_of_600_keeps_512() {
    // What the writer is stuck with must be the event: no sample of the machine comes between.
    let home = Home::with(&[("TRUEUP_METRICS_INTERVAL", "off")]);
    let daemon = home.start();
    daemon.post_durably("/v1/events", r#"{"name":"before"}"#);
    let blocker = home.lock();
    daemon.post("/v1/events", r#"{"name":"in the writer's hands"}"#);
    until("the writer is stuck", || daemon.health()["queue_depth"] == 0);
    let mut accepted = 0;
    for _ in 0..600 {
        let start = Instant::now();
        let answer = daemon.post("/v1/events", r#"{"name":"burst"}"#);
        assert!(start.elapsed() < Duration::from_secs(1), "a locked ledger must not be felt");
        assert_eq!(answer.status, 202);
        let answer = answer.json();
        assert_eq!(answer["durable"], false);
        accepted += answer["accepted"].as_i64().unwrap();
    }
    assert_eq!(accepted, 512);
    let health = daemon.health();
    assert_eq!((&health["queue_depth"], &health["dropped_total"]), (&json!(512), &json!(88)));
    drop(blocker);
    until("the queue is written", || home.number(EVENTS) == 514);
    let first: serde_json::Value = daemon.health();
    assert_eq!(first["queue_depth"], 0);
}

#[test]
fn waiting_ends_when_the_client_says() {
    let home = Home::new();
    let daemon = home.start();
    daemon.post_durably("/v1/events", r#"{"name":"before"}"#);
    let blocker = home.lock();
    let headers = [("prefer", "wait=1"), ("content-type", "application/json")];
    let answer = daemon.post_with("/v1/events", r#"{"name":"late"}"#, &headers);
    assert_eq!((answer.status, &answer.json()["durable"]), (202, &json!(false)));
    drop(blocker);
    until("it is written all the same", || home.number(EVENTS) == 2);
}
