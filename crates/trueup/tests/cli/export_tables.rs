//! Tables, as scripts meet them: the rows of the reports, every record once, and no formulas.

use std::collections::BTreeMap;
use std::fs;

use insta::assert_snapshot;
use rusqlite::{Connection, params};
use serde_json::{Map, Value, json};

use crate::home::{Home, text_of};

/// The rows of an export, by each form that is text: they must be the same.
fn rows(home: &Home, line: &str) -> Vec<Value> {
    let lines = home.print(&format!("export {line} --format ndjson"));
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let whole: Value =
        serde_json::from_str(&home.print(&format!("export {line} --format json"))).unwrap();
    let view = line.split(' ').next().unwrap();
    assert_eq!(whole, json!({"schema": 1, "view": view, "rows": rows}));
    let csv = home.print(&format!("export {line}"));
    let mut csv = csv::Reader::from_reader(csv.as_bytes());
    let names = csv.headers().unwrap().clone();
    for (cells, row) in csv.records().zip(&rows) {
        for (name, cell) in names.iter().zip(&cells.unwrap()) {
            let value = &row[name];
            let written = if value.is_null() { String::new() } else { value.to_string() };
            let expected = value.as_str().map_or(written, str::to_owned);
            assert_eq!(cell.strip_prefix('\'').unwrap_or(cell), expected, "{name}");
        }
    }
    rows
}

/// A row of a report's JSON, as an export has it.
fn flat(row: &Value) -> Value {
    let mut flat = Map::new();
    for (name, value) in row.as_object().unwrap() {
        match value.as_object().filter(|_| name != "models") {
            Some(sum) => {
                flat.extend(sum.iter().map(|(of, value)| (format!("{name}_{of}"), value.clone())));
            }
            None => drop(flat.insert(name.clone(), value.clone())),
        }
    }
    Value::Object(flat)
}

#[test]
fn usage_is_what_reports_say() {
    let home = Home::everyday();
    for line in [
        "--by day,model",
        "--by month",
        "--by week,agent --tz Asia/Kathmandu",
        "--by 30m,project,kind --tz America/St_Johns",
        "--by model,day --since 2026-10-01 --until 2026-10-31",
        "--by hour --source codex --cost computed",
        "--by day --model gpt-* --since 2026-10-02",
        "--by day --since 2020-01-01 --until 2020-01-02",
        "--by session,model",
        "--by day,model --no-ledger",
    ] {
        assert_eq!(
            home.print(&format!("export usage {line}")),
            home.print(&format!("report {line} --csv")),
            "{line}"
        );
        let report: Value =
            serde_json::from_str(&home.print(&format!("report {line} --json"))).unwrap();
        let expected: Vec<Value> = report["rows"].as_array().unwrap().iter().map(flat).collect();
        let rows = rows(&home, &format!("usage {line}"));
        assert_eq!(rows.len(), expected.len(), "{line}");
        for (row, expected) in rows.iter().zip(expected) {
            for (name, value) in row.as_object().unwrap() {
                assert_eq!(*value, expected[name], "{line}: {name}");
            }
        }
    }
}

#[test]
fn sessions_are_those_of_the_list() {
    let home = Home::everyday();
    for line in ["", "--since 2026-10-01 --until 2026-10-01", "--source codex", "--no-ledger"] {
        let list: Value =
            serde_json::from_str(&home.print(&format!("sessions --last 0 --json {line}"))).unwrap();
        let by_name = |rows: &mut dyn Iterator<Item = Value>| -> BTreeMap<String, Value> {
            rows.map(|row| (row["session"].as_str().unwrap().to_owned(), row)).collect()
        };
        let expected = by_name(&mut list["rows"].as_array().unwrap().iter().map(flat));
        let exported = by_name(&mut rows(&home, &format!("sessions {line}")).into_iter());
        assert!(!exported.is_empty() && exported.keys().eq(expected.keys()), "{line}");
        for (row, expected) in exported.values().zip(expected.values()) {
            assert_eq!(json!([row["agent"]]), expected["agents"]);
            let models: Vec<&String> = expected["models"].as_object().unwrap().keys().collect();
            assert_eq!(row["models"], json!(models));
            for (name, value) in row.as_object().unwrap() {
                if name == "device" {
                    assert_eq!(*value, "", "of one machine: {line}");
                } else if !["agent", "kinds", "models"].contains(&name.as_str()) {
                    assert_eq!(*value, expected[name], "{line}: {name}");
                }
            }
        }
    }
}

/// A home whose ledger has records.
fn with_records(count: i64) -> Home {
    let home = Home::new();
    home.print("report");
    let mut database = Connection::open(home.ledger()).unwrap();
    let insert = database.transaction().unwrap();
    for at in 0..count {
        let ms = 1_795_132_800_000 + at * 60_000;
        let id = [&ms.to_be_bytes()[2..], &at.to_be_bytes(), &[0; 2]].concat();
        let (session, stack) = (format!("s{}", at % 7), (at % 2 == 0).then_some("at main\n\tat b"));
        let agent = if at % 3 == 0 { "my-agent" } else { "http" };
        insert
            .execute(
                "INSERT INTO error_events (id, created_at, source, session, error_type, message,
                 stack_trace, severity, metadata) VALUES (?1, ?2, ?3, ?4, 'llm_error', ?5, ?6, 'error', NULL)",
                params![id, ms, agent, session, format!("=HYPERLINK(\"{at}\"), \u{202e}né 😀"), stack],
            )
            .unwrap();
        insert
            .execute(
                "INSERT INTO system_metrics (id, created_at, scope, cpu_millipercent, oom_kills)
                 VALUES (?1, ?2, 'host', ?3, NULL)",
                params![id, ms, at],
            )
            .unwrap();
    }
    insert.commit().unwrap();
    home
}

#[test]
fn every_record_is_there_once_in_the_order_of_time() {
    // Far more than what is read at a time.
    let count = 3_000;
    let home = with_records(count);
    for view in ["errors", "host"] {
        let rows = rows(&home, view);
        assert_eq!(rows.len(), usize::try_from(count).unwrap());
        let times: Vec<&str> = rows.iter().map(|row| row["at"].as_str().unwrap()).collect();
        assert!(times.is_sorted_by(|one, next| one < next), "{view}");
    }
    let first = &rows(&home, "errors")[0];
    let expected = json!({
        "at": "2026-11-20T00:00:00.000Z", "id": "01a1f640-bc00-0000-0000-000000000000",
        "agent": "my-agent", "session": "s0", "type": "llm_error", "severity": "error",
        "message": "=HYPERLINK(\"0\"), \u{202e}né 😀", "stack_trace": "at main\n\tat b",
        "metadata": null,
    });
    assert_eq!(*first, expected);
    assert!(home.print("export errors").contains("\"'=HYPERLINK(\"\"0\"\"), "));
    let last = &rows(&home, "host --since 2026-11-22")[119];
    assert_eq!(last["at"], "2026-11-22T01:59:00.000Z");
    assert_eq!((&last["cpu_millipercent"], &last["oom_kills"]), (&json!(2_999), &Value::Null));
    let of = |line: &str| rows(&home, line).len();
    assert_eq!(of("errors --since 2026-11-20 --until 2026-11-20"), 1_440);
    assert_eq!(of("errors --until 2026-11-20 --tz Europe/Berlin"), 1_380);
    assert_eq!(of("errors --source my-*"), 1_000);
    assert_eq!(of("errors --source http --source my-agent"), 3_000);
    assert_eq!(of("errors --source nobody"), 0);
    assert_eq!(of("host --since 2030-01-01"), 0);
}

/// The most memory that an export held, beside the pages of the program, looked at with each part of what
/// it wrote.
#[cfg(target_os = "linux")]
fn held_kib(home: &Home, line: &str) -> u64 {
    use std::io::Read as _;

    let words: Vec<&str> = line.split(' ').collect();
    let mut running = crate::home::Running(home.command(&words).spawn().unwrap());
    let mut out = running.0.stdout.take().unwrap();
    let (mut part, mut held) = (vec![0; 64 << 10], 0);
    while out.read(&mut part).unwrap() > 0 {
        let status = text_of(format!("/proc/{}/status", running.0.id()));
        // One that has ended holds nothing any more.
        if let Some(line) = status.lines().find_map(|line| line.strip_prefix("RssAnon:")) {
            held = held.max(line.split_whitespace().next().unwrap().parse().unwrap());
        }
    }
    assert!(running.wait().success());
    held
}

#[test]
#[cfg(target_os = "linux")]
fn little_is_held_of_many_rows() {
    let home = with_records(60_000);
    for view in ["errors", "host"] {
        for (format, kib_max) in [("csv", 6 << 10), ("json", 6 << 10), ("parquet", 24 << 10)] {
            let held = held_kib(&home, &format!("export {view} --format {format}"));
            assert!((1..kib_max).contains(&held), "{view} {format}: {held} KiB");
        }
    }
}

#[test]
fn a_file_of_parquet_is_one() {
    let home = with_records(10);
    for view in ["usage", "sessions", "errors", "host"] {
        home.print(&format!("export {view} --format parquet --output {view}.parquet"));
        let bytes = fs::read(home.at(&format!("{view}.parquet"))).unwrap();
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{view}");
        home.print(&format!("export {view} --out {view}.csv"));
        assert_eq!(text_of(home.at(&format!("{view}.csv"))), home.print(&format!("export {view}")));
    }
}

#[test]
fn tables_as_people_see_them() {
    let home = Home::everyday();
    let mut seen = String::new();
    for line in [
        "export usage --by month",
        "export sessions --since 2020-01-01 --until 2020-01-02",
        "export errors",
        "export host --format ndjson",
        "export usage --by block",
        "export usage --by day,session",
        "export errors --since 2026-11-20 --until 2026-11-19",
        "export host --tz Nowhere/Else",
        "export usage --source nobody",
        "export usage --format xml",
        "export errors --ledger nowhere.db",
    ] {
        seen += &home.transcript(line);
    }
    assert_snapshot!(seen);
}
