//! A source's account is put in the place of its present one, whole or not at all.

use std::path::Path;

use proptest::prelude::*;
use rusqlite::Connection;
use trueup_core::{
    Batch, Fact, Key, Origin, Position, Problem, ProblemKind, SessionTotal, StoreId, Tokens, UnixMs,
};
use trueup_ledger::{Check, Ledger, LedgerError, OpenOptions, Reader, Width};

use crate::laws::{any_call, batch, call, session_total, total};

fn open(path: &Path) -> Ledger {
    Ledger::open(path, OpenOptions { has_outbox: true, ..OpenOptions::default() }).unwrap()
}

fn of_source(source: &str, mut batch: Batch) -> Batch {
    for fact in &mut batch.facts {
        if let Fact::Call(call) = fact {
            call.origin.source = source.into();
            call.key = Key::of(source, &[call.key.0]);
        }
    }
    batch
}

/// A call of the source `test` that a client posted.
fn posted(number: u8) -> Batch {
    let mut call = call(number, 0, 0, 5, 0, 1);
    call.key = Key::of("http", &[[number]]);
    call.trace_id = Some("posted".into());
    batch(&[call])
}

fn claim(session: &str) -> Fact {
    let tokens = Tokens { input: 1_000, ..Tokens::ZERO };
    session_claim(session, "", UnixMs(1_795_000_000_000), tokens)
}

/// A claimed run of the source `test`.
pub(crate) fn session_claim(session: &str, parent: &str, time: UnixMs, tokens: Tokens) -> Fact {
    Fact::SessionTotal(Box::new(SessionTotal {
        key: Key::of("test", &[b"claim", session.as_bytes()]),
        time,
        origin: Origin {
            source: "test".into(),
            provider: "p".into(),
            model: "m".into(),
            project: "".into(),
            session: session.into(),
            kind: "".into(),
        },
        started: None,
        parent: parent.into(),
        tokens,
        reported_cost: None,
    }))
}

fn rebuild(ledger: &mut Ledger, batches: &[Batch]) -> (u64, u64) {
    let filled = ledger.rebuild("test", UnixMs(9), |rebuild| {
        for batch in batches {
            rebuild.append(&[batch])?;
        }
        rebuild.lost()
    });
    filled.map_err(|error: LedgerError| error.to_string()).unwrap()
}

fn reader(path: &Path) -> Reader {
    Reader::open(path).unwrap().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_rebuilt_account_is_that_of_a_fresh_ledger(
        before in prop::collection::vec(any_call(), 0..30),
        after in prop::collection::vec(any_call(), 0..30),
        others in prop::collection::vec(any_call(), 0..10),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let mut ledger = open(&path);
        let others = of_source("other", batch(&others));
        ledger.append(&[&batch(&before), &others, &posted(1)], UnixMs(1)).unwrap();
        ledger.append(&[&Batch { facts: vec![claim("s1"), claim("s9")], ..Batch::default() }], UnixMs(1)).unwrap();
        let new = [Batch { facts: vec![claim("s8")], ..Batch::default() }, batch(&after)];
        rebuild(&mut ledger, &new);
        drop(ledger);

        let fresh = folder.path().join("fresh.db");
        let mut ledger = open(&fresh);
        for batch in [&others, &posted(1)].into_iter().chain(&new) {
            ledger.append(&[batch], UnixMs(1)).unwrap();
        }
        let (reader, fresh) = (reader(&path), reader(&fresh));
        prop_assert_eq!(reader.check().unwrap(), Check::default());
        for width in Width::ALL {
            prop_assert_eq!(total(&reader, width), total(&fresh, width), "{:?}", width);
        }
        prop_assert_eq!(session_total(&reader), session_total(&fresh));
        let keys = |path: &str| -> i64 {
            let database = Connection::open(folder.path().join(path)).unwrap();
            database.query_row("SELECT count(*) FROM fact_keys", [], |row| row.get(0)).unwrap()
        };
        prop_assert_eq!(keys("l.db"), keys("fresh.db"));
    }
}

#[test]
fn who_reads_meanwhile_sees_the_old_account_and_so_does_who_comes_after_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = open(&path);
    ledger.append(&[&batch(&[call(1, 0, 0, 7, 0, 0), call(2, 0, 0, 8, 0, 0)])], UnixMs(1)).unwrap();
    let before = total(&reader(&path), Width::Day);
    let failed = ledger.rebuild("test", UnixMs(2), |rebuild| {
        rebuild.append(&[&batch(&[call(2, 0, 0, 8, 0, 0)])])?;
        assert_eq!(total(&reader(&path), Width::Day), before);
        assert_eq!(rebuild.lost()?, (1, 0));
        Err::<(), _>(LedgerError::NotALedger { path: path.clone(), what: "a test" })
    });
    assert!(failed.is_err());
    assert_eq!(total(&reader(&path), Width::Day), before);
    // Names that the failed one gave numbers to are not taken for known.
    ledger.append(&[&batch(&[call(3, 0, 0, 1, 0, 3)])], UnixMs(3)).unwrap();
    assert_eq!(rebuild(&mut ledger, &[batch(&[call(2, 0, 0, 8, 0, 0)])]), (2, 0));
    let reader = reader(&path);
    assert_eq!(total(&reader, Width::Quarter).calls, 1);
    assert_eq!(reader.check().unwrap(), Check::default());
}

#[test]
fn what_is_no_longer_there_as_a_row_stays_known_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = open(&path);
    let both = batch(&[call(1, 0, 0, 7, 0, 0), call(2, 0, 0, 8, 0, 0)]);
    ledger.append(&[&both], UnixMs(1)).unwrap();
    let before = total(&reader(&path), Width::Day);
    // As retention will: the row goes, its sums and its key stay.
    let database = Connection::open(&path).unwrap();
    database.execute("DELETE FROM llm_calls WHERE output = 7", []).unwrap();
    drop(database);
    assert_eq!(rebuild(&mut ledger, &[both]), (0, 0));
    assert_eq!(total(&reader(&path), Width::Day), before);
    rebuild(&mut ledger, &[]);
    assert_eq!(total(&reader(&path), Width::Day).tokens.output, 7);
}

#[test]
fn positions_and_problems_of_the_source_go_and_those_of_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = open(&path);
    let store =
        |source: &str| StoreId { source: source.into(), path: "/f".into(), part: "".into() };
    let problem = || Problem { kind: ProblemKind::NotJson, line: 3, detail: "x".into() };
    let of = |source: &str| Batch {
        positions: vec![(store(source), Position { offset: 5, ..Position::default() })],
        problems: vec![(store(source), problem())],
        ..Batch::default()
    };
    ledger.append(&[&of("test"), &of("other")], UnixMs(1)).unwrap();
    rebuild(&mut ledger, &[]);
    let reader = reader(&path);
    let positions = reader.positions().unwrap();
    assert!(positions.get(&store("test")).is_none() && positions.get(&store("other")).is_some());
    let problems = reader.problems(9).unwrap();
    assert_eq!(problems.iter().map(|of| &*of.store.source).collect::<Vec<_>>(), ["other"]);
}

#[test]
fn many_pages_of_calls_are_put_in_the_place_of_as_many() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = open(&path);
    let calls = |from: u32, until: u32| -> Batch {
        let one = |number: u32| {
            let minute = i64::from(number / 3);
            let mut call = call(1, 0, 0, u64::from(number % 9), minute, (number % 3) as u8);
            call.key = Key::of("test", &[number.to_le_bytes()]);
            call
        };
        batch(&(from..until).map(one).collect::<Vec<_>>())
    };
    ledger.append(&[&calls(0, 17_000)], UnixMs(1)).unwrap();
    assert_eq!(rebuild(&mut ledger, &[calls(0, 9_000), calls(9_000, 16_000)]), (1_000, 0));
    let reader = reader(&path);
    assert_eq!(total(&reader, Width::Day).calls, 16_000);
    assert_eq!(reader.check().unwrap(), Check::default());
}

#[test]
fn a_copy_is_the_whole_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("l.db"), folder.path().join("copy.db"));
    let mut ledger = open(&path);
    ledger.append(&[&batch(&[call(1, 0, 0, 7, 0, 0)])], UnixMs(1)).unwrap();
    // Beside the writer, whose last words are only in the write-ahead log.
    reader(&path).copy(&copy).unwrap();
    assert_eq!(total(&reader(&copy), Width::Day), total(&reader(&path), Width::Day));
    let mut copied = open(&copy);
    let known = copied.append(&[&batch(&[call(1, 0, 0, 7, 0, 0)])], UnixMs(1)).unwrap();
    assert_eq!((known.added, known.known), (0, 1));
}

#[test]
fn a_claim_that_is_read_again_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = open(&path);
    let claims = || Batch { facts: vec![claim("s1")], ..Batch::default() };
    let first = ledger.append(&[&claims()], UnixMs(1)).unwrap();
    assert_eq!((first.added, first.claims), (1, 1));
    let second = ledger.append(&[&claims()], UnixMs(2)).unwrap();
    assert_eq!((second.added, second.known, second.claims), (0, 1, 0));
    assert_eq!(rebuild(&mut ledger, &[claims()]), (0, 0));
    assert_eq!(rebuild(&mut ledger, &[]), (0, 1));
    assert_eq!(reader(&path).check().unwrap(), Check::default());
}
