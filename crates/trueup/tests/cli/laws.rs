//! What holds of every report, whatever it is about and wherever its usage is kept.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use jiff::SignedDuration;
use rusqlite::Connection;

use crate::home::{Home, Running, finish};
use crate::schema::{Report, Usd, report};
use crate::sessions::{Answer, claude, codex, rollout, time, transcript};

const BY: [&str; 15] = [
    "30m",
    "30m,model,project",
    "hour",
    "day",
    "week",
    "month",
    "agent",
    "model",
    "project",
    "session",
    "block",
    "day,agent",
    "project,model",
    "session,model",
    "kind",
];

/// Zones whose days begin at full hours, at half hours and at quarters, three of which change their
/// clocks in the months of [`home_over_clock_changes`].
const ZONES: [&str; 5] =
    ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Pacific/Chatham"];

/// Everyday sessions, and long ones that reach over the ends of days and over changes of clocks.
fn home_over_clock_changes() -> Home {
    let home = Home::everyday();
    let starts = [
        ("chatham", "2025-09-26T03:14:15.926Z"),
        ("berlin", "2025-10-24T23:01:00Z"),
        ("newfoundland", "2025-11-01T11:59:59.999Z"),
    ];
    for (name, start) in starts {
        home.write(&transcript(name), claude(name, time(start), 90, 47));
        let id = format!("0199a000-0000-4000-8000-0000{:08}", name.len());
        home.write(&rollout(&id), codex(&id, time(start), 50, "null"));
    }
    home
}

const WINDOWS: [&str; 4] = [
    "",
    "--since 2025-10-25",
    "--until 2025-10-26",
    "--since 2025-09-27 --until 2025-11-02 --source claude-code",
];

#[test]
fn the_ledger_and_memory_say_the_same() {
    let home = home_over_clock_changes();
    for zone in ZONES {
        for window in WINDOWS {
            for by in BY {
                let line = format!("report {by} --json --breakdown --tz {zone} {window}");
                let kept = home.run(&line);
                let read = home.run(&format!("{line} --no-ledger"));
                assert_eq!((kept.code, &kept.stderr), (Some(0), &read.stderr), "{line}");
                assert_eq!(kept.stdout, read.stdout, "{line}");
            }
        }
    }
}

#[test]
fn rows_add_up_to_totals() {
    let home = home_over_clock_changes();
    let all = report(&home, "report day --json");
    assert!(all.totals.exact.calls > 400);
    for by in BY {
        for zone in ["UTC", "Pacific/Chatham"] {
            let of = report(&home, &format!("report {by} --json --tz {zone}"));
            assert_eq!(of.totals.exact.counts(), all.totals.exact.counts(), "{by} {zone}");
            assert_eq!(of.totals.exact.cost_usd, all.totals.exact.cost_usd, "{by} {zone}");
        }
        for window in WINDOWS {
            assert_adds_up(&report(&home, &format!("report {by} --json {window}")));
        }
    }
}

fn assert_adds_up(report: &Report) {
    let mut sums = [0; 11];
    let mut cost = 0;
    for row in &report.rows {
        for (sum, count) in sums.iter_mut().zip(row.exact.counts()) {
            *sum += count;
        }
        cost += row.exact.cost_usd.0;
    }
    let Usd(total) = report.totals.exact.cost_usd;
    assert_eq!(sums, report.totals.exact.counts(), "{}", report.by);
    // Each row is rounded once, by half a nano-dollar at most.
    let rounding = report.rows.len() as u64;
    assert!(total.abs_diff(cost) <= rounding, "{}: {total} {cost}", report.by);
}

#[test]
fn days_next_to_each_other_hold_every_call_once() {
    let home = home_over_clock_changes();
    for zone in ZONES {
        let all = report(&home, &format!("report day --json --tz {zone}"));
        let before = report(&home, &format!("report day --json --tz {zone} --until 2025-10-25"));
        let after = report(&home, &format!("report day --json --tz {zone} --since 2025-10-26"));
        let calls = before.totals.exact.calls + after.totals.exact.calls;
        assert_eq!(calls, all.totals.exact.calls, "{zone}");
        assert_eq!(before.rows.len() + after.rows.len(), all.rows.len(), "{zone}");
    }
}

/// All that reports say of a home.
fn account(home: &Home) -> Vec<String> {
    let lines = BY.iter().map(|by| home.print(&format!("report {by} --json --breakdown")));
    lines.chain([home.print("sessions --json --last 0")]).collect()
}

#[test]
fn running_again_changes_nothing() {
    let home = home_over_clock_changes();
    let first = account(&home);
    assert_eq!(account(&home), first);
    assert!(home.print("sync").starts_with("Read 0 B of "));
    assert_eq!(account(&home), first);
}

#[test]
fn deleted_sessions_stay_in_the_account() {
    let home = home_over_clock_changes();
    let before = account(&home);
    for folder in [".claude", ".codex", ".openclaw", ".gemini", ".local"] {
        fs::remove_dir_all(home.at(folder)).unwrap();
    }
    assert_eq!(account(&home), before);
    let in_memory = home.print("report --no-ledger");
    assert!(in_memory.starts_with("No usage found."), "{in_memory}");
}

#[test]
fn sessions_that_come_back_under_another_name_count_once() {
    let home = home_over_clock_changes();
    let before = account(&home);
    fs::rename(home.at(".claude/projects/-home-u-app"), home.at(".claude/projects/-moved"))
        .unwrap();
    assert_eq!(account(&home), before);
}

#[test]
fn what_is_appended_shows_next_time() {
    let home = Home::new();
    let start = time("2025-10-20T07:00:00Z");
    home.write(&transcript("one"), claude("one", start, 3, 1));
    assert_eq!(report(&home, "report --json").totals.exact.calls, 3);
    let answer = Answer::new("late", "one", start + SignedDuration::from_hours(1));
    let line = answer.line();
    // Half a line counts when it is whole.
    let (head, tail) = line.split_at(line.len() / 2);
    home.append(&transcript("one"), head);
    assert_eq!(report(&home, "report --json").totals.exact.calls, 3);
    home.append(&transcript("one"), tail);
    let all = report(&home, "report --json").totals.exact;
    assert_eq!((all.calls, all.output), (4, 100 + 101 + 102 + 100));
    // A repeat with more output replaces what was there: it is no further call.
    home.append(&transcript("one"), &Answer { output: 1_000, ..answer }.line());
    let all = report(&home, "report --json").totals.exact;
    assert_eq!((all.calls, all.output), (4, 100 + 101 + 102 + 1_000));
    assert_eq!(
        home.print("report session --json"),
        home.print("report session --json --no-ledger")
    );
}

/// A process that keeps the ledger, once it has read everything.
pub(crate) fn keeper(home: &Home) -> Running {
    let mut keeper = Running(
        home.command(&["sync", "--watch"])
            .env("TRUEUP_SYNC_INTERVAL", "20ms")
            .stdin(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut said = String::new();
    BufReader::new(keeper.0.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(said.starts_with("Read "), "{said}");
    keeper
}

#[test]
fn a_ledger_that_another_process_keeps_is_read_as_it_is() {
    let home = Home::everyday();
    let in_memory = home.print("report --json --no-ledger");
    let mut keeper = keeper(&home);
    let note = format!("The ledger is kept up to date by process {}; ", keeper.0.id());
    for line in ["report --json", "report block --json", "sessions --json", "sources"] {
        let run = home.run(line);
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        if line != "sources" {
            assert!(run.stderr.contains(&note), "{line}: {run:?}");
        }
    }
    assert_eq!(home.print("report --json"), in_memory);
    let run = home.run("sync");
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("is in use by another trueup (process "), "{run:?}");
    // What is new arrives without us.
    home.write(&transcript("new"), claude("new", time("2031-01-01T00:00:00Z"), 1, 1));
    let start = std::time::Instant::now();
    while report(&home, "report --json --since 2031-01-01").totals.exact.calls == 0 {
        assert!(start.elapsed().as_secs() < 30, "the keeper does not see a new session");
    }
    keeper.kill();
    assert_eq!(home.run("report --json").code, Some(0));
}

#[test]
fn a_ledger_of_a_newer_program_is_left_alone() {
    let home = Home::everyday();
    home.print("sync");
    let ledger = Connection::open(home.ledger()).unwrap();
    ledger.pragma_update(None, "user_version", 999).unwrap();
    ledger.close().unwrap();
    let before = fs::read(home.ledger()).unwrap();
    for line in ["report", "sessions", "sync", "sources"] {
        let run = home.run(line);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{line}: {run:?}");
        let said = "was written by a newer trueup (schema 999, this one knows ";
        assert!(run.stderr.contains(said), "{line}: {run:?}");
    }
    assert_eq!(fs::read(home.ledger()).unwrap(), before);
    assert_eq!(home.run("report --no-ledger").code, Some(0));
}

#[test]
fn files_that_are_no_ledgers_are_left_alone() {
    let home = Home::everyday();
    home.write("text.db", "This is not a database, but a text that somebody needs.");
    let other = home.at("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    for name in ["text.db", "other.db"] {
        let before = fs::read(home.at(name)).unwrap();
        let run = home.run(&format!("report --ledger {name}"));
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
        assert!(run.stderr.contains("is not a trueup ledger"), "{run:?}");
        assert_eq!(fs::read(home.at(name)).unwrap(), before, "{name}");
    }
}

#[test]
fn where_nothing_can_be_written_memory_will_do() {
    let home = Home::everyday();
    home.write("file", "");
    let run = home.run("report --ledger file/trueup.db");
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    assert!(run.stderr.contains("`--no-ledger` reports without one"), "{run:?}");
    let in_memory = home.run("report --ledger file/trueup.db --no-ledger");
    assert_eq!(in_memory.stdout, home.print("report"));
}

#[test]
fn no_ledger_writes_nothing() {
    let home = Home::everyday();
    let before = crate::home::files(home.path());
    for line in ["report", "report block", "sessions", "sources"] {
        home.print(&format!("{line} --no-ledger"));
    }
    assert_eq!(crate::home::files(home.path()), before);
}

#[test]
fn reports_that_start_together_all_end_well() {
    let home = home_over_clock_changes();
    let in_memory = home.print("report --json --no-ledger");
    for _ in 0..5 {
        let arguments = ["report", "--json"];
        let commands: Vec<_> = (0..6).map(|_| home.command(&arguments)).collect();
        let runs: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> =
                commands.into_iter().map(|command| scope.spawn(|| finish(command))).collect();
            started.into_iter().map(|run| run.join().unwrap()).collect()
        });
        for run in &runs {
            assert_eq!(run.code, Some(0), "{run:?}");
        }
        assert!(runs.iter().any(|run| run.stdout == in_memory));
        assert_eq!(home.print("report --json"), in_memory);
        fs::remove_dir_all(home.at("ledger")).unwrap();
    }
}

#[test]
fn a_sum_that_was_changed_is_found() {
    let home = Home::everyday();
    home.print("sync");
    let ledger = Connection::open(home.ledger()).unwrap();
    let changed = "UPDATE usage_time SET output = output + 1 WHERE width_minutes = 1440";
    assert!(ledger.execute(changed, []).unwrap() > 0);
    ledger.close().unwrap();
    let run = home.run("check");
    assert_eq!(run.code, Some(1), "{run:?}");
}

#[test]
fn rows_of_one_session_stay_together() {
    let home = Home::new();
    let start = time("2025-10-20T07:00:00Z");
    // Two sessions at the same time, with answers of three models each in turn.
    home.write(&transcript("one"), claude("one", start, 3, 60));
    let later = start + SignedDuration::from_mins(30);
    home.write(&transcript("three"), claude("three", later, 3, 60));
    let table = home.print("report session,model");
    let sessions: Vec<&str> =
        table.lines().skip(3).filter_map(|line| line.split(' ').next()).collect();
    let expected = [["one"; 4], ["three"; 4]].concat();
    assert_eq!(sessions.split_last(), Some((&"Total", &expected[..])), "{table}");
}
