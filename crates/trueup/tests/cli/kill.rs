//! A scan that is killed at any moment loses nothing and counts nothing twice.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rusqlite::Connection;

use crate::home::{Home, Running};
use crate::sessions::{Answer, time, transcript};

/// Times that the scan is killed.
const KILLS: u32 = 15;

/// Files, and answers in each: some 20 MB.
const FILES: u32 = 10;
const ANSWERS: u32 = 2_000;

/// Sessions in which each answer stands twice, as Claude Code streams it: first with little output.
fn large_home() -> Home {
    let home = Home::new();
    let start = time("2025-10-01T00:00:00Z");
    for file in 0..FILES {
        let mut text = String::new();
        let session = format!("s{file}");
        for at in 0..ANSWERS {
            let id = format!("{file}_{at}");
            let time = start + SignedDuration::from_mins(i64::from(at * (file + 1)));
            let answer = Answer::new(&id, &session, time);
            text += &Answer { output: 1, ..answer }.line();
            text += &answer.line();
        }
        home.write(&transcript(&session), text);
    }
    home
}

/// A number below `bound` that nobody chose.
fn any_below(bound: Duration) -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    let any = RandomState::new().hash_one(0_u8) % 1_000;
    bound * u32::try_from(any).unwrap() / 1_000
}

#[test]
fn killed_scans_end_in_the_same_account() {
    let home = large_home();
    let truth = home.print("report day,model --json --no-ledger");
    let calls = u64::from(FILES * ANSWERS);
    assert!(truth.contains(&format!("\"calls\": {calls},")), "the truth counts each answer once");
    let start = Instant::now();
    home.print("sync");
    let whole = start.elapsed();
    assert_whole(&home, &truth);
    let mut kills = 0;
    let mut wait = whole;
    while kills < KILLS {
        let mut scan = Running(home.command(&["sync"]).spawn().unwrap());
        if let Some(status) = scan.ends_within(any_below(wait)) {
            // It was quicker than the killer: again, from nothing.
            assert!(status.success());
            assert_whole(&home, &truth);
            std::fs::remove_dir_all(home.at("ledger")).unwrap();
            wait = whole;
        } else {
            scan.kill();
            kills += 1;
            // What is left to read takes less and less time.
            wait = (wait * 3 / 4).max(whole / 8);
        }
    }
    assert_whole(&home, &truth);
}

/// Reads on to the end, and compares with what was never killed.
fn assert_whole(home: &Home, truth: &str) {
    home.print("sync");
    assert_eq!(home.print("report day,model --json"), *truth);
    let ledger = Connection::open(home.ledger()).unwrap();
    let check = home.print("check");
    assert!(check.contains("is whole"), "{check}");
    let check: String = ledger.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let calls: u32 =
        ledger.query_row("SELECT count(*) FROM llm_traces", [], |row| row.get(0)).unwrap();
    assert_eq!(calls, FILES * ANSWERS);
}
