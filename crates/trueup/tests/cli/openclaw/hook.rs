//! What trueup's hook leaves of sessions that are reset: row 30 of the contract, and the events of its
//! folders.

use serde_json::{Value, json};

use super::tree::{SESSION, SESSIONS, Tree, base_lines, live};

/// Leaves what OpenClaw tells a hook, as trueup's hook writes it.
pub(super) fn leave(tree: &Tree, told: &Value) {
    let at: jiff::Timestamp = told["timestamp"].as_str().unwrap().parse().unwrap();
    let context = &told["context"];
    let entries = [&context["previousSessionEntry"], &context["sessionEntry"]];
    leave_event(tree, at.as_millisecond(), told["sessionKey"].as_str().unwrap(), &entries);
}

fn leave_event(tree: &Tree, at_ms: i64, key: &str, entries: &[&Value]) {
    let event = json!({
        "schema": 1, "source": "openclaw", "event": "command:new", "at": at_ms,
        "agent_id": "main", "session_key": key, "state_dir": tree.at(""), "entries": entries,
    });
    tree.leave_event(at_ms, &event);
}

fn entry(session: &str, updated_at: i64, input: u64, output: u64) -> Value {
    json!({
        "sessionId": session, "updatedAt": updated_at, "modelProvider": "openai-codex",
        "model": "gpt-5.3-codex", "inputTokens": input, "outputTokens": output,
        "totalTokens": input, "totalTokensFresh": true,
    })
}

/// When the second of the base session's resets was.
const RESET_MS: i64 = 1_771_029_660_000;

/// Row 30: of two resets 3 s apart none is dropped, whether they are of two sessions or of one.
#[test]
fn hook_storm() {
    for (keys, sessions) in
        [(["agent:main:main", "agent:main:cron:j"], ["a", "b"]), (["agent:main:main"; 2], ["a"; 2])]
    {
        let tree = Tree::usual();
        for (at, input) in [(0, 690), (1, 50)] {
            let time = RESET_MS + 3_000 * i64::try_from(at).unwrap();
            let cleared = json!({"sessionId": "next", "updatedAt": time, "compactionCount": 0});
            let before = entry(sessions[at], time - 500, input, 66);
            leave_event(&tree, time, keys[at], &[&before, &cleared]);
        }
        let (exact, estimated) = tree.totals("kept");
        assert_eq!((exact.calls, estimated.calls, estimated.total), (0, 2, 690 + 66 + 50 + 66));
        tree.assert_settled("kept");
        let (_, in_memory) = tree.totals_in_memory();
        assert_eq!(in_memory, estimated);
    }
}

/// The index forgets a run when its session is reset; the hook's event keeps it until its transcript
/// is found.
#[test]
fn a_run_that_the_index_forgot_is_superseded_all_the_same() {
    let tree = Tree::usual();
    let index = format!("{SESSIONS}/sessions.json");
    let reset = entry(SESSION, RESET_MS, 0, 0);
    tree.write(&index, json!({"agent:main:main": reset}).to_string());
    let before = entry(SESSION, 1_771_029_601_500, 690, 66);
    leave_event(&tree, RESET_MS, "agent:main:main", &[&before, &reset]);
    assert_eq!(tree.tokens("kept"), (0, 756));
    tree.write(&live(), base_lines().concat());
    assert_eq!(tree.tokens("kept"), (3_358, 0));
    assert_eq!(tree.tokens("fresh"), (3_358, 0));
    tree.assert_settled("kept");
}
