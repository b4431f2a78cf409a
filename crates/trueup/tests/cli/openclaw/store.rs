//! Cases of the contract that no folder holds: OpenClaw's SQLite store, beside what it left in files.

use rusqlite::{Connection, params};

use super::tree::{SESSION, SESSIONS, Tree, base_lines, reader_fixture};

const STORE: &str = "agents/main/agent/openclaw-agent.sqlite";

/// The session that began as a copy of the base session, with a call of its own of 110 tokens.
const FORK: &str = "a434bc25-b7fa-4da8-963c-8d8be9c27738";

const COLD: &str = "agents/main/sessions/cold/46e8b4180592adfc44cfdd647111bc4e5704c46bd4d8f4ffffe8c5901979c7db.jsonl.zst";

fn tree_with_store(case: &str) -> Tree {
    let tree = Tree::named();
    tree.write(STORE, reader_fixture(&format!("{case}/.openclaw/{STORE}")));
    tree
}

fn fork() -> Vec<String> {
    let name = format!("14_fork/.openclaw/{SESSIONS}/{FORK}.jsonl");
    let text = String::from_utf8(reader_fixture(&name)).unwrap();
    text.split_inclusive('\n').map(str::to_owned).collect()
}

fn insert(store: &Connection, session: &str, lines: &[String]) {
    let sql = "INSERT INTO transcript_events (session_id, seq, event_json, created_at)
        VALUES (?1, ?2, ?3, 0)";
    for (seq, line) in (0_i64..).zip(lines) {
        store.execute(sql, params![session, seq, line.trim_end()]).unwrap();
    }
}

/// Row 23: the store has the session and its fork, and the import and a backup have it once more.
#[test]
fn sqlite_plus_legacy() {
    let tree = tree_with_store("22_sqlite_v23_zstd");
    insert(&Connection::open(tree.at(STORE)).unwrap(), FORK, &fork());
    assert_eq!(tree.tokens("kept"), (3_468, 0));
    let text = base_lines().concat();
    tree.write(
        &format!("agents/main/session-sqlite-import-archive/agent-main-main.{SESSION}.jsonl.imported-1785542400000"),
        &text,
    );
    assert_eq!(tree.tokens("kept"), (3_468, 0));
    tree.write(&format!("{SESSIONS}/{SESSION}.jsonl.bak.2026-05-20T10-00-00.000Z"), &text);
    tree.write(&format!("{SESSIONS}/{FORK}.jsonl"), fork().concat());
    for ledger in ["kept", "fresh"] {
        assert_eq!(tree.tokens(ledger), (3_468, 0));
        let by_session = tree.tokens_by(ledger, "session");
        assert_eq!((by_session[SESSION], by_session[FORK]), ((3_358, 0), (110, 0)));
        tree.assert_settled(ledger);
    }
}

/// Row 24: the history is written anew: the first call is gone, the others have other numbers.
#[test]
fn sqlite_rewrite() {
    for generation in [Some("another"), None] {
        let tree = tree_with_store("22_sqlite_v23_zstd");
        assert_eq!(tree.tokens("kept"), (3_358, 0));
        let store = Connection::open(tree.at(STORE)).unwrap();
        let lines = base_lines();
        let rewritten = [&lines[..5], &lines[6..], &fork()[4..]].concat();
        store.execute_batch("BEGIN; DELETE FROM transcript_events").unwrap();
        insert(&store, SESSION, &rewritten);
        if let Some(generation) = generation {
            let sql = "UPDATE transcript_rewrite_watermarks SET generation = ?1";
            store.execute(sql, [generation]).unwrap();
        } else {
            store.execute_batch("DROP TABLE transcript_rewrite_watermarks").unwrap();
        }
        store.execute_batch("COMMIT").unwrap();
        assert_eq!(tree.tokens("kept"), (3_468, 0), "{generation:?}");
        tree.assert_settled("kept");
        // Who never saw the first call cannot know of it.
        assert_eq!(tree.tokens("fresh"), (3_468 - 1_090, 0), "{generation:?}");
    }
}

/// Row 25c: bytes that are not those of the hash count nothing: neither damaged ones nor those of
/// another transcript.
#[test]
fn cold_corrupt() {
    let whole = reader_fixture(&format!("25_cold_a_present/.openclaw/{COLD}"));
    let mut damaged = whole.clone();
    damaged[300] ^= 1;
    let other = format!(
        "13_compact_twice/.openclaw/{SESSIONS}/7c0d1f52-2a0b-4b7e-9a53-0f4de1c7b9aa.jsonl.bak.2026-05-22T10-00-00.000Z.zst"
    );
    for wrong in [damaged, whole[..400].to_vec(), reader_fixture(&other), Vec::new()] {
        let tree = tree_with_store("25_cold_a_present");
        tree.write(COLD, &wrong);
        assert_eq!(tree.tokens("kept"), (0, 1_156), "{} bytes", wrong.len());
        assert_eq!(tree.problems("kept").get("corrupt"), Some(&1), "{} bytes", wrong.len());
        tree.assert_settled("kept");
        // It comes back from a backup.
        tree.write(COLD, &whole);
        assert_eq!(tree.tokens("kept"), (3_358, 0));
        assert!(tree.problems("kept").is_empty());
        tree.assert_settled("kept");
    }
}
