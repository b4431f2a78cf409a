//! The world of a simulated device: its ledger, its clock, a network that does everything but work, and
//! the laws that hold at every step.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use trueup_core::{Reply, UnixMs};
use trueup_ledger::{Destination, Effect, Frozen, Outcome};

use super::chance::Chance;
use super::hub::{Hub, Taste, records};
use super::store::Store;
use crate::push::batch::{Made, Wanted};
use crate::push::verdict::reply_bytes_max;
use crate::push::world::World;

/// Everything around a pusher.
pub(super) struct Outer {
    pub(super) chance: Chance,
    pub(super) store: RefCell<Box<dyn Store>>,
    pub(super) hub: RefCell<Hub>,
    pub(super) taste: RefCell<Taste>,
    /// How often of a thousand times a request meets a fault.
    pub(super) faults_permille: Cell<u64>,
    /// How often of a thousand times the process dies at one step of a cycle.
    pub(super) deaths_permille: Cell<u64>,
    pub(super) is_disk_full: Cell<bool>,
    /// The process has died: nothing that it does has an effect any more.
    pub(super) is_dead: Cell<bool>,
    pub(super) clock: Cell<UnixMs>,
    start: Instant,
    elapsed: Cell<Duration>,
    /// Requests that will arrive once more, or late.
    pub(super) late: RefCell<Vec<Frozen>>,
    /// Places whose acknowledgement this ledger has noted, and those that its copy had.
    acked: RefCell<BTreeSet<i64>>,
    acked_of_copy: RefCell<BTreeSet<i64>>,
    /// When the newest batch of this ledger was made.
    made_at: Cell<i64>,
    /// Requests that held records.
    pub(super) requests: Cell<u64>,
    /// What happened, by kind.
    pub(super) seen: RefCell<BTreeMap<&'static str, u64>>,
    /// What does not hold.
    pub(super) wrong: RefCell<Option<String>>,
}

/// What may happen to a request.
const FATES: [&str; 18] = [
    "request lost",
    "answer lost",
    "answer truncated",
    "request truncated",
    "duplicated",
    "duplicated late",
    "delayed beyond the timeout",
    "429",
    "503",
    "500 after storing",
    "409",
    "409 after storing",
    "401",
    "426",
    "415",
    "413",
    "killed while it waits",
    "clock set while it waits",
];

impl Outer {
    pub(super) fn new(seed: u64, store: Box<dyn Store>) -> Self {
        Self {
            chance: Chance::new(seed),
            store: RefCell::new(store),
            hub: RefCell::default(),
            taste: RefCell::default(),
            faults_permille: Cell::new(0),
            deaths_permille: Cell::new(0),
            is_disk_full: Cell::new(false),
            is_dead: Cell::new(false),
            clock: Cell::new(UnixMs(1_795_212_509_000)),
            start: Instant::now(),
            elapsed: Cell::new(Duration::ZERO),
            late: RefCell::default(),
            acked: RefCell::default(),
            acked_of_copy: RefCell::default(),
            made_at: Cell::new(0),
            requests: Cell::new(0),
            seen: RefCell::default(),
            wrong: RefCell::default(),
        }
    }

    /// Notes that this happened.
    pub(super) fn see(&self, what: &'static str) {
        *self.seen.borrow_mut().entry(what).or_default() += 1;
    }

    /// Notes the first law that does not hold.
    pub(super) fn demand(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong.borrow_mut().get_or_insert_with(what);
        }
    }

    /// Time goes on, for all clocks.
    pub(super) fn pass(&self, time: Duration) {
        self.elapsed.set(self.elapsed.get() + time);
        let ms = i64::try_from(time.as_millis()).unwrap();
        self.clock.set(UnixMs(self.clock.get().0 + ms));
    }

    /// Somebody sets the clock, up to a year off.
    pub(super) fn set_clock(&self) {
        const YEAR_MS: u64 = 365 * 86_400_000;
        let most = [2_000, 90_000, 40 * 86_400_000, YEAR_MS][self.chance.at(4)];
        let by = i64::try_from(self.chance.below(2 * most)).unwrap() - i64::try_from(most).unwrap();
        self.clock.set(UnixMs(self.clock.get().0 + by));
    }

    /// Waits within a cycle; `false` where the process ends.
    pub(super) fn wait(&self, time: Duration) -> bool {
        self.pass(time);
        let is_ending = self.faults_permille.get() > 0 && self.chance.permille(3);
        !self.is_dead.get() && !is_ending
    }

    /// A copy of the ledger is kept.
    pub(super) fn copy(&self) {
        self.store.borrow_mut().copy();
        *self.acked_of_copy.borrow_mut() = self.acked.borrow().clone();
    }

    /// The copy is put in the place of the ledger, or of the whole machine.
    pub(super) fn restore(&self, is_whole: bool) {
        self.store.borrow_mut().restore(is_whole);
        *self.acked.borrow_mut() = self.acked_of_copy.borrow().clone();
        self.made_at.set(0);
    }

    /// One of the requests that were delayed arrives.
    pub(super) fn deliver_late(&self) {
        let mut late = self.late.borrow_mut();
        if !late.is_empty() {
            let at = self.chance.at(late.len());
            let batch = late.swap_remove(at);
            self.hub.borrow_mut().take(&batch, &self.taste.borrow());
        }
    }

    /// A step of the process, which may be its last.
    fn step(&self) -> Result<()> {
        if !self.is_dead.get() && self.chance.permille(self.deaths_permille.get()) {
            self.see("kill -9");
            self.is_dead.set(true);
        }
        if self.is_dead.get() {
            bail!("killed");
        }
        Ok(())
    }

    /// A transaction, before or after which the process may die, and which may find the disk full.
    pub(super) fn write<T>(&self, write: impl FnOnce(&mut dyn Store) -> Result<T>) -> Result<T> {
        self.step()?;
        if self.is_disk_full.get() && self.chance.permille(700) {
            self.see("disk full");
            bail!("database or disk is full");
        }
        let written = write(&mut **self.store.borrow_mut())?;
        self.step()?;
        Ok(written)
    }

    /// The hub gets a request; as much of its answer as is read.
    fn arrive(&self, batch: &Frozen) -> Reply {
        let mut reply = self.hub.borrow_mut().take(batch, &self.taste.borrow());
        let bytes_max = usize::try_from(reply_bytes_max(batch)).unwrap();
        if reply.body.len() > bytes_max {
            self.see("answer too long");
        }
        reply.body.truncate(bytes_max);
        reply
    }

    /// The hub answers with a status of its own, before it looks at anything.
    fn answer(&self, status: u16, wait_max_s: u64) -> Reply {
        let wait = self.chance.below(wait_max_s + 1);
        let headers = (wait > 0).then(|| ("retry-after".to_owned(), wait.to_string()));
        Reply { status, headers: headers.into_iter().collect(), body: Vec::new() }
    }

    fn meet(&self, fate: &str, batch: &Frozen) -> Result<Reply, String> {
        let silence = || Err("timed out".to_owned());
        match fate {
            "request lost" => silence(),
            "answer lost" | "answer truncated" => {
                self.arrive(batch);
                silence()
            }
            "request truncated" => {
                let length = self.chance.at(batch.body.len());
                let body = batch.body[..length].to_vec().into();
                Ok(self.arrive(&Frozen { body, ..batch.clone() }))
            }
            "duplicated" => {
                self.arrive(batch);
                Ok(self.arrive(batch))
            }
            "duplicated late" => {
                self.late.borrow_mut().push(batch.clone());
                Ok(self.arrive(batch))
            }
            "delayed beyond the timeout" => {
                self.late.borrow_mut().push(batch.clone());
                silence()
            }
            "429" => Ok(self.answer(429, 4_000)),
            "503" => Ok(self.answer(503, 20)),
            "500 after storing" => {
                self.arrive(batch);
                Ok(self.answer(500, 0))
            }
            "409" => Ok(self.answer(409, 0)),
            "409 after storing" => {
                self.arrive(batch);
                Ok(self.answer(409, 0))
            }
            "401" => Ok(self.answer(401, 0)),
            "426" => Ok(self.answer(426, 0)),
            "415" => Ok(self.answer(415, 0)),
            // A hub that finds one small record too large would lose it by its own word.
            "413" if batch.events > 1 => Ok(self.answer(413, 0)),
            "killed while it waits" => {
                self.arrive(batch);
                self.is_dead.set(true);
                silence()
            }
            "clock set while it waits" => {
                self.set_clock();
                Ok(self.arrive(batch))
            }
            _ => Ok(self.arrive(batch)),
        }
    }

    /// What is acknowledged is stored, and what was acknowledged is not acknowledged again.
    fn note_acks(&self, batch: &Frozen, outcome: &Outcome) {
        let Effect::Acked(ack) = &outcome.effect else { return };
        if outcome.status != "ok" {
            return;
        }
        for record in records(batch) {
            let is_refused = ack.rejected.iter().any(|one| one.seq == record.seq)
                || ack.postponed.iter().any(|one| one.seq == record.seq);
            if !is_refused {
                let is_stored = self.hub.borrow().has(&record);
                self.demand(is_stored, || format!("acknowledged and not stored: {record:?}"));
            }
            self.acked.borrow_mut().insert(record.seq);
        }
    }
}

impl World for &Outer {
    fn now(&self) -> UnixMs {
        self.clock.get()
    }

    fn instant(&self) -> Instant {
        self.start + self.elapsed.get()
    }

    fn random(&self) -> u64 {
        self.chance.next()
    }

    fn send(&self, batch: &Frozen, _: Duration) -> Result<Reply, String> {
        self.step().map_err(|error| error.to_string())?;
        self.pass(Duration::from_millis(self.chance.below(2_000)));
        let sent = records(batch);
        self.requests.set(self.requests.get() + u64::from(!sent.is_empty()));
        for record in sent {
            let is_new = !self.acked.borrow().contains(&record.seq);
            self.demand(is_new, || format!("sent after its acknowledgement: {record:?}"));
        }
        if self.chance.permille(self.faults_permille.get()) {
            let fate = FATES[self.chance.at(FATES.len())];
            self.see(fate);
            self.meet(fate, batch)
        } else {
            Ok(self.arrive(batch))
        }
    }

    fn destination(&self) -> Result<Destination> {
        self.step()?;
        self.store.borrow().destination()
    }

    fn frozen(&self) -> Result<Option<Frozen>> {
        self.step()?;
        self.store.borrow().frozen()
    }

    fn last_queued(&self) -> Result<i64> {
        self.step()?;
        self.store.borrow().last_queued()
    }

    fn quarantined(&self) -> Result<u64> {
        Ok(self.store.borrow().refused().len() as u64)
    }

    fn heartbeat_seconds(&self) -> Result<u32> {
        self.store.borrow().heartbeat_seconds()
    }

    fn acked_batch_at(&self) -> Result<UnixMs> {
        self.step()?;
        self.store.borrow().acked_batch_at()
    }

    fn make(&self, wanted: &Wanted) -> Result<Made> {
        self.step()?;
        self.store.borrow().make(wanted, &self.batch_id(), self.now())
    }

    fn heartbeat(&self, after: i64) -> Result<Frozen> {
        self.step()?;
        self.see("heartbeat");
        self.store.borrow().heartbeat(after, &self.batch_id(), self.now())
    }

    fn freeze(&self, batch: &Frozen) -> Result<()> {
        let at = batch.created_at.0;
        self.demand(at > self.made_at.get(), || format!("a batch of {at} follows a later one"));
        let frozen = self.write(|store| store.freeze(batch));
        if self.store.borrow().frozen()?.is_some() {
            self.made_at.set(at);
        }
        frozen
    }

    fn skip(&self, until: i64) -> Result<()> {
        let now = self.now();
        self.write(|store| store.skip(until, now))
    }

    fn settle(&self, batch: &Frozen, outcome: Outcome) -> Result<()> {
        self.write(|store| {
            store.settle(batch, &outcome)?;
            self.note_acks(batch, &outcome);
            Ok(())
        })
    }

    fn tell_anew(&self, newest_at: UnixMs) -> Result<()> {
        self.see("told anew, by the hub's word");
        self.write(|store| store.tell_anew(newest_at))
    }
}
