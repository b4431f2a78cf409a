//! Blocks of five hours, in which subscriptions count usage.
//!
//! A block begins with the first call after the end of the one before, at the full hour in UTC, and
//! ends five hours later, or when nothing was called for five hours.

use std::collections::BTreeMap;

use super::{Entry, Filter, Pricer, Sums};
use crate::{HOUR_MS, Text, UnixMs};

/// The length of a block.
pub const BLOCK_MS: i64 = 5 * HOUR_MS;

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where it begins: a full hour.
    pub start: UnixMs,
    /// Where it ends: five hours later.
    pub end: UnixMs,
    /// The first and the last call.
    pub times: (UnixMs, UnixMs),
    /// The sums.
    pub sums: Sums,
    /// The sums by model.
    pub models: BTreeMap<Text, Sums>,
}

impl Block {
    /// Whether calls of this moment would still fall into it.
    #[must_use]
    pub const fn is_active(&self, now: UnixMs) -> bool {
        now.0 < self.end.0 && now.0 - self.times.1.0 < BLOCK_MS && now.0 >= self.start.0
    }

    /// Milliseconds between its first and its last call.
    #[must_use]
    pub const fn active_ms(&self) -> i64 {
        self.times.1.0 - self.times.0.0
    }

    /// What an amount of the block will be at its end, if it goes on growing as it did between its
    /// first and its last call. `None` where there is only one moment to go by.
    #[must_use]
    pub fn projected(&self, amount: i128, now: UnixMs) -> Option<i128> {
        let left_ms = i128::from(self.end.0.saturating_sub(now.0).max(0));
        let active_ms = i128::from(self.active_ms());
        (active_ms > 0).then(|| amount + amount * left_ms / active_ms)
    }

    /// An amount per minute, between the first and the last call.
    #[must_use]
    pub fn per_minute(&self, amount: i128) -> Option<i128> {
        let active_ms = i128::from(self.active_ms());
        (active_ms > 0).then(|| amount * 60_000 / active_ms)
    }
}

/// The blocks that sums fall into; `entries` are no wider than a quarter of an hour, in any order.
#[must_use]
pub fn blocks(entries: &[Entry<'_>], filter: &Filter, pricer: &mut Pricer<'_>) -> Vec<Block> {
    let mut entries: Vec<&Entry<'_>> = entries
        .iter()
        .filter(|entry| filter.takes_series(entry.series) && filter.window.contains(entry.start))
        .collect();
    entries.sort_by_key(|entry| entry.times);
    let mut blocks: Vec<Block> = Vec::new();
    for entry in entries {
        let sum = pricer.price(entry.start, entry.series, entry.counters);
        let is_inside = blocks.last().is_some_and(|block| {
            entry.times.0 < block.end && entry.times.0.0 - block.times.1.0 < BLOCK_MS
        });
        if !is_inside {
            let start = entry.times.0.floor(HOUR_MS);
            blocks.push(Block {
                start,
                end: UnixMs(start.0.saturating_add(BLOCK_MS)),
                times: entry.times,
                sums: Sums::default(),
                models: BTreeMap::new(),
            });
        }
        if let Some(block) = blocks.last_mut() {
            block.sums.add(entry.series.witness, &sum);
            block.times.1 = block.times.1.max(entry.times.1);
            let model = Text::clone(&entry.series.model);
            block.models.entry(model).or_default().add(entry.series.witness, &sum);
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::prices::PriceBook;
    use crate::report::CostMode;
    use crate::{Counters, Series, Tokens};

    fn entry<'a>(series: &'a Arc<Series>, counters: &'a Counters, minute: i64) -> Entry<'a> {
        let time = UnixMs(1_795_212_000_000 + minute * 60_000);
        Entry { start: time, times: (time, time), series, session: "", counters }
    }

    #[test]
    fn a_block_ends_after_five_hours_or_five_idle_hours() {
        let series = Arc::new(Series::default());
        let counters = Counters {
            calls: 1,
            tokens: Tokens { output: 600, ..Tokens::ZERO },
            ..Counters::default()
        };
        let book = PriceBook::embedded();
        // 22:00; 22:50; 02:59 is still inside; 03:00 is not.
        let minutes = [0, 50, 299, 300, 1_200];
        let entries: Vec<_> =
            minutes.iter().map(|minute| entry(&series, &counters, *minute)).collect();
        let blocks = blocks(&entries, &Filter::default(), &mut Pricer::new(&book, CostMode::Auto));
        let starts: Vec<_> = blocks.iter().map(|block| block.start.to_string()).collect();
        assert_eq!(
            starts,
            ["2026-11-20T22:00:00.000Z", "2026-11-21T03:00:00.000Z", "2026-11-21T18:00:00.000Z"]
        );
        let first = &blocks[0];
        assert_eq!(first.sums.exact.calls, 3);
        assert_eq!(first.per_minute(299 * 5), Some(5));
        let now = UnixMs(first.end.0 - 1);
        assert!(first.is_active(now) && !first.is_active(first.end));
        assert_eq!(blocks[1].per_minute(5), None);
    }
}
