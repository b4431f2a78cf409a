//! Rows go and no figure moves.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use rusqlite::Connection;
use trueup_core::{Batch, CallBody, Counters, Fact, QUARTER_MS, Tokens, UnixMs};
use trueup_ledger::{
    Ack, BallastState, Check, Effect, Frozen, LOST, Ledger, LedgerError, OpenOptions, Outcome,
    REMOVED, Reader, Removed, Retention, Volume, Width, write_ahead_log,
};

use crate::host::sample;
use crate::laws::{any_call, batch, call, partly_posted, session_total, total};
use crate::rebuild::session_claim;

/// The calls of the laws are made within 139 days of this.
const START: UnixMs = UnixMs(1_795_000_000_000);
const MINUTE: Duration = Duration::from_mins(1);

fn open(path: &Path, retention: Retention) -> Ledger {
    let retention = Some(retention);
    Ledger::open(path, OpenOptions { retention, ..OpenOptions::default() }).unwrap()
}

fn clean(ledger: &mut Ledger, now: UnixMs) {
    while ledger.clean(now).unwrap() {}
}

fn reader(path: &Path) -> Reader {
    Reader::open(path).unwrap().unwrap()
}

fn rows(path: &Path, table: &str) -> i64 {
    let database = Connection::open(path).unwrap();
    database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

/// What a session used in a window, from its calls and from what is left of them.
fn of_session(reader: &Reader, session: i64, from: UnixMs, until: UnixMs) -> Counters {
    let mut sum = Counters::default();
    let add = |call: trueup_ledger::CallRow| sum = sum.plus(&call.counters);
    reader.calls_of_sessions(&BTreeSet::from([session]), from, until, add).unwrap();
    let add = |usage: trueup_ledger::TimeUsage| sum = sum.plus(&usage.counters);
    reader.removed_of_session(session, from, until, add).unwrap();
    sum
}

/// Every figure that a report can ask for.
fn figures(path: &Path) -> Vec<Counters> {
    let reader = reader(path);
    assert_eq!(reader.check().unwrap(), Check::default());
    let mut figures: Vec<Counters> = Width::ALL.map(|width| total(&reader, width)).into();
    figures.push(session_total(&reader));
    for session in 1..=4 {
        for days in [0, 30, 60, 100] {
            let from = UnixMs(START.0 + days * 24 * 3_600_000).floor(QUARTER_MS);
            figures.push(of_session(&reader, session, from, UnixMs(i64::MAX)));
        }
    }
    figures
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_figure_moves_and_what_is_read_again_adds_nothing(
        batches in prop::collection::vec(prop::collection::vec(any_call(), 1..8), 1..6),
        minutes in prop::collection::vec(0..200_000_i64, 6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let mut ledger = open(&path, Retention { age_max: Some(MINUTE), ..Retention::default() });
        let mut seen = Vec::new();
        for (calls, minute) in batches.iter().zip(&minutes) {
            let calls = partly_posted(calls);
            ledger.append(&[&batch(&calls)], UnixMs(1)).unwrap();
            seen.extend_from_slice(&calls);
            let before = figures(&path);
            clean(&mut ledger, UnixMs(START.0 + minute * 60_000));
            prop_assert_eq!(figures(&path), before.clone());
            let again = ledger.append(&[&batch(&seen)], UnixMs(2)).unwrap();
            prop_assert_eq!((again.added, again.replaced), (0, 0));
            prop_assert_eq!(figures(&path), before);
        }
        clean(&mut ledger, UnixMs(i64::MAX));
        prop_assert_eq!(rows(&path, "llm_calls"), 0);
        prop_assert_eq!(figures(&path)[0], figures(&path)[2]);
    }
}

/// A better copy of a call whose row is gone cannot amend what was counted.
#[test]
fn what_is_gone_stays_as_it_was_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = open(&path, Retention { age_max: Some(MINUTE), ..Retention::default() });
    ledger.append(&[&batch(&[call(1, 0, 0, 5, 0, 1)])], UnixMs(1)).unwrap();
    clean(&mut ledger, UnixMs(START.0 + 61_000));
    let better = ledger.append(&[&batch(&[call(1, 0, 2, 50, 0, 1)])], UnixMs(1)).unwrap();
    assert_eq!((better.added, better.replaced, better.known), (0, 0, 1));
    assert_eq!(figures(&path)[0].tokens.output, 5);
}

/// Calls of 4 KB, one a minute.
fn large(numbers: std::ops::Range<u8>) -> Batch {
    let calls: Vec<_> = numbers
        .map(|number| {
            let body = CallBody {
                input_text: Some("x".repeat(4_000)),
                output_text: None,
                is_text_cut: false,
                metadata: None,
            };
            let body = Some(Box::new(body));
            trueup_core::Call { body, ..call(number, 0, 0, 1, number.into(), number % 4) }
        })
        .collect();
    batch(&calls)
}

#[test]
fn a_file_that_is_too_large_loses_its_oldest_rows_and_becomes_smaller() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let retention = Retention { bytes_max: Some(500_000), ..Retention::default() };
    let mut ledger = open(&path, retention);
    ledger.append(&[&large(0..250)], UnixMs(1)).unwrap();
    ledger.checkpoint().unwrap();
    let before = (figures(&path), std::fs::metadata(&path).unwrap().len());
    assert!(before.1 > 1_000_000, "{}", before.1);
    clean(&mut ledger, START);
    ledger.checkpoint().unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() <= 500_000);
    assert_eq!(figures(&path), before.0);
    let removed = ledger.removed();
    assert_eq!((removed.rows, removed.lost), (250 - rows(&path, "llm_calls").unsigned_abs(), 0));
    assert_eq!(reader(&path).counter(REMOVED).unwrap(), removed.rows);
    assert_eq!(rows(&path, "llm_trace_texts"), rows(&path, "llm_calls"));
    // Cleaning what is clean does nothing.
    clean(&mut ledger, START);
    assert_eq!(ledger.removed(), removed);
}

/// Has the destination take everything up to a place.
fn push_until(ledger: &mut Ledger, last_seq: i64) {
    let batch = Frozen {
        id: "b".into(),
        created_at: UnixMs(1),
        first_seq: 1,
        last_seq,
        events: 1,
        bytes: 1,
        is_cut: false,
        encoding: "identity".into(),
        attempts: 0,
        body: std::sync::Arc::default(),
    };
    let outcome = Outcome {
        at: UnixMs(1),
        duration_ms: 0,
        status: "ok",
        http_status: Some(200),
        error: None,
        encoding: None,
        heartbeat_seconds: None,
        effect: Effect::Acked(Ack::default()),
    };
    ledger.freeze("push", &batch).unwrap();
    ledger.settle("push", &batch, &outcome).unwrap();
}

#[test]
fn what_was_not_pushed_stays_unless_its_loss_is_preferred() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let synced = Retention { bytes_max: Some(1), ..Retention::default() };
    let mut ledger = open(&path, synced);
    ledger.activate("push", "http://there").unwrap();
    ledger.append(&[&large(0..20)], UnixMs(1)).unwrap();
    clean(&mut ledger, START);
    assert_eq!((ledger.removed(), rows(&path, "llm_calls")), (Removed::default(), 20));
    push_until(&mut ledger, 5);
    clean(&mut ledger, START);
    assert_eq!(ledger.removed(), Removed { rows: 5, lost: 0 });
    assert_eq!(rows(&path, "llm_calls"), 15);
    drop(ledger);

    let mut ledger = open(&path, Retention { is_unsynced_too: true, ..synced });
    let before = figures(&path);
    clean(&mut ledger, START);
    assert_eq!(ledger.removed(), Removed { rows: 15, lost: 15 });
    assert_eq!(reader(&path).counter(LOST).unwrap(), 15);
    assert_eq!(figures(&path), before);
}

#[test]
fn samples_and_events_grow_old_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = open(&path, Retention { age_max: Some(MINUTE), ..Retention::default() });
    let sample = |number: i64| Fact::Host(Box::new(sample(UnixMs(START.0 + number * 100))));
    let facts = (0..1_200).map(sample).collect();
    ledger.append(&[&Batch { facts, ..Batch::default() }], UnixMs(1)).unwrap();
    clean(&mut ledger, UnixMs(START.0 + 120_000));
    assert_eq!(rows(&path, "system_metrics"), 600);
}

#[test]
fn a_ballast_is_held_where_there_is_room_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let ballast = folder.path().join("l.db.ballast");
    let mut ledger = open(&path, Retention { ballast_bytes: 100_000, ..Retention::default() });
    assert_eq!(ledger.ballast(), BallastState::Held);
    assert_eq!(std::fs::metadata(&ballast).unwrap().len(), 100_000);
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(ledger.ballast(), BallastState::Released);
    clean(&mut ledger, START);
    assert_eq!(ledger.ballast(), BallastState::Held);
    drop(ledger);
    let ledger = open(&path, Retention::default());
    assert_eq!((ledger.ballast(), ballast.exists()), (BallastState::None, false));
    drop(ledger);
}

#[test]
fn a_long_log_is_cut_and_a_reader_only_delays_that() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = open(&path, Retention::default());
    ledger.append(&[&large(0..250)], UnixMs(1)).unwrap();
    let length = || std::fs::metadata(write_ahead_log(&path)).unwrap().len();
    assert!(length() > 1_000_000);
    assert!(ledger.tidy_log(u64::MAX).unwrap() && length() > 1_000_000);

    let held = Connection::open(&path).unwrap();
    held.execute_batch("BEGIN; SELECT count(*) FROM llm_calls").unwrap();
    ledger.append(&[&large(250..255)], UnixMs(1)).unwrap();
    assert!(!ledger.tidy_log(0).unwrap(), "a reader sees the file as it was");
    drop(held);
    assert!(ledger.tidy_log(0).unwrap());
    assert_eq!(length(), 0);
}

#[test]
fn a_volume_is_as_full_as_df_says() {
    let folder = tempfile::tempdir().unwrap();
    let volume = Volume::of(&folder.path().join("not-there")).unwrap();
    let of = ["-B1", "--output=size,used,avail"];
    let df = std::process::Command::new("df").args(of).arg(folder.path()).output().unwrap();
    let df = String::from_utf8(df.stdout).unwrap();
    let df: Vec<u64> =
        df.lines().last().unwrap().split_whitespace().map(|bytes| bytes.parse().unwrap()).collect();
    // Others write there meanwhile.
    let is_near = |one: u64, other: u64| one.abs_diff(other) < volume.total_bytes / 100;
    assert_eq!(volume.total_bytes, df[0]);
    assert!(is_near(volume.used_bytes, df[1]) && is_near(volume.available_bytes, df[2]));
}

/// What gave way to calls stays given way to, also where these calls are gone and all is read anew.
#[test]
fn a_claim_does_not_come_back_when_its_calls_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = open(&path, Retention { age_max: Some(MINUTE), ..Retention::default() });
    let mut read = batch(&[call(1, 0, 0, 5, 0, 1)]);
    let used = Tokens { input: 10, output: 5, ..Tokens::ZERO };
    let claim = |session, parent| session_claim(session, parent, UnixMs(START.0 + 1_000), used);
    read.facts.push(claim("s1", ""));
    // A copy of that session, whose index repeats the run.
    read.facts.push(claim("fork", "s1"));
    ledger.append(&[&read], UnixMs(1)).unwrap();
    let before = figures(&path);
    assert_eq!(before[0].calls, 1, "the claims are covered");
    clean(&mut ledger, UnixMs(i64::MAX));
    assert_eq!(rows(&path, "llm_calls"), 0);
    let rebuilt = ledger.rebuild("test", UnixMs(2), |rebuild| rebuild.append(&[&read]));
    let rebuilt: Result<_, LedgerError> = rebuilt;
    assert_eq!(rebuilt.unwrap().added, 0);
    assert_eq!(figures(&path), before);
}
