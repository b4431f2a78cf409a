//! What takes records: sums in memory, and a log that is behind them by little.
//!
//! A record changes sums in memory. Once [`Durability::records_max`] of them are not yet in the log, or
//! one comes [`Durability::interval_ms`] after the last write, those that changed are written, with one
//! call and without a sync. A kill therefore loses only records of the last moments before it, and
//! [`Recorder::durable`] says which are safe from it. With [`Durability::ELSEWHERE`] no record writes:
//! another thread does, with no hold on the sums while it waits for the disk.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use trueup_core::UnixMs;

use super::error::StateError;
use super::folder::{Folder, OnDisk, create_folder};
use super::log::{Attempt, Changes, Log};
use super::seal::Sealed;
use crate::budget::Day;
use crate::outbox::hex;
use crate::rollup::{Buckets, FieldId, Part, Place, Plan, Reason, RollupId, SessionId, Value};

/// Buckets that are written with one call: of what a line is made of there is no more at a time.
const PARTS_AT_ONCE: usize = 8;

/// How far the log may be behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durability {
    /// Records that a kill may lose.
    pub records_max: u64,
    /// The stretch of time whose records it may lose.
    pub interval_ms: u64,
}

impl Durability {
    /// However far: records and ends write nothing, and only [`Recorder::persist`] does.
    pub const ELSEWHERE: Self = Self { records_max: u64::MAX, interval_ms: u64::MAX };
}

impl Default for Durability {
    /// At most 512 records, all of the same quarter of a second.
    fn default() -> Self {
        Self { records_max: 512, interval_ms: 250 }
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Its number, which [`Recorder::durable`] reaches once it is safe. `None` where it was refused: of
    /// no rollup of the plan, or without the session that it needs.
    pub number: Option<u64>,
    /// Values of it that were refused.
    pub refused: u64,
}

/// What did not go as it should. Recording goes on in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// Records that were refused as a whole.
    pub records_refused: u64,
    /// Values that were refused.
    pub values_refused: u64,
    /// Writes to the log that failed; what they held is written with the next.
    pub write_errors: u64,
    /// The last of those errors.
    pub last_error: Option<io::ErrorKind>,
}

/// What takes the records of one process for one product.
#[derive(Debug)]
pub struct Recorder {
    log: Arc<Log>,
    salt: [u8; 32],
    buckets: Buckets,
    durability: Durability,
    number: u64,
    durable: u64,
    last_write: UnixMs,
    /// How far writing what is not in the log has come; none where nobody is at it.
    pass: Option<Pass>,
    health: Health,
}

/// All that was not in the log once, on its way there.
#[derive(Debug)]
struct Pass {
    /// The last record that it is to hold.
    number: u64,
    /// From where on buckets are still to be taken.
    next: Option<Place>,
}

/// What has ended, on its way to the store.
#[derive(Debug)]
pub struct Handed {
    pub(crate) log: Arc<Log>,
    pub(crate) parts: Vec<Part>,
    /// Serials that the log may still show, although they were taken.
    pub(crate) gone: BTreeSet<u64>,
}

impl Recorder {
    /// Begins a log of its own. `random` becomes the name of the log, and the salt of the install
    /// where it has none: nobody may be able to guess it.
    pub fn open(
        folder: &Path,
        plan: Arc<Plan>,
        durability: Durability,
        random: [u8; 48],
        now: UnixMs,
    ) -> Result<Self, StateError> {
        let folder = Folder::new(folder);
        create_folder(folder.root())?;
        let (fresh, id) = random.split_first_chunk::<32>().unwrap_or((&[0; 32], &[]));
        let id = hex(id);
        let name = format!("open-{}-{id}.log", std::process::id());
        let salt = folder.salt(*fresh, &format!("salt-{id}.tmp"))?;
        let day = match folder.ledger()? {
            OnDisk::Known(ledger) => ledger.day(now),
            OnDisk::Absent | OnDisk::Unreadable => Day::of(now),
        };
        let buckets = Buckets::new(plan, day);
        Ok(Self {
            log: Arc::new(Log::begin(folder, name)?),
            salt,
            buckets,
            durability,
            number: 0,
            durable: 0,
            last_write: now,
            pass: None,
            health: Health::default(),
        })
    }

    /// The session of a key, which is worth keeping while the session lasts.
    #[must_use]
    pub fn session(&self, key: &str) -> SessionId {
        SessionId::of(&self.salt, key)
    }

    /// Adds a record. It never fails: what is wrong with it is counted, and what cannot be written now
    /// is written later.
    pub fn record(
        &mut self,
        rollup: RollupId,
        session: Option<SessionId>,
        values: &[(FieldId, Value<'_>)],
        now: UnixMs,
    ) -> Ack {
        let refused = self.buckets.record(rollup, session, values, now);
        self.acknowledged(refused, now)
    }

    /// Adds values that are no record, such as an error's: they do not count as one, and need no session.
    pub fn note(
        &mut self,
        rollup: RollupId,
        session: Option<SessionId>,
        values: &[(FieldId, Value<'_>)],
        now: UnixMs,
    ) -> Ack {
        let refused = self.buckets.note(rollup, session, values, now);
        self.acknowledged(refused, now)
    }

    fn acknowledged(&mut self, refused: Option<u64>, now: UnixMs) -> Ack {
        let Some(refused) = refused else {
            self.health.records_refused += 1;
            return Ack { number: None, refused: 0 };
        };
        self.health.values_refused += refused;
        self.number += 1;
        if self.is_behind(self.durability, now) {
            self.persist(now);
        }
        Ack { number: Some(self.number), refused }
    }

    /// Whether the log is further behind than this allows.
    pub(crate) const fn is_behind(&self, durability: Durability, now: UnixMs) -> bool {
        let is_long_ago = now.0.abs_diff(self.last_write.0) >= durability.interval_ms;
        is_long_ago || self.number - self.durable >= durability.records_max
    }

    fn persist_here(&mut self, now: UnixMs) {
        if self.durability != Durability::ELSEWHERE {
            self.persist(now);
        }
    }

    /// Ends a session. A second time there is nothing to end.
    pub fn end(&mut self, session: SessionId, now: UnixMs) {
        self.buckets.end(session);
        self.persist_here(now);
    }

    /// Says whether what is recorded from now on stays on this machine, whatever is decided later.
    pub fn set_local(&mut self, is_local: bool, now: UnixMs) {
        self.mark_local(is_local);
        self.persist_here(now);
    }

    /// The same, written with what comes next.
    pub(crate) fn mark_local(&mut self, is_local: bool) {
        self.buckets.set_local(is_local);
    }

    /// Ends everything, because the process does.
    pub fn end_all(&mut self, now: UnixMs) {
        self.buckets.end_all(Reason::WorkerShutdown);
        self.persist(now);
    }

    /// Writes what is not in the log yet. Says whether all is now.
    pub fn persist(&mut self, now: UnixMs) -> bool {
        let mut is_written = true;
        while is_written && let Some(changes) = self.take_changes(now) {
            is_written = self.settle(changes.write());
            if !self.has_more() {
                break;
            }
        }
        if let Some((log, all)) = self.long_log() {
            log.rewrite(&all, self.buckets.plan());
        }
        is_written
    }

    /// Takes of what is not in the log yet what comes next, to be written and [settled](Self::settle).
    pub(crate) fn take_changes(&mut self, now: UnixMs) -> Option<Changes> {
        self.last_write = now;
        let Pass { number, next } =
            self.pass.take().unwrap_or(Pass { number: self.number, next: None });
        let taken = self.buckets.take_changes(next, PARTS_AT_ONCE);
        if taken.parts.is_empty() && taken.gone.is_empty() {
            self.durable = number;
            return None;
        }
        let (log, plan) = (Arc::clone(&self.log), Arc::clone(self.buckets.plan()));
        Some(Changes { log, plan, taken, number })
    }

    /// Notes what became of that. Says whether it is in the log.
    pub(crate) fn settle(&mut self, attempt: Attempt) -> bool {
        let Attempt { changes: Changes { taken, number, .. }, result } = attempt;
        let Err(error) = result else {
            if taken.is_all {
                self.durable = number;
            } else {
                self.pass = Some(Pass { number, next: taken.next });
            }
            return true;
        };
        self.buckets.untake(&taken.parts, taken.gone);
        self.health.write_errors += 1;
        self.health.last_error = Some(error.kind());
        false
    }

    /// Whether more is still to be taken of what was not in the log when the first of it was.
    pub(crate) const fn has_more(&self) -> bool {
        self.pass.is_some()
    }

    /// The log, where it is time to write it anew, and all that counts of it.
    pub(crate) fn long_log(&self) -> Option<(Arc<Log>, Vec<Part>)> {
        self.log.is_long().then(|| (Arc::clone(&self.log), self.buckets.all()))
    }

    /// Ends what is due, and gives out all that has ended. Give it to [`Store::seal`](super::Store::seal),
    /// and what that answers to [`forget`](Self::forget); in between records may come.
    pub fn hand_over(&mut self, now: UnixMs) -> Handed {
        self.sweep(now);
        self.persist(now);
        self.handed()
    }

    /// The same for whoever has just swept and written: only what has ended since is still to be written,
    /// before anything that was merged into something else is known as taken.
    pub(crate) fn hand_over_rest(&mut self, now: UnixMs) -> Handed {
        if self.buckets.has_unwritten_ends() {
            self.persist(now);
        }
        self.handed()
    }

    /// Ends what is due.
    pub(crate) fn sweep(&mut self, now: UnixMs) {
        self.buckets.sweep(now);
    }

    fn handed(&mut self) -> Handed {
        let log = Arc::clone(&self.log);
        Handed { log, parts: self.buckets.hand_over(), gone: self.buckets.gone().clone() }
    }

    /// Drops what the store has taken, if it was of this recorder. Where the state was purged meanwhile,
    /// all that was recorded is dropped, and a new log begun.
    pub fn forget(&mut self, sealed: &Sealed) -> Result<(), StateError> {
        for part in &sealed.recovered {
            self.buckets.resume(part);
        }
        if sealed.log.as_deref() != Some(self.log.name()) {
            return Ok(());
        }
        if !sealed.is_purged {
            self.buckets.forget(&sealed.serials);
            return Ok(());
        }
        self.buckets.clear();
        let folder = self.log.folder().clone();
        create_folder(folder.root())?;
        self.log = Arc::new(Log::begin(folder, self.log.name().to_owned())?);
        Ok(())
    }

    /// Ends the recorder. Its log goes where nothing is left in it; otherwise the next process finds it.
    pub fn close(mut self, now: UnixMs) -> Result<(), StateError> {
        let path = self.log.path();
        if self.buckets.is_empty() && self.log.is_there() {
            return fs::remove_file(&path).map_err(StateError::io("remove", &path));
        }
        self.persist(now);
        Ok(())
    }

    /// The number of the last record that a kill cannot lose.
    #[must_use]
    pub const fn durable(&self) -> u64 {
        self.durable
    }

    /// What did not go as it should.
    #[must_use]
    pub const fn health(&self) -> Health {
        self.health
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rollup::{NumberSpec, RollupSpec, Unit};
    use crate::state::read_open_log;

    const NOW: UnixMs = UnixMs(1_795_000_000_000);

    /// What the log says of each bucket: its records.
    fn logged(recorder: &Recorder) -> Vec<u64> {
        let log = read_open_log(&fs::read(recorder.log.path()).unwrap());
        log.parts(recorder.buckets.plan()).0.iter().map(|part| part.sums.count()).collect()
    }

    #[test]
    fn what_comes_while_changes_are_written_is_among_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let mut turns = RollupSpec::session("turns");
        turns.numbers.push(NumberSpec::sum("tokens", Unit::Integer));
        let plan = Arc::new(Plan::new(vec![turns]).unwrap());
        let rollup = plan.rollup("turns").unwrap();
        let elsewhere = Durability::ELSEWHERE;
        let mut recorder = Recorder::open(folder.path(), plan, elsewhere, [7; 48], NOW).unwrap();
        let (one, two) = (recorder.session("one"), recorder.session("two"));
        let record = |recorder: &mut Recorder, session| {
            recorder.record(rollup, Some(session), &[], NOW);
        };
        record(&mut recorder, one);
        let changes = recorder.take_changes(NOW).unwrap();
        record(&mut recorder, one);
        record(&mut recorder, two);
        recorder.end(one, NOW);
        assert!(recorder.settle(changes.write()));
        assert_eq!((recorder.durable(), logged(&recorder)), (1, vec![1]));
        // Of what could not be written nothing is missing later, whatever became of it meanwhile.
        let changes = recorder.take_changes(NOW).unwrap();
        recorder.end(two, NOW);
        let error = io::Error::from(io::ErrorKind::StorageFull);
        assert!(!recorder.settle(Attempt { changes, result: Err(error) }));
        assert_eq!((recorder.durable(), recorder.health().write_errors), (1, 1));
        assert!(recorder.persist(NOW));
        assert_eq!((recorder.durable(), logged(&recorder)), (3, vec![2, 1]));
        assert!(recorder.take_changes(NOW).is_none());
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Record(u8),
        End(u8),
        Write,
        Fail,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let session = 0_u8..100;
        let step = prop_oneof![
            20 => session.clone().prop_map(Step::Record),
            10 => session.prop_map(Step::End),
            4 => Just(Step::Write),
            1 => Just(Step::Fail),
        ];
        prop::collection::vec(step, 0..400)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// However recording goes on while more buckets are written than go into one line, and whichever
        /// are merged meanwhile because too many have ended: the log has what was said to be safe, and
        /// nothing twice.
        #[test]
        fn between_any_two_lines_the_log_has_what_is_safe_and_nothing_twice(steps in steps()) {
            let folder = tempfile::tempdir().unwrap();
            let plan = Arc::new(Plan::new(vec![RollupSpec::session("turns")]).unwrap());
            let rollup = plan.rollup("turns").unwrap();
            let elsewhere = Durability::ELSEWHERE;
            let mut recorder = Recorder::open(folder.path(), plan, elsewhere, [7; 48], NOW).unwrap();
            let session = |recorder: &Recorder, number: u8| recorder.session(&number.to_string());
            let mut recorded = 0_u64;
            let is_checked = |recorder: &Recorder, recorded: u64| {
                let sum: u64 = logged(recorder).iter().sum();
                (recorder.durable()..=recorded).contains(&sum)
            };
            for step in steps {
                match step {
                    Step::Record(number) => {
                        let session = session(&recorder, number);
                        recorder.record(rollup, Some(session), &[], NOW);
                        recorded += 1;
                        continue;
                    }
                    Step::End(number) => {
                        recorder.end(session(&recorder, number), NOW);
                        continue;
                    }
                    Step::Write => {
                        let Some(changes) = recorder.take_changes(NOW) else { continue };
                        prop_assert!(recorder.settle(changes.write()));
                    }
                    Step::Fail => {
                        let Some(changes) = recorder.take_changes(NOW) else { continue };
                        let error = io::Error::from(io::ErrorKind::StorageFull);
                        let attempt = Attempt { changes, result: Err(error) };
                        prop_assert!(!recorder.settle(attempt));
                    }
                }
                prop_assert!(is_checked(&recorder, recorded));
            }
            // One pass that began before all this may still be on its way.
            prop_assert!(recorder.persist(NOW) && recorder.persist(NOW));
            prop_assert_eq!(logged(&recorder).iter().sum::<u64>(), recorded);
            prop_assert_eq!(recorder.durable(), recorded);
        }
    }
}
