//! Health, metrics, and what is not there.

use super::daemon::{Home, trace, until};

#[test]
fn health_says_how_everything_is() {
    let home = Home::new();
    let daemon = home.start();
    daemon.post_durably("/v1/traces", &trace(""));
    until("the stores were looked at", || daemon.health()["last_sync"].is_string());
    let health = daemon.health();
    for (field, expected) in [
        ("status", "ok"),
        ("db_status", "ok"),
        ("last_push_status", "disabled"),
        ("log_reader", "off"),
        ("version", env!("CARGO_PKG_VERSION")),
    ] {
        assert_eq!(health[field], expected, "{field}");
    }
    for (field, expected) in [("queue_depth", 0), ("queue_capacity", 512), ("dropped_total", 0)] {
        assert_eq!(health[field], expected, "{field}");
    }
    assert!(health["last_push_time"].is_null() && health["db_error"].is_null());
    assert!(health["uptime_seconds"].is_u64() && health["schema_version"].is_u64());
    assert!(health["db_size_bytes"].as_u64().unwrap() > 0);
    assert!(health["wal_size_bytes"].is_u64() && health["last_commit"].is_string());
    assert_eq!(health["ledger"], home.path("ledger.db").to_str().unwrap());
}

#[test]
fn health_says_that_the_ledger_is_locked_and_that_it_is_well_again() {
    let home = Home::new();
    let daemon = home.start();
    daemon.post_durably("/v1/traces", &trace(""));
    let blocker = home.lock();
    daemon.post("/v1/traces", &trace(""));
    until("health tells", || daemon.health()["db_status"] == "error");
    let health = daemon.health();
    assert_eq!(health["status"], "degraded");
    assert!(health["db_error"].as_str().unwrap().contains("another program"), "{health}");
    drop(blocker);
    until("health tells", || daemon.health()["status"] == "ok");
    until("nothing was lost", || home.number("SELECT count(*) FROM llm_traces") == 2);
}

#[test]
fn metrics_are_in_the_format_of_prometheus() {
    let home = Home::new();
    let daemon = home.start();
    daemon.post_durably("/v1/traces", &trace(r#""prompt_tokens":7,"cost_usd":0.5"#));
    let odd = r#"{"provider":"a\"b\\c\n","model":"é","completion_tokens":3}"#;
    daemon.post_durably("/v1/traces", odd);
    let answer = daemon.get("/metrics");
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    let mut family = "";
    for line in answer.text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family = name;
        } else if !line.starts_with("# HELP ") {
            check_sample(line, family);
        }
    }
    let sample = r#"{agent="http",provider="openai",model="gpt-5.5""#;
    for expected in [
        format!("trueup_calls_total{sample}}} 1"),
        format!("trueup_tokens_total{sample},kind=\"input\"}} 7"),
        format!("trueup_reported_cost_usd_total{sample}}} 0.5"),
        "trueup_records_accepted_total{kind=\"trace\"} 2".to_owned(),
        "trueup_http_requests_total{path=\"/v1/traces\",status=\"200\"} 2".to_owned(),
        "trueup_ledger_ok 1".to_owned(),
    ] {
        assert!(answer.text.lines().any(|line| line == expected), "{expected}\n{}", answer.text);
    }
}

/// `name{label="value",…} number`, with quotes, backslashes and line ends escaped.
fn check_sample(line: &str, family: &str) {
    let rest = line.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not of {family}"));
    // Of a histogram.
    let parts = ["_bucket", "_sum", "_count"];
    let rest = parts.iter().find_map(|part| rest.strip_prefix(part)).unwrap_or(rest);
    let (labels, value) = rest.rsplit_once(' ').unwrap();
    assert!(value.parse::<f64>().is_ok(), "{line}");
    if labels.is_empty() {
        return;
    }
    let inner = labels.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
    let unescaped = inner.replace("\\\\", "").replace("\\\"", "").replace("\\n", "");
    assert!(!unescaped.contains('\\'), "{line}");
    assert_eq!(unescaped.matches('"').count() % 2, 0, "{line}");
}

#[test]
fn unknown_paths_and_wrong_methods_are_named() {
    let home = Home::new();
    let daemon = home.start();
    let answer = daemon.get("/v2/traces");
    assert_eq!(answer.status, 404);
    assert!(answer.json()["error"].is_string());
    let answer = daemon.get("/v1/traces");
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    assert!(answer.json()["error"].is_string());
    let answer = daemon.post("/health", "{}");
    assert_eq!((answer.status, answer.header("allow")), (405, "GET,HEAD"));
}
