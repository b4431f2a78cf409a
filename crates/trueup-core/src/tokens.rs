//! Token counts whose parts are disjoint, so that they can be added.
//!
//! This module knows the seven counters of one call and how to add them. It does not know which
//! agent counts its cache inside its input: each reader converts its source's convention before a
//! [`Tokens`] exists.
//!
//! ```
//! use trueup_core::Tokens;
//! let call = Tokens { input: 620, cache_read: 400, output: 52, reasoning: 7, ..Tokens::ZERO };
//! assert_eq!(call.total(), 1_072); // reasoning is inside output
//! ```

use serde::{Deserialize, Serialize};

/// The largest count that one field of one record can hold: 2^53 − 1, the largest integer that every
/// JSON writer can express. Larger claims are cut to it and reported as a problem of the record.
pub const TOKENS_MAX: u64 = (1 << 53) - 1;

/// The largest sum of counts: what a ledger can hold, and a reader of JSON as a signed number.
pub const SUM_MAX: u64 = i64::MAX.cast_unsigned();

const fn sum(one: u64, other: u64) -> u64 {
    let sum = one.saturating_add(other);
    if sum > SUM_MAX { SUM_MAX } else { sum }
}

/// Token counts of one call, or a sum over calls. Every field is disjoint from the others except
/// `reasoning`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tokens {
    /// Prompt tokens that were neither read from nor written to a cache.
    pub input: u64,
    /// Prompt tokens served from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache that lives five minutes.
    pub cache_write_5m: u64,
    /// Prompt tokens written to a cache that lives one hour.
    pub cache_write_1h: u64,
    /// Prompt tokens written to a cache of unknown lifetime.
    pub cache_write: u64,
    /// Completion tokens, reasoning included.
    pub output: u64,
    /// The part of `output` that was reasoning. Information only: never added.
    pub reasoning: u64,
}

impl Tokens {
    /// No tokens at all.
    pub const ZERO: Self = Self {
        input: 0,
        cache_read: 0,
        cache_write_5m: 0,
        cache_write_1h: 0,
        cache_write: 0,
        output: 0,
        reasoning: 0,
    };

    /// Everything that was sent or received, each token once.
    #[must_use]
    pub const fn total(&self) -> u64 {
        sum(self.prompt(), self.output)
    }

    /// The whole prompt: plain, read from a cache and written to one. Long-context price tiers are
    /// chosen by it.
    #[must_use]
    pub const fn prompt(&self) -> u64 {
        sum(sum(self.input, self.cache_read), self.cache_written())
    }

    /// Prompt tokens written to a cache, whatever its lifetime.
    #[must_use]
    pub const fn cache_written(&self) -> u64 {
        sum(sum(self.cache_write_5m, self.cache_write_1h), self.cache_write)
    }

    /// The field-by-field sum. It stops at [`SUM_MAX`], which only hostile input can reach.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            input: sum(self.input, other.input),
            cache_read: sum(self.cache_read, other.cache_read),
            cache_write_5m: sum(self.cache_write_5m, other.cache_write_5m),
            cache_write_1h: sum(self.cache_write_1h, other.cache_write_1h),
            cache_write: sum(self.cache_write, other.cache_write),
            output: sum(self.output, other.output),
            reasoning: sum(self.reasoning, other.reasoning),
        }
    }

    /// The field-by-field difference, for taking out what was added before; it stops at zero.
    #[must_use]
    pub const fn minus(&self, other: &Self) -> Self {
        Self {
            input: self.input.saturating_sub(other.input),
            cache_read: self.cache_read.saturating_sub(other.cache_read),
            cache_write_5m: self.cache_write_5m.saturating_sub(other.cache_write_5m),
            cache_write_1h: self.cache_write_1h.saturating_sub(other.cache_write_1h),
            cache_write: self.cache_write.saturating_sub(other.cache_write),
            output: self.output.saturating_sub(other.output),
            reasoning: self.reasoning.saturating_sub(other.reasoning),
        }
    }

    /// Each field cut to [`TOKENS_MAX`], and whether anything was cut.
    #[must_use]
    pub fn clamped(mut self) -> (Self, bool) {
        let mut is_cut = false;
        for field in [
            &mut self.input,
            &mut self.cache_read,
            &mut self.cache_write_5m,
            &mut self.cache_write_1h,
            &mut self.cache_write,
            &mut self.output,
            &mut self.reasoning,
        ] {
            is_cut |= *field > TOKENS_MAX;
            *field = (*field).min(TOKENS_MAX);
        }
        (self, is_cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_counts_each_token_once() {
        let tokens = Tokens {
            input: 1,
            cache_read: 2,
            cache_write_5m: 4,
            cache_write_1h: 8,
            cache_write: 16,
            output: 32,
            reasoning: 31,
        };
        assert_eq!(tokens.total(), 63);
        assert_eq!(tokens.prompt(), 31);
        assert_eq!(tokens.cache_written(), 28);
    }

    #[test]
    fn a_count_past_the_bound_is_cut_and_said_so() {
        let (tokens, is_cut) = Tokens { input: TOKENS_MAX + 2, ..Tokens::ZERO }.clamped();
        assert_eq!((tokens.input, is_cut), (TOKENS_MAX, true));
        assert!(!Tokens { output: TOKENS_MAX, ..Tokens::ZERO }.clamped().1);
    }
}
