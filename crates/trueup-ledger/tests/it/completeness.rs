//! What is claimed and not measured, as it is told.

use trueup_core::{Batch, Fact, Key, Origin, SessionTotal, Tokens, UnixMs};
use trueup_ledger::{ClaimCounts, ClaimRow, Ledger, OpenOptions, Reader};

use crate::laws::plain_call;

const MINUTE: i64 = 60_000;
const START: i64 = 1_795_000_000_000;

fn origin(session: &str) -> Origin {
    Origin { source: "test".into(), session: session.into(), ..Origin::default() }
}

fn claim(session: &str, minute: i64, input: u64) -> Fact {
    Fact::SessionTotal(Box::new(SessionTotal {
        key: Key::of("test", &["run", session, &input.to_string()]),
        time: UnixMs(START + minute * MINUTE),
        started: None,
        parent: "".into(),
        origin: origin(session),
        tokens: Tokens { input, ..Tokens::ZERO },
        reported_cost: None,
    }))
}

fn call(session: &str, minute: i64, input: u64) -> Fact {
    let key = Key::of("test", &["call", session, &minute.to_string()]);
    let time = UnixMs(START + minute * MINUTE);
    let tokens = Tokens { input, ..Tokens::ZERO };
    Fact::Call(Box::new(plain_call(key, time, origin(session), tokens)))
}

#[test]
fn sessions_are_told_apart_by_what_was_measured_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
    let facts = vec![
        claim("covered", 1, 5),
        call("covered", 1, 5),
        claim("gone", 1, 7),
        claim("gone", 99, 8),
        call("partial", 1, 1),
        claim("partial", 99, 9),
    ];
    let poll = Batch { is_poll: true, ..Batch::default() };
    ledger.append(&[&Batch { facts, ..Batch::default() }], UnixMs(1)).unwrap();
    ledger.append(&[&poll], UnixMs(2)).unwrap();
    let reader = Reader::open(&path).unwrap().unwrap();

    let open: Vec<_> = reader
        .open_sessions()
        .unwrap()
        .into_iter()
        .map(|of| (of.session.to_string(), of.runs, of.tokens, of.calls, of.polls))
        .collect();
    assert_eq!(open, [("gone".to_owned(), 2, 15, 0, 1), ("partial".to_owned(), 1, 9, 1, 1)]);

    let counts = ClaimCounts {
        runs_estimated: 3,
        sessions_estimated: 2,
        sessions_superseded: 1,
        sessions_without_transcript: 1,
    };
    assert_eq!(reader.claim_counts().unwrap().into_values().collect::<Vec<_>>(), [counts]);

    let mut claims: Vec<ClaimRow> = Vec::new();
    let late = UnixMs(START + 50 * MINUTE);
    reader.claims(late, UnixMs(i64::MAX), |claim| claims.push(claim)).unwrap();
    let claims: Vec<_> =
        claims.iter().map(|claim| (claim.is_superseded, claim.is_session_measured)).collect();
    assert_eq!(claims.len(), 2);
    assert!(claims.contains(&(false, false)) && claims.contains(&(false, true)), "{claims:?}");
}

#[test]
fn a_whole_file_has_nothing_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    drop(Ledger::open(&path, OpenOptions::default()).unwrap());
    let reader = Reader::open(&path).unwrap().unwrap();
    assert_eq!(reader.quick_check(10).unwrap(), [""; 0]);
    assert_eq!(reader.newest().unwrap().usage, UnixMs(0));
}
