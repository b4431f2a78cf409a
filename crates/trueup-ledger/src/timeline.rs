//! Single calls, in order of time: those of a session, and the latest there are.
//!
//! By session, calls are in no index. When a session was at work is known by its sums, and in which
//! quarters of an hour any call like one of its own was counted by those over time: only the calls of
//! these quarters are looked at, by their ids, and no more than [`LOOKED_AT_MAX`] at once.
//!
//! ```text
//! 019e9c31-86f0-…  series 12  session 4  2026-11-20T09:00:00.000Z  1200 in, 80 out, 2100 ms
//! ```

use rusqlite::{Row, params};
use trueup_core::{Counters, FactId, QUARTER_MS, Text, UnixMs};

use crate::row::counters_of_row;
use crate::{LedgerError, Reader};

/// Calls that one question looks at, whosever they are: a session may have been at work beside many
/// others for months.
const LOOKED_AT_MAX: usize = 50_000;

/// One call, with what is known of it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCall {
    /// Its id.
    pub id: FactId,
    /// The number of its session.
    pub session: i64,
    /// The number of its series.
    pub series: i64,
    /// When it was answered.
    pub time: UnixMs,
    /// What it adds to a sum.
    pub counters: Counters,
    /// From request to last token, in milliseconds.
    pub latency_ms: Option<u64>,
    /// From request to first token, in milliseconds.
    pub time_to_first_token_ms: Option<u64>,
    /// The kind of error; `None` where it was answered.
    pub error_type: Option<String>,
}

/// Some calls of a session, in order of their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallsPart {
    /// The calls. There may be none, and further ones all the same.
    pub calls: Vec<StoredCall>,
    /// The id behind which the next part begins; `None` where there are no more calls.
    pub next: Option<FactId>,
}

/// A call that was counted lately, and the session's own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestCall {
    /// The call.
    pub call: StoredCall,
    /// The session's own name.
    pub session: Text,
}

/// The columns of a [`StoredCall`] of the table `c`.
macro_rules! stored_call {
    ($more:literal, $rest:literal) => {
        concat!(
            "SELECT c.id, c.session, c.series, c.created_at, 1, c.error_type IS NOT NULL, c.input,
             c.cache_read, c.cache_write_5m, c.cache_write_1h, c.cache_write, c.output, c.reasoning,
             coalesce(c.reported_cost_nanousd, 0), c.latency_ms, c.time_to_first_token_ms,
             c.error_type",
            $more,
            " FROM llm_calls c ",
            $rest
        )
    };
}

/// The sessions of a name, but for whose each is. Who asks does not know of which source; there are few.
macro_rules! named {
    ($device:literal) => {
        concat!(
            "SELECT id, source, ",
            $device,
            " FROM sessions
             WHERE source IN (SELECT source FROM series) AND session = ?1 ORDER BY source"
        )
    };
}
const NAMED: &str = named!("device");
const NAMED_BEFORE_DEVICES: &str = named!("0");

/// When a session was at work.
const TIMES: &str = "SELECT min(first_ms), max(last_ms) FROM usage_session
    WHERE session IN (SELECT value FROM json_each(?1))";

/// Quarters of an hour with calls like those of a session.
const QUARTERS: &str = "SELECT start_ms FROM usage_time
    WHERE width_minutes = 15 AND start_ms >= ?1 AND start_ms < ?2
    AND series IN (SELECT series FROM usage_session
        WHERE session IN (SELECT value FROM json_each(?3))) ORDER BY start_ms";

/// The calls between two ids.
const BETWEEN: &str = stored_call!("", "WHERE c.id > ?1 AND c.id < ?2 ORDER BY c.id");

/// The latest calls.
const LATEST: &str = stored_call!(
    ", n.session",
    "JOIN sessions n ON n.id = c.session WHERE c.id > x'00' ORDER BY c.id DESC LIMIT ?1"
);

/// Calls of a session whose rows are gone.
const REMOVED: &str = "SELECT coalesce(sum(calls), 0) FROM usage_removed WHERE session = ?1";

fn call_of_row(row: &Row<'_>) -> rusqlite::Result<StoredCall> {
    let ms = |at: usize| {
        Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(i64::cast_unsigned))
    };
    Ok(StoredCall {
        id: FactId(row.get(0)?),
        session: row.get(1)?,
        series: row.get(2)?,
        time: UnixMs(row.get(3)?),
        counters: counters_of_row(row, 4)?,
        latency_ms: ms(14)?,
        time_to_first_token_ms: ms(15)?,
        error_type: row.get(16)?,
    })
}

impl Reader {
    /// The sessions of a name: their numbers, their sources, and the numbers of the devices that told of
    /// them, 0 for this machine.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn sessions_named(&self, session: &str) -> Result<Vec<(i64, Text, i64)>, LedgerError> {
        let sql = if self.has_table("devices")? { NAMED } else { NAMED_BEFORE_DEVICES };
        self.all(sql, [session], |row| {
            Ok((row.get(0)?, row.get_ref(1)?.as_str()?.into(), row.get(2)?))
        })
    }

    /// Up to `limit` calls of some sessions, by their numbers, behind the call `after`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn timeline(
        &self,
        sessions: &[i64],
        after: Option<FactId>,
        limit: usize,
    ) -> Result<CallsPart, LedgerError> {
        let mut gathering =
            Gathering { sessions, limit, after, looked_at: 0, part: CallsPart::default() };
        self.gather(&mut gathering).map_err(LedgerError::sqlite(&self.path))?;
        Ok(gathering.part)
    }

    /// Gathers calls by quarters of an hour, until there are enough.
    fn gather(&self, gathering: &mut Gathering<'_>) -> rusqlite::Result<()> {
        let numbers = gathering.numbers();
        let times = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let times: (Option<i64>, Option<i64>) =
            self.database.prepare_cached(TIMES)?.query_row([&numbers], times)?;
        let (Some(first), Some(last)) = times else { return Ok(()) };
        let first = gathering.after.map_or(first, |after| after.time().0.max(first));
        let mut quarters = self.database.prepare_cached(QUARTERS)?;
        let bounds = params![UnixMs(first).floor(QUARTER_MS).0, last.saturating_add(1), numbers];
        let mut quarters = quarters.query(bounds)?;
        let mut before = None;
        while let Some(quarter) = quarters.next()? {
            let start: i64 = quarter.get(0)?;
            let is_another = before.replace(start) != Some(start);
            if is_another && gathering.is_full_with(&self.database, UnixMs(start))? {
                break;
            }
        }
        Ok(())
    }

    /// How many calls of a session are in its sums and have no row any more.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn calls_removed(&self, session: i64) -> Result<u64, LedgerError> {
        let calls: Vec<i64> = self.all(REMOVED, [session], |row| row.get(0))?;
        Ok(calls.into_iter().map(i64::cast_unsigned).sum())
    }

    /// The calls with the latest times, the last first.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn latest_calls(&self, limit: u32) -> Result<Vec<LatestCall>, LedgerError> {
        self.all(LATEST, [limit], |row| {
            let session = row.get_ref(17)?.as_str()?.into();
            Ok(LatestCall { call: call_of_row(row)?, session })
        })
    }
}

/// Calls of sessions, while they are gathered.
struct Gathering<'a> {
    sessions: &'a [i64],
    limit: usize,
    after: Option<FactId>,
    looked_at: usize,
    part: CallsPart,
}

impl Gathering<'_> {
    /// The sessions as SQLite takes a list: as JSON.
    fn numbers(&self) -> String {
        let numbers: Vec<String> = self.sessions.iter().map(ToString::to_string).collect();
        format!("[{}]", numbers.join(","))
    }

    /// Takes the calls of a quarter; whether there are enough now.
    fn is_full_with(
        &mut self,
        database: &rusqlite::Connection,
        start: UnixMs,
    ) -> rusqlite::Result<bool> {
        let end = UnixMs(start.0.saturating_add(QUARTER_MS));
        let from = self.after.filter(|after| *after > FactId::first_at(start));
        let from = from.unwrap_or_else(|| FactId::first_at(start));
        let mut between = database.prepare_cached(BETWEEN)?;
        let mut rows = between.query(params![from.0, FactId::first_at(end).0])?;
        while let Some(row) = rows.next()? {
            let is_own = self.sessions.contains(&row.get(1)?);
            if is_own && self.part.calls.len() == self.limit {
                self.part.next = self.part.calls.last().map(|call| call.id);
                return Ok(true);
            }
            if is_own {
                self.part.calls.push(call_of_row(row)?);
            }
            self.looked_at += 1;
            if self.looked_at >= LOOKED_AT_MAX {
                self.part.next = Some(FactId(row.get(0)?));
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::{Connection, params_from_iter};

    fn reader() -> Reader {
        let mut database = Connection::open_in_memory().unwrap();
        crate::schema::migrate(&mut database, std::path::Path::new("")).unwrap();
        let names = "PRAGMA foreign_keys = OFF;
             INSERT INTO sessions (source, session) VALUES ('a', 'busy'), ('a', 'calm');
             INSERT INTO series VALUES (1, 0, 'a', 'p', 'm', '', '', 0, 0)";
        database.execute_batch(names).unwrap();
        Reader { path: std::path::PathBuf::new(), database }
    }

    /// Writes calls of a session from a time on, one a millisecond, with what of their sums is read here.
    fn write(reader: &Reader, session: i64, start_ms: i64, count: i64) {
        let (last, quarter) = (start_ms + count - 1, UnixMs(start_ms).floor(QUARTER_MS).0);
        let sql = format!(
            "WITH RECURSIVE n(at) AS (VALUES ({start_ms}) UNION ALL SELECT at + 1 FROM n WHERE at < {last})
             INSERT INTO llm_calls SELECT unhex(printf('%012x%020x', at, {session})), at, 1, {session},
                1, 0, 0, 0, 0, 1, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM n;
             INSERT INTO usage_session VALUES
                ({session}, 1, {count}, 0, 0, 0, 0, 0, 0, 0, 0, 0, {start_ms}, {last});
             INSERT OR IGNORE INTO usage_time VALUES
                (15, {quarter}, 1, {count}, 0, 0, 0, 0, 0, 0, 0, 0, 0, {start_ms}, {last})"
        );
        reader.database.execute_batch(&sql).unwrap();
    }

    #[test]
    fn a_question_looks_at_no_more_calls_than_it_may_and_the_next_goes_on() {
        let reader = reader();
        let most = i64::try_from(LOOKED_AT_MAX).unwrap();
        let start = UnixMs(1_795_000_000_000).floor(QUARTER_MS).0;
        write(&reader, 1, start + 1, most + 5);
        write(&reader, 2, start + most + 10, 3);
        let calm = reader.sessions_named("calm").unwrap();
        assert_eq!(calm, [(2, "a".into(), 0)]);
        let first = reader.timeline(&[2], None, 10).unwrap();
        assert_eq!(first.calls, []);
        let second = reader.timeline(&[2], first.next, 10).unwrap();
        assert_eq!((second.calls.len(), second.next), (3, None));
        let both = reader.timeline(&[1, 2], first.next, 100).unwrap();
        assert_eq!((both.calls.len(), both.next), (8, None));
    }

    #[test]
    fn the_latest_calls_are_the_last_first() {
        let reader = reader();
        write(&reader, 1, 1_795_000_000_000, 5);
        write(&reader, 2, 1_795_000_000_003, 1);
        let latest = reader.latest_calls(2).unwrap();
        let told: Vec<_> = latest.iter().map(|it| (&*it.session, it.call.time.0)).collect();
        assert_eq!(told, [("busy", 1_795_000_000_004), ("calm", 1_795_000_000_003)]);
    }

    /// A session is found among millions of calls by when it was at work.
    #[test]
    fn nothing_walks_over_all_calls() {
        let mut database = Connection::open_in_memory().unwrap();
        crate::schema::migrate(&mut database, std::path::Path::new("")).unwrap();
        for sql in [NAMED, TIMES, QUARTERS, BETWEEN, LATEST, REMOVED] {
            let mut plan = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let values = vec![0; plan.parameter_count()];
            let steps = plan.query_map(params_from_iter(values), |row| row.get(3)).unwrap();
            let steps: Vec<String> = steps.map(Result::unwrap).collect();
            let is_walk = |step: &String| {
                let is_short = step.ends_with("series") || step.contains("json_each");
                (step.starts_with("SCAN") && !is_short) || step.contains("TEMP B-TREE")
            };
            assert!(!steps.is_empty() && !steps.iter().any(is_walk), "{sql}: {steps:?}");
        }
    }
}
