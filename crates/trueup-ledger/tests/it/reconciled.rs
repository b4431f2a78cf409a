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
