//! Waiting that ends when the process does.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Ticks at an interval until it is stopped.
#[derive(Debug)]
pub(crate) struct Ticker {
    interval: Duration,
    is_stopped: Mutex<bool>,
    told: Condvar,
}

impl Ticker {
    /// A ticker that runs.
    pub(crate) const fn new(interval: Duration) -> Self {
        Self { interval, is_stopped: Mutex::new(false), told: Condvar::new() }
    }

    /// Waits for the next tick; `false` once the ticker is stopped.
    pub(crate) fn tick(&self) -> bool {
        let until = Instant::now() + self.interval;
        let mut is_stopped = self.is_stopped.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_stopped {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return true };
            is_stopped =
                self.told.wait_timeout(is_stopped, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    /// Ends the present wait and all later ones.
    pub(crate) fn stop(&self) {
        *self.is_stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_process() {
        assert!(Ticker::new(Duration::ZERO).tick());
        let ticker = Ticker::new(Duration::from_hours(1));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| ticker.tick());
            ticker.stop();
            assert!(!waiting.join().unwrap());
        });
        assert!(!ticker.tick());
    }
}
