//! The JSON for those who come from ccusage, against ccusage itself.
//!
//! `TRUEUP_CCUSAGE` names its program; without it these tests only say that they are skipped.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Map, Value};

use crate::home::{Home, finish, skipped};
use crate::sessions::{claude, codex, rollout, time, transcript};

/// Sessions without any trap: ccusage and trueup must agree on them.
fn plain_home() -> Home {
    let home = Home::new();
    home.write(&transcript("one"), claude("one", time("2025-10-20T07:40:00Z"), 40, 61));
    home.write(&transcript("three"), claude("three", time("2025-11-20T23:10:00Z"), 12, 17));
    let id = "0199a000-0000-4000-8000-000000000001";
    home.write(&rollout(id), codex(id, time("2025-10-20T12:00:00Z"), 5, "null"));
    home
}

fn of_ccusage(program: &str, home: &Home, verb: &str) -> Value {
    let mut command = Command::new(program);
    command.args([verb, "--json", "--offline"]).env_clear().env("HOME", home.path());
    command
        .env("TZ", "UTC")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let run = finish(command);
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

const TOKENS: [&str; 5] =
    ["inputTokens", "outputTokens", "cacheCreationTokens", "cacheReadTokens", "totalTokens"];

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}

/// Whether `ours` has every key of `theirs`, and the same token counts.
fn assert_agrees(ours: &Value, theirs: &Value, what: &str) {
    let keys = |value: &Value| object(value).keys().cloned().collect::<BTreeSet<_>>();
    let missing: Vec<String> = keys(theirs).difference(&keys(ours)).cloned().collect();
    assert!(missing.is_empty(), "{what}: we lack {missing:?}");
    for field in TOKENS {
        assert_eq!(ours.get(field), theirs.get(field), "{what} {field}");
    }
}

fn program() -> Option<String> {
    let program = std::env::var_os("TRUEUP_CCUSAGE");
    if program.is_none() {
        skipped("TRUEUP_CCUSAGE names no ccusage to compare with");
    }
    program.map(|program| program.into_string().unwrap())
}

#[test]
fn reports_agree_with_ccusage() {
    let Some(program) = program() else { return };
    let home = plain_home();
    for (verb, by, list) in [
        ("daily", "day", "daily"),
        ("monthly", "month", "monthly"),
        ("session", "session", "session"),
    ] {
        let theirs = of_ccusage(&program, &home, verb);
        let ours: Value =
            serde_json::from_str(&home.print(&format!("report {by} --json=ccusage"))).unwrap();
        assert_agrees(&ours["totals"], &theirs["totals"], verb);
        let rows = |value: &Value| {
            let mut rows = value[list].as_array().unwrap().clone();
            rows.sort_by_key(|row| row["period"].to_string());
            rows
        };
        let (ours, theirs) = (rows(&ours), rows(&theirs));
        assert_eq!(ours.len(), theirs.len(), "{verb}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let what = format!("{verb} {}", theirs["period"]);
            assert_agrees(ours, theirs, &what);
            assert_eq!(ours["agent"], theirs["agent"], "{what}");
            let models = |row: &Value| {
                let models = row["modelsUsed"].as_array().unwrap();
                models.iter().map(ToString::to_string).collect::<BTreeSet<_>>()
            };
            assert_eq!(models(ours), models(theirs), "{what}");
        }
    }
}

#[test]
fn blocks_agree_with_ccusage() {
    let Some(program) = program() else { return };
    let home = plain_home();
    let theirs = of_ccusage(&program, &home, "blocks");
    let ours: Value =
        serde_json::from_str(&home.print("report block --json=ccusage --source claude-code"))
            .unwrap();
    let of_usage = |value: &Value| {
        let blocks = value["blocks"].as_array().unwrap().clone();
        blocks.into_iter().filter(|block| block["isGap"] == false).collect::<Vec<_>>()
    };
    let (ours, theirs) = (of_usage(&ours), of_usage(&theirs));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let what = theirs["id"].to_string();
        assert_agrees(ours, theirs, &what);
        for field in ["id", "startTime", "endTime", "actualEndTime", "entries", "tokenCounts"] {
            assert_eq!(ours[field], theirs[field], "{what} {field}");
        }
    }
}
