//! Claimed runs beside measured calls: each counts once, whichever comes first.

use proptest::prelude::*;
use trueup_core::{Batch, Fact, Key, Origin, SessionTotal, Tokens, UnixMs, Witness};
use trueup_ledger::{Check, Ledger, OpenOptions, Reader, Width};

use crate::laws::{batch, call, partly_posted};

/// When the calls of `laws` are made, at the earliest.
const CALLS_MS: i64 = 1_795_000_000_000;

fn claim(session: u8, run: u64, time_ms: i64) -> Fact {
    let session = format!("s{session}");
    let tokens = Tokens { input: 900_000 + run, output: run, ..Tokens::ZERO };
    Fact::SessionTotal(Box::new(SessionTotal {
        key: Key::of("test", &["run", &session, &run.to_string()]),
        time: UnixMs(time_ms),
        started: None,
        parent: "".into(),
        origin: Origin {
            source: "test".into(),
            provider: "p".into(),
            model: "m".into(),
            session: session.as_str().into(),
            ..Origin::default()
        },
        tokens,
        reported_cost: None,
    }))
}

/// Claimed runs that count, by their tokens, each with the day that it is booked on.
fn counted(reader: &Reader) -> Vec<(i64, u64)> {
    let series = reader.series().unwrap();
    let mut counted = Vec::new();
    reader
        .usage_by_time(Width::Day, UnixMs(0), UnixMs(i64::MAX), |usage| {
            if series[&usage.series].witness == Witness::Claimed {
                counted.push((usage.start.0, usage.counters.tokens.total()));
            }
        })
        .unwrap();
    counted
}

#[test]
fn a_run_that_is_claimed_again_is_booked_where_it_was_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    let mut append = |fact: Fact| {
        let batch = Batch { facts: vec![fact], ..Batch::default() };
        ledger.append(&[&batch], UnixMs(1)).unwrap();
        let reader = Reader::open(&path).unwrap().unwrap();
        assert_eq!(reader.check().unwrap(), Check::default());
        counted(&reader)
    };
    let day = 86_400_000;
    assert_eq!(append(claim(1, 3, 7 * day)), [(7 * day, 900_006)]);
    assert_eq!(append(claim(1, 3, 9 * day)), [(7 * day, 900_006)]);
    assert_eq!(append(claim(1, 3, 2 * day + 5)), [(2 * day, 900_006)]);
    assert_eq!(append(claim(1, 4, 7 * day)), [(2 * day, 900_006), (7 * day, 900_008)]);
}

#[test]
fn a_run_that_is_left_in_a_copy_alone_counts_once() {
    let Fact::SessionTotal(original) = claim(1, 3, CALLS_MS) else { unreachable!() };
    let Fact::SessionTotal(mut copy) = claim(2, 4, CALLS_MS + 3_600_000) else { unreachable!() };
    copy.parent = "s1".into();
    let mut call = call(1, 0, 0, 3, -60, 2);
    call.tokens.input = original.tokens.input;
    let facts =
        [Fact::SessionTotal(original), Fact::SessionTotal(copy), Fact::Call(Box::new(call))];
    let mut posted = facts.clone();
    let Fact::Call(call) = &mut posted[2] else { unreachable!() };
    call.trace_id = Some("a client's own".into());
    let orders = [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]];
    for (facts, order) in
        [facts, posted].iter().flat_map(|facts| orders.map(|order| (facts, order)))
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        for at in order {
            let batch = Batch { facts: vec![facts[at].clone()], ..Batch::default() };
            ledger.append(&[&batch], UnixMs(1)).unwrap();
        }
        let claimed: u64 =
            counted(&Reader::open(&path).unwrap().unwrap()).iter().map(|(_, tokens)| tokens).sum();
        assert_eq!(claimed, 900_008, "the copy's own run: {order:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_of_claims_and_calls_does_not_matter(
        claims in prop::collection::vec((0..2_u8, 0..4_u64, -3..60_i64), 0..8),
        calls in prop::collection::vec((0..60_i64, 0..2_u8), 0..8),
        order in prop::collection::vec(any::<u16>(), 16),
    ) {
        let mut facts: Vec<Fact> = claims
            .iter()
            .map(|(session, run, minutes)| claim(*session, *run, CALLS_MS + minutes * 60_000))
            .collect();
        for (number, (minute, session)) in (0..).zip(&calls) {
            let calls = partly_posted(&[call(number, 0, 0, 5, *minute, *session)]);
            facts.extend(batch(&calls).facts);
        }
        // In one transaction; again in many, where a claim may be covered before a better one comes.
        let counted_of = |facts: &[Fact]| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("l.db");
            let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
            let all = Batch { facts: facts.to_vec(), ..Batch::default() };
            ledger.append(&[&all], UnixMs(1)).unwrap();
            let counted = counted(&Reader::open(&path).unwrap().unwrap());
            for fact in facts {
                let one = Batch { facts: vec![fact.clone()], ..Batch::default() };
                ledger.append(&[&one, &one], UnixMs(2)).unwrap();
            }
            let reader = Reader::open(&path).unwrap().unwrap();
            assert_eq!(reader.check().unwrap(), Check::default());
            assert_eq!(self::counted(&reader), counted, "seen again, nothing changes");
            counted
        };
        let mut shuffled: Vec<(u16, Fact)> =
            order.iter().copied().cycle().zip(facts.iter().cloned()).collect();
        shuffled.sort_by_key(|(order, _)| *order);
        let shuffled: Vec<Fact> = shuffled.into_iter().map(|(_, fact)| fact).collect();
        prop_assert_eq!(counted_of(&facts), counted_of(&shuffled));
    }
}
