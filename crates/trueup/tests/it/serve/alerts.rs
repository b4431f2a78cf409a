//! Alerts of `serve`: told once, to everybody, whatever happens between.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::daemon::{Daemon, Home, trace, until};
use super::push::verb;
use super::receiver::{Received, Receiver};

/// So many looks of the daemon that one of them would have told twice.
const SOME_LOOKS: Duration = Duration::from_millis(600);

/// A home with a budget of $10 a month, which is looked at all the time.
fn home_of(webhook: &str, more: &[(&str, &str)]) -> Home {
    let mut variables = vec![
        ("TZ", "UTC"),
        ("TRUEUP_ALERT_INTERVAL", "100ms"),
        ("TRUEUP_ALERT_WEBHOOK", webhook),
        ("TRUEUP_ALERT_WEBHOOK_TOKEN", "s3cret"),
    ];
    variables.extend_from_slice(more);
    let home = Home::with(&variables);
    let settings = home.path(".config/trueup/trueup.toml");
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    let file = home.path("alerts.jsonl");
    let text = format!(
        "alert_file = \"{}\"\n[[budget]]\nname = \"all\"\nlimit = 10\nper = \"month\"\n",
        file.display()
    );
    fs::write(settings, text).unwrap();
    home
}

fn spend(daemon: &Daemon, dollars: u32) {
    let call = trace(&format!(r#""prompt_tokens":1,"completion_tokens":1,"cost_usd":{dollars}"#));
    daemon.post_durably("/v1/traces", &call);
}

fn lines_of_file(home: &Home) -> Vec<Value> {
    let text = fs::read(home.path("alerts.jsonl")).unwrap_or_default();
    let text = String::from_utf8(text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn levels(alerts: &[Value]) -> Vec<u64> {
    alerts.iter().map(|alert| alert["level"].as_u64().unwrap()).collect()
}

fn bodies(received: &[Received]) -> Vec<Value> {
    received.iter().map(Received::json).collect()
}

fn events(daemon: &Daemon, name: &str) -> Vec<Value> {
    let lines = daemon.log().into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
    lines.filter(|line| line["message"] == name).collect()
}

/// The names of its threads.
fn threads(daemon: &Daemon) -> BTreeSet<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.id())).unwrap();
    // One that has ended meanwhile has no name.
    let names = tasks.filter_map(|task| fs::read(task.unwrap().path().join("comm")).ok());
    names.map(|name| String::from_utf8_lossy(&name).trim().to_owned()).collect()
}

fn rest() {
    std::thread::park_timeout(SOME_LOOKS);
}

#[test]
fn an_alert_is_told_once_and_again_only_at_a_higher_level() {
    let receiver = Receiver::start("{}");
    let home = home_of(&receiver.url(), &[]);
    let mut daemon = home.start();
    spend(&daemon, 5);
    until("half is told", || receiver.received().len() == 1);
    let first = &receiver.received()[0];
    let alert = first.json();
    assert_eq!((&alert["class"], &alert["level"]), (&"budget".into(), &50.into()));
    assert_eq!(alert["numbers"]["spent_usd"], "5");
    assert_eq!(first.header("authorization"), "Bearer s3cret");
    assert_eq!(first.header("idempotency-key"), alert["id"]);
    spend(&daemon, 1);
    rest();
    assert_eq!(receiver.received().len(), 1);
    // 80 and 100 at once: only the highest is told.
    spend(&daemon, 4);
    until("all is told", || receiver.received().len() == 2);
    rest();
    assert_eq!(levels(&bodies(&receiver.received())), [50, 100]);
    until("the file has both", || lines_of_file(&home).len() == 2);
    assert_eq!(lines_of_file(&home), bodies(&receiver.received()));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(home.path("alerts.jsonl")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let logged = events(&daemon, "alert");
    assert_eq!(levels(&logged), [50, 100]);
    assert!(!daemon.log().join("").contains("s3cret"));
    let cell = alert["cell"].as_str().unwrap();
    let metrics = daemon.get("/metrics").text;
    for line in [
        format!("trueup_alert_level_percent{{class=\"budget\",cell=\"{cell}\"}} 100"),
        "trueup_budget_spent_usd{budget=\"all\",per=\"month\",of=\"account\"} 10".to_owned(),
        "trueup_budget_limit_usd{budget=\"all\",per=\"month\",of=\"account\"} 10".to_owned(),
        "trueup_alerts_total{class=\"budget\"} 2".to_owned(),
        "trueup_alerts_waiting{sink=\"webhook\"} 0".to_owned(),
        "trueup_alerts_lost_total 0".to_owned(),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    // The next process knows what was told.
    assert!(daemon.terminate().success());
    let daemon = home.start();
    until("it has looked", || {
        daemon.get("/metrics").text.contains("trueup_last_alert_look_timestamp_seconds")
    });
    rest();
    assert_eq!(receiver.received().len(), 2);
    let standing = home.verb("alerts").args(["--check", "--json"]).output().unwrap();
    assert_eq!(standing.status.code(), Some(1), "{standing:?}");
    let standing: Value = serde_json::from_slice(&standing.stdout).unwrap();
    assert_eq!(standing["alerts"][0]["id"], logged[1]["id"], "{standing:#}");
}

#[test]
fn an_alert_survives_a_dead_webhook_and_a_kill() {
    let receiver = Receiver::start(r#"{"status":503}"#);
    let home = home_of(&receiver.url(), &[]);
    let daemon = home.start();
    spend(&daemon, 8);
    // The others do not wait for it.
    until("log and file have it", || {
        lines_of_file(&home).len() == 1 && !events(&daemon, "alert").is_empty()
    });
    until("it is tried again", || receiver.received().len() >= 3);
    until("that is told", || !events(&daemon, "alert_not_delivered").is_empty());
    drop(daemon);
    receiver.answer("{}");
    let daemon = home.start();
    until("it arrives", || receiver.taken().len() == 1);
    rest();
    let received = receiver.received();
    assert_eq!(receiver.taken().len(), 1);
    let ids: BTreeSet<&str> = received.iter().map(|one| one.header("idempotency-key")).collect();
    assert_eq!(ids.len(), 1, "every try has the same id");
    assert_eq!(lines_of_file(&home).len(), 1);
    assert!(events(&daemon, "alert").is_empty());
    until("nothing waits", || home.number("SELECT count(*) FROM alert_deliveries") == 0);
}

#[test]
fn no_kill_swallows_an_alert_or_makes_it_another() {
    let receiver = Receiver::start("{}");
    let home = home_of(&receiver.url(), &[]);
    // Moments between the start of a process and some looks later, spread by a fixed rule.
    for kill in 0..10_u64 {
        let daemon = home.start();
        spend(&daemon, 1);
        std::thread::park_timeout(Duration::from_millis(kill * 7_919 % 1_400));
        drop(daemon);
    }
    let _daemon = home.start();
    let is_over = || home.number("SELECT count(*) FROM alert_deliveries") == 0;
    until("all is told", || levels(&lines_of_file(&home)).contains(&100) && is_over());
    let mut ids: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for alert in bodies(&receiver.taken()) {
        let id = alert["id"].as_str().unwrap().to_owned();
        ids.entry(alert["level"].as_u64().unwrap()).or_default().insert(id);
    }
    assert!(ids.contains_key(&100), "{ids:?}");
    assert!(ids.values().all(|ids| ids.len() == 1), "{ids:?}");
    let in_file: BTreeSet<u64> = levels(&lines_of_file(&home)).into_iter().collect();
    assert!(ids.keys().eq(&in_file), "{ids:?} {in_file:?}");
}

#[test]
fn a_webhook_that_hangs_keeps_nobody_waiting() {
    let receiver = Receiver::start(r#"{"delay":8}"#);
    let home = home_of(&receiver.url(), &[]);
    let mut daemon = home.start();
    spend(&daemon, 10);
    until("it hangs", || receiver.received().len() == 1);
    let start = Instant::now();
    spend(&daemon, 1);
    assert_eq!(daemon.health()["db_status"], "ok");
    assert!(daemon.terminate().success());
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[test]
fn what_is_refused_for_good_is_counted() {
    let receiver = Receiver::start(r#"{"status":422,"body":"no"}"#);
    let home = home_of(&receiver.url(), &[]);
    let daemon = home.start();
    spend(&daemon, 10);
    until("it is counted", || daemon.get("/metrics").text.contains("trueup_alerts_lost_total 1"));
    assert_eq!(receiver.received().len(), 1);
    assert_eq!(home.number("SELECT count(*) FROM alert_deliveries"), 0);
}

#[test]
fn what_a_webhook_says_of_its_path_is_not_repeated() {
    let receiver = Receiver::start(r#"{"status":404,"body":"Cannot POST /s3cret"}"#);
    let home = home_of(&receiver.url().replace("/ingest", "/s3cret"), &[]);
    let daemon = home.start();
    spend(&daemon, 10);
    until("it is told", || !events(&daemon, "alert_not_delivered").is_empty());
    assert_eq!(events(&daemon, "alert_not_delivered")[0]["error"], "HTTP 404");
    assert!(!daemon.log().join("").contains("s3cret"));
    let waiting = "SELECT count(*) FROM alert_deliveries WHERE error = 'HTTP 404'";
    until("it waits", || home.number(waiting) == 1);
}

/// What doctor says of alerts.
fn alert_delivery(home: &Home) -> Value {
    let (out, error, _) = verb(home, &["doctor", "--json"]);
    let found: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{error}"));
    let checks = found["checks"].as_array().unwrap();
    checks.iter().find(|check| check["id"] == "alert_delivery").unwrap().clone()
}

#[test]
fn doctor_names_what_could_not_be_delivered() {
    let off = Home::new();
    let found = alert_delivery(&off);
    assert_eq!(
        (&found["status"], &found["detail"]),
        (&"ok".into(), &"off: no budget is set".into())
    );
    let receiver = Receiver::start(r#"{"status":404,"body":"Cannot POST /s3cret"}"#);
    let home = home_of(&receiver.url().replace("/ingest", "/s3cret"), &[]);
    let daemon = home.start();
    assert_eq!(alert_delivery(&home)["status"], "ok");
    spend(&daemon, 10);
    until("the failure is known", || {
        home.number("SELECT count(*) FROM alert_deliveries WHERE attempts > 0") == 1
    });
    let found = alert_delivery(&home);
    assert_eq!((&found["status"], &found["meta"]["waiting"]), (&"warn".into(), &1.into()));
    assert_eq!(found["detail"], "1 alert waiting for webhook");
    let [item] = found["items"].as_array().unwrap().as_slice() else { panic!("{found:#}") };
    let reason = item["reason"].as_str().unwrap();
    let first = "webhook: 1 alert not delivered, the first raised just now; ";
    assert!(reason.starts_with(first), "{reason}");
    assert!(reason.ends_with(" failed, the last with HTTP 404"), "{reason}");
    assert_eq!(item["first"], "correct alert_webhook or its token, and restart `trueup serve`");
    assert_eq!(item["mend"], "trueup config");
    // One that is refused for good is counted, and waits no longer.
    receiver.answer(r#"{"status":422}"#);
    until("it is given up", || home.number("SELECT count(*) FROM alert_deliveries") == 0);
    let found = alert_delivery(&home);
    assert_eq!((&found["status"], &found["meta"]["lost"]), (&"ok".into(), &1.into()));
    assert_eq!(found["detail"], "no alert waits to be delivered; 1 alert lost so far");
    drop(daemon);
    // What was raised, and nobody is there to deliver.
    home.database()
        .execute_batch(
            "INSERT INTO alert_deliveries (sink, alert_id, body, created_at)
             VALUES ('file', 'x', '{}', 1000 * unixepoch() - 7200000)",
        )
        .unwrap();
    let found = alert_delivery(&home);
    let reason = found["items"][0]["reason"].as_str().unwrap();
    assert_eq!(
        reason,
        "file: 1 alert not delivered, the first raised 2 h 00 min ago, and no process is there to deliver"
    );
    let unsafe_home = home_of("http://hooks.example/s3cret", &[]);
    let found = alert_delivery(&unsafe_home).to_string();
    assert!(found.contains("alert_webhook (from") && !found.contains("s3cret"), "{found}");
}

#[test]
fn nothing_is_looked_at_unless_a_budget_is_set() {
    let home = Home::with(&[("TRUEUP_ALERT_INTERVAL", "100ms")]);
    let daemon = home.start();
    rest();
    assert!(!daemon.get("/metrics").text.contains("trueup_budget"));
    assert!(!threads(&daemon).contains("alerts"), "{:?}", threads(&daemon));
    let home = home_of("http://hooks.example/s3cret", &[]);
    let refusal = home.refusal(&[]);
    assert!(refusal.contains("alert_webhook (from TRUEUP_ALERT_WEBHOOK)"), "{refusal}");
    assert!(!refusal.contains("s3cret"), "{refusal}");
    let off = home_of("", &[("TRUEUP_ALERT_INTERVAL", "off")]);
    let daemon = off.start();
    spend(&daemon, 10);
    rest();
    assert!(lines_of_file(&off).is_empty());
    assert!(!threads(&daemon).contains("alerts"));
    let on = home_of("", &[]);
    let daemon = on.start();
    until("it looks", || threads(&daemon).contains("alerts"));
}
