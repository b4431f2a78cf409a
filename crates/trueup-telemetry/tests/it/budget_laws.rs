//! Ceilings that restarts, clocks and fleets do not pass.

use std::collections::BTreeMap;

use trueup_core::{DAY_MS, HOUR_MS, UnixMs};
use trueup_telemetry::budget::{Caps, Day};
use trueup_telemetry::outbox::Verdict;

use crate::world::{NOON, TURN, WINDOW, World, deliver, encode, flush, later, next, seal, sum};

#[test]
fn check_38_ten_thousand_restarts_a_day_stay_under_the_cap() {
    let restarts = 10_000;
    let world = World::new(Caps::default());
    let mut sent: Vec<serde_json::Value> = Vec::new();
    for restart in 0..restarts {
        let now = later(Day::of(NOON).start(), restart * (DAY_MS / restarts));
        let mut recorder = world.recorder(now);
        world.turn(&mut recorder, "a", 1, now);
        recorder.persist(now);
        // Most of them crash before they flush.
        if restart % 20 == 19 {
            let mut store = world.store();
            store.shut_down(recorder, now, &mut encode).unwrap();
            sent.extend(deliver(&mut store, now));
        }
    }
    assert!(sent.len() <= 6, "{} events", sent.len());
    let tomorrow = later(NOON, DAY_MS);
    let mut store = world.store();
    seal(&mut store, None, tomorrow);
    sent.extend(deliver(&mut store, tomorrow));
    assert_eq!(sum(&sent, TURN, "count"), restarts);
    assert_eq!(sent.len(), 1);
}

#[test]
fn check_38_a_loop_of_attempts_that_are_never_answered_stays_under_the_cap() {
    let caps = Caps { events_per_day: 4, ..Caps::default() };
    let world = World::new(caps.clone());
    let mut recorder = world.recorder(NOON);
    for number in 0..40 {
        world.turn(&mut recorder, &number.to_string(), 1, NOON);
    }
    world.store().shut_down(recorder, NOON, &mut encode).unwrap();
    let start = Day::of(NOON).start();
    let requests = (0..1_000).filter(|attempt| {
        next(&mut world.store(), later(start, attempt * (DAY_MS / 1_000))).is_some()
    });
    assert!(requests.count() <= 24);
    let spent = world.store().look(NOON).unwrap().spent;
    assert!(spent.events <= caps.hard_cap && spent.bytes <= caps.bytes_per_day);
}

#[test]
fn check_39_clocks_that_step_by_two_days_do_not_pass_the_cap() {
    let world = World::new(Caps { events_per_day: 4, hard_cap: 6, ..Caps::default() });
    let mut by_day: BTreeMap<Day, usize> = BTreeMap::new();
    let mut largest = Day::of(NOON);
    let mut total = 0;
    for (step, hours) in [0, 48, 0, -48, 24, 48, 47, 0, 96, 50].into_iter().enumerate() {
        let now = later(NOON, hours * HOUR_MS);
        largest = largest.max(Day::of(now));
        for restart in 0..20 {
            let mut recorder = world.recorder(now);
            for session in 0..3 {
                world.turn(&mut recorder, &format!("{step}-{restart}-{session}"), 1, now);
                total += 1;
            }
            let mut store = world.store();
            store.shut_down(recorder, now, &mut encode).unwrap();
            *by_day.entry(largest).or_default() += deliver(&mut store, now).len();
        }
    }
    assert!(by_day.values().all(|events| *events <= 6), "{by_day:?}");
    // Nothing is lost by it.
    let mut events = Vec::new();
    let mut store = world.store();
    for day in 5..15 {
        let now = later(NOON, day * DAY_MS);
        seal(&mut store, None, now);
        events.extend(deliver(&mut store, now));
    }
    let look = store.look(NOON).unwrap();
    assert_eq!(look.days, []);
    let sent_before: i64 = look
        .items
        .iter()
        .filter_map(|item| store.body(item).unwrap())
        .map(|body| {
            let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
            event["properties"]["count"].as_i64().unwrap()
        })
        .sum();
    assert_eq!(sent_before, total);
}

/// Installs whose load is as uneven as a real fleet's: most small, a few a hundred times as large.
fn turns_of(install: u64, day: u64) -> u64 {
    let mut mixed = (install * 31 + day).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^= mixed >> 29;
    let doublings = (mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 60).min(6);
    (2 << doublings) + mixed % 7
}

#[test]
fn check_37_a_fleet_over_thirty_days_sends_two_events_an_install_and_day() {
    let (installs, days) = (12_u64, 30_u64);
    let (mut events, mut recorded, mut arrived) = (0, 0, 0);
    let mut most = 0;
    for install in 0..installs {
        let world = World::new(Caps::default());
        let mut store = world.store();
        for day in 0..days {
            let start = UnixMs((20_778 + i64::try_from(day).unwrap()) * DAY_MS);
            let mut recorder = world.recorder(start);
            for turn in 0..turns_of(install, day) {
                let now = later(start, i64::try_from(turn).unwrap() * 10_000);
                world.turn(&mut recorder, &(turn / 40).to_string(), 1, now);
                let window =
                    [(world.field(WINDOW, "tokens"), trueup_telemetry::rollup::Value::Number(1))];
                recorder.record(world.rollup(WINDOW), None, &window, now);
                recorded += 1;
                if turn % 40 == 39 {
                    let session = recorder.session(&(turn / 40).to_string());
                    recorder.end(session, now);
                }
            }
            flush(&mut store, &mut recorder, later(start, DAY_MS / 2));
            store.shut_down(recorder, later(start, DAY_MS - 1), &mut encode).unwrap();
            let sent = deliver(&mut store, later(start, DAY_MS - 1));
            most = most.max(sent.len());
            events += sent.len();
            arrived += sum(&sent, TURN, "total_tokens_input");
        }
        let end = UnixMs((20_778 + i64::try_from(days).unwrap()) * DAY_MS);
        seal(&mut store, None, end);
        arrived += sum(&deliver(&mut store, end), TURN, "total_tokens_input");
    }
    assert_eq!(arrived, recorded);
    assert!(most <= 2);
    let mean_hundredths = events * 100 / usize::try_from(installs * days).unwrap();
    assert!(mean_hundredths <= 210, "{mean_hundredths} hundredths an install and day");
}

#[test]
fn after_a_long_outage_what_waited_goes_out_under_the_cap_of_each_day() {
    let world = World::new(Caps::default());
    let mut store = world.store();
    let mut total = 0;
    for day in 0..6 {
        let now = later(NOON, day * DAY_MS);
        let mut recorder = world.recorder(now);
        world.turn(&mut recorder, "a", 1, now);
        total += 1;
        store.shut_down(recorder, now, &mut encode).unwrap();
        if let Some(request) = next(&mut store, now) {
            let verdict = Verdict::Retry { next: later(now, 1), status: None };
            store.settle(request.number, verdict, now).unwrap();
        }
    }
    let mut events = Vec::new();
    for day in 6..9 {
        let now = later(NOON, day * DAY_MS);
        seal(&mut store, None, now);
        let sent = deliver(&mut store, now);
        assert!(sent.len() <= 2, "{} events on one day", sent.len());
        events.extend(sent);
    }
    assert_eq!(sum(&events, TURN, "count"), total);
}
