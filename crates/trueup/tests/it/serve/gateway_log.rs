//! The gateway log of OpenClaw, followed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use super::daemon::{Home, until};

const EVENTS: &str = "SELECT count(*) FROM custom_events WHERE source = 'openclaw-log'";

fn line(number: u32, subsystem: &str, level: &str, message: &str) -> String {
    let zero = serde_json::json!({ "subsystem": subsystem }).to_string();
    let line = serde_json::json!({
        "0": zero, "1": message, "_meta": { "logLevelName": level },
        "time": format!("2026-11-20T22:30:{:02}.865+00:00", number % 60),
        "session_id": "s1",
    });
    format!("{line}\n")
}

fn channel(number: u32) -> String {
    line(number, "gateway/channels/telegram", "INFO", &format!("[default] starting {number}"))
}

fn append(path: &Path, text: &str) {
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn recognised_lines_are_events_and_the_others_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("openclaw-2026-11-20.log");
    let home = Home::with(&[("TRACE_LOG_PATH", log.to_str().unwrap())]);
    let daemon = home.start();
    assert_eq!(daemon.health()["log_reader"], "on");
    append(&log, &channel(1));
    append(&log, &line(2, "diagnostic", "ERROR", "request failed: token=hunter2"));
    append(&log, &line(3, "gateway/reload", "INFO", "config hot reload applied (a.b)"));
    append(&log, &line(4, "agent", "INFO", "hello"));
    append(&log, "no json\n");
    until("three events are written", || home.number(EVENTS) == 3);
    let error = "SELECT json_array(name, session, created_at, metadata) FROM custom_events
         WHERE name = 'gateway_error'";
    let error: serde_json::Value = serde_json::from_str(&home.text(error)).unwrap();
    assert_eq!(error[1], "s1");
    assert_eq!(error[2], 1_795_213_802_865_i64);
    let metadata: serde_json::Value = serde_json::from_str(error[3].as_str().unwrap()).unwrap();
    let expected = serde_json::json!({
        "subsystem": "diagnostic", "level": "error", "message": "request failed: token=***",
    });
    assert_eq!(metadata, expected);
    let metrics = daemon.get("/metrics").text;
    for kind in ["channel_event", "gateway_error", "config_change", "other", "unreadable"] {
        let sample = format!("trueup_log_lines_total{{kind=\"{kind}\"}} 1\n");
        assert!(metrics.contains(&sample), "{sample}\n{metrics}");
    }
}

/// The line before a long one came again every half second for ever, and those after it never.
#[test]
fn defect_7_a_line_of_any_length_neither_repeats_nor_hides_others() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("openclaw-2026-11-20.log");
    let home = Home::with(&[("TRACE_LOG_PATH", log.to_str().unwrap())]);
    let daemon = home.start();
    append(&log, &channel(1));
    append(&log, &line(2, "diagnostic", "ERROR", &"long ".repeat(20_000)));
    append(&log, &line(3, "diagnostic", "ERROR", &"longer ".repeat(1 << 20)));
    append(&log, &channel(4));
    until("the last is written", || {
        home.number("SELECT count(*) FROM custom_events WHERE metadata LIKE '%starting 4%'") == 1
    });
    // Long enough for two more looks at the file.
    std::thread::park_timeout(Duration::from_millis(1_200));
    assert_eq!(home.number(EVENTS), 3);
    let metrics = daemon.get("/metrics").text;
    for (kind, lines) in [("channel_event", 2), ("gateway_error", 1), ("unreadable", 1)] {
        let sample = format!("trueup_log_lines_total{{kind=\"{kind}\"}} {lines}\n");
        assert!(metrics.contains(&sample), "{sample}\n{metrics}");
    }
}

/// The second half of a line was an event of its own, and the first half was lost.
#[test]
fn defect_8_a_half_written_line_waits_for_its_end_and_a_failing_channel_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("openclaw-2026-11-20.log");
    let home = Home::with(&[("TRACE_LOG_PATH", log.to_str().unwrap())]);
    let daemon = home.start();
    let line = line(1, "gateway/channels/telegram", "ERROR", "failed with timeout");
    let (head, rest) = line.split_at(line.find("led with").unwrap());
    append(&log, &(channel(0) + head));
    until("what is whole is written", || home.number(EVENTS) == 1);
    std::thread::park_timeout(Duration::from_millis(600));
    append(&log, rest);
    until("the line is written", || home.number(EVENTS) == 2);
    let error = "SELECT metadata ->> 'message' FROM custom_events WHERE name = 'gateway_error'";
    assert_eq!(home.text(error), "failed with timeout");
    let metrics = daemon.get("/metrics").text;
    assert!(metrics.contains("trueup_log_lines_total{kind=\"unreadable\"} 0\n"), "{metrics}");
}

/// A restart read everything again, and a rotation lost what nobody had read.
#[test]
fn defect_8_rotations_and_restarts_lose_and_repeat_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("openclaw-2026-11-20.log");
    let home = Home::with(&[("TRUEUP_LOG_PATH", folder.path().to_str().unwrap())]);
    let mut daemon = home.start();
    append(&log, &channel(1));
    until("the first is written", || home.number(EVENTS) == 1);
    // Renamed with a line that nobody has read, and replaced; and the next day begins.
    append(&log, &channel(2));
    fs::rename(&log, folder.path().join("openclaw-2026-11-20.1.log")).unwrap();
    append(&log, &channel(3));
    append(&folder.path().join("openclaw-2026-11-21.log"), &channel(4));
    until("all are written", || home.number(EVENTS) == 4);
    assert!(daemon.terminate().success());
    append(&log, &channel(5));
    fs::rename(&log, folder.path().join("openclaw-2026-11-20.2.log")).unwrap();
    append(&log, &channel(6));
    let daemon = home.start();
    until("what came meanwhile is written", || home.number(EVENTS) == 6);
    let metrics = daemon.get("/metrics").text;
    assert!(metrics.contains("trueup_log_lines_total{kind=\"channel_event\"} 2\n"), "{metrics}");
    assert_eq!(home.number("SELECT count(DISTINCT metadata) FROM custom_events"), 6);
}
