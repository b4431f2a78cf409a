//! The bounded queue before the writer.
//!
//! Sources of the daemon's own wait for room ([`Queue::submit`]); listeners that must not keep an
//! agent waiting are told how much was taken ([`Queue::offer`]), and the rest is counted as dropped.
//! Each of the two has the whole room for itself: a first look at years of sessions fills the queue
//! for minutes, and must not cost a listener one record.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trueup_core::{Batch, Fact};

use crate::Ledger;

/// How much may wait for the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Records.
    pub records: usize,
    /// Bytes that the records hold, roughly.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { records: 512, bytes: 8 << 20 }
    }
}

/// Told once: `true` when the records are safely in the file, `false` when they never will be.
pub type Done = Box<dyn FnOnce(bool) + Send>;

/// What was taken of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// Records taken: the first ones.
    pub accepted: usize,
    /// Records for which there was no room.
    pub dropped: usize,
}

/// Work on the ledger that is not a batch, such as noting what was sent.
pub(crate) type Task = Box<dyn FnOnce(&mut Ledger) + Send>;

/// Batches on their way to the writer.
pub(crate) struct Job {
    pub(crate) batch: Batch,
    pub(crate) done: Option<Done>,
    pub(crate) task: Option<Task>,
    bytes: usize,
}

/// What of the room is taken.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    records: usize,
    bytes: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// By sources that wait for room.
    submitted: Load,
    /// By listeners.
    offered: Load,
    dropped: u64,
    is_closed: bool,
    /// When the writer must stop trying, once the queue is closed.
    deadline: Option<Instant>,
}

pub(crate) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    /// Signalled when there is work, and when the queue is closed.
    work: Condvar,
    /// Signalled when there is room.
    room: Condvar,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default(), work: Condvar::new(), room: Condvar::new() }
    }

    /// A thread that panicked with the lock held left the state as it was before its last statement:
    /// each statement keeps it whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room, then queues. `false` where the queue is closed.
    pub(crate) fn submit(&self, batch: Batch, done: Option<Done>) -> bool {
        let mut state = self.lock();
        while !state.is_closed && self.is_full(state.submitted) {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return false;
        }
        let load = push(&mut state, batch, done);
        state.submitted.add(load);
        drop(state);
        self.work.notify_one();
        true
    }

    /// Queues a task behind everything that is queued; it needs no room. `false` where the queue is
    /// closed.
    pub(crate) fn run(&self, task: Task) -> bool {
        let mut state = self.lock();
        if state.is_closed {
            return false;
        }
        state.jobs.push_back(Job { task: Some(task), ..Job::of(Batch::default()) });
        drop(state);
        self.work.notify_one();
        true
    }

    /// The tasks that wait, taken before what is queued in front of them.
    pub(crate) fn take_tasks(&self) -> Vec<Task> {
        self.lock().jobs.iter_mut().filter_map(|job| job.task.take()).collect()
    }

    const fn is_full(&self, load: Load) -> bool {
        load.records >= self.limits.records || load.bytes >= self.limits.bytes
    }

    /// Queues as many of the facts as there is room for, without waiting.
    pub(crate) fn offer(&self, mut facts: Vec<Fact>, done: Option<Done>) -> Offered {
        let offered = facts.len();
        let mut state = self.lock();
        let accepted = if state.is_closed { 0 } else { self.room_for(&state, &facts) };
        facts.truncate(accepted);
        let dropped = offered - accepted;
        state.dropped += dropped as u64;
        if accepted > 0 {
            let load = push(&mut state, Batch { facts, ..Batch::default() }, done);
            state.offered.add(load);
        }
        drop(state);
        self.work.notify_one();
        Offered { accepted, dropped }
    }

    /// Queues the first of the facts, as many as there is room for, and gives the others back; none is
    /// counted as dropped. A fact that is larger than all room is taken alone. `None` where the queue
    /// is closed.
    pub(crate) fn feed(&self, mut facts: Vec<Fact>, done: Done) -> Option<Vec<Fact>> {
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        let room = self.room_for(&state, &facts);
        let fitting = if state.offered.records == 0 { room.max(1) } else { room };
        let rest = facts.split_off(fitting.min(facts.len()));
        if !facts.is_empty() {
            let load = push(&mut state, Batch { facts, ..Batch::default() }, Some(done));
            state.offered.add(load);
        }
        drop(state);
        self.work.notify_one();
        Some(rest)
    }

    /// How many of a listener's facts, from the first on, there is room for.
    fn room_for(&self, state: &State, facts: &[Fact]) -> usize {
        let Load { records, bytes } = state.offered;
        let mut room_bytes = self.limits.bytes.saturating_sub(bytes);
        let fitting = facts.iter().take(self.limits.records.saturating_sub(records));
        fitting
            .take_while(|fact| {
                let is_room = fact.weight_bytes() <= room_bytes;
                room_bytes = room_bytes.saturating_sub(fact.weight_bytes());
                is_room
            })
            .count()
    }

    /// Everything that is queued; waits for something. `None` once the queue is closed and empty.
    pub(crate) fn take(&self) -> Option<Vec<Job>> {
        let mut state = self.lock();
        while state.jobs.is_empty() {
            if state.is_closed {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.submitted = Load::default();
        state.offered = Load::default();
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        self.room.notify_all();
        Some(jobs.into())
    }

    /// Waits for something to be queued, or for the end; `false` where nothing came for so long.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let state = self.lock();
        let is_silent = |state: &mut State| state.jobs.is_empty() && !state.is_closed;
        let waited = self.work.wait_timeout_while(state, patience, is_silent);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Waits before another try; ends early when the queue is closed, and for a task where tasks can be
    /// done meanwhile. `false` once the deadline has passed and there is no other try.
    pub(crate) fn pause(&self, pause: Duration, is_for_tasks: bool) -> bool {
        let state = self.lock();
        if state.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return false;
        }
        let pause = if state.is_closed { pause.min(CLOSING_PAUSE) } else { pause };
        let until = Instant::now() + pause;
        let mut state = state;
        let has_task = |state: &State| state.jobs.iter().any(|job| job.task.is_some());
        while !(state.is_closed || is_for_tasks && has_task(&state)) {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            state = self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let is_closed = state.is_closed;
        drop(state);
        if is_closed {
            std::thread::park_timeout(pause.min(CLOSING_PAUSE));
        }
        true
    }

    /// Takes nothing more; what is queued is still written, until `deadline`.
    pub(crate) fn close(&self, deadline: Instant) {
        let mut state = self.lock();
        state.is_closed = true;
        state.deadline = Some(deadline);
        drop(state);
        self.work.notify_all();
        self.room.notify_all();
    }

    /// Records and bytes of listeners that wait, and records dropped since the start.
    pub(crate) fn depth(&self) -> (usize, usize, u64) {
        let state = self.lock();
        (state.offered.records, state.offered.bytes, state.dropped)
    }

    pub(crate) const fn limits(&self) -> Limits {
        self.limits
    }
}

/// How long the writer waits between tries while the process shuts down.
const CLOSING_PAUSE: Duration = Duration::from_millis(50);

fn push(state: &mut State, batch: Batch, done: Option<Done>) -> Load {
    let job = Job { done, ..Job::of(batch) };
    let load = Load { records: job.batch.facts.len(), bytes: job.bytes };
    state.jobs.push_back(job);
    load
}

impl Job {
    /// A batch that nobody waits for.
    pub(crate) fn of(batch: Batch) -> Self {
        let bytes = batch.facts.iter().map(Fact::weight_bytes).sum();
        Self { batch, done: None, task: None, bytes }
    }
}

impl Load {
    const fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Job({} facts, {} bytes)", self.batch.facts.len(), self.bytes)
    }
}
