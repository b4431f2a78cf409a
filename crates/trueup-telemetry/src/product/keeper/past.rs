//! The past, told once: from what a product's own records say of each day to requests in the outbox.

use std::mem;
use std::path::Path;

use super::sealing::install;
use super::{Keeper, busy, told};
use crate::backfill::{Chunk, Gate, History, Mark, Pending, Progress, gate};
use crate::budget::{Class, Short};
use crate::identity::Identity;
use crate::outbox::{Draft, HISTORICAL_MAX, Item, ItemState};
use crate::product::held;
use crate::product::outlets::Outlet;
use crate::state::{Drafts, Queued, Reach};

/// What came of telling the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfilled {
    /// What stood in its way, if anything did.
    pub gate: Gate,
    /// Requests that were queued now.
    pub requests: u64,
    /// How far it is.
    pub progress: Progress,
}

impl Keeper {
    /// Whether the past may be told. `None` where the manifest tells nothing of it.
    pub(in crate::product) fn gate(&self, is_asked_for: bool) -> Option<Gate> {
        let backfill = self.options.manifest.backfill.as_ref()?;
        self.refresh(false);
        let may_send = matches!(self.reach(), Some(Reach::Since(_)));
        Some(gate(backfill, &Mark::read(&self.options.state), may_send, is_asked_for))
    }

    /// The bytes of the requests that would tell it. Nothing is queued.
    pub(in crate::product) fn rehearse(&self, history: &History<'_>) -> Vec<Vec<u8>> {
        let identity = self.identity(Reach::Local).unwrap_or(Identity::None);
        let id = install(&identity);
        let chunks = history.chunks(&id);
        let bodies =
            |outlet| chunks.iter().map(|chunk| self.past_body(outlet, chunk, &id)).collect();
        self.outlets.iter().flat_map(|outlet| -> Vec<_> { bodies(outlet) }).collect()
    }

    fn past_body(&self, outlet: &Outlet, chunk: &Chunk, id: &str) -> Vec<u8> {
        outlet.encoder(&self.options.manifest, &[], id).encode(&chunk.events, chunk.time())
    }

    /// Queues the past, unless something stands in its way or it is under way already.
    pub(in crate::product) fn backfill(
        &self,
        history: &History<'_>,
        is_asked_for: bool,
    ) -> Result<Backfilled, String> {
        let now = self.now();
        let gate = self.gate(is_asked_for).unwrap_or(Gate::Off);
        let progress = self.progress()?;
        let mut done = Backfilled { gate, requests: 0, progress };
        let Some(reach) = self.reach() else { return Ok(done) };
        if gate != Gate::Open || matches!(done.progress, Progress::Sending(_)) {
            return Ok(done);
        }
        let sealing = held(&self.sealing);
        let identity = self.identity(reach)?;
        // An id that changes by the day would join days of the past together: they carry none.
        let id = install(&identity);
        let mut drafts = self.past(history, &id);
        let (mut is_told, mut is_full) = (false, false);
        let mut begin = |items: &[Item]| {
            // Another process may have been first: only now nobody can be.
            is_told = self.is_told();
            is_full = drafts.len() > room(items);
            if is_told || is_full || Pending::is_under_way(self.state()) {
                return Ok(Vec::new());
            }
            // Before the requests: a kill in between leaves a past of which nothing has arrived.
            history.pending(&id, items).write(self.state())?;
            Ok(mem::take(&mut drafts))
        };
        let mut store = self.store(reach, &identity);
        let queued = told(busy(|| store.queue_made(now, &mut begin)))?;
        drop(sealing);
        done.progress = self.progress()?;
        if is_told {
            return Ok(Backfilled { gate: Gate::Complete, ..done });
        }
        if is_full && done.progress == Progress::None {
            return Err(Short::Events.to_string());
        }
        let is_queued = |queued: &&Queued| matches!(queued, Queued::As(_));
        done.requests = queued.iter().filter(is_queued).count() as u64;
        Ok(done)
    }

    /// Whether it was told, in this version or a later one.
    fn is_told(&self) -> bool {
        let backfill = self.options.manifest.backfill.as_ref();
        backfill.is_some_and(|backfill| Mark::read(self.state()).covers(backfill.version))
    }

    /// The requests that tell it.
    fn past(&self, history: &History<'_>, id: &str) -> Drafts {
        let chunks = history.chunks(id);
        let of_chunk = |chunk: &Chunk| -> Drafts {
            let event = chunk.events.first().map(|event| event.name.clone()).unwrap_or_default();
            let drafts = self.outlets.iter().map(|outlet| {
                let (uuids, body) = (chunk.uuids(), self.past_body(outlet, chunk, id));
                let (class, event, day) = (Class::Historical, event.clone(), chunk.day);
                (Some(outlet.name.clone()), Draft { class, event, uuids, day, body })
            });
            drafts.collect()
        };
        chunks.iter().flat_map(of_chunk).collect()
    }

    /// How far it is; marks it as done once all has arrived.
    pub(super) fn progress(&self) -> Result<Progress, String> {
        let Some(backfill) = &self.options.manifest.backfill else { return Ok(Progress::None) };
        if !Pending::is_under_way(self.state()) {
            return Ok(Progress::None);
        }
        let now = self.now();
        let mut progress = Progress::None;
        // Nobody else queues or follows it meanwhile.
        let mut follow = |items: &[Item]| {
            progress = Pending::follow(self.state(), backfill, items, now)?;
            Ok(Vec::new())
        };
        let mut store = self.store(Reach::Local, &Identity::None);
        told(busy(|| store.queue_made(now, &mut follow)))?;
        Ok(progress)
    }

    fn state(&self) -> &Path {
        &self.options.state
    }
}

/// How many requests more may wait.
fn room(items: &[Item]) -> usize {
    let waits = |item: &&Item| item.class == Class::Historical && item.state == ItemState::Queued;
    HISTORICAL_MAX.saturating_sub(items.iter().filter(waits).count())
}
