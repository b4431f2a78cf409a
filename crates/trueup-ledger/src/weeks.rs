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
use crate::rollup::{WEEK_MS, week_start};
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

/// The runs of `from..until`, where only `first..=last` holds anything.
fn runs(
    (first, last): (UnixMs, UnixMs),
    (from, until): (UnixMs, UnixMs),
    has_weeks: bool,
    end: &mut dyn FnMut(UnixMs) -> UnixMs,
) -> Vec<Run> {
    // What is not there is not cut off.
    let from = if from <= first { week_start(first) } else { from };
    let week_end = |time| UnixMs(week_start(time).0.saturating_add(WEEK_MS));
    let until = if last < until { week_end(last) } else { until };
    let mut runs: Vec<Run> = Vec::new();
    let mut start = from;
    while start < until {
        let next = week_end(start);
        let is_whole = start == week_start(start) && next <= until && next <= end(start);
        let (is_weeks, stop) = (has_weeks && is_whole, next.min(until));
        match runs.last_mut() {
            Some(run) if run.is_weeks == is_weeks => run.until = stop,
            _ => runs.push(Run { is_weeks, from: start, until: stop }),
        }
        start = stop;
    }
    runs
}

impl Reader {
    /// Hands sums over what lies in `from..until` to `each`: of one series, and priced alike, one for each
    /// span, or a few. `end` says where the span ends that a time lies in: at one of the edges that `edges`
    /// names of a day, given where that begins in UTC, or at midnight in UTC. Where `devices` are asked for,
    /// by their numbers, they are told apart, and the number is told as well; it is 0 otherwise.
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
        let has_weeks = self.has_table("usage_week")? && !self.is_confined()?;
        let runs = runs(span, (from, until), has_weeks, end);
        let mut spans = Spans::new(end);
        for run in runs {
            let mut add = |device: i64, usage: TimeUsage| {
                // It begins before what is asked for only where nothing is there.
                let usage = TimeUsage { start: usage.start.max(from), ..usage };
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
        let mut run = |from, until, has_weeks| {
            let runs = runs((monday, time("2026-11-10")), (from, until), has_weeks, &mut end);
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
        ];
        assert_eq!(run(UnixMs(i64::MIN), UnixMs(i64::MAX), true), all);
        assert_eq!(run(time("2026-10-18"), time("2026-11-11"), true), all);
        let some = [
            "false 2026-10-20 2026-11-02",
            "true 2026-11-02 2026-11-09",
            "false 2026-11-09 2026-11-10",
        ];
        assert_eq!(run(time("2026-10-20"), time("2026-11-10"), true), some);
        assert_eq!(
            run(time("2026-10-20"), time("2026-11-10"), false),
            ["false 2026-10-20 2026-11-10"]
        );
        assert_eq!(run(time("2026-11-10"), time("2026-11-10"), true), [""; 0]);
    }
}
