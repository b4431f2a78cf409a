//! Counters of tokens that come by OpenTelemetry: evidence, held beside the calls, and in no total.

use serde_json::{Value, json};

use super::daemon::{Daemon, Home};
use super::otlp_files::{CLAUDE_CODE, attributes, check, totals};

/// 2026-11-20T22:09:00Z, some minutes on.
fn nanos(minute: i64) -> String {
    (1_795_212_540_000_000_000 + minute * 60_000_000_000).to_string()
}

fn point(said: &Value, minutes: (i64, i64), value: u64) -> Value {
    let (start, end) = (nanos(minutes.0), nanos(minutes.1));
    json!({ "attributes": attributes(said), "startTimeUnixNano": start, "timeUnixNano": end,
        "asDouble": value })
}

fn tell(daemon: &Daemon, service: &str, name: &str, temporality: u8, points: &[Value]) {
    let service = json!({ "key": "service.name", "value": { "stringValue": service } });
    let sum =
        json!({ "dataPoints": points, "aggregationTemporality": temporality, "isMonotonic": true });
    let body = json!({ "resourceMetrics": [{ "resource": { "attributes": [service] },
        "scopeMetrics": [{ "metrics": [{ "name": name, "sum": sum }] }] }] });
    let answer = daemon.post("/v1/metrics", &body.to_string());
    assert_eq!((answer.status, &*answer.text), (200, "{}"));
}

fn of_claude_code(kind: &str, minutes: (i64, i64), value: u64) -> Value {
    point(&json!({ "session.id": "s1", "model": "claude-opus-5", "type": kind }), minutes, value)
}

#[test]
fn counters_are_held_beside_calls_and_in_no_total() {
    let home = Home::with(&[]);
    let daemon = home.start();
    assert_eq!(check(&home, "metrics_tell_more")["status"], "ok");
    CLAUDE_CODE.tell(&daemon);
    let before = totals(&home, "claude-code");
    // What its three calls used, in two minutes, and the first of them told again.
    for (minutes, input, cache_read, cache_write, output) in
        [((0, 1), 620, 300, 100, 52), ((1, 2), 2_070, 0, 0, 137), ((0, 1), 620, 300, 100, 52)]
    {
        let told = [("input", input), ("cacheRead", cache_read), ("cacheCreation", cache_write)];
        let told = [&told[..], &[("output", output)]].concat();
        let points: Vec<_> =
            told.iter().map(|(kind, value)| of_claude_code(kind, minutes, *value)).collect();
        tell(&daemon, "claude-code", "claude_code.token.usage", 1, &points);
        let cost = [of_claude_code("", minutes, 1)];
        tell(&daemon, "claude-code", "claude_code.cost.usage", 1, &cost);
    }
    let found = check(&home, "metrics_tell_more");
    assert_eq!(found["status"], "ok", "{found}");
    assert_eq!(found["detail"], "the account has all that counters of tokens tell of");
    let expected = json!({ "days": 1, "prompt": 3_090, "output": 189,
        "cost_nanousd": 2_000_000_000_u64, "days_with_more": 0 });
    assert_eq!(found["meta"]["by_agent"]["claude-code"], expected);

    // A minute of which no event has come.
    tell(
        &daemon,
        "claude-code",
        "claude_code.token.usage",
        1,
        &[of_claude_code("output", (2, 3), 11)],
    );
    let found = check(&home, "metrics_tell_more");
    assert_eq!(found["status"], "warn", "{found}");
    assert_eq!(found["items"][0]["session"], "s1");
    assert_eq!(
        found["items"][0]["reason"],
        "on 2026-11-20 its metrics (claude-code) tell of 200 tokens of answers, 11 more than its calls have"
    );
    assert_eq!(totals(&home, "claude-code"), before);
}

#[test]
fn cumulative_counters_count_what_they_grow_by() {
    let home = Home::with(&[]);
    let daemon = home.start();
    let of = |kind: &str, minutes: (i64, i64), value: u64| {
        let said = json!({ "gen_ai.operation.name": "chat", "gen_ai.token.type": kind });
        point(&said, minutes, value)
    };
    // Out of order, again, and begun anew after a restart.
    for (minutes, value) in [((0, 2), 30), ((0, 1), 10), ((0, 2), 30), ((5, 6), 7), ((0, 3), 40)] {
        let points = [of("input", minutes, value), of("output", minutes, 2 * value)];
        tell(&daemon, "app", "gen_ai.client.token.usage", 2, &points);
    }
    let found = check(&home, "metrics_tell_more");
    let expected =
        json!({ "days": 1, "prompt": 47, "output": 94, "cost_nanousd": 0, "days_with_more": 1 });
    assert_eq!(found["meta"]["by_agent"]["otlp"], expected, "{found}");
    assert_eq!(
        found["items"][0]["reason"],
        "on 2026-11-20 metrics of otlp that name no session tell of 47 tokens of prompts, 47 more than \
         all its calls have; of 94 tokens of answers, 94 more than all its calls have"
    );
    assert_eq!(home.number("SELECT count(*) FROM llm_calls"), 0);
}

#[test]
fn values_that_cannot_be_are_refused_and_said() {
    let home = Home::with(&[]);
    let daemon = home.start();
    let service = json!({ "key": "service.name", "value": { "stringValue": "claude-code" } });
    let of = |value: Value| {
        let point =
            json!({ "attributes": attributes(&json!({ "type": "input" })), "asDouble": value });
        json!({ "name": "claude_code.token.usage",
            "sum": { "dataPoints": [point], "aggregationTemporality": 1 } })
    };
    for wrong in [json!(-1), json!("NaN"), json!("Infinity"), json!(1e300)] {
        let metrics = json!([of(wrong.clone()), of(json!(5))]);
        let body = json!({ "resourceMetrics": [{ "resource": { "attributes": [service] },
            "scopeMetrics": [{ "metrics": metrics }] }] });
        let answer = daemon.post("/v1/metrics", &body.to_string());
        assert_eq!(answer.status, 200);
        let said: Value = serde_json::from_str(&answer.text).unwrap();
        assert_eq!(said["partialSuccess"]["rejectedDataPoints"], "1", "{wrong}");
    }
}
