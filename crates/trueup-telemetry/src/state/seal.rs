//! What ended buckets become: an event of their own where the budget has room, a part of their day
//! where it has not.
//!
//! Each rollup of the plan has a place a day for its day, which nothing else may take. What is left of
//! [`Caps::events_per_day`](crate::budget::Caps) is for buckets of their own, first come, first served.
//! A day becomes an event once it is over and there is room; until then it waits, and days that wait
//! for the same event are added up.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use trueup_core::UnixMs;
use uuid::Uuid;

use super::book::{Book, Op};
use super::store::Settings;
use crate::budget::{Class, Day, Short, Spent};
use crate::outbox::{Change, Draft, event_uuid};
use crate::rollup::{Accumulator, Grain, Part, Plan, Properties, Reason, RollupId};

/// An event, before it becomes bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Its id: the same bucket gets the same one.
    pub uuid: Uuid,
    /// Its name.
    #[serde(rename = "event")]
    pub name: String,
    /// The day that it is about.
    pub day: Day,
    /// When the last record of it came.
    pub time: UnixMs,
    /// Why its bucket ended.
    pub reason: Reason,
    /// What it says.
    pub properties: Properties,
}

/// What came of what was handed over.
#[derive(Debug, Clone, Default)]
pub struct Sealed {
    /// Events that were queued.
    pub queued: u64,
    /// Buckets that were merged into their day.
    pub merged: u64,
    /// Buckets that dead processes left, and that were taken.
    pub recovered: Vec<Part>,
    /// Fields and events of those that the plan does not have.
    pub unknown: u64,
    /// Whether the state was purged since the recorder began: nothing was taken, and nothing ever will.
    pub is_purged: bool,
    /// Of which log the buckets were that were handed over, and which.
    pub(crate) log: Option<String>,
    pub(crate) serials: BTreeSet<u64>,
}

/// Bytes for an event, as the sink wants them.
pub(crate) type Encode<'a> = &'a mut dyn FnMut(&Event) -> Vec<u8>;

/// A change of the book that only has to be made.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The book after it.
    pub(crate) book: Book,
    pub(crate) ops: Vec<Op>,
    /// Bytes to be stored before, and the names of their files.
    pub(crate) bodies: Vec<(String, Vec<u8>)>,
    pub(crate) sealed: Sealed,
}

/// One change of the book that is being prepared.
#[derive(Debug)]
pub(crate) struct Sealing {
    pub(crate) settings: Arc<Settings>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) book: Book,
    pub(crate) ops: Vec<Op>,
    pub(crate) bodies: Vec<(String, Vec<u8>)>,
    pub(crate) day: Day,
    pub(crate) spent: Spent,
    pub(crate) now: UnixMs,
    /// Days that changed.
    pub(crate) touched: BTreeSet<(RollupId, Day)>,
    pub(crate) sealed: Sealed,
}

impl Sealing {
    /// Takes one bucket.
    pub(crate) fn take(&mut self, log: &str, part: Part, encode: Encode<'_>) {
        let reserved = u64::try_from(self.plan.len()).unwrap_or(u64::MAX);
        let reason = part.reason.unwrap_or(Reason::Recovered);
        // What is of no session, such as errors, is of the day: no restart makes an event of it.
        let grain = self.plan.get(part.rollup).map(|rollup| rollup.spec.grain);
        let is_of_day = part.session.is_none() && grain == Some(Grain::Session);
        let is_whole = reason != Reason::BudgetMerge && !is_of_day;
        if is_whole && self.has_room(reserved) {
            let bucket = format!("{log}-{}", part.serial);
            self.queue(
                (part.rollup, part.day),
                &part.sums,
                reason,
                part.window_seq,
                &bucket,
                encode,
            );
            return;
        }
        self.sealed.merged += 1;
        self.add_day((part.rollup, part.day), part.sums.into_part(reason == Reason::Recovered));
    }

    /// Makes events of the days that are over.
    pub(crate) fn take_days(&mut self, encode: Encode<'_>) {
        let over = self.book.days.keys().filter(|(_, day)| *day < self.day);
        let mut over: Vec<_> = over.copied().collect();
        over.sort_by_key(|&(rollup, day)| (day, rollup));
        let caps = &self.settings.caps;
        let is_plain = caps.rollups() <= u64::try_from(self.plan.len()).unwrap_or(u64::MAX);
        let reason = if is_plain { Reason::Daily } else { Reason::BudgetMerge };
        let mut waits: Vec<(RollupId, Day)> = Vec::new();
        for key in over {
            if self.has_room(0) {
                let Some(sums) = self.remove_day(key) else { continue };
                let bucket = format!("{}-{}", self.book.store, self.book.outbox.next_number());
                self.queue(key, &sums, reason, 0, &bucket, encode);
            } else if let Some(first) = waits.iter().find(|first| first.0 == key.0).copied() {
                let Some(sums) = self.remove_day(key) else { continue };
                self.add_day(first, sums);
            } else {
                waits.push(key);
            }
        }
    }

    /// All that is to be stored and logged.
    pub(crate) fn finish(mut self) -> Prepared {
        for key in std::mem::take(&mut self.touched) {
            self.ops.extend(self.book.day_op(&self.plan, key));
        }
        if self.sealed.unknown > 0 {
            self.push(Op::Unknown(self.sealed.unknown));
        }
        let Self { book, ops, bodies, sealed, .. } = self;
        Prepared { book, ops, bodies, sealed }
    }

    pub(crate) fn push(&mut self, op: Op) {
        self.book.apply(&op, &self.plan);
        self.ops.push(op);
    }

    /// Queues a request, or puts one aside that could never be sent.
    pub(crate) fn push_draft(&mut self, draft: Draft) -> u64 {
        let mut item = self.book.outbox.queue(&draft, self.now);
        let max = match draft.class {
            Class::Historical => self.settings.caps.historical_bytes_per_day,
            Class::Rollup | Class::Lifecycle | Class::Exception => self.settings.caps.bytes_per_day,
        };
        if item.bytes > max {
            item = item.quarantined(None, "larger than the bytes of a day", self.now);
        }
        let number = item.number;
        self.bodies.push((item.body_name(), draft.body));
        self.push(Op::Outbox(Change::Put(Box::new(item))));
        number
    }

    /// Whether the day has room for a request that is no rollup, behind those that wait already.
    pub(crate) fn room_for(&self, draft: &Draft) -> Result<(), Short> {
        let (caps, outbox, spent) = (&self.settings.caps, &self.book.outbox, &self.spent);
        if !outbox.has_room(draft.class) {
            return Err(Short::Events);
        }
        let events = u64::try_from(draft.uuids.len()).unwrap_or(u64::MAX).max(1);
        let waiting = |class| outbox.waiting(class, self.day);
        let sum = |spent: u64, waiting: u64| spent.saturating_add(waiting).saturating_add(events);
        let others = spent.events.saturating_sub(spent.rollups);
        let waiting_others = waiting(Class::Lifecycle).saturating_add(waiting(Class::Exception));
        let is_full = match draft.class {
            Class::Historical => false,
            Class::Rollup => sum(spent.rollups, waiting(Class::Rollup)) > caps.rollups(),
            Class::Lifecycle | Class::Exception => sum(others, waiting_others) > caps.others(),
        };
        let exceptions = sum(spent.exceptions, waiting(Class::Exception));
        if draft.class == Class::Exception && exceptions > caps.exceptions_per_day {
            return Err(Short::Exceptions);
        }
        if is_full { Err(Short::Events) } else { Ok(()) }
    }

    /// Whether another rollup may be sent on this day, with `reserved` more after it.
    fn has_room(&self, reserved: u64) -> bool {
        let waiting = self.book.outbox.waiting(Class::Rollup, self.day);
        let taken = self.spent.rollups.saturating_add(waiting).saturating_add(reserved);
        taken < self.settings.caps.rollups() && self.book.outbox.has_room(Class::Rollup)
    }

    fn queue(
        &mut self,
        (rollup, day): (RollupId, Day),
        sums: &Accumulator,
        reason: Reason,
        window_seq: u32,
        bucket: &str,
        encode: Encode<'_>,
    ) {
        let plan = Arc::clone(&self.plan);
        let Some(checked) = plan.get(rollup) else { return };
        let name = checked.spec.event.clone();
        let (day_text, seq_text) = (day.to_string(), window_seq.to_string());
        let settings = &self.settings;
        let parts = [settings.install.as_str(), &name, &day_text, &seq_text, bucket];
        let event = Event {
            uuid: event_uuid(settings.namespace, &parts),
            name,
            day,
            time: sums.span().1,
            reason,
            properties: sums.properties(checked, reason, window_seq),
        };
        let body = encode(&event);
        let uuids = vec![event.uuid];
        self.push_draft(Draft { class: Class::Rollup, event: event.name, uuids, day, body });
        self.sealed.queued += 1;
    }

    fn add_day(&mut self, key: (RollupId, Day), sums: Accumulator) {
        self.touched.insert(key);
        match self.book.days.get_mut(&key) {
            Some(whole) => whole.merge(&sums),
            None => {
                self.book.days.insert(key, sums);
            }
        }
    }

    fn remove_day(&mut self, key: (RollupId, Day)) -> Option<Accumulator> {
        self.touched.insert(key);
        self.book.days.remove(&key)
    }
}
