//! How long to wait before another cycle, and after many failed ones.

use std::time::Duration;

use crate::net::part;

/// Failed cycles after which the breaker opens.
const FAILED_MAX: u32 = 3;
/// Longest time between two probes while the breaker is open.
const PROBE_INTERVAL_MAX: Duration = Duration::from_hours(1);
/// The share of an interval by which it is shortened or lengthened, as a divisor.
const JITTER_DIVISOR: u32 = 10;

/// When cycles run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    interval: Duration,
    /// What the receiver asked for, in the place of the interval.
    asked: Option<Duration>,
    failed: u32,
}

impl Pace {
    /// All is well so far.
    pub(crate) const fn new(interval: Duration) -> Self {
        Self { interval, asked: None, failed: 0 }
    }

    /// A cycle has failed.
    pub(crate) const fn failed(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }

    /// Something was taken.
    pub(crate) const fn succeeded(&mut self) {
        self.failed = 0;
    }

    /// The receiver wants to hear of us so often, until it says otherwise.
    pub(crate) const fn ask(&mut self, interval: Duration) {
        self.asked = Some(interval);
    }

    /// Whether the breaker is open: the next cycle only tries whether anything is taken again.
    pub(crate) const fn is_open(self) -> bool {
        self.failed >= FAILED_MAX
    }

    /// How long after the start the first cycle is: soon, but not all at once.
    pub(crate) fn first_wait(self, random: u64) -> Duration {
        part(self.interval / JITTER_DIVISOR, random)
    }

    /// How long after a cycle the next one is.
    pub(crate) fn wait(self, random: u64) -> Duration {
        let interval = self.asked.unwrap_or(self.interval);
        let doublings = self.failed.saturating_sub(FAILED_MAX - 1).min(16);
        let wait = if self.is_open() {
            let longest = PROBE_INTERVAL_MAX.max(interval);
            interval.saturating_mul(1 << doublings).min(longest)
        } else {
            interval
        };
        let jitter = wait / JITTER_DIVISOR;
        wait.saturating_sub(jitter) + part(jitter * 2, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failed_cycles_open_the_breaker_and_one_success_closes_it() {
        let minutes = |count| Duration::from_mins(count);
        let mut pace = Pace::new(minutes(5));
        let within = |wait: Duration, middle: Duration| wait.abs_diff(middle) <= middle / 10;
        for expected in [5, 5, 10, 20, 40, 60, 60] {
            pace.failed();
            let wait = pace.wait(12_345);
            assert!(within(wait, minutes(expected)), "{pace:?} {wait:?}");
        }
        assert!(pace.is_open());
        pace.succeeded();
        assert!(!pace.is_open() && within(pace.wait(7), minutes(5)));
    }

    #[test]
    fn schedules_are_jittered() {
        let pace = Pace::new(Duration::from_secs(100));
        assert_eq!(pace.wait(0), Duration::from_secs(90));
        assert_eq!(pace.wait(20_000), Duration::from_secs(110));
        assert!(pace.first_wait(u64::MAX) <= Duration::from_secs(10));
    }

    #[test]
    fn what_a_receiver_asks_for_takes_the_place_of_the_interval() {
        let mut pace = Pace::new(Duration::from_secs(100));
        pace.ask(Duration::from_secs(10));
        assert_eq!(pace.wait(0), Duration::from_secs(9));
        assert_eq!(pace.wait(2_000), Duration::from_secs(11));
        pace.ask(Duration::from_hours(1));
        assert_eq!(pace.wait(0), Duration::from_mins(54));
    }
}
