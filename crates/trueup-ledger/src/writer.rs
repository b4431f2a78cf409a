//! The writer thread: it alone writes, and it never dies.
//!
//! One transaction takes all that is queued: under load many records share one wait for the disk, and
//! alone a record waits for nobody. A file that is locked, full or failing is tried again, for ever;
//! what can never be written is dropped alone, counted and reported, so that it blocks nothing else.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use trueup_core::{Batch, Fact, UnixMs};

use crate::queue::{Done, Job, Limits, Offered, Queue, Task};
use crate::{Appended, BallastState, Ledger, LedgerError, Removed, write_ahead_log};

/// First wait before a write is tried again; doubled up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(50);
/// Longest wait before a write is tried again.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// How long nothing must be queued for memory to be given back.
const QUIET_MIN: Duration = Duration::from_secs(3);

/// How long [`Writer::close`] waits for the write-ahead log to be emptied, beside its patience.
pub const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(3);

/// The name under which records that found no room are counted in the ledger.
pub const DROPPED: &str = "dropped_total";
/// The name under which records that could never be written are counted in the ledger.
pub const REFUSED: &str = "refused_total";

/// How the writer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriterState {
    /// The last write worked.
    Ok,
    /// Writes fail and are tried again.
    Retrying {
        /// What the ledger says.
        error: String,
        /// Since when.
        since: UnixMs,
        /// Whether the disk is full.
        is_full: bool,
    },
}

/// The writer and its queue, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// How the writer is.
    pub state: WriterState,
    /// Records of listeners that wait.
    pub queue_depth: usize,
    /// Records of listeners that may wait.
    pub queue_capacity: usize,
    /// Bytes of listeners' records that wait.
    pub queue_bytes: usize,
    /// Records that were taken from the queue and given up when the writer was closed.
    pub given_up: u64,
    /// Records dropped since the start for want of room.
    pub dropped: u64,
    /// Records that could never be written, since the start.
    pub refused: u64,
    /// When something was last written.
    pub last_commit: Option<UnixMs>,
    /// How long the write that is under way has been going on: long where another program holds the
    /// file.
    pub write_wait: Option<Duration>,
    /// What cleaning has removed since the start.
    pub removed: Removed,
    /// Whether space is held for a full disk.
    pub ballast: BallastState,
}

#[derive(Debug)]
struct Status {
    state: WriterState,
    given_up: u64,
    refused: u64,
    last_commit: Option<UnixMs>,
    writing_since: Option<Instant>,
    removed: Removed,
    ballast: BallastState,
}

/// A ledger with a thread and a queue.
pub struct Writer {
    /// The write-ahead log of its ledger.
    log: PathBuf,
    queue: Arc<Queue>,
    status: Arc<Mutex<Status>>,
    /// Gone once somebody has closed the writer.
    thread: Mutex<Option<Thread>>,
    listener: Arc<OnceLock<Listener>>,
}

/// Who is told of changes.
type Listener = Box<dyn Fn() + Send + Sync>;

/// The thread, and the word that it sends at its end.
struct Thread {
    handle: JoinHandle<Ledger>,
    end: Receiver<()>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({:?})", self.health())
    }
}

impl Writer {
    /// Starts the thread. `now` is the clock.
    ///
    /// # Errors
    /// Where the system has no thread to give.
    pub fn spawn(
        ledger: Ledger,
        limits: Limits,
        now: impl Fn() -> UnixMs + Send + 'static,
    ) -> std::io::Result<Self> {
        let log = write_ahead_log(ledger.path());
        let queue = Arc::new(Queue::new(limits));
        let status = Arc::new(Mutex::new(Status {
            state: WriterState::Ok,
            given_up: 0,
            refused: 0,
            last_commit: None,
            writing_since: None,
            removed: ledger.removed(),
            ballast: ledger.ballast(),
        }));
        let (tell_end, end) = sync_channel(1);
        let listener = Arc::new(OnceLock::new());
        let mut work = Work {
            ledger,
            queue: Arc::clone(&queue),
            status: Arc::clone(&status),
            listener: Arc::clone(&listener),
            now,
            tasks: Vec::new(),
            dropped_saved: 0,
        };
        let handle = std::thread::Builder::new().name("writer".into()).spawn(move || {
            work.run();
            let _is_awaited = tell_end.send(()).is_ok();
            work.ledger
        })?;
        let thread = Mutex::new(Some(Thread { handle, end }));
        Ok(Self { log, queue, status, thread, listener })
    }

    /// Has `tell` called, on the writer's thread, after each commit that has changed the account or
    /// brought errors. Only the first that is given is ever called; it must not wait.
    pub fn on_change(&self, tell: impl Fn() + Send + Sync + 'static) {
        let _is_first = self.listener.set(Box::new(tell)).is_ok();
    }

    /// Queues a batch, waiting for room: for sources that can wait. `false` where the writer is
    /// closed.
    pub fn submit(&self, batch: Batch) -> bool {
        self.queue.submit(batch, None)
    }

    /// Queues as many facts as there is room for, without waiting: for listeners. `done` is told when
    /// the accepted ones are safely in the file; it is dropped untold where none is accepted.
    pub fn offer(&self, facts: Vec<Fact>, done: Option<Done>) -> Offered {
        self.queue.offer(facts, done)
    }

    /// Queues as many of the facts as there is room for, without waiting, and gives the others back;
    /// none is counted as dropped: for listeners whose client waits. `done` is told when those taken
    /// are safely in the file; it is dropped untold where none is taken. `None` where the writer is
    /// closed.
    pub fn feed(&self, facts: Vec<Fact>, done: Done) -> Option<Vec<Fact>> {
        self.queue.feed(facts, done)
    }

    /// Waits until everything queued so far is in the file; `false` where it cannot be written.
    #[must_use]
    pub fn flush(&self) -> bool {
        let (told, is_done) = sync_channel(1);
        let tell = Box::new(move |is_safe| {
            let _is_awaited = told.send(is_safe).is_ok();
        });
        self.queue.submit(Batch::default(), Some(tell)) && is_done.recv().unwrap_or(false)
    }

    /// Has a task run on the writer's thread, and waits for nothing. `false` where the writer has ended.
    #[must_use]
    pub fn start(&self, task: impl FnOnce(&mut Ledger) + Send + 'static) -> bool {
        self.queue.run(Box::new(task))
    }

    /// Tells whoever wants to know that tasks have changed the account.
    pub fn tell_of_change(&self) {
        if let Some(tell) = self.listener.get() {
            tell();
        }
    }

    /// Has the writer thread do something with the ledger and waits for it: behind everything queued
    /// so far, unless that waits for room on the disk. `None` where the writer is closed.
    pub fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Ledger) -> T + Send + 'static,
    ) -> Option<T> {
        let (told, is_done) = sync_channel(1);
        let task = Box::new(move |ledger: &mut Ledger| {
            let _is_awaited = told.send(task(ledger)).is_ok();
        });
        if self.queue.run(task) { is_done.recv().ok() } else { None }
    }

    /// The length of the write-ahead log.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    /// How the writer is.
    #[must_use]
    pub fn health(&self) -> Health {
        let (queue_depth, queue_bytes, dropped) = self.queue.depth();
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        Health {
            state: status.state.clone(),
            queue_depth,
            queue_capacity: self.queue.limits().records,
            queue_bytes,
            given_up: status.given_up,
            dropped,
            refused: status.refused,
            last_commit: status.last_commit,
            write_wait: status.writing_since.map(|since| since.elapsed()),
            removed: status.removed,
            ballast: status.ballast,
        }
    }

    /// Takes nothing more, writes what is queued within `patience`, empties the write-ahead log and
    /// gives the ledger back. `None` where another program holds the file for longer than `patience`
    /// and [`CHECKPOINT_PATIENCE`], or where the writer was closed before.
    #[must_use]
    pub fn close(&self, patience: Duration) -> Option<Ledger> {
        self.queue.close(Instant::now() + patience);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let has_ended = thread.end.recv_timeout(patience + CHECKPOINT_PATIENCE).is_ok();
        // A thread that is stuck in a write is left alone: what it has not committed never was.
        if has_ended { thread.handle.join().ok() } else { None }
    }

    /// Takes nothing more and leaves the thread to itself, for a process that ends at once: what is
    /// not written by then never was.
    pub fn abandon(&self) {
        self.queue.close(Instant::now());
        drop(self.thread.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// A writer that is only dropped still writes what it has taken.
impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.close(RETRY_MAX));
    }
}

struct Work<Now> {
    ledger: Ledger,
    queue: Arc<Queue>,
    status: Arc<Mutex<Status>>,
    listener: Arc<OnceLock<Listener>>,
    now: Now,
    /// Tasks that were taken and are not done.
    tasks: Vec<Task>,
    /// Dropped records that the ledger knows of.
    dropped_saved: u64,
}

impl<Now: Fn() -> UnixMs> Work<Now> {
    fn run(&mut self) {
        while let Some(mut jobs) = self.next() {
            self.tasks.extend(jobs.iter_mut().filter_map(|job| job.task.take()));
            self.write(jobs);
            self.run_tasks();
            self.save_dropped();
        }
        self.save_dropped();
        // Whoever opens the file next finds it short; where this fails it is only longer.
        let _is_short = self.ledger.checkpoint().is_ok();
    }

    /// What is queued next. Where nothing comes for a while, what SQLite keeps to be quick is given
    /// back: a burst fills its cache, and the next record may be long in coming.
    fn next(&self) -> Option<Vec<Job>> {
        if !self.queue.wait(QUIET_MIN) {
            let _is_less = self.ledger.shed_memory().is_ok();
        }
        self.queue.take()
    }

    fn run_tasks(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        for task in self.tasks.drain(..) {
            task(&mut self.ledger);
        }
        self.note_room();
    }

    fn note_room(&self) {
        let (removed, ballast) = (self.ledger.removed(), self.ledger.ballast());
        self.update(|status| (status.removed, status.ballast) = (removed, ballast));
    }

    /// Makes room on a full disk. What is pushed may go then: tasks do not wait for the write that
    /// waits for them.
    fn make_room(&mut self) {
        self.ledger.release_ballast();
        self.note_room();
        self.tasks.extend(self.queue.take_tasks());
        self.run_tasks();
    }

    fn write(&mut self, jobs: Vec<Job>) {
        match self.try_write(&jobs) {
            Ok(is_safe) => tell(jobs, is_safe),
            Err(error) if error.is_full() => {
                for job in jobs {
                    self.write_in_pieces(job);
                }
            }
            Err(_) if jobs.len() > 1 => {
                // One of them can never be written: alone, it takes nobody with it.
                for job in jobs {
                    self.write(vec![job]);
                }
            }
            Err(error) => self.refuse(jobs, &error),
        }
    }

    /// Writes a job as its room comes: what belongs together at once, facts alone a few at a time.
    fn write_in_pieces(&mut self, job: Job) {
        let Job { batch, done, .. } = job;
        let mut is_all_safe = true;
        for piece in pieces(batch) {
            let piece = Job::of(piece);
            match self.try_write(std::slice::from_ref(&piece)) {
                Ok(is_safe) => is_all_safe &= is_safe,
                Err(error) => {
                    is_all_safe = false;
                    self.refuse(vec![piece], &error);
                }
            }
        }
        if let Some(done) = done {
            done(is_all_safe);
        }
    }

    /// Writes, trying again while that may help. `Ok(false)`: time has run out.
    fn try_write(&mut self, jobs: &[Job]) -> Result<bool, LedgerError> {
        let batches: Vec<&Batch> =
            jobs.iter().map(|job| &job.batch).filter(|batch| !is_empty(batch)).collect();
        if batches.is_empty() {
            // Somebody asks whether all is written, as the daemon does after each look at the stores.
            return Ok(true);
        }
        let mut pause = RETRY_MIN;
        loop {
            self.update(|status| status.writing_since = Some(Instant::now()));
            let result = self.ledger.append(&batches, (self.now)());
            self.update(|status| status.writing_since = None);
            match result {
                Ok(appended) => {
                    let now = (self.now)();
                    self.update(|status| {
                        status.state = WriterState::Ok;
                        status.last_commit = Some(now);
                    });
                    self.tell_of_change(&batches, appended);
                    return Ok(true);
                }
                Err(error) if error.is_full() && !is_small(&batches) => {
                    self.make_room();
                    return Err(error);
                }
                Err(error) if error.is_transient() => {
                    let now = (self.now)();
                    self.update(|status| {
                        let since = match status.state {
                            WriterState::Ok => now,
                            WriterState::Retrying { since, .. } => since,
                        };
                        let (error, is_full) = (error.to_string(), error.is_full());
                        status.state = WriterState::Retrying { error, since, is_full };
                    });
                    let is_full = error.is_full();
                    if is_full {
                        self.make_room();
                    }
                    if !self.queue.pause(pause, is_full) {
                        let records: usize = batches.iter().map(|batch| batch.facts.len()).sum();
                        self.update(|status| status.given_up += records as u64);
                        return Ok(false);
                    }
                    pause = (pause * 2).min(RETRY_MAX);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn tell_of_change(&self, batches: &[&Batch], appended: Appended) {
        let Some(tell) = self.listener.get() else { return };
        let mut facts = batches.iter().flat_map(|batch| &batch.facts);
        let is_of_account =
            |fact: &Fact| matches!(fact, Fact::Call(_) | Fact::SessionTotal(_) | Fact::Error(_));
        if appended.added + appended.replaced > 0 && facts.any(is_of_account) {
            tell();
        }
    }

    fn refuse(&self, jobs: Vec<Job>, error: &LedgerError) {
        let records = jobs.iter().map(|job| job.batch.facts.len() as u64).sum();
        let error = error.to_string();
        self.update(|status| {
            status.refused += records;
            status.state = WriterState::Retrying { error, since: UnixMs(0), is_full: false };
        });
        let _is_counted = self.ledger.count(REFUSED, records).is_ok();
        tell(jobs, false);
    }

    /// What was dropped must be known after a restart, too.
    fn save_dropped(&mut self) {
        let (_, _, dropped) = self.queue.depth();
        let unsaved = dropped - self.dropped_saved;
        if unsaved > 0 && self.ledger.count(DROPPED, unsaved).is_ok() {
            self.dropped_saved = dropped;
        }
    }

    fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

const fn is_empty(batch: &Batch) -> bool {
    // Copies alone change nothing.
    let Batch { facts, copies: _, positions, restarted, problems, is_poll } = batch;
    let is_silent = restarted.is_empty() && problems.is_empty() && !*is_poll;
    facts.is_empty() && positions.is_empty() && is_silent
}

/// Bytes of facts that are written at once where room is scarce.
const PIECE_BYTES: usize = 512 << 10;

/// Whether there is nothing to divide.
fn is_small(batches: &[&Batch]) -> bool {
    match batches {
        [batch] => is_whole(batch) || piece_end(&batch.facts) == batch.facts.len(),
        _ => false,
    }
}

/// Whether a batch holds more than facts: a position must be written with those before it.
fn is_whole(batch: &Batch) -> bool {
    let Batch { positions, restarted, problems, is_poll, .. } = batch;
    !(positions.is_empty() && restarted.is_empty() && problems.is_empty()) || *is_poll
}

/// How many facts make a piece: at least one.
fn piece_end(facts: &[Fact]) -> usize {
    let mut bytes = 0;
    let fitting = facts.iter().take_while(|fact| {
        bytes += fact.weight_bytes();
        bytes <= PIECE_BYTES
    });
    fitting.count().max(1).min(facts.len())
}

fn pieces(batch: Batch) -> Vec<Batch> {
    if is_whole(&batch) {
        return vec![batch];
    }
    let (mut pieces, mut facts) = (Vec::new(), batch.facts);
    while !facts.is_empty() {
        let rest = facts.split_off(piece_end(&facts));
        pieces.push(Batch { facts, ..Batch::default() });
        facts = rest;
    }
    pieces
}

fn tell(jobs: Vec<Job>, is_safe: bool) {
    for done in jobs.into_iter().filter_map(|job| job.done) {
        done(is_safe);
    }
}
