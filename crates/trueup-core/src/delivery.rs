//! What devices tell a hub.
//!
//! A device says that a fact is so, or, of a call, that it no longer counts. It may say so again, later
//! or in another order than it happened, and two devices may say it of one fact. Each word has a
//! [`Version`], and of one id the newest word holds: what comes out does not depend on what was
//! repeated, or on the order of arrival.

use crate::{Fact, FactId, Key, Rank, Text, UnixMs};

/// Who may ask a hub, by a secret of which only the hash is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubToken {
    /// Its name: the first bytes of the hash, in hexadecimal digits.
    pub id: Text,
    /// BLAKE3 of the secret.
    pub hash: [u8; 32],
    /// Whose account it opens.
    pub tenant: Text,
    /// The device that tells with it; `None` where it opens the account to be read.
    pub device: Option<Text>,
    /// When it was made.
    pub created_at: UnixMs,
    /// Since when it opens nothing.
    pub revoked_at: Option<UnixMs>,
}

/// What one device tells at a time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delivery {
    /// Who tells it, by the name on its token.
    pub device: Text,
    /// What the device says of itself.
    pub sender: Sender,
    /// Which of its batches it is; `None` of senders that do not number them.
    pub batch: Option<BatchHead>,
    /// What it tells.
    pub words: Vec<Word>,
}

/// Who sends, by its own words. A device may have several ledgers in its life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// Made with its ledger.
    pub ledger: Text,
    /// Of the ledger: places in it begin anew with another one.
    pub epoch: Text,
    /// The machine's own name.
    pub host: Text,
    /// What it says that it runs.
    pub agent: Text,
    /// Of the program.
    pub version: Text,
    /// How it is with what is still to be sent; `None` of older senders.
    pub status: Option<SenderStatus>,
}

/// What a sender knows not to have been told yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SenderStatus {
    /// Records that wait.
    pub waiting: u64,
    /// When the oldest of them happened.
    pub oldest_waiting_at: Option<UnixMs>,
    /// Records that it dropped for want of room, ever.
    pub dropped: u64,
    /// Records that were refused for good, ever.
    pub refused: u64,
    /// When it last read its agents' stores.
    pub last_read_at: Option<UnixMs>,
}

/// Which batch of a ledger it is, and which places of it the batch covers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchHead {
    /// Its name, for ever.
    pub id: Text,
    /// When it was made.
    pub created_at: UnixMs,
    /// The first place; behind the last one of the batch before.
    pub first_seq: i64,
    /// The last place; before the first one where it holds nothing.
    pub last_seq: i64,
    /// Of the bytes of its events.
    pub sha256: Text,
}

/// One word on one id.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// It is so. The fact's key is [`Key::of_id`], and a call's rank is that of the word.
    Is(Fact),
    /// The call of this id no longer counts.
    IsNot {
        /// The call.
        id: FactId,
        /// Of the word.
        version: Version,
    },
}

impl Word {
    /// What it is about.
    #[must_use]
    pub fn id(&self) -> FactId {
        match self {
            Self::IsNot { id, .. } => *id,
            Self::Is(Fact::Call(call)) => call.id(),
            Self::Is(Fact::Error(error)) => FactId::new(error.time, error.key),
            Self::Is(Fact::Event(event)) => FactId::new(event.time, event.key),
            Self::Is(Fact::Host(host)) => FactId::new(host.time, host.key),
            Self::Is(Fact::SessionTotal(claim)) => FactId::new(claim.time, claim.key),
            // No device says these of another's account.
            Self::Is(fact @ (Fact::Quota(_) | Fact::Metered(_))) => FactId::first_at(fact.time()),
        }
    }
}

/// Which of two words on one id is the newer one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// Bits for the place in a batch, of which there are 10,000 at most.
const PLACE_BITS: u32 = 20;

impl Version {
    /// Of the word at `place` of a batch that was made at `at`.
    #[must_use]
    pub fn new(at: UnixMs, place: usize) -> Self {
        let at = u64::try_from(at.0).unwrap_or(0).min(u64::MAX >> PLACE_BITS);
        let place = u64::try_from(place).unwrap_or(u64::MAX).min((1 << PLACE_BITS) - 1);
        Self((at << PLACE_BITS) | place)
    }

    /// The rank of a call that is told in these parts: of two words with one version, which no single
    /// device says, the same one holds in whatever order they come.
    #[must_use]
    pub fn rank(self, told: &[&[u8]]) -> Rank {
        let hash = Key::of("", told).as_u128() & u128::from(u64::MAX);
        Rank((u128::from(self.0) << 64) | hash)
    }

    /// Whether two ranks are those of the same bytes, told at two times.
    #[must_use]
    pub const fn is_same_word(one: Rank, other: Rank) -> bool {
        (one.0 ^ other.0) << 64 == 0
    }

    /// The version in a rank.
    #[must_use]
    pub fn of_rank(rank: Rank) -> Self {
        Self(u64::try_from(rank.0 >> 64).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_batch_is_newer_than_any_place_of_an_earlier_one() {
        let at = UnixMs(1_795_212_509_482);
        let version = |ms: i64, place| Version::new(UnixMs(at.0 + ms), place);
        assert!(version(0, 0) < version(0, 1));
        assert!(version(0, usize::MAX) < version(1, 0));
        assert_eq!(Version::new(UnixMs(-5), 7), Version(7));
    }

    #[test]
    fn the_version_of_a_word_is_in_its_rank() {
        let version = Version::new(UnixMs(1_795_212_509_482), 9_999);
        assert_eq!(Version::of_rank(version.rank(&[b"{}"])), version);
        assert_ne!(version.rank(&[b"{}"]), version.rank(&[b"[]"]));
        assert!(version.rank(&[b"a"]) < Version(version.0 + 1).rank(&[b"b"]));
    }
}
