//! What is committed, read beside the writer.
//!
//! Reports read sums, never the facts: only the calls of sessions that reach over the edge of a report,
//! and the calls of one quarter of an hour, by their ids, are ever read one by one.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};
use trueup_core::{Counters, FactId, Position, ProblemKind, Quota, Series, StoreId, Text, UnixMs};

use crate::account::claims::POLLS_MAX;
use crate::intern::{SERIES_COLUMNS, series_of_row};
use crate::ledger::connect;
use crate::positions::StoredPositions;
use crate::rollup::{Width, select};
use crate::row::counters_of_row;
use crate::{LedgerError, schema};

/// The columns of a [`CallRow`], with what tells whether it failed.
macro_rules! call_columns {
    ($has_failed:literal) => {
        concat!(
            "SELECT session, series, created_at, 1, ",
            $has_failed,
            ", input, cache_read, cache_write_5m, cache_write_1h, cache_write, output, reasoning,
            coalesce(reported_cost_nanousd, 0) FROM "
        )
    };
}

/// All calls of a stretch of time.
pub(crate) const CALLS: &str =
    concat!(call_columns!("error_type IS NOT NULL"), "llm_calls WHERE id >= ?1 AND id < ?2");

/// Claims of one session that count.
pub(crate) const CLAIMS: &str = concat!(
    call_columns!("0"),
    "session_totals WHERE session = ?1 AND id >= ?2 AND id < ?3 AND NOT is_superseded"
);

fn call_of_row(row: &Row<'_>) -> rusqlite::Result<CallRow> {
    Ok(CallRow {
        session: row.get(0)?,
        series: row.get(1)?,
        time: UnixMs(row.get(2)?),
        counters: counters_of_row(row, 3)?,
    })
}

/// The same stretches of time, where none touches another.
fn joined(mut spans: Vec<(UnixMs, UnixMs)>) -> Vec<(UnixMs, UnixMs)> {
    spans.sort_unstable();
    let mut joined: Vec<(UnixMs, UnixMs)> = Vec::new();
    for (from, until) in spans {
        match joined.last_mut() {
            Some((_, end)) if from <= *end => *end = until.max(*end),
            _ => joined.push((from, until)),
        }
    }
    joined
}

/// Memory for pages of each of two readers that share the work: they walk on, and look at no page again
/// but for the few that lead to others. To ask the system for more costs more than it saves.
const PAIR_CACHE_KIB: i64 = 256;

/// How often two readers are opened that must see the same commit.
const PAIR_TRIES: u32 = 4;

/// A connection that only reads.
#[derive(Debug)]
pub struct Reader {
    pub(crate) path: PathBuf,
    pub(crate) database: Connection,
}

/// A sum over one bucket of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeUsage {
    /// Where the bucket begins.
    pub start: UnixMs,
    /// The number of the series.
    pub series: i64,
    /// The sum.
    pub counters: Counters,
    /// The first and the last call; exact for quarters only.
    pub times: (UnixMs, UnixMs),
}

/// A sum over one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionUsage {
    /// The number of the session.
    pub session: i64,
    /// The source id.
    pub source: Text,
    /// The session's own name.
    pub name: Text,
    /// The number of the device that told of it; 0 for this machine.
    pub device: i64,
    /// The number of the series.
    pub series: i64,
    /// The sum.
    pub counters: Counters,
    /// The first and the last call.
    pub times: (UnixMs, UnixMs),
}

/// While it is there, everything is read as it was at the first reading after it was made.
#[derive(Debug)]
pub struct Held<'a>(
    #[expect(dead_code, reason = "its end is what matters")] rusqlite::Transaction<'a>,
);

/// One call, or one claim that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallRow {
    /// The number of its session.
    pub session: i64,
    /// The number of its series.
    pub series: i64,
    /// When it was answered.
    pub time: UnixMs,
    /// What it adds to a sum.
    pub counters: Counters,
}

/// What was read of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceState {
    /// The source id.
    pub source: String,
    /// Stores read.
    pub stores: u64,
    /// Bytes in them when they were read.
    pub bytes: u64,
    /// When one was last read.
    pub last_read: UnixMs,
    /// Calls counted.
    pub calls: u64,
    /// Places that could not be understood.
    pub problems: u64,
}

/// Something that could not be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProblem {
    /// Where.
    pub store: StoreId,
    /// The line, from 1; 0 for the whole store.
    pub line: u64,
    /// What.
    pub kind: Option<ProblemKind>,
    /// What exactly.
    pub detail: String,
    /// When it was seen.
    pub seen_at: UnixMs,
}

impl StoredProblem {
    /// Whether it is about one record, and the rest of the store could be read.
    #[must_use]
    pub fn is_bad_line(&self) -> bool {
        self.kind.unwrap_or(ProblemKind::BadRecord).is_bad_line(self.line)
    }
}

/// What a check of the file found; all is well where it is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// What SQLite finds wrong with the file.
    pub damage: Vec<String>,
    /// Sums that differ from the facts below them.
    pub wrong_sums: Vec<String>,
}

impl Reader {
    /// Opens the ledger at `path` beside its writer; `None` where there is none.
    ///
    /// # Errors
    /// Where it is another kind of file, a newer version wrote it, or SQLite refuses.
    pub fn open(path: &Path) -> Result<Option<Self>, LedgerError> {
        if !path.exists() {
            return Ok(None);
        }
        let database = open_read_only(path)?;
        let version = schema::check(&database, path)?;
        // A file without tables was just created by a writer that has not got to them yet.
        Ok((version > 0).then(|| Self { path: path.to_path_buf(), database }))
    }

    /// Two readers for two threads, which see the same commit for as long as they live; `None` where
    /// there is no ledger, or others commit so often that none was found.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub fn pair(path: &Path) -> Result<Option<(Self, Self)>, LedgerError> {
        Self::pair_around(path, || {})
    }

    /// The same; `meanwhile` is done when one of the two sees what it will see, and the other not yet.
    fn pair_around(
        path: &Path,
        mut meanwhile: impl FnMut(),
    ) -> Result<Option<(Self, Self)>, LedgerError> {
        for _ in 0..PAIR_TRIES {
            let (Some(one), Some(other)) = (Self::open(path)?, Self::open(path)?) else {
                return Ok(None);
            };
            // It moves on whenever another connection has committed.
            let before = other.data_version()?;
            one.stay()?;
            meanwhile();
            other.stay()?;
            if other.data_version()? == before {
                return Ok(Some((one, other)));
            }
        }
        Ok(None)
    }

    fn data_version(&self) -> Result<i64, LedgerError> {
        let version = self.database.query_row("PRAGMA data_version", [], |row| row.get(0));
        version.map_err(LedgerError::sqlite(&self.path))
    }

    /// Sees what is committed now, whatever others commit from now on.
    fn stay(&self) -> Result<(), LedgerError> {
        let begin = || {
            self.database.pragma_update(None, "cache_size", -PAIR_CACHE_KIB)?;
            self.database.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")
        };
        begin().map_err(LedgerError::sqlite(&self.path))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Holds what is committed as it is, for several readings that must agree. Not for long: the
    /// write-ahead log grows meanwhile.
    ///
    /// # Errors
    /// What SQLite says, such as that it is held already.
    pub fn hold(&self) -> Result<Held<'_>, LedgerError> {
        self.database.unchecked_transaction().map(Held).map_err(LedgerError::sqlite(&self.path))
    }

    /// Every series, by its number.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn series(&self) -> Result<HashMap<i64, Arc<Series>>, LedgerError> {
        self.all(&format!("SELECT {SERIES_COLUMNS} FROM series"), [], series_of_row)
    }

    /// Hands the sums of buckets that begin in `from..until` to `each`, by time.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn usage_by_time(
        &self,
        width: Width,
        from: UnixMs,
        until: UnixMs,
        mut each: impl FnMut(TimeUsage),
    ) -> Result<(), LedgerError> {
        self.by_time(width, from, until, &mut each)
    }

    /// The same, made here and not where it is called: a program may be built for size.
    fn by_time(
        &self,
        width: Width,
        from: UnixMs,
        until: UnixMs,
        each: &mut dyn FnMut(TimeUsage),
    ) -> Result<(), LedgerError> {
        let sql = select(
            "start_ms, series",
            "usage_time WHERE width_minutes = ?1 AND start_ms >= ?2 AND start_ms < ?3",
        );
        self.each(&sql, [width.minutes(), from.0, until.0], |row| {
            each(time_usage_of_row(row)?);
            Ok(())
        })
    }

    /// Hands the sums of sessions with a call in `from..until` to `each`. The sums are of the whole
    /// session.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn usage_by_session(
        &self,
        from: UnixMs,
        until: UnixMs,
        each: impl FnMut(SessionUsage),
    ) -> Result<(), LedgerError> {
        self.usage_of_sessions(i64::MIN..=i64::MAX, from, until, each)
    }

    /// The same, of the sessions with these numbers alone.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn usage_of_sessions(
        &self,
        numbers: RangeInclusive<i64>,
        from: UnixMs,
        until: UnixMs,
        mut each: impl FnMut(SessionUsage),
    ) -> Result<(), LedgerError> {
        let device = self.device_of_sessions()?;
        let sql = select(
            &format!("usage_session.session, source, sessions.session, series, {device}"),
            "usage_session JOIN sessions ON sessions.id = usage_session.session
             WHERE last_ms >= ?1 AND first_ms < ?2 AND usage_session.session BETWEEN ?3 AND ?4",
        );
        let mut source = Text::default();
        self.each(&sql, [from.0, until.0, *numbers.start(), *numbers.end()], |row| {
            let name = row.get_ref(1)?.as_str()?;
            if *source != *name {
                source = name.into();
            }
            each(SessionUsage {
                session: row.get(0)?,
                source: Text::clone(&source),
                name: row.get_ref(2)?.as_str()?.into(),
                series: row.get(3)?,
                device: row.get(4)?,
                counters: counters_of_row(row, 5)?,
                times: (UnixMs(row.get(15)?), UnixMs(row.get(16)?)),
            });
            Ok(())
        })
    }

    /// Hands the number of each session that used something in `from..until` to `each`, by number, with
    /// its last call; that may lie behind `until`. Where `series` are named, only what is of them.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn session_ends(
        &self,
        series: Option<&BTreeSet<i64>>,
        from: UnixMs,
        until: UnixMs,
        mut each: impl FnMut(i64, UnixMs),
    ) -> Result<(), LedgerError> {
        let numbers = |series: &BTreeSet<i64>| {
            let numbers: Vec<String> = series.iter().map(ToString::to_string).collect();
            format!("AND series IN ({})", numbers.join(","))
        };
        let sql = format!(
            "SELECT session, max(last_ms) FROM usage_session
             WHERE last_ms >= ?1 AND first_ms < ?2 {} GROUP BY session",
            series.map(numbers).unwrap_or_default()
        );
        self.each(&sql, [from.0, until.0], |row| {
            each(row.get(0)?, UnixMs(row.get(1)?));
            Ok(())
        })
    }

    /// Hands the number of each session to `each`, by number, with that of the device that told of it, 0
    /// for this machine, and its own name.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn session_names(&self, mut each: impl FnMut(i64, i64, &str)) -> Result<(), LedgerError> {
        let device = self.device_of_sessions()?;
        self.each(&format!("SELECT id, {device}, session FROM sessions ORDER BY id"), [], |row| {
            each(row.get(0)?, row.get(1)?, row.get_ref(2)?.as_str()?);
            Ok(())
        })
    }

    /// What says whose a session is: a file of an older version has no column for it.
    fn device_of_sessions(&self) -> Result<&'static str, LedgerError> {
        Ok(if self.has_table("devices")? { "sessions.device" } else { "0" })
    }

    /// The largest number that a session has; 0 where there is none.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn last_session(&self) -> Result<i64, LedgerError> {
        let last = self.database.query_row("SELECT max(id) FROM sessions", [], |row| row.get(0));
        let last: Option<i64> = last.map_err(LedgerError::sqlite(&self.path))?;
        Ok(last.unwrap_or(0))
    }

    /// Hands the sums of one session to `each`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn usage_of_session(
        &self,
        source: &str,
        session: &str,
        mut each: impl FnMut(SessionUsage),
    ) -> Result<(), LedgerError> {
        let device = self.device_of_sessions()?;
        let sql = select(
            &format!("usage_session.session, series, {device}"),
            "sessions CROSS JOIN usage_session ON usage_session.session = sessions.id
             WHERE source = ?1 AND sessions.session = ?2",
        );
        self.each(&sql, [source, session], |row| {
            each(SessionUsage {
                session: row.get(0)?,
                source: source.into(),
                name: session.into(),
                series: row.get(1)?,
                device: row.get(2)?,
                counters: counters_of_row(row, 3)?,
                times: (UnixMs(row.get(13)?), UnixMs(row.get(14)?)),
            });
            Ok(())
        })
    }

    /// Hands the calls of some sessions in `from..until`, and their claims that count, to `each`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn calls_of_sessions(
        &self,
        sessions: &BTreeSet<i64>,
        from: UnixMs,
        until: UnixMs,
        mut each: impl FnMut(CallRow),
    ) -> Result<(), LedgerError> {
        let mut spans = Vec::new();
        for session in sessions {
            let bounds = params![session, FactId::first_at(from).0, FactId::first_at(until).0];
            self.each(CLAIMS, bounds, |row| {
                each(call_of_row(row)?);
                Ok(())
            })?;
            let sql = "SELECT min(first_ms), max(last_ms) FROM usage_session WHERE session = ?1";
            self.each(sql, [session], |row| {
                if let (Some(first), Some(last)) = (row.get(0)?, row.get::<_, Option<i64>>(1)?) {
                    let (first, end) = (UnixMs(first), UnixMs(last.saturating_add(1)));
                    spans.push((first.max(from), end.min(until)));
                }
                Ok(())
            })?;
        }
        // By session they are in no index: each stretch in which one of them was at work is read once.
        for (from, until) in joined(spans) {
            let bounds = params![FactId::first_at(from).0, FactId::first_at(until).0];
            self.each(CALLS, bounds, |row| {
                if sessions.contains(&row.get(0)?) {
                    each(call_of_row(row)?);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Hands what retention has left of a session's calls to `each`: the sums of quarters of an hour that
    /// begin in `from..until`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn removed_of_session(
        &self,
        session: i64,
        from: UnixMs,
        until: UnixMs,
        mut each: impl FnMut(TimeUsage),
    ) -> Result<(), LedgerError> {
        let sql = select(
            "start_ms, series",
            "usage_removed WHERE session = ?1 AND start_ms >= ?2 AND start_ms < ?3
             ORDER BY start_ms, series",
        );
        self.each(&sql, [session, from.0, until.0], |row| {
            each(time_usage_of_row(row)?);
            Ok(())
        })
    }

    /// The first and the last moment with usage.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn span(&self) -> Result<Option<(UnixMs, UnixMs)>, LedgerError> {
        // The first and the last quarter are looked up by the key; their sums say when in them.
        let sql = "SELECT
            (SELECT min(first_ms) FROM usage_time WHERE width_minutes = 15 AND start_ms =
                (SELECT min(start_ms) FROM usage_time WHERE width_minutes = 15)),
            (SELECT max(last_ms) FROM usage_time WHERE width_minutes = 15 AND start_ms =
                (SELECT max(start_ms) FROM usage_time WHERE width_minutes = 15))";
        let span = self.database.query_row(sql, [], |row| {
            Ok(row.get::<_, Option<i64>>(0)?.zip(row.get::<_, Option<i64>>(1)?))
        });
        let span = span.map_err(LedgerError::sqlite(&self.path))?;
        Ok(span.map(|(first, last)| (UnixMs(first), UnixMs(last))))
    }

    /// When something new was last read of a store.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn last_read(&self) -> Result<Option<UnixMs>, LedgerError> {
        let sql = "SELECT max(read_at) FROM positions";
        let last = self.database.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
        Ok(last.map_err(LedgerError::sqlite(&self.path))?.map(UnixMs))
    }

    /// How far every store was read.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn positions(&self) -> Result<StoredPositions, LedgerError> {
        StoredPositions::load(&self.database).map_err(LedgerError::sqlite(&self.path))
    }

    /// How far one store, or one part of a database, was read.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn position(&self, store: &StoreId) -> Result<Option<Position>, LedgerError> {
        StoredPositions::load_one(&self.database, store).map_err(LedgerError::sqlite(&self.path))
    }

    /// What was read of each source.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn sources(&self) -> Result<Vec<SourceState>, LedgerError> {
        let sql = "WITH read AS (SELECT source, count(DISTINCT path) AS stores, sum(size_bytes) AS bytes,
                max(read_at) AS last_read FROM positions GROUP BY source),
             counted AS (SELECT series.source, sum(calls) AS calls FROM usage_time
                JOIN series ON series.id = usage_time.series WHERE width_minutes = 1440
                GROUP BY series.source),
             wrong AS (SELECT source, count(*) AS problems FROM problems GROUP BY source),
             names AS (SELECT source FROM read UNION SELECT source FROM counted UNION SELECT source FROM wrong)
             SELECT names.source, coalesce(stores, 0), coalesce(bytes, 0), coalesce(last_read, 0),
                coalesce(calls, 0), coalesce(problems, 0)
             FROM names LEFT JOIN read USING (source) LEFT JOIN counted USING (source)
             LEFT JOIN wrong USING (source) ORDER BY names.source";
        self.all(sql, [], |row| {
            Ok(SourceState {
                source: row.get(0)?,
                stores: row.get::<_, i64>(1)?.cast_unsigned(),
                bytes: row.get::<_, i64>(2)?.cast_unsigned(),
                last_read: UnixMs(row.get(3)?),
                calls: row.get::<_, i64>(4)?.cast_unsigned(),
                problems: row.get::<_, i64>(5)?.cast_unsigned(),
            })
        })
    }

    /// Up to `limit` places that could not be understood, by source, path and line.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn problems(&self, limit: u32) -> Result<Vec<StoredProblem>, LedgerError> {
        let sql = "SELECT source, path, line, kind, detail, seen_at FROM problems LIMIT ?1";
        self.all(sql, [limit], |row| {
            Ok(StoredProblem {
                store: StoreId {
                    source: row.get_ref(0)?.as_str()?.into(),
                    path: row.get_ref(1)?.as_str()?.into(),
                    part: Text::default(),
                },
                line: row.get::<_, i64>(2)?.cast_unsigned(),
                kind: ProblemKind::named(row.get_ref(3)?.as_str()?),
                detail: row.get(4)?,
                seen_at: UnixMs(row.get(5)?),
            })
        })
    }

    /// Whether the next poll has claims to wait for: see [`Batch::is_poll`](trueup_core::Batch).
    ///
    /// # Errors
    /// What SQLite says.
    pub fn has_pending_claims(&self) -> Result<bool, LedgerError> {
        let sql =
            "SELECT EXISTS (SELECT 1 FROM session_totals WHERE NOT is_superseded AND polls < ?1)";
        self.database
            .prepare_cached(sql)
            .and_then(|mut pending| pending.query_row([POLLS_MAX], |row| row.get(0)))
            .map_err(LedgerError::sqlite(&self.path))
    }

    /// The allowances that providers told agents about.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn quotas(&self) -> Result<Vec<Quota>, LedgerError> {
        let sql = "SELECT source, observed_at, window_minutes, used_millipercent, resets_at, plan FROM quotas";
        self.all(sql, [], |row| {
            Ok(Quota {
                source: row.get_ref(0)?.as_str()?.into(),
                time: UnixMs(row.get(1)?),
                window_minutes: row.get(2)?,
                used_millipercent: row.get(3)?,
                resets_at: row.get::<_, Option<i64>>(4)?.map(UnixMs),
                plan: row.get_ref(5)?.as_str()?.into(),
            })
        })
    }

    /// Copies the whole ledger, as it is now, into a new file.
    ///
    /// # Errors
    /// What SQLite says, such as that there is no room for it.
    pub fn copy(&self, to: &Path) -> Result<(), LedgerError> {
        let copied = self.database.execute("VACUUM INTO ?1", [to.to_string_lossy()]);
        copied.map(drop).map_err(LedgerError::sqlite(to))
    }

    /// A number that survives restarts; zero where nothing was counted.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn counter(&self, name: &str) -> Result<u64, LedgerError> {
        let value = self
            .database
            .query_row("SELECT value FROM counters WHERE name = ?1", [name], |row| {
                row.get::<_, i64>(0)
            })
            .optional();
        Ok(value.map_err(LedgerError::sqlite(&self.path))?.unwrap_or(0).cast_unsigned())
    }

    /// Checks the file, and every sum against the facts. Slow: it reads everything.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn check(&self) -> Result<Check, LedgerError> {
        let mut damage: Vec<String> = self.all("PRAGMA integrity_check", [], |row| row.get(0))?;
        damage.retain(|line| line != "ok");
        // Rows that point to nothing: by table and by what they point to.
        let dangling: Vec<String> = self.all(
            "SELECT \"table\" || ' without ' || parent FROM pragma_foreign_key_check LIMIT 100",
            [],
            |row| row.get(0),
        )?;
        damage.extend(dangling);
        let mut wrong_sums: Vec<String> =
            self.all(include_str!("schema/check_sums.sql"), [], |row| row.get(0))?;
        if self.has_table("usage_week")? {
            let sql = include_str!("schema/check_weeks.sql");
            wrong_sums.extend(self.all::<String, Vec<_>>(sql, [], |row| row.get(0))?);
        }
        if self.has_stated()? {
            let sql = include_str!("schema/check_statements.sql");
            wrong_sums.extend(self.all::<String, Vec<_>>(sql, [], |row| row.get(0))?);
        }
        Ok(Check { damage, wrong_sums })
    }

    /// Whether the file has a table or a view: one of an older version may be held by an older program.
    pub(crate) fn has_table(&self, name: &str) -> Result<bool, LedgerError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type IN ('table', 'view') AND name = ?1)";
        let found: Vec<bool> = self.all(sql, [name], |row| row.get(0))?;
        Ok(found == [true])
    }

    pub(crate) fn all<T, C: FromIterator<T>>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        of_row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<C, LedgerError> {
        let read = || {
            let mut statement = self.database.prepare_cached(sql)?;
            statement.query_map(values, of_row)?.collect::<rusqlite::Result<C>>()
        };
        read().map_err(LedgerError::sqlite(&self.path))
    }

    pub(crate) fn each(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        mut of_row: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), LedgerError> {
        let read = || {
            let mut statement = self.database.prepare_cached(sql)?;
            let mut rows = statement.query(values)?;
            while let Some(row) = rows.next()? {
                of_row(row)?;
            }
            Ok(())
        };
        read().map_err(LedgerError::sqlite(&self.path))
    }
}

/// A row of [`select`] with the start and the series as its keys.
pub(crate) fn time_usage_of_row(row: &Row<'_>) -> rusqlite::Result<TimeUsage> {
    Ok(TimeUsage {
        start: UnixMs(row.get(0)?),
        series: row.get(1)?,
        counters: counters_of_row(row, 2)?,
        times: (UnixMs(row.get(12)?), UnixMs(row.get(13)?)),
    })
}

/// On a volume that cannot be written SQLite cannot share a ledger in WAL mode; where no writer has
/// left anything in the log, the file alone is the whole ledger.
fn open_read_only(path: &Path) -> Result<Connection, LedgerError> {
    let database = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let is_readable =
        database.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).is_ok();
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if is_readable || Path::new(&log).exists() {
        return Ok(database);
    }
    let uri = format!(
        "file:{}?immutable=1",
        path.display().to_string().replace('%', "%25").replace('?', "%3f")
    );
    connect(Path::new(&uri), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
}

#[cfg(test)]
mod tests {
    use trueup_core::{Batch, CustomEvent, Fact, Key};

    use super::*;
    use crate::{Ledger, OpenOptions};

    #[test]
    fn two_readers_see_the_same_commit_or_there_is_no_pair() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        let mut events = 0_u64;
        let mut commit = || {
            events += 1;
            let event = CustomEvent {
                key: Key::of("test", &[&events.to_be_bytes()]),
                time: UnixMs(1_795_000_000_000),
                trace_id: None,
                source: "test".into(),
                session: Text::default(),
                name: "e".into(),
                metadata: None,
            };
            let facts = vec![Fact::Event(Box::new(event))];
            ledger.append(&[&Batch { facts, ..Batch::default() }], UnixMs(1)).unwrap();
        };
        let seen = |reader: &Reader| -> i64 {
            let sql = "SELECT count(*) FROM custom_events";
            reader.database.query_row(sql, [], |row| row.get(0)).unwrap()
        };
        let mut left = 2;
        let pair = Reader::pair_around(&path, || {
            if left > 0 {
                left -= 1;
                commit();
            }
        });
        let (one, other) = pair.unwrap().unwrap();
        commit();
        assert_eq!((seen(&one), seen(&other)), (2, 2));
        assert!(Reader::pair_around(&path, &mut commit).unwrap().is_none());
    }
}
