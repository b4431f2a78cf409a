//! Sums of a long time out of a large ledger, read by two threads.
//!
//! Each reads one half of the days, and both see the same commit; who asked is handed the sums of both,
//! of each half in order. What costs is reading, and it is done twice as fast.

use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::Result;
use trueup_core::report::{Entry, Window};
use trueup_core::{Bucket, Calendar, DAY_MS, UnixMs};
use trueup_ledger::{LedgerError, Reader, TimeUsage};

use super::{each_usage, edges};

/// Below these one thread is as fast as two: the bytes of the file, and the days that are asked for.
const FILE_BYTES_MIN: u64 = 64 << 20;
const DAYS_MIN: i64 = 28;

/// Sums that are handed over at once, and how often before the other side must have taken some.
const AT_ONCE: usize = 256;
const WAITING_MAX: usize = 8;

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

    /// Hands all sums to `each`: see [`Usage::by_buckets`](super::Usage::by_buckets).
    pub(super) fn read(
        self,
        buckets: &[Bucket],
        calendar: &Calendar,
        each: &mut dyn FnMut(Entry<'_>),
    ) -> Result<()> {
        let [(one, _), _] = &self.0;
        let series = one.series()?;
        let (send, sums) = sync_channel(WAITING_MAX);
        std::thread::scope(|scope| {
            let reading = self.0.map(|(reader, window)| {
                let (send, edges) = (send.clone(), edges(buckets, calendar));
                scope.spawn(move || read(&reader, window, edges, &send))
            });
            drop(send);
            for usage in sums.into_iter().flatten() {
                each_usage(&series, &usage, each);
            }
            for half in reading {
                half.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            Ok(())
        })
    }
}

fn read(
    reader: &Reader,
    window: Window,
    edges: impl FnMut(UnixMs) -> Vec<UnixMs>,
    to: &SyncSender<Vec<TimeUsage>>,
) -> Result<(), LedgerError> {
    let mut some = Vec::with_capacity(AT_ONCE);
    // Nobody takes any more only where the other side has failed, and says so.
    let hand_over = |some: &mut Vec<TimeUsage>| drop(to.send(std::mem::take(some)));
    reader.usage_between(window.from, window.until, edges, |usage| {
        some.push(usage);
        if some.len() == AT_ONCE {
            hand_over(&mut some);
            some.reserve(AT_ONCE);
        }
    })?;
    hand_over(&mut some);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
}
