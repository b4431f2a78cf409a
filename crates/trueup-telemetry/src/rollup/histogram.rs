//! How often values of each size came, in integers alone.
//!
//! Values below 16 have a bucket each. Above, each power of two is divided into 16 equal buckets, so
//! that a bucket is at most a sixteenth of its values wide, and its middle at most 1/32 off. Sixteen
//! buckets beside each other are one block; only blocks that hold something are kept, and no more than
//! 60 can.

/// Bits of a value, after its first one, that choose its bucket.
const SUB_BITS: u32 = 4;
/// Buckets of each power of two.
const SUBS: u16 = 1 << SUB_BITS;
/// Buckets in all, for values up to 2^63.
const BUCKETS: u16 = SUBS + (63 - 4) * SUBS;

/// Blocks for which there is room from the first value on, so that few histograms ever move: values that
/// are up to 2^16 times as large as others.
const BLOCKS_ROOM: usize = 16;

/// The counts of sixteen buckets.
type Block = [u64; SUBS as usize];

/// How often values of each size came. Merging is exact, in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// A bit for each block that holds something. A block is found by how many are before it, without a
    /// search: whoever records pays for this.
    held: u64,
    /// Those blocks, in order of value.
    blocks: Vec<Block>,
}

impl Histogram {
    /// Counts a value; below zero it counts as zero.
    pub fn add(&mut self, value: i64) {
        self.add_bucket(index(u64::try_from(value).unwrap_or(0)), 1);
    }

    /// Counts what another has counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in other.buckets() {
            self.add_bucket(bucket, count);
        }
    }

    /// The value of nearest rank, at most 1/32 off. `None` while nothing was counted.
    #[must_use]
    pub fn percentile(&self, percent: u8) -> Option<i64> {
        let total: u128 = self.buckets().map(|(_, count)| u128::from(count)).sum();
        let rank = (total * u128::from(percent.min(100))).div_ceil(100).max(1);
        let mut below = 0;
        let bucket = self.buckets().find(|(_, count)| {
            below += u128::from(*count);
            below >= rank
        });
        bucket.map(|(bucket, _)| i64::try_from(middle(bucket)).unwrap_or(i64::MAX))
    }

    /// The buckets that hold something and their counts, in order of value.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (u16, u64)> {
        let held = (0..BUCKETS / SUBS).filter(|block| self.held & (1 << block) != 0);
        let buckets = held.flat_map(|block| (block * SUBS..).take(SUBS.into()));
        buckets.zip(self.blocks.iter().flatten().copied()).filter(|(_, count)| *count > 0)
    }

    /// Counts in one bucket; of one that cannot be, nothing.
    pub(crate) fn add_bucket(&mut self, bucket: u16, count: u64) {
        if bucket >= BUCKETS || count == 0 {
            return;
        }
        let bit = 1_u64 << (bucket / SUBS);
        let place = (self.held & (bit - 1)).count_ones() as usize;
        if self.held & bit == 0 {
            self.held |= bit;
            if self.blocks.is_empty() {
                self.blocks.reserve_exact(BLOCKS_ROOM);
            }
            self.blocks.insert(place, Block::default());
        }
        let block = self.blocks.get_mut(place);
        if let Some(sum) = block.and_then(|block| block.get_mut(usize::from(bucket % SUBS))) {
            *sum = sum.saturating_add(count);
        }
    }
}

fn index(value: u64) -> u16 {
    let Some(exponent) = value.checked_ilog2().filter(|&exponent| exponent >= SUB_BITS) else {
        return u16::try_from(value).unwrap_or(0);
    };
    let shift = exponent - SUB_BITS;
    let sub = (value >> shift) & u64::from(SUBS - 1);
    // Both fit: the exponent is below 64, and of `value` four bits are left.
    let (shift, sub) = (u16::try_from(shift).unwrap_or(0), u16::try_from(sub).unwrap_or(0));
    SUBS + shift * SUBS + sub
}

fn middle(bucket: u16) -> u64 {
    let Some(above) = bucket.checked_sub(SUBS) else { return u64::from(bucket) };
    let (shift, sub) = (above / SUBS, above % SUBS);
    let low = u64::from(SUBS + sub) << shift;
    low + ((1_u64 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nearest_rank(values: &[i64], percent: usize) -> i64 {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
    }

    #[test]
    fn every_bucket_holds_its_own_middle() {
        for bucket in 0..BUCKETS {
            assert_eq!(index(middle(bucket)), bucket);
        }
        assert_eq!(index(i64::MAX.unsigned_abs()), BUCKETS - 1);
    }

    #[test]
    fn check_19_percentiles_err_by_less_than_5_percent_on_four_distributions() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            i64::try_from(random >> 11).unwrap()
        };
        let uniform: Vec<i64> = (0..20_000).map(|_| next() % 30_000).collect();
        // The middle of a sum of twelve is close to normal.
        let normal: Vec<i64> = (0..20_000).map(|_| (0..12).map(|_| next() % 1_000).sum()).collect();
        // Products are close to lognormal, with a long tail.
        let lognormal: Vec<i64> =
            (0..20_000).map(|_| (0..8).map(|_| 1 + next() % 20).product()).collect();
        let two_peaks: Vec<i64> = (0..20_000)
            .map(|i| if i % 10 == 0 { 60_000 + next() % 500 } else { 40 + next() % 9 })
            .collect();
        for values in [uniform, normal, lognormal, two_peaks] {
            let mut histogram = Histogram::default();
            for &value in &values {
                histogram.add(value);
            }
            for percent in [50, 95] {
                let exact = nearest_rank(&values, usize::from(percent));
                let said = histogram.percentile(percent).unwrap();
                assert!((said - exact).abs() * 20 <= exact, "p{percent}: {said} for {exact}");
            }
            assert!(histogram.blocks.len() <= usize::from(BUCKETS / SUBS));
        }
    }

    proptest! {
        #[test]
        fn a_percentile_errs_by_a_thirty_second_at_most(
            values in prop::collection::vec(
                prop_oneof![0..100_i64, 0..1_000_000_i64, 0..i64::MAX], 1..200),
            percent in 1..=100_u8,
        ) {
            let mut histogram = Histogram::default();
            for &value in &values {
                histogram.add(value);
            }
            let exact = i128::from(nearest_rank(&values, usize::from(percent)));
            let said = i128::from(histogram.percentile(percent).unwrap());
            prop_assert!((said - exact).abs() * 32 <= exact, "{} for {}", said, exact);
        }
    }
}
