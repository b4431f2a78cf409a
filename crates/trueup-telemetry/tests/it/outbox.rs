//! Bytes that are fixed before they leave, what is shown of them, and what is left when consent goes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use trueup_core::{DAY_MS, UnixMs};
use trueup_telemetry::budget::{Caps, Class, Day, Short};
use trueup_telemetry::outbox::{
    Draft, ItemState, LEASE_MS, TTL_MS, Verdict, event_uuid, sha256_hex,
};
use trueup_telemetry::state::{Next, Queued, StateError, Store};

use crate::world::{
    NOON, TURN, World, encode, events, flush, later, next, property, roomy, seal, sum,
};

/// A store with the rollups of `sessions` sessions in its outbox.
fn queued(world: &World, sessions: i64) -> Store {
    let (mut recorder, mut store) = (world.recorder(NOON), world.store());
    for number in 0..sessions {
        world.turn(&mut recorder, &format!("session-{number}"), number, NOON);
    }
    store.shut_down(recorder, NOON, &mut encode).unwrap();
    store
}

fn draft(class: Class, name: &str, body: &[u8]) -> Draft {
    Draft {
        class,
        event: name.to_owned(),
        uuids: vec![event_uuid(uuid::Uuid::NAMESPACE_OID, &[name])],
        day: Day::of(NOON),
        body: body.to_vec(),
    }
}

#[test]
fn check_31_what_is_shown_is_to_the_byte_what_is_sent_and_logged() {
    let world = World::new(roomy());
    let mut store = queued(&world, 3);
    loop {
        let shown = world.store().look(NOON).unwrap().next;
        let Some(sent) = next(&mut store, NOON) else {
            assert_eq!(shown, None);
            break;
        };
        let shown = shown.unwrap();
        assert_eq!((shown.number, &shown.body), (sent.number, &sent.body));
        assert_eq!(sha256_hex(&sent.body), sent.item.sha256);
        store.settle(sent.number, Verdict::Delivered { status: 200 }, NOON).unwrap();
        let look = world.store().look(NOON).unwrap();
        let logged = look.items.iter().find(|item| item.number == sent.number).unwrap();
        assert_eq!((logged.state, logged.status), (ItemState::Sent, Some(200)));
        assert_eq!(store.body(logged).unwrap().unwrap(), sent.body);
    }
}

#[test]
fn check_31_bytes_that_changed_on_disk_are_never_sent() {
    let world = World::new(roomy());
    let mut store = queued(&world, 2);
    let body = world.path().join("outbox").join("00000001.body");
    let mut bytes = fs::read(&body).unwrap();
    bytes[0] ^= 1;
    fs::write(&body, bytes).unwrap();
    assert_eq!(next(&mut store, NOON).unwrap().number, 2);
    let items = store.look(NOON).unwrap().items;
    assert_eq!(items[0].state, ItemState::Quarantined);
}

#[test]
fn check_32_retries_are_the_same_bytes_ids_and_times_whatever_restarts() {
    let world = World::new(roomy());
    drop(queued(&world, 1));
    let mut seen = BTreeSet::new();
    let mut now = NOON;
    for attempt in 1..=3 {
        let mut store = world.store();
        let request = next(&mut store, now).unwrap();
        seen.insert((request.item.uuids.clone(), request.body.clone()));
        assert_eq!(request.item.attempts, attempt);
        let verdict = match attempt {
            3 => Verdict::Delivered { status: 200 },
            _ => Verdict::Retry { next: later(now, 200), status: Some(503) },
        };
        store.settle(request.number, verdict, now).unwrap();
        assert_eq!(next(&mut world.store(), now), None, "not before its time");
        now = later(now, 200);
    }
    assert_eq!(seen.len(), 1);
    let look = world.store().look(now).unwrap();
    assert_eq!((look.spent.events, look.spent.requests), (1, 3), "one event in three requests");
}

#[test]
fn a_request_that_is_never_answered_is_tried_again_after_its_lease() {
    let world = World::new(roomy());
    let mut store = queued(&world, 1);
    let first = next(&mut store, NOON).unwrap();
    assert_eq!(next(&mut world.store(), later(NOON, LEASE_MS - 1)), None);
    let second = next(&mut world.store(), later(NOON, LEASE_MS)).unwrap();
    assert_eq!(first.body, second.body);
}

#[test]
fn a_refused_request_is_kept_aside_and_others_go_on() {
    let world = World::new(roomy());
    let mut store = queued(&world, 2);
    let first = next(&mut store, NOON).unwrap();
    let reason = "malformed".to_owned();
    store.settle(first.number, Verdict::Refused { status: Some(400), reason }, NOON).unwrap();
    assert_eq!(next(&mut store, NOON).unwrap().number, 2);
    store.settle(first.number, Verdict::Delivered { status: 200 }, NOON).unwrap();
    let item = store.look(NOON).unwrap().items.remove(0);
    assert_eq!((item.state, item.status), (ItemState::Quarantined, Some(400)), "the first stands");
}

#[test]
fn a_request_is_divided_without_counting_its_events_again() {
    let world = World::new(roomy());
    let mut store = world.store();
    let mut whole = draft(Class::Historical, "historical_activity", b"[1,2]");
    whole.uuids = ["a", "b"].map(|day| event_uuid(uuid::Uuid::NAMESPACE_OID, &[day])).to_vec();
    assert_eq!(store.queue(whole.clone(), None, NOON).unwrap(), Queued::As(1));
    next(&mut store, NOON).unwrap();
    let halves = whole.uuids.iter().zip([b"[1]", b"[2]"]).map(|(uuid, body)| Draft {
        uuids: vec![*uuid],
        body: body.to_vec(),
        ..whole.clone()
    });
    store.settle(1, Verdict::Split(halves.collect()), NOON).unwrap();
    let sent = crate::world::deliver(&mut store, NOON);
    assert_eq!(sent, [serde_json::json!([1]), serde_json::json!([2])]);
    assert_eq!(store.look(NOON).unwrap().spent.historical, 2);
}

#[test]
fn what_waited_a_week_is_given_up_and_counted_but_not_history() {
    let world = World::new(roomy());
    let mut store = queued(&world, 3);
    store.queue(draft(Class::Historical, "historical_activity", b"[]"), None, NOON).unwrap();
    let late = later(NOON, TTL_MS + 1);
    seal(&mut store, None, late);
    let look = store.look(late).unwrap();
    assert_eq!((look.items.len(), look.expired), (1, 3));
    assert_eq!(next(&mut store, late).unwrap().item.class, Class::Historical);
}

#[test]
fn nothing_is_sent_while_the_outbox_rests() {
    let world = World::new(roomy());
    let mut store = queued(&world, 1);
    let midnight = Day(Day::of(NOON).0 + 1).start();
    store.rest(midnight, NOON).unwrap();
    assert_eq!(next(&mut world.store(), NOON), None);
    assert!(next(&mut world.store(), midnight).is_some());
}

#[test]
fn a_wait_of_years_is_a_day_and_not_none() {
    let world = World::new(roomy());
    let mut store = queued(&world, 1);
    let request = next(&mut store, NOON).unwrap();
    let verdict = Verdict::Retry { next: later(NOON, 900 * DAY_MS), status: Some(429) };
    store.settle(request.number, verdict, NOON).unwrap();
    assert_eq!(next(&mut store, later(NOON, DAY_MS - 1)), None);
    store.rest(later(NOON, 900 * DAY_MS), later(NOON, 1_000)).unwrap();
    assert_eq!(next(&mut store, later(NOON, DAY_MS)), None);
    assert!(next(&mut store, later(NOON, DAY_MS + 120_000)).is_some());
}

#[test]
fn what_is_sent_in_the_place_of_another_is_counted_unless_it_was_of_it() {
    let world = World::new(roomy());
    let mut store = world.store();
    store.queue(draft(Class::Lifecycle, "a", b"1"), None, NOON).unwrap();
    let request = next(&mut store, NOON).unwrap();
    let others = vec![
        draft(Class::Lifecycle, "a", b"2"),
        draft(Class::Lifecycle, "b", b"3"),
        Draft { uuids: Vec::new(), ..draft(Class::Lifecycle, "c", b"4") },
    ];
    store.settle(request.number, Verdict::Split(others), NOON).unwrap();
    assert_eq!(crate::world::deliver(&mut store, NOON).len(), 3);
    assert_eq!(store.look(NOON).unwrap().spent.events, 3, "`a` once, `b`, and what has no id");
}

#[test]
fn what_is_larger_than_a_day_is_set_aside_at_once() {
    let world = World::new(Caps::default());
    let mut store = world.store();
    let large = draft(Class::Lifecycle, "worker_started", &vec![b'x'; 32_769]);
    assert_eq!(store.queue(large, None, NOON).unwrap(), Queued::TooLarge(1));
    assert_eq!(next(&mut store, NOON), None);
}

#[test]
fn events_of_their_own_have_limits_that_no_restart_resets() {
    let world = World::new(Caps::default());
    let queue =
        |class, name: &str, max| world.store().queue(draft(class, name, b"{}"), max, NOON).unwrap();
    assert_eq!(queue(Class::Lifecycle, "worker_started", Some(1)), Queued::As(1));
    assert_eq!(queue(Class::Lifecycle, "worker_started", Some(1)), Queued::OftenEnough);
    let exception = queue(Class::Exception, "$exception", None);
    assert_eq!(exception, Queued::Refused(Short::Exceptions), "none unless the manifest asks");
    for _ in 0..3 {
        assert!(matches!(queue(Class::Lifecycle, "other", None), Queued::As(_)));
    }
    assert_eq!(queue(Class::Lifecycle, "other", None), Queued::Refused(Short::Events));
}

#[test]
fn when_consent_goes_everything_goes_but_the_ledger() {
    let world = World::new(roomy());
    let mut store = queued(&world, 2);
    next(&mut store, NOON).unwrap();
    let mut living = world.recorder(NOON);
    world.turn(&mut living, "before", 1, NOON);
    store.purge().unwrap();
    let names: Vec<_> =
        world.files("").into_iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["ledger", "lock", "salt"]);
    assert_eq!(next(&mut store, NOON), None);
    assert_eq!(store.look(NOON).unwrap().spent.events, 1, "the day's ceiling stays");
    // A process that did not know yet keeps nothing of what it recorded before.
    assert!(flush(&mut store, &mut living, NOON).is_purged);
    world.turn(&mut living, "after", 40, NOON);
    store.shut_down(living, NOON, &mut encode).unwrap();
    assert_eq!(sum(&events(&store), TURN, "total_tokens_input"), 40);
}

#[test]
fn to_look_makes_no_file_and_an_empty_folder_stays_empty() {
    let world = World::new(Caps::default());
    let look = world.store().look(NOON).unwrap();
    assert!(look.items.is_empty() && look.next.is_none() && look.days.is_empty());
    world.store().purge().unwrap();
    assert!(!world.path().exists());
}

#[test]
fn a_state_that_is_held_by_another_is_not_waited_for() {
    let world = World::new(roomy());
    let mut store = queued(&world, 1);
    let lock = fs::File::open(world.path().join("lock")).unwrap();
    lock.lock().unwrap();
    assert!(matches!(store.next(NOON), Err(StateError::Busy { .. })));
    assert!(store.look(NOON).unwrap().next.is_some());
    lock.unlock().unwrap();
    assert!(matches!(store.next(NOON), Ok(Next::Send(_))));
}

#[test]
fn two_stores_of_one_folder_see_what_the_other_did() {
    let world = World::new(roomy());
    let mut one = queued(&world, 2);
    let mut two = world.store();
    let (first, second) = (next(&mut one, NOON).unwrap(), next(&mut two, NOON).unwrap());
    assert_eq!((first.number, second.number), (1, 2));
    one.settle(2, Verdict::Delivered { status: 200 }, NOON).unwrap();
    two.settle(1, Verdict::Delivered { status: 200 }, NOON).unwrap();
    assert_eq!(next(&mut one, later(NOON, LEASE_MS)), None);
}

#[test]
fn check_13_keys_of_sessions_are_in_no_file_and_no_byte_that_is_sent() {
    let world = World::new(roomy());
    let key = "session-of-acme-corp-4711";
    let (mut recorder, mut store) = (world.recorder(NOON), world.store());
    world.turn(&mut recorder, key, 1, NOON);
    recorder.persist(NOON);
    flush(&mut store, &mut recorder, NOON);
    let hash = format!("{:?}", recorder.session(key));
    let hash = hash.trim_start_matches("SessionId(").trim_end_matches(')').to_owned();
    let log = String::from_utf8(fs::read(world.files("open-").remove(0)).unwrap()).unwrap();
    assert!(log.contains(&hash), "on disk there is the hash");
    store.shut_down(recorder, NOON, &mut encode).unwrap();
    for request in std::iter::from_fn(|| next(&mut store, NOON)) {
        assert!(!String::from_utf8(request.body).unwrap().contains(&hash));
    }
    let mut files = 0;
    walk(&world.path(), &mut |path| {
        let bytes = fs::read(path).unwrap();
        files += 1;
        assert!(
            !bytes.windows(key.len()).any(|window| window == key.as_bytes()),
            "{}",
            path.display()
        );
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            path.display()
        );
    });
    assert!(files >= 4);
    let mode = world.path().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

fn walk(folder: &Path, see: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, see) } else { see(&path) }
    }
}

#[test]
fn an_unreadable_ledger_sends_nothing_today_and_is_kept() {
    let world = World::new(roomy());
    let mut store = queued(&world, 1);
    fs::write(world.path().join("ledger"), b"{\"day\":").unwrap();
    assert!(matches!(store.next(NOON), Ok(Next::Short(Short::Unreadable))));
    assert!(matches!(world.store().next(UnixMs(NOON.0 - 3 * DAY_MS)), Ok(Next::Short(_))));
    assert_eq!(fs::read(world.path().join("ledger.damaged")).unwrap(), b"{\"day\":");
    assert!(next(&mut store, later(NOON, DAY_MS)).is_some());
}

#[test]
fn the_same_bucket_gets_the_same_id_and_no_two_buckets_do() {
    let world = World::new(roomy());
    let mut ids = BTreeSet::new();
    for round in 0..3 {
        let store = queued(&world, 4);
        let events = events(&store);
        assert_eq!(events.len(), 4 * (round + 1));
        ids.extend(events.iter().map(|event| event["uuid"].as_str().unwrap().to_owned()));
        let first: Vec<_> = events.iter().map(|event| property(event, "window_seq")).collect();
        assert!(first.iter().all(|seq| **seq == 0));
    }
    assert_eq!(ids.len(), 12, "the same session, in three processes");
}
