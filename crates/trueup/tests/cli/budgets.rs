//! Budgets and alerts, as people and scripts meet them.
//!
//! What is expected is computed here, from the calls that are written; of providers from the
//! simulator's own ledger of truth.

use insta::assert_snapshot;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use provider_sim::{DAY_S, Plan};
use serde_json::Value;

use crate::home::Home;
use crate::providers::World;
use crate::sessions::{Answer, now, time, transcript};

/// Completion tokens of `claude-opus-4-5` that come to a dollar, at $25 per million.
const TOKENS_PER_USD: u64 = 40_000;
const SETTINGS: &str = ".config/trueup/trueup.toml";

/// An answer that comes to so many dollars.
fn answer(id: &str, at: Timestamp, dollars: u64) -> String {
    let output = dollars * TOKENS_PER_USD;
    Answer { input: 0, cached: 0, output, ..Answer::new(id, "s", at) }.line()
}

fn json(home: &Home, line: &str) -> Value {
    serde_json::from_str(&home.print(line)).unwrap()
}

fn text<'a>(value: &'a Value, at: &str) -> &'a str {
    value.pointer(at).and_then(Value::as_str).unwrap_or_else(|| panic!("{at}: {value:#}"))
}

fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// Calls of the last so many days: `dollars` of each, the present day last.
fn home_of(dollars: &[u64]) -> (Home, Timestamp) {
    let home = Home::new();
    let at = now();
    let mut lines = String::new();
    for (back, dollars) in dollars.iter().rev().enumerate() {
        let back = SignedDuration::from_hours(24 * i64::try_from(back).unwrap());
        lines += &answer(&format!("b{}", back.as_secs()), at - back, *dollars);
    }
    home.write(&transcript("s"), lines);
    (home, at)
}

#[test]
fn a_day_is_summed_up_and_told_with_what_is_left() {
    let (home, at) = home_of(&[2, 3, 4]);
    home.write(SETTINGS, "[[budget]]\nname = \"all\"\nlimit = \"5\"\nper = \"day\"\n");
    let budgets = json(&home, "budget --json");
    assert_eq!(budgets["schema"], 1);
    let budget = &budgets["budgets"][0];
    for (at, expected) in [
        ("/name", "all"),
        ("/of", "account"),
        ("/tz", "UTC"),
        ("/spent_usd", "4"),
        ("/settled_usd", "4"),
        ("/remaining_usd", "1"),
        ("/used_percent", "80.0"),
        // Yesterday 3, and 2 the day before.
        ("/burn_rate/sum_usd", "5"),
        ("/burn_rate/usd_per_day", "2.5"),
    ] {
        assert_eq!(text(budget, at), expected, "{at}");
    }
    assert_eq!(text(budget, "/from"), day(at).to_string());
    assert_eq!(budget["forecast"], Value::Null, "two days are too few");
    assert_eq!(budget["thresholds"][1]["reached_on"], day(at).to_string());
    assert_eq!(budget["thresholds"][2]["reached_on"], Value::Null);
    // Yesterday's 3 of 5 are 60 %: it stands for one more day.
    let alerts = json(&home, "alerts --json");
    let seen: Vec<(&str, u64)> = alerts["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| (text(alert, "/cell"), alert["level"].as_u64().unwrap()))
        .collect();
    let yesterday = day(at - SignedDuration::from_hours(24));
    assert_eq!(seen, [(&*format!("all/{}", day(at)), 80), (&*format!("all/{yesterday}"), 50)]);
    assert_eq!(alerts["alerts"][0]["since"], Value::Null, "nobody was told");
    assert_eq!(home.run("alerts").code, Some(0));
    assert_eq!(home.run("alerts --check").code, Some(1));
    home.write(SETTINGS, "[[budget]]\nname = \"all\"\nlimit = 50\nper = \"day\"\n");
    assert_eq!(home.print("alerts --check"), "Nothing stands.\n");
}

#[test]
fn a_day_out_of_the_ordinary_is_told_with_every_number() {
    let mut dollars = vec![10, 12, 11, 9, 10, 11, 12, 10, 9, 11, 10, 12];
    dollars.push(40);
    let (home, at) = home_of(&dollars);
    home.write(SETTINGS, "[[budget]]\nname = \"watched\"\n");
    let alerts = json(&home, "alerts --json");
    let alerts = alerts["alerts"].as_array().unwrap();
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    let numbers = &alerts[0]["numbers"];
    // In order: 9 9 10 10 10 10 11 11 11 12 12 12, median 10.5; distances 0.5 seven times and
    // 1.5 five times, MAD 0.5; 5.2 × 0.5 = 2.6, more than 1.05 and than 1.
    for (at, expected) in [
        ("/amount_usd", "40"),
        ("/median_usd", "10.5"),
        ("/mad_usd", "0.5"),
        ("/factor", "5.2"),
        ("/margin_usd", "2.6"),
        ("/margin_of", "mad"),
        ("/bound_usd", "13.1"),
    ] {
        assert_eq!(text(numbers, at), expected, "{at}");
    }
    assert_eq!(text(numbers, "/day"), day(at).to_string());
    assert_eq!(numbers["observations"].as_object().unwrap().len(), 12);
    assert!(home.print("budget").contains("no limit is set"));
    // What has no price stands beside the amount.
    let unpriced = Answer { model: "a-model-of-nobody", ..Answer::new("u", "t", at) };
    home.write(&transcript("t"), unpriced.line());
    let alerts = json(&home, "alerts --json");
    assert_eq!(alerts["alerts"][0]["numbers"]["unpriced_calls"], 1);
    assert!(text(&alerts, "/alerts/0/message").contains("1 call without a known price not in it"));
    // Without it there is nothing to be told.
    home.write(SETTINGS, "[[budget]]\nname = \"watched\"\nlimit = 9999\nanomalies = false\n");
    assert_eq!(home.print("alerts"), "Nothing stands.\n");
}

#[test]
fn calls_without_a_price_stand_beside_the_sum() {
    let (home, at) = home_of(&[4]);
    let unpriced = Answer { model: "a-model-of-nobody", ..Answer::new("u", "t", at) };
    home.write(&transcript("t"), unpriced.line());
    let budget = "[[budget]]\nname = \"all\"\nlimit = 8\nper = \"week\"\n";
    let other =
        "[[budget]]\nname = \"opus\"\nlimit = 8\nmodel = \"claude-*\"\nagent = \"claude-code\"\n";
    home.write(SETTINGS, format!("{budget}{other}"));
    let budgets = json(&home, "budget --json");
    assert_eq!(budgets["budgets"][0]["unpriced_calls"], 1);
    assert_eq!(budgets["budgets"][1]["unpriced_calls"], 0);
    assert_eq!(text(&budgets, "/budgets/0/spent_usd"), "4");
    let printed = home.print("budget all");
    assert!(printed.contains("1 call without a known price"), "{printed}");
    assert!(!printed.contains("opus"), "{printed}");
    let alert = home.print("alerts");
    let alert = alert.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(alert.contains("50.0 %; 1 call without a known price not in it"), "{alert}");
}

#[test]
fn budgets_without_usage_and_without_settings() {
    let home = Home::new();
    let missing = home.run("budget");
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.stderr.contains("no budget is set"), "{missing:?}");
    assert_eq!(home.run("alerts --check").code, Some(2));
    home.write(
        SETTINGS,
        "[[budget]]\nname = \"empty\"\nlimit = 5\n\
         [[budget]]\nname = \"bill\"\nlimit = 5\nof = \"billed\"\n",
    );
    let budgets = json(&home, "budget --json");
    // Nothing was ever read, and nothing was told: neither is nothing spent.
    for at in 0..2 {
        assert_eq!(budgets["budgets"][at]["spent_usd"], Value::Null, "{budgets:#}");
        assert_eq!(budgets["budgets"][at]["exhausted_on"], Value::Null);
    }
    assert!(home.print("budget bill").contains("no provider has told what was charged"));
    assert_eq!(home.run("alerts --check").code, Some(0));
    let unknown = home.run("budget all");
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.stderr.contains("there is no budget `all`, but `empty`, `bill`"),
        "{unknown:?}"
    );
}

#[test]
fn settings_are_shown_and_checked() {
    let home = Home::new();
    home.write(
        SETTINGS,
        "[[budget]]\nname = \"anthropic\"\nlimit = 200\nprovider = \"anthropic\"\n\
         [[budget]]\nname = \"night shift\"\nlimit = \"7.50\"\nper = \"day\"\nof = \"account\"\n\
         agent = \"codex\"\nmodel = \"gpt-5*\"\nthresholds = [150, 80, 100]\n\
         [[budget]]\nname = \"everything\"\n",
    );
    let shown = home.print("config");
    let tables = shown.split_once("\n\n").map_or("", |(_, budgets)| budgets);
    assert_snapshot!("config_budgets", tables);
    let json = json(&home, "config --json");
    assert_eq!(json["budget"][1]["limit"], "7.5");
    assert_eq!(json["budget"][1]["thresholds"], serde_json::json!([80, 100, 150]));
    home.write(SETTINGS, "[[budget]]\nname = \"a\"\nlimit = 1.5\n");
    let refused = home.run("report");
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("trueup.toml: budget 1 (`a`): `limit`"), "{refused:?}");
}

#[test]
fn what_a_provider_charged_is_summed_up_exactly_and_told_when_it_is_settled() {
    let world = World::new(Plan { days: 12, ..Plan::default() });
    world.home.write(
        SETTINGS,
        "[[budget]]\nname = \"openai\"\nlimit = \"0.01\"\nprovider = \"openai\"\n",
    );
    let pull = || assert_eq!(world.home.run("pull --days 12").code, Some(0));
    pull();
    let first_s = world.plan.today_s - 11 * DAY_S;
    let month = Timestamp::from_second(world.plan.today_s).unwrap().to_zoned(TimeZone::UTC);
    let month_s = month.date().first_of_month().to_zoned(TimeZone::UTC).unwrap();
    let month_s = month_s.timestamp().as_second();
    let of_month = world.sim.truth(month_s.max(first_s), world.plan.today_s).cost;
    let budgets = json(&world.home, "budget --json");
    let budget = &budgets["budgets"][0];
    assert_eq!((text(budget, "/of"), text(budget, "/tz")), ("billed", "UTC"));
    if month_s < world.plan.today_s {
        assert_eq!(text(budget, "/spent_usd"), of_month);
        assert_eq!(text(budget, "/settled_usd"), "0", "it may still change");
    }
    assert_eq!(budget["days_known"], budget["days_provisional"]);
    assert_eq!(world.home.print("alerts --check"), "Nothing stands.\n");
    // Two more whole pulls that bring nothing new settle what is older than 48 h.
    pull();
    pull();
    let run = world.home.run("alerts --check --json");
    assert_eq!(run.code, Some(1), "{run:?}");
    let alerts: Value = serde_json::from_str(&run.stdout).unwrap();
    let alerts = alerts["alerts"].as_array().unwrap();
    let of_budget: Vec<&Value> = alerts.iter().filter(|one| one["class"] == "budget").collect();
    assert!(!of_budget.is_empty(), "{alerts:#?}");
    let settled_until_s = world.plan.today_s - 2 * DAY_S;
    for alert in of_budget {
        let from: Date = text(alert, "/numbers/from").parse().unwrap();
        let to: Date = text(alert, "/numbers/to").parse().unwrap();
        let start_s = |day: Date| day.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second();
        let until_s = (start_s(to) + DAY_S).min(settled_until_s);
        let truth = world.sim.truth(start_s(from).max(first_s), until_s).cost;
        assert_eq!(text(alert, "/numbers/spent_usd"), truth, "{alert:#}");
        assert_eq!(alert["level"], 100);
    }
    // By the account, which has none of it, nothing was ever used.
    world.home.write(
        SETTINGS,
        "[[budget]]\nname = \"openai\"\nlimit = 1\nprovider = \"openai\"\nof = \"account\"\n",
    );
    assert_eq!(json(&world.home, "budget --json")["budgets"][0]["spent_usd"], Value::Null);
}

#[test]
fn a_part_of_a_provider_is_by_the_account_unless_the_bill_is_asked_for() {
    let world = World::new(Plan { days: 5, ..Plan::default() });
    assert_eq!(world.home.run("pull --days 5").code, Some(0));
    let of_provider = "limit = 9\nprovider = \"openai\"\n";
    let part = "model = \"model-of-nobody\"";
    world.home.write(
        SETTINGS,
        format!(
            "[[budget]]\nname = \"all\"\n{of_provider}\
             [[budget]]\nname = \"part\"\n{of_provider}{part}\n\
             [[budget]]\nname = \"billed\"\n{of_provider}{part}\nof = \"billed\"\n"
        ),
    );
    let budgets = json(&world.home, "budget --json");
    let of = [0, 1, 2].map(|at| text(&budgets, &format!("/budgets/{at}/of")));
    assert_eq!(of, ["billed", "account", "billed"]);
    let note = "no charge of these days names model model-of-nobody, as providers call it";
    assert_eq!(budgets["budgets"][2]["notes"], serde_json::json!([note]));
    assert_eq!(budgets["budgets"][0]["notes"], serde_json::json!([]));
}

#[test]
fn each_budget_takes_its_part_of_what_was_charged() {
    let world = World::new(Plan { days: 6, ..Plan::default() });
    assert_eq!(world.home.run("pull --days 6").code, Some(0));
    let projects = world.text(
        "SELECT DISTINCT json_extract(dims, '$.project_id') FROM billed WHERE family = 'costs'",
    );
    let projects: Vec<&str> = projects.split('|').collect();
    assert!(projects.len() > 1, "{projects:?}");
    let budget = |name: &str, more: &str| {
        format!(
            "[[budget]]\nname = \"{name}\"\nlimit = 9\nper = \"day\"\nof = \"billed\"\n{more}\n"
        )
    };
    let parts = projects.iter().map(|id| budget(id, &format!("project = \"{id}\"")));
    let parts: String = parts.collect();
    let all = budget("all", "") + &budget("nobody", "provider = \"anthropic\"");
    world.home.write(SETTINGS, all + &parts);
    let budgets = json(&world.home, "budget --json");
    let budgets = budgets["budgets"].as_array().unwrap();
    let sum = |budget: &Value| -> trueup_core::Decimal {
        text(budget, "/burn_rate/sum_usd").parse().unwrap()
    };
    let of_parts =
        budgets[2..].iter().fold(trueup_core::Decimal::ZERO, |all, one| all.plus(&sum(one)));
    assert_eq!(sum(&budgets[0]), of_parts);
    let truth = world.sim.truth(0, world.plan.today_s).cost;
    assert_eq!(sum(&budgets[0]), truth.parse().unwrap());
    assert_eq!(budgets[1]["burn_rate"], Value::Null, "nothing of it was told");
}

#[test]
fn what_is_said_of_usage_is_no_matter_of_charges() {
    let world = World::of("anthropic", Plan { days: 3, has_analytics: true, ..Plan::default() });
    let pulled = world.home.run("pull --days 3");
    assert_eq!(pulled.code, Some(0), "{pulled:?}");
    let told = world.text("SELECT DISTINCT family FROM billed");
    assert!(told.contains("usage/messages") && told.contains("analytics/usage"), "{told}");
    world.home.write(SETTINGS, "[[budget]]\nname = \"all\"\nlimit = 9\nof = \"billed\"\n");
    let budgets = json(&world.home, "budget --json");
    let notes: Vec<&str> = budgets["budgets"][0]["notes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(
        notes,
        [
            "costs is taken; analytics/cost tells the same again",
            "what anthropic charged, and nobody else"
        ]
    );
}

/// A transcript of `OpenClaw` with one answer that says what it cost.
fn openclaw(home: &Home, session: &str, dollars: u32) {
    let (at, at_ms) = (now(), now().as_millisecond());
    let header = format!(
        r#"{{"type":"session","version":3,"id":"{session}","timestamp":"{at:.3}","cwd":"/home/u/app"}}"#
    );
    let usage = format!(
        r#"{{"input":1,"output":1,"cost":{{"input":0,"output":{dollars},"total":{dollars}}}}}"#
    );
    let answer = format!(
        r#"{{"type":"message","id":"m-{session}","message":{{"role":"assistant","content":[],"provider":"p","model":"m","usage":{usage},"timestamp":{at_ms}}}}}"#
    );
    home.write(
        &format!(".openclaw/agents/main/sessions/{session}.jsonl"),
        format!("{header}\n{answer}\n"),
    );
}

#[test]
fn a_tag_takes_in_sessions_of_a_kind() {
    let home = Home::new();
    let at_ms = now().as_millisecond();
    let entry = |key: &str, session: &str| {
        format!(r#""agent:main:{key}":{{"sessionId":"{session}","updatedAt":{at_ms}}}"#)
    };
    home.write(
        ".openclaw/agents/main/sessions/sessions.json",
        format!("{{{},{}}}", entry("main", "chat"), entry("cron:nightly", "night")),
    );
    openclaw(&home, "chat", 5);
    openclaw(&home, "night", 3);
    let budget = |name: &str, tag: &str| format!("[[budget]]\nname = \"{name}\"\nlimit = 9\n{tag}");
    let tables = [
        budget("all", ""),
        budget("cron", "tag = \"kind=cron\"\n"),
        budget("some", "tag = \"kind=ma*\"\n"),
        budget("agent", "tag = \"agent=openclaw\"\n"),
        budget("none", "tag = \"kind=subagent\"\n"),
    ];
    home.write(SETTINGS, tables.concat());
    let budgets = json(&home, "budget --json");
    let spent = [0, 1, 2, 3, 4].map(|at| text(&budgets, &format!("/budgets/{at}/spent_usd")));
    assert_eq!(spent, ["8", "3", "5", "8", "0"]);
    assert_eq!(budgets["budgets"][1]["tag"], "kind=cron");
    assert!(home.print("budget cron").contains("cron: tag kind=cron, by the account"));
    assert_eq!(json(&home, "config --json")["budget"][1]["tag"], "kind=cron");
}

#[test]
fn days_are_those_of_the_zone_of_reports() {
    let home = Home::new();
    let at = time("2025-10-20T23:30:00Z");
    home.write(&transcript("s"), answer("a", at, 3) + &answer("b", now(), 5));
    home.write(
        SETTINGS,
        "tz = \"Pacific/Kiritimati\"\n[[budget]]\nname = \"all\"\nlimit = 8\nper = \"day\"\n",
    );
    let budgets = json(&home, "budget --json");
    let zone = TimeZone::get("Pacific/Kiritimati").unwrap();
    let today = now().to_zoned(zone).date().to_string();
    assert_eq!(text(&budgets, "/budgets/0/today"), today);
    assert_eq!(text(&budgets, "/budgets/0/spent_usd"), "5");
}

#[test]
fn nothing_is_known_of_days_before_the_first_use_in_any_zone() {
    let (home, _) = home_of(&[5]);
    for zone in ["Pacific/Honolulu", "UTC", "Pacific/Kiritimati"] {
        home.write(SETTINGS, format!("tz = \"{zone}\"\n[[budget]]\nname = \"all\"\nlimit = 8\n"));
        let budget = &json(&home, "budget --json")["budgets"][0];
        assert_eq!(
            (&budget["days_known"], &budget["burn_rate"]),
            (&1.into(), &Value::Null),
            "{zone}"
        );
        assert_eq!(text(budget, "/spent_usd"), "5", "{zone}");
    }
}

#[test]
fn help_of_budgets() {
    let home = Home::new();
    let help = ["budget --help", "alerts --help"].map(|line| home.transcript(line));
    assert_snapshot!("budgets_help", help.join("\n"));
}
