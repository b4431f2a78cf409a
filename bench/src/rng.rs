//! A small seeded generator of numbers and identifiers (xoshiro256**, seeded by `SplitMix64`).
//!
//! It uses integers only, because the same seed must give the same bytes on every machine, and it
//! refuses to know the clock or the operating system's entropy.

/// The state of xoshiro256**.
#[derive(Debug, Clone)]
pub(crate) struct Rng([u64; 4]);

const HEX: &[u8; 16] = b"0123456789abcdef";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Rng {
    /// One independent stream per `(seed, stream)`, so that agents can be generated in parallel.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut state = seed ^ stream.wrapping_mul(0xD134_2543_DE82_EF95);
        Self([0; 4].map(|_| split_mix(&mut state)))
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let drawn = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c2, d2) = (c ^ a, d ^ b);
        self.0 = [a ^ d2, b ^ c2, c2 ^ (b << 17), d2.rotate_left(45)];
        drawn
    }

    /// A number in `0..n`; 0 when `n` is 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// A number in `low..=high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Milliseconds in `low..=high`, signed like all our instants.
    pub(crate) fn millis(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low).unsigned_abs() + 1).cast_signed()
    }

    /// True `per_mille` times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A skewed size with the given mean: most are small, a few are four times as large.
    pub(crate) fn long_tail(&mut self, mean: u64) -> u64 {
        self.below(2 * mean) * self.below(2 * mean) / mean.max(1)
    }

    /// One of a list that is not empty.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        let at = self.below(items.len() as u64) as usize;
        let Some(item) = items.get(at) else { unreachable!("pick from an empty list") };
        item
    }

    /// Lower-case hexadecimal digits.
    pub(crate) fn hex(&mut self, digits: usize) -> String {
        self.letters(HEX, digits)
    }

    /// Letters and digits, as in the ids of Anthropic and OpenAI.
    pub(crate) fn base62(&mut self, digits: usize) -> String {
        self.letters(BASE62, digits)
    }

    /// A random UUID in its usual text form.
    pub(crate) fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xFFFF,
            high & 0xFFF,
            0x8000 | (low >> 50),
            low & 0xFFFF_FFFF_FFFF
        )
    }

    fn letters(&mut self, alphabet: &[u8], digits: usize) -> String {
        let n = alphabet.len() as u64;
        (0..digits)
            .filter_map(|_| alphabet.get(self.below(n) as usize))
            .map(|&byte| char::from(byte))
            .collect()
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn one_stream_repeats_and_two_differ() {
        let draw = |seed, stream| Rng::new(seed, stream).hex(32);
        assert_eq!(draw(42, 1), draw(42, 1));
        assert_ne!(draw(42, 1), draw(42, 2));
        assert_ne!(draw(42, 1), draw(43, 1));
    }

    #[test]
    fn numbers_stay_in_their_range_and_keep_their_mean() {
        let mut rng = Rng::new(7, 0);
        assert!((0..1000).all(|_| (5..=9).contains(&rng.between(5, 9))));
        let sum: u64 = (0..10_000).map(|_| rng.long_tail(4000)).sum();
        assert!((3_700..4_300).contains(&(sum / 10_000)), "{sum}");
    }

    #[test]
    fn uuids_have_the_version_and_the_length_of_a_uuid() {
        let id = Rng::new(1, 1).uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
    }
}
