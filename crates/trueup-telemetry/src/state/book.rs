//! What all processes of a product share: the outbox, days that are being added up, and which buckets
//! of which log are already in them.
//!
//! ```text
//! 90c1… [{"head":{"version":1,"store":"6f3a…"}},{"took":{"log":"open-4711-9be2….log","serials":[3]}},
//!        {"day":{"event":"observer_turn_rollup","day":20778,"sums":{…}}}]
//! ```
//!
//! A line is one change, whole or not made. That a bucket was taken stands in the line that adds it to
//! something, so it can be added once and no more.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::budget::Day;
use crate::outbox::{Change, Outbox};
use crate::rollup::{Accumulator, Plan, RollupId, Saved};

/// The form of the log that is written here.
pub(crate) const BOOK_VERSION: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Op {
    /// The first of a log.
    Head { version: u32, store: String },
    /// These buckets of a log are in here, and of no others of it does the log tell any more.
    Took { log: String, serials: BTreeSet<u64> },
    /// What a day of an event has added up; nothing once it is an event.
    Day {
        event: String,
        day: Day,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        local: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sums: Option<Box<Saved<'static>>>,
    },
    /// A change of the outbox.
    Outbox(Change),
    /// Fields and events that were recorded and are of no rollup any more.
    Unknown(u64),
}

/// What a day's sums are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Whole {
    pub(crate) rollup: RollupId,
    pub(crate) day: Day,
    /// Whether they stay on this machine.
    pub(crate) is_local: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Book {
    pub(crate) version: u32,
    pub(crate) store: String,
    pub(crate) took: BTreeMap<String, BTreeSet<u64>>,
    pub(crate) days: BTreeMap<Whole, Accumulator>,
    pub(crate) outbox: Outbox,
    pub(crate) unknown: u64,
}

impl Book {
    pub(crate) fn apply(&mut self, op: &Op, plan: &Plan) {
        match op {
            Op::Head { version, store } => {
                *self = Self { version: *version, store: store.clone(), ..Self::default() };
            }
            Op::Took { log, serials } if serials.is_empty() => {
                self.took.remove(log);
            }
            Op::Took { log, serials } => {
                self.took.insert(log.clone(), serials.clone());
            }
            Op::Day { event, day, local, sums } => {
                self.put_day(event, (*day, *local), sums.as_deref(), plan);
            }
            Op::Outbox(change) => self.outbox.apply(change),
            Op::Unknown(count) => self.unknown = self.unknown.saturating_add(*count),
        }
    }

    pub(crate) fn has_taken(&self, log: &str, serial: u64) -> bool {
        self.took.get(log).is_some_and(|serials| serials.contains(&serial))
    }

    /// The operation that says what a day holds.
    pub(crate) fn day_op(&self, plan: &Plan, key: Whole) -> Option<Op> {
        let rollup = plan.get(key.rollup)?;
        let sums = self.days.get(&key).map(|sums| Box::new(Saved::of(sums, rollup).into_owned()));
        let event = rollup.spec.event.clone();
        Some(Op::Day { event, day: key.day, local: key.is_local, sums })
    }

    /// The operations that make this book of nothing.
    pub(crate) fn ops(&self, plan: &Plan) -> Vec<Op> {
        let mut ops = vec![Op::Head { version: BOOK_VERSION, store: self.store.clone() }];
        ops.extend(
            self.took
                .iter()
                .map(|(log, serials)| Op::Took { log: log.clone(), serials: serials.clone() }),
        );
        ops.extend(self.days.keys().filter_map(|key| self.day_op(plan, *key)));
        ops.extend(self.outbox.changes().map(Op::Outbox));
        if self.unknown > 0 {
            ops.push(Op::Unknown(self.unknown));
        }
        ops
    }

    fn put_day(
        &mut self,
        event: &str,
        (day, is_local): (Day, bool),
        sums: Option<&Saved<'_>>,
        plan: &Plan,
    ) {
        let Some(id) = plan.rollup(event) else {
            self.unknown = self.unknown.saturating_add(1);
            return;
        };
        let whole = Whole { rollup: id, day, is_local };
        let restored = sums.zip(plan.get(id)).map(|(sums, rollup)| sums.restore(rollup));
        match restored {
            Some((sums, unknown)) => {
                self.unknown = self.unknown.saturating_add(unknown);
                self.days.insert(whole, sums);
            }
            None => {
                self.days.remove(&whole);
            }
        }
    }
}
