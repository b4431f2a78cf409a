//! `serve` asks providers by itself.

use provider_sim::{Fault, KEY, Plan, Sim};

use super::daemon::{Home, until};

/// A home that is connected to a simulator with this key.
fn connected(sim: &Sim, key: &str) -> Home {
    let home = Home::with(&[("TRUEUP_PULL_INTERVAL", "200ms")]);
    add(&home, sim, "openai", key);
    home
}

/// Adds a connection of this name, or gives it another key.
fn add(home: &Home, sim: &Sim, name: &str, key: &str) {
    std::fs::write(home.path("key"), key).unwrap();
    let mut add = home.verb("provider");
    add.args(["add", "openai", "--name", name, "--requests-per-minute", "60000"]);
    add.args(["--address", &sim.url()]).arg("--key-file").arg(home.path("key"));
    assert!(add.output().unwrap().status.success());
}

/// Long enough for three looks at what is due.
fn some_looks() {
    std::thread::park_timeout(std::time::Duration::from_millis(700));
}

fn plan() -> Plan {
    Plan { days: 36, ..Plan::default() }
}

#[test]
fn what_is_due_is_pulled_and_then_left_alone() {
    let sim = Sim::start(plan()).unwrap();
    let home = connected(&sim, KEY);
    let daemon = home.start();
    let told = sim.truth(0, i64::MAX).output;
    let known = || home.number("SELECT coalesce(sum(out), 0) FROM billed").unsigned_abs();
    until("everything is told", || known() == told && daemon.health()["pull_status"] == "ok");
    until("every family is whole", || {
        home.number("SELECT count(DISTINCT family) FROM provider_buckets WHERE pulls > 0") == 12
    });
    until("names are known, which are asked for last", || {
        home.number("SELECT count(*) FROM provider_names WHERE kind = 'key'") == 6
    });
    let asked = sim.requests().len();
    some_looks();
    assert_eq!(sim.requests().len(), asked, "nothing is due for an hour");
    let health = daemon.health();
    assert!(health["last_pull_time"].is_string() && health["pull_error"].is_null(), "{health:#}");
    let metrics = daemon.get("/metrics").text;
    assert!(metrics.contains("trueup_pull_failing 0"), "{metrics}");
    assert!(metrics.contains("trueup_pull_rows_total{result=\"updated\"} 0"), "{metrics}");
    assert!(daemon.log().iter().any(|line| line.contains("\"pulled\"")));
}

#[test]
fn a_refused_key_is_told_and_another_one_mends_it() {
    let sim = Sim::start(plan()).unwrap();
    let home = connected(&sim, "sk-wrong-s3cret");
    let daemon = home.start();
    until("it is told", || daemon.health()["pull_status"] == "error");
    let health = daemon.health();
    assert_eq!(health["status"], "degraded");
    assert!(health["pull_error"].as_str().unwrap().contains("key_refused"), "{health:#}");
    some_looks();
    assert_eq!(sim.requests().len(), 1, "a key that is not known is not tried again and again");
    add(&home, &sim, "openai", KEY);
    until("it is mended", || daemon.health()["status"] == "ok");
    assert!(!daemon.log().concat().contains("s3cret"));
}

#[test]
fn what_fails_still_fails_where_a_refused_key_keeps_it_from_being_asked() {
    let sim = Sim::start(plan()).unwrap();
    for path in ["/completions", "/costs"] {
        sim.fail(path, 0, 99, Fault::Status(403, "Missing scopes: api.usage.read".into()));
    }
    let home = connected(&sim, KEY);
    let daemon = home.start();
    let is_failing =
        |count: u8| daemon.get("/metrics").text.contains(&format!("trueup_pull_failing {count}\n"));
    until("both fail", || is_failing(2));
    until("all else is told", || {
        home.number("SELECT count(*) FROM provider_names WHERE kind = 'key'") == 6
    });
    let asked = sim.requests().len();
    sim.mend();
    add(&home, &sim, "openai", "sk-wrong");
    until("it is told", || daemon.log().iter().any(|line| line.contains("key_refused")));
    some_looks();
    assert!(is_failing(2), "{}", daemon.get("/metrics").text);
    assert_eq!(sim.requests().len(), asked + 1, "one refusal is enough");
    assert!(!daemon.log().iter().any(|line| line.contains("pull_recovered")));
}

#[test]
fn a_connection_that_is_removed_fails_no_more() {
    let sim = Sim::start(plan()).unwrap();
    let home = connected(&sim, KEY);
    add(&home, &sim, "other", "sk-wrong");
    let daemon = home.start();
    until("it is told", || daemon.health()["status"] == "degraded");
    assert!(home.verb("provider").args(["remove", "other"]).output().unwrap().status.success());
    until("it is over", || daemon.health()["status"] == "ok");
}

#[test]
fn a_day_that_does_not_come_is_not_asked_for_at_every_look() {
    let sim = Sim::start(plan()).unwrap();
    sim.fail("/completions", 0, 99, Fault::Gap);
    let home = connected(&sim, KEY);
    let _daemon = home.start();
    until("all is told but one day", || {
        home.number("SELECT count(*) FROM provider_names WHERE kind = 'key'") == 6
    });
    let missing = "SELECT count(*) FROM provider_buckets WHERE state = 'missing'";
    assert!(home.number(missing) > 0);
    let asked = sim.requests().len();
    some_looks();
    assert_eq!(sim.requests().len(), asked);
}

#[test]
fn a_provider_that_is_away_does_not_keep_the_process_from_ending() {
    let sim = Sim::start(plan()).unwrap();
    sim.fail("/completions", 0, 9, Fault::Throttled("30".into()));
    let home = connected(&sim, KEY);
    let mut daemon = home.start();
    until("it is asked", || !sim.requests().is_empty());
    let start = std::time::Instant::now();
    assert!(daemon.terminate().success());
    assert!(start.elapsed().as_secs() < 15);
    assert_eq!(home.number("SELECT count(*) FROM provider_issues"), 0, "nothing is wrong");
    let left =
        "SELECT count(*) FROM provider_cursors WHERE state = 'partial' AND last_error IS NULL";
    assert_eq!(home.number(left), 1, "it goes on from there");
}

#[test]
fn nothing_is_asked_where_nothing_is_connected() {
    let home = Home::with(&[("TRUEUP_PULL_INTERVAL", "200ms")]);
    let daemon = home.start();
    let health = daemon.health();
    assert_eq!((&health["status"], &health["pull_status"]), (&"ok".into(), &"disabled".into()));
    assert!(!daemon.get("/metrics").text.contains("trueup_pull"));
}

#[test]
fn a_backfill_beside_it_says_who_holds_the_ledger() {
    let sim = Sim::start(plan()).unwrap();
    let home = connected(&sim, KEY);
    let _daemon = home.start();
    let told = home.verb("backfill").args(["provider", "--days", "40"]).output().unwrap();
    assert_eq!(told.status.code(), Some(1));
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("`trueup serve` keeps the last 35 days by itself; stop it"), "{told}");
    let dry = home.verb("backfill").args(["provider", "--dry-run"]).output().unwrap();
    assert!(dry.status.success(), "nothing is written by it: {dry:?}");
}

#[test]
fn detail_that_is_old_settled_and_compared_goes() {
    let sim = Sim::start(Plan { days: 50, ..Plan::default() }).unwrap();
    let home = connected(&sim, KEY);
    for _ in 0..3 {
        let mut pull = home.verb("pull");
        pull.args(["--days", "50", "--family", "costs"]);
        assert!(pull.output().unwrap().status.success());
    }
    let bytes = || {
        home.number("SELECT sum(length(body)) FROM provider_pages WHERE until_ms < 1000 * unixepoch() - 36 * 86400000")
    };
    let pages = "UPDATE provider_pages SET until_ms = from_ms + 10 * 86400000";
    home.database().execute(pages, []).unwrap();
    assert!(bytes() > 0);
    home.database()
        .execute_batch(
            "INSERT INTO reconciliations (run_id, at, from_ms, until_ms, is_partial, verdict, inputs,
             summary) VALUES ('1', 1000 * unixepoch() + 1000, 0, 1000 * unixepoch(), 0, 'variance',
             x'00', '{}')",
        )
        .unwrap();
    let daemon = home.start();
    until("it is gone", || bytes() == 0);
    assert!(home.number("SELECT count(*) FROM billed WHERE family = 'costs'") > 0);
    until("it is told", || daemon.log().iter().any(|line| line.contains("provider_pruned")));
}

#[test]
fn how_long_days_still_change_is_told() {
    let sim = Sim::start(plan()).unwrap();
    let home = connected(&sim, KEY);
    let daemon = home.start();
    until("every family is whole", || {
        home.number("SELECT count(DISTINCT family) FROM provider_buckets WHERE pulls > 0") == 12
    });
    assert!(!daemon.get("/metrics").text.contains("trueup_provider_settled_days"));
    // As if two days had been watched from their end on, and one of them changed five hours after it.
    home.database()
        .execute_batch(
            "CREATE TEMP TABLE days AS SELECT start_ms FROM provider_rows
                 WHERE family = 'costs' GROUP BY start_ms ORDER BY start_ms DESC LIMIT 2;
             UPDATE provider_buckets SET settled_at = start_ms + 3 * 86400000
                 WHERE family = 'costs' AND start_ms IN (SELECT start_ms FROM days);
             UPDATE provider_rows SET first_seen_at = start_ms + 86400000,
                 last_changed_at = start_ms + 86400000
                 WHERE family = 'costs' AND start_ms IN (SELECT start_ms FROM days);
             UPDATE provider_rows SET last_changed_at = start_ms + 86400000 + 5 * 3600000
                 WHERE family = 'costs' AND start_ms = (SELECT max(start_ms) FROM days);",
        )
        .unwrap();
    let list = home.verb("provider").args(["list", "--json"]).output().unwrap();
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let lag = &list["connections"][0]["settle_lag"];
    assert_eq!((&lag["days"], &lag["within"][1]["days"]), (&2.into(), &1.into()), "{lag:#}");
    assert_eq!((&lag["within"][2]["hours"], &lag["within"][2]["days"]), (&6.into(), &2.into()));
    let metrics = daemon.get("/metrics").text;
    let name = "trueup_provider_settled_days{provider=\"openai\",within_hours=";
    for (hours, days) in [("0", 1), ("6", 2), ("+Inf", 2)] {
        let line = format!("{name}\"{hours}\"}} {days}");
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
}
