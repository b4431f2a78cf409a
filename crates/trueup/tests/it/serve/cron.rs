//! The daily pull over HTTP: who may have it, how often, and what it does.

use provider_sim::{Fault, KEY, Plan, Sim};

use super::daemon::{Answer, Daemon, Home, until};

const PATH: &str = "/api/cron/daily-usage";
const SECRET: &str = "a-cron-s3cret-of-24-bytes";

fn plan() -> Plan {
    Plan { days: 36, ..Plan::default() }
}

/// A home that is connected to a simulator, and pulls only when it is asked.
fn connected(sim: &Sim, variables: &[(&str, &str)]) -> Home {
    let own = [("TRUEUP_PULL_INTERVAL", "off"), ("CRON_SECRET", SECRET)];
    let home = Home::with(&[&own, variables].concat());
    std::fs::write(home.path("key"), KEY).unwrap();
    let mut add = home.verb("provider");
    add.args(["add", "openai", "--requests-per-minute", "60000", "--address", &sim.url()]);
    add.arg("--key-file").arg(home.path("key"));
    assert!(add.output().unwrap().status.success());
    home
}

fn bearer(secret: &str) -> String {
    format!("Bearer {secret}")
}

fn ask(daemon: &Daemon, secret: &str) -> Answer {
    daemon.get_with(PATH, &[("authorization", &bearer(secret))])
}

fn post(daemon: &Daemon, query: &str) -> Answer {
    daemon.post_with(&format!("{PATH}{query}"), "", &[("authorization", &bearer(SECRET))])
}

fn output(home: &Home) -> u64 {
    let sum = "SELECT coalesce(sum(out), 0) FROM billed WHERE family = 'usage/completions'";
    home.number(sum).unsigned_abs()
}

#[test]
fn it_pulls_what_is_due_and_answers_with_the_counters() {
    let sim = Sim::start(plan()).unwrap();
    let home = connected(&sim, &[]);
    let daemon = home.start();
    let first = ask(&daemon, SECRET);
    assert_eq!(first.status, 200, "{}", first.text);
    let first = first.json();
    assert_eq!((&first["is_done"], &first["failed"]), (&true.into(), &0.into()), "{first:#}");
    assert_eq!(output(&home), sim.truth(0, i64::MAX).output);
    let stored = home.number("SELECT count(*) FROM provider_rows").unsigned_abs();
    assert_eq!(first["stored"], stored);
    let again = post(&daemon, "");
    assert_eq!(again.status, 200, "{}", again.text);
    let again = again.json();
    assert_eq!((&again["stored"], &again["updated"]), (&0.into(), &0.into()));
    assert!(again["skipped"].as_u64().unwrap() > 0, "the last days are asked for in any case");
    assert_eq!(daemon.health()["pull_status"], "ok");
    assert_eq!(post(&daemon, "?days=0").status, 400);
    assert_eq!(post(&daemon, "?days=36").status, 400);
    assert_eq!(post(&daemon, "?days=35").json()["skipped"], stored);
    assert!(daemon.get("/metrics").text.contains("path=\"/api/cron/daily-usage\",status=\"200\""));
}

#[test]
fn nothing_is_pulled_before_it_is_asked() {
    let sim = Sim::start(plan()).unwrap();
    let home = connected(&sim, &[]);
    let daemon = home.start();
    std::thread::park_timeout(std::time::Duration::from_millis(500));
    assert!(sim.requests().is_empty());
    assert_eq!(ask(&daemon, SECRET).status, 200);
    assert!(!sim.requests().is_empty());
}

/// Its retries only asked for the last two days: what changed later was lost.
#[test]
fn cogni_defect_11_trailing_restatements_are_not_lost_by_get_or_post() {
    for is_post in [false, true] {
        let sim = Sim::start(plan()).unwrap();
        let home = connected(&sim, &[]);
        let daemon = home.start();
        let ask = || if is_post { post(&daemon, "") } else { ask(&daemon, SECRET) };
        assert_eq!(ask().status, 200);
        let before = sim.truth(0, i64::MAX).output;
        assert_eq!(output(&home), before);
        // Late usage and corrections of any day, a week later.
        sim.advance();
        sim.advance();
        home.database()
            .execute("UPDATE provider_buckets SET last_pull_at = last_pull_at - 7 * 86400000", [])
            .unwrap();
        let told = ask();
        assert_eq!(told.status, 200, "{}", told.text);
        let truth = sim.truth(0, i64::MAX).output;
        assert_ne!(truth, before);
        assert_eq!(output(&home), truth);
        assert!(told.json()["updated"].as_u64().unwrap() > 0);
        let old = "SELECT count(*) FROM provider_rows WHERE revision > 0 AND family =
             'usage/completions' AND start_ms < (SELECT max(start_ms) FROM provider_rows) - 8 * 86400000";
        assert!(home.number(old) > 0, "days of more than a week ago have changed");
    }
}

#[test]
fn without_a_secret_nobody_is_let_in() {
    for none in ["", "undefined", "null", "too-short"] {
        let home = Home::with(&[("TRUEUP_CRON_SECRET", none)]);
        let daemon = home.start();
        for sent in ["", "undefined", "null", "too-short", SECRET] {
            let answer = ask(&daemon, sent);
            assert_eq!(answer.status, 503, "{none}, {sent}: {}", answer.text);
        }
        assert_eq!(daemon.get(PATH).status, 503);
        let is_told = daemon.log().iter().any(|line| line.contains("cron_secret_too_short"));
        assert_eq!(is_told, none == "too-short");
    }
}

#[test]
fn its_secret_opens_nothing_else_and_the_token_does_not_open_it() {
    let sim = Sim::start(Plan { days: 1, ..Plan::default() }).unwrap();
    let home = connected(&sim, &[("TRUEUP_TOKEN", "the-t0ken-of-the-others")]);
    let daemon = home.start();
    assert_eq!(ask(&daemon, SECRET).status, 200);
    let wrong = ask(&daemon, "the-t0ken-of-the-others");
    assert_eq!((wrong.status, wrong.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(daemon.get(PATH).status, 401);
    let secret = bearer(SECRET);
    for path in ["/metrics", "/", "/v1/report", "/api/cron/daily-usage/", "/api/cron"] {
        assert_eq!(daemon.get_with(path, &[("authorization", &secret)]).status, 401, "{path}");
    }
    let own = ("authorization", secret.as_str());
    for (name, value) in [("host", "evil.example"), ("origin", "https://evil.example")] {
        assert_eq!(daemon.get_with(PATH, &[own, (name, value)]).status, 403, "{name}");
    }
    let put = format!(
        "PUT {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {secret}\r\n\
         Connection: close\r\nContent-Length: 0\r\n\r\n"
    );
    assert!(daemon.raw(put.as_bytes()).starts_with("HTTP/1.1 405"));
}

#[test]
fn who_asks_too_often_is_refused_and_told_when_to_come_again() {
    let sim = Sim::start(Plan { days: 1, ..Plan::default() }).unwrap();
    let home = connected(&sim, &[]);
    let daemon = home.start();
    for _ in 0..10 {
        assert_eq!(ask(&daemon, "guessed-s3cret-17b").status, 401);
    }
    for _ in 0..20 {
        let refused = ask(&daemon, SECRET);
        assert_eq!((refused.status, refused.header("retry-after")), (429, "6"));
    }
    assert!(sim.requests().is_empty());
    assert_eq!(daemon.get("/health").status, 200, "other paths are not held up");
    let refused = || daemon.log().iter().filter(|line| line.contains("cron_refused")).count();
    until("refusals are logged", || refused() == 11);
    let log = daemon.log().concat();
    assert!(log.contains("wrong_secret") && log.contains("too_often") && log.contains("127.0.0.1"));
    assert!(!log.contains("s3cret"), "{log}");
}

#[test]
fn what_fails_is_in_the_answer_and_its_status() {
    let home = Home::with(&[("CRON_SECRET", SECRET)]);
    let daemon = home.start();
    let alone = ask(&daemon, SECRET);
    assert_eq!(alone.status, 409, "{}", alone.text);
    drop(daemon);
    let sim = Sim::start(Plan { days: 2, ..Plan::default() }).unwrap();
    let home = connected(&sim, &[]);
    let daemon = home.start();
    sim.fail("/images", 0, 1, Fault::Body("<html>Log in</html>".into()));
    let failed = ask(&daemon, SECRET);
    assert_eq!((failed.status, &failed.json()["issues"]["not_json"]), (502, &1.into()));
    // What failed is not left alone by who asks again.
    let mended = ask(&daemon, SECRET);
    assert_eq!(mended.status, 200, "{}", mended.text);
}
