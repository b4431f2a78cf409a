//! Sessions with usage in a time, the last first, of which a part is told.
//!
//! When each of them ended is found first: only the sums of those that are told are read.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use anyhow::Result;
use trueup_core::report::{Dimension, Entry, Filter, Pricer, Report, ReportBuilder};
use trueup_core::{Calendar, Series, Text, UnixMs};
use trueup_ledger::Reader;

use crate::hub::Sum;
use crate::usage::Usage;

/// The place of a session in the list: behind those that ended later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) last: UnixMs,
    pub(crate) session: Text,
    /// Whose it is; empty where the account is of one machine.
    pub(crate) device: Text,
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
    let (mut ended, sums) = match usage {
        Usage::Ledger(reader) => (of_ledger(reader, filter)?, None),
        Usage::Memory(_) => (of_memory(usage, filter)?, None),
        // The sums of all are read once, and those of a part added up.
        Usage::ClickHouse(reading) => {
            let sums = reading.by_session(filter.window)?;
            let mut ends = Ends::default();
            for sum in &sums {
                ends.see(&sum.entry(), filter);
            }
            (ends.ended(), Some(sums))
        }
    };
    let total = ended.len();
    ended.retain(|one| behind.is_none_or(|behind| one.place < *behind));
    let is_more = ended.len() > most;
    if is_more {
        ended.select_nth_unstable_by(most, |one, other| other.place.cmp(&one.place));
        ended.truncate(most);
    }
    let next = ended.iter().map(|one| &one.place).min().filter(|_| is_more).cloned();
    let names: HashSet<(&str, &str)> =
        ended.iter().map(|one| (&*one.place.session, &*one.place.device)).collect();
    let mut numbers: Vec<RangeInclusive<i64>> =
        ended.iter().flat_map(|one| &one.numbers).map(|number| *number..=*number).collect();
    numbers.sort_unstable_by_key(|one| *one.start());
    if ended.len() == total {
        numbers = vec![i64::MIN..=i64::MAX];
    }
    let by = super::apart(usage, vec![Dimension::Session])?;
    let mut report = ReportBuilder::new(by, calendar, filter, pricer);
    let mut add = |entry: Entry<'_>| {
        if names.contains(&(entry.session, &*entry.series.device)) {
            report.add(entry);
        }
    };
    match &sums {
        Some(sums) => sums.iter().map(Sum::entry).for_each(add),
        None => usage.by_sessions(&numbers, filter.window, &mut add)?,
    }
    let mut report = report.finish();
    report.rows.sort_by(|one, other| (one.times.1, &one.keys).cmp(&(other.times.1, &other.keys)));
    Ok(Part { report, total, next })
}

/// When each session made its last call, by its name and that of its device.
#[derive(Debug, Default)]
struct Ends(HashMap<(Text, Text), UnixMs>);

impl Ends {
    /// Sees a sum, if it passes.
    fn see(&mut self, entry: &Entry<'_>, filter: &Filter) {
        if filter.takes_series(entry.series) {
            let of = (entry.session.into(), Text::clone(&entry.series.device));
            let end = self.0.entry(of).or_insert(entry.times.1);
            *end = entry.times.1.max(*end);
        }
    }

    fn ended(self) -> Vec<Ended> {
        let ended = |((session, device), last)| Ended {
            place: Place { last, session, device },
            numbers: vec![i64::MIN],
        };
        self.0.into_iter().map(ended).collect()
    }
}

/// A session, and where it stands.
#[derive(Debug)]
struct Ended {
    place: Place,
    /// The numbers of all that are called so: agents may call theirs alike.
    numbers: Vec<i64>,
}

fn of_memory(usage: &Usage, filter: &Filter) -> Result<Vec<Ended>> {
    let mut ends = Ends::default();
    usage.by_sessions(&[i64::MIN..=i64::MAX], filter.window, &mut |entry| {
        ends.see(&entry, filter);
    })?;
    Ok(ends.ended())
}

fn of_ledger(reader: &Reader, filter: &Filter) -> Result<Vec<Ended>> {
    let mut ends = ends(reader, filter)?.into_iter().peekable();
    let mut ended: Vec<Ended> = Vec::with_capacity(ends.len());
    let mut known: HashMap<(i64, Text), usize> = HashMap::with_capacity(ends.len());
    let devices: HashMap<i64, Text> = reader.device_names()?.into_iter().collect();
    reader.session_names(|number, device, name| {
        let Some((_, last)) = ends.next_if(|(session, _)| *session == number) else { return };
        let session = Text::from(name);
        match known.entry((device, Text::clone(&session))) {
            Slot::Occupied(same) => {
                if let Some(same) = ended.get_mut(*same.get()) {
                    same.place.last = same.place.last.max(last);
                    same.numbers.push(number);
                }
            }
            Slot::Vacant(new) => {
                new.insert(ended.len());
                let device = devices.get(&device).cloned().unwrap_or_default();
                ended.push(Ended { place: Place { last, session, device }, numbers: vec![number] });
            }
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
