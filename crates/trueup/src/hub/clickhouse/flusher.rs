//! Writes what devices tell: all that waits goes into one insert for each table and week of each shard, and
//! everybody who waits is told when it is there, or that it is not.
//!
//! ```text
//! devices ──▶ waiting ──▶ [facts of shard 0] [facts of shard 1] ──▶ [marks] ──▶ [batches] ──▶ answers
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use trueup_clickhouse::upkeep::{horizon, horizon_of_row};
use trueup_clickhouse::{
    BatchTaken, Day, DeviceState, Flush, Insert, Mark, SlotMap, Statement, Told, Unkept, day_of,
    keep_batches, keep_devices, known_batch_of, known_batches, newest_of,
};
use trueup_core::{Delivery, Text, Word};

use super::client::Client;
use crate::hub::store::{Done, Kept, Refused, Unavailable};
use crate::{clock, net};

/// Least time from one flush to the next: each makes a part on disk, and merging many is dear.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// Words of a flush that is not waited with, and roughly the most that are in one.
const FLUSH_WORDS: usize = 50_000;
/// Words that wait at most: what comes then is to come again.
const WAITING_WORDS_MAX: usize = 200_000;
/// How long the map of shards and the horizon are taken as they were read.
const MAP_FRESH: Duration = Duration::from_mins(1);
/// How long they may be used where they cannot be read again: far less than a new shard is announced
/// before its first week.
const MAP_USABLE: Duration = Duration::from_hours(1);

/// A day of a tenant on a shard.
pub(super) type ShardDay = (usize, String, Day);

/// What waits to be written.
pub(super) struct Flusher {
    client: Arc<Client>,
    queue: Mutex<Queue>,
    told: Condvar,
    /// Days whose sums are to be worked out anew, for whoever does.
    dirty: Mutex<BTreeSet<ShardDay>>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    words: usize,
    is_closed: bool,
    has_ended: bool,
}

struct Waiting {
    tenant: Text,
    delivery: Delivery,
    done: Done,
}

/// What is known of the store, and how it is marked.
struct State {
    map: SlotMap,
    taken_from: Day,
    read_at: Instant,
    mark: Mark,
}

impl Flusher {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client, queue: Mutex::default(), told: Condvar::new(), dirty: Mutex::default() }
    }

    /// Takes what a device tells; answered by the thread that runs.
    pub(super) fn push(&self, tenant: &Text, delivery: Delivery, done: Done) {
        let mut queue = self.lock();
        let words = delivery.words.len().max(1);
        if queue.is_closed || queue.words.saturating_add(words) > WAITING_WORDS_MAX {
            let why = if queue.is_closed { "the hub is ending" } else { "too much waits" };
            drop(queue);
            return done(Err(Unavailable(why.to_owned())));
        }
        queue.words += words;
        queue.waiting.push(Waiting { tenant: Text::clone(tenant), delivery, done });
        drop(queue);
        self.told.notify_all();
    }

    /// Writes until it is closed and nothing waits.
    pub(super) fn run(&self) {
        let mut state = None;
        let receiver = net::random();
        let mut seq = 0;
        let mut last = None;
        while let Some(waiting) = self.next(last) {
            last = Some(Instant::now());
            // Of a flush that fails, nobody knows what is there: its number is not used again.
            seq += 1;
            let mark = Mark { receiver, seq };
            self.flush(&mut state, mark, waiting);
        }
        self.lock().has_ended = true;
        self.told.notify_all();
    }

    /// Takes no more, and waits until what waits is written. `false` where that takes too long.
    pub(super) fn close(&self, patience: Duration) -> bool {
        let mut queue = self.lock();
        queue.is_closed = true;
        self.told.notify_all();
        let ended = self.told.wait_timeout_while(queue, patience, |queue| !queue.has_ended);
        let (queue, _) = ended.unwrap_or_else(PoisonError::into_inner);
        queue.has_ended
    }

    /// The days that were written since this was last asked.
    pub(super) fn dirty(&self) -> BTreeSet<ShardDay> {
        std::mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be written next; `None` at the end.
    fn next(&self, last: Option<Instant>) -> Option<Vec<Waiting>> {
        let queue = self.lock();
        let is_idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.is_closed;
        let queue = self.told.wait_while(queue, is_idle).unwrap_or_else(PoisonError::into_inner);
        let rest = last.map(|last| FLUSH_EVERY.saturating_sub(last.elapsed())).unwrap_or_default();
        let is_early = |queue: &mut Queue| queue.words < FLUSH_WORDS && !queue.is_closed;
        let waited = self.told.wait_timeout_while(queue, rest, is_early);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let mut words = 0;
        let until = queue.waiting.iter().position(|waiting| {
            words += waiting.delivery.words.len().max(1);
            words >= FLUSH_WORDS
        });
        let until = until.map_or(queue.waiting.len(), |last| last + 1);
        let taken: Vec<Waiting> = queue.waiting.drain(..until).collect();
        let words = |waiting: &Waiting| waiting.delivery.words.len().max(1);
        queue.words = queue.words.saturating_sub(taken.iter().map(words).sum());
        (!taken.is_empty()).then_some(taken)
    }

    fn flush(&self, state: &mut Option<State>, mark: Mark, waiting: Vec<Waiting>) {
        let result = self.state(state, mark).and_then(|state| self.write(state, &waiting));
        match result {
            Ok(answers) => {
                for (waiting, answer) in waiting.into_iter().zip(answers) {
                    (waiting.done)(Ok(answer));
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, deliveries = waiting.len(), "deliveries_not_written");
                for waiting in waiting {
                    let why = "the store cannot be written now";
                    (waiting.done)(Err(Unavailable(why.to_owned())));
                }
            }
        }
    }

    /// What is known of the store: read anew now and then.
    fn state<'a>(&self, state: &'a mut Option<State>, mark: Mark) -> Result<&'a State> {
        let age = state.as_ref().map(|state| state.read_at.elapsed());
        if age.is_none_or(|age| age > MAP_FRESH) {
            match self.read(mark) {
                Ok(read) => *state = Some(read),
                Err(error) if age.is_none_or(|age| age > MAP_USABLE) => return Err(error),
                Err(_) => {}
            }
        }
        let state = state.as_mut().context("nothing is known of the store")?;
        state.mark = mark;
        Ok(state)
    }

    fn read(&self, mark: Mark) -> Result<State> {
        let map = self.client.slot_map()?;
        let horizon = self.client.row(0, &horizon(clock::now()), horizon_of_row)?;
        let read_at = Instant::now();
        Ok(State { map, taken_from: horizon.taken_from, read_at, mark })
    }

    /// Writes all of it, or says that some of it may not be there. One answer for each, in order.
    fn write(&self, state: &State, waiting: &[Waiting]) -> Result<Vec<Kept>> {
        let mut answers = self.known(waiting, state.taken_from)?;
        let new: Vec<usize> = (0..waiting.len()).filter(|at| is_new(&answers, *at)).collect();
        let told: Vec<Told<'_>> = new
            .iter()
            .filter_map(|at| waiting.get(*at))
            .map(|waiting| Told { tenant: &waiting.tenant, delivery: &waiting.delivery })
            .collect();
        let flush = Flush::of(&told, &state.map, state.taken_from, state.mark);
        self.send(&flush.facts)?;
        self.send(&flush.marks)?;
        let mut unkept: BTreeMap<usize, Vec<Refused>> = BTreeMap::new();
        for &(which, place, why) in &flush.unkept {
            let word = told.get(which).and_then(|told| told.delivery.words.get(place));
            let refused = word.map(|word| refused(place, word, why));
            unkept.entry(which).or_default().extend(refused);
        }
        self.note(&told, &unkept)?;
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner).extend(flush.dirty);
        for ((which, at), told) in new.iter().enumerate().zip(&told) {
            let refused = unkept.remove(&which).unwrap_or_default();
            if let Some(answer) = answers.get_mut(*at) {
                *answer = Some(taken(kept(told.delivery, refused.len()), false, refused));
            }
        }
        let nothing = || taken(0, false, Vec::new());
        Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(nothing)).collect())
    }

    /// The answers to batches that came before, and to those that take the name of another.
    fn known(&self, waiting: &[Waiting], horizon: Day) -> Result<Vec<Option<Kept>>> {
        let heads: Vec<_> = waiting
            .iter()
            .filter_map(|it| Some((&*it.tenant, it.delivery.batch.as_ref()?)))
            .collect();
        let mut known: BTreeMap<(Text, Text), (Text, u64)> = BTreeMap::new();
        if !heads.is_empty() {
            let rows = self.client.rows(0, &known_batches(&heads), known_batch_of)?;
            known.extend(rows.into_iter().map(|it| ((it.tenant, it.id), (it.sha256, it.words))));
        }
        let mut answer = |waiting: &Waiting| {
            let head = waiting.delivery.batch.as_ref()?;
            let name = (Text::clone(&waiting.tenant), Text::clone(&head.id));
            match known.get(&name) {
                Some((sha256, words)) if *sha256 == head.sha256 => {
                    let is_whole = *words == kept(&waiting.delivery, 0);
                    let refused = if is_whole { Vec::new() } else { unkept(waiting, horizon) };
                    Some(taken(*words, true, refused))
                }
                Some(_) => Some(Kept::Conflict),
                None => {
                    // Of two that came together, the first has the name.
                    let words = kept(&waiting.delivery, unkept(waiting, horizon).len());
                    known.insert(name, (Text::clone(&head.sha256), words));
                    None
                }
            }
        };
        Ok(waiting.iter().map(&mut answer).collect())
    }

    /// Sends inserts, those of each shard one after the other, and the shards' at once.
    fn send(&self, inserts: &[Insert]) -> Result<()> {
        let mut shards: BTreeMap<usize, Vec<&Statement>> = BTreeMap::new();
        for insert in inserts {
            shards.entry(insert.shard).or_default().push(&insert.statement);
        }
        let all = |(shard, statements): (usize, Vec<&Statement>)| {
            statements.into_iter().try_for_each(|statement| self.client.write(shard, statement))
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                shards.into_iter().map(|shard| scope.spawn(move || all(shard))).collect();
            for thread in threads {
                match thread.join() {
                    Ok(sent) => sent?,
                    Err(_) => bail!("a thread that writes to the store has ended"),
                }
            }
            Ok(())
        })
    }

    /// Keeps what devices said of themselves, and which batches are there.
    fn note(&self, told: &[Told<'_>], unkept: &BTreeMap<usize, Vec<Refused>>) -> Result<()> {
        let now = clock::now();
        let states: Vec<DeviceState> =
            told.iter().map(|told| DeviceState::of(told.tenant, told.delivery, now)).collect();
        if !states.is_empty() {
            self.client.write(0, &keep_devices(&states))?;
        }
        let taken = |(which, told): (usize, &Told<'_>)| {
            Some(BatchTaken {
                tenant: told.tenant.into(),
                device: Text::clone(&told.delivery.device),
                ledger: Text::clone(&told.delivery.sender.ledger),
                epoch: Text::clone(&told.delivery.sender.epoch),
                head: told.delivery.batch.clone()?,
                newest: newest_of(told.delivery),
                words: kept(told.delivery, unkept.get(&which).map_or(0, Vec::len)),
                seen: now,
            })
        };
        let batches: Vec<BatchTaken> = told.iter().enumerate().filter_map(taken).collect();
        keep_batches(&batches).iter().try_for_each(|statement| self.client.write(0, statement))
    }
}

fn is_new(answers: &[Option<Kept>], at: usize) -> bool {
    answers.get(at).is_some_and(Option::is_none)
}

/// How many words are kept of a delivery of which so many are not.
fn kept(delivery: &Delivery, unkept: usize) -> u64 {
    u64::try_from(delivery.words.len().saturating_sub(unkept)).unwrap_or(u64::MAX)
}

/// Words of a delivery that are not kept.
fn unkept(waiting: &Waiting, horizon: Day) -> Vec<Refused> {
    let words = waiting.delivery.words.iter().enumerate();
    words
        .filter_map(|(place, word)| Some(refused(place, word, day_of(word, horizon).err()?)))
        .collect()
}

fn refused(place: usize, word: &Word, why: Unkept) -> Refused {
    Refused { place, id: word.id(), why: why.to_string() }
}

/// Which words were known before, nobody knows: rows meet later.
fn taken(accepted: u64, is_replay: bool, refused: Vec<Refused>) -> Kept {
    let (duplicates, known) = (None, Vec::new());
    Kept::Taken { accepted, duplicates, known, newest_at: None, is_replay, refused }
}
