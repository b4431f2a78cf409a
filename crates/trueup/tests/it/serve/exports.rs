//! `GET /api/v1/export`: what the program writes, for browsers and other programs, a part at a time.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use super::daemon::{Daemon, Home, until};

const POSTED: &str = r#"[
    {"timestamp":"2026-11-20T13:29:59.999Z","provider":"openai","model":"gpt-5.5","session":"a",
     "prompt_tokens":10,"completion_tokens":1,"project":"/p","agent":"hermes","cost_usd":0.5},
    {"timestamp":"2026-11-20T13:30:00Z","provider":"openai","model":"=gpt","session":"a",
     "prompt_tokens":20,"completion_tokens":2,"project":"/p é 😀","agent":"hermes"},
    {"timestamp":"2026-11-21T00:10:00Z","provider":"anthropic","model":"claude-opus-4-8","session":"b",
     "prompt_tokens":30,"completion_tokens":3,"project":"/q","agent":"iris"}]"#;

const FAILED: &str = r#"[
    {"timestamp":"2026-11-20T13:29:59.999Z","error_type":"llm_error","message":"-1, \"two\"\nthree",
     "agent":"hermes"},
    {"timestamp":"2026-11-21T13:29:59.999Z","error_type":"crash","message":"@x","agent":"iris"}]"#;

fn bytes(daemon: &Daemon, query: &str) -> Vec<u8> {
    let mut answer = ureq::get(daemon.url(&format!("/api/v1/export?{query}"))).call().unwrap();
    answer.body_mut().with_config().limit(u64::MAX).read_to_vec().unwrap()
}

#[test]
fn a_file_is_what_the_program_writes() {
    let home = Home::with(&[("TZ", "UTC")]);
    let daemon = home.start();
    daemon.post_durably("/v1/traces", POSTED);
    daemon.post_durably("/v1/errors", FAILED);
    home.database()
        .execute_batch(
            "INSERT INTO system_metrics (id, created_at, scope, cpu_millipercent, processes)
             VALUES (unhex('01a1f640bc0000000000000000000000'), 1795132800000, 'host', 7, NULL)",
        )
        .unwrap();
    for (query, flags) in [
        ("", "usage"),
        ("by=day,model", "usage --by day,model"),
        (
            "view=usage&by=30m,provider,tier&tz=America/St_Johns&agent=hermes",
            "usage --by 30m,provider,tier --tz America/St_Johns --source hermes",
        ),
        (
            "by=model&model=gpt-*&model==gpt&cost=computed",
            "usage --by model --model gpt-* --model =gpt --cost computed",
        ),
        (
            "view=sessions&from=2026-11-20&to=20261120",
            "sessions --since 2026-11-20 --until 2026-11-20",
        ),
        ("view=sessions&project=q&provider=anthropic&kind=*", "sessions --project q"),
        ("view=errors", "errors"),
        (
            "view=errors&agent=h*&tz=Asia/Kathmandu&to=2026-11-20",
            "errors --source h* --tz Asia/Kathmandu --until 2026-11-20",
        ),
        ("view=host", "host"),
        ("view=host&from=2030-01-01", "host --since 2030-01-01"),
    ] {
        for format in ["csv", "json", "ndjson", "parquet"] {
            let answer = bytes(&daemon, &format!("{query}&format={format}"));
            let written = program(&home, &format!("export {flags} --format {format}"));
            assert!(answer == written, "{query} {format}: {}", String::from_utf8_lossy(&answer));
        }
    }
    for (query, flags) in [
        ("", ""),
        ("&from=2026-11-21&provider=anthropic", "--from 2026-11-21 --provider anthropic"),
    ] {
        let written = program(&home, &format!("export focus {flags}"));
        assert_eq!(bytes(&daemon, &format!("format=focus{query}")), written, "{query}");
    }
}

/// What the program writes to standard output.
fn program(home: &Home, arguments: &str) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
    command.env_clear().env("HOME", home.path("")).env("TRUEUP_LEDGER", home.path("ledger.db"));
    let output = command.env("TZ", "UTC").args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "{arguments}: {output:?}");
    output.stdout
}

#[test]
fn browsers_are_told_what_it_is() {
    let home = Home::new();
    let daemon = home.start();
    for (query, kind, name) in [
        ("", "text/csv; charset=utf-8", "trueup-usage.csv"),
        (
            "view=errors&format=parquet&from=2026-11-01&to=2026-11-20",
            "application/vnd.apache.parquet",
            "trueup-errors-from-2026-11-01-to-2026-11-20.parquet",
        ),
        ("view=host&format=ndjson", "application/x-ndjson", "trueup-host.ndjson"),
        (
            "format=focus&to=2026-11-20&by=day&tz=Europe/Berlin",
            "text/csv; charset=utf-8",
            "trueup-focus-to-2026-11-20.csv",
        ),
        ("view=sessions&format=json", "application/json", "trueup-sessions.json"),
    ] {
        let answer = ureq::get(daemon.url(&format!("/api/v1/export?{query}"))).call().unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), kind, "{query}");
        let disposition = format!("attachment; filename=\"{name}\"");
        assert_eq!(header("content-disposition"), disposition, "{query}");
        assert_eq!(header("cache-control"), "no-store");
    }
    let described = daemon.get("/openapi.json").json();
    let export = &described["paths"]["/api/v1/export"]["get"];
    assert!(export["responses"]["200"]["content"]["application/vnd.apache.parquet"].is_object());
    assert_eq!(export["parameters"].as_array().unwrap().len(), 14);
}

#[test]
fn what_cannot_be_meant_is_refused_by_name() {
    let home = Home::new();
    let daemon = home.start();
    for (query, expected) in [
        ("view=secrets", "`view`: `secrets` is not one of usage, sessions, errors, host"),
        ("format=xml", "`format`: `xml` is not one of csv, json"),
        ("by=decade", "`by`: `decade` is not one of 30m"),
        ("by=block", "`by`: blocks are not exported"),
        ("by=day,session", "`by`: sessions cannot be combined"),
        ("view=errors&model=o3", "`model` is not a parameter of errors"),
        ("view=host&agent=codex", "`agent` is not a parameter of host"),
        ("view=sessions&by=day", "`by` is not a parameter of sessions"),
        ("format=focus&model=o3", "`model` is not a parameter of focus"),
        ("view=host&format=focus", "`format`: host cannot be told as FOCUS"),
        ("from=2026-11-21&to=2026-11-20", "`to`: 2026-11-20 lies before 2026-11-21"),
        ("agent=clippy", "`agent`: `clippy` is not an agent; there are claude-code"),
        ("since=2026-11-21", "`since` is not a parameter"),
    ] {
        let answer = daemon.get(&format!("/api/v1/export?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.starts_with(expected), "{query}: {error}");
    }
}

/// More than any socket holds.
const MANY_ERRORS: &str = "INSERT INTO error_events
     (id, created_at, source, session, error_type, message, severity)
     WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
     SELECT unhex(printf('%012x%020x', 1795132800000 + n, n)), 1795132800000 + n, 'hermes', '',
         'llm_error', hex(randomblob(1000)), 'error' FROM n";

/// A client that asks and takes only the beginning.
fn slow(daemon: &Daemon) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.address).unwrap();
    stream
        .write_all(
            b"GET /api/v1/export?view=errors&format=json HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )
        .unwrap();
    let mut beginning = [0; 15];
    stream.read_exact(&mut beginning).unwrap();
    assert_eq!(beginning, *b"HTTP/1.1 200 OK");
    stream
}

#[test]
fn slow_clients_hold_little_and_keep_nobody_else_waiting_for_long() {
    let home = Home::new();
    let daemon = home.start();
    home.database().execute_batch(MANY_ERRORS).unwrap();
    let (held_kb, resident_kb) = (daemon.memory_kb("RssAnon"), daemon.memory_kb("VmHWM"));
    let (first, second) = (slow(&daemon), slow(&daemon));
    let refused = daemon.get("/api/v1/export?view=host");
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{}", refused.text);
    // They hold up neither what is written nor what is asked.
    daemon.post_durably("/v1/errors", FAILED);
    assert_eq!(daemon.get("/api/v1/usage/query").status, 200);
    let grown_kb = daemon.memory_kb("RssAnon").saturating_sub(held_kb);
    assert!(grown_kb < 8 << 10, "{grown_kb} KiB");
    // Who hangs up makes room.
    drop(first);
    until("there is room", || daemon.get("/api/v1/export?view=host").status == 200);
    drop(second);
    until("there is room", || daemon.get("/api/v1/export?view=host").status == 200);
    let whole = bytes(&daemon, "view=errors&format=ndjson");
    assert_eq!(String::from_utf8(whole).unwrap().lines().count(), 20_002);
    // It is 40 MB.
    let grown_kb = daemon.memory_kb("VmHWM").saturating_sub(resident_kb);
    assert!(grown_kb < 20 << 10, "{grown_kb} KiB");
}

#[test]
fn a_client_that_takes_nothing_does_not_hold_up_the_end() {
    let home = Home::new();
    let mut daemon = home.start();
    home.database().execute_batch(MANY_ERRORS).unwrap();
    let _stalled = slow(&daemon);
    assert!(daemon.terminate().success());
    // In a release a panic would abort.
    let log = daemon.log().join("\n");
    assert!(!log.contains("panicked"), "{log}");
}
