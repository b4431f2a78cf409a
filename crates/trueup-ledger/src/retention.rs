//! What goes when the ledger has grown too large or too old, or its volume too full; and what stays.
//!
//! Rows go, the oldest first, in steps so small that no record waits long for one. What they counted
//! stays: sums, the keys by which a copy is known, claims, and of removed calls what each session used
//! in each quarter of an hour. So no total moves, and reading the same files again adds nothing.
//!
//! Where rows are pushed, only those that have arrived go, unless losing the others is preferred to a
//! full disk; then these go last, and are counted.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use trueup_core::{FactId, UnixMs};

use crate::ledger::length;
use crate::push::is_any_active;
use crate::row::signed;
use crate::volume::{Ballast, Volume};
use crate::{Ledger, LedgerError};

/// The name under which removed rows are counted in the ledger.
pub const REMOVED: &str = "removed_total";
/// The name under which those of them are counted that were to be pushed and had not been.
pub const LOST: &str = "lost_to_retention_total";

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Bytes that the file may have.
    pub bytes_max: Option<u64>,
    /// How much of its volume may be in use, by whomever, in percent.
    pub volume_percent_max: Option<u64>,
    /// How old a row may be.
    pub age_max: Option<Duration>,
    /// Whether rows go that were not pushed yet, where the others are not enough.
    pub is_unsynced_too: bool,
    /// Bytes held beside the ledger, to be let go when the disk is full.
    pub ballast_bytes: u64,
}

/// What cleaning has done since the ledger was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Rows that went.
    pub rows: u64,
    /// Those of them that were to be pushed and had not been.
    pub lost: u64,
}

/// Whether space is held for a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BallastState {
    /// None is wanted.
    #[default]
    None,
    /// It is there.
    Held,
    /// It was let go, or there was no room for it.
    Released,
}

/// Rows of each table that are looked at together; then it is asked again whether more must go.
const PART_ROWS: u32 = 50;
/// Parts of one step, which is one transaction.
const STEP_PARTS: u32 = 20;
/// Pages that one step gives back to the system.
const STEP_PAGES: u64 = 256;
/// Free pages that are left for sums and positions where new rows take the place of old ones.
const SPARE_PAGES: u64 = 32;
/// Below this share of its volume a ledger is left alone: it is others who fill the volume.
const VOLUME_SHARE_MIN: u64 = 100;

/// The tables whose rows go.
const TABLES: [&str; 4] = ["llm_calls", "error_events", "custom_events", "system_metrics"];

/// Behind every id.
const LAST: FactId = FactId([0xff; 16]);
/// Before every id.
const FIRST: FactId = FactId([0; 16]);

/// A cleaning under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cleaning {
    /// Pages that may be in use; rows go until no more are.
    pages_max: u64,
    /// Rows before this go in any case.
    aged: FactId,
    /// Rows up to here were looked at.
    after: FactId,
    /// Whether rows go that were not pushed.
    is_unsynced_too: bool,
    /// What is being done.
    phase: Phase,
    /// Whether pages were given back.
    has_freed: bool,
}

/// What a cleaning does, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Rows go.
    Rows,
    /// Free pages are given back to the system, of a file that is larger than this many.
    Pages(u64),
    /// The file becomes shorter: it does when its write-ahead log is emptied.
    File,
}

/// The file's pages.
#[derive(Debug, Clone, Copy)]
struct Pages {
    all: u64,
    free: u64,
    bytes: u64,
}

impl Pages {
    fn of(database: &Connection) -> rusqlite::Result<Self> {
        let number = |name: &str| {
            database
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0).map(i64::unsigned_abs))
        };
        let (all, free) = (number("page_count")?, number("freelist_count")?);
        Ok(Self { all, free, bytes: number("page_size")? })
    }

    const fn used(self) -> u64 {
        self.all.saturating_sub(self.free)
    }

    /// How large the file may stay: few free pages are left for the next rows, unless it is too large.
    fn worth_keeping(self, retention: &Retention) -> u64 {
        let max = retention.bytes_max.unwrap_or(u64::MAX) / self.bytes.max(1);
        max.min(self.used() + self.all / 8)
    }
}

impl Cleaning {
    fn begin(
        database: &Connection,
        retention: &Retention,
        volume: Option<Volume>,
        now: UnixMs,
    ) -> rusqlite::Result<Self> {
        let pages = Pages::of(database)?;
        let age = |age: Duration| i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let aged = retention.age_max.map(|max| UnixMs(now.0.saturating_sub(age(max))));
        Ok(Self {
            pages_max: retention.bytes_to_keep(pages.used() * pages.bytes, volume)
                / pages.bytes.max(1),
            aged: aged.map_or(FIRST, FactId::first_at),
            after: FIRST,
            is_unsynced_too: false,
            phase: Phase::Rows,
            has_freed: false,
        })
    }

    /// Takes one step; the cleaning as it goes on, and what was removed.
    fn step(
        self,
        database: &mut Connection,
        retention: &Retention,
    ) -> rusqlite::Result<(Self, Removed)> {
        let mut removed = Removed::default();
        let Phase::Pages(max) = self.phase else {
            let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut next = self;
            for _ in 0..STEP_PARTS {
                if next.phase == Phase::Rows {
                    next = next.remove_some(&transaction, retention, &mut removed)?;
                }
            }
            removed.count(&transaction)?;
            transaction.commit()?;
            return Ok((next, removed));
        };
        let has_freed = give_back(database, Pages::of(database)?, max)?;
        let phase = if has_freed { self.phase } else { Phase::File };
        Ok((Self { phase, has_freed: has_freed || self.has_freed, ..self }, removed))
    }

    /// Removes some rows, where any must go.
    fn remove_some(
        self,
        database: &Connection,
        retention: &Retention,
        removed: &mut Removed,
    ) -> rusqlite::Result<Self> {
        let pages = Pages::of(database)?;
        let is_over = Self { phase: Phase::Pages(pages.worth_keeping(retention)), ..self };
        let until = if pages.used() > self.pages_max { LAST } else { self.aged };
        if until <= self.after {
            return Ok(is_over);
        }
        let end = remove(database, self.after, until, self.is_unsynced_too, removed)?;
        Ok(match end {
            Some(after) => Self { after, ..self },
            None if retention.is_unsynced_too && !self.is_unsynced_too => {
                Self { after: FIRST, is_unsynced_too: true, ..self }
            }
            None => is_over,
        })
    }
}

impl Removed {
    fn count(&self, database: &Connection) -> rusqlite::Result<()> {
        count(database, REMOVED, self.rows)?;
        count(database, LOST, self.lost)
    }

    const fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.lost += other.lost;
    }
}

impl Retention {
    /// How many of the bytes in use may stay so.
    fn bytes_to_keep(&self, used_bytes: u64, volume: Option<Volume>) -> u64 {
        // A little less than allowed, so that not every record is followed by a cleaning.
        let by_size = match self.bytes_max {
            Some(max) if used_bytes > max => max / 10 * 9,
            Some(_) | None => u64::MAX,
        };
        let by_volume =
            self.volume_percent_max.zip(volume).map_or(u64::MAX, |(percent, volume)| {
                let excess = volume.bytes_above(percent);
                let share = volume.usable_bytes() / VOLUME_SHARE_MIN;
                if excess == 0 { u64::MAX } else { used_bytes.saturating_sub(excess).max(share) }
            });
        by_size.min(by_volume)
    }
}

impl Ledger {
    /// Takes one step of a cleaning; whether there is more to do.
    ///
    /// # Errors
    /// What SQLite says; the step was not taken.
    pub fn clean(&mut self, now: UnixMs) -> Result<bool, LedgerError> {
        let Some(retention) = self.options.retention else { return Ok(false) };
        let Self { path, database, cleaning, removed, .. } = self;
        let mut run = || {
            let begun = match cleaning.take() {
                Some(begun) => begun,
                None => Cleaning::begin(database, &retention, Volume::of(path), now)?,
            };
            begun.step(database, &retention)
        };
        let (next, gone) = run().map_err(LedgerError::sqlite(path))?;
        removed.add(gone);
        self.reuse_log();
        if next.phase == Phase::File {
            if next.has_freed {
                self.cut_log()?;
            }
            self.hold_ballast();
            return Ok(false);
        }
        self.cleaning = Some(next);
        Ok(true)
    }

    /// What cleaning has done since the ledger was opened.
    #[must_use]
    pub const fn removed(&self) -> Removed {
        self.removed
    }

    /// Whether space is held for a full disk.
    #[must_use]
    pub fn ballast(&self) -> BallastState {
        match &self.ballast {
            None => BallastState::None,
            Some(ballast) if ballast.is_held() => BallastState::Held,
            Some(_) => BallastState::Released,
        }
    }

    /// Holds space for a full disk, where there is enough of it.
    pub(crate) fn hold_ballast(&mut self) {
        let Some(ballast) = &self.ballast else { return };
        let has_room = || Volume::of(&self.path).is_some_and(|volume| ballast.fits(volume));
        self.is_low = !(ballast.is_held() || has_room() && ballast.hold().is_ok());
    }

    /// Lets the ballast go: for the write-ahead log, for removing rows, and for what is noted of rows
    /// that are pushed. New rows take the place of old ones until it is held again.
    pub(crate) fn release_ballast(&mut self) {
        let Some(ballast) = &self.ballast else { return };
        ballast.release();
        self.is_low = true;
        // It may fail for want of the same room: the next write tells.
        let _is_short = self.cut_log().is_ok();
        self.reuse_log();
    }

    /// Removes rows until so many bytes can be written: into the write-ahead log first, and then into free
    /// pages of the file, or beside them as long as half of what the ballast held is left. Sums and keys
    /// grow on a full disk, too.
    ///
    /// # Errors
    /// Where too few rows may go.
    pub(crate) fn secure_room(&mut self, bytes: usize) -> Result<(), LedgerError> {
        let held = self.ballast.as_ref().map_or(0, Ballast::bytes);
        let free = Volume::of(&self.path).map_or(0, |volume| volume.available_bytes);
        let room = Room {
            need: bytes as u64 / 4 * 5,
            free: free.saturating_sub(held / 2),
            log: self.log_room,
            file: length(&self.path),
        };
        let is_unsynced_too = self.options.retention.is_some_and(|kept| kept.is_unsynced_too);
        let Self { path, database, looked_through, .. } = self;
        let mut run = || {
            let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut removed = Removed::default();
            let mut is_enough = room.is_enough(&transaction)?;
            while !is_enough && *looked_through < LAST {
                let end = remove(&transaction, *looked_through, LAST, false, &mut removed)?;
                *looked_through = end.unwrap_or(LAST);
                is_enough = room.is_enough(&transaction)?;
            }
            let mut after = if is_unsynced_too { FIRST } else { LAST };
            while !is_enough && after < LAST {
                let end = remove(&transaction, after, LAST, true, &mut removed)?;
                after = end.unwrap_or(LAST);
                is_enough = room.is_enough(&transaction)?;
            }
            removed.count(&transaction)?;
            transaction.commit()?;
            Ok((is_enough, removed))
        };
        let (is_enough, removed) = run().map_err(LedgerError::sqlite(path))?;
        self.removed.add(removed);
        if is_enough { Ok(()) } else { Err(LedgerError::NoRoom { path: path.clone() }) }
    }
}

/// Where a write on a full disk can go, in bytes.
#[derive(Debug, Clone, Copy)]
struct Room {
    /// What it takes, with its indexes.
    need: u64,
    /// What is free on the volume and may be used.
    free: u64,
    /// What the write-ahead log takes again.
    log: u64,
    /// The length of the file.
    file: u64,
}

impl Room {
    fn is_enough(self, database: &Connection) -> rusqlite::Result<bool> {
        let pages = Pages::of(database)?;
        // What is in the log alone will need room in the file.
        let owed = (pages.all * pages.bytes).saturating_sub(self.file);
        let for_log = self.need.saturating_sub(self.log);
        let beside = self.free.checked_sub(owed.saturating_add(for_log));
        let inside = pages.free.saturating_sub(SPARE_PAGES) * pages.bytes;
        Ok(beside.is_some_and(|beside| beside.saturating_add(inside) >= self.need))
    }
}

/// Gives a few free pages back to the system, as long as there are any and the file is larger than
/// `pages_max`; whether it did.
fn give_back(database: &Connection, pages: Pages, pages_max: u64) -> rusqlite::Result<bool> {
    if pages.free == 0 || pages.all <= pages_max {
        return Ok(false);
    }
    let mut vacuum = database.prepare(&format!("PRAGMA incremental_vacuum({STEP_PAGES})"))?;
    let mut freed = vacuum.query([])?;
    while freed.next()?.is_some() {}
    Ok(true)
}

/// Removes a few of the rows that may go and lie behind `after` and not behind `until`; how far it came,
/// or `None` for to the end.
fn remove(
    database: &Connection,
    after: FactId,
    until: FactId,
    is_unsynced_too: bool,
    removed: &mut Removed,
) -> rusqlite::Result<Option<FactId>> {
    let is_pushed = is_any_active(database)?;
    let mut ends = Vec::new();
    for table in TABLES {
        ends.extend(nth_id(database, table, after, until)?);
    }
    let end = ends.into_iter().min();
    let range = Range { after, until: end.unwrap_or(until), is_all: is_unsynced_too || !is_pushed };
    if is_pushed && is_unsynced_too {
        removed.lost += range.unsynced(database)?;
    }
    removed.rows += range.remove(database)?;
    Ok(end)
}

/// The last id of a part, where a table has more.
fn nth_id(
    database: &Connection,
    table: &str,
    after: FactId,
    until: FactId,
) -> rusqlite::Result<Option<FactId>> {
    let sql = format!(
        "SELECT id FROM {table} WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT 1 OFFSET {PART_ROWS}"
    );
    let mut nth = database.prepare_cached(&sql)?;
    nth.query_row([after.0, until.0], |row| Ok(FactId(row.get(0)?))).optional()
}

/// Rows behind `after` and not behind `until`.
struct Range {
    after: FactId,
    until: FactId,
    /// Whether those go, too, that were not pushed.
    is_all: bool,
}

impl Range {
    fn unsynced(&self, database: &Connection) -> rusqlite::Result<u64> {
        TABLES.iter().try_fold(0, |sum, table| {
            let sql = format!(
                "SELECT count(*) FROM {table} WHERE id > ?1 AND id <= ?2 AND pushed_at IS NULL"
            );
            let mut count = database.prepare_cached(&sql)?;
            let count: i64 = count.query_row([self.after.0, self.until.0], |row| row.get(0))?;
            Ok(sum + count.unsigned_abs())
        })
    }

    /// Removes them, and keeps of calls what they used.
    fn remove(&self, database: &Connection) -> rusqlite::Result<u64> {
        let bounds = params![self.after.0, self.until.0, self.is_all];
        for statement in [KEEP_USAGE, REMOVE_TEXTS] {
            database.prepare_cached(statement)?.execute(bounds)?;
        }
        TABLES.iter().try_fold(0, |sum, table| {
            let sql = format!(
                "DELETE FROM {table} WHERE id > ?1 AND id <= ?2 AND (?3 OR pushed_at IS NOT NULL)"
            );
            Ok(sum + database.prepare_cached(&sql)?.execute(bounds)? as u64)
        })
    }
}

const KEEP_USAGE: &str =
    "INSERT INTO usage_removed (start_ms, series, session, calls, errors, input,
     cache_read, cache_write_5m, cache_write_1h, cache_write, output, reasoning,
     reported_cost_nanousd, first_ms, last_ms)
     SELECT created_at - ((created_at % 900000) + 900000) % 900000, series, session, count(*),
     sum(error_type IS NOT NULL), sum(input), sum(cache_read), sum(cache_write_5m),
     sum(cache_write_1h), sum(cache_write), sum(output), sum(reasoning),
     sum(coalesce(reported_cost_nanousd, 0)), min(created_at), max(created_at)
     FROM llm_calls WHERE id > ?1 AND id <= ?2 AND (?3 OR pushed_at IS NOT NULL) GROUP BY 1, 2, 3
     ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, errors = errors + excluded.errors,
     input = input + excluded.input, cache_read = cache_read + excluded.cache_read,
     cache_write_5m = cache_write_5m + excluded.cache_write_5m,
     cache_write_1h = cache_write_1h + excluded.cache_write_1h,
     cache_write = cache_write + excluded.cache_write, output = output + excluded.output,
     reasoning = reasoning + excluded.reasoning,
     reported_cost_nanousd = reported_cost_nanousd + excluded.reported_cost_nanousd,
     first_ms = min(first_ms, excluded.first_ms), last_ms = max(last_ms, excluded.last_ms)";

const REMOVE_TEXTS: &str = "DELETE FROM llm_trace_texts WHERE id > ?1 AND id <= ?2 AND id IN
     (SELECT id FROM llm_calls WHERE id > ?1 AND id <= ?2 AND (?3 OR pushed_at IS NOT NULL))";

/// Adds to a number that must survive a restart.
pub(crate) fn count(database: &Connection, name: &str, by: u64) -> rusqlite::Result<()> {
    if by == 0 {
        return Ok(());
    }
    database
        .prepare_cached(
            "INSERT INTO counters (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        )?
        .execute(params![name, signed(by)])
        .map(drop)
}
