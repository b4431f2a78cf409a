//! Backfills of what providers say: in chunks, killed, refused, and gone on with.

use insta::assert_snapshot;
use provider_sim::{Fault, Plan};
use serde_json::Value;

use crate::home::{Running, finish, finish_with};
use crate::providers::World;

/// What a backfill printed as JSON, and the exit code.
fn backfill(world: &World, options: &[&str]) -> (Value, Option<i32>) {
    let line = [&["backfill", "provider", "--json"], options].concat();
    let run = finish(world.home.command(&line));
    let json = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    (json, run.code)
}

#[test]
fn a_backfill_asks_chunk_by_chunk_and_a_second_one_changes_nothing() {
    let world = World::new(Plan { days: 30, seed: 4, ..Plan::default() });
    let (first, code) = backfill(&world, &["--days", "30", "--chunk-days", "7"]);
    assert_eq!(code, Some(0), "{first:#}");
    assert_eq!(world.known(), world.truth());
    let labels: Vec<&str> = first["chunks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["label"].as_str().unwrap())
        .collect();
    assert_eq!(labels.len(), 5);
    assert_eq!((labels[0], labels[4]), ("backfill:openai:chunk-1", "backfill:openai:chunk-5"));
    // 30 days of 11 families, and of costs those that are over.
    assert_eq!(first["windows"], 30 * 11 + 29);
    assert_eq!((&first["processed"], &first["failed"]), (&(12 * 5).into(), &0.into()));
    let (again, code) = backfill(&world, &["--days", "30", "--chunk-days", "7"]);
    assert_eq!((code, &again["stored"], &again["updated"]), (Some(0), &0.into(), &0.into()));
    assert_eq!(again["skipped"], first["stored"]);
    assert_eq!(world.known(), world.truth());
}

#[test]
fn a_backfill_that_is_killed_goes_on_where_it_was_over_the_same_days() {
    let world = World::new(Plan { days: 30, seed: 8, page_buckets: 2, ..Plan::default() });
    let line = ["backfill", "provider", "--days", "30", "--chunk-days", "10", "--label", "year"];
    // The second chunk's completions have five pages: the process is killed while it waits for the
    // third.
    world.sim.fail("/completions", 7, 1, Fault::SlowMs(20_000));
    let mut killed = Running(world.home.command(&line).spawn().unwrap());
    let start = std::time::Instant::now();
    let completions = || {
        let all = world.sim.requests();
        all.into_iter().filter(|target| target.contains("/completions")).count()
    };
    while completions() < 8 {
        assert!(start.elapsed().as_secs() < 30);
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    killed.kill();
    world.sim.mend();
    let before = world.sim.requests();
    let states =
        "SELECT state || ' ' || count(*) FROM provider_backfills GROUP BY state ORDER BY 1";
    assert_eq!(world.text(states), "done 12|waiting 24", "the first chunk is done");
    let (gone_on, code) = backfill(&world, &["--resume", "--label", "year"]);
    assert_eq!((code, &gone_on["processed"]), (Some(0), &24.into()), "{gone_on:#}");
    assert_eq!(world.known(), world.truth());
    let after = world.sim.requests().split_off(before.len());
    let is_new = |target: &&String| before.contains(target);
    let again: Vec<&String> = after.iter().filter(is_new).collect();
    assert_eq!(again, [before.last().unwrap()], "only what got no answer is asked for again");
    assert!(again[0].contains("&page=page_4_"), "{again:?}");
    let (left, code) = backfill(&world, &["--resume", "--label", "year"]);
    assert_eq!((code, &left["processed"]), (Some(0), &0.into()), "nothing is left");
    let check = world.home.run("check");
    assert_eq!(check.code, Some(0), "{check:?}");
}

#[test]
fn a_chunk_that_fails_does_not_stop_those_after_it() {
    let world = World::new(Plan { days: 12, ..Plan::default() });
    let days = ["--days", "12", "--chunk-days", "4", "--sleep-ms", "1"];
    world.sim.fail("/completions", 1, 1, Fault::Body("<html>Log in</html>".into()));
    let (first, code) = backfill(&world, &days);
    assert_eq!((code, &first["failed"]), (Some(1), &1.into()), "{first:#}");
    assert_eq!(first["issues"]["not_json"], 1);
    let failed: Vec<u64> = first["chunks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["failed"].as_u64().unwrap())
        .collect();
    assert_eq!(failed, [0, 1, 0]);
    let (again, code) = backfill(&world, &["--resume"]);
    assert_eq!((code, &again["processed"]), (Some(0), &1.into()), "only what failed: {again:#}");
    assert_eq!(world.known(), world.truth());
}

#[test]
fn a_key_that_is_refused_ends_its_connection_and_no_other() {
    let world = World::new(Plan { days: 4, ..Plan::default() });
    let url = world.sim.url();
    let line = ["provider", "add", "openai", "--name", "a-second", "--address", &url];
    assert_eq!(finish_with(world.home.command(&line), b"sk-wrong-s3cret").code, Some(0));
    let (told, code) = backfill(&world, &["--days", "4", "--chunk-days", "2"]);
    assert_eq!((code, &told["issues"]["key_refused"]), (Some(1), &1.into()), "{told:#}");
    let left: Vec<u64> = told["chunks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["left"].as_u64().unwrap())
        .collect();
    assert_eq!(left, [11, 12, 0, 0]);
    assert_eq!(world.known(), world.truth());
    assert!(!told.to_string().contains("s3cret"));
}

#[test]
fn what_a_backfill_prints() {
    let world = World::new(Plan { days: 4, today_s: provider_sim::today(), ..Plan::default() });
    let mut seen = String::new();
    for line in [
        "backfill provider --resume",
        "backfill provider --start 2020-01-05 --end 2020-01-01",
        "backfill provider --start 2000-01-01 --end 2020-01-01",
        "backfill provider --days 4 --start 2020-01-01",
        "backfill provider --resume --days 4",
        "backfill provider --label a/b",
        "backfill provider --start 2020-01-01 --end 2020-01-04 --chunk-days 2 --dry-run",
    ] {
        seen += &world.home.transcript(line);
    }
    assert_snapshot!("a_backfill", seen);
    assert!(world.sim.requests().is_empty() && !world.home.ledger().exists());
    world.sim.fail("/images", 0, 1, Fault::Body("<html>Log in</html>".into()));
    let mut seen = String::new();
    let line = "backfill provider --start 2020-01-01 --end 2020-01-04 --chunk-days 2";
    for line in [line, "backfill provider --resume", "backfill provider --resume"] {
        seen += &world.home.transcript(line);
    }
    assert_snapshot!("a_backfill_of_which_a_chunk_fails", seen);
}
