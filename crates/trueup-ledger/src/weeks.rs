//! Sums over spans of time, out of whole weeks where a span holds some.
//!
//! Kept are sums of weeks in UTC from Monday, beside those of days: a year by month is read from forty
//! weeks that lie in one month each, and from the days of twelve that do not.
//!
//! ```text
//! from 2026-10-15 by month:   days until Sunday 18th    week of 19th    days of 26th to November 1st    …
//! ```

use std::ops::RangeInclusive;

use trueup_core::UnixMs;

use crate::reader::time_usage_of_row;
use crate::rollup::WEEK_MS;
use crate::row::COUNTER_COLUMNS;
use crate::spans::Spans;
use crate::{LedgerError, Reader, TimeUsage};

/// Time that is read alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    is_weeks: bool,
    from: UnixMs,
    until: UnixMs,
}

/// The weeks that hold something. Each is looked up by the one before it: there are few of them, and no
/// end to the time that a wrong clock may put between two.
const WEEKS: &str = "WITH RECURSIVE weeks (at) AS (
        SELECT min(start_ms) FROM usage_week WHERE device = 0
        UNION ALL
        SELECT (SELECT min(start_ms) FROM usage_week WHERE device = 0 AND start_ms > at) FROM weeks
        WHERE at IS NOT NULL
    ) SELECT at FROM weeks WHERE at IS NOT NULL";

/// The runs of `from..until`, given the weeks that hold something, and its first and its last moment.
fn runs(
    weeks: &[UnixMs],
    (first, last): (UnixMs, UnixMs),
    (from, until): (UnixMs, UnixMs),
    end: &mut dyn FnMut(UnixMs) -> UnixMs,
) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for &week in weeks {
        let next = UnixMs(week.0.saturating_add(WEEK_MS));
        if from.max(week) >= until.min(next) {
            continue;
        }
        // Where there is nothing, nothing is cut off.
        let (begin, stop) = (week.max(first), next.min(UnixMs(last.0.saturating_add(1))));
        let is_weeks = from <= begin && stop <= until && stop <= end(begin);
        let (from, until) = if is_weeks { (week, next) } else { (from.max(week), until.min(next)) };
        match runs.last_mut() {
            Some(run) if run.is_weeks == is_weeks && run.until == from => run.until = until,
            _ => runs.push(Run { is_weeks, from, until }),
        }
    }
    runs
}

impl Reader {
    /// Hands sums over what lies in `from..until` to `each`: of one series, and priced alike, one for each
    /// span, or a few. `end` says where the span ends that a time lies in: at one of the edges that `edges`
    /// names of a day, given where that begins in UTC, or at midnight in UTC. Where `devices` are asked for,
    /// by their numbers, they are told apart, and the number is told as well; it is 0 otherwise.
    ///
    /// It reads several times: what is committed must be [held](Reader::hold), or be that of a pair.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn usage_of_spans(
        &self,
        devices: Option<&RangeInclusive<i64>>,
        (from, until): (UnixMs, UnixMs),
        edges: &mut dyn FnMut(UnixMs) -> Vec<UnixMs>,
        end: &mut dyn FnMut(UnixMs) -> UnixMs,
        each: &mut dyn FnMut(i64, TimeUsage),
    ) -> Result<(), LedgerError> {
        let Some(span) = self.span()? else { return Ok(()) };
        let runs = if self.has_table("usage_week")? && !self.is_confined()? {
            let weeks: Vec<UnixMs> = self.all(WEEKS, [], |row| Ok(UnixMs(row.get(0)?)))?;
            runs(&weeks, span, (from, until), end)
        } else {
            // An older program's file, or a device's part of one.
            vec![Run { is_weeks: false, from, until }]
        };
        let mut spans = Spans::new(end);
        for run in runs {
            let mut add = |device: i64, usage: TimeUsage| {
                // Before what is asked for, and before the first usage of all, another span may have ended.
                let usage = TimeUsage { start: usage.start.max(from).max(span.0), ..usage };
                spans.add(device, usage, each);
            };
            match (run.is_weeks, devices) {
                (true, _) => self.weeks(devices, run, &mut add)?,
                (false, Some(devices)) => {
                    self.usage_by_device(devices.clone(), run.from, run.until, &mut *edges, add)?;
                }
                (false, None) => {
                    let add = |usage| add(0, usage);
                    self.usage_between(run.from, run.until, &mut *edges, add)?;
                }
            }
        }
        spans.tell(each);
        Ok(())
    }

    fn weeks(
        &self,
        devices: Option<&RangeInclusive<i64>>,
        run: Run,
        each: &mut dyn FnMut(i64, TimeUsage),
    ) -> Result<(), LedgerError> {
        let (of, (one, other)) = match devices {
            Some(devices) => {
                ("devices CROSS JOIN usage_week ON device = id", devices.clone().into_inner())
            }
            None => ("(SELECT 0 AS id) CROSS JOIN usage_week ON device = id", (0, 0)),
        };
        let sql = format!(
            "SELECT start_ms, series, {COUNTER_COLUMNS}, first_ms, last_ms, device FROM {of}
             WHERE id BETWEEN ?1 AND ?2 AND start_ms >= ?3 AND start_ms < ?4"
        );
        self.each(&sql, [one, other, run.from.0, run.until.0], |row| {
            each(row.get(14)?, time_usage_of_row(row)?);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_that_lie_in_one_span_are_read_as_such() {
        let time = |text: &str| UnixMs::parse_rfc3339(&format!("{text}T00:00:00Z")).unwrap();
        let (november, monday) = (time("2026-11-01"), time("2026-10-19"));
        let mut end = |time: UnixMs| if time < november { november } else { UnixMs(i64::MAX) };
        let weeks: Vec<UnixMs> =
            ["2026-10-19", "2026-10-26", "2026-11-02", "2026-11-09", "2027-01-04"].map(time).into();
        let span = (UnixMs(monday.0 + 1), time("2027-01-04"));
        let mut run = |from, until| {
            let runs = runs(&weeks, span, (from, until), &mut end);
            let texts = runs.into_iter().map(|run| {
                let day = |time: UnixMs| time.to_string().split('T').next().unwrap().to_owned();
                format!("{} {} {}", run.is_weeks, day(run.from), day(run.until))
            });
            texts.collect::<Vec<_>>()
        };
        // What lies before the first and behind the last usage cuts nothing off.
        let all = [
            "true 2026-10-19 2026-10-26",
            "false 2026-10-26 2026-11-02",
            "true 2026-11-02 2026-11-16",
            "true 2027-01-04 2027-01-11",
        ];
        assert_eq!(run(UnixMs(i64::MIN), UnixMs(i64::MAX)), all);
        assert_eq!(run(span.0, UnixMs(span.1.0 + 1)), all);
        let some = [
            "false 2026-10-20 2026-11-02",
            "true 2026-11-02 2026-11-09",
            "false 2026-11-09 2026-11-10",
        ];
        assert_eq!(run(time("2026-10-20"), time("2026-11-10")), some);
        assert_eq!(run(time("2026-11-10"), time("2026-11-10")), [""; 0]);
        assert_eq!(run(time("2026-11-16"), time("2027-01-04")), [""; 0]);
    }

    #[test]
    fn weeks_are_looked_up_and_not_walked_through() {
        let mut database = rusqlite::Connection::open_in_memory().unwrap();
        crate::schema::migrate(&mut database, std::path::Path::new("")).unwrap();
        let mut plan = database.prepare(&format!("EXPLAIN QUERY PLAN {WEEKS}")).unwrap();
        let steps = plan.query_map([], |row| row.get(3)).unwrap();
        let steps: Vec<String> = steps.collect::<Result<_, _>>().unwrap();
        assert!(!steps.iter().any(|step| step.contains("SCAN usage_week")), "{steps:?}");
    }
}
