//! The one writer of a ledger file.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};
use trueup_core::{Batch, Fact, FactId, Position, Problem, StoreId, UnixMs};

use crate::account::{self, Account, Memory, Written, claims, drop_source};
use crate::retention::{self, Cleaning};
use crate::volume::Ballast;
use crate::{LedgerError, Removed, Retention, push, schema};

/// How long a statement waits for another connection, such as a shell, to let go.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the emptying of the write-ahead log waits for readers before it is left for another time.
const READERS_PATIENCE: Duration = Duration::from_millis(500);

/// Kilobytes of pages that a connection keeps in memory.
const CACHE_KIB: i64 = 4_000;

/// Prepared statements that a connection keeps.
const STATEMENTS_CACHED_MAX: usize = 64;

/// How to open a ledger.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions {
    /// Whether rows are queued although no destination is active yet.
    pub has_outbox: bool,
    /// How much is kept, for those who clean; others leave everything as it is.
    pub retention: Option<Retention>,
}

/// A ledger file, opened for writing. While it lives no other process can write the file.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) path: PathBuf,
    pub(crate) database: Connection,
    pub(crate) memory: Memory,
    pub(crate) options: OpenOptions,
    pub(crate) cleaning: Option<Cleaning>,
    pub(crate) removed: Removed,
    pub(crate) ballast: Option<Ballast>,
    /// Whether the ballast is wanted and not held.
    pub(crate) is_low: bool,
    /// Bytes of the write-ahead log that the next write takes again, where room is scarce.
    pub(crate) log_room: u64,
    /// Rows up to here may not go, where the disk is full.
    pub(crate) looked_through: FactId,
    /// Held, not read: the operating system releases it when the process ends, however it ends.
    pub(crate) _lock: File,
}

/// A source's new account, on its way into the file.
#[derive(Debug)]
pub struct Rebuild<'a> {
    path: &'a Path,
    database: &'a Connection,
    memory: &'a mut Memory,
    options: OpenOptions,
    source: &'a str,
    now: UnixMs,
}

impl Rebuild<'_> {
    /// Writes batches.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn append(&mut self, batches: &[&Batch]) -> Result<Appended, LedgerError> {
        let Self { path, database, memory, options, now, .. } = self;
        write(database, memory, *options, batches, *now).map_err(LedgerError::sqlite(path))
    }

    /// How many calls, and how many claimed runs, of the old account are not in the new one.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn lost(&self) -> Result<(u64, u64), LedgerError> {
        // Another connection, which sees what is committed: the old account.
        let old = connect(self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        account::lost(&old, self.database, self.source).map_err(LedgerError::sqlite(self.path))
    }
}

/// What was written of some batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    /// Facts that are new.
    pub added: u64,
    /// Facts that took the place of a less complete copy.
    pub replaced: u64,
    /// Facts that were known already.
    pub known: u64,
    /// Those of the added that agents claim, rather than calls that were measured.
    pub claims: u64,
}

impl Ledger {
    /// Opens or creates the ledger at `path`, and the folder that it is in.
    ///
    /// # Errors
    /// Where another process writes it, a newer version wrote it, it is another kind of file, or the
    /// system refuses.
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self, LedgerError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(LedgerError::file(folder))?;
        }
        let lock = lock(path)?;
        let ballast =
            options.retention.and_then(|retention| Ballast::of(path, retention.ballast_bytes));
        let database = match set_up(path) {
            // Even opening needs a little room.
            Err(error) if error.is_full() && ballast.as_ref().is_some_and(Ballast::release) => {
                set_up(path)?
            }
            database => database?,
        };
        let is_sent = push::is_any_active(&database).map_err(LedgerError::sqlite(path))?;
        let mut ledger = Self {
            path: path.to_path_buf(),
            database,
            memory: Memory::default(),
            options: OpenOptions { has_outbox: options.has_outbox || is_sent, ..options },
            cleaning: None,
            removed: Removed::default(),
            ballast,
            is_low: false,
            log_room: 0,
            looked_through: FactId([0; 16]),
            _lock: lock,
        };
        ledger.hold_ballast();
        Ok(ledger)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes batches in one transaction: facts, sums, positions, problems and outbox, or nothing.
    ///
    /// # Errors
    /// What SQLite says; nothing was written.
    pub fn append(&mut self, batches: &[&Batch], now: UnixMs) -> Result<Appended, LedgerError> {
        if self.is_low {
            let facts = batches.iter().flat_map(|batch| &batch.facts);
            self.secure_room(facts.map(Fact::weight_bytes).sum())?;
        }
        let Self { path, database, memory, options, .. } = self;
        let result = append(database, memory, *options, batches, now);
        if result.is_err() {
            memory.clear();
        }
        let result = result.map_err(LedgerError::sqlite(path));
        self.reuse_log();
        result
    }

    /// Puts another account of what was read from a source's stores in the place of the present one, in
    /// one transaction: `fill` writes it. Whoever reads meanwhile sees the old one; so does whoever
    /// opens the file after a crash, and where `fill` fails.
    ///
    /// What clients posted under the name of the source stays, and so do sums and keys of calls whose
    /// rows are no longer there.
    ///
    /// # Errors
    /// What SQLite says, and what `fill` does.
    pub fn rebuild<T, E: From<LedgerError>>(
        &mut self,
        source: &str,
        now: UnixMs,
        fill: impl FnOnce(&mut Rebuild<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let Self { path, database, memory, options, .. } = self;
        let begin = |database| Transaction::new(database, TransactionBehavior::Immediate);
        let run = || {
            let transaction = begin(database).map_err(LedgerError::sqlite(path))?;
            let dropped = drop_source(&transaction, memory, options.has_outbox, source);
            dropped.map_err(LedgerError::sqlite(path))?;
            let mut rebuild =
                Rebuild { path, database: &transaction, memory, options: *options, source, now };
            let filled = fill(&mut rebuild)?;
            transaction.commit().map_err(LedgerError::sqlite(path))?;
            Ok(filled)
        };
        let result = run();
        memory.clear();
        result
    }

    /// Adds to numbers that must survive a restart.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn count(&self, name: &str, by: u64) -> Result<(), LedgerError> {
        retention::count(&self.database, name, by).map_err(LedgerError::sqlite(&self.path))
    }

    /// Nothing is remembered of the file.
    pub(crate) fn forget_memory(&mut self) {
        self.memory.clear();
    }

    /// Changes what is to be sent, in one transaction.
    pub(crate) fn change<T>(
        &mut self,
        change: impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let change =
            |database: &Connection| Ok((change(database)?, push::is_any_active(database)?));
        let result = match self.try_change(change) {
            // What is sent may go: a full disk must not keep it from being sent.
            Err(error) if error.is_full() => {
                self.release_ballast();
                self.try_change(change)
            }
            result => result,
        };
        let (changed, is_sent) = result?;
        self.options.has_outbox = is_sent;
        // What was pushed may go.
        self.looked_through = FactId([0; 16]);
        Ok(changed)
    }

    /// Changes what has nothing to do with that, in one transaction, where there is room for it.
    pub(crate) fn try_change<T>(
        &mut self,
        change: impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let Self { path, database, .. } = self;
        let mut run = || {
            let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let changed = change(&transaction)?;
            transaction.commit()?;
            Ok(changed)
        };
        let changed = run().map_err(LedgerError::sqlite(path))?;
        self.reuse_log();
        Ok(changed)
    }

    /// Gives back the memory of pages that were read or written.
    pub(crate) fn shed_memory(&self) -> Result<(), LedgerError> {
        let shed = self.database.execute_batch("PRAGMA shrink_memory");
        shed.map_err(LedgerError::sqlite(&self.path))
    }

    /// Moves the write-ahead log into the file and empties it.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn checkpoint(&self) -> Result<(), LedgerError> {
        checkpoint(&self.database, "TRUNCATE").map(drop).map_err(LedgerError::sqlite(&self.path))
    }

    /// Moves what it can of the write-ahead log into the file; of a log longer than `bytes_max` all, and
    /// cuts it to nothing. Whether it is short now: readers may be in the way of that.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn tidy_log(&self, bytes_max: u64) -> Result<bool, LedgerError> {
        if length(&write_ahead_log(&self.path)) > bytes_max {
            return self.cut_log();
        }
        checkpoint(&self.database, "PASSIVE").map(|_| true).map_err(LedgerError::sqlite(&self.path))
    }

    /// Where room is scarce, moves the write-ahead log into the file, so that the next write finds it at
    /// its start again.
    pub(crate) fn reuse_log(&mut self) {
        if self.is_low {
            let is_moved = checkpoint(&self.database, "PASSIVE").is_ok_and(|moved| moved.is_all);
            self.log_room = if is_moved { length(&write_ahead_log(&self.path)) } else { 0 };
        }
    }

    /// Empties the write-ahead log, unless readers are in the way of that for long.
    pub(crate) fn cut_log(&self) -> Result<bool, LedgerError> {
        let run = || {
            self.database.busy_timeout(READERS_PATIENCE)?;
            let moved = checkpoint(&self.database, "TRUNCATE");
            self.database.busy_timeout(BUSY_TIMEOUT)?;
            moved.map(|moved| !moved.is_busy)
        };
        run().map_err(LedgerError::sqlite(&self.path))
    }
}

/// The file in which SQLite keeps what is not in the ledger's file yet.
#[must_use]
pub fn write_ahead_log(ledger: &Path) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// The length of a file; none where it is not there.
pub(crate) fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

/// What was moved of the write-ahead log.
struct Moved {
    /// Somebody was in the way.
    is_busy: bool,
    /// All of it was moved.
    is_all: bool,
}

fn checkpoint(database: &Connection, mode: &str) -> rusqlite::Result<Moved> {
    database.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        let (all, moved): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok(Moved { is_busy: row.get(0)?, is_all: all == moved })
    })
}

/// Opens or creates the file, in its present schema.
fn set_up(path: &Path) -> Result<Connection, LedgerError> {
    make_private(path)?;
    let mut database =
        connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    let is_new = schema::check(&database, path)? == 0;
    let set = |database: &Connection| {
        if is_new {
            // Before the first table: it cannot be changed later without rewriting the file.
            database.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "FULL")?;
        // Rows point only to numbers that their own transaction looked up or made; `check` looks.
        database.pragma_update(None, "foreign_keys", false)
    };
    set(&database).map_err(LedgerError::sqlite(path))?;
    schema::migrate(&mut database, path)?;
    Ok(database)
}

pub(crate) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, LedgerError> {
    let open = || {
        let database = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        database.busy_timeout(BUSY_TIMEOUT)?;
        database.pragma_update(None, "cache_size", -CACHE_KIB)?;
        database.pragma_update(None, "temp_store", "MEMORY")?;
        database.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
        // A plan that may depend on the values that are bound is made anew whenever a statement comes
        // out of the cache, which takes four times as long as reading the row.
        database.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        Ok(database)
    };
    open().map_err(LedgerError::sqlite(path))
}

/// A ledger may hold prompts: a new one is its owner's alone. SQLite gives the files beside it the
/// same mode.
pub(crate) fn make_private(path: &Path) -> Result<(), LedgerError> {
    let create = File::options().write(true).create_new(true).mode(0o600).open(path);
    match create {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(LedgerError::file(path)(error))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Takes the file beside the ledger that says who writes it.
fn lock(path: &Path) -> Result<File, LedgerError> {
    let lock_path = path.with_added_extension("lock");
    let wrap = LedgerError::file(&lock_path);
    let open = File::options().read(true).write(true).create(true).truncate(false).open(&lock_path);
    let mut file = match open {
        Ok(file) => file,
        Err(error) => return Err(wrap(error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // Only for the message: an owner that cannot be read is still an owner.
            let _length = (&file).take(32).read_to_string(&mut owner).unwrap_or(0);
            let owner = if owner.trim().is_empty() {
                "unknown".to_owned()
            } else {
                owner.trim().to_owned()
            };
            return Err(LedgerError::Locked { path: path.to_path_buf(), owner });
        }
        Err(TryLockError::Error(error)) => return Err(wrap(error)),
    }
    let mut note = || {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    // Only for the message to others: on a full disk the lock holds all the same.
    let _is_noted = note().is_ok();
    Ok(file)
}

fn append(
    database: &mut Connection,
    memory: &mut Memory,
    options: OpenOptions,
    batches: &[&Batch],
    now: UnixMs,
) -> rusqlite::Result<Appended> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let appended = write(&transaction, memory, options, batches, now)?;
    transaction.commit()?;
    Ok(appended)
}

/// Writes batches in the transaction that is open.
fn write(
    database: &Connection,
    memory: &mut Memory,
    options: OpenOptions,
    batches: &[&Batch],
    now: UnixMs,
) -> rusqlite::Result<Appended> {
    let mut account = Account::new(database, memory, options.has_outbox, now)?;
    account.batches(batches)?;
    let written = account.finish()?;
    for batch in batches {
        for store in &batch.restarted {
            database
                .prepare_cached("DELETE FROM problems WHERE source = ?1 AND path = ?2")?
                .execute(params![&*store.source, &*store.path])?;
        }
        for (store, position) in &batch.positions {
            put_position(database, store, position, now)?;
        }
        for (store, problem) in &batch.problems {
            put_problem(database, store, problem, now)?;
        }
    }
    if batches.iter().any(|batch| batch.is_poll) {
        claims::note_poll(database)?;
    }
    let Written { added, replaced, known, claims } = written;
    Ok(Appended { added, replaced, known, claims })
}

fn put_position(
    database: &Connection,
    store: &StoreId,
    position: &Position,
    now: UnixMs,
) -> rusqlite::Result<()> {
    let stamp = &position.stamp;
    database
        .prepare_cached(
            "INSERT OR REPLACE INTO positions (source, path, part, device, inode, size_bytes,
             modified_ns, offset, line, tail_hash, read_at, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            &*store.source,
            &*store.path,
            &*store.part,
            stamp.device.cast_signed(),
            stamp.inode.cast_signed(),
            stamp.size_bytes.cast_signed(),
            stamp.modified_ns,
            position.offset.cast_signed(),
            position.line.cast_signed(),
            position.tail_hash.cast_signed(),
            now.0,
            position.state,
        ])?;
    // It could be read now: that it could not be is no longer true.
    database
        .prepare_cached("DELETE FROM problems WHERE source = ?1 AND path = ?2 AND line = 0")?
        .execute(params![&*store.source, &*store.path])?;
    Ok(())
}

fn put_problem(
    database: &Connection,
    store: &StoreId,
    problem: &Problem,
    now: UnixMs,
) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "INSERT INTO problems (source, path, line, kind, detail, seen_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET detail = excluded.detail, seen_at = excluded.seen_at
             WHERE detail <> excluded.detail",
        )?
        .execute(params![
            &*store.source,
            &*store.path,
            problem.line.cast_signed(),
            problem.kind.name(),
            problem.detail,
            now.0
        ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise a full disk is looked through from the beginning after each page of a provider.
    #[test]
    fn only_a_change_of_what_is_sent_lets_rows_be_looked_at_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        let end = FactId([255; 16]);
        ledger.looked_through = end;
        ledger.begin_backfill("backfill", &[], UnixMs(0)).unwrap();
        assert_eq!((ledger.looked_through, ledger.options.has_outbox), (end, false));
        ledger.activate("hub", "https://hub.example").unwrap();
        assert_eq!((ledger.looked_through, ledger.options.has_outbox), (FactId([0; 16]), true));
    }
}
