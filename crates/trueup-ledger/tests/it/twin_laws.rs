//! Calls that an agent's files and its telemetry both tell of, in any order: each counts once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use trueup_core::{Batch, Call, Counters, Key, Origin, Owner, Rank, Tokens, Twin, UnixMs, Variant};
use trueup_ledger::{
    Check, Ledger, LedgerError, OpenOptions, Reader, Retention, ToldSession, Width,
};

use crate::laws::{batch, plain_call, session_total, total};

const BEGIN_MS: i64 = 1_795_000_000_000;

/// What is seen of a request: in a file, where a copy may lie in another session and say less, or told
/// by telemetry, once as a span and once as an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    File { request: u8, message: u8, standing: u8 },
    Told { request: u8, call: u8, standing: u8 },
}

fn origin(session: u8) -> Origin {
    Origin {
        source: "test".into(),
        provider: "p".into(),
        model: "m".into(),
        session: format!("s{session}").into(),
        ..Origin::default()
    }
}

fn twin_key(request: u8) -> Key {
    Twin::of_request("test", &request.to_string())
}

impl Seen {
    fn call(self) -> Call {
        let (kind, request, number, standing) = match self {
            Self::File { request, message, standing } => (0, request, message, standing),
            Self::Told { request, call, standing } => (1, request, call, standing),
        };
        // What files say of one message differs from what telemetry says of it.
        let tokens = Tokens {
            input: 1 + u64::from(request),
            output: 10 * u64::from(kind) + u64::from(standing),
            ..Tokens::ZERO
        };
        let time = UnixMs(BEGIN_MS + i64::from(request) * 3_600_000 + i64::from(number) * 1_000);
        let key = Key::of("test", &[[kind, request, number]]);
        Call {
            rank: Rank::new(standing, &tokens, false, Owner::new(UnixMs(0), "")),
            variant: Variant(0),
            twin: Some(match self {
                Self::File { .. } => Twin::Covers(twin_key(request)),
                Self::Told { .. } => Twin::CoveredBy(twin_key(request)),
            }),
            trace_id: matches!(self, Self::Told { .. }).then(|| "told".into()),
            ..plain_call(key, time, origin(request % 3), tokens)
        }
    }

    const fn request(self) -> u8 {
        match self {
            Self::File { request, .. } | Self::Told { request, .. } => request,
        }
    }

    const fn is_file(self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// What copies share.
    const fn identity(self) -> (bool, u8, u8) {
        match self {
            Self::File { request, message, .. } => (true, request, message),
            Self::Told { request, call, .. } => (false, request, call),
        }
    }

    const fn standing(self) -> u8 {
        match self {
            Self::File { standing, .. } | Self::Told { standing, .. } => standing,
        }
    }
}

fn seen() -> impl Strategy<Value = Seen> {
    prop_oneof![
        (0..5_u8, 0..2_u8, 0..3_u8).prop_map(|(request, message, standing)| Seen::File {
            request,
            message,
            standing
        }),
        (0..5_u8, 0..2_u8, 1..3_u8).prop_map(|(request, call, standing)| Seen::Told {
            request,
            call,
            standing
        }),
    ]
}

fn batch_of(seen: &[Seen]) -> Batch {
    batch(&seen.iter().map(|seen| seen.call()).collect::<Vec<_>>())
}

/// What must count: of each call its best copy, and of what telemetry tells only what no file has.
fn model(seen: &[Seen]) -> Counters {
    let covered: BTreeSet<u8> =
        seen.iter().filter(|seen| seen.is_file()).map(|seen| seen.request()).collect();
    let mut best: BTreeMap<_, Seen> = BTreeMap::new();
    for seen in seen.iter().filter(|seen| seen.is_file() || !covered.contains(&seen.request())) {
        let known = best.entry(seen.identity()).or_insert(*seen);
        if seen.standing() > known.standing() {
            *known = *seen;
        }
    }
    best.values()
        .map(|seen| Counters::of_call(&seen.call()))
        .fold(Counters::default(), |sum, counters| sum.plus(&counters))
}

/// By session: calls told, matched, and of files.
fn model_of_sessions(seen: &[Seen]) -> BTreeMap<String, (u64, u64, u64)> {
    let mut sessions: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    let covered: BTreeSet<u8> =
        seen.iter().filter(|seen| seen.is_file()).map(|seen| seen.request()).collect();
    let calls: BTreeSet<_> = seen.iter().map(|seen| seen.identity()).collect();
    for (is_file, request, _) in calls {
        let (told, matched, files) = sessions.entry(format!("s{}", request % 3)).or_default();
        *files += u64::from(is_file);
        *told += u64::from(!is_file);
        *matched += u64::from(!is_file && covered.contains(&request));
    }
    sessions.retain(|_, (told, _, _)| *told > 0);
    sessions
}

fn told(reader: &Reader) -> BTreeMap<String, (u64, u64, u64)> {
    let of = |ToldSession { session, told, matched, of_files, .. }: ToldSession| {
        (session.to_string(), (told, matched, of_files))
    };
    reader.told_sessions().unwrap().into_iter().map(of).collect()
}

fn open(path: &Path) -> Ledger {
    Ledger::open(path, OpenOptions { has_outbox: true, ..OpenOptions::default() }).unwrap()
}

fn reader(path: &Path) -> Reader {
    Reader::open(path).unwrap().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_call_counts_once_whichever_way_tells_of_it_first(
        batches in prop::collection::vec((prop::collection::vec(seen(), 0..6), any::<bool>()), 1..10),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let mut ledger = open(&path);
        let mut all = Vec::new();
        for (seen, is_rebuilt) in &batches {
            ledger.append(&[&batch_of(seen)], UnixMs(1)).unwrap();
            all.extend_from_slice(seen);
            if *is_rebuilt {
                // What files hold is read anew; what was told is nowhere but here.
                let files: Vec<Seen> = all.iter().copied().filter(|seen| seen.is_file()).collect();
                let lost = ledger.rebuild("test", UnixMs(2), |rebuild| {
                    rebuild.append(&[&batch_of(&files)])?;
                    rebuild.lost()
                });
                prop_assert_eq!(lost.map_err(|error: LedgerError| error.to_string()), Ok((0, 0)));
            }
            let reader = reader(&path);
            for width in Width::ALL {
                prop_assert_eq!(total(&reader, width), model(&all), "{:?}", width);
            }
            prop_assert_eq!(session_total(&reader), model(&all));
            prop_assert_eq!(reader.check().unwrap(), Check::default());
            prop_assert_eq!(told(&reader), model_of_sessions(&all));
            prop_assert_eq!(reader.has_calls_of_files("test").unwrap(), all.iter().any(|seen| seen.is_file()));
        }
        // Told and read once more, and all at once in another order.
        let again = ledger.append(&[&batch_of(&all)], UnixMs(3)).unwrap();
        prop_assert_eq!((again.added, again.replaced), (0, 0));
        prop_assert_eq!(told(&reader(&path)), model_of_sessions(&all));
        all.reverse();
        let once = folder.path().join("once.db");
        open(&once).append(&[&batch_of(&all)], UnixMs(1)).unwrap();
        prop_assert_eq!(session_total(&reader(&once)), model(&all));
        prop_assert_eq!(told(&reader(&once)), model_of_sessions(&all));
    }

    /// Nothing that retention took is counted again by the other way.
    #[test]
    fn no_figure_moves_where_rows_are_gone(
        before in prop::collection::vec(seen(), 1..12),
        after in prop::collection::vec(seen(), 1..12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let retention = Retention { age_max: Some(std::time::Duration::ZERO), ..Retention::default() };
        let options = OpenOptions { retention: Some(retention), ..OpenOptions::default() };
        let mut ledger = Ledger::open(&path, options).unwrap();
        ledger.append(&[&batch_of(&before)], UnixMs(1)).unwrap();
        while ledger.clean(UnixMs(i64::MAX)).unwrap() {}
        prop_assert_eq!(session_total(&reader(&path)), model(&before));
        // The same requests by the other way, and as they were.
        let requests: BTreeSet<u8> = before.iter().map(|seen| seen.request()).collect();
        for _ in 0..2 {
            let both = requests.iter().flat_map(|request| {
                [Seen::File { request: *request, message: 0, standing: 1 },
                 Seen::Told { request: *request, call: 0, standing: 1 }]
            });
            let other: Vec<Seen> = both
                .filter(|seen| !before.iter().any(|known| known.request() == seen.request() && known.is_file() == seen.is_file()))
                .collect();
            ledger.append(&[&batch_of(&other), &batch_of(&before)], UnixMs(2)).unwrap();
            prop_assert_eq!(session_total(&reader(&path)), model(&before));
        }
        ledger.append(&[&batch_of(&after)], UnixMs(3)).unwrap();
        prop_assert_eq!(reader(&path).check().unwrap(), Check::default());
    }
}

/// What telemetry tells of a span: by an instrumentation that knows the provider's id of the answer, or by one
/// that does not. Two spans may be of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OfSpan {
    span: u8,
    is_identified: bool,
    standing: u8,
}

impl OfSpan {
    const fn answer(self) -> u8 {
        self.span / 2
    }

    fn call(self) -> Call {
        let Self { span, is_identified, standing } = self;
        let twin_key = Key::of("test", &[[b's', span]]);
        let parts = if is_identified { [b'r', self.answer()] } else { [b's', span] };
        let tokens = Tokens {
            input: 1 + u64::from(self.answer()),
            output: u64::from(standing),
            ..Tokens::ZERO
        };
        let time = UnixMs(BEGIN_MS + i64::from(span) * 1_000 + i64::from(standing));
        Call {
            rank: Rank::new(standing, &tokens, false, Owner::new(UnixMs(0), "")),
            variant: Variant(0),
            twin: Some(if is_identified {
                Twin::Identifies(twin_key)
            } else {
                Twin::IdentifiedBy(twin_key)
            }),
            trace_id: Some("told".into()),
            ..plain_call(Key::of("test", &[parts]), time, origin(0), tokens)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_span_counts_once_with_or_without_the_id_of_its_answer(
        batches in prop::collection::vec(
            prop::collection::vec((0..6_u8, any::<bool>(), 1..3_u8), 0..6), 1..8),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let mut all: Vec<OfSpan> = Vec::new();
        for told in &batches {
            let told = told.iter().map(|&(span, is_identified, standing)|
                OfSpan { span, is_identified, standing });
            let told: Vec<OfSpan> = told.collect();
            // Opened anew, so that nothing is known but what the file says.
            let calls: Vec<_> = told.iter().map(|told| told.call()).collect();
            open(&path).append(&[&batch(&calls)], UnixMs(1)).unwrap();
            all.extend(told);
            let identified: BTreeSet<u8> = all.iter().filter(|told| told.is_identified)
                .map(|told| told.span).collect();
            let answers: BTreeSet<u8> = identified.iter().map(|span| span / 2).collect();
            let alone: BTreeSet<u8> = all.iter().map(|told| told.span)
                .filter(|span| !identified.contains(span)).collect();
            let used = answers.iter().copied().chain(alone.iter().map(|span| span / 2));
            // Of each the best copy.
            let best = |of: &dyn Fn(&OfSpan) -> bool| {
                all.iter().filter(|told| of(told)).map(|told| u64::from(told.standing)).max()
            };
            let of_answers = answers.iter().filter_map(|answer|
                best(&|told| told.is_identified && told.answer() == *answer));
            let of_alone = alone.iter().filter_map(|span| best(&|told| told.span == *span));
            let expected = (
                (answers.len() + alone.len()) as u64,
                used.map(|answer| 1 + u64::from(answer)).sum::<u64>(),
                of_answers.chain(of_alone).sum::<u64>(),
            );
            let reader = reader(&path);
            let found = session_total(&reader);
            prop_assert_eq!((found.calls, found.tokens.input, found.tokens.output), expected);
            prop_assert_eq!(reader.check().unwrap(), Check::default());
            prop_assert_eq!(reader.told_sessions().unwrap(), []);
        }
        let calls: Vec<_> = all.iter().rev().map(|told| told.call()).collect();
        let before = session_total(&reader(&path));
        open(&path).append(&[&batch(&calls)], UnixMs(2)).unwrap();
        prop_assert_eq!(session_total(&reader(&path)), before);
    }
}

#[test]
fn what_retention_took_of_a_span_counts_in_the_place_of_the_one_with_an_id() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let retention = Retention { age_max: Some(std::time::Duration::ZERO), ..Retention::default() };
    let options = OpenOptions { retention: Some(retention), ..OpenOptions::default() };
    let mut ledger = Ledger::open(&path, options).unwrap();
    let told = |is_identified, standing| OfSpan { span: 0, is_identified, standing }.call();
    ledger.append(&[&batch(&[told(false, 1)])], UnixMs(1)).unwrap();
    let before = session_total(&reader(&path));
    while ledger.clean(UnixMs(i64::MAX)).unwrap() {}
    for call in [told(true, 1), told(true, 2), told(false, 1), told(true, 1)] {
        ledger.append(&[&batch(&[call])], UnixMs(2)).unwrap();
        assert_eq!(session_total(&reader(&path)), before);
    }
    assert_eq!(reader(&path).check().unwrap(), Check::default());
}

/// Where a destination has what was told, it is told that a file's call took its place.
#[test]
fn what_was_told_is_taken_back_where_it_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = open(&path);
    let told = Seen::Told { request: 1, call: 0, standing: 2 };
    let file = Seen::File { request: 1, message: 0, standing: 2 };
    ledger.append(&[&batch_of(&[told])], UnixMs(1)).unwrap();
    ledger.append(&[&batch_of(&[file])], UnixMs(1)).unwrap();
    let database = rusqlite::Connection::open(&path).unwrap();
    let mut rows = database.prepare("SELECT kind, id FROM outbox ORDER BY seq").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let rows: Vec<(i64, [u8; 16])> = rows.map(Result::unwrap).collect();
    let (told, file) = (told.call().id().0, file.call().id().0);
    assert_eq!(rows, [(0, told), (4, told), (0, file)]);
}
