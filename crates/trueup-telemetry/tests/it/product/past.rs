//! The past through the one face: queued once, whoever else does it, and whatever fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use trueup_core::HOUR_MS;
use trueup_telemetry::backfill::{Gate, History, Progress};
use trueup_telemetry::budget::Day;
use trueup_telemetry::manifest::Input;
use trueup_telemetry::product::{Backfilled, Telemetry};

use super::{MANIFEST, ON, Stage, with_sink};
use crate::world::NOON;

pub(crate) const BACKFILL: &str = r#"
[backfill]
event = "historical_activity"
version = 1
namespace = "8a9c2f4e-31b7-5d68-9c4a-f02e6d5b8a17"
needs = "consent"
fields = ["tokens_input"]
"#;

/// A product with a past, which may tell it.
pub(crate) fn stage() -> Stage {
    let stage = Stage::new(&format!("{}{BACKFILL}", with_sink(MANIFEST)));
    stage.file(ON);
    stage
}

/// Tells of 600 days.
fn tell(telemetry: &Telemetry) -> Result<Backfilled, String> {
    let mut history = History::new(telemetry.manifest(), NOON).unwrap();
    for day in 0..600 {
        history.add(Day(20_000 + day), [("tokens_input", Input::U64(1))], &|_| true);
    }
    telemetry.backfill(&history, false)
}

/// Days that arrived, and how often one did.
fn arrived(stage: &Stage) -> (usize, usize) {
    let events = stage.mock.events();
    let ids: BTreeSet<_> = events.iter().map(|event| event["uuid"].to_string()).collect();
    (ids.len(), events.len())
}

/// Tells the past in a process that is held up between its look at what there is and its step: meanwhile
/// another does `what`.
fn tell_behind(stage: &Stage, what: impl Fn() + Send + Sync + 'static) -> (Telemetry, Backfilled) {
    let is_armed = Arc::new(AtomicBool::new(false));
    let mut options = stage.options();
    let (random, armed) = (options.random, Arc::clone(&is_armed));
    options.random = Arc::new(move || {
        if armed.swap(false, Ordering::SeqCst) {
            what();
        }
        random()
    });
    let telemetry = Telemetry::open(options);
    is_armed.store(true, Ordering::SeqCst);
    let told = tell(&telemetry).unwrap();
    assert!(!is_armed.load(Ordering::SeqCst));
    (telemetry, told)
}

#[test]
fn of_two_that_tell_the_past_at_once_one_does() {
    let stage = stage();
    let one = stage.open();
    let first = one.clone();
    let (two, done) = tell_behind(&stage, move || assert_eq!(tell(&first).unwrap().requests, 2));
    assert_eq!((done.requests, done.progress), (0, Progress::Sending(600)));
    assert!(matches!(one.flush().past, Progress::Done(_)));
    assert_eq!(arrived(&stage), (600, 600));
    assert_eq!(tell(&two).unwrap().gate, Gate::Complete);
}

#[test]
fn a_past_that_was_told_meanwhile_is_not_told_again() {
    let stage = stage();
    let one = stage.open();
    let (two, done) = tell_behind(&stage, move || {
        tell(&one).unwrap();
        assert!(matches!(one.flush().past, Progress::Done(_)));
    });
    assert_eq!((done.requests, done.gate), (0, Gate::Complete));
    two.flush();
    assert_eq!(arrived(&stage), (600, 600));
}

/// Whatever cannot be written: the note of what is under way, bytes of either request.
#[test]
fn a_past_that_was_not_queued_in_whole_is_not_queued_at_all() {
    for name in ["backfill.json.tmp", "00000001.body.tmp", "00000002.body.tmp"] {
        let stage = stage();
        let telemetry = stage.open();
        let name = format!("outbox/{name}");
        stage.block(&name);
        assert!(tell(&telemetry).is_err(), "{name}");
        stage.unblock(&name);
        telemetry.flush();
        assert_eq!(arrived(&stage), (0, 0), "{name}");
        assert_eq!(tell(&telemetry).unwrap().requests, 2, "{name}");
        stage.pass(HOUR_MS);
        assert!(matches!(telemetry.flush().past, Progress::Done(_)), "{name}");
        assert_eq!(arrived(&stage), (600, 600), "{name}");
    }
}
