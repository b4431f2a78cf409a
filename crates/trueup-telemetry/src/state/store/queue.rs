//! What becomes a request of its own: in one step, for all of its sinks, or not at all.

use trueup_core::UnixMs;

use super::Store;
use crate::budget::Short;
use crate::outbox::{Draft, Item, ItemState};
use crate::state::book::Book;
use crate::state::error::StateError;
use crate::state::seal::{Address, Sealing};

/// Requests to be queued, each for its sink, or for none where it stays on this machine.
pub type Drafts = Vec<(Option<String>, Draft)>;

/// What was asked for when something was to be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// It is queued under this number.
    As(u64),
    /// It is not, for want of this.
    Refused(Short),
    /// It is not, because it came often enough today.
    OftenEnough,
    /// It is not, because it has more bytes than a day; it stands in the log under this number.
    TooLarge(u64),
}

impl Store {
    /// Queues a request of its own, if the day has room for it; with `max_per_day`, as often and no
    /// more, whatever restarts.
    pub fn queue(
        &mut self,
        draft: Draft,
        max_per_day: Option<u64>,
        now: UnixMs,
    ) -> Result<Queued, StateError> {
        let first = self.sinks.first().cloned().unwrap_or_default();
        let queued = self.queue_each(vec![(Some(first), draft)], None, max_per_day, now)?;
        Ok(queued.into_iter().next().unwrap_or(Queued::Refused(Short::Events)))
    }

    /// The same for the copies of one event, each for its sink, or for none where it stays on this
    /// machine: all of them find room, or none does. `recorded` is when it happened.
    pub fn queue_each(
        &mut self,
        drafts: Drafts,
        recorded: Option<UnixMs>,
        max_per_day: Option<u64>,
        now: UnixMs,
    ) -> Result<Vec<Queued>, StateError> {
        let Some((sink, draft)) = drafts.first() else { return Ok(Vec::new()) };
        let (is_local, class, event) = (sink.is_none(), draft.class, draft.event.clone());
        let uuid = draft.uuids.first().copied().unwrap_or_default();
        let events = |draft: &Draft| u64::try_from(draft.uuids.len()).unwrap_or(u64::MAX).max(1);
        let events = drafts.iter().map(|(_, draft)| events(draft)).fold(0, u64::saturating_add);
        let _lock = self.shelf.open()?;
        let mut ledger = self.ledger(now)?;
        let sealing = self.sealing(&ledger, now);
        let room =
            if is_local { sealing.room_here(class) } else { sealing.room_for(class, events) };
        if let Err(short) = room {
            return Ok(vec![Queued::Refused(short)]);
        }
        if let Some(max) = max_per_day {
            if !ledger.promise((&event, uuid), max, now) {
                return Ok(vec![Queued::OftenEnough]);
            }
            self.folder().write_ledger(&ledger)?;
        }
        self.commit_all(sealing, drafts, recorded)
    }

    /// Has `make` look at the items while no other process changes them, and queues what it makes of them,
    /// all in one step.
    pub fn queue_made(
        &mut self,
        now: UnixMs,
        make: &mut dyn FnMut(&[Item]) -> Result<Drafts, StateError>,
    ) -> Result<Vec<Queued>, StateError> {
        let _lock = self.shelf.open()?;
        let ledger = self.ledger(now)?;
        let sealing = self.sealing(&ledger, now);
        let items: Vec<_> = sealing.book.outbox.items().cloned().collect();
        let drafts = make(&items)?;
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        self.commit_all(sealing, drafts, None)
    }

    fn commit_all(
        &mut self,
        mut sealing: Sealing,
        drafts: Drafts,
        recorded: Option<UnixMs>,
    ) -> Result<Vec<Queued>, StateError> {
        let mut all = Vec::new();
        for (sink, draft) in drafts {
            let number = sealing.push_draft(draft, Address { sink, recorded });
            let is_large = is_quarantined(&sealing.book, number);
            all.push(if is_large { Queued::TooLarge(number) } else { Queued::As(number) });
        }
        sealing.trim();
        self.commit(sealing)?;
        Ok(all)
    }
}

fn is_quarantined(book: &Book, number: u64) -> bool {
    book.outbox.item(number).is_some_and(|item| item.state == ItemState::Quarantined)
}
