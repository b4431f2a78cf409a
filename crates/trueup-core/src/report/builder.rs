//! How sums become rows.
//!
//! There are many more sums than rows. Each is added up by numbers, with those that are of one row and
//! priced alike; names and prices are looked up once for what comes out of that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use super::cost::Likeness;
use super::{Dimension, Entry, Filter, Pricer, Report, Row, Sums};
use crate::{Calendar, Counters, PriceClass, Series, Text, UnixMs, Witness};

/// Folds sums into a report.
#[derive(Debug)]
pub struct ReportBuilder<'a> {
    by: Vec<Dimension>,
    calendar: Calendar,
    filter: &'a Filter,
    pricer: Pricer<'a>,
    known: KnownSeries,
    /// The labels of the dimensions of time.
    labels: Numbered<Vec<Text>>,
    /// From when until when the last labels hold, and their number.
    last_labels: (UnixMs, UnixMs, usize),
    /// The same of all labels, by where they were found to begin: sums of one device after the other go
    /// through the same time again and again.
    known_labels: BTreeMap<UnixMs, (UnixMs, usize)>,
    sessions: Numbered<Text>,
    last_session: usize,
    /// Devices that were told beside their sums; number 0 stands for none.
    devices: Numbered<Text>,
    last_device: usize,
    rows: HashMap<Place, Growing>,
    /// What rows have, by their numbers: sums of what is priced alike, by a series of that price. In one map,
    /// for most rows have one or two of them, and there may be many rows.
    parts: HashMap<(usize, usize, Likeness), Part>,
    is_bare: bool,
}

/// The row that a sum belongs to: the numbers of its labels, its names, its session and its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    labels: usize,
    names: usize,
    session: usize,
    device: usize,
}

/// A row that grows.
#[derive(Debug)]
struct Growing {
    number: usize,
    /// The numbers of the series in it.
    series: BTreeSet<usize>,
    times: (UnixMs, UnixMs),
}

#[derive(Debug)]
struct Part {
    /// A moment at which its price holds.
    time: UnixMs,
    counters: Counters,
}

/// Values by number, and back.
#[derive(Debug)]
struct Numbered<T> {
    numbers: HashMap<T, usize>,
    values: Vec<T>,
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn new() -> Self {
        Self { numbers: HashMap::new(), values: Vec::new() }
    }

    fn number(&mut self, value: T) -> usize {
        let Self { numbers, values } = self;
        *numbers.entry(value).or_insert_with_key(|value| {
            values.push(value.clone());
            values.len() - 1
        })
    }

    fn value(&self, number: usize) -> Option<&T> {
        self.values.get(number)
    }
}

/// The series that sums were of.
#[derive(Debug)]
struct KnownSeries {
    /// The number of each, by where it lies: it is held, so that nothing else comes to lie there.
    numbers: HashMap<*const Series, usize>,
    all: Vec<OneSeries>,
    /// What rows are told apart by, but for time and session.
    names: Numbered<Vec<Text>>,
    /// The first series of each price.
    priced: HashMap<PricedAs, usize>,
}

#[derive(Debug, Clone)]
struct OneSeries {
    series: Arc<Series>,
    is_taken: bool,
    /// The number of its names.
    names: usize,
    /// The number of the first series that is priced like it.
    priced: usize,
}

/// What of a series decides what its sums cost, and as what they count.
type PricedAs = (Witness, Text, Text, PriceClass, bool);

fn priced_as(series: &Series) -> PricedAs {
    let (provider, model) = (Text::clone(&series.provider), Text::clone(&series.model));
    (series.witness, provider, model, series.class, series.has_reported_cost)
}

impl KnownSeries {
    fn number(&mut self, series: &Arc<Series>, by: &[Dimension], filter: &Filter) -> usize {
        if let Some(number) = self.numbers.get(&Arc::as_ptr(series)) {
            return *number;
        }
        let number = self.all.len();
        self.all.push(OneSeries {
            series: Arc::clone(series),
            is_taken: filter.takes_series(series),
            names: self.names.number(by.iter().filter_map(|by| name(*by, series)).collect()),
            priced: *self.priced.entry(priced_as(series)).or_insert(number),
        });
        self.numbers.insert(Arc::as_ptr(series), number);
        number
    }
}

/// What a row of a dimension that is neither time nor session is called.
fn name(dimension: Dimension, series: &Series) -> Option<Text> {
    match dimension {
        Dimension::Agent => Some(Text::clone(&series.source)),
        Dimension::Model => Some(Text::clone(&series.model)),
        Dimension::Project => Some(Text::clone(&series.project)),
        Dimension::Kind => Some(Text::clone(&series.kind)),
        Dimension::Provider => Some(Text::clone(&series.provider)),
        Dimension::Tier => Some(series.class.tier.name().into()),
        Dimension::Device => Some(Text::clone(&series.device)),
        Dimension::HalfHour
        | Dimension::Hour
        | Dimension::Day
        | Dimension::Week
        | Dimension::Month
        | Dimension::Session => None,
    }
}

impl<'a> ReportBuilder<'a> {
    /// A report by `by`, of what passes `filter`.
    #[must_use]
    pub fn new(
        by: Vec<Dimension>,
        calendar: Calendar,
        filter: &'a Filter,
        pricer: Pricer<'a>,
    ) -> Self {
        let known = KnownSeries {
            numbers: HashMap::new(),
            all: Vec::new(),
            names: Numbered::new(),
            priced: HashMap::new(),
        };
        let mut devices = Numbered::new();
        devices.number(Text::default());
        Self {
            by,
            calendar,
            filter,
            pricer,
            known,
            labels: Numbered::new(),
            last_labels: (UnixMs(0), UnixMs(0), 0),
            known_labels: BTreeMap::new(),
            sessions: Numbered::new(),
            last_session: 0,
            devices,
            last_device: 0,
            rows: HashMap::new(),
            parts: HashMap::new(),
            is_bare: false,
        }
    }

    /// Rows without models, agents, projects and kinds of session, for whoever only looks at their sums.
    #[must_use]
    pub fn bare(self) -> Self {
        Self { is_bare: true, ..self }
    }

    /// Adds one sum.
    pub fn add(&mut self, entry: Entry<'_>) {
        self.put(entry, 0);
    }

    /// Adds one sum of a device, whatever its series says of devices: sums of one come one after the other.
    pub fn add_of(&mut self, device: &Text, entry: Entry<'_>) {
        if self.devices.value(self.last_device).is_none_or(|last| last != device) {
            self.last_device = self.devices.number(Text::clone(device));
        }
        self.put(entry, self.last_device);
    }

    fn put(&mut self, entry: Entry<'_>, device: usize) {
        let number = self.known.number(entry.series, &self.by, self.filter);
        let Some(&OneSeries { is_taken: true, names, priced, .. }) = self.known.all.get(number)
        else {
            return;
        };
        if !self.filter.window.contains(entry.start) {
            return;
        }
        let labels = self.labels(entry.start);
        let session = self.session(entry.session);
        let next = self.rows.len();
        let row = self.rows.entry(Place { labels, names, session, device }).or_insert_with(|| {
            Growing { number: next, series: BTreeSet::new(), times: entry.times }
        });
        if !self.is_bare {
            row.series.insert(number);
        }
        row.times = (row.times.0.min(entry.times.0), row.times.1.max(entry.times.1));
        let likeness = self.pricer.likeness(entry.start, &entry.counters.tokens);
        let part = self.parts.entry((row.number, priced, likeness));
        let part = part.or_insert(Part { time: entry.start, counters: Counters::default() });
        part.counters = part.counters.plus(entry.counters);
    }

    /// The number of the labels of a moment.
    fn labels(&mut self, time: UnixMs) -> usize {
        let (from, until, number) = self.last_labels;
        if (from.0..until.0).contains(&time.0) {
            return number;
        }
        let known = self.known_labels.range(..=time).next_back();
        if let Some((from, (until, number))) = known.filter(|(_, (until, _))| time < *until) {
            self.last_labels = (*from, *until, *number);
            return *number;
        }
        let mut until = UnixMs(i64::MAX);
        let mut labels = Vec::new();
        for bucket in self.by.iter().filter_map(|dimension| dimension.bucket()) {
            labels.push(Text::from(self.calendar.label(bucket, time)));
            until = until.min(self.calendar.end(bucket, time));
        }
        let number = self.labels.number(labels);
        self.last_labels = (time, until, number);
        self.known_labels.insert(time, (until, number));
        number
    }

    /// The number of a session, where rows are of them: sums of one come one after the other.
    fn session(&mut self, name: &str) -> usize {
        let is_asked = self.by.contains(&Dimension::Session);
        if is_asked && self.sessions.value(self.last_session).is_none_or(|last| **last != *name) {
            self.last_session = self.sessions.number(name.into());
        }
        self.last_session
    }

    /// The report: rows of time in order of time, sessions in order of their last call, others by
    /// their tokens.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let mut totals = Sums::default();
        let mut unpriced_models: BTreeMap<Text, u64> = BTreeMap::new();
        let mut grown: Vec<(Place, Growing)> = std::mem::take(&mut self.rows).into_iter().collect();
        grown.sort_unstable_by_key(|(_, growing)| growing.number);
        let mut parts: Vec<_> = std::mem::take(&mut self.parts).into_iter().collect();
        parts.sort_unstable_by_key(|(of, _)| *of);
        let mut rows = Vec::with_capacity(grown.len());
        for (of_row, (place, growing)) in
            parts.chunk_by(|((one, ..), _), ((other, ..), _)| one == other).zip(grown)
        {
            let mut row = self.row(place, &growing);
            for ((_, number, _), part) in of_row {
                let Some(OneSeries { series, .. }) = self.known.all.get(*number) else { continue };
                let sum = self.pricer.price(part.time, series, &part.counters);
                if sum.unpriced_calls > 0 {
                    *unpriced_models.entry(Text::clone(&series.model)).or_default() +=
                        sum.unpriced_calls;
                }
                totals.add(series.witness, &sum);
                row.sums.add(series.witness, &sum);
                if self.is_bare {
                    continue;
                }
                let model = row.models.entry(Text::clone(&series.model));
                model.or_default().add(series.witness, &sum);
            }
            rows.push(row);
        }
        rows.sort_unstable_by(|one, other| one.keys.cmp(&other.keys));
        order(&mut rows, &self.by);
        let zone = self.calendar.zone_name();
        Report { by: self.by, zone, rows, totals, unpriced_models }
    }

    /// A row without its sums.
    fn row(&self, place: Place, growing: &Growing) -> Row {
        let mut labels = self.labels.value(place.labels).into_iter().flatten().cloned();
        let mut names = self.known.names.value(place.names).into_iter().flatten().cloned();
        let device = self.devices.value(place.device).filter(|_| place.device > 0);
        let key = |dimension: &Dimension| {
            if *dimension == Dimension::Session {
                self.sessions.value(place.session).cloned()
            } else if dimension.bucket().is_some() {
                labels.next()
            } else {
                let name = names.next();
                device.filter(|_| *dimension == Dimension::Device).cloned().or(name)
            }
        };
        let mut row = Row {
            keys: self.by.iter().map(key).map(Option::unwrap_or_default).collect(),
            sums: Sums::default(),
            models: BTreeMap::new(),
            agents: BTreeSet::new(),
            projects: BTreeSet::new(),
            kinds: BTreeSet::new(),
            times: growing.times,
        };
        for one in growing.series.iter().filter_map(|number| self.known.all.get(*number)) {
            row.agents.insert(Text::clone(&one.series.source));
            row.projects.insert(Text::clone(&one.series.project));
            row.kinds.insert(Text::clone(&one.series.kind));
        }
        row
    }
}

/// Puts rows that are in the order of their keys into that of a report.
fn order(rows: &mut [Row], by: &[Dimension]) {
    match by.first() {
        Some(Dimension::Session) => {
            // Those of two devices are two, whatever they are called.
            let names = if by.get(1) == Some(&Dimension::Device) { 2 } else { 1 };
            let session = |row: &Row| row.keys.iter().take(names).cloned().collect::<Vec<Text>>();
            let mut ends: BTreeMap<Vec<Text>, UnixMs> = BTreeMap::new();
            for row in &*rows {
                let end = ends.entry(session(row)).or_insert(row.times.1);
                *end = (*end).max(row.times.1);
            }
            // The rows of one session stay together, wherever its calls lie among others'.
            rows.sort_by_cached_key(|row| {
                let session = session(row);
                (ends.get(&session).copied(), session, row.times.1, row.keys.clone())
            });
        }
        Some(
            Dimension::Agent
            | Dimension::Model
            | Dimension::Project
            | Dimension::Kind
            | Dimension::Provider
            | Dimension::Tier
            | Dimension::Device,
        ) if by.len() == 1 => {
            rows.sort_by(|a, b| {
                (b.sums.total_tokens(), &a.keys).cmp(&(a.sums.total_tokens(), &b.keys))
            });
        }
        // Keys of time sort by time; with several dimensions, rows of one first key stay together.
        Some(
            Dimension::HalfHour
            | Dimension::Hour
            | Dimension::Day
            | Dimension::Week
            | Dimension::Month
            | Dimension::Agent
            | Dimension::Model
            | Dimension::Project
            | Dimension::Kind
            | Dimension::Provider
            | Dimension::Tier
            | Dimension::Device,
        )
        | None => {}
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::prices::{Override, PriceBook};
    use crate::report::CostMode;
    use crate::{HOUR_MS, NanoUsd, Tokens};

    /// Prices that change on a day, and one of which only a part is known.
    fn book() -> PriceBook {
        let stated = |model: &str, input: &str, day: Option<&str>| Override {
            model: model.to_owned(),
            input_usd_per_mtok: Some(input.to_owned()),
            output_usd_per_mtok: Some("10".to_owned()),
            from_day: day.map(|day| day.parse().unwrap()),
            ..Override::default()
        };
        let changing = [stated("m-1", "4", None), stated("m-1", "2", Some("2026-12-01"))];
        PriceBook::with_overrides(&changing).unwrap()
    }

    const START: &str = "2026-11-30T00:00:00Z";

    prop_compose! {
        fn any_entry()(
            hour in 0..48_i64,
            series in 0..12_usize,
            session in 0..3_u8,
            used in prop::array::uniform4(prop::option::of(0..1_000_u64)),
            calls in 1..3_u64,
            cost in 0..9_i64,
        ) -> (i64, usize, String, Counters) {
            let [input, cache_read, output, reasoning] = used.map(Option::unwrap_or_default);
            let tokens = Tokens { input, cache_read, output, reasoning, ..Tokens::ZERO };
            let counters = Counters { calls, errors: 0, tokens, reported_cost: NanoUsd(cost) };
            (hour, series, format!("s{session}"), counters)
        }
    }

    fn series() -> Vec<Arc<Series>> {
        let of = |at: usize| Series {
            model: ["m-1", "gpt-5.5", "nobody knows"][at % 3].into(),
            project: ["/a", "/b"][at % 2].into(),
            witness: if at < 6 { Witness::Measured } else { Witness::Claimed },
            has_reported_cost: at == 3 || at == 8,
            ..Series::default()
        };
        (0..12).map(of).map(Arc::new).collect()
    }

    proptest! {
        #[test]
        fn what_is_added_up_first_costs_what_its_parts_cost(
            entries in prop::collection::vec(any_entry(), 0..60),
            by in prop::sample::subsequence(vec![Dimension::Day, Dimension::Project, Dimension::Session, Dimension::Model], 0..4),
            mode in prop::sample::select(vec![CostMode::Auto, CostMode::Computed, CostMode::Reported]),
            is_narrow in any::<bool>(),
        ) {
            let (book, series) = (book(), series());
            let projects = if is_narrow { vec!["/a".to_owned()] } else { Vec::new() };
            let filter = Filter { projects, ..Filter::default() };
            let mut calendar = Calendar::new(TimeZone::get("Asia/Kathmandu").unwrap());
            let mut report =
                ReportBuilder::new(by.clone(), calendar.clone(), &filter, Pricer::new(&book, mode));
            let mut pricer = Pricer::new(&book, mode);
            let mut rows: BTreeMap<Vec<Text>, Sums> = BTreeMap::new();
            let (mut totals, mut unpriced) = (Sums::default(), 0);
            for (hour, at, session, counters) in &entries {
                let start = UnixMs(UnixMs::parse_rfc3339(START).unwrap().0 + hour * HOUR_MS);
                let series = &series[*at];
                report.add(Entry { start, times: (start, start), series, session, counters });
                if !filter.takes_series(series) {
                    continue;
                }
                let key = |by: &Dimension| match name(*by, series) {
                    Some(name) => name,
                    None if *by == Dimension::Session => session.as_str().into(),
                    None => Text::from(calendar.label(crate::Bucket::Day, start)),
                };
                let sum = pricer.price(start, series, counters);
                rows.entry(by.iter().map(key).collect()).or_default().add(series.witness, &sum);
                totals.add(series.witness, &sum);
                unpriced += sum.unpriced_calls;
            }
            let report = report.finish();
            let told: BTreeMap<_, _> =
                report.rows.iter().map(|row| (row.keys.clone(), row.sums)).collect();
            prop_assert_eq!(told, rows);
            prop_assert_eq!(report.totals, totals);
            prop_assert_eq!(report.unpriced_models.values().sum::<u64>(), unpriced);
            for row in &report.rows {
                let mut models = Sums::default();
                row.models.values().for_each(|sums| models.plus(sums));
                prop_assert_eq!(models, row.sums);
            }
        }
    }
}
