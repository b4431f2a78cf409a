//! Defects of the system that this replaces, each by its number.

use provider_sim::DAY_S;

use super::world::{UNPRICED, World, calls_of, date, statement};

#[test]
fn cogni_defect_7_a_statement_that_cannot_be_read_is_not_an_empty_one() {
    let world = World::new(5, 8);
    world.pull(3);
    world.post(&world.calls());
    for (name, bytes) in [
        ("absent.csv", None),
        ("empty.csv", Some("")),
        ("page.csv", Some("<!DOCTYPE html><html>Log in</html>")),
        ("other.csv", Some("name,age\nAnn,7\n")),
        ("torn.csv", Some("start_time,end_time,input_tokens,output_tokens,model\n1,\"")),
    ] {
        let path = world.home.path(name);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        let ran = world.parity(&["--csv", path.to_str().unwrap(), "--format", "json"]);
        assert_eq!((ran.code, ran.text.as_str()), (Some(2), ""), "{name}: {ran:?}");
        assert!(ran.errors.contains(name), "{name}: {}", ran.errors);
    }
}

#[test]
fn cogni_defect_7_a_database_that_cannot_be_read_is_not_an_empty_one() {
    let world = World::new(5, 8);
    world.pull(1);
    let ledger = world.home.path("ledger.db");
    std::fs::write(&ledger, "this is no database, and it is long enough to be looked at twice")
        .unwrap();
    for file in ["ledger.db-wal", "ledger.db-shm"] {
        let _is_gone = std::fs::remove_file(world.home.path(file)).is_ok();
    }
    let rows = statement(&world.sim.told());
    std::fs::write(world.home.path("usage.csv"), rows).unwrap();
    let csv = world.home.path("usage.csv");
    for options in [&["--format", "cogni"][..], &["--csv", csv.to_str().unwrap()]] {
        let ran = world.parity(options);
        assert_eq!((ran.code, ran.text.as_str()), (Some(3), ""), "{ran:?}");
        assert!(ran.errors.contains("ledger.db"), "{}", ran.errors);
    }
}

#[test]
fn cogni_defect_7_what_was_never_pulled_is_not_missing_everywhere() {
    let world = World::new(5, 8);
    world.post(&world.calls());
    let ran = world.parity(&["--format", "json"]);
    assert_eq!((ran.code, ran.text.as_str()), (Some(2), ""), "{ran:?}");
    assert!(ran.errors.contains("nothing to compare with"), "{}", ran.errors);
    // A key that is refused is told as such.
    std::fs::write(world.home.path("key"), "sk-wrong").unwrap();
    let mut add = world.home.verb("provider");
    add.args(["add", "openai", "--requests-per-minute", "60000", "--address"]);
    add.arg(world.sim.url()).arg("--key-file").arg(world.home.path("key"));
    assert!(add.output().unwrap().status.success());
    assert_eq!(world.run(&["pull", "--days", "8"]).code, Some(1));
    let ran = world.parity(&[]);
    assert_eq!((ran.code, ran.text.as_str()), (Some(3), ""), "{ran:?}");
    assert!(ran.errors.contains("key_refused"), "{}", ran.errors);
    // One that was removed is not asked any more.
    assert_eq!(world.run(&["provider", "remove", "openai"]).code, Some(0));
    let ran = world.parity(&[]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.errors.contains("nothing to compare with"), "{}", ran.errors);
}

#[test]
fn cogni_defect_7_variance_changes_the_exit_code() {
    let world = World::new(5, 12);
    world.pull(3);
    world.post(&world.calls());
    assert_eq!(world.parity(&[]).code, Some(0));
    let (from, to) = world.settled();
    // A day of which only the provider knows, and then one less.
    let other = World::new(5, 12);
    other.pull(3);
    let told = other.sim.told();
    let gap = told.iter().map(|row| row.day_s).find(|day| (from..=to).contains(day)).unwrap();
    let kept: Vec<_> = told.iter().filter(|row| row.day_s != gap).flat_map(calls_of).collect();
    other.post(&kept);
    assert_eq!(other.parity(&[]).code, Some(1));
    let rest = other.run(&["parity", "--from", &date(gap + DAY_S), "--to", &date(to)]);
    assert_eq!(rest.code, Some(0), "{rest:?}");
}

#[test]
fn an_issue_of_other_days_is_none_of_these() {
    let world = World::new(5, 12);
    world.pull(3);
    world.post(&world.calls());
    let (from, to) = world.settled();
    let drift = |from_s: i64, until_s: i64| {
        let database = world.home.database();
        database.execute("DELETE FROM provider_issues", []).unwrap();
        let sql =
            "INSERT INTO provider_issues SELECT id, 'costs:key_1', 'schema_drift', 'field', 0, 0,
             1, ?1, ?2 FROM provider_connections";
        database.execute(sql, [from_s * 1_000, until_s * 1_000]).unwrap();
        world.run(&["parity", "--from", &date(from), "--to", &date(to)]).code
    };
    assert_eq!(drift(from - 9 * DAY_S, from), Some(0));
    assert_eq!(drift(from - 9 * DAY_S, from + 1), Some(5));
    assert_eq!(drift(to + DAY_S, to + 2 * DAY_S), Some(0));
}

#[test]
fn cogni_defect_9_cached_tokens_cost_what_they_cost_and_no_model_has_the_price_of_another() {
    let world = World::new(5, 12);
    world.pull(3);
    let calls = world.calls();
    world.post(&calls);
    let run = world.parity(&["--format", "json"]).json();
    let cost = run["comparisons"].as_array().unwrap().iter().find(|pair| pair["right"] == "cost");
    // Counts beyond 32 bits, cached ones at their own price: to the last digit what was charged.
    assert!(calls.iter().any(|call| call.row.uncached > u64::from(u32::MAX) / 3));
    let classes = &cost.unwrap()["classes"];
    assert_eq!(classes["match"]["left"], classes["match"]["right"], "{classes:#}");
    let of_unpriced = run["findings"].as_array().unwrap().iter();
    let of_unpriced: Vec<_> = of_unpriced.filter(|of| of["right"] == "cost").collect();
    assert!(!of_unpriced.is_empty());
    for finding in of_unpriced {
        assert_eq!((&finding["class"], &finding["model"]), (&"unpriced".into(), &UNPRICED.into()));
        assert_eq!(finding["left_says"], serde_json::json!({}), "not told, which is not zero");
    }
}
