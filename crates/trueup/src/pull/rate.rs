//! How often one connection is asked: a bucket of tokens.

use std::time::{Duration, Instant};

/// Requests that may be sent at once after a rest.
const BURST: u32 = 10;
/// A bucket that fills by the time.
#[derive(Debug)]
pub(super) struct Rate {
    /// Time in which one more may be sent.
    refill: Duration,
    /// When the bucket was, or will be, empty.
    empty_at: Option<Instant>,
}

impl Rate {
    /// A full one.
    pub(super) fn new(requests_per_minute: u32) -> Self {
        Self { refill: Duration::from_mins(1) / requests_per_minute.max(1), empty_at: None }
    }

    /// Takes a token; how long to wait before it may be used.
    pub(super) fn take(&mut self, now: Instant) -> Duration {
        let full = now.checked_sub(self.refill * BURST).unwrap_or(now);
        let empty_at = self.empty_at.map_or(full, |at| at.max(full)) + self.refill;
        self.empty_at = Some(empty_at);
        empty_at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFILL: Duration = Duration::from_millis(1_200);

    #[test]
    fn ten_go_at_once_and_then_fifty_a_minute() {
        let start = Instant::now() + Duration::from_hours(1);
        let mut rate = Rate::new(50);
        let waits: Vec<Duration> = (0..13).map(|_| rate.take(start)).collect();
        assert!(waits[..10].iter().all(Duration::is_zero));
        assert_eq!(waits[10..], [REFILL, REFILL * 2, REFILL * 3]);
        let later = start + Duration::from_mins(1);
        assert!((0..10).all(|_| rate.take(later).is_zero()), "a rest fills it again, and no more");
        assert_eq!(rate.take(later), REFILL);
    }
}
