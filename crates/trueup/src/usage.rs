//! Where reports take usage from: the ledger, an account in memory, or a hub's store on ClickHouse.

mod in_two;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::Nothing;
use crate::facts::Facts;
use crate::hub::{Priced, Reading, Sum as Told, Tenant};
use anyhow::{Context as _, Result};
use in_two::{Each, Part, Parts, Within};
use trueup_clickhouse::Name;
use trueup_core::report::{Dimension, Entry, Filter, Window};
use trueup_core::{
    Account, Bucket, Calendar, Counted, Counters, DAY_MS, QUARTER_MS, Quota, Series, Text, UnixMs,
};
use trueup_ledger::{Held, Reader, SessionUsage, TimeUsage, Width};

/// Where an account is kept.
#[derive(Debug, Clone)]
pub(crate) struct Keeping {
    ledger: PathBuf,
    /// Where what devices tell is, where it is not in the ledger.
    tenant: Option<Tenant>,
}

impl Keeping {
    /// All of it in a ledger.
    pub(crate) const fn in_ledger(ledger: PathBuf) -> Self {
        Self { ledger, tenant: None }
    }

    /// On ClickHouse, but for what is no fact of a device: that is in a ledger.
    pub(crate) const fn on_clickhouse(ledger: PathBuf, tenant: Tenant) -> Self {
        Self { ledger, tenant: Some(tenant) }
    }

    /// The ledger.
    pub(crate) fn ledger(&self) -> &Path {
        &self.ledger
    }

    /// The tenant whose account is on ClickHouse.
    pub(crate) const fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }

    /// Its usage, of one device where one is asked for.
    pub(crate) fn usage(&self, device: Option<&str>) -> Result<Usage> {
        Ok(match &self.tenant {
            Some(tenant) => Usage::ClickHouse(Box::new(tenant.reading(device)?)),
            None => Usage::Ledger(Box::new(reader_of(&self.ledger, device)?)),
        })
    }

    /// Its facts, likewise.
    pub(crate) fn facts(&self, device: Option<&str>) -> Result<Facts> {
        Ok(match &self.tenant {
            Some(tenant) => Facts::ClickHouse(Box::new(tenant.reading(device)?)),
            None => Facts::Ledger(Box::new(reader_of(&self.ledger, device)?)),
        })
    }
}

/// Usage, wherever it is kept.
#[derive(Debug)]
pub(crate) enum Usage {
    /// In the ledger.
    Ledger(Box<Reader>),
    /// In memory, for this one report.
    Memory(Box<Account>),
    /// In a hub's store on ClickHouse.
    ClickHouse(Box<Reading>),
}

/// A reader of the ledger at `path`, confined to a device where one is asked for.
pub(crate) fn reader_of(path: &Path, device: Option<&str>) -> Result<Reader> {
    let reader =
        Reader::open(path)?.with_context(|| format!("{} does not exist", path.display()))?;
    if let Some(device) = device {
        confine(&reader, device)?;
    }
    Ok(reader)
}

fn confine(reader: &Reader, device: &str) -> Result<()> {
    Ok(reader.only(numbered(reader, device)?)?)
}

fn numbered(reader: &Reader, device: &str) -> Result<i64> {
    reader.device(device)?.ok_or_else(|| no_device(device))
}

fn no_device(name: &str) -> anyhow::Error {
    Nothing(format!("there is no device `{name}` in this account")).into()
}

impl Usage {
    /// The ledger at `path`.
    pub(crate) fn of_ledger(path: &Path) -> Result<Self> {
        Ok(Self::Ledger(Box::new(reader_of(path, None)?)))
    }

    /// Confines it to one device of a hub's account.
    pub(crate) fn only(&self, device: &str) -> Result<()> {
        match self {
            Self::Ledger(reader) => confine(reader, device),
            Self::Memory(_) => Err(no_device(device)),
            Self::ClickHouse(reading) => reading.only(device),
        }
    }

    /// The sums of [`by_spans`](Self::by_spans) told apart by device, by name: of all, or of one. Of an
    /// account without devices, all there is.
    pub(crate) fn by_device(
        &self,
        device: Option<&str>,
        buckets: &[Bucket],
        calendar: &Calendar,
        changes: &[UnixMs],
        window: Window,
        each: &mut dyn FnMut(&Text, Entry<'_>),
    ) -> Result<()> {
        match self {
            Self::Ledger(reader) => {
                let names: BTreeMap<i64, Text> = reader.device_names()?.into_iter().collect();
                if !names.is_empty() {
                    let (all, parts) = if let Some(device) = device {
                        let number = numbered(reader, device)?;
                        (Part { window, devices: number..=number }, None)
                    } else {
                        let numbers: Vec<i64> = names.keys().copied().collect();
                        (Part::of(window), Parts::of_devices(reader, window, &numbers)?)
                    };
                    let within = Within { buckets, calendar, changes };
                    let read = |reader: &Reader, part: &Part, each: &mut Each<'_>| {
                        within.read(reader, part, true, each)
                    };
                    return of_ledger(reader, (all, parts), &read, &mut |device, entry| {
                        if let Some(name) = names.get(&device) {
                            each(name, entry);
                        }
                    });
                }
            }
            Self::Memory(_) => {}
            Self::ClickHouse(reading) => {
                let apart = Self::ClickHouse(Box::new(reading.by_device(device)));
                let mut each = |entry: Entry<'_>| each(&entry.series.device, entry);
                return apart.by_buckets(buckets, calendar, window, &mut each);
            }
        }
        let none = Text::default();
        self.by_buckets(buckets, calendar, window, &mut |entry| each(&none, entry))
    }

    /// Whether it is a hub's account of devices.
    pub(crate) fn has_devices(&self) -> Result<bool> {
        Ok(match self {
            Self::Ledger(reader) => !reader.device_names()?.is_empty(),
            Self::Memory(_) => false,
            Self::ClickHouse(reading) => reading.has_devices()?,
        })
    }

    /// Holds the ledger as it is now, for several readings that must agree.
    pub(crate) fn hold(&self) -> Result<Option<Held<'_>>> {
        Ok(match self {
            Self::Ledger(reader) => Some(reader.hold()?),
            // Sums are those of one moment or a later one, of each day.
            Self::Memory(_) | Self::ClickHouse(_) => None,
        })
    }

    /// Hands sums over buckets of at most `width_ms` in `window` to `each`.
    pub(crate) fn by_time(
        &self,
        width_ms: i64,
        window: Window,
        each: &mut dyn FnMut(Entry<'_>),
    ) -> Result<()> {
        match self {
            Self::Ledger(reader) => {
                let series = reader.series()?;
                let each = |usage| each_usage(&series, &usage, each);
                reader.usage_by_time(width(width_ms), window.from, window.until, each)?;
            }
            Self::Memory(account) => by_width(account, width_ms, window, each),
            Self::ClickHouse(reading) => {
                tell(&reading.by_time(width_ms, window)?, each);
            }
        }
        Ok(())
    }

    /// Hands sums in `window` to `each`, the widest of which none reaches over the end of one of these
    /// buckets, or over midnight in UTC: prices change there.
    pub(crate) fn by_buckets(
        &self,
        buckets: &[Bucket],
        calendar: &Calendar,
        window: Window,
        each: &mut dyn FnMut(Entry<'_>),
    ) -> Result<()> {
        let is_short = |bucket: &Bucket| matches!(bucket, Bucket::HalfHour | Bucket::Hour);
        if buckets.iter().any(is_short) {
            return self.by_time(QUARTER_MS, window, each);
        }
        match self {
            Self::Ledger(reader) => {
                let read = |reader: &Reader, part: &Part, each: &mut Each<'_>| {
                    let (Window { from, until }, edges) = (part.window, edges(buckets, calendar));
                    reader.usage_between(from, until, edges, |usage| each(0, usage))
                };
                let parts = (Part::of(window), Parts::of(reader, window)?);
                of_ledger(reader, parts, &read, &mut |_, entry| each(entry))?;
            }
            Self::Memory(account) => {
                let width_ms = match self.span()? {
                    Some((first, last)) if !(buckets.is_empty() && window.is_all()) => {
                        calendar.finest_needed_ms(first, last)
                    }
                    _ => DAY_MS,
                };
                by_width(account, width_ms, window, each);
            }
            Self::ClickHouse(reading) => {
                tell(&reading.between(window, edges(buckets, calendar))?, each);
            }
        }
        Ok(())
    }

    /// Hands sums in `window` to `each`, of which none reaches over the end of one of these buckets, or
    /// over one of the `changes`, at which prices do: wider ones than those of
    /// [`by_buckets`](Self::by_buckets), where that is of use.
    pub(crate) fn by_spans(
        &self,
        buckets: &[Bucket],
        calendar: &Calendar,
        changes: &[UnixMs],
        window: Window,
        each: &mut dyn FnMut(Entry<'_>),
    ) -> Result<()> {
        let is_wide = |bucket: &Bucket| matches!(bucket, Bucket::Week | Bucket::Month);
        if let Self::Ledger(reader) = self
            && buckets.iter().all(is_wide)
        {
            let within = Within { buckets, calendar, changes };
            let read = |reader: &Reader, part: &Part, each: &mut Each<'_>| {
                within.read(reader, part, false, each)
            };
            let parts = (Part::of(window), Parts::of(reader, window)?);
            return of_ledger(reader, parts, &read, &mut |_, entry| each(entry));
        }
        self.by_buckets(buckets, calendar, window, each)
    }

    /// Hands sums that pass a filter to `each`, with their devices where these are asked for, told apart by what
    /// prices depend on and by dimensions that are not of sessions, of which none reaches over the end of a
    /// bucket or over one of the `changes`. Only a store that groups them itself does: `false` of any other.
    pub(crate) fn by_prices(
        &self,
        by: &[Dimension],
        calendar: &Calendar,
        changes: &[UnixMs],
        filter: &Filter,
        each: &mut dyn FnMut(&Text, Entry<'_>),
    ) -> Result<bool> {
        let Self::ClickHouse(reading) = self else { return Ok(false) };
        let buckets: Vec<Bucket> = by.iter().filter_map(|dimension| dimension.bucket()).collect();
        let is_short = |bucket: &Bucket| matches!(bucket, Bucket::HalfHour | Bucket::Hour);
        let spans = |from: UnixMs, until: UnixMs| {
            let mut calendar = calendar.clone();
            let mut end = |time: UnixMs| {
                let changes = changes.iter().copied().filter(|change| time < *change);
                let ends = buckets.iter().map(|bucket| calendar.end(*bucket, time));
                ends.chain(changes).min().filter(|end| *end < until)
            };
            let starts = std::iter::successors(Some(from), |start| end(*start));
            let starts: Vec<UnixMs> = starts.take(SPANS_MAX + 1).collect();
            (starts.len() <= SPANS_MAX).then_some(starts)
        };
        let width_ms = if buckets.iter().any(is_short) { QUARTER_MS } else { DAY_MS };
        let asked =
            Priced { window: filter.window, width_ms, spans: &spans, names: &names(by, filter) };
        let apart =
            by.contains(&Dimension::Device).then(|| reading.by_device(filter.device.as_deref()));
        let reading = apart.as_ref().unwrap_or(reading);
        for sum in &reading.priced(&asked, edges(&buckets, calendar))? {
            each(&sum.device, sum.entry());
        }
        Ok(true)
    }

    /// Numbers of sessions of which some are read at a time, and then the next ones.
    pub(crate) fn session_parts(&self) -> Result<Vec<RangeInclusive<i64>>> {
        let Self::Ledger(reader) = self else { return Ok(vec![i64::MIN..=i64::MAX]) };
        let last = reader.last_session()?;
        let starts = std::iter::successors(Some(1), |start| Some(start + SESSIONS_AT_ONCE));
        let starts = starts.take_while(|start| *start <= last);
        Ok(starts.map(|start| start..=start + SESSIONS_AT_ONCE - 1).collect())
    }

    /// Hands the sums of the sessions with these numbers in `window` to `each`; where there are no numbers,
    /// as out of the ledger, those of all.
    pub(crate) fn by_sessions(
        &self,
        numbers: &[RangeInclusive<i64>],
        window: Window,
        each: &mut dyn FnMut(Entry<'_>),
    ) -> Result<()> {
        match self {
            Self::Ledger(reader) => sessions_of_ledger(reader, numbers, window, each),
            Self::Memory(account) => {
                sessions_of_memory(account, window, each);
                Ok(())
            }
            Self::ClickHouse(reading) => {
                tell(&reading.by_session(window)?, each);
                Ok(())
            }
        }
    }

    /// Hands the sums of the sessions of a name to `each`; agents may call theirs alike.
    pub(crate) fn of_sessions_named(
        &self,
        session: &str,
        each: &mut dyn FnMut(Entry<'_>),
    ) -> Result<()> {
        match self {
            Self::Ledger(reader) => {
                let mut series = SeriesOfDevices::of(reader)?;
                // In a hub's account, several devices may have one each.
                let named = reader.sessions_named(session)?;
                let sources: BTreeSet<Text> =
                    named.into_iter().map(|(_, source, _)| source).collect();
                for source in sources {
                    reader.usage_of_session(&source, session, |usage| {
                        if let Some(series) = series.get(usage.device, usage.series) {
                            let (start, times) = (usage.times.0, usage.times);
                            let counters = &usage.counters;
                            each(Entry { start, times, series, session, counters });
                        }
                    })?;
                }
            }
            Self::Memory(_) => {}
            Self::ClickHouse(reading) => tell(&reading.of_sessions_named(session)?, each),
        }
        Ok(())
    }

    /// The source ids that there is usage of.
    pub(crate) fn sources(&self) -> Result<BTreeSet<String>> {
        Ok(match self {
            Self::Ledger(reader) => {
                reader.series()?.into_values().map(|series| series.source.to_string()).collect()
            }
            Self::Memory(account) => {
                // One by one: to collect a set sorts all there is.
                let mut sources: BTreeSet<&str> = BTreeSet::new();
                for call in account.counted() {
                    sources.insert(&call.series.source);
                }
                sources.into_iter().map(str::to_owned).collect()
            }
            Self::ClickHouse(reading) => {
                reading.summary()?.sources.iter().map(ToString::to_string).collect()
            }
        })
    }

    /// When something new was last read of an agent's store, as far as the ledger knows.
    pub(crate) fn last_read(&self) -> Result<Option<UnixMs>> {
        Ok(match self {
            Self::Ledger(reader) => reader.last_read()?,
            Self::Memory(_) | Self::ClickHouse(_) => None,
        })
    }

    /// The first and the last moment with usage.
    pub(crate) fn span(&self) -> Result<Option<(UnixMs, UnixMs)>> {
        Ok(match self {
            Self::Ledger(reader) => reader.span()?,
            Self::Memory(account) => account.counted().fold(None, |span, call| {
                let (first, last) = span.unwrap_or((call.time, call.time));
                Some((first.min(call.time), last.max(call.time)))
            }),
            Self::ClickHouse(reading) => reading.summary()?.span,
        })
    }

    /// The allowances that providers told agents about.
    pub(crate) fn quotas(&self) -> Result<Vec<Quota>> {
        Ok(match self {
            Self::Ledger(reader) => reader.quotas()?,
            Self::Memory(account) => account.quotas().cloned().collect(),
            // Devices do not tell a hub of theirs.
            Self::ClickHouse(_) => Vec::new(),
        })
    }

    /// The sources of which a subscription pays for what they use.
    pub(crate) fn subscribed(&self) -> Result<BTreeSet<Text>> {
        let quotas = self.quotas()?.into_iter();
        Ok(quotas.filter(|quota| !quota.plan.is_empty()).map(|quota| quota.source).collect())
    }
}

/// Series by number, each of which is one for each device that tells of it.
struct SeriesOfDevices {
    all: HashMap<i64, Arc<Series>>,
    /// Of devices, by number.
    names: HashMap<i64, Text>,
    /// By the numbers of device and series, as they were asked for.
    own: HashMap<(i64, i64), Arc<Series>>,
}

impl SeriesOfDevices {
    fn of(reader: &Reader) -> Result<Self> {
        let names = reader.device_names()?.into_iter().collect();
        Ok(Self { all: reader.series()?, names, own: HashMap::new() })
    }

    fn get(&mut self, device: i64, series: i64) -> Option<&Arc<Series>> {
        let all = self.all.get(&series)?;
        let Some(name) = self.names.get(&device) else { return Some(all) };
        Some(self.own.entry((device, series)).or_insert_with(|| {
            Arc::new(Series { device: Text::clone(name), ..Series::clone(all) })
        }))
    }
}

/// Sessions of which the sums are held at a time, where all are read one after the other.
const SESSIONS_AT_ONCE: i64 = 1_024;

/// Spans of time that sums are told apart by at most; where there are more, each stretch is one.
const SPANS_MAX: usize = 1_000;

/// The widest kept bucket that is no wider than asked for.
const fn width(width_ms: i64) -> Width {
    match width_ms {
        ..DAY_MS => Width::Quarter,
        _ => Width::Day,
    }
}

/// Hands sums of ClickHouse on.
fn tell(sums: &[Told], each: &mut dyn FnMut(Entry<'_>)) {
    for sum in sums {
        each(sum.entry());
    }
}

/// What is asked beside what prices depend on: dimensions, and what is filtered by.
fn names(by: &[Dimension], filter: &Filter) -> Vec<Name> {
    let asked = [
        (Name::Source, Dimension::Agent, &filter.sources),
        (Name::Project, Dimension::Project, &filter.projects),
        (Name::Kind, Dimension::Kind, &filter.kinds),
    ];
    let is_asked = |(_, dimension, texts): &(Name, Dimension, &Vec<String>)| {
        by.contains(dimension) || !texts.is_empty()
    };
    asked.into_iter().filter(is_asked).map(|(name, ..)| name).collect()
}

/// Hands a sum of the ledger on, with the names of its series.
fn each_usage(
    series: &HashMap<i64, Arc<Series>>,
    usage: &TimeUsage,
    each: &mut dyn FnMut(Entry<'_>),
) {
    if let Some(series) = series.get(&usage.series) {
        let TimeUsage { start, times, ref counters, .. } = *usage;
        each(Entry { start, times, series, session: "", counters });
    }
}

/// Where buckets end within a day, given where that begins in UTC.
fn edges(buckets: &[Bucket], calendar: &Calendar) -> impl FnMut(UnixMs) -> Vec<UnixMs> + use<> {
    let of_bucket = |bucket: &Bucket| (*bucket, calendar.clone());
    let mut calendars: Vec<(Bucket, Calendar)> = buckets.iter().map(of_bucket).collect();
    move |day| {
        let end = UnixMs(day.0.saturating_add(DAY_MS));
        let mut edges = Vec::new();
        for (bucket, calendar) in &mut calendars {
            let next = |edge: &UnixMs| {
                let next = calendar.end(*bucket, *edge);
                (*edge < next && next < end).then_some(next)
            };
            edges.extend(std::iter::successors(Some(day), next).skip(1));
        }
        edges
    }
}

fn by_width(account: &Account, width_ms: i64, window: Window, each: &mut dyn FnMut(Entry<'_>)) {
    let width_ms = width_ms.clamp(QUARTER_MS, DAY_MS);
    let mut sums: HashMap<(UnixMs, *const Series), Sum<'_>> = HashMap::new();
    for call in account.counted() {
        if window.contains(call.time) {
            add(sums.entry((call.time.floor(width_ms), Arc::as_ptr(call.series))), &call);
        }
    }
    // By time and then by what: reports must not depend on where a hasher put things.
    let places = places(sums.values().map(|sum| &**sum.series).collect());
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_cached_key(|((start, series), _)| (*start, places.get(series)));
    for ((start, _), sum) in &sums {
        each(Entry {
            start: *start,
            times: sum.times,
            series: sum.series,
            session: "",
            counters: &sum.counters,
        });
    }
}

/// The place of each series in their order: numbers are compared faster than names.
fn places(mut series: Vec<&Series>) -> HashMap<*const Series, usize> {
    series.sort_unstable_by_key(|series| std::ptr::from_ref(*series));
    series.dedup_by(|one, other| std::ptr::eq(*one, *other));
    series.sort_unstable();
    series.into_iter().map(std::ptr::from_ref).zip(0..).collect()
}

/// A sum that grows.
struct Sum<'a> {
    series: &'a Arc<Series>,
    counters: Counters,
    times: (UnixMs, UnixMs),
}

fn add<'a, K>(entry: std::collections::hash_map::Entry<'_, K, Sum<'a>>, call: &Counted<'a>) {
    let sum = entry.or_insert(Sum {
        series: call.series,
        counters: Counters::default(),
        times: (call.time, call.time),
    });
    sum.counters = sum.counters.plus(&call.counters);
    sum.times = (sum.times.0.min(call.time), sum.times.1.max(call.time));
}

fn sessions_of_memory(account: &Account, window: Window, each: &mut dyn FnMut(Entry<'_>)) {
    let mut sums: HashMap<(&str, &str, *const Series), Sum<'_>> = HashMap::new();
    for call in account.counted().filter(|call| window.contains(call.time)) {
        let (source, session) = call.session;
        add(sums.entry((source, session, Arc::as_ptr(call.series))), &call);
    }
    let mut sums: Vec<_> = sums.into_iter().map(|((_, session, _), sum)| (session, sum)).collect();
    sums.sort_unstable_by(|(a, one), (b, other)| (a, one.series).cmp(&(b, other.series)));
    for (session, sum) in &sums {
        let start = sum.times.0;
        each(Entry {
            start,
            times: sum.times,
            series: sum.series,
            session,
            counters: &sum.counters,
        });
    }
}

/// Hands what `read` finds of a ledger on, with the names of series: of all, or of both parts where it is
/// read in two.
fn of_ledger(
    reader: &Reader,
    (all, parts): (Part, Option<Parts>),
    read: &in_two::Read<'_>,
    each: &mut dyn FnMut(i64, Entry<'_>),
) -> Result<()> {
    let series = match &parts {
        Some(parts) => parts.series()?,
        None => reader.series()?,
    };
    let mut each = |number: i64, usage: TimeUsage| {
        each_usage(&series, &usage, &mut |entry| each(number, entry));
    };
    match parts {
        Some(parts) => parts.by(read, &mut each),
        None => Ok(read(reader, &all, &mut each)?),
    }
}

/// Sessions that lie in the window are read from their sums; of those that reach over its edge, the
/// calls in it are read one by one, and those whose rows are gone by the quarter of an hour.
fn sessions_of_ledger(
    reader: &Reader,
    numbers: &[RangeInclusive<i64>],
    window: Window,
    each: &mut dyn FnMut(Entry<'_>),
) -> Result<()> {
    let mut series = SeriesOfDevices::of(reader)?;
    let mut sums: Vec<SessionUsage> = Vec::new();
    for numbers in numbers {
        let (from, until) = (window.from, window.until);
        reader.usage_of_sessions(numbers.clone(), from, until, |usage| sums.push(usage))?;
    }
    let is_across =
        |usage: &SessionUsage| !(window.contains(usage.times.0) && window.contains(usage.times.1));
    let across: BTreeMap<i64, (i64, Text)> = sums
        .iter()
        .filter(|usage| is_across(usage))
        .map(|usage| (usage.session, (usage.device, Text::clone(&usage.name))))
        .collect();
    for usage in sums.iter().filter(|usage| !across.contains_key(&usage.session)) {
        if let Some(series) = series.get(usage.device, usage.series) {
            let (start, times) = (usage.times.0, usage.times);
            each(Entry { start, times, series, session: &usage.name, counters: &usage.counters });
        }
    }
    let mut parts: BTreeMap<(i64, i64), (Counters, (UnixMs, UnixMs))> = BTreeMap::new();
    let mut add = |key: (i64, i64), counters: &Counters, times: (UnixMs, UnixMs)| {
        let part = parts.entry(key).or_insert((Counters::default(), times));
        part.0 = part.0.plus(counters);
        part.1 = (part.1.0.min(times.0), part.1.1.max(times.1));
    };
    let sessions = across.keys().copied().collect();
    reader.calls_of_sessions(&sessions, window.from, window.until, |call| {
        add((call.session, call.series), &call.counters, (call.time, call.time));
    })?;
    for session in sessions {
        reader.removed_of_session(session, window.from, window.until, |usage| {
            add((session, usage.series), &usage.counters, usage.times);
        })?;
    }
    for ((session, number), (counters, times)) in &parts {
        let Some((device, session)) = across.get(session) else { continue };
        if let Some(series) = series.get(*device, *number) {
            each(Entry { start: times.0, times: *times, series, session, counters });
        }
    }
    Ok(())
}
