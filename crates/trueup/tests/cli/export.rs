//! Exports, as people and scripts meet them: FOCUS that its own rules accept and that comes back with the
//! same sums, and cost centres whose parts are the whole.

use std::collections::{BTreeMap, BTreeSet};

use insta::assert_snapshot;
use provider_sim::{DAY_S, Plan};
use rusqlite::Connection;
use serde_json::Value;
use trueup_core::{Decimal, UnixMs};

use crate::focus_rules::{Table, check};
use crate::home::{Home, text_of};
use crate::providers::World;

/// 2025-11-10: the days before it are those of the fixtures, and long over.
const TODAY_S: i64 = 1_762_732_800;
/// From 2025-10-22 on.
const DAYS: i64 = 20;

const RULES: &str = r#"
[[rule]]
name = "key of CI"
match = { provider = "openai", key = "key_*" }
to = { platform = "66.7", search = "33.3" }

[[rule]]
match = { agent = ["codex", "claude-code"] }
to = "product"
"#;

/// A provider whose days were pulled until they settled, and then corrected; and agents of whose days it
/// tells nothing.
fn world(provider: &str) -> World {
    // OpenRouter tells only of the last 30 days.
    let today_s = if provider == "openrouter" { provider_sim::today() } else { TODAY_S };
    let plan = Plan { today_s, days: DAYS, has_analytics: true, ..Plan::default() };
    let world = World::of(provider, plan);
    let everyday = Home::everyday();
    for file in crate::home::files(everyday.path()) {
        let below = file.strip_prefix(everyday.path()).unwrap();
        world.home.write(below.to_str().unwrap(), std::fs::read(&file).unwrap());
    }
    for _ in 0..3 {
        pull(&world);
    }
    world.sim.advance();
    world.sim.advance();
    pull(&world);
    world
}

fn pull(world: &World) {
    let today_s = world.plan.today_s;
    let (from, to) = (date(today_s - (DAYS - 1) * DAY_S), date(today_s - DAY_S));
    world.home.print(&format!("pull --from {from} --to {to}"));
}

fn date(day_s: i64) -> String {
    UnixMs(day_s * 1_000).to_string().chars().take(10).collect()
}

fn focus(home: &Home, options: &str) -> Table {
    Table::of(&home.print(&format!("export focus {options}")))
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The sum of a column over some rows.
fn sum(table: &Table, column: &str, is_meant: impl Fn(&dyn Fn(&str) -> String) -> bool) -> Decimal {
    let mut sum = Decimal::ZERO;
    for row in &table.rows {
        let get = |name: &str| table.get(row, name).unwrap_or_default().to_owned();
        if is_meant(&get) {
            sum = sum.plus(&decimal(table.get(row, column).unwrap_or("0")));
        }
    }
    sum
}

fn values(table: &Table, column: &str) -> BTreeSet<String> {
    table.rows.iter().map(|row| table.get(row, column).unwrap_or_default().to_owned()).collect()
}

fn texts<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.map(str::to_owned).into()
}

#[test]
fn the_rules_of_focus_hold_for_every_kind_of_row() {
    for provider in ["openai", "anthropic", "openrouter", "litellm"] {
        let world = world(provider);
        let fixtures = ["openai_cost.csv", "anthropic_cost.csv", "deepseek_cost.csv", "focus.csv"];
        for name in fixtures {
            world.home.write(name, statement(name));
        }
        world.home.print(&format!("import {}", fixtures.join(" ")));
        let table = focus(&world.home, "");
        let verdict = check(&table);
        assert!(verdict.failed.is_empty(), "{provider}: {:#?}", verdict.failed);
        // It is recommended to say on which invoice a charge stands, which nobody tells.
        let advised: Vec<&str> = verdict.advised.keys().map(String::as_str).collect();
        assert_eq!(advised, ["CostAndUsage-D-033-O"], "{provider}: {:#?}", verdict.advised);
        assert!(verdict.passed.len() > 120, "{} rules", verdict.passed.len());
        assert_eq!(values(&table, "x_EstimateOrBilled"), texts(["billed", "estimate", "unpriced"]));
        assert_eq!(values(&table, "ChargeCategory"), texts(["Credit", "Usage"]));
    }
}

#[test]
fn what_a_bill_says_of_its_charges_is_exported_as_it_stands_there() {
    let home = Home::new();
    let bill = String::from_utf8(statement("focus.csv")).unwrap();
    let tax = "2,acc-1,,USD,2026-10-01T00:00:00Z,2026-11-01T00:00:00Z,Tax,,VAT,2026-10-01T00:00:00Z,\
         2026-11-01T00:00:00Z,,,2,2,Microsoft,2,,,Microsoft,Microsoft,,,Other,VAT,,,,,,,\n";
    home.write("bill.csv", bill + tax);
    home.print("import bill.csv");
    let told = |table: &Table, item: &str| {
        let row =
            table.rows.iter().find(|row| table.get(row, "ServiceName") == Some(item)).unwrap();
        ["ChargeCategory", "ChargeClass", "ServiceCategory", "Tags", "SkuId"]
            .map(|column| table.get(row, column).unwrap_or_default().to_owned())
    };
    let first = home.print("export focus");
    let table = Table::of(&first);
    assert!(check(&table).failed.is_empty(), "{:#?}", check(&table).failed);
    assert_eq!(told(&table, "Credits"), ["Credit", "Correction", "Other", "", "Credits"]);
    assert_eq!(told(&table, "VAT"), ["Tax", "", "Other", "", ""]);
    let ai = told(&table, "Azure OpenAI");
    assert_eq!(ai[..3], ["Usage", "", "AI and Machine Learning"]);
    assert!(ai[3].contains("\"region_id\":\"eastus\"") && !ai[3].contains("service"), "{}", ai[3]);
    home.write("rules.toml", "");
    let parts = Table::of(&home.print("export chargeback --rules rules.toml --format csv"));
    assert_eq!(sum(&parts, "tokens", |_| true), decimal("1234"));
    // What trueup wrote comes back the same.
    let other = Home::new();
    other.write("focus.csv", &first);
    other.print("import focus.csv");
    let again = Table::of(&other.print("export focus"));
    for service in ["Credits", "VAT"] {
        assert_eq!(told(&again, service)[..4], told(&table, service)[..4]);
    }
}

fn statement(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read(folder.join("../trueup-providers/fixtures/statements").join(name)).unwrap()
}

#[test]
fn the_rules_of_focus_hold_for_what_parity_compared() {
    let world = world("openai");
    let run = world.home.run("parity --format focus --from 2025-10-22 --to 2025-11-09");
    assert_eq!(run.code, Some(1), "{run:?}");
    let table = Table::of(&run.stdout);
    assert!(check(&table).failed.is_empty(), "{:#?}", check(&table).failed);
    assert_eq!(sum(&table, "BilledCost", |_| true), decimal(&world.truth().cost));
    // Nothing of it is in the account; that it was corrected goes before that.
    assert_eq!(values(&table, "x_ReconStatus"), texts(["restated"]));
}

#[test]
fn what_a_gateway_works_out_is_no_bill_in_any_form() {
    let world = world("litellm");
    for line in ["export focus", "parity --format focus --from 2025-10-22 --to 2025-11-09"] {
        let table = Table::of(&world.home.run(line).stdout);
        let rows =
            table.rows.iter().filter(|row| table.get(row, "ProviderName") == Some("LiteLLM"));
        let said: BTreeSet<_> = rows.map(|row| table.get(row, "x_EstimateOrBilled")).collect();
        assert_eq!(said, [Some("estimate")].into(), "{line}");
    }
}

#[test]
fn days_of_a_bill_that_were_not_pulled_stand_beside_those_that_were() {
    let world = world("openai");
    let rows =
        [("OpenAI", "2025-10-10", "2025-10-11", "7"), ("OpenAI", "2025-10-25", "2025-10-26", "9")];
    world.home.write("bill.csv", bill(&rows));
    world.home.print("import bill.csv");
    let run = world.home.run("parity --format focus --from 2025-10-01 --to 2025-11-09");
    let billed = sum(&Table::of(&run.stdout), "BilledCost", |_| true);
    assert_eq!(billed, decimal(&world.truth().cost).plus(&decimal("7")));
}

#[test]
fn a_file_that_breaks_a_rule_fails_that_rule() {
    let home = Home::everyday();
    let table = focus(&home, "");
    assert!(check(&table).failed.is_empty(), "{:#?}", check(&table).failed);
    for (column, cell, rule) in [
        ("BilledCost", "", "BilledCost-C-003-M"),
        ("BilledCost", "$1", "BilledCost-C-002-M"),
        ("BilledCost", "1e5", "BilledCost-C-002-M"),
        ("InvoiceIssuerName", "Somebody", "BilledCost-C-005-C"),
        ("BillingCurrency", "dollars", "BillingCurrency-C-003-M"),
        ("BillingPeriodStart", "2025-11-01", "BillingPeriodStart-C-002-M"),
        ("BillingPeriodEnd", "2020-01-01T00:00:00Z", "BillingPeriodEnd-C-004-M"),
        ("ChargeCategory", "Use", "ChargeCategory-C-003-M"),
        ("ChargeClass", "Corrected", "ChargeClass-C-005-C"),
        ("ChargePeriodEnd", "", "ChargePeriodEnd-C-003-M"),
        ("ConsumedQuantity", "", "ConsumedQuantity-C-006-C"),
        ("ConsumedUnit", "", "ConsumedUnit-C-006-C"),
        ("EffectiveCost", "7", "EffectiveCost-C-010-C"),
        ("InvoiceId", "", "InvoiceId-C-005-C"),
        ("ListUnitPrice", "3", "ListUnitPrice-C-010-C"),
        ("PricingQuantity", "1,000", "PricingQuantity-C-002-M"),
        ("PricingUnit", "", "PricingUnit-C-006-C"),
        ("ProviderName", "", "ProviderName-C-003-M"),
        ("ServiceCategory", "AI", "ServiceCategory-C-003-M"),
        ("ServiceSubcategory", "Bots and more", "ServiceSubcategory-C-003-M"),
        ("SkuPriceId", "one for all", "SkuPriceId-C-008-M"),
        ("SubAccountName", "", "SubAccountName-C-005-C"),
        ("Tags", "a=b", "Tags-C-001-M"),
        ("Tags", "{\"a\":[1]}", "Tags-C-001-M"),
        ("Invented", "1", "ColumnHandling-A-010-M"),
        ("ServiceName", "n/a", "NullHandling-A-002-M"),
    ] {
        let failed = check(&table.with(column, cell)).failed;
        assert!(failed.contains_key(rule), "{column} as {cell:?}: {failed:?}");
    }
    for (column, rule) in
        [("ListCost", "CostAndUsage-D-032-M"), ("PricingUnit", "CostAndUsage-D-068-M")]
    {
        assert!(check(&table.without(column)).failed.contains_key(rule), "{column}");
    }
}

#[test]
fn billed_rows_are_what_the_provider_charged_and_its_days_are_not_estimated() {
    let world = world("openai");
    let table = focus(&world.home, "");
    let billed = sum(&table, "BilledCost", |cell| cell("x_EstimateOrBilled") == "billed");
    assert_eq!(billed, decimal(&world.truth().cost));
    let of = |is_billed: bool| -> BTreeSet<(String, String)> {
        let rows = table
            .rows
            .iter()
            .filter(|row| (table.get(row, "x_EstimateOrBilled") == Some("billed")) == is_billed);
        let cell = |row: &[String], name: &str| table.get(row, name).unwrap().to_owned();
        rows.map(|row| (cell(row, "ProviderName"), cell(row, "ChargePeriodStart"))).collect()
    };
    assert!(of(true).is_disjoint(&of(false)));
    // Its days had settled when they were corrected, and their months were over.
    assert_eq!(values(&table, "ChargeClass"), texts(["", "Correction"]));
    assert!(values(&table, "x_ReconStatus").is_superset(&texts(["measured", "restated"])));
    let corrected = sum(&table, "BilledCost", |cell| cell("ChargeClass") == "Correction");
    assert!(corrected != billed && !corrected.is_zero());
}

/// Rows of a bill, each a provider, a span and an amount.
fn bill(rows: &[(&str, &str, &str, &str)]) -> String {
    let header = "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ProviderName\n";
    let line = |(provider, from, until, amount): &(&str, &str, &str, &str)| {
        format!("{amount},USD,{from}T00:00:00Z,{until}T00:00:00Z,{provider}\n")
    };
    header.to_owned() + &rows.iter().map(line).collect::<String>()
}

#[test]
fn a_bill_for_a_month_of_which_some_days_were_pulled_is_not_added_to_them() {
    let world = world("openai");
    // The first day that was pulled is 2025-10-22.
    let rows = [
        ("OpenAI", "2025-10-01", "2025-11-01", "100"),
        ("OpenAI", "2025-10-01", "2025-10-02", "3"),
    ];
    world.home.write("bill.csv", bill(&rows));
    world.home.print("import bill.csv");
    let run = world.home.run("export focus");
    let billed =
        sum(&Table::of(&run.stdout), "BilledCost", |cell| cell("x_EstimateOrBilled") == "billed");
    assert_eq!(billed, decimal(&world.truth().cost).plus(&decimal("3")));
    let told = run.stderr.replace('\n', " ");
    assert!(
        told.contains("bill.csv: a row over several days, of which some were pulled, is left out"),
        "{told}"
    );
}

#[test]
fn days_of_a_bill_that_begins_before_the_first_one_are_not_estimated() {
    let home = Home::everyday();
    let all = || focus(&home, "--from 2026-11-16 --to 2026-11-20");
    let is_estimated = |table: &Table| values(table, "ProviderName").contains("Anthropic");
    assert!(is_estimated(&all()));
    home.write("bill.csv", bill(&[("Anthropic", "2026-11-01", "2026-12-01", "100")]));
    home.print("import bill.csv");
    assert!(!is_estimated(&all()));
    let run = home.run("export focus --from 2026-11-16 --to 2026-11-20 --provider anthropic");
    let told = run.stderr.replace('\n', " ");
    assert!(
        told.contains("a row over several days that begins before the first one is left out"),
        "{told}"
    );
    let whole = focus(&home, "--from 2026-11-01 --to 2026-11-30 --provider anthropic");
    assert_eq!(sum(&whole, "BilledCost", |_| true), decimal("100"));
}

#[test]
fn estimates_are_what_reports_say() {
    let home = Home::everyday();
    let table = focus(&home, "");
    let report: Value =
        serde_json::from_str(&home.print("report agent --cost computed --json")).unwrap();
    let totals = &report["totals"];
    let mut cost = Decimal::ZERO;
    for kind in ["exact", "estimated"] {
        cost = cost.plus(&decimal(totals[kind]["cost_usd"].to_string().trim_matches('"')));
    }
    let estimated = sum(&table, "BilledCost", |_| true);
    // Reports round once to nano-dollars, each part for itself.
    assert!(estimated.minus(&cost).abs() < decimal("0.000000002"), "{estimated} {cost}");
    for (kind, column) in
        [("in_uncached", "input"), ("in_cache_read", "cache_read"), ("out", "output")]
    {
        let tokens = sum(&table, "ConsumedQuantity", |cell| cell("x_TokenType") == kind);
        let told = ["exact", "estimated"].map(|of| totals[of][column].as_u64().unwrap());
        assert_eq!(tokens.to_count(), Some(told.iter().sum()), "{kind}");
    }
    let unpriced = sum(&table, "BilledCost", |cell| cell("x_EstimateOrBilled") == "unpriced");
    assert!(unpriced.is_zero());
    let tokens = sum(&table, "ConsumedQuantity", |cell| cell("x_EstimateOrBilled") == "unpriced");
    assert!(!tokens.is_zero());
}

/// What tokens and money are of: day, provider, basis, currency.
type Sums = BTreeMap<[String; 4], (Decimal, u64)>;

fn of_file(table: &Table) -> Sums {
    let mut sums = Sums::new();
    for row in &table.rows {
        let cell = |name: &str| table.get(row, name).unwrap_or_default();
        let basis = cell("x_EstimateOrBilled");
        let currency = if basis == "unpriced" { "" } else { cell("BillingCurrency") };
        let provider = cell("ProviderName").to_ascii_lowercase();
        let key = [cell("ChargePeriodStart"), &provider, basis, currency].map(str::to_owned);
        let sum = sums.entry(key).or_default();
        sum.0 = sum.0.plus(&decimal(cell("BilledCost")));
        if !cell("x_TokenType").is_empty() {
            sum.1 += cell("ConsumedQuantity").parse::<u64>().unwrap();
        }
    }
    sums
}

fn of_ledger(home: &Home) -> Sums {
    let sql = "SELECT start_ms, lower(provider), dims ->> 'basis', coalesce(currency, ''),
         coalesce(amount, '0'), coalesce(in_uncached, in_cache_read, in_cache_write_5m,
         in_cache_write_1h, in_cache_write, in_unsplit, out, 0) FROM stated";
    let database = Connection::open(home.ledger()).unwrap();
    let mut statement = database.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut sums = Sums::new();
    while let Some(row) = rows.next().unwrap() {
        let text = |at: usize| row.get::<_, String>(at).unwrap();
        let start = UnixMs(row.get(0).unwrap()).to_string().replace(".000Z", "Z");
        let sum = sums.entry([start, text(1), text(2), text(3)]).or_default();
        sum.0 = sum.0.plus(&decimal(&text(4)));
        sum.1 += row.get::<_, i64>(5).unwrap().unsigned_abs();
    }
    sums
}

#[test]
fn what_is_exported_is_imported_with_the_same_sums() {
    let world = world("openai");
    world.home.print("export focus --out focus.csv");
    let file = text_of(world.home.at("focus.csv"));
    let other = Home::new();
    other.write("focus.csv", &file);
    other.print("import focus.csv");
    let sums = of_file(&Table::of(&file));
    assert_eq!(of_ledger(&other), sums);
    assert!(sums.len() > 20, "{}", sums.len());
    let issues: Value =
        serde_json::from_str(&other.print("import focus.csv --dry-run --json")).unwrap();
    assert_eq!(issues["files"][0]["issues"], Value::Array(Vec::new()), "{issues:#}");
    // What was estimated is no bill, there either: it is neither compared nor exported again.
    let again = other.run("export focus");
    let billed = |sums: &Sums| -> Sums {
        let sums = sums.iter().filter(|([_, _, basis, _], _)| basis == "billed");
        sums.map(|(key, sum)| (key.clone(), sum.clone())).collect()
    };
    assert_eq!(of_file(&Table::of(&again.stdout)), billed(&sums));
    assert!(
        again.stderr.contains("what trueup had estimated is not exported again"),
        "{}",
        again.stderr
    );
    // Here it changes nothing: what it says is known from those who said it.
    world.home.print("import focus.csv");
    assert_eq!(of_file(&Table::of(&world.home.print("export focus"))), sums);
    let parity = other.run("parity --format json --from 2025-10-01 --to 2025-10-21");
    assert!(!parity.stdout.contains("statement_cost"), "{parity:?}");
}

#[test]
fn a_file_is_there_as_a_whole_or_not_at_all() {
    let home = Home::everyday();
    let printed = home.print("export focus --out -");
    home.print("export focus --out focus.csv");
    assert_eq!(text_of(home.at("focus.csv")), printed);
    let run = home.run("export focus --out nowhere/focus.csv");
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("nowhere/focus.csv cannot be written"), "{}", run.stderr);
    let left = crate::home::files(home.path());
    assert!(!left.iter().any(|file| file.to_string_lossy().contains(".trueup-")), "{left:?}");
}

#[test]
fn exports_as_people_see_them() {
    let home = Home::everyday();
    home.write("rules.toml", RULES);
    home.write("none.toml", "");
    let mut seen = String::new();
    for line in [
        "export focus --from 2026-11-20 --to 2026-11-20 --provider anthropic",
        "export focus --from 2020-01-01 --to 2020-01-02",
        "export focus --from 2025-10-21 --to 2025-10-20",
        "export chargeback --rules rules.toml",
        "export chargeback --rules rules.toml --format csv",
        "export chargeback --rules rules.toml --format json --round 2",
        "export chargeback --rules none.toml",
        "export chargeback --rules rules.toml --from 2020-01-01 --to 2020-01-02",
    ] {
        seen += &home.transcript(line);
        let errors = home.run(line).stderr;
        assert!(errors.lines().all(|line| line.chars().count() <= 80), "{errors}");
    }
    assert_snapshot!(seen);
}

#[test]
fn no_table_is_wider_than_its_terminal() {
    let home = Home::everyday();
    let centre = "a-cost-centre-with-a-very-long-name/".repeat(4);
    let rules = format!("[[rule]]\nmatch = {{ agent = \"codex\" }}\nto = \"{centre}\"\n");
    let name = format!("{}.toml", "rules-with-a-long-name".repeat(6));
    home.write(&name, rules);
    let run = home.run(&format!("export chargeback --rules {name}"));
    assert_eq!(run.code, Some(0), "{run:?}");
    for line in run.stdout.lines().chain(run.stderr.lines()) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(run.stdout.contains("(unallocated)"), "{}", run.stdout);
}

#[test]
fn rules_that_cannot_be_meant_are_refused_with_their_place() {
    let home = Home::everyday();
    let mut seen = String::new();
    for (name, rules) in [
        ("shares", "[[rule]]\nto = { a = \"33.3\", b = 66 }\n"),
        ("float", "[[rule]]\nto = { a = 33.3, b = \"66.7\" }\n"),
        ("label", "[[rule]]\nmatch = { user = \"ann\" }\nto = \"a\"\n"),
        ("key", "[[rule]]\nmatches = { key = \"k\" }\nto = \"a\"\n"),
        ("syntax", "[[rule]\n"),
    ] {
        home.write(&format!("{name}.toml"), rules);
        seen += &home.transcript(&format!("export chargeback --rules {name}.toml"));
    }
    seen += &home.transcript("export chargeback --rules missing.toml");
    assert_snapshot!(seen);
}

#[test]
fn parts_are_the_whole_that_is_exported() {
    let world = world("openai");
    world.home.write("rules.toml", RULES);
    let table = focus(&world.home, "");
    let csv = |options: &str| {
        Table::of(
            &world
                .home
                .print(&format!("export chargeback --rules rules.toml --format csv {options}")),
        )
    };
    for basis in ["billed", "estimate"] {
        let whole = sum(&table, "BilledCost", |cell| cell("x_EstimateOrBilled") == basis);
        let is_it = |cell: &dyn Fn(&str) -> String| cell("basis") == basis;
        assert_eq!(sum(&csv(""), "amount", is_it), whole, "{basis}");
        assert_eq!(sum(&csv("--round 2"), "amount", is_it), whole.rounded(2), "{basis}");
    }
    let tokens = sum(&csv(""), "tokens", |cell| cell("basis") == "unpriced");
    assert_eq!(
        tokens,
        sum(&table, "ConsumedQuantity", |cell| cell("x_EstimateOrBilled") == "unpriced")
    );
    let centres = values(&csv(""), "cost_centre");
    assert_eq!(centres, texts(["", "platform", "product", "search"]));
    let json: Value = serde_json::from_str(
        &world.home.print("export chargeback --rules rules.toml --format json"),
    )
    .unwrap();
    for total in json["totals"].as_array().unwrap() {
        let amount = |name: &str| decimal(total[name].as_str().unwrap());
        assert_eq!(amount("allocated").plus(&amount("unallocated")), amount("amount"));
    }
}
