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

use super::book::{Book, Op, Whole};
use super::store::{Reach, Settings};
use crate::budget::{Class, Day, Short, Spent};
use crate::outbox::{Change, Draft, Item, ItemState, event_uuid};
use crate::rollup::{Accumulator, Grain, Part, Plan, Properties, Reason};

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
    /// The sink that its bytes are for; none where it stays on this machine.
    #[serde(skip)]
    pub sink: Option<String>,
}

/// What came of what was handed over.
#[derive(Debug, Clone, Default)]
pub struct Sealed {
    /// Events that were queued, once for each sink.
    pub queued: u64,
    /// Events that stay on this machine.
    pub kept: u64,
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

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// To this sink; none where it stays on this machine.
    pub(crate) sink: Option<String>,
    /// When the first record in it came.
    pub(crate) recorded: Option<UnixMs>,
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
    pub(crate) reach: Reach,
    pub(crate) sinks: Arc<[String]>,
    pub(crate) book: Book,
    pub(crate) ops: Vec<Op>,
    pub(crate) bodies: Vec<(String, Vec<u8>)>,
    pub(crate) day: Day,
    pub(crate) spent: Spent,
    pub(crate) now: UnixMs,
    /// Days that changed.
    pub(crate) touched: BTreeSet<Whole>,
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
        let is_local = part.is_local || self.reach.withholds(part.sums.span().0);
        let key = Whole { rollup: part.rollup, day: part.day, is_local };
        if is_whole && self.has_room(is_local, reserved) {
            let bucket = format!("{log}-{}", part.serial);
            self.queue(key, &part.sums, (reason, part.window_seq), &bucket, encode);
            return;
        }
        self.sealed.merged += 1;
        self.add_day(key, part.sums.into_part(reason == Reason::Recovered));
    }

    /// Makes events of the days that are over.
    pub(crate) fn take_days(&mut self, encode: Encode<'_>) {
        let over = self.book.days.keys().filter(|whole| whole.day < self.day);
        let mut over: Vec<_> = over.copied().collect();
        over.sort_by_key(|whole| (whole.day, whole.rollup, whole.is_local));
        let places = u64::try_from(self.plan.len()).unwrap_or(u64::MAX);
        let mut waits: Vec<Whole> = Vec::new();
        for key in over {
            let is_same =
                |other: &&Whole| (other.rollup, other.is_local) == (key.rollup, key.is_local);
            if self.has_room(key.is_local, 0) {
                let Some(sums) = self.remove_day(key) else { continue };
                let bucket = format!("{}-{}", self.book.store, self.book.outbox.next_number());
                let needed = places.saturating_mul(self.copies(key.is_local));
                let is_plain = self.settings.caps.rollups() <= needed;
                let reason = if is_plain { Reason::Daily } else { Reason::BudgetMerge };
                self.queue(key, &sums, (reason, 0), &bucket, encode);
            } else if let Some(first) = waits.iter().find(is_same).copied() {
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

    /// Keeps on this machine what was recorded before it might be sent, and what is for a place that is no
    /// more.
    pub(crate) fn withhold(&mut self) {
        let queued = self.book.outbox.items().filter(|item| item.state == ItemState::Queued);
        let is_early = |item: &&Item| self.reach.withholds_item(item);
        let is_lost = |item: &&Item| !self.sinks.contains(&item.sink);
        let early = queued.filter(|item| is_early(item) || is_lost(item));
        for item in early.map(|item| item.kept(self.now)).collect::<Vec<_>>() {
            self.push(Op::Outbox(Change::Put(Box::new(item))));
        }
        let days = self.book.days.iter().filter(|(whole, _)| !whole.is_local);
        let early = days.filter(|(_, sums)| self.reach.withholds(sums.span().0));
        for key in early.map(|(key, _)| *key).collect::<Vec<_>>() {
            let Some(sums) = self.remove_day(key) else { continue };
            self.add_day(Whole { is_local: true, ..key }, sums);
        }
    }

    /// Forgets what is no longer shown.
    pub(crate) fn trim(&mut self) {
        for change in self.book.outbox.trimmed() {
            self.push(Op::Outbox(change));
        }
    }

    /// Queues a request, or puts one aside that could never be sent.
    pub(crate) fn push_draft(&mut self, draft: Draft, to: Address) -> u64 {
        let item = self.book.outbox.queue(&draft, self.now);
        let Address { sink, recorded } = to;
        let mut item = match sink {
            Some(sink) => Item { sink, recorded, ..item },
            None => Item { recorded, ..item.kept(self.now) },
        };
        let max = match draft.class {
            Class::Historical => self.settings.caps.historical_bytes_per_day,
            Class::Rollup | Class::Lifecycle | Class::Exception => self.settings.caps.bytes_per_day,
        };
        if item.bytes > max && item.state == ItemState::Queued {
            item = item.quarantined(None, "larger than the bytes of a day", self.now);
        }
        let number = item.number;
        self.bodies.push((item.body_name(), draft.body));
        self.push(Op::Outbox(Change::Put(Box::new(item))));
        number
    }

    /// Whether the day has room for something that stays on this machine.
    pub(crate) fn room_here(&self, class: Class) -> Result<(), Short> {
        let has_room = self.book.outbox.kept(class, self.day) < self.settings.caps.hard_cap;
        if has_room { Ok(()) } else { Err(Short::Events) }
    }

    /// Whether the day has room for requests that are no rollups, behind those that wait already.
    pub(crate) fn room_for(&self, class: Class, events: u64) -> Result<(), Short> {
        let (caps, outbox, spent) = (&self.settings.caps, &self.book.outbox, &self.spent);
        if !outbox.has_room(class) {
            return Err(Short::Events);
        }
        let waiting = |class| outbox.waiting(class, self.day);
        let sum = |spent: u64, waiting: u64| spent.saturating_add(waiting).saturating_add(events);
        let others = spent.events.saturating_sub(spent.rollups);
        let waiting_others = waiting(Class::Lifecycle).saturating_add(waiting(Class::Exception));
        let is_full = match class {
            Class::Historical => false,
            Class::Rollup => sum(spent.rollups, waiting(Class::Rollup)) > caps.rollups(),
            Class::Lifecycle | Class::Exception => sum(others, waiting_others) > caps.others(),
        };
        let exceptions = sum(spent.exceptions, waiting(Class::Exception));
        if class == Class::Exception && exceptions > caps.exceptions_per_day {
            return Err(Short::Exceptions);
        }
        if is_full { Err(Short::Events) } else { Ok(()) }
    }

    /// How often an event is counted: once for each sink, or once where it stays here.
    fn copies(&self, is_local: bool) -> u64 {
        if is_local { 1 } else { u64::try_from(self.sinks.len()).unwrap_or(u64::MAX) }
    }

    /// Whether another rollup may be sent, or kept, on this day, with `reserved` more after it.
    fn has_room(&self, is_local: bool, reserved: u64) -> bool {
        let (caps, outbox) = (&self.settings.caps, &self.book.outbox);
        let events = self.copies(is_local).saturating_mul(reserved.saturating_add(1));
        if is_local {
            return outbox.kept(Class::Rollup, self.day).saturating_add(events) <= caps.rollups();
        }
        let waiting = outbox.waiting(Class::Rollup, self.day);
        let taken = self.spent.rollups.saturating_add(waiting);
        taken.saturating_add(events) <= caps.rollups() && outbox.has_room(Class::Rollup)
    }

    fn queue(
        &mut self,
        Whole { rollup, day, is_local }: Whole,
        sums: &Accumulator,
        (reason, window_seq): (Reason, u32),
        bucket: &str,
        encode: Encode<'_>,
    ) {
        let plan = Arc::clone(&self.plan);
        let Some(checked) = plan.get(rollup) else { return };
        let name = checked.spec.event.clone();
        let (day_text, seq_text) = (day.to_string(), window_seq.to_string());
        let settings = &self.settings;
        let parts = [settings.install.as_str(), &name, &day_text, &seq_text, bucket];
        let (first, last) = sums.span();
        let mut event = Event {
            uuid: event_uuid(settings.namespace, &parts),
            name,
            day,
            time: last,
            reason,
            properties: sums.properties(checked, reason, window_seq),
            sink: None,
        };
        let sinks = Arc::clone(&self.sinks);
        let to = if is_local { vec![None] } else { sinks.iter().cloned().map(Some).collect() };
        for sink in to {
            event.sink.clone_from(&sink);
            let (body, uuids) = (encode(&event), vec![event.uuid]);
            let (class, name) = (Class::Rollup, event.name.clone());
            let count = if is_local { &mut self.sealed.kept } else { &mut self.sealed.queued };
            *count += 1;
            let draft = Draft { class, event: name, uuids, day, body };
            self.push_draft(draft, Address { sink, recorded: Some(first) });
        }
    }

    fn add_day(&mut self, key: Whole, sums: Accumulator) {
        self.touched.insert(key);
        match self.book.days.get_mut(&key) {
            Some(whole) => whole.merge(&sums),
            None => {
                self.book.days.insert(key, sums);
            }
        }
    }

    fn remove_day(&mut self, key: Whole) -> Option<Accumulator> {
        self.touched.insert(key);
        self.book.days.remove(&key)
    }
}
