//! Numbers that are the same for the same seed: `SplitMix64`.

/// A seeded source of numbers.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// A source of its own for each part of a run.
    #[must_use]
    pub const fn new(seed: u64, part: u64) -> Self {
        Self(seed ^ part.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one; 0 below 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A place in a list of this length.
    pub fn at(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// True this often of a hundred times.
    pub fn percent(&mut self, of: u64) -> bool {
        self.below(100) < of
    }

    /// One of these; `None` where there is none.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.at(all.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_parts_differ() {
        let numbers = |seed, part| {
            let mut chance = Chance::new(seed, part);
            [(); 8].map(|()| chance.below(1_000))
        };
        assert_eq!(numbers(7, 1), numbers(7, 1));
        assert_ne!(numbers(7, 1), numbers(7, 2));
        assert_ne!(numbers(7, 1), numbers(8, 1));
    }
}
