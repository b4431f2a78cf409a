//! The sums over time and sessions, kept in the transaction of the facts.
//!
//! A transaction's changes are first added up in memory, so that a batch of calls of one hour touches
//! each sum once. A fact that is replaced is taken out and its successor put in. Sums that were written
//! lately are remembered: nobody else writes the file, so that they need not be read again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params, params_from_iter};
use trueup_core::report::kinds;
use trueup_core::{Counters, DAY_MS, FactId, QUARTER_MS, UnixMs};

use crate::row::{COUNTER_COLUMNS, counter_values, counters_of_row};

/// The width of a sum over time that is kept. Whoever asks for hours or months adds them up: an hour is
/// at most four quarters, and for long times there are [weeks](crate::Reader::usage_of_spans).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// A quarter of an hour.
    Quarter,
    /// A day in UTC.
    Day,
}

impl Width {
    /// Every width, the finest first.
    pub const ALL: [Self; 2] = [Self::Quarter, Self::Day];

    /// The number in the table.
    #[must_use]
    pub const fn minutes(self) -> i64 {
        match self {
            Self::Quarter => 15,
            Self::Day => 1_440,
        }
    }

    /// The start of the bucket that a time falls into.
    #[must_use]
    pub fn start(self, time: UnixMs) -> UnixMs {
        match self {
            Self::Quarter => time.floor(QUARTER_MS),
            Self::Day => time.floor(DAY_MS),
        }
    }
}

/// A week.
pub(crate) const WEEK_MS: i64 = 7 * DAY_MS;

/// The Monday in UTC on which the week of a time begins.
#[must_use]
pub fn week_start(time: UnixMs) -> UnixMs {
    // The first day of 1970 was a Thursday.
    const MONDAY_MS: i64 = 3 * DAY_MS;
    let floor = UnixMs(time.0.saturating_add(MONDAY_MS)).floor(WEEK_MS);
    UnixMs(floor.0.saturating_sub(MONDAY_MS))
}

/// What one transaction changes in one sum.
#[derive(Debug, Clone, Default)]
struct Change {
    added: Option<Sum>,
    /// Boxed, as it is rare.
    removed: Option<Box<Sum>>,
}

impl Change {
    fn add(&mut self, sum: &Sum) {
        self.added = Some(self.added.map_or(*sum, |added| added.plus(sum)));
    }

    fn remove(&mut self, sum: &Sum) {
        let removed = self.removed.as_deref().map_or(*sum, |removed| removed.plus(sum));
        self.removed = Some(Box::new(removed));
    }

    fn merge(&mut self, other: &Self) {
        if let Some(added) = &other.added {
            self.add(added);
        }
        if let Some(removed) = &other.removed {
            self.remove(removed);
        }
    }
}

/// A sum, and the times of its first and last call.
#[derive(Debug, Clone, Copy)]
struct Sum {
    counters: Counters,
    times: (i64, i64),
}

impl Sum {
    fn plus(&self, other: &Self) -> Self {
        let (first, last) = self.times;
        Self {
            counters: self.counters.plus(&other.counters),
            times: (first.min(other.times.0), last.max(other.times.1)),
        }
    }
}

/// Changes of the sums of one table or width. Ordered, so that a table is walked in the order of its keys.
type Ordered = BTreeMap<(i64, i64, i64), Change>;

/// The changes of one transaction, by what every sum is a sum of.
#[derive(Debug, Default)]
pub(crate) struct Changes(ByNumbers<Cell, Change>);

/// The calls of one session and series in one quarter of an hour: they belong to the same sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Cell {
    quarter: i64,
    session: i64,
    series: i64,
}

/// A map whose keys are a few numbers of our own making: nobody can choose them so that they collide.
pub(crate) type ByNumbers<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// Mixes a few numbers, at less than it costs to look one up.
#[derive(Debug, Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (numbers, _) = bytes.as_chunks();
        for number in numbers {
            self.write_i64(i64::from_ne_bytes(*number));
        }
    }

    fn write_i64(&mut self, number: i64) {
        let mixed = self.0.rotate_left(25) ^ number.cast_unsigned();
        self.0 = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        // The high bits are the best ones, and a table looks at both ends.
        self.0 ^ (self.0 >> 32)
    }
}

/// Which sums a fact belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) series: i64,
    pub(crate) session: i64,
    pub(crate) time: UnixMs,
}

impl Place {
    fn cell(&self) -> Cell {
        let quarter = Width::Quarter.start(self.time).0;
        Cell { quarter, session: self.session, series: self.series }
    }
}

impl Changes {
    pub(crate) fn add(&mut self, place: Place, counters: &Counters) {
        let times = (place.time.0, place.time.0);
        self.0.entry(place.cell()).or_default().add(&Sum { counters: *counters, times });
    }

    pub(crate) fn remove(&mut self, place: Place, counters: &Counters) {
        let times = (place.time.0, place.time.0);
        self.0.entry(place.cell()).or_default().remove(&Sum { counters: *counters, times });
    }

    /// The changes, added up over what `keys` makes of each cell.
    fn by(&self, keys: &dyn Fn(&Cell) -> (i64, i64, i64)) -> Ordered {
        let mut sums = Ordered::new();
        self.0.iter().for_each(|(cell, change)| sums.entry(keys(cell)).or_default().merge(change));
        sums
    }

    /// The devices whose sessions these are; nothing of sessions of this machine.
    fn devices(&self, database: &Connection) -> rusqlite::Result<BTreeMap<i64, i64>> {
        let mut devices = BTreeMap::new();
        if !database.prepare_cached("SELECT 1 FROM devices")?.exists([])? {
            return Ok(devices);
        }
        let mut device =
            database.prepare_cached("SELECT device FROM sessions WHERE id = ?1 AND device <> 0")?;
        let sessions: BTreeSet<i64> = self.0.keys().map(|cell| cell.session).collect();
        for session in sessions {
            let found = device.query_row([session], |row| row.get(0)).optional()?;
            devices.extend(found.map(|device| (session, device)));
        }
        Ok(devices)
    }

    /// Writes the sums by device; what that changes in weeks goes to `weeks`.
    fn write_devices(
        &self,
        database: &Connection,
        known: &mut KnownSums,
        weeks: &mut Weeks,
    ) -> rusqlite::Result<()> {
        let devices = self.devices(database)?;
        if devices.is_empty() {
            return Ok(());
        }
        let mut sums = Sums::prepare(database, &DEVICE, &mut known.device)?;
        for width in Width::ALL {
            let keys = |cell: &Cell| {
                let device = devices.get(&cell.session).copied().unwrap_or(0);
                (device, width.start(UnixMs(cell.quarter)).0, cell.series)
            };
            for ((device, start, series), change) in self.by(&keys) {
                if device != 0 {
                    let keys = [device, width.minutes(), start, series];
                    let became = sums.apply(keys, &change, |_| Ok(None))?;
                    if width == Width::Day {
                        weeks.add((device, start, series), &became, &change);
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes the sums. The facts must be written first: a first or last call that was taken out is
    /// looked for among them.
    pub(crate) fn write(
        &self,
        database: &Connection,
        known: &mut KnownSums,
    ) -> rusqlite::Result<()> {
        let mut weeks = Weeks::default();
        self.write_times(database, known, &mut weeks)?;
        self.write_sessions(database, known)?;
        self.write_devices(database, known, &mut weeks)?;
        weeks.write(database, known)
    }

    fn write_times(
        &self,
        database: &Connection,
        known: &mut KnownSums,
        weeks: &mut Weeks,
    ) -> rusqlite::Result<()> {
        let mut sums = Sums::prepare(database, &TIME, &mut known.time)?;
        for ((start, series, _), change) in self.by(&|cell| (cell.quarter, cell.series, 0)) {
            sums.apply([Width::Quarter.minutes(), start, series], &change, |_| {
                let until = UnixMs(start.saturating_add(QUARTER_MS));
                database
                    .prepare_cached(
                        "SELECT min(time), max(time) FROM (
                         SELECT created_at AS time FROM llm_calls
                         WHERE id >= ?1 AND id < ?2 AND series = ?3
                         UNION ALL SELECT created_at FROM session_totals
                         WHERE id >= ?1 AND id < ?2 AND series = ?3 AND NOT is_superseded
                         UNION ALL SELECT first_ms FROM usage_removed
                         WHERE start_ms = ?4 AND series = ?3
                         UNION ALL SELECT last_ms FROM usage_removed
                         WHERE start_ms = ?4 AND series = ?3)",
                    )?
                    .query_row(
                        params![
                            FactId::first_at(UnixMs(start)).0,
                            FactId::first_at(until).0,
                            series,
                            start,
                        ],
                        two_times,
                    )
            })?;
        }
        let day = |cell: &Cell| Width::Day.start(UnixMs(cell.quarter)).0;
        for ((start, series, _), change) in self.by(&|cell| (day(cell), cell.series, 0)) {
            let keys = [Width::Day.minutes(), start, series];
            let became = sums.apply(keys, &change, |_| Ok(None))?;
            weeks.add((0, start, series), &became, &change);
        }
        Ok(())
    }

    fn write_sessions(&self, database: &Connection, known: &mut KnownSums) -> rusqlite::Result<()> {
        let mut sums = Sums::prepare(database, &SESSION, &mut known.session)?;
        for ((session, series, _), change) in self.by(&|cell| (cell.session, cell.series, 0)) {
            sums.apply([session, series], &change, |(first, last)| {
                // Calls are in no index of sessions: the nearest to both ends are few steps away.
                let (from, until) = (UnixMs(first), UnixMs(last.saturating_add(1)));
                let bounds =
                    params![session, series, FactId::first_at(from).0, FactId::first_at(until).0,];
                database.prepare_cached(TIMES_OF_SESSION)?.query_row(bounds, two_times)
            })?;
        }
        Ok(())
    }
}

/// What changed sums of days change in those of weeks: by device, week, series and kinds of tokens.
#[derive(Debug, Default)]
struct Weeks(BTreeMap<[i64; 4], Change>);

impl Weeks {
    /// Adds the change of a day's sum, and what it became by that. A day whose kinds of tokens are others
    /// now moves as a whole.
    fn add(&mut self, (device, day, series): (i64, i64, i64), became: &Became, change: &Change) {
        let week = week_start(UnixMs(day)).0;
        let keys = |sum: &Sum| [device, week, series, kinds(&sum.counters.tokens).into()];
        let (before, after) = (became.before.as_ref(), became.after.as_ref());
        let stays = after.filter(|after| before.is_some_and(|before| keys(before) == keys(after)));
        if let Some(sum) = stays {
            return self.0.entry(keys(sum)).or_default().merge(change);
        }
        if let Some(sum) = before {
            self.0.entry(keys(sum)).or_default().remove(sum);
        }
        if let Some(sum) = after {
            self.0.entry(keys(sum)).or_default().add(sum);
        }
    }

    fn write(&self, database: &Connection, known: &mut KnownSums) -> rusqlite::Result<()> {
        let mut sums = Sums::prepare(database, &WEEK, &mut known.week)?;
        for (keys, change) in &self.0 {
            sums.apply(*keys, change, |_| Ok(None))?;
        }
        Ok(())
    }
}

/// When the first call of a session and series was, or the last.
macro_rules! call_at_end {
    ($order:literal) => {
        concat!(
            "SELECT * FROM (SELECT created_at AS time FROM llm_calls
             WHERE session = ?1 AND series = ?2 AND id >= ?3 AND id < ?4 ORDER BY id",
            $order,
            " LIMIT 1)"
        )
    };
}
/// The first and the last call of a session and series, which lie in `?3..?4`.
const TIMES_OF_SESSION: &str = concat!(
    "SELECT min(time), max(time) FROM (",
    call_at_end!(""),
    " UNION ALL ",
    call_at_end!(" DESC"),
    " UNION ALL SELECT created_at FROM session_totals
     WHERE session = ?1 AND series = ?2 AND NOT is_superseded
     UNION ALL SELECT first_ms FROM usage_removed WHERE session = ?1 AND series = ?2
     UNION ALL SELECT last_ms FROM usage_removed WHERE session = ?1 AND series = ?2)"
);

fn two_times(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<(i64, i64)>> {
    Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?))
}

/// Sums of each table that are remembered; past it the memory is dropped and built anew. A minute of
/// many agents touches a few hundred.
const REMEMBERED_MAX: usize = 1_000;

/// Sums that are in the file, by their keys.
#[derive(Debug, Default)]
pub(crate) struct KnownSums {
    time: ByNumbers<[i64; 3], Sum>,
    session: ByNumbers<[i64; 2], Sum>,
    device: ByNumbers<[i64; 4], Sum>,
    week: ByNumbers<[i64; 4], Sum>,
}

impl KnownSums {
    /// Forgets everything: after a rollback the file has other sums.
    pub(crate) fn clear(&mut self) {
        self.time.clear();
        self.session.clear();
        self.device.clear();
        self.week.clear();
    }
}

/// The statements of one table of sums.
struct Statements {
    select: &'static str,
    insert: &'static str,
    replace: &'static str,
    delete: &'static str,
}

macro_rules! statements {
    ($table:literal, $where:literal, $places:literal) => {
        Statements {
            select: concat!(
                "SELECT calls, errors, input, cache_read, cache_write_5m, cache_write_1h, cache_write, ",
                "output, reasoning, reported_cost_nanousd, first_ms, last_ms FROM ", $table, " WHERE ", $where
            ),
            insert: concat!("INSERT OR IGNORE INTO ", $table, " VALUES (", $places, ")"),
            replace: concat!("INSERT OR REPLACE INTO ", $table, " VALUES (", $places, ")"),
            delete: concat!("DELETE FROM ", $table, " WHERE ", $where),
        }
    };
}

static TIME: Statements = statements!(
    "usage_time",
    "width_minutes = ?1 AND start_ms = ?2 AND series = ?3",
    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
);
static DEVICE: Statements = statements!(
    "usage_device",
    "device = ?1 AND width_minutes = ?2 AND start_ms = ?3 AND series = ?4",
    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
);
static WEEK: Statements = statements!(
    "usage_week",
    "device = ?1 AND start_ms = ?2 AND series = ?3 AND kinds = ?4",
    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
);
static SESSION: Statements = statements!(
    "usage_session",
    "session = ?1 AND series = ?2",
    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
);

/// A sum before and after a change; `None` where there is none.
struct Became {
    before: Option<Sum>,
    after: Option<Sum>,
}

/// One table of sums with `N` keys, its statements prepared.
struct Sums<'a, const N: usize> {
    select: CachedStatement<'a>,
    insert: CachedStatement<'a>,
    replace: CachedStatement<'a>,
    delete: CachedStatement<'a>,
    known: &'a mut ByNumbers<[i64; N], Sum>,
}

impl<'a, const N: usize> Sums<'a, N> {
    fn prepare(
        database: &'a Connection,
        table: &Statements,
        known: &'a mut ByNumbers<[i64; N], Sum>,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            select: database.prepare_cached(table.select)?,
            insert: database.prepare_cached(table.insert)?,
            replace: database.prepare_cached(table.replace)?,
            delete: database.prepare_cached(table.delete)?,
            known,
        })
    }

    /// Applies a change to the sum of these keys.
    fn apply(
        &mut self,
        keys: [i64; N],
        change: &Change,
        recount_times: impl FnOnce((i64, i64)) -> rusqlite::Result<Option<(i64, i64)>>,
    ) -> rusqlite::Result<Became> {
        let before = match self.known.get(&keys).copied() {
            Some(sum) => Some(sum),
            None if self.is_new(keys, change)? => {
                return Ok(Became { before: None, after: change.added });
            }
            None => self.stored(keys)?,
        };
        let after = changed(before, change, recount_times)?;
        if let Some(sum) = after {
            self.replace.execute(params_from_iter(row(keys, &sum)))?;
            self.remember(keys, sum);
        } else {
            self.delete.execute(params_from_iter(keys))?;
            self.known.remove(&keys);
        }
        Ok(Became { before, after })
    }

    /// Writes a sum of which the file has nothing yet, as of most that are not remembered; `false` where
    /// it has.
    fn is_new(&mut self, keys: [i64; N], change: &Change) -> rusqlite::Result<bool> {
        let (Some(sum), None) = (change.added, &change.removed) else { return Ok(false) };
        let is_new = self.insert.execute(params_from_iter(row(keys, &sum)))? > 0;
        if is_new {
            self.remember(keys, sum);
        }
        Ok(is_new)
    }

    fn remember(&mut self, keys: [i64; N], sum: Sum) {
        if self.known.len() >= REMEMBERED_MAX {
            self.known.clear();
        }
        self.known.insert(keys, sum);
    }

    fn stored(&mut self, keys: [i64; N]) -> rusqlite::Result<Option<Sum>> {
        self.select
            .query_row(params_from_iter(keys), |row| {
                Ok(Sum { counters: counters_of_row(row, 0)?, times: (row.get(10)?, row.get(11)?) })
            })
            .optional()
    }
}

/// The values of one row.
fn row<const N: usize>(keys: [i64; N], sum: &Sum) -> impl Iterator<Item = i64> {
    keys.into_iter().chain(counter_values(&sum.counters)).chain(<[i64; 2]>::from(sum.times))
}

/// A sum after a change; `None` where nothing is left of it.
fn changed(
    stored: Option<Sum>,
    change: &Change,
    recount_times: impl FnOnce((i64, i64)) -> rusqlite::Result<Option<(i64, i64)>>,
) -> rusqlite::Result<Option<Sum>> {
    let sum = match (stored, change.added) {
        (Some(stored), Some(added)) => Some(stored.plus(&added)),
        (one, other) => one.or(other),
    };
    let (Some(mut sum), Some(removed)) = (sum, &change.removed) else { return Ok(sum) };
    sum.counters = sum.counters.minus(&removed.counters);
    if sum.counters.calls == 0 {
        return Ok(None);
    }
    let is_edge_removed = removed.times.0 <= sum.times.0 || removed.times.1 >= sum.times.1;
    if is_edge_removed && let Some(recounted) = recount_times(sum.times)? {
        sum.times = recounted;
    }
    Ok(Some(sum))
}

/// `SELECT` of the counters of a table of sums, for readers.
pub(crate) fn select(keys: &str, rest: &str) -> String {
    format!("SELECT {keys}, {COUNTER_COLUMNS}, first_ms, last_ms FROM {rest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::claims::MEASURED;
    use crate::reader::{CALLS, CLAIMS};

    /// Nothing walks over all calls there are: at most over those of a stretch of time.
    #[test]
    fn calls_of_sessions_are_found_by_session_or_by_time() {
        let mut database = Connection::open_in_memory().unwrap();
        crate::schema::migrate(&mut database, std::path::Path::new("")).unwrap();
        for sql in [TIMES_OF_SESSION, MEASURED, CALLS, CLAIMS] {
            let mut plan = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let values = vec![0; plan.parameter_count()];
            let mut steps = plan.query(params_from_iter(values)).unwrap();
            while let Some(step) = steps.next().unwrap() {
                let step: String = step.get(3).unwrap();
                let is_walk = step.starts_with("SCAN") && !step.starts_with("SCAN (subquery");
                assert!(!is_walk && !step.contains("TEMP B-TREE"), "{sql}: {step}");
            }
        }
    }
}
