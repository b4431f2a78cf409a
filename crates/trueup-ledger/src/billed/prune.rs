//! What goes of what providers say, and what stays.
//!
//! A day that has settled, and was compared with the account after that, needs no detail any more: the
//! bytes of the pages that told of it go, and rows of its hours and minutes. Rows of days stay for ever,
//! with their revisions; of a page its hash does.
//!
//! ```text
//! still_since 2026-10-04, compared_at 2026-10-06: goes 35 days after its end
//! still_since 2026-10-04, compared_at 2026-10-03: stays until it is compared again
//! ```

use rusqlite::{Connection, params};
use trueup_core::{DAY_MS, UnixMs};

use crate::{Ledger, LedgerError, Reader};

/// Pages that one step empties.
const PAGES_STEP: i64 = 200;
/// Days of a family whose finer rows one step removes.
const DAYS_STEP: i64 = 20;

/// What went, or would go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Pages whose bytes go.
    pub pages: u64,
    /// How many bytes that is, as they are kept.
    pub bytes: u64,
    /// Rows of hours and minutes.
    pub rows: u64,
    /// Days of families whose hours and minutes these were, also such as had no rows.
    pub days: u64,
}

/// What would go, and what is as old and stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prunable {
    /// What would go.
    pub going: Pruned,
    /// What stays, because a day of it has not settled, or was not compared since.
    pub kept: Pruned,
}

impl Pruned {
    /// Whether it is nothing.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.pages == 0 && self.rows == 0 && self.days == 0
    }

    /// Adds another one.
    pub const fn add(&mut self, other: Self) {
        self.pages += other.pages;
        self.bytes += other.bytes;
        self.rows += other.rows;
        self.days += other.days;
    }

    const fn without(self, other: Self) -> Self {
        Self {
            pages: self.pages.saturating_sub(other.pages),
            bytes: self.bytes.saturating_sub(other.bytes),
            rows: self.rows.saturating_sub(other.rows),
            days: self.days.saturating_sub(other.days),
        }
    }
}

/// What ends before this is old enough.
const fn oldest_kept(keep_days: u32, now: UnixMs) -> i64 {
    now.floor(DAY_MS).0 - keep_days as i64 * DAY_MS
}

impl Ledger {
    /// Removes some of what is older than so many days, settled and compared; it is nothing once nothing
    /// of that is left.
    ///
    /// # Errors
    /// What SQLite says; nothing was removed.
    pub fn prune_billed(&mut self, keep_days: u32, now: UnixMs) -> Result<Pruned, LedgerError> {
        let before = oldest_kept(keep_days, now);
        let pruned = self.try_change(|database| {
            let mut pruned = empty_pages(database, before)?;
            for day in finer_days(database, before, DAYS_STEP)? {
                pruned.rows += remove_finer(database, &day)?;
                pruned.days += 1;
            }
            Ok(pruned)
        })?;
        self.shed_memory()?;
        Ok(pruned)
    }
}

/// Pages of days that are all old, settled and compared since.
const PAGES: &str = "
    SELECT p.id, length(p.body) AS bytes FROM provider_pages p
    WHERE p.until_ms <= ?1 AND length(p.body) > 0
    AND (p.until_ms - p.from_ms + p.from_ms % 86400000 + 86399999) / 86400000 = (
        SELECT count(*) FROM provider_days d WHERE d.connection = p.connection
        AND d.family = substr(p.cursor_key, 1, instr(p.cursor_key, ':') - 1)
        AND d.start_ms >= p.from_ms - p.from_ms % 86400000 AND d.start_ms < p.until_ms
        AND d.compared_at >= d.still_since)";

fn empty_pages(database: &Connection, before: i64) -> rusqlite::Result<Pruned> {
    let pages: Vec<(i64, i64)> = database
        .prepare_cached(&format!("{PAGES} LIMIT {PAGES_STEP}"))?
        .query_map([before], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut pruned = Pruned::default();
    let empty = "UPDATE provider_pages SET body = x'' WHERE id = ?1";
    for (id, bytes) in pages {
        database.prepare_cached(empty)?.execute([id])?;
        pruned.pages += 1;
        pruned.bytes += bytes.unsigned_abs();
    }
    Ok(pruned)
}

/// A day of a family that has finer rows.
struct FinerDay {
    connection: i64,
    family: String,
    start: i64,
}

/// Days with buckets of hours or minutes that are old, settled and compared since.
const FINER: &str = "
    SELECT f.connection, f.family, f.start_ms - f.start_ms % 86400000 AS day
    FROM provider_buckets f WHERE f.width_minutes < 1440 AND f.start_ms < ?1
    GROUP BY f.connection, f.family, day
    HAVING EXISTS (SELECT 1 FROM provider_days d WHERE d.connection = f.connection
        AND d.family = f.family AND d.start_ms = f.start_ms - f.start_ms % 86400000
        AND d.compared_at >= d.still_since)";

fn finer_days(database: &Connection, before: i64, limit: i64) -> rusqlite::Result<Vec<FinerDay>> {
    database
        .prepare_cached(&format!("{FINER} LIMIT ?2"))?
        .query_map([before, limit], |row| {
            Ok(FinerDay { connection: row.get(0)?, family: row.get(1)?, start: row.get(2)? })
        })?
        .collect()
}

/// Removes the finer rows of a day, their revisions and their buckets; how many rows.
fn remove_finer(database: &Connection, day: &FinerDay) -> rusqlite::Result<u64> {
    let within = "connection = ?1 AND family = ?2 AND width_minutes < 1440 AND start_ms >= ?3
         AND start_ms < ?3 + 86400000";
    let remove = |sql: String| {
        database.prepare_cached(&sql)?.execute(params![day.connection, day.family, day.start])
    };
    remove(format!(
        "DELETE FROM provider_revisions WHERE row IN (SELECT id FROM provider_rows WHERE {within})"
    ))?;
    let rows = remove(format!("DELETE FROM provider_rows WHERE {within}"))?;
    remove(format!("DELETE FROM provider_buckets WHERE {within}"))?;
    Ok(rows as u64)
}

impl Reader {
    /// What [`Ledger::prune_billed`] would remove in the end, and what is as old and stays.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn prunable_billed(&self, keep_days: u32, now: UnixMs) -> Result<Prunable, LedgerError> {
        if !self.has_table("provider_days")? {
            return Ok(Prunable::default());
        }
        let before = oldest_kept(keep_days, now);
        let all = self.pruned(
            "SELECT count(*), coalesce(sum(length(body)), 0) FROM provider_pages
             WHERE (until_ms <= ?1 OR until_ms IS NULL AND first_seen_at < ?1) AND length(body) > 0",
            "SELECT count(*) FROM provider_rows WHERE width_minutes < 1440 AND start_ms < ?1",
            "SELECT count(*) FROM (SELECT DISTINCT connection, family, start_ms - start_ms % 86400000
             FROM provider_buckets WHERE width_minutes < 1440 AND start_ms < ?1)",
            before,
        )?;
        let going = self.pruned(
            &format!("SELECT count(*), coalesce(sum(bytes), 0) FROM ({PAGES})"),
            &format!(
                "SELECT count(*) FROM ({FINER}) d JOIN provider_rows w
                 ON w.connection = d.connection AND w.family = d.family
                 AND w.width_minutes < 1440 AND w.start_ms >= d.day AND w.start_ms < d.day + 86400000"
            ),
            &format!("SELECT count(*) FROM ({FINER})"),
            before,
        )?;
        Ok(Prunable { going, kept: all.without(going) })
    }

    fn pruned(
        &self,
        pages: &str,
        rows: &str,
        days: &str,
        before: i64,
    ) -> Result<Pruned, LedgerError> {
        let count = |row: &rusqlite::Row<'_>, at| row.get::<_, i64>(at).map(i64::unsigned_abs);
        let pages: Vec<(u64, u64)> =
            self.all(pages, [before], |row| Ok((count(row, 0)?, count(row, 1)?)))?;
        let (pages, bytes) = pages.first().copied().unwrap_or_default();
        let one = |sql: &str| {
            let found: Vec<u64> = self.all(sql, [before], |row| count(row, 0))?;
            Ok::<u64, LedgerError>(found.first().copied().unwrap_or_default())
        };
        Ok(Pruned { pages, bytes, rows: one(rows)?, days: one(days)? })
    }
}
