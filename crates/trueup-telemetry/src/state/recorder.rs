//! What takes records: sums in memory, and a log that is behind them by little.
//!
//! A record changes sums in memory. Once [`Durability::records_max`] of them are not yet in the log, or
//! one comes [`Durability::interval_ms`] after the last write, those that changed are written, with one
//! call and without a sync. A kill therefore loses only records of the last moments before it, and
//! [`Recorder::durable`] says which are safe from it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trueup_core::UnixMs;

use super::error::StateError;
use super::folder::{Folder, OnDisk, create_folder, is_at, private, sync_folder};
use super::lines::line;
use super::open_log::{OPEN_LOG_VERSION, OpenOp, Put};
use super::seal::Sealed;
use crate::budget::Day;
use crate::outbox::hex;
use crate::rollup::{Buckets, FieldId, Part, Plan, Reason, RollupId, SessionId, Value};

/// Bytes of a log past which it is written anew with what counts of it.
pub(crate) const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How far the log may be behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durability {
    /// Records that a kill may lose.
    pub records_max: u64,
    /// The stretch of time whose records it may lose.
    pub interval_ms: u64,
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
    folder: Folder,
    name: String,
    file: Arc<File>,
    bytes: u64,
    bytes_max: u64,
    salt: [u8; 32],
    buckets: Buckets,
    durability: Durability,
    number: u64,
    durable: u64,
    last_write: UnixMs,
    health: Health,
}

/// What has ended, on its way to the store.
#[derive(Debug)]
pub struct Handed {
    pub(crate) name: String,
    pub(crate) file: Arc<File>,
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
        let (file, bytes) = write_log(&folder, &name, None)?;
        Ok(Self {
            folder,
            name,
            file: Arc::new(file),
            bytes,
            bytes_max: LOG_BYTES_MAX,
            salt,
            buckets,
            durability,
            number: 0,
            durable: 0,
            last_write: now,
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
        let is_long_ago = now.0.abs_diff(self.last_write.0) >= self.durability.interval_ms;
        if is_long_ago || self.number - self.durable >= self.durability.records_max {
            self.persist(now);
        }
        Ack { number: Some(self.number), refused }
    }

    /// Ends a session. A second time there is nothing to end.
    pub fn end(&mut self, session: SessionId, now: UnixMs) {
        self.buckets.end(session);
        self.persist(now);
    }

    /// Says whether what is recorded from now on stays on this machine, whatever is decided later.
    pub fn set_local(&mut self, is_local: bool, now: UnixMs) {
        self.buckets.set_local(is_local);
        self.persist(now);
    }

    /// Ends everything, because the process does.
    pub fn end_all(&mut self, now: UnixMs) {
        self.buckets.end_all(Reason::WorkerShutdown);
        self.persist(now);
    }

    /// Writes what is not in the log yet. Says whether all is now.
    pub fn persist(&mut self, now: UnixMs) -> bool {
        self.last_write = now;
        let (parts, gone) = self.buckets.changes();
        if parts.is_empty() && gone.is_empty() {
            self.durable = self.number;
            return true;
        }
        let bytes = ops_line(&parts, gone, self.buckets.plan());
        let written = bytes.and_then(|bytes| self.append(&bytes));
        match written {
            Ok(()) => {
                self.buckets.written();
                self.durable = self.number;
                if self.bytes > self.bytes_max {
                    self.rewrite();
                }
                true
            }
            Err(error) => {
                self.health.write_errors += 1;
                self.health.last_error = Some(error.kind());
                false
            }
        }
    }

    /// Ends what is due, and gives out all that has ended. Give it to [`Store::seal`](super::Store::seal),
    /// and what that answers to [`forget`](Self::forget); in between records may come.
    pub fn hand_over(&mut self, now: UnixMs) -> Handed {
        self.buckets.sweep(now);
        self.persist(now);
        Handed {
            name: self.name.clone(),
            file: Arc::clone(&self.file),
            parts: self.buckets.hand_over(),
            gone: self.buckets.gone().clone(),
        }
    }

    /// Drops what the store has taken, if it was of this recorder. Where the state was purged meanwhile, all that was recorded is
    /// dropped, and a new log begun.
    pub fn forget(&mut self, sealed: &Sealed) -> Result<(), StateError> {
        for part in &sealed.recovered {
            self.buckets.resume(part);
        }
        if sealed.log.as_ref() != Some(&self.name) {
            return Ok(());
        }
        if !sealed.is_purged {
            self.buckets.forget(&sealed.serials);
            return Ok(());
        }
        self.buckets.clear();
        create_folder(self.folder.root())?;
        let (file, bytes) = write_log(&self.folder, &self.name, None)?;
        (self.file, self.bytes) = (Arc::new(file), bytes);
        Ok(())
    }

    /// Ends the recorder. Its log goes where nothing is left in it; otherwise the next process finds it.
    pub fn close(mut self, now: UnixMs) -> Result<(), StateError> {
        let path = self.path();
        if self.buckets.is_empty() && is_at(&self.file, &path) {
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

    fn path(&self) -> PathBuf {
        self.folder.path(&self.name)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = (&*self.file).write_all(bytes);
        if written.is_ok() {
            self.bytes += u64::try_from(bytes.len()).unwrap_or(0);
        } else if self.file.set_len(self.bytes).is_err() {
            // A torn line is left, which hides whole ones behind it: after the next the log is written
            // anew.
            self.bytes_max = 0;
        }
        written
    }

    /// Writes the log anew. Not while another process purges, which would bring it back; where it fails
    /// the old one is as good.
    fn rewrite(&mut self) {
        let Ok(_lock) = self.folder.lock() else { return };
        if !is_at(&self.file, &self.path()) {
            return;
        }
        let Ok(lines) = ops_line(&self.buckets.all(), &BTreeSet::new(), self.buckets.plan()) else {
            return;
        };
        if let Ok((file, bytes)) = write_log(&self.folder, &self.name, Some(&lines)) {
            (self.file, self.bytes) = (Arc::new(file), bytes);
            self.bytes_max = LOG_BYTES_MAX.max(bytes.saturating_mul(4));
        }
    }
}

/// Makes a log that is locked before anybody else can see it: a new one, or one with `lines` in the
/// place of an older one, which must last before the older one is gone.
fn write_log(folder: &Folder, name: &str, lines: Option<&[u8]>) -> Result<(File, u64), StateError> {
    let path = folder.path(name);
    let tmp = path.with_added_extension("tmp");
    let mut bytes = Vec::new();
    line(&format!(r#"[{{"head":{{"version":{OPEN_LOG_VERSION}}}}}]"#), &mut bytes);
    bytes.extend_from_slice(lines.unwrap_or_default());
    super::folder::remove(&tmp)?;
    let file = private().create_new(true).append(true).open(&tmp);
    let mut file = file.map_err(StateError::io("create", &tmp))?;
    let mut make = || {
        file.try_lock().map_err(io::Error::from).map_err(StateError::io("lock", &tmp))?;
        file.write_all(&bytes).map_err(StateError::io("write", &tmp))?;
        if lines.is_some() {
            file.sync_all().map_err(StateError::io("sync", &tmp))?;
        }
        fs::rename(&tmp, &path).map_err(StateError::io("rename", &tmp))
    };
    if let Err(error) = make() {
        // A full disk must not fill with what it had no room for.
        super::folder::remove(&tmp)?;
        return Err(error);
    }
    if lines.is_some() {
        // An older log must not be back after the power fails: it would show what is gone.
        sync_folder(folder.root())?;
    }
    Ok((file, u64::try_from(bytes.len()).unwrap_or(0)))
}

fn ops_line(parts: &[&Part], gone: &BTreeSet<u64>, plan: &Plan) -> io::Result<Vec<u8>> {
    let puts = parts.iter().filter_map(|part| Put::of(part, plan));
    let mut ops: Vec<_> = puts.map(|put| OpenOp::Put(Box::new(put))).collect();
    if !gone.is_empty() {
        ops.push(OpenOp::Gone(gone.clone()));
    }
    let mut bytes = Vec::new();
    line(&serde_json::to_string(&ops)?, &mut bytes);
    Ok(bytes)
}
