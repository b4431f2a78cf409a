//! The same calls, told by an agent's session files and by its OpenTelemetry: in either order, more than
//! once, and through a rebuild.

use std::fs;

use serde_json::{Value, json};

use super::daemon::{Daemon, Home, until};

/// An agent of which both ways tell.
pub(super) struct Agent {
    source: &'static str,
    /// Where its session lies, below the home folder.
    file: &'static str,
    /// Two calls, of 1,072 and of 2,130 tokens.
    session: &'static str,
    /// What its telemetry tells of each call; the last, of 77 tokens, is in no file.
    told: [&'static str; 3],
    /// Attributes that all of its events have.
    always: &'static str,
}

pub(super) const CLAUDE_CODE: Agent = Agent {
    source: "claude-code",
    file: ".claude/projects/-app/s1.jsonl",
    session: r#"{"cwd":"/app","sessionId":"s1","message":{"model":"claude-opus-5","id":"msg_1","role":"assistant","usage":{"input_tokens":620,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":100},"cache_read_input_tokens":300,"output_tokens":10}},"requestId":"req_1","type":"assistant","uuid":"u1","timestamp":"2026-11-20T22:08:29.000Z"}
{"cwd":"/app","sessionId":"s1","message":{"model":"claude-opus-5","id":"msg_1","role":"assistant","usage":{"input_tokens":620,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":100},"cache_read_input_tokens":300,"output_tokens":52}},"requestId":"req_1","type":"assistant","uuid":"u2","timestamp":"2026-11-20T22:08:30.000Z"}
{"cwd":"/app","sessionId":"s1","message":{"model":"claude-opus-5","id":"msg_2","role":"assistant","usage":{"input_tokens":2000,"output_tokens":130}},"type":"assistant","uuid":"u3","timestamp":"2026-11-20T22:09:30.000Z"}
"#,
    // The second one went to a platform that tells no id of its requests.
    told: [
        r#""input_tokens":"620","cache_creation_tokens":"100","cache_read_tokens":"300","output_tokens":"52","request_id":"req_1""#,
        r#""input_tokens":"2000","cache_creation_tokens":"0","cache_read_tokens":"0","output_tokens":"130""#,
        r#""input_tokens":"70","output_tokens":"7","request_id":"req_3""#,
    ],
    always: r#""event.name":"claude_code.api_request","session.id":"s1","model":"claude-opus-5""#,
};

const CODEX: Agent = Agent {
    source: "codex",
    file: ".codex/sessions/2026/11/20/rollout-2026-11-20T22-08-00-0199a213-81c0-7800-8aa1-bbab2a035a53.jsonl",
    session: r#"{"timestamp":"2026-11-20T22:08:00.000Z","type":"session_meta","payload":{"id":"0199a213-81c0-7800-8aa1-bbab2a035a53","timestamp":"2026-11-20T22:08:00.000Z","cwd":"/app","model_provider":"openai"}}
{"timestamp":"2026-11-20T22:08:00.000Z","type":"turn_context","payload":{"cwd":"/app","model":"gpt-5.5"}}
{"timestamp":"2026-11-20T22:08:30.000Z","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":1020,"cached_input_tokens":400,"output_tokens":52,"reasoning_output_tokens":7,"total_tokens":1072},"last_token_usage":{"input_tokens":1020,"cached_input_tokens":400,"output_tokens":52,"reasoning_output_tokens":7,"total_tokens":1072}}}}
{"timestamp":"2026-11-20T22:09:30.000Z","type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{"input_tokens":3020,"cached_input_tokens":1400,"output_tokens":182,"reasoning_output_tokens":7,"total_tokens":3202},"last_token_usage":{"input_tokens":2000,"cached_input_tokens":1000,"output_tokens":130,"reasoning_output_tokens":0,"total_tokens":2130}}}}
"#,
    told: [
        r#""input_token_count":"1020","cached_token_count":400,"output_token_count":"52","reasoning_token_count":7"#,
        r#""input_token_count":"2000","cached_token_count":1000,"output_token_count":"130","reasoning_token_count":0"#,
        r#""input_token_count":"70","cached_token_count":0,"output_token_count":"7","reasoning_token_count":0"#,
    ],
    always: r#""event.name":"codex.sse_event","event.kind":"response.completed","conversation.id":"0199a213-81c0-7800-8aa1-bbab2a035a53","model":"gpt-5.5""#,
};

const GEMINI_CLI: Agent = Agent {
    source: "gemini-cli",
    file: ".gemini/tmp/app/chats/session-1.json",
    session: r#"{"sessionId":"3bacc8a0-24d6-4415-9b2e-000000000001","startTime":"2026-11-20T22:08:00.000Z","messages":[
{"id":"26522e6d-0b73-434e-a65d-000000000001","timestamp":"2026-11-20T22:08:30.000Z","type":"gemini","model":"gemini-3-pro","tokens":{"input":1000,"output":45,"cached":400,"thoughts":7,"tool":20,"total":1072}},
{"id":"26522e6d-0b73-434e-a65d-000000000002","timestamp":"2026-11-20T22:09:30.000Z","type":"gemini","model":"gemini-3-pro","tokens":{"input":2000,"output":130,"cached":0,"thoughts":0,"tool":0,"total":2130}}]}"#,
    told: [
        r#""input_token_count":1000,"output_token_count":45,"cached_content_token_count":400,"thoughts_token_count":7,"tool_token_count":20,"total_token_count":1072"#,
        r#""input_token_count":2000,"output_token_count":130,"cached_content_token_count":0,"thoughts_token_count":0,"tool_token_count":0,"total_token_count":2130"#,
        r#""input_token_count":70,"output_token_count":7,"total_token_count":77"#,
    ],
    always: r#""event.name":"gemini_cli.api_response","session.id":"3bacc8a0-24d6-4415-9b2e-000000000001","model":"gemini-3-pro""#,
};

const AGENTS: [Agent; 3] = [CLAUDE_CODE, CODEX, GEMINI_CLI];

pub(super) fn attributes(said: &Value) -> Vec<Value> {
    let attribute = |(name, value): (&String, &Value)| {
        let value = if value.is_number() {
            json!({ "intValue": value.to_string() })
        } else {
            json!({ "stringValue": value })
        };
        json!({ "key": name, "value": value })
    };
    said.as_object().unwrap().iter().map(attribute).collect()
}

impl Agent {
    fn write(&self, home: &Home) {
        let path = home.path(self.file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.session).unwrap();
    }

    fn export(&self) -> String {
        let records: Vec<Value> = (0..)
            .zip(self.told)
            .map(|(at, told)| {
                let said = format!("{{{},{told}}}", self.always);
                let time = 1_795_212_510_000_000_000_u64 + at * 60_000_000_000;
                let attributes = attributes(&serde_json::from_str(&said).unwrap());
                json!({ "timeUnixNano": time.to_string(), "attributes": attributes })
            })
            .collect();
        let service = json!({ "key": "service.name", "value": { "stringValue": self.source } });
        json!({ "resourceLogs": [{ "resource": { "attributes": [service] },
            "scopeLogs": [{ "logRecords": records }] }] })
        .to_string()
    }

    pub(super) fn tell(&self, daemon: &Daemon) {
        let answer = daemon.post("/v1/logs", &self.export());
        assert_eq!((answer.status, &*answer.text), (200, "{}"), "{}", self.source);
    }
}

/// Calls and tokens that a report has.
pub(super) fn totals(home: &Home, source: &str) -> (u64, u64) {
    let report = printed(home, "report", &["--json", "--source", source]);
    let exact = &report["totals"]["exact"];
    (exact["calls"].as_u64().unwrap(), exact["total"].as_u64().unwrap())
}

fn printed(home: &Home, verb: &str, arguments: &[&str]) -> Value {
    let output = home.verb(verb).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn calls(home: &Home, source: &str) -> i64 {
    home.number(&format!(
        "SELECT coalesce(sum(calls), 0) FROM usage_session u JOIN sessions n ON n.id = u.session
         WHERE n.source = '{source}'"
    ))
}

/// The check of a doctor that changes nothing.
pub(super) fn check(home: &Home, id: &str) -> Value {
    let doctor = printed(home, "doctor", &["--json", "--no-sync"]);
    let checks = doctor["checks"].as_array().unwrap();
    checks.iter().find(|check| check["id"] == id).unwrap().clone()
}

fn told_twice(home: &Home) -> Value {
    check(home, "told_twice")
}

const ALL: (u64, u64) = (3, 1_072 + 2_130 + 77);

fn watched(variables: &[(&str, &str)]) -> Home {
    Home::with(&[&[("TRUEUP_SYNC_INTERVAL", "100ms")], variables].concat())
}

#[test]
fn calls_of_both_ways_count_once_in_either_order() {
    for is_file_first in [true, false] {
        let home = watched(&[]);
        let mut daemon = home.start();
        for agent in &AGENTS {
            if is_file_first {
                agent.write(&home);
                until("the file is read", || calls(&home, agent.source) == 2);
                agent.tell(&daemon);
            } else {
                agent.tell(&daemon);
                assert_eq!(calls(&home, agent.source), 3);
                agent.write(&home);
                let read =
                    format!("SELECT count(*) FROM positions WHERE source = '{}'", agent.source);
                until("the file is read", || home.number(&read) == 1);
            }
            assert_eq!(totals(&home, agent.source), ALL, "{} {is_file_first}", agent.source);
            agent.tell(&daemon);
            assert_eq!(totals(&home, agent.source), ALL, "{} {is_file_first}", agent.source);
        }
        // The lifetime of a cache is known of the file alone: it is the file's call that counts.
        assert_eq!(home.number("SELECT sum(cache_write_1h) FROM usage_session"), 100);
        let check = told_twice(&home);
        assert_eq!(check["status"], "ok", "{check}");
        for agent in &AGENTS {
            let expected = json!({ "sessions": 1, "calls": 3, "told": 3, "matched": 2,
                "captured_percent": 100, "sessions_told_twice": 0 });
            assert_eq!(check["meta"]["by_agent"][agent.source], expected, "{is_file_first}");
        }
        daemon.terminate();
        for agent in &AGENTS {
            let rebuilt = home.verb("rebuild").args(["--source", agent.source, "--yes"]).output();
            let rebuilt = rebuilt.unwrap();
            assert!(rebuilt.status.success(), "{rebuilt:?}");
            let said = String::from_utf8(rebuilt.stdout).unwrap();
            assert!(said.contains("Everything that was known is in a store."), "{said}");
            assert_eq!(totals(&home, agent.source), ALL, "{} {is_file_first}", agent.source);
            let again = home.verb("backfill").arg(agent.source).output().unwrap();
            assert!(again.status.success(), "{again:?}");
            assert_eq!(totals(&home, agent.source), ALL, "{} {is_file_first}", agent.source);
        }
        let daemon = home.start();
        for agent in &AGENTS {
            agent.tell(&daemon);
            assert_eq!(totals(&home, agent.source), ALL, "{} {is_file_first}", agent.source);
        }
    }
}

#[test]
fn what_was_told_alone_outlives_a_rebuild() {
    let home = watched(&[]);
    let mut daemon = home.start();
    CODEX.tell(&daemon);
    daemon.terminate();
    let path = home.path(CODEX.file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, CODEX.session.lines().next().unwrap()).unwrap();
    let rebuilt = home.verb("rebuild").args(["--source", "codex", "--yes"]).output().unwrap();
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    assert_eq!(totals(&home, "codex"), ALL);
    // As a client is told that sends none: what has one was not read from a file.
    assert_eq!(home.number("SELECT count(client_trace_id) FROM llm_calls"), 3);
}

#[test]
fn a_session_of_which_nothing_matches_is_a_warning() {
    let home = watched(&[]);
    let daemon = home.start();
    CLAUDE_CODE.write(&home);
    until("the file is read", || calls(&home, "claude-code") == 2);
    let other = CLAUDE_CODE.export().replace("req_1", "req_9").replace("\"2000\"", "\"2001\"");
    assert_eq!(daemon.post("/v1/logs", &other).status, 200);
    let check = told_twice(&home);
    assert_eq!(check["status"], "warn", "{check}");
    assert_eq!(check["items"][0]["session"], "s1");
    let reason = check["items"][0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("3 calls of claude-code told by OpenTelemetry beside 2 calls"),
        "{reason}"
    );
    assert_eq!(check["meta"]["by_agent"]["claude-code"]["captured_percent"], 60);
}

const RUN: &str = r#"{"openclaw.provider":"p","openclaw.model":"m","openclaw.tokens.input":690,"openclaw.tokens.output":66,"openclaw.sessionId":"s"}"#;

fn tell_run(daemon: &Daemon, id: u8) {
    let span = json!({ "traceId": "5b".repeat(16), "spanId": format!("{id:02x}").repeat(8),
        "name": "openclaw.model.usage", "startTimeUnixNano": "1795212510000000000",
        "endTimeUnixNano": "1795212511000000000",
        "attributes": attributes(&serde_json::from_str(RUN).unwrap()) });
    let service = json!({ "key": "service.name", "value": { "stringValue": "openclaw" } });
    let body = json!({ "resourceSpans": [{ "resource": { "attributes": [service] },
        "scopeSpans": [{ "spans": [span] }] }] });
    assert_eq!(daemon.post("/v1/traces", &body.to_string()).status, 200);
}

const OPENCLAW_SESSION: &str = r#"{"type":"session","version":3,"id":"s","timestamp":"2026-11-20T22:00:00.000Z","cwd":"/app"}
{"type":"message","id":"e1","timestamp":"2026-11-20T22:08:30.000Z","message":{"role":"assistant","content":[],"provider":"p","model":"m","usage":{"input":690,"output":66},"timestamp":1795212510000}}
"#;

#[test]
fn where_no_id_can_match_a_setting_says_who_is_the_record() {
    for (setting, without_files, with_files) in
        [("", 1, 1), ("openclaw=auto", 1, 1), ("openclaw=files", 0, 1), ("openclaw = merge", 1, 2)]
    {
        let variable = [("TRUEUP_OTLP_COUNT", setting)];
        let variables = if setting.is_empty() { &[][..] } else { &variable };
        let alone = watched(variables);
        let daemon = alone.start();
        tell_run(&daemon, 1);
        assert_eq!(calls(&alone, "openclaw"), without_files, "{setting}");

        let home = watched(variables);
        let daemon = home.start();
        let folder = home.path(".openclaw/agents/main/sessions");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("s.jsonl"), OPENCLAW_SESSION).unwrap();
        until("the file is read", || calls(&home, "openclaw") == 1);
        tell_run(&daemon, 1);
        assert_eq!(calls(&home, "openclaw"), with_files, "{setting}");
        let role = if with_files == 1 { "evidence" } else { "call" };
        let line = format!("trueup_otlp_records_total{{role=\"{role}\",dialect=\"openclaw\"}} 1");
        let metrics = daemon.get("/metrics").text;
        assert!(metrics.lines().any(|found| found == line), "{setting}: {metrics}");
        let health = &daemon.health()["otlp"];
        assert_eq!(health["evidence"], 2 - with_files, "{health}");
        let status = if with_files == 1 { "ok" } else { "warn" };
        assert_eq!(told_twice(&home)["status"], status, "{setting}");
    }
    for wrong in ["codex", "codex=both", "cursor=files", "openclaw=files;codex=files"] {
        let refused = Home::with(&[("TRUEUP_OTLP_COUNT", wrong)]).refusal(&[]);
        assert!(refused.contains("otlp_count (from TRUEUP_OTLP_COUNT)"), "{refused}");
    }
}

#[test]
fn an_agent_that_is_left_to_its_files_has_no_call_by_telemetry() {
    let home = watched(&[("TRUEUP_OTLP_COUNT", "codex=files,claude-code=merge")]);
    let daemon = home.start();
    CODEX.tell(&daemon);
    CLAUDE_CODE.tell(&daemon);
    assert_eq!((calls(&home, "codex"), calls(&home, "claude-code")), (0, 3));
    CODEX.write(&home);
    until("the file is read", || calls(&home, "codex") == 2);
}
