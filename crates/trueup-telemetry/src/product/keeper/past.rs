//! The past, told once: from what a product's own records say of each day to requests in the outbox.

use super::sealing::install;
use super::{Keeper, busy, told};
use crate::backfill::{Gate, History, Mark, Pending, Progress, gate};
use crate::budget::Class;
use crate::identity::Identity;
use crate::outbox::Draft;
use crate::product::held;
use crate::product::outlets::Outlet;
use crate::state::{Queued, Reach};

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
        let bodies = |outlet: &Outlet| {
            let encoder = outlet.encoder(&self.options.manifest, &[], &id);
            let chunks = history.chunks(&id);
            chunks.iter().map(|chunk| encoder.encode(&chunk.events, chunk.time())).collect()
        };
        self.outlets.iter().flat_map(|outlet| -> Vec<Vec<u8>> { bodies(outlet) }).collect()
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
        let mut store = self.store(reach, &identity);
        let before = told(store.look(now))?;
        let pending = history.pending(&id, &before.items);
        for chunk in history.chunks(&id) {
            let drafts = self.outlets.iter().map(|outlet| {
                let encoder = outlet.encoder(&self.options.manifest, &[], &id);
                let draft = Draft {
                    class: Class::Historical,
                    event: chunk.events.first().map(|event| event.name.clone()).unwrap_or_default(),
                    uuids: chunk.uuids(),
                    day: chunk.day,
                    body: encoder.encode(&chunk.events, chunk.time()),
                };
                (Some(outlet.name.clone()), draft)
            });
            let drafts: Vec<_> = drafts.collect();
            let queued = told(busy(|| store.queue_each(drafts.clone(), None, None, now)))?;
            let is_queued = |queued: &&Queued| matches!(queued, Queued::As(_));
            done.requests += queued.iter().filter(is_queued).count() as u64;
            if let Some(Queued::Refused(short)) = queued.first() {
                return Err(short.to_string());
            }
        }
        told(pending.write(&self.options.state))?;
        drop(sealing);
        done.progress = self.progress()?;
        Ok(done)
    }

    /// How far it is; marks it as done once all has arrived.
    pub(super) fn progress(&self) -> Result<Progress, String> {
        let Some(backfill) = &self.options.manifest.backfill else { return Ok(Progress::None) };
        if !self.options.state.exists() {
            return Ok(Progress::None);
        }
        let items = told(self.look())?.items;
        told(Pending::follow(&self.options.state, backfill, &items, self.now()))
    }
}
