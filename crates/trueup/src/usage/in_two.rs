//! Sums of a long time out of a large ledger, read by two threads.
//!
//! Each reads one half of the days, or of the devices, and both see the same commit; who asked is handed
//! the sums of both, of each half in order. What costs is reading, and it is done twice as fast.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::Result;
use trueup_core::report::Window;
use trueup_core::{Bucket, Calendar, DAY_MS, Series, UnixMs};
use trueup_ledger::{LedgerError, Reader, TimeUsage, week_start};

use super::edges;

/// Below these one thread is as fast as two: the bytes of the file, and the days that are asked for.
const FILE_BYTES_MIN: u64 = 64 << 20;
const DAYS_MIN: i64 = 28;

/// From so many devices on one half of them tells about as much as the other.
const DEVICES_MIN: usize = 16;

/// Sums that are handed over at once, and how often before the other side must have taken some.
const AT_ONCE: usize = 256;
const WAITING_MAX: usize = 8;

/// What takes a sum, and a number beside it.
pub(super) type Each<'a> = dyn FnMut(i64, TimeUsage) + 'a;

/// What one of two readers reads: some days of all devices, or all days of some devices.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) window: Window,
    pub(super) devices: RangeInclusive<i64>,
}

impl Part {
    /// All there is in a window.
    pub(super) const fn of(window: Window) -> Self {
        Self { window, devices: i64::MIN..=i64::MAX }
    }
}

/// Reads a part of a ledger, and hands its sums over.
pub(super) type Read<'a> =
    dyn Fn(&Reader, &Part, &mut Each<'_>) -> Result<(), LedgerError> + Sync + 'a;

/// Two readers, and what each reads.
pub(super) struct Parts([(Reader, Part); 2]);

impl Parts {
    /// Two halves of the days, where it is worth it.
    pub(super) fn of(reader: &Reader, window: Window) -> Result<Option<Self>> {
        Ok(pair(reader, window)?.map(|([one, other], middle)| {
            let before = Part::of(Window { until: middle, ..window });
            let after = Part::of(Window { from: middle, ..window });
            Self([(one, before), (other, after)])
        }))
    }

    /// Two halves of the devices with these numbers in order, or of the days of a few devices.
    pub(super) fn of_devices(
        reader: &Reader,
        window: Window,
        numbers: &[i64],
    ) -> Result<Option<Self>> {
        let middle = numbers.get(numbers.len() / 2).filter(|_| numbers.len() >= DEVICES_MIN);
        let Some(&middle) = middle else { return Self::of(reader, window) };
        Ok(pair(reader, window)?.map(|([one, other], _)| {
            let before = Part { window, devices: i64::MIN..=middle };
            let after = Part { window, devices: middle.saturating_add(1)..=i64::MAX };
            Self([(one, before), (other, after)])
        }))
    }

    /// Every series, by its number.
    pub(super) fn series(&self) -> Result<HashMap<i64, Arc<Series>>> {
        let [(one, _), _] = &self.0;
        Ok(one.series()?)
    }

    /// Has both parts read by `read`, and hands what it finds to `each`, with a number of its own.
    pub(super) fn by(self, read: &Read<'_>, each: &mut Each<'_>) -> Result<()> {
        let (send, sums) = sync_channel(WAITING_MAX);
        std::thread::scope(|scope| {
            let reading = self.0.map(|(reader, part)| {
                let send = send.clone();
                scope.spawn(move || in_parts(&|each| read(&reader, &part, each), &send))
            });
            drop(send);
            for (number, usage) in sums.into_iter().flatten() {
                each(number, usage);
            }
            for half in reading {
                half.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            Ok(())
        })
    }
}

/// Two readers where it is worth it, and the middle of the days.
fn pair(reader: &Reader, window: Window) -> Result<Option<([Reader; 2], UnixMs)>> {
    if reader.is_confined()? {
        return Ok(None);
    }
    let bytes = std::fs::metadata(reader.path()).map_or(0, |file| file.len());
    let Some((first, last)) = reader.span()?.filter(|_| bytes >= FILE_BYTES_MIN) else {
        return Ok(None);
    };
    let from = window.from.max(first);
    let days = window.until.min(last).0.saturating_sub(from.0) / DAY_MS;
    if days < DAYS_MIN || std::thread::available_parallelism().is_ok_and(|all| all.get() < 2) {
        return Ok(None);
    }
    let middle = week_start(UnixMs(from.0.saturating_add(days / 2 * DAY_MS)));
    Ok(Reader::pair(reader.path())?.map(|(one, other)| ([one, other], middle)))
}

/// Reads, and hands over some sums at once.
fn in_parts(
    read: &dyn Fn(&mut Each<'_>) -> Result<(), LedgerError>,
    to: &SyncSender<Vec<(i64, TimeUsage)>>,
) -> Result<(), LedgerError> {
    let mut some = Vec::with_capacity(AT_ONCE);
    // Nobody takes any more only where the other side has failed, and says so.
    let hand_over = |some: &mut Vec<(i64, TimeUsage)>| drop(to.send(std::mem::take(some)));
    read(&mut |number, usage| {
        some.push((number, usage));
        if some.len() == AT_ONCE {
            hand_over(&mut some);
            some.reserve(AT_ONCE);
        }
    })?;
    hand_over(&mut some);
    Ok(())
}

/// Stretches of time in which sums of one series may be added up: no bucket ends in one, and no price
/// changes.
pub(super) struct Within<'a> {
    pub(super) buckets: &'a [Bucket],
    pub(super) calendar: &'a Calendar,
    /// Where prices change.
    pub(super) changes: &'a [UnixMs],
}

impl Within<'_> {
    /// Reads the sums of a part, added up within each stretch: of all, or told apart by device.
    pub(super) fn read(
        &self,
        reader: &Reader,
        part: &Part,
        is_by_device: bool,
        each: &mut Each<'_>,
    ) -> Result<(), LedgerError> {
        let mut calendar = self.calendar.clone();
        let mut end = |time: UnixMs| {
            let buckets = self.buckets.iter().map(|bucket| calendar.end(*bucket, time));
            let changes = self.changes.iter().copied().filter(|change| time < *change);
            buckets.chain(changes).min().unwrap_or(UnixMs(i64::MAX))
        };
        let mut edges = edges(self.buckets, self.calendar);
        let Part { window: Window { from, until }, devices } = part;
        let devices = is_by_device.then_some(devices);
        reader.usage_of_spans(devices, (*from, *until), &mut edges, &mut end, each)
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use std::collections::BTreeMap;

    use trueup_core::report::{Entry, kinds};
    use trueup_core::{Batch, Billing, Call, Counters, Fact, HOUR_MS, Key, Outcome, Owner};
    use trueup_core::{Delivery, Origin, Rank, Tokens, Variant, Version, Word};
    use trueup_ledger::{Ledger, OpenOptions};

    use super::*;
    use crate::usage::{Usage, each_usage};

    type Sums = BTreeMap<(UnixMs, String), Counters>;

    fn call(hour: i64) -> Call {
        let tokens = Tokens { input: hour.cast_unsigned() + 1, output: 1, ..Tokens::ZERO };
        let model = if hour % 3 == 0 { "m-1" } else { "m-2" };
        Call {
            key: Key::of("test", &[&hour.to_be_bytes()]),
            variant: Variant(0),
            rank: Rank::new(0, &tokens, false, Owner::new(UnixMs(0), "s")),
            twin: None,
            time: UnixMs(1_795_000_000_000 + hour * HOUR_MS),
            origin: Origin { source: "test".into(), model: model.into(), ..Origin::default() },
            tokens,
            billing: Billing::default(),
            reported_cost: None,
            latency_ms: None,
            time_to_first_token_ms: None,
            outcome: Outcome::Ok,
            trace_id: None,
            body: None,
        }
    }

    #[test]
    fn two_halves_are_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        let facts = (0..2_000).map(|hour| Fact::Call(Box::new(call(hour)))).collect();
        ledger.append(&[&Batch { facts, ..Batch::default() }], UnixMs(1)).unwrap();
        let calendar = Calendar::new(TimeZone::get("Asia/Kathmandu").unwrap());
        let middle = UnixMs(1_795_000_000_000 + 900 * HOUR_MS).floor(DAY_MS);
        let add = |sums: &mut Sums, entry: Entry<'_>| {
            let sum = sums.entry((entry.start, entry.series.model.to_string())).or_default();
            *sum = sum.plus(entry.counters);
        };
        let (mut whole, mut halves) = (Sums::new(), Sums::new());
        let usage = Usage::of_ledger(&path).unwrap();
        let (all, by) = (Window::ALL, [Bucket::Day]);
        usage.by_buckets(&by, &calendar, all, &mut |entry| add(&mut whole, entry)).unwrap();
        let (one, other) = Reader::pair(&path).unwrap().unwrap();
        let (before, after) = (Window { until: middle, ..all }, Window { from: middle, ..all });
        let parts = Parts([(one, Part::of(before)), (other, Part::of(after))]);
        let read = |reader: &Reader, part: &Part, each: &mut Each<'_>| {
            let (Window { from, until }, edges) = (part.window, edges(&by, &calendar));
            reader.usage_between(from, until, edges, |usage| each(0, usage))
        };
        let series = parts.series().unwrap();
        let mut each = |_, usage: TimeUsage| {
            each_usage(&series, &usage, &mut |entry| add(&mut halves, entry));
        };
        parts.by(&read, &mut each).unwrap();
        assert_eq!(halves, whole);
        let calls: u64 = whole.values().map(|sum| sum.calls).sum();
        assert_eq!(calls, 2_000);
    }

    #[test]
    fn two_halves_of_the_devices_are_all_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        let told = (0..2_000).map(|hour| {
            let mut call = call(hour);
            call.key = Key::of_id(call.id());
            call.rank = Version::new(UnixMs(1), 0).rank(&[]);
            let (device, words) = (hour % 5, vec![Word::Is(Fact::Call(Box::new(call)))]);
            Delivery { device: format!("d{device}").into(), words, ..Delivery::default() }
        });
        ledger.deliver(&told.collect::<Vec<_>>(), UnixMs(1)).unwrap();
        let calendar = Calendar::new(TimeZone::get("Asia/Kathmandu").unwrap());
        let within = Within { buckets: &[Bucket::Month], calendar: &calendar, changes: &[] };
        let read = |reader: &Reader, part: &Part, each: &mut Each<'_>| {
            within.read(reader, part, true, each)
        };
        let add = |sums: &mut BTreeMap<_, Counters>, device: i64, usage: TimeUsage| {
            let month = calendar.clone().label(Bucket::Month, usage.start).to_owned();
            let sum = sums.entry((device, month, usage.series)).or_default();
            *sum = sum.plus(&usage.counters);
        };
        let (one, other) = Reader::pair(&path).unwrap().unwrap();
        let (mut whole, mut halves) = (BTreeMap::new(), BTreeMap::new());
        let all = Part::of(Window::ALL);
        read(&one, &all, &mut |device, usage| add(&mut whole, device, usage)).unwrap();
        let (before, after) = (i64::MIN..=3, 4..=i64::MAX);
        let parts = [(one, before), (other, after)];
        let parts = Parts(parts.map(|(reader, devices)| (reader, Part { devices, ..all.clone() })));
        parts.by(&read, &mut |device, usage| add(&mut halves, device, usage)).unwrap();
        assert_eq!(halves, whole);
        assert_eq!(whole.values().map(|sum| sum.calls).sum::<u64>(), 2_000);
    }

    #[test]
    fn sums_of_spans_are_those_of_their_days_and_end_where_prices_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        let facts = (0..2_000).map(|hour| {
            let mut call = call(hour);
            // Of some a kind is used whose price others need not know.
            call.tokens.cache_read = u64::from(hour % 7 == 0);
            Fact::Call(Box::new(call))
        });
        let facts = facts.collect();
        ledger.append(&[&Batch { facts, ..Batch::default() }], UnixMs(1)).unwrap();
        let calendar = Calendar::new(TimeZone::get("Asia/Kathmandu").unwrap());
        let change = UnixMs(1_795_000_000_000 + 700 * HOUR_MS).floor(DAY_MS);
        let by = [Bucket::Month];
        let mut months = calendar.clone();
        let mut add = |sums: &mut Sums, entry: &Entry<'_>| {
            let month = months.label(Bucket::Month, entry.start);
            let name = format!("{month} {} {}", entry.series.model, entry.start >= change);
            let kinds = i64::from(kinds(&entry.counters.tokens));
            let sum = sums.entry((UnixMs(kinds), name)).or_default();
            *sum = sum.plus(entry.counters);
        };
        let (mut days, mut spans, mut told) = (Sums::new(), Sums::new(), [0, 0]);
        let usage = Usage::of_ledger(&path).unwrap();
        usage
            .by_buckets(&by, &calendar, Window::ALL, &mut |entry| {
                told[0] += 1;
                add(&mut days, &entry);
            })
            .unwrap();
        let mut each = |entry: Entry<'_>| {
            told[1] += 1;
            add(&mut spans, &entry);
        };
        usage.by_spans(&by, &calendar, &[change], Window::ALL, &mut each).unwrap();
        assert_eq!(spans, days);
        assert!(told[1] * 4 < told[0], "{told:?}");
    }
}
