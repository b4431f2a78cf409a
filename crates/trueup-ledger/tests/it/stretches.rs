//! Sums between edges are those of the quarters between them, whichever way they were come by.

use std::collections::BTreeMap;

use proptest::prelude::*;
use trueup_core::{Counters, DAY_MS, QUARTER_MS, UnixMs};
use trueup_ledger::{Ledger, OpenOptions, Reader, TimeUsage, Width};

use crate::laws::{any_call, batch};

/// Calls of [`any_call`] are made from here on, for 138 days.
const START: UnixMs = UnixMs(1_795_000_000_000);

/// Sums by the stretch that they begin in, and the series.
type Sums = BTreeMap<(usize, i64), Counters>;

fn add(sums: &mut Sums, edges: &[UnixMs], usage: &TimeUsage) {
    let stretch = edges.iter().filter(|edge| **edge <= usage.start).count();
    let sum = sums.entry((stretch, usage.series)).or_default();
    *sum = sum.plus(&usage.counters);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn sums_between_edges_are_those_of_quarters(
        calls in prop::collection::vec(any_call(), 0..40),
        mut edges in prop::collection::vec(0..3 * 96_i64, 0..6),
        at_calls in prop::collection::vec((any::<prop::sample::Index>(), -40..40_i64), 0..12),
        from in -96..138 * 96_i64,
        length in prop::option::of(0..138 * 96_i64),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        ledger.append(&[&batch(&calls)], START).unwrap();
        let reader = Reader::open(&path).unwrap().unwrap();
        let first = START.floor(QUARTER_MS).0;
        // Edges near calls, and some on days without any.
        edges.extend(at_calls.iter().filter(|_| !calls.is_empty()).map(|(call, quarters)| {
            (call.get(&calls).time.0 - first) / QUARTER_MS + quarters
        }));
        let mut edges: Vec<UnixMs> = edges.iter().map(|it| UnixMs(first + it * QUARTER_MS)).collect();
        edges.sort_unstable();
        edges.dedup();
        let until = length.map_or(i64::MAX, |length| first + (from + length) * QUARTER_MS);
        let (from, until) = (UnixMs(first + from * QUARTER_MS), UnixMs(until));

        let mut quarters = Sums::new();
        reader
            .usage_by_time(Width::Quarter, from, until, |usage| add(&mut quarters, &edges, &usage))
            .unwrap();
        let mut between = Sums::new();
        let mut last = UnixMs(i64::MIN);
        let of_day = |day: UnixMs| {
            let end = UnixMs(day.0 + DAY_MS);
            edges.iter().copied().filter(|edge| day < *edge && *edge < end).collect()
        };
        reader
            .usage_between(from, until, of_day, |usage| {
                assert!(from <= usage.start && usage.start < until && usage.counters.calls > 0);
                let (first, end) = usage.times;
                let is_inside = |time: UnixMs| edges.iter().all(|edge| (*edge <= usage.start) == (*edge <= time));
                assert!(first <= end && is_inside(first) && is_inside(end));
                assert!(last.floor(DAY_MS) <= usage.start.floor(DAY_MS), "by day");
                last = usage.start;
                add(&mut between, &edges, &usage);
            })
            .unwrap();
        prop_assert_eq!(between, quarters);
    }
}
