//! Alerts are told once, and wait until they are delivered.

use rusqlite::Connection;
use trueup_core::{DAY_MS, UnixMs};
use trueup_ledger::{
    ALERTS_LOST, AlertChange, AlertState, DeliveryEnd, Ledger, OpenOptions, Reader,
};

const NOW: UnixMs = UnixMs(20_000 * DAY_MS);

fn change(cell: &str, before: u32, level: u32) -> AlertChange {
    let told = level > before;
    AlertChange {
        state: AlertState {
            class: "budget".to_owned(),
            cell: cell.to_owned(),
            level,
            since: NOW,
            told_id: told.then(|| format!("{cell}-{level}")),
        },
        before,
        message: told.then(|| (format!("{cell}-{level}"), format!("{{\"level\":{level}}}"))),
    }
}

fn open() -> (tempfile::TempDir, Ledger, Reader) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    let reader = Reader::open(&path).unwrap().unwrap();
    (folder, ledger, reader)
}

#[test]
fn a_level_is_told_once_to_each_sink() {
    let (_folder, mut ledger, reader) = open();
    let sinks = ["log", "webhook"];
    let raised = [change("all/2026-11", 0, 80)];
    ledger.record_alerts(&raised, &sinks, NOW).unwrap();
    assert_eq!(reader.alerts().unwrap(), [raised[0].state.clone()]);
    // Who did not see that changes nothing.
    ledger.record_alerts(&raised, &sinks, NOW).unwrap();
    let waiting = reader.alert_deliveries().unwrap();
    let seen: Vec<_> = waiting.iter().map(|one| (&*one.sink, &*one.alert_id)).collect();
    assert_eq!(seen, [("log", "all/2026-11-80"), ("webhook", "all/2026-11-80")]);
    // It falls without a word, and may be reached again.
    let fallen = [change("all/2026-11", 80, 0)];
    ledger.record_alerts(&fallen, &sinks, NOW).unwrap();
    assert_eq!(reader.alert_deliveries().unwrap(), waiting);
    assert_eq!(reader.alerts().unwrap(), [fallen[0].state.clone()]);
    ledger.record_alerts(&raised, &sinks, NOW).unwrap();
    assert_eq!(reader.alert_deliveries().unwrap().len(), 4);
}

#[test]
fn what_is_delivered_or_refused_goes_and_what_failed_waits() {
    let (_folder, mut ledger, reader) = open();
    let sinks = ["log", "file", "webhook"];
    ledger.record_alerts(&[change("all/2026-11", 0, 50)], &sinks, NOW).unwrap();
    let ids: Vec<i64> = reader.alert_deliveries().unwrap().iter().map(|one| one.id).collect();
    ledger.end_alert_delivery(ids[0], &DeliveryEnd::Delivered).unwrap();
    ledger.end_alert_delivery(ids[1], &DeliveryEnd::Refused).unwrap();
    ledger.end_alert_delivery(ids[2], &DeliveryEnd::Failed("HTTP 503".to_owned())).unwrap();
    let waiting = reader.alert_deliveries().unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].id, waiting[0].attempts), (ids[2], 1));
    assert_eq!(waiting[0].created_at, NOW);
    assert_eq!(waiting[0].error.as_deref(), Some("HTTP 503"));
    assert_eq!(reader.counter(ALERTS_LOST).unwrap(), 1);
}

#[test]
fn what_waits_and_what_is_remembered_is_bounded() {
    let (_folder, mut ledger, reader) = open();
    let many: Vec<AlertChange> =
        (0..1_010).map(|at| change(&format!("b{at:04}/2026-11"), 0, 50)).collect();
    ledger.record_alerts(&many, &["webhook"], NOW).unwrap();
    let waiting = reader.alert_deliveries().unwrap();
    assert_eq!((waiting.len(), &*waiting[0].alert_id), (1_000, "b0010/2026-11-50"));
    assert_eq!(reader.counter(ALERTS_LOST).unwrap(), 10);
    assert_eq!(reader.alerts().unwrap().len(), 1_010);
    let later = UnixMs(NOW.0 + 100 * DAY_MS + 1);
    ledger.record_alerts(&[], &["webhook"], later).unwrap();
    assert_eq!(reader.alerts().unwrap(), []);
}

#[test]
fn what_was_delivered_takes_no_room_from_what_waits() {
    let (_folder, mut ledger, reader) = open();
    for at in 0..600 {
        let raised = [change(&format!("b{at:04}/2026-11"), 0, 50)];
        ledger.record_alerts(&raised, &["log", "webhook"], NOW).unwrap();
        let waiting = reader.alert_deliveries().unwrap();
        let log = waiting.iter().find(|one| one.sink == "log").unwrap();
        ledger.end_alert_delivery(log.id, &DeliveryEnd::Delivered).unwrap();
    }
    let waiting = reader.alert_deliveries().unwrap();
    assert_eq!((waiting.len(), &*waiting[0].alert_id), (600, "b0000/2026-11-50"));
    assert_eq!(reader.counter(ALERTS_LOST).unwrap(), 0);
}

#[test]
fn a_ledger_of_an_older_program_has_none() {
    let (folder, ledger, _) = open();
    drop(ledger);
    let path = folder.path().join("ledger.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch("DROP TABLE alerts; DROP TABLE alert_deliveries; PRAGMA user_version = 9")
        .unwrap();
    drop(old);
    let reader = Reader::open(&path).unwrap().unwrap();
    assert!(reader.alerts().unwrap().is_empty() && reader.alert_deliveries().unwrap().is_empty());
    let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    let raised = change("a", 0, 50);
    ledger.record_alerts(std::slice::from_ref(&raised), &["log"], NOW).unwrap();
    assert_eq!(reader.alerts().unwrap(), [raised.state]);
}
