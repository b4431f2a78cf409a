//! What a bucket says, when it ends, and what is left of it when there are too many.

use proptest::prelude::*;
use trueup_core::{DAY_MS, HOUR_MS, UnixMs};
use trueup_telemetry::budget::Caps;
use trueup_telemetry::rollup::{Accumulator, Saved, Value};

use crate::world::{
    NOON, TURN, WINDOW, World, deliver, events, flush, later, plan, property, roomy, seal, sum,
};
use crate::{alone, own_bytes};

/// What one turn was.
#[derive(Debug, Clone)]
struct Turn {
    input: i64,
    output: i64,
    cost_nano: i64,
    duration_ms: Option<i64>,
    outcome: usize,
    model: Option<usize>,
}

const OUTCOMES: [&str; 4] = ["ok", "error", "aborted", "invalid_output"];
const MODELS: [&str; 3] = ["claude-haiku-4-5", "claude-opus-4-5", "gpt-5.2"];

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = (
        0..200_000_i64,
        0..9_000_i64,
        0..40_000_000_i64,
        prop::option::of(0..90_000_i64),
        0..4_usize,
        prop::option::of(0..3_usize),
    );
    let turn = turn.prop_map(|(input, output, cost_nano, duration_ms, outcome, model)| Turn {
        input,
        output,
        cost_nano,
        duration_ms,
        outcome,
        model,
    });
    prop::collection::vec(turn, 1..60)
}

fn values<'a>(world: &World, turn: &Turn) -> Vec<(trueup_telemetry::rollup::FieldId, Value<'a>)> {
    let mut values = vec![
        (world.field(TURN, "tokens_input"), Value::Number(turn.input)),
        (world.field(TURN, "tokens_output"), Value::Number(turn.output)),
        (world.field(TURN, "cost_usd"), Value::Number(turn.cost_nano)),
        (world.field(TURN, "outcome"), Value::Text(OUTCOMES[turn.outcome])),
    ];
    let duration = turn.duration_ms.map(Value::Number);
    values.extend(duration.map(|value| (world.field(TURN, "duration_ms"), value)));
    let model = turn.model.map(|model| Value::Text(MODELS[model]));
    values.extend(model.map(|value| (world.field(TURN, "model"), value)));
    values
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn check_14_one_event_a_session_with_every_field_recomputed(turns in turns()) {
        let world = World::new(roomy());
        let (mut recorder, mut store) = (world.recorder(NOON), world.store());
        let session = recorder.session("session-1");
        for (number, turn) in turns.iter().enumerate() {
            let now = later(NOON, i64::try_from(number).unwrap());
            recorder.record(world.rollup(TURN), Some(session), &values(&world, turn), now);
        }
        recorder.end(session, later(NOON, 100));
        flush(&mut store, &mut recorder, later(NOON, 100));
        let events = deliver(&mut store, later(NOON, 100));
        prop_assert_eq!(events.len(), 1);
        let said = |name: &str| property(&events[0], name);
        let count = turns.len();
        prop_assert_eq!(said("count"), count);
        prop_assert_eq!(said("total_tokens_input"), turns.iter().map(|turn| turn.input).sum::<i64>());
        prop_assert_eq!(said("total_tokens_output"), turns.iter().map(|turn| turn.output).sum::<i64>());
        let nano: i64 = turns.iter().map(|turn| turn.cost_nano).sum();
        let dollars: trueup_core::NanoUsd = said("total_cost_usd").to_string().parse().unwrap();
        prop_assert_eq!(dollars, trueup_core::NanoUsd(nano));
        let mut durations: Vec<i64> = turns.iter().filter_map(|turn| turn.duration_ms).collect();
        durations.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "as a client would compute it")]
        let mean = match durations.len() {
            0 => 0.0,
            length => durations.iter().sum::<i64>() as f64 / length as f64,
        };
        // As text: what reads JSON here may err in the last bit of a fraction.
        let item = store.look(NOON).unwrap().items.remove(0);
        let text = String::from_utf8(store.body(&item).unwrap().unwrap()).unwrap();
        let mean = serde_json::to_string(&mean).unwrap();
        let mean = format!("\"avg_duration_ms\":{},", mean.trim_end_matches(".0"));
        prop_assert!(text.contains(&mean), "{} in {}", mean, text);
        prop_assert_eq!(said("avg_compression_ms"), 0);
        prop_assert_eq!(said("max_duration_ms").as_i64(), durations.last().copied());
        for (name, percent) in [("p50_duration_ms", 50), ("p95_duration_ms", 95)] {
            let rank = (durations.len() * percent).div_ceil(100);
            let exact = durations.get(rank.wrapping_sub(1)).copied();
            let is_close = match (said(name).as_i64(), exact) {
                (Some(said), Some(exact)) => (said - exact).abs() * 20 <= exact,
                (said, exact) => said == exact,
            };
            prop_assert!(is_close, "{}", name);
        }
        for (place, outcome) in OUTCOMES.iter().enumerate() {
            let count = turns.iter().filter(|turn| turn.outcome == place).count();
            let name = format!("outcomes_{outcome}");
            prop_assert_eq!(said(name.as_str()), count);
        }
        let weight = |model| turns.iter().filter(|turn| turn.model == Some(model)).count();
        let top = (0..3).filter(|&model| weight(model) > 0).max_by_key(|&model| (weight(model), 3 - model));
        prop_assert_eq!(said("top_model").as_str(), top.map(|model| MODELS[model]));
        prop_assert_eq!(said("window_start_ts"), NOON.0);
        prop_assert_eq!(said("rollup_reason"), "session_end");
        prop_assert_eq!(said("window_seq"), 0);
        prop_assert_eq!(said("observations_created"), 0);
    }

    #[test]
    fn merging_is_associative_commutative_and_survives_the_disk(turns in turns(), cuts in any::<[u8; 60]>()) {
        let world = World::new(roomy());
        let plan = plan();
        let rollup = plan.get(plan.rollup(TURN).unwrap()).unwrap();
        let mut whole = Accumulator::new(rollup);
        let mut parts = vec![Accumulator::new(rollup); 3];
        for (number, turn) in turns.iter().enumerate() {
            let now = UnixMs(NOON.0 + i64::from(cuts[number]));
            whole.add(rollup, &values(&world, turn), now);
            parts[usize::from(cuts[number]) % 3].add(rollup, &values(&world, turn), now);
        }
        let json = |sums: &Accumulator| serde_json::to_string(&Saved::of(sums, rollup)).unwrap();
        let again = |sums: &Accumulator| {
            let json = json(sums);
            let saved: Saved<'static> = serde_json::from_str(&json).unwrap();
            let (sums, unknown) = saved.restore(rollup);
            assert_eq!(unknown, 0);
            sums
        };
        let merge = |a: &Accumulator, b: &Accumulator| {
            let mut sums = again(a);
            sums.merge(&again(b));
            sums
        };
        let [a, b, c] = [&parts[0], &parts[1], &parts[2]];
        prop_assert_eq!(merge(a, b), merge(b, a));
        prop_assert_eq!(merge(&merge(a, b), c), merge(a, &merge(b, c)));
        prop_assert_eq!(&merge(&merge(c, a), b), &whole);
        prop_assert_eq!(json(&merge(&merge(c, a), b)), json(&whole));
    }
}

#[test]
fn check_15_sessions_are_independent_a_second_end_is_nothing_and_a_respawn_does_not_split() {
    let world = World::new(roomy());
    let (mut recorder, mut store) = (world.recorder(NOON), world.store());
    world.turn(&mut recorder, "a", 100, NOON);
    world.turn(&mut recorder, "b", 1, NOON);
    flush(&mut store, &mut recorder, later(NOON, 5));
    // The one who emits came back under the same key, and the session goes on.
    world.turn(&mut recorder, "a", 200, later(NOON, 10));
    let session = recorder.session("a");
    recorder.end(session, later(NOON, 20));
    recorder.end(session, later(NOON, 21));
    flush(&mut store, &mut recorder, later(NOON, 22));
    recorder.end(session, later(NOON, 23));
    flush(&mut store, &mut recorder, later(NOON, 24));
    let events = deliver(&mut store, later(NOON, 30));
    assert_eq!(events.len(), 1, "only `a` has ended, once");
    assert_eq!(property(&events[0], "total_tokens_input"), 300);
    assert_eq!(property(&events[0], "count"), 2);
}

#[test]
fn check_16_a_shutdown_with_two_open_sessions_makes_two_rollups() {
    let world = World::new(roomy());
    let (mut recorder, mut store) = (world.recorder(NOON), world.store());
    world.turn(&mut recorder, "a", 100, NOON);
    world.turn(&mut recorder, "b", 1, NOON);
    store.shut_down(recorder, NOON, &mut crate::world::encode).unwrap();
    let events = events(&store);
    let reasons: Vec<_> = events.iter().map(|event| property(event, "rollup_reason")).collect();
    assert_eq!(reasons, ["worker_shutdown", "worker_shutdown"]);
    assert_eq!(sum(&events, TURN, "total_tokens_input"), 101);
    assert_eq!(world.files("open-"), Vec::<std::path::PathBuf>::new(), "nothing is left behind");
}

#[test]
fn check_17_age_and_count_end_a_bucket_and_number_the_next() {
    let world = World::new(roomy());
    let (mut recorder, mut store) = (world.recorder(NOON), world.store());
    for number in 0..2_500 {
        world.turn(&mut recorder, "counts", 1, later(NOON, number));
    }
    for hours in 0..3 {
        let now = later(NOON, hours * HOUR_MS);
        world.turn(&mut recorder, "ages", 1, now);
        flush(&mut store, &mut recorder, now);
    }
    store.shut_down(recorder, later(NOON, 2 * HOUR_MS), &mut crate::world::encode).unwrap();
    let mut seen: Vec<_> = events(&store)
        .iter()
        .map(|event| {
            let of = |name| property(event, name).as_i64().unwrap();
            let reason = property(event, "rollup_reason").as_str().unwrap().to_owned();
            (of("count"), of("window_seq"), reason)
        })
        .collect();
    seen.sort();
    let expected = [
        (1, 0, "safety_flush"),
        (1, 1, "safety_flush"),
        (1, 2, "worker_shutdown"),
        (500, 2, "safety_flush"),
        (1_000, 0, "safety_flush"),
        (1_000, 1, "safety_flush"),
    ];
    assert_eq!(seen, expected.map(|(count, seq, reason)| (count, seq, reason.to_owned())));
}

#[test]
fn check_17_the_log_stays_short_over_many_records() {
    let world = World::new(Caps::default());
    let (mut recorder, mut store) = (world.recorder(NOON), world.store());
    let model: Vec<String> = (0..500).map(|number| format!("model-{number:03}")).collect();
    let fields = [world.field(TURN, "tokens_input"), world.field(TURN, "duration_ms")];
    let model_field = world.field(TURN, "model");
    let sessions = ["a", "b", "c", "d"].map(|key| recorder.session(key));
    let (mut size_max, mut taken) = (0, 0);
    for number in 0..300_000_i64 {
        let values = [
            (fields[0], Value::Number(1)),
            (fields[1], Value::Number((number * 7_919) % 100_003)),
            (model_field, Value::Text(&model[usize::try_from(number % 500).unwrap()])),
        ];
        let session = sessions[usize::try_from(number % 4).unwrap()];
        let ack =
            recorder.record(world.rollup(TURN), Some(session), &values, later(NOON, number / 100));
        taken += i64::from(ack.number.is_some());
        if number % 50_000 == 0 {
            let sizes = world.files("open-").into_iter().map(|path| path.metadata().unwrap().len());
            size_max = size_max.max(sizes.sum::<u64>());
        }
    }
    assert_eq!(taken, 300_000);
    assert!(size_max < 8 * 1024 * 1024, "{size_max} bytes of log");
    store.shut_down(recorder, later(NOON, 10_000), &mut crate::world::encode).unwrap();
    seal(&mut store, None, later(NOON, DAY_MS));
    let events = deliver(&mut store, later(NOON, DAY_MS));
    assert_eq!(events.len(), 1);
    assert_eq!(sum(&events, TURN, "total_tokens_input"), 300_000);
}

#[test]
fn check_17_and_26_memory_stays_flat() {
    alone("rollup_laws::a_million_records_alone");
    alone("rollup_laws::a_storm_of_fingerprints_alone");
}

/// How much more memory a million records, or a storm, hold than the first thousand did.
fn grown(field: &str, text: impl Fn(i64) -> String, records: i64) -> u64 {
    let world = World::new(Caps::default());
    let (mut recorder, mut store) = (world.recorder(NOON), world.store());
    let session = recorder.session("a");
    let (rollup, field) = (world.rollup(TURN), world.field(TURN, field));
    let mut before = 0;
    for number in 0..records {
        let text = text(number);
        let values = [(field, Value::Text(&text))];
        recorder.record(rollup, Some(session), &values, later(NOON, number / 100));
        if number == 1_000 {
            flush(&mut store, &mut recorder, NOON);
            before = own_bytes();
        }
    }
    own_bytes().saturating_sub(before)
}

#[test]
#[ignore = "memory is only its own in a process of its own: the test above starts it"]
fn a_million_records_alone() {
    let grown = grown("model", |number| format!("model-{}", number % 500), 1_000_000);
    assert!(grown < 1_000_000, "{grown} bytes");
}

#[test]
#[ignore = "memory is only its own in a process of its own: the test above starts it"]
fn a_storm_of_fingerprints_alone() {
    let text =
        |number: i64| format!("{:08x}::failed", number.wrapping_mul(2_654_435_761) & 0xffff_ffff);
    let grown = grown("fingerprint", text, 100_000);
    assert!(grown < 1_000_000, "{grown} bytes");
}

#[test]
fn check_20_five_hundred_sessions_under_a_cap_of_two_become_two_events_with_exact_sums() {
    let world = World::new(Caps { events_per_day: 2, hard_cap: 2, ..Caps::default() });
    let (mut recorder, mut store) = (world.recorder(NOON), world.store());
    for number in 0..500 {
        let now = later(NOON, number);
        let name = format!("session-{number}");
        world.turn(&mut recorder, &name, number, now);
        let session = recorder.session(&name);
        recorder.end(session, now);
        if number % 7 == 0 {
            flush(&mut store, &mut recorder, now);
        }
    }
    flush(&mut store, &mut recorder, later(NOON, 600));
    assert_eq!(deliver(&mut store, later(NOON, 600)), Vec::<serde_json::Value>::new());
    let tomorrow = later(NOON, DAY_MS);
    flush(&mut store, &mut recorder, tomorrow);
    let events = deliver(&mut store, tomorrow);
    assert!(events.len() <= 2, "{} events", events.len());
    assert_eq!(sum(&events, TURN, "total_tokens_input"), 499 * 500 / 2);
    assert_eq!(sum(&events, TURN, "count"), 500);
    assert_eq!(sum(&events, TURN, "merged_rollups"), 500);
    assert_eq!(property(&events[0], "rollup_reason"), "daily");
}

#[test]
fn check_20_with_room_for_some_sessions_the_rest_is_merged_into_the_day() {
    let world = World::new(Caps { events_per_day: 6, hard_cap: 8, ..Caps::default() });
    let (mut recorder, mut store) = (world.recorder(NOON), world.store());
    for number in 0..50 {
        let name = format!("session-{number}");
        world.turn(&mut recorder, &name, 1, NOON);
        let session = recorder.session(&name);
        recorder.end(session, NOON);
        flush(&mut store, &mut recorder, NOON);
    }
    let today = deliver(&mut store, NOON);
    assert_eq!(today.len(), 4, "two places are kept for the days of two rollups");
    flush(&mut store, &mut recorder, later(NOON, DAY_MS));
    let tomorrow = deliver(&mut store, later(NOON, DAY_MS));
    assert_eq!(tomorrow.len(), 1);
    assert_eq!(property(&tomorrow[0], "rollup_reason"), "budget_merge");
    assert_eq!(sum(&today, TURN, "count") + sum(&tomorrow, TURN, "count"), 50);
}

#[test]
fn check_21_a_window_of_failures_alone_can_be_told() {
    let world = World::new(roomy());
    let (mut recorder, mut store) = (world.recorder(NOON), world.store());
    let rollup = world.rollup(WINDOW);
    for (minute, outcome) in [(0, "error"), (1, "error"), (4, "error"), (5, "ok")] {
        let values = [
            (world.field(WINDOW, "outcome"), Value::Text(outcome)),
            (world.field(WINDOW, "tokens"), Value::Number(10)),
        ];
        recorder.record(rollup, None, &values, later(NOON, minute * 60_000));
    }
    flush(&mut store, &mut recorder, later(NOON, 10 * 60_000));
    let events = deliver(&mut store, later(NOON, 10 * 60_000));
    assert_eq!(events.len(), 2);
    let of = |name| property(&events[0], name).as_i64().unwrap();
    assert_eq!((of("count"), of("outcomes_ok"), of("outcomes_error")), (3, 0, 3));
    assert_eq!((of("total_tokens"), of("avg_tokens"), of("window_start_ts")), (30, 10, NOON.0));
}

#[test]
fn check_25_the_same_error_a_hundred_times_is_one_fingerprint_with_its_count() {
    let world = World::new(Caps::default());
    let (mut recorder, mut store) = (world.recorder(NOON), world.store());
    let session = recorder.session("a");
    for _ in 0..100 {
        let values = [(world.field(TURN, "fingerprint"), Value::Text("E::failed::main"))];
        recorder.record(world.rollup(TURN), Some(session), &values, NOON);
    }
    store.shut_down(recorder, NOON, &mut crate::world::encode).unwrap();
    seal(&mut store, None, later(NOON, DAY_MS));
    let events = deliver(&mut store, later(NOON, DAY_MS));
    let expected = serde_json::json!([{ "fingerprint": "E::failed::main", "count": 100 }]);
    assert_eq!(property(&events[0], "errors"), &expected);
    assert_eq!(property(&events[0], "other_count"), 0);
}

#[test]
fn check_26_a_storm_of_fingerprints_is_eight_and_a_count() {
    let world = World::new(Caps::default());
    let (mut recorder, mut store) = (world.recorder(NOON), world.store());
    for number in 0..100_000_i64 {
        let fingerprint =
            format!("{:08x}::failed", number.wrapping_mul(2_654_435_761) & 0xffff_ffff);
        let values = [(world.field(TURN, "fingerprint"), Value::Text(&fingerprint))];
        let session = recorder.session(&(number / 2_000).to_string());
        recorder.record(world.rollup(TURN), Some(session), &values, later(NOON, number / 10));
    }
    store.shut_down(recorder, later(NOON, 10_000), &mut crate::world::encode).unwrap();
    seal(&mut store, None, later(NOON, DAY_MS));
    let events = deliver(&mut store, later(NOON, DAY_MS));
    assert_eq!(events.len(), 1);
    let listed = property(&events[0], "errors").as_array().unwrap();
    assert_eq!(listed.len(), 8);
    let shown: i64 = listed.iter().map(|error| error["count"].as_i64().unwrap()).sum();
    assert_eq!(shown + property(&events[0], "other_count").as_i64().unwrap(), 100_000);
}

#[test]
fn buckets_that_end_while_others_are_handed_over_are_merged_without_those() {
    let world = World::new(Caps::default());
    let (mut recorder, mut store) = (world.recorder(NOON), world.store());
    let end_many = |recorder: &mut trueup_telemetry::state::Recorder, begin: i64| {
        for number in begin..begin + 300 {
            let name = number.to_string();
            world.turn(recorder, &name, 1, NOON);
            let session = recorder.session(&name);
            recorder.end(session, NOON);
        }
    };
    end_many(&mut recorder, 0);
    let handed = recorder.hand_over(NOON);
    end_many(&mut recorder, 300);
    // Sealing failed for those who asked, although it was done.
    seal(&mut store, Some(&handed), NOON);
    let handed = recorder.hand_over(NOON);
    end_many(&mut recorder, 600);
    let sealed = seal(&mut store, Some(&handed), NOON);
    end_many(&mut recorder, 900);
    recorder.forget(&sealed).unwrap();
    store.shut_down(recorder, NOON, &mut crate::world::encode).unwrap();
    let tomorrow = later(NOON, DAY_MS);
    seal(&mut store, None, tomorrow);
    let events = deliver(&mut store, tomorrow);
    assert_eq!(sum(&events, TURN, "count"), 1_200);
    assert_eq!(sum(&events, TURN, "merged_rollups"), 1_200);
}

#[test]
fn of_too_many_open_sessions_the_one_that_is_idle_longest_ends() {
    let world = World::new(roomy());
    let (mut recorder, mut store) = (world.recorder(NOON), world.store());
    world.turn(&mut recorder, "busy", 1, NOON);
    for number in 0..i64::try_from(trueup_telemetry::rollup::OPEN_MAX).unwrap() + 20 {
        world.turn(&mut recorder, &format!("session-{number}"), 1, later(NOON, number));
        world.turn(&mut recorder, "busy", 1, later(NOON, number));
    }
    let sealed = flush(&mut store, &mut recorder, later(NOON, 1_000));
    assert_eq!(sealed.queued, 21);
    assert!(events(&store).iter().all(|event| property(event, "count") == 1), "`busy` stays");
}

#[test]
fn what_is_wrong_with_a_record_is_counted_and_the_rest_of_it_taken() {
    let world = World::new(roomy());
    let mut recorder = world.recorder(NOON);
    let session = recorder.session("a");
    let values = [
        (world.field(TURN, "outcome"), Value::Text("no such outcome")),
        (world.field(TURN, "duration_ms"), Value::Number(-1)),
        (world.field(TURN, "tokens_input"), Value::Text("12")),
        (world.field(TURN, "model"), Value::Text("")),
        (world.field(TURN, "tokens_output"), Value::Number(5)),
    ];
    let ack = recorder.record(world.rollup(TURN), Some(session), &values, NOON);
    assert_eq!((ack.number, ack.refused), (Some(1), 4));
    assert_eq!(recorder.record(world.rollup(TURN), None, &values, NOON).number, None);
    assert_eq!(recorder.health().records_refused, 1);
    let mut store = world.store();
    store.shut_down(recorder, NOON, &mut crate::world::encode).unwrap();
    assert_eq!(sum(&events(&store), TURN, "total_tokens_output"), 5);
}
