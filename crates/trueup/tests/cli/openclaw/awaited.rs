//! `trueup doctor`, which this tree does not have yet.
//!
//! ```json
//! {"schema":1,"ok":false,"checks":[{"id":"totals_without_transcript_usage","status":"fail",
//!  "items":[{"session":"3e5aebe9-…","reason":"…","mend":"…"}]}]}
//! ```

use serde::Deserialize;

use super::tree::Tree;

/// Whether the verb is there. THE BRANCH THAT BRINGS IT MAKES THIS `true`: until then the checks of
/// this file are compiled and not run, and a test fails as soon as the verb is there.
const HAS_DOCTOR: bool = false;

/// Looks at all stores after which totals without usage are said to stay that way.
const POLLS: usize = 3;

#[derive(Debug, Deserialize)]
struct Doctor {
    schema: u32,
    ok: bool,
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
struct Check {
    id: String,
    status: Status,
    items: Vec<Item>,
}

#[derive(Debug, Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Deserialize)]
struct Item {
    session: String,
    reason: String,
    mend: String,
}

/// Asserts that of the checks that cases know, only `flagged` is not ok, and that it says of what, why
/// and how to mend it.
pub(super) fn assert_doctor_flags(tree: &Tree, ledger: &str, flagged: Option<&str>) {
    if !HAS_DOCTOR {
        return;
    }
    for _ in 0..POLLS {
        tree.print(ledger, "sync");
    }
    let run = tree.run(ledger, "doctor --json --source openclaw");
    let doctor: Doctor = serde_json::from_str(&run.stdout).unwrap();
    let worst = doctor.checks.iter().map(|check| check.status as i32).max();
    assert_eq!((doctor.schema, doctor.ok), (1, worst == Some(0)), "{run:?}");
    assert_eq!(run.code, worst, "0 healthy, 1 warnings, 2 failures");
    for id in ["totals_without_transcript_usage", "cold_archive_missing"] {
        let check = doctor.checks.iter().find(|check| check.id == id);
        let check = check.unwrap_or_else(|| panic!("no check {id}: {run:?}"));
        assert_eq!(check.status != Status::Ok, flagged == Some(id), "{check:?}");
        assert_eq!(check.items.is_empty(), check.status == Status::Ok, "{check:?}");
        for Item { session, reason, mend } in &check.items {
            assert!(!session.is_empty() && !reason.is_empty(), "{check:?}");
            assert!(mend.starts_with("trueup "), "{check:?}");
        }
    }
}

#[test]
fn the_switch_says_whether_the_verb_is_there() {
    let tree = Tree::named();
    let is_there = tree.run("any", "doctor --help").code == Some(0);
    assert_eq!(HAS_DOCTOR, is_there, "set HAS_DOCTOR, and the cases will ask the doctor too");
}
