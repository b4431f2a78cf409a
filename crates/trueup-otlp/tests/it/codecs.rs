//! Both encodings, written by the real types of OpenTelemetry, say the same.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use proptest::prelude::*;
use prost::Message as _;
use trueup_otlp::{Dialect, Encoding, Export, Refusal, Signal, Text, answer, read};

use super::{READING, Reading};

const FULL: Reading = Reading { text: Text::Full, ..READING };

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "[a-z0-9é]{0,8}".prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        (0..2_000_i64).prop_map(Value::IntValue),
        (-1e6..1e6_f64).prop_map(Value::DoubleValue),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        let some = || inner.clone().prop_map(|value| AnyValue { value: Some(value) });
        prop_oneof![
            prop::collection::vec(some(), 0..3)
                .prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            prop::collection::vec(("[a-z]{1,4}", some()), 0..3).prop_map(|members| {
                let of = |(key, value)| KeyValue { key, value: Some(value), ..KeyValue::default() };
                Value::KvlistValue(KeyValueList { values: members.into_iter().map(of).collect() })
            }),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let name = prop::sample::select(vec![
        "gen_ai.operation.name",
        "gen_ai.request.model",
        "gen_ai.response.id",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cost",
        "gen_ai.input.messages",
        "event.name",
        "event.kind",
        "request_id",
        "service.name",
        "session.id",
        "input_tokens",
        "openinference.span.kind",
        "error.type",
        "something.else",
    ]);
    let word = prop::sample::select(vec![
        "chat",
        "LLM",
        "claude_code.api_request",
        "codex.sse_event",
        "response.completed",
        "claude-code",
        "gen_ai.client.inference.operation.details",
        "gemini_cli.api_response",
    ]);
    let word = word.prop_map(|word| Value::StringValue(word.to_owned()));
    prop::collection::vec((name, prop_oneof![word, value()]), 0..8).prop_map(|pairs| {
        let of = |(key, value): (&str, Value)| KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        };
        pairs.into_iter().map(of).collect()
    })
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), any::<u64>(), 1_795_212_000_000_000_000..1_795_213_000_000_000_000_u64]
}

fn id(bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), bytes)]
}

fn spans() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let event = (attributes(), "[a-z]{0,9}").prop_map(|(attributes, name)| span::Event {
        name,
        attributes,
        ..span::Event::default()
    });
    let status = (0..3_i32, "[a-z]{0,5}").prop_map(|(code, message)| Status { code, message });
    let span = (
        (prop::collection::vec(any::<u8>(), 16), prop::collection::vec(any::<u8>(), 8)),
        // Each span has begun at some time: it is told from a metric by that.
        (time().prop_map(|start| start.max(1)), time(), "[a-z. ]{0,12}"),
        attributes(),
        prop::collection::vec(event, 0..2),
        prop::option::of(status),
    );
    let span = span.prop_map(|(ids, (start, end, name), attributes, events, status)| Span {
        trace_id: ids.0,
        span_id: ids.1,
        name,
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes,
        events,
        status,
        ..Span::default()
    });
    (attributes(), "[a-z]{0,5}", prop::collection::vec(span, 0..4)).prop_map(
        |(attributes, name, spans)| {
            let scope = InstrumentationScope { name, ..InstrumentationScope::default() };
            let scopes = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
            let resource = Resource { attributes, ..Resource::default() };
            let of = ResourceSpans {
                resource: Some(resource),
                scope_spans: vec![scopes],
                ..ResourceSpans::default()
            };
            ExportTraceServiceRequest { resource_spans: vec![of] }
        },
    )
}

fn logs() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let log = (time(), time(), attributes(), prop::option::of(value()), id(16), id(8));
    let log = log.prop_map(|(time, observed, attributes, body, trace_id, span_id)| LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: observed,
        attributes,
        body: body.map(|value| AnyValue { value: Some(value) }),
        trace_id,
        span_id,
        severity_number: 9,
        ..LogRecord::default()
    });
    (attributes(), prop::collection::vec(log, 0..4)).prop_map(|(attributes, log_records)| {
        let scopes = ScopeLogs { log_records, ..ScopeLogs::default() };
        let resource = Resource { attributes, ..Resource::default() };
        let of = ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![scopes],
            ..ResourceLogs::default()
        };
        ExportLogsServiceRequest { resource_logs: vec![of] }
    })
}

/// Read from protobuf, under the path of any signal.
fn of_protobuf(body: &[u8], expected: Signal) -> Result<Export, Refusal> {
    read(body, Encoding::Protobuf, Some(expected), &FULL)
}

fn of_json(message: &impl serde::Serialize, expected: Signal) -> Result<Export, Refusal> {
    let json = serde_json::to_vec(message).unwrap();
    read(&json, Encoding::Json, Some(expected), &FULL)
}

proptest! {
    #[test]
    fn spans_are_the_same_in_both_encodings(message in spans()) {
        let expected = of_protobuf(&message.encode_to_vec(), Signal::Traces).unwrap();
        prop_assert_eq!(of_json(&message, Signal::Traces).unwrap(), expected);
    }

    #[test]
    fn logs_are_the_same_in_both_encodings(message in logs()) {
        let expected = of_protobuf(&message.encode_to_vec(), Signal::Logs).unwrap();
        prop_assert_eq!(of_json(&message, Signal::Logs).unwrap(), expected);
    }

    /// Whatever the path says.
    #[test]
    fn records_are_of_the_signal_that_they_are(
        (spans, logs) in (spans(), logs()),
        path in prop::sample::select(Signal::ALL.to_vec()),
    ) {
        let body = spans.encode_to_vec();
        prop_assert_eq!(of_protobuf(&body, path).unwrap().calls,
            of_protobuf(&body, Signal::Traces).unwrap().calls);
        let body = logs.encode_to_vec();
        prop_assert_eq!(of_protobuf(&body, path).unwrap().calls,
            of_protobuf(&body, Signal::Logs).unwrap().calls);
    }

    /// A retried export adds nothing: its keys are the same, at whatever time it comes.
    #[test]
    fn what_is_sent_again_has_the_same_keys(message in spans()) {
        let body = message.encode_to_vec();
        let keys = |now| {
            let reading = Reading { now, ..FULL };
            let export = read(&body, Encoding::Protobuf, Some(Signal::Traces), &reading).unwrap();
            export.calls.iter().map(|call| call.call.key).collect::<Vec<_>>()
        };
        prop_assert_eq!(keys(super::NOW), keys(trueup_core::UnixMs(super::NOW.0 + 60_000)));
    }
}

#[test]
fn metrics_are_witnesses() {
    let metric = |name: &str| Metric { name: name.to_owned(), ..Metric::default() };
    let metrics = vec![
        metric("gen_ai.client.token.usage"),
        metric("claude_code.cost.usage"),
        metric("http.x"),
    ];
    let scopes = ScopeMetrics { metrics, ..ScopeMetrics::default() };
    let of = ResourceMetrics { scope_metrics: vec![scopes], ..ResourceMetrics::default() };
    let message = ExportMetricsServiceRequest { resource_metrics: vec![of] };
    for path in Signal::ALL {
        for export in [of_protobuf(&message.encode_to_vec(), path), of_json(&message, path)] {
            let export = export.unwrap();
            assert_eq!((export.signal, export.calls.len()), (Signal::Metrics, 0));
            assert_eq!(
                (export.evidence[&Dialect::GenAi], export.evidence[&Dialect::ClaudeCode]),
                (1, 1)
            );
            assert_eq!(export.others[""], 1);
        }
    }
}

#[test]
fn answers_are_those_of_the_protocol() {
    let partial = ExportTracePartialSuccess { rejected_spans: 300, error_message: "no".to_owned() };
    let expected = ExportTraceServiceResponse { partial_success: Some(partial) };
    assert_eq!(answer(Encoding::Protobuf, Signal::Traces, 300, "no"), expected.encode_to_vec());
    let json = answer(Encoding::Json, Signal::Traces, 300, "no");
    let expected = br#"{"partialSuccess":{"errorMessage":"no","rejectedSpans":"300"}}"#;
    assert_eq!(json, expected);
    assert_eq!(answer(Encoding::Protobuf, Signal::Logs, 0, ""), b"");
    assert_eq!(answer(Encoding::Json, Signal::Logs, 0, ""), b"{}");
    assert_eq!(trueup_otlp::status(Encoding::Json, 3, "no"), br#"{"code":3,"message":"no"}"#);
    assert_eq!(trueup_otlp::status(Encoding::Protobuf, 3, "no"), [8, 3, 18, 2, b'n', b'o']);
}
