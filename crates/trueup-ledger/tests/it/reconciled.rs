//! Comparisons are remembered.

use trueup_core::{DAY_MS, UnixMs};
use trueup_ledger::{Ledger, OpenOptions, Reader, Reconciled};

#[test]
fn comparisons_are_remembered_the_latest_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    let run = |day: i64, provider: Option<&str>| Reconciled {
        run_id: format!("run{day}"),
        at: UnixMs(100 * DAY_MS + day),
        from: UnixMs(day * DAY_MS),
        until: UnixMs((day + 1) * DAY_MS),
        provider: provider.map(str::to_owned),
        connection: None,
        is_partial: provider.is_none(),
        verdict: "parity".to_owned(),
        inputs: [7; 16],
        summary: "{}".to_owned(),
    };
    for (day, provider) in [(1, None), (2, Some("openai"))] {
        ledger.record_reconciliation(&run(day, provider)).unwrap();
    }
    let reader = Reader::open(&path).unwrap().unwrap();
    let known = reader.reconciliations(10).unwrap();
    assert_eq!(known, [run(2, Some("openai")), run(1, None)]);
    assert_eq!(reader.reconciliations(1).unwrap(), known[..1]);
}

#[test]
fn a_run_that_could_not_read_all_takes_the_place_of_none_that_could() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    let run = |day: i64, verdict: &str| Reconciled {
        run_id: format!("run{day} {verdict}"),
        at: UnixMs(100 * DAY_MS),
        from: UnixMs(day * DAY_MS),
        until: UnixMs((day + 1) * DAY_MS),
        provider: None,
        connection: None,
        is_partial: false,
        verdict: verdict.to_owned(),
        inputs: [7; 16],
        summary: "{}".to_owned(),
    };
    let old = [run(1, "unreadable"), run(1, "parity"), run(1, "unreadable"), run(2, "parity")];
    for one in &old {
        ledger.record_reconciliation(one).unwrap();
    }
    // They are older than those that are kept without asking.
    let database = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE reconciliations SET id = id - 20000 WHERE from_ms = ?1";
    assert_eq!(database.execute(sql, [DAY_MS]).unwrap(), 3);
    ledger.record_reconciliation(&run(3, "parity")).unwrap();
    let reader = Reader::open(&path).unwrap().unwrap();
    let known: Vec<String> =
        reader.reconciliations(10).unwrap().into_iter().map(|run| run.run_id).collect();
    assert_eq!(known, ["run3 parity", "run2 parity", "run1 unreadable", "run1 parity"]);
}
