//! No table is wider than its terminal.

use jiff::SignedDuration;

use crate::golden::VERBS;
use crate::home::Home;
use crate::sessions::{Answer, time, transcript};

/// Names and numbers at the end of what is seen in the wild: paths of 120 characters, models named by
/// a cloud's resource, and counts of 12 digits.
fn home_of_extremes() -> Home {
    let home = Home::new();
    let deep = format!("/home/somebody/{}", "a-folder-with-a-name/".repeat(5));
    let models = [
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-5-v1:0",
        "claude-opus-4-5",
    ];
    let mut text = String::new();
    for at in 0..8_u64 {
        let start = time("2025-10-20T22:00:00Z");
        let project = format!("{deep}{at}/プロジェクト");
        let id = format!("m{at}");
        text += &Answer {
            project: &project,
            model: models[usize::try_from(at).unwrap() % 2],
            input: 123_456_789_012 * (at + 1),
            cached: 999_999_999_999,
            output: 100_000_000_000,
            ..Answer::new(&id, "8f3c0000-0000-4000-8000-000000000001", start)
        }
        .line();
        let later = start + SignedDuration::from_hours(12 * i64::try_from(at).unwrap());
        let id = format!("n{at}");
        text += &Answer { project: &project, ..Answer::new(&id, "s", later) }.line();
    }
    home.write(&transcript("extremes"), text);
    home
}

const TABLES: [&str; 19] = [
    "report hour",
    "report day",
    "report week",
    "report month",
    "report model",
    "report project",
    "report agent",
    "report session",
    "report block",
    "report day,agent",
    "report day,agent,model",
    "report project,model",
    "report session,model",
    "report model --compact",
    "report project --breakdown",
    "report day,project --breakdown",
    "sessions",
    "sources",
    "report --completeness",
];

/// Columns that a text takes in a terminal: those of East Asian scripts take two for each character.
fn columns(line: &str) -> usize {
    line.chars().map(|c| if ('\u{2e80}'..='\u{ffdc}').contains(&c) { 2 } else { 1 }).sum()
}

fn wide_lines(home: &Home, columns_max: usize) -> Vec<String> {
    let mut wide = Vec::new();
    for table in TABLES {
        let arguments: Vec<&str> = table.split(' ').collect();
        let mut command = home.command(&arguments);
        command.env("COLUMNS", columns_max.to_string());
        let printed = crate::home::finish(command).stdout;
        assert!(printed.lines().count() > 2, "{table}: {printed}");
        let lines = printed.lines().filter(|line| columns(line) > columns_max);
        wide.extend(lines.map(|line| format!("{table}: {} {line}", columns(line))));
    }
    wide
}

#[test]
fn tables_fit_80_columns() {
    for home in [Home::everyday(), home_of_extremes()] {
        let wide = wide_lines(&home, 80);
        assert!(wide.is_empty(), "{}", wide.join("\n"));
    }
}

#[test]
fn help_fits_80_columns() {
    let home = Home::new();
    for verb in VERBS.iter().chain(&["parity", "budget", "alerts"]) {
        let help = home.print(format!("{verb} --help").trim());
        let wide: Vec<&str> = help.lines().filter(|line| columns(line) > 80).collect();
        assert!(wide.is_empty(), "{verb}: {}", wide.join("\n"));
    }
}
