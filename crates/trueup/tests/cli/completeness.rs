//! `trueup report --completeness`, on a home with a bit of everything.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use serde::Deserialize;

use crate::home::Home;

const HEADER: &str = r#"{"type":"session","version":3,"id":"ID","timestamp":"2026-02-14T00:00:00.000Z","cwd":"/home/u/proj"}"#;

const ANSWER: &str = r#"{"type":"message","id":"mTIME","message":{"role":"assistant","content":[],"provider":"p","model":"m","usage":{"input":630,"output":60},"timestamp":TIME}}"#;

fn transcript(home: &Home, session: &str, answers: &[i64]) {
    let answers = answers.iter().map(|time| ANSWER.replace("TIME", &time.to_string()));
    let lines: Vec<String> =
        std::iter::once(HEADER.replace("ID", session)).chain(answers).collect();
    home.write(&format!(".openclaw/agents/main/sessions/{session}.jsonl"), lines.join("\n") + "\n");
}

/// Three runs on two days: one measured, one of a session that lacks it, one of a session that lacks
/// everything.
fn home() -> Home {
    let home = Home::new();
    let entry = |session: &str, time: i64| {
        format!(
            r#""agent:main:cron:{session}":{{"sessionId":"{session}","updatedAt":{time},"inputTokens":690,"outputTokens":66}}"#
        )
    };
    let entries = [entry("whole", DAY), entry("partial", DAY + 86_400_000), entry("gone", DAY)];
    home.write(
        ".openclaw/agents/main/sessions/sessions.json",
        format!("{{{}}}", entries.join(",")),
    );
    transcript(&home, "whole", &[DAY - 60_000, DAY - 1_000]);
    transcript(&home, "partial", &[DAY]);
    home
}

/// 2026-02-14T12:00:00Z
const DAY: i64 = 1_771_070_400_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    schema: u32,
    by: String,
    tz: String,
    rows: Vec<Row>,
    totals: Counts,
}

#[derive(Debug, Deserialize)]
struct Row {
    day: Option<String>,
    week: Option<String>,
    month: Option<String>,
    agent: String,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
struct Counts {
    calls: u64,
    runs_estimated: u64,
    sessions_estimated: u64,
    sessions_superseded: u64,
    sessions_without_transcript: u64,
    bad_lines: u64,
}

impl Counts {
    const fn all(self) -> [u64; 6] {
        [
            self.calls,
            self.runs_estimated,
            self.sessions_estimated,
            self.sessions_superseded,
            self.sessions_without_transcript,
            self.bad_lines,
        ]
    }
}

fn report(home: &Home, options: &str) -> Report {
    let text = home.print(&format!("report --completeness --json {options}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn what_is_measured_stands_beside_what_is_not() {
    let home = home();
    let lines = ["report --completeness", "report month --completeness --json"];
    let text: Vec<String> = lines.iter().map(|line| home.transcript(line)).collect();
    assert_snapshot!(text.join("\n"));
    let report = report(&home, "");
    assert_eq!((report.schema, report.by.as_str(), report.tz.as_str()), (1, "day,agent", "UTC"));
    let days: BTreeMap<_, _> =
        report.rows.iter().map(|row| (row.day.as_deref().unwrap(), row.counts.all())).collect();
    assert_eq!(days["2026-02-14"], [3, 1, 1, 1, 1, 0]);
    assert_eq!(days["2026-02-15"], [0, 1, 1, 0, 0, 0]);
    assert_eq!(report.totals.all(), [3, 2, 2, 1, 1, 0]);
}

#[test]
fn its_runs_and_calls_are_those_of_the_report() {
    let home = home();
    home.write(".codex/sessions/2026/02/14/rollout-x.jsonl", "no record\n");
    for options in ["", "--since 2026-02-15", "--tz Asia/Kathmandu", "--source openclaw"] {
        let plain = crate::schema::report(&home, &format!("report month --json {options}"));
        let totals = report(&home, &format!("--by month {options}")).totals;
        assert_eq!(
            (totals.calls, totals.runs_estimated),
            (plain.totals.exact.calls, plain.totals.estimated.calls),
            "{options}"
        );
    }
}

#[test]
fn bad_lines_count_on_the_day_when_they_were_seen() {
    let home = home();
    home.write(".openclaw/agents/main/sessions/bad.jsonl", "no record\nnone either\n");
    let report = report(&home, "--by week");
    assert_eq!(report.totals.bad_lines, 2);
    let last = report.rows.iter().filter(|row| row.counts.bad_lines > 0).collect::<Vec<_>>();
    assert_eq!((last.len(), last[0].agent.as_str()), (1, "openclaw"));
    assert!(last[0].week.is_some() && last[0].month.is_none() && last[0].counts.calls == 0);
}

#[test]
fn what_it_cannot_tell_is_refused() {
    let home = home();
    let lines = [
        "report --completeness --no-ledger",
        "report model --completeness",
        "report day,agent --completeness",
        "report block --completeness",
        "report --completeness --project proj",
        "report --completeness --json=ccusage",
        "report --completeness --csv",
        "report --completeness --source nobody",
    ];
    for line in lines {
        assert_eq!(home.run(line).code, Some(2), "{line}");
    }
    let text: Vec<String> = lines.iter().map(|line| home.transcript(line)).collect();
    assert_snapshot!(text.join("\n"));
}

#[test]
fn nothing_found_says_where_it_looked() {
    let run = Home::new().run("report --completeness");
    assert_eq!(run.code, Some(0));
    assert!(run.stdout.starts_with("No usage found."), "{run:?}");
}
