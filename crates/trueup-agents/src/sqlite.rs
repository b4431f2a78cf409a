//! SQLite stores of agents: opened without ever writing to them, and asked for what they are made of.
//!
//! Which tables and columns are there is looked up, never concluded from a version.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use trueup_core::{Position, Stamp};

use crate::discover;
use crate::lines::LINE_BYTES_MAX;
use crate::scan::hash64;

/// How long a database may be locked by its agent before we come back later.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens an agent's database without ever writing to it, beside a live agent.
pub(crate) fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(BUSY_TIMEOUT)?;
    database.pragma_update(None, "query_only", true)?;
    database.pragma_update(None, "cache_size", -2_000)?;
    Ok(database)
}

/// What tells whether a database was written to: its file, and its write-ahead log, in which SQLite
/// keeps what it has not moved into the file yet.
pub(crate) fn position(path: &Path) -> io::Result<Position> {
    let stamp = discover::stamp(&fs::metadata(path)?);
    let mut log_path = path.as_os_str().to_owned();
    log_path.push("-wal");
    let log = match fs::metadata(log_path) {
        // Opening a database, even to read it, creates an empty log.
        Ok(log) if log.len() > 0 => discover::stamp(&log),
        Ok(_) => Stamp::default(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Stamp::default(),
        Err(error) => return Err(error),
    };
    let log_text =
        format!("{} {} {} {}", log.device, log.inode, log.size_bytes, log.modified_ns).into_bytes();
    let offset = stamp.size_bytes.saturating_add(log.size_bytes);
    Ok(Position { stamp, offset, tail_hash: hash64(&log_text), ..Position::default() })
}

/// The columns of a table; none where there is no such table.
pub(crate) fn columns(database: &Connection, table: &str) -> rusqlite::Result<BTreeSet<String>> {
    let mut statement = database.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = statement.query_map([table], |row| row.get(0))?;
    names.collect()
}

/// The longest value that is held in memory as it is; longer ones are shortened.
pub(crate) fn value_bytes_max() -> i64 {
    i64::try_from(LINE_BYTES_MAX).unwrap_or(i64::MAX)
}
