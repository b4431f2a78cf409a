//! An older copy of the file was put in its place: all is told again.
//!
//! What was told since that copy was made, a destination knows and this file does not. Copies of calls
//! may be among it that are never read alone again, and so would never be taken back: an agent's next
//! reading finds the better copy beside them. So from then on every copy that does not count is taken
//! back, all stores are read again, and all that counts is queued again, under another epoch and later
//! than anything before.
//!
//! That it happened is known from a file beside the ledger, which holds whose the newest batch was and
//! when it was made, or from a destination that knows a newer batch than this file does.
//!
//! ```text
//! ledger.db.sent: 5f0d6ab1c9e24c7f9a3b7f8e21d4c605 1795212600000
//! ```

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};
use trueup_core::UnixMs;

use crate::push::{BATCH_MADE, count_to, queue_all};
use crate::{Ledger, LedgerError};

/// The counter that says that copies which do not count are taken back.
pub(crate) const TOLD_ANEW: &str = "told_anew";

/// The longest mark: an id, a space, a time, a newline.
const MARK_BYTES_MAX: u64 = 64;

impl Ledger {
    /// Tells everything again, later than `newest_at`: a destination knows a batch of that time, which
    /// this file does not.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn tell_anew(&mut self, newest_at: UnixMs) -> Result<(), LedgerError> {
        self.change(|database| tell_anew(database, newest_at))?;
        self.forget_memory();
        Ok(())
    }

    /// All stores are read from their start again.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn forget_positions(&mut self) -> Result<(), LedgerError> {
        self.change(|database| database.execute("DELETE FROM positions", []).map(drop))
    }

    /// Notes, outside of the file, of when the newest batch is. Where that cannot be noted, it is not
    /// known later on that an older copy was put in the place of the file, which is all.
    pub(crate) fn mark(&self, made_at: UnixMs) {
        let Ok(Some(source)) = source(&self.database) else { return };
        let path = mark_of(&self.path);
        let part = path.with_added_extension("part");
        let write = || {
            File::create(&part)?.write_all(format!("{source} {}\n", made_at.0).as_bytes())?;
            fs::rename(&part, &path)
        };
        let _is_noted = write().is_ok();
    }

    /// The time of the newest batch of this ledger, where this file does not know it.
    pub(crate) fn newer_mark(&self) -> Result<Option<UnixMs>, LedgerError> {
        let read = || {
            let mut mark = String::new();
            let file = File::open(mark_of(&self.path)).ok()?;
            file.take(MARK_BYTES_MAX).read_to_string(&mut mark).ok()?;
            let (source, made_at) = mark.trim_end().split_once(' ')?;
            Some((source.to_owned(), made_at.parse().ok()?))
        };
        let Some((marked, marked_at)) = read() else { return Ok(None) };
        let known = || Ok((source(&self.database)?, counter(&self.database, BATCH_MADE)?));
        let (source, made_at) = known().map_err(LedgerError::sqlite(&self.path))?;
        let is_newer = source.is_some_and(|source| source == marked) && marked_at > made_at;
        Ok(is_newer.then_some(UnixMs(marked_at)))
    }
}

fn tell_anew(database: &Connection, newest_at: UnixMs) -> rusqlite::Result<()> {
    let made_at = counter(database, BATCH_MADE)?.max(newest_at.0);
    count_to(database, BATCH_MADE, made_at)?;
    count_to(database, TOLD_ANEW, 1)?;
    let epoch = "UPDATE identity SET value = lower(hex(randomblob(8))) WHERE name = 'epoch'";
    for sql in [epoch, "DELETE FROM positions", "DELETE FROM push_batches"] {
        database.execute(sql, [])?;
    }
    queue_all(database)
}

/// Whether copies that do not count are taken back.
pub(crate) fn is_told_anew(database: &Connection) -> rusqlite::Result<bool> {
    Ok(counter(database, TOLD_ANEW)? > 0)
}

fn counter(database: &Connection, name: &str) -> rusqlite::Result<i64> {
    let sql = "SELECT value FROM counters WHERE name = ?1";
    let value = database.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()?;
    Ok(value.unwrap_or(0))
}

fn source(database: &Connection) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT value FROM identity WHERE name = 'source'";
    database.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()
}

fn mark_of(ledger: &Path) -> PathBuf {
    ledger.with_added_extension("sent")
}
