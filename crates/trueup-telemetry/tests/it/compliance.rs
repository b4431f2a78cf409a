//! What PostHog's SDK test harness asks of an SDK, asked of our sink through the adapter's six routes.
//!
//! The harness itself is Python and comes from no registry. These are its tests by their names and by what
//! they assert, in our words; so this does not take the place of a run of the harness. They stand in
//! `contracts/capture_tests.yaml` (at 4a7e606) and `contracts/capture_analytics_v1_tests.yaml` (at fbd8659)
//! of PostHog/posthog-sdk-test-harness. docs/telemetry-sinks.md says which are missing here, and why.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value as Json, json};
use trueup_core::UnixMs;
use trueup_telemetry::deliver::Transport as _;
use uuid::Uuid;

use super::adapter;
use super::http::{Asked, Server};
use super::receiver::{Receiver, Say, events};

/// One test: its name, what is answered, how it begins, what is captured, and what must hold.
struct Case {
    name: &'static str,
    answers: Vec<Say>,
    init: Json,
    captures: Vec<Json>,
    holds: fn(&Run) -> bool,
}

/// What was seen.
struct Run {
    asked: Vec<Asked>,
    delays_ms: Vec<u128>,
    state: Json,
}

impl Run {
    fn requests(&self) -> usize {
        self.asked.len()
    }

    fn events(&self) -> Vec<Json> {
        self.asked.iter().flat_map(events).collect()
    }

    fn first(&self) -> Json {
        self.events()[0].clone()
    }

    fn body(&self) -> Json {
        serde_json::from_slice(&self.asked[0].body).unwrap()
    }

    fn header(&self, place: usize, name: &str) -> String {
        self.asked[place].header(name).unwrap_or_default().to_owned()
    }

    /// How many different values the events have.
    fn different(&self, key: &str) -> usize {
        self.events().iter().map(|event| event[key].to_string()).collect::<BTreeSet<_>>().len()
    }

    fn is_sent(&self) -> bool {
        let last = self.state["requests_made"].as_array().unwrap().last().unwrap().clone();
        last["status_code"] == 200
    }

    /// The second request has these events of the first.
    fn again(&self, places: &[usize]) -> bool {
        let first = events(&self.asked[0]);
        let again: Vec<Json> = places.iter().map(|place| first[*place].clone()).collect();
        events(&self.asked[1]) == again
    }
}

fn post(adapter: &Server, path: &str, body: &Json) -> Json {
    let request = trueup_telemetry::sink::Request {
        method: "POST",
        url: format!("{}{path}", adapter.url()),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_string().into_bytes(),
    };
    let minute = std::time::Duration::from_mins(1);
    let answer = trueup_telemetry::net::Net::default().send(&request, minute).unwrap();
    let body: Json = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer.status, 200, "{path}: {body}");
    body
}

/// Runs a test from `/init` to `/reset`.
fn run(case: &Case, is_v1: bool) -> Run {
    let receiver = Receiver::start(case.answers.clone());
    let adapter = adapter::start("127.0.0.1:0", is_v1);
    let mut init = json!({ "api_key": "phc_test_key", "host": receiver.server.url() });
    init.as_object_mut().unwrap().extend(case.init.as_object().unwrap().clone());
    assert_eq!(post(&adapter, "/health", &json!({}))["sdk_name"], "trueup-telemetry");
    post(&adapter, "/init", &init);
    for event in &case.captures {
        let uuid = post(&adapter, "/capture", event)["uuid"].as_str().unwrap().to_owned();
        assert!(uuid.parse::<Uuid>().is_ok());
    }
    post(&adapter, "/flush", &json!({}));
    let state = post(&adapter, "/state", &json!({}));
    post(&adapter, "/reset", &json!({}));
    Run { asked: receiver.asked(), delays_ms: receiver.delays_ms(), state }
}

/// All tests at once: what they do is wait.
fn assert_all(cases: &[Case], is_v1: bool) {
    let failed: Vec<&str> = thread::scope(|scope| {
        let threads: Vec<_> = cases
            .iter()
            .map(|case| (case.name, scope.spawn(move || (case.holds)(&run(case, is_v1)))))
            .collect();
        threads
            .into_iter()
            .filter_map(|(name, thread)| (!thread.join().unwrap_or(false)).then_some(name))
            .collect()
    });
    assert_eq!(failed, [""; 0], "of {}", cases.len());
}

fn captured(properties: &Json) -> Json {
    json!({ "distinct_id": "test_user", "event": "test_event", "properties": properties })
}

fn several(count: usize) -> Vec<Json> {
    (0..count)
        .map(|place| json!({ "distinct_id": "test_user", "event": format!("test_event_{place}") }))
        .collect()
}

fn one() -> Vec<Json> {
    vec![json!({ "distinct_id": "test_user", "event": "test_event" })]
}

fn says(statuses: &[u16]) -> Vec<Say> {
    statuses.iter().map(|status| Say::status(*status)).collect()
}

fn case(name: &'static str, captures: Vec<Json>, holds: fn(&Run) -> bool) -> Case {
    Case { name, answers: Vec::new(), init: json!({}), captures, holds }
}

fn answered(name: &'static str, statuses: &[u16], holds: fn(&Run) -> bool) -> Case {
    Case { answers: says(statuses), ..case(name, one(), holds) }
}

/// What is asked where compression is asked for.
fn packed(name: &'static str, holds: fn(&Run) -> bool) -> Case {
    Case { init: json!({ "enable_compression": true }), ..case(name, one(), holds) }
}

/// What both protocols have in common.
fn common() -> Vec<Case> {
    let properties = json!({ "custom_string": "hello", "custom_number": 42, "custom_bool": true });
    let later = |status| Say::Status(status, vec![("Retry-After", "3".to_owned())], String::new());
    let wait = Case {
        answers: vec![later(429), Say::status(200)],
        ..case("respects_retry_after_header", one(), |run| {
            run.requests() >= 2 && run.delays_ms[0] >= 2_500
        })
    };
    let retries = Case {
        init: json!({ "max_retries": 3 }),
        ..answered("max_retries_respected", &[503; 5], |run| run.requests() == 4)
    };
    let batch = Case {
        init: json!({ "flush_at": 10 }),
        answers: says(&[503]),
        ..case("preserves_uuid_and_timestamp_on_batch_retry", several(3), |run| {
            run.requests() >= 2
                && run.different("uuid") == 3
                && run.asked.iter().all(|asked| asked.body == run.asked[0].body)
        })
    };
    let single = Case {
        init: json!({ "flush_at": 10 }),
        ..case("multiple_events_batched_together", several(5), |run| {
            run.requests() == 1 && run.events().len() == 5
        })
    };
    let once = Case {
        init: json!({ "flush_at": 3 }),
        ..case("flush_at_triggers_batch", several(3), |run| run.requests() == 1)
    };
    vec![
        case("event_has_required_fields", one(), |run| {
            let event = run.first();
            run.requests() == 1
                && event["event"] == "test_event"
                && event["distinct_id"] == "test_user"
        }),
        case("event_has_uuid", one(), |run| {
            run.first()["uuid"].as_str().is_some_and(|uuid| uuid.parse::<Uuid>().is_ok())
        }),
        case("distinct_id_is_string", one(), |run| run.first()["distinct_id"].is_string()),
        case("custom_properties_preserved", vec![captured(&properties)], |run| {
            let sent = &run.first()["properties"];
            sent["custom_string"] == "hello"
                && sent["custom_number"] == 42
                && sent["custom_bool"] == true
        }),
        case("event_has_timestamp", one(), |run| {
            let time = run.first()["timestamp"].as_str().map(str::to_owned).unwrap();
            time.ends_with('Z') && UnixMs::parse_rfc3339(&time).is_some()
        }),
        answered("retries_on_503", &[503, 503], |run| run.requests() == 3 && run.is_sent()),
        answered("does_not_retry_on_400", &[400], |run| run.requests() == 1),
        answered("does_not_retry_on_401", &[401], |run| run.requests() == 1),
        wait,
        answered("implements_backoff", &[503; 3], |run| {
            let delays = &run.delays_ms;
            run.requests() >= 3 && delays[0] >= 100 && delays[1] > delays[0]
        }),
        answered("retries_on_500", &[500], |run| run.requests() == 2 && run.is_sent()),
        answered("retries_on_502", &[502], |run| run.requests() == 2 && run.is_sent()),
        answered("retries_on_504", &[504], |run| run.requests() == 2 && run.is_sent()),
        answered("retries_on_408", &[408], |run| run.requests() == 2 && run.is_sent()),
        retries,
        case("generates_unique_uuids", several(5), |run| run.different("uuid") == 5),
        answered("preserves_uuid_on_retry", &[503], |run| {
            run.requests() == 2 && run.different("uuid") == 1
        }),
        answered("preserves_uuid_and_timestamp_on_retry", &[503, 503], |run| {
            run.requests() == 3 && run.different("uuid") == 1 && run.different("timestamp") == 1
        }),
        batch,
        case("no_duplicate_events_in_batch", several(5), |run| {
            run.events().len() == run.different("uuid")
        }),
        case("different_events_have_different_uuids", vec![one().remove(0); 2], |run| {
            run.different("uuid") == 2
        }),
        case("flush_with_no_events_sends_nothing", Vec::new(), |run| run.requests() == 0),
        single,
        once,
        answered("does_not_retry_on_403", &[403], |run| run.requests() == 1),
        answered("does_not_retry_on_413", &[413], |run| run.requests() == 1),
    ]
}

#[test]
fn check_30_what_the_harness_asks_of_v0_holds() {
    let time = json!({
        "distinct_id": "test_user",
        "event": "test_event",
        "timestamp": "2025-01-02T08:34:05+05:30",
        "properties": { "timestamp_like": "2025-01-02T08:34:05+05:30" },
    });
    let mut cases = common();
    cases.extend([
        case("event_has_lib_properties", one(), |run| {
            let sent = &run.first()["properties"];
            sent["$lib"].is_string() && sent["$lib_version"].is_string()
        }),
        case("token_is_present", one(), |run| run.body()["api_key"] == "phc_test_key"),
        case("non_utc_event_timestamp_is_converted_to_utc", vec![time], |run| {
            let event = run.first();
            event["timestamp"] == "2025-01-02T03:04:05.000Z"
                && event["properties"]["timestamp_like"] == "2025-01-02T08:34:05+05:30"
        }),
        case("uses_proper_batch_structure", one(), |run| {
            run.body()["api_key"].is_string() && run.body()["batch"].is_array()
        }),
        packed("sends_gzip_when_enabled", |run| {
            run.header(0, "content-encoding") == "gzip" && run.events().len() == 1
        }),
    ]);
    // Thirty of the harness, and `flush_at_triggers_batch` of v1.
    assert_eq!(cases.len(), 31);
    assert_all(&cases, false);
}

#[test]
fn check_30_what_the_harness_asks_of_v1_and_we_declare_holds() {
    let results = |results: &[&'static str], retry_after: Option<&str>| {
        let headers = retry_after.map(|value| ("Retry-After", value.to_owned()));
        vec![Say::Results(results.to_vec(), headers.into_iter().collect())]
    };
    let partial = |name, answers: Vec<Say>, count, holds| Case {
        answers,
        init: json!({ "flush_at": 10 }),
        ..case(name, several(count), holds)
    };
    let once = Case {
        init: json!({ "flush_at": 1 }),
        ..case("different_requests_have_different_request_ids", several(2), |run| {
            let id = |place| run.header(place, "posthog-request-id");
            run.requests() == 2 && id(0) != id(1)
        })
    };
    let mut cases = common();
    cases.extend([
        case("targets_v1_endpoint", one(), |run| {
            run.asked.iter().all(|asked| asked.path == "/i/v1/analytics/events")
        }),
        case("has_authorization_bearer_header", one(), |run| {
            run.header(0, "authorization") == "Bearer phc_test_key"
        }),
        case("has_content_type_json", one(), |run| {
            run.header(0, "content-type").starts_with("application/json")
        }),
        case("has_posthog_sdk_info_format", one(), |run| {
            run.header(0, "posthog-sdk-info").split_once('/').is_some()
        }),
        case("has_posthog_attempt_header", one(), |run| run.header(0, "posthog-attempt") == "1"),
        case("has_posthog_request_id", one(), |run| {
            run.header(0, "posthog-request-id").parse::<Uuid>().is_ok()
        }),
        case("has_posthog_request_timestamp", one(), |run| {
            UnixMs::parse_rfc3339(&run.header(0, "posthog-request-timestamp")).is_some()
        }),
        case("has_user_agent", one(), |run| !run.header(0, "user-agent").is_empty()),
        case("body_has_created_at_and_batch", one(), |run| {
            let body = run.body();
            let made = body["created_at"].as_str().unwrap().to_owned();
            UnixMs::parse_rfc3339(&made).is_some() && !body["batch"].as_array().unwrap().is_empty()
        }),
        case("no_api_key_in_body", one(), |run| {
            run.body().get("api_key").is_none() && run.body().get("token").is_none()
        }),
        case("no_sent_at_in_body", one(), |run| run.body().get("sent_at").is_none()),
        case("distinct_id_at_root_not_properties", one(), |run| {
            run.first()["properties"].get("distinct_id").is_none()
        }),
        case("no_content_encoding_when_disabled", one(), |run| {
            run.asked[0].header("content-encoding").is_none()
        }),
        packed("sends_gzip_content_encoding", |run| run.header(0, "content-encoding") == "gzip"),
        packed("compressed_body_is_decompressible", |run| {
            run.asked[0].packed.starts_with(b"\x1f\x8b") && run.events().len() == 1
        }),
        answered("attempt_header_increments_on_retry", &[503, 503], |run| {
            (0..3).all(|place| run.header(place, "posthog-attempt") == (place + 1).to_string())
        }),
        answered("request_id_preserved_on_retry", &[503], |run| {
            run.header(0, "posthog-request-id") == run.header(1, "posthog-request-id")
        }),
        answered("attempt_timestamp_changes_on_retry", &[503], |run| {
            run.header(0, "posthog-request-timestamp") != run.header(1, "posthog-request-timestamp")
        }),
        once,
        answered("does_not_retry_on_415", &[415], |run| run.requests() == 1),
        partial("handles_200_with_all_ok", results(&["ok", "ok", "ok"], None), 3, |run| {
            run.requests() == 1
        }),
        partial("prunes_persisted_events_on_partial", results(&["ok", "retry"], None), 2, |run| {
            run.requests() == 2 && run.again(&[1])
        }),
        partial(
            "prunes_malformed_events_on_partial",
            results(&["drop", "retry"], None),
            2,
            |run| run.requests() == 2 && run.again(&[1]),
        ),
        partial(
            "retried_partial_batch_only_contains_failed_events",
            results(&["ok", "drop", "retry"], None),
            3,
            |run| run.requests() == 2 && run.again(&[2]),
        ),
        partial("partial_retry_headers", results(&["ok", "retry"], None), 2, |run| {
            let id = |place| run.header(place, "posthog-request-id");
            id(0) == id(1) && run.header(1, "posthog-attempt") == "2"
        }),
        partial(
            "respects_retry_after_on_partial",
            results(&["ok", "retry"], Some("3")),
            2,
            |run| run.requests() == 2 && run.delays_ms[0] >= 2_500,
        ),
    ]);
    assert_all(&cases, true);
}
