//! What counters of telemetry tell: in whatever order their points come, however often, and never of the account.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use trueup_core::{Batch, DAY_MS, Fact, Key, Metered, Origin, Parts, Tokens, UnixMs};
use trueup_ledger::{Check, Ledger, Meters, OpenOptions, Reader, Retention};

use crate::laws::{batch, plain_call};

/// A day in November 2026.
const DAY: i64 = 20_775;

/// A point: of which counter, told when, and what the counter has come to or grown by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    stream: u8,
    /// Sixths of a day since the first.
    moment: u8,
    value: u16,
}

impl Point {
    const fn is_cumulative(self) -> bool {
        self.stream.is_multiple_of(2)
    }

    /// The counters with the largest numbers began before anybody heard of them.
    const fn began(self) -> i64 {
        if self.stream < 4 { DAY } else { DAY - 2 }
    }

    const fn day(self) -> i64 {
        DAY + self.moment as i64 / 6
    }

    fn fact(self) -> Fact {
        let time = UnixMs(DAY * DAY_MS + i64::from(self.moment) * DAY_MS / 6 + 1);
        Fact::Metered(Box::new(Metered {
            stream: self.stream.into(),
            source: "test".into(),
            session: format!("s{}", self.stream % 3).into(),
            began: UnixMs(self.began() * DAY_MS),
            time,
            point: time.0 * 1_000_000,
            is_cumulative: self.is_cumulative(),
            parts: Parts::OUTPUT,
            value: self.value.into(),
        }))
    }
}

/// The points of six counters over three days: a counter tells one thing at a time, and a sum only grows.
fn points() -> impl Strategy<Value = Vec<Point>> {
    proptest::collection::btree_set((0..6_u8, 0..18_u8), 1..40).prop_flat_map(|places| {
        let grown = proptest::collection::vec(1..100_u16, places.len());
        grown.prop_map(move |grown| {
            let mut sums: BTreeMap<u8, u16> = BTreeMap::new();
            let points = places.iter().zip(&grown).map(|(&(stream, moment), &by)| {
                let sum = sums.entry(stream).or_default();
                *sum += by;
                Point { stream, moment, value: if stream.is_multiple_of(2) { *sum } else { by } }
            });
            points.collect()
        })
    })
}

fn model(points: &[Point]) -> BTreeMap<(String, i64), u64> {
    let mut told: BTreeMap<(String, i64), u64> = BTreeMap::new();
    let mut before: BTreeMap<u8, u16> = BTreeMap::new();
    for point in points.iter().collect::<BTreeSet<_>>() {
        let since = match before.insert(point.stream, point.value) {
            _ if !point.is_cumulative() => 0,
            Some(before) => before,
            None if point.began() == point.day() => 0,
            None => point.value,
        };
        let session = format!("s{}", point.stream % 3);
        *told.entry((session, point.day())).or_default() += u64::from(point.value - since);
    }
    told.retain(|_, told| *told > 0);
    told
}

fn told(reader: &Reader) -> BTreeMap<(String, i64), u64> {
    let days = reader.metered_days().unwrap().into_iter();
    let told = days.map(|of| ((of.session.to_string(), of.day.0 / DAY_MS), of.told.output));
    told.filter(|(_, told)| *told > 0).collect()
}

fn facts(points: &[Point]) -> Batch {
    Batch { facts: points.iter().map(|point| point.fact()).collect(), ..Batch::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_points_does_not_matter_nor_how_often_they_come(
        (points, sent) in points().prop_flat_map(|points| {
            let twice: Vec<Point> = points.iter().chain(&points).copied().collect();
            (Just(points), Just(twice).prop_shuffle())
        }),
        at in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let (first, second) = sent.split_at(at.index(sent.len()));
        for part in [first, second] {
            let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
            ledger.append(&[&facts(part)], UnixMs(0)).unwrap();
        }
        let reader = Reader::open(&path).unwrap().unwrap();
        prop_assert_eq!(told(&reader), model(&points));
        prop_assert_eq!(reader.check().unwrap(), Check::default());
    }
}

/// A delta of tokens of an answer, so many days after the first.
fn delta(stream: i64, session: &str, day: i64, value: i64) -> Fact {
    Fact::Metered(Box::new(Metered {
        stream,
        source: "test".into(),
        session: session.into(),
        began: UnixMs(0),
        time: UnixMs((DAY + day) * DAY_MS),
        point: stream,
        is_cumulative: false,
        parts: Parts::OUTPUT.and(Parts::REASONING),
        value,
    }))
}

#[test]
fn of_too_many_rows_the_oldest_days_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    for day in 0..3 {
        let facts = (0..8_000).map(|stream| delta(stream, "", day, 1)).collect();
        ledger.append(&[&Batch { facts, ..Batch::default() }], UnixMs(0)).unwrap();
    }
    let days = Reader::open(&path).unwrap().unwrap().metered_days().unwrap();
    let told: Vec<_> = days.iter().map(|of| (of.day.0 / DAY_MS - DAY, of.told.output)).collect();
    // 24,000 of which 20,000 are too many: 18,000 are left.
    assert_eq!(told, [(0, 2_000), (1, 8_000), (2, 8_000)]);
}

#[test]
fn calls_are_held_beside_it_by_session_and_day_also_those_that_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let retention = Retention { age_max: Some(std::time::Duration::ZERO), ..Retention::default() };
    let options = OpenOptions { retention: Some(retention), ..OpenOptions::default() };
    let mut ledger = Ledger::open(&path, options).unwrap();
    let call = |number: u8, session: &str, day: i64| {
        let origin = Origin { source: "test".into(), session: session.into(), ..Origin::default() };
        let tokens = Tokens {
            input: 3,
            cache_read: 5,
            cache_write_1h: 7,
            output: 11,
            reasoning: 2,
            ..Tokens::ZERO
        };
        let time = UnixMs((DAY + day) * DAY_MS + 5);
        plain_call(Key::of("test", &[[number]]), time, origin, tokens)
    };
    let told = [delta(1, "a", 0, 30), delta(2, "", 1, 40)];
    let calls = [call(1, "a", 0), call(2, "a", 0), call(3, "a", 1), call(4, "b", 1)];
    ledger.append(&[&batch(&calls)], UnixMs(0)).unwrap();
    ledger.append(&[&Batch { facts: told.into(), ..Batch::default() }], UnixMs(0)).unwrap();
    let of = |calls: u64| Meters {
        prompt: 15 * calls,
        cache_read: 5 * calls,
        cache_write: 7 * calls,
        output: 11 * calls,
        reasoning: 2 * calls,
        cost_nanousd: 0,
    };
    for _ in 0..2 {
        let days = Reader::open(&path).unwrap().unwrap().metered_days().unwrap();
        let days: Vec<_> = days
            .iter()
            .map(|of| (&*of.session, of.day.0 / DAY_MS - DAY, of.told.output, of.counted))
            .collect();
        assert_eq!(days, [("", 1, 40, of(2)), ("a", 0, 30, of(2)), ("a", 1, 0, of(1))]);
        while ledger.clean(UnixMs(i64::MAX)).unwrap() {}
    }
}
