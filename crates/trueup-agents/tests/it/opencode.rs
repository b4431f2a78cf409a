//! OpenCode beyond its fixtures: answers that are written while we read, and odd stores.

use std::fs;
use std::path::PathBuf;

use rusqlite::{Connection, params};
use tempfile::TempDir;
use trueup_agents::Agent;
use trueup_core::Outcome;

use crate::home::{Account, inventory, read};

fn opencode() -> &'static dyn Agent {
    trueup_agents::agent("opencode").unwrap()
}

/// A home folder, and OpenCode's folder in it.
fn empty() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".local/share/opencode");
    fs::create_dir_all(&folder).unwrap();
    (home, folder)
}

fn read_home(home: &TempDir, account: Account) -> Account {
    read(opencode(), &inventory(opencode(), home.path()).stores, account)
}

fn outputs(account: &Account) -> Vec<u64> {
    let mut outputs: Vec<u64> = account.calls().map(|call| call.tokens.output).collect();
    outputs.sort_unstable();
    outputs
}

/// An answer as it stands: how much is written, and whether that is all.
fn answer(output: u64, end: &str) -> String {
    format!(
        r#"{{"role":"assistant","providerID":"anthropic","modelID":"claude-sonnet-4-6","cost":0,
        "tokens":{{"input":0,"output":{output},"reasoning":0,"cache":{{"read":0,"write":0}}}},
        "time":{{"created":1771027800000{end}}}}}"#
    )
}

const DONE: &str = r#","completed":1771027809000"#;

fn version_1(folder: &std::path::Path) -> Connection {
    let database = Connection::open(folder.join("opencode.db")).unwrap();
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL;
            CREATE TABLE message(id TEXT PRIMARY KEY, session_id TEXT NOT NULL,
                time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, data TEXT NOT NULL);
            CREATE TABLE session(id TEXT PRIMARY KEY, directory TEXT);",
        )
        .unwrap();
    database
}

fn write(database: &Connection, id: &str, updated: i64, data: &str) {
    let insert = "INSERT OR REPLACE INTO message VALUES (?1, 'ses_1', 1771027800000, ?2, ?3)";
    database.execute(insert, params![id, updated, data]).unwrap();
}

#[test]
fn an_answer_counts_once_however_often_its_row_changes() {
    let (home, folder) = empty();
    let database = version_1(&folder);
    write(&database, "msg_1", 10, &answer(0, ""));
    let account = read_home(&home, Account::default());
    assert!(outputs(&account).is_empty(), "nothing is known of it yet");
    write(&database, "msg_1", 11, &answer(5, ""));
    // Another answer of the same instant: it is not behind the position.
    write(&database, "msg_2", 11, &answer(7, DONE));
    let account = read_home(&home, account);
    assert_eq!(outputs(&account), [5, 7]);
    write(&database, "msg_1", 12, &answer(9, DONE));
    // Another process took its time earlier and committed later.
    write(&database, "msg_3", 9, &answer(1, DONE));
    assert_eq!(outputs(&read_home(&home, account)), [1, 7, 9]);
}

#[test]
fn rows_far_behind_the_position_are_not_read_again() {
    let (home, folder) = empty();
    let database = version_1(&folder);
    write(&database, "msg_1", 100_000, &answer(5, DONE));
    let account = read_home(&home, Account::default());
    write(&database, "msg_2", 39_999, &answer(6, DONE));
    write(&database, "msg_3", 40_000, &answer(7, DONE));
    assert_eq!(outputs(&read_home(&home, account)), [5, 7]);
}

#[test]
fn an_error_after_the_last_count_is_seen() {
    let (home, folder) = empty();
    let database = version_1(&folder);
    write(&database, "msg_1", 10, &answer(5, ""));
    let account = read_home(&home, Account::default());
    let failed = answer(5, "").replace(r#""cost":0"#, r#""error":{"name":"MessageAbortedError"}"#);
    write(&database, "msg_1", 11, &failed);
    let account = read_home(&home, account);
    let call = account.calls().next().unwrap();
    assert_eq!(call.outcome, Outcome::Failed { error_type: "aborted".into() });
}

#[test]
fn a_document_is_read_again_when_it_changed() {
    let (home, folder) = empty();
    let path = folder.join("storage/message/ses_1/msg_1.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, answer(5, "")).unwrap();
    let account = read_home(&home, Account::default());
    fs::write(&path, answer(90, DONE)).unwrap();
    let account = read_home(&home, account);
    assert_eq!(outputs(&account), [90]);
    let call = account.calls().next().unwrap();
    assert_eq!(&*call.origin.session, "ses_1", "the folder names the session");
}

#[test]
fn another_store_of_the_same_name_is_read_from_its_beginning() {
    let (home, folder) = empty();
    let database = version_1(&folder);
    write(&database, "msg_1", 1_000, &answer(5, DONE));
    let account = read_home(&home, Account::default());
    drop(database);
    // Kept, so that the new file cannot have the old one's inode.
    fs::rename(folder.join("opencode.db"), folder.join("opencode.db.old")).unwrap();
    let database = version_1(&folder);
    write(&database, "msg_2", 10, &answer(6, DONE));
    assert_eq!(outputs(&read_home(&home, account)), [5, 6]);
}

#[test]
fn rows_too_long_to_hold_are_shortened() {
    let (home, folder) = empty();
    let database = version_1(&folder);
    let long = format!(r#"{{"content":"{}","#, "x".repeat(3 << 20));
    write(&database, "msg_1", 10, &answer(5, DONE).replacen('{', &long, 1));
    let account = read_home(&home, Account::default());
    assert_eq!((outputs(&account), account.problems.len()), (vec![5], 0));
}

#[test]
fn unknown_schemas_are_named() {
    for (tables, problems) in [
        ("CREATE TABLE other(id TEXT)", 1),
        ("CREATE TABLE message(id TEXT, session_id TEXT, body TEXT)", 1),
        ("CREATE TABLE message(id TEXT, session_id TEXT, data TEXT)", 0),
        (
            "CREATE TABLE message(id TEXT, session_id TEXT, data TEXT);
            CREATE TABLE session_message(id TEXT, session_id TEXT, data TEXT)",
            1,
        ),
    ] {
        let (home, folder) = empty();
        let database = Connection::open(folder.join("opencode.db")).unwrap();
        database.execute_batch(tables).unwrap();
        let account = read_home(&home, Account::default());
        assert_eq!(account.problems, vec!["opencode.db:0 unknown_schema"; problems], "{tables}");
    }
}

#[test]
fn a_store_without_times_of_change_is_read_whole() {
    let (home, folder) = empty();
    let database = Connection::open(folder.join("opencode.db")).unwrap();
    database.execute_batch("CREATE TABLE message(id TEXT, session_id TEXT, data TEXT)").unwrap();
    let insert = "INSERT INTO message VALUES (?1, 'ses_1', ?2)";
    database.execute(insert, ["msg_1", &answer(5, DONE)]).unwrap();
    let account = read_home(&home, Account::default());
    database.execute(insert, ["msg_2", &answer(6, DONE)]).unwrap();
    assert_eq!(outputs(&read_home(&home, account)), [5, 6]);
}
