//! Each folder of `fixtures/openclaw` as a test: `stepN` is laid over the state folder, the files that
//! `stepN.delete` names go, and `expected.json` says what reports must say then.
//!
//! A case whose first step lies among the readers' fixtures already does not hold it again. Reports
//! must agree with a fresh ledger at any step, with the ledger of every choice of earlier steps, and
//! without one; reading again must change nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use super::doctor::assert_doctor_flags;
use super::expected::{Counts, Estimate, Exact, Exactness, Expected, Row, Said, Step};
use super::tree::{Change, Tree, reader_fixtures, text};
use super::{built, concurrent};
use crate::schema::Sum;

macro_rules! cases {
    ($($test:ident: $folder:literal)*) => {
        const FOLDERS: &[&str] = &[$($folder),*];
        $(#[test] fn $test() { prove($folder); })*
    };
}

cases! {
    normal: "01_normal"
    missing_jsonl: "02_missing_jsonl"
    empty_jsonl: "03_empty_jsonl"
    header_only: "04_header_only"
    delivery_mirror_zero: "05_delivery_mirror_zero"
    late_backfill: "06_late_backfill"
    late_partial: "07_late_partial"
    truncated: "08_truncated"
    no_newline: "09_no_newline"
    deleted_zst: "11_deleted_zst"
    fork: "14_fork"
    id_collision: "15_id_collision"
    huge_line: "16_huge_line"
    invalid_utf8: "17_invalid_utf8"
    crlf_bom_nul: "18_crlf_bom_nul"
    concurrent_writer: "19_concurrent_writer"
    sqlite_v8: "20_sqlite_v8"
    sqlite_v19: "21_sqlite_v19"
    sqlite_v23_zstd: "22_sqlite_v23_zstd"
    cold_present: "25_cold_a_present"
    cold_missing: "25_cold_b_missing"
    not_transcripts: "26_not_transcripts"
    usage_shapes: "27_usage_shapes"
    keys: "29_keys"
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/openclaw")
}

#[test]
fn every_folder_is_a_test() {
    let folders = fs::read_dir(root()).unwrap();
    let names: BTreeSet<String> =
        folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names, FOLDERS.iter().map(|&name| name.to_owned()).collect());
}

/// What lies in a case's folder.
struct Case {
    expected: Expected,
    /// Files that are laid over, and names of files that go.
    steps: Vec<(Option<PathBuf>, Vec<String>)>,
    /// What OpenClaw tells its hooks meanwhile.
    hook: Option<Value>,
}

impl Case {
    fn load(name: &str) -> Self {
        let folder = root().join(name);
        let expected = fs::read(folder.join("expected.json")).unwrap();
        let mut expected: Expected = serde_json::from_slice(&expected).unwrap();
        if expected.rows.is_some() || expected.kinds.is_some() {
            // Of these, only the end is told.
            expected.step1.get_or_insert_default();
        }
        let mut steps = Vec::new();
        let mut known = BTreeSet::from(["expected.json".to_owned(), "hook.json".to_owned()]);
        for number in 1.. {
            let (name_of_step, name_of_delete) =
                (format!("step{number}"), format!("step{number}.delete"));
            let own = folder.join(&name_of_step);
            let shared = reader_fixtures().join(name).join(".openclaw");
            let files = [Some(own), (number == 1).then_some(shared)];
            let files = files.into_iter().flatten().find(|files| files.is_dir());
            let deletes = folder.join(&name_of_delete);
            let deleted = if deletes.exists() { text(&deletes) } else { String::new() };
            let deleted: Vec<String> = deleted.lines().map(str::to_owned).collect();
            if files.is_none() && deleted.is_empty() {
                break;
            }
            known.extend([name_of_step, name_of_delete]);
            steps.push((files, deleted));
        }
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap().file_name().into_string().unwrap();
            assert!(known.contains(&entry), "{name}/{entry} is not understood");
        }
        let hook = fs::read(folder.join("hook.json")).ok();
        let hook = hook.map(|hook| serde_json::from_slice(&hook).unwrap());
        Self { expected, steps, hook }
    }

    /// What must hold after each step.
    fn steps_expected(&self) -> Vec<&Step> {
        let steps = [&self.expected.step1, &self.expected.step2];
        let steps: Vec<&Step> = steps.into_iter().flatten().collect();
        assert_eq!(steps.len(), self.steps.len(), "each step must come to something");
        steps
    }

    fn apply(&self, tree: &Tree, step: usize, how: Change) {
        let (files, deleted) = &self.steps[step];
        if let Some(files) = files {
            tree.lay_over(files, how);
        }
        for name in deleted {
            tree.remove(name);
        }
    }
}

fn prove(name: &str) {
    let case = Case::load(name);
    match (name, &case.expected.build) {
        (_, None) => prove_steps(&case),
        ("16_huge_line", Some(_)) => built::huge_line(&case.expected),
        ("19_concurrent_writer", Some(_)) => concurrent::prove(&case.expected),
        (_, Some(build)) => panic!("nobody builds {name}: {build}"),
    }
}

fn prove_steps(case: &Case) {
    let expected = case.steps_expected();
    // Every choice of steps after which a ledger looks; it is new at the first of them.
    for choice in 1_u32..1 << expected.len() {
        for (tree, how, hook) in [
            (Tree::named(), Change::InPlace, None),
            (Tree::usual(), Change::RenameOver, None),
            (Tree::usual(), Change::InPlace, case.hook.as_ref()),
        ] {
            if let Some(told) = hook {
                // It repeats what the index says: nothing may count twice.
                super::hook::leave(&tree, told);
            }
            for (number, expected) in expected.iter().enumerate() {
                case.apply(&tree, number, how);
                if choice & 1 << number != 0 {
                    check(&tree, "kept", expected);
                }
            }
            if choice >> (expected.len() - 1) == 1 {
                check_end(&tree, &case.expected);
            }
        }
    }
}

/// Checks what holds after a step.
pub(super) fn check(tree: &Tree, ledger: &str, expected: &Step) {
    let (exact, estimated) = tree.totals(ledger);
    compare(expected, &exact, &estimated);
    assert_eq!(tree.totals_in_memory(), (exact, estimated), "without a ledger");
    check_again(tree, ledger, expected.rerun_delta.unwrap_or(0));
    tree.assert_settled(ledger);
    let Step { superseded, bad_lines, partial_tail_bytes, zstd_rows, gap, doctor, .. } = expected;
    if let Some(superseded) = superseded {
        let sql = "SELECT count(*) FROM session_totals WHERE is_superseded";
        assert_eq!(tree.ask(ledger, sql), *superseded);
    }
    let problems = tree.problems(ledger);
    if let Some(bad_lines) = bad_lines {
        assert_eq!(problems.get("not_json"), Some(bad_lines));
    }
    if let Some(bytes) = partial_tail_bytes {
        let sql = "SELECT sum(size_bytes - offset) FROM positions";
        assert_eq!(tree.ask(ledger, sql), *bytes);
    }
    if let Some(rows) = zstd_rows {
        let store = Connection::open(tree.at("agents/main/agent/openclaw-agent.sqlite")).unwrap();
        let sql = "SELECT count(*) FROM transcript_events WHERE event_zstd IS NOT NULL";
        assert_eq!(store.query_row(sql, [], |row| row.get(0)), Ok(*rows));
    }
    match gap.as_deref() {
        None => assert_eq!(problems.get("missing"), None),
        Some("cold_archive_missing") => assert_eq!(problems.get("missing"), Some(&1)),
        Some(gap) => panic!("what is the gap {gap}?"),
    }
    // A case that tells of an estimate and not of the doctor leaves open what that says.
    if gap.is_some() || doctor.is_some() || estimated.calls == 0 {
        assert_doctor_flags(tree, ledger, gap.as_deref().or(doctor.as_deref()));
    }
}

fn compare(expected: &Step, exact: &Sum, estimated: &Sum) {
    let all = exact.total + estimated.total;
    if let Some(expected) = &expected.exact {
        compare_exact(expected, exact);
    }
    if let Some(Estimate { input, output, cache, total, exactness }) = &expected.estimate {
        let found = (estimated.input, estimated.output, cached(estimated), estimated.total);
        assert_eq!(found, (*input, *output, *cache, *total), "{estimated:?}");
        match exactness {
            Exactness::EstimateLastRun => assert_eq!(estimated.calls, 1, "one run"),
        }
    }
    if let Some(total) = expected.estimate_total {
        assert_eq!(estimated.total, total);
    }
    if let Some(total) = expected.total {
        assert_eq!(all, total);
    }
    if let Some(events) = expected.events {
        assert_eq!(exact.calls, events);
    }
    if let Some(allowed) = &expected.allowed_totals {
        assert!(allowed.contains(&all), "{all} is none of {allowed:?}");
    }
    for wrong in [expected.naive_per_session_total, expected.vibeusage_0_2_20_with_hook] {
        assert_ne!(Some(all), wrong, "that is what others say");
    }
}

fn compare_exact(expected: &Exact, found: &Sum) {
    let written = found.cache_write_5m + found.cache_write_1h + found.cache_write;
    for (expected, found) in [
        (expected.input, found.input),
        (expected.output, found.output),
        (expected.cache_read, found.cache_read),
        (expected.cache_write, written),
        (Some(expected.total), found.total),
        (expected.events, found.calls),
    ] {
        assert_eq!(expected.unwrap_or(found), found, "{expected:?}");
    }
}

fn cached(sum: &Sum) -> u64 {
    sum.cache_read + sum.cache_write_5m + sum.cache_write_1h + sum.cache_write
}

/// Reads once more.
fn check_again(tree: &Tree, ledger: &str, delta: i64) {
    let before = tree.tokens(ledger);
    let after = tree.tokens(ledger);
    let all = |(exact, estimated): (u64, u64)| exact + estimated;
    assert_eq!(all(after).checked_signed_diff(all(before)), Some(delta));
}

/// Checks what holds after the last step.
fn check_end(tree: &Tree, expected: &Expected) {
    let ledger = "kept";
    if let Some(rerun) = &expected.step3_rerun {
        check_again(tree, ledger, rerun.delta);
    }
    let (exact, estimated) = tree.tokens(ledger);
    for wrong in [expected.vibeusage_0_2_20, expected.vibeusage_0_2_20_after_step2] {
        assert_ne!(Some(exact + estimated), wrong, "that is what others say");
    }
    if expected.openclaw_usage_cost_counts_copies == Some(true) {
        let by_session: u64 = tree.tokens_by(ledger, "session").values().map(|of| of.0).sum();
        assert_eq!(by_session, exact, "no session counts what another owns");
    }
    if let Some(rows) = &expected.rows {
        check_rows(tree, ledger, rows);
    }
    if let Some(kinds) = &expected.kinds {
        check_kinds(tree, ledger, kinds);
    }
}

fn check_kinds(tree: &Tree, ledger: &str, expected: &[String]) {
    let by_kind: Value = serde_json::from_str(&tree.print(ledger, "report kind --json")).unwrap();
    let mut kinds = Vec::new();
    for row in by_kind["rows"].as_array().unwrap() {
        let sessions = row["estimated"]["calls"].as_u64().unwrap();
        kinds.extend((0..sessions).map(|_| row["kind"].as_str().unwrap().to_owned()));
    }
    kinds.sort();
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(kinds, expected);
}

/// The call that became of a row, and what was said of its line.
struct Called {
    counts: BTreeMap<&'static str, i64>,
    status: String,
    problems: BTreeSet<String>,
}

const COUNTS: [&str; 6] = ["input", "cache_read", "cache_write", "output", "reasoning", "total"];

fn check_rows(tree: &Tree, ledger: &str, rows: &BTreeMap<String, Row>) {
    let called = calls_by_entry(tree, ledger);
    assert_eq!(called.keys().collect::<Vec<_>>(), rows.keys().collect::<Vec<_>>());
    for (id, row) in rows {
        let Called { counts, status, problems } = &called[id];
        match row {
            Row::Total(total) => assert_eq!(counts["total"], total.cast_signed(), "{id}"),
            Row::Counts(expected) => check_counts(id, expected, counts, problems),
            Row::Said(Said::Clamped) => {
                assert_eq!(counts["total"], (1 << 53) - 1, "{id}");
                assert!(problems.contains("bad_count"), "{id}: {problems:?}");
            }
            Row::Said(Said::Failed) => {
                assert_eq!((counts["total"], status.as_str()), (0, "error"), "{id}");
            }
        }
    }
}

fn check_counts(
    id: &str,
    expected: &Counts,
    found: &BTreeMap<&str, i64>,
    problems: &BTreeSet<String>,
) {
    let Counts { input, cache_read, cache_write, output, reasoning, unsplit, total } = expected;
    let expected = [input, cache_read, cache_write, output, reasoning, total];
    for (name, expected) in COUNTS.into_iter().zip(expected) {
        assert_eq!(expected.unwrap_or(found[name]), found[name], "{id}: {name}");
    }
    if let Some(unsplit) = unsplit {
        assert_eq!(found["input"], *unsplit, "{id}: a total without parts counts as input");
        assert!(problems.contains("bad_record"), "{id}: {problems:?}");
    }
}

/// What became of each answer, by the id of its entry: told by the millisecond, of which each answer of
/// these fixtures has its own.
fn calls_by_entry(tree: &Tree, ledger: &str) -> BTreeMap<String, Called> {
    let mut called = BTreeMap::new();
    let database = tree.open(ledger);
    let sources: Value = serde_json::from_str(&tree.print(ledger, "sources --json")).unwrap();
    for file in crate::home::files(&tree.at("agents/main/sessions")) {
        for (number, line) in (1_u64..).zip(text(&file).lines()) {
            let entry: Value = serde_json::from_str(line).unwrap();
            let Some(time) = entry["message"]["timestamp"].as_i64() else { continue };
            let sql = "SELECT input, cache_read, cache_write_5m + cache_write_1h + cache_write,
                output, reasoning, input + cache_read + cache_write_5m + cache_write_1h
                + cache_write + output, status FROM calls WHERE created_at = ?1";
            let (counts, status) = database
                .query_row(sql, [time], |row| {
                    let counts = COUNTS.into_iter().enumerate();
                    let counts = counts.map(|(at, name)| Ok((name, row.get(at)?)));
                    Ok((counts.collect::<rusqlite::Result<_>>()?, row.get(COUNTS.len())?))
                })
                .unwrap();
            let problems = sources["problems"].as_array().unwrap().iter();
            let of_line = problems.filter(|problem| {
                problem["line"] == number && problem["path"] == *file.to_str().unwrap()
            });
            let problems = of_line.map(|of| of["kind"].as_str().unwrap().to_owned()).collect();
            let id = entry["id"].as_str().unwrap().to_owned();
            called.insert(id, Called { counts, status, problems });
        }
    }
    called
}
