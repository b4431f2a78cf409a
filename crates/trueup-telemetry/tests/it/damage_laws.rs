//! Logs that were damaged, and processes that work on one folder at once.

use std::fs;
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;
use trueup_core::DAY_MS;
use trueup_telemetry::budget::Caps;
use trueup_telemetry::rollup::{Reason, Saved};
use trueup_telemetry::state::{Durability, Lines, Recorder, StateError, line, read_open_log};

use crate::world::{
    NOON, TURN, World, deliver, encode, flush, later, plan, roomy, seal, store, sum,
};

const EACH: Durability = Durability { records_max: 1, interval_ms: 0 };

/// A real log of open buckets, and one of an outbox, as lines of JSON.
fn logs() -> [Vec<String>; 2] {
    let world = World::new(Caps { events_per_day: 3, ..Caps::default() });
    let (mut recorder, mut store) = (world.recorder_with(EACH, NOON), world.store());
    for number in 0..4 {
        world.turn(&mut recorder, &format!("session-{}", number % 2), number, NOON);
        let session = recorder.session("session-1");
        recorder.end(session, NOON);
        flush(&mut store, &mut recorder, NOON);
    }
    recorder.persist(NOON);
    deliver(&mut store, NOON);
    let json = |path| {
        let bytes = fs::read(path).unwrap();
        Lines::new(&bytes).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let logs =
        [json(world.files("open-").remove(0)), json(world.path().join("outbox").join("log"))];
    assert!(logs.iter().all(|lines| lines.len() > 3));
    logs
}

/// What is done to a log.
#[derive(Debug, Clone)]
enum Damage {
    Byte { line: usize, place: usize, byte: u8 },
    Repeat { line: usize },
    Lose { line: usize },
    Number { line: usize, number: i128 },
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let place = any::<usize>();
    let damage = prop_oneof![
        (place, any::<usize>(), 32..127_u8).prop_map(|(line, place, byte)| Damage::Byte {
            line,
            place,
            byte
        }),
        any::<usize>().prop_map(|line| Damage::Repeat { line }),
        any::<usize>().prop_map(|line| Damage::Lose { line }),
        (
            any::<usize>(),
            prop_oneof![
                Just(i128::from(i64::MAX)),
                Just(i128::from(i64::MIN)),
                Just(i128::from(u64::MAX)),
                Just(i128::MAX),
                Just(i128::MIN),
            ]
        )
            .prop_map(|(line, number)| Damage::Number { line, number }),
    ];
    prop::collection::vec(damage, 1..6)
}

/// The lines after the damage, each behind a checksum that is right: nothing else keeps it out.
fn damaged(mut lines: Vec<String>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        let count = lines.len().max(1);
        match *damage {
            Damage::Byte { line, place, byte } => {
                let Some(text) = lines.get_mut(line % count) else { continue };
                let place = place % text.len().max(1);
                text.replace_range(place..=place, &char::from(byte).to_string());
            }
            Damage::Repeat { line } => lines.push(lines[line % count].clone()),
            Damage::Lose { line } if lines.len() > 1 => drop(lines.remove(line % count)),
            Damage::Lose { .. } => {}
            Damage::Number { line, number } => {
                let Some(text) = lines.get_mut(line % count) else { continue };
                // The last number of the line that stands behind a colon.
                let Some(begin) = text.rfind(|c: char| c.is_ascii_digit()) else { continue };
                let begin = text.get(..begin).unwrap().rfind(':').map_or(begin, |colon| colon + 1);
                let digits =
                    text.get(begin..).unwrap().find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
                text.replace_range(begin..begin + digits, &number.to_string());
            }
        }
    }
    let mut log = Vec::new();
    for text in &lines {
        line(text, &mut log);
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_damage_of_a_log_makes_a_panic(damages in damages()) {
        let [open, book] = logs();
        let plan = plan();
        let log = damaged(open, &damages);
        let read = read_open_log(&log);
        prop_assert_eq!(read.good_bytes + read.unread_bytes, log.len());
        for part in read.parts(&plan).0 {
            let rollup = plan.get(part.rollup).unwrap();
            let properties = part.sums.properties(rollup, Reason::Recovered, part.window_seq);
            serde_json::to_string(&properties).unwrap();
            let json = serde_json::to_string(&Saved::of(&part.sums, rollup)).unwrap();
            let saved: Saved<'_> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&saved.restore(rollup).0, &part.sums);
            let mut twice = part.sums.clone();
            twice.merge(&part.sums);
        }
        let world = World::new(roomy());
        fs::create_dir_all(world.path().join("outbox")).unwrap();
        fs::write(world.path().join("open-1-00.log"), &log).unwrap();
        fs::write(world.path().join("outbox").join("log"), damaged(book, &damages)).unwrap();
        let mut store = world.store();
        let look = store.look(NOON);
        let sealed = store.seal(None, NOON, &mut encode);
        prop_assert_eq!(look.is_ok(), sealed.is_ok());
        let version = matches!(look, Err(StateError::Version { .. }));
        prop_assert!(version || look.is_ok(), "{:?}", look);
    }
}

#[test]
fn processes_that_work_at_once_lose_nothing_and_count_nothing_twice() {
    let world = World::new(Caps { events_per_day: 30, hard_cap: 40, ..Caps::default() });
    let plan = Arc::clone(&world.plan);
    let rollup = plan.rollup(TURN).unwrap();
    let field = plan.field(rollup, "tokens_input").unwrap();
    let path = world.path();
    let threads: Vec<_> = (0..4_u8)
        .map(|thread| {
            let (plan, path, caps) = (Arc::clone(&plan), path.clone(), world.caps.clone());
            thread::spawn(move || {
                let mut busy = 0;
                for round in 0..6_u8 {
                    let random = [thread * 16 + round + 1; 48];
                    let mut recorder =
                        Recorder::open(&path, Arc::clone(&plan), EACH, random, NOON).unwrap();
                    let mut store = store(&path, Arc::clone(&plan), caps.clone());
                    for number in 0..40_i64 {
                        let now = later(NOON, i64::from(round) * 100 + number);
                        let session = recorder.session(&(number % 3).to_string());
                        let values = [(field, trueup_telemetry::rollup::Value::Number(1))];
                        recorder.record(rollup, Some(session), &values, now);
                        if number % 9 == 8 {
                            recorder.end(session, now);
                            let handed = recorder.hand_over(now);
                            match store.seal(Some(&handed), now, &mut encode) {
                                Ok(sealed) => recorder.forget(&sealed).unwrap(),
                                Err(StateError::Busy { .. }) => busy += 1,
                                Err(error) => panic!("{error:?}"),
                            }
                        }
                    }
                    // Some end in order, some are killed.
                    if round % 2 == 0 {
                        let ended = store.shut_down(recorder, later(NOON, 900), &mut encode);
                        assert!(matches!(ended, Ok(_) | Err(StateError::Busy { .. })));
                    }
                }
                busy
            })
        })
        .collect();
    let busy: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    let mut store = world.store();
    let mut events = Vec::new();
    for day in 0..3 {
        let now = later(NOON, 1_000 + day * DAY_MS);
        seal(&mut store, None, now);
        let sent = deliver(&mut store, now);
        assert!(sent.len() <= 30);
        events.extend(sent);
    }
    assert_eq!(sum(&events, TURN, "count"), 4 * 6 * 40, "{busy} times busy");
    assert_eq!(sum(&events, TURN, "total_tokens_input"), 4 * 6 * 40);
    assert_eq!(world.files("open-").len(), 0);
}

#[test]
fn sums_of_nothing_have_no_smallest_whatever_a_log_says() {
    let plan = plan();
    let rollup = plan.get(plan.rollup(TURN).unwrap()).unwrap();
    let json = r#"{"count":1,"first":5,"last":5,"numbers":{"tokens_input":
        {"count":0,"sum":7,"minimum":0,"maximum":0}}}"#;
    let saved: Saved<'_> = serde_json::from_str(json).unwrap();
    let (sums, _) = saved.restore(rollup);
    let json = serde_json::to_string(&Saved::of(&sums, rollup)).unwrap();
    let again: Saved<'_> = serde_json::from_str(&json).unwrap();
    assert_eq!(again.restore(rollup).0, sums);
}
