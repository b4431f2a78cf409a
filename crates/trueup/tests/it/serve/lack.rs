//! What the account lacks, as the metrics and the log tell it.

use std::fs;

use serde_json::Value;

use super::daemon::{Daemon, Home, until};

const ENTRY: &str = r#"{"agent:main:main":{"sessionId":"s","updatedAt":1771029601500,"inputTokens":690,"outputTokens":66}}"#;
const TRANSCRIPT: &str = r#"{"type":"session","version":3,"id":"s","timestamp":"2026-02-14T00:00:00.000Z","cwd":"/home/u/proj"}
{"type":"message","id":"e1","timestamp":"2026-02-14T00:40:00.000Z","message":{"role":"assistant","content":[],"provider":"p","model":"m","usage":{"input":690,"output":66},"timestamp":1771029600000}}
no record
"#;

fn metric(daemon: &Daemon, name: &str) -> Option<String> {
    let line = format!("{name}{{agent=\"openclaw\"}} ");
    let text = daemon.get("/metrics").text;
    text.lines().find_map(|found| found.strip_prefix(&line)).map(ToOwned::to_owned)
}

fn metrics(daemon: &Daemon) -> [Option<String>; 5] {
    [
        "trueup_runs_estimated",
        "trueup_sessions_estimated",
        "trueup_sessions_superseded",
        "trueup_sessions_transcript_missing",
        "trueup_bad_lines",
    ]
    .map(|name| metric(daemon, name))
}

fn told(daemon: &Daemon) -> Vec<Value> {
    let lines = daemon.log().into_iter();
    let lines = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap());
    lines.filter(|line| line["message"] == "completeness").collect()
}

#[test]
fn what_comes_late_takes_the_place_of_its_estimate() {
    let home = Home::with(&[("TRUEUP_SYNC_INTERVAL", "100ms")]);
    let folder = home.path(".openclaw/agents/main/sessions");
    fs::create_dir_all(&folder).unwrap();
    let daemon = home.start();
    assert_eq!(told(&daemon).len(), 0);
    fs::write(folder.join("sessions.json"), ENTRY).unwrap();
    until("the log tells of the estimate", || told(&daemon).len() == 1);
    let line = &told(&daemon)[0];
    for field in ["sessions_estimated", "sessions_without_transcript"] {
        assert_eq!((&line[field], &line[format!("{field}_change")]), (&1.into(), &1.into()));
    }
    let one = || Some("1".to_owned());
    let none = || Some("0".to_owned());
    assert_eq!(metrics(&daemon), [one(), one(), none(), one(), none()]);

    fs::write(folder.join("s.jsonl"), TRANSCRIPT).unwrap();
    until("the log tells of the transcript", || told(&daemon).len() >= 2);
    until("all is read", || metric(&daemon, "trueup_bad_lines") == one());
    assert_eq!(metrics(&daemon), [none(), none(), one(), none(), one()]);
    let lines = told(&daemon);
    let sum = |field: &str| lines.iter().map(|line| line[field].as_i64().unwrap()).sum::<i64>();
    assert_eq!(sum("sessions_estimated_change"), 0);
    assert_eq!((sum("sessions_superseded_change"), sum("bad_lines_change")), (1, 1));
}
