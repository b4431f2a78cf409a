//! A real ledger, in a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rusqlite::Connection;
use tempfile::TempDir;
use trueup_core::{
    Batch, Billing, Call, CallBody, Fact, FactId, Origin, Outcome as CallOutcome, Position, Rank,
    StoreId, Tokens, UnixMs, Variant,
};
use trueup_ledger::{Destination, Frozen, Ledger, OpenOptions, Outcome, Reader};

use super::store::{Copy, Store};
use crate::push::DESTINATION;
use crate::push::batch::{self, Made, Sender, Wanted};

/// A ledger, and the copy of it that its owner keeps.
pub(super) struct RealLedger {
    folder: TempDir,
    /// `None` only while the file is moved.
    open: Option<(Ledger, Reader)>,
}

impl RealLedger {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Self { folder, open: None };
        ledger.open();
        ledger
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&mut self) {
        let mut ledger = Ledger::open(&self.path("l.db"), OpenOptions::default()).unwrap();
        ledger.activate(DESTINATION, "https://hub.example/").unwrap();
        let reader = Reader::open(&self.path("l.db")).unwrap().unwrap();
        self.open = Some((ledger, reader));
    }

    fn ledger(&mut self) -> &mut Ledger {
        &mut self.open.as_mut().unwrap().0
    }

    fn reader(&self) -> &Reader {
        &self.open.as_ref().unwrap().1
    }

    fn sender(&self) -> Result<Sender> {
        let identity = self.reader().identity()?;
        Ok(Sender { identity, host: "box".into(), agent: "sim".into() })
    }

    fn number(&self, sql: &str) -> i64 {
        let database = Connection::open(self.path("l.db")).unwrap();
        database.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// The files that make up a ledger, and the mark beside it.
    fn move_files(&self, from: &str, to: &str, endings: &[&str]) {
        for ending in endings {
            let (from, to) =
                (self.path(&format!("{from}{ending}")), self.path(&format!("{to}{ending}")));
            let _was_there = fs::remove_file(&to).is_ok();
            if from.exists() {
                fs::copy(from, to).unwrap();
            }
        }
    }
}

/// A copy of a call, as a reader of files, or the listener, makes it of what it finds.
fn fact(copy: &Copy) -> Fact {
    let tokens = Tokens { input: 10, output: copy.output, ..Tokens::ZERO };
    let body = CallBody { input_text: Some("x".repeat(copy.text_bytes)), ..CallBody::default() };
    Fact::Call(Box::new(Call {
        key: copy.key,
        variant: Variant(0),
        rank: Rank(copy.output.into()),
        twin: None,
        time: copy.at,
        origin: Origin {
            source: "sim".into(),
            provider: "p".into(),
            model: "m".into(),
            project: "".into(),
            session: "s".into(),
            kind: "".into(),
        },
        tokens,
        billing: Billing::default(),
        reported_cost: None,
        latency_ms: None,
        time_to_first_token_ms: None,
        outcome: CallOutcome::Ok,
        trace_id: None,
        body: (copy.text_bytes > 0).then(|| Box::new(body)),
    }))
}

/// The store in which the agent writes.
fn files() -> StoreId {
    StoreId::of_file("sim", "/files")
}

impl Store for RealLedger {
    fn read(&mut self, copies: &[Copy], now: UnixMs) -> Result<()> {
        let known = self.number("SELECT coalesce((SELECT line FROM positions), 0)");
        let facts = copies[usize::try_from(known)?..].iter().map(fact).collect();
        let position = Position { line: copies.len() as u64, ..Position::default() };
        let batch = Batch { facts, positions: vec![(files(), position)], ..Batch::default() };
        self.ledger().append(&[&batch], now)?;
        Ok(())
    }

    fn post(&mut self, call: Copy, now: UnixMs) -> Result<()> {
        let batch = Batch { facts: vec![fact(&call)], ..Batch::default() };
        self.ledger().append(&[&batch], now)?;
        Ok(())
    }

    fn remove_pushed(&mut self) {
        // The laws of retention are the ledger's own tests.
    }

    fn account(&self) -> BTreeMap<FactId, u64> {
        let database = Connection::open(self.path("l.db")).unwrap();
        let mut calls = database.prepare("SELECT id, output FROM llm_calls").unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            Ok((FactId(row.get(0)?), row.get::<_, i64>(1)?.cast_unsigned()))
        };
        calls.query_map([], row).unwrap().map(Result::unwrap).collect()
    }

    fn refused(&self) -> Vec<FactId> {
        let refused = self.reader().quarantined(DESTINATION, 1_000).unwrap();
        refused.into_iter().map(|one| one.id).collect()
    }

    fn copy(&mut self) {
        self.ledger().checkpoint().unwrap();
        self.move_files("l.db", "copy.db", &["", "-wal", ".sent"]);
    }

    fn restore(&mut self, is_whole: bool) {
        self.open = None;
        self.move_files("copy.db", "l.db", &["", "-wal"]);
        if is_whole {
            self.move_files("copy.db", "l.db", &[".sent"]);
        }
        self.open();
    }

    fn reopen(&mut self) {
        self.open = None;
        self.open();
    }

    fn tell_anew(&mut self, newest_at: UnixMs) -> Result<()> {
        Ok(self.ledger().tell_anew(newest_at)?)
    }

    fn destination(&self) -> Result<Destination> {
        self.reader().destination(DESTINATION)?.context("no destination")
    }

    fn frozen(&self) -> Result<Option<Frozen>> {
        Ok(self.reader().frozen(DESTINATION)?)
    }

    fn last_queued(&self) -> Result<i64> {
        Ok(self.reader().last_queued()?)
    }

    fn heartbeat_seconds(&self) -> Result<u32> {
        Ok(self.reader().heartbeat_seconds()?)
    }

    fn acked_batch_at(&self) -> Result<UnixMs> {
        Ok(self.reader().acked_batch_at()?)
    }

    fn make(&self, wanted: &Wanted, id: &str, now: UnixMs) -> Result<Made> {
        let sender = self.sender()?;
        Ok(self.reader().at_once(|snapshot| batch::make(snapshot, wanted, &sender, id, now))?)
    }

    fn heartbeat(&self, after: i64, id: &str, now: UnixMs) -> Result<Frozen> {
        let sender = self.sender()?;
        let reader = self.reader();
        Ok(reader.at_once(|snapshot| batch::heartbeat(snapshot, after, &sender, id, now))?)
    }

    fn freeze(&mut self, batch: &Frozen) -> Result<()> {
        Ok(self.ledger().freeze(DESTINATION, batch)?)
    }

    fn skip(&mut self, until: i64, now: UnixMs) -> Result<()> {
        Ok(self.ledger().skip(DESTINATION, until, now)?)
    }

    fn settle(&mut self, batch: &Frozen, outcome: &Outcome) -> Result<()> {
        Ok(self.ledger().settle(DESTINATION, batch, outcome)?)
    }
}
