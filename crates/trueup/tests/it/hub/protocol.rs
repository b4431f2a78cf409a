//! What the hub answers to batches, right and wrong.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use trueup_core::{FactId, Key, UnixMs};

use super::{Fleet, ask, bearer, totals};
use crate::serve::daemon::{Answer, Daemon};

pub(super) const THEN: i64 = 1_795_212_509_482;

pub(super) fn id(name: &str, ms: i64) -> String {
    FactId::new(UnixMs(ms), Key::of("test", &[name])).to_string()
}

pub(super) fn call(name: &str, seq: i64, output: u64) -> Value {
    call_at(THEN, name, seq, output)
}

pub(super) fn call_at(ms: i64, name: &str, seq: i64, output: u64) -> Value {
    json!({"type": "llm_trace", "seq": seq, "id": id(name, ms), "data": {
        "trace_id": name, "created_at": ms, "source": "codex", "provider": "openai",
        "model": "gpt-5.5", "session": "s", "input_tokens": 10, "output_tokens": output,
    }})
}

pub(super) fn batch(name: &str, created_at: i64, first_seq: i64, events: &[Value]) -> Value {
    let raw = serde_json::to_string(events).unwrap();
    let hash = Sha256::digest(raw.as_bytes()).iter().fold(String::new(), |mut hash, byte| {
        write!(hash, "{byte:02x}").unwrap();
        hash
    });
    let last_seq = first_seq + i64::try_from(events.len()).unwrap() - 1;
    json!({
        "v": 1,
        "batch": {"id": name, "created_at": created_at, "count": events.len(),
            "first_seq": first_seq, "last_seq": last_seq, "sha256": hash},
        "source": {"id": "ledger", "epoch": "e", "host": "box", "agent": "", "version": "0.1.0"},
        "events": events,
    })
}

pub(super) fn send(hub: &Daemon, secret: &str, body: &str) -> Answer {
    let headers = [("authorization", bearer(secret)), ("content-type", "application/json".into())];
    hub.post_with(
        "/v1/ingest",
        body,
        &headers.each_ref().map(|(name, value)| (*name, value.as_str())),
    )
}

fn send_bytes(hub: &Daemon, secret: &str, body: &[u8], encoding: &str) -> u16 {
    let head = format!(
        "POST /api/traces/ingest HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
         content-encoding: {encoding}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        bearer(secret),
        body.len()
    );
    let (head, _) = hub.raw_bytes(&[head.as_bytes(), body].concat());
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_batch_is_taken_once_however_often_it_comes() {
    let fleet = Fleet::new();
    let (secret, reader) = (fleet.device("acme", "laptop"), fleet.reader("acme"));
    let hub = fleet.start();
    let body = batch("b-1", THEN, 1, &[call("a", 1, 5), call("b", 2, 6)]).to_string();
    let first = send(&hub, &secret, &body);
    let told = first.json();
    assert_eq!((first.status, &told["accepted"], &told["duplicates"]), (200, &json!(2), &json!(0)));
    assert_eq!((&told["ack"]["seq"], &told["next_push_seconds"]), (&json!(2), &json!(1)));
    assert_eq!(first.header("trueup-ingest-versions"), "1");
    assert_eq!(first.header("accept-encoding"), "zstd, gzip");
    let again = send(&hub, &secret, &body);
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"));
    assert_eq!(again.json(), told);
    assert_eq!(told["newest_at"], Value::Null);
    let other = batch("b-1", THEN, 1, &[call("a", 1, 7)]).to_string();
    assert_eq!(send(&hub, &secret, &other).status, 409);
    // The same records under other names, packed in every way.
    let cut = batch("b-2", THEN, 1, &[call("a", 1, 5)]).to_string();
    let told = send(&hub, &secret, &cut).json();
    assert_eq!((&told["duplicates"], &told["newest_at"]), (&json!(1), &json!(THEN)));
    let cut = batch("b-3", THEN, 2, &[call("b", 2, 6)]).to_string();
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(cut.as_bytes()).unwrap();
    assert_eq!(send_bytes(&hub, &secret, &gzip.finish().unwrap(), "gzip"), 200);
    let packed = zstd::encode_all(cut.replace("b-3", "b-4").as_bytes(), 3).unwrap();
    assert_eq!(send_bytes(&hub, &secret, &packed, "zstd"), 200);
    let all = totals(&ask(&hub, &reader, "/v1/report"));
    assert_eq!((&all["calls"], &all["output"]), (&json!(2), &json!(11)));
}

#[test]
fn the_newest_word_holds_and_a_retraction_is_one() {
    let fleet = Fleet::new();
    let (secret, reader) = (fleet.device("acme", "laptop"), fleet.reader("acme"));
    let other = fleet.device("acme", "box");
    let hub = fleet.start();
    let calls = || totals(&ask(&hub, &reader, "/v1/report"))["output"].clone();
    let tell = |secret: &str, name: &str, at: i64, event: Value| {
        let answer = send(&hub, secret, &batch(name, THEN + at, 1, &[event]).to_string());
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    tell(&secret, "b-1", 20, call("a", 1, 5));
    tell(&secret, "b-2", 10, call("a", 1, 3));
    assert_eq!(calls(), 5, "an older word came later");
    tell(&other, "b-3", 30, call("a", 1, 9));
    assert_eq!(calls(), 9, "another device said something newer of it");
    let gone = json!({"type": "llm_trace_retracted", "seq": 2, "id": id("a", THEN), "data": {"trace_id": "a", "created_at": THEN}});
    tell(&secret, "b-4", 40, gone);
    assert_eq!(calls(), 0);
    tell(&secret, "b-5", 35, call("a", 1, 9));
    assert_eq!(calls(), 0, "it was taken back after that");
    tell(&secret, "b-6", 50, call("a", 3, 4));
    assert_eq!(calls(), 4, "it is there again");
}

#[test]
fn what_is_wrong_is_said_record_by_record_and_nothing_else_is_lost() {
    let fleet = Fleet::new();
    let (secret, reader) = (fleet.device("acme", "laptop"), fleet.reader("acme"));
    let hub = fleet.start();
    let with = |name: &str, seq: i64, change: &dyn Fn(&mut Value)| {
        let mut event = call(name, seq, 1);
        change(&mut event);
        event
    };
    let at = |name: &'static str, seq: i64, ms: i64| {
        with(name, seq, &|event| {
            event["id"] = id(name, ms).into();
            event["data"]["created_at"] = ms.into();
        })
    };
    let events = [
        call("good", 1, 1),
        at("old", 2, 0),
        at("ahead", 3, 1_826_748_509_482),
        with("type", 4, &|event| event["type"] = "dream".into()),
        with("id", 5, &|event| event["id"] = "x' OR '1'='1".into()),
        with("tokens", 6, &|event| event["data"]["input_tokens"] = (-1).into()),
        with("time", 7, &|event| event["data"]["created_at"] = (THEN + 1).into()),
    ];
    let body = batch("b-1", THEN, 1, &events).to_string();
    let headers = [("authorization", bearer(&secret)), ("content-type", "application/json".into())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let told = hub.post_with("/v1/ingest?results=all", &body, &headers).json();
    let codes: Vec<_> =
        told["rejected"].as_array().unwrap().iter().map(|one| one["code"].clone()).collect();
    let expected =
        ["too_old", "in_the_future", "unknown_type", "bad_id", "bad_record", "other_time"];
    assert_eq!((&told["accepted"], codes), (&json!(1), expected.map(Value::from).to_vec()));
    assert_eq!(told["results"][0], json!({"id": id("good", THEN), "result": "accepted"}));
    assert_eq!(totals(&ask(&hub, &reader, "/v1/report"))["calls"], 1);
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        (r#"{"v":1,"events":[]}"#, 400),
        (r#"{"v":2,"anything":"else"}"#, 426),
    ] {
        assert_eq!(send(&hub, &secret, body).status, status, "{body}");
    }
    let whole = batch("b-2", THEN, 8, &[call("c", 8, 1)]).to_string();
    assert_eq!(send(&hub, &secret, &whole.replace("gpt-5.5", "gpt-5.6")).status, 408);
    assert_eq!(send_bytes(&hub, &secret, whole.as_bytes(), "br"), 415);
    assert_eq!(send_bytes(&hub, &secret, whole.as_bytes(), "gzip"), 408);
    let bomb = zstd::encode_all(&vec![b' '; 17 << 20][..], 1).unwrap();
    assert_eq!(send_bytes(&hub, &secret, &bomb, "zstd"), 413);
    let many: Vec<Value> =
        (0..10_001).map(|seq| json!({"type": "x", "seq": seq, "data": {}})).collect();
    let answer = send(&hub, &secret, &batch("b-3", THEN, 0, &many).to_string());
    assert!(answer.status == 413 && answer.text.contains("10000"), "{}", answer.text);
    let with_key = [headers[0], headers[1], ("idempotency-key", "another")];
    assert_eq!(hub.post_with("/v1/ingest", &whole, &with_key).status, 400);
}

#[test]
fn names_that_hurt_are_only_names() {
    let fleet = Fleet::new();
    let (secret, reader) = (fleet.device("acme", "laptop"), fleet.reader("acme"));
    let other = fleet.device("globex", "laptop");
    let other_reader = fleet.reader("globex");
    let hub = fleet.start();
    let evil = "'; DROP TABLE llm_calls; -- \"\\ \u{0}\u{202e}<script>";
    let mut event = call("a", 1, 5);
    for name in [
        "trace_id",
        "source",
        "provider",
        "model",
        "project",
        "session",
        "session_kind",
        "error_type",
    ] {
        event["data"][name] = evil.into();
    }
    let named = |kind: &str, data: Value| {
        let mut data = data;
        data["created_at"] = THEN.into();
        json!({"type": kind, "seq": 2, "id": id(kind, THEN), "data": data})
    };
    let events = [
        event.clone(),
        named(
            "error_event",
            json!({"error_type": evil, "message": evil, "stack_trace": evil, "source": evil}),
        ),
        named("custom_event", json!({"name": evil, "metadata": evil, "session": evil})),
        named("system_metric", json!({"scope": evil, "cpu_pct": 12.5, "metadata": evil})),
    ];
    let mut body = batch("b-1", THEN, 1, &events);
    for name in ["id", "epoch", "host", "agent", "version"] {
        body["source"][name] = evil.into();
    }
    let told = send(&hub, &secret, &body.to_string()).json();
    assert_eq!((&told["accepted"], &told["rejected"]), (&json!(4), &json!([])));
    // The same id is another call for another tenant.
    let told = send(&hub, &other, &batch("b-1", THEN, 1, &[event]).to_string()).json();
    assert_eq!(told["accepted"], 1);
    for reader in [&reader, &other_reader] {
        let report = ask(&hub, reader, "/v1/report?by=model,project").json();
        assert_eq!(
            (&report["totals"]["exact"]["calls"], &report["rows"][0]["model"]),
            (&json!(1), &json!(evil))
        );
    }
    let errors = ask(&hub, &reader, "/api/v1/errors?device=laptop").json();
    assert_eq!(errors["events"], 1);
    let devices = ask(&hub, &reader, "/api/v1/devices").json();
    assert_eq!(devices["rows"][0]["host"], evil);
}

#[test]
fn what_was_passed_over_shows() {
    let fleet = Fleet::new();
    let (secret, reader) = (fleet.device("acme", "laptop"), fleet.reader("acme"));
    let hub = fleet.start();
    for (name, seq) in [("b-1", 1), ("b-2", 2), ("b-4", 6)] {
        assert_eq!(
            send(&hub, &secret, &batch(name, THEN, seq, &[call(name, seq, 1)]).to_string()).status,
            200
        );
    }
    let row = || ask(&hub, &reader, "/api/v1/devices").json()["rows"][0].clone();
    assert_eq!((&row()["missing"], &row()["state"]), (&json!(3), &json!("lossy")));
    let doctor = ask(&hub, &reader, "/api/v1/doctor").json();
    let check = doctor["checks"].as_array().unwrap().iter().find(|check| check["id"] == "devices");
    assert_eq!(check.unwrap()["status"], "fail");
    // What was only late is no loss.
    let late = [call("b-3", 3, 1), call("x", 4, 1), call("y", 5, 1)];
    assert_eq!(send(&hub, &secret, &batch("b-3", THEN, 3, &late).to_string()).status, 200);
    assert_eq!((&row()["missing"], &row()["state"]), (&json!(0), &json!("ok")));
}

#[test]
fn a_session_of_two_devices_is_counted_once_for_each() {
    let fleet = Fleet::new();
    let reader = fleet.reader("acme");
    let secrets = ["laptop", "box"].map(|device| fleet.device("acme", device));
    let hub = fleet.start();
    for (secret, (name, output)) in secrets.iter().zip([("a", 5), ("b", 6)]) {
        let body = batch(name, THEN, 1, &[call(name, 1, output)]).to_string();
        assert_eq!(send(&hub, secret, &body).status, 200);
    }
    let session = ask(&hub, &reader, "/api/v1/sessions/s").json();
    let calls = session["calls"].as_array().unwrap().len();
    let sums = &session["exact"];
    assert_eq!((calls, &sums["calls"], &sums["output"]), (2, &json!(2), &json!(11)), "{session}");
    let session = ask(&hub, &reader, "/api/v1/sessions/s?device=box").json();
    assert_eq!(session["exact"]["output"], 6);
}
