//! Append, repeat, reorder, reopen: the sums are always those of the model.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rusqlite::Connection;
use trueup_core::{
    Batch, Billing, Call, Counters, Fact, Key, NanoUsd, Origin, Outcome, Owner, Position, Rank,
    Stamp, StoreId, Tokens, UnixMs, Variant, Verdict, settle,
};
use trueup_ledger::{CallRow, Check, Ledger, LedgerError, OpenOptions, Reader, Width};

pub(crate) fn call(
    key: u8,
    variant: i64,
    standing: u8,
    output: u64,
    minute: i64,
    session: u8,
) -> Call {
    let tokens = Tokens { input: 10, output, ..Tokens::ZERO };
    let session = format!("s{session}");
    let origin = Origin {
        source: "test".into(),
        provider: "p".into(),
        model: if key.is_multiple_of(2) { "even".into() } else { "odd".into() },
        project: "/p".into(),
        session: session.as_str().into(),
        kind: "".into(),
    };
    let time = UnixMs(1_795_000_000_000 + minute * 60_000);
    Call {
        variant: Variant(variant),
        rank: Rank::new(standing, &tokens, false, Owner::new(UnixMs(0), &session)),
        reported_cost: key.is_multiple_of(3).then_some(NanoUsd(5)),
        outcome: if key.is_multiple_of(5) {
            Outcome::Failed { error_type: "e".into() }
        } else {
            Outcome::Ok
        },
        ..plain_call(Key::of("test", &[[key]]), time, origin, tokens)
    }
}

/// A call that was answered, without a cost or a copy.
pub(crate) fn plain_call(key: Key, time: UnixMs, origin: Origin, tokens: Tokens) -> Call {
    Call {
        key,
        variant: Variant(0),
        rank: Rank::new(0, &tokens, false, Owner::new(UnixMs(0), &origin.session)),
        twin: None,
        time,
        origin,
        tokens,
        billing: Billing::default(),
        reported_cost: None,
        latency_ms: None,
        time_to_first_token_ms: None,
        outcome: Outcome::Ok,
        trace_id: None,
        body: None,
    }
}

/// The same as if clients had posted some of them: all copies of a call or none.
pub(crate) fn partly_posted(calls: &[Call]) -> Vec<Call> {
    let mut calls = calls.to_vec();
    for call in calls.iter_mut().filter(|call| call.key.0[0].is_multiple_of(2)) {
        call.trace_id = Some("a client's own".into());
    }
    calls
}

pub(crate) fn batch(calls: &[Call]) -> Batch {
    Batch {
        facts: calls.iter().cloned().map(|call| Fact::Call(Box::new(call))).collect(),
        ..Batch::default()
    }
}

/// What must be counted: every key settled, whatever the order.
fn model(calls: &[Call]) -> Counters {
    let mut counted: BTreeMap<Key, Vec<Call>> = BTreeMap::new();
    for call in calls {
        let group = counted.entry(call.key).or_default();
        let ranks: Vec<_> = group.iter().map(|call| (call.variant, call.rank)).collect();
        match settle(&ranks, call.variant, call.rank) {
            Verdict::Add => group.push(call.clone()),
            Verdict::Replace(at) => group[at] = call.clone(),
            Verdict::ReplaceAll => *group = vec![call.clone()],
            Verdict::Ignore => {}
        }
    }
    counted
        .values()
        .flatten()
        .map(Counters::of_call)
        .fold(Counters::default(), |sum, c| sum.plus(&c))
}

pub(crate) fn total(reader: &Reader, width: Width) -> Counters {
    let mut sum = Counters::default();
    reader
        .usage_by_time(width, UnixMs(i64::MIN), UnixMs(i64::MAX), |usage| {
            sum = sum.plus(&usage.counters);
        })
        .unwrap();
    sum
}

pub(crate) fn session_total(reader: &Reader) -> Counters {
    let mut sum = Counters::default();
    reader
        .usage_by_session(UnixMs(i64::MIN), UnixMs(i64::MAX), |usage| {
            sum = sum.plus(&usage.counters);
        })
        .unwrap();
    sum
}

prop_compose! {
    pub(crate) fn any_call()(key in 0..12_u8, variant in 0..2_i64, standing in 0..3_u8, output in 0..50_u64, minute in 0..200_000_i64, session in 0..4_u8) -> Call {
        call(key, variant, standing, output, minute, session)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn sums_are_those_of_the_model_in_every_width(
        batches in prop::collection::vec(prop::collection::vec(any_call(), 0..8), 1..8),
        reopen in prop::collection::vec(any::<bool>(), 8),
        repeat in 0..8_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let mut ledger = Ledger::open(&path, OpenOptions { has_outbox: true, ..OpenOptions::default() }).unwrap();
        let mut seen = Vec::new();
        for (at, calls) in batches.iter().enumerate() {
            let calls = partly_posted(calls);
            ledger.append(&[&batch(&calls)], UnixMs(1)).unwrap();
            seen.extend_from_slice(&calls);
            if at == repeat {
                ledger.append(&[&batch(&seen)], UnixMs(2)).unwrap();
            }
            if reopen[at] {
                drop(ledger);
                ledger = Ledger::open(&path, OpenOptions { has_outbox: true, ..OpenOptions::default() }).unwrap();
            }
        }
        let reader = Reader::open(&path).unwrap().unwrap();
        let expected = model(&seen);
        for width in Width::ALL {
            prop_assert_eq!(total(&reader, width), expected, "{:?}", width);
        }
        prop_assert_eq!(session_total(&reader), expected);
        prop_assert_eq!(reader.check().unwrap(), Check::default());
        let mut by_call = Counters::default();
        let sessions = (0..10).collect();
        let mut add = |call: CallRow| by_call = by_call.plus(&call.counters);
        let middle = UnixMs(1_795_000_000_000 + 100_000 * 60_000);
        reader.calls_of_sessions(&sessions, UnixMs(0), middle, &mut add).unwrap();
        reader.calls_of_sessions(&sessions, middle, UnixMs(i64::MAX), &mut add).unwrap();
        prop_assert_eq!(by_call, expected);
    }
}

#[test]
fn an_older_file_finds_calls_by_session_where_its_source_makes_claims() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    crate::older::ledger(
        &path,
        3,
        "INSERT INTO series VALUES (1, 0, 'test', '', '', '', '', 0, 0);
         INSERT INTO sessions VALUES (1, 'claims', 's1'), (2, 'test', 's2'), (3, 'claims', 's3');
         INSERT INTO llm_calls SELECT x'01', 5, 1, 1, 1, 0, 0, 0, 0, 1, 0, NULL, NULL, NULL, NULL, 'c', NULL;
         INSERT INTO llm_calls SELECT x'02', 5, 1, 2, 1, 0, 0, 0, 0, 1, 0, NULL, NULL, NULL, NULL, NULL, NULL;
         INSERT INTO session_totals (id, created_at, series, session, input, cache_read,
            cache_write_5m, cache_write_1h, cache_write, output, reasoning, seen_at, is_superseded)
         VALUES (x'03', 5, 1, 3, 1, 0, 0, 0, 0, 1, 0, 5, 0);",
    );
    drop(Ledger::open(&path, OpenOptions::default()).unwrap());
    let known = Connection::open(&path).unwrap();
    let claimed = "SELECT group_concat(claimed_session) FROM llm_calls";
    assert_eq!(known.query_row(claimed, [], |row| row.get::<_, String>(0)).unwrap(), "1");
}

#[test]
fn a_position_is_there_exactly_when_its_facts_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let store = StoreId { source: "test".into(), path: "/f".into(), part: "".into() };
    let position = Position {
        stamp: Stamp { device: u64::MAX, inode: 2, size_bytes: 3, modified_ns: 4 },
        offset: 5,
        line: 6,
        tail_hash: u64::MAX - 1,
        state: "{}".into(),
    };
    {
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        let mut with_position = batch(&[call(1, 0, 0, 1, 0, 0)]);
        with_position.positions.push((store.clone(), position.clone()));
        ledger.append(&[&with_position], UnixMs(1)).unwrap();
    }
    let reader = Reader::open(&path).unwrap().unwrap();
    assert_eq!(reader.positions().unwrap().get(&store), Some(&position));
    assert_eq!(total(&reader, Width::Day).calls, 1);
}

#[test]
fn a_ledger_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let _ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    for name in ["l.db", "l.db-wal", "l.db-shm"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_second_writer_is_told_who_has_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let _first = Ledger::open(&path, OpenOptions::default()).unwrap();
    let error = Ledger::open(&path, OpenOptions::default()).unwrap_err();
    assert!(
        matches!(&error, LedgerError::Locked { owner, .. } if *owner == std::process::id().to_string()),
        "{error}"
    );
}

#[test]
fn a_newer_file_and_a_foreign_file_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    drop(Ledger::open(&path, OpenOptions::default()).unwrap());
    let database = Connection::open(&path).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let error = Ledger::open(&path, OpenOptions::default()).unwrap_err();
    assert!(error.to_string().contains("newer trueup (schema 99"), "{error}");
    assert!(matches!(Reader::open(&path), Err(LedgerError::Newer { .. })));

    let foreign = folder.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(
        Ledger::open(&foreign, OpenOptions::default()),
        Err(LedgerError::NotALedger { .. })
    ));
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database, but long enough to be read as a header".repeat(9))
        .unwrap();
    let error = Ledger::open(&text, OpenOptions::default()).unwrap_err();
    assert!(matches!(error, LedgerError::NotALedger { .. }), "{error}");
}

#[test]
fn absurd_times_and_counts_are_kept_and_break_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    let mut calls = Vec::new();
    for (key, time) in (0..).zip([i64::MIN, -1, 0, i64::MAX - 1]) {
        let mut call = call(key, 0, 0, u64::MAX, 0, 0);
        call.time = UnixMs(time);
        calls.push(call);
    }
    ledger.append(&[&batch(&calls)], UnixMs(1)).unwrap();
    ledger.append(&[&batch(&calls)], UnixMs(1)).unwrap();
    let reader = Reader::open(&path).unwrap().unwrap();
    assert_eq!(session_total(&reader).calls, 4);
}

#[test]
fn a_sum_stops_at_the_largest_number_and_writing_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    for key in [1, 7, 11] {
        ledger.append(&[&batch(&[call(key, 0, 0, u64::MAX, 0, 0)])], UnixMs(1)).unwrap();
    }
    let sum = total(&Reader::open(&path).unwrap().unwrap(), Width::Day);
    assert_eq!((sum.calls, sum.tokens.output), (3, i64::MAX.cast_unsigned()));
}

#[test]
fn a_check_finds_calls_without_their_names_and_sums_without_their_calls() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    Ledger::open(&path, OpenOptions::default())
        .unwrap()
        .append(&[&batch(&[call(1, 0, 0, 1, 0, 0)])], UnixMs(1))
        .unwrap();
    let check = || Reader::open(&path).unwrap().unwrap().check().unwrap();
    assert_eq!(check(), Check::default());
    let database = Connection::open(&path).unwrap();
    database.pragma_update(None, "foreign_keys", false).unwrap();
    database.execute("DELETE FROM series", []).unwrap();
    assert_eq!(check().damage, ["llm_calls without series"]);
    database.execute("DELETE FROM llm_calls", []).unwrap();
    assert_eq!(check().wrong_sums.len(), 3);
}

/// Days that used other kinds of tokens than those before, and sums that stop at the largest number.
#[test]
fn an_older_file_gets_the_weeks_of_its_days() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    for (key, day, output) in [(1, 0, 5), (7, 1, 0), (11, 9, u64::MAX), (13, 10, 7)] {
        let call = call(key, 0, 0, output, day * 1_440, 0);
        ledger.append(&[&batch(&[call])], UnixMs(1)).unwrap();
    }
    drop(ledger);
    let weeks = || -> Vec<Vec<i64>> {
        let database = Connection::open(&path).unwrap();
        let mut rows = database.prepare("SELECT * FROM usage_week").unwrap();
        let rows = rows.query_map([], |row| (0..16).map(|at| row.get(at)).collect()).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let before = weeks();
    assert_eq!(before.len(), 3);
    let older = "DROP VIEW weeks_of_days; DROP TABLE usage_week; PRAGMA user_version = 15";
    Connection::open(&path).unwrap().execute_batch(older).unwrap();
    drop(Ledger::open(&path, OpenOptions::default()).unwrap());
    assert_eq!(weeks(), before);
    let database = Connection::open(&path).unwrap();
    database.execute("UPDATE usage_week SET calls = calls + 1 WHERE kinds & 16", []).unwrap();
    let check = include_str!("../../src/schema/check_weeks.sql");
    let mut check = database.prepare(check).unwrap();
    let wrong = check.query_map([], |row| row.get(0)).unwrap();
    assert_eq!(wrong.collect::<Result<Vec<String>, _>>().unwrap().len(), 4);
}

/// The steps in which SQLite runs a statement.
pub(crate) fn plan(database: &Connection, sql: &str) -> Vec<String> {
    let mut plan = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let steps = plan.query_map([], |row| row.get(3)).unwrap();
    steps.collect::<Result<_, _>>().unwrap()
}

#[test]
fn no_report_reads_the_facts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    drop(Ledger::open(&path, OpenOptions::default()).unwrap());
    let database = Connection::open(&path).unwrap();
    // The statements of `Reader` that reports use; the plan of none scans a table of facts.
    for sql in [
        "SELECT start_ms, series FROM usage_time WHERE width_minutes = 15 AND start_ms >= 1 AND start_ms < 9",
        "SELECT usage_session.session FROM usage_session JOIN sessions ON sessions.id = usage_session.session WHERE last_ms >= 1 AND first_ms < 2",
        "SELECT min(created_at) FROM llm_traces WHERE id >= x'00' AND id < x'01' AND series = 1",
    ] {
        let plan = plan(&database, sql);
        assert!(!plan.iter().any(|step| step.contains("SCAN llm_calls")), "{sql}: {plan:?}");
    }
}
