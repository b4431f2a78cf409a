//! What is told of the time before consent: one event for each day of the past, the same however often
//! it is made.
//!
//! The caller gives what its own records say of each day; nothing is added to that but `backfilled`. No
//! version and no system of today is stamped on the past, and what was not recorded, such as a cost, is
//! not made up. An event's id follows from install, event and day, and its time is the noon of its day,
//! so that a place that has it already finds it to be the same.
//!
//! ```text
//! {"day":"2025-10-19","observation_count":3}          records come as lines; a day is also told
//! {"day":1760868000,"observation_count":4}            in seconds or milliseconds since 1970
//!
//! {"uuid":"dc5d6be8-…","event":"historical_activity","timestamp":"2025-10-19T12:00:00.000Z",
//!  "properties":{"backfilled":true,"observation_count":7}}
//! ```
//!
//! It knows no clock and no network. [`Mark`] and [`Pending`] say what is done; docs/telemetry-backfill.md
//! says how it all goes together.

mod lines;
mod marker;

use std::collections::BTreeMap;

use serde_json::Value as Json;
use trueup_core::{DAY_MS, UnixMs};
use uuid::Uuid;

pub use lines::{LINE_BYTES_MAX, LineError};
pub use marker::{MARKER_BYTES_MAX, Mark, Marker, Pending, Progress};

use crate::budget::{Class, Day};
use crate::manifest::{Backfill, Drops, FieldId, Input, Manifest, Value};
use crate::outbox::{Item, event_uuid};
use crate::sink::Outgoing;

/// Events of one request at most.
pub const CHUNK_EVENTS_MAX: usize = 500;
/// Days that are told at most.
pub const DAYS_MAX: usize = 10_000;
/// 2024-01-01: what is said to be of an earlier day was dated wrongly.
pub const FIRST_DAY: Day = Day(19_723);

/// What stands between a product and its past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It was told, in this version or a later one.
    Complete,
    /// Nothing may be sent.
    Off,
    /// The manifest wants to be asked for it: `--include-history`.
    NotAskedFor,
    /// Nothing.
    Open,
}

/// Whether the past may be told. `may_send` is the consent; `is_asked_for` whether somebody asked for it
/// by a command. Ask before anything is read.
#[must_use]
pub fn gate(backfill: &Backfill, mark: &Mark, may_send: bool, is_asked_for: bool) -> Gate {
    if mark.covers(backfill.version) {
        Gate::Complete
    } else if !may_send {
        Gate::Off
    } else if backfill.is_explicit && !is_asked_for {
        Gate::NotAskedFor
    } else {
        Gate::Open
    }
}

/// The id of the event of a day.
///
/// ```
/// use trueup_telemetry::backfill::day_uuid;
/// use trueup_telemetry::budget::Day;
/// let namespace = "8a9c2f4e-31b7-5d68-9c4a-f02e6d5b8a17".parse().unwrap();
/// let id = day_uuid(namespace, "install-1", "historical_activity", Day(20_380));
/// assert_eq!(id.to_string(), "dc5d6be8-f506-5694-b4df-10ad16afec4a");
/// ```
#[must_use]
pub fn day_uuid(namespace: Uuid, install: &str, event: &str, day: Day) -> Uuid {
    event_uuid(namespace, &[install, event, &day.to_string()])
}

/// What the product's records say of each day of its past.
#[derive(Debug)]
pub struct History<'m> {
    manifest: &'m Manifest,
    backfill: &'m Backfill,
    through: Day,
    days: BTreeMap<Day, BTreeMap<FieldId, Held>>,
    passed: Passed,
    drops: Drops,
}

/// What a field holds of a day.
#[derive(Debug, Clone, PartialEq)]
enum Held {
    Value(Value),
    /// Records contradict each other, or their sum is too large: it is not known.
    Unknown,
}

/// Records that are not told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Of days before [`FIRST_DAY`].
    pub too_old: u64,
    /// Of days that are not yet as old as the manifest says, and of the future.
    pub too_young: u64,
    /// Of days past [`DAYS_MAX`].
    pub too_many: u64,
    /// Fields of days that are not told, because records of the day contradict each other.
    pub contradicted: u64,
}

/// Events of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// At most [`CHUNK_EVENTS_MAX`], the oldest day first.
    pub events: Vec<Outgoing>,
    /// The last day in it.
    pub day: Day,
}

impl Chunk {
    /// The time at which its bytes are said to be made: that of its last event, so that they are the
    /// same whenever they are.
    #[must_use]
    pub const fn time(&self) -> UnixMs {
        noon(self.day)
    }

    /// The ids of its events.
    #[must_use]
    pub fn uuids(&self) -> Vec<Uuid> {
        self.events.iter().map(|event| event.uuid).collect()
    }
}

impl<'m> History<'m> {
    /// Nothing yet. `None` where the manifest tells nothing of the past.
    #[must_use]
    pub fn new(manifest: &'m Manifest, now: UnixMs) -> Option<Self> {
        let backfill = manifest.backfill.as_ref()?;
        // A day that began so long ago has been over for as long less a day: its noon is at least 48 h ago.
        let through = Day::of(UnixMs(now.0.saturating_sub(backfill.lag_ms)));
        Some(Self {
            manifest,
            backfill,
            through,
            days: BTreeMap::new(),
            passed: Passed::default(),
            drops: Drops::default(),
        })
    }

    /// Adds what a record says of a day, as far as the manifest lists it. Whole numbers and dollars of
    /// one day are added up; of anything else the records of a day must say the same. In whichever order
    /// records come, the same is told. `is_clean` is the redactor's judgement of a token.
    pub fn add<'a>(
        &mut self,
        day: Day,
        fields: impl IntoIterator<Item = (&'a str, Input<'a>)>,
        is_clean: &dyn Fn(&str) -> bool,
    ) {
        let count = match day {
            day if day < FIRST_DAY => Some(&mut self.passed.too_old),
            day if day > self.through => Some(&mut self.passed.too_young),
            day if self.days.len() >= DAYS_MAX && !self.days.contains_key(&day) => {
                Some(&mut self.passed.too_many)
            }
            _ => None,
        };
        if let Some(count) = count {
            *count += 1;
            return;
        }
        let kept = self.manifest.accept(&self.backfill.event, fields, is_clean, &mut self.drops);
        let held = self.days.entry(day).or_default();
        for (field, value) in kept {
            let both = match held.remove(&field) {
                None => Held::Value(value),
                Some(Held::Value(before)) => sum(&before, &value),
                Some(Held::Unknown) => Held::Unknown,
            };
            held.insert(field, both);
        }
    }

    /// The last day that is told.
    #[must_use]
    pub const fn through(&self) -> Day {
        self.through
    }

    /// The days that are told.
    pub fn days(&self) -> impl Iterator<Item = Day> {
        self.days.keys().copied()
    }

    /// Records that are not told.
    #[must_use]
    pub fn passed(&self) -> Passed {
        let held = self.days.values().flat_map(BTreeMap::values);
        let unknown = held.filter(|held| **held == Held::Unknown).count();
        Passed { contradicted: u64::try_from(unknown).unwrap_or(u64::MAX), ..self.passed }
    }

    /// Properties of records that were dropped, by key and reason.
    #[must_use]
    pub const fn drops(&self) -> &Drops {
        &self.drops
    }

    /// Every event, the oldest day first, in requests. `install` is the id of the install as it stands in
    /// ids of events. The same days give the same events, on every run.
    #[must_use]
    pub fn chunks(&self, install: &str) -> Vec<Chunk> {
        let days: Vec<_> = self.days.iter().collect();
        let chunks = days.chunks(CHUNK_EVENTS_MAX);
        chunks
            .filter_map(|days| {
                let (day, _) = days.last()?;
                let events = days.iter().map(|(day, held)| self.event(install, **day, held));
                Some(Chunk { events: events.collect(), day: **day })
            })
            .collect()
    }

    /// What is to be remembered while the chunks are on their way. `items` is what was in the outbox
    /// before they were queued: what was refused on an earlier run says nothing of this one.
    #[must_use]
    pub fn pending(&self, install: &str, items: &[Item]) -> Pending {
        let last = items.iter().map(|item| item.number).max().unwrap_or(0);
        Pending::new(self.backfill.version, install, self.through, self.days().collect(), last)
    }

    fn event(&self, install: &str, day: Day, held: &BTreeMap<FieldId, Held>) -> Outgoing {
        let known = held.iter().filter_map(|(field, held)| match held {
            Held::Value(value) => Some((self.manifest.name(*field).to_owned(), value.into())),
            Held::Unknown => None,
        });
        let backfilled = ("backfilled".to_owned(), Json::Bool(true));
        Outgoing {
            uuid: day_uuid(namespace(self.backfill), install, &self.backfill.event, day),
            name: self.backfill.event.clone(),
            class: Class::Historical,
            time: noon(day),
            is_person: false,
            properties: known.chain([backfilled]).collect(),
        }
    }
}

/// The namespace of a manifest's ids, which was read when the manifest was.
pub(crate) fn namespace(backfill: &Backfill) -> Uuid {
    backfill.namespace.parse().unwrap_or_default()
}

const fn noon(day: Day) -> UnixMs {
    UnixMs(day.start().0.saturating_add(DAY_MS / 2))
}

/// What two records say together. Numbers with a fraction are not added up: their sum would depend on
/// the order of records.
fn sum(one: &Value, two: &Value) -> Held {
    let whole = match (one, two) {
        (Value::U64(one), Value::U64(two)) => one.checked_add(*two).map(Value::U64),
        (Value::I64(one), Value::I64(two)) => one.checked_add(*two).map(Value::I64),
        (Value::Usd(one), Value::Usd(two)) => {
            one.0.checked_add(two.0).map(|sum| Value::Usd(trueup_core::NanoUsd(sum)))
        }
        (one, two) => (one == two).then(|| one.clone()),
    };
    whole.map_or(Held::Unknown, Held::Value)
}
