//! The same call, told by two ways: by the agent's own files, and by the telemetry that it sends; or by two
//! records of telemetry, of which one has the provider's id.
//!
//! The two have no [`Key`] in common: a file knows the message, telemetry the request. What
//! both know makes a *twin key*. Files say more, and say it of the past, so that theirs is the copy that
//! counts: a call of a file *covers* its twin key, a call of telemetry is *covered by* it. Whatever covers
//! once covers for good, so that the order in which the two come does not matter.
//!
//! An SDK's span of a call has the provider's id of the answer, and the event that stands in that span may not:
//! the span is what both know. The one with the id *identifies* the other, in the same way.
//!
//! ```
//! use trueup_core::{Tokens, Twin};
//! let tokens = Tokens { input: 900, cache_read: 100, output: 52, ..Tokens::ZERO };
//! assert_ne!(Twin::of_request("claude-code", "req_01"), Twin::of_request("codex", "req_01"));
//! assert_ne!(Twin::of_usage("codex", "t1", &tokens), Twin::of_usage("codex", "t2", &tokens));
//! ```

use crate::{Key, Tokens};

/// How a call stands to what tells of it by the other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twin {
    /// It was read from a file: what telemetry tells of the same call does not count.
    Covers(Key),
    /// It was told by telemetry: it counts until a file tells of the same call. All copies of a call
    /// that share a key share this, too.
    CoveredBy(Key),
    /// It was told by telemetry with the provider's id: what is told of the same span without one does not
    /// count.
    Identifies(Key),
    /// It was told by telemetry without the provider's id: it counts until the same span is told with one.
    /// The twin key is the call's own.
    IdentifiedBy(Key),
}

impl Twin {
    /// The twin key of a request that both ways name by the provider's id.
    #[must_use]
    pub fn of_request(source: &str, request_id: &str) -> Key {
        Key::of("twin", &["request", source, request_id])
    }

    /// The twin key of a call that has no id in common: the session, and what the call used. A prompt
    /// grows from call to call, so that two calls of a session hardly ever agree in all of it. Lifetimes of
    /// caches are not told by both ways, and stand in the prompt as a whole.
    #[must_use]
    pub fn of_usage(source: &str, session: &str, tokens: &Tokens) -> Key {
        let Tokens { cache_read, output, reasoning, .. } = *tokens;
        let counts = [tokens.prompt(), cache_read, output, reasoning].map(u64::to_le_bytes);
        Key::of("twin", &[b"usage", source.as_bytes(), session.as_bytes(), counts.as_flattened()])
    }

    /// The twin key of a call that no file can know.
    #[must_use]
    pub fn of_none(key: Key) -> Key {
        Key::of("twin", &[&b"none"[..], &key.0])
    }

    /// The twin key that a call covers: of what has it no longer counts.
    #[must_use]
    pub const fn covers(self) -> Option<Key> {
        match self {
            Self::Covers(key) | Self::Identifies(key) => Some(key),
            Self::CoveredBy(_) | Self::IdentifiedBy(_) => None,
        }
    }

    /// The twin key that a call is covered by, where something covers it.
    #[must_use]
    pub const fn covered_by(self) -> Option<Key> {
        match self {
            Self::CoveredBy(key) | Self::IdentifiedBy(key) => Some(key),
            Self::Covers(_) | Self::Identifies(_) => None,
        }
    }

    /// Whether one of the two is a file.
    #[must_use]
    pub const fn is_of_files(self) -> bool {
        match self {
            Self::Covers(_) | Self::CoveredBy(_) => true,
            Self::Identifies(_) | Self::IdentifiedBy(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_the_same_whatever_is_known_of_caches_lifetimes() {
        let known =
            Tokens { input: 5, cache_read: 7, cache_write_1h: 11, output: 3, ..Tokens::ZERO };
        let unknown = Tokens { cache_write_1h: 0, cache_write: 11, ..known };
        let unsaid = Tokens { cache_write_1h: 0, input: 16, ..known };
        let key = |tokens: &Tokens| Twin::of_usage("codex", "s", tokens);
        assert_eq!(key(&known), key(&unknown));
        assert_eq!(key(&known), key(&unsaid));
        assert_ne!(key(&known), key(&Tokens { output: 4, ..known }));
    }
}
