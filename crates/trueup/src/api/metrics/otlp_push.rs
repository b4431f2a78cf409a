//! The metrics of OpenTelemetry's conventions, sent to a collector: `gen_ai.client.token.usage`,
//! `gen_ai.client.operation.duration` and, which the conventions do not have, `trueup.cost`.
//!
//! Cumulative, so that one that is lost costs nothing. Sums of the ledger began before this process, and
//! say no time at which they began.
//!
//! ```json
//! {"name":"gen_ai.client.token.usage","unit":"{token}","histogram":{"aggregationTemporality":2,"dataPoints":[
//!   {"count":"2","sum":24,"bucketCounts":["2"],"explicitBounds":[],"attributes":[…]}]}}
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use trueup_core::{Text, UnixMs};

use super::super::App;
use super::super::durations::{ENDS_MS, Histogram};
use super::super::ledger::{self, Labels, Total};
use super::gen_ai::by_model;
use crate::{clock, net};

/// How long the collector may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 4 << 10;
/// Cumulative: each point is of all time.
const CUMULATIVE: u8 = 2;

/// Sends them on the present runtime, until that ends; nothing where no address is set.
pub(crate) fn start(app: &Arc<App>) {
    let Some((base, interval)) = app.settings.otlp.metrics.clone() else { return };
    let (app, agent) = (Arc::clone(app), net::agent());
    let url = format!("{}/v1/metrics", base.trim_end_matches('/'));
    drop(tokio::spawn(async move {
        loop {
            tokio::time::sleep(interval).await;
            let result = push(&app, &agent, &url).await;
            app.otlp.counts.pushed(result);
        }
    }));
}

/// What became of one attempt.
async fn push(app: &Arc<App>, agent: &ureq::Agent, url: &str) -> &'static str {
    let Ok(usage) = app.read(ledger::all_usage).await else { return "busy" };
    let (start, now) = (app.start_time, clock::now());
    let body = body(&usage, &app.durations.seen(), start, now).to_string();
    let (agent, url) = (agent.clone(), url.to_owned());
    let sent = tokio::task::spawn_blocking(move || {
        let request = agent.post(url).config().timeout_global(Some(ANSWER_TIME_MAX)).build();
        let reply = request.header("content-type", "application/json").send(&body).ok()?;
        net::read(reply, ANSWER_BYTES_MAX).ok().map(|reply| reply.status)
    });
    match sent.await {
        Ok(Some(200..=299)) => "ok",
        Ok(Some(_)) => "refused",
        Ok(None) | Err(_) => "unreachable",
    }
}

fn nanos(time: UnixMs) -> String {
    format!("{}000000", time.0)
}

/// An export of OTLP in JSON.
fn body(
    usage: &BTreeMap<Labels, Total>,
    durations: &BTreeMap<(Text, Text), Histogram>,
    start: UnixMs,
    now: UnixMs,
) -> Value {
    let (start, now) = (nanos(start), nanos(now));
    let mut tokens = Vec::new();
    for ((provider, model), sum) in by_model(usage) {
        for (kind, count) in [("input", sum.tokens.prompt()), ("output", sum.tokens.output)] {
            let calls = sum.calls.to_string();
            tokens.push(json!({ "timeUnixNano": now, "count": calls, "sum": count,
                "bucketCounts": [calls], "explicitBounds": [], "attributes": attributes(&[
                    ("gen_ai.provider.name", provider), ("gen_ai.response.model", model),
                    ("gen_ai.token.type", kind)]) }));
        }
    }
    let ends: Vec<f64> = ENDS_MS.iter().map(|end| f64::from(*end) / 1_000.0).collect();
    let durations = durations.iter().map(|((provider, model), of)| {
        let beyond = of.calls - of.buckets.iter().sum::<u64>();
        let counts = of.buckets.iter().chain([&beyond]).map(u64::to_string);
        json!({ "startTimeUnixNano": start, "timeUnixNano": now, "count": of.calls.to_string(),
            "sum": Duration::from_millis(of.sum_ms).as_secs_f64(),
            "bucketCounts": counts.collect::<Vec<_>>(), "explicitBounds": ends,
            "attributes": attributes(&[("gen_ai.provider.name", provider),
                ("gen_ai.response.model", model)]) })
    });
    let costs = usage.iter().map(|(labels, total)| {
        // OTLP has no exact amounts: this is the double that is nearest.
        let cost: f64 = total.cost.to_nano().to_string().parse().unwrap_or(0.0);
        json!({ "timeUnixNano": now, "asDouble": cost, "attributes": attributes(&[
            ("agent", &labels.agent), ("gen_ai.provider.name", &labels.provider),
            ("gen_ai.response.model", &labels.model)]) })
    });
    let metrics = json!([
        { "name": "gen_ai.client.token.usage", "unit": "{token}",
            "histogram": { "aggregationTemporality": CUMULATIVE, "dataPoints": tokens } },
        { "name": "gen_ai.client.operation.duration", "unit": "s", "histogram": {
            "aggregationTemporality": CUMULATIVE, "dataPoints": durations.collect::<Vec<_>>() } },
        { "name": "trueup.cost", "unit": "{USD}", "sum": { "isMonotonic": true,
            "aggregationTemporality": CUMULATIVE, "dataPoints": costs.collect::<Vec<_>>() } },
    ]);
    let scope = json!({ "name": "trueup", "version": env!("CARGO_PKG_VERSION") });
    let service = attributes(&[("service.name", "trueup")]);
    json!({ "resourceMetrics": [{ "resource": { "attributes": service },
        "scopeMetrics": [{ "scope": scope, "metrics": metrics }] }] })
}

fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs
        .iter()
        .map(|(key, value)| json!({ "key": key, "value": { "stringValue": value } }))
        .collect()
}
