//! `GET /api/v1/errors`: errors by fingerprint, and calls that failed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::daemon::{Home, trace};

fn error(second: u32, kind: &str, message: &str, more: &str) -> String {
    let (kind, message) = (json!(kind), json!(message));
    let time = format!("2026-11-20T10:{:02}:{:02}Z", second / 60, second % 60);
    format!(r#"{{"timestamp":"{time}","error_type":{kind},"message":{message}{more}}}"#)
}

#[test]
fn errors_are_told_by_their_pattern_and_without_secrets() {
    let home = Home::with(&[("TZ", "UTC")]);
    let daemon = home.start();
    let stack = json!("Error: password=hunter2\n    at open (/home/alice/acme/src/db.js:12:9)");
    let posted = [
        error(1, "llm_error", "rate limited after 3 tries", ""),
        error(2, "llm_error", "rate limited after 14 tries", ""),
        error(3, "llm_error", "rate limited after 14 tries", ""),
        error(9, "llm_error", "rate limited after 5 tries", r#","severity":"warning""#),
        error(
            4,
            "crash",
            "cannot open /home/alice/acme/plan.md: api_key=sk-ant-api03-Zm9vYmFyYmF6cXV4Zm9v",
            &format!(r#","stack_trace":{stack}"#),
        ),
        error(5, "<script>alert(1)</script>", "שלום <b>bold</b> 👩‍👩‍👧", ""),
    ];
    daemon.post_durably("/v1/errors", &posted.join("\n"));
    let answer = daemon.get("/api/v1/errors?from=2026-11-20&to=2026-11-20");
    assert_eq!(answer.status, 200, "{}", answer.text);
    for secret in ["hunter2", "Zm9v", "alice"] {
        assert!(!answer.text.contains(secret), "{secret}: {}", answer.text);
    }
    let answer = answer.json();
    assert_eq!(
        (&answer["schema"], &answer["events"], &answer["is_cut"]),
        (&1.into(), &6.into(), &false.into())
    );
    let rows = answer["rows"].as_array().unwrap();
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row["count"].as_u64().unwrap(), row["severity"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [(4, "warning"), (1, "error"), (1, "error")], "{rows:#?}");
    assert_eq!(rows[0]["type"], "llm_error");
    assert_eq!(rows[0]["message"], "rate limited after * tries");
    assert_eq!(rows[0]["sample_message"], "rate limited after 5 tries");
    assert_eq!(
        (&rows[0]["first"], &rows[0]["last"]),
        (&"2026-11-20T10:00:01.000Z".into(), &"2026-11-20T10:00:09.000Z".into())
    );
    assert_eq!(rows[0]["sample_stack"], Value::Null);
    let stack = rows[2]["sample_stack"].as_str().unwrap();
    assert!(stack.contains("open") && stack.contains("db.js:12"), "{stack}");

    // The same error has the same fingerprint another time.
    daemon.post_durably("/v1/errors", &error(59, "llm_error", "rate limited after 77 tries", ""));
    let again = daemon.get("/api/v1/errors").json();
    assert_eq!(again["rows"][0]["fingerprint"], rows[0]["fingerprint"]);
    assert_eq!(again["rows"][0]["count"], 5);
}

#[test]
fn parts_hold_each_fingerprint_once_while_errors_come() {
    let home = Home::with(&[("TZ", "UTC")]);
    let daemon = home.start();
    let words = ["disk", "full", "file", "lost", "model", "slow", "key"];
    let word = |at: u32| format!("{} {}", words[at as usize / 7], words[at as usize % 7]);
    let posted: Vec<String> = (0..40).map(|at| error(at, "llm_error", &word(at), "")).collect();
    daemon.post_durably("/v1/errors", &posted.join("\n"));
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = daemon.get(&format!("/api/v1/errors?limit=6{cursor}"));
        assert_eq!(answer.status, 200, "{}", answer.text);
        let answer = answer.json();
        let rows = answer["rows"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row["fingerprint"].as_str().unwrap().to_owned()));
        // What lies behind the place that was reached happens once more, and so does something new.
        let more = [
            error(100, "llm_error", &word(0), ""),
            error(101, "llm_error", &format!("new {}", word(3)), ""),
        ];
        daemon.post_durably("/v1/errors", &more.join("\n"));
        let Some(next) = answer["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let different: BTreeSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), different.len()), (40, 40));
}

#[test]
fn failed_calls_add_up_to_those_of_reports() {
    let home = Home::with(&[("TZ", "UTC")]);
    let daemon = home.start();
    let failed = |hour: u32, kind: &str, agent: &str| {
        trace(&format!(
            r#""timestamp":"2026-11-20T{hour:02}:30:00Z","error_type":"{kind}","agent":"{agent}""#
        ))
    };
    let posted = [
        failed(1, "rate_limit", "hermes"),
        failed(2, "rate_limit", "hermes"),
        failed(23, "overloaded", "hermes"),
        failed(3, "rate_limit", "iris"),
        trace(r#""timestamp":"2026-11-20T04:00:00Z","agent":"hermes""#),
        trace(r#""timestamp":"2026-11-18T04:00:00Z","error_type":"old","agent":"hermes""#),
    ];
    daemon.post_durably("/v1/traces", &posted.join("\n"));
    for (query, zone, calls, rows) in [
        ("from=2026-11-20&to=2026-11-20", "UTC", 4, 3),
        ("", "UTC", 5, 4),
        // Some of the day lies in the next one there, and some in the one before.
        ("from=2026-11-20&to=2026-11-20&tz=Asia/Kathmandu", "Asia/Kathmandu", 3, 2),
        ("from=2026-11-20&to=2026-11-20&tz=America/St_Johns", "America/St_Johns", 2, 2),
        ("from=2026-11-01&to=2026-11-30&tz=America/Los_Angeles", "America/Los_Angeles", 5, 4),
    ] {
        let answer = daemon.get(&format!("/api/v1/errors?{query}")).json();
        assert_eq!(
            (&answer["calls_failed"], &answer["is_cut"], &answer["tz"]),
            (&calls.into(), &false.into(), &zone.into()),
            "{query}"
        );
        let told = answer["failed_calls"].as_array().unwrap();
        assert_eq!(told.len(), rows, "{query}: {told:?}");
        let sum: u64 = told.iter().map(|row| row["calls"].as_u64().unwrap()).sum();
        assert_eq!(sum, calls, "{query}");
        let report = format!(
            "/v1/report?tz={zone}{}",
            if query.contains("11-20") { "&since=2026-11-20&until=2026-11-20" } else { "" }
        );
        assert_eq!(daemon.get(&report).json()["totals"]["exact"]["errors"], calls, "{query}");
    }
    let first = &daemon.get("/api/v1/errors?from=2026-11-20").json()["failed_calls"][0];
    assert_eq!(
        first,
        &json!({"agent": "hermes", "provider": "openai", "model": "gpt-5.5", "error_type": "rate_limit", "calls": 2, "last": "2026-11-20T02:30:00.000Z"})
    );
    // Rows that are gone failed for a reason that nobody knows any more.
    home.database().execute("DELETE FROM llm_calls WHERE error_type = 'overloaded'", []).unwrap();
    let answer = daemon.get("/api/v1/errors?from=2026-11-20").json();
    let unknown = answer["failed_calls"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["error_type"].is_null())
        .unwrap();
    assert_eq!(
        (&unknown["calls"], &unknown["last"], &answer["calls_failed"]),
        (&1.into(), &Value::Null, &4.into())
    );
}

#[test]
fn no_errors_is_an_answer_and_wrong_parameters_are_named() {
    let home = Home::new();
    let daemon = home.start();
    let answer = daemon.get("/api/v1/errors").json();
    assert_eq!((&answer["rows"], &answer["failed_calls"]), (&json!([]), &json!([])));
    assert_eq!((&answer["events"], &answer["calls_failed"]), (&0.into(), &0.into()));
    for (query, name) in [
        ("limit=0", "`limit`"),
        ("limit=501", "`limit`"),
        ("cursor=1", "`cursor`"),
        ("cursor=a.b.c", "`cursor`"),
        ("from=2026-13-01", "`from`"),
        ("to=x", "`to`"),
        ("from=2026-11-20&to=2026-11-19", "`to`"),
        ("tz=Mars/Olympus", "`tz`"),
        ("agent=x", "`agent`"),
    ] {
        let answer = daemon.get(&format!("/api/v1/errors?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
        assert!(
            answer.json()["error"].as_str().unwrap().starts_with(name),
            "{query}: {}",
            answer.text
        );
    }
    for query in ["from=0001-01-01&to=9999-12-31", "from=9999-12-31&to=9999-12-31"] {
        assert_eq!(daemon.get(&format!("/api/v1/errors?{query}")).status, 200, "{query}");
    }
}
