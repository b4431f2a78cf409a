//! Checks of contract §7 that others hold against the parts, through the one face.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use trueup_core::{DAY_MS, HOUR_MS, NANO_PER_USD};
use trueup_telemetry::deliver::Transport;
use trueup_telemetry::manifest::{Input, Manifest, Sink};
use trueup_telemetry::product::{Environment, Options, Outcome, Telemetry};
use trueup_telemetry::sink::{Answer, Request, Unreachable};

use super::{MANIFEST, ON, Stage, TURN, events, turn, with_sink};
use crate::own_bytes;
use crate::world::NOON;

const OUTCOMES: [&str; 3] = ["ok", "error", "aborted"];

fn whole(event: &Json, name: &str) -> u64 {
    event["properties"][name].as_u64().unwrap()
}

#[test]
fn check_14_an_event_is_what_its_records_add_up_to() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    let telemetry = stage.open();
    let (mut tokens, mut nano, mut durations) = (0, 0, Vec::new());
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    let mut models: BTreeMap<&str, u64> = BTreeMap::new();
    for number in 0..500_u64 {
        let outcome = OUTCOMES[usize::try_from(number * 7 % 3).unwrap()];
        let model = ["opus", "haiku", "sonnet", "opus"][usize::try_from(number % 4).unwrap()];
        let (token, cost, duration) = (number * 31 % 997, number % 13, number * 17 % 5_003);
        let dollars = format!("0.{cost:09}");
        let properties = [
            ("tokens_input", Input::U64(token)),
            ("cost_usd", Input::Text(&dollars)),
            ("duration_ms", Input::U64(duration)),
            ("outcome", Input::Text(outcome)),
            ("model", Input::Text(model)),
        ];
        assert_eq!(telemetry.record(TURN, Some("one"), &properties).outcome, Outcome::Taken);
        tokens += token;
        nano += cost;
        durations.push(duration);
        *outcomes.entry(outcome).or_default() += 1;
        *models.entry(model).or_default() += 1;
    }
    telemetry.end("one");
    assert_eq!(telemetry.flush().sent, 1);
    let sent = stage.mock.events();
    let event = &sent[0];
    assert_eq!((whole(event, "count"), whole(event, "total_tokens_input")), (500, tokens));
    let dollars = event["properties"]["total_cost_usd"].as_f64().unwrap();
    let billion = f64::from(u32::try_from(NANO_PER_USD).unwrap());
    let expected = f64::from(u32::try_from(nano).unwrap()) / billion;
    assert!((dollars - expected).abs() < 1e-12, "{dollars} {expected}");
    for outcome in OUTCOMES {
        assert_eq!(whole(event, &format!("outcomes_{outcome}")), outcomes[outcome]);
    }
    durations.sort_unstable();
    assert_eq!(whole(event, "max_duration_ms"), durations[499]);
    let mean = event["properties"]["avg_duration_ms"].as_f64().unwrap();
    let sum: u64 = durations.iter().sum();
    assert!((mean - f64::from(u32::try_from(sum).unwrap()) / 500.0).abs() < 1e-6);
    for (name, place) in [("p50_duration_ms", 249), ("p95_duration_ms", 474)] {
        let (told, exact) = (whole(event, name), durations[place]);
        assert!(told.abs_diff(exact) * 20 <= exact, "{name}: {told} for {exact}");
    }
    assert_eq!(event["properties"]["top_model"], "opus");
    assert_eq!(event["properties"]["rollup_reason"], "session_end");
    assert_eq!(event["properties"]["window_seq"], 0);
}

#[test]
fn check_15_sessions_are_apart_and_end_once() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    let telemetry = stage.open();
    for tokens in [1, 2, 4] {
        turn(&telemetry, "one", tokens);
        turn(&telemetry, "two", tokens * 8);
    }
    // Another clone is the same telemetry: it does not split what is open.
    let other = telemetry.clone();
    turn(&other, "one", 64);
    drop(other);
    telemetry.end("one");
    telemetry.end("one");
    telemetry.end("nobody");
    telemetry.flush();
    telemetry.end("one");
    telemetry.flush();
    let sent = stage.mock.events();
    assert_eq!(sent.len(), 1);
    assert_eq!(whole(&sent[0], "total_tokens_input"), 71);
    telemetry.end("two");
    telemetry.flush();
    assert_eq!(whole(&stage.mock.events()[1], "total_tokens_input"), 56);
}

#[test]
fn check_17_age_and_count_end_a_bucket_and_number_the_next() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    let telemetry = stage.open();
    for _ in 0..1_000 {
        turn(&telemetry, "one", 1);
    }
    turn(&telemetry, "one", 1);
    stage.pass(HOUR_MS);
    telemetry.flush();
    turn(&telemetry, "one", 1);
    telemetry.end("one");
    telemetry.flush();
    let told: Vec<_> = stage
        .mock
        .events()
        .iter()
        .map(|it| {
            (whole(it, "count"), whole(it, "window_seq"), it["properties"]["rollup_reason"].clone())
        })
        .collect();
    let flush = Json::from("safety_flush");
    assert_eq!(told, [(1_000, 0, flush.clone()), (1, 1, flush), (1, 2, Json::from("session_end"))]);
}

#[test]
fn check_20_five_hundred_sessions_under_a_cap_of_two_are_two_events_with_exact_sums() {
    let manifest =
        with_sink(MANIFEST).replace("= 20", "= 2").replace("hard_cap = 40", "hard_cap = 6");
    let stage = Stage::new(&manifest);
    stage.file(ON);
    let telemetry = stage.open();
    for number in 0..500_u64 {
        let session = number.to_string();
        turn(&telemetry, &session, number);
        telemetry.end(&session);
        if number % 100 == 0 {
            telemetry.flush();
        }
    }
    telemetry.flush();
    let today = stage.mock.events().len();
    assert!(today <= 2, "{today}");
    stage.pass(DAY_MS);
    telemetry.flush();
    let sent = stage.mock.events();
    assert!(sent.len() - today <= 2, "{}", sent.len());
    assert_eq!(sent.iter().map(|it| whole(it, "count")).sum::<u64>(), 500);
    let tokens: u64 = sent.iter().map(|it| whole(it, "total_tokens_input")).sum();
    assert_eq!(tokens, 499 * 500 / 2);
}

#[test]
fn check_21_a_window_of_failures_alone_can_be_told() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    let telemetry = stage.open();
    for outcome in ["ok", "error"] {
        for _ in 0..5 {
            let properties = [("outcome", Input::Text(outcome))];
            telemetry.record("context_injected_rollup", None, &properties);
        }
        stage.pass(600_000);
    }
    telemetry.flush();
    let told: Vec<_> = stage
        .mock
        .events()
        .iter()
        .map(|it| (whole(it, "outcomes_ok"), whole(it, "outcomes_error")))
        .collect();
    assert_eq!(told, [(5, 0), (0, 5)]);
}

/// A process that records and says how far it is, until it is killed. Not a test of its own.
#[test]
#[ignore = "run by check_18"]
fn child_that_records_until_it_is_killed() {
    let folder = std::env::current_dir().unwrap();
    if !folder.join("child-may-run").exists() {
        return;
    }
    let manifest = Arc::new(Manifest::parse(&with_sink(MANIFEST), "telemetry.toml").unwrap());
    let mut options = Options::new(manifest, &folder, Environment::default());
    options.clock = Arc::new(|| NOON);
    let telemetry = Telemetry::open(options);
    for round in 1..=100_u64 {
        for _ in 0..100 {
            turn(&telemetry, "one", 1);
        }
        // Past the time after which what was recorded is on disk.
        std::thread::park_timeout(Duration::from_millis(700));
        println!("durable {}", round * 100);
    }
}

#[test]
fn check_18_what_a_killed_process_left_is_recovered_with_exact_sums() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    fs::write(stage.folder.path().join("child-may-run"), b"").unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "product::laws::child_that_records_until_it_is_killed"])
        .args(["--ignored", "--nocapture"])
        .current_dir(stage.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut durable = lines.map_while(Result::ok).filter_map(|line| {
        line.split_once("durable ").and_then(|(_, number)| number.parse::<u64>().ok())
    });
    let reached = durable.nth(1).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let telemetry = stage.open();
    turn(&telemetry, "one", 1_000);
    telemetry.flush();
    telemetry.end("one");
    telemetry.flush();
    let sent = stage.mock.events();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(sent[0]["properties"]["rollup_reason"], "recovered");
    assert!((reached..=reached + 100).contains(&whole(&sent[0], "count")), "{sent:?}");
    assert_eq!(whole(&sent[0], "count"), whole(&sent[0], "total_tokens_input"));
    assert_eq!(whole(&sent[1], "count"), 1);
}

/// A place that answers nothing, and takes its time for it.
struct Dead;

impl Transport for Dead {
    fn send(&mut self, _: &Request, time_max: Duration) -> Result<Answer, Unreachable> {
        std::thread::park_timeout(time_max.min(Duration::from_millis(50)));
        Err(Unreachable::Network("nobody is there".to_owned()))
    }
}

#[test]
fn check_40_twenty_emitters_never_wait_for_a_dead_place() {
    const EMITTERS: i64 = 20;
    const RECORDS: i64 = 1_000;
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    let options = Options {
        is_driven: false,
        flush_every: Duration::from_millis(20),
        transports: Some(Arc::new(|_: &Sink| Box::new(Dead))),
        ..stage.options()
    };
    let telemetry = Telemetry::open(options);
    let before = own_bytes();
    let emit = |emitter: i64| {
        let (telemetry, stage) = (telemetry.clone(), &stage);
        move || {
            let session = format!("session-{emitter}");
            let mut times = Vec::new();
            for number in 0..RECORDS {
                let properties = [("tokens_input", Input::U64(1)), ("outcome", Input::Text("ok"))];
                let began = Instant::now();
                telemetry.record(TURN, Some(&session), &properties);
                times.push(began.elapsed());
                if number % 100 == 99 {
                    telemetry.end(&session);
                    std::thread::park_timeout(Duration::from_millis(5));
                }
                stage.pass(DAY_MS / EMITTERS / RECORDS);
            }
            times
        }
    };
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let emitters: Vec<_> = (0..EMITTERS).map(|emitter| scope.spawn(emit(emitter))).collect();
        emitters.into_iter().flat_map(|emitter| emitter.join().unwrap()).collect()
    });
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    assert!(p99 <= Duration::from_millis(1), "{p99:?}");
    let more = own_bytes().saturating_sub(before);
    assert!(more <= 20 << 20, "{more} bytes");
    let refused = telemetry.status().refused;
    let began = Instant::now();
    telemetry.shut_down(Duration::from_millis(200));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let status = telemetry.status();
    assert!(status.spent.events <= status.caps.hard_cap, "{:?}", status.spent);
    // Everything is somewhere: in what waits to be sent, or in its day.
    let queued: u64 = queued_bodies(&stage.folder.path().join("telemetry").join("outbox"))
        .iter()
        .map(|event| whole(event, "count"))
        .sum();
    let days: u64 = status.days.iter().map(|(_, _, count)| count).sum();
    assert_eq!(queued + days + refused, u64::try_from(EMITTERS * RECORDS).unwrap());
}

fn queued_bodies(outbox: &Path) -> Vec<Json> {
    let files = fs::read_dir(outbox).unwrap().map(|entry| entry.unwrap().path());
    let bodies = files.filter(|path: &PathBuf| path.extension().is_some_and(|it| it == "body"));
    let batch = |path: PathBuf| {
        let body: Json = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        body["batch"].as_array().unwrap().clone()
    };
    bodies.flat_map(batch).collect()
}

#[test]
fn errors_ride_in_their_rollup_and_have_a_switch_of_their_own() {
    let mut stage = Stage::new(MANIFEST);
    let report = trueup_telemetry::errors::Report {
        kind: "DiskFull",
        message: "cannot write /home/alice/acme/plan.md",
        template: None,
        frames: &[],
        is_handled: true,
    };
    let telemetry = stage.open();
    for _ in 0..100 {
        telemetry.report(&report);
    }
    stage.pass(600_000);
    telemetry.flush();
    let told = events(&telemetry);
    assert_eq!((told.len(), whole(&told[0], "errors_count")), (1, 100));
    assert!(!told[0].to_string().contains("alice"));
    stage.environment.errors = Some("0".to_owned());
    let silent = stage.open();
    silent.report(&report);
    turn(&silent, "one", 7);
    silent.shut_down(Duration::ZERO);
    let told = events(&silent);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(whole(&told[1], "total_tokens_input"), 7);
}
