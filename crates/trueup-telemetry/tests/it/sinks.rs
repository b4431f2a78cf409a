//! What each place is sent: the same sums everywhere, and nothing that nobody asked for.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value as Json, json};
use sha2::Sha256;
use tempfile::TempDir;
use trueup_core::{DAY_MS, NanoUsd, UnixMs};
use trueup_telemetry::budget::{Class, Day};
use trueup_telemetry::deliver::{
    Bounds, FILES_KEPT, LinesFile, Printer, Transport, deliver, transport,
};
use trueup_telemetry::manifest::Sink;
use trueup_telemetry::net::Net;
use trueup_telemetry::outbox::{Draft, Outbox};
use trueup_telemetry::rollup::Value;
use trueup_telemetry::sink::{Context, Encoder, Outgoing, Request, Unreachable};
use trueup_telemetry::state::Event;

use super::post::{Post, Virtual, context, encoder, event, gzipped, posthog};
use super::receiver::Receiver;
use super::world::{NOON, TURN, WINDOW, World, roomy};

/// What both sides of a webhook know.
const SECRET: &str = "a secret of both";

/// What was recorded of turns, or arrived of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    count: i64,
    tokens: i64,
    output: i64,
    nano_usd: i64,
    ok: i64,
    error: i64,
}

impl Sums {
    /// Adds what an event says, key by key; values as JSON has them.
    fn add(&mut self, value: impl Fn(&str) -> String) {
        let whole = |key: &str| value(key).parse::<i64>().unwrap();
        self.count += whole("count");
        self.tokens += whole("total_tokens_input");
        self.output += whole("total_tokens_output");
        self.nano_usd += value("total_cost_usd").parse::<NanoUsd>().unwrap().0;
        self.ok += whole("outcomes_ok");
        self.error += whole("outcomes_error");
    }
}

/// Records three sessions and a window, seals them for this place, and delivers them. What was recorded.
fn tell(encoder: &Encoder, transport: &mut dyn Transport) -> Sums {
    let world = World::new(roomy());
    let mut recorder = world.recorder(NOON);
    let mut sums = Sums::default();
    for number in 1..=60_i64 {
        let session = recorder.session(&format!("session {}", number % 3));
        let is_ok = number % 7 != 0;
        let values = [
            (world.field(TURN, "tokens_input"), Value::Number(number * 1_009)),
            (world.field(TURN, "tokens_output"), Value::Number(number * 13)),
            (world.field(TURN, "cost_usd"), Value::Number(number * 10_000_019)),
            (world.field(TURN, "duration_ms"), Value::Number(number * 31)),
            (world.field(TURN, "outcome"), Value::Text(if is_ok { "ok" } else { "error" })),
        ];
        recorder.record(world.rollup(TURN), Some(session), &values, NOON);
        sums.count += 1;
        sums.tokens += number * 1_009;
        sums.output += number * 13;
        sums.nano_usd += number * 10_000_019;
        sums.ok += i64::from(is_ok);
        sums.error += i64::from(!is_ok);
    }
    let tokens = world.field(WINDOW, "tokens");
    recorder.record(world.rollup(WINDOW), None, &[(tokens, Value::Number(5))], NOON);
    let mut store = world.store();
    let mut encode = |event: &Event| encoder.encode(&[Outgoing::of_rollup(event)], NOON);
    store.shut_down(recorder, NOON, &mut encode).unwrap();
    let clock = Virtual::at(NOON);
    let delivered =
        deliver(&mut store, encoder, transport, &clock, &|| true, Bounds::default()).unwrap();
    assert_eq!(delivered.items, 4, "three sessions and a window: {delivered:?}");
    sums
}

/// Sums of events that say their name and their properties under these keys.
fn of_events(events: &[Json]) -> Sums {
    let mut sums = Sums::default();
    for event in events.iter().filter(|event| event["event"] == TURN) {
        sums.add(|key| event["properties"][key].to_string());
    }
    sums
}

#[test]
fn check_35_every_place_is_told_the_same_sums() {
    for is_v1 in [false, true] {
        let receiver = Receiver::start(Vec::new());
        let encoder = encoder(&posthog(&receiver.server.url(), is_v1));
        let sums = tell(&encoder, &mut Net::default());
        let events: Vec<_> = receiver.asked().iter().flat_map(super::receiver::events).collect();
        assert_eq!(of_events(&events), sums);
    }
}

#[test]
fn check_35_a_webhook_is_signed_and_told_the_same_sums() {
    let receiver = Receiver::start(Vec::new());
    let endpoint = format!("{}/hook", receiver.server.url());
    let encoder = encoder(&Sink::Webhook { endpoint, secret_variable: None });
    let sums = tell(&encoder, &mut Net::default());
    let mut events = Vec::new();
    let mut keys = Vec::new();
    for asked in receiver.asked() {
        let signature = asked.header("x-signature").unwrap().strip_prefix("sha256=").unwrap();
        let digits: Vec<char> = signature.chars().collect();
        let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>());
        let bytes: Vec<u8> = pairs.map(|pair| u8::from_str_radix(&pair, 16).unwrap()).collect();
        let mut hmac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        hmac.update(&asked.body);
        hmac.verify_slice(&bytes).unwrap();
        keys.push(asked.header("idempotency-key").unwrap().to_owned());
        let body: Json = serde_json::from_slice(&asked.body).unwrap();
        events.extend(body["events"].as_array().unwrap().clone());
    }
    assert_eq!(of_events(&events), sums);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 4, "each request has a key of its own");
}

#[test]
fn check_35_a_file_and_standard_output_are_told_the_same_sums() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("told.ndjson");
    let sink = Sink::File { path: "~/told.ndjson".to_owned() };
    let sums = tell(&encoder(&sink), &mut LinesFile::new(path.clone()));
    let mut printed = Printer(Vec::new());
    assert_eq!(tell(&encoder(&Sink::Stdout), &mut printed), sums);
    for text in [super::text(&path), String::from_utf8(printed.0).unwrap()] {
        let events: Vec<Json> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(of_events(&events), sums);
    }
}

#[test]
fn check_31_a_file_has_the_bytes_that_were_shown() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("told.ndjson");
    let sink = Sink::File { path: "~/told.ndjson".to_owned() };
    let mut post = Post::with(encoder(&sink), &one_of_each()[..2]);
    let shown = post.store.look(NOON).unwrap().next.unwrap();
    let shown = post.encoder.preview(&shown.item, &shown.body, NOON);
    assert_eq!((shown.method, shown.url.as_str()), ("APPEND", "~/told.ndjson"));
    let mut transport = transport(&sink, folder.path());
    assert_eq!(post.deliver(&mut *transport).items, 1);
    assert_eq!(fs::read(&path).unwrap(), shown.body);
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap()) & 0o777;
    assert_eq!(mode, 0o600, "nobody else reads it");
}

#[test]
fn check_35_otlp_is_told_the_same_sums_as_logs_and_as_metrics() {
    let receiver = Receiver::start(Vec::new());
    let sink =
        Sink::Otlp { endpoint: receiver.server.url(), logs: true, metrics: true, is_gzip: false };
    for encoder in Encoder::each(&sink, &context(), None) {
        let sums = tell(&encoder, &mut Net::default());
        let (mut logs, mut metrics) = (Sums::default(), Sums::default());
        for asked in receiver.asked() {
            let body: Json = serde_json::from_slice(&asked.body).unwrap();
            match asked.path.as_str() {
                "/v1/logs" => add_logs(&body, &mut logs),
                "/v1/metrics" => add_metrics(&body, &mut metrics),
                other => panic!("{other}"),
            }
        }
        let is_logs = receiver.asked().len() == 4;
        assert_eq!(if is_logs { logs } else { metrics }, sums);
    }
    assert_eq!(receiver.asked().len(), 8);
}

fn add_logs(body: &Json, sums: &mut Sums) {
    for record in body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap() {
        if record["eventName"] != TURN {
            continue;
        }
        let attributes = record["attributes"].as_array().unwrap();
        sums.add(|key| {
            let found = attributes.iter().find(|attribute| attribute["key"] == key).unwrap();
            let value = found["value"].as_object().unwrap().values().next().unwrap();
            value.to_string().trim_matches('"').to_owned()
        });
    }
}

fn add_metrics(body: &Json, sums: &mut Sums) {
    for scope in body["resourceMetrics"][0]["scopeMetrics"].as_array().unwrap() {
        let metrics = scope["metrics"].as_array().unwrap();
        if metrics.iter().all(|metric| metric["name"] != format!("{TURN}.count")) {
            continue;
        }
        sums.add(|key| {
            let name = format!("{TURN}.{key}");
            let metric = metrics.iter().find(|metric| metric["name"] == name).unwrap();
            assert_eq!(metric["sum"]["aggregationTemporality"], 1, "delta: {name}");
            let point = &metric["sum"]["dataPoints"][0];
            let value = point.get("asInt").unwrap_or(&point["asDouble"]).to_string();
            value.trim_matches('"').to_owned()
        });
        let max = metrics.iter().find(|metric| metric["name"] == format!("{TURN}.max_duration_ms"));
        assert!(max.unwrap().get("gauge").is_some(), "a maximum is not added up");
    }
}

/// One event of each class, as they come from the rest of the crate.
fn one_of_each() -> [Outgoing; 4] {
    let with = |number, class, name: &str, properties: Json| Outgoing {
        name: name.to_owned(),
        properties: properties.as_object().unwrap().clone(),
        ..event(number, class)
    };
    let day = UnixMs(NOON.0 - 90 * DAY_MS);
    let turns = json!({
        "count": 3, "total_tokens_input": 4_200, "total_cost_usd": 0.0421, "avg_duration_ms": 12.5,
        "outcomes_ok": 3, "top_model": "claude-opus-4", "rollup_reason": "session_end",
        "window_seq": 0, "window_start_ts": 1_795_219_200_000_i64,
        "errors": [{ "fingerprint": "IoError at read", "count": 2 }],
    });
    let exception = json!({
        "$exception_list": [{ "type": "IoError", "value": "cannot open <p>/plan.md" }],
        "$exception_fingerprint": "8d3f", "$set": { "email": "x" }, "$process_person_profile": true,
    });
    [
        with(1, Class::Rollup, TURN, turns),
        Outgoing {
            is_person: true,
            ..with(2, Class::Lifecycle, "worker_started", json!({ "runtime": "rust" }))
        },
        with(3, Class::Exception, "$exception", exception),
        Outgoing {
            time: day,
            ..with(4, Class::Historical, "historical_activity", json!({ "session_count": 7 }))
        },
    ]
}

fn body(encoder: &Encoder, event: &Outgoing) -> Json {
    serde_json::from_slice(&encoder.encode(std::slice::from_ref(event), NOON)).unwrap()
}

#[test]
fn no_key_that_a_server_obeys_comes_from_outside() {
    for (name, encoder) in kinds() {
        let told = String::from_utf8(encoder.encode(&one_of_each(), NOON)).unwrap();
        assert!(!told.contains("\"email\""), "{name}: {told}");
        assert!(!told.contains("\"$process_person_profile\":true"), "{name}");
    }
}

#[test]
fn check_34_a_profile_is_made_by_lifecycle_events_that_ask_for_it_and_by_nothing_else() {
    let mut events = one_of_each().to_vec();
    for class in [Class::Rollup, Class::Exception, Class::Historical] {
        // That something else asks for one changes nothing.
        events.push(Outgoing { is_person: true, ..event(9, class) });
    }
    events.push(event(10, Class::Lifecycle));
    for is_v1 in [false, true] {
        let encoder = encoder(&posthog("https://h", is_v1));
        for outgoing in &events {
            let body = body(&encoder, outgoing);
            let sent = &body["batch"][0];
            let (properties, options) = (&sent["properties"], &sent["options"]);
            let profile = if is_v1 {
                assert!(properties.get("$process_person_profile").is_none());
                assert!(properties.get("$lib").is_none(), "the header says it");
                assert_eq!(options["disable_skew_correction"], true);
                options.get("process_person_profile")
            } else {
                assert_eq!(properties["$ignore_sent_at"], true);
                assert_eq!(properties["$lib"], "trueup-telemetry");
                properties.get("$process_person_profile")
            };
            let is_person = outgoing.name == "worker_started";
            assert_eq!(profile, (!is_person).then_some(&json!(false)), "{}", outgoing.name);
            let base = json!({ "version": "13.15.3", "os": "linux" });
            assert_eq!(properties.get("$set"), is_person.then_some(&base));
            assert_eq!(properties["$geoip_disable"], true);
            let is_history = outgoing.class == Class::Historical;
            assert_eq!(body.get("historical_migration").is_some(), is_history);
            assert_eq!(properties.get("version").is_none(), is_history, "of no current version");
        }
        let exception = body(&encoder, &events[2]);
        assert!(exception["batch"][0]["properties"]["$exception_list"].is_array());
    }
}

#[test]
fn an_event_without_an_id_is_told_apart_by_its_own_and_makes_no_profile() {
    for install in ["", " ", "anonymous", "NULL", &"x".repeat(201)] {
        let context = Context { install: install.to_owned(), ..context() };
        let encoder = Encoder::new(&posthog("https://h", false), context, None);
        let started = &one_of_each()[1];
        let sent = body(&encoder, started)["batch"][0].clone();
        assert_eq!(sent["distinct_id"], started.uuid.to_string());
        assert_eq!(sent["properties"]["$process_person_profile"], false);
        assert!(sent["properties"].get("$set").is_none());
    }
}

#[test]
fn the_same_input_gives_the_same_bytes_and_time_is_said_once() {
    for (_, encoder) in kinds() {
        let events = one_of_each();
        let bytes = encoder.encode(&events, NOON);
        assert_eq!(bytes, encoder.encode(&events, NOON));
        assert!(!bytes.is_empty());
    }
}

#[test]
fn an_address_of_otlp_is_of_its_signal() {
    let cases = [
        ("https://h", "https://h/v1/logs", "https://h/v1/metrics"),
        ("https://h:4318/", "https://h:4318/v1/logs", "https://h:4318/v1/metrics"),
        (
            "https://h/i/v1/logs?token=t",
            "https://h/i/v1/logs?token=t",
            "https://h/i/v1/metrics?token=t",
        ),
        ("https://h/v1/metrics", "https://h/v1/logs", "https://h/v1/metrics"),
    ];
    for (endpoint, logs, metrics) in cases {
        let endpoint = endpoint.to_owned();
        let both = Encoder::each(
            &Sink::Otlp { endpoint, logs: true, metrics: true, is_gzip: false },
            &context(),
            None,
        );
        let urls: Vec<_> =
            both.iter().map(|encoder| request(encoder, &one_of_each()[..1]).url).collect();
        assert_eq!(urls, [logs, metrics]);
    }
}

#[test]
fn a_file_is_put_aside_before_it_grows_too_large_and_five_are_kept() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("told.ndjson");
    let mut file = LinesFile::with_bytes_max(path.clone(), 64);
    let line = |number: u32| format!("{{\"line\":{number:020}}}\n");
    for number in 0..40 {
        append(&mut file, &line(number)).unwrap();
    }
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, usize::try_from(FILES_KEPT).unwrap());
    let aside = |number: u32| folder.path().join(format!("told.ndjson.{number}"));
    let kept: Vec<String> = [aside(4), aside(3), aside(2), aside(1), path]
        .iter()
        .map(|path| super::text(path))
        .collect();
    let expected: Vec<String> = (30..40).map(line).collect();
    assert_eq!(kept.concat(), expected.concat(), "the newest, in order, each line whole");
}

#[test]
fn a_line_that_a_crash_tore_does_not_spoil_the_next() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("told.ndjson");
    fs::write(&path, "{\"whole\":1}\n{\"torn\":").unwrap();
    append(&mut LinesFile::new(path.clone()), "{\"next\":2}\n").unwrap();
    assert_eq!(super::text(&path), "{\"whole\":1}\n{\"torn\":\n{\"next\":2}\n");
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_that_names_it() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("no such folder").join("told.ndjson");
    let error = append(&mut LinesFile::new(missing), "{}\n").unwrap_err();
    assert!(
        error.to_string().starts_with("cannot open ") && error.to_string().contains("told.ndjson")
    );
    let path = folder.path().join("told.ndjson");
    let held = fs::File::create(&path).unwrap();
    held.lock().unwrap();
    let error = append(&mut LinesFile::new(path.clone()), "{}\n").unwrap_err();
    assert!(error.to_string().starts_with("cannot lock "), "{error}");
    drop(held);
    append(&mut LinesFile::new(path), "{}\n").unwrap();
}

fn append(file: &mut LinesFile, lines: &str) -> Result<(), Unreachable> {
    let body = lines.as_bytes().to_vec();
    let request = Request { method: "APPEND", url: String::new(), headers: Vec::new(), body };
    file.send(&request, Duration::from_secs(1)).map(drop)
}

/// Every kind of place, by the name of its fixture.
fn kinds() -> Vec<(&'static str, Encoder)> {
    let endpoint = "https://collector.example".to_owned();
    let otlp = Sink::Otlp { endpoint, logs: true, metrics: true, is_gzip: false };
    let endpoint = "https://hooks.example/telemetry".to_owned();
    let secret_variable = Some("CLAUDE_MEM_SECRET".to_owned());
    let host = "https://us.i.posthog.com";
    let mut otlp = Encoder::each(&otlp, &context(), None).into_iter();
    vec![
        ("posthog-v0", encoder(&posthog(host, false))),
        ("posthog-v1", encoder(&posthog(host, true))),
        ("posthog-gzip", encoder(&gzipped(posthog(host, false)))),
        ("otlp-logs", otlp.next().unwrap()),
        ("otlp-metrics", otlp.next().unwrap()),
        ("webhook", encoder(&Sink::Webhook { endpoint, secret_variable })),
        ("file", encoder(&Sink::File { path: "~/.claude-mem/told.ndjson".to_owned() })),
    ]
}

fn request(encoder: &Encoder, events: &[Outgoing]) -> Request {
    let body = encoder.encode(events, NOON);
    let draft = Draft {
        class: events[0].class,
        event: events[0].name.clone(),
        uuids: events.iter().map(|event| event.uuid).collect(),
        day: Day::of(NOON),
        body,
    };
    let item = Outbox::default().queue(&draft, NOON);
    encoder.preview(&item, &draft.body, NOON)
}

fn shown(request: &Request) -> String {
    let mut text = format!("{} {}\n", request.method, request.url);
    for (name, value) in &request.headers {
        writeln!(text, "{name}: {value}").unwrap();
    }
    text.push('\n');
    text.push_str(std::str::from_utf8(&request.body).unwrap());
    text
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// With `TRUEUP_ACCEPT=1` a file that differs is written anew: read the difference.
fn assert_file(path: &Path, text: &str) {
    let before = fs::read(path).unwrap_or_default();
    if before != text.as_bytes() && std::env::var_os("TRUEUP_ACCEPT").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        return;
    }
    assert_eq!(String::from_utf8(before).unwrap(), text, "{}", path.display());
}

#[test]
fn requests_are_those_of_the_fixtures_and_of_the_document() {
    const MARK: &str = "<!-- generated: requests -->";
    let mut document = String::new();
    for (name, encoder) in kinds() {
        let events = one_of_each();
        let folder = root().join("fixtures").join("sinks");
        assert_file(&folder.join(format!("{name}.http")), &shown(&request(&encoder, &events)));
        let one = shown(&request(&encoder, &events[..1]));
        write!(document, "\n### {name}\n\n```http\n{}\n```\n", one.trim_end()).unwrap();
    }
    let path = root().join("../../docs/telemetry-sinks.md");
    let before = super::text(&path);
    let parts: Vec<&str> = before.split(MARK).collect();
    let [head, _, tail] = parts.as_slice() else { panic!("two marks in {}", path.display()) };
    assert_file(&path, &format!("{head}{MARK}\n{document}\n{MARK}{tail}"));
}

/// What peers that others wrote say of the fixtures; skipped, and said so, where they cannot be had.
#[test]
fn peers_read_the_requests_of_the_fixtures() {
    let script = root().join("../../scripts/prove-sinks");
    let Ok(done) = Command::new("bash").arg(&script).arg("--if-there").output() else {
        println!("SKIPPED: there is no bash");
        return;
    };
    let said = String::from_utf8_lossy(&done.stdout);
    println!("{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "scripts/prove-sinks failed");
    assert!(said.contains("agree") || said.contains("SKIPPED"), "{said}");
}
