//! What providers said in detail goes when it is no longer needed.

use insta::assert_snapshot;
use provider_sim::Plan;
use serde_json::Value;

use crate::home::finish;
use crate::providers::World;

/// Three days of more than a month ago, which were pulled and have settled, and their hours.
fn settled() -> World {
    let world = World::new(Plan { days: 42, seed: 12, ..Plan::default() });
    let today_ms = world.plan.today_s * 1_000;
    let day = |age: i64| {
        let day = jiff::Timestamp::from_millisecond(today_ms - age * 86_400_000).unwrap();
        day.strftime("%Y-%m-%d").to_string()
    };
    let line = format!("pull --from {} --to {} --family usage/completions", day(40), day(38));
    for _ in 0..3 {
        world.home.print(&line);
    }
    // The simulator tells whole days only.
    world
        .database()
        .execute_batch(
            "INSERT INTO provider_buckets SELECT connection, family, 60, start_ms, state, pulls,
                 unchanged, listed_by, last_pull_at, settled_at, asked_at FROM provider_buckets;
             INSERT INTO provider_rows (connection, family, width_minutes, start_ms, dims_key, dims,
                 out, extra, value_key, revision, is_withdrawn, first_seen_at, last_changed_at,
                 last_seen_at) SELECT connection, family, 60, start_ms, dims_key, dims, out, extra,
                 value_key, 0, 0, first_seen_at, last_changed_at, last_seen_at FROM provider_rows;",
        )
        .unwrap();
    world
}

fn compared(world: &World) {
    world
        .database()
        .execute_batch(
            "INSERT INTO reconciliations (run_id, at, from_ms, until_ms, is_partial, verdict, inputs,
             summary) VALUES ('1', 1000 * unixepoch() + 1000, 0, 1000 * unixepoch(), 0, 'parity',
             x'00', '{}')",
        )
        .unwrap();
}

fn of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_dry_run_says_what_would_go_and_the_next_run_removes_it() {
    let world = settled();
    let hours = "SELECT count(*) || '' FROM provider_rows WHERE width_minutes = 60";
    let rows: u64 = world.text(hours).parse().unwrap();
    assert!(rows > 0);
    let dry = of(&world.home.print("provider prune --dry-run --json"));
    assert_eq!((&dry["going"]["pages"], &dry["going"]["rows"]), (&0.into(), &0.into()), "{dry:#}");
    assert_eq!((&dry["kept"]["pages"], &dry["kept"]["rows"]), (&1.into(), &rows.into()));
    compared(&world);
    let known = world.text("SELECT sum(out) || '' FROM billed WHERE width_minutes = 1440");
    let dry = of(&world.home.print("provider prune --dry-run --json"));
    assert_eq!(
        (&dry["going"]["pages"], &dry["going"]["rows"]),
        (&1.into(), &rows.into()),
        "{dry:#}"
    );
    assert_eq!(world.text(hours), rows.to_string());
    assert_eq!(dry["going"]["days"], 3);
    let mut never = world.home.command(&["provider", "prune", "--json"]);
    never.env("TRUEUP_PROVIDER_RETENTION_DAYS", "0");
    let never = of(&finish(never).stdout);
    assert_eq!((&never["retention_days"], &never["going"]["rows"]), (&0.into(), &0.into()));
    let later = of(&world.home.print("provider prune --retention-days 60 --json"));
    assert_eq!(later["going"]["rows"], 0, "they are not as old: {later:#}");
    let gone = of(&world.home.print("provider prune --json"));
    assert_eq!((&gone["going"], &gone["dry_run"]), (&dry["going"], &false.into()));
    assert_eq!(world.text(hours), "0");
    assert_eq!(world.text("SELECT sum(length(body)) || '' FROM provider_pages"), "0");
    assert_eq!(world.text("SELECT sum(out) || '' FROM billed"), known, "days stay");
    let check = world.home.run("check");
    assert_eq!(check.code, Some(0), "{check:?}");
}

#[test]
fn what_a_prune_prints() {
    let world = settled();
    // How much is simulated depends on the day of the week.
    let sized = |text: String| {
        let words: Vec<&str> = text.split(' ').collect();
        let next = words.iter().skip(1).chain([&""]);
        let shown = words.iter().zip(next).map(|(word, next)| match (*word, *next) {
            (word, _) if word.starts_with('(') => "(SIZE",
            (_, "finer") => "SOME",
            (word, _) => word,
        });
        shown.collect::<Vec<_>>().join(" ")
    };
    let mut seen = sized(world.home.transcript("provider prune --dry-run"));
    compared(&world);
    for line in ["provider prune --dry-run", "provider prune", "provider prune"] {
        seen += &sized(world.home.transcript(line));
    }
    assert_snapshot!(seen);
}
