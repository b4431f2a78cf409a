//! Sums of a long time out of a large ledger, read by two threads.
//!
//! Each reads one half of the days, and both see the same commit; who asked is handed the sums of both,
//! of each half in order. What costs is reading, and it is done twice as fast.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::Result;
use trueup_core::report::{Entry, Window, kinds};
use trueup_core::{Bucket, Calendar, DAY_MS, Series, UnixMs};
use trueup_ledger::{LedgerError, Reader, TimeUsage};

use super::{each_usage, edges};

/// Below these one thread is as fast as two: the bytes of the file, and the days that are asked for.
const FILE_BYTES_MIN: u64 = 64 << 20;
const DAYS_MIN: i64 = 28;

/// Sums that are handed over at once, and how often before the other side must have taken some.
const AT_ONCE: usize = 256;
const WAITING_MAX: usize = 8;

/// What takes a sum, and a number beside it.
pub(super) type Each<'a> = dyn FnMut(i64, TimeUsage) + 'a;

/// Two readers, and what each reads.
pub(super) struct Parts([(Reader, Window); 2]);

impl Parts {
    /// Two halves, where it is worth it.
    pub(super) fn of(reader: &Reader, window: Window) -> Result<Option<Self>> {
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
        let middle = UnixMs(from.0.saturating_add(days / 2 * DAY_MS)).floor(DAY_MS);
        let Some((one, other)) = Reader::pair(reader.path())? else { return Ok(None) };
        let (before, after) =
            (Window { until: middle, ..window }, Window { from: middle, ..window });
        Ok(Some(Self([(one, before), (other, after)])))
    }

    /// Every series, by its number.
    pub(super) fn series(&self) -> Result<HashMap<i64, Arc<Series>>> {
        let [(one, _), _] = &self.0;
        Ok(one.series()?)
    }

    /// Hands all sums to `each`: see [`Usage::by_buckets`](super::Usage::by_buckets).
    pub(super) fn read(
        self,
        buckets: &[Bucket],
        calendar: &Calendar,
        each: &mut dyn FnMut(Entry<'_>),
    ) -> Result<()> {
        let series = self.series()?;
        let read = |reader: &Reader, window: Window, each: &mut Each<'_>| {
            let edges = edges(buckets, calendar);
            reader.usage_between(window.from, window.until, edges, |usage| each(0, usage))
        };
        self.by(&read, &mut |_, usage| each_usage(&series, &usage, each))
    }

    /// Hands the sums of one span after the other to `each`, of each half: what lies in a span is added up
    /// where it is read.
    pub(super) fn read_spans(
        self,
        spans: &Spans<'_>,
        each: &mut dyn FnMut(Entry<'_>),
    ) -> Result<()> {
        let series = self.series()?;
        let read = |reader: &Reader, window: Window, each: &mut Each<'_>| {
            let mut adding = Adding {
                spans: spans.clone(),
                span: (UnixMs(i64::MIN), UnixMs(i64::MIN)),
                sums: BTreeMap::new(),
            };
            let edges = edges(spans.buckets, &spans.calendar);
            reader
                .usage_between(window.from, window.until, edges, |usage| adding.add(usage, each))?;
            adding.tell(each);
            Ok(())
        };
        self.by(&read, &mut |_, usage| each_usage(&series, &usage, each))
    }

    /// Has both halves read by `read`, and hands what it finds to `each`, with a number of its own.
    pub(super) fn by(
        self,
        read: &(dyn Fn(&Reader, Window, &mut Each<'_>) -> Result<(), LedgerError> + Sync),
        each: &mut Each<'_>,
    ) -> Result<()> {
        let (send, sums) = sync_channel(WAITING_MAX);
        std::thread::scope(|scope| {
            let reading = self.0.map(|(reader, window)| {
                let send = send.clone();
                scope.spawn(move || in_parts(&|each| read(&reader, window, each), &send))
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
#[derive(Debug, Clone)]
pub(super) struct Spans<'a> {
    pub(super) buckets: &'a [Bucket],
    pub(super) calendar: Calendar,
    /// Where prices change.
    pub(super) changes: &'a [UnixMs],
}

impl Spans<'_> {
    /// Where the one ends that a time lies in.
    fn end(&mut self, time: UnixMs) -> UnixMs {
        let calendar = &mut self.calendar;
        let buckets = self.buckets.iter().map(|bucket| calendar.end(*bucket, time));
        let changes = self.changes.iter().copied().filter(|change| time < *change);
        buckets.chain(changes).min().unwrap_or(UnixMs(i64::MAX))
    }
}

/// The sums of one span, while they are added up: by series, and by what of them is priced.
struct Adding<'a> {
    spans: Spans<'a>,
    /// From when until when the span goes, as far as sums of it were seen.
    span: (UnixMs, UnixMs),
    sums: BTreeMap<(i64, u8), TimeUsage>,
}

impl Adding<'_> {
    fn add(&mut self, usage: TimeUsage, each: &mut Each<'_>) {
        let (from, until) = self.span;
        if usage.start < from {
            // What is left of a day that is cut comes behind the parts that were cut off.
            return each(0, usage);
        }
        if usage.start >= until {
            self.tell(each);
            self.span = (usage.start, self.spans.end(usage.start));
        }
        let sum = self.sums.entry((usage.series, kinds(&usage.counters.tokens)));
        sum.and_modify(|sum| {
            sum.counters = sum.counters.plus(&usage.counters);
            sum.times = (sum.times.0.min(usage.times.0), sum.times.1.max(usage.times.1));
        })
        .or_insert(usage);
    }

    fn tell(&mut self, each: &mut Each<'_>) {
        for sum in std::mem::take(&mut self.sums).into_values() {
            each(0, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use trueup_core::{Batch, Billing, Call, Counters, Fact, HOUR_MS, Key, Outcome, Owner};
    use trueup_core::{Origin, Rank, Tokens, Variant};
    use trueup_ledger::{Ledger, OpenOptions};

    use super::*;
    use crate::usage::Usage;

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
        let parts = Parts([(one, before), (other, after)]);
        parts.read(&by, &calendar, &mut |entry| add(&mut halves, entry)).unwrap();
        assert_eq!(halves, whole);
        let calls: u64 = whole.values().map(|sum| sum.calls).sum();
        assert_eq!(calls, 2_000);
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
        let (one, other) = Reader::pair(&path).unwrap().unwrap();
        let middle = UnixMs(1_795_000_000_000 + 900 * HOUR_MS).floor(DAY_MS);
        let (before, after) =
            (Window { until: middle, ..Window::ALL }, Window { from: middle, ..Window::ALL });
        let of = Spans { buckets: &by, calendar, changes: &[change] };
        Parts([(one, before), (other, after)])
            .read_spans(&of, &mut |entry| {
                told[1] += 1;
                add(&mut spans, &entry);
            })
            .unwrap();
        assert_eq!(spans, days);
        assert!(told[1] * 4 < told[0], "{told:?}");
    }
}
