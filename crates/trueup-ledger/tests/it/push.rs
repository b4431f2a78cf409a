//! What a destination holds is the account, whatever happens on the way.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use rusqlite::Connection;
use trueup_core::UnixMs;
use trueup_ledger::{
    Ack, Effect, Frozen, Ledger, LedgerError, OpenOptions, Outcome, Postponed, Reader, Rejected,
    Value,
};

use crate::laws::{any_call, batch, call, plan};

const NOW: UnixMs = UnixMs(1_795_000_000_000);

fn open(path: &Path) -> Ledger {
    Ledger::open(path, OpenOptions::default()).unwrap()
}

/// A ledger with these active destinations.
fn sending(path: &Path, destinations: &[&str]) -> Ledger {
    let mut ledger = open(path);
    for destination in destinations {
        ledger.activate(destination, "https://hub.example/").unwrap();
    }
    ledger
}

/// One record in a line: what it is, its place, its id, and its output.
fn line(record: &trueup_ledger::Outgoing<'_>) -> String {
    let output = record.fields.iter().find(|(name, _)| *name == "output_tokens");
    let output = output.map_or(0, |(_, value)| match value {
        Value::Integer(output) => *output,
        Value::Null | Value::Real(_) | Value::Text(_) => -1,
    });
    format!("{} {} {} {output}\n", record.kind, record.seq, record.id)
}

/// The next records behind a destination's position, as a batch; `None` where nothing is left.
fn next(path: &Path, destination: &str, events_max: usize) -> Option<Frozen> {
    let reader = Reader::open(path).unwrap().unwrap();
    let after = reader.destination(destination).unwrap().unwrap().acked_seq;
    let mut lines = Vec::new();
    let last: Result<i64, LedgerError> = reader.at_once(|snapshot| {
        snapshot.each(after, |record| {
            if lines.len() == events_max {
                return ControlFlow::Break(());
            }
            lines.push(line(record));
            ControlFlow::Continue(())
        })
    });
    (!lines.is_empty()).then(|| Frozen {
        id: "batch".into(),
        created_at: NOW,
        first_seq: after + 1,
        last_seq: last.unwrap(),
        events: lines.len() as u64,
        bytes: 0,
        is_cut: false,
        encoding: "identity".into(),
        attempts: 0,
        body: Arc::new(lines.concat().into_bytes()),
    })
}

fn outcome(effect: Effect) -> Outcome {
    Outcome {
        at: NOW,
        duration_ms: 7,
        status: "ok",
        http_status: Some(200),
        error: None,
        encoding: None,
        heartbeat_seconds: None,
        effect,
    }
}

fn acked() -> Outcome {
    outcome(Effect::Acked(Ack::default()))
}

fn number(path: &Path, sql: &str) -> i64 {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// A receiver that keeps the newest word on each id.
#[derive(Default)]
struct Receiver(BTreeMap<String, (i64, Option<i64>)>);

impl Receiver {
    fn take(&mut self, batch: &Frozen) {
        for line in std::str::from_utf8(&batch.body).unwrap().lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let (kind, seq, output) = (fields[0], fields[1], fields[3].parse().unwrap());
            let word = (seq.parse().unwrap(), (kind == "llm_trace").then_some(output));
            let known = self.0.entry(fields[2].to_owned()).or_insert(word);
            *known = word.max(*known);
        }
    }

    /// Calls that it counts, and their output.
    fn counted(&self) -> (i64, i64) {
        let outputs: Vec<i64> = self.0.values().filter_map(|(_, output)| *output).collect();
        (i64::try_from(outputs.len()).unwrap(), outputs.iter().sum())
    }
}

/// What happens to a batch on its way.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Acked,
    AnswerLost,
    NeverArrived,
    TakenApart,
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Acked),
        Just(Fate::AnswerLost),
        Just(Fate::NeverArrived),
        Just(Fate::TakenApart)
    ]
}

/// Sends the batch that is on its way, or the next one; whether there was one.
fn send(
    ledger: &mut Ledger,
    path: &Path,
    receiver: &mut Receiver,
    fate: Fate,
    events_max: usize,
) -> bool {
    let frozen = Reader::open(path).unwrap().unwrap().frozen("d").unwrap();
    let batch = if let Some(batch) = frozen {
        batch
    } else {
        let Some(batch) = next(path, "d", events_max) else { return false };
        ledger.freeze("d", &batch).unwrap();
        batch
    };
    if let Fate::Acked | Fate::AnswerLost = fate {
        receiver.take(&batch);
    }
    let outcome = match fate {
        Fate::Acked => acked(),
        Fate::AnswerLost | Fate::NeverArrived => outcome(Effect::Kept(None)),
        Fate::TakenApart => outcome(Effect::Dropped),
    };
    ledger.settle("d", &batch, &outcome).unwrap();
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_receiver_ends_with_the_account(
        steps in prop::collection::vec(
            (prop::collection::vec(any_call(), 0..6), any_fate(), 1..4_usize, any::<bool>()),
            1..12
        ),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let mut ledger = sending(&path, &["d"]);
        let mut receiver = Receiver::default();
        for (calls, fate, events_max, is_crash) in &steps {
            ledger.append(&[&batch(calls)], NOW).unwrap();
            send(&mut ledger, &path, &mut receiver, *fate, *events_max);
            if *is_crash {
                drop(ledger);
                ledger = open(&path);
            }
        }
        while send(&mut ledger, &path, &mut receiver, Fate::Acked, 3) {}
        let calls = number(&path, "SELECT count(*) FROM llm_calls");
        let output = number(&path, "SELECT coalesce(sum(output), 0) FROM llm_calls");
        prop_assert_eq!(receiver.counted(), (calls, output));
        prop_assert_eq!(number(&path, "SELECT count(*) FROM llm_calls WHERE pushed_at IS NULL"), 0);
    }
}

#[test]
fn several_destinations_are_several_positions_over_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = sending(&path, &["a", "b"]);
    let calls: Vec<_> = (0..6).map(|key| call(key, 0, 0, 5, 0, 1)).collect();
    ledger.append(&[&batch(&calls)], NOW).unwrap();
    let pushed = "SELECT count(*) FROM llm_calls WHERE pushed_at IS NOT NULL";
    for (destination, count, expected) in [("a", 6, 0), ("b", 2, 2), ("b", 4, 6)] {
        let batch = next(&path, destination, count).unwrap();
        assert_eq!(batch.events, count as u64);
        ledger.freeze(destination, &batch).unwrap();
        ledger.settle(destination, &batch, &acked()).unwrap();
        assert_eq!(number(&path, pushed), expected);
    }
    assert_eq!(number(&path, "SELECT count(*) FROM outbox"), 0);
}

#[test]
fn what_is_put_off_too_often_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = sending(&path, &["d"]);
    ledger.append(&[&batch(&[call(0, 0, 0, 5, 0, 1)])], NOW).unwrap();
    let mut sent = 0;
    while let Some(batch) = next(&path, "d", 1) {
        let postponed = vec![Postponed { seq: batch.last_seq, reason: "busy".into() }];
        ledger.freeze("d", &batch).unwrap();
        let effect = Effect::Acked(Ack { postponed, ..Ack::default() });
        ledger.settle("d", &batch, &outcome(effect)).unwrap();
        sent += 1;
    }
    assert_eq!(sent, 9);
    let reader = Reader::open(&path).unwrap().unwrap();
    assert_eq!(reader.quarantined("d", 9).unwrap()[0].reason, "put off 8 times: busy");
    assert_eq!(number(&path, "SELECT count(*) FROM llm_calls WHERE pushed_at IS NULL"), 1);
}

#[test]
fn the_log_keeps_the_last_10_000_attempts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = sending(&path, &["d"]);
    let fill = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10000)
         INSERT INTO push_log (trace_id, created_at, destination, batch_id, status, events_pushed,
         bytes, duration_ms) SELECT n, 0, 'd', '', 'ok', 0, 0, 0 FROM n";
    Connection::open(&path).unwrap().execute(fill, []).unwrap();
    ledger.append(&[&batch(&[call(0, 0, 0, 5, 0, 1)])], NOW).unwrap();
    let batch = next(&path, "d", 1).unwrap();
    ledger.freeze("d", &batch).unwrap();
    let rejected = vec![Rejected { seq: batch.last_seq, reason: "no".into() }];
    let effect = Effect::Acked(Ack { rejected, ..Ack::default() });
    ledger.settle("d", &batch, &outcome(effect)).unwrap();
    assert_eq!(number(&path, "SELECT count(*) FROM push_log"), 10_000);
    assert_eq!(number(&path, "SELECT count(DISTINCT trace_id) FROM push_log"), 10_000);
}

#[test]
fn nothing_that_is_sent_or_stamped_is_looked_for_in_a_whole_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    drop(open(&path));
    let database = Connection::open(&path).unwrap();
    for sql in [
        "SELECT t.trace_id FROM llm_traces t LEFT JOIN llm_trace_texts x ON x.id = t.id WHERE t.id = x'00'",
        "SELECT * FROM error_events WHERE id = x'00'",
        "SELECT seq, kind, id FROM outbox WHERE seq > 5 ORDER BY seq",
        "UPDATE llm_calls SET pushed_at = 1 WHERE id IN (SELECT id FROM outbox WHERE seq <= 5 AND kind = 0 AND NOT is_refused)",
        "DELETE FROM outbox WHERE seq <= 5",
    ] {
        let plan = plan(&database, sql);
        assert!(!plan.iter().any(|step| step.contains("SCAN")), "{sql}: {plan:?}");
    }
}
