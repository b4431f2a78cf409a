//! What a decoder has found in one store: facts, positions of a database's parts, and problems.
//!
//! The decoder only adds. The scan takes batches out, of bounded size, and counts what it took.

use std::path::Path;
use std::sync::Arc;

use trueup_core::{
    Batch, Call, Fact, Key, Position, Problem, ProblemKind, Quota, SessionTotal, StoreId, Text,
    Twin,
};

/// Problems of one store that are named one by one in one read; further ones are only counted.
const PROBLEMS_NAMED_MAX: u64 = 100;

/// Takes what a decoder finds in one store.
pub struct Found<'a> {
    store: StoreId,
    batch: Batch,
    problems: u64,
    is_kept: bool,
    emit: &'a mut dyn FnMut(Batch),
}

impl std::fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found").field("store", &self.store).finish_non_exhaustive()
    }
}

/// Facts after which a batch is handed on.
const FACTS_PER_BATCH: usize = 2_000;

/// Copies after which a batch is handed on: one call may have as many as it likes.
const COPIES_PER_BATCH: usize = 20_000;

/// Positions of parts after which a batch is handed on: a database may have many without a fact.
const POSITIONS_PER_BATCH: usize = 500;

impl<'a> Found<'a> {
    /// Collects for one store; `emit` takes the batches.
    pub fn new(source: &str, path: &str, emit: &'a mut dyn FnMut(Batch)) -> Self {
        Self::of(StoreId::of_file(source, path), emit)
    }

    /// The same by the name of the store.
    pub(crate) fn of(store: StoreId, emit: &'a mut dyn FnMut(Batch)) -> Self {
        Self { store, batch: Batch::default(), problems: 0, is_kept: true, emit }
    }

    /// The source id, shared by every fact of the store.
    #[must_use]
    pub fn source(&self) -> Text {
        Arc::clone(&self.store.source)
    }

    /// Says that what is found is not kept beyond one report of files.
    pub(crate) const fn keep_nothing(&mut self) {
        self.is_kept = false;
    }

    /// By what telemetry would tell of a call. Only an account that is kept hears of telemetry.
    pub(crate) fn twin(&self, twin: impl FnOnce() -> Key) -> Option<Twin> {
        self.is_kept.then(|| Twin::Covers(twin()))
    }

    /// One model call. A copy right behind another of the same call takes its place, or none: streamed
    /// answers are written several times in a row.
    pub fn call(&mut self, call: Call) {
        if let Some(Fact::Call(last)) = self.batch.facts.last_mut()
            && (last.key, last.variant) == (call.key, call.variant)
            && last.rank.standing() == call.rank.standing()
        {
            let (key, one, other) = (call.key, last.id(), call.id());
            let is_better = call.rank > last.rank;
            if is_better {
                **last = call;
            }
            if one != other && self.is_kept {
                self.batch.copies.push((key, if is_better { one } else { other }));
            }
            return;
        }
        self.batch.facts.push(Fact::Call(Box::new(call)));
    }

    /// How much of an allowance is used.
    pub fn quota(&mut self, quota: Quota) {
        self.batch.facts.push(Fact::Quota(Box::new(quota)));
    }

    /// What an agent claims that a run used.
    pub fn claim(&mut self, claim: SessionTotal) {
        self.batch.facts.push(Fact::SessionTotal(Box::new(claim)));
    }

    /// Something that could not be understood. `detail` names a column or a field, never content.
    pub fn problem(&mut self, kind: ProblemKind, line: u64, detail: impl Into<String>) {
        self.problems += 1;
        if self.problems <= PROBLEMS_NAMED_MAX {
            let problem = Problem { kind, line, detail: detail.into() };
            self.batch.problems.push((self.store.clone(), problem));
        }
    }

    /// Something that another place is missing, or has wrong.
    pub fn problem_at(&mut self, path: &Path, kind: ProblemKind, detail: impl Into<String>) {
        self.problems += 1;
        if self.problems <= PROBLEMS_NAMED_MAX {
            let path = path.to_string_lossy().as_ref().into();
            let problem = Problem { kind, line: 0, detail: detail.into() };
            self.batch.problems.push((StoreId { path, ..self.store.clone() }, problem));
        }
    }

    /// Notes that the store is read from its start again: what was wrong with it before may be right
    /// now.
    pub(crate) fn restart(&mut self) {
        self.batch.restarted.push(self.store.clone());
    }

    /// How many problems there were, named or not.
    #[must_use]
    pub const fn problem_count(&self) -> u64 {
        self.problems
    }

    /// Whether enough was found to hand it on.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let Batch { facts, copies, .. } = &self.batch;
        facts.len() >= FACTS_PER_BATCH || copies.len() >= COPIES_PER_BATCH
    }

    /// Notes that a part of a database was read up to `position` with what was found so far. It is
    /// handed on when enough has come together: one transaction for each of a thousand short sessions
    /// would be slow.
    pub fn advance(&mut self, part: &str, position: Position) {
        let store = StoreId { part: part.into(), ..self.store.clone() };
        self.batch.positions.push((store, position));
        if self.is_full() || self.batch.positions.len() >= POSITIONS_PER_BATCH {
            self.flush();
        }
    }

    /// Hands on what was found, and that a part of the store (`""` for all of a file) was read up to
    /// `position` with it.
    pub fn commit(&mut self, part: &str, position: Position) {
        let mut store = self.store.clone();
        if !part.is_empty() {
            store.part = part.into();
        }
        self.batch.positions.push((store, position));
        (self.emit)(std::mem::take(&mut self.batch));
    }

    /// Hands on what was found without moving a position further: it will be read again.
    pub fn flush(&mut self) {
        if self.batch != Batch::default() {
            (self.emit)(std::mem::take(&mut self.batch));
        }
    }
}
