//! `trueup doctor`, on homes that lack something, each in its own way.

use std::collections::BTreeMap;
use std::fs;

use insta::assert_snapshot;
use rusqlite::Connection;
use serde::Deserialize;

use crate::home::{Home, finish, skipped};
use crate::sessions;

/// A session of OpenClaw.
const SESSION: &str = "3e5aebe9-5cb0-449d-bf79-60d985cd9c6f";

const HEADER: &str = r#"{"type":"session","version":3,"id":"3e5aebe9-5cb0-449d-bf79-60d985cd9c6f","timestamp":"2026-02-14T00:00:00.000Z","cwd":"/home/u/proj"}"#;
const PROMPT: &str = r#"{"type":"message","id":"0c1d","timestamp":"2026-02-14T00:00:09.000Z","message":{"role":"user","content":[]}}"#;
const ANSWER: &str = r#"{"type":"message","id":"e13d7013","timestamp":"2026-02-14T00:10:00.000Z","message":{"role":"assistant","content":[],"provider":"openai-codex","model":"gpt-5.3-codex","usage":{"input":630,"output":60,"cacheRead":400,"cacheWrite":0},"stopReason":"stop","timestamp":1771027800000}}"#;
const MIRROR: &str = r#"{"type":"message","id":"63895109","timestamp":"2026-02-14T00:40:02.000Z","message":{"role":"assistant","content":[],"timestamp":1771029602000,"usage":{"input":0,"output":0},"provider":"openclaw","model":"delivery-mirror"}}"#;
const WITHOUT_USAGE: &str = r#"{"type":"message","id":"0a1b","timestamp":"2026-02-14T00:40:01.000Z","message":{"role":"assistant","content":[],"provider":"bailian","model":"qwen"}}"#;

/// What the index says that the last run used: 1,156 tokens.
const ENTRY: &str = r#"{"sessionId":"3e5aebe9-5cb0-449d-bf79-60d985cd9c6f","updatedAt":1771029601500,"modelProvider":"openai-codex","model":"gpt-5.3-codex","inputTokens":690,"outputTokens":66,"totalTokens":1090}"#;

fn beside_index(name: &str) -> String {
    format!(".openclaw/agents/main/sessions/{name}")
}

fn transcript() -> String {
    beside_index(&format!("{SESSION}.jsonl"))
}

/// A home in which nothing is wrong.
fn healthy() -> Home {
    let home = Home::of_fixtures(&["openclaw/01_normal"]);
    let start = sessions::time("2025-10-20T07:40:00Z");
    home.write(&sessions::transcript("one"), sessions::claude("one", start, 9, 20));
    home
}

/// A home with an index that claims a run, and with these lines as the transcript.
fn home_with(lines: &[&str]) -> Home {
    let home = home_without_transcript();
    let end = if lines.is_empty() { "" } else { "\n" };
    home.write(&transcript(), lines.join("\n") + end);
    home
}

fn home_without_transcript() -> Home {
    let home = Home::new();
    home.write(&beside_index("sessions.json"), format!(r#"{{"agent:main:main":{ENTRY}}}"#));
    home
}

/// The store of an agent whose one session was put into cold storage.
fn home_with_cold_session() -> Home {
    let home = Home::new();
    let folder = home.at(".openclaw/agents/main/agent");
    fs::create_dir_all(&folder).unwrap();
    let database = Connection::open(folder.join("openclaw-agent.sqlite")).unwrap();
    database
        .execute_batch(&format!(
            "CREATE TABLE transcript_events(session_id TEXT, seq INTEGER, event_json TEXT,
                event_zstd BLOB, PRIMARY KEY(session_id, seq));
            CREATE TABLE session_nodes(session_key TEXT PRIMARY KEY, current_session_id TEXT,
                entry_json TEXT, updated_at INTEGER);
            CREATE TABLE session_transcript_cold_archives(session_id TEXT PRIMARY KEY,
                generation TEXT, archive_name TEXT, archive_sha256 TEXT, storage TEXT,
                archive_blob BLOB);
            INSERT INTO session_nodes VALUES('agent:main:main', '{SESSION}', '{ENTRY}', 1771029601500);
            INSERT INTO session_transcript_cold_archives
                VALUES('{SESSION}', 'g', '{COLD}.jsonl.zst', '{COLD}', 'file', NULL);"
        ))
        .unwrap();
    home
}

const COLD: &str = "46e8b4180592adfc44cfdd647111bc4e5704c46bd4d8f4ffffe8c5901979c7db";

/// What the program prints, without what depends on the machine.
fn transcript_of(home: &Home, line: &str) -> String {
    let text = home.transcript(line);
    text.lines().map(without_measures).collect::<Vec<_>>().join("\n")
}

fn without_measures(line: &str) -> String {
    if let Some((before, _days)) = line.split_once("unchanged for ") {
        return format!("{before}unchanged for … days");
    }
    match line.split_once("disk_space") {
        Some((before, after)) => {
            let blanks = after.len() - after.trim_start().len();
            format!("{before}disk_space{:blanks$}… left for the ledger", "")
        }
        None => line.to_owned(),
    }
}

/// The output of doctor, as docs/doctor-json.md says, and nothing else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    schema: u32,
    generated_at: String,
    ok: bool,
    summary: Summary,
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Summary {
    ok: usize,
    warn: usize,
    fail: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    id: String,
    source: Option<String>,
    status: Status,
    detail: String,
    items: Vec<Item>,
    meta: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Item {
    session: Option<String>,
    path: Option<String>,
    reason: String,
    first: Option<String>,
    mend: Option<String>,
}

impl Found {
    fn check(&self, id: &str) -> &Check {
        self.checks.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("{id}: {self:?}"))
    }

    /// The checks that are not well.
    fn wrong(&self) -> Vec<(&str, Status)> {
        let wrong = self.checks.iter().filter(|check| check.status != Status::Ok);
        wrong.map(|check| (check.id.as_str(), check.status)).collect()
    }
}

/// What doctor finds; the exit code is always that of the worst.
fn doctor(home: &Home, options: &str) -> Found {
    let run = home.run(&format!("doctor --json {options}"));
    let found: Found = serde_json::from_str(&run.stdout)
        .unwrap_or_else(|error| panic!("{options}: {error}\n{run:?}"));
    let worst = found.checks.iter().map(|check| check.status).max().unwrap();
    let (code, is_ok) = match worst {
        Status::Ok => (0, true),
        Status::Warn => (1, false),
        Status::Fail => (2, false),
    };
    assert_eq!((run.code, found.ok), (Some(code), is_ok), "{run:?}");
    let count = |status| found.checks.iter().filter(|check| check.status == status).count();
    let summary =
        Summary { ok: count(Status::Ok), warn: count(Status::Warn), fail: count(Status::Fail) };
    assert_eq!(found.summary, summary);
    assert_eq!(found.schema, 1);
    assert!(found.generated_at.ends_with('Z'));
    for check in &found.checks {
        assert!(!check.detail.is_empty() && !check.detail.contains('\n'), "{check:?}");
        let is_mendable = check.status == Status::Ok
            || (!check.items.is_empty() && check.items.iter().all(|item| item.mend.is_some()));
        assert!(is_mendable, "{check:?}");
        for Item { reason, first, mend, .. } in &check.items {
            assert!(!reason.is_empty() && first.as_ref().is_none_or(|first| !first.is_empty()));
            let is_command = |mend: &String| {
                ["trueup ", "openclaw ", "timedatectl"].iter().any(|name| mend.starts_with(name))
            };
            assert!(mend.as_ref().is_none_or(is_command), "{check:?}");
        }
    }
    found
}

/// What is found after two looks at the stores.
fn second_look(home: &Home) -> Found {
    home.print("sync");
    doctor(home, "")
}

#[test]
fn a_healthy_home_is_well() {
    let home = healthy();
    assert_snapshot!(transcript_of(&home, "doctor"));
    let found = doctor(&home, "");
    assert_eq!((found.summary.warn, found.summary.fail), (0, 0), "{:?}", found.wrong());
    // What is only about one agent, and about the machine.
    let one = doctor(&home, "--source claude-code");
    let sources: Vec<_> = one.checks.iter().filter_map(|check| check.source.as_deref()).collect();
    assert_eq!(sources, ["claude-code"]);
}

#[test]
fn an_empty_machine_is_well() {
    let home = Home::new();
    assert_eq!(doctor(&home, "").wrong(), []);
    // Asked for by name, what is not there is no good news.
    assert_eq!(doctor(&home, "--source openclaw").wrong(), [("last_success", Status::Warn)]);
}

#[test]
fn sessions_without_transcript_fail_at_the_second_look() {
    let home = home_without_transcript();
    assert_snapshot!("first_look", transcript_of(&home, "doctor"));
    assert_snapshot!("second_look", transcript_of(&home, "doctor"));
    let found = doctor(&home, "");
    let check = found.check("totals_without_transcript_usage");
    assert_eq!(check.source.as_deref(), Some("openclaw"));
    assert_eq!(check.meta["tokens_estimated"], 1_156);
    assert_eq!(check.items[0].session.as_deref(), Some(SESSION));
    assert_eq!(check.items[0].path.as_deref(), home.at(&transcript()).to_str());
    // The transcript comes after all.
    home.write(&transcript(), format!("{HEADER}\n{}\n", ANSWER.replace("00:10:", "00:40:")));
    let late = ANSWER.replace("1771027800000", "1771029600000").replace("00:10:00", "00:40:00");
    home.write(&transcript(), format!("{HEADER}\n{late}\n"));
    let found = doctor(&home, "");
    assert_eq!(found.wrong(), []);
    assert_eq!(found.check("totals_without_transcript_usage").meta["sessions_superseded"], 1);
}

#[test]
fn a_look_at_some_agents_is_no_look_at_all_stores() {
    let home = home_without_transcript();
    home.print("sync");
    let polls = || {
        let found = doctor(&home, "--no-sync");
        found.check("totals_without_transcript_usage").meta["polls"].as_u64().unwrap()
    };
    assert_eq!(polls(), 1);
    for some in ["claude-code", "openclaw", "openclaw --from openclaw"] {
        home.print(&format!("sync --from {some}"));
        assert_eq!(polls(), 1, "{some}");
    }
    let every: Vec<&str> = trueup_agents::AGENTS.iter().map(|agent| agent.id()).collect();
    home.print(&format!("sync --from {}", every.join(" --from ")));
    assert_eq!(polls(), 2);
}

#[test]
fn each_reason_is_told() {
    let unreadable = r#"{"type":"message","message":{"role":"assistant","usage":{]}}"#;
    let cases: [(&str, &[&str], &str); 6] = [
        ("empty", &[], "transcript empty"),
        ("header", &[HEADER], "header only"),
        ("mirrors", &[HEADER, MIRROR], "only delivery mirrors: no model was called here"),
        ("bad", &[HEADER, unreadable, "no record"], "unreadable lines: 2 of 3"),
        ("prompts", &[HEADER, PROMPT], "no answer in the 2 lines of the transcript"),
        ("no usage", &[HEADER, WITHOUT_USAGE], "1 answer in the transcript, without usage"),
    ];
    for (name, lines, reason) in cases {
        let home = home_with(lines);
        let found = second_look(&home);
        let check = found.check("totals_without_transcript_usage");
        assert_eq!(check.status, Status::Fail, "{name}");
        assert_eq!(check.items[0].reason, reason, "{name}");
        assert_eq!(check.items[0].path.as_deref(), home.at(&transcript()).to_str(), "{name}");
        assert_eq!(found.check("jsonl_missing_sessions").status, Status::Ok, "{name}");
    }
}

#[test]
fn of_very_many_sessions_only_the_number_is_told() {
    let home = Home::new();
    let entries: Vec<String> = (0..1_003)
        .map(|at| {
            format!(
                r#""agent:main:cron:{at}":{{"sessionId":"s{at}","inputTokens":1,"updatedAt":7}}"#
            )
        })
        .collect();
    home.write(&beside_index("sessions.json"), format!("{{{}}}", entries.join(",")));
    let found = doctor(&home, "");
    let check = found.check("totals_without_transcript_usage");
    assert_eq!((check.items.len(), &check.meta["items_not_listed"]), (1_000, &3.into()));
    assert_eq!(check.meta["sessions_without_transcript"], 1_003);
    let text = home.run("doctor").stdout;
    assert!(text.contains("and 993 more: `trueup doctor --json` names them"), "{text}");
}

#[test]
fn a_transcript_that_lacks_the_last_run_is_partly_an_estimate() {
    let home = home_with(&[HEADER, ANSWER]);
    let found = second_look(&home);
    assert_eq!(found.wrong(), [("estimate_used_sessions", Status::Warn)]);
    assert_snapshot!(transcript_of(&home, "doctor --source openclaw"));
}

#[test]
fn a_cold_archive_that_is_gone_is_named() {
    let home = home_with_cold_session();
    let found = second_look(&home);
    assert_eq!(
        found.wrong(),
        [
            ("totals_without_transcript_usage", Status::Fail),
            ("jsonl_missing_sessions", Status::Warn),
            ("cold_archive_missing", Status::Fail),
        ]
    );
    let archive = home.at(&beside_index(&format!("cold/{COLD}.jsonl.zst")));
    let check = found.check("totals_without_transcript_usage");
    assert_eq!(check.items[0].reason, "cold archive missing");
    assert_eq!(check.items[0].path.as_deref(), archive.to_str());
    assert_snapshot!(transcript_of(&home, "doctor --source openclaw"));
    // One that is there, with other bytes.
    home.write(&beside_index(&format!("cold/{COLD}.jsonl.zst")), "other bytes");
    let found = doctor(&home, "");
    assert_eq!(found.check("cold_archive_missing").status, Status::Ok);
    assert_eq!(found.check("cold_archive_corrupt").status, Status::Fail);
    let check = found.check("totals_without_transcript_usage");
    assert!(check.items[0].reason.starts_with("cold archive corrupt"), "{check:?}");
}

#[test]
fn transcripts_that_no_index_names_count_and_are_no_fault() {
    let home = home_with(&[HEADER, &ANSWER.replace("00:10:00.000Z", "00:40:00.000Z")]);
    let other = HEADER.replace("3e5aebe9", "99990000");
    home.write(&beside_index("orphan.jsonl"), format!("{other}\n"));
    let found = doctor(&home, "");
    let check = found.check("orphan_transcripts");
    assert_eq!((check.status, &check.meta["orphans"]), (Status::Ok, &1.into()));
    let named: Vec<_> = check.items.iter().map(|item| item.session.as_deref()).collect();
    assert_eq!(named, [Some("orphan")]);
}

#[test]
fn lines_and_tails_that_cannot_be_read_are_named() {
    let home = Home::of_fixtures(&["openclaw/01_normal"]);
    home.write(&beside_index("bad.jsonl"), format!("{HEADER}\nno record\nnone either\n{{\"half"));
    let found = doctor(&home, "");
    assert_eq!(found.wrong(), [("bad_lines", Status::Warn), ("partial_tail_stuck", Status::Warn)]);
    assert_eq!(found.check("bad_lines").meta["bad_lines"], 2);
    assert_snapshot!(
        transcript_of(&home, "doctor").lines().take(21).collect::<Vec<_>>().join("\n")
    );
    // What a crash of the machine left behind is no line.
    home.write(&beside_index("bad.jsonl"), format!("{HEADER}\n\0\0\0\0"));
    assert_eq!(doctor(&home, "").wrong(), []);
}

#[test]
fn a_store_of_another_schema_is_a_failure() {
    let home = Home::of_fixtures(&["openclaw/01_normal"]);
    let folder = home.at(".openclaw/agents/ops/agent");
    fs::create_dir_all(&folder).unwrap();
    let database = Connection::open(folder.join("openclaw-agent.sqlite")).unwrap();
    database.execute_batch("CREATE TABLE transcript_events(session_id TEXT, body TEXT)").unwrap();
    drop(database);
    let found = doctor(&home, "");
    assert_eq!(found.wrong(), [("schema_unknown", Status::Fail)]);
    let item = &found.check("schema_unknown").items[0];
    assert!(item.reason.contains("no column seq"), "{item:?}");
    assert!(item.mend.as_ref().unwrap().contains("rebuild --source openclaw"), "{item:?}");
}

#[test]
fn a_store_that_cannot_be_read_is_a_failure() {
    let home = Home::of_fixtures(&["openclaw/01_normal"]);
    home.write(".openclaw/agents/ops/agent/openclaw-agent.sqlite", vec![0; 8192]);
    let found = doctor(&home, "");
    assert_eq!(found.wrong(), [("paths_readable", Status::Fail)]);
    // What is wrong with an agent that was not asked for is not told.
    assert_eq!(doctor(&home, "--source codex").check("paths_readable").status, Status::Ok);
}

#[test]
fn an_agent_without_sessions_is_looked_at() {
    let home = Home::new();
    fs::create_dir_all(home.at(".openclaw")).unwrap();
    let found = doctor(&home, "");
    assert_eq!(found.wrong(), [("last_success", Status::Warn)]);
    assert_eq!(found.check("last_success").items[0].reason, "no session in it");
}

#[test]
fn without_a_sync_nothing_is_read_or_written() {
    let home = healthy();
    let found = doctor(&home, "--no-sync");
    assert_eq!(found.check("ledger_integrity").items[0].reason, "not there");
    assert!(!home.ledger().exists());
    home.print("sync");
    let before = fs::read(home.ledger()).unwrap();
    home.write(&beside_index("new.jsonl"), format!("{HEADER}\nno record\n"));
    assert_eq!(doctor(&home, "--no-sync").wrong(), []);
    assert_eq!(fs::read(home.ledger()).unwrap(), before);
}

#[test]
fn a_ledger_that_another_process_holds_is_only_read() {
    let home = healthy();
    home.print("sync");
    let lock = fs::File::open(home.ledger().with_added_extension("lock")).unwrap();
    lock.lock().unwrap();
    let found = doctor(&home, "");
    assert_eq!(found.wrong(), []);
    assert!(found.check("ledger_lock").detail.ends_with(" keeps it"));
}

#[test]
fn a_ledger_that_cannot_be_written_is_only_read() {
    use std::os::unix::fs::PermissionsExt as _;
    if rustix::process::geteuid().is_root() {
        skipped("root may write everything");
        return;
    }
    let home = healthy();
    home.print("sync");
    let folder = home.ledger().parent().unwrap().to_path_buf();
    fs::remove_file(home.ledger().with_added_extension("lock")).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    let found = doctor(&home, "");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(found.wrong(), [("ledger_lock", Status::Warn)]);
}

#[test]
fn where_no_ledger_can_be_made_everything_is_read_all_the_same() {
    let home = home_without_transcript();
    home.write("ledger", "a file where the folder should be");
    let found = doctor(&home, "");
    assert_eq!(found.check("ledger_integrity").status, Status::Fail);
    assert_eq!(found.check("totals_without_transcript_usage").status, Status::Warn);
}

#[test]
fn a_ledger_that_stands_in_leaves_events_of_hooks_alone() {
    let home = healthy();
    let event = "spool/openclaw/1760000000000-7-ab.json";
    home.write(event, r#"{"type":"command","action":"new"}"#);
    home.write("ledger", "a file where the folder should be");
    doctor(&home, "");
    assert!(home.at(event).exists(), "nobody has read it yet");
}

#[test]
fn a_damaged_ledger_is_told_and_not_waited_for() {
    let home = healthy();
    home.print("sync");
    let mut bytes = fs::read(home.ledger()).unwrap();
    let end = bytes.len() - 4096;
    bytes[8192..end].fill(0x5a);
    fs::write(home.ledger(), &bytes).unwrap();
    let found = doctor(&home, "");
    assert_eq!(found.wrong(), [("ledger_integrity", Status::Fail)]);
    assert_eq!(fs::read(home.ledger()).unwrap(), bytes, "it is left as it was");
    // What is no ledger at all.
    fs::write(home.ledger(), "a letter to somebody".repeat(99)).unwrap();
    let found = doctor(&home, "");
    assert_eq!(found.wrong(), [("ledger_integrity", Status::Fail)]);
}

#[test]
fn times_of_the_future_are_told() {
    let home = home_with(&[HEADER, &ANSWER.replace("1771027800000", "4102444800000")]);
    let found = doctor(&home, "");
    assert!(found.wrong().contains(&("clock", Status::Warn)), "{:?}", found.wrong());
    let item = &found.check("clock").items[0];
    assert_eq!(item.reason, "there is usage of 2100-01-01T00:00:00.000Z, after now");
}

/// A program in the place of OpenClaw that prints this.
fn home_with_openclaw(prints: &str) -> Home {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::of_fixtures(&["openclaw/14_fork"]);
    home.write("bin/openclaw", format!("#!/bin/sh\necho \"$@\" >> $HOME/asked\n{prints}\n"));
    fs::set_permissions(home.at("bin/openclaw"), fs::Permissions::from_mode(0o755)).unwrap();
    home
}

fn parity(home: &Home, days: u16) -> Check {
    let option = format!("--parity={days}");
    let mut command = home.command(&["doctor", "--json", &option]);
    command.env("PATH", format!("{}:/usr/bin:/bin", home.at("bin").display()));
    let run = finish(command);
    let mut found: Found =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    let at = found.checks.iter().position(|check| check.id == "openclaw_parity").unwrap();
    found.checks.remove(at)
}

#[test]
fn what_openclaw_counts_twice_is_explained() {
    let home = home_with_openclaw(
        r#"echo 'Config warnings:'; echo '{"totals":{"totalTokens":6826},"cacheStatus":{"status":"fresh"}}'"#,
    );
    let check = parity(&home, 3650);
    assert_eq!(check.status, Status::Ok, "{check:?}");
    assert_eq!(check.meta["openclaw_tokens"], 6_826);
    assert_eq!(check.meta["trueup_tokens"], 3_468);
    assert_eq!(check.meta["copies_tokens"], 3_358);
    assert_eq!(check.meta["unexplained_tokens"], 0);
    let asked = fs::read(home.at("asked")).unwrap();
    assert_eq!(
        String::from_utf8(asked).unwrap(),
        "gateway usage-cost --days 3650 --json --all-agents\n"
    );
    // What nobody can explain.
    let home = home_with_openclaw(r#"echo '{"totals":{"totalTokens":9999}}'"#);
    let check = parity(&home, 3650);
    assert_eq!((check.status, &check.meta["unexplained_tokens"]), (Status::Warn, &3_173.into()));
}

#[test]
fn an_openclaw_that_gives_no_account_is_told() {
    let home = home_with_openclaw("echo 'no gateway' >&2; exit 3");
    let check = parity(&home, 7);
    assert_eq!(check.status, Status::Warn);
    assert!(check.items[0].reason.contains("no gateway"), "{check:?}");
    let home = Home::of_fixtures(&["openclaw/01_normal"]);
    let skipped = doctor(&home, "--parity");
    assert_eq!(skipped.check("openclaw_parity").detail, "skipped: no `openclaw` on the path");
}

#[test]
fn a_hook_that_is_not_loaded_is_told() {
    let home = Home::of_fixtures(&["openclaw/01_normal"]);
    home.run("hooks install openclaw");
    let found = doctor(&home, "");
    assert_eq!(found.wrong(), [("hook_not_loaded", Status::Warn)]);
    let mend = found.check("hook_not_loaded").items[0].mend.as_deref();
    assert_eq!(mend, Some("openclaw hooks enable trueup"));
}

#[test]
fn a_spool_that_is_named_from_here_is_one_spool() {
    let home = Home::of_fixtures(&["openclaw/01_normal"]);
    let run = |arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env("TRUEUP_SPOOL_DIR", "here");
        finish(command)
    };
    run(&["hooks", "install", "openclaw"]);
    home.write("here/openclaw/dropped", "1795212509482 full command:new\n");
    let found: Found = serde_json::from_str(&run(&["doctor", "--json"]).stdout).unwrap();
    let items = &found.check("hook_not_loaded").items;
    let spools = items.iter().filter(|item| item.reason == "1 event found no room");
    let paths: Vec<_> = spools.map(|item| item.path.as_deref().unwrap()).collect();
    assert_eq!(paths, [home.at("here/openclaw").to_str().unwrap()]);
}

#[test]
fn every_line_fits_its_terminal() {
    for home in [home_without_transcript(), home_with_cold_session()] {
        for columns in [60, 80] {
            let mut command = home.command(&["doctor"]);
            command.env("COLUMNS", columns.to_string());
            let printed = finish(command).stdout;
            assert!(printed.lines().count() > 10, "{printed}");
            let wide: Vec<&str> =
                printed.lines().filter(|line| line.chars().count() > columns).collect();
            assert!(wide.is_empty(), "{}", wide.join("\n"));
        }
    }
}

#[test]
fn an_unknown_agent_is_wrong_usage() {
    let run = Home::new().run("doctor --source nobody");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("`nobody` is not an agent"), "{run:?}");
}
