//! The prices of one model, and what a call pays by them.
//!
//! Knows the price per token of each kind of token by service tier and prompt length, and the rules
//! that fill gaps *as published by the seller*. Refuses to fill any other gap: tokens without a
//! price make the call unpriced.

use super::class::{ContextBand, PriceClass, Region, ServiceTier, Speed};
use crate::{NanoUsd, Tokens, scaled_decimal};

/// An exact amount in 10^-24 dollars: fine enough for every published price of one token.
///
/// Add these, and round once, with [`to_nano`](Self::to_nano). An `i128` holds 170 trillion
/// dollars; sums stop there, which only hostile input can reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct YoctoUsd(pub i128);

/// 10^-24 dollars in a nano-dollar.
const YOCTO_PER_NANO: i128 = 1_000_000_000_000_000;

/// Decimals of a price in dollars per million tokens, so that it is a whole number of 10^-24 dollars
/// per token.
const DECIMALS_MAX: usize = 18;

/// The highest credible price in dollars per million tokens; the dearest listed is 3,200. Keeps
/// [`TOKENS_MAX`](crate::TOKENS_MAX) tokens of one kind within [`YoctoUsd`].
const USD_PER_MTOK_MAX: i128 = 10_000;

/// A kind of token that has a price of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Prompt tokens outside any cache.
    Input,
    /// Prompt tokens read from a cache.
    CacheRead,
    /// Prompt tokens written to a cache for five minutes, or for an unknown time.
    CacheWrite5m,
    /// Prompt tokens written to a cache for one hour.
    CacheWrite1h,
    /// Completion tokens.
    Output,
    /// Completion tokens spent on reasoning, where they have a price of their own.
    Reasoning,
}

/// Why the price of a known model does not cover a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRate {
    /// No price for tokens that the call used.
    #[error("no price for {} tokens ({class})", kind.name())]
    Tokens {
        /// The kind of tokens.
        kind: TokenKind,
        /// The class for which their price is missing.
        class: PriceClass,
    },
    /// No multiplier for the speed or region.
    #[error("no price multiplier ({class})")]
    Multiplier {
        /// The class whose speed or region has no multiplier.
        class: PriceClass,
    },
}

/// All prices of one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) listed: Vec<Rate>,
    /// What all prices are multiplied by, in thousandths.
    pub(super) us_milli: Option<i128>,
    pub(super) fast_milli: Option<i128>,
    /// There is nothing to pay in any class.
    pub(super) is_free: bool,
    /// Gaps may be filled by the rules that Anthropic publishes.
    pub(super) has_anthropic_rules: bool,
}

/// The price of one kind of token in one tier, for prompts longer than a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) kind: TokenKind,
    pub(super) tier: ServiceTier,
    pub(super) above: ContextBand,
    pub(super) per_token: YoctoUsd,
}

impl YoctoUsd {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// The sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// This amount once for each token.
    #[must_use]
    pub fn times(self, tokens: u64) -> Self {
        Self(self.0.saturating_mul(i128::from(tokens)))
    }

    /// Rounded half away from zero to nano-dollars.
    #[must_use]
    pub fn to_nano(self) -> NanoUsd {
        let half = YOCTO_PER_NANO / 2;
        let nano = self.0.saturating_add(if self.0 < 0 { -half } else { half }) / YOCTO_PER_NANO;
        NanoUsd(i64::try_from(nano).unwrap_or(if nano < 0 { i64::MIN } else { i64::MAX }))
    }

    /// The price of one token from a plain decimal of dollars per million tokens; `None` where the
    /// text is not one, is too fine to be exact, or is not credible.
    pub(super) fn from_usd_per_mtok(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_digits(whole) || !is_digits(fraction) || fraction.len() > DECIMALS_MAX {
            return None;
        }
        let per_token = scaled_decimal(text, 18)?;
        let per_token_max = scaled_decimal("1", 18)?.checked_mul(USD_PER_MTOK_MAX)?;
        (per_token <= per_token_max).then_some(Self(per_token))
    }

    fn scaled(self, numerator: i128, denominator: i128) -> Self {
        Self(self.0.saturating_mul(numerator) / denominator)
    }
}

impl TokenKind {
    /// As in the price table and in messages.
    pub(super) const NAMES: [(Self, &'static str); 6] = [
        (Self::Input, "input"),
        (Self::CacheRead, "cache_read"),
        (Self::CacheWrite5m, "cache_write_5m"),
        (Self::CacheWrite1h, "cache_write_1h"),
        (Self::Output, "output"),
        (Self::Reasoning, "reasoning"),
    ];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| *name)
    }
}

impl Rates {
    /// What tokens of one class cost. Linear: the cost of a sum of calls of one class is the sum of
    /// their costs.
    pub(super) fn cost(&self, class: PriceClass, tokens: &Tokens) -> Result<YoctoUsd, NoRate> {
        if self.is_free {
            return Ok(YoctoUsd::ZERO);
        }
        let multiplier_millionths =
            self.multiplier_millionths(class).ok_or(NoRate::Multiplier { class })?;
        let reasoning = tokens.reasoning.min(tokens.output);
        let kinds = [
            (TokenKind::Input, tokens.input),
            (TokenKind::CacheRead, tokens.cache_read),
            (TokenKind::CacheWrite5m, tokens.cache_write_5m.saturating_add(tokens.cache_write)),
            (TokenKind::CacheWrite1h, tokens.cache_write_1h),
            (TokenKind::Output, tokens.output.saturating_sub(reasoning)),
            (TokenKind::Reasoning, reasoning),
        ];
        let mut cost = YoctoUsd::ZERO;
        for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
            let per_token = self.rate(kind, class).ok_or(NoRate::Tokens { kind, class })?;
            cost = cost.plus(per_token.scaled(multiplier_millionths, 1_000_000).times(count));
        }
        Ok(cost)
    }

    /// Speed times region, in millionths; `None` where one of them has no multiplier.
    fn multiplier_millionths(&self, class: PriceClass) -> Option<i128> {
        let speed = match class.speed {
            Speed::Standard => 1_000,
            Speed::Fast => self.fast_milli?,
            Speed::Other => return None,
        };
        let region = match class.region {
            Region::Any => 1_000,
            Region::Us => self.us_milli?,
            Region::Other => return None,
        };
        speed.checked_mul(region)
    }

    fn rate(&self, kind: TokenKind, class: PriceClass) -> Option<YoctoUsd> {
        match kind {
            TokenKind::Reasoning => self.reasoning_rate(class),
            TokenKind::Input
            | TokenKind::CacheRead
            | TokenKind::CacheWrite5m
            | TokenKind::CacheWrite1h
            | TokenKind::Output => self
                .published(kind, class)
                .map(|rate| rate.per_token)
                .or_else(|| self.anthropic_rate(kind, class)),
        }
    }

    /// Reasoning is output, at the price of output, except where a price of its own stands beside
    /// exactly that price of output.
    fn reasoning_rate(&self, class: PriceClass) -> Option<YoctoUsd> {
        let own = self.listed(TokenKind::Reasoning, class.tier, class.context);
        match (own, self.published(TokenKind::Output, class)) {
            (Some(own), Some(output)) if own.above == output.above => Some(own.per_token),
            _ => self.rate(TokenKind::Output, class),
        }
    }

    /// The price that the seller states for this tier. One for shorter prompts counts only where
    /// the standard tier has none for longer ones either: a tier whose long-context price is not
    /// stated has none.
    fn published(&self, kind: TokenKind, class: PriceClass) -> Option<Rate> {
        let in_tier = self.listed(kind, class.tier, class.context)?;
        let standard = self.listed(kind, ServiceTier::Standard, class.context);
        standard.is_none_or(|standard| in_tier.above >= standard.above).then_some(in_tier)
    }

    fn listed(&self, kind: TokenKind, tier: ServiceTier, context: ContextBand) -> Option<Rate> {
        self.listed
            .iter()
            .filter(|rate| rate.kind == kind && rate.tier == tier && rate.above <= context)
            .max_by_key(|rate| rate.above)
            .copied()
    }

    /// Anthropic publishes that a batch costs half, and that cache reads, five-minute writes and
    /// one-hour writes cost 0.1, 1.25 and 2 times the input.
    fn anthropic_rate(&self, kind: TokenKind, class: PriceClass) -> Option<YoctoUsd> {
        if !self.has_anthropic_rules {
            return None;
        }
        if class.tier == ServiceTier::Batch {
            let standard = PriceClass { tier: ServiceTier::Standard, ..class };
            return Some(self.rate(kind, standard)?.scaled(1, 2));
        }
        let input = self.published(TokenKind::Input, class)?.per_token;
        match kind {
            TokenKind::CacheRead => Some(input.scaled(1, 10)),
            TokenKind::CacheWrite5m => Some(input.scaled(5, 4)),
            TokenKind::CacheWrite1h => Some(input.scaled(2, 1)),
            TokenKind::Input | TokenKind::Output | TokenKind::Reasoning => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_exact_or_refused() {
        let per_token = |text| YoctoUsd::from_usd_per_mtok(text).map(|price| price.0);
        assert_eq!(per_token("15"), Some(15_000_000_000_000_000_000));
        assert_eq!(per_token("0.30001999999999996"), Some(300_019_999_999_999_960));
        assert_eq!(per_token("0.000000000000000001"), Some(1));
        assert_eq!(per_token("10000"), Some(10_000_000_000_000_000_000_000));
        for text in ["", ".5", "5.", "1e3", "-1", "0.0000000000000000001", "10000.01", "free"] {
            assert_eq!(per_token(text), None, "{text}");
        }
    }

    #[test]
    fn amounts_round_half_away_from_zero_once() {
        let half = YOCTO_PER_NANO / 2;
        assert_eq!(YoctoUsd(half).to_nano(), NanoUsd(1));
        assert_eq!(YoctoUsd(half - 1).to_nano(), NanoUsd(0));
        assert_eq!(YoctoUsd(-half).to_nano(), NanoUsd(-1));
        assert_eq!(YoctoUsd(i128::MAX).to_nano(), NanoUsd(i64::MAX));
        assert_eq!(YoctoUsd(i128::MIN).to_nano(), NanoUsd(i64::MIN));
    }

    #[test]
    fn the_most_tokens_at_the_highest_price_still_fit() {
        let dearest = YoctoUsd::from_usd_per_mtok("10000").unwrap();
        assert!(dearest.times(crate::TOKENS_MAX).0 < i128::MAX);
        assert_eq!(dearest.times(u64::MAX).0, i128::MAX);
    }
}
