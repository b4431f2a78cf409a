//! Which shard has a fact.
//!
//! Each fact falls into one of 1,024 slots, and each shard has some of these. How many shards there are is
//! known by weeks: a new one gets slots of the weeks to come, and what lies in those that are over stays
//! where it is. So a fact that is told again years later meets itself.
//!
//! ```
//! use trueup_clickhouse::{Day, SlotMap};
//! use trueup_core::{FactId, UnixMs};
//! let day = |text| Day::of(UnixMs::parse_date(text).unwrap()).unwrap();
//! let map = SlotMap::new(&[(day("2026-01-05"), 1), (day("2026-11-16"), 2)]).unwrap();
//! let id = FactId([7; 16]);
//! assert_eq!(map.shard("acme", id, day("2026-11-15")), 0);
//! assert!(map.shard("acme", id, day("2026-11-16")) < 2);
//! ```

use trueup_core::{FactId, Key, UnixMs};

use crate::day::Day;

/// How many slots there are.
const SLOTS: u128 = 1_024;
/// How long before its first week a new shard is known: longer than a fact may lie ahead of the clock,
/// and than any receiver may go without looking at the map.
const NOTICE_DAYS: u16 = 3;

/// Since when there are how many shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotMap {
    /// By day, the first first; never empty.
    steps: Vec<(Day, usize)>,
}

/// Why no map is made of what was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotMapError {
    /// Nothing was kept.
    #[error("the store has no map of its shards yet")]
    Empty,
    /// A map with fewer shards than before, or with none.
    #[error("the map of the store's shards goes from {before} shards to {after}")]
    Fewer {
        /// Before.
        before: usize,
        /// After.
        after: usize,
    },
    /// Shards that the address does not name.
    #[error(
        "the store has {known} shards and the address names {named}: name all of them, the new ones last"
    )]
    Unknown {
        /// In the store.
        known: usize,
        /// In the address.
        named: usize,
    },
}

impl SlotMap {
    /// The map of what was kept, in any order.
    ///
    /// # Errors
    /// What is no map.
    pub fn new(steps: &[(Day, usize)]) -> Result<Self, SlotMapError> {
        let mut steps = steps.to_vec();
        steps.sort_unstable();
        let mut before = 0;
        for (_, shards) in &steps {
            if *shards <= before {
                return Err(SlotMapError::Fewer { before, after: *shards });
            }
            before = *shards;
        }
        if steps.is_empty() { Err(SlotMapError::Empty) } else { Ok(Self { steps }) }
    }

    /// How many shards are in use at the most, now or in a week to come.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.steps.last().map_or(1, |(_, shards)| *shards)
    }

    /// What is to be kept where an address names so many shards: of a new store that they are there, and
    /// of an older one since when more of them are. `None` where it is as it was.
    ///
    /// # Errors
    /// An address that lacks shards.
    pub fn step(
        map: Option<&Self>,
        named: usize,
        now: UnixMs,
    ) -> Result<Option<(Day, usize)>, SlotMapError> {
        let Some(map) = map else { return Ok(Some((Day::FIRST, named))) };
        let known = map.shards();
        match known.cmp(&named) {
            std::cmp::Ordering::Equal => Ok(None),
            std::cmp::Ordering::Greater => Err(SlotMapError::Unknown { known, named }),
            std::cmp::Ordering::Less => {
                let notice = Day::near(now).ahead(NOTICE_DAYS);
                let last = map.steps.last().map_or(Day::FIRST, |(day, _)| *day);
                Ok(Some((notice.max(last).ahead(7).monday(), named)))
            }
        }
    }

    /// The shard of a fact.
    #[must_use]
    pub fn shard(&self, tenant: &str, id: FactId, day: Day) -> usize {
        let monday = day.monday();
        let in_use = self.steps.iter().rev().find(|(since, _)| *since <= monday);
        let shards = in_use.map_or(1, |(_, shards)| *shards);
        if shards == 1 {
            return 0;
        }
        let slot = Key::of("slot", &[tenant.as_bytes(), &id.0]).as_u128() % SLOTS;
        let slot = usize::try_from(slot).unwrap_or(0);
        slot.saturating_mul(shards) / usize::try_from(SLOTS).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> Day {
        Day::of(UnixMs::parse_date(text).unwrap()).unwrap()
    }

    #[test]
    fn a_new_shard_begins_with_a_week_that_is_announced() {
        let now = UnixMs::parse_rfc3339("2026-11-20T22:00:00Z").unwrap();
        let map = SlotMap::new(&[(Day::FIRST, 2)]).unwrap();
        assert_eq!(SlotMap::step(None, 2, now), Ok(Some((Day::FIRST, 2))));
        assert_eq!(SlotMap::step(Some(&map), 2, now), Ok(None));
        assert_eq!(SlotMap::step(Some(&map), 3, now), Ok(Some((day("2026-11-30"), 3))));
        let unknown = SlotMapError::Unknown { known: 2, named: 1 };
        assert_eq!(SlotMap::step(Some(&map), 1, now), Err(unknown));
        let map = SlotMap::new(&[(day("2026-11-30"), 3), (Day::FIRST, 2)]).unwrap();
        assert_eq!(SlotMap::step(Some(&map), 4, now), Ok(Some((day("2026-12-07"), 4))));
    }

    #[test]
    fn what_is_no_map_is_told() {
        assert_eq!(SlotMap::new(&[]), Err(SlotMapError::Empty));
        for (steps, before, after) in [([1, 1], 1, 1), ([2, 1], 2, 1), ([0, 1], 0, 0)] {
            let steps = [(Day::FIRST, steps[0]), (day("2026-11-30"), steps[1])];
            assert_eq!(SlotMap::new(&steps), Err(SlotMapError::Fewer { before, after }));
        }
    }

    proptest! {
        #[test]
        fn weeks_that_are_over_stay_where_they_are(id: [u8; 16], before in 1..64_usize, more in 1..64_usize) {
            let old = SlotMap::new(&[(Day::FIRST, before)]).unwrap();
            let new = SlotMap::new(&[(Day::FIRST, before), (day("2026-11-30"), before + more)]).unwrap();
            let id = FactId(id);
            prop_assert_eq!(old.shard("t", id, day("2026-11-29")), new.shard("t", id, day("2026-11-29")));
            prop_assert!(new.shard("t", id, day("2026-11-30")) < before + more);
        }
    }

    /// No shard gets more than a part more than its share.
    #[test]
    fn shards_get_alike() {
        let map = SlotMap::new(&[(Day::FIRST, 5)]).unwrap();
        let mut counts = [0_u32; 5];
        for at in 0..10_000_u128 {
            counts[map.shard("acme", FactId(at.to_be_bytes()), Day::FIRST)] += 1;
        }
        assert!(counts.iter().all(|count| (1_800..2_200).contains(count)), "{counts:?}");
    }
}
