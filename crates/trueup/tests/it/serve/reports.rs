//! `GET /v1/report`: the account, for programs.

use std::process::Command;

use super::daemon::{Home, trace, until};

const POSTED: &str = r#"[
    {"timestamp":"2026-11-20T13:29:59.999Z","provider":"openai","model":"gpt-5.5",
     "prompt_tokens":10,"completion_tokens":1,"project":"/p","agent":"hermes","cost_usd":0.5},
    {"timestamp":"2026-11-20T13:30:00Z","provider":"openai","model":"gpt-5.5",
     "prompt_tokens":20,"completion_tokens":2,"project":"/p","agent":"hermes"},
    {"timestamp":"2026-11-21T00:10:00Z","provider":"anthropic","model":"claude-opus-4-8",
     "prompt_tokens":30,"completion_tokens":3,"project":"/q","agent":"iris"}]"#;

#[test]
fn half_hours_are_answered_by_model_and_project() {
    let home = Home::with(&[("TZ", "UTC")]);
    let daemon = home.start();
    daemon.post_durably("/v1/traces", POSTED);
    let answer = daemon.get("/v1/report?by=30m,model,project&source=hermes");
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let report = answer.json();
    assert_eq!((&report["schema"], &report["by"]), (&1.into(), &"30m,model,project".into()));
    let rows = report["rows"].as_array().unwrap();
    let halves: Vec<_> = rows.iter().map(|row| row["30m"].as_str().unwrap()).collect();
    assert_eq!(halves, ["2026-11-20 13:00", "2026-11-20 13:30"]);
    assert_eq!(rows[1]["project"], "/p");
    assert_eq!(rows[1]["exact"]["input"], 20);
    let answer = daemon.get("/v1/report?by=30m&tz=Asia/Kathmandu&since=20261121");
    assert_eq!(answer.json()["rows"][0]["30m"], "2026-11-21 05:30", "{}", answer.text);
}

#[test]
fn the_answer_is_what_the_program_prints() {
    let home = Home::with(&[("TZ", "UTC")]);
    let daemon = home.start();
    daemon.post_durably("/v1/traces", POSTED);
    for (query, flags) in [
        ("", ""),
        ("?by=30m", "--by 30m"),
        ("?by=day,agent&tz=America/St_Johns", "--by day,agent --tz America/St_Johns"),
        ("?by=model&since=2026-11-21&until=20261122", "model --since 2026-11-21 --until 20261122"),
        ("?by=agent&source=iris&source=hermes", "agent --source iris --source hermes"),
        ("?project=p&model=gpt-*&cost=reported", "--project p --model gpt-* --cost reported"),
        ("?by=session", "session"),
        ("?by=block", "block"),
    ] {
        let arguments = format!("report --json {flags}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
        command.env_clear().env("HOME", home.path("")).env("TRUEUP_LEDGER", home.path("ledger.db"));
        let output = command.env("TZ", "UTC").args(arguments.split_whitespace()).output().unwrap();
        let answer = daemon.get(&format!("/v1/report{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        assert_eq!(answer.text, String::from_utf8(output.stdout).unwrap(), "{query}");
    }
}

#[test]
fn wrong_parameters_are_named() {
    let home = Home::new();
    let daemon = home.start();
    for (query, expected) in [
        ("by=decade", "`by`: `decade` is not one of 30m, hour, day,"),
        ("by=", "`by`: `` is not one of 30m"),
        ("by=day,session", "`by`: sessions cannot be combined"),
        ("by=block,day", "`by`: blocks cannot be combined"),
        ("since=yesterday", "`since`: a day is written like 2026-11-20"),
        ("since=2026-11-21&until=2026-11-20", "`until`: until 2026-11-20 lies before"),
        ("tz=Mars/Olympus", "`tz`: `Mars/Olympus` is not a time zone"),
        ("cost=free", "`cost`: `free` is not one of auto, computed, reported"),
        ("source=clippy", "`source`: `clippy` is not an agent; there are claude-code, codex"),
        ("form=wide", "`form`: `wide` is not one of json, ccusage, csv, table"),
        ("columns=7", "`columns`: it must be a number from 20 to 1000"),
        ("shape=wide", "`shape` is not a parameter; there are by, since"),
    ] {
        let answer = daemon.get(&format!("/v1/report?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.starts_with(expected), "{query}: {error}");
    }
    let answer = daemon.post("/v1/report", "{}");
    assert_eq!((answer.status, answer.header("allow")), (405, "GET,HEAD"));
}

#[test]
fn reports_stand_behind_the_same_guard() {
    let home = Home::with(&[("TRUEUP_TOKEN", "s3cret-t0ken")]);
    let daemon = home.start();
    assert_eq!(daemon.get("/v1/report").status, 401);
    let right = ("authorization", "Bearer s3cret-t0ken");
    assert_eq!(daemon.get_with("/v1/report", &[right]).status, 200);
    for foreign in [("host", "evil.example"), ("origin", "https://evil.example")] {
        assert_eq!(daemon.get_with("/v1/report", &[right, foreign]).status, 403, "{foreign:?}");
    }
    let metrics = daemon.get_with("/metrics", &[right]).text;
    assert!(metrics.contains("{path=\"/v1/report\",status=\"200\"} 1"), "{metrics}");
}

#[test]
fn reports_are_answered_while_another_program_holds_the_ledger() {
    let home = Home::new();
    let daemon = home.start();
    daemon.post_durably("/v1/traces", &trace(""));
    let blocker = home.lock();
    daemon.post("/v1/traces", &trace(""));
    let report = daemon.get("/v1/report").json();
    assert_eq!(report["totals"]["exact"]["calls"], 1);
    drop(blocker);
    until("both are counted", || daemon.get("/v1/report").json()["totals"]["exact"]["calls"] == 2);
}
