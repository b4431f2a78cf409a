//! Sums over time, told apart by device, of all devices in one pass.
//!
//! They lie by device and then by time. Of a day that nothing cuts its sums are read, of one that is cut
//! those of its quarters of an hour, for days of one kind that follow each other at once:
//!
//! ```text
//! a month in Kathmandu:   quarters of 1 day    days of 29    quarters of 1 day
//! ```

use std::ops::RangeInclusive;

use trueup_core::{DAY_MS, UnixMs};

use crate::reader::time_usage_of_row;
use crate::row::COUNTER_COLUMNS;
use crate::{LedgerError, Reader, TimeUsage, Width};

/// Days in UTC that are read alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    width: Width,
    from: UnixMs,
    until: UnixMs,
}

/// The days of `from..until`: cut ones are those with one of the ends in them, or an edge.
fn runs(from: UnixMs, until: UnixMs, edges: &mut dyn FnMut(UnixMs) -> Vec<UnixMs>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut start = from.floor(DAY_MS);
    while start < until {
        let end = UnixMs(start.0.saturating_add(DAY_MS));
        let is_cut = start < from || until < end || !edges(start).is_empty();
        let width = if is_cut { Width::Quarter } else { Width::Day };
        match runs.last_mut() {
            Some(run) if run.width == width => run.until = end.min(until),
            _ => runs.push(Run { width, from: start.max(from), until: end.min(until) }),
        }
        start = end;
    }
    runs
}

impl Reader {
    /// Hands sums over what lies in `from..until` to `each`, with the numbers of the devices that told of
    /// it: of those with these numbers, one after the other where no day is cut. None of them reaches over
    /// midnight in UTC, or over one of the edges that `edges` names of a day, given where that begins in
    /// UTC.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn usage_by_device(
        &self,
        devices: RangeInclusive<i64>,
        from: UnixMs,
        until: UnixMs,
        mut edges: impl FnMut(UnixMs) -> Vec<UnixMs>,
        mut each: impl FnMut(i64, TimeUsage),
    ) -> Result<(), LedgerError> {
        self.by_device(devices, (from, until), &mut edges, &mut each)
    }

    /// The same, made here and not where it is called: a program may be built for size.
    fn by_device(
        &self,
        devices: RangeInclusive<i64>,
        (from, until): (UnixMs, UnixMs),
        edges: &mut dyn FnMut(UnixMs) -> Vec<UnixMs>,
        each: &mut dyn FnMut(i64, TimeUsage),
    ) -> Result<(), LedgerError> {
        let Some((first, last)) = self.span()? else { return Ok(()) };
        let from = from.max(first.floor(DAY_MS));
        let until = until.min(UnixMs(last.floor(DAY_MS).0.saturating_add(DAY_MS)));
        let sql = format!(
            "SELECT start_ms, series, {COUNTER_COLUMNS}, first_ms, last_ms, device
             FROM devices CROSS JOIN usage_device ON device = devices.id
             WHERE width_minutes = ?1 AND start_ms >= ?2 AND start_ms < ?3
             AND devices.id BETWEEN ?4 AND ?5"
        );
        let (one, other) = devices.into_inner();
        for Run { width, from, until } in runs(from, until, edges) {
            self.each(&sql, [width.minutes(), from.0, until.0, one, other], |row| {
                each(row.get(14)?, time_usage_of_row(row)?);
                Ok(())
            })?;
        }
        Ok(())
    }
}
