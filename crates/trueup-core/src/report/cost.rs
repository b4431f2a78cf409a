//! What a sum costs.

use std::collections::HashMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Sum;
use crate::prices::{Listing, PriceBook, YoctoUsd};
use crate::{Counters, NanoUsd, Series, Text, Tokens, UnixMs};

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
    change_days: Vec<Date>,
    listings: HashMap<(Text, Text, usize), Option<Listing<'a>>>,
}

impl<'a> Pricer<'a> {
    /// Prices by a book, in a mode.
    #[must_use]
    pub fn new(book: &'a PriceBook, mode: CostMode) -> Self {
        let change_days = book.change_days().collect();
        Self { book, mode, change_days, listings: HashMap::new() }
    }

    /// Whether prices change on some day: then sums over more than a day cannot be priced.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.change_days.is_empty()
    }

    /// A sum with its cost. `time` decides which of a model's dated prices holds.
    pub fn price(&mut self, time: UnixMs, series: &Series, counters: &Counters) -> Sum {
        let mut sum = Sum {
            calls: counters.calls,
            errors: counters.errors,
            tokens: counters.tokens,
            cost: YoctoUsd::ZERO,
            unpriced_calls: 0,
            cache_saved: self.cache_saved(time, series, counters),
        };
        let is_reported = series.has_reported_cost && self.mode != CostMode::Computed;
        let cost = if is_reported {
            Some(of_nano(counters.reported_cost))
        } else if self.mode == CostMode::Reported {
            None
        } else {
            self.computed(time, series, counters)
        };
        match cost {
            Some(cost) => sum.cost = cost,
            None => sum.unpriced_calls = counters.calls,
        }
        sum
    }

    fn computed(&mut self, time: UnixMs, series: &Series, counters: &Counters) -> Option<YoctoUsd> {
        if counters.tokens.total() == 0 {
            return Some(YoctoUsd::ZERO);
        }
        self.listing(time, series)?.cost(series.class, &counters.tokens).ok()
    }

    /// What tokens read from a cache would have cost more as plain input.
    fn cache_saved(&mut self, time: UnixMs, series: &Series, counters: &Counters) -> YoctoUsd {
        let cached = Tokens { cache_read: counters.tokens.cache_read, ..Tokens::default() };
        if cached.cache_read == 0 {
            return YoctoUsd::ZERO;
        }
        let plain = Tokens { input: cached.cache_read, ..Tokens::default() };
        let listing = self.listing(time, series);
        let cost = |tokens: &Tokens| listing?.cost(series.class, tokens).ok();
        let saved = cost(&plain).zip(cost(&cached));
        saved.map_or(YoctoUsd::ZERO, |(plain, cached)| YoctoUsd(plain.0.saturating_sub(cached.0)))
    }

    /// The prices of a model on the day of `time`.
    fn listing(&mut self, time: UnixMs, series: &Series) -> Option<&Listing<'a>> {
        let day = if self.change_days.is_empty() {
            Date::ZERO
        } else {
            time.zoned(&TimeZone::UTC).date()
        };
        let epoch = self.change_days.iter().filter(|change| **change <= day).count();
        let name = (Text::clone(&series.provider), Text::clone(&series.model), epoch);
        let book = self.book;
        let listing = self.listings.entry(name);
        listing.or_insert_with(|| book.find(&series.provider, &series.model, day)).as_ref()
    }
}

fn of_nano(cost: NanoUsd) -> YoctoUsd {
    // A nano-dollar is 10^15 yocto-dollars.
    YoctoUsd(i128::from(cost.0) * 1_000_000_000_000_000)
}
