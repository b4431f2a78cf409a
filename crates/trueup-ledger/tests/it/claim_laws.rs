//! Claims and calls in any order, in any batches, told again and moved: each run counts once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use trueup_core::{
    Account, Batch, Counters, Fact, Key, Origin, SessionTotal, Text, Tokens, UnixMs, Witness,
};
use trueup_ledger::{Check, Ledger, OpenOptions, Reader, Width};

use crate::laws::plain_call;

const MINUTE_MS: i64 = 60_000;
const BEGIN_MS: i64 = 1_795_000_000_000;

/// Runs of a session are an hour apart: no call of one is near another's claim.
const RUN_MINUTES: i64 = 60;

fn origin(session: u8) -> Origin {
    Origin {
        source: "test".into(),
        provider: "p".into(),
        model: "m".into(),
        session: format!("s{session}").into(),
        ..Origin::default()
    }
}

/// What a run of a session used in one call: no two runs the same.
fn tokens(session: u8, run: u8) -> Tokens {
    Tokens { input: 1 + 10 * u64::from(run) + u64::from(session), output: 3, ..Tokens::ZERO }
}

/// Minutes from the start of all to the end of a run.
fn end(run: u8) -> i64 {
    i64::from(run) * RUN_MINUTES + 50
}

fn call(session: u8, run: u8) -> Fact {
    let key = Key::of("test", &[[0, session, run]]);
    let time = UnixMs(BEGIN_MS + end(run) * MINUTE_MS - 1_000);
    Fact::Call(Box::new(plain_call(key, time, origin(session), tokens(session, run))))
}

/// The claim of a run, as an entry tells it that was touched `late` minutes after the run.
fn claim(session: u8, run: u8, late: i64) -> Fact {
    Fact::SessionTotal(Box::new(SessionTotal {
        key: Key::of("test", &[[1, session, run]]),
        time: UnixMs(BEGIN_MS + (end(run) + late) * MINUTE_MS),
        started: Some(UnixMs(BEGIN_MS + (end(run) - 5) * MINUTE_MS)),
        parent: Text::default(),
        origin: origin(session),
        tokens: tokens(session, run),
        reported_cost: None,
    }))
}

/// Something that is read: of which session and run, and how late its entry was touched.
#[derive(Debug, Clone, Copy)]
enum Seen {
    Call(u8, u8),
    Claim(u8, u8, i64),
}

impl Seen {
    fn fact(self) -> Fact {
        match self {
            Self::Call(session, run) => call(session, run),
            Self::Claim(session, run, late) => claim(session, run, late),
        }
    }
}

fn seen() -> impl Strategy<Value = Seen> {
    prop_oneof![
        (0..3_u8, 0..4_u8).prop_map(|(session, run)| Seen::Call(session, run)),
        (0..3_u8, 0..4_u8, 0..9_i64)
            .prop_map(|(session, run, late)| Seen::Claim(session, run, late)),
    ]
}

fn batch(seen: &[Seen]) -> Batch {
    Batch { facts: seen.iter().map(|seen| seen.fact()).collect(), ..Batch::default() }
}

/// What must count: every call once, and of each claimed run without a call its first claim.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Counted {
    calls: BTreeSet<(u8, u8)>,
    /// The time of the earliest claim.
    open: BTreeMap<(u8, u8), i64>,
}

impl Counted {
    fn of(seen: &[Seen]) -> Self {
        let mut counted = Self::default();
        for seen in seen {
            match *seen {
                Seen::Call(session, run) => drop(counted.calls.insert((session, run))),
                Seen::Claim(session, run, late) => {
                    let time = BEGIN_MS + (end(run) + late) * MINUTE_MS;
                    let first = counted.open.entry((session, run)).or_insert(time);
                    *first = time.min(*first);
                }
            }
        }
        counted.open.retain(|run, _| !counted.calls.contains(run));
        counted
    }

    /// By session: exact and estimated tokens.
    fn by_session(&self) -> BTreeMap<String, (u64, u64)> {
        let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let total = |session, run| tokens(session, run).total();
        for &(session, run) in &self.calls {
            sums.entry(format!("s{session}")).or_default().0 += total(session, run);
        }
        for &(session, run) in self.open.keys() {
            sums.entry(format!("s{session}")).or_default().1 += total(session, run);
        }
        sums
    }

    /// By quarter of an hour: estimated tokens.
    fn estimated_by_quarter(&self) -> BTreeMap<i64, u64> {
        let mut sums = BTreeMap::new();
        for (&(session, run), &time) in &self.open {
            let start = Width::Quarter.start(UnixMs(time)).0;
            *sums.entry(start).or_default() += tokens(session, run).total();
        }
        sums
    }
}

fn by_session(reader: &Reader) -> BTreeMap<String, (u64, u64)> {
    let series = reader.series().unwrap();
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut add = |session: &str, witness: Witness, counters: &Counters| {
        let (exact, estimated) = sums.entry(session.to_owned()).or_default();
        match witness {
            Witness::Measured => *exact += counters.tokens.total(),
            Witness::Claimed => *estimated += counters.tokens.total(),
        }
    };
    reader
        .usage_by_session(UnixMs(i64::MIN), UnixMs(i64::MAX), |usage| {
            add(&usage.name, series[&usage.series].witness, &usage.counters);
        })
        .unwrap();
    sums
}

fn estimated_by_quarter(reader: &Reader) -> BTreeMap<i64, u64> {
    let series = reader.series().unwrap();
    let mut sums = BTreeMap::new();
    reader
        .usage_by_time(Width::Quarter, UnixMs(i64::MIN), UnixMs(i64::MAX), |usage| {
            if series[&usage.series].witness == Witness::Claimed {
                *sums.entry(usage.start.0).or_default() += usage.counters.tokens.total();
            }
        })
        .unwrap();
    sums
}

/// How many claims of each kind there are: open and superseded.
fn claims(path: &Path) -> (i64, i64) {
    let database = rusqlite::Connection::open(path).unwrap();
    let sql =
        "SELECT count(*) FILTER (WHERE NOT is_superseded), count(*) FILTER (WHERE is_superseded)
        FROM session_totals";
    database.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn claims_and_calls_in_any_order_count_each_run_once(
        batches in prop::collection::vec((prop::collection::vec(seen(), 0..6), any::<bool>()), 1..12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        let mut all = Vec::new();
        for (seen, is_reopened) in &batches {
            ledger.append(&[&batch(seen)], UnixMs(1)).unwrap();
            all.extend_from_slice(seen);
            if *is_reopened {
                drop(ledger);
                ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
            }
            let expected = Counted::of(&all);
            let reader = Reader::open(&path).unwrap().unwrap();
            prop_assert_eq!(by_session(&reader), expected.by_session());
            prop_assert_eq!(estimated_by_quarter(&reader), expected.estimated_by_quarter());
            prop_assert_eq!(reader.check().unwrap(), Check::default());
        }
        // Superseded ones are kept.
        let claimed = all.iter().filter_map(|seen| match seen {
            Seen::Claim(session, run, _) => Some((session, run)),
            Seen::Call(..) => None,
        });
        let claimed = i64::try_from(claimed.collect::<BTreeSet<_>>().len()).unwrap();
        let open = i64::try_from(Counted::of(&all).open.len()).unwrap();
        prop_assert_eq!(claims(&path), (open, claimed - open));
        // All at once, in another order, and in memory.
        all.reverse();
        let (expected, once) = (Counted::of(&all), folder.path().join("once.db"));
        Ledger::open(&once, OpenOptions::default()).unwrap()
            .append(&[&batch(&all)], UnixMs(1)).unwrap();
        let reader = Reader::open(&once).unwrap().unwrap();
        prop_assert_eq!(by_session(&reader), expected.by_session());
        prop_assert_eq!(estimated_by_quarter(&reader), expected.estimated_by_quarter());
        let mut account = Account::default();
        account.append(batch(&all));
        let mut in_memory: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for counted in account.counted() {
            let (exact, estimated) = in_memory.entry(counted.session.1.to_string()).or_default();
            match counted.series.witness {
                Witness::Measured => *exact += counted.counters.tokens.total(),
                Witness::Claimed => *estimated += counted.counters.tokens.total(),
            }
        }
        prop_assert_eq!(in_memory, expected.by_session());
    }
}

/// Retention takes the calls of a run; its claim must not come back, however often it is read again.
#[test]
fn what_was_superseded_stays_so_without_its_calls() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    ledger.append(&[&batch(&[Seen::Claim(0, 1, 5), Seen::Call(0, 1)])], UnixMs(1)).unwrap();
    drop(ledger);
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute("DELETE FROM llm_calls", []).unwrap();
    drop(database);
    for late in [5, 2, 7] {
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        ledger.append(&[&batch(&[Seen::Claim(0, 1, late)])], UnixMs(1)).unwrap();
    }
    let reader = Reader::open(&path).unwrap().unwrap();
    let estimated: u64 = by_session(&reader).values().map(|of| of.1).sum();
    assert_eq!((estimated, claims(&path)), (0, (0, 1)));
}

/// A run is claimed by an entry that was touched long after it, and then by one that is older.
#[test]
fn an_earlier_sighting_moves_a_claim_and_its_sums() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    for late in [8, 3, 6] {
        ledger.append(&[&batch(&[Seen::Claim(0, 0, late)])], UnixMs(1)).unwrap();
    }
    let reader = Reader::open(&path).unwrap().unwrap();
    let time = BEGIN_MS + (end(0) + 3) * MINUTE_MS;
    let start = Width::Quarter.start(UnixMs(time)).0;
    let total = tokens(0, 0).total();
    assert_eq!(estimated_by_quarter(&reader), BTreeMap::from([(start, total)]));
    assert_eq!(reader.check().unwrap(), Check::default());
    assert_eq!(claims(&path), (1, 0));
}
