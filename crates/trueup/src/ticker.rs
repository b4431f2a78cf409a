//! Waiting that ends when the process does.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Ticks at an interval, and earlier when it is woken, until it is stopped.
#[derive(Debug)]
pub(crate) struct Ticker {
    interval: Duration,
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Debug)]
struct State {
    is_stopped: bool,
    is_woken: bool,
}

impl Ticker {
    /// A ticker that runs.
    pub(crate) const fn new(interval: Duration) -> Self {
        let state = State { is_stopped: false, is_woken: false };
        Self { interval, state: Mutex::new(state), told: Condvar::new() }
    }

    /// Waits for the next tick; being woken does not make it come before `rest` is over. `false` once
    /// the ticker is stopped.
    pub(crate) fn tick(&self, rest: Duration) -> bool {
        let now = Instant::now();
        drop(self.wait(now + rest.min(self.interval), |state| state.is_stopped));
        let mut state = self.wait(now + self.interval, |state| state.is_stopped || state.is_woken);
        state.is_woken = false;
        !state.is_stopped
    }

    /// Waits for a while; `false` once the ticker is stopped.
    pub(crate) fn pause(&self, wait: Duration) -> bool {
        !self.wait(Instant::now() + wait, |state| state.is_stopped).is_stopped
    }

    /// Lets the next tick come at once.
    pub(crate) fn wake(&self) {
        let mut state = self.lock();
        // Whoever is told already need not be told for each write of a busy agent.
        if !state.is_woken {
            state.is_woken = true;
            self.told.notify_all();
        }
    }

    /// Ends the present wait and all later ones.
    pub(crate) fn stop(&self) {
        self.lock().is_stopped = true;
        self.told.notify_all();
    }

    /// Waits until a time, or until something has come.
    fn wait(&self, until: Instant, has_come: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        while !has_come(&state)
            && let Some(left) = until.checked_duration_since(Instant::now())
        {
            state = self.told.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_process() {
        assert!(Ticker::new(Duration::ZERO).tick(Duration::ZERO));
        let ticker = Ticker::new(Duration::from_hours(1));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| ticker.tick(Duration::from_hours(1)));
            ticker.stop();
            assert!(!waiting.join().unwrap());
        });
        assert!(!ticker.tick(Duration::ZERO));
    }

    #[test]
    fn who_is_woken_ticks_at_once_and_once() {
        let ticker = Ticker::new(Duration::from_hours(1));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| ticker.tick(Duration::ZERO));
            ticker.wake();
            assert!(waiting.join().unwrap());
        });
        ticker.wake();
        assert!(ticker.tick(Duration::from_millis(1)), "also when it was woken before it waited");
        let ticker = Ticker::new(Duration::from_millis(1));
        assert!(ticker.tick(Duration::ZERO));
    }
}
