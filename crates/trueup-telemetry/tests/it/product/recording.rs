//! Whoever records waits for no disk, and what is recorded is on the disk a moment later all the same.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use trueup_telemetry::consent::Mode;
use trueup_telemetry::deliver::Transport;
use trueup_telemetry::manifest::{Input, Sink};
use trueup_telemetry::product::{Options, Telemetry};
use trueup_telemetry::sink::{Answer, Request, Unreachable};

use super::consent::calls_of;
use super::{MANIFEST, ON, Stage, TURN, turn, with_sink};

/// Waits until something is so, which is soon.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn is_written(stage: &Stage, words: &str) -> bool {
    let is_log = |path: &&String| path.contains("open-");
    let files = stage.files();
    let mut logs = files.iter().filter(is_log).filter_map(|path| fs::read(path).ok());
    logs.any(|log| String::from_utf8_lossy(&log).contains(words))
}

#[test]
fn no_record_and_no_end_writes_however_long_ago_the_last_write_was() {
    let stage = Stage::new(MANIFEST);
    let telemetry = Telemetry::open(Options { is_driven: false, ..stage.options() });
    turn(&telemetry, "one", 7);
    until("the thread begins", || is_written(&stage, r#""sum":7"#));
    let Some(calls) = calls_of(|| {
        for number in 0..20_000_u64 {
            let session = (number % 50).to_string();
            telemetry.record(TURN, Some(&session), &[("tokens_input", Input::U64(number))]);
            if number % 100 == 0 {
                telemetry.end(&session);
                stage.pass(60_000);
            }
        }
    }) else {
        return;
    };
    assert_eq!(calls, 0, "reads and writes");
}

/// A place that takes a request and does not answer.
struct Hanging(Arc<AtomicBool>);

impl Transport for Hanging {
    fn send(&mut self, _: &Request, time_max: Duration) -> Result<Answer, Unreachable> {
        self.0.store(true, Ordering::SeqCst);
        std::thread::park_timeout(time_max);
        Err(Unreachable::TimedOut(0))
    }
}

#[test]
fn what_is_recorded_while_a_request_hangs_is_written_meanwhile() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    let is_asked = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_asked);
    let telemetry = Telemetry::open(Options {
        is_driven: false,
        flush_every: Duration::from_millis(10),
        transports: Some(Arc::new(move |_: &Sink| Box::new(Hanging(Arc::clone(&asked))))),
        ..stage.options()
    });
    turn(&telemetry, "one", 1);
    telemetry.end("one");
    until("something is sent", || is_asked.load(Ordering::SeqCst));
    turn(&telemetry, "two", 7_919);
    until("it is written", || is_written(&stage, r#""sum":7919"#));
    assert_eq!(telemetry.status().queued, 1, "the request still hangs");
}

#[test]
fn what_waited_for_a_recorder_while_it_was_local_stays_here() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    let policy = stage.folder.path().join("policy.json");
    fs::write(&policy, r#"{"mode":"local"}"#).unwrap();
    let in_the_way = stage.folder.path().join("telemetry");
    fs::write(&in_the_way, b"").unwrap();
    let telemetry = stage.open();
    turn(&telemetry, "before", 1);
    telemetry.end("before");
    turn(&telemetry, "across", 2);
    fs::remove_file(&policy).unwrap();
    assert!(telemetry.flush().problem.is_some(), "nothing can be written");
    assert_eq!(telemetry.status().mode, Mode::On);
    turn(&telemetry, "across", 4);
    fs::remove_file(&in_the_way).unwrap();
    turn(&telemetry, "after", 8);
    telemetry.end("across");
    telemetry.end("after");
    telemetry.flush();
    let sent = stage.mock.events();
    let tokens = sent.iter().map(|it| it["properties"]["total_tokens_input"].as_u64().unwrap());
    assert_eq!(tokens.collect::<Vec<_>>(), [4, 8], "what was recorded under the policy stays");
    assert_eq!(telemetry.status().kept, 2);
}

#[test]
fn to_look_again_follows_the_decision_and_sends_nothing() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(r#"{"mode":"off"}"#);
    let telemetry = stage.open();
    stage.file(ON);
    stage.mock.answers.lock().unwrap().push_back(503);
    let other = stage.open();
    turn(&other, "one", 1);
    other.end("one");
    other.flush();
    assert_eq!((telemetry.status().mode, stage.mock.bodies().len()), (Mode::Off, 1));
    telemetry.look_again();
    assert_eq!((telemetry.status().mode, stage.mock.bodies().len()), (Mode::On, 1));
    stage.file(r#"{"mode":"off"}"#);
    telemetry.look_again();
    assert_eq!((telemetry.status().mode, telemetry.status().queued), (Mode::Off, 0));
}
