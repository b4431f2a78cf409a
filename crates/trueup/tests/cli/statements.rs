//! Statements, as people import them: files of providers in, rows in the ledger.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use insta::assert_snapshot;
use rusqlite::Connection;
use serde_json::Value;
use trueup_core::Decimal;
use unicode_width::UnicodeWidthStr as _;

use crate::home::{Home, Running, finish, finish_with};
use crate::laws::keeper;

/// 2026-11-01.
const START_S: i64 = 1_793_491_200;
const DAY_S: i64 = 86_400;

const USAGE_HEADER: &str = "start_time,end_time,start_time_iso,end_time_iso,project_id,\
num_model_requests,user_id,api_key_id,model,batch,service_tier,input_tokens,output_tokens,\
input_cached_tokens,input_uncached_tokens,input_text_tokens,output_text_tokens,\
input_cached_text_tokens,input_audio_tokens,input_cached_audio_tokens,output_audio_tokens,\
input_image_tokens,input_cached_image_tokens,output_image_tokens\n";

const COST_HEADER: &str =
    "start_time,end_time,amount_value,amount_currency,line_item,project_id,organization_id\n";

/// What a generated file says in all.
#[derive(Debug, Default, PartialEq, Eq)]
struct Truth {
    rows: u64,
    input: u64,
    cached: u64,
    output: u64,
    requests: u64,
}

/// A day of OpenAI's usage export; days of weekends are empty buckets.
fn usage_day(day: i64, scale: u64, truth: &mut Truth, text: &mut String) {
    let start = START_S + day * DAY_S;
    let end = start + DAY_S;
    if day % 7 > 4 {
        writeln!(text, "{start},{end},,,,0,,,,,,0,0,0,0,0,0,0,0,0,0,0,0,0").unwrap();
        return;
    }
    for (project, key, model) in
        (0..3).flat_map(|p| (0..6).flat_map(move |k| (0..8).map(move |m| (p, k, m))))
    {
        let seed = (u64::try_from(day).unwrap() * 144 + project * 48 + key * 8 + model) * scale;
        let (input, output, requests) = (1_000 + seed * 7_919, 100 + seed * 31, 1 + seed % 50);
        let cached = input / 3;
        let uncached = input - cached;
        writeln!(
            text,
            "{start},{end},,,proj_{project},{requests}.0,,key_{project}_{key},gpt-{model}-2026-01-01,\
             False,default,{input},{output},{cached},{uncached},{uncached},{output},{cached},\
             0,0,0,0,0,0"
        )
        .unwrap();
        truth.rows += 1;
        truth.input += input;
        truth.cached += cached;
        truth.output += output;
        truth.requests += requests;
    }
}

fn usage(days: std::ops::Range<i64>, scale: u64) -> (String, Truth) {
    let (mut text, mut truth) = (USAGE_HEADER.to_owned(), Truth::default());
    for day in days {
        usage_day(day, scale, &mut truth, &mut text);
    }
    (text, truth)
}

fn fixture(name: &str) -> Vec<u8> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../trueup-providers/fixtures/statements");
    std::fs::read(folder.join(name)).unwrap()
}

fn json(home: &Home, line: &str) -> Value {
    serde_json::from_str(&home.print(line)).unwrap()
}

fn database(home: &Home) -> Connection {
    Connection::open(home.ledger()).unwrap()
}

/// What the rows that count come to.
fn stated(home: &Home) -> Truth {
    let sql = "SELECT count(*), sum(in_uncached + in_cache_read), sum(in_cache_read), sum(out),
         sum(requests) FROM stated WHERE kind = 'openai_usage'";
    database(home)
        .query_row(sql, [], |row| {
            let count = |at: usize| {
                row.get::<_, Option<i64>>(at).map(|sum| sum.unwrap_or(0).cast_unsigned())
            };
            Ok(Truth {
                rows: count(0)?,
                input: count(1)?,
                cached: count(2)?,
                output: count(3)?,
                requests: count(4)?,
            })
        })
        .unwrap()
}

/// As the 46 rows that were once checked by hand: the sums of the file are those of the ledger.
#[test]
fn the_sums_of_a_file_are_those_of_the_ledger() {
    let home = Home::new();
    let (text, truth) = usage(0..35, 1);
    home.write("completions_usage.csv", &text);
    let said = json(&home, "import completions_usage.csv --json");
    let file = &said["files"][0];
    assert_eq!((&file["status"], &file["kind"]), (&"imported".into(), &"openai_usage".into()));
    assert_eq!(file["rows"], truth.rows);
    assert_eq!(
        (&file["blank"], &file["odd"], &file["without_ids"]),
        (&10.into(), &0.into(), &0.into())
    );
    assert_eq!(stated(&home), truth);
    assert_eq!(truth.rows, 25 * 3 * 6 * 8);
    assert!(home.print("check").contains("is whole"));
}

#[test]
fn money_of_a_file_is_that_of_the_ledger_to_the_last_digit() {
    let home = Home::new();
    let mut text = COST_HEADER.to_owned();
    let mut truth: BTreeMap<&str, Decimal> = BTreeMap::new();
    for at in 0..500_i64 {
        let start = START_S + at % 30 * DAY_S;
        let amount = match at % 4 {
            0 => format!("0.{:039}7", at * 7_919),
            1 => format!("{at}.5e-{}", at % 30),
            2 => format!("{}", at * 1_000_003),
            _ => "0E-6176".to_owned(),
        };
        let currency = if at % 10 == 0 { "EUR" } else { "USD" };
        let end = start + DAY_S;
        writeln!(
            text,
            "{start},{end},\"{amount}\",{},\"gpt-5, input\",proj_{at},org",
            currency.to_lowercase()
        )
        .unwrap();
        let sum = truth.entry(currency).or_insert(Decimal::ZERO);
        *sum = sum.plus(&amount.parse().unwrap());
    }
    home.write("cost.csv", text);
    home.print("import cost.csv");
    let database = database(&home);
    let mut rows = database.prepare("SELECT currency, amount FROM stated").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let mut sums: BTreeMap<String, Decimal> = BTreeMap::new();
    for row in rows {
        let (currency, amount): (String, String) = row.unwrap();
        let sum = sums.entry(currency).or_insert(Decimal::ZERO);
        *sum = sum.plus(&amount.parse().unwrap());
    }
    let sums: BTreeMap<&str, Decimal> =
        sums.iter().map(|(name, sum)| (name.as_str(), sum.clone())).collect();
    assert_eq!(sums, truth);
}

#[test]
fn files_are_known_by_what_is_in_them() {
    let home = Home::new();
    let names = [
        "anthropic_cost.csv",
        "deepseek_amount.csv",
        "deepseek_cost.csv",
        "focus.csv",
        "openai_cost.csv",
        "openai_usage.csv",
        "openai_usage_odd.csv",
        "openrouter_activity.csv",
    ];
    for (number, name) in names.iter().enumerate() {
        // Their names say nothing.
        home.write(&format!("{number}.txt"), fixture(name));
    }
    home.write("page.csv", "<!doctype html>\n<p>Sign in");
    home.write("other.csv", "name,size\na,1\n");
    home.write("cut.csv", "usage_date_utc,model,cost_usd\n2026-11-01,\"a,1\n2026-11-02,b,2\n");
    let all: Vec<String> = (0..names.len()).map(|number| format!("{number}.txt")).collect();
    let line = format!("import {} page.csv other.csv cut.csv no.csv", all.join(" "));
    assert_snapshot!(home.transcript(&line));
    assert_snapshot!("the_list", home.transcript("import --list"));
}

#[test]
fn the_same_file_adds_nothing_however_it_comes() {
    let home = Home::new();
    let (text, truth) = usage(0..3, 1);
    home.write("a.csv", &text);
    home.print("import a.csv");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    home.write("b.csv.gz", gzip.finish().unwrap());
    for name in ["a.csv", "b.csv.gz"] {
        let said = json(&home, &format!("import {name} --json"));
        assert_eq!(
            (&said["files"][0]["status"], &said["files"][0]["id"]),
            (&"known".into(), &1.into())
        );
    }
    let piped = finish_with(home.command(&["import", "-"]), text.as_bytes());
    assert_eq!(piped.code, Some(0), "{piped:?}");
    assert!(piped.stdout.contains("nothing new: this is statement 1"), "{piped:?}");
    assert_eq!(stated(&home), truth);
}

#[test]
fn a_later_export_supersedes_the_days_that_it_covers_until_it_is_taken_back() {
    let home = Home::new();
    let (old, old_truth) = usage(0..10, 1);
    let (new, new_truth) = usage(7..14, 2);
    home.write("old.csv", old);
    home.write("new.csv", new);
    home.print("import old.csv");
    let said = json(&home, "import new.csv --json");
    let (_, of_both) = usage(7..10, 1);
    assert_eq!(said["files"][0]["supersedes"][0]["rows"], of_both.rows);
    assert_eq!(stated(&home).input, old_truth.input - of_both.input + new_truth.input);
    let list = json(&home, "import --list --json");
    assert_eq!(list["statements"][0]["counting"], old_truth.rows - of_both.rows);

    assert!(home.print("import --remove 2").contains("taken back"));
    assert_eq!(stated(&home), old_truth);
    let again = home.run("import --remove 2");
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("there is no statement 2"), "{again:?}");
}

#[test]
fn accounts_stand_side_by_side_and_parts_belong_together() {
    let home = Home::new();
    let (a, of_a) = usage(0..5, 1);
    let (b, of_b) = usage(0..5, 2);
    home.write("a.csv", a);
    home.write("b.csv", b);
    home.print("import a.csv --account a");
    home.print("import b.csv --account b");
    assert_eq!(stated(&home).input, of_a.input + of_b.input);

    let part = |cost: &str, provider: &str| {
        format!(
            "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ProviderName\n\
             {cost},USD,2026-10-01T00:00:00Z,2026-10-02T00:00:00Z,{provider}\n"
        )
    };
    home.write("part_0.csv", part("1", "AWS"));
    home.write("part_1.csv", part("2", "AWS"));
    home.write("whose.csv", part("4", ""));
    home.print("import part_0.csv part_1.csv");
    let counting =
        |sql: &str| database(&home).query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(counting("SELECT count(*) FROM stated WHERE provider = 'AWS'"), 2);
    let whose = home.run("import whose.csv");
    assert_eq!(whose.code, Some(1), "{whose:?}");
    assert!(whose.stderr.contains("line 2: it is not told whose usage this is"), "{whose:?}");
    home.print("import whose.csv --provider azure");
    assert_eq!(counting("SELECT count(*) FROM stated WHERE provider = 'azure'"), 1);
}

#[test]
fn parts_that_are_known_stay_parts_of_an_export_that_comes_again() {
    let part = |cost: &str| {
        format!(
            "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ProviderName\n\
             {cost},USD,2026-10-01T00:00:00Z,2026-10-02T00:00:00Z,AWS\n"
        )
    };
    let counting = |home: &Home| -> Vec<String> {
        let database = database(home);
        let mut rows = database.prepare("SELECT amount FROM stated ORDER BY 1").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    for line in ["import p1.csv p2b.csv", "import p2b.csv p1.csv"] {
        let home = Home::new();
        for (name, cost) in [("p1.csv", "1"), ("p2.csv", "2"), ("p2b.csv", "4")] {
            home.write(name, part(cost));
        }
        home.print("import p1.csv p2.csv");
        assert_eq!(counting(&home), ["1", "2"], "{line}");
        let said = json(&home, &format!("{line} --json"));
        assert_eq!(counting(&home), ["1", "4"], "{line}");
        let supersedes: Vec<&Value> = said["files"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|file| file["supersedes"].as_array().unwrap())
            .map(|one| &one["name"])
            .collect();
        assert_eq!(supersedes, ["p2.csv"], "{line}");
        // Where all are known nothing changes.
        for again in ["import p1.csv p2.csv", "import p2b.csv p2.csv", line] {
            assert!(home.print(again).contains("nothing new"), "{again}");
            assert_eq!(counting(&home), ["1", "4"], "{again}");
        }
    }

    // What ends between two files of a run has lost no part that is known, and goes on.
    let home = Home::new();
    for (name, cost) in [("p1.csv", "1"), ("p2.csv", "2"), ("p2b.csv", "4"), ("p3.csv", "8")] {
        home.write(name, part(cost));
    }
    home.print("import p1.csv p2.csv");
    let mut running = home.command(&["import", "p2b.csv", "-", "p1.csv", "p3.csv"]);
    let mut running = Running(running.stdin(Stdio::piped()).spawn().unwrap());
    let is_there = || counting(&home) != ["1", "2"];
    assert!((0..500).any(|_| {
        std::thread::park_timeout(Duration::from_millis(10));
        is_there()
    }));
    running.0.kill().unwrap();
    running.wait();
    assert_eq!(counting(&home), ["1", "4"]);
    home.print("import p2b.csv p1.csv p3.csv");
    assert_eq!(counting(&home), ["1", "4", "8"]);
}

#[test]
fn a_dry_run_writes_nothing() {
    let home = Home::new();
    let (text, truth) = usage(0..3, 1);
    home.write("a.csv", text);
    let said = json(&home, "import --dry-run a.csv --json");
    assert_eq!(
        (&said["files"][0]["status"], &said["files"][0]["rows"]),
        (&"tried".into(), &truth.rows.into())
    );
    assert!(!home.ledger().exists());
    assert_eq!(
        home.print("import --list"),
        "Nothing was imported; `trueup import FILE` does it.\n"
    );
}

#[test]
fn an_import_that_is_killed_leaves_nothing() {
    let home = Home::new();
    let (text, truth) = usage(0..35, 1);
    let mut running =
        Running(home.command(&["import", "-"]).stdin(Stdio::piped()).spawn().unwrap());
    let mut input = running.0.stdin.take().unwrap();
    let (begin, _) = text.split_at(text.len() - 100);
    // More than is held on the way: rows were written, and are not committed.
    input.write_all(begin.as_bytes()).unwrap();
    assert!(running.ends_within(Duration::from_millis(200)).is_none());
    running.0.kill().unwrap();
    running.wait();
    assert!(home.print("import --list").contains("Nothing was imported"));
    assert!(home.print("check").contains("is whole"));
    home.write("a.csv", text);
    home.print("import a.csv");
    assert_eq!(stated(&home), truth);
}

#[test]
fn while_serve_runs_statements_can_be_read_and_not_written() {
    let home = Home::everyday();
    home.write("a.csv", usage(0..3, 1).0);
    home.print("import a.csv");
    let mut keeper = keeper(&home);
    for line in ["import a.csv", "import --remove 1"] {
        let run = home.run(line);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
        assert!(run.stderr.contains("`trueup serve`"), "{run:?}");
        assert!(run.stderr.contains("is in use by another trueup (process "), "{run:?}");
    }
    assert!(home.print("import --list").contains("openai_usage"));
    assert!(home.print("import --dry-run a.csv").contains("nothing new"));
    keeper.kill();
}

/// Contract §1.2, defect 6: the zone of the machine moves no day.
#[test]
fn cogni_defect_6_the_zone_of_the_machine_moves_no_day() {
    let days = |zone: &str| {
        let home = Home::new();
        for name in ["openai_usage_odd.csv", "openrouter_activity.csv", "anthropic_tokens.csv"] {
            home.write(name, fixture(name));
            let mut command = home.command(&["import", name]);
            command.env("TZ", zone);
            let run = finish(command);
            assert_eq!(run.code, Some(0), "{run:?}");
        }
        let database = database(&home);
        let mut rows = database.prepare("SELECT start_ms FROM stated ORDER BY 1").unwrap();
        let rows = rows.query_map([], |row| row.get::<_, Option<i64>>(0)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>()
    };
    let utc = days("UTC");
    assert_eq!(days("America/New_York"), utc);
    assert_eq!(days("Asia/Kathmandu"), utc);
}

/// Contract §1.2, defect 7: where the ledger fails, nothing is said of the rows, and the exit code
/// says so.
#[test]
fn cogni_defect_7_a_ledger_that_fails_is_no_ledger_without_rows() {
    let home = Home::new();
    home.write("a.csv", usage(0..3, 1).0);
    home.write("ledger/trueup.db", "this is no database, and has been here for long enough");
    for line in ["import a.csv", "import a.csv --json", "import --list"] {
        let run = home.run(line);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
        assert!(run.stderr.contains("is not a trueup ledger"), "{run:?}");
    }
}

#[test]
fn doctor_names_statements_that_could_not_be_read_in_full() {
    let home = Home::everyday();
    home.write("good.csv", usage(0..3, 1).0);
    home.print("import good.csv");
    let check = || {
        let said: Value = serde_json::from_str(&home.run("doctor --json").stdout).unwrap();
        let checks = said["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["id"] == "statements").unwrap()
    };
    assert_eq!(check()["status"], "ok");
    home.write("odd.csv", fixture("openai_usage_odd.csv"));
    home.print("import odd.csv");
    let odd = check();
    assert_eq!((&odd["status"], &odd["meta"]["statements"]), (&"warn".into(), &2.into()));
    let reason = odd["items"][0]["reason"].as_str().unwrap();
    let codes = "identity_broken, line_invalid, number_invalid, time_invalid, zone_assumed";
    assert_eq!(reason, format!("statement 2, odd.csv: 4 rows not read in full ({codes})"));
}

#[test]
fn nothing_is_wider_than_the_terminal() {
    let home = Home::new();
    let long = format!("{}.csv", "completions_usage_2026-11-01_2026-11-30_copy".repeat(3));
    let (text, _) = usage(0..3, 1);
    home.write(&long, text.replace("input_text_tokens", &"a-very-long-name-".repeat(8)));
    home.write("b.csv", usage(0..3, 2).0);
    home.write("c.csv", fixture("openai_usage_odd.csv"));
    // Exports of FOCUS name whose usage each row is: of many, of one with a long name, in wide letters.
    let focus = |providers: &[String]| {
        let row =
            |provider| format!("1,USD,2026-10-01T00:00:00Z,2026-11-01T00:00:00Z,{provider}\n");
        let header = "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ProviderName\n";
        format!("{header}{}", providers.iter().map(row).collect::<String>())
    };
    let many: Vec<String> = (0..40).map(|at| format!("Provider of Clouds {at}")).collect();
    home.write("many.csv", focus(&many));
    home.write("one.csv", focus(&["A provider whose name does not end ".repeat(4)]));
    home.write("two.csv", focus(&["模型".repeat(20), "雲".repeat(30)]));
    home.write(&format!("{}.csv", "雲".repeat(50)), focus(&["AWS".to_owned(), "Azure".to_owned()]));
    let wide_name = format!("import {}.csv", "雲".repeat(50));
    for line in [
        &format!("import {long}"),
        "import b.csv",
        "import c.csv",
        "import --dry-run many.csv",
        "import many.csv",
        "import one.csv",
        "import two.csv",
        &wide_name,
        "import --list",
        "import --remove 1",
    ] {
        let said = home.print(line);
        let wide: Vec<_> = said.lines().filter(|line| line.width() > 80).collect();
        assert!(wide.is_empty(), "{line}: {wide:#?}");
        if line.ends_with("many.csv") {
            assert!(said.contains(": FOCUS of 40 providers, 2026-10-01"), "{said}");
            assert!(said.contains("\n  of Provider of Clouds 0, "), "{said}");
        }
    }
}
