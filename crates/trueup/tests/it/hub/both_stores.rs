//! A fleet that is told to a hub on SQLite and to one on ClickHouse: whatever is asked, both answer the same,
//! at once after what was told is acknowledged and when its sums are worked out.
//! `scripts/prove-clickhouse` says where the store is.

use std::process::Command;

use serde_json::{Value, json};
use trueup_core::DAY_MS;

use super::clickhouse::stores;
use super::protocol::{batch, id, send};
use super::{Fleet, ask};
use crate::serve::daemon::{Answer, Daemon, until};

/// The last moment that anything happens at; clocks go back in Europe and America in the days before.
const LAST: i64 = 1_795_212_509_482;
const DAYS: u64 = 70;
const DEVICES: [&str; 3] = ["laptop", "box", "ci-1"];

/// A series of numbers that look drawn.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A moment of the days; some of them are busier.
    fn moment(&mut self) -> i64 {
        let within = if self.is(30) { 3 } else { DAYS };
        let day = self.below(within) * DAY_MS.unsigned_abs();
        LAST - i64::try_from(day + self.below(DAY_MS.unsigned_abs())).unwrap()
    }
}

fn call(dice: &mut Dice, name: &str, at: i64) -> Value {
    let source = dice.one(&["codex", "claude-code", "it's"]);
    let mut data = json!({
        "trace_id": name, "created_at": at, "source": source,
        "provider": dice.one(&["openai", "anthropic"]),
        "model": dice.one(&["gpt-5.5", "claude-opus-4-5", "of no price"]),
        "session": format!("session {}", dice.below(40)),
        "session_kind": dice.one(&["main", "cron", ""]),
        "project": dice.one(&["/p/one", "/p/two", ""]),
        "input_tokens": dice.below(150_000), "output_tokens": dice.below(9_000),
        "cache_read_tokens": dice.below(90_000), "cache_write_5m_tokens": dice.below(5_000),
        "reasoning_tokens": dice.below(2_000), "latency_ms": dice.below(90_000),
    });
    if dice.is(20) {
        data["reported_cost_nanousd"] = dice.below(900_000_000).into();
    }
    if dice.is(12) {
        data["error_type"] =
            dice.one(&["rate_limit", "overloaded", "sk-ant-api03-Zm9vYmFyYmF6"]).into();
    }
    json!({"type": "llm_trace", "id": id(name, at), "data": data})
}

fn error(dice: &mut Dice, name: &str, at: i64) -> Value {
    let number = dice.below(500);
    json!({"type": "error_event", "id": id(name, at), "data": {
        "trace_id": name, "created_at": at, "source": dice.one(&["codex", "box"]), "session": "s",
        "error_type": dice.one(&["crash", "llm_error"]), "severity": dice.one(&["error", "fatal"]),
        "message": format!("{} {number} failed", dice.one(&["job", "task", "step"])),
        "stack_trace": "Error: x\n    at run (/srv/app/main.js:10:5)", "metadata": null,
    }})
}

fn sample(dice: &mut Dice, name: &str, at: i64) -> Value {
    json!({"type": "system_metric", "id": id(name, at), "data": {
        "created_at": at, "scope": dice.one(&["host", "cgroup2"]),
        "cpu_millipercent": dice.below(100_000), "mem_rss_bytes": dice.below(1 << 40),
        "disk_used_bytes": if dice.is(50) { json!(dice.below(1 << 50)) } else { Value::Null },
        "io_full_millipercent": dice.below(9_000), "oom_kills": dice.below(3),
    }})
}

/// Each device's batches.
fn batches(dice: &mut Dice) -> Vec<(usize, String)> {
    let mut batches = Vec::new();
    for (device, name) in DEVICES.iter().enumerate() {
        let mut told: Vec<(String, i64)> = Vec::new();
        let mut seq = 1_i64;
        for part in 0..8_i64 {
            let mut events = Vec::new();
            for number in 0..45 {
                let (name, at) = (format!("{name} {part} {number}"), dice.moment());
                let mut event = match dice.below(10) {
                    0 => error(dice, &name, at),
                    1 | 2 => sample(dice, &name, at),
                    3 if !told.is_empty() => {
                        // The newest word on a call: that it is another one, or none.
                        let (name, at) =
                            told[usize::try_from(dice.below(told.len() as u64)).unwrap()].clone();
                        if dice.is(50) {
                            let data = json!({"trace_id": name, "created_at": at});
                            json!({"type": "llm_trace_retracted", "id": id(&name, at), "data": data})
                        } else {
                            call(dice, &name, at)
                        }
                    }
                    _ => {
                        told.push((name.clone(), at));
                        call(dice, &name, at)
                    }
                };
                event["seq"] = (seq + i64::try_from(events.len()).unwrap()).into();
                events.push(event);
            }
            let body = batch(&format!("{name} {part}"), LAST + part, seq, &events);
            seq += i64::try_from(events.len()).unwrap();
            // Some places of the outbox are never told.
            seq += i64::from(part == 4) * 7;
            batches.push((device, body.to_string()));
        }
    }
    batches
}

/// What is asked of both.
fn questions() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let zones = ["UTC", "Asia/Kathmandu", "America/New_York", "Europe/London"];
    for by in [
        "day",
        "week",
        "month",
        "hour",
        "30m",
        "model",
        "project",
        "agent",
        "kind",
        "provider",
        "tier",
        "device",
        "session",
        "block",
        "day,model",
        "device,model",
        "week,device,agent",
        "project,session",
    ] {
        let zone = zones[all.len() % zones.len()];
        all.push(format!("/v1/report?by={by}&tz={zone}"));
        let zone = zones[(all.len() + 2) % zones.len()];
        all.push(format!("/v1/report?by={by}&tz={zone}&since=2026-10-20&until=2026-11-05"));
        all.push(format!("/v1/report?by={by}&device=box&tz=Asia/Kathmandu"));
        all.push(format!(
            "/v1/report?by={by}&model=gpt-*&source=codex&cost=computed&breakdown=true"
        ));
    }
    for zone in zones {
        all.push(format!("/v1/report?by=day&tz={zone}"));
    }
    for form in ["csv", "table", "ccusage"] {
        all.push(format!("/v1/report?by=month&form={form}&tz=UTC"));
    }
    let query = "/api/v1/usage/query?tz=Europe/London";
    for bucket in ["auto", "1d", "1w", "1mo", "none"] {
        for group in ["", "&group=model", "&group=device&subgroup=agent", "&group=project&top=1"] {
            if group.is_empty() {
                all.push(format!("{query}&bucket={bucket}{group}&metric=cost"));
            }
            all.push(format!(
                "{query}&from=2026-10-20&to=2026-11-05&bucket={bucket}{group}&compare=previous"
            ));
        }
    }
    all.push(format!(
        "{query}&from=2026-11-15&to=2026-11-20&bucket=30m&group=device&device=laptop"
    ));
    all.push(format!("{query}&from=2026-11-01&to=2026-11-05&bucket=1h&kind=main"));
    for more in
        ["", "&device=ci-1", "&from=2026-10-20&to=2026-11-05", "&agent=codex&project=/p/one"]
    {
        all.push(format!("/api/v1/sessions?limit=7{more}"));
        all.push(
            format!("/api/v1/errors?limit=2{more}").replace("&agent=codex&project=/p/one", ""),
        );
    }
    all.push("/api/v1/sessions/session%207?limit=3".to_owned());
    all.push("/api/v1/sessions/session%207?agent=codex&device=box".to_owned());
    all.push("/api/v1/sessions/nothing".to_owned());
    for more in ["", "&bucket=1w", "&device=box&bucket=1h&from=2026-11-18&to=2026-11-20"] {
        all.push(format!("/api/v1/metrics/host?tz=America/New_York{more}"));
    }
    for view in
        ["usage&by=day,device", "usage&by=model&format=ndjson", "errors", "host&format=json"]
    {
        all.push(format!("/api/v1/export?view={view}&from=2026-10-20"));
    }
    all.push("/api/v1/export?view=usage&format=focus&from=2026-10-20".to_owned());
    all.push("/api/v1/export?view=errors&device=laptop&agent=codex".to_owned());
    for path in ["completeness?by=week", "cost?by=month,model", "budgets", "config"] {
        all.push(format!("/api/v1/{path}"));
    }
    all.push("/api/usage".to_owned());
    for wrong in
        ["/v1/report?device=nobody", "/api/v1/sessions?device=nobody", "/v1/report?source=nobody"]
    {
        all.push(wrong.to_owned());
    }
    all
}

/// One hub of the two, and who reads there.
struct Told<'a> {
    hub: &'a Daemon,
    reader: &'a str,
}

impl Told<'_> {
    fn ask(&self, path: &str) -> Answer {
        ask(self.hub, self.reader, path)
    }

    /// An answer with all its parts.
    fn parts(&self, path: &str) -> Vec<(u16, String)> {
        let mut parts = Vec::new();
        let mut cursor = String::new();
        loop {
            let answer = self.ask(&format!("{path}{cursor}"));
            parts.push((answer.status, answer.text.clone()));
            let json: Value = serde_json::from_str(&answer.text).unwrap_or_default();
            match json["next_cursor"].as_str() {
                Some(next) if parts.len() < 20 => {
                    let next: String = form_urlencoded(next);
                    cursor = format!("{}cursor={next}", if path.contains('?') { '&' } else { '?' });
                }
                _ => return parts,
            }
        }
    }

    /// The devices, without what is of the moment or of a store.
    fn devices(&self) -> Value {
        let mut told = self.ask("/api/v1/devices").json();
        told["as_of"] = Value::Null;
        for row in told["rows"].as_array_mut().unwrap() {
            for field in
                ["first_seen_at", "last_seen_at", "seen_seconds_ago", "accepted", "duplicates"]
            {
                row[field] = Value::Null;
            }
        }
        told
    }
}

fn form_urlencoded(text: &str) -> String {
    text.bytes().flat_map(|byte| ['%', hex(byte >> 4), hex(byte & 15)]).collect()
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap()
}

fn assert_same(sqlite: &Told<'_>, clickhouse: &Told<'_>, when: &str) {
    for path in questions() {
        let (expected, told) = (sqlite.parts(&path), clickhouse.parts(&path));
        if expected != told {
            let pairs = expected.iter().zip(&told).find(|(one, other)| one != other);
            let (expected, told) = pairs.unwrap_or_else(|| panic!("{when}: {path}: other parts"));
            let alike = expected.1.bytes().zip(told.1.bytes()).take_while(|(a, b)| a == b).count();
            let about = |text: &str| {
                text.chars().skip(alike.saturating_sub(200)).take(400).collect::<String>()
            };
            let (one, other) = (about(&expected.1), about(&told.1));
            let warnings = |line: &String| line.contains("WARN");
            let log: Vec<String> = clickhouse.hub.log().into_iter().filter(warnings).collect();
            panic!("{when}: {path}: {} {one}\n\nand {} {other}\n{log:?}", expected.0, told.0);
        }
    }
    assert_eq!(sqlite.devices(), clickhouse.devices(), "{when}");
}

#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn both_stores_answer_the_same() {
    for (seed, store) in stores("answers").into_iter().enumerate() {
        let (sqlite, clickhouse) = (Fleet::new(), Fleet::at(&store));
        let hubs = [sqlite.start(), clickhouse.start()];
        let fleets = [&sqlite, &clickhouse];
        let readers = fleets.map(|fleet| fleet.reader("acme"));
        let secrets = fleets.map(|fleet| DEVICES.map(|device| fleet.device("acme", device)));
        let stranger = fleets.map(|fleet| fleet.device("globex", "laptop"));
        let mut dice = Dice(41 + seed as u64);
        let batches = batches(&mut dice);
        let [one, other] = [0, 1].map(|at| Told { hub: &hubs[at], reader: &readers[at] });
        // Where nothing was told yet there is nothing, too.
        assert_eq!(one.parts("/v1/report?by=day"), other.parts("/v1/report?by=day"));
        for (at, hub) in hubs.iter().enumerate() {
            for (device, body) in &batches {
                let answer = send(hub, &secrets[at][*device], body);
                assert_eq!(answer.status, 200, "{}", answer.text);
            }
            // Once more, and what is of another tenant.
            let (device, body) = &batches[3];
            assert_eq!(send(hub, &secrets[at][*device], body).status, 200);
            let foreign =
                batch("theirs", LAST, 1, &[call(&mut Dice(1), "theirs", LAST)]).to_string();
            assert_eq!(send(hub, &stranger[at], &foreign).status, 200);
        }
        assert_same(&one, &other, "as soon as it is acknowledged");
        let nothing_left = "days whose calls are not all in sums yet: 0";
        until("all of it is in the sums", || clickhouse.says(&["check"]).0.contains(nothing_left));
        assert_same(&one, &other, "out of sums");
        let answer = other.ask("/api/v1/doctor");
        assert!(answer.status == 501 && answer.text.contains("ClickHouse"), "{}", answer.text);
        // Nobody told of its bills.
        assert_eq!([&one, &other].map(|told| told.ask("/api/v1/parity").status), [404, 404]);
    }
}

/// Has something done with a process of the cluster.
fn cluster(verb: &str, name: &str) {
    #[expect(clippy::disallowed_methods, reason = "how a test is told where the cluster is")]
    let folder = std::env::var("TRUEUP_CLICKHOUSE_CLUSTER").unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/clickhouse-cluster");
    let status = Command::new(script).args([verb, &folder, name]).status().unwrap();
    assert!(status.success(), "{verb} {name}");
}

#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn where_a_shard_is_away_no_part_of_a_sum_is_told() {
    let stores = stores("away");
    let fleet = Fleet::at(stores.iter().find(|store| store.contains('|')).unwrap());
    let hub = fleet.start();
    let (secret, reader) = (fleet.device("acme", "laptop"), fleet.reader("acme"));
    let mut dice = Dice(3);
    let calls: Vec<Value> = (0..60)
        .map(|number| {
            let (name, at) = (format!("call {number}"), dice.moment());
            let mut call = call(&mut dice, &name, at);
            call["seq"] = (number + 1).into();
            call
        })
        .collect();
    assert_eq!(send(&hub, &secret, &batch("b", LAST, 1, &calls).to_string()).status, 200);
    let told = Told { hub: &hub, reader: &reader };
    let questions = [
        "/v1/report?by=day",
        "/api/v1/usage/query?group=device",
        "/api/v1/sessions",
        "/api/v1/errors",
        "/api/v1/export?view=usage",
    ];
    let before = questions.map(|path| told.ask(path).text);
    assert_eq!(told.ask("/v1/report").json()["totals"]["exact"]["calls"], 60);
    cluster("kill", "b1");
    for (path, before) in questions.iter().zip(&before) {
        let answer = told.ask(path);
        assert_eq!((answer.status, &answer.text), (200, before), "{path}: the other replica knows");
    }
    cluster("kill", "b2");
    for path in questions {
        let answer = told.ask(path);
        let words = "the account cannot be read now";
        assert!(answer.status == 503 && answer.text.contains(words), "{path}: {}", answer.text);
        assert!(!answer.text.contains("127.0.0.1"), "{}", answer.text);
    }
    cluster("run", "b1");
    cluster("run", "b2");
    for (path, before) in questions.iter().zip(&before) {
        until("it is there again", || told.ask(path).status == 200);
        assert_eq!(&told.ask(path).text, before, "{path}");
    }
}
