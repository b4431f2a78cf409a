//! What is answered, and what was taken, while a product's telemetry ends.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use trueup_core::HOUR_MS;
use trueup_telemetry::deliver::Transport;
use trueup_telemetry::manifest::{Input, Sink};
use trueup_telemetry::outbox::{ItemState, LEASE_MS};
use trueup_telemetry::product::{Options, Outcome, Telemetry};
use trueup_telemetry::sink::{Answer, Request, Unreachable};

use super::{MANIFEST, Mock, ON, Stage, TURN, events, turn, until, with_sink};

/// One whose thread has a request under way, which takes so long.
fn under_way(stage: &Stage, takes_ms: u64) -> Telemetry {
    stage.file(ON);
    *stage.mock.takes.lock().unwrap() = Duration::from_millis(takes_ms);
    let flush_every = Duration::from_millis(10);
    let telemetry = Telemetry::open(Options { is_driven: false, flush_every, ..stage.options() });
    turn(&telemetry, "one", 1);
    telemetry.end("one");
    until("a request is under way", || stage.mock.asked.load(Ordering::SeqCst) == 1);
    telemetry
}

/// Whether all that was queued has arrived, and is known to have.
fn is_all_sent(telemetry: &Telemetry) -> bool {
    let sent = telemetry.sent();
    telemetry.status().queued == 0 && sent.iter().all(|it| it.item.state == ItemState::Sent)
}

#[test]
fn an_answer_that_comes_while_it_shuts_down_is_noted() {
    let stage = Stage::new(&with_sink(MANIFEST));
    let telemetry = under_way(&stage, 300);
    turn(&telemetry, "two", 2);
    telemetry.shut_down(Duration::from_secs(3));
    assert!(is_all_sent(&telemetry), "the rest is sent behind it");
    assert_eq!(stage.mock.events().len(), 2);
    stage.pass(2 * LEASE_MS);
    stage.open().flush();
    assert_eq!(stage.mock.events().len(), 2, "and nothing is sent again");
}

#[test]
fn an_answer_that_comes_after_the_end_is_noted_while_the_process_lives() {
    let stage = Stage::new(&with_sink(MANIFEST));
    let telemetry = under_way(&stage, 1_500);
    // As where `serve` is given another base.
    telemetry.shut_down(Duration::ZERO);
    assert!(stage.mock.events().is_empty());
    until("the answer is noted", || is_all_sent(&telemetry));
    stage.pass(2 * LEASE_MS);
    stage.open().flush();
    assert_eq!(stage.mock.events().len(), 1);
}

#[test]
fn an_answer_that_comes_after_the_bound_is_known_to_nobody_and_the_same_goes_again() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    *stage.mock.takes.lock().unwrap() = Duration::from_secs(5);
    let telemetry = stage.open();
    turn(&telemetry, "one", 1);
    telemetry.shut_down(Duration::from_millis(50));
    let before = telemetry.preview();
    assert_eq!((before, stage.mock.asked.load(Ordering::SeqCst)), (None, 1));
    *stage.mock.takes.lock().unwrap() = Duration::ZERO;
    stage.pass(HOUR_MS);
    let next = stage.open();
    let shown = next.preview().unwrap();
    assert_eq!(next.flush().sent, 1);
    assert_eq!((stage.mock.bodies(), shown.item.attempts), (vec![shown.body], 1));
}

/// A place whose answers come while another process holds the state.
struct Holding {
    lock: PathBuf,
    mock: Mock,
}

impl Transport for Holding {
    fn send(&mut self, request: &Request, time_max: Duration) -> Result<Answer, Unreachable> {
        let lock = File::open(&self.lock).unwrap();
        lock.lock().unwrap();
        std::thread::spawn(move || {
            std::thread::park_timeout(Duration::from_millis(150));
            drop(lock);
        });
        self.mock.send(request, time_max)
    }
}

#[test]
fn an_answer_is_noted_although_another_process_holds_the_state_for_a_moment() {
    let stage = Stage::new(&with_sink(MANIFEST));
    stage.file(ON);
    let (lock, mock) = (stage.folder.path().join("telemetry/lock"), stage.mock.clone());
    let transport = move |_: &Sink| -> Box<dyn Transport> {
        Box::new(Holding { lock: lock.clone(), mock: mock.clone() })
    };
    let telemetry =
        Telemetry::open(Options { transports: Some(Arc::new(transport)), ..stage.options() });
    turn(&telemetry, "one", 1);
    telemetry.end("one");
    assert_eq!(telemetry.flush().sent, 1);
    assert!(is_all_sent(&telemetry));
}

#[test]
fn whatever_was_answered_as_taken_is_sealed_and_what_comes_later_is_off() {
    for round in 0..40 {
        let stage = Stage::new(MANIFEST);
        let telemetry = Telemetry::open(Options { is_driven: round % 2 == 0, ..stage.options() });
        turn(&telemetry, "one", 1);
        let taken = AtomicU64::new(1);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let properties = [("tokens_input", Input::U64(1))];
                    loop {
                        match telemetry.record(TURN, Some("one"), &properties).outcome {
                            Outcome::Taken => drop(taken.fetch_add(1, Ordering::SeqCst)),
                            Outcome::Off => break,
                            Outcome::UnknownEvent | Outcome::NoSession | Outcome::Full => {}
                        }
                    }
                });
            }
            std::thread::park_timeout(Duration::from_millis(2));
            telemetry.shut_down(Duration::ZERO);
        });
        let events = events(&telemetry).into_iter().filter(|event| event["event"] == TURN);
        let told: u64 = events.map(|it| it["properties"]["count"].as_u64().unwrap()).sum();
        // What the day has no room for as events of their own waits for its end.
        let waits: u64 = telemetry.status().days.iter().map(|(_, _, records)| records).sum();
        assert_eq!(told + waits, taken.load(Ordering::SeqCst), "round {round}");
    }
}

#[test]
fn an_event_of_its_own_is_queued_before_it_ends_in_whichever_way() {
    for how in ["left", "shut down", "dropped"] {
        let stage = Stage::new(&with_sink(MANIFEST));
        stage.file(ON);
        let telemetry = stage.open();
        assert_eq!(telemetry.lifecycle("worker_started", &[]).outcome, Outcome::Taken);
        turn(&telemetry, "one", 7);
        match how {
            "left" => telemetry.leave(),
            "shut down" => telemetry.shut_down(Duration::ZERO),
            _ => {}
        }
        let late = telemetry.lifecycle("worker_started", &[]).outcome;
        assert_eq!(late == Outcome::Off, how != "dropped");
        drop(telemetry);
        stage.open().flush();
        let mut names: Vec<_> =
            stage.mock.events().iter().map(|event| event["event"].to_string()).collect();
        names.sort();
        assert_eq!(names, ["\"observer_turn_rollup\"", "\"worker_started\""], "{how}");
    }
}
