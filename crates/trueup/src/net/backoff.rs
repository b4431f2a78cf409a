//! How long to wait before another try.

use std::time::Duration;

/// First step of the waits between tries.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Longest wait between tries.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// A number that nobody can foresee, for jitter.
pub(crate) fn random() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1
}

/// A wait before try number `tries` (from 1), anywhere between none and twice the last one's longest:
/// those that failed together do not come back together.
pub(crate) fn backoff(tries: u32, random: u64) -> Duration {
    let longest = BACKOFF_MIN.saturating_mul(1 << tries.min(10)).min(BACKOFF_MAX);
    part(longest, random)
}

/// A random part of a length of time.
pub(crate) fn part(whole: Duration, random: u64) -> Duration {
    let whole_ms = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    Duration::from_millis(random % whole_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_anywhere_up_to_twice_the_last() {
        for (tries, longest_ms) in [(1, 1_000), (2, 2_000), (5, 16_000), (6, 30_000), (99, 30_000)]
        {
            assert_eq!(backoff(tries, longest_ms), Duration::from_millis(longest_ms));
            assert_eq!(backoff(tries, longest_ms + 1), Duration::ZERO);
        }
    }
}
