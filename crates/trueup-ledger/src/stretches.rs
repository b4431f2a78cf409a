//! Sums over time that end at given edges: days, weeks and months of any zone.
//!
//! What is kept are sums of quarters of an hour and of days in UTC. A day in UTC in which no edge lies
//! is read as one. Of one that is cut, the quarters of all stretches but the longest are read, and what
//! they leave of the day is the longest.

use std::hash::BuildHasherDefault;

use trueup_core::{Counters, DAY_MS, UnixMs};

use crate::rollup::ByNumbers;
use crate::row::{COUNTER_COLUMNS, counters_of_row};
use crate::{LedgerError, Reader, TimeUsage, Width};

/// A part of a day, and whether it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    from: UnixMs,
    until: UnixMs,
    is_asked: bool,
}

impl Stretch {
    const fn length_ms(&self) -> i64 {
        self.until.0 - self.from.0
    }

    /// Hands its part of each sum of the day to `each`.
    fn tell(
        &self,
        day: &[TimeUsage],
        parts: impl IntoIterator<Item = Counters>,
        each: &mut dyn FnMut(TimeUsage),
    ) {
        let inside = |time: UnixMs| time.clamp(self.from, UnixMs(self.until.0 - 1));
        for (usage, counters) in day.iter().zip(parts).filter(|(_, part)| part.calls > 0) {
            let times = (inside(usage.times.0), inside(usage.times.1));
            each(TimeUsage { start: self.from, counters, times, ..*usage });
        }
    }
}

impl Reader {
    /// Hands sums over what lies in `from..until` to `each`, by time: none of them reaches over midnight
    /// in UTC, or over one of the edges that `edges` names of a day, given where that begins in UTC.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn usage_between(
        &self,
        from: UnixMs,
        until: UnixMs,
        mut edges: impl FnMut(UnixMs) -> Vec<UnixMs>,
        mut each: impl FnMut(TimeUsage),
    ) -> Result<(), LedgerError> {
        self.between(from, until, &mut edges, &mut each)
    }

    /// The same, made here and not where it is called: a program may be built for size.
    fn between(
        &self,
        from: UnixMs,
        until: UnixMs,
        edges: &mut dyn FnMut(UnixMs) -> Vec<UnixMs>,
        each: &mut dyn FnMut(TimeUsage),
    ) -> Result<(), LedgerError> {
        let first = UnixMs(from.0.saturating_sub(DAY_MS - 1));
        let mut day = Vec::new();
        let mut cut = |day: &mut Vec<TimeUsage>| -> Result<(), LedgerError> {
            if let Some(start) = day.first().map(|usage: &TimeUsage| usage.start) {
                let stretches = stretches(start, edges(start), from, until);
                self.usage_of_stretches(day, &stretches, each)?;
            }
            day.clear();
            Ok(())
        };
        let mut failed = Ok(());
        self.usage_by_time(Width::Day, first, until, |usage| {
            if day.first().is_some_and(|first: &TimeUsage| first.start != usage.start)
                && failed.is_ok()
            {
                failed = cut(&mut day);
            }
            day.push(usage);
        })?;
        failed?;
        cut(&mut day)
    }

    /// The sums of a day, cut into stretches.
    fn usage_of_stretches(
        &self,
        day: &[TimeUsage],
        stretches: &[Stretch],
        each: &mut dyn FnMut(TimeUsage),
    ) -> Result<(), LedgerError> {
        if let [Stretch { is_asked: true, .. }] = stretches {
            day.iter().copied().for_each(each);
            return Ok(());
        }
        let rest = rest(stretches);
        // What is left of the day, sum by sum.
        let mut left: Vec<Counters> = day.iter().map(|usage| usage.counters).collect();
        for (at, stretch) in stretches.iter().enumerate() {
            if rest == Some(at) || (rest.is_none() && !stretch.is_asked) {
                continue;
            }
            let sums = self.quarters_of_stretch(stretch, day.len())?;
            for (usage, left) in day.iter().zip(&mut left) {
                *left = sums.get(&usage.series).map_or(*left, |sum| left.minus(sum));
            }
            if stretch.is_asked {
                let of_day = day.iter().map(|usage| sums.get(&usage.series).copied());
                stretch.tell(day, of_day.map(Option::unwrap_or_default), each);
            }
        }
        if let Some(rest) = rest.and_then(|at| stretches.get(at)) {
            rest.tell(day, left, each);
        }
        Ok(())
    }

    /// The sums of the quarters in a stretch, of about so many series.
    fn quarters_of_stretch(
        &self,
        stretch: &Stretch,
        series: usize,
    ) -> Result<BySeries, LedgerError> {
        let sql = format!(
            "SELECT series, {COUNTER_COLUMNS} FROM usage_time
             WHERE width_minutes = ?1 AND start_ms >= ?2 AND start_ms < ?3"
        );
        let mut sums = BySeries::with_capacity_and_hasher(series, BuildHasherDefault::default());
        let bounds = [Width::Quarter.minutes(), stretch.from.0, stretch.until.0];
        self.each(&sql, bounds, |row| {
            let sum = sums.entry(row.get(0)?).or_default();
            *sum = sum.plus(&counters_of_row(row, 1)?);
            Ok(())
        })?;
        Ok(sums)
    }
}

type BySeries = ByNumbers<i64, Counters>;

/// The stretches of the day that begins at `start`, where it is cut at `edges` and at the ends of what
/// is asked for.
fn stretches(start: UnixMs, mut edges: Vec<UnixMs>, from: UnixMs, until: UnixMs) -> Vec<Stretch> {
    let end = UnixMs(start.0.saturating_add(DAY_MS));
    edges.extend([from, until]);
    edges.retain(|edge| start < *edge && *edge < end);
    edges.push(end);
    edges.sort_unstable();
    edges.dedup();
    let mut last = start;
    let stretch = |edge: UnixMs| {
        let is_asked = from <= last && last < until;
        Stretch { from: std::mem::replace(&mut last, edge), until: edge, is_asked }
    };
    edges.into_iter().map(stretch).collect()
}

/// Which stretch is what the others leave; none where it is less to read those that are asked for.
fn rest(stretches: &[Stretch]) -> Option<usize> {
    let longest = stretches.iter().enumerate().max_by_key(|(_, stretch)| stretch.length_ms());
    let (at, longest) = longest.filter(|(_, longest)| longest.is_asked)?;
    let length = |all: &mut dyn Iterator<Item = &Stretch>| all.map(Stretch::length_ms).sum::<i64>();
    let asked = length(&mut stretches.iter().filter(|stretch| stretch.is_asked));
    let others = length(&mut stretches.iter()) - longest.length_ms();
    (others < asked).then_some(at)
}
