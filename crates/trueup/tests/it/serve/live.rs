//! `GET /api/v1/live`: events, as they happen.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::daemon::{Daemon, Home, trace, until};

/// One stream of events.
pub(crate) struct Listener {
    lines: BufReader<TcpStream>,
}

impl Listener {
    /// Begins to listen; the head of the answer is read.
    fn of(daemon: &Daemon) -> Self {
        Self::with(daemon, "")
    }

    /// The same with a header, which ends its line.
    pub(crate) fn with(daemon: &Daemon, header: &str) -> Self {
        let mut stream = TcpStream::connect(daemon.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = format!("GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut listener = Self { lines: BufReader::new(stream) };
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(listener.lines.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        listener
    }

    /// The next line that is no length of a piece.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let length = self.lines.read_line(&mut line).unwrap();
        (length > 0).then(|| line.trim_end().to_owned())
    }

    /// What the next event says.
    pub(crate) fn event(&mut self) -> Value {
        loop {
            let line = self.line().unwrap();
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).unwrap();
            }
        }
    }
}

fn models(event: &Value) -> Vec<&str> {
    event["calls"].as_array().unwrap().iter().map(|call| call["model"].as_str().unwrap()).collect()
}

fn of_model(model: &str) -> String {
    format!(
        r#"{{"provider":"openai","model":"{model}","prompt_tokens":1000,"completion_tokens":50,"session_id":"s1","agent":"hermes"}}"#
    )
}

#[test]
fn a_call_is_told_within_a_second() {
    let home = Home::new();
    let daemon = home.start();
    daemon.post_durably("/v1/traces", &of_model("before"));
    let mut listener = Listener::of(&daemon);
    let start = listener.event();
    assert_eq!(models(&start), ["before"], "the latest calls come first of all");
    let other = &mut Listener::of(&daemon);
    assert_eq!(models(&other.event()), ["before"]);
    let posted = Instant::now();
    daemon.post("/v1/traces", &of_model("gpt-5.5"));
    let event = listener.event();
    assert!(posted.elapsed() < Duration::from_secs(1), "{:?}", posted.elapsed());
    assert_eq!(models(&event), ["gpt-5.5"], "only what is new");
    let call = &event["calls"][0];
    assert_eq!(
        (&call["agent"], &call["session"], &call["total"]),
        (&"hermes".into(), &"s1".into(), &1_050.into())
    );
    let told = daemon.get("/api/v1/sessions/s1").json();
    assert_eq!(
        (&call["cost_usd"], &call["id"], &call["at"]),
        (&told["calls"][1]["cost_usd"], &told["calls"][1]["id"], &told["calls"][1]["at"])
    );
    assert!(event["seq"].as_u64() > start["seq"].as_u64() && event["as_of"].is_string());
    assert_eq!(other.event(), event);
}

#[test]
fn a_burst_is_told_at_most_four_times_a_second_and_its_end_is() {
    let home = Home::new();
    let daemon = home.start();
    let mut listener = Listener::of(&daemon);
    listener.event();
    let start = Instant::now();
    for _ in 0..30 {
        daemon.post_durably("/v1/traces", &of_model("gpt-5.5"));
    }
    daemon.post_durably("/v1/traces", &of_model("last"));
    let mut events = 0;
    loop {
        let event = listener.event();
        events += 1;
        assert!(event["calls"].as_array().unwrap().len() <= 20);
        if models(&event).contains(&"last") {
            break;
        }
    }
    let most = 2.0 + start.elapsed().as_secs_f64() * 4.0;
    assert!(f64::from(events) <= most, "{events} in {:?}", start.elapsed());
}

/// What is no usage is no news, but errors are.
#[test]
fn only_changes_of_the_account_and_errors_are_told() {
    let home = Home::new();
    let daemon = home.start();
    let mut listener = Listener::of(&daemon);
    let start = listener.event();
    daemon.post_durably("/v1/events", r#"{"name":"e"}"#);
    let call = r#"{"trace_id":"one","provider":"openai","model":"m","prompt_tokens":7}"#;
    daemon.post_durably("/v1/traces", call);
    assert_eq!(models(&listener.event()), ["m"]);
    // A copy changes nothing.
    daemon.post_durably("/v1/traces", call);
    daemon.post_durably("/v1/errors", r#"{"error_type":"crash","message":"x"}"#);
    let last = listener.event();
    assert_eq!(models(&last), [""; 0]);
    assert_eq!(last["seq"].as_u64().unwrap(), start["seq"].as_u64().unwrap() + 2);
}

#[test]
fn there_is_room_for_so_many_listeners_and_it_comes_back() {
    let home = Home::new();
    let daemon = home.start();
    let mut listeners: Vec<Listener> = (0..32).map(|_| Listener::of(&daemon)).collect();
    let refused = daemon.get("/api/v1/live");
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    assert!(refused.json()["error"].as_str().unwrap().contains("listen"), "{}", refused.text);
    assert_eq!(daemon.get("/api/v1/live?from=2026-11-20").status, 400);
    daemon.post_durably("/v1/traces", &trace(""));
    for listener in &mut listeners {
        listener.event();
        assert_eq!(models(&listener.event()), ["gpt-5.5"]);
    }
    drop(listeners);
    until("the places are free", || {
        let stream = TcpStream::connect(daemon.address).unwrap();
        (&stream).write_all(b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.contains("200")
    });
}

/// Proxies close what is silent for long.
#[test]
fn a_comment_keeps_the_connection_open_every_15_seconds() {
    let home = Home::new();
    let daemon = home.start();
    let mut listener = Listener::of(&daemon);
    listener.event();
    let start = Instant::now();
    while listener.line().unwrap() != ":" {}
    assert!((14..18).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

/// Nothing may keep the process from ending in time, and whoever listens is told properly.
#[test]
fn streams_end_with_the_process() {
    let home = Home::new();
    let mut daemon = home.start();
    let mut listener = Listener::of(&daemon);
    listener.event();
    let start = Instant::now();
    daemon.signal(Signal::TERM);
    let mut last = String::new();
    while let Some(line) = listener.line() {
        if !line.is_empty() {
            last = line;
        }
    }
    assert_eq!(last, "0", "the body was ended, rather than cut");
    assert!(daemon.end().success());
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn streams_stand_behind_the_same_guard() {
    let home = Home::with(&[("TRUEUP_TOKEN", "s3cret-t0ken")]);
    let daemon = home.start();
    assert_eq!(daemon.get("/api/v1/live").status, 401);
    let right = ("authorization", "Bearer s3cret-t0ken");
    assert_eq!(
        daemon.get_with("/api/v1/live", &[right, ("origin", "https://evil.example")]).status,
        403
    );
}
