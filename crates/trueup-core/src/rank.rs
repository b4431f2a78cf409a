//! Which copies of one call count.
//!
//! Sources repeat themselves: a streamed answer is written once per content block, a fork copies the
//! history of its parent, a side question replays a whole conversation. Each copy has the same
//! [`Key`](crate::Key). Three things decide which copies count, whatever order they are read in:
//!
//! 1. **standing**: a copy from the session that made the call outranks a copy from elsewhere;
//! 2. **variant**: copies of the highest standing that differ in their variant are different calls;
//! 3. **rank**: among copies of one variant the most complete counts.
//!
//! What is kept is a join of a semilattice: reading twice, in parts, or in any order ends in the same
//! account.

use crate::{Tokens, UnixMs};

/// Tells apart two calls that share a key, such as a message id with two request ids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variant(pub i64);

impl Variant {
    /// The variant that a text stands for, such as a request id.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let hash = blake3::hash(text.as_bytes());
        Self(hash.as_bytes().iter().take(8).fold(0, |sum, byte| (sum << 8) | i64::from(*byte)))
    }
}

/// How good a copy is; the largest counts. Standing first, then completeness, then owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(pub u128);

// Widths of the parts of a rank, most significant first; they fill 128 bits.
const STANDING_BITS: u32 = 8;
const OUTPUT_BITS: u32 = 36;
const TOTAL_BITS: u32 = 38;
const DETAIL_BITS: u32 = 1;
const OWNER_TIME_BITS: u32 = 33;
const OWNER_BITS: u32 = 11;
const KIND_BITS: u32 = 1;

/// Which of the sessions that hold equal copies of a call owns it: the one that began first, then a
/// fixed choice by name. Worked out once a session, not once a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    start_s: u64,
    name_order: u64,
}

impl Owner {
    /// The claim of one session. Sessions of one source have one way to tell when they began, or none.
    #[must_use]
    pub fn new(session_start: UnixMs, session: &str) -> Self {
        let hash = blake3::hash(session.as_bytes());
        let [a, b, ..] = hash.as_bytes();
        Self {
            start_s: u64::try_from(session_start.0 / 1_000).unwrap_or(0),
            name_order: u64::from(u16::from_be_bytes([*a, *b]) >> 5),
        }
    }
}

impl Rank {
    /// The rank of a copy. `standing`: see the module. The largest output, then the largest total,
    /// then `is_detailed` (it says more, such as its speed) is the most complete; of copies that are
    /// equal in that, the owner's counts.
    #[must_use]
    pub fn new(standing: u8, tokens: &Tokens, is_detailed: bool, owner: Owner) -> Self {
        let mut rank = u128::from(standing);
        let mut push = |bits: u32, value: u64| {
            let limit = (1_u64 << bits) - 1;
            rank = (rank << bits) | u128::from(value.min(limit));
        };
        push(OUTPUT_BITS, tokens.output);
        push(TOTAL_BITS, tokens.total());
        push(DETAIL_BITS, u64::from(is_detailed));
        let latest = (1_u64 << OWNER_TIME_BITS) - 1;
        push(OWNER_TIME_BITS, latest - owner.start_s.min(latest));
        push(OWNER_BITS, owner.name_order);
        Self(rank << KIND_BITS)
    }

    /// The same, of a copy that says what kind of session it is in. Of one owner's copies it counts
    /// before those that do not; it makes nobody the owner, for kinds come and go.
    #[must_use]
    pub const fn with_kind(self) -> Self {
        Self(self.0 | 1)
    }

    /// The part that separates originals from copies.
    #[must_use]
    pub const fn standing(self) -> u8 {
        self.0.to_be_bytes()[0]
    }
}

const _: () = assert!(
    STANDING_BITS
        + OUTPUT_BITS
        + TOTAL_BITS
        + DETAIL_BITS
        + OWNER_TIME_BITS
        + OWNER_BITS
        + KIND_BITS
        == 128
);

/// What to do with a copy, given the counted copies of the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It counts beside the others.
    Add,
    /// It takes the place of the one counted copy at this index.
    Replace(usize),
    /// It outranks all counted copies: they no longer count.
    ReplaceAll,
    /// It is a copy of what is counted already.
    Ignore,
}

/// Decides on one more copy of a key. `counted` are the copies that count so far; they are all of one
/// standing and differ in their variants.
#[must_use]
pub fn settle(counted: &[(Variant, Rank)], variant: Variant, rank: Rank) -> Verdict {
    let Some((_, first)) = counted.first() else { return Verdict::Add };
    match rank.standing().cmp(&first.standing()) {
        std::cmp::Ordering::Less => Verdict::Ignore,
        std::cmp::Ordering::Greater => Verdict::ReplaceAll,
        std::cmp::Ordering::Equal => match counted.iter().position(|(seen, _)| *seen == variant) {
            None => Verdict::Add,
            Some(at) if counted.get(at).is_some_and(|(_, seen)| rank > *seen) => {
                Verdict::Replace(at)
            }
            Some(_) => Verdict::Ignore,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rank(standing: u8, output: u64) -> Rank {
        let owner = Owner::new(UnixMs(0), "s");
        Rank::new(standing, &Tokens { output, ..Tokens::ZERO }, false, owner)
    }

    fn account(copies: &[(Variant, Rank)]) -> Vec<(Variant, Rank)> {
        let mut counted = Vec::new();
        for (variant, rank) in copies {
            match settle(&counted, *variant, *rank) {
                Verdict::Add => counted.push((*variant, *rank)),
                Verdict::Replace(at) => counted[at] = (*variant, *rank),
                Verdict::ReplaceAll => counted = vec![(*variant, *rank)],
                Verdict::Ignore => {}
            }
        }
        counted.sort_unstable();
        counted
    }

    #[test]
    fn the_most_complete_copy_counts() {
        let copies =
            [(Variant(0), rank(1, 5)), (Variant(0), rank(1, 90)), (Variant(0), rank(1, 7))];
        assert_eq!(account(&copies), [(Variant(0), rank(1, 90))]);
    }

    #[test]
    fn originals_displace_copies_and_variants_stand_side_by_side() {
        let side = (Variant(0), rank(0, 900));
        let (first, second) = ((Variant(1), rank(2, 5)), (Variant(2), rank(2, 6)));
        assert_eq!(account(&[side, first, second]), [first, second]);
        assert_eq!(account(&[first, side, second]), [first, second]);
    }

    #[test]
    fn of_equal_copies_the_older_session_owns_the_call() {
        let tokens = Tokens { output: 1, ..Tokens::ZERO };
        let older = Rank::new(1, &tokens, false, Owner::new(UnixMs(1_000), "b"));
        let newer = Rank::new(1, &tokens, false, Owner::new(UnixMs(2_000), "a"));
        assert!(older > newer);
        assert_eq!(older.standing(), 1);
        // Whatever is known of the newer session's kind.
        assert!(older > newer.with_kind() && newer.with_kind() > newer);
    }

    proptest! {
        #[test]
        fn the_order_of_reading_does_not_matter(
            copies in prop::collection::vec((0..3_i64, 0..3_u8, 0..4_u64), 0..12),
            seed in any::<u64>(),
        ) {
            let copies: Vec<_> =
                copies.iter().map(|(v, standing, out)| (Variant(*v), rank(*standing, *out))).collect();
            let mut shuffled = copies.clone();
            shuffled.sort_by_key(|(v, r)| blake3::hash(&[&seed.to_le_bytes()[..], &v.0.to_le_bytes(), &r.0.to_le_bytes()].concat()).as_bytes()[0]);
            prop_assert_eq!(account(&copies), account(&shuffled));
            let twice = [copies.clone(), copies.clone()].concat();
            prop_assert_eq!(account(&twice), account(&copies));
        }
    }
}
