use proptest::prelude::*;
use trueup_core::{Call, CustomEvent, ErrorEvent, NanoUsd, Outcome, Tokens};

use super::*;

const NOW: UnixMs = UnixMs(1_795_176_000_000); // 2026-11-20T12:00:00Z

fn read_with(kind: Kind, body: &[u8], text_bytes_max: usize) -> Result<Vec<Received>, Refusal> {
    read(kind, body, &Arrival { now: NOW, text_bytes_max, fresh_id: &Uuid::new_v4 })
}

fn read_all(kind: Kind, body: &str) -> Result<Vec<Received>, Refusal> {
    read_with(kind, body.as_bytes(), 16_384)
}

fn refusal(kind: Kind, body: &str) -> String {
    read_all(kind, body).unwrap_err().to_string()
}

fn call(body: &str) -> Call {
    let Fact::Call(call) = first(Kind::Trace, body, 16_384) else { panic!("{body} is a call") };
    *call
}

fn first(kind: Kind, body: &str, text_bytes_max: usize) -> Fact {
    read_with(kind, body.as_bytes(), text_bytes_max).unwrap().remove(0).fact
}

/// A trace with these fields beside the required ones.
fn call_with(fields: &str) -> Call {
    call(&trace(fields))
}

fn trace(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"provider":"openai","model":"gpt-5.5"{comma}{fields}}}"#)
}

fn error(body: &str, text_bytes_max: usize) -> ErrorEvent {
    let Fact::Error(error) = first(Kind::Error, body, text_bytes_max) else {
        panic!("{body} is an error")
    };
    *error
}

fn event(body: &str) -> CustomEvent {
    let Fact::Event(event) = first(Kind::Event, body, 16_384) else { panic!("{body} is an event") };
    *event
}

fn metadata(call: &Call) -> serde_json::Value {
    let body = call.body.as_ref().unwrap();
    serde_json::from_str(body.metadata.as_ref().unwrap()).unwrap()
}

#[test]
fn every_field_of_a_trace_finds_its_place() {
    let call = call(
        r#"{"trace_id":"a1","timestamp":"2026-11-20T11:59:30Z","provider":"openai",
        "model":"gpt-5.5","input_text":"hi","output_text":"ho","prompt_tokens":1020,
        "completion_tokens":52,"total_tokens":1072,"cost_usd":0.0041,"latency_ms":412,
        "time_to_first_token_ms":80,"status":"ok","cache_read_tokens":400,"reasoning_tokens":7,
        "session_id":"s1","project":"/src/x","agent":"hermes","tool":"grep"}"#,
    );
    assert_eq!(call.key, Key::of("http", &["trace", "a1"]));
    assert_eq!(call.time, UnixMs(NOW.0 - 30_000));
    let origin = &call.origin;
    assert_eq!(
        (&*origin.source, &*origin.provider, &*origin.model),
        ("hermes", "openai", "gpt-5.5")
    );
    assert_eq!((&*origin.project, &*origin.session), ("/src/x", "s1"));
    let tokens = Tokens { input: 620, cache_read: 400, output: 52, reasoning: 7, ..Tokens::ZERO };
    assert_eq!(call.tokens, tokens);
    assert_eq!(call.reported_cost, Some(NanoUsd(4_100_000)));
    assert_eq!((call.latency_ms, call.time_to_first_token_ms), (Some(412), Some(80)));
    assert_eq!(call.outcome, Outcome::Ok);
    assert_eq!(call.trace_id.as_deref(), Some("a1"));
    assert_eq!(metadata(&call), serde_json::json!({"tool": "grep"}));
    let body = call.body.unwrap();
    assert_eq!((body.input_text.as_deref(), body.output_text.as_deref()), (Some("hi"), Some("ho")));
    assert!(!body.is_text_cut);
}

#[test]
fn opentelemetry_names_are_read() {
    let call = call(
        r#"{"gen_ai.provider.name":"anthropic","gen_ai.request.model":"claude-x",
        "gen_ai.response.model":"claude-x-1","gen_ai.usage.input_tokens":100,
        "gen_ai.usage.output_tokens":5,"gen_ai.usage.cache_read.input_tokens":60,
        "gen_ai.usage.cache_creation.input_tokens":30,"cache_write_1h_tokens":10,
        "gen_ai.conversation.id":"c1"}"#,
    );
    let tokens = Tokens {
        input: 10,
        cache_read: 60,
        cache_write_1h: 10,
        cache_write: 20,
        output: 5,
        ..Tokens::ZERO
    };
    assert_eq!(call.tokens, tokens);
    assert_eq!((&*call.origin.model, &*call.origin.session), ("claude-x-1", "c1"));
    assert_eq!(metadata(&call), serde_json::json!({"gen_ai.request.model": "claude-x"}));
}

#[test]
fn counts_are_read_leniently_and_never_made_up() {
    for (json, tokens) in [
        ("12", 12),
        ("\"12\"", 12),
        ("12.9", 12),
        ("1.2e1", 12),
        ("null", 0),
        ("\"\"", 0),
        ("-0", 0),
    ] {
        assert_eq!(call_with(&format!(r#""prompt_tokens":{json}"#)).tokens.input, tokens, "{json}");
    }
    for (json, what) in [
        ("-1", "must not be negative"),
        ("-0.5", "must not be negative"),
        ("\"-3\"", "must not be negative"),
        ("\"many\"", "must be a number"),
        ("true", "must be a number"),
        ("[1]", "must be a number"),
        ("9007199254740992", "must be at most 9007199254740991"),
        ("1e300", "must be a number"),
    ] {
        let body = trace(&format!(r#""prompt_tokens":{json}"#));
        assert_eq!(refusal(Kind::Trace, &body), format!("`prompt_tokens` {what}"), "{json}");
    }
}

#[test]
fn money_is_exact_and_a_zero_is_a_statement() {
    for (json, nano) in [
        ("0.1", 100_000_000),
        ("\"0.000000001\"", 1),
        ("1.5e-7", 150),
        ("0", 0),
        ("4611686018.427387904", 4_611_686_018_427_387_904),
    ] {
        let call = call_with(&format!(r#""cost_usd":{json},"prompt_tokens":5"#));
        assert_eq!(call.reported_cost, Some(NanoUsd(nano)), "{json}");
    }
    assert_eq!(call_with(r#""cost_usd":null"#).reported_cost, None);
    let refused = refusal(Kind::Trace, &trace(r#""cost_usd":-0.1"#));
    assert_eq!(refused, "`cost_usd` must not be negative");
}

#[test]
fn absurd_times_become_the_time_of_arrival() {
    for json in ["\"1999-12-31T23:59:59Z\"", "0", "\"2026-11-21T12:00:01Z\"", "99999999999999999"] {
        let call = call_with(&format!(r#""timestamp":{json}"#));
        assert_eq!(call.time, NOW, "{json}");
        let expected: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(metadata(&call)["original_timestamp"], expected);
    }
    assert_eq!(call_with(r#""timestamp":"2026-11-21T11:59:59Z""#).time, UnixMs(NOW.0 + 86_399_000));
    let refused = refusal(Kind::Trace, &trace(r#""timestamp":"yesterday""#));
    assert!(refused.starts_with("`timestamp` must be RFC 3339"), "{refused}");
}

#[test]
fn statuses_say_whether_a_call_was_answered() {
    let failed = |error_type: &str| Outcome::Failed { error_type: error_type.into() };
    for (fields, outcome) in [
        ("", Outcome::Ok),
        (r#""status":"OK""#, Outcome::Ok),
        (r#""status":200"#, Outcome::Ok),
        (r#""status":"error""#, failed("error")),
        (r#""status":"timeout""#, failed("timeout")),
        (r#""status":"error","error_type":"rate_limit""#, failed("rate_limit")),
        (r#""error_type":"rate_limit""#, failed("rate_limit")),
    ] {
        assert_eq!(call_with(fields).outcome, outcome, "{fields}");
    }
}

#[test]
fn texts_are_cut_exactly_and_flagged() {
    let body = trace(r#""input_text":"aaaa😀","output_text":["a","list"]"#);
    let Fact::Call(call) = first(Kind::Trace, &body, 6) else { panic!("a call") };
    let body = call.body.unwrap();
    assert_eq!(body.input_text.as_deref(), Some("aaaa"));
    assert_eq!(body.output_text.as_deref(), Some("[\"a\",\""));
    assert!(body.is_text_cut);
}

#[test]
fn metadata_is_one_object_whatever_was_sent() {
    for (fields, expected) in [
        (r#""metadata":{"a":1},"b":0.20"#, r#"{"a":1,"b":0.20}"#),
        (r#""metadata":"{\"a\":1}","b":2"#, r#"{"a":1,"b":2}"#),
        (r#""metadata":"plain""#, r#"{"metadata":"plain"}"#),
        (r#""metadata":"[1]""#, r#"{"metadata":[1]}"#),
        (r#""metadata":[1]"#, r#"{"metadata":[1]}"#),
        (r#""metadata":{"a":1},"a":2"#, r#"{"a":1,"body.a":2}"#),
    ] {
        let body = call_with(fields).body.unwrap();
        assert_eq!(body.metadata.as_deref(), Some(expected), "{fields}");
    }
    assert_eq!(call_with(r#""metadata":null"#).body, None);
    assert_eq!(call_with(r#""metadata":"""#).body, None);
}

#[test]
fn long_metadata_stays_json() {
    let body = format!(r#"{{"name":"n","metadata":{{"text":"{}"}}}}"#, "\\\"é".repeat(100));
    let Fact::Event(event) = first(Kind::Event, &body, 100) else { panic!("an event") };
    let text = event.metadata.unwrap();
    assert!((90..=100).contains(&text.len()), "{text}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["is_cut"], true);
    assert!(value["json"].as_str().unwrap().starts_with(r#"{"text":"\"é"#), "{text}");
}

#[test]
fn errors_and_events_find_their_places() {
    let error_event = error(
        r#"{"error_type":"crash","message":"boom","stack_trace":"at x","session_id":"s","pid":7}"#,
        16_384,
    );
    assert_eq!((&*error_event.error_type, &*error_event.message), ("crash", "boom"));
    assert_eq!((&*error_event.severity, &*error_event.session), ("error", "s"));
    assert_eq!(error_event.stack_trace.as_deref(), Some("at x"));
    assert_eq!(error_event.metadata.as_deref(), Some(r#"{"pid":7}"#));
    let cut = error(r#"{"error_type":"crash","message":"a long message","stack_trace":"x"}"#, 6);
    assert_eq!(cut.message, "a long");
    let event = event(r#"{"name":"deploy","agent":"hermes","metadata":{"v":"42"}}"#);
    assert_eq!((&*event.name, &*event.source), ("deploy", "hermes"));
    assert_eq!(event.metadata.as_deref(), Some(r#"{"v":"42"}"#));
}

#[test]
fn what_is_missing_is_named() {
    for (kind, body, expected) in [
        (Kind::Trace, r#"{"model":"m"}"#, "`provider` is missing or empty: it must be a text"),
        (
            Kind::Trace,
            r#"{"provider":"p","model":" "}"#,
            "`model` is missing or empty: it must be a text",
        ),
        (Kind::Trace, r#"{"provider":{},"model":"m"}"#, "`provider` must be a text"),
        (Kind::Error, r#"{"message":"m"}"#, "`error_type` is missing or empty: it must be a text"),
        (Kind::Error, r#"{"error_type":"t"}"#, "`message` is missing or empty: it must be a text"),
        (Kind::Event, "{}", "`name` is missing or empty: it must be a text"),
        (
            Kind::Event,
            r#"[{"name":"a"},{}]"#,
            "record at index 1: `name` is missing or empty: it must be a text",
        ),
        (
            Kind::Event,
            "{\"name\":\"a\"}\n\n{}\n",
            "record in line 3: `name` is missing or empty: it must be a text",
        ),
        (
            Kind::Event,
            r#"[{"name":"a"},3]"#,
            "record at index 1: a record must be a JSON object, not a number",
        ),
        (Kind::Event, "\"text\"", "a record must be a JSON object, not a text"),
    ] {
        assert_eq!(refusal(kind, body), expected, "{body}");
    }
    let long = format!(r#"{{"name":"{}"}}"#, "n".repeat(fields::NAME_BYTES_MAX + 1));
    assert_eq!(refusal(Kind::Event, &long), "`name` is longer than 1024 bytes");
}

#[test]
fn what_is_not_json_is_located() {
    for (body, line, column) in [
        ("{\"name\":\"a\"}\n{\"name\":}", 2, 9),
        ("[{\"name\":\"a\"},\n {\"name\"}]", 2, 9),
        ("{\"name\":\"a\"", 1, 11),
        ("nonsense", 1, 2),
        ("{'name':'a'}", 1, 2),
    ] {
        let Err(Refusal::NotJson { line: at_line, column: at_column, .. }) =
            read_all(Kind::Event, body)
        else {
            panic!("{body} is not JSON")
        };
        assert_eq!((at_line, at_column), (line, column), "{body}");
    }
    for body in ["", " \r\n ", "[]", "\u{feff}"] {
        assert_eq!(read_all(Kind::Event, body), Err(Refusal::Empty), "{body:?}");
    }
}

#[test]
fn bodies_of_editors_and_cut_texts_are_read() {
    assert_eq!(&*event("\u{feff}{\"name\":\"a\"}\r\n").name, "a");
    let received = read_with(Kind::Event, b"{\"name\":\"na\xc3\"}", 100).unwrap();
    assert_eq!(received.len(), 1);
}

#[test]
fn records_and_fields_are_bounded() {
    let many = "{\"name\":\"a\"}".repeat(RECORDS_PER_BODY_MAX);
    assert_eq!(read_all(Kind::Event, &many).unwrap().len(), RECORDS_PER_BODY_MAX);
    let more = format!("{many}{{\"name\":\"a\"}}");
    assert_eq!(read_all(Kind::Event, &more), Err(Refusal::TooManyRecords));
    let array = format!("[{}0]", "0,".repeat(RECORDS_PER_BODY_MAX));
    assert_eq!(read_all(Kind::Event, &array), Err(Refusal::TooManyRecords));
    let fields: Vec<String> = (0..=json::MEMBERS_MAX).map(|n| format!("\"f{n}\":0")).collect();
    let wide = format!("{{{}}}", fields.join(","));
    assert!(refusal(Kind::Event, &wide).contains("too many fields"));
}

#[test]
fn otlp_is_named() {
    assert_eq!(read_all(Kind::Trace, r#"{"resourceSpans":[]}"#), Err(Refusal::Otlp));
}

#[test]
fn ids_are_the_clients_or_fresh_and_keys_begin_with_the_time() {
    let body = trace("");
    let twice = read_all(Kind::Trace, &format!("{body}\n{body}")).unwrap();
    assert_ne!(twice[0].trace_id, twice[1].trace_id);
    let [Fact::Call(first), Fact::Call(second)] = [&twice[0].fact, &twice[1].fact] else {
        panic!("calls")
    };
    assert_ne!(first.key, second.key);
    assert_eq!(first.key.as_u128() >> 80, u128::try_from(NOW.0).unwrap());
    assert_eq!(Uuid::parse_str(&twice[0].trace_id).unwrap().get_version_num(), 4);
    // The same id of another kind is another record.
    assert_ne!(call_with(r#""trace_id":"x""#).key, event(r#"{"trace_id":"x","name":"n"}"#).key);
    // Posted again with more, the record is replaced; with the same, it is not.
    let small = call_with(r#""trace_id":"x","completion_tokens":1"#);
    let large = call_with(r#""trace_id":"x","completion_tokens":9"#);
    let priced = call_with(r#""trace_id":"x","completion_tokens":9,"cost_usd":1"#);
    assert!(small.key == large.key && small.rank < large.rank && large.rank < priced.rank);
}

proptest! {
    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..3_usize) {
        let _unused = read_with(Kind::ALL[kind], &body, 50);
    }

    #[test]
    fn no_json_panics(body in "[\\[{}\\],:\"0-9a-e. \\n\\\\-]{0,80}", kind in 0..3_usize) {
        let _unused = read_with(Kind::ALL[kind], body.as_bytes(), 50);
    }

    #[test]
    fn no_value_of_a_field_panics(
        field in prop_oneof![
            Just("prompt_tokens"), Just("cost_usd"), Just("timestamp"), Just("metadata"),
            Just("status"), Just("latency_ms"), Just("trace_id"), Just("input_text"),
        ],
        value in "-?[0-9]{1,25}(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,12})?|\"[^\"\\\\\\x00-\\x1f]{0,30}\"|null|\\[\\]|\\{\\}",
    ) {
        let _unused = read_with(Kind::Trace, trace(&format!("\"{field}\":{value}")).as_bytes(), 50);
    }

    #[test]
    fn records_are_the_same_however_they_are_split(
        names in proptest::collection::vec("[a-z\\n\"é😀]{1,8}", 1..12),
        gaps in proptest::collection::vec("[ \\t]{0,2}(\\r?\\n){0,3}[ \\t]{0,2}", 13),
    ) {
        let objects: Vec<String> = names.iter().enumerate().map(|(n, name)| {
            serde_json::json!({"trace_id": format!("t{n}"), "name": format!("n{name}")}).to_string()
        }).collect();
        let array = format!("[{}]", objects.join(","));
        let mut lines = gaps[0].clone();
        for (object, gap) in objects.iter().zip(&gaps[1..]) {
            lines.push_str(object);
            lines.push_str(gap);
        }
        let expected = read_all(Kind::Event, &array).unwrap();
        prop_assert_eq!(expected.len(), names.len());
        prop_assert_eq!(read_all(Kind::Event, &lines).unwrap(), expected);
    }
}
