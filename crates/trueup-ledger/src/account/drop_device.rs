//! Takes out of a hub's account what one device told.
//!
//! Row by row, as where a source is dropped, so that each sum is what the facts left below it say. What
//! [retention](crate::Retention) has left of the device's calls goes, too, and so do the names that
//! nobody else uses. What another device took over is that one's, and stays.

use std::io::ErrorKind;
use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use trueup_core::{Counters, FactId, Key, UnixMs};

use super::{Account, Memory};
use crate::rollup::Place;
use crate::row::counters_of_row;
use crate::{Ledger, LedgerError};

/// The time of what is put in: nothing is.
const NOTHING_NEW: UnixMs = UnixMs(0);

/// Rows that are taken out before the sums are brought up to them.
const PAGE_ROWS: i64 = 5_000;

/// The tables of facts that are in no sum.
const EVENTS: [&str; 3] = ["error_events", "custom_events", "system_metrics"];

/// What is left to be said of a device once its facts are gone, in this order.
const FORGET: [&str; 8] = [
    "DELETE FROM sessions WHERE device = ?1",
    "DELETE FROM device_gaps WHERE ledger IN (SELECT id FROM device_ledgers WHERE device = ?1)",
    "DELETE FROM device_batches WHERE ledger IN (SELECT id FROM device_ledgers WHERE device = ?1)",
    "DELETE FROM device_ledgers WHERE device = ?1",
    "DELETE FROM usage_device WHERE device = ?1",
    "DELETE FROM usage_week WHERE device = ?1",
    "DELETE FROM devices WHERE id = ?1",
    "DELETE FROM series WHERE ?1 IS NOT NULL AND id NOT IN (SELECT series FROM usage_session)
     AND id NOT IN (SELECT series FROM session_totals)",
];

/// What lies beside a ledger, by what its name ends with; the lock is the last to go.
const BESIDE: [&str; 6] = ["-wal", "-shm", ".ballast", ".sent", "", ".lock"];

impl Ledger {
    /// Deletes the file and what lies beside it. Whoever has it open to read keeps what was there.
    ///
    /// # Errors
    /// What the system says; some of it may be gone then.
    pub fn delete(self) -> Result<(), LedgerError> {
        // SQLite must have closed its files before they go; the lock is held until the end.
        let Self { path, database, _lock, .. } = self;
        database.close().map_err(|(_, error)| LedgerError::sqlite(&path)(error))?;
        for end in BESIDE {
            let mut file = path.clone().into_os_string();
            file.push(end);
            let file = PathBuf::from(file);
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(LedgerError::file(&file)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Takes out all that a device told, in one transaction, and overwrites it in the file. How many facts
    /// that were; `None` where there is no device of the name.
    ///
    /// # Errors
    /// What SQLite says; nothing was taken out then.
    pub fn forget_device(&mut self, name: &str) -> Result<Option<u64>, LedgerError> {
        let Self { path, database, memory, .. } = self;
        memory.clear();
        let mut run = || {
            database.pragma_update(None, "secure_delete", true)?;
            let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let dropped = drop_device(&transaction, memory, name)?;
            transaction.commit()?;
            Ok(dropped)
        };
        let result = run();
        memory.clear();
        let dropped = result.map_err(LedgerError::sqlite(path))?;
        // What was written over is in the write-ahead log until then.
        self.checkpoint()?;
        Ok(dropped)
    }
}

/// Takes out rows, keys, sums and names.
fn drop_device(
    database: &Connection,
    memory: &mut Memory,
    name: &str,
) -> rusqlite::Result<Option<u64>> {
    let number = "SELECT id FROM devices WHERE name = ?1";
    let device: Option<i64> = database.query_row(number, [name], |row| row.get(0)).optional()?;
    let Some(device) = device else { return Ok(None) };
    let mut dropped = 0;
    let mut after = Some(FactId([0; 16]));
    while let Some(last) = after {
        after = drop_calls(database, memory, device, last, &mut dropped)?;
    }
    while drop_removed(database, memory, device, &mut dropped)? {}
    for table in EVENTS {
        dropped += drop_events(database, table, device)?;
    }
    for statement in FORGET {
        database.execute(statement, [device])?;
    }
    Ok(Some(dropped))
}

/// Takes out a page of the device's calls behind `after`; the last of them, where there was one.
fn drop_calls(
    database: &Connection,
    memory: &mut Memory,
    device: i64,
    after: FactId,
    dropped: &mut u64,
) -> rusqlite::Result<Option<FactId>> {
    let page: Vec<FactId> = database
        .prepare_cached(
            "SELECT id FROM llm_calls WHERE id > ?1
             AND session IN (SELECT id FROM sessions WHERE device = ?2) ORDER BY id LIMIT ?3",
        )?
        .query_map(params![after.0, device, PAGE_ROWS], |row| Ok(FactId(row.get(0)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut account = Account::new(database, memory, false, NOTHING_NEW)?;
    for id in &page {
        account.remove_call(*id)?;
        forget_key(database, *id)?;
    }
    account.finish()?;
    *dropped += page.len() as u64;
    Ok(page.last().copied())
}

/// Takes out some of what is left of the device's calls that retention took; whether there was any.
fn drop_removed(
    database: &Connection,
    memory: &mut Memory,
    device: i64,
    dropped: &mut u64,
) -> rusqlite::Result<bool> {
    let mut page = database.prepare_cached(&crate::rollup::select(
        "start_ms, series, session",
        "usage_removed WHERE session IN (SELECT id FROM sessions WHERE device = ?1) LIMIT ?2",
    ))?;
    let removed = page
        .query_map(params![device, PAGE_ROWS], |row| {
            let (first, last) = (UnixMs(row.get(13)?), UnixMs(row.get(14)?));
            let place = Place { series: row.get(1)?, session: row.get(2)?, time: first };
            Ok((row.get::<_, i64>(0)?, place, last, counters_of_row(row, 3)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut delete = database.prepare_cached(
        "DELETE FROM usage_removed WHERE start_ms = ?1 AND series = ?2 AND session = ?3",
    )?;
    let mut account = Account::new(database, memory, false, NOTHING_NEW)?;
    for (start, place, last, counters) in &removed {
        delete.execute(params![start, place.series, place.session])?;
        account.changes.remove(*place, counters);
        account.changes.remove(Place { time: *last, ..*place }, &Counters::default());
        *dropped += counters.calls;
    }
    account.finish()?;
    Ok(!removed.is_empty())
}

/// Takes out what a device told into one of the other tables.
fn drop_events(database: &Connection, table: &str, device: i64) -> rusqlite::Result<u64> {
    let delete = format!("DELETE FROM {table} WHERE device = ?1 RETURNING id");
    let mut delete = database.prepare(&delete)?;
    let mut gone = delete.query([device])?;
    let mut dropped = 0;
    while let Some(row) = gone.next()? {
        forget_key(database, FactId(row.get(0)?))?;
        dropped += 1;
    }
    Ok(dropped)
}

/// Forgets by which key a fact is known.
fn forget_key(database: &Connection, id: FactId) -> rusqlite::Result<()> {
    let mut forget = database.prepare_cached("DELETE FROM fact_keys WHERE key = ?1")?;
    forget.execute([Key::of_id(id).0])?;
    Ok(())
}
