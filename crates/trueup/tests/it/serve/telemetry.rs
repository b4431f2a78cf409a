//! `/v1/telemetry/{product}/…`: what is taken, who may ask, and that every way in leads to the same bytes.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trueup_telemetry::errors::{Report, frames_of};
use trueup_telemetry::manifest::{Input, Manifest};
use trueup_telemetry::product::{Environment, Options, Telemetry};

use super::daemon::{Answer, Daemon, Home, until};

const MANIFEST: &str = r#"
product = "observer"
about = "Tells how turns went"
env_prefix = "OBSERVER"
data_dir = "~/.observer"
default = "local"
id = "install"
base = ["version", "os"]

[fields]
version = { semver = true }
os = { enum = ["linux", "macos", "other"] }
outcome = { enum = ["ok", "error"] }
model = { token_max = 64, charset = "model" }
tokens = { u64 = true }
cost = { usd = true }
duration_ms = { u64 = true }

[[rollup]]
event = "turns"
grain = "session"
sum = ["tokens", "cost"]
hist = ["duration_ms"]
enum = ["outcome"]
top = ["model"]
max_age = "1h"
max_records = 1000

[[lifecycle]]
event = "started"
max_per_day = 1

[errors]
level = "template"
rollup = "turns"

[budget]
events_per_day = 20
hard_cap = 40
exceptions_per_day = 2
"#;

const PATH: &str = "/v1/telemetry/observer";

/// A home whose daemon takes the telemetry of `observer`.
fn home_with(variables: &[(&str, &str)]) -> Home {
    let home =
        Home::with(&[&[("TRUEUP_TELEMETRY_MANIFESTS", "~/observer.toml")], variables].concat());
    fs::write(home.path("observer.toml"), MANIFEST).unwrap();
    home
}

fn post(daemon: &Daemon, path: &str, body: &str) -> Answer {
    daemon.post(&format!("{PATH}{path}"), body)
}

fn get(daemon: &Daemon, path: &str) -> Value {
    let answer = daemon.get(&format!("{PATH}{path}"));
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

fn ask(daemon: &Daemon, method: &str, path: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let request = format!(
        "{method} {PATH}{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    let answer = daemon.raw(request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// The bytes of what was sealed, once there is so much of it.
fn sealed(daemon: &Daemon, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    until("all is sealed", || {
        assert!(post(daemon, "/flush", "").status < 300);
        let sent = get(daemon, "/sent");
        let requests = sent["requests"].as_array().unwrap().iter();
        bodies = requests.map(|one| one["body"].as_str().unwrap().to_owned()).collect();
        bodies.len() >= count
    });
    assert_eq!(bodies.len(), count, "{bodies:?}");
    bodies
}

fn properties(body: &str) -> Value {
    serde_json::from_str::<Value>(body).unwrap()["properties"].clone()
}

#[test]
fn an_object_an_array_and_lines_are_added_up() {
    let home = home_with(&[]);
    let daemon = home.start();
    let one = r#"{"event":"turns","key":"s1","props":{"tokens":1,"outcome":"ok"}}"#;
    for (body, accepted) in [
        (one.to_owned(), 1),
        (format!("[{one},{one}]"), 2),
        (format!("{one}\n\n{one}\n{one}"), 3),
        (json!({"event":"turns","key":"s1","props":{"tokens":1}}).to_string(), 1),
    ] {
        let answer = post(&daemon, "/records", &body);
        assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(accepted)), "{body}");
        assert_eq!(answer.json()["dropped"], json!([]), "{body}");
    }
    let failure =
        r#"{"type":"TypeError","message":"x is not a function","stack":"","handled":true}"#;
    assert_eq!(post(&daemon, "/errors", failure).json()["accepted"], 1);
    assert_eq!(post(&daemon, "/sessions/s1/end", "").status, 202);
    let sealed = sealed(&daemon, 2);
    let turns = sealed.iter().find(|body| body.contains("\"turns\"")).unwrap();
    let told = properties(turns);
    assert_eq!((&told["count"], &told["total_tokens"]), (&json!(7), &json!(7)), "{told:#}");
    assert_eq!((&told["outcomes_ok"], &told["rollup_reason"]), (&json!(6), &json!("session_end")));
}

#[test]
fn whatever_is_accepted_while_another_base_comes_is_told() {
    let home = home_with(&[]);
    let daemon = home.start();
    let body = r#"{"event":"turns","key":"s1","props":{"tokens":1}}"#.to_owned() + "\n";
    let accepted: u64 = std::thread::scope(|scope| {
        let posts: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let answers =
                        (0..40).map(|_| post(&daemon, "/records", &body.repeat(300)).json());
                    let accepted = answers.map(|answer| {
                        // Too many may wait while another base comes; off it is never.
                        let mut dropped = answer["dropped"].as_array().unwrap().iter();
                        assert!(dropped.all(|drop| drop["reason"] == "full"), "{answer}");
                        answer["accepted"].as_u64().unwrap()
                    });
                    accepted.sum::<u64>()
                })
            })
            .collect();
        for minor in 0..12 {
            let base = json!({ "version": format!("1.{minor}.0") }).to_string();
            assert_eq!(ask(&daemon, "PUT", "/base", &base).0, 200);
        }
        posts.into_iter().map(|post| post.join().unwrap()).sum()
    });
    assert_eq!(post(&daemon, "/sessions/s1/end", "").status, 202);
    let mut told = 0;
    until("all is told", || {
        assert!(post(&daemon, "/flush", "").status < 300);
        let sent = get(&daemon, "/sent");
        let bodies = sent["requests"].as_array().unwrap().iter();
        let bodies = bodies.map(|one| properties(one["body"].as_str().unwrap()));
        let days = get(&daemon, "/status")["adding_up"].as_array().unwrap().clone();
        told = bodies.map(|it| it["count"].as_u64().unwrap()).sum::<u64>();
        told += days.iter().map(|day| day["records"].as_u64().unwrap()).sum::<u64>();
        told >= accepted
    });
    assert_eq!(told, accepted);
}

#[test]
fn what_is_dropped_is_named_and_bad_lines_stop_no_other() {
    let home = home_with(&[]);
    let daemon = home.start();
    let body = concat!(
        r#"{"event":"turns","key":"s1","props":{"tokens":1,"prompt":"a secret","outcome":"meh"}}"#,
        "\nnope\n",
        r#"{"event":"turns"}"#,
        "\n",
        r#"{"event":"other"}"#,
        "\n",
        r#"{"end":"s1"}"#,
    );
    let answer = post(&daemon, "/records", body);
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(
        answer.json(),
        json!({
            "accepted": 2,
            "dropped": [
                {"key": "other", "reason": "unknown_event", "count": 1},
                {"key": "outcome", "reason": "not_in_enum", "count": 1},
                {"key": "prompt", "reason": "unknown_key", "count": 1},
                {"key": "turns", "reason": "no_session", "count": 1},
            ],
            "refused": [{"line": 2, "column": 2, "what": "not JSON"}],
            "refused_count": 1,
        })
    );
    for (body, error) in [
        ("", "the body is empty"),
        ("nope", "line 1, column 2: not JSON"),
        (r#"{"event":1}"#, "line 1, column 10: expected a string"),
    ] {
        let answer = post(&daemon, "/records", body);
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!(error)), "{body}");
    }
    assert!(!answer.text.contains("a secret"));
}

#[test]
fn who_may_ask_and_how_much_is_taken() {
    let home = home_with(&[("TRUEUP_TOKEN", "s3cret")]);
    let daemon = home.start();
    let token = ("authorization", "Bearer s3cret");
    let media = ("content-type", "application/json");
    let records = format!("{PATH}/records");
    let record = r#"{"event":"turns","key":"s1"}"#;
    assert_eq!(daemon.post_with(&records, record, &[media]).status, 401);
    assert_eq!(daemon.post_with(&records, record, &[media, token]).status, 202);
    // Not even a page of this machine.
    for origin in ["http://localhost:9090", "https://evil.example", "null"] {
        let headers = [media, token, ("origin", origin)];
        assert_eq!(daemon.post_with(&records, record, &headers).status, 403, "{origin}");
        assert_eq!(daemon.get_with(&format!("{PATH}/status"), &headers).status, 403, "{origin}");
    }
    let large = format!("{}{record}", " ".repeat(64 << 10));
    let answer = daemon.post_with(&records, &large, &[media, token]);
    assert_eq!(answer.status, 413, "{}", answer.text);
    assert!(answer.text.contains("larger than 65536 bytes:"), "{}", answer.text);
    let unknown = daemon.post_with("/v1/telemetry/other/records", record, &[media, token]);
    assert_eq!(unknown.status, 404);
    assert!(unknown.text.contains("telemetry_manifests"), "{}", unknown.text);
    assert_eq!(daemon.get_with(&records, &[token]).status, 405);
    let metrics = daemon.get_with("/metrics", &[token]).text;
    assert!(metrics.contains("{path=\"/v1/telemetry\",status=\"404\"} 1"), "{metrics}");
}

#[test]
fn it_is_shown_as_it_stands() {
    let home = home_with(&[]);
    let daemon = home.start();
    let status = get(&daemon, "/status");
    assert_eq!((&status["mode"], &status["decided_by"]), (&json!("local"), &json!("default")));
    assert_eq!(status["queued"], 0);
    assert_eq!(get(&daemon, "/preview")["next"], Value::Null);
    assert_eq!(get(&daemon, "/ledger")["sent_today"]["events"], 0);
    assert_eq!(get(&daemon, "/schema")["product"], "observer");
    assert!(!home.path(".observer").exists(), "looking makes no file");
}

/// The daemon and the program beside it say the same of one product.
#[test]
fn the_status_is_that_of_the_program() {
    let home = home_with(&[]);
    let daemon = home.start();
    post(&daemon, "/records", r#"[{"event":"turns","key":"s1"},{"end":"s1"}]"#);
    sealed(&daemon, 1);
    let over_http = get(&daemon, "/status");
    let mut status = home.verb("telemetry");
    status.args(["status", "--json", "--manifest"]).arg(home.path("observer.toml"));
    let printed: Value = serde_json::from_slice(&status.output().unwrap().stdout).unwrap();
    for (key, value) in printed.as_object().unwrap() {
        assert_eq!(&over_http[key], value, "{key}");
    }
    assert_eq!(printed["kept"], 1);
}

/// Whatever is queued is shown before it is sent, as the request that it will be.
#[test]
fn the_next_request_is_shown() {
    let home = home_with(&[("OBSERVER_TELEMETRY", "on")]);
    let sink = "\n[sink]\ntype = \"webhook\"\nendpoint = \"http://127.0.0.1:9/x\"\n";
    fs::write(home.path("observer.toml"), format!("{MANIFEST}{sink}")).unwrap();
    let daemon = home.start();
    post(&daemon, "/records", r#"[{"event":"turns","key":"s1"},{"end":"s1"}]"#);
    until("it is queued", || {
        post(&daemon, "/flush", "");
        get(&daemon, "/status")["queued"] == 1
    });
    let mut next = Value::Null;
    // Whoever does not answer is left alone for a while.
    until("its time has come", || {
        next = get(&daemon, "/preview")["next"].clone();
        !next.is_null()
    });
    assert_eq!(next["request"]["url"], "http://127.0.0.1:9/x");
    assert!(next["body"].as_str().unwrap().contains("\"turns\""), "{next:#}");
    assert_eq!(get(&daemon, "/ledger")["sent_today"]["hard_cap"], 40);
}

#[test]
fn what_every_event_carries_can_be_set() {
    let home = home_with(&[]);
    let daemon = home.start();
    let (status, answer) = ask(&daemon, "PUT", "/base", r#"{"version":"1.2.3","host":"mine"}"#);
    assert_eq!(status, 200);
    assert_eq!(answer["dropped"], json!([{"key": "host", "reason": "unknown_key", "count": 1}]));
    post(&daemon, "/records", r#"{"event":"turns","key":"s1","props":{"tokens":1}}"#);
    // The same again ends nothing; another ends what is open.
    assert_eq!(ask(&daemon, "PUT", "/base", r#"{"version":"1.2.3"}"#).0, 200);
    post(&daemon, "/records", r#"{"event":"turns","key":"s1","props":{"tokens":2}}"#);
    assert_eq!(ask(&daemon, "PUT", "/base", r#"{"version":"2.0.0"}"#).0, 200);
    post(
        &daemon,
        "/records",
        r#"[{"event":"turns","key":"s1","props":{"tokens":4}},{"end":"s1"}]"#,
    );
    let mut told: Vec<(Value, Value)> = sealed(&daemon, 2)
        .iter()
        .map(|body| properties(body))
        .map(|told| (told["version"].clone(), told["total_tokens"].clone()))
        .collect();
    told.sort_by_key(|(version, _)| version.to_string());
    assert_eq!(told, [(json!("1.2.3"), json!(3)), (json!("2.0.0"), json!(4))]);
    for body in ["[]", "nope", "1"] {
        assert_eq!(ask(&daemon, "PUT", "/base", body).0, 400, "{body}");
    }
}

#[test]
fn the_decision_is_written_and_followed() {
    let home = home_with(&[]);
    let daemon = home.start();
    let record = r#"{"event":"turns","key":"s1","props":{"tokens":1}}"#;
    post(&daemon, "/records", record);
    until("it is written", || home.path(".observer/telemetry").exists());
    let (status, answer) = ask(&daemon, "PUT", "/consent", r#"{"mode":"off"}"#);
    assert_eq!((status, &answer["mode"]), (200, &json!("off")), "{answer:#}");
    let dropped = post(&daemon, "/records", record).json();
    assert_eq!(dropped["accepted"], 0);
    assert_eq!(dropped["dropped"], json!([{"key": "turns", "reason": "off", "count": 1}]));
    assert!(logs(&home).is_empty(), "{:?}", logs(&home));
    assert_eq!(get(&daemon, "/sent")["requests"], json!([]));
    // What another process decides is seen, too.
    let mut on = home.verb("telemetry");
    on.args(["local", "--manifest"]).arg(home.path("observer.toml"));
    assert!(on.output().unwrap().status.success());
    assert_eq!(get(&daemon, "/status")["mode"], "local");
    assert_eq!(post(&daemon, "/records", record).json()["accepted"], 1);
    assert_eq!(ask(&daemon, "DELETE", "/data", "").0, 204);
    assert_eq!(ask(&daemon, "PUT", "/consent", r#"{"mode":"maybe"}"#).0, 400);
    // A file that is not as it must be is never written over.
    let file = home.path(".observer/telemetry.json");
    fs::write(&file, "{\"mode\": ").unwrap();
    assert_eq!(ask(&daemon, "PUT", "/consent", r#"{"mode":"on"}"#).0, 409);
    assert_eq!(fs::read(&file).unwrap(), b"{\"mode\": ");
}

/// To look at a status is to look: whatever waits to be sent, and to whom, holds up no answer.
#[test]
fn a_status_sends_nothing_and_waits_for_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let sink = format!(
        "\n[sink]\ntype = \"webhook\"\nendpoint = \"http://{}/x\"\n",
        silent.local_addr().unwrap()
    );
    let home = home_with(&[]);
    let manifest = format!("{MANIFEST}{sink}");
    fs::write(home.path("observer.toml"), &manifest).unwrap();
    let folder = home.path(".observer");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("telemetry.json"), r#"{"mode":"off"}"#).unwrap();
    let daemon = home.start();
    assert_eq!(get(&daemon, "/status")["mode"], "off");
    // Another process turns it on, and leaves something that could be sent.
    let on = r#"{"mode":"on","decidedAt":"2020-01-01T00:00:00.000Z"}"#;
    fs::write(folder.join("telemetry.json"), on).unwrap();
    let manifest = Arc::new(Manifest::parse(&manifest, "observer.toml").unwrap());
    let telemetry = Telemetry::open(Options::new(manifest, &folder, Environment::default()));
    telemetry.record("turns", Some("s1"), &[]);
    telemetry.end("s1");
    telemetry.shut_down(Duration::ZERO);
    let asked = Instant::now();
    let status = get(&daemon, "/status");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!((&status["mode"], &status["queued"]), (&json!("on"), &json!(1)), "{status:#}");
    silent.set_nonblocking(true).unwrap();
    assert!(silent.accept().is_err(), "nobody was asked");
}

/// The logs of open buckets, and the outbox.
fn logs(home: &Home) -> Vec<PathBuf> {
    let state = home.path(".observer/telemetry");
    let entries = fs::read_dir(state).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.to_string_lossy().contains("/open-") || path.ends_with("outbox"))
        .collect()
}

#[test]
fn check_16_the_end_of_the_daemon_seals_what_is_open() {
    let home = home_with(&[]);
    let mut daemon = home.start();
    for session in ["s1", "s2"] {
        let record = json!({"event": "turns", "key": session, "props": {"tokens": 3}});
        post(&daemon, "/records", &record.to_string());
    }
    assert!(daemon.terminate().success());
    let daemon = home.start();
    let told: Vec<Value> = sealed(&daemon, 2).iter().map(|body| properties(body)).collect();
    for told in told {
        assert_eq!(told["rollup_reason"], "worker_shutdown");
        assert_eq!(told["total_tokens"], 3);
    }
}

/// Where nothing can be written, what comes is dropped with a reason, and nobody gets an error.
#[test]
fn a_full_queue_is_no_error() {
    let home = home_with(&[]);
    fs::create_dir(home.path(".observer")).unwrap();
    fs::write(home.path(".observer/telemetry"), "in the way").unwrap();
    let daemon = home.start();
    let record = r#"{"event":"turns","key":"s1","props":{"tokens":1}}"#;
    let body = vec![record; 600].join("\n");
    let answers: Vec<Answer> = (0..4).map(|_| post(&daemon, "/records", &body)).collect();
    assert!(answers.iter().all(|answer| answer.status == 202));
    let last = answers.last().unwrap().json();
    assert_eq!(
        last["dropped"],
        json!([{"key": "turns", "reason": "full", "count": 600}]),
        "{last:#}"
    );
    assert!(get(&daemon, "/status")["problem"].is_string());
}

#[test]
fn a_manifest_that_cannot_be_used_is_an_error_at_the_start() {
    let home = home_with(&[]);
    fs::write(home.path("observer.toml"), MANIFEST.replace("semver = true", "text = true"))
        .unwrap();
    let said = home.refusal(&[]);
    let place = format!("{}:11", home.path("observer.toml").display());
    assert!(said.contains("telemetry_manifests (from TRUEUP_TELEMETRY_MANIFESTS)"), "{said}");
    assert!(said.contains(&place) && said.contains("version"), "{said}");
    assert!(!home.path("ledger.db").exists());
    fs::write(home.path("observer.toml"), MANIFEST).unwrap();
    let said = home.refusal(&["--telemetry-manifests", "~/observer.toml:~/observer.toml"]);
    assert!(said.contains("two manifests are of the product `observer`"), "{said}");
    assert!(home.refusal(&["--telemetry-manifests", "~/nothing.toml"]).contains("nothing.toml"));
}

#[test]
fn the_settings_file_lists_manifests() {
    let home = Home::with(&[]);
    let settings = home.path(".config/trueup/trueup.toml");
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    let other = MANIFEST.replace("observer", "other").replace("OBSERVER", "OTHER");
    fs::write(home.path("observer.toml"), MANIFEST).unwrap();
    fs::write(home.path("other.toml"), other).unwrap();
    fs::write(&settings, "telemetry_manifests = [\"~/observer.toml\", \"~/other.toml\"]").unwrap();
    let daemon = home.start();
    for product in ["observer", "other"] {
        assert_eq!(daemon.get(&format!("/v1/telemetry/{product}/status")).status, 200, "{product}");
    }
    drop(daemon);
    fs::write(&settings, "telemetry_manifests = [1]").unwrap();
    let said = home.refusal(&[]);
    assert!(said.contains("telemetry_manifests") && said.contains("each must be a path"), "{said}");
}

// --- every way in leads to the same bytes --------------------------------------------------------

/// A script in which there is something of everything.
const SCRIPT: &str = r#"{"event":"turns","key":"s1","props":{"tokens":120,"cost":"0.0125","outcome":"ok","model":"gpt-5.5","duration_ms":1200}}
{"event":"turns","key":"s1","props":{"tokens":7,"cost":0.5,"outcome":"error","model":"claude-opus-4-5","duration_ms":30,"prompt":"dropped"}}
{"error":{"type":"TypeError","message":"cannot open /home/alice/plan.md after 3 tries","stack":"    at open (/home/alice/app/db.js:12:9)","handled":true}}
{"end":"s1"}
{"event":"turns","key":"s2","props":{"tokens":1,"outcome":"ok"}}
{"lifecycle":"started","props":{}}
"#;

/// What differs from run to run: ids and times. All else is compared byte for byte.
fn masked(body: &str) -> String {
    let mut text = body.to_owned();
    for name in ["uuid", "timestamp", "time", "window_start_ts"] {
        let label = format!("\"{name}\":");
        let Some(start) = text.find(&label).map(|at| at + label.len()) else { continue };
        let rest = text.get(start..).unwrap();
        let end = rest.find([',', '}']).unwrap();
        text.replace_range(start..start + end, "*");
    }
    text
}

fn masked_all(bodies: &[String]) -> Vec<String> {
    let mut all: Vec<String> = bodies.iter().map(|body| masked(body)).collect();
    all.sort();
    all
}

/// How telemetry is set: kept on this machine, or sent to a place that is a file.
#[derive(Clone, Copy)]
struct Way {
    mode: &'static str,
    sink: &'static str,
}

const LOCAL: Way = Way { mode: "local", sink: "" };
const ON: Way = Way { mode: "on", sink: "\n[sink]\ntype = \"file\"\npath = \"~/sent.ndjson\"\n" };

/// The id of the installation, which is the same each time here.
const INSTALL: &str = "{\"installId\":\"0b7f4f0e-6f3c-4c7e-9d0e-2f1f6f1f7a11\"}";

impl Way {
    fn manifest(self) -> String {
        format!("{MANIFEST}{}", self.sink)
    }

    fn home(self) -> Home {
        let home = home_with(&[("OBSERVER_TELEMETRY", self.mode)]);
        fs::write(home.path("observer.toml"), self.manifest()).unwrap();
        install_in(&home.path(".observer"));
        home
    }
}

/// The installation has its id already.
fn install_in(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("telemetry.json"), INSTALL).unwrap();
}

/// The bodies that lie in an outbox.
fn bodies_in(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder.join("telemetry/outbox")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let bodies = files.filter(|path| path.extension().is_some_and(|extension| extension == "body"));
    bodies.map(|path| String::from_utf8(fs::read(path).unwrap()).unwrap()).collect()
}

fn by_facade(way: Way) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    install_in(folder.path());
    let manifest = Arc::new(Manifest::parse(&way.manifest(), "observer.toml").unwrap());
    let environment = Environment {
        telemetry: Some(way.mode.to_owned()),
        home: Some(folder.path().display().to_string()),
        ..Environment::default()
    };
    let mut options = Options::new(manifest, folder.path(), environment);
    options.base = vec![("version".into(), json!("1.2.3")), ("os".into(), json!("linux"))];
    let telemetry = Telemetry::open(options);
    for line in SCRIPT.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let none = serde_json::Map::new();
        let props = line["props"].as_object().unwrap_or(&none).iter();
        let props: Vec<(&str, Input<'_>)> =
            props.map(|(name, value)| (name.as_str(), value.into())).collect();
        if let Some(event) = line["event"].as_str() {
            telemetry.record(event, line["key"].as_str(), &props);
        } else if let Some(event) = line["lifecycle"].as_str() {
            telemetry.lifecycle(event, &props);
        } else if let Some(session) = line["end"].as_str() {
            telemetry.end(session);
        } else {
            let error = &line["error"];
            let frames = frames_of(error["stack"].as_str().unwrap());
            telemetry.report(&Report {
                kind: error["type"].as_str().unwrap(),
                message: error["message"].as_str().unwrap(),
                template: None,
                frames: &frames,
                is_handled: true,
            });
        }
    }
    telemetry.shut_down(Duration::from_millis(500));
    bodies_in(folder.path())
}

fn by_pipe(way: Way) -> Vec<String> {
    let home = way.home();
    let mut pipe = home.verb("telemetry");
    pipe.args(["pipe", "--base", "version=1.2.3", "--manifest"]).arg(home.path("observer.toml"));
    let mut pipe = pipe.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    pipe.stdin.take().unwrap().write_all(SCRIPT.as_bytes()).unwrap();
    let output = pipe.wait_with_output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &told["accepted"]), (Some(0), &json!(6)), "{told:#}");
    bodies_in(&home.path(".observer"))
}

fn by_http(way: Way) -> Vec<String> {
    let home = way.home();
    let mut daemon = home.start();
    assert_eq!(ask(&daemon, "PUT", "/base", r#"{"version":"1.2.3"}"#).0, 200);
    assert_eq!(post(&daemon, "/records", SCRIPT).json()["accepted"], 6);
    assert!(daemon.terminate().success());
    bodies_in(&home.path(".observer"))
}

/// The script by the client in Python, line by line.
const PYTHON: &str = r#"
import json, sys
from trueup_telemetry import TelemetryClient
client = TelemetryClient("observer", sys.argv[1], base={"version": "1.2.3"})
for line in map(json.loads, sys.stdin):
    if "event" in line:
        client.record(line["event"], line["key"], line["props"])
    elif "lifecycle" in line:
        client.lifecycle(line["lifecycle"], line["props"])
    elif "end" in line:
        client.end(line["end"])
    else:
        error = line["error"]
        client.error(error["type"], error["message"], stack=error["stack"], handled=error["handled"])
"#;

fn by_python(way: Way) -> Vec<String> {
    let home = way.home();
    let mut daemon = home.start();
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/python/src");
    let mut python = Command::new("python3")
        .args(["-c", PYTHON, &daemon.url("")])
        .env("PYTHONPATH", client)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("DO_NOT_TRACK")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(SCRIPT.as_bytes()).unwrap();
    assert!(python.wait().unwrap().success());
    assert!(daemon.terminate().success());
    bodies_in(&home.path(".observer"))
}

/// `clients/typescript/test` holds the client in TypeScript against the pipe in the same way: it must be
/// compiled first. There is no C ABI.
#[test]
fn check_41_every_way_in_leads_to_the_same_bytes() {
    for way in [LOCAL, ON] {
        let expected = masked_all(&by_facade(way));
        assert_eq!(expected.len(), 4, "{expected:#?}");
        let has_id = expected.iter().all(|body| body.contains("0b7f4f0e"));
        assert_eq!(has_id, way.mode == "on", "{expected:#?}");
        let exception = expected.iter().find(|body| body.contains("$exception")).unwrap();
        assert!(exception.contains("cannot open") && !exception.contains("alice"), "{exception}");
        assert_eq!(masked_all(&by_pipe(way)), expected, "{}: pipe", way.mode);
        assert_eq!(masked_all(&by_http(way)), expected, "{}: HTTP", way.mode);
        assert_eq!(masked_all(&by_python(way)), expected, "{}: Python", way.mode);
    }
}
