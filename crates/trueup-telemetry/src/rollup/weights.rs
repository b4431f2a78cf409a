//! Which values weighed how much, with a bound on how many are kept apart.
//!
//! Kept are the first ones in the order of bytes; the weight of all others is one sum. A value that is
//! among the first of all is among the first of every part, so what is kept has its exact weight
//! however the parts were merged, which a rule by weight could not promise.

use std::collections::BTreeMap;

/// Bytes of a value at most; a longer one is refused, since a cut one would be another.
pub(crate) const VALUE_BYTES_MAX: usize = 400;

/// Which values weighed how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    bound: usize,
    kept: BTreeMap<Box<str>, u128>,
    rest: u128,
}

impl Weights {
    /// Nothing yet; at most `bound` values will be kept apart.
    #[must_use]
    pub const fn new(bound: usize) -> Self {
        Self { bound, kept: BTreeMap::new(), rest: 0 }
    }

    /// Adds a value's weight. Says whether the value was taken.
    pub fn add(&mut self, value: &str, weight: u128) -> bool {
        if value.is_empty() || value.len() > VALUE_BYTES_MAX {
            return false;
        }
        if let Some(sum) = self.kept.get_mut(value) {
            *sum = sum.saturating_add(weight);
            return true;
        }
        let is_full = self.kept.len() >= self.bound;
        let is_behind = self.kept.last_key_value().is_none_or(|(last, _)| &**last < value);
        if is_full && is_behind {
            self.rest = self.rest.saturating_add(weight);
            return true;
        }
        self.kept.insert(value.into(), weight);
        if is_full && let Some((_, displaced)) = self.kept.pop_last() {
            self.rest = self.rest.saturating_add(displaced);
        }
        true
    }

    /// Adds what another holds.
    pub fn merge(&mut self, other: &Self) {
        for (value, &weight) in &other.kept {
            self.add(value, weight);
        }
        self.add_rest(other.rest);
    }

    /// The heaviest; of equal ones the first in the order of bytes. `None` where that cannot be known,
    /// because one of those that are not kept apart may weigh more.
    #[must_use]
    pub fn top(&self) -> Option<&str> {
        let (value, weight) = self.heaviest(1).into_iter().next()?;
        (weight >= self.rest).then_some(value)
    }

    /// The heaviest of those that are kept apart, and their weights.
    #[must_use]
    pub fn heaviest(&self, count: usize) -> Vec<(&str, u128)> {
        let mut all: Vec<_> = self.kept.iter().map(|(value, &weight)| (&**value, weight)).collect();
        // Stable: of equal weights the first in the order of bytes stays the first.
        all.sort_by_key(|&(_, weight)| std::cmp::Reverse(weight));
        all.truncate(count);
        all
    }

    /// The weight of all values.
    #[must_use]
    pub fn total(&self) -> u128 {
        self.kept.values().fold(self.rest, |sum, &weight| sum.saturating_add(weight))
    }

    pub(crate) fn kept(&self) -> impl Iterator<Item = (&str, u128)> {
        self.kept.iter().map(|(value, &weight)| (&**value, weight))
    }

    pub(crate) const fn rest(&self) -> u128 {
        self.rest
    }

    pub(crate) const fn add_rest(&mut self, weight: u128) {
        self.rest = self.rest.saturating_add(weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_of_equal_ones_is_the_top_whichever_came_first() {
        for order in [["b", "a"], ["a", "b"]] {
            let mut weights = Weights::new(8);
            for value in order {
                assert!(weights.add(value, 3));
            }
            assert_eq!(weights.top(), Some("a"));
        }
        assert_eq!(Weights::new(8).top(), None);
    }

    #[test]
    fn a_top_that_cannot_be_known_is_not_said() {
        let mut weights = Weights::new(2);
        for value in ["a", "b", "c", "c"] {
            weights.add(value, 1);
        }
        assert_eq!((weights.top(), weights.total()), (None, 4));
        weights.add("a", 1);
        assert_eq!(weights.top(), Some("a"));
    }

    #[test]
    fn values_that_are_empty_or_too_long_are_refused() {
        let mut weights = Weights::new(2);
        assert!(!weights.add("", 1));
        assert!(!weights.add(&"x".repeat(VALUE_BYTES_MAX + 1), 1));
        assert!(weights.add(&"x".repeat(VALUE_BYTES_MAX), 1));
    }

    proptest! {
        #[test]
        fn what_is_kept_has_its_exact_weight_however_it_was_divided(
            records in prop::collection::vec((0..12_u8, 0..9_u128, 0..3_usize), 0..80),
            bound in 1..8_usize,
        ) {
            let mut whole = Weights::new(bound);
            let mut parts = [Weights::new(bound), Weights::new(bound), Weights::new(bound)];
            for (value, weight, part) in &records {
                let name = format!("v{value:02}");
                whole.add(&name, *weight);
                parts[*part].add(&name, *weight);
            }
            let [a, b, c] = parts;
            let mut left = c.clone();
            left.merge(&a);
            left.merge(&b);
            let mut right = b;
            right.merge(&c);
            let mut first = a;
            first.merge(&right);
            prop_assert_eq!(&left, &whole);
            prop_assert_eq!(&first, &whole);
            for (value, weight) in whole.kept() {
                let exact: u128 = records
                    .iter()
                    .filter(|(name, _, _)| format!("v{name:02}") == value)
                    .map(|(_, weight, _)| *weight)
                    .sum();
                prop_assert_eq!(weight, exact);
            }
        }
    }
}
