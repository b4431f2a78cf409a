//! `GET /api/usage`: for clients of the system before.

use std::collections::BTreeSet;

use provider_sim::{KEY, Plan, Sim};
use serde_json::{Value, json};

use super::daemon::{Home, until};

#[test]
fn what_providers_told_is_listed_in_the_old_names() {
    let sim = Sim::start(Plan { days: 36, ..Plan::default() }).unwrap();
    let home = Home::with(&[("TRUEUP_PULL_INTERVAL", "200ms")]);
    std::fs::write(home.path("key"), KEY).unwrap();
    let mut add = home.verb("provider");
    add.args(["add", "openai", "--requests-per-minute", "60000", "--address", &sim.url()]);
    assert!(add.arg("--key-file").arg(home.path("key")).output().unwrap().status.success());
    let daemon = home.start();
    until("every family is whole", || {
        home.number("SELECT count(DISTINCT family) FROM provider_buckets WHERE pulls > 0") == 12
    });
    until("all is told", || {
        home.number("SELECT coalesce(sum(out), 0) FROM billed").unsigned_abs()
            == sim.truth(0, i64::MAX).output
    });
    let (mut events, mut offset): (Vec<Value>, usize) = (Vec::new(), 0);
    loop {
        let part = daemon.get(&format!("/api/usage?limit=97&offset={offset}"));
        assert_eq!(part.status, 200, "{}", part.text);
        let part = part.json()["events"].as_array().unwrap().clone();
        assert!(part.len() <= 97);
        offset += part.len();
        if part.is_empty() {
            break;
        }
        events.extend(part);
    }
    assert!(events.len() > 97, "{}", events.len());
    let ids: BTreeSet<_> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len());
    let times: Vec<_> = events.iter().map(|event| event["timestamp"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|one, next| one >= next), "newest first");
    let sum = |name: &str| events.iter().filter_map(|event| event[name].as_u64()).sum::<u64>();
    let told = |column: &str| {
        home.number(&format!("SELECT sum({column}) FROM billed WHERE family IN ('usage/completions', 'usage/embeddings', 'usage/moderations')")).unsigned_abs()
    };
    assert_eq!(sum("tokensOut"), told("out"));
    assert_eq!(sum("numModelRequests"), told("requests"));
    assert_eq!(sum("inputCachedTokens"), told("in_cache_read"));
    let first = &events[0];
    assert_eq!(first["provider"], "openai");
    for name in ["model", "windowStart", "windowEnd"] {
        assert!(first[name].is_string(), "{name}: {first:#}");
    }
    assert!(events.iter().any(|event| event["costEstimate"].is_string()));
    let default = daemon.get("/api/usage").json();
    assert_eq!(default["events"].as_array().unwrap().len(), 100);
    assert_eq!(default["events"][99], events[99]);
}

#[test]
fn nothing_told_is_no_event_and_wrong_parameters_are_named() {
    let home = Home::new();
    let daemon = home.start();
    assert_eq!(daemon.get("/api/usage").json(), json!({"schema": 1, "events": []}));
    for (query, name) in [
        ("limit=0", "`limit`"),
        ("limit=1001", "`limit`"),
        ("offset=-1", "`offset`"),
        ("page=2", "`page`"),
    ] {
        let answer = daemon.get(&format!("/api/usage?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert!(
            answer.json()["error"].as_str().unwrap().starts_with(name),
            "{query}: {}",
            answer.text
        );
    }
}
