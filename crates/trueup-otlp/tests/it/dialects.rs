//! One record of each dialect, in the shape in which it is really sent.

use serde_json::{Value, json};
use trueup_core::{NanoUsd, Outcome, Speed, Tokens, UnixMs};
use trueup_otlp::{Dialect, Export, MappedCall, Problem, Reading, Signal, Text};

use super::{NOW, READING, read_json};

const TRACE: &str = "5b8efff798038103d269b633813fc60c";
const SPAN: &str = "eee19b7ec3c1b174";
const NANOS: &str = "1795212509482000000";
const MS: UnixMs = UnixMs(1_795_212_509_482);

/// Attributes out of a plain object: numbers of JSON as JavaScript's SDK writes them.
fn attributes(object: &Value) -> Value {
    let value = |value: &Value| match value {
        Value::String(text) => json!({ "stringValue": text }),
        Value::Bool(is_true) => json!({ "boolValue": is_true }),
        Value::Number(number) if number.is_f64() => json!({ "doubleValue": number }),
        Value::Number(number) => json!({ "intValue": number }),
        Value::Array(values) => {
            let texts: Vec<_> = values.iter().map(|text| json!({ "stringValue": text })).collect();
            json!({ "arrayValue": { "values": texts } })
        }
        Value::Null | Value::Object(_) => panic!("{value}"),
    };
    let of = |(key, of): (&String, &Value)| json!({ "key": key, "value": value(of) });
    object.as_object().unwrap().iter().map(of).collect()
}

fn log(service: &str, scope: &str, body: &str, of: &Value) -> Export {
    log_with(service, scope, of, &json!({ "body": { "stringValue": body } }))
}

fn log_with(service: &str, scope: &str, of: &Value, more: &Value) -> Export {
    let mut record = json!({ "timeUnixNano": NANOS, "attributes": attributes(of),
        "traceId": TRACE, "spanId": SPAN });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let scopes = json!([{ "scope": { "name": scope }, "logRecords": [record] }]);
    let resource = json!({ "attributes": attributes(&json!({ "service.name": service })) });
    let export = json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": scopes }] });
    read_json(Signal::Logs, &export.to_string()).unwrap()
}

fn span_with(service: &str, name: &str, of: &Value, more: &Value) -> Export {
    let mut span = json!({ "traceId": TRACE, "spanId": SPAN, "name": name, "kind": 3,
        "startTimeUnixNano": "1795212508982000000", "endTimeUnixNano": NANOS,
        "attributes": attributes(of) });
    span.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let resource = json!({ "attributes": attributes(&json!({ "service.name": service })) });
    let scopes = json!([{ "scope": { "name": "of-a-test" }, "spans": [span] }]);
    let export = json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": scopes }] });
    read_json(Signal::Traces, &export.to_string()).unwrap()
}

fn span(service: &str, name: &str, of: &Value) -> Export {
    span_with(service, name, of, &json!({}))
}

fn only(export: &Export) -> &MappedCall {
    assert_eq!((export.calls.len(), export.rejected), (1, 0), "{export:?}");
    &export.calls[0]
}

fn metadata(call: &MappedCall) -> Value {
    serde_json::from_str(call.call.body.as_ref().unwrap().metadata.as_ref().unwrap()).unwrap()
}

#[test]
fn claude_code() {
    let of = json!({ "event.name": "api_request", "session.id": "s1", "model": "claude-haiku-4-5",
        "input_tokens": 10, "output_tokens": "39", "cache_read_tokens": 25_192,
        "cache_creation_tokens": 11_802, "cost_usd": 0.026, "cost_usd_micros": 26_001,
        "duration_ms": "1521", "ttft_ms": 300, "request_id": "req_1", "speed": "fast",
        "prompt": "SECRET" });
    let export =
        log("claude-code", "com.anthropic.claude_code.events", "claude_code.api_request", &of);
    let call = only(&export);
    let expected =
        Tokens { input: 10, cache_read: 25_192, cache_write: 11_802, output: 39, ..Tokens::ZERO };
    assert_eq!(call.call.tokens, expected);
    assert_eq!(call.call.reported_cost, Some(NanoUsd(26_001_000)));
    assert_eq!((call.call.latency_ms, call.call.time_to_first_token_ms), (Some(1_521), Some(300)));
    assert_eq!((call.call.time, call.call.billing.speed), (MS, Speed::Fast));
    let origin = &call.call.origin;
    assert_eq!(
        (&*origin.source, &*origin.provider, &*origin.model, &*origin.session),
        ("claude-code", "anthropic", "claude-haiku-4-5", "s1")
    );
    assert_eq!(call.ids.request_id.as_deref(), Some("req_1"));
    assert_eq!(metadata(call)["request_id"], "req_1");
    assert!(!format!("{call:?}").contains("SECRET"));

    // Since 2.1.330 it says for how long caches were written, too.
    let mut lasting = of;
    lasting.as_object_mut().unwrap().extend(
        json!({ "cache_creation_5m_tokens": 11_000, "cache_creation_1h_tokens": 800 })
            .as_object()
            .unwrap()
            .clone(),
    );
    let lasting =
        log("claude-code", "com.anthropic.claude_code.events", "claude_code.api_request", &lasting);
    let lasting = only(&lasting);
    let of_lifetimes =
        Tokens { cache_write: 2, cache_write_5m: 11_000, cache_write_1h: 800, ..expected };
    assert_eq!((lasting.call.tokens, lasting.call.key), (of_lifetimes, call.call.key));

    // The span of the same request is the same call, of a lower standing.
    let of = json!({ "span.type": "llm_request", "gen_ai.system": "anthropic",
        "gen_ai.request.model": "claude-haiku-4-5", "model": "claude-haiku-4-5", "input_tokens": 10,
        "output_tokens": 39, "request_id": "req_1" });
    let beside = span("claude-code", "claude_code.llm_request", &of);
    let beside = only(&beside);
    assert_eq!(beside.call.key, call.call.key);
    assert!(beside.call.rank < call.call.rank);
    // Without that id it is only a witness.
    let mut of = of;
    of.as_object_mut().unwrap().remove("request_id");
    let witness = span("claude-code", "claude_code.llm_request", &of);
    assert_eq!((witness.calls.len(), witness.evidence[&Dialect::ClaudeCode]), (0, 1));

    let of = json!({ "event.name": "api_error", "session.id": "s1", "model": "claude-haiku-4-5",
        "error": "overloaded", "status_code": "529", "attempt": 2 });
    let export =
        log("claude-code", "com.anthropic.claude_code.events", "claude_code.api_error", &of);
    let error = &export.errors[0];
    assert_eq!(
        (&*error.source, &*error.error_type, &*error.message),
        ("claude-code", "llm_error", "overloaded")
    );
    assert!(error.metadata.as_ref().unwrap().contains("529"));
}

#[test]
fn codex() {
    let of = json!({ "event.name": "codex.sse_event", "event.kind": "response.completed",
        "event.timestamp": "2026-11-20T22:08:29.482Z", "conversation.id": "c1", "model": "gpt-5.5",
        "input_token_count": "103247", "output_token_count": "1769", "tool_token_count": "105016",
        "cached_token_count": 101_248, "reasoning_token_count": 361 });
    let export = log("codex_cli_rs", "codex_otel.log_only", "", &of);
    let call = only(&export);
    let expected =
        Tokens { input: 1_999, cache_read: 101_248, output: 1_769, reasoning: 361, ..Tokens::ZERO };
    assert_eq!((call.call.tokens, call.call.tokens.total()), (expected, 105_016));
    assert_eq!((&*call.call.origin.source, &*call.call.origin.session), ("codex", "c1"));
    // Two answers within one span are two calls.
    let mut other = of.clone();
    other["event.timestamp"] = "2026-11-20T22:08:30.482Z".into();
    let other = log("codex_cli_rs", "codex_otel.log_only", "", &other);
    assert_ne!(only(&other).call.key, call.call.key);

    let twice = log("codex_cli_rs", "codex_otel.trace_safe", "", &of);
    assert_eq!((twice.calls.len(), twice.duplicates), (0, 1));
    let of = json!({ "event.name": "codex.sse_event", "event.kind": "response.output_text.delta" });
    assert_eq!(
        log("codex_cli_rs", "codex_otel.log_only", "", &of).others["codex_otel.log_only"],
        1
    );
    let of = json!({ "event.name": "codex.sse_event", "event.kind": "response.completed",
        "error.message": "stream closed", "conversation.id": "c1" });
    let failed = log("codex_cli_rs", "codex_otel.log_only", "", &of);
    assert_eq!((failed.calls.len(), &*failed.errors[0].message), (0, "stream closed"));
    let of = json!({ "event.name": "codex.api_request", "http.response.status_code": 400,
        "error.message": "no such model", "attempt": 0, "conversation.id": "c1" });
    let refused = log("codex_exec", "codex_otel.log_only", "", &of);
    assert_eq!((refused.calls.len(), &*refused.errors[0].message), (0, "no such model"));
    assert!(refused.errors[0].metadata.as_ref().unwrap().contains(r#""error_type":"400""#));
}

/// As 0.169 sends it: the event's own name is a line of code, and what ends an answer is told twice, first
/// by how long it took and then by what it used.
#[test]
fn codex_by_the_appender_of_rusts_tracing() {
    let took = json!({ "event.name": "codex.sse_event", "event.kind": "response.completed",
        "duration_ms": "0", "conversation.id": "c1", "model": "gpt-5.5", "slug": "gpt-5.5" });
    let mut used = took.clone();
    used.as_object_mut().unwrap().extend(
        json!({ "input_token_count": "1372", "output_token_count": "62",
            "cached_token_count": 344, "cache_write_token_count": 0, "reasoning_token_count": 9,
            "tool_token_count": "1434", "ttft_ms": 0 })
        .as_object()
        .unwrap()
        .clone(),
    );
    let sent = |line: u16, of: &Value| {
        let name = format!("event otel/src/events/session_telemetry.rs:{line}");
        let more = json!({ "timeUnixNano": "0", "observedTimeUnixNano": NANOS, "eventName": name });
        log_with("codex_exec", "codex_otel.log_only", of, &more)
    };
    let (took, used) = (sent(1_089, &took), sent(1_153, &used));
    assert_eq!((took.calls.len(), took.evidence[&Dialect::Codex]), (0, 1));
    let call = only(&used);
    let expected =
        Tokens { input: 1_028, cache_read: 344, output: 62, reasoning: 9, ..Tokens::ZERO };
    assert_eq!((call.call.tokens, call.call.time), (expected, MS));
}

#[test]
fn gemini_cli() {
    let of = json!({ "event.name": "gemini_cli.api_response", "session.id": "g1",
        "model": "gemini-3-pro", "duration_ms": 812, "input_token_count": 1_000,
        "output_token_count": 50, "cached_content_token_count": 400, "thoughts_token_count": 20,
        "tool_token_count": 5, "total_token_count": 1_075, "prompt_id": "p1",
        "response_text": "SECRET", "finish_reasons": ["STOP"] });
    let export = log("gemini-cli", "gemini-cli", "API response", &of);
    let call = only(&export);
    let expected =
        Tokens { input: 605, cache_read: 400, output: 70, reasoning: 20, ..Tokens::ZERO };
    assert_eq!(call.call.tokens, expected);
    assert_eq!((&*call.call.origin.source, &*call.call.origin.provider), ("gemini-cli", "google"));
    assert_eq!(
        (metadata(call)["prompt_id"].as_str(), call.call.latency_ms),
        (Some("p1"), Some(812))
    );
    assert!(!format!("{call:?}").contains("SECRET"));

    let of = json!({ "event.name": "gen_ai.client.inference.operation.details",
        "gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 50 });
    let again = log("gemini-cli", "gemini-cli", "", &of);
    assert_eq!((again.calls.len(), again.evidence[&Dialect::GeminiCli]), (0, 1));
}

#[test]
fn openclaw() {
    let of = json!({ "openclaw.channel": "telegram", "openclaw.provider": "anthropic",
        "openclaw.model": "claude-sonnet-5", "openclaw.tokens.input": 3, "openclaw.tokens.output": 7,
        "openclaw.tokens.cache_read": 11, "openclaw.tokens.cache_write": 13,
        "openclaw.tokens.total": 34, "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": 27, "gen_ai.usage.output_tokens": 7 });
    let export = span("openclaw", "openclaw.model.usage", &of);
    let call = only(&export);
    assert_eq!((call.call.tokens.input, call.call.tokens.total()), (3, 34));
    assert_eq!((&*call.call.origin.source, &*call.call.origin.provider), ("openclaw", "anthropic"));
    let requests = span("openclaw", "openclaw.model.call", &of);
    assert_eq!((requests.calls.len(), requests.evidence[&Dialect::OpenClaw]), (0, 1));
    // The same under the name that the newest conventions give it.
    let renamed = span("mine", "chat claude-sonnet-5", &of);
    assert_eq!((renamed.calls.len(), renamed.evidence[&Dialect::OpenClaw]), (0, 1));
}

#[test]
fn gen_ai_of_both_generations() {
    let now = json!({ "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5.5", "gen_ai.response.model": "gpt-5.5-2026-08-01",
        "gen_ai.response.id": "chatcmpl-1", "gen_ai.usage.input_tokens": 1_020,
        "gen_ai.usage.cache_read.input_tokens": 400, "gen_ai.usage.output_tokens": 52,
        "gen_ai.usage.reasoning.output_tokens": 7, "gen_ai.conversation.id": "thread_1",
        "gen_ai.response.finish_reasons": ["stop"], "gen_ai.input.messages": "SECRET" });
    let export = span("checkout", "chat gpt-5.5", &now);
    let call = only(&export);
    let expected = Tokens { input: 620, cache_read: 400, output: 52, reasoning: 7, ..Tokens::ZERO };
    assert_eq!((call.call.tokens, call.call.latency_ms), (expected, Some(500)));
    let origin = &call.call.origin;
    assert_eq!(
        (&*origin.source, &*origin.project, &*origin.model, &*origin.session),
        ("otlp", "checkout", "gpt-5.5-2026-08-01", "thread_1")
    );
    assert!(!format!("{call:?}").contains("SECRET"));
    let before = json!({ "gen_ai.system": "openai", "gen_ai.request.model": "gpt-5.5",
        "gen_ai.usage.prompt_tokens": 1_020, "gen_ai.usage.completion_tokens": 52 });
    assert_eq!(only(&span("checkout", "x", &before)).call.tokens.total(), 1_072);

    // The event of the same call, by its answer's id.
    let mut of = now.clone();
    of["event.name"] = "gen_ai.client.inference.operation.details".into();
    let event = log("checkout", "", "", &of);
    assert_eq!(only(&event).call.key, call.call.key);
    assert!(only(&event).call.rank > call.call.rank);
    // And by the span that it stands in, where neither has that id.
    let mut plain = now;
    for of in [&mut of, &mut plain] {
        of.as_object_mut().unwrap().remove("gen_ai.response.id");
    }
    let (event, call) = (log("checkout", "", "", &of), span("checkout", "chat", &plain));
    assert_eq!(only(&event).call.key, only(&call).call.key);
    // A sum of calls is none.
    let agent = json!({ "gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 9 });
    assert_eq!(span("checkout", "invoke_agent", &agent).evidence[&Dialect::GenAi], 1);
}

#[test]
fn openinference() {
    let of = json!({ "openinference.span.kind": "LLM", "llm.provider": "openai",
        "llm.model_name": "gpt-5.5", "llm.token_count.prompt": 1_020,
        "llm.token_count.prompt_details.cache_read": 400, "llm.token_count.completion": 52,
        "llm.token_count.completion_details.reasoning": 7, "session.id": "s9",
        "input.value": "SECRET", "llm.input_messages.0.message.content": "SECRET" });
    let export = span("unknown_service", "ChatCompletion", &of);
    let call = only(&export);
    assert_eq!(
        (call.dialect, call.call.tokens.input, call.call.tokens.total()),
        (Dialect::OpenInference, 620, 1_072)
    );
    assert_eq!((&*call.call.origin.session, &*call.call.origin.project), ("s9", ""));
    assert!(!format!("{call:?}").contains("SECRET"));
    // The answer's id stands in the answer; of a failed call the model among its parameters.
    let of = json!({ "openinference.span.kind": "LLM", "output.value": "{\"id\":\"chatcmpl-1\",\"n\":1}",
        "llm.invocation_parameters": "{\"model\":\"gpt-5.5\"}" });
    let export = span("app", "ChatCompletion", &of);
    let call = only(&export);
    assert_eq!(call.ids.response_id.as_deref(), Some("chatcmpl-1"));
    assert_eq!(&*call.call.origin.model, "gpt-5.5");
    let of = json!({ "openinference.span.kind": "AGENT", "llm.token_count.prompt": 1_020 });
    assert_eq!(span("app", "agent", &of).evidence[&Dialect::OpenInference], 1);
}

#[test]
fn openllmetry() {
    let of = json!({ "llm.request.type": "chat", "gen_ai.system": "OpenAI",
        "gen_ai.request.model": "gpt-5.5", "gen_ai.usage.input_tokens": 1_020,
        "gen_ai.usage.output_tokens": 52, "llm.usage.total_tokens": 1_072,
        "gen_ai.usage.cache_read_input_tokens": 400, "gen_ai.usage.reasoning_tokens": 7,
        "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "SECRET",
        "gen_ai.completion.0.content": "ANSWER" });
    let export = span("app", "openai.chat", &of);
    let call = only(&export);
    assert_eq!(
        (call.dialect, call.call.tokens.input, &*call.call.origin.provider),
        (Dialect::OpenLlmetry, 620, "openai")
    );
    assert!(!format!("{call:?}").contains("SECRET"));
}

#[test]
fn vercel_ai() {
    let of = json!({ "ai.operationId": "ai.generateText.doGenerate", "gen_ai.system": "openai.chat",
        "ai.model.provider": "openai.chat", "ai.model.id": "gpt-5.5",
        "ai.usage.promptTokens": 10, "ai.usage.completionTokens": 5, "ai.response.id": "r1" });
    assert_eq!(only(&span("app", "ai.generateText.doGenerate", &of)).call.tokens.total(), 15);
    let mut sum = of;
    sum["ai.operationId"] = "ai.generateText".into();
    assert_eq!(span("app", "ai.generateText", &sum).evidence[&Dialect::VercelAi], 1);
}

#[test]
fn failed_calls_say_why() {
    let of = json!({ "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5.5" });
    let failed = |more| span_with("app", "chat", &of, &more);
    let status = json!({ "status": { "code": 2, "message": "no" } });
    let bridged = json!({ "gen_ai.operation.name": "chat", "error": "false", "error.type": "" });
    assert_eq!(only(&span("app", "chat", &bridged)).call.outcome, Outcome::Ok);
    let exception = json!({ "status": { "code": 2 }, "events": [{ "name": "exception",
        "attributes": attributes(&json!({ "exception.type": "openai.RateLimitError" })) }] });
    for (more, expected) in [(status, "error"), (exception, "openai.RateLimitError")] {
        let outcome = only(&failed(more)).call.outcome.clone();
        assert_eq!(outcome, Outcome::Failed { error_type: expected.into() });
    }
}

#[test]
fn texts_are_kept_only_where_they_are_wanted() {
    let of = json!({ "llm.request.type": "chat", "gen_ai.request.model": "m",
        "gen_ai.prompt.0.content": "first", "gen_ai.prompt.1.content": "sécond",
        "gen_ai.completion.0.content": "answer" });
    let body = |text| {
        let reading = Reading { text, ..READING };
        let span = json!({ "name": "x", "attributes": attributes(&of) });
        let export = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [span] }] }] });
        let export = export.to_string();
        let export =
            trueup_otlp::read(export.as_bytes(), trueup_otlp::Encoding::Json, None, &reading);
        let body = export.unwrap().calls.remove(0).call.body.unwrap();
        (body.input_text, body.output_text, body.is_text_cut)
    };
    assert_eq!(body(Text::Off), (None, None, false));
    assert_eq!(body(Text::Full), (Some("first\nsécond".into()), Some("answer".into()), false));
    assert_eq!(body(Text::Truncated(8)), (Some("first\ns".into()), Some("answer".into()), true));
}

#[test]
fn what_is_wrong_is_refused_or_said() {
    let chat = |more: Value| {
        let mut of = json!({ "gen_ai.operation.name": "chat", "gen_ai.request.model": "m" });
        of.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        of
    };
    for (count, rejected) in [(json!(-1), 1), (json!("x"), 1), (json!(i64::MAX), 1), (json!(5), 0)]
    {
        let export = span("app", "chat", &chat(json!({ "gen_ai.usage.input_tokens": count })));
        assert_eq!(
            (export.rejected, export.calls.len() as u64),
            (rejected, 1 - rejected),
            "{count}"
        );
    }
    let export = span("app", "chat", &chat(json!({ "gen_ai.usage.cost": -1.0 })));
    assert_eq!((only(&export).call.reported_cost, export.problems[&Problem::WrongCost]), (None, 1));
    let of = chat(json!({ "gen_ai.usage.input_tokens": 2, "gen_ai.usage.cache_read_tokens": 9 }));
    let export = span("app", "chat", &of);
    assert_eq!(
        (only(&export).call.tokens.total(), export.problems[&Problem::OtherConvention]),
        (11, 1)
    );
    for end in ["1000000000", "4102444800000000000", "18446744073709551615"] {
        let export = span_with("app", "chat", &chat(json!({})), &json!({ "endTimeUnixNano": end }));
        assert_eq!(
            (only(&export).call.time, export.problems[&Problem::WrongTime]),
            (NOW, 1),
            "{end}"
        );
    }
}
