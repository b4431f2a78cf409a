//! `trueup doctor`, asked of every case.
//!
//! ```json
//! {"schema":1,"ok":false,"checks":[{"id":"totals_without_transcript_usage","status":"fail",
//!  "items":[{"session":"3e5aebe9-…","reason":"…","mend":"trueup sync"}]}]}
//! ```

use serde::Deserialize;

use super::tree::Tree;

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
    session: Option<String>,
    reason: String,
    mend: Option<String>,
}

/// Asserts that of the checks that cases know, only `flagged` is not ok, and that it says of what, why
/// and how to mend it. Whatever took its transcript, a session that used tokens and has no call is told
/// as one.
pub(super) fn assert_doctor_flags(tree: &Tree, ledger: &str, flagged: Option<&str>) {
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
        let is_rule = id == "totals_without_transcript_usage";
        let is_flagged = flagged == Some(id) || (is_rule && flagged.is_some());
        assert_eq!(check.status != Status::Ok, is_flagged, "{check:?}");
        assert_eq!(check.items.is_empty(), check.status == Status::Ok, "{check:?}");
        for Item { session, reason, mend } in &check.items {
            assert!(session.as_ref().is_some_and(|session| !session.is_empty()), "{check:?}");
            assert!(!reason.is_empty(), "{check:?}");
            assert!(mend.as_ref().is_some_and(|mend| mend.starts_with("trueup ")), "{check:?}");
        }
    }
}
