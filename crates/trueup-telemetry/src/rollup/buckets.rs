//! The buckets that are open, and those that have ended and wait to be handed over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use trueup_core::UnixMs;

use super::accumulator::Accumulator;
use super::plan::{FieldId, Plan, Rollup, RollupId};
use super::spec::{Grain, Reason, Value};
use crate::budget::Day;

/// Buckets that are open at most; past that the one that had no record for longest ends.
pub const OPEN_MAX: usize = 256;
/// Buckets that have ended and were not handed over at most; past that they are merged by day.
pub const ENDED_MAX: usize = 64;
/// Sessions whose next `window_seq` is remembered after a crash at most.
const RESUMED_MAX: usize = 256;

/// A session, known by a hash of its key with the install's salt. The key itself is kept nowhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u128);

impl SessionId {
    /// The session of a key.
    #[must_use]
    pub fn of(salt: &[u8; 32], key: &str) -> Self {
        let hash = Sha256::new().chain_update(salt).chain_update(key).finalize();
        let mut id = [0; 16];
        for (byte, hashed) in id.iter_mut().zip(hash) {
            *byte = hashed;
        }
        Self(u128::from_be_bytes(id))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({:032x})", self.0)
    }
}

/// A bucket, with what names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which bucket of its log it is; never used again.
    pub serial: u64,
    /// Of which rollup.
    pub rollup: RollupId,
    /// Of which session; none for windows, and for what was merged.
    pub session: Option<SessionId>,
    /// 0 for the first bucket of a session, and one more for each after it.
    pub window_seq: u32,
    /// The UTC day on which it began, on a clock that never goes back.
    pub day: Day,
    /// Why it ended; none while it is open.
    pub reason: Option<Reason>,
    /// Whether it was recorded while nothing might be sent: it stays on this machine for ever.
    pub is_local: bool,
    /// Its sums.
    pub sums: Accumulator,
}

/// Where an open bucket stands among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    rollup: RollupId,
    session: Option<SessionId>,
}

#[derive(Debug)]
struct Open {
    part: Part,
    started: UnixMs,
    is_dirty: bool,
}

/// What changed, to be written.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) parts: Vec<Part>,
    pub(crate) gone: BTreeSet<u64>,
    /// Whether nothing else has changed.
    pub(crate) is_all: bool,
    /// From where on open buckets are still to be taken, where that is not all.
    pub(crate) next: Option<Place>,
}

/// All buckets of a process.
#[derive(Debug)]
pub struct Buckets {
    plan: Arc<Plan>,
    open: BTreeMap<Place, Open>,
    ended: BTreeMap<u64, Part>,
    /// Ended ones that were given out, and of which it is not known whether they were taken: until that
    /// is known they stay as they are.
    handed: BTreeSet<u64>,
    /// Ended ones that changed since they were last written.
    unwritten: BTreeSet<u64>,
    /// Serials that are no more, and were not yet written as gone.
    gone: BTreeSet<u64>,
    resumed: BTreeMap<Place, u32>,
    next_serial: u64,
    /// The largest day seen.
    day: Day,
    /// Whether what begins now stays on this machine.
    is_local: bool,
}

impl Buckets {
    /// None yet. `day` is the largest day known.
    #[must_use]
    pub const fn new(plan: Arc<Plan>, day: Day) -> Self {
        Self {
            plan,
            open: BTreeMap::new(),
            ended: BTreeMap::new(),
            handed: BTreeSet::new(),
            unwritten: BTreeSet::new(),
            gone: BTreeSet::new(),
            resumed: BTreeMap::new(),
            next_serial: 0,
            day,
            is_local: false,
        }
    }

    /// Says whether what is recorded from now on stays on this machine. What is open ends where that
    /// changes, so that no bucket holds records of both kinds.
    pub fn set_local(&mut self, is_local: bool) {
        if self.is_local == is_local {
            return;
        }
        for place in self.open.keys().copied().collect::<Vec<_>>() {
            self.end_place(place, Reason::SafetyFlush, true);
        }
        self.is_local = is_local;
    }

    /// Adds a record to its bucket, and says how many of its values were refused; `None` where the
    /// record as a whole was: of a rollup that the plan does not have, or of no session where the
    /// rollup is of sessions.
    pub fn record(
        &mut self,
        rollup: RollupId,
        session: Option<SessionId>,
        values: &[(FieldId, Value<'_>)],
        now: UnixMs,
    ) -> Option<u64> {
        if self.needs_session(rollup)? && session.is_none() {
            return None;
        }
        self.add(rollup, session, now, |sums, rollup| sums.add(rollup, values, now))
    }

    /// Adds values that are no record, such as an error's. Without a session a rollup of sessions has a
    /// bucket for what is of none, which is merged into its day.
    pub fn note(
        &mut self,
        rollup: RollupId,
        session: Option<SessionId>,
        values: &[(FieldId, Value<'_>)],
        now: UnixMs,
    ) -> Option<u64> {
        self.add(rollup, session, now, |sums, rollup| sums.note(rollup, values, now))
    }

    fn needs_session(&self, rollup: RollupId) -> Option<bool> {
        self.plan.get(rollup).map(|rollup| rollup.spec.grain == Grain::Session)
    }

    fn add(
        &mut self,
        rollup: RollupId,
        session: Option<SessionId>,
        now: UnixMs,
        add: impl FnOnce(&mut Accumulator, &Rollup) -> u64,
    ) -> Option<u64> {
        let checked = self.plan.get(rollup)?;
        let session = session.filter(|_| checked.spec.grain == Grain::Session);
        let place = Place { rollup, session };
        let due = self.open.get(&place).map(|open| open.due(checked, now));
        if let Some(Some(reason)) = due {
            self.end_place(place, reason, true);
        }
        if due != Some(None) {
            self.begin(place, now);
        }
        let (checked, open) = (self.plan.get(rollup)?, self.open.get_mut(&place)?);
        open.is_dirty = true;
        let refused = add(&mut open.part.sums, checked);
        if open.part.sums.count >= checked.spec.max_records {
            self.end_place(place, Reason::SafetyFlush, true);
        }
        Some(refused)
    }

    /// Ends the buckets of a session. A second time there is nothing to end.
    pub fn end(&mut self, session: SessionId) {
        self.resumed.retain(|place, _| place.session != Some(session));
        let places = self.open.keys().filter(|place| place.session == Some(session));
        for place in places.copied().collect::<Vec<_>>() {
            self.end_place(place, Reason::SessionEnd, false);
        }
    }

    /// Ends what is due by its age or its window.
    pub fn sweep(&mut self, now: UnixMs) {
        let plan = Arc::clone(&self.plan);
        let due = self
            .open
            .iter()
            .filter_map(|(place, open)| Some((*place, open.due(plan.get(place.rollup)?, now)?)));
        for (place, reason) in due.collect::<Vec<_>>() {
            self.end_place(place, reason, true);
        }
    }

    /// Ends everything.
    pub fn end_all(&mut self, reason: Reason) {
        for place in self.open.keys().copied().collect::<Vec<_>>() {
            self.end_place(place, reason, false);
        }
    }

    /// What has ended, to be taken by somebody else: what was given out before and not yet
    /// forgotten, and with it what has ended since, unless that is too much already.
    pub fn hand_over(&mut self) -> Vec<Part> {
        if self.handed.len() <= ENDED_MAX {
            self.handed = self.ended.keys().copied().collect();
        }
        self.handed.iter().filter_map(|serial| self.ended.get(serial).cloned()).collect()
    }

    /// Drops what was handed over.
    pub fn forget(&mut self, serials: &BTreeSet<u64>) {
        for serial in serials {
            self.handed.remove(serial);
            if self.ended.remove(serial).is_some() {
                self.unwritten.remove(serial);
                self.gone.insert(*serial);
            }
        }
    }

    /// Drops everything: consent went.
    pub fn clear(&mut self) {
        let Self { next_serial, day, is_local, .. } = *self;
        *self = Self { next_serial, is_local, ..Self::new(Arc::clone(&self.plan), day) };
    }

    /// Has a session go on where one that was recovered after a crash left off.
    pub fn resume(&mut self, recovered: &Part) {
        if recovered.session.is_some() && self.resumed.len() < RESUMED_MAX {
            let place = Place { rollup: recovered.rollup, session: recovered.session };
            let next = recovered.window_seq.saturating_add(1);
            let seq = self.resumed.entry(place).or_insert(next);
            *seq = next.max(*seq);
        }
    }

    /// Whether nothing is open, waits or is to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.ended.is_empty()
    }

    /// Takes what changed since it was last taken: serials that are gone, and at most `max` buckets, first
    /// those that have ended, then open ones from a place on. Where serials are gone, all that have ended
    /// come with them, for among these is what others were merged into. What could not be written goes
    /// [back](Self::untake).
    pub(crate) fn take_changes(&mut self, from: Option<Place>, max: usize) -> Taken {
        let gone = std::mem::take(&mut self.gone);
        let mut ended = std::mem::take(&mut self.unwritten);
        if gone.is_empty()
            && let Some(rest) = ended.iter().nth(max).copied()
        {
            self.unwritten = ended.split_off(&rest);
        }
        let ended = ended.iter().filter_map(|serial| self.ended.get(serial));
        let mut parts: Vec<Part> = ended.cloned().collect();
        let behind = (from.map_or(Bound::Unbounded, Bound::Included), Bound::Unbounded);
        let mut dirty = self.open.range_mut(behind).filter(|(_, open)| open.is_dirty);
        for (_, open) in dirty.by_ref().take(max.saturating_sub(parts.len())) {
            open.is_dirty = false;
            parts.push(open.part.clone());
        }
        let next = dirty.next().map(|(place, _)| *place);
        let is_all = next.is_none() && self.unwritten.is_empty();
        Taken { parts, gone, is_all, next: next.or(from) }
    }

    /// Has what was taken be written with the next changes, as far as it is still there.
    pub(crate) fn untake(&mut self, parts: &[Part], gone: BTreeSet<u64>) {
        let serials: BTreeSet<u64> = parts.iter().map(|part| part.serial).collect();
        for open in self.open.values_mut() {
            open.is_dirty |= serials.contains(&open.part.serial);
        }
        let ended = serials.into_iter().filter(|serial| self.ended.contains_key(serial));
        self.unwritten.extend(ended);
        self.gone.extend(gone);
    }

    /// Whether something has ended, or is gone, of which the log does not know.
    pub(crate) fn has_unwritten_ends(&self) -> bool {
        !self.unwritten.is_empty() || !self.gone.is_empty()
    }

    /// Every bucket there is.
    pub(crate) fn all(&self) -> Vec<Part> {
        self.ended.values().chain(self.open.values().map(|open| &open.part)).cloned().collect()
    }

    pub(crate) const fn gone(&self) -> &BTreeSet<u64> {
        &self.gone
    }

    pub(crate) const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Begins a bucket.
    fn begin(&mut self, place: Place, now: UnixMs) {
        if self.open.len() >= OPEN_MAX {
            let idlest =
                self.open.iter().min_by_key(|(_, open)| (open.part.sums.last, open.part.serial));
            if let Some(place) = idlest.map(|(place, _)| *place) {
                self.end_place(place, Reason::SafetyFlush, true);
            }
        }
        self.day = self.day.max(Day::of(now));
        let plan = Arc::clone(&self.plan);
        let Some(rollup) = plan.get(place.rollup) else { return };
        let part = Part {
            serial: self.serial(),
            rollup: place.rollup,
            session: place.session,
            window_seq: self.resumed.remove(&place).unwrap_or(0),
            day: self.day,
            reason: None,
            is_local: self.is_local,
            sums: Accumulator::new(rollup),
        };
        self.open.insert(place, Open { part, started: now, is_dirty: true });
    }

    /// Ends a bucket, and remembers how the session goes on where it does.
    fn end_place(&mut self, place: Place, reason: Reason, goes_on: bool) {
        let Some(open) = self.open.remove(&place) else { return };
        let is_of_none = place.session.is_none() && self.needs_session(place.rollup) == Some(true);
        let reason = if is_of_none { Reason::BudgetMerge } else { reason };
        let part = Part { reason: Some(reason), ..open.part };
        if goes_on {
            self.resume(&part);
        }
        self.unwritten.insert(part.serial);
        self.ended.insert(part.serial, part);
        if self.ended.len() - self.handed.len() > ENDED_MAX {
            self.merge_ended();
        }
    }

    /// One bucket for each rollup and day, in the place of all that have ended and were not given out.
    /// What stays here is never added to what may leave.
    fn merge_ended(&mut self) {
        let mut merged: BTreeMap<(RollupId, Day, bool), Part> = BTreeMap::new();
        for (serial, part) in std::mem::take(&mut self.ended) {
            if self.handed.contains(&serial) {
                self.ended.insert(serial, part);
                continue;
            }
            self.gone.insert(serial);
            self.unwritten.remove(&serial);
            let sums = part.sums.into_part(false);
            let key = (part.rollup, part.day, part.is_local);
            if let Some(whole) = merged.get_mut(&key) {
                whole.sums.merge(&sums);
                continue;
            }
            let whole = Part {
                serial: self.serial(),
                session: None,
                window_seq: 0,
                reason: Some(Reason::BudgetMerge),
                sums,
                ..part
            };
            merged.insert(key, whole);
        }
        self.unwritten.extend(merged.values().map(|part| part.serial));
        self.ended.extend(merged.into_values().map(|part| (part.serial, part)));
    }

    const fn serial(&mut self) -> u64 {
        let serial = self.next_serial;
        self.next_serial += 1;
        serial
    }
}

impl Open {
    /// Why it must end before a record of `now`, if it must.
    fn due(&self, rollup: &Rollup, now: UnixMs) -> Option<Reason> {
        // A clock that went back by more than the age is as good as one that went on by it.
        let age_ms = now.0.abs_diff(self.started.0);
        match rollup.spec.grain {
            Grain::Window { length_ms } => {
                let is_other = now.floor(length_ms) != self.started.floor(length_ms);
                is_other.then_some(Reason::Window)
            }
            Grain::Session => {
                (age_ms >= rollup.spec.max_age_ms.unsigned_abs()).then_some(Reason::SafetyFlush)
            }
        }
    }
}
