//! What is never recorded or sent, because nobody agreed to it.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trueup_core::DAY_MS;
use trueup_telemetry::consent::Mode;
use trueup_telemetry::manifest::{Input, Manifest};
use trueup_telemetry::product::{Environment, Options, Outcome, Telemetry};

use super::{MANIFEST, ON, Stage, TURN, events, turn, with_sink};
use crate::world::{NOON, World, deliver, roomy, seal, sum};

/// What people left, none of which means yes (contract §1.7, D1 and D2).
const REFUSALS: [&str; 5] = [
    r#"{"enabled": false}"#,
    r#"{"enabled":"false"}"#,
    r#"{"enabled":0}"#,
    r#"{"enabled":true,"installId":"0b7f4f0e"#,
    "",
];

#[test]
fn check_02_a_refusal_in_any_form_is_off_and_stays_as_it_was_written() {
    let manifest = with_sink(MANIFEST).replace("\"local\"", "\"on\"\nnotice = \"none\"");
    for refusal in REFUSALS {
        let stage = Stage::new(&manifest);
        stage.file(refusal);
        let telemetry = stage.open();
        assert_eq!(telemetry.record(TURN, Some("one"), &[]).outcome, Outcome::Off, "{refusal}");
        telemetry.lifecycle("worker_started", &[]);
        telemetry.flush();
        telemetry.shut_down(Duration::from_millis(50));
        let file = stage.folder.path().join("telemetry.json");
        assert_eq!(fs::read(&file).unwrap(), refusal.as_bytes(), "{refusal}");
        assert_eq!(stage.files(), [file.display().to_string()], "{refusal}");
        assert!(stage.mock.bodies().is_empty(), "{refusal}");
    }
}

#[test]
fn check_04_off_while_fifty_events_wait_and_a_request_hangs_ends_all_of_it() {
    let manifest =
        with_sink(MANIFEST).replace("= 20", "= 60").replace("hard_cap = 40", "hard_cap = 80");
    let stage = Stage::new(&manifest);
    stage.file(ON);
    let options =
        Options { is_driven: false, flush_every: Duration::from_millis(10), ..stage.options() };
    let telemetry = Telemetry::open(options);
    *stage.mock.takes.lock().unwrap() = Duration::from_secs(20);
    for number in 0..50 {
        let session = number.to_string();
        turn(&telemetry, &session, number);
        telemetry.end(&session);
    }
    let started = Instant::now();
    while telemetry.status().queued < 50 {
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", telemetry.status());
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let started = Instant::now();
    telemetry.set_mode(Mode::Off).unwrap();
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    let status = telemetry.status();
    assert_eq!((status.mode, status.queued), (Mode::Off, 0));
    let left = stage.files();
    assert!(left.iter().all(|it| !it.contains("open-") && !it.contains("outbox")), "{left:?}");
    std::thread::park_timeout(Duration::from_millis(600));
    assert_eq!(stage.files(), left, "nothing is written after");
    assert!(stage.mock.bodies().is_empty());
}

#[test]
fn check_05_on_by_default_sends_only_what_came_after_the_notice() {
    let stage = Stage::new(&with_sink(MANIFEST).replace("\"local\"", "\"on\""));
    let telemetry = stage.open();
    assert!(telemetry.status().awaits_notice);
    turn(&telemetry, "before", 1);
    telemetry.end("before");
    telemetry.flush();
    assert_eq!((stage.mock.bodies().len(), events(&telemetry).len()), (0, 1));
    turn(&telemetry, "across", 2);
    stage.pass(1_000);
    telemetry.notice_shown().unwrap();
    stage.pass(1_000);
    turn(&telemetry, "across", 4);
    turn(&telemetry, "after", 8);
    telemetry.end("across");
    telemetry.end("after");
    let flushed = telemetry.flush();
    assert_eq!((flushed.sent, flushed.problem), (2, None));
    let sent = stage.mock.events();
    let tokens = sent.iter().map(|it| it["properties"]["total_tokens_input"].as_u64().unwrap());
    assert_eq!(tokens.collect::<Vec<_>>(), [4, 8], "what came before the notice stays");
}

#[test]
fn check_08_what_was_recorded_before_the_decision_is_never_sent() {
    let stage = Stage::new(&with_sink(MANIFEST));
    let telemetry = stage.open();
    // In every place where it can wait: open, ended, queued, in its day, in a log of the dead.
    turn(&telemetry, "open", 1);
    turn(&telemetry, "ended", 2);
    telemetry.end("ended");
    telemetry.record("context_injected_rollup", None, &[("tokens_input", Input::U64(4))]);
    telemetry.lifecycle("worker_started", &[]);
    telemetry.flush();
    let left = stage.open();
    turn(&left, "left", 8);
    left.shut_down(Duration::ZERO);
    stage.pass(60_000);
    telemetry.set_mode(Mode::On).unwrap();
    stage.pass(1);
    turn(&telemetry, "open", 16);
    telemetry.end("open");
    for _ in 0..3 {
        telemetry.flush();
        stage.pass(DAY_MS);
    }
    telemetry.shut_down(Duration::from_secs(1));
    let sent = stage.mock.events();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sent[0]["properties"]["total_tokens_input"], 16);
}

#[test]
fn what_was_queued_is_kept_here_once_it_may_be_recorded_only() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    let telemetry = stage.open();
    stage.mock.answers.lock().unwrap().extend([503; 20]);
    turn(&telemetry, "one", 1);
    telemetry.end("one");
    telemetry.flush();
    assert_eq!(telemetry.status().queued, 1);
    telemetry.set_mode(Mode::Local).unwrap();
    telemetry.flush();
    let status = telemetry.status();
    assert_eq!((status.mode, status.queued, status.kept), (Mode::Local, 0, 1));
    stage.pass(1_000);
    telemetry.set_mode(Mode::On).unwrap();
    let before = stage.mock.bodies().len();
    for _ in 0..3 {
        telemetry.flush();
        stage.pass(DAY_MS);
    }
    assert_eq!(stage.mock.bodies().len(), before);
}

#[test]
fn a_decision_of_another_process_is_followed_at_the_next_flush() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    let telemetry = stage.open();
    turn(&telemetry, "one", 1);
    telemetry.end("one");
    stage.file(r#"{"mode":"off"}"#);
    telemetry.flush();
    assert_eq!(telemetry.record(TURN, Some("one"), &[]).outcome, Outcome::Off);
    assert!(stage.mock.bodies().is_empty());
    let left = stage.files();
    assert!(left.iter().all(|it| !it.contains("open-") && !it.contains("outbox")), "{left:?}");
}

#[test]
fn an_onlooker_deletes_nothing() {
    let stage = Stage::new(MANIFEST);
    let telemetry = stage.open();
    turn(&telemetry, "one", 1);
    telemetry.shut_down(Duration::ZERO);
    let mut options = Options { is_onlooker: true, ..stage.options() };
    options.environment.do_not_track = Some("1".to_owned());
    let onlooker = Telemetry::open(options);
    assert_eq!((onlooker.status().mode, onlooker.sent().len()), (Mode::Off, 1));
    let mut options = stage.options();
    options.environment.do_not_track = Some("1".to_owned());
    assert_eq!(Telemetry::open(options).sent().len(), 0);
}

/// What is off costs nothing: no thread, no file, and no call of the system.
#[test]
fn check_03_off_calls_nothing_of_the_system() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(r#"{"enabled":false}"#);
    let options = Options { is_driven: false, ..stage.options() };
    let telemetry = Telemetry::open(options);
    let before = stage.files();
    let Some(calls) = calls_of(|| {
        for _ in 0..10_000 {
            telemetry.record(TURN, Some("one"), &[("tokens_input", Input::U64(1))]);
            telemetry.end("one");
            telemetry.lifecycle("worker_started", &[]);
        }
    }) else {
        return;
    };
    assert_eq!(calls, 0, "reads and writes");
    assert_eq!(stage.files(), before);
    drop(telemetry);
    assert_eq!(stage.files(), before);
}

/// Reads and writes of this thread meanwhile; nothing, with a message, where the system does not say.
#[expect(clippy::print_stderr, reason = "nothing is skipped in silence")]
pub(super) fn calls_of(run: impl FnOnce()) -> Option<u64> {
    let count = || {
        let text = String::from_utf8(fs::read("/proc/thread-self/io").ok()?).ok()?;
        let of = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split(": ").nth(1)?.parse::<u64>().ok()
        };
        Some((of("syscr")?, of("syscw")?))
    };
    let before = count();
    let idle = count();
    run();
    let after = count();
    let (Some(before), Some(idle), Some(after)) = (before, idle, after) else {
        eprintln!("skipped: /proc/thread-self/io does not say how often the system was called");
        return None;
    };
    // Looking itself reads.
    let look = (idle.0 - before.0) + (idle.1 - before.1);
    Some((after.0 - idle.0) + (after.1 - idle.1) - look)
}

/// A process that is off and records, for whoever traces it. Not a test of its own.
#[test]
#[ignore = "run by check_03"]
fn child_that_records_nothing() {
    let folder = std::env::current_dir().unwrap();
    if !folder.join("child-may-run").exists() {
        return;
    }
    let manifest = Manifest::parse(&with_sink(MANIFEST), "telemetry.toml").unwrap();
    let environment = Environment::default();
    let telemetry = Telemetry::open(Options::new(Arc::new(manifest), &folder, environment));
    println!("opened");
    for _ in 0..10_000 {
        telemetry.record(TURN, Some("one"), &[("tokens_input", Input::U64(1))]);
    }
    println!("recorded");
    telemetry.flush();
    telemetry.shut_down(Duration::from_millis(500));
}

#[test]
fn check_03_off_a_trace_shows_no_socket_and_no_write() {
    let stage = Stage::new(MANIFEST);
    stage.file(r#"{"enabled":false}"#);
    fs::write(stage.folder.path().join("child-may-run"), b"").unwrap();
    let before = stage.files();
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/stderr"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "product::consent::child_that_records_nothing"])
        .args(["--ignored", "--nocapture"])
        .current_dir(stage.folder.path())
        .output();
    let Ok(traced) = traced.inspect_err(|error| eprintln!("skipped: no strace ({error})")) else {
        return;
    };
    let trace = String::from_utf8_lossy(&traced.stderr).into_owned();
    if !trace.contains("write(1, \"opened") {
        eprintln!("skipped: strace may not trace here: {}", trace.lines().next().unwrap_or(""));
        return;
    }
    let calls = trace.split_once("write(1, \"opened").unwrap().1;
    let (recording, rest) = calls.split_once("write(1, \"recorded").unwrap();
    assert_eq!(recording.lines().skip(1).filter(|it| it.contains('(')).count(), 0, "{recording}");
    let folder = stage.folder.path().display().to_string();
    for line in rest.lines() {
        let makes = ["O_CREAT", "O_WRONLY", "O_RDWR", "mkdir", "rename", "unlink"];
        let writes = line.contains(&folder) && makes.iter().any(|it| line.contains(it));
        let is_net = ["socket(", "connect(", "sendto("].iter().any(|it| line.contains(it));
        assert!(!writes && !is_net, "{line}");
    }
    assert_eq!(stage.files(), before);
}

#[test]
fn a_decision_that_comes_while_it_ends_deletes_only_where_it_is_off() {
    for (file, kept) in [(r#"{"mode":"local"}"#, 1), (r#"{"mode":"off"}"#, 0)] {
        let stage = Stage::new(&with_sink(MANIFEST));
        stage.file(ON);
        let telemetry = stage.open();
        turn(&telemetry, "one", 1);
        stage.file(file);
        telemetry.shut_down(Duration::from_secs(1));
        assert!(stage.mock.bodies().is_empty(), "{file}");
        let next = stage.open();
        next.flush();
        assert_eq!((next.status().queued, events(&next).len()), (0, kept), "{file}");
    }
}

/// Of processes with different variables, on one folder: what one kept for itself no other sends.
#[test]
fn what_a_killed_process_recorded_as_local_is_kept_by_the_next() {
    let world = World::new(roomy());
    let mut recorder = world.recorder(NOON);
    world.turn(&mut recorder, "on", 1, NOON);
    recorder.set_local(true, NOON);
    world.turn(&mut recorder, "on", 2, NOON);
    world.turn(&mut recorder, "local", 4, NOON);
    recorder.persist(NOON);
    drop(recorder);
    let mut store = world.store();
    let sealed = seal(&mut store, None, NOON);
    assert_eq!((sealed.queued, sealed.kept), (1, 2));
    assert_eq!(sum(&deliver(&mut store, NOON), crate::world::TURN, "total_tokens_input"), 1);
}

#[test]
fn what_waits_when_somebody_makes_it_local_is_never_sent() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    stage.mock.answers.lock().unwrap().push_back(503);
    let telemetry = stage.open();
    turn(&telemetry, "one", 1);
    telemetry.end("one");
    telemetry.flush();
    assert_eq!(telemetry.status().queued, 1);
    telemetry.shut_down(Duration::ZERO);
    // By a program that records nothing itself, as `trueup telemetry local`.
    stage.open().set_mode(Mode::Local).unwrap();
    assert_eq!(stage.open().status().queued, 0);
    let seen = stage.mock.bodies().len();
    let environment = Environment { telemetry: Some("on".to_owned()), ..Environment::default() };
    stage.pass(DAY_MS);
    let telemetry = Telemetry::open(Options { environment, ..stage.options() });
    assert_eq!(telemetry.status().mode, Mode::On);
    telemetry.flush();
    assert_eq!(stage.mock.bodies().len(), seen);
}

#[test]
fn off_and_on_again_goes_on_by_itself() {
    let stage = Stage::new(MANIFEST);
    let options = Options { is_driven: false, ..stage.options() };
    let telemetry = Telemetry::open(options);
    turn(&telemetry, "one", 1);
    turn(&telemetry, "one", 1);
    telemetry.set_mode(Mode::Off).unwrap();
    telemetry.set_mode(Mode::Local).unwrap();
    turn(&telemetry, "two", 2);
    let started = Instant::now();
    while telemetry.sums().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", telemetry.status());
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn where_it_is_off_and_nothing_is_left_no_file_is_made() {
    let stage = Stage::new(MANIFEST);
    let telemetry = stage.open();
    turn(&telemetry, "one", 1);
    telemetry.set_mode(Mode::Off).unwrap();
    drop(telemetry);
    let lock = stage.folder.path().join("telemetry/lock");
    fs::remove_file(&lock).unwrap();
    drop(stage.open());
    assert!(!lock.exists());
}
