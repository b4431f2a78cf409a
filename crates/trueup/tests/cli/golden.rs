//! What the program prints, word by word.
//!
//! `INSTA_UPDATE=always cargo test -p trueup --test cli` writes the snapshots anew: read the
//! difference.

use insta::assert_snapshot;

use crate::home::Home;
use crate::sessions::{claude, time, transcript};

const BY: [&str; 10] =
    ["30m", "hour", "day", "week", "month", "model", "project", "agent", "session", "kind"];

/// Transcripts of several command lines on one home.
fn transcripts(home: &Home, lines: &[&str]) -> String {
    lines.iter().map(|line| home.transcript(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn reports_by_each_dimension() {
    let home = Home::everyday();
    for by in BY {
        assert_snapshot!(format!("report_{by}"), home.transcript(&format!("report {by}")));
    }
}

#[test]
fn reports_by_two_dimensions_have_subtotals() {
    let home = Home::everyday();
    assert_snapshot!(transcripts(
        &home,
        &["report day,agent", "report agent,model", "report month,project"]
    ));
}

#[test]
fn reports_with_options() {
    let home = Home::everyday();
    assert_snapshot!(transcripts(
        &home,
        &[
            "report",
            "report day --breakdown",
            "report model --compact",
            "report agent --cost computed",
            "report agent --cost reported",
            "report agent --offline",
            "report --since 2026-10-01 --until 20261120",
            "report model --source opencode --model claude-*",
            "report agent --project app --tz Asia/Kathmandu",
            "report agent --strict",
        ]
    ));
}

#[test]
fn reports_as_json() {
    let home = Home::everyday();
    for by in BY {
        let name = format!("json_{by}");
        assert_snapshot!(name, home.transcript(&format!("report {by} --json")));
    }
    assert_snapshot!("json_breakdown", home.transcript("report month --json --breakdown"));
    assert_snapshot!("json_day_agent", home.transcript("report day,agent --json --source codex"));
}

#[test]
fn reports_for_other_programs() {
    let home = Home::everyday();
    assert_snapshot!("json_ccusage", home.transcript("report month --json=ccusage"));
    assert_snapshot!("csv", transcripts(&home, &["report agent --csv", "report day,model --csv"]));
}

/// Blocks of the past: one that is running depends on the clock.
fn home_with_blocks() -> Home {
    let home = Home::new();
    home.write(&transcript("one"), claude("one", time("2025-10-20T07:40:00Z"), 9, 20));
    home.write(&transcript("three"), claude("three", time("2025-10-20T12:10:00Z"), 4, 70));
    home
}

#[test]
fn blocks() {
    let home = home_with_blocks();
    assert_snapshot!(transcripts(
        &home,
        &[
            "report block",
            "report blocks --tz America/St_Johns --since 2025-10-20",
            "report block --json",
            "report block --json=ccusage",
        ]
    ));
}

#[test]
fn sessions() {
    let home = Home::everyday();
    assert_snapshot!(transcripts(
        &home,
        &[
            "sessions",
            "sessions --last 2 --tz Pacific/Chatham",
            "sessions --json --last 1",
            "sessions --source gemini-cli --since 2026-11-01",
        ]
    ));
}

#[test]
fn sources() {
    let home = Home::everyday();
    let table = home.wide_transcript("sources");
    let undated: Vec<&str> = table.lines().map(without_time).collect();
    assert_snapshot!(undated.join("\n"));
    assert_snapshot!("source_problems", home.transcript("sources --problems"));
    assert_snapshot!("sources_json", home.transcript("sources --json --no-ledger"));
}

/// A line without the time at its end, such as `11-21 06:05`.
fn without_time(line: &str) -> &str {
    let Some((before, end)) = line.split_at_checked(line.len().saturating_sub(11)) else {
        return line;
    };
    let shape: String = end.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
    if shape == "##-## ##:##" { before.trim_end() } else { line }
}

#[test]
fn sync() {
    assert_snapshot!(transcripts(&Home::everyday(), &["sync", "sync"]));
}

#[test]
fn prices() {
    let home = Home::new();
    assert_snapshot!(transcripts(
        &home,
        &[
            "prices show claude-opus-4-5",
            "prices show claude-opus-4-5-20991231",
            "prices show gpt-5 --provider openai",
            "prices show a-model-of-nobody",
            "prices show gpt-5 --json",
            "prices show a-model-of-nobody --json",
        ]
    ));
}

/// Every verb whose help is looked at; the first is none.
pub(crate) const VERBS: &[&str] = &[
    "",
    "report",
    "sessions",
    "sync",
    "backfill",
    "backfill provider",
    "rebuild",
    "sources",
    "prices",
    "prices show",
    "statusline",
    "demo",
    "check",
    "doctor",
    "serve",
    "push",
    "push status",
    "provider",
    "provider add",
    "provider list",
    "provider test",
    "provider prune",
    "provider remove",
    "pull",
    "import",
    "export",
    "export focus",
    "export chargeback",
    "export usage",
    "export sessions",
    "export errors",
    "export host",
    "mcp",
    "hooks",
    "hooks install",
    "hooks uninstall",
    "hooks status",
    "telemetry",
    "telemetry status",
    "telemetry on",
    "telemetry local",
    "telemetry off",
    "telemetry show",
    "telemetry log",
    "telemetry errors",
    "telemetry backfill",
    "telemetry flush",
    "telemetry purge",
    "telemetry schema",
    "telemetry reset-id",
    "telemetry lint",
    "telemetry simulate",
    "telemetry redact",
    "telemetry pipe",
    "config",
    "completions",
];

#[test]
fn help_of_every_verb() {
    let home = Home::new();
    for verb in VERBS {
        let name = format!("help_{}", verb.replace(' ', "_"));
        assert_snapshot!(name, home.transcript(format!("{verb} --help").trim()));
    }
}

#[test]
fn nothing_found_says_where_it_looked() {
    let home = Home::new();
    assert_snapshot!(transcripts(
        &home,
        &["report", "report block", "sessions", "sources", "sources --problems", "report --csv"]
    ));
}

#[test]
fn nothing_matches_is_another_thing() {
    let home = Home::everyday();
    assert_snapshot!(transcripts(
        &home,
        &["report --since 2031-01-01", "sessions --model nobody-*"]
    ));
}

#[test]
fn wrong_usage_says_what_is_right() {
    let home = Home::everyday();
    assert_snapshot!(transcripts(
        &home,
        &[
            "",
            "reprot",
            "report --source nobody",
            "report --since tomorrow",
            "report --since 2026-02-30",
            "report --since 2026-02-02 --until 2026-02-01",
            "report --tz Mars/Base",
            "report nonsense",
            "report block,day",
            "report block --csv",
            "report session,day",
            "report day --by month",
            "report --json --csv",
            "report --json=xml",
            "report model --json=ccusage",
            "report --config nowhere.toml",
            "prices show",
        ]
    ));
}
