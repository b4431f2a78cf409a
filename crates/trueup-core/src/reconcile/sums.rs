//! What is compared: disjoint counts and money, exact on both sides.

use std::collections::BTreeMap;

use crate::{Decimal, Measure, Measures, Tokens};

/// Something that two sides can both tell. All but the prompt as a whole are disjoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantity {
    /// Prompt tokens that were neither read from nor written to a cache.
    InUncached,
    /// Prompt tokens served from a cache.
    InCacheRead,
    /// Prompt tokens written to a cache, for however long.
    InCacheWrite,
    /// All prompt tokens, in the place of the three above, where a side does not split them.
    In,
    /// Completion tokens.
    Out,
    /// Requests.
    Requests,
    /// Dollars.
    Cost,
}

impl Quantity {
    /// Every quantity, in the order of output.
    pub const ALL: [Self; 7] = [
        Self::InUncached,
        Self::InCacheRead,
        Self::InCacheWrite,
        Self::In,
        Self::Out,
        Self::Requests,
        Self::Cost,
    ];

    /// Its name in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InUncached => "in_uncached",
            Self::InCacheRead => "in_cache_read",
            Self::InCacheWrite => "in_cache_write",
            Self::In => "in",
            Self::Out => "out",
            Self::Requests => "requests",
            Self::Cost => "cost_usd",
        }
    }

    /// Whether it counts tokens.
    #[must_use]
    pub const fn is_tokens(self) -> bool {
        match self {
            Self::InUncached | Self::InCacheRead | Self::InCacheWrite | Self::In | Self::Out => {
                true
            }
            Self::Requests | Self::Cost => false,
        }
    }

    /// The quantity that a count of a provider belongs to.
    const fn of_measure(measure: Measure) -> Option<Self> {
        match measure {
            Measure::InUncached => Some(Self::InUncached),
            Measure::InCacheRead => Some(Self::InCacheRead),
            Measure::InCacheWrite5m
            | Measure::InCacheWrite30m
            | Measure::InCacheWrite1h
            | Measure::InCacheWrite12h
            | Measure::InCacheWrite => Some(Self::InCacheWrite),
            Measure::InUnsplit => Some(Self::In),
            Measure::Out => Some(Self::Out),
            Measure::Requests => Some(Self::Requests),
            Measure::OutReasoning
            | Measure::InText
            | Measure::InAudio
            | Measure::InImage
            | Measure::InTextCached
            | Measure::InAudioCached
            | Measure::InImageCached
            | Measure::OutText
            | Measure::OutAudio
            | Measure::OutImage
            | Measure::WebSearches
            | Measure::FileSearches
            | Measure::Images
            | Measure::Seconds
            | Measure::Characters
            | Measure::Bytes
            | Measure::Sessions => None,
        }
    }
}

/// Sums of quantities. What was not told is not in it, and is not zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums(BTreeMap<Quantity, Decimal>);

impl Sums {
    /// What a provider's row counts.
    #[must_use]
    pub fn of_measures(measures: &Measures) -> Self {
        let mut sums = Self::default();
        for (measure, count) in measures.told() {
            if let Some(quantity) = Quantity::of_measure(measure) {
                sums.put(quantity, &Decimal::from(i128::from(count)));
            }
        }
        sums
    }

    /// What calls used; `requests` where they were counted.
    #[must_use]
    pub fn of_tokens(tokens: &Tokens, requests: Option<u64>) -> Self {
        let mut sums = Self::default();
        for (quantity, count) in [
            (Quantity::InUncached, tokens.input),
            (Quantity::InCacheRead, tokens.cache_read),
            (Quantity::InCacheWrite, tokens.cache_written()),
            (Quantity::Out, tokens.output),
        ] {
            sums.put(quantity, &Decimal::from(i128::from(count)));
        }
        if let Some(requests) = requests {
            sums.put(Quantity::Requests, &Decimal::from(i128::from(requests)));
        }
        sums
    }

    /// Adds to a quantity.
    pub fn put(&mut self, quantity: Quantity, amount: &Decimal) {
        let sum = self.0.entry(quantity).or_insert(Decimal::ZERO);
        *sum = sum.plus(amount);
    }

    /// The sum of a quantity; `None` where it was not told.
    #[must_use]
    pub fn get(&self, quantity: Quantity) -> Option<&Decimal> {
        self.0.get(&quantity)
    }

    /// The same, where what was not told comes to nothing.
    #[must_use]
    pub fn or_zero(&self, quantity: Quantity) -> Decimal {
        self.0.get(&quantity).cloned().unwrap_or(Decimal::ZERO)
    }

    /// What was told.
    pub fn told(&self) -> impl Iterator<Item = (Quantity, &Decimal)> {
        self.0.iter().map(|(quantity, amount)| (*quantity, amount))
    }

    /// Adds another sum.
    pub fn add(&mut self, other: &Self) {
        for (quantity, amount) in other.told() {
            self.put(quantity, amount);
        }
    }

    /// All tokens.
    #[must_use]
    pub fn tokens(&self) -> Decimal {
        let tokens = self.told().filter(|(quantity, _)| quantity.is_tokens());
        tokens.fold(Decimal::ZERO, |sum, (_, tokens)| sum.plus(tokens))
    }

    /// Whether nothing was used and nothing charged.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.values().all(Decimal::is_zero)
    }

    /// Only these quantities, with the prompt split no finer than both sides do.
    pub(super) fn taken(&self, quantities: &[Quantity], split: Split) -> Self {
        let mut sums = Self::default();
        for (quantity, amount) in self.told() {
            let quantity = split.of(quantity);
            if quantities.contains(&quantity) {
                sums.put(quantity, amount);
            }
        }
        sums
    }
}

/// How finely two sides both split the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// Uncached, read from a cache, and written to one.
    Full,
    /// One of them counts what was written to a cache among the uncached.
    NoWrites,
    /// One of them does not split it.
    Whole,
}

impl Split {
    /// What a quantity is part of.
    pub(super) const fn of(self, quantity: Quantity) -> Quantity {
        match (self, quantity) {
            (
                Self::Whole,
                Quantity::InUncached | Quantity::InCacheRead | Quantity::InCacheWrite,
            ) => Quantity::In,
            (Self::NoWrites, Quantity::InCacheWrite) => Quantity::InUncached,
            (_, quantity) => quantity,
        }
    }
}
