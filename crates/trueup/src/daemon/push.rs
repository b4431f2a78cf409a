//! The thread that sends, and what others see of it.
//!
//! One cycle at a time: at a jittered interval, when somebody asks for one, and a last one, bounded in
//! time, when the process ends.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use trueup_core::UnixMs;
use trueup_ledger::Writer;

use crate::clock;
use crate::net::random;
use crate::push::{Cycle, DESTINATION, End, Pace, Pusher, Tries};

/// How often pushed records are worth a line in the log.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// The thread, as others see it.
#[derive(Debug, Default)]
pub(crate) struct Push {
    state: Mutex<State>,
    /// Signalled when somebody asks for a cycle, and when the process ends.
    told: Condvar,
    /// Signalled when the thread has ended.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    seen: Seen,
    /// Cycles that were asked for, and that have run since they were.
    asked: u64,
    answered: u64,
    /// When the last request must be over, once the process ends.
    deadline: Option<Instant>,
    has_ended: bool,
}

/// What the thread has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Whether a destination is set.
    pub(crate) is_on: bool,
    /// When something was last taken.
    pub(crate) last_push: Option<UnixMs>,
    /// How the last cycle ended.
    pub(crate) last: Option<End>,
    /// Whether the breaker is open.
    pub(crate) is_open: bool,
    /// Places of the outbox that were left after the last cycle.
    pub(crate) waiting: u64,
    /// Records that were taken since the start.
    pub(crate) pushed: u64,
    /// Records that were refused for good, over all runs.
    pub(crate) quarantined: u64,
    /// Requests that were answered well, and others, since the start.
    pub(crate) requests: (u64, u64),
    /// Cycles since the start.
    pub(crate) cycles: u64,
}

impl Seen {
    /// In one word: `disabled`, `ready`, `ok` or `error`.
    pub(crate) const fn status(&self) -> &'static str {
        match (self.is_on, &self.last) {
            (false, _) => "disabled",
            (true, None) => "ready",
            (true, Some(End::Drained | End::Stopped)) => "ok",
            (true, Some(End::Waiting(_) | End::Failed(_) | End::Paused(_))) => "error",
        }
    }

    /// What is wrong.
    pub(crate) fn error(&self) -> Option<String> {
        match &self.last {
            Some(End::Failed(error) | End::Paused(error)) => Some(error.clone()),
            Some(End::Waiting(until)) => Some(format!("the receiver asked to wait until {until}")),
            Some(End::Drained | End::Stopped) | None => None,
        }
    }

    /// Whether the owner must look at it.
    pub(crate) const fn is_degraded(&self) -> bool {
        self.is_open || matches!(self.last, Some(End::Paused(_)))
    }
}

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    ByTime,
    Asked(u64),
    AtTheEnd(Instant),
}

impl Push {
    /// What was done so far.
    pub(crate) fn seen(&self) -> Seen {
        self.lock().seen.clone()
    }

    /// Asks for a cycle; its number, to wait for.
    pub(crate) fn ask(&self) -> u64 {
        let mut state = self.lock();
        state.asked += 1;
        let number = state.asked;
        drop(state);
        self.told.notify_all();
        number
    }

    /// Whether a cycle has run since this one was asked for.
    pub(crate) fn has_answered(&self, number: u64) -> bool {
        self.lock().answered >= number
    }

    /// Has the thread send what is left, and waits for it; not longer than `patience`.
    pub(super) fn end(&self, patience: Duration) {
        let mut state = self.lock();
        if !state.seen.is_on {
            return;
        }
        let deadline = Instant::now() + patience;
        state.deadline = Some(deadline);
        self.told.notify_all();
        while !state.has_ended {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a cycle's time.
    fn wait(&self, wait: Duration) -> Woken {
        let until = Instant::now() + wait;
        let mut state = self.lock();
        loop {
            if let Some(deadline) = state.deadline {
                return Woken::AtTheEnd(deadline);
            }
            if state.asked > state.answered {
                return Woken::Asked(state.asked);
            }
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return Woken::ByTime;
            };
            state = self.told.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits within a cycle; `false` once the process ends.
    fn pause(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        let mut state = self.lock();
        while state.deadline.is_none() {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return true };
            state = self.told.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

/// What the thread works with.
pub(super) struct Task {
    pub(super) pusher: Pusher,
    pub(super) writer: Arc<Writer>,
    pub(super) interval: Duration,
    pub(super) push: Arc<Push>,
}

/// Starts the thread. It ends with [`Push::end`], or with the process: a batch that was on its way is
/// sent again.
pub(super) fn spawn(task: Task) -> Result<()> {
    let reader = task.pusher.reader();
    let last = reader.push_attempts(DESTINATION, 1)?;
    let last_push = last.first().filter(|attempt| attempt.status == "ok").map(|one| one.at);
    let waiting = reader.waiting(DESTINATION)?;
    let quarantined = reader.quarantined_count(DESTINATION)?;
    task.push.lock().seen =
        Seen { is_on: true, last_push, waiting, quarantined, ..Seen::default() };
    std::thread::Builder::new().name("push".into()).spawn(move || run(task))?;
    Ok(())
}

fn run(mut task: Task) {
    let mut pace = Pace::new(task.interval);
    let mut news = News::default();
    let mut wait = pace.first_wait(random());
    loop {
        let woken = task.push.wait(wait);
        let tries = match woken {
            Woken::AtTheEnd(deadline) => {
                // What was just taken is sent, too.
                let _is_written = task.writer.flush();
                Tries::Last(deadline)
            }
            Woken::Asked(_) => Tries::Many,
            Woken::ByTime if pace.is_open() => Tries::Probe,
            Woken::ByTime => Tries::Many,
        };
        let push = Arc::clone(&task.push);
        let cycle = task.pusher.cycle(tries, &|wait| push.pause(wait));
        match cycle.end {
            End::Failed(_) if cycle.pushed == 0 => pace.failed(),
            End::Waiting(_) => {}
            End::Failed(_) | End::Drained | End::Paused(_) | End::Stopped => pace.succeeded(),
        }
        news.tell(&cycle, pace.is_open());
        if let Some(interval) = cycle.asked_interval {
            pace.ask(interval);
        }
        wait = next_wait(pace, &cycle, task.pusher.silence_left());
        task.note(cycle, pace.is_open(), woken);
        if let Woken::AtTheEnd(_) = woken {
            break;
        }
    }
    // The file is free to be closed.
    let push = Arc::clone(&task.push);
    drop(task);
    push.lock().has_ended = true;
    push.ended.notify_all();
}

/// Until the receiver wants to hear of us again, or until the schedule says so.
fn next_wait(pace: Pace, cycle: &Cycle, silence_left: Option<Duration>) -> Duration {
    let scheduled = pace.wait(random());
    match cycle.end {
        End::Waiting(until) => {
            let ms = u64::try_from(until.0.saturating_sub(clock::now().0)).unwrap_or(0);
            Duration::from_millis(ms).max(scheduled.min(Duration::from_secs(1)))
        }
        // It hears that we are there, where it wants to and nothing else is to be said.
        End::Drained => silence_left.map_or(scheduled, |left| scheduled.min(left)),
        End::Failed(_) | End::Paused(_) | End::Stopped => scheduled,
    }
}

impl Task {
    fn note(&self, cycle: Cycle, is_open: bool, woken: Woken) {
        let waiting = self.pusher.reader().waiting(DESTINATION);
        let mut state = self.push.lock();
        let State { seen, answered, .. } = &mut *state;
        if cycle.pushed > 0 {
            seen.last_push = Some(clock::now());
        }
        seen.waiting = waiting.unwrap_or(seen.waiting);
        seen.last = Some(cycle.end);
        seen.is_open = is_open;
        seen.pushed += cycle.pushed;
        seen.quarantined += cycle.quarantined;
        seen.requests.0 += cycle.requests.0;
        seen.requests.1 += cycle.requests.1;
        seen.cycles += 1;
        if let Woken::Asked(number) = woken {
            *answered = number;
        }
    }
}

/// What happened and is not logged yet.
#[derive(Debug, Default)]
struct News {
    pushed: u64,
    logged_at: Option<Instant>,
    error: Option<String>,
    is_open: bool,
}

impl News {
    fn tell(&mut self, cycle: &Cycle, is_open: bool) {
        if cycle.quarantined > 0 {
            tracing::error!(records = cycle.quarantined, "push_quarantined");
        }
        self.pushed += cycle.pushed;
        let is_due = self.logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if self.pushed > 0 && is_due {
            tracing::info!(records = self.pushed, "pushed");
            self.pushed = 0;
            self.logged_at = Some(Instant::now());
        }
        let error = match &cycle.end {
            End::Failed(error) | End::Paused(error) => Some(error.clone()),
            End::Drained | End::Waiting(_) | End::Stopped => None,
        };
        match (&error, &cycle.end) {
            (Some(error), End::Paused(_)) if self.error.as_ref() != Some(error) => {
                tracing::error!(error, "push_paused");
            }
            (Some(error), _) if self.error.as_ref() != Some(error) => {
                tracing::warn!(error, "push_failed");
            }
            (None, End::Drained) if self.error.is_some() => tracing::info!("push_recovered"),
            _ => {}
        }
        if is_open && !self.is_open {
            tracing::warn!("push_breaker_open");
        }
        self.is_open = is_open;
        if error.is_some() || cycle.end == End::Drained {
            self.error = error;
        }
    }
}
