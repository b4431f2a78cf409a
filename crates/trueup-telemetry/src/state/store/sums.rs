//! What is being added up by now, of every process, to look at.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::Store;
use crate::budget::Day;
use crate::rollup::{Accumulator, Properties, Reason, RollupId};
use crate::state::error::StateError;
use crate::state::folder::read;
use crate::state::open_log::read_open_log;

/// What a day of an event has added up so far, as it would be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Sums {
    /// The name of the event.
    pub event: String,
    /// The UTC day.
    pub day: Day,
    /// What it says.
    pub properties: Properties,
}

impl Store {
    /// What is being added up: of days that wait for their end or for room, and of every bucket that is
    /// open, in whichever process. What a process has not written yet is not in it. It makes no file and
    /// takes no lock.
    pub fn sums(&self) -> Result<Vec<Sums>, StateError> {
        let (book, plan) = (self.shelf.look()?, &self.shelf.plan);
        let mut all: BTreeMap<(Day, RollupId), Accumulator> = BTreeMap::new();
        let mut add = |key, sums: Accumulator| match all.entry(key) {
            Entry::Vacant(place) => drop(place.insert(sums)),
            Entry::Occupied(mut known) => known.get_mut().merge(&sums),
        };
        for (whole, sums) in book.days.clone() {
            add((whole.day, whole.rollup), sums);
        }
        for name in self.folder().open_logs(false)? {
            let Some(bytes) = read(&self.folder().path(&name))? else { continue };
            let log = read_open_log(&bytes);
            let parts = if log.is_known() { log.parts(plan).0 } else { Vec::new() };
            for part in parts.into_iter().filter(|part| !book.has_taken(&name, part.serial)) {
                add((part.day, part.rollup), part.sums);
            }
        }
        let told = all.into_iter().filter_map(|((day, rollup), sums)| {
            let rollup = plan.get(rollup)?;
            let properties = sums.properties(rollup, Reason::Daily, 0);
            Some(Sums { event: rollup.spec.event.clone(), day, properties })
        });
        Ok(told.collect())
    }
}
