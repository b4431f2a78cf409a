//! Reading everything again: into the account, or in the place of it.

use std::fs;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;

use crate::discovery::put;
use crate::home::{Home, Run, Running};
use crate::sessions::{Answer, time, transcript};

/// The sum of all tokens that the ledger holds, without a look at the stores.
fn total(home: &Home) -> i64 {
    number(home, "SELECT coalesce(sum(input + cache_read + output), 0) FROM usage_session")
}

fn number(home: &Home, sql: &str) -> i64 {
    let ledger = Connection::open(home.ledger()).unwrap();
    ledger.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// What was said, with the name of the home folder cut.
fn said(run: &Run) -> String {
    assert!(run.stderr.is_empty(), "{run:?}");
    run.stdout.clone()
}

fn is_whole(home: &Home) -> bool {
    home.run("check").stdout.contains("is whole")
}

#[test]
fn a_second_backfill_changes_nothing_and_says_so() {
    let home = Home::of_fixtures(&["openclaw/14_fork", "claude-code/everyday"]);
    let first = said(&home.run("backfill openclaw"));
    assert!(first.contains(" stores of OpenClaw from their start\n4 calls added, "), "{first}");
    let counted = home.print("report session --json --source openclaw");
    let second = said(&home.run("backfill openclaw"));
    assert!(second.contains("\nNothing new: 0 calls added, 0 replaced, 7 known\n"), "{second}");
    assert_eq!(home.print("report session --json --source openclaw"), counted);
    assert_eq!(number(&home, "SELECT count(*) FROM positions WHERE source = 'openclaw'"), 2);
    assert!(is_whole(&home));
}

#[test]
fn what_the_positions_hide_is_found_again() {
    let home = Home::everyday();
    home.print("sync");
    let all = total(&home);
    let ledger = Connection::open(home.ledger()).unwrap();
    // A ledger that lost calls, and still believes to have read everything.
    ledger
        .execute_batch(
            "DELETE FROM fact_keys; DELETE FROM llm_calls; DELETE FROM usage_time; DELETE FROM usage_week;
             DELETE FROM usage_session; DELETE FROM session_totals;",
        )
        .unwrap();
    drop(ledger);
    home.print("sync");
    assert_eq!(total(&home), 0);
    for agent in ["claude-code", "codex", "openclaw", "gemini-cli", "opencode"] {
        let run = home.run(&format!("backfill {agent}"));
        assert!(run.stdout.contains(" calls added, 0 replaced"), "{agent}: {run:?}");
    }
    assert_eq!(total(&home), all);
    assert!(is_whole(&home));
}

#[test]
fn a_window_takes_only_its_calls_and_hides_nothing_from_the_next_sync() {
    let home = Home::new();
    let start = time("2025-10-20T07:00:00Z");
    let answer = |id, day: i64| {
        Answer::new(id, "s", start + jiff::SignedDuration::from_hours(24 * day)).line()
    };
    home.write(&transcript("s"), answer("a", 0) + &answer("b", 1) + &answer("c", 2));
    let line = "backfill claude-code --since 2025-10-21 --until 20251021";
    let first = said(&home.run(line));
    assert!(first.contains("Only calls from 2025-10-21 to 2025-10-21:\n1 call added"), "{first}");
    assert!(said(&home.run(line)).contains("Nothing new: 0 calls added, 0 replaced, 1 known"));
    assert_eq!(number(&home, "SELECT count(*) FROM llm_traces"), 1);
    home.print("sync");
    assert_eq!(number(&home, "SELECT count(*) FROM llm_traces"), 3);
    let wrong = home.run("backfill codex --since 2025-10-21 --until 2025-10-20");
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}

#[test]
fn a_dry_run_says_what_would_be_added_and_writes_nothing() {
    let home = Home::everyday();
    let dry = said(&home.run("backfill openclaw --dry-run"));
    assert!(
        dry.contains("3 calls would be added, 0 replaced, 0 known, 1 estimated run beside them\nNothing was written.\n"),
        "{dry}"
    );
    assert!(!home.ledger().exists());
    home.print("sync --from openclaw");
    put(&home, ".openclaw", 5);
    let before = fs::read(home.ledger()).unwrap();
    let dry = said(&home.run("backfill openclaw --dry-run"));
    assert!(dry.contains("1 call would be added, 0 replaced, 4 known"), "{dry}");
    assert!(fs::read(home.ledger()).unwrap() == before, "nothing is written");
    home.print("sync");
    let dry = said(&home.run("backfill openclaw --dry-run"));
    assert!(dry.contains("Nothing new: 0 calls added, 0 replaced, 5 known"), "{dry}");
}

#[test]
fn problems_are_those_of_the_last_reading() {
    let home = Home::everyday();
    let path = ".openclaw/agents/main/sessions/bad.jsonl";
    home.write(path, "{\"type\":\"message\",\"usage\":\n");
    let first = said(&home.run("backfill openclaw"));
    assert!(first.ends_with("1 problem: `trueup sources --problems` says which.\n"), "{first}");
    // The same file, and what was wrong in it no longer counts as such.
    let ledger = Connection::open(home.ledger()).unwrap();
    ledger.execute("UPDATE problems SET line = 77", []).unwrap();
    drop(ledger);
    home.print("backfill openclaw");
    assert_eq!(number(&home, "SELECT line FROM problems WHERE source = 'openclaw'"), 1);
    assert_eq!(number(&home, "SELECT count(*) FROM problems"), 1);
}

#[test]
fn agents_that_there_are_not_are_refused() {
    let home = Home::new();
    for line in ["backfill clippy", "rebuild --source http --yes"] {
        let run = home.run(line);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(
            run.stderr.contains("is not an agent that is read; there are claude-code, codex"),
            "{run:?}"
        );
    }
    assert!(!home.ledger().exists());
}

fn totals(home: &Home, line: &str) -> (i64, Value) {
    let report: Value = serde_json::from_str(&home.print(line)).unwrap();
    (report["totals"]["exact"]["total"].as_i64().unwrap(), report)
}

#[test]
fn a_rebuild_is_only_tried_without_consent() {
    let home = Home::everyday();
    put(&home, ".openclaw", 5);
    home.print("sync");
    fs::remove_dir_all(home.at(".openclaw/agents/main/sessions")).unwrap();
    put(&home, ".openclaw", 70);
    let before = total(&home);
    let bytes = fs::read(home.ledger()).unwrap();
    let run = home.run("rebuild --source openclaw");
    assert_eq!(run.code, Some(2), "{run:?}");
    for expected in [
        "In no store any more, and lost in a rebuild: 4 calls\n",
        "nothing was changed",
        "`trueup rebuild --source openclaw --yes` does it.",
    ] {
        assert!(run.stdout.contains(expected), "{run:?}");
    }
    assert_eq!(total(&home), before);
    assert!(fs::read(home.ledger()).unwrap() == bytes, "nothing is written");
    let (others, _) = totals(&home, "report --json --source claude-code --source codex");
    let run = home.run("rebuild --source openclaw --yes");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(totals(&home, "report --json --source openclaw").0, 70);
    assert_eq!(totals(&home, "report --json --source claude-code --source codex").0, others);
    assert!(is_whole(&home));
    assert!(said(&home.run("backfill openclaw")).contains("Nothing new: 0 calls added"));
}

#[test]
fn a_rebuild_of_what_is_whole_changes_nothing() {
    let home = Home::everyday();
    home.print("sync");
    for agent in ["claude-code", "codex", "openclaw", "gemini-cli", "opencode"] {
        let before = home.print("report session,model --json --breakdown");
        let run = home.run(&format!("rebuild --source {agent} --yes"));
        assert!(run.stdout.contains("Everything that was known is in a store."), "{run:?}");
        assert_eq!(home.print("report session,model --json --breakdown"), before, "{agent}");
        assert!(is_whole(&home), "{agent}");
    }
}

#[test]
fn what_cannot_be_read_again_is_not_dropped() {
    let home = Home::everyday();
    home.print("sync");
    fs::rename(home.at(".openclaw"), home.at("unmounted")).unwrap();
    let before = total(&home);
    let run = home.run("rebuild --source openclaw --yes");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("no store of OpenClaw was found"), "{run:?}");
    assert_eq!(total(&home), before);
    assert!(is_whole(&home));
}

/// Times that the rebuild is killed.
const KILLS: u32 = 12;

#[test]
fn a_rebuild_that_is_killed_leaves_the_old_account_or_the_new_one() {
    let home = Home::new();
    let start = time("2025-10-01T00:00:00Z");
    let session = |name: &str, count: u32| {
        let minute = |at: u32| start + jiff::SignedDuration::from_mins(i64::from(at));
        let answers =
            (0..count).map(|at| Answer::new(&format!("{name}{at}"), name, minute(at)).line());
        answers.collect::<String>()
    };
    home.write(&transcript("kept"), session("kept", 6_000));
    home.write(&transcript("gone"), session("gone", 500));
    home.print("sync");
    let old = total(&home);
    fs::remove_file(home.at(&transcript("gone"))).unwrap();
    let pristine = fs::read(home.ledger()).unwrap();
    let line = ["rebuild", "--source", "claude-code", "--yes"];
    let start = Instant::now();
    let mut whole_run = Running(home.command(&line).spawn().unwrap());
    assert!(whole_run.wait().success());
    let whole = start.elapsed();
    let new = total(&home);
    assert!(new < old && is_whole(&home));
    for kill in 1..=KILLS {
        fs::remove_dir_all(home.at("ledger")).unwrap();
        home.write("ledger/trueup.db", &pristine);
        let mut run = Running(home.command(&line).spawn().unwrap());
        let wait: Duration = whole * kill / KILLS;
        if run.ends_within(wait).is_none() {
            run.kill();
        }
        let now = total(&home);
        assert!(now == old || now == new, "{kill}: {now} is neither {old} nor {new}");
        assert!(is_whole(&home), "{kill}");
    }
}
