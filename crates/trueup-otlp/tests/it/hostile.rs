//! Bytes that no exporter sends.

use proptest::prelude::*;
use trueup_otlp::{Encoding, Refusal, Signal, read};

use super::{READING, read_json};

/// A field of protobuf that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 0x7f {
        message.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(bytes);
    message
}

/// A body of one log record.
fn body(record: &[u8]) -> Vec<u8> {
    field(1, &field(2, &field(2, record)))
}

fn refused(body: &[u8]) -> Refusal {
    read(body, Encoding::Protobuf, Some(Signal::Logs), &READING).unwrap_err()
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, record: Vec<u8>, is_json: bool) {
        let encoding = if is_json { Encoding::Json } else { Encoding::Protobuf };
        for signal in [None, Some(Signal::Traces), Some(Signal::Logs), Some(Signal::Metrics)] {
            let _is_read = read(&bytes, encoding, signal, &READING).is_ok();
            let _is_read = read(&body(&record), encoding, signal, &READING).is_ok();
        }
    }
}

#[test]
fn values_that_are_nested_too_deep_are_refused() {
    let mut value = field(1, b"x");
    for _ in 0..40 {
        value = field(5, &field(1, &value));
    }
    assert_eq!(refused(&body(&field(5, &value))), Refusal::TooDeep);
    let deep = format!("{}{}", r#"{"arrayValue":{"values":["#.repeat(200), "]}}".repeat(200));
    let json =
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{deep}}}]}}]}}]}}"#);
    assert_eq!(read_json(Signal::Logs, &json).unwrap_err(), Refusal::TooDeep);
}

#[test]
fn many_small_parts_are_refused_before_they_are_built() {
    let empty = field(6, b"").repeat(1_000_001);
    assert_eq!(refused(&body(&empty)), Refusal::TooManyParts);
    let json = format!(r#"{{"resourceSpans":[{}{{}}]}}"#, "{},".repeat(1_000_000));
    assert_eq!(read_json(Signal::Traces, &json).unwrap_err(), Refusal::TooManyParts);
}

#[test]
fn too_many_calls_are_refused() {
    let span = r#"{"attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}}]}"#;
    let spans = |many: usize| {
        let spans = vec![span; many].join(",");
        read_json(
            Signal::Traces,
            &format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#),
        )
    };
    assert_eq!(spans(10_000).unwrap().calls.len(), 10_000);
    assert_eq!(spans(10_001).unwrap_err(), Refusal::TooManyCalls(10_000));
}

#[test]
fn scopes_are_counted_up_to_a_bound() {
    let scope = |n: usize| format!(r#"{{"scope":{{"name":"s{n}"}},"spans":[{{"name":"x"}}]}}"#);
    let scopes: Vec<_> = (0..100).map(scope).collect();
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{}]}}]}}"#, scopes.join(","));
    let others = read_json(Signal::Traces, &json).unwrap().others;
    assert_eq!((others.len(), others["…"]), (65, 36));
}

#[test]
fn cut_bodies_are_refused_and_messages_hold_nothing_of_them() {
    let whole = body(&field(5, &field(1, b"SECRET")));
    for length in 1..whole.len() {
        let refusal = refused(&whole[..length]);
        assert!(!refusal.to_string().contains("SECRET"), "{refusal}");
    }
    for json in [
        r#"{"resourceLogs":"SECRET"}"#,
        r#"{"resourceLogs":[{"#,
        "SECRET",
        "[]",
        r#"{"provider":"SECRET"}"#,
    ] {
        let refusal = read_json(Signal::Logs, json).unwrap_err();
        assert!(!refusal.to_string().contains("SECRET"), "{refusal}");
    }
    assert_eq!(read(b"", Encoding::Protobuf, None, &READING).unwrap_err(), Refusal::NoSignal);
    assert!(read(b"", Encoding::Protobuf, Some(Signal::Logs), &READING).is_ok());
    assert!(read_json(Signal::Logs, "{}").is_ok());
}
