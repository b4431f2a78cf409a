//! Logs that the first version wrote, which every later one reads.

use std::fs;
use std::path::Path;

use trueup_telemetry::state::read_open_log;

use crate::world::{NOON, TURN, World, deliver, later, plan, roomy, seal, sum};

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)).unwrap()
}

#[test]
fn an_open_log_of_version_1_is_read() {
    let log = read_open_log(&fixture("open-v1.log"));
    assert_eq!((log.version, log.unread_bytes), (1, 0));
    let (parts, unknown) = log.parts(&plan());
    assert_eq!(unknown, 0);
    let told: Vec<_> = parts
        .iter()
        .map(|part| (part.serial, part.window_seq, part.reason.is_some(), part.sums.count()))
        .collect();
    assert_eq!(told, [(0, 0, true, 3), (1, 0, false, 2)]);
}

#[test]
fn an_outbox_of_version_1_is_read_and_goes_on() {
    let world = World::new(roomy());
    fs::create_dir_all(world.path().join("outbox")).unwrap();
    fs::write(world.path().join("outbox").join("log"), fixture("outbox-v1.log")).unwrap();
    fs::write(world.path().join("open-1-aa.log"), fixture("open-v1.log")).unwrap();
    fs::write(world.path().join("ledger"), fixture("ledger-v1.log")).unwrap();
    let mut store = world.store();
    let look = store.look(NOON).unwrap();
    assert_eq!(look.items.len(), 3);
    assert_eq!((look.spent.rollups, look.spent.events, look.spent.requests), (1, 1, 1));
    assert_eq!(look.days, [(TURN.to_owned(), trueup_telemetry::budget::Day::of(NOON), 2)]);
    let tomorrow = later(NOON, trueup_core::DAY_MS);
    seal(&mut store, None, tomorrow);
    // What the log says is queued has no bytes here, and is set aside.
    let events = deliver(&mut store, tomorrow);
    assert_eq!(sum(&events, TURN, "count"), 2 + 3 + 2);
}
