//! Cases of the contract that no folder holds: what happens to files of the main agent.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::expected::Expected;
use super::folders::check;
use super::tree::{SESSION, SESSIONS, Tree, base_lines, live, reader_fixture, text};
use crate::home::Running;

/// The gateway's result of a tool in case 16.
const LONG_LINE_BYTES: usize = 65 << 20;

/// What trueup may hold beside the pages of its program, of which the system keeps as many as it likes,
/// and which a build for tests has 26 MB of. `.ci/run memory` holds the released program to 32 MB in all.
const OWN_KIB_MAX: u64 = 8 << 10;

/// The session that begins when the base session is reset: one call of 110 tokens.
const NEXT: &str = "7b1e2c64-0d0f-4a55-9a0b-5b7a3e8f1c2d";

fn index() -> String {
    format!("{SESSIONS}/sessions.json")
}

/// Tokens from the kept ledger, a new one, and without one: the same from all.
fn tokens(tree: &Tree, step: u32) -> (u64, u64) {
    let kept = tree.tokens("kept");
    assert_eq!(tree.tokens(&format!("fresh{step}")), kept, "a fresh ledger at step {step}");
    let (exact, estimated) = tree.totals_in_memory();
    assert_eq!((exact.total, estimated.total), kept, "without a ledger at step {step}");
    tree.assert_settled("kept");
    kept
}

/// Row 10: the transcript gets another name, and another session begins.
#[test]
fn reset_archive() {
    let tree = Tree::usual();
    tree.write(&live(), base_lines().concat());
    assert_eq!(tokens(&tree, 1), (3_358, 0));
    tree.rename(&live(), &format!("{}.reset.2026-05-20T10-00-00.000Z", live()));
    let next = format!("{SESSIONS}/{NEXT}.jsonl");
    tree.write(&next, reader_fixture(&format!("10_reset_archive/.openclaw/{next}")));
    assert_eq!(tokens(&tree, 2), (3_468, 0));
    let by_session = tree.tokens_by("kept", "session");
    assert_eq!((by_session[SESSION], by_session[NEXT]), ((3_358, 0), (110, 0)));
}

/// Row 12: a whole copy, and a live file that has lost its head; then that is deleted.
#[test]
fn compacted_and_its_backup() {
    let tree = Tree::named();
    let lines = base_lines();
    tree.write(&live(), lines.concat());
    assert_eq!(tokens(&tree, 1), (3_358, 0));
    tree.rename(&live(), &format!("{}.bak.2026-05-20T10-00-00.000Z", live()));
    tree.write(&live(), lines[6..].concat());
    assert_eq!(tokens(&tree, 2), (3_358, 0));
    tree.rename(&live(), &format!("{}.deleted.2026-05-21T10-00-00.000Z", live()));
    assert_eq!(tokens(&tree, 3), (3_358, 0));
    assert_eq!(tree.tokens_by("kept", "project").len(), 1, "none is without its project");
}

/// An index with one session, which says this of its last run: input, output and context.
fn snapshot(updated_at: i64, counts: Option<[u64; 2]>, total: u64, label: &str) -> String {
    let mut entry = json!({
        "sessionId": SESSION, "updatedAt": updated_at, "modelProvider": "openai-codex",
        "model": "gpt-5.3-codex", "totalTokens": total, "totalTokensFresh": true, "label": label,
    });
    if let Some([input, output]) = counts {
        entry["inputTokens"] = input.into();
        entry["outputTokens"] = output.into();
    }
    json!({"agent:main:main": entry}).to_string()
}

/// Row 13: counts that fall are the next run; compactions, labels and resets are none.
#[test]
fn six_snapshots_of_an_index_are_three_runs() {
    let tree = Tree::named();
    let start = 1_771_029_601_500;
    let snapshots = [
        (Some([40_000, 500]), 50_000, "", 50_500),
        (Some([11_000, 300]), 12_000, "", 50_500 + 12_300),
        (None, 2_580, "", 62_800),
        (Some([8_000, 200]), 20_000, "", 62_800 + 20_200),
        (Some([8_000, 200]), 20_000, "renamed", 83_000),
        (Some([0, 0]), 0, "renamed", 83_000),
    ];
    for (at, (counts, total, label, expected)) in (0..).zip(snapshots) {
        tree.write(&index(), snapshot(start + at * 600_000, counts, total, label));
        assert_eq!(tree.tokens("kept"), (0, expected), "snapshot {at}");
        tree.assert_settled("kept");
    }
    let (_, estimated) = tree.totals("kept");
    assert_eq!((estimated.calls, estimated.input, estimated.output), (3, 59_000, 1_000));
    assert_eq!(tree.tokens("fresh"), (0, 0), "the index alone forgets");
}

/// Case 16.
pub(super) fn huge_line(expected: &Expected) {
    let tree = Tree::named();
    let lines = base_lines();
    fs::create_dir_all(tree.at(SESSIONS)).unwrap();
    let mut file = fs::File::create(tree.at(&live())).unwrap();
    write!(file, "{}{}", lines[0], lines[5]).unwrap();
    file.write_all(br#"{"type":"message","id":"t1","timestamp":"2026-02-14T00:15:00.000Z","message":{"role":"toolResult","content":[{"type":"text","text":""#).unwrap();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..LONG_LINE_BYTES / piece.len() {
        file.write_all(&piece).unwrap();
    }
    writeln!(file, r#""}}]}}}}"#).unwrap();
    file.write_all(lines[6].as_bytes()).unwrap();
    drop(file);
    check(&tree, "kept", expected.step1.as_ref().unwrap());
    let (resident, of_files) = resident_kib_max(&tree);
    assert!(resident <= expected.max_rss_mib.unwrap() << 10, "{resident} KiB");
    let own = resident - of_files;
    assert!(own <= OWN_KIB_MAX, "{own} KiB beside {of_files} KiB of the program");
}

/// The most memory that a process held which has read everything into a new ledger, and how much of it
/// is pages of the program. It is asked while it waits for more: of one that has ended, nobody could ask.
fn resident_kib_max(tree: &Tree) -> (u64, u64) {
    let mut keeper =
        Running(tree.command("resident", "sync --watch").stdin(Stdio::null()).spawn().unwrap());
    let mut said = String::new();
    BufReader::new(keeper.0.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(said.starts_with("Read "), "{said}");
    let status = text(Path::new(&format!("/proc/{}/status", keeper.0.id())));
    keeper.kill();
    let kib = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    (kib("VmHWM:"), kib("RssFile:"))
}

/// An answer of `input` tokens: begun and written down at these times.
fn answer(id: &str, begun: &str, written: &str, input: u64) -> String {
    let begun: jiff::Timestamp = begun.parse().unwrap();
    let usage =
        json!({"input": input, "output": 0, "cacheRead": 0, "cacheWrite": 0, "totalTokens": input});
    let message = json!({
        "role": "assistant", "content": [], "provider": "openai-codex", "model": "gpt-5.3-codex",
        "usage": usage, "stopReason": "stop", "timestamp": begun.as_millisecond(),
    });
    format!("{}\n", json!({"type": "message", "id": id, "timestamp": written, "message": message}))
}

/// Row 28: a call belongs to when it began, to the millisecond.
#[test]
fn edges_of_buckets() {
    let tree = Tree::usual();
    let lines = [
        base_lines()[0].clone(),
        answer("a", "2026-02-14T00:29:59.999Z", "2026-02-14T00:30:07.000Z", 1),
        answer("b", "2026-02-14T00:30:00.000Z", "2026-02-14T00:30:07.000Z", 10),
        answer("c", "2026-02-14T00:59:59.999Z", "2026-02-14T01:00:00.500Z", 100),
        answer("d", "2026-02-14T23:59:59.999Z", "2026-02-15T00:00:03.000Z", 1_000),
        answer("e", "2026-02-15T00:00:00.000Z", "2026-02-15T00:00:03.000Z", 10_000),
    ];
    tree.write(&live(), lines.concat());
    let by = |by: &str| -> Vec<(String, u64)> {
        tree.tokens_by("kept", by).into_iter().map(|(key, (exact, _))| (key, exact)).collect()
    };
    let rows = |rows: &[(&str, u64)]| -> Vec<(String, u64)> {
        rows.iter().map(|&(key, tokens)| (key.to_owned(), tokens)).collect()
    };
    assert_eq!(by("day"), rows(&[("2026-02-14", 1_111), ("2026-02-15", 10_000)]));
    assert_eq!(
        by("hour"),
        rows(&[
            ("2026-02-14 00:00", 111),
            ("2026-02-14 23:00", 1_000),
            ("2026-02-15 00:00", 10_000)
        ])
    );
    let quarter = |minutes: i64| {
        let start = 1_771_027_200_000 + minutes * 60_000;
        let sql = format!(
            "SELECT sum(input) FROM usage_time WHERE width_minutes = 15 AND start_ms = {start}"
        );
        tree.ask("kept", &sql)
    };
    assert_eq!([quarter(15), quarter(30), quarter(45)], [1, 10, 100]);
    // In a zone of half hours, the same edges are those of hours.
    let zoned: Value = serde_json::from_str(
        &tree.print("kept", "report hour --json --tz Asia/Kolkata --until 2026-02-14"),
    )
    .unwrap();
    let hours: Vec<_> = zoned["rows"].as_array().unwrap().iter().map(|row| &row["hour"]).collect();
    assert_eq!(hours, ["2026-02-14 05:00", "2026-02-14 06:00"]);
}

/// Row 29, for measured calls: the index says what kind of session a transcript is of.
#[test]
fn calls_have_the_kind_of_their_session() {
    let tree = Tree::named();
    let keys = [
        ("agent:main:main", "main"),
        ("agent:main:telegram:group:-100", "group"),
        ("agent:main:cron:job1:run:r1", "cron"),
        ("agent:main:subagent:0b6f3a52", "subagent"),
        ("agent:main:explicit:model-run-7", "probe"),
        ("hook:77", "webhook"),
    ];
    let mut entries = serde_json::Map::new();
    for (at, (key, _)) in keys.iter().enumerate() {
        let session = format!("s{at}");
        entries.insert((*key).to_owned(), json!({"sessionId": session, "updatedAt": 1}));
        let written = format!("2026-02-14T00:10:0{at}.000Z");
        let lines = answer(&session, &written, &written, 10_u64.pow(u32::try_from(at).unwrap()));
        tree.write(&format!("{SESSIONS}/{session}.jsonl"), lines);
    }
    tree.write(&format!("{SESSIONS}/orphan.jsonl"), base_lines()[5].clone());
    tree.write(&index(), Value::Object(entries).to_string());
    let by_kind = tree.tokens_by("kept", "kind");
    for (at, (_, kind)) in (0..).zip(keys) {
        assert_eq!(by_kind[kind], (10_u64.pow(at), 0), "{kind}");
    }
    assert_eq!(by_kind[""], (1_090, 0), "no index names it");
    assert_eq!(by_kind.len(), keys.len() + 1);
}
