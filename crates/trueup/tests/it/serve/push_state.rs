//! What `trueup doctor` says of a destination, beside a `serve` that sends and without one.

use serde_json::Value;

use super::daemon::Home;
use super::push::{home_of, post_traces, push, verb};
use super::receiver::Receiver;

/// What doctor says of the destination.
fn push_state(home: &Home) -> Value {
    let (out, error, _) = verb(home, &["doctor", "--json"]);
    let found: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{error}"));
    let checks = found["checks"].as_array().unwrap();
    checks.iter().find(|check| check["id"] == "push_state").unwrap().clone()
}

/// What it says where something is wrong: the reason of its one item, and the command.
fn fault(home: &Home) -> (String, String) {
    let state = push_state(home);
    assert_eq!(state["status"], "warn", "{state}");
    let items = state["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{state}");
    let text = |name: &str| items[0][name].as_str().unwrap().to_owned();
    (text("reason"), text("mend"))
}

const LOOK: &str = "trueup push status";

#[test]
fn without_an_endpoint_it_is_off() {
    let home = Home::new();
    let _daemon = home.start();
    let state = push_state(&home);
    assert_eq!((&state["status"], &state["meta"]["is_on"]), (&"ok".into(), &false.into()));
}

#[test]
fn where_everything_arrives_it_is_well_and_shows_no_secret() {
    let receiver = Receiver::start("{}");
    let url = receiver.url() + "?token=s3cret";
    let home = Home::with(&[("TRUEUP_PUSH_ENDPOINT", &url), ("TRUEUP_PUSH_INTERVAL", "1h")]);
    let mut daemon = home.start();
    post_traces(&daemon, 0..2);
    let shown = receiver.url() + "?…";
    let before = push_state(&home);
    assert_eq!(before["status"], "ok");
    assert_eq!(before["detail"], format!("on: 2 records waiting for {shown}, never tried"));
    push(&daemon);
    let state = push_state(&home);
    assert_eq!(state["status"], "ok");
    assert_eq!(
        state["detail"],
        format!("on: 0 records waiting for {shown}, last attempt just now")
    );
    let meta = &state["meta"];
    assert_eq!((&meta["endpoint"], &meta["last_status"]), (&shown.into(), &"ok".into()));
    assert_eq!((&meta["waiting"], &meta["quarantined"]), (&0.into(), &0.into()));
    assert!(daemon.terminate().success());
    assert_eq!(push_state(&home)["status"], "ok", "also when nobody sends now");
}

#[test]
fn what_was_refused_for_good_is_told_with_its_reason() {
    let receiver = Receiver::start(r#"{"poison":"question 1\""}"#);
    let home = home_of(&receiver, &[]);
    let daemon = home.start();
    post_traces(&daemon, 0..3);
    push(&daemon);
    let (reason, mend) = fault(&home);
    assert!(reason.starts_with("1 record refused for good, the last at 2"), "{reason}");
    assert!(reason.ends_with(": HTTP 400: poisoned") && mend == LOOK, "{reason}");
}

#[test]
fn where_the_last_attempts_failed_it_says_so() {
    let receiver = Receiver::start(r#"{"status":503,"headers":{"Retry-After":"0"}}"#);
    let home = home_of(&receiver, &[]);
    let daemon = home.start();
    post_traces(&daemon, 0..3);
    push(&daemon);
    let (reason, mend) = fault(&home);
    assert_eq!(reason, "nothing was taken in the last 5 attempts: HTTP 503");
    assert_eq!(mend, LOOK);
    receiver.answer("{}");
    push(&daemon);
    assert_eq!(push_state(&home)["status"], "ok");
    // A wrong token is told at once, however well it went before.
    receiver.answer(r#"{"status":401}"#);
    post_traces(&daemon, 3..4);
    push(&daemon);
    assert_eq!(fault(&home), ("paused: HTTP 401".to_owned(), LOOK.to_owned()));
}

#[test]
fn an_endpoint_that_nobody_sends_to_is_told() {
    let receiver = Receiver::start("{}");
    // The first cycle comes within a tenth of the interval: not while this daemon lives.
    let home = home_of(&receiver, &[("TRUEUP_PUSH_INTERVAL", "24h")]);
    let now = "trueup push --now".to_owned();
    assert_eq!(fault(&home), ("nothing is queued for it".to_owned(), now.clone()));
    let daemon = home.start();
    post_traces(&daemon, 0..3);
    assert_eq!(push_state(&home)["status"], "ok", "serve will send");
    drop(daemon);
    let never = "never tried, and no process is there to send".to_owned();
    assert_eq!(fault(&home), (never, now));
    assert_eq!(verb(&home, &["push", "--now"]).2, Some(0));
    assert_eq!(push_state(&home)["status"], "ok");
}

#[test]
fn what_only_a_broken_ledger_knows_is_not_known() {
    let receiver = Receiver::start("{}");
    let home = home_of(&receiver, &[]);
    std::fs::write(home.path("ledger.db"), "no database at all").unwrap();
    let state = push_state(&home);
    assert_eq!((&state["status"], &state["meta"]["is_on"]), (&"ok".into(), &true.into()));
    assert_eq!(state["detail"], "not known: the ledger cannot be used");
}

#[test]
fn an_endpoint_that_is_no_address_is_told_without_its_secrets() {
    let home = Home::with(&[("TRUEUP_PUSH_ENDPOINT", "https://me:s3cret@hub.example/")]);
    let (reason, mend) = fault(&home);
    assert!(reason.starts_with("push_endpoint (from TRUEUP_PUSH_ENDPOINT): "), "{reason}");
    assert!(!reason.contains("s3cret") && mend == "trueup config", "{reason}");
}
