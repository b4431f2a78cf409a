//! What counters of telemetry tell of each session and day, beside what its calls come to.
//!
//! ```text
//! claude-code, session 8f3c…, 2026-11-22: its metrics tell of 1,456 tokens of prompts, its calls have 1,355
//! ```

use std::collections::BTreeMap;

use rusqlite::Row;
use trueup_core::{DAY_MS, Parts, Text, Tokens, UnixMs};

use crate::row::tokens_of_row;
use crate::{LedgerError, Reader};

/// One session and day of which counters tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeteredDay {
    /// The source id.
    pub source: Text,
    /// The session; empty where the counters do not tell, and all of the source's calls are meant.
    pub session: Text,
    /// The UTC day.
    pub day: UnixMs,
    /// What the counters tell of it.
    pub told: Meters,
    /// What its calls come to.
    pub counted: Meters,
}

/// Counts as counters tell them: they overlap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meters {
    /// Tokens of prompts, with what was read from and written to caches.
    pub prompt: u64,
    /// Those read from caches.
    pub cache_read: u64,
    /// Those written to caches.
    pub cache_write: u64,
    /// Tokens of answers, with reasoning.
    pub output: u64,
    /// Those of reasoning.
    pub reasoning: u64,
    /// Billionths of a dollar; zero in what calls come to, of which only reports know the prices.
    pub cost_nanousd: u64,
}

impl Meters {
    fn add(&mut self, parts: Parts, value: u64) {
        for (part, count) in [
            (Parts::PROMPT, &mut self.prompt),
            (Parts::CACHE_READ, &mut self.cache_read),
            (Parts::CACHE_WRITE, &mut self.cache_write),
            (Parts::OUTPUT, &mut self.output),
            (Parts::REASONING, &mut self.reasoning),
            (Parts::COST, &mut self.cost_nanousd),
        ] {
            if parts.is_part_of(part) {
                *count = count.saturating_add(value);
            }
        }
    }

    fn add_calls(&mut self, tokens: &Tokens) {
        for (part, value) in [
            (Parts::PROMPT, tokens.prompt()),
            (Parts::CACHE_READ, tokens.cache_read),
            (Parts::CACHE_WRITE, tokens.prompt() - tokens.input - tokens.cache_read),
            (Parts::OUTPUT, tokens.output),
            (Parts::REASONING, tokens.reasoning),
        ] {
            self.add(part, value);
        }
    }
}

/// What each counter adds on each day. What a cumulative one had come to on the days before is taken off; where
/// no such day is known, all of it is of the day on which it began, and of a later one what it grew by.
const TOLD: &str = "SELECT source, session, day, parts, max(0, iif(began IS NULL, most,
        most - coalesce(
            max(most) OVER (PARTITION BY stream ORDER BY day
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            iif(began = day, 0, least))))
    FROM metered";

/// What calls of those sessions come to, by day: rows that are there, and sums of those that retention took.
const OF_SESSIONS: &str = "WITH told AS MATERIALIZED (
        SELECT DISTINCT source, session FROM metered WHERE session <> ''),
    numbered AS MATERIALIZED (
        SELECT n.id, t.source, t.session FROM told t
        JOIN sessions n ON n.source = t.source AND n.session = t.session)
    SELECT n.source, n.session, c.created_at / 86400000 AS day, sum(c.input), sum(c.cache_read),
        sum(c.cache_write_5m), sum(c.cache_write_1h), sum(c.cache_write), sum(c.output), sum(c.reasoning)
    FROM numbered n CROSS JOIN llm_calls c ON c.session = n.id GROUP BY n.id, day
    UNION ALL
    SELECT n.source, n.session, r.start_ms / 86400000 AS day, sum(r.input), sum(r.cache_read),
        sum(r.cache_write_5m), sum(r.cache_write_1h), sum(r.cache_write), sum(r.output), sum(r.reasoning)
    FROM numbered n CROSS JOIN usage_removed r ON r.session = n.id GROUP BY n.id, day";

/// What all calls of a source come to on those days on which its counters tell no session.
const OF_SOURCES: &str = "WITH told AS MATERIALIZED (
        SELECT DISTINCT source, day FROM metered WHERE session = '')
    SELECT t.source, '', t.day, sum(u.input), sum(u.cache_read), sum(u.cache_write_5m),
        sum(u.cache_write_1h), sum(u.cache_write), sum(u.output), sum(u.reasoning)
    FROM told t CROSS JOIN usage_time u ON u.width_minutes = 1440 AND u.start_ms = t.day * 86400000
    JOIN series s ON s.id = u.series AND s.source = t.source AND s.witness = 0
    GROUP BY t.source, t.day";

impl Reader {
    /// The sessions and days of which counters of telemetry tell, or on which calls of such a session count.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn metered_days(&self) -> Result<Vec<MeteredDay>, LedgerError> {
        if !self.has_table("metered")? {
            return Ok(Vec::new());
        }
        let mut days: BTreeMap<(Text, Text, i64), (Meters, Meters)> = BTreeMap::new();
        self.each(TOLD, [], |row| {
            let (told, _) = days.entry(key(row)?).or_default();
            told.add(Parts(row.get(3)?), row.get::<_, i64>(4)?.cast_unsigned());
            Ok(())
        })?;
        for sql in [OF_SESSIONS, OF_SOURCES] {
            self.each(sql, [], |row| {
                let (_, counted) = days.entry(key(row)?).or_default();
                counted.add_calls(&tokens_of_row(row, 3)?);
                Ok(())
            })?;
        }
        let of = |((source, session, day), (told, counted))| {
            let day = UnixMs(day * DAY_MS);
            MeteredDay { source, session, day, told, counted }
        };
        Ok(days.into_iter().map(of).collect())
    }
}

fn key(row: &Row<'_>) -> rusqlite::Result<(Text, Text, i64)> {
    Ok((row.get_ref(0)?.as_str()?.into(), row.get_ref(1)?.as_str()?.into(), row.get(2)?))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// Calls are found by their session, or by their day's sums, however many there are.
    #[test]
    fn nothing_walks_over_all_calls() {
        let mut database = Connection::open_in_memory().unwrap();
        crate::schema::migrate(&mut database, std::path::Path::new("")).unwrap();
        for sql in [TOLD, OF_SESSIONS, OF_SOURCES] {
            let mut plan = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let steps = plan.query_map([], |row| row.get(3)).unwrap();
            let steps: Vec<String> = steps.map(Result::unwrap).collect();
            let is_walk = |step: &String| {
                let tables = ["SCAN c", "SCAN r", "SCAN u", "SCAN s"];
                tables.iter().any(|table| step == table || step.starts_with(&format!("{table} ")))
            };
            assert!(!steps.is_empty() && !steps.iter().any(is_walk), "{sql}: {steps:?}");
        }
    }
}
