//! What a sum costs.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::Sum;
use crate::prices::{Listing, PriceBook, YoctoUsd};
use crate::{Calendar, Counters, NanoUsd, Series, Text, Tokens, UnixMs};

/// Which cost a report shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CostMode {
    /// What the agent reported, where it did; else computed from the price table.
    #[default]
    Auto,
    /// Computed from the price table, for every call.
    Computed,
    /// Only what agents reported; other calls are unpriced.
    Reported,
}

/// Prices sums, looking up each model once.
#[derive(Debug)]
pub struct Pricer<'a> {
    book: &'a PriceBook,
    mode: CostMode,
    /// Where the days begin on which prices change.
    changes: Vec<UnixMs>,
    listings: HashMap<(Text, Text, usize), Option<Listing<'a>>>,
}

impl<'a> Pricer<'a> {
    /// Prices by a book, in a mode.
    #[must_use]
    pub fn new(book: &'a PriceBook, mode: CostMode) -> Self {
        let utc = Calendar::new(TimeZone::UTC);
        let changes = book.change_days().map(|day| utc.start_of_day(day)).collect();
        Self { book, mode, changes, listings: HashMap::new() }
    }

    /// What sums of series that are priced alike must share as well: those that do may be added up
    /// first and priced then.
    pub(super) fn likeness(&self, time: UnixMs, tokens: &Tokens) -> Likeness {
        Likeness { epoch: self.epoch(time), kinds: kinds(tokens) }
    }

    /// Where the days begin on which prices change: no sum may reach over one of them.
    #[must_use]
    pub fn changes(&self) -> &[UnixMs] {
        &self.changes
    }

    /// How often prices have changed until then.
    fn epoch(&self, time: UnixMs) -> usize {
        self.changes.iter().filter(|change| **change <= time).count()
    }

    /// A sum with its cost. `time` decides which of a model's dated prices holds.
    pub fn price(&mut self, time: UnixMs, series: &Series, counters: &Counters) -> Sum {
        let mode = self.mode;
        let listing = self.listing(time, series);
        let mut sum = Sum {
            calls: counters.calls,
            errors: counters.errors,
            tokens: counters.tokens,
            cost: YoctoUsd::ZERO,
            unpriced_calls: 0,
            cache_saved: cache_saved(listing, series, counters),
        };
        let is_reported = series.has_reported_cost && mode != CostMode::Computed;
        let cost = if is_reported {
            Some(of_nano(counters.reported_cost))
        } else if mode == CostMode::Reported {
            None
        } else if counters.tokens.total() == 0 {
            Some(YoctoUsd::ZERO)
        } else {
            listing.and_then(|listing| listing.cost(series.class, &counters.tokens).ok())
        };
        match cost {
            Some(cost) => sum.cost = cost,
            None => sum.unpriced_calls = counters.calls,
        }
        sum
    }

    /// The prices of a model on the day of `time`.
    fn listing(&mut self, time: UnixMs, series: &Series) -> Option<&Listing<'a>> {
        let (book, epoch) = (self.book, self.epoch(time));
        let name = (Text::clone(&series.provider), Text::clone(&series.model), epoch);
        let listing = self.listings.entry(name);
        let day = || time.zoned(&TimeZone::UTC).date();
        listing.or_insert_with(|| book.find(&series.provider, &series.model, day())).as_ref()
    }
}

/// Which kinds of tokens were used, as bits: a price may be known of some kinds and not of others, so that
/// only sums with the same ones may be added up before they are priced.
#[must_use]
pub fn kinds(tokens: &Tokens) -> u8 {
    let Tokens { input, cache_read, cache_write_5m, cache_write_1h, cache_write, .. } = *tokens;
    let used = [
        input,
        cache_read,
        cache_write_5m.max(cache_write),
        cache_write_1h,
        tokens.output.saturating_sub(tokens.reasoning),
        tokens.reasoning.min(tokens.output),
        // More than there was output: it is priced as if all of that had been reasoning.
        tokens.reasoning.saturating_sub(tokens.output),
    ];
    let bits = used.iter().zip(0_u8..).map(|(used, bit)| u8::from(*used > 0) << bit);
    bits.fold(0, |all, bit| all | bit)
}

/// What must be alike of sums that are priced as one: the prices of the time, and which kinds of tokens
/// were used, for a price may be known of some kinds and not of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Likeness {
    epoch: usize,
    kinds: u8,
}

/// What tokens read from a cache would have cost more as plain input.
fn cache_saved(listing: Option<&Listing<'_>>, series: &Series, counters: &Counters) -> YoctoUsd {
    let cached = Tokens { cache_read: counters.tokens.cache_read, ..Tokens::default() };
    let plain = Tokens { input: cached.cache_read, ..Tokens::default() };
    let cost = |tokens: &Tokens| listing?.cost(series.class, tokens).ok();
    let is_cached = cached.cache_read > 0;
    let saved = is_cached.then(|| cost(&plain).zip(cost(&cached))).flatten();
    saved.map_or(YoctoUsd::ZERO, |(plain, cached)| YoctoUsd(plain.0.saturating_sub(cached.0)))
}

fn of_nano(cost: NanoUsd) -> YoctoUsd {
    // A nano-dollar is 10^15 yocto-dollars.
    YoctoUsd(i128::from(cost.0) * 1_000_000_000_000_000)
}
