//! What may be sent on one UTC day, and what was: a ceiling that nothing passes.
//!
//! The [`Ledger`] is charged, and its charge stored, before the first byte leaves. Its day is the
//! largest that was ever seen: a clock that goes back finds the day as it was left, and one that goes
//! on begins a day that it will not begin again. It counts; it knows no file, no clock, and not what
//! the events say.
//!
//! ```json
//! {"version":1,"day":20778,"days":{"20778":{"rollups":2,"events":3,"bytes":4180,"requests":3}}}
//! ```

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use trueup_core::{DAY_MS, UnixMs};
use uuid::Uuid;

/// Days of which the ledger remembers what was sent.
pub const DAYS_KEPT: usize = 31;
/// Names of events that are counted on their own at most.
pub const NAMED_MAX: usize = 64;

/// A UTC day, counted from 1970-01-01. Printed as `2026-11-21`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Day(pub i64);

impl Day {
    /// The day of an instant.
    #[must_use]
    pub const fn of(time: UnixMs) -> Self {
        Self(time.0.div_euclid(DAY_MS))
    }

    /// Its first instant.
    #[must_use]
    pub const fn start(self) -> UnixMs {
        UnixMs(self.0.saturating_mul(DAY_MS))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.start().to_string();
        f.write_str(time.split_once('T').map_or(time.as_str(), |(day, _)| day))
    }
}

/// What may be sent on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// Rollups. More than that are merged, and lose nothing but their number.
    pub events_per_day: u64,
    /// Events of every kind but historical ones.
    pub hard_cap: u64,
    /// Bytes of requests but historical ones, each retry counted.
    pub bytes_per_day: u64,
    /// Events of exceptions, which count against `hard_cap`, too.
    pub exceptions_per_day: u64,
    /// Requests of every kind, each retry counted.
    pub requests_per_day: u64,
    /// Historical events, which no bill counts.
    pub historical_per_day: u64,
    /// Bytes of historical events.
    pub historical_bytes_per_day: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            events_per_day: 2,
            hard_cap: 6,
            bytes_per_day: 32_768,
            exceptions_per_day: 0,
            requests_per_day: 24,
            historical_per_day: 10_000,
            historical_bytes_per_day: 16 * 1024 * 1024,
        }
    }
}

impl Caps {
    /// Rollups of a day: no more than events of every kind.
    #[must_use]
    pub fn rollups(&self) -> u64 {
        self.events_per_day.min(self.hard_cap)
    }

    /// Events of a day that are no rollups: what is left beside those.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.hard_cap - self.rollups()
    }
}

/// What kind of event something is, which decides what it is counted against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A rollup.
    Rollup,
    /// An event of its own, such as a start.
    Lifecycle,
    /// An exception.
    Exception,
    /// An event of long ago.
    Historical,
}

/// What a request would cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Of which kind its events are.
    pub class: Class,
    /// Events in it that were not yet counted on this day.
    pub events: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// What was sent on one day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// Rollups.
    #[serde(skip_serializing_if = "is_zero")]
    pub rollups: u64,
    /// Events of every kind but historical ones, rollups among them.
    #[serde(skip_serializing_if = "is_zero")]
    pub events: u64,
    /// Exceptions among them.
    #[serde(skip_serializing_if = "is_zero")]
    pub exceptions: u64,
    /// Bytes of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Requests of every kind.
    #[serde(skip_serializing_if = "is_zero")]
    pub requests: u64,
    /// Historical events.
    #[serde(skip_serializing_if = "is_zero")]
    pub historical: u64,
    /// Bytes of historical events.
    #[serde(skip_serializing_if = "is_zero")]
    pub historical_bytes: u64,
    /// How often an event that has a limit of its own was taken.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub named: BTreeMap<String, u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What there is too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Short {
    /// No room for another event.
    #[error("no more events today")]
    Events,
    /// No room for another exception.
    #[error("no more exceptions today")]
    Exceptions,
    /// No room for as many bytes.
    #[error("too few bytes left today")]
    Bytes,
    /// No room for another request.
    #[error("no more requests today")]
    Requests,
    /// The ledger could not be read: nothing more is sent on this day.
    #[error("the ledger was unreadable today: sending goes on tomorrow")]
    Unreadable,
}

/// What was sent, day by day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    version: u32,
    day: Day,
    /// The day on which nothing may be sent any more, because what was sent on it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<Day>,
    /// The last event that was counted by its name, as long as it is not certain that it is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    promised: Option<Promised>,
    days: BTreeMap<Day, Spent>,
}

/// An event that was counted before it was queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Promised {
    event: String,
    day: Day,
    uuid: Uuid,
}

/// The form of the ledger that is written here.
pub const LEDGER_VERSION: u32 = 1;

impl Ledger {
    /// One in which nothing was sent.
    #[must_use]
    pub fn new() -> Self {
        Self { version: LEDGER_VERSION, ..Self::default() }
    }

    /// One in the place of another that cannot be read: nothing goes on the day of `now`.
    #[must_use]
    pub fn closed(now: UnixMs) -> Self {
        let day = Day::of(now);
        Self { day, lost: Some(day), ..Self::new() }
    }

    /// Whether this version can count on with it.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.version == LEDGER_VERSION
    }

    /// The form in which it was written.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The day that counts: the largest seen, `now` included.
    #[must_use]
    pub fn day(&self, now: UnixMs) -> Day {
        self.day.max(Day::of(now))
    }

    /// Takes note of the day of `now`, and says whether that changed anything.
    pub fn see(&mut self, now: UnixMs) -> bool {
        let day = self.day(now);
        let is_later = day > self.day;
        self.day = day;
        is_later
    }

    /// What was sent on that day.
    #[must_use]
    pub fn spent(&self, now: UnixMs) -> Spent {
        self.days.get(&self.day(now)).cloned().unwrap_or_default()
    }

    /// All days that are remembered.
    pub fn days(&self) -> impl Iterator<Item = (Day, &Spent)> {
        self.days.iter().map(|(day, spent)| (*day, spent))
    }

    /// Counts a request, or nothing of it where there is no room for all of it.
    pub fn charge(&mut self, caps: &Caps, cost: Cost, now: UnixMs) -> Result<Day, Short> {
        let day = self.day(now);
        if self.lost == Some(day) {
            return Err(Short::Unreadable);
        }
        let spent = self.spent(now).with(caps, cost)?;
        self.put(day, spent);
        Ok(day)
    }

    /// Counts an event that may come `max_per_day` times, when it is taken, so that no restart brings
    /// another. Says whether it may come.
    pub fn charge_named(&mut self, event: &str, max_per_day: u64, now: UnixMs) -> bool {
        let mut spent = self.spent(now);
        let is_room = spent.named.len() < NAMED_MAX || spent.named.contains_key(event);
        if self.lost == Some(self.day(now)) || !is_room {
            return false;
        }
        let count = spent.named.entry(event.to_owned()).or_default();
        if *count >= max_per_day {
            return false;
        }
        *count += 1;
        self.put(self.day(now), spent);
        true
    }

    /// The same for one with this id, which is queued next. Where that fails, or a kill comes between, the
    /// next [`redeem`](Self::redeem) takes it back.
    pub fn promise(&mut self, (event, uuid): (&str, Uuid), max_per_day: u64, now: UnixMs) -> bool {
        let may_come = self.charge_named(event, max_per_day, now);
        if may_come {
            self.promised = Some(Promised { event: event.to_owned(), day: self.day(now), uuid });
        }
        may_come
    }

    /// Takes back what was counted for an event that was not queued after all.
    pub fn redeem(&mut self, is_queued: impl FnOnce(Uuid) -> bool) {
        let Some(Promised { event, day, uuid }) = self.promised.take() else { return };
        let spent = self.days.get_mut(&day).filter(|_| !is_queued(uuid));
        if let Some(count) = spent.and_then(|spent| spent.named.get_mut(&event)) {
            *count = count.saturating_sub(1);
        }
    }

    fn put(&mut self, day: Day, spent: Spent) {
        self.day = day;
        self.days.insert(day, spent);
        while self.days.len() > DAYS_KEPT {
            self.days.pop_first();
        }
    }
}

impl Spent {
    /// This and a request more.
    fn with(mut self, caps: &Caps, cost: Cost) -> Result<Self, Short> {
        let room = |spent: &mut u64, more: u64, max: u64, short: Short| {
            let sum =
                spent.checked_add(more).filter(|sum| *sum <= max || more == 0).ok_or(short)?;
            *spent = sum;
            Ok(())
        };
        room(&mut self.requests, 1, caps.requests_per_day, Short::Requests)?;
        if cost.class == Class::Historical {
            room(&mut self.historical, cost.events, caps.historical_per_day, Short::Events)?;
            let max = caps.historical_bytes_per_day;
            room(&mut self.historical_bytes, cost.bytes, max, Short::Bytes)?;
            return Ok(self);
        }
        room(&mut self.events, cost.events, caps.hard_cap, Short::Events)?;
        room(&mut self.bytes, cost.bytes, caps.bytes_per_day, Short::Bytes)?;
        match cost.class {
            Class::Rollup => room(&mut self.rollups, cost.events, caps.rollups(), Short::Events)?,
            Class::Exception => {
                let max = caps.exceptions_per_day;
                room(&mut self.exceptions, cost.events, max, Short::Exceptions)?;
            }
            Class::Lifecycle | Class::Historical => {}
        }
        // Others leave the room of the rollups alone.
        if self.events.saturating_sub(self.rollups) > caps.others() && cost.class != Class::Rollup {
            return Err(Short::Events);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: UnixMs = UnixMs(20_778 * DAY_MS + DAY_MS / 2);

    fn rollup() -> Cost {
        Cost { class: Class::Rollup, events: 1, bytes: 100 }
    }

    #[test]
    fn a_day_is_printed_as_its_date() {
        assert_eq!(Day::of(NOON).to_string(), "2026-11-21");
        assert_eq!(Day::of(UnixMs(-1)).to_string(), "1969-12-31");
        assert_eq!(Day::of(UnixMs(0)), Day(0));
    }

    #[test]
    fn each_ceiling_is_reached_and_not_passed() {
        let caps = Caps { exceptions_per_day: 1, ..Caps::default() };
        let mut ledger = Ledger::new();
        let exception = Cost { class: Class::Exception, ..rollup() };
        let lifecycle = Cost { class: Class::Lifecycle, ..rollup() };
        assert_eq!(ledger.charge(&caps, exception, NOON), Ok(Day(20_778)));
        assert_eq!(ledger.charge(&caps, exception, NOON), Err(Short::Exceptions));
        for _ in 0..3 {
            assert!(ledger.charge(&caps, lifecycle, NOON).is_ok());
        }
        assert_eq!(ledger.charge(&caps, lifecycle, NOON), Err(Short::Events), "of the rollups");
        assert!(ledger.charge(&caps, rollup(), NOON).is_ok());
        let large = Cost { bytes: 32_768 - 499, ..rollup() };
        assert_eq!(ledger.charge(&caps, large, NOON), Err(Short::Bytes));
        assert!(ledger.charge(&caps, Cost { bytes: 32_768 - 500, ..rollup() }, NOON).is_ok());
        let again = Cost { events: 0, bytes: 0, ..rollup() };
        for _ in 0..18 {
            assert!(ledger.charge(&caps, again, NOON).is_ok());
        }
        assert_eq!(ledger.charge(&caps, again, NOON), Err(Short::Requests));
        let spent = ledger.spent(NOON);
        assert_eq!((spent.events, spent.rollups, spent.requests), (6, 2, 24));
    }

    #[test]
    fn history_has_ceilings_of_its_own() {
        let mut ledger = Ledger::new();
        let cost = Cost { class: Class::Historical, events: 500, bytes: 400_000 };
        for _ in 0..20 {
            assert!(ledger.charge(&Caps::default(), cost, NOON).is_ok());
        }
        assert_eq!(ledger.charge(&Caps::default(), cost, NOON), Err(Short::Events));
        assert_eq!(ledger.spent(NOON).events, 0);
    }

    #[test]
    fn check_39_a_clock_that_goes_back_finds_the_day_as_it_was_left() {
        let caps = Caps::default();
        let mut ledger = Ledger::new();
        let step = |hours: i64| UnixMs(NOON.0 + hours * trueup_core::HOUR_MS);
        for hours in [48, 0, -48, 24, 48] {
            ledger.charge(&caps, rollup(), step(hours)).ok();
        }
        assert_eq!(ledger.days().map(|(_, spent)| spent.events).sum::<u64>(), 2);
        assert!(ledger.charge(&caps, rollup(), step(72)).is_ok(), "a day that is new");
    }

    #[test]
    fn an_unreadable_ledger_is_closed_for_its_day_alone() {
        let mut ledger = Ledger::closed(NOON);
        assert_eq!(ledger.charge(&Caps::default(), rollup(), NOON), Err(Short::Unreadable));
        assert!(!ledger.charge_named("worker_started", 1, NOON));
        assert!(ledger.charge(&Caps::default(), rollup(), UnixMs(NOON.0 + DAY_MS)).is_ok());
    }

    #[test]
    fn an_event_with_a_limit_of_its_own_comes_as_often_and_no_more() {
        let mut ledger = Ledger::new();
        assert!(ledger.charge_named("worker_started", 1, NOON));
        assert!(!ledger.charge_named("worker_started", 1, NOON));
        let names = (0..100).map(|number| format!("event_{number}"));
        let taken = names.filter(|name| ledger.charge_named(name, 9, NOON)).count();
        assert_eq!(taken, NAMED_MAX - 1);
    }

    #[test]
    fn what_was_counted_for_an_event_that_was_not_queued_is_taken_back() {
        let mut ledger = Ledger::new();
        let [one, two] = [1, 2].map(Uuid::from_u128);
        assert!(ledger.promise(("worker_started", one), 1, NOON));
        assert!(!ledger.promise(("worker_started", two), 1, NOON));
        let text = serde_json::to_string(&ledger).unwrap();
        let mut ledger: Ledger = serde_json::from_str(&text).unwrap();
        ledger.redeem(|uuid| uuid == two);
        assert!(ledger.promise(("worker_started", two), 1, NOON));
        ledger.redeem(|uuid| uuid == two);
        ledger.redeem(|_| false);
        assert!(!ledger.promise(("worker_started", one), 1, NOON), "it was queued");
    }

    #[test]
    fn a_day_that_was_only_seen_is_the_day_too() {
        let caps = Caps::default();
        let mut ledger = Ledger::new();
        assert!(ledger.see(NOON) && !ledger.see(UnixMs(NOON.0 - DAY_MS)));
        for days in [-2, -1, 0] {
            ledger.charge(&caps, rollup(), UnixMs(NOON.0 + days * DAY_MS)).ok();
        }
        assert_eq!(ledger.days().map(|(_, spent)| spent.events).collect::<Vec<_>>(), [2]);
    }

    proptest! {
        #[test]
        fn no_sequence_of_charges_and_clock_steps_passes_a_ceiling(
            steps in prop::collection::vec((-60_i64..60, 0..4_u8, 0..4_u64, 0..9_000_u64), 0..300),
            caps in (0..4_u64, 0..8_u64, 0..40_000_u64, 0..3_u64, 0..30_u64),
        ) {
            let caps = Caps {
                events_per_day: caps.0,
                hard_cap: caps.1,
                bytes_per_day: caps.2,
                exceptions_per_day: caps.3,
                requests_per_day: caps.4,
                ..Caps::default()
            };
            let (mut ledger, mut now, mut largest) = (Ledger::new(), NOON, Day(0));
            let mut sent: BTreeMap<Day, (u64, u64, u64)> = BTreeMap::new();
            for (hours, class, events, bytes) in steps {
                now = UnixMs(now.0 + hours * trueup_core::HOUR_MS);
                largest = largest.max(Day::of(now));
                let class = [Class::Rollup, Class::Lifecycle, Class::Exception, Class::Historical]
                    [usize::from(class)];
                let Ok(day) = ledger.charge(&caps, Cost { class, events, bytes }, now) else {
                    continue;
                };
                prop_assert!(day <= largest);
                let sums = sent.entry(day).or_default();
                sums.2 += 1;
                if class != Class::Historical {
                    sums.0 += events;
                    sums.1 += bytes;
                }
                // As a restart would find it.
                let text = serde_json::to_string(&ledger).unwrap();
                ledger = serde_json::from_str(&text).unwrap();
            }
            for (events, bytes, requests) in sent.values() {
                prop_assert!(*events <= caps.hard_cap);
                prop_assert!(*bytes <= caps.bytes_per_day);
                prop_assert!(*requests <= caps.requests_per_day);
            }
            prop_assert!(ledger.days().count() <= DAYS_KEPT);
        }
    }
}
