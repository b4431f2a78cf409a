//! OTLP over HTTP as JSON, as OpenTelemetry's protocol 1.x has it: events as logs, their numbers as metrics.
//!
//! Field names are in lower camel case, 64-bit numbers are strings, and enums are numbers.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use trueup_core::UnixMs;

use super::parts::{Logs, Metrics, ResourceLogs, ResourceMetrics, ScopeLogs};
use super::{Context, Form, LIBRARY, LIBRARY_VERSION, Outgoing, properties};
use crate::budget::Class;

/// `SEVERITY_NUMBER_INFO`
const INFO: u8 = 9;
/// `SEVERITY_NUMBER_ERROR`
const ERROR: u8 = 17;
/// `AGGREGATION_TEMPORALITY_DELTA`
const DELTA: u8 = 1;
/// Keys of a rollup that begin like this are no sums.
const NO_SUMS: [&str; 6] = ["avg_", "p50_", "p95_", "max_", "min_", "window_"];

/// The address of a signal: the endpoint if it ends with one, with the right one in its place; otherwise
/// the signal's path below it, as `OTEL_EXPORTER_OTLP_ENDPOINT` is used. A query stays.
pub(super) fn url(endpoint: &str, form: Form) -> String {
    let signal = if form == Form::Metrics { "/v1/metrics" } else { "/v1/logs" };
    let (path, query) = match endpoint.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (endpoint, String::new()),
    };
    let path = path.trim_end_matches('/');
    let base = ["/v1/logs", "/v1/metrics"].iter().find_map(|end| path.strip_suffix(end));
    format!("{}{signal}{query}", base.unwrap_or(path))
}

pub(super) fn logs(context: &Context, events: &[Outgoing], now: UnixMs) -> Vec<u8> {
    let record = |event: &Outgoing| {
        let mut attributes = vec![attribute("trueup.event.uuid", &event.uuid.to_string().into())];
        let all = properties(context, event);
        attributes.extend(all.iter().map(|(key, value)| attribute(key, value)));
        let severity = if event.class == Class::Exception { ERROR } else { INFO };
        raw(&json!({
            "timeUnixNano": nanos(event.time),
            "observedTimeUnixNano": nanos(now),
            "severityNumber": severity,
            "eventName": event.name,
            "body": any(&event.name.clone().into()),
            "attributes": attributes,
        }))
    };
    let (Some(resource), Some(scope)) = (raw(&resource(context)), raw(&scope())) else {
        return Vec::new();
    };
    let log_records = events.iter().filter_map(record).collect();
    let scope_logs = vec![ScopeLogs { scope, log_records }];
    let body = Logs { resource_logs: vec![ResourceLogs { resource, scope_logs }] };
    serde_json::to_vec(&body).unwrap_or_default()
}

pub(super) fn metrics(context: &Context, events: &[Outgoing]) -> Vec<u8> {
    let Some(resource) = raw(&resource(context)) else { return Vec::new() };
    let of_event = |event: &Outgoing| {
        let metrics: Vec<Value> =
            event.properties.iter().filter_map(|(key, value)| metric(event, key, value)).collect();
        raw(&json!({ "scope": scope(), "metrics": metrics }))
    };
    let scope_metrics = events.iter().filter_map(of_event).collect();
    let body = Metrics { resource_metrics: vec![ResourceMetrics { resource, scope_metrics }] };
    serde_json::to_vec(&body).unwrap_or_default()
}

/// A number of an event: what was added up in a rollup as a sum of its window, all else as it is.
fn metric(event: &Outgoing, key: &str, value: &Value) -> Option<Value> {
    let mut point = Map::new();
    let number = value.as_number()?;
    match number.as_i64() {
        Some(whole) => point.insert("asInt".to_owned(), whole.to_string().into()),
        None => point.insert("asDouble".to_owned(), number.as_f64()?.into()),
    };
    point.insert("timeUnixNano".to_owned(), nanos(event.time));
    let is_sum = event.class == Class::Rollup && !NO_SUMS.iter().any(|no| key.starts_with(no));
    let name = format!("{}.{key}", event.name);
    if !is_sum {
        return Some(json!({ "name": name, "gauge": { "dataPoints": [point] } }));
    }
    let start = event.properties.get("window_start_ts").and_then(Value::as_i64);
    let start = start.map_or(event.time, UnixMs).min(event.time);
    point.insert("startTimeUnixNano".to_owned(), nanos(start));
    // What was corrected downwards is a sum, too: it is not said to grow only.
    let sum = json!({ "dataPoints": [point], "aggregationTemporality": DELTA });
    Some(json!({ "name": name, "sum": sum }))
}

fn resource(context: &Context) -> Value {
    let mut attributes = vec![attribute("service.name", &context.product.clone().into())];
    if !context.install.is_empty() {
        attributes.push(attribute("service.instance.id", &context.install.clone().into()));
    }
    json!({ "attributes": attributes })
}

fn scope() -> Value {
    json!({ "name": LIBRARY, "version": LIBRARY_VERSION })
}

fn attribute(key: &str, value: &Value) -> Value {
    json!({ "key": key, "value": any(value) })
}

/// An `AnyValue`; one without a value stands for null.
fn any(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(value) => json!({ "boolValue": value }),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => json!({ "intValue": whole.to_string() }),
            (None, Some(real)) => json!({ "doubleValue": real }),
            (None, None) => json!({ "stringValue": number.to_string() }),
        },
        Value::String(text) => json!({ "stringValue": text }),
        Value::Array(list) => {
            json!({ "arrayValue": { "values": list.iter().map(any).collect::<Vec<_>>() } })
        }
        Value::Object(map) => {
            let values: Vec<_> = map.iter().map(|(key, value)| attribute(key, value)).collect();
            json!({ "kvlistValue": { "values": values } })
        }
    }
}

fn nanos(time: UnixMs) -> Value {
    (i128::from(time.0.max(0)) * 1_000_000).to_string().into()
}

fn raw(value: &Value) -> Option<Box<RawValue>> {
    to_raw_value(value).ok()
}
