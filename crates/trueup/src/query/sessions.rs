//! Sessions with usage in a time, the last first, of which a part is told.
//!
//! When each of them ended is found first: only the sums of those that are told are read.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use anyhow::Result;
use trueup_core::report::{Dimension, Entry, Filter, Pricer, Report, ReportBuilder};
use trueup_core::{Calendar, Series, Text, UnixMs};
use trueup_ledger::Reader;

use crate::hub::{Reading, Sum};
use crate::usage::Usage;

/// The place of a session in the list: behind those that ended later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) last: UnixMs,
    pub(crate) session: Text,
}

/// Some sessions of all.
#[derive(Debug)]
pub(crate) struct Part {
    /// Theirs, one row each, the last at the end.
    pub(crate) report: Report,
    /// How many sessions there are in all.
    pub(crate) total: usize,
    /// Behind which the next part begins; `None` where there are no more.
    pub(crate) next: Option<Place>,
}

/// Up to `most` sessions with usage that passes, behind a place in the list or from its start.
pub(crate) fn part(
    usage: &Usage,
    calendar: Calendar,
    filter: &Filter,
    pricer: Pricer<'_>,
    behind: Option<&Place>,
    most: usize,
) -> Result<Part> {
    let _held = usage.hold()?;
    let mut ended = match usage {
        Usage::Ledger(reader) => of_ledger(reader, filter)?,
        Usage::Memory(_) => of_memory(usage, filter)?,
        Usage::ClickHouse(reading) => {
            return of_clickhouse(reading, calendar, filter, pricer, behind, most);
        }
    };
    let total = ended.len();
    let next = cut(&mut ended, behind, most);
    let names: HashSet<&str> = ended.iter().map(|one| &*one.place.session).collect();
    let mut numbers: Vec<RangeInclusive<i64>> =
        ended.iter().flat_map(|one| &one.numbers).map(|number| *number..=*number).collect();
    numbers.sort_unstable_by_key(|one| *one.start());
    if ended.len() == total {
        numbers = vec![i64::MIN..=i64::MAX];
    }
    let mut report = ReportBuilder::new(vec![Dimension::Session], calendar, filter, pricer);
    usage.by_sessions(&numbers, filter.window, &mut |entry| {
        if names.contains(entry.session) {
            report.add(entry);
        }
    })?;
    Ok(Part { report: report.finish(), total, next })
}

/// Leaves up to `most` of them behind a place; behind which the next ones are, if there are any.
fn cut(ended: &mut Vec<Ended>, behind: Option<&Place>, most: usize) -> Option<Place> {
    ended.retain(|one| behind.is_none_or(|behind| one.place < *behind));
    let is_more = ended.len() > most;
    if is_more {
        ended.select_nth_unstable_by(most, |one, other| other.place.cmp(&one.place));
        ended.truncate(most);
    }
    ended.iter().map(|one| &one.place).min().filter(|_| is_more).cloned()
}

/// The sums of all sessions are read once, and those of a part are added up.
fn of_clickhouse(
    reading: &Reading,
    calendar: Calendar,
    filter: &Filter,
    pricer: Pricer<'_>,
    behind: Option<&Place>,
    most: usize,
) -> Result<Part> {
    let sums = reading.by_session(filter.window)?;
    let entries = || sums.iter().map(Sum::entry);
    let mut ended = ends_of(entries().filter(|entry| filter.takes_series(entry.series)));
    let total = ended.len();
    let next = cut(&mut ended, behind, most);
    let names: HashSet<&str> = ended.iter().map(|one| &*one.place.session).collect();
    let mut report = ReportBuilder::new(vec![Dimension::Session], calendar, filter, pricer);
    entries().filter(|entry| names.contains(entry.session)).for_each(|entry| report.add(entry));
    Ok(Part { report: report.finish(), total, next })
}

/// When each session of these sums made its last call.
fn ends_of<'a>(entries: impl Iterator<Item = Entry<'a>> + 'a) -> Vec<Ended> {
    let mut ends: HashMap<&str, UnixMs> = HashMap::new();
    for entry in entries {
        let end = ends.entry(entry.session).or_insert(entry.times.1);
        *end = entry.times.1.max(*end);
    }
    let ended = |(session, last): (&str, UnixMs)| Ended {
        place: Place { last, session: session.into() },
        numbers: Vec::new(),
    };
    ends.into_iter().map(ended).collect()
}

/// A session, and where it stands.
#[derive(Debug)]
struct Ended {
    place: Place,
    /// The numbers of all that are called so: agents may call theirs alike.
    numbers: Vec<i64>,
}

fn of_memory(usage: &Usage, filter: &Filter) -> Result<Vec<Ended>> {
    let mut ends: HashMap<Text, UnixMs> = HashMap::new();
    usage.by_sessions(&[i64::MIN..=i64::MAX], filter.window, &mut |entry| {
        if filter.takes_series(entry.series) {
            let end = ends.entry(entry.session.into()).or_insert(entry.times.1);
            *end = entry.times.1.max(*end);
        }
    })?;
    let ended = |(session, last)| Ended { place: Place { last, session }, numbers: vec![i64::MIN] };
    Ok(ends.into_iter().map(ended).collect())
}

fn of_ledger(reader: &Reader, filter: &Filter) -> Result<Vec<Ended>> {
    let mut ends = ends(reader, filter)?.into_iter().peekable();
    let mut ended: Vec<Ended> = Vec::with_capacity(ends.len());
    let mut known: HashMap<Text, usize> = HashMap::with_capacity(ends.len());
    reader.session_names(|number, name| {
        let Some((_, last)) = ends.next_if(|(session, _)| *session == number) else { return };
        if let Some(same) = known.get(name).and_then(|at| ended.get_mut(*at)) {
            same.place.last = same.place.last.max(last);
            same.numbers.push(number);
        } else {
            let session = Text::from(name);
            known.insert(Text::clone(&session), ended.len());
            ended.push(Ended { place: Place { last, session }, numbers: vec![number] });
        }
    })?;
    Ok(ended)
}

/// When each session made its last call that passes, by its number.
fn ends(reader: &Reader, filter: &Filter) -> Result<Vec<(i64, UnixMs)>> {
    let window = filter.window;
    let all = reader.series()?;
    let is_taken = |series: &(&i64, &Arc<Series>)| filter.takes_series(series.1);
    let series: BTreeSet<i64> = all.iter().filter(is_taken).map(|(number, _)| *number).collect();
    let named = Some(&series).filter(|series| series.len() < all.len());
    let mut ends: Vec<(i64, UnixMs)> = Vec::new();
    let mut across: BTreeSet<i64> = BTreeSet::new();
    reader.session_ends(named, window.from, window.until, |session, last| {
        if window.contains(last) {
            ends.push((session, last));
        } else {
            across.insert(session);
        }
    })?;
    // Of those that went on after the time that is asked for, the calls in it are looked at.
    let mut seen: BTreeMap<i64, UnixMs> = BTreeMap::new();
    let mut see = |session: i64, of: i64, time: UnixMs| {
        if series.contains(&of) {
            let end = seen.entry(session).or_insert(time);
            *end = time.max(*end);
        }
    };
    reader.calls_of_sessions(&across, window.from, window.until, |call| {
        see(call.session, call.series, call.time);
    })?;
    for session in across {
        reader.removed_of_session(session, window.from, window.until, |usage| {
            see(session, usage.series, usage.times.1);
        })?;
    }
    if !seen.is_empty() {
        ends.extend(seen);
        ends.sort_unstable();
    }
    Ok(ends)
}
