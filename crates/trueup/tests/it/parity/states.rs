//! What days and sides that are not known, not settled or not the account's own make of a comparison.

use provider_sim::{DAY_S, Fault, KEY, Plan, Sim};
use rusqlite::Connection;
use serde_json::Value;

use super::world::{World, calls_of, date, statement};
use crate::serve::daemon::Home;

fn classes(run: &Value) -> Vec<String> {
    let findings = run["findings"].as_array().unwrap();
    let mut classes: Vec<String> =
        findings.iter().map(|of| of["class"].as_str().unwrap().to_owned()).collect();
    classes.sort();
    classes.dedup();
    classes
}

#[test]
fn a_day_that_may_still_change_fails_only_where_it_must_be_settled() {
    let world = World::new(5, 8);
    world.pull(3);
    let fresh = world.day(1);
    let calls: Vec<_> = world.calls().into_iter().filter(|call| call.row.day_s < fresh).collect();
    world.post(&calls);
    let (from, to) = (date(world.day(7)), date(fresh));
    let line = ["parity", "--from", &from, "--to", &to, "--format", "json"];
    let ran = world.run(&line);
    let unpriced = world.sim.told().iter().any(|row| row.model == super::world::UNPRICED);
    let known: Vec<&str> =
        if unpriced { vec!["provisional", "unpriced"] } else { vec!["provisional"] };
    assert_eq!(
        (ran.code, classes(&ran.json())),
        (Some(0), known.into_iter().map(str::to_owned).collect()),
        "{ran:?}"
    );
    let strict = world.run(&[&line[..], &["--require-settled"]].concat());
    assert_eq!((strict.code, &strict.json()["verdict"]), (Some(4), &"incomplete".into()));
}

#[test]
fn what_a_provider_corrects_after_it_has_settled_is_restated() {
    let world = World::at_first(5, 12);
    world.pull(3);
    world.post(&world.calls());
    let before = world.parity(&["--format", "json"]);
    assert_eq!(before.code, Some(0), "{before:?}");
    world.sim.advance();
    world.sim.advance();
    world.pull(1);
    let ran = world.parity(&["--format", "json"]);
    let run = ran.json();
    assert_eq!(ran.code, Some(1));
    assert!(classes(&run).contains(&"restated".to_owned()), "{run:#}");
    assert_ne!(run["run_id"], before.json()["run_id"]);
}

#[test]
fn a_day_that_did_not_come_is_not_missing_on_any_side() {
    let world = World::new(5, 8);
    world.sim.fail("/completions", 0, 9, Fault::Gap);
    world.pull(1);
    world.post(&world.calls());
    let line = ["--format", "json", "--fail-on", "missing_provider,missing_local"];
    let ran = world.parity(&line);
    let run = ran.json();
    let first = date(world.day(7));
    let of_first: Vec<&Value> = run["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|of| of["day"] == first.as_str() && of["right"] == "usage")
        .collect();
    assert_eq!((of_first.len(), &of_first[0]["class"]), (1, &"uncovered".into()), "{run:#}");
    assert_eq!((ran.code, &run["verdict"]), (Some(4), &"incomplete".into()));
    assert_eq!(run["ties_out"], true);
}

#[test]
fn days_do_not_move_with_the_zone_of_the_machine() {
    // The clocks of Europe and of America change within these days.
    let until = 1_774_828_800 + DAY_S; // 2026-03-31
    let world = World::of_day(until, 9, 26);
    world.pull(3);
    let mut calls = world.calls();
    calls.retain(|call| call.row.model != "o3-2025-04-16");
    world.post(&calls);
    let line = ["parity", "--from", "2026-03-06", "--to", "2026-03-30", "--format", "json"];
    let expected = world.run_in("UTC", &line);
    assert_eq!(expected.code, Some(1), "{expected:?}");
    for zone in [
        "America/New_York",
        "Europe/Berlin",
        "Pacific/Kiritimati",
        "Pacific/Pago_Pago",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
    ] {
        assert_eq!(world.run_in(zone, &line).text, expected.text, "{zone}");
    }
}

#[test]
fn a_statement_and_the_providers_interface_differ_by_nothing() {
    let world = World::new(5, 8);
    world.pull(3);
    world.post(&world.calls());
    let (from, to) = world.settled();
    let mut rows = world.sim.told();
    rows.retain(|row| (from..=to).contains(&row.day_s));
    let file = world.home.path("completions_usage.csv");
    let path = file.to_str().unwrap();
    std::fs::write(&file, statement(&rows)).unwrap();
    let same = world.parity(&["--csv", path, "--format", "json"]);
    assert_eq!(same.code, Some(0), "{same:?}");
    let pair = &same.json()["comparisons"][2];
    assert_eq!((&pair["left"], &pair["right"]), (&"usage".into(), &"statement".into()));
    assert_eq!(
        (&pair["capture_rate"]["tokens"], &same.json()["files"][0]),
        (&"1".into(), &"completions_usage.csv".into())
    );
    assert!(same.json()["notices"]["blank_bucket"]["count"].as_u64().unwrap() > 0);
    let diff = || world.parity(&["--csv", path, "--format", "cogni"]).json();
    let list = |diff: &Value, name: &str| diff[name].as_array().unwrap().clone();
    let none = diff();
    for name in ["mismatched", "missingInDb", "missingInCsv"] {
        assert!(list(&none, name).is_empty(), "{none:#}");
    }
    assert_eq!(none["totals"]["csv"], none["totals"]["db"]);
    assert_eq!(none["inspectedCsvFiles"], serde_json::json!(["completions_usage.csv"]));
    // One token more, one row less, one row that only the statement has.
    let day = rows[0].day_s;
    rows[0].output += 1;
    let other = rows.iter().position(|row| row.day_s > day).unwrap();
    let mut extra = rows.remove(other);
    let empty = (from..=to).step_by(86_400).find(|day| rows.iter().all(|row| row.day_s != *day));
    if let Some(empty) = empty {
        extra.day_s = empty;
        extra.model = "gpt-4.1-mini";
        rows.push(extra);
    }
    std::fs::write(&file, statement(&rows)).unwrap();
    let some = diff();
    let mismatched = list(&some, "mismatched");
    assert_eq!((mismatched.len(), &mismatched[0]["deltas"]["outputTokens"]), (1, &1.into()));
    assert_eq!(mismatched[0]["key"].as_str().unwrap().split('|').count(), 8, "{some:#}");
    assert_eq!(list(&some, "missingInCsv").len(), 1, "{some:#}");
    assert_eq!(list(&some, "missingInDb").len(), usize::from(empty.is_some()), "{some:#}");
    let ran = world.parity(&["--csv", path, "--format", "json"]);
    let run = ran.json();
    let found = classes(&run);
    assert_eq!(ran.code, Some(1));
    for class in ["mismatch_tokens", "missing_statement", "extra_statement"] {
        let is_expected = class != "extra_statement" || empty.is_some();
        assert_eq!(found.contains(&class.to_owned()), is_expected, "{class}: {found:?}");
    }
    // Of the provider itself every key is known, so that the row is found.
    let cell =
        run["findings"].as_array().unwrap().iter().find(|of| of["class"] == "mismatch_tokens");
    assert_eq!(
        (&cell.unwrap()["key"], &cell.unwrap()["project"]),
        (&rows[0].key.into(), &rows[0].project.into())
    );
    // What was imported is compared without being named.
    assert_eq!(world.run(&["import", path]).code, Some(0));
    let imported = world.parity(&["--format", "json"]);
    assert_eq!(imported.json()["findings"], run["findings"]);
}

#[test]
fn of_two_families_that_tell_the_same_one_is_taken_and_named() {
    let plan = Plan { days: 6, has_analytics: true, page_buckets: 31, ..Plan::default() };
    let sim = Sim::start(plan.clone()).unwrap();
    let home = Home::with(&[("TRUEUP_PULL_INTERVAL", "off")]);
    std::fs::write(home.path("key"), KEY).unwrap();
    let mut add = home.verb("provider");
    add.args(["add", "anthropic", "--requests-per-minute", "60000", "--address", &sim.url()]);
    assert!(add.arg("--key-file").arg(home.path("key")).output().unwrap().status.success());
    assert!(home.verb("pull").args(["--days", "6"]).output().unwrap().status.success());
    let output = home.verb("parity").args(["--format", "json"]).output().unwrap();
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    let truth = sim.truth(plan.today_s - 5 * DAY_S, plan.today_s);
    let total = |quantity: &str| {
        let lines = run["comparisons"].as_array().unwrap().iter();
        let lines = lines.flat_map(|pair| pair["tie_out"].as_array().unwrap());
        lines
            .filter(|line| line["side"] != "account" && line["quantity"] == quantity)
            .map(|line| line["total"].clone())
            .next()
    };
    assert_eq!(total("in_uncached"), Some(truth.uncached.into()));
    assert_eq!(total("cost_usd"), Some(truth.cost.as_str().into()));
    let notes = run["notes"].to_string();
    assert!(
        notes.contains("analytics/usage tells the same")
            && notes.contains("analytics/cost tells the same"),
        "{notes}"
    );
}

#[test]
fn a_subscription_is_told_where_the_agent_says_that_it_has_one() {
    let world = World::of_day(1_790_812_800 + 2 * DAY_S, 3, 2); // 2026-10-03
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../trueup-agents/fixtures/codex/everyday/.codex");
    copy(&from, &world.home.path(".codex"));
    assert_eq!(world.run(&["pull", "--from", "2026-09-29", "--to", "2026-10-03"]).code, Some(0));
    let ran =
        world.run(&["parity", "--from", "2026-09-29", "--to", "2026-10-01", "--format", "json"]);
    let run = ran.json();
    assert_eq!(
        (ran.code, classes(&run)),
        (Some(0), vec!["lane_subscription".to_owned()]),
        "{run:#}"
    );
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

#[test]
fn a_run_is_recorded_unless_another_process_holds_the_ledger() {
    let world = World::new(5, 8);
    world.pull(3);
    world.post(&world.calls());
    let recorded = || {
        let database = Connection::open(world.home.path("ledger.db")).unwrap();
        let sql = "SELECT count(*), max(run_id), min(is_partial) FROM reconciliations";
        database
            .query_row(sql, [], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, Option<String>>(1)?,
                    row.get::<_, Option<bool>>(2)?,
                ))
            })
            .unwrap()
    };
    let run = world.parity(&["--format", "json"]).json();
    assert_eq!(recorded(), (1, run["run_id"].as_str().map(str::to_owned), Some(false)));
    world.parity(&["--provider", "openai", "--model", "gpt-5"]);
    let database = Connection::open(world.home.path("ledger.db")).unwrap();
    let sql = "SELECT count(*) FROM reconciliations WHERE provider = 'openai' AND is_partial";
    assert_eq!(database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    database.execute("DELETE FROM reconciliations WHERE is_partial", []).unwrap();
    let daemon = world.home.start();
    let beside = world.parity(&["--format", "json"]);
    assert_eq!(beside.json()["run_id"], run["run_id"]);
    assert!(beside.json()["notes"].to_string().contains("not recorded"), "{beside:?}");
    drop(daemon);
    assert_eq!(recorded().0, 1);
}

#[test]
fn a_run_of_which_a_side_could_not_be_read_is_recorded_as_that() {
    let world = World::new(5, 8);
    world.pull(3);
    world.post(&world.calls());
    std::fs::write(world.home.path("key"), "sk-wrong").unwrap();
    let mut add = world.home.verb("provider");
    add.args(["add", "openai", "--requests-per-minute", "60000", "--address"]);
    add.arg(world.sim.url()).arg("--key-file").arg(world.home.path("key"));
    assert!(add.output().unwrap().status.success());
    assert_eq!(world.run(&["pull", "--days", "2"]).code, Some(1));
    let (from, to) = (date(world.day(20)), date(world.day(3)));
    let ran = world.run(&["parity", "--from", &from, "--to", &to, "--format", "json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let database = Connection::open(world.home.path("ledger.db")).unwrap();
    let sql = "SELECT verdict FROM reconciliations";
    let verdict: String = database.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "unreadable");
}

#[test]
fn accepted_differences_are_told_and_do_not_fail() {
    let world = World::new(5, 8);
    world.pull(3);
    let (day, model) = world
        .sim
        .told()
        .iter()
        .find(|row| row.day_s < world.day(3) && row.model != super::world::UNPRICED)
        .map(|row| (row.day_s, row.model))
        .unwrap();
    let told = world.sim.told();
    let kept = told.iter().filter(|row| (row.day_s, row.model) != (day, model)).flat_map(calls_of);
    world.post(&kept.collect::<Vec<_>>());
    assert_eq!(world.parity(&[]).code, Some(1));
    let file = world.home.path("accepted.json");
    let baseline = |until: &str| {
        let one = format!(
            r#"{{"class":"missing_local","model":"{model}","until":"{until}","reason":"a trial"}}"#
        );
        std::fs::write(&file, format!(r#"{{"schema":1,"accepted":[{one}]}}"#)).unwrap();
        world.parity(&["--baseline", file.to_str().unwrap()])
    };
    let accepted = baseline("2999-01-01");
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
    assert!(accepted.text.contains("accepted: a trial"), "{}", accepted.text);
    let expired = baseline("2020-01-01");
    assert_eq!(expired.code, Some(1));
    assert!(expired.text.contains("No longer accepted: a trial"), "{}", expired.text);
    std::fs::write(
        &file,
        r#"{"schema":1,"accepted":[{"class":"missing","until":"2999-01-01","reason":"x"}]}"#,
    )
    .unwrap();
    let wrong = world.parity(&["--baseline", file.to_str().unwrap()]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.errors.contains("there is no class `missing`"), "{}", wrong.errors);
}

#[test]
fn rows_without_ids_are_never_dropped() {
    let world = World::new(5, 8);
    let all = [
        "project_id",
        "user_id",
        "api_key_id",
        "model",
        "batch",
        "service_tier",
        "api_source",
        "line_item",
    ];
    world.sim.refuse(&all);
    world.pull(3);
    world.post(&world.calls());
    let ran = world.parity(&["--format", "json"]);
    let run = ran.json();
    assert!(run["notices"]["blank_metadata_nonzero"]["count"].as_u64().unwrap() > 0, "{run:#}");
    assert_eq!(run["comparisons"][0]["capture_rate"]["tokens"], "1");
    assert_eq!(ran.code, Some(0), "{run:#}");
}
