//! What the counters of telemetry say that was used: evidence beside the account, and never part of it.
//!
//! A counter goes up by what each call used, and tells its sum now and then: since it began (cumulative),
//! or since it told last (delta). Kinds of its tokens overlap differently from agent to agent, so each point
//! says which counts of the account it is part of.
//!
//! ```
//! use trueup_core::Parts;
//! // Claude Code tells what it read from caches beside the input; the account's prompt holds both.
//! let cache_read = Parts::PROMPT.and(Parts::CACHE_READ);
//! assert!(cache_read.is_part_of(Parts::PROMPT) && !cache_read.is_part_of(Parts::OUTPUT));
//! ```

use crate::{Text, UnixMs};

/// One point of a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metered {
    /// Points with the same number are of one counter: of who tells, of what, and, where it is cumulative,
    /// since when.
    pub stream: i64,
    /// The source id.
    pub source: Text,
    /// The session, where the counter tells; else empty.
    pub session: Text,
    /// When the counter began; zero where it does not say.
    pub began: UnixMs,
    /// When it was told.
    pub time: UnixMs,
    /// What tells apart the points of a counter: the nanosecond.
    pub point: i64,
    /// Whether the value is of all since it began, rather than since the point before.
    pub is_cumulative: bool,
    /// Which counts it is part of.
    pub parts: Parts,
    /// Tokens, or billionths of a dollar.
    pub value: i64,
}

/// Which counts of the account a counter is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts(pub u8);

impl Parts {
    /// The whole prompt, with what was read from and written to caches.
    pub const PROMPT: Self = Self(1);
    /// What of it was read from a cache.
    pub const CACHE_READ: Self = Self(1 << 1);
    /// What of it was written to one.
    pub const CACHE_WRITE: Self = Self(1 << 2);
    /// The whole answer, with reasoning.
    pub const OUTPUT: Self = Self(1 << 3);
    /// What of it was reasoning.
    pub const REASONING: Self = Self(1 << 4);
    /// No tokens: what it cost.
    pub const COST: Self = Self(1 << 5);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is part of a count.
    #[must_use]
    pub const fn is_part_of(self, count: Self) -> bool {
        self.0 & count.0 != 0
    }
}
