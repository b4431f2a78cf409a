//! What the account lacks: claimed runs, beside what was measured of their sessions.
//!
//! A claim that no call covers says that something was used which nobody recorded. How many calls a
//! session has stands in its sums, never in the facts, so that a session stays measured after its
//! rows are gone.

use std::collections::BTreeMap;

use trueup_core::{Text, UnixMs};

use crate::row::tokens_of_row;
use crate::{LedgerError, Reader};

/// A session with runs that only its agent's index knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSession {
    /// The source id.
    pub source: Text,
    /// The session's own name.
    pub session: Text,
    /// Claimed runs that no call covers.
    pub runs: u64,
    /// Tokens of these runs.
    pub tokens: u64,
    /// Calls of the session that were measured, whenever.
    pub calls: u64,
    /// Looks at all stores that brought no call of the run that waits longest; at most ten are
    /// counted.
    pub polls: u64,
    /// When the last of these runs was claimed.
    pub last: UnixMs,
}

/// One claimed run, covered or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRow {
    /// The source id.
    pub source: Text,
    /// The number of its session.
    pub session: i64,
    /// When it was claimed.
    pub time: UnixMs,
    /// Whether calls cover it.
    pub is_superseded: bool,
    /// Whether any call of its session was measured.
    pub is_session_measured: bool,
}

/// A session of which its agent told by telemetry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldSession {
    /// The source id.
    pub source: Text,
    /// The session's own name.
    pub session: Text,
    /// Calls that were told, each once.
    pub told: u64,
    /// Those of them that a file holds, too.
    pub matched: u64,
    /// Calls that count otherwise: those that files hold, and those that clients posted.
    pub of_files: u64,
}

/// How many sessions of one source are claimed, and how they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClaimCounts {
    /// Claimed runs that no call covers.
    pub runs_estimated: u64,
    /// Sessions with such a run.
    pub sessions_estimated: u64,
    /// Sessions with a claimed run that calls took the place of.
    pub sessions_superseded: u64,
    /// Sessions with a run that no call covers, and without any call.
    pub sessions_without_transcript: u64,
}

/// The newest times in a ledger; zero where there is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Newest {
    /// Where the last quarter of an hour with usage begins.
    pub usage: UnixMs,
    /// When a store was last read.
    pub read: UnixMs,
}

/// Measured calls of a session of the table `n`.
const CALLS: &str = "(SELECT coalesce(sum(calls), 0) FROM usage_session u
    JOIN series s ON s.id = u.series WHERE u.session = n.id AND s.witness = 0)";

impl Reader {
    /// The sessions with claimed runs that no call covers, by source and name.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open_sessions(&self) -> Result<Vec<OpenSession>, LedgerError> {
        let sql = format!(
            "SELECT n.source, n.session, {CALLS}, t.polls, t.created_at, t.input, t.cache_read,
                t.cache_write_5m, t.cache_write_1h, t.cache_write, t.output, t.reasoning
             FROM session_totals t JOIN sessions n ON n.id = t.session
             WHERE NOT t.is_superseded ORDER BY n.source, n.session, t.id"
        );
        let mut open: Vec<OpenSession> = Vec::new();
        self.each(&sql, [], |row| {
            let (source, session) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
            let polls = row.get::<_, i64>(3)?.cast_unsigned();
            let (last, tokens) = (UnixMs(row.get(4)?), tokens_of_row(row, 5)?.total());
            match open.last_mut().filter(|of| *of.source == *source && *of.session == *session) {
                Some(of) => {
                    of.runs += 1;
                    of.tokens = of.tokens.saturating_add(tokens);
                    of.polls = of.polls.max(polls);
                    of.last = of.last.max(last);
                }
                None => open.push(OpenSession {
                    source: source.into(),
                    session: session.into(),
                    runs: 1,
                    tokens,
                    calls: row.get::<_, i64>(2)?.cast_unsigned(),
                    polls,
                    last,
                }),
            }
            Ok(())
        })?;
        Ok(open)
    }

    /// The sessions of which agents told by telemetry, by source and name.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn told_sessions(&self) -> Result<Vec<ToldSession>, LedgerError> {
        if !self.has_table("told_sessions")? {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT n.source, n.session, t.calls, t.matched, {CALLS} - (t.calls - t.matched)
             FROM told_sessions t JOIN sessions n ON n.id = t.session ORDER BY n.source, n.session"
        );
        let mut sessions = Vec::new();
        let count = |number: i64| number.max(0).cast_unsigned();
        self.each(&sql, [], |row| {
            sessions.push(ToldSession {
                source: row.get_ref(0)?.as_str()?.into(),
                session: row.get_ref(1)?.as_str()?.into(),
                told: count(row.get(2)?),
                matched: count(row.get(3)?),
                of_files: count(row.get(4)?),
            });
            Ok(())
        })?;
        Ok(sessions)
    }

    /// Whether calls of a source count that its telemetry has not told.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn has_calls_of_files(&self, source: &str) -> Result<bool, LedgerError> {
        let sql = format!(
            "SELECT coalesce(sum({CALLS}), 0) > coalesce(sum(t.calls - t.matched), 0)
             FROM sessions n LEFT JOIN told_sessions t ON t.session = n.id WHERE n.source = ?1"
        );
        let mut has = false;
        self.each(&sql, [source], |row| {
            has = row.get(0)?;
            Ok(())
        })?;
        Ok(has)
    }

    /// Hands the runs that were claimed in `from..until` to `each`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn claims(
        &self,
        from: UnixMs,
        until: UnixMs,
        mut each: impl FnMut(ClaimRow),
    ) -> Result<(), LedgerError> {
        let sql = format!(
            "SELECT n.source, n.id, t.created_at, t.is_superseded, {CALLS} > 0
             FROM session_totals t JOIN sessions n ON n.id = t.session
             WHERE t.created_at >= ?1 AND t.created_at < ?2"
        );
        self.each(&sql, [from.0, until.0], |row| {
            each(ClaimRow {
                source: row.get_ref(0)?.as_str()?.into(),
                session: row.get(1)?,
                time: UnixMs(row.get(2)?),
                is_superseded: row.get(3)?,
                is_session_measured: row.get(4)?,
            });
            Ok(())
        })
    }

    /// How the claimed sessions of each source stand.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn claim_counts(&self) -> Result<BTreeMap<Text, ClaimCounts>, LedgerError> {
        let sql = format!(
            "WITH claimed AS (SELECT session, sum(NOT is_superseded) AS open,
                sum(is_superseded) AS superseded FROM session_totals GROUP BY session)
             SELECT n.source, sum(open), sum(open > 0), sum(superseded > 0),
                sum(open > 0 AND {CALLS} = 0)
             FROM claimed JOIN sessions n ON n.id = claimed.session GROUP BY n.source"
        );
        self.all(&sql, [], |row| {
            let count =
                |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, i64>(at)?.cast_unsigned());
            let counts = ClaimCounts {
                runs_estimated: count(1)?,
                sessions_estimated: count(2)?,
                sessions_superseded: count(3)?,
                sessions_without_transcript: count(4)?,
            };
            Ok((row.get_ref(0)?.as_str()?.into(), counts))
        })
    }

    /// The newest times.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn newest(&self) -> Result<Newest, LedgerError> {
        let sql =
            "SELECT coalesce((SELECT max(start_ms) FROM usage_time WHERE width_minutes = 15), 0),
             coalesce((SELECT max(read_at) FROM positions), 0)";
        let newest: Vec<Newest> = self.all(sql, [], |row| {
            Ok(Newest { usage: UnixMs(row.get(0)?), read: UnixMs(row.get(1)?) })
        })?;
        Ok(newest.first().copied().unwrap_or_default())
    }

    /// What SQLite finds wrong with the file in one quick look over its pages, up to `limit` lines;
    /// [`check`](Self::check) looks at everything.
    ///
    /// # Errors
    /// What SQLite says: of a file that is badly damaged it says nothing else.
    pub fn quick_check(&self, limit: u32) -> Result<Vec<String>, LedgerError> {
        let sql = format!("PRAGMA quick_check({limit})");
        let lines: Vec<String> = self.all(&sql, [], |row| row.get(0))?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }
}
