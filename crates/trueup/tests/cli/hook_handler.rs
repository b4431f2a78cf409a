//! The hook as Node runs it: no event is lost, nothing private is copied, nothing throws.
//!
//! These tests need a program `node`, and are ignored where nobody asks for them: `.ci/run hooks` sees
//! to it that there is one, and runs them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::home::{Home, files, finish, text_of};

/// A home with the hook in it.
fn hooked() -> Home {
    let home = Home::of_fixtures(&["openclaw/01_normal"]);
    home.print("hooks install openclaw");
    home
}

/// Node, calling the hook in one of the ways of `hook_handler.cjs`.
fn node(home: &Home, what: &str) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/hook_handler.cjs");
    let mut command = Command::new("node");
    command
        .arg(script)
        .arg(home.at(".openclaw/hooks/trueup/handler.js"))
        .arg(what)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn call(home: &Home, what: &str) {
    let run = finish(node(home, what));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
}

fn spooled(home: &Home) -> Vec<PathBuf> {
    files(&home.at("spool/openclaw"))
}

/// What was left, in the order of its files' names.
fn events(home: &Home) -> Vec<Value> {
    let texts = spooled(home).into_iter().map(text_of);
    texts.map(|text| serde_json::from_str(&text).unwrap()).collect()
}

/// An event by the id of its session.
fn of_session<'a>(events: &'a [Value], session: &str) -> &'a Value {
    let mut found = events.iter().filter(|event| event["entries"][0]["sessionId"] == session);
    found.next().unwrap_or_else(|| panic!("{session}: {events:#?}"))
}

#[test]
#[ignore = "needs node: .ci/run hooks"]
fn two_resets_three_seconds_apart_are_two_files() {
    let home = hooked();
    call(&home, "apart");
    let events = events(&home);
    assert_eq!(events.len(), 3);
    let expected = json!({
        "schema": 1,
        "source": "openclaw",
        "event": "command:new",
        "at": 1_795_212_509_482_u64,
        "agent_id": "main",
        "session_key": "agent:main:main",
        "state_dir": home.at(".openclaw"),
        "entries": [{
            "sessionId": "first",
            "sessionFile": "/state/agents/main/sessions/first.jsonl",
            "updatedAt": 1_795_212_509_482_u64,
            "modelProvider": "mock",
            "model": "mock-1",
            "inputTokens": 690,
            "outputTokens": 66,
            "cacheRead": 400,
            "cacheWrite": null,
            "estimatedCostUsd": 0.000_764,
            "totalTokens": 1090,
            "totalTokensFresh": true,
            "cliSessionIds": { "claude-cli": "c1" },
        }],
    });
    assert_eq!(of_session(&events, "first"), &expected);
    let second = of_session(&events, "second");
    assert_eq!((&second["event"], &second["agent_id"]), (&json!("command:reset"), &json!("main")));
    for path in spooled(&home) {
        let text = text_of(&path);
        assert!(!text.contains("PRIVATE"), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let status = home.print("hooks status");
    assert!(
        status.contains("3 events, the last of ") && status.contains("; 0 dropped"),
        "{status}"
    );
}

#[test]
#[ignore = "needs node: .ci/run hooks"]
fn of_200_events_at_once_none_is_lost() {
    let home = hooked();
    let processes: Vec<_> = (0..4).map(|_| node(&home, "storm").spawn().unwrap()).collect();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let events = events(&home);
    assert_eq!(events.len(), 200);
    let sessions: BTreeSet<&str> =
        events.iter().filter_map(|event| event["entries"][0]["sessionId"].as_str()).collect();
    assert_eq!(sessions.len(), 200);
}

#[test]
#[ignore = "needs node: .ci/run hooks"]
fn each_kind_of_event_is_kept() {
    let home = hooked();
    call(&home, "lifecycle");
    let events = events(&home);
    let kept: BTreeSet<(&str, &str)> = events
        .iter()
        .map(|event| {
            let session = event["entries"][0]["sessionId"].as_str().unwrap_or_default();
            (event["event"].as_str().unwrap(), session)
        })
        .collect();
    let expected = [
        ("command:stop", "stopped"),
        ("gateway:pre-restart", ""),
        ("gateway:shutdown", ""),
        ("session:auto-reset", "idle"),
        ("session:compact:after", "compacted"),
        ("session:compact:before", "compacted"),
        ("session:patch", "patched"),
    ];
    assert_eq!(kept, BTreeSet::from(expected));
    assert!(events.iter().all(|event| event["agent_id"] == "work"));
    assert!(!format!("{events:?}").contains("PRIVATE"), "{events:#?}");
}

#[test]
#[ignore = "needs node: .ci/run hooks"]
fn what_is_no_event_does_no_harm() {
    let home = hooked();
    call(&home, "weird");
    assert_eq!(spooled(&home), [""; 0].map(PathBuf::from));
}

#[test]
#[ignore = "needs node: .ci/run hooks"]
fn odd_events_are_kept_as_far_as_they_go() {
    let home = hooked();
    call(&home, "odd");
    let events = events(&home);
    assert_eq!(events.len(), 6);
    assert!(spooled(&home).iter().all(|path| fs::metadata(path).unwrap().len() <= 65_536));
    let huge = of_session(&events, "huge");
    assert_eq!((&huge["session_key"], &huge["agent_id"]), (&Value::Null, &json!("main")));
    let entry = huge["entries"][0].as_object().unwrap();
    assert!(!entry.contains_key("model") && !entry.contains_key("cliSessionIds"), "{entry:?}");
    assert_eq!(entry["inputTokens"], 690);
    of_session(&events, "circular");
    let odd = &of_session(&events, "odd")["entries"][0];
    assert_eq!(odd, &json!({ "sessionId": "odd" }));
    let timeless = of_session(&events, "timeless");
    assert!(timeless["at"].as_u64().unwrap() > 1_600_000_000_000, "{timeless}");
    assert_eq!(timeless["session_key"], Value::Null);
    assert_eq!(events.iter().filter(|event| event["entries"] == json!([])).count(), 2);
}

#[test]
#[ignore = "needs node: .ci/run hooks"]
fn a_full_folder_drops_and_counts() {
    let home = hooked();
    let spool = home.at("spool/openclaw");
    for at in 0..10_000 {
        fs::write(spool.join(format!("{at}-1-ab.json")), "{}").unwrap();
    }
    call(&home, "one");
    call(&home, "lifecycle");
    assert_eq!(spooled(&home).len(), 10_001, "the files, and the list of drops");
    let dropped = text_of(spool.join("dropped"));
    assert_eq!(dropped.lines().count(), 8);
    assert!(dropped.lines().next().unwrap().ends_with(" full command:new"), "{dropped}");
    let status = home.print("hooks status");
    assert!(status.contains("10,000 events") && status.contains("; 8 dropped"), "{status}");
}

#[test]
#[ignore = "needs node: .ci/run hooks"]
fn a_spool_that_is_gone_comes_back_or_does_no_harm() {
    let home = hooked();
    fs::remove_dir_all(home.at("spool")).unwrap();
    call(&home, "one");
    assert_eq!(spooled(&home).len(), 1);
    fs::remove_dir_all(home.at("spool")).unwrap();
    home.write("spool", "a file");
    call(&home, "one");
}
