//! Providers, as people and scripts meet them: connections, pulls, and what is in the ledger then.
//!
//! What is expected comes from the simulator's own ledger of truth. Each defect of the system that
//! this replaces which has to do with pulling is a test by its name; those about reading a page are
//! among the tests of `trueup-providers`.

use std::os::unix::fs::PermissionsExt as _;

use insta::assert_snapshot;
use provider_sim::{DAY_S, Fault, KEY, KEY_WITHOUT_SCOPE, Plan, Sim, Truth};
use rusqlite::Connection;
use serde_json::Value;

use crate::home::{Home, Run, Running, finish, finish_with, text_of};

/// A home that is connected to a simulated OpenAI.
pub(crate) struct World {
    pub(crate) home: Home,
    pub(crate) sim: Sim,
    pub(crate) plan: Plan,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        Self::of("openai", plan)
    }

    pub(crate) fn of(provider: &str, plan: Plan) -> Self {
        let sim = Sim::start(plan.clone()).unwrap();
        let world = Self { home: Home::new(), sim, plan };
        let added = world.add(provider, KEY);
        assert_eq!(added.code, Some(0), "{added:?}");
        world
    }

    fn add(&self, provider: &str, key: &str) -> Run {
        let url = self.sim.url();
        // The simulator is not to be spared.
        let line =
            ["provider", "add", provider, "--address", &url, "--requests-per-minute", "60000"];
        finish_with(self.home.command(&line), key.as_bytes())
    }

    /// Pulls every day of the world; what was printed as JSON, and the exit code.
    fn pull_with(&self, options: &[&str]) -> (Value, Option<i32>) {
        // By their dates: the day of the simulation stays the same where midnight passes meanwhile.
        let day = |age: i64| {
            let start = jiff::Timestamp::from_second(self.plan.today_s - age * DAY_S).unwrap();
            start.strftime("%F").to_string()
        };
        let (from, to) = (day(self.plan.days - 1), day(0));
        let days = ["pull", "--json", "--from", &from, "--to", &to];
        let run = finish(self.home.command(&[&days, options].concat()));
        let json = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
        (json, run.code)
    }

    fn pull(&self) -> Value {
        let (json, code) = self.pull_with(&[]);
        assert_eq!(code, Some(0), "{json:#}");
        json
    }

    pub(crate) fn database(&self) -> Connection {
        Connection::open(self.home.ledger()).unwrap()
    }

    pub(crate) fn text(&self, sql: &str) -> String {
        let database = self.database();
        let mut statement = database.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0)).unwrap();
        rows.map(|row| row.unwrap().unwrap_or_default()).collect::<Vec<_>>().join("|")
    }

    /// What the ledger says of completions and costs.
    pub(crate) fn known(&self) -> Truth {
        let database = self.database();
        let sum =
            "SELECT count(*), sum(in_uncached), sum(in_cache_read), sum(in_cache_write), sum(out),
             sum(requests) FROM billed WHERE family = 'usage/completions'";
        database
            .query_row(sum, [], |row| {
                let count = |at: usize| {
                    Ok::<u64, rusqlite::Error>(
                        row.get::<_, Option<i64>>(at)?.unwrap_or(0).unsigned_abs(),
                    )
                };
                Ok(Truth {
                    rows: count(0)?,
                    uncached: count(1)?,
                    cached: count(2)?,
                    written: count(3)?,
                    output: count(4)?,
                    requests: count(5)?,
                    cost: self.cost(),
                })
            })
            .unwrap()
    }

    /// The exact sum of amounts, by integers of 10^-24 dollars.
    fn cost(&self) -> String {
        let amounts = self.text("SELECT amount FROM billed WHERE family = 'costs'");
        let sum: i128 = amounts.split('|').filter(|amount| !amount.is_empty()).map(units).sum();
        let (whole, fraction) = (sum / 10_i128.pow(24), format!("{:024}", sum % 10_i128.pow(24)));
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") }
    }

    /// The truth of the whole world: completions with the present day, costs without it.
    pub(crate) fn truth(&self) -> Truth {
        let past = self.sim.truth(0, self.plan.today_s);
        Truth { cost: past.cost, ..self.sim.truth(0, i64::MAX) }
    }
}

fn units(amount: &str) -> i128 {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    format!("{whole}{fraction:0<24}").parse().unwrap()
}

#[test]
fn a_connection_is_added_listed_tested_pulled_and_removed() {
    let world = World::new(Plan { days: 3, ..Plan::default() });
    let keys = world.home.at(".config/trueup/providers.toml");
    let mode = std::fs::metadata(&keys).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(text_of(&keys).contains(KEY));
    let mut seen = String::new();
    for line in [
        "provider list",
        "provider test",
        "pull --days 3",
        "provider list",
        "provider list --json",
        "provider remove openai",
        "provider list",
        "pull",
    ] {
        seen += &world.home.transcript(line);
    }
    assert!(!seen.contains(KEY), "{seen}");
    assert!(!text_of(&keys).contains(KEY));
    assert!(seen.contains("usage/completions                 ok"), "{seen}");
    assert!(seen.contains("openai and its key are forgotten"), "{seen}");
    assert!(seen.contains("no provider is connected"), "{seen}");
}

#[test]
fn what_is_printed() {
    let world = World::new(Plan { days: 3, today_s: provider_sim::today(), ..Plan::default() });
    world.sim.fail("/organization/usage/images", 0, 1, Fault::Status(404, "{}".into()));
    world.sim.fail(
        "/organization/usage/embeddings",
        0,
        1,
        Fault::Body("<html>Log in</html>".into()),
    );
    let mut seen = String::new();
    for line in [
        "provider add nobody",
        "provider add litellm",
        "provider test unheard-of",
        "pull --family nothing",
        "pull --from 2026-02-02 --to 2026-02-01",
    ] {
        seen += &world.home.transcript(line);
    }
    assert_snapshot!(seen);
    let failed =
        world.home.transcript("pull --days 1 --family usage/images --family usage/embeddings");
    assert_snapshot!("a_pull_that_fails", failed);
}

#[test]
fn every_row_of_every_page_is_in_the_ledger_and_no_row_twice() {
    let world = World::new(Plan::default());
    let first = world.pull();
    assert_eq!(world.known(), world.truth());
    assert_eq!(first["issues"], serde_json::json!({}));
    let again = world.pull();
    assert_eq!(world.known(), world.truth());
    assert_eq!(
        (&again["stored"], &again["updated"], &again["withdrawn"]),
        (&0.into(), &0.into(), &0.into())
    );
    assert_eq!(again["skipped"], first["stored"]);
    let pages = world.text("SELECT count(*) || '' FROM provider_pages");
    assert_eq!(pages, first["pages"].to_string(), "the same page is kept once");
    let check = world.home.run("check");
    assert_eq!(check.code, Some(0), "{check:?}");
}

#[test]
fn answers_as_they_were_seen_live_are_read_to_the_last_digit() {
    let world = World::new(Plan { seed: 11, is_live: true, ..Plan::default() });
    // Not what lists of names say: names stand in rows, too.
    let (pulled, _) = world.pull_with(&["--family", "usage/completions", "--family", "costs"]);
    assert_eq!(world.known(), world.truth());
    assert_eq!(pulled["issues"], serde_json::json!({}));
    assert_eq!(
        world.text("SELECT DISTINCT name FROM provider_names WHERE kind = 'project'"),
        "A project"
    );
}

#[test]
fn late_usage_and_corrections_are_revisions_and_the_old_values_stay() {
    let world = World::new(Plan::default());
    world.pull();
    let before = world.known();
    for _ in 0..2 {
        world.sim.advance();
        world.pull();
        assert_eq!(world.known(), world.truth());
    }
    assert_ne!(world.known(), before);
    let kept = world.text("SELECT count(*) || '' FROM provider_revisions WHERE revision > 0");
    assert_ne!(kept, "0");
}

#[test]
fn a_settled_day_that_changes_is_restated() {
    let world = World::new(Plan::default());
    for _ in 0..3 {
        world.pull();
    }
    let states = "SELECT DISTINCT state FROM provider_buckets WHERE family = 'usage/completions'
         AND start_ms < (SELECT max(start_ms) - 3 * 86400000 FROM provider_buckets) ORDER BY state";
    assert_eq!(world.text(states), "settled");
    world.sim.advance();
    world.sim.advance();
    world.pull();
    assert_eq!(world.text(states), "restated|settled");
    assert_eq!(world.known(), world.truth());
}

#[test]
fn cogni_defect_1_pages_are_followed_by_a_value_of_the_query_with_every_parameter() {
    let world = World::new(Plan { page_buckets: 2, ..Plan::default() });
    world.pull();
    let asked: Vec<String> =
        world.sim.requests().into_iter().filter(|target| target.contains("/completions")).collect();
    assert_eq!(asked.len(), 6, "twelve days, two on a page: {asked:#?}");
    for target in &asked[1..] {
        let (same, page) = target.split_once("&page=").unwrap();
        assert_eq!(same, asked[0]);
        assert!(page.starts_with("page_"));
    }
    assert_eq!(world.known(), world.truth());
}

#[test]
fn cogni_defect_3_a_pull_that_is_killed_goes_on_where_it_was() {
    let world = World::new(Plan { page_buckets: 1, ..Plan::default() });
    world.sim.fail("/completions", 4, 1, Fault::SlowMs(20_000));
    let line = ["pull", "--days", "12", "--family", "usage/completions", "--family", "costs"];
    let mut killed = Running(world.home.command(&line).spawn().unwrap());
    let start = std::time::Instant::now();
    while world.sim.requests().len() < 5 {
        assert!(start.elapsed().as_secs() < 30);
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    killed.kill();
    let cursor =
        world.text("SELECT cursor_key || ' ' || state || ' ' || pages FROM provider_cursors");
    assert!(
        cursor.starts_with("usage/completions:key_") && cursor.ends_with(" partial 4"),
        "{cursor}"
    );
    let before = world.sim.requests().len();
    world.pull();
    assert_eq!(world.known(), world.truth());
    let asked = world.sim.requests();
    let first = asked[before..].iter().find(|target| target.contains("/completions")).unwrap();
    assert!(first.contains("&page=page_4_"), "{first}");
}

#[test]
fn cogni_defect_8_the_present_day_is_whole_and_the_end_is_not_within() {
    let world = World::new(Plan { days: 1, ..Plan::default() });
    let (pulled, _) = world.pull_with(&["--family", "usage/completions"]);
    assert_eq!(pulled["windows"], 1);
    let today = world.plan.today_s;
    let asked = format!("start_time={today}&end_time={}", today + DAY_S);
    assert!(world.sim.requests()[0].contains(&asked), "{:?}", world.sim.requests());
}

#[test]
fn cogni_defect_10_no_number_of_pages_is_cut_off_in_silence() {
    let world = World::new(Plan { days: 31, page_buckets: 1, seed: 3, ..Plan::default() });
    let (pulled, code) = world.pull_with(&["--family", "usage/completions"]);
    assert_eq!((code, &pulled["pages"]), (Some(0), &31.into()));
    assert_eq!(world.known().output, world.truth().output);
}

#[test]
fn cogni_defect_11_a_request_that_fails_is_tried_again() {
    let world = World::new(Plan::default());
    world.sim.fail("/completions", 1, 2, Fault::Status(500, "upstream".into()));
    world.sim.fail("/costs", 0, 1, Fault::Throttled("1".into()));
    world.sim.fail("/images", 0, 1, Fault::Torn);
    let pulled = world.pull();
    assert_eq!(pulled["failed"], 0);
    assert_eq!(world.known(), world.truth());
}

#[test]
fn what_a_provider_refuses_to_tell_apart_is_left_out_and_told() {
    let world = World::new(Plan { refused_dims: vec!["api_source", "user_id"], ..Plan::default() });
    let pulled = world.pull();
    assert_eq!(world.known().output, world.truth().output);
    assert_eq!(world.cost(), world.truth().cost);
    assert!(pulled["issues"]["grouping_degraded"].as_u64().unwrap() >= 2, "{pulled:#}");
    let grouping = world.text(
        "SELECT DISTINCT grouping FROM provider_cursors WHERE cursor_key LIKE 'usage/completions%'",
    );
    assert_eq!(grouping, "model,project_id,api_key_id,service_tier,batch");
    // Told apart by more again, the rows that were told together are withdrawn.
    world.sim.refuse(&[]);
    world.pull();
    assert_eq!(world.known(), world.truth());
}

/// Each thing that is no page, and the code that it gets.
#[test]
fn what_is_no_page_has_a_code_and_leaves_the_stored_state_as_it_was() {
    let world = World::new(Plan::default());
    world.pull();
    let known = world.known();
    for (fault, code) in [
        (Fault::Body("<html>Log in</html>".into()), "not_json"),
        (Fault::Body(r#"{"data":7}"#.into()), "shape_unknown"),
        (Fault::Cursor("null".into()), "cursor_missing"),
        (
            Fault::Cursor("https://evil.example/v1/organization/usage?page=2".into()),
            "cursor_invalid",
        ),
        (Fault::Redirect("https://evil.example/".into()), "redirected"),
        (Fault::Status(401, "{}".into()), "key_refused"),
        (Fault::Status(403, "Missing scopes: api.usage.read".into()), "scope_missing"),
        (Fault::Status(404, "{}".into()), "not_offered"),
        (Fault::Throttled("900".into()), "throttled"),
        (Fault::Status(418, "{}".into()), "refused"),
    ] {
        world.sim.fail("/completions", 0, 1, fault);
        let (pulled, exit) = world.pull_with(&["--family", "usage/completions"]);
        assert_eq!((exit, &pulled["failures"][0]["code"]), (Some(1), &code.into()), "{pulled:#}");
        assert_eq!(world.known(), known, "{code}");
        assert!(world.text("SELECT code FROM provider_issues").contains(code));
        world.sim.mend();
    }
    world.pull();
    assert_eq!(world.known(), world.truth());
    assert_eq!(world.text("SELECT code FROM provider_issues"), "", "a whole pull mends all");
}

#[test]
fn pages_that_go_round_are_left() {
    let world = World::new(Plan { page_buckets: 1, ..Plan::default() });
    let (_, _) = world.pull_with(&["--family", "costs"]);
    let first = world
        .sim
        .requests()
        .iter()
        .find_map(|target| target.split_once("&page=").map(|(_, page)| page.to_owned()));
    world.sim.fail("/costs", 2, 1, Fault::Cursor(first.unwrap()));
    let (pulled, exit) = world.pull_with(&["--family", "costs"]);
    assert_eq!(
        (exit, &pulled["failures"][0]["code"]),
        (Some(1), &"cursor_repeats".into()),
        "{pulled:#}"
    );
}

#[test]
fn a_bucket_that_does_not_come_is_missing_until_it_comes() {
    let world = World::new(Plan::default());
    world.sim.fail("/completions", 1, 1, Fault::Gap);
    let (pulled, _) = world.pull_with(&["--family", "usage/completions"]);
    assert_eq!((&pulled["missing"], &pulled["issues"]["bucket_missing"]), (&1.into(), &1.into()));
    assert_eq!(world.text("SELECT state FROM provider_buckets WHERE state = 'missing'"), "missing");
    world.pull();
    assert_eq!(world.text("SELECT state FROM provider_buckets WHERE state = 'missing'"), "");
    assert_eq!(world.known(), world.truth());
}

#[test]
fn a_key_without_its_scope_is_told_which_one_is_missing() {
    let world = World::new(Plan::default());
    world.add("openai", KEY_WITHOUT_SCOPE);
    let tested = world.home.run("provider test");
    assert_eq!(tested.code, Some(1));
    assert!(tested.stdout.contains("scope_missing: HTTP 403"), "{tested:?}");
    assert!(tested.stdout.contains("Missing scopes: api.usage.read"), "{tested:?}");
    world.add("openai", "sk-wrong-s3cret");
    let tested = world.home.run("provider test");
    assert!(
        tested.stdout.contains("key_refused: HTTP 401: OpenAI does not know this key"),
        "{tested:?}"
    );
    let (pulled, exit) = world.pull_with(&[]);
    assert_eq!(
        (exit, &pulled["failed"]),
        (Some(1), &1.into()),
        "one refusal is enough: {pulled:#}"
    );
    assert!(!tested.stdout.contains("s3cret") && !pulled.to_string().contains("s3cret"));
}

#[test]
fn doctor_names_what_stands_and_the_command_that_mends_it() {
    let world = World::new(Plan { days: 2, refused_dims: vec!["user_id"], ..Plan::default() });
    let check = || {
        let told = world.home.run("doctor --json").stdout;
        let told: Value = serde_json::from_str(&told).unwrap();
        let checks = told["checks"].as_array().unwrap();
        checks.iter().find(|check| check["id"] == "provider_usage").unwrap().clone()
    };
    assert_eq!(check()["items"][0]["reason"], "openai was never pulled");
    world.sim.fail("/costs", 0, 1, Fault::Status(403, "Missing scopes: api.usage.read".into()));
    world.pull_with(&[]);
    let found = check();
    assert_eq!(
        (&found["status"], &found["items"][0]["mend"]),
        (&"warn".into(), &"trueup provider test".into())
    );
    let reason = found["items"][0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("openai costs:key_") && reason.contains("scope_missing"),
        "{reason}"
    );
    world.pull();
    let found = check();
    assert_eq!(
        (&found["status"], &found["detail"]),
        (&"ok".into(), &"1 connection, last pull just now".into())
    );
    assert!(
        found["meta"]["issues"].as_u64().unwrap() > 0,
        "a dimension less is told, and no warning"
    );
}

#[test]
fn a_new_key_has_a_cursor_of_its_own() {
    let world = World::new(Plan { days: 2, ..Plan::default() });
    world.pull_with(&["--family", "usage/completions"]);
    world.add("openai", KEY_WITHOUT_SCOPE);
    world.pull_with(&["--family", "usage/completions"]);
    let keys = world.text("SELECT DISTINCT cursor_key FROM provider_cursors ORDER BY state");
    assert_eq!(keys.split('|').count(), 2, "{keys}");
    assert_eq!(world.text("SELECT state FROM provider_cursors ORDER BY state"), "done|failed");
}

#[test]
fn what_an_old_key_was_refused_is_no_issue_of_a_new_one() {
    let world = World::new(Plan { days: 2, ..Plan::default() });
    world.add("openai", "sk-wrong-s3cret");
    world.pull_with(&[]);
    assert_eq!(world.text("SELECT code FROM provider_issues"), "key_refused");
    world.add("openai", KEY);
    world.pull();
    assert_eq!(world.text("SELECT code FROM provider_issues"), "");
    let list: Value = serde_json::from_str(&world.home.run("provider list --json").stdout).unwrap();
    assert_eq!(list["connections"][0]["issues"], 0);
}

#[test]
fn a_connection_that_is_added_again_says_what_is_new_of_it() {
    let world = World::new(Plan { days: 1, ..Plan::default() });
    let added = world.add("openai", KEY);
    assert!(added.stdout.starts_with("openai is stored anew with the same key; "), "{added:?}");
    let added = world.add("openai", "sk-other");
    assert!(added.stdout.starts_with("openai has a new key; the key lies in "), "{added:?}");
    // What is wrong is told before anybody types a key.
    for (option, value, told) in [
        ("--name", "Two Words", "a connection's name is made of"),
        ("--address", "http://example.com", "the key could be read on its way"),
    ] {
        let run = finish(world.home.command(&["provider", "add", "openai", option, value]));
        assert!(run.code != Some(0) && run.stderr.contains(told), "{run:?}");
    }
}

/// A proxy may say a lot before it says what it does not take.
#[test]
fn a_refused_dimension_is_found_wherever_it_is_named() {
    let world = World::new(Plan { days: 2, ..Plan::default() });
    let said = format!("{{\"request\":\"{}\",\"unknown\":\"user_id\"}}", "x".repeat(400));
    world.sim.fail("/completions", 0, 1, Fault::Status(400, said));
    let (pulled, exit) = world.pull_with(&["--family", "usage/completions"]);
    assert_eq!((exit, &pulled["issues"]["grouping_degraded"]), (Some(0), &1.into()), "{pulled:#}");
    let detail = world.text("SELECT detail FROM provider_issues");
    assert!(
        detail.starts_with("told without user_id: HTTP 400:") && detail.len() < 260,
        "{detail}"
    );
}

#[test]
fn a_family_is_asked_of_those_that_have_it() {
    let world = World::new(Plan { days: 2, ..Plan::default() });
    let url = world.sim.url();
    let line = ["provider", "add", "litellm", "--address", &url];
    assert_eq!(finish_with(world.home.command(&line), KEY.as_bytes()).code, Some(0));
    let (pulled, exit) = world.pull_with(&["--family", "costs"]);
    assert_eq!((exit, &pulled["processed"]), (Some(0), &1.into()), "{pulled:#}");
    let run = world.home.run("pull --family cost");
    assert_eq!(run.code, Some(2));
    for title in ["OpenAI", "LiteLLM"] {
        assert!(run.stderr.contains(&format!("{title} has no family `cost`, but ")), "{run:?}");
    }
}

#[test]
fn anthropic_is_pulled() {
    let world = World::of("anthropic", Plan { seed: 5, ..Plan::default() });
    let pulled = world.pull();
    assert_eq!(
        pulled["issues"],
        serde_json::json!({"not_offered": 3}),
        "neither the analytics nor the report of Claude Code are there, which is asked for once"
    );
    let truth = world.truth();
    let sum = |column: &str| world.text(&format!("SELECT sum({column}) || '' FROM billed"));
    assert_eq!(sum("in_uncached"), truth.uncached.to_string());
    assert_eq!(sum("in_cache_read"), truth.cached.to_string());
    assert_eq!(sum("in_cache_write_5m"), truth.written.to_string());
    assert_eq!(sum("out"), truth.output.to_string());
    assert_eq!(sum("requests"), "", "not told is not zero");
    assert_eq!(world.cost(), truth.cost);
}

#[test]
fn the_analytics_of_anthropic_are_pulled_where_they_are_offered() {
    let world = World::of("anthropic", Plan { seed: 6, has_analytics: true, ..Plan::default() });
    let pulled = world.pull();
    assert_eq!(pulled["issues"], serde_json::json!({}));
    // They do not tell of the present day.
    let truth = world.sim.truth(0, world.plan.today_s);
    let sum = |column: &str| {
        world.text(&format!(
            "SELECT sum({column}) || '' FROM billed WHERE family = 'analytics/usage'"
        ))
    };
    assert_eq!(
        (sum("out"), sum("requests")),
        (truth.output.to_string(), truth.requests.to_string())
    );
    let claude_code = "FROM billed WHERE family = 'usage/claude_code'";
    let whole = world.truth();
    let sums = "sum(in_uncached) || ' ' || sum(in_cache_read) || ' ' || sum(in_cache_write) || ' ' || sum(out)";
    assert_eq!(
        world.text(&format!("SELECT {sums} {claude_code}")),
        format!("{} {} {} {}", whole.uncached, whole.cached, whole.written, whole.output)
    );
    let records = world.text(&format!("SELECT count(*) || '' {claude_code} AND model IS NULL"));
    let sessions = world.text(&format!("SELECT sum(sessions) || '' {claude_code}"));
    assert_eq!(sessions, (2 * records.parse::<u64>().unwrap()).to_string());
    assert_eq!(world.text(&format!("SELECT count(amount) || '' {claude_code}")), "0", "no bill");
    let amounts = world.text("SELECT amount FROM billed WHERE family = 'analytics/cost'");
    assert_eq!(amounts.split('|').map(units).sum::<i128>(), units(&truth.cost));
}

#[test]
fn projects_and_keys_have_names() {
    let world = World::new(Plan { days: 2, ..Plan::default() });
    world.pull();
    let names = |kind: &str| {
        world.text(&format!(
            "SELECT id || '=' || name FROM provider_names WHERE kind = '{kind}' ORDER BY id"
        ))
    };
    let projects =
        ["alpha", "beta", "gamma"].map(|name| format!("proj_{name}=Name of proj_{name}"));
    assert_eq!(names("project"), projects.join("|"));
    let keys = names("key");
    assert_eq!(keys.split('|').count(), 6, "{keys}");
    assert!(
        keys.starts_with("key_1=Name of key_1|") && keys.ends_with("key_6=sk-...key_6"),
        "{keys}"
    );
    // A key that may not read them loses nothing else.
    world.sim.fail("/projects", 0, 1, Fault::Status(403, "Missing scopes".into()));
    let pulled = world.pull();
    assert_eq!(pulled["issues"], serde_json::json!({"scope_missing": 1}));
    assert_eq!(names("key"), keys, "what is known stays");
}

#[test]
fn openrouter_and_litellm_are_pulled() {
    for provider in ["openrouter", "litellm"] {
        let world = World::of(provider, Plan { seed: 9, ..Plan::default() });
        let pulled = world.pull();
        assert_eq!(pulled["issues"], serde_json::json!({}), "{provider}");
        // OpenRouter does not tell of the present day.
        let is_past = provider == "openrouter";
        let until = if is_past { world.plan.today_s } else { i64::MAX };
        let truth = world.sim.truth(0, until);
        let sum = |column: &str| world.text(&format!("SELECT sum({column}) || '' FROM billed"));
        assert_eq!(sum("out"), truth.output.to_string(), "{provider}");
        assert_eq!(sum("requests"), truth.requests.to_string());
        let prompt = sum(
            "coalesce(in_uncached, 0) + coalesce(in_cache_read, 0) + coalesce(in_cache_write, 0) + coalesce(in_unsplit, 0)",
        );
        assert_eq!(prompt, (truth.uncached + truth.cached + truth.written).to_string());
        let amounts = world.text("SELECT amount FROM billed");
        let cost: i128 = amounts.split('|').map(units).sum();
        assert_eq!(cost, units(&truth.cost), "{provider}");
    }
}
