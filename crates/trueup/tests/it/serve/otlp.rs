//! What agents and SDKs export by OpenTelemetry: over HTTP in both encodings, over gRPC, and what they
//! are told of what is not taken.

use std::io::Write as _;

use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use super::daemon::{Answer, Daemon, Home, trace, until};
use super::receiver::Receiver;

const TRACE: [u8; 16] = [0x5b; 16];
const CALLS: &str = "SELECT count(*) FROM llm_traces";
const TOKENS: &str =
    "SELECT json_array(source, provider, model, project, input, cache_read, output,
    reasoning, latency_ms) FROM calls";

/// A field of protobuf that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 0x7f {
        message.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).unwrap());
    message.extend_from_slice(bytes);
    message
}

fn fixed(number: u8, nanos: u64) -> Vec<u8> {
    [&[number << 3 | 1][..], &nanos.to_le_bytes()].concat()
}

/// An attribute: a text, or where it is one a number.
fn attribute(name: &str, value: &str) -> Vec<u8> {
    let value = match value.parse::<u8>() {
        Ok(number) if number < 0x80 => vec![3 << 3, number],
        _ => field(1, value.as_bytes()),
    };
    [field(1, name.as_bytes()), field(2, &value)].concat()
}

/// A span of a call, as the conventions have it. `id` tells it from others.
fn span(id: u8, more: &[(&str, &str)]) -> Vec<u8> {
    let own = [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.response.model", "gpt-5.5"),
        ("gen_ai.usage.input_tokens", "120"),
        ("gen_ai.usage.cache_read.input_tokens", "40"),
        ("gen_ai.usage.output_tokens", "52"),
        ("gen_ai.usage.reasoning.output_tokens", "7"),
    ];
    let mut span = [
        field(1, &TRACE),
        field(2, &[id; 8]),
        field(5, b"chat gpt-5.5"),
        fixed(7, 1_763_676_508_982_000_000),
        fixed(8, 1_763_676_509_482_000_000),
    ]
    .concat();
    for (name, value) in own.iter().chain(more) {
        span.extend(field(9, &attribute(name, value)));
    }
    span
}

/// An export of these records.
fn export(records: &[Vec<u8>]) -> Vec<u8> {
    let resource = field(1, &attribute("service.name", "checkout"));
    let scope = field(1, &field(1, b"of-a-test"));
    let records: Vec<u8> = records.iter().flat_map(|record| field(2, record)).collect();
    field(1, &[field(1, &resource), field(2, &[scope, records].concat())].concat())
}

fn json_span(id: u8) -> Value {
    let text = |name: &str, value: &str| json!({ "key": name, "value": { "stringValue": value } });
    let count =
        |name: &str, value: u64| json!({ "key": name, "value": { "intValue": value.to_string() } });
    json!({ "traceId": "5b".repeat(16), "spanId": format!("{id:02x}").repeat(8), "name": "chat gpt-5.5",
        "startTimeUnixNano": "1763676508982000000", "endTimeUnixNano": "1763676509482000000",
        "attributes": [
            text("gen_ai.operation.name", "chat"), text("gen_ai.provider.name", "openai"),
            text("gen_ai.response.model", "gpt-5.5"), count("gen_ai.usage.input_tokens", 120),
            count("gen_ai.usage.cache_read.input_tokens", 40),
            count("gen_ai.usage.output_tokens", 52),
            count("gen_ai.usage.reasoning.output_tokens", 7)] })
}

fn json_export(spans: &[Value]) -> String {
    let service = json!({ "key": "service.name", "value": { "stringValue": "checkout" } });
    json!({ "resourceSpans": [{ "resource": { "attributes": [service] },
        "scopeSpans": [{ "spans": spans }] }] })
    .to_string()
}

/// Posts bytes, which may be packed, and answers with the status line and the rest.
fn post(daemon: &Daemon, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (String, Vec<u8>) {
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(name);
        request.push_str(": ");
        request.push_str(value);
        request.push_str("\r\n");
    }
    let head = format!("{request}Content-Length: {}\r\n\r\n", body.len());
    daemon.raw_bytes(&[head.as_bytes(), body].concat())
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

fn is_ok((head, _): &(String, Vec<u8>)) -> bool {
    head.starts_with("HTTP/1.1 200 ")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn one_call_is_the_same_however_it_comes_and_counts_once() {
    let home = Home::new();
    let daemon = home.start();
    let body = export(&[span(1, &[])]);
    let json = json_export(&[json_span(1)]);
    let packed = zstd::encode_all(&body[..], 3).unwrap();
    let gzip = gzip(&body);
    let of_gzip = [PROTOBUF, ("content-encoding", "gzip")];
    let of_zstd = [PROTOBUF, ("content-encoding", "zstd")];
    let charset = [("content-type", "application/json; charset=utf-8")];
    for (path, headers, body) in [
        ("/v1/traces", &[PROTOBUF][..], &body[..]),
        ("/v1/traces", &[PROTOBUF], &body),
        ("/v1/traces", &of_gzip, &gzip),
        ("/v1/traces", &of_zstd, &packed),
        ("/v1/traces", &charset, json.as_bytes()),
        ("/v1/traces", &[], json.as_bytes()),
        // Where it does not belong.
        ("/v1/logs", &[PROTOBUF], &body),
        ("/v1/events", &[JSON], json.as_bytes()),
        ("/", &[PROTOBUF], &body),
        ("/", &[JSON], json.as_bytes()),
        ("/api/public/otel/v1/traces", &[JSON], json.as_bytes()),
    ] {
        let answer = post(&daemon, path, headers, body);
        assert!(is_ok(&answer), "{path} {headers:?}: {}", answer.0);
        let is_json = headers.first() != Some(&PROTOBUF);
        let expected =
            if is_json { (&b"{}"[..], "application/json") } else { (&b""[..], PROTOBUF.1) };
        assert_eq!(answer.1, expected.0, "{path} {headers:?}");
        assert!(answer.0.contains(expected.1), "{path} {headers:?}: {}", answer.0);
        assert_eq!(home.number(CALLS), 1, "{path} {headers:?}");
    }
    let row: Value = serde_json::from_str(&home.text(TOKENS)).unwrap();
    assert_eq!(row, json!(["otlp", "openai", "gpt-5.5", "checkout", 80, 40, 52, 7, 500]));
    let seen = &daemon.health()["otlp"];
    assert_eq!((&seen["exports"], &seen["calls"]), (&json!(11), &json!(11)));
    // A path of errors and events expects no signal.
    assert_eq!(seen["misrouted"], 1);
    let metrics = daemon.get("/metrics").text;
    for line in [
        r#"trueup_otlp_records_total{role="call",dialect="gen_ai"} 11"#,
        r#"trueup_otlp_exports_total{signal="traces"} 11"#,
        "trueup_otlp_misrouted_total 1",
        r#"gen_ai_client_operation_duration_seconds_count{gen_ai_provider_name="openai",gen_ai_response_model="gpt-5.5"} 1"#,
        r#"gen_ai_client_token_usage_sum{gen_ai_provider_name="openai",gen_ai_response_model="gpt-5.5",gen_ai_token_type="input"} 120"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
}

#[test]
fn a_native_post_stays_one() {
    let home = Home::new();
    let daemon = home.start();
    let answer = daemon.post_durably("/v1/traces", &trace(r#""trace_id":"t1""#));
    assert_eq!(answer.json()["ids"], json!(["t1"]));
    assert_eq!(daemon.post("/v1/traces", "{}").status, 400);
    let greeting = [JSON, ("user-agent", "OTel-OTLP-Exporter-JavaScript/0.208.0")];
    let answer = daemon.post_with("/v1/traces", "{}", &greeting);
    assert_eq!((answer.status, &*answer.text), (200, "{}"));
    assert_eq!(home.number(CALLS), 1);
}

/// The `google.rpc.Status` of a refusal in JSON.
fn refusal(answer: &Answer) -> (u16, i64, String) {
    let status = answer.json();
    let message = status["message"].as_str().unwrap_or_default().to_owned();
    (answer.status, status["code"].as_i64().unwrap_or(-1), message)
}

#[test]
fn what_is_not_taken_is_told_why_and_counted() {
    let home = Home::with(&[("TRUEUP_MAX_BODY_BYTES", "400000")]);
    let daemon = home.start();
    let whole = export(&[span(1, &[])]);
    let cut = &whole[..whole.len() - 3];
    let (head, body) = post(&daemon, "/v1/traces", &[PROTOBUF], cut);
    assert!(head.starts_with("HTTP/1.1 400 ") && head.contains("application/x-protobuf"), "{head}");
    // A Status: code 3, and a message.
    assert_eq!(body[..3], [8, 3, 18]);
    let deep = format!(r#"{{"resourceSpans":{}{}}}"#, "[".repeat(300), "]".repeat(300));
    let bomb = gzip(&vec![0; (64 << 20) + 1]);
    let large = "x".repeat(400_001);
    for (headers, body, expected, part) in [
        (&[JSON][..], &b"{\"resourceSpans\":7}"[..], (400, 3), "JSON"),
        (&[JSON], deep.as_bytes(), (400, 3), "JSON"),
        (&[JSON, ("content-encoding", "gzip")], b"plain", (400, 3), "gzip"),
        (&[JSON, ("content-encoding", "gzip")], &bomb, (413, 8), "once unpacked"),
        (&[JSON], large.as_bytes(), (413, 8), "400000"),
    ] {
        let (head, answer) = post(&daemon, "/v1/logs", headers, body);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let code =
            (head.split(' ').nth(1).unwrap().parse().unwrap(), answer["code"].as_i64().unwrap());
        assert_eq!(code, expected, "{head} {answer}");
        assert!(answer["message"].as_str().unwrap().contains(part), "{answer}");
    }
    let packed = [JSON, ("content-encoding", "br")];
    let (status, code, message) = refusal(&daemon.post_with("/v1/logs", "{}", &packed));
    assert_eq!((status, code), (415, 12), "{message}");
    // On the path that the native API has, too, and in the form of the request.
    let packed = [PROTOBUF, ("content-encoding", "br")];
    let (head, body) = post(&daemon, "/v1/traces", &packed, &whole);
    assert!(head.starts_with("HTTP/1.1 415 ") && head.contains("application/x-protobuf"), "{head}");
    assert_eq!(body[..3], [8, 12, 18]);
    let page = [("content-type", "text/html")];
    assert_eq!(daemon.post_with("/v1/logs", "{}", &page).status, 415);
    assert_eq!(home.number(CALLS), 0);
    let metrics = daemon.get("/metrics").text;
    for (reason, count) in [
        ("not_protobuf", 1),
        ("not_json", 2),
        ("packing", 1),
        ("inflated", 1),
        ("body", 1),
        ("media", 3),
    ] {
        let line = format!("trueup_otlp_refused_total{{reason=\"{reason}\"}} {count}");
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    assert_eq!(daemon.health()["otlp"]["refused"], 9);
}

/// What is unpacked is in memory once, however it grew.
#[test]
fn a_body_that_becomes_large_takes_no_more_than_it_may() {
    let home = Home::new();
    let daemon = home.start();
    let before = daemon.memory_kb("VmHWM");
    let bomb = gzip(&vec![0; 200 << 20]);
    let headers = [PROTOBUF, ("content-encoding", "gzip")];
    assert!(post(&daemon, "/v1/traces", &headers, &bomb).0.starts_with("HTTP/1.1 413 "));
    let taken_kb = daemon.memory_kb("VmHWM") - before;
    assert!(taken_kb < 90 << 10, "{taken_kb} kB more than before");
}

#[test]
fn records_with_impossible_counts_are_refused_alone() {
    let home = Home::new();
    let daemon = home.start();
    let mut wrong = json_span(2);
    wrong["attributes"][3]["value"]["intValue"] = "-5".into();
    let answer = daemon.post("/v1/traces", &json_export(&[json_span(1), wrong, json_span(3)]));
    assert_eq!(answer.json()["partialSuccess"]["rejectedSpans"], "1", "{}", answer.text);
    assert_eq!(home.number(CALLS), 2);
    assert_eq!(daemon.health()["otlp"]["rejected"], 1);
}

#[test]
fn an_exporter_is_told_yes_only_when_all_is_written() {
    let home = Home::with(&[("TRUEUP_QUEUE_RECORDS", "10")]);
    let daemon = home.start();
    // More than the queue holds at once.
    let spans: Vec<_> = (1..=60).map(json_span).collect();
    assert_eq!(daemon.post("/v1/traces", &json_export(&spans)).status, 200);
    assert_eq!(home.number(CALLS), 60);
    // The ledger is locked: the exporter is to come again, and loses nothing by it.
    let lock = home.lock();
    let body = json_export(&[json_span(61)]);
    let answer = daemon.post("/v1/traces", &body);
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.text);
    assert_eq!(refusal(&answer).1, 14);
    drop(lock);
    assert_eq!(daemon.post("/v1/traces", &body).status, 200);
    assert_eq!(home.number(CALLS), 61);
    until("the first copy is written", || daemon.health()["queue_depth"] == 0);
    assert_eq!(home.number(CALLS), 61);
}

#[test]
fn texts_are_stored_only_where_that_is_wished() {
    for (setting, expected) in [
        ("off", [None, None]),
        ("truncated", [Some("secr"), Some("answ")]),
        ("full", [Some("secret"), Some("answer")]),
    ] {
        let home = Home::with(&[("TRUEUP_OTLP_TEXT", setting), ("TRUEUP_MAX_TEXT_BYTES", "4")]);
        let daemon = home.start();
        let texts = [("gen_ai.input.messages", "secret"), ("gen_ai.output.messages", "answer")];
        assert!(is_ok(&post(&daemon, "/v1/traces", &[PROTOBUF], &export(&[span(1, &texts)]))));
        let stored = home.text("SELECT json_array(input_text, output_text) FROM calls");
        assert_eq!(
            serde_json::from_str::<[Option<&str>; 2]>(&stored).unwrap(),
            expected,
            "{setting}"
        );
    }
    let refused = Home::with(&[("TRUEUP_OTLP_TEXT", "some")]).refusal(&[]);
    assert!(refused.contains("`some` is not off, truncated or full"), "{refused}");
}

#[test]
fn everything_else_is_counted_by_its_instrumentation() {
    let home = Home::new();
    let daemon = home.start();
    let other = [field(1, &TRACE), field(2, &[9; 8]), field(5, b"GET /"), fixed(7, 1), fixed(8, 2)];
    let body = export(&[other.concat(), span(1, &[("gen_ai.operation.name", "chat")])]);
    assert!(is_ok(&post(&daemon, "/v1/traces", &[PROTOBUF], &body)));
    let metric = export(&[field(1, b"gen_ai.client.token.usage")]);
    assert!(is_ok(&post(&daemon, "/v1/metrics", &[PROTOBUF], &metric)));
    let metrics = daemon.get("/metrics").text;
    for line in [
        r#"trueup_otlp_other_records_total{scope="of-a-test"} 1"#,
        r#"trueup_otlp_records_total{role="evidence",dialect="gen_ai"} 1"#,
        r#"trueup_otlp_exports_total{signal="metrics"} 1"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    assert_eq!(home.number(CALLS), 1);
}

#[test]
fn exports_are_handed_on_as_they_came() {
    let receiver = Receiver::start(r#"{"status":200}"#);
    let base = format!("http://127.0.0.1:{}", receiver.port);
    let home = Home::with(&[("TRUEUP_OTLP_FORWARD", &base)]);
    let daemon = home.start();
    let body = gzip(&export(&[span(1, &[])]));
    let packed = [PROTOBUF, ("content-encoding", "gzip")];
    assert!(is_ok(&post(&daemon, "/v1/traces", &packed, &body)));
    assert!(!is_ok(&post(&daemon, "/v1/traces", &packed, b"garbage")));
    let logs = br#"{"resourceLogs":[]}"#;
    assert!(is_ok(&post(&daemon, "/v1/logs", &[JSON, ("x-trueup-forwarded", "1")], logs)));
    assert!(is_ok(&post(&daemon, "/v1/logs", &[JSON], logs)));
    until("both have arrived", || receiver.received().len() == 2);
    let received = receiver.received();
    assert_eq!((&*received[0].path, &received[0].raw), ("/v1/traces", &body));
    assert_eq!(received[0].header("content-encoding"), "gzip");
    assert_eq!(received[0].header("content-type"), PROTOBUF.1);
    assert_eq!((&*received[1].path, &received[1].raw[..]), ("/v1/logs", &logs[..]));
    let line = r#"trueup_otlp_forwarded_total{result="ok"} 2"#;
    until("both are counted", || daemon.get("/metrics").text.contains(line));
    let refused = Home::with(&[("TRUEUP_OTLP_FORWARD", "collector:4318")]).refusal(&[]);
    assert!(refused.contains("otlp_forward (from TRUEUP_OTLP_FORWARD)"), "{refused}");
}

#[test]
fn metrics_are_sent_to_a_collector() {
    let receiver = Receiver::start(r#"{"status":200}"#);
    let base = format!("http://127.0.0.1:{}", receiver.port);
    let home = Home::with(&[
        ("TRUEUP_OTLP_METRICS_ENDPOINT", &base),
        ("TRUEUP_OTLP_METRICS_INTERVAL", "200ms"),
    ]);
    let daemon = home.start();
    assert_eq!(daemon.post("/v1/traces", &json_export(&[json_span(1)])).status, 200);
    let point = |metrics: &Value, at: usize, kind: &str| metrics[at][kind]["dataPoints"][0].clone();
    let mut metrics = Value::Null;
    until("the call is told of", || {
        let Some(last) = receiver.received().pop() else { return false };
        assert_eq!(last.path, "/v1/metrics");
        let body: Value = serde_json::from_slice(&last.raw).unwrap();
        metrics = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].clone();
        !point(&metrics, 0, "histogram").is_null()
    });
    let tokens = point(&metrics, 0, "histogram");
    assert_eq!((&tokens["count"], &tokens["sum"]), (&json!("1"), &json!(120)));
    let duration = point(&metrics, 1, "histogram");
    assert_eq!((&duration["count"], &duration["sum"]), (&json!("1"), &json!(0.5)));
    assert_eq!(duration["bucketCounts"].as_array().unwrap().len(), 15);
    assert_eq!(metrics[2]["name"], "trueup.cost");
    until("it is counted", || {
        daemon.get("/metrics").text.contains("metrics_pushed_total{result=\"ok\"}")
    });
}

/// What gRPC answers: the message, and status and words behind it.
fn grpc(
    daemon: &Daemon,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> (Vec<u8>, i64, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(daemon.address).await.unwrap();
        let executor = TokioExecutor::new();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await.unwrap();
        drop(tokio::spawn(connection));
        let mut request = hyper::Request::post(format!("http://{}{path}", daemon.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(hyper::body::Bytes::from(body))).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap();
        let trailers = body.trailers().unwrap().clone();
        let status = trailers["grpc-status"].to_str().unwrap().parse().unwrap();
        let words = trailers.get("grpc-message").map_or("", |words| words.to_str().unwrap());
        (body.to_bytes().to_vec(), status, words.to_owned())
    })
}

fn frame(is_packed: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[is_packed][..], &length, message].concat()
}

#[test]
fn grpc_is_spoken_on_the_same_port() {
    const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let home = Home::new();
    let daemon = home.start();
    let body = export(&[span(1, &[])]);
    let packed = frame(1, &gzip(&body));
    for (headers, body) in [(&[][..], frame(0, &body)), (&[("grpc-encoding", "gzip")], packed)] {
        assert_eq!(grpc(&daemon, EXPORT, headers, body), (vec![0; 5], 0, String::new()));
        assert_eq!(home.number(CALLS), 1);
    }
    let (message, status, words) = grpc(&daemon, EXPORT, &[], frame(0, &body[1..]));
    assert_eq!((&message[..], status), (&[][..], 3), "{words}");
    assert!(words.contains("protobuf"), "{words}");
    assert_eq!(grpc(&daemon, EXPORT, &[], vec![0, 0, 0, 0, 9]).1, 3);
    assert_eq!(grpc(&daemon, EXPORT, &[("grpc-encoding", "br")], frame(1, &body)).1, 12);
    // HTTP/1 goes on beside it.
    assert_eq!(daemon.health()["otlp"]["refused"], 3);
}

#[test]
fn the_ports_that_exporters_know_are_listened_on_where_they_are_free() {
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken, other) = (free(), free());
    let (taken_port, port) =
        (taken.local_addr().unwrap().port(), other.local_addr().unwrap().port());
    drop(other);
    let (http, grpc) = (port.to_string(), taken_port.to_string());
    let home = Home::with(&[]);
    let mut command = home.command();
    command.env("TRUEUP_OTLP_HTTP_PORT", &http).env("TRUEUP_OTLP_GRPC_PORT", &grpc);
    let mut daemon = Daemon::start(command);
    until("both ports are decided on", || daemon.log().len() >= 3);
    let log = daemon.log().join("\n");
    assert!(log.contains("listening_for_otlp") && log.contains("otlp_port_taken"), "{log}");
    daemon.address.set_port(port);
    assert!(is_ok(&post(&daemon, "/v1/traces", &[PROTOBUF], &export(&[span(1, &[])]))));
    assert_eq!(home.number(CALLS), 1);
}
