//! OpenClaw beyond its fixtures: the contract's totals, stores that change between two reads, and
//! lines too long to keep.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use trueup_agents::Agent;

use crate::home::{Account, Home, fixture, fixture_root, inventory, read};

const SESSION: &str = "3e5aebe9-5cb0-449d-bf79-60d985cd9c6f";

/// Three calls: 1,090 and 1,112 and 1,156 tokens.
const NORMAL: &str = "openclaw/01_normal/.openclaw/agents/main/sessions";

fn openclaw() -> &'static dyn Agent {
    trueup_agents::agent("openclaw").unwrap()
}

/// The lines of the session of [`NORMAL`].
fn lines() -> Vec<String> {
    transcript(&fixture_root().join(NORMAL).join(format!("{SESSION}.jsonl")))
}

fn transcript(path: &Path) -> Vec<String> {
    let text = String::from_utf8(fs::read(path).unwrap()).unwrap();
    text.split_inclusive('\n').map(str::to_owned).collect()
}

/// The fork of the session: a header, a copy of the three calls, and a call of its own of 110 tokens.
fn fork() -> Vec<String> {
    let name = "openclaw/14_fork/.openclaw/agents/main/sessions/a434bc25-b7fa-4da8-963c-8d8be9c27738.jsonl";
    transcript(&fixture_root().join(name))
}

fn total(account: &Account) -> u64 {
    account.calls().map(|call| call.tokens.total()).sum()
}

fn read_home(home: &Path, account: Account) -> Account {
    read(openclaw(), &inventory(openclaw(), home).stores, account)
}

/// A home folder with nothing in it, and the folder of its one agent.
fn empty() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let agent = home.path().join(".openclaw/agents/main");
    fs::create_dir_all(agent.join("sessions")).unwrap();
    fs::create_dir_all(agent.join("agent")).unwrap();
    (home, agent)
}

#[test]
fn totals_of_the_contract() {
    for (case, tokens, calls) in [
        ("01_normal", 3_358, 3),
        ("08_truncated", 2_202, 2),
        ("09_no_newline", 3_358, 3),
        ("10_reset_archive", 3_468, 4),
        ("11_deleted_zst", 3_358, 3),
        ("12_compact_bak", 3_358, 3),
        ("14_fork", 3_468, 4),
        ("15_id_collision", 1_105, 2),
        ("17_invalid_utf8", 3_358, 3),
        ("18_crlf_bom_nul", 3_358, 3),
        ("20_sqlite_v8", 3_358, 3),
        ("21_sqlite_v19", 3_358, 3),
        ("22_sqlite_v23_zstd", 3_358, 3),
        ("25_cold_a_present", 3_358, 3),
        ("26_not_transcripts", 3_358, 3),
    ] {
        let account = read_home(&fixture(&format!("openclaw/{case}")), Account::default());
        assert_eq!((total(&account), account.calls().count()), (tokens, calls), "{case}");
    }
}

#[test]
fn a_fork_owns_only_its_own_call() {
    let account = read_home(&fixture("openclaw/14_fork"), Account::default());
    let owned = account.calls().filter(|call| &*call.origin.session == SESSION).count();
    assert_eq!(owned, 3);
    // Without its parent it is all that is left of the calls.
    let home = fixture("openclaw/14_fork");
    fs::remove_file(home.join(format!(".openclaw/agents/main/sessions/{SESSION}.jsonl"))).unwrap();
    assert_eq!(total(&read_home(&home, Account::default())), 3_468);
}

#[test]
fn a_torn_row_counts_when_it_is_whole() {
    let (home, agent) = empty();
    let path = agent.join(format!("sessions/{SESSION}.jsonl"));
    let text = lines().concat().into_bytes();
    let second = lines()[..6].concat().len() + 120;
    fs::write(&path, &text[..second]).unwrap();
    let account = read_home(home.path(), Account::default());
    assert_eq!(total(&account), 1_090);
    fs::write(&path, &text[..text.len() - 1]).unwrap();
    let account = read_home(home.path(), account);
    assert_eq!(total(&account), 2_202, "the last row has no newline yet");
    fs::write(&path, &text).unwrap();
    assert_eq!(total(&read_home(home.path(), account)), 3_358);
}

#[test]
fn compaction_and_deletion_lose_nothing() {
    let (home, agent) = empty();
    let live = agent.join(format!("sessions/{SESSION}.jsonl"));
    fs::write(&live, lines().concat()).unwrap();
    let account = read_home(home.path(), Account::default());
    fs::rename(&live, live.with_extension("jsonl.bak.2026-05-20T10-00-00.000Z")).unwrap();
    fs::write(&live, lines()[6..].concat()).unwrap();
    let account = read_home(home.path(), account);
    assert_eq!(total(&account), 3_358);
    fs::rename(&live, live.with_extension("jsonl.deleted.2026-05-21T10-00-00.000Z")).unwrap();
    assert_eq!(total(&read_home(home.path(), account)), 3_358);
    assert_eq!(total(&read_home(home.path(), Account::default())), 3_358);
}

/// A tool's result of 65 MiB is passed over; a long answer is shortened.
#[test]
fn lines_too_long_to_hold_are_read_or_passed_over() {
    let (home, agent) = empty();
    let mut file = fs::File::create(agent.join(format!("sessions/{SESSION}.jsonl"))).unwrap();
    let lines = lines();
    let image = "x".repeat(1 << 20);
    write!(file, "{}{}", lines[0], lines[5]).unwrap();
    write!(file, r#"{{"type":"message","id":"t","message":{{"role":"toolResult","content":""#)
        .unwrap();
    for _ in 0..65 {
        file.write_all(image.as_bytes()).unwrap();
    }
    writeln!(file, r#"","usage":{{"input":1000}}}}}}"#).unwrap();
    let answer = lines[6].replace(r#""text":"ok""#, &format!(r#""text":"{image}{image}""#));
    file.write_all(answer.as_bytes()).unwrap();
    drop(file);
    let account = read_home(home.path(), Account::default());
    assert_eq!((total(&account), account.problems.len()), (2_202, 0));
}

/// Appends in small writes between polls, and a file that is replaced by itself in the middle.
#[test]
fn a_writer_beside_the_reader_loses_nothing() {
    let (home, agent) = empty();
    let path = agent.join(format!("sessions/{SESSION}.jsonl"));
    let text = lines().concat().into_bytes();
    let mut account = Account::default();
    let (mut written, mut step) = (0, 1);
    while written < text.len() {
        let end = text.len().min(written + step);
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        file.write_all(&text[written..end]).unwrap();
        (written, step) = (end, step * 7 % 97 + 1);
        if written > text.len() / 2 && written < text.len() / 2 + 90 {
            let fresh = path.with_extension("tmp");
            fs::write(&fresh, &text[..written]).unwrap();
            fs::rename(&fresh, &path).unwrap();
        }
        account = read_home(home.path(), account);
    }
    assert_eq!((total(&account), account.problems.len()), (3_358, 0));
}

/// An agent's store of schema 23 beside a live gateway.
struct Gateway {
    database: Connection,
}

impl Gateway {
    fn open(agent: &Path) -> Self {
        let database = Connection::open(agent.join("agent/openclaw-agent.sqlite")).unwrap();
        database
            .execute_batch(
                "PRAGMA journal_mode = WAL;
                CREATE TABLE transcript_events(session_id TEXT NOT NULL, seq INTEGER NOT NULL,
                    event_json TEXT, created_at INTEGER NOT NULL, event_zstd BLOB,
                    event_utf8_bytes INTEGER, navigation_json TEXT, PRIMARY KEY(session_id, seq)) STRICT;
                CREATE TABLE transcript_rewrite_watermarks(session_id TEXT NOT NULL PRIMARY KEY,
                    generation TEXT NOT NULL, updated_at INTEGER NOT NULL) STRICT;
                CREATE TABLE session_windows(session_id TEXT NOT NULL PRIMARY KEY, session_key TEXT,
                    model_provider TEXT, model TEXT) STRICT;
                CREATE TABLE session_transcript_archives(session_id TEXT NOT NULL, generation TEXT NOT NULL,
                    session_key TEXT, reason TEXT NOT NULL, encoding TEXT NOT NULL, archive_blob BLOB,
                    archive_name TEXT) STRICT;
                CREATE TABLE session_transcript_cold_archives(session_id TEXT NOT NULL PRIMARY KEY,
                    generation TEXT NOT NULL, archive_name TEXT NOT NULL, storage TEXT NOT NULL,
                    archive_blob BLOB) STRICT;",
            )
            .unwrap();
        Self { database }
    }

    fn write(&self, session: &str, from: usize, lines: &[String]) {
        let insert = "INSERT INTO transcript_events(session_id, seq, event_json, created_at) VALUES (?1, ?2, ?3, 0)";
        for (at, line) in lines.iter().enumerate() {
            let seq = i64::try_from(from + at).unwrap();
            self.database.execute(insert, params![session, seq, line.trim_end()]).unwrap();
        }
    }

    fn write_packed(&self, session: &str, seq: i64, line: &str) {
        let packed = zstd::bulk::compress(line.as_bytes(), 1).unwrap();
        let insert = "INSERT INTO transcript_events(session_id, seq, event_zstd, created_at) VALUES (?1, ?2, ?3, 0)";
        self.database.execute(insert, params![session, seq, packed]).unwrap();
    }

    fn rewrite(&self, session: &str, generation: Option<&str>, lines: &[String]) {
        self.database
            .execute("DELETE FROM transcript_events WHERE session_id = ?1", [session])
            .unwrap();
        self.write(session, 0, lines);
        if let Some(generation) = generation {
            let insert = "INSERT OR REPLACE INTO transcript_rewrite_watermarks VALUES (?1, ?2, 0)";
            self.database.execute(insert, [session, generation]).unwrap();
        }
    }
}

#[test]
fn rows_written_between_polls_are_read_once() {
    let (home, agent) = empty();
    let gateway = Gateway::open(&agent);
    gateway.write(SESSION, 0, &lines()[..6]);
    let account = read_home(home.path(), Account::default());
    assert_eq!(total(&account), 1_090);
    gateway.write(SESSION, 6, &lines()[6..7]);
    gateway.write_packed(SESSION, 7, &lines()[7]);
    let account = read_home(home.path(), account);
    assert_eq!(total(&account), 3_358);
    let part = format!("events/{SESSION}");
    let position = account.positions.iter().find(|(store, _)| *store.part == *part).unwrap().1;
    assert_eq!((position.offset, position.line), (7, 8));
    assert!(account.calls().all(|call| &*call.origin.project == "/home/u/proj"));
}

#[test]
fn a_store_that_was_not_written_to_is_not_opened() {
    let (home, agent) = empty();
    let gateway = Gateway::open(&agent);
    gateway.write(SESSION, 0, &lines());
    let mut account = read_home(home.path(), Account::default());
    account.positions.retain(|store, _| store.part.is_empty());
    let known = account.positions.clone();
    // Were it opened, positions of its parts would come back.
    let account = read_home(home.path(), account);
    assert_eq!(account.positions, known);
    gateway.write("another", 0, &lines()[..1]);
    assert_eq!(read_home(home.path(), account).positions.len(), 3);
}

#[test]
fn a_rewritten_session_is_read_again_with_and_without_watermarks() {
    for generation in [Some("g2"), None] {
        let (home, agent) = empty();
        let gateway = Gateway::open(&agent);
        gateway.write(SESSION, 0, &lines());
        let account = read_home(home.path(), Account::default());
        assert_eq!(total(&account), 3_358);
        // The first call is gone, the others have other numbers, and there is a new one.
        let rewritten = [&lines()[..5], &lines()[6..], &fork()[4..]].concat();
        gateway.rewrite(SESSION, generation, &rewritten);
        let account = read_home(home.path(), account);
        assert_eq!(total(&account), 3_468, "{generation:?}");
    }
}

#[test]
fn the_store_and_what_was_left_of_the_files_count_once() {
    let (home, agent) = empty();
    let gateway = Gateway::open(&agent);
    gateway.write(SESSION, 0, &lines());
    gateway.write("a434bc25-b7fa-4da8-963c-8d8be9c27738", 0, &fork());
    let imported = agent.join("session-sqlite-import-archive");
    fs::create_dir_all(&imported).unwrap();
    let name = format!("agent-main-main.{SESSION}.jsonl.imported-1785542400000");
    fs::write(imported.join(name), lines().concat()).unwrap();
    let backup = format!("sessions/{SESSION}.jsonl.bak.2026-05-20T10-00-00.000Z");
    fs::write(agent.join(backup), lines().concat()).unwrap();
    let account = read_home(home.path(), Account::default());
    assert_eq!((total(&account), account.calls().count()), (3_468, 4));
    assert_eq!(account.calls().filter(|call| &*call.origin.session == SESSION).count(), 3);
}

#[test]
fn transcripts_in_blobs_are_read_once() {
    let (home, agent) = empty();
    let gateway = Gateway::open(&agent);
    let archive =
        "INSERT INTO session_transcript_archives VALUES (?1, 'g', 'k', 'deleted', ?2, ?3, NULL)";
    let plain = lines()[..6].concat();
    gateway.database.execute(archive, params!["a", "identity", plain.as_bytes()]).unwrap();
    let packed = zstd::bulk::compress(lines()[6].as_bytes(), 1).unwrap();
    gateway.database.execute(archive, params!["b", "zstd", packed]).unwrap();
    gateway.database.execute(archive, params!["c", "zstd", b"no zstd".as_slice()]).unwrap();
    let cold = "INSERT INTO session_transcript_cold_archives VALUES (?1, 'g', ?1, ?2, ?3)";
    let packed = zstd::bulk::compress(lines()[7].as_bytes(), 1).unwrap();
    gateway.database.execute(cold, params!["d", "sqlite", packed]).unwrap();
    gateway.database.execute(cold, params!["e", "file", None::<Vec<u8>>]).unwrap();
    let account = read_home(home.path(), Account::default());
    assert_eq!(total(&account), 3_358);
    assert_eq!(account.problems, ["openclaw-agent.sqlite:3 corrupt", "e:0 missing"]);
    assert_eq!(account.positions.len(), 5, "four blobs and the store");
    let sessions: Vec<&str> = account.calls().map(|call| &*call.origin.session).collect();
    assert!(sessions.contains(&SESSION) && sessions.contains(&"b") && sessions.contains(&"d"));
    // More of the store is read, but no blob again.
    gateway.write("x", 0, &lines()[..1]);
    assert_eq!(read_home(home.path(), account).problems.len(), 3, "what is missing is said again");
}

#[test]
fn events_too_long_to_hold_are_shortened_from_the_store() {
    let (home, agent) = empty();
    let gateway = Gateway::open(&agent);
    let long = format!(r#""text":"{}""#, "x".repeat(3 << 20));
    let answer = |line: &String| line.replace(r#""text":"ok""#, &long);
    gateway.write(SESSION, 0, &[answer(&lines()[5])]);
    gateway.write_packed(SESSION, 1, &answer(&lines()[6]));
    let result =
        format!(r#"{{"type":"message","message":{{"role":"toolResult",{long},"usage":{{}}}}}}"#);
    gateway.write(SESSION, 2, &[result]);
    let account = read_home(home.path(), Account::default());
    assert_eq!((total(&account), account.problems.len()), (2_202, 0));
}

#[test]
fn answers_without_a_model_have_that_of_their_window() {
    let (home, agent) = empty();
    let gateway = Gateway::open(&agent);
    let window = "INSERT INTO session_windows VALUES (?1, 'k', 'anthropic', 'claude-sonnet-4-6')";
    gateway.database.execute(window, [SESSION]).unwrap();
    let unnamed = lines()[5].replace(r#""provider":"openai-codex","model":"gpt-5.3-codex","#, "");
    gateway.write(SESSION, 0, &[unnamed]);
    let account = read_home(home.path(), Account::default());
    let call = account.calls().next().unwrap();
    assert_eq!((&*call.origin.provider, &*call.origin.model), ("anthropic", "claude-sonnet-4-6"));
}

#[test]
fn unknown_schemas_are_named_and_empty_stores_are_not() {
    for (tables, problems) in [
        ("CREATE TABLE schema_meta(meta_key TEXT)", 0),
        ("CREATE TABLE session_nodes(session_key TEXT)", 1),
        ("CREATE TABLE transcript_events(session_id TEXT, seq INTEGER, body TEXT)", 1),
        (
            "CREATE TABLE transcript_events(session_id TEXT, seq INTEGER, event_json TEXT);
            CREATE TABLE session_transcript_archives(session_id TEXT, body BLOB)",
            1,
        ),
    ] {
        let (home, agent) = empty();
        let database = Connection::open(agent.join("agent/openclaw-agent.sqlite")).unwrap();
        database.execute_batch(tables).unwrap();
        let account = read_home(home.path(), Account::default());
        let expected = vec!["openclaw-agent.sqlite:0 unknown_schema"; problems];
        assert_eq!(account.problems, expected, "{tables}");
    }
}

#[test]
fn many_sessions_and_sessions_of_many_pages_are_read_whole() {
    let (home, agent) = empty();
    let gateway = Gateway::open(&agent);
    gateway.database.execute_batch("BEGIN").unwrap();
    for session in 0..40 {
        for at in 0..250 {
            let line = lines()[5].replace("e13d7013", &format!("{session:04}{at:04}"));
            gateway.write(&format!("s{session:03}"), at, &[line]);
        }
    }
    // More than two pages.
    for at in 0..4_100 {
        gateway.write("long", at, &[lines()[5].replace("e13d7013", &format!("long{at:04}"))]);
    }
    gateway.database.execute_batch("COMMIT").unwrap();
    let account = read_home(home.path(), Account::default());
    assert_eq!(account.calls().count(), 40 * 250 + 4_100);
    assert_eq!(account.positions.len(), 42);
}

#[test]
fn a_session_that_is_compacted_between_polls_keeps_its_project() {
    let (home, agent) = empty();
    let live = agent.join(format!("sessions/{SESSION}.jsonl"));
    fs::write(&live, lines()[..7].concat()).unwrap();
    let account = read_home(home.path(), Account::default());
    let backup = format!("sessions/{SESSION}.jsonl.bak.2026-05-20T10-00-00.000Z");
    fs::rename(&live, agent.join(backup)).unwrap();
    fs::write(&live, &lines()[6]).unwrap();
    let account = read_home(home.path(), account);
    // Another process writes on, in two parts.
    let last = &lines()[7];
    let (start, end) = last.split_at(40);
    for part in [start, end] {
        fs::OpenOptions::new()
            .append(true)
            .open(&live)
            .unwrap()
            .write_all(part.as_bytes())
            .unwrap();
    }
    let account = read_home(home.path(), account);
    assert_eq!((total(&account), account.calls().count()), (3_358, 3));
    assert!(account.calls().all(|call| &*call.origin.project == "/home/u/proj"));
}

#[test]
fn fixtures_stay_as_they_are() {
    let home: Home = fixture("openclaw/21_sqlite_v19");
    read_home(&home, Account::default());
    let folder = fixture_root().join("openclaw/21_sqlite_v19/.openclaw/agents/main/agent");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "reading leaves nothing beside a fixture");
}

#[test]
fn a_session_that_was_cut_keeps_its_name_under_its_new_header() {
    let (home, agent) = empty();
    let path = agent.join(format!("sessions/{SESSION}.jsonl"));
    let header = lines()[0].replace(SESSION, "0b6f3a52-9d4c-4c1e-8a7e-2f1d3c4b5a69");
    fs::write(&path, [&[header], &lines()[7..]].concat().concat()).unwrap();
    fs::write(agent.join("sessions/copy.jsonl"), lines().concat()).unwrap();
    let account = read_home(home.path(), Account::default());
    assert_eq!((total(&account), account.calls().count()), (3_358, 3));
    assert!(account.calls().all(|call| &*call.origin.session == SESSION));
}
