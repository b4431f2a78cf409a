//! What went wrong: errors that clients posted, and calls that failed.
//!
//! How many calls failed stands in the sums; why they did only in their rows, which are looked at from
//! the last on, and no more than [`FAILED_LOOKED_AT_MAX`] of them.

use std::collections::BTreeMap;

use rusqlite::params;
use trueup_core::{DAY_MS, FactId, QUARTER_MS, UnixMs};

use crate::rollup::Width;
use crate::{LedgerError, Reader};

/// Calls, failed or not, that one question looks at for why they failed.
const FAILED_LOOKED_AT_MAX: usize = 50_000;

/// An error as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredError {
    /// Its id.
    pub id: FactId,
    /// When it happened.
    pub time: UnixMs,
    /// `llm_error`, `crash`, or a name of the client's own.
    pub error_type: String,
    /// What went wrong, in the client's own words: it may hold a secret.
    pub message: String,
    /// How bad.
    pub severity: String,
}

/// Why calls of a series failed: the kind of error, how many did, and when the last did.
pub type FailedCalls = BTreeMap<(i64, String), (u64, UnixMs)>;

const EVENTS: &str = "SELECT id, created_at, error_type, message, severity FROM error_events
    WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";

const EVENT_COUNT: &str = "SELECT count(*) FROM error_events WHERE id >= ?1 AND id < ?2";

const FIRST: &str = "SELECT min(id) FROM error_events";

const STACK: &str = "SELECT stack_trace FROM error_events WHERE id = ?1";

/// Sums with failed calls, the last first.
const ERRORS: &str = "SELECT start_ms, series, errors FROM usage_time
    WHERE width_minutes = ?1 AND start_ms >= ?2 AND start_ms < ?3 AND errors > 0
    ORDER BY start_ms DESC";

const CALLS: &str =
    "SELECT series, created_at, error_type FROM llm_calls WHERE id >= ?1 AND id < ?2";

impl Reader {
    /// When the first error happened.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn first_error(&self) -> Result<Option<UnixMs>, LedgerError> {
        let first: Vec<Option<[u8; 16]>> = self.all(FIRST, [], |row| row.get(0))?;
        Ok(first.into_iter().flatten().next().map(|id| FactId(id).time()))
    }

    /// How many errors have ids from `from` on and before `until`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn error_count(&self, from: FactId, until: FactId) -> Result<u64, LedgerError> {
        let count: Vec<i64> = self.all(EVENT_COUNT, params![from.0, until.0], |row| row.get(0))?;
        Ok(count.into_iter().map(i64::cast_unsigned).sum())
    }

    /// Hands up to `limit` errors with ids from `from` on and before `until` to `each`, the last first.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn errors(
        &self,
        from: FactId,
        until: FactId,
        limit: u32,
        mut each: impl FnMut(StoredError),
    ) -> Result<(), LedgerError> {
        self.each(EVENTS, params![from.0, until.0, limit], |row| {
            each(StoredError {
                id: FactId(row.get(0)?),
                time: UnixMs(row.get(1)?),
                error_type: row.get(2)?,
                message: row.get(3)?,
                severity: row.get(4)?,
            });
            Ok(())
        })
    }

    /// The stack of an error, in the client's own form: it may hold a secret.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn stack_of_error(&self, id: FactId) -> Result<Option<String>, LedgerError> {
        let stacks: Vec<Option<String>> = self.all(STACK, [id.0], |row| row.get(0))?;
        Ok(stacks.into_iter().flatten().next())
    }

    /// How many calls failed in the quarters of an hour that begin in `from..until`, by series.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn failed_by_series(
        &self,
        from: UnixMs,
        until: UnixMs,
    ) -> Result<BTreeMap<i64, u64>, LedgerError> {
        let mut failed = BTreeMap::new();
        for (width, from, until) in stretches(from, until) {
            self.each(ERRORS, [width.minutes(), from.0, until.0], |row| {
                let sum: &mut u64 = failed.entry(row.get(1)?).or_default();
                *sum = sum.saturating_add(row.get::<_, i64>(2)?.cast_unsigned());
                Ok(())
            })?;
        }
        Ok(failed)
    }

    /// Why calls of these quarters failed, as far as their rows are there and were looked at, the last
    /// first. `true` where some were not looked at.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn failed_calls(
        &self,
        from: UnixMs,
        until: UnixMs,
    ) -> Result<(FailedCalls, bool), LedgerError> {
        let (mut failed, mut looked_at) = (FailedCalls::new(), 0);
        for (width, from, until) in stretches(from, until).into_iter().rev() {
            for start in self.failing(width, from, until)? {
                let quarters = match width {
                    Width::Quarter => vec![start],
                    Width::Day => {
                        self.failing(Width::Quarter, start, UnixMs(start.0.saturating_add(DAY_MS)))?
                    }
                };
                for quarter in quarters {
                    if looked_at >= FAILED_LOOKED_AT_MAX {
                        return Ok((failed, true));
                    }
                    looked_at += self.add_failed(quarter, &mut failed)?;
                }
            }
        }
        Ok((failed, false))
    }

    /// Where sums with failed calls begin, the last first.
    fn failing(
        &self,
        width: Width,
        from: UnixMs,
        until: UnixMs,
    ) -> Result<Vec<UnixMs>, LedgerError> {
        let bounds = [width.minutes(), from.0, until.0];
        let mut starts: Vec<UnixMs> = self.all(ERRORS, bounds, |row| row.get(0).map(UnixMs))?;
        starts.dedup();
        Ok(starts)
    }

    /// Adds the failed calls of a quarter; how many calls were looked at.
    fn add_failed(&self, start: UnixMs, failed: &mut FailedCalls) -> Result<usize, LedgerError> {
        let end = UnixMs(start.0.saturating_add(QUARTER_MS));
        let mut looked_at = 0;
        self.each(CALLS, params![FactId::first_at(start).0, FactId::first_at(end).0], |row| {
            looked_at += 1;
            if let Some(error_type) = row.get::<_, Option<String>>(2)? {
                let (calls, last) =
                    failed.entry((row.get(0)?, error_type)).or_insert((0, UnixMs(i64::MIN)));
                *calls += 1;
                *last = UnixMs(row.get(1)?).max(*last);
            }
            Ok(())
        })?;
        Ok(looked_at)
    }
}

/// The whole UTC days of a time, with the quarters before and behind them, in order of time.
fn stretches(from: UnixMs, until: UnixMs) -> Vec<(Width, UnixMs, UnixMs)> {
    let first_day = UnixMs(from.0.saturating_add(DAY_MS - 1)).floor(DAY_MS);
    let last_day = if until.0 == i64::MAX { until } else { until.floor(DAY_MS) };
    if first_day >= last_day {
        return vec![(Width::Quarter, from, until)];
    }
    let all = [
        (Width::Quarter, from, first_day),
        (Width::Day, first_day, last_day),
        (Width::Quarter, last_day, until),
    ];
    all.into_iter().filter(|(_, from, until)| from < until).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::{Connection, params_from_iter};

    #[test]
    fn only_so_many_calls_are_looked_at_for_why_they_failed() {
        let mut database = Connection::open_in_memory().unwrap();
        crate::schema::migrate(&mut database, std::path::Path::new("")).unwrap();
        database.pragma_update(None, "foreign_keys", false).unwrap();
        let reader = Reader { path: std::path::PathBuf::new(), database };
        let (day, most) = (1_795_046_400_000, i64::try_from(FAILED_LOOKED_AT_MAX).unwrap());
        for (quarter, count) in [(0, 2), (1, most), (95, 1)] {
            let start = day + quarter * QUARTER_MS;
            let sql = format!(
                "WITH RECURSIVE n(at) AS (VALUES (1) UNION ALL SELECT at + 1 FROM n WHERE at < {count})
                 INSERT INTO llm_calls SELECT unhex(printf('%012x%020x', {start} + at, 1)), {start} + at,
                    1, 1, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, 'kind ' || (at % 2), NULL, NULL, NULL
                 FROM n;
                 INSERT INTO usage_time VALUES
                    (15, {start}, 1, {count}, {count}, 0, 0, 0, 0, 0, 0, 0, 0, {start}, {start})"
            );
            reader.database.execute_batch(&sql).unwrap();
        }
        let all = most + 3;
        let sum = format!(
            "INSERT INTO usage_time VALUES (1440, {day}, 1, {all}, {all}, 0, 0, 0, 0, 0, 0, 0, 0, {day}, {day})"
        );
        reader.database.execute_batch(&sum).unwrap();
        let (from, until) = (UnixMs(day), UnixMs(day + DAY_MS));
        assert_eq!(
            reader.failed_by_series(from, until).unwrap(),
            [(1, all.cast_unsigned())].into()
        );
        let (failed, is_cut) = reader.failed_calls(from, until).unwrap();
        assert!(is_cut, "the first quarter of the day was not looked at");
        let calls: u64 = failed.values().map(|(calls, _)| calls).sum();
        assert_eq!(calls, all.cast_unsigned() - 2);
        let last = failed[&(1, "kind 1".to_owned())].1;
        assert_eq!(last, UnixMs(day + 95 * QUARTER_MS + 1));
        let part = reader.failed_calls(from, UnixMs(day + QUARTER_MS)).unwrap();
        assert_eq!((part.0.len(), part.1), (2, false));
    }

    #[test]
    fn nothing_walks_over_all_rows() {
        let mut database = Connection::open_in_memory().unwrap();
        crate::schema::migrate(&mut database, std::path::Path::new("")).unwrap();
        for sql in [EVENTS, EVENT_COUNT, FIRST, STACK, ERRORS, CALLS] {
            let mut plan = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let values = vec![0; plan.parameter_count()];
            let steps = plan.query_map(params_from_iter(values), |row| row.get(3)).unwrap();
            let steps: Vec<String> = steps.map(Result::unwrap).collect();
            let is_search = |step: &String| step.starts_with("SEARCH");
            assert!(!steps.is_empty() && steps.iter().all(is_search), "{sql}: {steps:?}");
        }
    }

    #[test]
    fn whole_days_are_read_as_days() {
        let at = |day: i64, quarters: i64| UnixMs(day * DAY_MS + quarters * QUARTER_MS);
        for (from, until, expected) in [
            (at(1, 0), at(3, 0), vec![(Width::Day, at(1, 0), at(3, 0))]),
            (at(1, 1), at(1, 9), vec![(Width::Quarter, at(1, 1), at(1, 9))]),
            (
                at(1, 92),
                at(2, 8),
                vec![(Width::Quarter, at(1, 92), at(2, 0)), (Width::Quarter, at(2, 0), at(2, 8))],
            ),
            (
                at(1, 92),
                at(4, 8),
                vec![
                    (Width::Quarter, at(1, 92), at(2, 0)),
                    (Width::Day, at(2, 0), at(4, 0)),
                    (Width::Quarter, at(4, 0), at(4, 8)),
                ],
            ),
        ] {
            let stretches: Vec<_> = stretches(from, until)
                .into_iter()
                .filter(|(_, from, until)| from < until)
                .collect();
            // A day that is cut in two is the same as one stretch of quarters.
            let joined = |all: &[(Width, UnixMs, UnixMs)]| {
                all.iter().map(|(width, from, until)| (width.minutes(), until.0 - from.0)).fold(
                    BTreeMap::<i64, i64>::new(),
                    |mut sums, (width, ms)| {
                        *sums.entry(width).or_default() += ms;
                        sums
                    },
                )
            };
            assert_eq!(joined(&stretches), joined(&expected));
        }
        let all = stretches(UnixMs(i64::MIN), UnixMs(i64::MAX));
        assert!(all.iter().any(|(width, _, until)| *width == Width::Day && until.0 == i64::MAX));
    }
}
