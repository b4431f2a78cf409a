//! Any names and values as the attributes of a record: lines of `name=value`, the first of which says
//! which signal it is of and what it is called. Written as JSON and as protobuf, both must say the same.

#![no_main]

use serde_json::{Value, json};
use trueup_core::UnixMs;
use trueup_otlp::{Encoding, Export, Reading, Signal, Text, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let (kind, name) = lines.next().and_then(|line| line.split_once('=')).unwrap_or_default();
    let pairs: Vec<_> = lines.filter_map(|line| line.split_once('=')).take(64).collect();
    let is_span = kind == "span";
    let signal = if is_span { Signal::Traces } else { Signal::Logs };
    let reading = Reading { now: UnixMs(1_795_000_000_000), text: Text::Full };
    let of =
        |body: &[u8], encoding| read(body, encoding, Some(signal), &reading).expect("it is one");
    let json: Export = of(as_json(is_span, name, &pairs).to_string().as_bytes(), Encoding::Json);
    let protobuf = of(&as_protobuf(is_span, name, &pairs), Encoding::Protobuf);
    assert_eq!(json, protobuf);
    let others: u64 = json.others.values().chain(json.evidence.values()).sum();
    let taken = json.calls.len() as u64 + json.errors.len() as u64;
    assert_eq!(taken + json.rejected + json.duplicates + others, 1, "{json:?}");
    for call in &json.calls {
        assert!(call.call.tokens.reasoning <= call.call.tokens.output);
        assert!(call.call.reported_cost.is_none_or(|cost| cost.0 >= 0));
    }
});

const NANOS: u64 = 1_794_999_999_000_000_000;

fn as_json(is_span: bool, name: &str, pairs: &[(&str, &str)]) -> Value {
    let value = |value: &str| match value.parse::<i64>() {
        Ok(number) => json!({ "intValue": number.to_string() }),
        Err(_) => json!({ "stringValue": value }),
    };
    let attributes: Vec<_> =
        pairs.iter().map(|(key, of)| json!({ "key": key, "value": value(of) })).collect();
    let trace = "5b".repeat(16);
    let span = "0e".repeat(8);
    if is_span {
        let record = json!({ "traceId": trace, "spanId": span, "name": name,
            "endTimeUnixNano": NANOS.to_string(), "attributes": attributes });
        json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [record] }] }] })
    } else {
        let record = json!({ "traceId": trace, "spanId": span, "body": { "stringValue": name },
            "timeUnixNano": NANOS.to_string(), "attributes": attributes });
        json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [record] }] }] })
    }
}

fn as_protobuf(is_span: bool, name: &str, pairs: &[(&str, &str)]) -> Vec<u8> {
    let of_attributes = if is_span { 9 } else { 6 };
    let attribute = |(key, of): &(&str, &str)| {
        let value = match of.parse::<i64>() {
            Ok(number) => [vec![3 << 3], varint(number.cast_unsigned())].concat(),
            Err(_) => field(1, of.as_bytes()),
        };
        field(of_attributes, &[field(1, key.as_bytes()), field(2, &value)].concat())
    };
    let attributes: Vec<u8> = pairs.iter().flat_map(attribute).collect();
    let fixed = |number: u8| [&[number << 3 | 1][..], &NANOS.to_le_bytes()].concat();
    let (trace, span) = ([0x5b; 16], [0x0e; 8]);
    let record = if is_span {
        [field(1, &trace), field(2, &span), field(5, name.as_bytes()), fixed(8), attributes]
            .concat()
    } else {
        let body = field(5, &field(1, name.as_bytes()));
        [fixed(1), body, attributes, field(9, &trace), field(10, &span)].concat()
    };
    field(1, &field(2, &field(2, &record)))
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(bytes.len() as u64), bytes].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
