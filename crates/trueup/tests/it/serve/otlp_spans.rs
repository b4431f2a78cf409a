//! One call of an SDK, told of by records of which only some have the provider's id: its span, the event that
//! stands in the span, and the span of another instrumentation that watches the same call.

use serde_json::{Value, json};

use super::daemon::{Daemon, Home};
use super::otlp_files::attributes;

/// What is told of the call: where, in which span, and whether with the provider's id.
type Record = (&'static str, u8, bool);

const SPAN: Record = ("/v1/traces", 1, true);
const EVENT: Record = ("/v1/logs", 1, false);
/// Of another instrumentation.
const OTHER: Record = ("/v1/traces", 2, true);
const OTHER_EVENT: Record = ("/v1/logs", 2, true);
/// Of another call.
const ALONE: Record = ("/v1/logs", 3, false);

fn tell(daemon: &Daemon, trace: u8, (path, span, is_identified): Record) {
    let mut said = json!({ "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5.5", "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 52 });
    if is_identified {
        said["gen_ai.response.id"] = format!("chatcmpl-{trace}").into();
    }
    let mut record = json!({ "traceId": format!("{trace:02x}").repeat(16), "spanId": format!("{span:02x}").repeat(8),
        "attributes": attributes(&said) });
    let times = if path == "/v1/traces" {
        json!({ "name": "chat gpt-5.5", "startTimeUnixNano": "1795212508982000000",
            "endTimeUnixNano": "1795212509482000000" })
    } else {
        json!({ "eventName": "gen_ai.client.inference.operation.details",
            "timeUnixNano": "1795212509481000000" })
    };
    record.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
    let service = json!([{ "key": "service.name", "value": { "stringValue": "checkout" } }]);
    let (signal, scope, records) = if path == "/v1/traces" {
        ("resourceSpans", "scopeSpans", "spans")
    } else {
        ("resourceLogs", "scopeLogs", "logRecords")
    };
    let body = json!({ signal: [{ "resource": { "attributes": service }, scope: [{ records: [record] }] }] });
    assert_eq!(daemon.post(path, &body.to_string()).status, 200, "{body}");
}

/// Every order of these.
fn orders(records: &[Record]) -> Vec<Vec<Record>> {
    let Some((last, rest)) = records.split_last() else { return vec![Vec::new()] };
    let into = |order: Vec<Record>| {
        (0..=order.len()).map(move |at| {
            let mut order = order.clone();
            order.insert(at, *last);
            order
        })
    };
    orders(rest).into_iter().flat_map(into).collect()
}

#[test]
fn a_call_is_told_of_by_its_span_and_by_an_event_in_it_and_counts_once() {
    let home = Home::new();
    let daemon = home.start();
    let all = [&[SPAN, EVENT][..], &[SPAN, EVENT, OTHER], &[EVENT, SPAN, OTHER, OTHER_EVENT]];
    for (trace, order) in (1..).zip(all.into_iter().flat_map(orders)) {
        for record in order.iter().chain(&order) {
            tell(&daemon, trace, *record);
        }
        tell(&daemon, trace, ALONE);
        let sums = "SELECT json_array(sum(calls), sum(input), sum(output)) FROM usage_session";
        let sums: Value = serde_json::from_str(&home.text(sums)).unwrap();
        let calls = 2 * u64::from(trace);
        assert_eq!(sums, json!([calls, 120 * calls, 52 * calls]), "{order:?}");
    }
}
