//! The sums over time and sessions, kept in the transaction of the facts.
//!
//! A transaction's changes are first added up in memory, so that a batch of calls of one hour touches
//! each sum once. A fact that is replaced is taken out and its successor put in.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{
    CachedStatement, Connection, ErrorCode, OptionalExtension as _, params, params_from_iter,
};
use trueup_core::{Counters, DAY_MS, FactId, HOUR_MS, QUARTER_MS, UnixMs};

use crate::row::{COUNTER_COLUMNS, counter_values, counters_of_row};

/// The width of a sum over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// A quarter of an hour.
    Quarter,
    /// An hour.
    Hour,
    /// A day in UTC.
    Day,
    /// A month in UTC.
    Month,
}

impl Width {
    /// Every width, the finest first.
    pub const ALL: [Self; 4] = [Self::Quarter, Self::Hour, Self::Day, Self::Month];

    /// The number in the table; that of a month is nominal.
    #[must_use]
    pub const fn minutes(self) -> i64 {
        match self {
            Self::Quarter => 15,
            Self::Hour => 60,
            Self::Day => 1_440,
            Self::Month => 43_200,
        }
    }

    /// The start of the bucket that a time falls into.
    #[must_use]
    pub fn start(self, time: UnixMs) -> UnixMs {
        match self {
            Self::Quarter => time.floor(QUARTER_MS),
            Self::Hour => time.floor(HOUR_MS),
            Self::Day => time.floor(DAY_MS),
            Self::Month => time.floor_month_utc(),
        }
    }
}

/// What one transaction changes in one sum.
#[derive(Debug, Clone, Copy, Default)]
struct Change {
    added: Counters,
    removed: Counters,
    /// Times of added and removed calls: first and last.
    added_times: Option<(i64, i64)>,
    removed_times: Option<(i64, i64)>,
}

impl Change {
    fn add(&mut self, counters: &Counters, time: UnixMs) {
        self.added = self.added.plus(counters);
        self.added_times = widen(self.added_times, time.0);
    }

    fn remove(&mut self, counters: &Counters, time: UnixMs) {
        self.removed = self.removed.plus(counters);
        self.removed_times = widen(self.removed_times, time.0);
    }
}

fn widen(times: Option<(i64, i64)>, time: i64) -> Option<(i64, i64)> {
    times.map_or(Some((time, time)), |(first, last)| Some((first.min(time), last.max(time))))
}

/// The changes of one transaction. Ordered, so that the tables are walked in the order of their keys.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    time: BTreeMap<(Width, UnixMs, i64), Change>,
    session: BTreeMap<(i64, i64), Change>,
}

/// Which sums a fact belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) series: i64,
    pub(crate) session: i64,
    pub(crate) time: UnixMs,
}

impl Changes {
    pub(crate) fn add(&mut self, place: Place, counters: &Counters) {
        self.each(place, |change| change.add(counters, place.time));
    }

    pub(crate) fn remove(&mut self, place: Place, counters: &Counters) {
        self.each(place, |change| change.remove(counters, place.time));
    }

    fn each(&mut self, place: Place, mut touch: impl FnMut(&mut Change)) {
        for width in Width::ALL {
            touch(self.time.entry((width, width.start(place.time), place.series)).or_default());
        }
        touch(self.session.entry((place.session, place.series)).or_default());
    }

    /// Writes the sums. The facts must be written first: a first or last call that was taken out is
    /// looked for among them.
    pub(crate) fn write(&self, database: &Connection) -> rusqlite::Result<()> {
        let mut sums = Sums::prepare(database, &TIME)?;
        for ((width, start, series), change) in &self.time {
            let keys = [width.minutes(), start.0, *series];
            sums.apply(&keys, change, || {
                if *width != Width::Quarter {
                    return Ok(None);
                }
                let (from, until) =
                    (FactId::first_at(*start), FactId::first_at(UnixMs(start.0 + QUARTER_MS)));
                database
                    .prepare_cached(
                        "SELECT min(time), max(time) FROM (
                         SELECT created_at AS time FROM llm_traces
                         WHERE id >= ?1 AND id < ?2 AND series = ?3
                         UNION ALL SELECT created_at FROM session_totals
                         WHERE id >= ?1 AND id < ?2 AND series = ?3 AND NOT is_superseded)",
                    )?
                    .query_row(params![from.0, until.0, series], two_times)
            })?;
        }
        let mut sums = Sums::prepare(database, &SESSION)?;
        for ((session, series), change) in &self.session {
            sums.apply(&[*session, *series], change, || {
                database
                    .prepare_cached(
                        "SELECT min(time), max(time) FROM (
                         SELECT created_at AS time FROM llm_traces
                         WHERE session = ?1 AND series = ?2
                         UNION ALL SELECT created_at FROM session_totals
                         WHERE session = ?1 AND series = ?2 AND NOT is_superseded)",
                    )?
                    .query_row([session, series], two_times)
            })?;
        }
        Ok(())
    }
}

fn two_times(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<(i64, i64)>> {
    Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?))
}

/// The statements of one table of sums.
struct Statements {
    add: &'static str,
    select: &'static str,
    insert: &'static str,
    delete: &'static str,
}

macro_rules! statements {
    ($table:literal, $keys:literal, $where:literal, $places:literal) => {
        Statements {
            add: concat!(
                "INSERT INTO ", $table, " (", $keys, ", calls, errors, input, cache_read, ",
                "cache_write_5m, cache_write_1h, cache_write, output, reasoning, reported_cost_nanousd, ",
                "first_ms, last_ms) VALUES (", $places, ") ON CONFLICT DO UPDATE SET ",
                "calls = calls + excluded.calls, errors = errors + excluded.errors, ",
                "input = input + excluded.input, cache_read = cache_read + excluded.cache_read, ",
                "cache_write_5m = cache_write_5m + excluded.cache_write_5m, ",
                "cache_write_1h = cache_write_1h + excluded.cache_write_1h, ",
                "cache_write = cache_write + excluded.cache_write, ",
                "output = output + excluded.output, reasoning = reasoning + excluded.reasoning, ",
                "reported_cost_nanousd = reported_cost_nanousd + excluded.reported_cost_nanousd, ",
                "first_ms = min(first_ms, excluded.first_ms), last_ms = max(last_ms, excluded.last_ms)"
            ),
            select: concat!(
                "SELECT calls, errors, input, cache_read, cache_write_5m, cache_write_1h, cache_write, ",
                "output, reasoning, reported_cost_nanousd, first_ms, last_ms FROM ", $table, " WHERE ", $where
            ),
            insert: concat!(
                "INSERT OR REPLACE INTO ", $table, " (", $keys, ", calls, errors, input, cache_read, ",
                "cache_write_5m, cache_write_1h, cache_write, output, reasoning, reported_cost_nanousd, ",
                "first_ms, last_ms) VALUES (", $places, ")"
            ),
            delete: concat!("DELETE FROM ", $table, " WHERE ", $where),
        }
    };
}

static TIME: Statements = statements!(
    "usage_time",
    "width_minutes, start_ms, series",
    "width_minutes = ?1 AND start_ms = ?2 AND series = ?3",
    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
);
static SESSION: Statements = statements!(
    "usage_session",
    "session, series",
    "session = ?1 AND series = ?2",
    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
);

/// One table of sums, its statements prepared.
struct Sums<'a> {
    add: CachedStatement<'a>,
    select: CachedStatement<'a>,
    insert: CachedStatement<'a>,
    delete: CachedStatement<'a>,
}

impl<'a> Sums<'a> {
    fn prepare(database: &'a Connection, table: &Statements) -> rusqlite::Result<Self> {
        Ok(Self {
            add: database.prepare_cached(table.add)?,
            select: database.prepare_cached(table.select)?,
            insert: database.prepare_cached(table.insert)?,
            delete: database.prepare_cached(table.delete)?,
        })
    }

    /// Applies a change. Nearly all changes only add, which is one statement, unless a sum passes what
    /// SQLite can hold: then the statement fails, and the sum stops at the largest.
    fn apply(
        &mut self,
        keys: &[i64],
        change: &Change,
        recount_times: impl FnOnce() -> rusqlite::Result<Option<(i64, i64)>>,
    ) -> rusqlite::Result<()> {
        if let (true, Some(times)) = (change.removed.is_zero(), change.added_times) {
            match self.add.execute(params_from_iter(row(keys, &change.added, times))) {
                Err(error) if is_out_of_range(&error) => {}
                result => return result.map(drop),
            }
        }
        self.merge(keys, change, recount_times)
    }

    fn merge(
        &mut self,
        keys: &[i64],
        change: &Change,
        recount_times: impl FnOnce() -> rusqlite::Result<Option<(i64, i64)>>,
    ) -> rusqlite::Result<()> {
        let stored = self
            .select
            .query_row(params_from_iter(keys), |row| {
                Ok((counters_of_row(row, 0)?, (row.get::<_, i64>(10)?, row.get::<_, i64>(11)?)))
            })
            .optional()?;
        let (stored, stored_times) =
            stored.map_or((Counters::default(), None), |(sum, times)| (sum, Some(times)));
        let after = stored.plus(&change.added).minus(&change.removed);
        if after.calls == 0 {
            self.delete.execute(params_from_iter(keys))?;
            return Ok(());
        }
        let mut times = match (stored_times, change.added_times) {
            (Some((a, b)), Some((c, d))) => (a.min(c), b.max(d)),
            (Some(times), None) | (None, Some(times)) => times,
            (None, None) => (0, 0),
        };
        let is_edge_removed =
            change.removed_times.is_some_and(|(first, last)| first <= times.0 || last >= times.1);
        if is_edge_removed && let Some(recounted) = recount_times()? {
            times = recounted;
        }
        self.insert.execute(params_from_iter(row(keys, &after, times)))?;
        Ok(())
    }
}

/// The values of one row: keys, counters and times.
fn row(
    keys: &[i64],
    counters: &Counters,
    (first_ms, last_ms): (i64, i64),
) -> impl Iterator<Item = Value> {
    let times = [Value::Integer(first_ms), Value::Integer(last_ms)];
    keys.iter().map(|key| Value::Integer(*key)).chain(counter_values(counters)).chain(times)
}

/// Whether a sum became a floating point number, which a STRICT table refuses.
fn is_out_of_range(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch)
    )
}

/// `SELECT` of the counters of a table of sums, for readers.
pub(crate) fn select(keys: &str, rest: &str) -> String {
    format!("SELECT {keys}, {COUNTER_COLUMNS}, first_ms, last_ms FROM {rest}")
}
