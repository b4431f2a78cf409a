//! What all processes of a product share, and the one way to change it: read on, decide, log, act.
//!
//! Every change is made under the lock of the folder and with one synced line of the log. The ledger is
//! charged, and its charge stored, before bytes are given out. No call waits for another process:
//! where one holds the lock for longer than a moment the answer is [`StateError::Busy`], and nothing was changed.

mod queue;
mod sums;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use trueup_core::UnixMs;
use uuid::Uuid;

use super::book::{Book, Op};
use super::error::StateError;
use super::folder::{Folder, OnDisk, is_at, private, read, read_all, remove, sync_folder};
use super::open_log::read_open_log;
use super::recorder::{Handed, Recorder};
use super::seal::{Address, Encode, Sealed, Sealing};
use super::shelf::{Memory, Shelf};
use crate::budget::{Caps, Day, Ledger, Short, Spent};
use crate::outbox::{Change, Item, ItemState, Verdict, sha256_hex, wait_until};
use crate::rollup::Plan;

pub use queue::{Drafts, Queued};
pub use sums::Sums;

/// Logs of dead processes that one call takes at most; the next takes more.
const ORPHANS_MAX: usize = 256;

/// What a product's store goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What may be sent on a day.
    pub caps: Caps,
    /// The id of the install, as it stands in ids of events.
    pub install: String,
    /// The namespace of the product's ids.
    pub namespace: Uuid,
}

/// What of all that is recorded may be sent. What was recorded as local never may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nothing: all of it stays on this machine, also what was queued before.
    Local,
    /// What was recorded from this moment on, and what is of no moment, such as history.
    Since(UnixMs),
}

impl Reach {
    /// Whether what was recorded then stays on this machine.
    #[must_use]
    pub fn withholds(self, recorded: UnixMs) -> bool {
        match self {
            Self::Local => true,
            Self::Since(since) => recorded < since,
        }
    }

    pub(crate) fn withholds_item(self, item: &Item) -> bool {
        match (self, item.recorded) {
            (Self::Local, _) => true,
            (Self::Since(_), None) => false,
            (Self::Since(_), Some(recorded)) => self.withholds(recorded),
        }
    }
}

/// The shared state of a product.
#[derive(Debug)]
pub struct Store {
    shelf: Shelf,
    settings: Arc<Settings>,
    reach: Reach,
    /// The sinks, each of which gets its own bytes of every event.
    sinks: Arc<[String]>,
    /// The one sink that is looked at, where it is one.
    only: Option<String>,
}

/// A request that may be sent, and was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its number, for the verdict.
    pub number: u64,
    /// What is known of it.
    pub item: Item,
    /// Its very bytes.
    pub body: Vec<u8>,
}

/// What is to be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This.
    Send(Box<Request>),
    /// Nothing: nothing is due.
    Nothing,
    /// Nothing, although something is due: the budget of the day is used up.
    Short(Short),
}

/// What there is, without a change to any file.
#[derive(Debug)]
pub struct Look {
    /// The day that counts.
    pub day: Day,
    /// What was sent on it.
    pub spent: Spent,
    /// What was sent, day by day.
    pub ledger: Ledger,
    /// All items, the oldest first.
    pub items: Vec<Item>,
    /// What [`Store::next`] would give out.
    pub next: Option<Request>,
    /// What is being added up: event, day, and records in it.
    pub days: Vec<(String, Day, u64)>,
    /// Events that were given up because they waited too long.
    pub expired: u64,
    /// Fields and events that were recorded and are of no rollup any more.
    pub unknown: u64,
}

impl Store {
    /// The store of a folder, which need not be there. `random` names it where it is new.
    #[must_use]
    pub fn new(folder: &Path, plan: Arc<Plan>, settings: Settings, random: [u8; 16]) -> Self {
        Self {
            shelf: Shelf::new(folder, plan, random),
            settings: Arc::new(settings),
            reach: Reach::Since(UnixMs(i64::MIN)),
            sinks: Arc::from([String::new()]),
            only: None,
        }
    }

    /// The same, for these sinks, and with so much of what is recorded to be sent.
    #[must_use]
    pub fn reaching(self, reach: Reach, sinks: Vec<String>) -> Self {
        Self { reach, sinks: Arc::from(sinks), ..self }
    }

    /// The same, going on from what an earlier store of this folder and plan knew.
    #[must_use]
    pub(crate) fn remembering(mut self, memory: &Memory) -> Self {
        self.shelf.remember(memory);
        self
    }

    /// The same, giving out and resting only what is for one sink.
    #[must_use]
    pub fn only(self, sink: &str) -> Self {
        Self { only: Some(sink.to_owned()), ..self }
    }

    /// Takes what has ended, and what dead processes left, and makes events of it and of days that are
    /// over, as far as the budget goes. `encode` makes the bytes of the request for an event.
    pub fn seal(
        &mut self,
        handed: Option<&Handed>,
        now: UnixMs,
        encode: Encode<'_>,
    ) -> Result<Sealed, StateError> {
        let lock = self.shelf.open()?;
        if let Some(own) = handed.filter(|own| !own.log.is_there()) {
            let log = Some(own.log.name().to_owned());
            return Ok(Sealed { is_purged: true, log, ..Sealed::default() });
        }
        let ledger = self.folder().ledger_at(now)?;
        let mut sealing = self.sealing(&ledger, now);
        self.forget_logs(&mut sealing, handed)?;
        sealing.withhold();
        sealing.book.outbox.expired_at(now).into_iter().for_each(|change| {
            sealing.push(Op::Outbox(change));
        });
        if let Some(handed) = handed {
            take_handed(&mut sealing, handed, encode)?;
        }
        let orphans = self.take_orphans(&mut sealing, handed, encode)?;
        sealing.take_days(encode);
        sealing.trim();
        let sealed = self.commit(sealing)?;
        for (name, file) in orphans {
            remove(&self.folder().path(&name))?;
            drop(file);
        }
        drop(lock);
        Ok(sealed)
    }

    /// Ends a recorder: everything open ends, is sealed as the budget allows, and its log goes. What
    /// cannot be sealed now stays in its log, and is found by the next process.
    pub fn shut_down(
        &mut self,
        mut recorder: Recorder,
        now: UnixMs,
        encode: Encode<'_>,
    ) -> Result<Sealed, StateError> {
        recorder.end_all(now);
        let handed = recorder.hand_over(now);
        let sealed = self.seal(Some(&handed), now, encode)?;
        if !sealed.is_purged {
            recorder.forget(&sealed)?;
            recorder.close(now)?;
        }
        Ok(sealed)
    }

    /// The next request, counted against its day before it is given out. It is not given out again
    /// before a verdict, or [`LEASE_MS`](crate::outbox::LEASE_MS) later.
    pub fn next(&mut self, now: UnixMs) -> Result<Next, StateError> {
        let _lock = self.shelf.open()?;
        let mut ledger = self.ledger(now)?;
        loop {
            let mut sealing = self.sealing(&ledger, now);
            sealing.book.outbox.expired_at(now).into_iter().for_each(|change| {
                sealing.push(Op::Outbox(change));
            });
            let (item, day) = match self.first_affordable(&sealing.book, &mut ledger, now) {
                Ok(Some(found)) => found,
                other => {
                    self.commit(sealing)?;
                    return Ok(other.map_or_else(Next::Short, |_| Next::Nothing));
                }
            };
            let Some(body) = self.body(&item)? else {
                let item = item.quarantined(None, "its bytes are not those that were stored", now);
                sealing.push(Op::Outbox(Change::Put(Box::new(item))));
                self.commit(sealing)?;
                ledger = self.ledger(now)?;
                continue;
            };
            self.folder().write_ledger(&ledger)?;
            let item = item.attempted(day, now);
            sealing.push(Op::Outbox(Change::Put(Box::new(item.clone()))));
            self.commit(sealing)?;
            return Ok(Next::Send(Box::new(Request { number: item.number, item, body })));
        }
    }

    /// Notes what an answer means. A verdict on an item that is no longer queued changes nothing.
    pub fn settle(&mut self, number: u64, verdict: Verdict, now: UnixMs) -> Result<(), StateError> {
        let _lock = self.shelf.open()?;
        let ledger = self.folder().ledger_at(now)?;
        let mut sealing = self.sealing(&ledger, now);
        let Some(item) = sealing.book.outbox.item(number).cloned() else { return Ok(()) };
        if item.state != ItemState::Queued {
            return Ok(());
        }
        let item = match verdict {
            Verdict::Delivered { status } => item.delivered(status, now),
            Verdict::Retry { next, status } => {
                Item { next: wait_until(next, now), status: status.or(item.status), ..item }
            }
            Verdict::Refused { status, reason } => item.quarantined(status, &reason, now),
            Verdict::Split(drafts) => {
                for draft in drafts {
                    // Its events were counted on the day on which the whole was, if they are its.
                    let are_its = draft.uuids.iter().all(|uuid| item.uuids.contains(uuid));
                    let counted = item.counted.filter(|_| are_its && !draft.uuids.is_empty());
                    let to = Address { sink: Some(item.sink.clone()), recorded: item.recorded };
                    let number = sealing.push_draft(draft, to);
                    if let Some(part) = sealing.book.outbox.item(number).cloned() {
                        let whole = Item { counted, ..item.clone() };
                        let part = if are_its { part.of(&whole) } else { part };
                        sealing.push(Op::Outbox(Change::Put(Box::new(part))));
                    }
                }
                sealing.push(Op::Outbox(Change::Gone { number, is_lost: false }));
                return self.commit(sealing).map(drop);
            }
        };
        sealing.push(Op::Outbox(Change::Put(Box::new(item))));
        sealing.trim();
        self.commit(sealing).map(drop)
    }

    /// Sends nothing before `until`, or for a day at most, such as after an answer that says so.
    pub fn rest(&mut self, until: UnixMs, now: UnixMs) -> Result<(), StateError> {
        let _lock = self.shelf.open()?;
        let ledger = self.folder().ledger_at(now)?;
        let mut sealing = self.sealing(&ledger, now);
        let sink = self.only.clone().unwrap_or_default();
        sealing.push(Op::Outbox(Change::Rest { until: wait_until(until, now), sink }));
        self.commit(sealing).map(drop)
    }

    /// What there is. It makes no file and takes no lock.
    pub fn look(&self, now: UnixMs) -> Result<Look, StateError> {
        let book = self.shelf.look()?;
        let ledger = match self.folder().ledger()? {
            OnDisk::Absent => Ledger::new(),
            OnDisk::Known(ledger) => ledger,
            OnDisk::Unreadable => Ledger::closed(now),
        };
        let next = self.first_affordable(&book, &mut ledger.clone(), now).ok().flatten();
        let next = match next {
            Some((item, _)) => {
                let body = self.body(&item)?;
                body.map(|body| Request { number: item.number, item, body })
            }
            None => None,
        };
        let name = |rollup| self.shelf.plan.get(rollup).map(|rollup| rollup.spec.event.clone());
        let days = book
            .days
            .iter()
            .filter_map(|(whole, sums)| Some((name(whole.rollup)?, whole.day, sums.count())));
        Ok(Look {
            day: ledger.day(now),
            spent: ledger.spent(now),
            items: book.outbox.items().cloned().collect(),
            next,
            days: days.collect(),
            expired: book.outbox.expired,
            unknown: book.unknown,
            ledger,
        })
    }

    /// The bytes of an item, if they are there and are those that were stored.
    pub fn body(&self, item: &Item) -> Result<Option<Vec<u8>>, StateError> {
        let body = read(&self.folder().outbox().join(item.body_name()))?;
        Ok(body.filter(|body| sha256_hex(body) == item.sha256))
    }

    /// Removes all that was recorded and not yet sent, and what is known of what was: consent went.
    /// The ledger stays, so that the day's ceiling does. Where another process holds the lock, all is
    /// removed, too, and `Busy` says that it may have written something since: call it again.
    pub fn purge(&mut self) -> Result<(), StateError> {
        if !self.folder().root().exists() {
            return Ok(());
        }
        let (logs, outbox) = (self.folder().open_logs(true)?, self.folder().outbox());
        if logs.is_empty() && !outbox.exists() {
            self.shelf.clear();
            return Ok(());
        }
        let lock = self.folder().lock();
        for name in self.folder().open_logs(true)? {
            remove(&self.folder().path(&name))?;
        }
        match fs::remove_dir_all(&outbox) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StateError::io("remove", &outbox)(error));
            }
            Ok(()) | Err(_) => {}
        }
        sync_folder(self.folder().root())?;
        self.shelf.clear();
        lock.map(drop)
    }

    /// The ledger, without what was counted for an event that was not queued in the end.
    fn ledger(&self, now: UnixMs) -> Result<Ledger, StateError> {
        let mut ledger = self.folder().ledger_at(now)?;
        let outbox = &self.shelf.book.outbox;
        ledger.redeem(|uuid| outbox.items().any(|item| item.uuids.contains(&uuid)));
        Ok(ledger)
    }

    /// A change of what the log says, with the ledger at hand.
    fn sealing(&self, ledger: &Ledger, now: UnixMs) -> Sealing {
        Sealing {
            settings: Arc::clone(&self.settings),
            plan: Arc::clone(&self.shelf.plan),
            reach: self.reach,
            sinks: Arc::clone(&self.sinks),
            book: self.shelf.book.clone(),
            ops: Vec::new(),
            bodies: Vec::new(),
            day: ledger.day(now),
            spent: ledger.spent(now),
            now,
            touched: BTreeSet::new(),
            sealed: Sealed::default(),
        }
    }

    fn commit(&mut self, sealing: Sealing) -> Result<Sealed, StateError> {
        self.shelf.commit(sealing.finish())
    }

    /// Forgets which buckets were taken of logs that are gone for good.
    fn forget_logs(&self, sealing: &mut Sealing, own: Option<&Handed>) -> Result<(), StateError> {
        let logs: BTreeSet<String> = self.folder().open_logs(false)?.into_iter().collect();
        let is_own = |log: &str| own.is_some_and(|own| own.log.name() == log);
        let took = sealing.book.took.keys();
        let gone: Vec<_> =
            took.filter(|log| !logs.contains(*log) && !is_own(log)).cloned().collect();
        if !gone.is_empty() {
            // Otherwise a log could be back after the power fails, and would count again.
            sync_folder(self.folder().root())?;
        }
        for log in gone {
            sealing.push(Op::Took { log, serials: BTreeSet::new() });
        }
        Ok(())
    }

    /// Takes what dead processes left. Their logs are given out, locked, to be removed once that is
    /// logged.
    fn take_orphans(
        &self,
        sealing: &mut Sealing,
        own: Option<&Handed>,
        encode: Encode<'_>,
    ) -> Result<Vec<(String, File)>, StateError> {
        let mut orphans = Vec::new();
        for name in self.folder().open_logs(false)? {
            let is_own = own.is_some_and(|own| own.log.name() == name);
            if is_own || orphans.len() >= ORPHANS_MAX {
                continue;
            }
            if let Some(file) = self.take_orphan(sealing, &name, encode)? {
                orphans.push((name, file));
            }
        }
        Ok(orphans)
    }

    /// Takes the buckets of one log, unless its process lives or is newer than this one.
    fn take_orphan(
        &self,
        sealing: &mut Sealing,
        name: &str,
        encode: Encode<'_>,
    ) -> Result<Option<File>, StateError> {
        let path = self.folder().path(name);
        let Ok(file) = private().read(true).open(&path) else { return Ok(None) };
        // A log that was written anew in between is another file, which its process holds.
        if file.try_lock().is_err() || !is_at(&file, &path) {
            return Ok(None);
        }
        let log = read_open_log(&read_all(&file).map_err(StateError::io("read", &path))?);
        if !log.is_known() {
            return Ok(None);
        }
        let (parts, unknown) = log.parts(&sealing.plan);
        sealing.sealed.unknown = sealing.sealed.unknown.saturating_add(unknown);
        let serials = parts.iter().map(|part| part.serial).collect();
        for part in parts {
            if !sealing.book.has_taken(name, part.serial) {
                if part.reason.is_none() {
                    sealing.sealed.recovered.push(part.clone());
                }
                sealing.take(name, part, encode);
            }
        }
        sealing.push(Op::Took { log: name.to_owned(), serials });
        Ok(Some(file))
    }

    const fn folder(&self) -> &Folder {
        &self.shelf.folder
    }

    /// The first item that is due and that the ledger has room for, charged to the ledger at hand.
    fn first_affordable(
        &self,
        book: &Book,
        ledger: &mut Ledger,
        now: UnixMs,
    ) -> Result<Option<(Item, Day)>, Short> {
        let mut shortage = Ok(None);
        let is_asked = |item: &&Item| self.only.as_ref().is_none_or(|only| *only == item.sink);
        let due = book.outbox.due(now).into_iter().filter(is_asked);
        for item in due.filter(|item| !self.reach.withholds_item(item)) {
            match ledger.charge(&self.settings.caps, item.cost(ledger.day(now)), now) {
                Ok(day) => return Ok(Some((item.clone(), day))),
                Err(short) => shortage = Err(short),
            }
        }
        shortage
    }
}

/// Takes what a recorder has handed over, as far as that was not done before.
fn take_handed(
    sealing: &mut Sealing,
    handed: &Handed,
    encode: Encode<'_>,
) -> Result<(), StateError> {
    let name = handed.log.name();
    if sealing.book.took.contains_key(name) {
        // Whatever this log says is gone stays so, even if the power fails: only then may it be
        // forgotten that it was taken.
        handed.log.sync()?;
    }
    let serials: BTreeSet<u64> = handed.parts.iter().map(|part| part.serial).collect();
    for part in &handed.parts {
        if !sealing.book.has_taken(name, part.serial) {
            sealing.take(name, part.clone(), encode);
        }
    }
    let kept: BTreeSet<u64> = serials.union(&handed.gone).copied().collect();
    if sealing.book.took.get(name).map_or(!kept.is_empty(), |took| *took != kept) {
        sealing.push(Op::Took { log: name.to_owned(), serials: kept });
    }
    sealing.sealed.log = Some(name.to_owned());
    sealing.sealed.serials = serials;
    Ok(())
}
