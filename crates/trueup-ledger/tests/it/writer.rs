//! The writer under pressure: full queues, locked files, and the end of the process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use trueup_core::{Batch, CustomEvent, Fact, Key, UnixMs};
use trueup_ledger::{Ledger, Limits, OpenOptions, Reader, Writer, WriterState};

fn event(number: u64) -> Fact {
    Fact::Event(Box::new(CustomEvent {
        key: Key::of("test", &[number.to_le_bytes()]),
        time: UnixMs(1_795_000_000_000),
        trace_id: None,
        source: "test".into(),
        session: "".into(),
        name: "e".into(),
        metadata: None,
    }))
}

fn open(path: &std::path::Path) -> Writer {
    let ledger = Ledger::open(path, OpenOptions::default()).unwrap();
    Writer::spawn(ledger, Limits::default(), || UnixMs(7)).unwrap()
}

fn count(path: &std::path::Path) -> i64 {
    let database = rusqlite::Connection::open(path).unwrap();
    database.query_row("SELECT count(*) FROM custom_events", [], |row| row.get(0)).unwrap()
}

#[test]
fn what_is_acknowledged_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let writer = open(&path);
    let (told, is_safe) = mpsc::sync_channel(1);
    let offered = writer
        .offer(vec![event(1), event(2)], Some(Box::new(move |safe| told.send(safe).unwrap())));
    assert_eq!((offered.accepted, offered.dropped), (2, 0));
    assert!(is_safe.recv().unwrap());
    assert_eq!(count(&path), 2);
}

#[test]
fn brief_burst_of_600_keeps_512() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let writer = open(&path);
    // Another program holds the file: the writer takes one record and is stuck with it.
    let blocker = rusqlite::Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    writer.offer(vec![event(0)], None);
    while writer.health().queue_depth > 0 {
        std::thread::yield_now();
    }
    let offered = writer.offer((1..=600).map(event).collect(), None);
    assert_eq!((offered.accepted, offered.dropped), (512, 88));
    assert_eq!(writer.health().dropped, 88);
    blocker.execute_batch("ROLLBACK").unwrap();
    assert!(writer.flush());
    assert_eq!(count(&path), 513);
    drop(writer);
    let reader = Reader::open(&path).unwrap().unwrap();
    assert_eq!(reader.counter("dropped_total").unwrap(), 88);
}

#[test]
fn sources_that_wait_leave_listeners_their_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let writer = open(&path);
    let blocker = rusqlite::Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(writer.submit(Batch { facts: vec![event(0)], ..Batch::default() }));
    while writer.health().write_wait.is_none() {
        std::thread::yield_now();
    }
    assert!(writer.submit(Batch { facts: (1..=600).map(event).collect(), ..Batch::default() }));
    let offered = writer.offer((601..=1_200).map(event).collect(), None);
    assert_eq!((offered.accepted, offered.dropped), (512, 88));
    assert_eq!(writer.health().queue_depth, 512);
    blocker.execute_batch("ROLLBACK").unwrap();
    assert!(writer.flush());
    assert_eq!(count(&path), 1_113);
}

#[test]
fn queues_are_bounded_by_bytes_too() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("l.db"), OpenOptions::default()).unwrap();
    let writer =
        Writer::spawn(ledger, Limits { records: 512, bytes: 1_000 }, || UnixMs(7)).unwrap();
    let offered = writer.offer((0..3).map(event).collect(), None);
    assert_eq!((offered.accepted, offered.dropped), (1, 2));
}

#[test]
fn a_closed_writer_takes_nothing_and_has_written_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let writer = open(&path);
    writer.offer((0..100).map(event).collect(), None);
    let ledger = writer.close(Duration::from_secs(5)).unwrap();
    assert_eq!(count(&path), 100);
    let mut log = path.into_os_string();
    log.push("-wal");
    assert_eq!(std::fs::metadata(&log).map_or(0, |file| file.len()), 0);
    drop(ledger);
}

#[test]
fn asking_whether_all_is_written_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let writer = open(&folder.path().join("l.db"));
    assert!(writer.flush());
    assert_eq!(writer.health().last_commit, None);
    writer.offer(vec![event(1)], None);
    assert!(writer.flush());
    assert_eq!(writer.health().last_commit, Some(UnixMs(7)));
}

#[test]
fn a_broken_file_is_reported_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let writer = open(&path);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("ALTER TABLE custom_events RENAME TO gone").unwrap();
    writer.offer(vec![event(1)], None);
    while writer.health().state == WriterState::Ok {
        std::thread::yield_now();
    }
    other.execute_batch("ALTER TABLE gone RENAME TO custom_events").unwrap();
    assert!(writer.flush());
    assert_eq!(writer.health().state, WriterState::Ok);
    assert_eq!(count(&path), 1);
}

#[test]
fn feeding_takes_what_fits_and_drops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let writer = open(&path);
    let blocker = rusqlite::Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    writer.offer(vec![event(0)], None);
    while writer.health().queue_depth > 0 {
        std::thread::yield_now();
    }
    let (told, is_safe) = mpsc::sync_channel(1);
    let rest = writer.feed(
        (1..=600).map(event).collect(),
        Box::new(move |safe| {
            told.send(safe).unwrap();
        }),
    );
    assert_eq!(rest.map(|rest| rest.len()), Some(88));
    assert_eq!(writer.health().dropped, 0);
    assert!(writer.health().write_wait.is_some());
    blocker.execute_batch("ROLLBACK").unwrap();
    assert!(is_safe.recv().unwrap());
    drop(writer.close(Duration::from_secs(1)));
    assert_eq!(writer.feed(vec![event(601)], Box::new(drop)), None);
    assert_eq!(count(&path), 513);
}

#[test]
fn what_is_larger_than_all_room_is_fed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("l.db"), OpenOptions::default()).unwrap();
    let writer = Writer::spawn(ledger, Limits { records: 512, bytes: 10 }, || UnixMs(7)).unwrap();
    let (told, is_safe) = mpsc::sync_channel(1);
    let rest = writer.feed(
        vec![event(1), event(2)],
        Box::new(move |safe| {
            told.send(safe).unwrap();
        }),
    );
    assert_eq!(rest.map(|rest| rest.len()), Some(1));
    assert!(is_safe.recv().unwrap());
}

#[test]
fn closing_does_not_wait_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let writer = open(&path);
    let blocker = rusqlite::Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    writer.offer(vec![event(0)], None);
    let start = std::time::Instant::now();
    assert!(writer.close(Duration::from_millis(1)).is_none());
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_abandoned_writer_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let writer = open(&path);
    let blocker = rusqlite::Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    writer.offer(vec![event(0)], None);
    let start = std::time::Instant::now();
    writer.abandon();
    drop(writer);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn what_was_dropped_while_nothing_was_written_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    let writer = Writer::spawn(ledger, Limits { records: 0, bytes: 0 }, || UnixMs(7)).unwrap();
    assert_eq!(writer.offer(vec![event(1)], None).dropped, 1);
    drop(writer);
    let reader = Reader::open(&path).unwrap().unwrap();
    assert_eq!(reader.counter("dropped_total").unwrap(), 1);
}

/// Whoever looks at the account looks when it has changed, and not before.
#[test]
fn changes_of_the_account_are_told_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("l.db"), OpenOptions::default()).unwrap();
    let writer = Writer::spawn(ledger, Limits::default(), || UnixMs(1)).unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&told);
    writer.on_change(move || {
        heard.fetch_add(1, Ordering::SeqCst);
    });
    writer.on_change(|| panic!("only the first is called"));
    let told_after = |batch: Batch| {
        assert!(writer.submit(batch) && writer.flush());
        told.load(Ordering::SeqCst)
    };
    let call = || crate::laws::batch(&[crate::laws::call(1, 0, 0, 5, 0, 1)]);
    let better = || crate::laws::batch(&[crate::laws::call(1, 0, 0, 50, 0, 1)]);
    let sample = Fact::Host(Box::new(crate::host::sample(UnixMs(1))));
    let sample = Batch { facts: vec![sample], ..Batch::default() };
    assert_eq!(told_after(sample), 0);
    assert_eq!(told_after(Batch { is_poll: true, ..Batch::default() }), 0);
    assert_eq!(told_after(call()), 1);
    assert_eq!(told_after(call()), 1, "a copy changes nothing");
    assert_eq!(told_after(better()), 2);
}
