//! Processes that end at any moment, and logs that end at any byte.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use trueup_core::{DAY_MS, UnixMs};
use trueup_telemetry::budget::Caps;
use trueup_telemetry::rollup::Value;
use trueup_telemetry::state::{Durability, Recorder, StateError, read_open_log};

use crate::world::{
    NOON, TURN, World, deliver, encode, events, flush, later, plan, property, roomy, seal, sum,
};

const EACH: Durability = Durability { records_max: 1, interval_ms: 0 };

#[test]
fn check_18_after_a_kill_the_next_start_emits_recovered_with_exact_sums() {
    let world = World::new(roomy());
    let mut killed = world.recorder_with(EACH, NOON);
    for number in 1..=10 {
        world.turn(&mut killed, "a", number, later(NOON, number));
    }
    world.turn(&mut killed, "b", 1_000, later(NOON, 11));
    let ended = killed.session("b");
    killed.end(ended, later(NOON, 12));
    assert_eq!(killed.durable(), 11);
    drop(killed);
    let (mut recorder, mut store) = (world.recorder(later(NOON, 20)), world.store());
    let sealed = flush(&mut store, &mut recorder, later(NOON, 20));
    assert_eq!(sealed.recovered.len(), 1);
    let events = events(&store);
    let reasons: Vec<_> = events.iter().map(|event| property(event, "rollup_reason")).collect();
    assert_eq!(reasons, ["recovered", "session_end"], "what had ended had ended");
    assert_eq!(sum(&events, TURN, "total_tokens_input"), 1_055);
    assert_eq!(world.files("open-").len(), 1, "only that of the living");
    // The session goes on in the new process.
    world.turn(&mut recorder, "a", 5, later(NOON, 30));
    store.shut_down(recorder, later(NOON, 30), &mut encode).unwrap();
    let events = crate::world::events(&store);
    assert_eq!(property(events.last().unwrap(), "window_seq"), 1);
    assert_eq!(sum(&events, TURN, "total_tokens_input"), 1_060);
}

#[test]
fn a_log_that_is_cut_at_any_byte_loses_the_torn_line_and_counts_nothing_twice() {
    let world = World::new(roomy());
    let mut recorder = world.recorder_with(EACH, NOON);
    let path = world.files("open-").remove(0);
    // After which length of the log how much is safe.
    let mut safe = vec![(0_u64, 0_i64)];
    let mut total = 0;
    for number in 1..=7_i64 {
        let session = format!("session-{}", number % 3);
        world.turn(&mut recorder, &session, 1 << number, later(NOON, number));
        total += 1 << number;
        safe.push((path.metadata().unwrap().len(), total));
        if number % 5 == 0 {
            let session = recorder.session(&session);
            recorder.end(session, later(NOON, number));
        }
        safe.push((path.metadata().unwrap().len(), total));
    }
    drop(recorder);
    let log = fs::read(&path).unwrap();
    for cut in 0..=log.len() {
        fs::remove_dir_all(world.path()).unwrap();
        fs::create_dir_all(world.path()).unwrap();
        fs::write(&path, &log[..cut]).unwrap();
        let mut store = world.store();
        seal(&mut store, None, NOON);
        seal(&mut world.store(), None, NOON);
        let whole =
            safe.iter().rfind(|(length, _)| *length <= u64::try_from(cut).unwrap()).unwrap();
        assert_eq!(sum(&events(&store), TURN, "total_tokens_input"), whole.1, "cut at {cut}");
        assert!(!path.exists());
    }
}

#[test]
fn a_kill_between_any_two_steps_of_sealing_counts_nothing_twice() {
    let world = World::new(Caps { events_per_day: 4, hard_cap: 4, ..Caps::default() });
    let mut store = world.store();
    let mut recorder = world.recorder_with(EACH, NOON);
    for number in 0..6 {
        let session = format!("session-{number}");
        world.turn(&mut recorder, &session, 10, NOON);
        let session = recorder.session(&session);
        recorder.end(session, NOON);
    }
    world.turn(&mut recorder, "open", 1, NOON);
    // Sealed, but killed before the log says so.
    let handed = recorder.hand_over(NOON);
    let log = world.files("open-").remove(0);
    let before = fs::read(&log).unwrap();
    seal(&mut store, Some(&handed), NOON);
    drop((handed, recorder));
    // Found by the next process, which is killed before it removes the log.
    seal(&mut world.store(), None, NOON);
    assert!(!log.exists());
    fs::write(&log, &before).unwrap();
    let sealed = seal(&mut world.store(), None, NOON);
    assert_eq!((sealed.queued, sealed.merged), (0, 0));
    // Bytes that were stored for a change that was never made.
    let next = world.path().join("outbox").join("00000003.body");
    fs::write(next, b"torn").unwrap();
    let tomorrow = later(NOON, DAY_MS);
    let mut store = world.store();
    seal(&mut store, None, tomorrow);
    let events = deliver(&mut store, tomorrow);
    assert_eq!(sum(&events, TURN, "total_tokens_input"), 61);
    assert_eq!(sum(&events, TURN, "count"), 7);
}

#[test]
fn the_log_of_the_outbox_may_be_cut_at_any_byte() {
    let world = World::new(Caps::default());
    let (mut recorder, mut store) = (world.recorder_with(EACH, NOON), world.store());
    let log = world.path().join("outbox").join("log");
    let mut states = vec![(0, 0)];
    for number in 0..4 {
        world.turn(&mut recorder, &number.to_string(), 1, NOON);
        let session = recorder.session(&number.to_string());
        recorder.end(session, NOON);
        flush(&mut store, &mut recorder, NOON);
        states.push((fs::read(&log).unwrap().len(), number + 1));
    }
    drop(recorder);
    let whole = fs::read(&log).unwrap();
    for cut in 0..=whole.len() {
        fs::write(&log, &whole[..cut]).unwrap();
        let look = world.store().look(NOON).unwrap();
        let known: u64 = look.days.iter().map(|(_, _, count)| count).sum();
        let expected = states.iter().rfind(|(length, _)| *length <= cut).unwrap().1;
        assert_eq!(known, expected, "cut at {cut}");
        // The next change is made behind what is whole.
        let before = look.expired;
        seal(&mut world.store(), None, NOON);
        assert_eq!(world.store().look(NOON).unwrap().expired, before);
    }
}

#[test]
fn a_log_of_another_version_of_the_product_gives_what_is_still_known() {
    let world = World::new(roomy());
    let mut recorder = world.recorder_with(EACH, NOON);
    world.turn(&mut recorder, "a", 7, NOON);
    drop(recorder);
    let path = world.files("open-").remove(0);
    let log = read_open_log(&fs::read(&path).unwrap());
    let (parts, unknown) = log.parts(&plan());
    assert_eq!((parts.len(), unknown), (1, 0));
    let mut fewer = trueup_telemetry::rollup::RollupSpec::session(TURN);
    fewer.numbers = vec![trueup_telemetry::rollup::NumberSpec::sum_as("tokens_input", "tokens")];
    let fewer = Arc::new(trueup_telemetry::rollup::Plan::new(vec![fewer]).unwrap());
    let mut store = crate::world::store(&world.path(), Arc::clone(&fewer), roomy());
    let sealed = store.seal(None, NOON, &mut encode).unwrap();
    assert_eq!((sealed.queued, sealed.unknown), (1, 3), "the outcome, the model and fingerprints");
    assert_eq!(sum(&events(&store), TURN, "tokens"), 7);
    assert_eq!(store.look(NOON).unwrap().unknown, 3);
}

#[test]
fn a_newer_log_is_left_to_a_newer_program() {
    let world = World::new(roomy());
    let mut recorder = world.recorder_with(EACH, NOON);
    world.turn(&mut recorder, "a", 7, NOON);
    drop(recorder);
    let path = world.files("open-").remove(0);
    let mut newer = Vec::new();
    trueup_telemetry::state::line(r#"[{"head":{"version":99}}]"#, &mut newer);
    fs::write(&path, &newer).unwrap();
    seal(&mut world.store(), None, NOON);
    assert_eq!(fs::read(&path).unwrap(), newer);
    fs::create_dir_all(world.path().join("outbox")).unwrap();
    let mut newer = Vec::new();
    trueup_telemetry::state::line(r#"[{"head":{"version":99,"store":"a"}}]"#, &mut newer);
    fs::write(world.path().join("outbox").join("log"), &newer).unwrap();
    let refused = world.store().seal(None, NOON, &mut encode);
    assert!(matches!(refused, Err(StateError::Version { version: 99, .. })));
    assert_eq!(fs::read(world.path().join("outbox").join("log")).unwrap(), newer);
}

#[test]
fn a_log_that_grows_is_written_anew_and_stays_locked() {
    let world = World::new(roomy());
    let mut recorder = world.recorder_with(EACH, NOON);
    let models: Vec<String> =
        (0..60).map(|number| format!("{number:02}{}", "m".repeat(380))).collect();
    let session = recorder.session("a");
    let mut longest = 0;
    for number in 0..600_usize {
        let values = [(world.field(TURN, "model"), Value::Text(&models[number % 60]))];
        recorder.record(world.rollup(TURN), Some(session), &values, NOON);
        longest = longest.max(world.files("open-")[0].metadata().unwrap().len());
    }
    assert!(longest < 5 * 1024 * 1024, "{longest} bytes");
    assert!(world.files("open-")[0].metadata().unwrap().len() < longest);
    assert_eq!(recorder.health().write_errors, 0);
    let sealed = seal(&mut world.store(), None, NOON);
    assert_eq!(sealed.recovered.len(), 0, "the living are left alone");
    drop(recorder);
    let sealed = seal(&mut world.store(), None, NOON);
    assert_eq!(sealed.recovered[0].sums.count(), 600);
}

#[test]
fn a_log_that_is_written_anew_while_what_ended_is_on_its_way_was_not_purged() {
    let world = World::new(roomy());
    let mut recorder = world.recorder_with(EACH, NOON);
    world.turn(&mut recorder, "b", 7, NOON);
    let session = recorder.session("b");
    recorder.end(session, NOON);
    let handed = recorder.hand_over(NOON);
    let length = || world.files("open-")[0].metadata().unwrap().len();
    let session = recorder.session("a");
    let mut before = 0;
    for number in 0.. {
        assert!(number < 20_000, "the log is never written anew");
        let model = format!("{}{}", number % 60, "m".repeat(380));
        let values = [(world.field(TURN, "model"), Value::Text(&model))];
        recorder.record(world.rollup(TURN), Some(session), &values, NOON);
        if length() < before {
            break;
        }
        before = length();
    }
    let sealed = seal(&mut world.store(), Some(&handed), NOON);
    assert!(!sealed.is_purged, "it is another file, and still there");
    recorder.forget(&sealed).unwrap();
    let mut store = world.store();
    store.shut_down(recorder, NOON, &mut encode).unwrap();
    let events = events(&store);
    assert_eq!(sum(&events, TURN, "total_tokens_input"), 7);
    assert!(sum(&events, TURN, "count") > 1, "what came since");
}

#[test]
fn what_cannot_be_stored_now_is_stored_later() {
    let world = World::new(roomy());
    let (mut recorder, mut store) = (world.recorder_with(EACH, NOON), world.store());
    world.turn(&mut recorder, "a", 1, NOON);
    let session = recorder.session("a");
    recorder.end(session, NOON);
    let in_the_way = world.path().join("outbox");
    fs::write(&in_the_way, b"").unwrap();
    let handed = recorder.hand_over(NOON);
    assert!(matches!(store.seal(Some(&handed), NOON, &mut encode), Err(StateError::Io { .. })));
    world.turn(&mut recorder, "a", 2, NOON);
    fs::remove_file(&in_the_way).unwrap();
    flush(&mut store, &mut recorder, NOON);
    // The bytes can be stored, the line cannot.
    world.turn(&mut recorder, "b", 4, NOON);
    let session = recorder.session("b");
    recorder.end(session, NOON);
    let log = in_the_way.join("log");
    fs::rename(&log, in_the_way.join("aside")).unwrap();
    fs::create_dir(&log).unwrap();
    let handed = recorder.hand_over(NOON);
    assert!(matches!(store.seal(Some(&handed), NOON, &mut encode), Err(StateError::Io { .. })));
    fs::remove_dir(&log).unwrap();
    fs::rename(in_the_way.join("aside"), &log).unwrap();
    store.shut_down(recorder, NOON, &mut encode).unwrap();
    let events = events(&store);
    assert_eq!(sum(&events, TURN, "total_tokens_input"), 7);
    assert_eq!(events.len(), 3);
}

#[test]
fn check_18_a_real_process_that_is_killed_loses_nothing_that_it_called_durable() {
    for round in 0..6_u64 {
        let world = World::new(Caps::default());
        fs::create_dir_all(world.path()).unwrap();
        fs::write(world.path().join("child-may-run"), b"").unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "crash_laws::child_that_records_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .current_dir(world.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut durable = 0;
        let mut seen = 0;
        while seen < 40 + round * 37 {
            let line = lines.next().expect("the child writes until it is killed").unwrap();
            if let Some(number) = line.strip_prefix("durable ") {
                durable = number.parse::<i64>().unwrap();
                seen += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let told: Vec<_> = lines.map_while(Result::ok).collect();
        let last = told.iter().rev().find_map(|line| line.strip_prefix("durable ")?.parse().ok());
        let durable = last.unwrap_or(durable);
        let mut store = world.store();
        let tomorrow = later(NOON, DAY_MS);
        seal(&mut store, None, NOON);
        seal(&mut store, None, tomorrow);
        let events = deliver(&mut store, tomorrow);
        let count = sum(&events, TURN, "count");
        assert!(count >= durable, "{count} of {durable}");
        assert_eq!(sum(&events, TURN, "total_tokens_input"), count * (count + 1) / 2);
        fs::remove_file(world.path().join("child-may-run")).unwrap();
    }
}

/// Not a test by itself: the process that the one above kills.
#[test]
#[ignore = "runs until it is killed; the test of kills starts it"]
fn child_that_records_until_it_is_killed() {
    let folder = Path::new(".");
    if !folder.join("child-may-run").exists() {
        return;
    }
    let plan = Arc::new(plan());
    let durability = Durability { records_max: 16, interval_ms: 250 };
    let mut recorder =
        Recorder::open(folder, Arc::clone(&plan), durability, [3; 48], NOON).unwrap();
    let mut store = crate::world::store(folder, Arc::clone(&plan), Caps::default());
    let rollup = plan.rollup(TURN).unwrap();
    let tokens = plan.field(rollup, "tokens_input").unwrap();
    for number in 1..i64::MAX {
        let session = recorder.session(&(number / 50 % 7).to_string());
        let now = UnixMs(NOON.0 + number);
        recorder.record(rollup, Some(session), &[(tokens, Value::Number(number))], now);
        if number % 97 == 0 {
            recorder.end(session, now);
        }
        if number % 61 == 0 {
            flush(&mut store, &mut recorder, now);
        }
        // The parent reads it.
        println!("durable {}", recorder.durable());
    }
}
