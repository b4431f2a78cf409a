//! What makes a fact count once.
//!
//! A [`Key`] is the natural key of a fact, hashed: the same usage seen in a fork, an archive and a
//! database has the same key. A [`FactId`] is how the fact is stored and sent: its time first, so that
//! inserts stay cheap, then its key. This module does not know which fields make a source's key; each
//! reader says so in one place.
//!
//! ```
//! use trueup_core::{FactId, Key, UnixMs};
//! let key = Key::of("claude-code", &["msg_01Yb"]);
//! assert_ne!(key, Key::of("claude-code", &["msg_01", "Yb"]));
//! let id = FactId::new(UnixMs(1_795_212_509_482), key);
//! assert_eq!(id.time(), UnixMs(1_795_212_509_482));
//! ```

use std::fmt;

use crate::UnixMs;

/// Bytes that most natural keys come to at most.
const KEY_BYTES: usize = 192;

/// 128 bits of BLAKE3 over a source's name and its natural key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 16]);

impl Key {
    /// A key of something that has no natural one and will never be seen again, such as a record that
    /// a client posts without an id: its time, then 80 random bits. It is its own [`FactId`], so that
    /// nobody needs to remember it.
    #[must_use]
    pub fn fresh(time: UnixMs, random: u128) -> Self {
        Self(FactId::new(time, Self(random.to_be_bytes())).0)
    }

    /// Hashes `parts` so that no two different lists of parts agree.
    #[must_use]
    pub fn of<P: AsRef<[u8]>>(source: &str, parts: &[P]) -> Self {
        // All in one piece: a hasher that is fed with pieces costs more than the hash.
        let mut bytes = Vec::with_capacity(KEY_BYTES);
        for part in std::iter::once(source.as_bytes()).chain(parts.iter().map(AsRef::as_ref)) {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(blake3::hash(&bytes).as_bytes().split_at(16).0);
        Self(key)
    }

    /// The key of a fact that is known by its id alone, as where others tell of it. It is never that of
    /// a fact that nobody can repeat ([`FactId::is_of_itself`]).
    #[must_use]
    pub const fn of_id(id: FactId) -> Self {
        let id = u128::from_be_bytes(id.0);
        Self((id ^ !((1 << 80) - 1)).to_be_bytes())
    }

    /// The key as a number, for ordering and for deriving variants.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        u128::from_be_bytes(self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:032x})", self.as_u128())
    }
}

/// 48 bits of Unix milliseconds, then 80 bits of the [`Key`]: sorts by time, is the same wherever the
/// same fact is read. Printed as a UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactId(pub [u8; 16]);

impl FactId {
    /// The id of a fact of this time and key. Times outside of 1970 to 10889 are cut to that range.
    #[must_use]
    pub fn new(time: UnixMs, key: Key) -> Self {
        let hash = key.as_u128() & ((1 << 80) - 1);
        Self((Self::prefix(time) | hash).to_be_bytes())
    }

    /// The smallest id of this millisecond: where a time range begins or ends.
    #[must_use]
    pub fn first_at(time: UnixMs) -> Self {
        Self(Self::prefix(time).to_be_bytes())
    }

    /// The id behind this one; `None` behind the last.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Some(Self(u128::from_be_bytes(self.0).checked_add(1)?.to_be_bytes()))
    }

    /// The time that the id begins with.
    #[must_use]
    pub fn time(self) -> UnixMs {
        let ms = u128::from_be_bytes(self.0) >> 80;
        UnixMs(i64::try_from(ms).unwrap_or(i64::MAX))
    }

    /// Whether this is the id of a [`Key::fresh`].
    #[must_use]
    pub fn is_of_itself(self, key: Key) -> bool {
        self.0 == key.0
    }

    /// The id that a printed UUID stands for.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 36 {
            return None;
        }
        let mut number = 0_u128;
        for (at, byte) in text.bytes().enumerate() {
            match at {
                8 | 13 | 18 | 23 if byte == b'-' => {}
                8 | 13 | 18 | 23 => return None,
                _ => number = (number << 4) | u128::from(char::from(byte).to_digit(16)?),
            }
        }
        Some(Self(number.to_be_bytes()))
    }

    fn prefix(time: UnixMs) -> u128 {
        let ms = u128::try_from(time.0).unwrap_or(0).min((1 << 48) - 1);
        ms << 80
    }
}

impl fmt::Display for FactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = u128::from_be_bytes(self.0);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            n >> 96,
            (n >> 80) & 0xffff,
            (n >> 64) & 0xffff,
            (n >> 48) & 0xffff,
            n & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for FactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FactId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_sort_by_time_and_survive_printing(a in 0..1_i64 << 48, b in 0..1_i64 << 48, key: [u8; 16]) {
            let (first, second) = (FactId::new(UnixMs(a), Key(key)), FactId::new(UnixMs(b), Key(key)));
            prop_assert_eq!(first.cmp(&second), a.cmp(&b));
            prop_assert_eq!(first.time(), UnixMs(a));
            prop_assert_eq!(FactId::parse(&first.to_string()), Some(first));
        }

        #[test]
        fn no_text_panics_as_an_id(text in "\\PC{0,40}") {
            let _unused = FactId::parse(&text);
        }
    }

    #[test]
    fn a_fresh_key_is_its_own_id() {
        let time = UnixMs(1_795_212_509_482);
        let key = Key::fresh(time, u128::MAX);
        assert!(FactId::new(time, key).is_of_itself(key));
        assert!(!FactId::new(UnixMs(7), key).is_of_itself(key));
    }

    #[test]
    fn absurd_times_are_cut_to_the_range() {
        let key = Key([0xff; 16]);
        assert_eq!(FactId::new(UnixMs(-1), key).time(), UnixMs(0));
        assert_eq!(FactId::new(UnixMs(i64::MAX), key).time(), UnixMs((1 << 48) - 1));
    }

    #[test]
    fn a_key_of_an_id_leads_back_to_it() {
        let id = FactId::new(UnixMs(1_795_212_509_482), Key::of("codex", &["a"]));
        assert_eq!(FactId::new(id.time(), Key::of_id(id)), id);
        assert!(!id.is_of_itself(Key::of_id(id)));
    }
}
