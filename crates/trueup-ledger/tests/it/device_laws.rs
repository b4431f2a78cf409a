//! What devices tell, however often and in whatever order: of each id the newest word holds, in every
//! sum, for the fleet and for each device alone.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use trueup_core::{
    BatchHead, Counters, DAY_MS, Delivery, Fact, FactId, HOUR_MS, Key, Origin, QUARTER_MS, Rank,
    Sender, Tokens, UnixMs, Version, Word,
};
use trueup_ledger::{Check, Delivered, Ledger, OpenOptions, Reader, TimeUsage, Width};

use crate::laws::{plain_call, session_total, total};

pub(crate) const BEGIN_MS: i64 = 1_795_000_000_000;
pub(crate) const NOW: UnixMs = UnixMs(BEGIN_MS + 864_000_000);

/// One word: that the call of a number is so, or that it no longer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) device: u8,
    pub(crate) at: i64,
    pub(crate) call: u8,
    /// What it says that the call wrote; `None` where it no longer counts.
    pub(crate) output: Option<u64>,
}

pub(crate) fn id(call: u8) -> FactId {
    let time = UnixMs(BEGIN_MS + i64::from(call) * 7_200_000);
    FactId::new(time, Key::of("test", &[[call]]))
}

impl Said {
    fn version(self) -> Version {
        Version::new(UnixMs(BEGIN_MS + self.at), 0)
    }

    pub(crate) fn tokens(self) -> Tokens {
        Tokens { input: 3, output: self.output.unwrap_or(0), ..Tokens::ZERO }
    }

    pub(crate) fn rank(self) -> Rank {
        let told = self.output.map(|output| format!("{} {output}", self.device));
        match told {
            Some(told) => self.version().rank(&[told.as_bytes()]),
            None => self.version().rank(&[]),
        }
    }

    pub(crate) fn word(self) -> Word {
        let id = id(self.call);
        if self.output.is_none() {
            return Word::IsNot { id, version: self.version() };
        }
        let origin = Origin {
            source: "test".into(),
            // Both devices have sessions of these names.
            session: format!("s{}", self.call % 2).into(),
            ..Origin::default()
        };
        let mut call = plain_call(Key::of_id(id), id.time(), origin, self.tokens());
        call.rank = self.rank();
        Word::Is(Fact::Call(Box::new(call)))
    }
}

pub(crate) fn delivery(device: u8, words: Vec<Word>) -> Delivery {
    let device = format!("d{device}").into();
    Delivery { device, words, ..Delivery::default() }
}

/// What must count: of each id the newest word, whoever said it.
fn model(said: &[Said]) -> BTreeMap<u8, Counters> {
    let mut newest: BTreeMap<u8, Said> = BTreeMap::new();
    for word in said {
        let known = newest.entry(word.call).or_insert(*word);
        if word.rank() > known.rank() {
            *known = *word;
        }
    }
    let mut by_device: BTreeMap<u8, Counters> = BTreeMap::new();
    for word in newest.values().filter(|word| word.output.is_some()) {
        let counters = Counters { calls: 1, tokens: word.tokens(), ..Counters::default() };
        let sum = by_device.entry(word.device).or_default();
        *sum = sum.plus(&counters);
    }
    by_device
}

fn assert_as_model(path: &Path, said: &[Said]) {
    let expected = model(said);
    assert_sums(path, &expected, |reader, expected, name| {
        let mut calls = 0;
        let sessions = (1..=reader.last_session().unwrap()).collect();
        let (from, until) = (UnixMs(0), NOW);
        reader.calls_of_sessions(&sessions, from, until, |_| calls += 1).unwrap();
        assert_eq!(calls, expected.calls, "{name}");
    });
    let reader = Reader::open(path).unwrap().unwrap();
    assert_eq!(by_device(&reader, None, (UnixMs(0), NOW), 7), positive(&expected));
}

/// Every sum of an account and of each of its devices is what is expected; what else there is of a device
/// is for `also` to look at, confined to it.
pub(super) fn assert_sums(
    path: &Path,
    expected: &BTreeMap<u8, Counters>,
    also: impl Fn(&Reader, Counters, &str),
) {
    let all = expected.values().fold(Counters::default(), |sum, one| sum.plus(one));
    let reader = Reader::open(path).unwrap().unwrap();
    assert_eq!(reader.check().unwrap(), Check::default());
    for width in Width::ALL {
        assert_eq!(total(&reader, width), all);
    }
    assert_eq!(session_total(&reader), all);
    for (number, name) in reader.device_names().unwrap() {
        let device: u8 = name.trim_start_matches('d').parse().unwrap();
        let expected = expected.get(&device).copied().unwrap_or_default();
        reader.only(number).unwrap();
        for width in Width::ALL {
            assert_eq!(total(&reader, width), expected, "{name}");
        }
        assert_eq!(session_total(&reader), expected, "{name}");
        also(&reader, expected, &name);
    }
}

fn positive(sums: &BTreeMap<u8, Counters>) -> BTreeMap<u8, Counters> {
    sums.iter().filter(|(_, sum)| sum.calls > 0).map(|(device, sum)| (*device, *sum)).collect()
}

/// Hours in which a day is cut, by its bits.
fn edges(hours: u32) -> impl Fn(UnixMs) -> Vec<UnixMs> + Copy {
    move |day| {
        let is_cut =
            |hour: &u32| *hour > 0 && (hours.rotate_left(u32::from(is_odd(day)))) >> hour & 1 == 1;
        (0..24).filter(is_cut).map(|hour| UnixMs(day.0 + i64::from(hour) * HOUR_MS)).collect()
    }
}

fn is_odd(day: UnixMs) -> bool {
    day.0 / DAY_MS % 2 == 1
}

/// The sums of devices by their names, in one pass; none of them reaches over an edge.
fn by_device(
    reader: &Reader,
    device: Option<i64>,
    (from, until): (UnixMs, UnixMs),
    hours: u32,
) -> BTreeMap<u8, Counters> {
    let names: BTreeMap<i64, String> = reader
        .device_names()
        .unwrap()
        .into_iter()
        .map(|(id, name)| (id, name.to_string()))
        .collect();
    let mut sums: BTreeMap<u8, Counters> = BTreeMap::new();
    let of_day = edges(hours);
    let each = |device: i64, usage: TimeUsage| {
        let (first, last) = usage.times;
        let edges = of_day(usage.start.floor(DAY_MS));
        assert!(!edges.iter().any(|edge| first < *edge && *edge <= last), "{usage:?}");
        let device = names[&device].trim_start_matches('d').parse().unwrap();
        let sum = sums.entry(device).or_default();
        *sum = sum.plus(&usage.counters);
    };
    let devices = device.map_or(i64::MIN..=i64::MAX, |device| device..=device);
    reader.usage_by_device(devices, from, until, of_day, each).unwrap();
    sums
}

prop_compose! {
    pub(crate) fn any_said()(device in 0..3_u8, at in 0..40_i64, call in 0..10_u8, output in prop::option::weighted(0.75, 0..5_u64)) -> Said {
        Said { device, at, call, output }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_newest_word_holds_whatever_is_repeated_and_in_whatever_order(
        said in prop::collection::vec(any_said(), 1..40),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        sizes in prop::collection::vec(1..6_usize, 80),
        reopen in prop::collection::vec(any::<bool>(), 80),
        order in any::<u64>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        // Each word at least once, some again, in an order of its own.
        let mut told = said.clone();
        told.extend(again.iter().map(|at| *at.get(&said)));
        told.sort_by_key(|word| (word.rank().0 ^ u128::from(order)).rotate_left(u32::try_from(order % 97).unwrap()));
        let (mut rest, mut sizes) = (&told[..], sizes.into_iter().zip(reopen));
        while let Some((size, is_reopened)) = sizes.next().filter(|_| !rest.is_empty()) {
            let (part, left) = rest.split_at(size.min(rest.len()));
            rest = left;
            // Several devices in one transaction.
            let deliveries: Vec<Delivery> = (0..3)
                .map(|device| {
                    let own = part.iter().filter(|word| word.device == device);
                    delivery(device, own.map(|word| word.word()).collect())
                })
                .collect();
            ledger.deliver(&deliveries, NOW).unwrap();
            if is_reopened {
                drop(ledger);
                ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
            }
        }
        let left: Vec<Delivery> = rest.iter().map(|word| delivery(word.device, vec![word.word()])).collect();
        ledger.deliver(&left, NOW).unwrap();
        assert_as_model(&path, &said);
    }

    #[test]
    fn all_devices_at_once_are_each_device_alone(
        said in prop::collection::vec(any_said(), 1..40),
        hours in any::<u32>(),
        first in 0..100_i64,
        length in 0..400_i64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        let told: Vec<Delivery> =
            said.iter().map(|word| delivery(word.device, vec![word.word()])).collect();
        ledger.deliver(&told, NOW).unwrap();
        let from = UnixMs(BEGIN_MS + first * QUARTER_MS).floor(QUARTER_MS);
        let until = UnixMs(from.0 + length * QUARTER_MS);
        let reader = Reader::open(&path).unwrap().unwrap();
        let all = by_device(&reader, None, (from, until), hours);
        for (number, name) in reader.device_names().unwrap() {
            let device: u8 = name.trim_start_matches('d').parse().unwrap();
            let mut alone = Counters::default();
            let own = Reader::open(&path).unwrap().unwrap();
            own.only(number).unwrap();
            own.usage_between(from, until, edges(hours), |usage| alone = alone.plus(&usage.counters)).unwrap();
            prop_assert_eq!(all.get(&device).copied().unwrap_or_default(), alone);
            let one = by_device(&reader, Some(number), (from, until), hours);
            prop_assert_eq!(one.get(&device).copied().unwrap_or_default(), alone);
            prop_assert!(one.len() <= 1);
        }
    }

    #[test]
    fn sums_of_spans_are_those_of_their_days_of_all_and_of_each_device(
        said in prop::collection::vec((any_said(), 0..6_i64), 1..40),
        cuts in prop::collection::vec(0..40 * 24_i64, 0..4),
        from in prop::option::of(0..40 * 96_i64),
        length in prop::option::of(0..40 * 96_i64),
        is_by_day in any::<bool>(),
    ) {
        // Where no day is cut, not even behind its last call, sums of other kinds of tokens stay apart.
        let cut = |time: UnixMs| if is_by_day { time.floor(DAY_MS) } else { time };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        // Calls of six weeks; some use kinds of tokens that others of their series do not.
        for (said, day) in &said {
            let own = id(said.call);
            let time = UnixMs(own.time().0 + day % 4 * 9 * DAY_MS);
            let own = FactId::new(time, Key::of("test", &[&i64::from(said.call).to_be_bytes(), &day.to_be_bytes()]));
            let word = match said.word() {
                Word::Is(Fact::Call(mut call)) => {
                    (call.time, call.key) = (time, Key::of_id(own));
                    call.tokens.cache_read = u64::from(said.at % 2 == 0);
                    Word::Is(Fact::Call(call))
                }
                Word::IsNot { version, .. } => Word::IsNot { id: own, version },
                word @ Word::Is(_) => word,
            };
            ledger.deliver(&[delivery(said.device, vec![word])], NOW).unwrap();
        }
        let reader = Reader::open(&path).unwrap().unwrap();
        assert_eq!(reader.check().unwrap(), Check::default());
        let begin = UnixMs(BEGIN_MS).floor(DAY_MS).0;
        let from = from.map_or(i64::MIN, |quarters| begin + quarters * QUARTER_MS);
        let until = length.map_or(i64::MAX, |length| from.max(begin) + length * QUARTER_MS);
        let (from, until) = (cut(UnixMs(from)), cut(UnixMs(until)));
        let mut cuts: Vec<UnixMs> = cuts.iter().map(|hour| cut(UnixMs(begin + hour * HOUR_MS))).collect();
        cuts.sort_unstable();
        let edges = |day: UnixMs| -> Vec<UnixMs> {
            let end = UnixMs(day.0 + DAY_MS);
            cuts.iter().copied().filter(|cut| day < *cut && *cut < end).collect()
        };
        let end = |time: UnixMs| cuts.iter().copied().find(|cut| time < *cut).unwrap_or(UnixMs(i64::MAX));
        let add = |sums: &mut BTreeMap<_, Counters>, device: i64, usage: &TimeUsage| {
            assert!(from <= usage.start && usage.start < until);
            let kinds = trueup_core::report::kinds(&usage.counters.tokens);
            let kinds = if is_by_day { kinds } else { 0 };
            let sum = sums.entry((device, end(usage.start), usage.series, kinds)).or_default();
            *sum = sum.plus(&usage.counters);
        };
        let all = i64::MIN..=i64::MAX;
        for devices in [None, Some(&all)] {
            let (mut days, mut spans) = (BTreeMap::new(), BTreeMap::new());
            match devices {
                Some(devices) => reader.usage_by_device(devices.clone(), from, until, edges, |device, usage| add(&mut days, device, &usage)),
                None => reader.usage_between(from, until, edges, |usage| add(&mut days, 0, &usage)),
            }.unwrap();
            reader.usage_of_spans(devices, (from, until), &mut { edges }, &mut { end }, &mut |device, usage| add(&mut spans, device, &usage)).unwrap();
            prop_assert_eq!(spans, days);
        }
    }

    #[test]
    fn what_is_missing_is_what_no_batch_covered(
        ranges in prop::collection::vec((1..60_i64, 0..12_i64), 1..12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        let mut covered = std::collections::BTreeSet::new();
        for (at, (first, length)) in ranges.iter().enumerate() {
            let (first_seq, last_seq) = (*first, first + length);
            covered.extend(first_seq..=last_seq);
            ledger.deliver(&[batch(at, first_seq, last_seq)], NOW).unwrap();
        }
        let reader = Reader::open(&path).unwrap().unwrap();
        let device = reader.devices().unwrap().remove(0);
        let (first, last) = (*covered.first().unwrap(), *covered.last().unwrap());
        let missing = (first..=last).filter(|place| !covered.contains(place)).count() as u64;
        assert_eq!((device.ledgers[0].missing, device.ledgers[0].last_seq), (missing, Some(last)));
    }
}

pub(crate) fn batch(number: usize, first_seq: i64, last_seq: i64) -> Delivery {
    Delivery {
        sender: Sender { ledger: "l".into(), epoch: "e".into(), ..Sender::default() },
        batch: Some(BatchHead {
            id: format!("b{number}").into(),
            created_at: NOW,
            first_seq,
            last_seq,
            sha256: "00".into(),
        }),
        ..delivery(0, Vec::new())
    }
}

#[test]
fn a_batch_is_answered_as_before_and_its_name_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.db");
    let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    let word = Said { device: 0, at: 1, call: 1, output: Some(2) };
    let mut first = batch(1, 1, 1);
    first.words = vec![word.word()];
    let mut other = batch(1, 1, 1);
    other.batch.as_mut().unwrap().sha256 = "11".into();
    let taken = |accepted, is_replay| Delivered::Taken {
        accepted,
        duplicates: 0,
        known: Vec::new(),
        newest_at: None,
        is_replay,
    };
    // The same batch twice in one transaction, as a client may send it that has timed out.
    let answers = ledger.deliver(&[first.clone(), first.clone(), other.clone()], NOW).unwrap();
    assert_eq!(answers, [taken(1, false), taken(1, true), Delivered::Conflict]);
    drop(ledger);
    let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    assert_eq!(
        ledger.deliver(&[first, other], NOW).unwrap(),
        [taken(1, true), Delivered::Conflict]
    );
    assert_as_model(&path, &[word]);
}

#[test]
fn a_heartbeat_shows_what_the_hub_has_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.db");
    let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    // It holds nothing, and says that places up to 9 are told: a hub from an old copy knows of 4.
    let deliveries = [batch(1, 1, 4), batch(2, 5, 4), batch(3, 10, 9)];
    ledger.deliver(&deliveries, NOW).unwrap();
    let reader = Reader::open(&path).unwrap().unwrap();
    let device = reader.devices().unwrap().remove(0);
    assert_eq!((device.ledgers[0].missing, device.ledgers[0].last_seq), (5, Some(9)));
}
