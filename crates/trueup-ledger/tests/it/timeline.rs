//! A session's calls in parts, and errors, as they come.

use proptest::prelude::*;
use rusqlite::Connection;
use trueup_core::{Batch, ErrorEvent, Fact, FactId, Key, UnixMs};
use trueup_ledger::{Folded, FoldedSamples, Ledger, OpenOptions, Reader, SAMPLED};

use crate::host::sample;
use crate::laws::{any_call, batch, partly_posted};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn parts_of_a_session_hold_each_of_its_calls_once_and_in_order(
        batches in prop::collection::vec(prop::collection::vec(any_call(), 0..8), 1..8),
        limit in 1..5_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        for calls in &batches {
            ledger.append(&[&batch(&partly_posted(calls))], UnixMs(1)).unwrap();
        }
        let reader = Reader::open(&path).unwrap().unwrap();
        let database = Connection::open(&path).unwrap();
        let sql = "SELECT id FROM llm_calls WHERE session = ?1 ORDER BY id";
        for session in 1..=4_i64 {
            let mut expected = database.prepare(sql).unwrap();
            let expected = expected.query_map([session], |row| row.get(0).map(FactId)).unwrap();
            let expected: Vec<FactId> = expected.map(Result::unwrap).collect();
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let part = reader.timeline(&[session], after, limit).unwrap();
                prop_assert!(part.calls.len() <= limit);
                seen.extend(part.calls.iter().map(|call| call.id));
                after = part.next;
                if after.is_none() {
                    break;
                }
            }
            prop_assert_eq!(seen, expected);
        }
    }
}

#[test]
fn errors_are_read_from_the_last_on_and_samples_are_folded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    let time = |ms: i64| UnixMs(1_795_000_000_000 + ms);
    let error = |ms: i64| {
        Fact::Error(Box::new(ErrorEvent {
            key: Key::fresh(time(ms), 7),
            time: time(ms),
            trace_id: None,
            source: "http".into(),
            session: "".into(),
            error_type: "llm_error".into(),
            message: format!("after {ms} ms"),
            stack_trace: (ms == 2).then(|| "at x".to_owned()),
            severity: "error".into(),
            metadata: None,
        }))
    };
    let mut unread = sample(time(10));
    unread.cpu_millipercent = None;
    let mut high = sample(time(20));
    high.cpu_millipercent = Some(4);
    let samples = [sample(time(0)), unread, high];
    let facts = samples.into_iter().map(|sample| Fact::Host(Box::new(sample)));
    let facts = facts.chain((1..=3).map(error)).collect();
    ledger.append(&[&Batch { facts, ..Batch::default() }], UnixMs(1)).unwrap();

    let reader = Reader::open(&path).unwrap().unwrap();
    let (from, until) = (FactId::first_at(time(0)), FactId::first_at(time(3)));
    assert_eq!(reader.error_count(from, until).unwrap(), 2);
    let mut errors = Vec::new();
    reader.errors(from, until, 9, |error| errors.push(error)).unwrap();
    let told: Vec<_> = errors.iter().map(|error| &*error.message).collect();
    assert_eq!(told, ["after 2 ms", "after 1 ms"]);
    assert_eq!(reader.stack_of_error(errors[0].id).unwrap().as_deref(), Some("at x"));
    assert_eq!(reader.stack_of_error(errors[1].id).unwrap(), None);
    let mut few = 0;
    reader.errors(from, until, 1, |_| few += 1).unwrap();
    assert_eq!(few, 1);

    assert_eq!(reader.sample_count(time(0), time(20)).unwrap(), 2);
    let FoldedSamples { scopes, values } = reader.folded_samples(time(0), time(21)).unwrap();
    assert_eq!((scopes, values.len()), (["cgroup2".to_owned()].into(), SAMPLED.len()));
    assert_eq!(values[0], Some(Folded { samples: 2, sum: 5, max: 4 }));
    let none = reader.folded_samples(time(10), time(11)).unwrap();
    assert_eq!((none.values[0], none.values[1].map(|it| it.max)), (None, Some(2)));
    let nothing = reader.folded_samples(time(30), time(31)).unwrap();
    assert!(nothing.scopes.is_empty() && nothing.values.iter().all(Option::is_none));
}
