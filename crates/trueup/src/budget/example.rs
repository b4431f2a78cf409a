//! The example of `docs/budgets.md` is what the program prints: its days are read from there.

use jiff::ToSpan as _;
use jiff::civil::Date;
use trueup_core::Decimal;
use trueup_core::budget::{Days, Period};

use super::days::Known;
use super::look::looked;
use super::{Looked, Of, Settings, Told, of_toml, standing};
use crate::render::budget::{alerts, budgets};
use crate::render::terminal::Terminal;

const DOCUMENT: &str = include_str!("../../../../docs/budgets.md");
const TERMINAL: Terminal = Terminal { columns: 80, has_colour: false };

/// The table of days, up to the present one.
fn days() -> (Days, Date) {
    let mut days = Days::default();
    let mut today = Date::MIN;
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| 20"));
    for row in rows {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let monday: Date = cells.next().unwrap().parse().unwrap();
        for (dollars, at) in cells.zip(0_i64..) {
            today = monday.saturating_add(at.days());
            days.add(today, &dollars.parse().unwrap());
        }
    }
    (days, today)
}

/// The budget of the example.
pub(crate) fn api() -> Looked {
    let (days, today) = days();
    let settings = Settings {
        name: "api".to_owned(),
        limit: Some("130".parse().unwrap()),
        per: Period::Month,
        of: None,
        provider: None,
        project: None,
        key: None,
        agent: None,
        model: None,
        tag: None,
        thresholds: vec![50, 80, 100],
        has_anomalies: true,
    };
    let zone = "UTC".to_owned();
    looked(&settings, Known { of: Of::Account, days, zone, today, notes: [].into() })
}

fn must_stand_in_the_document(printed: &[u8]) {
    let printed = std::str::from_utf8(printed).unwrap();
    let block = format!("```text\n{}\n```", printed.trim_end());
    assert!(DOCUMENT.contains(&block), "docs/budgets.md has not:\n{block}");
}

#[test]
fn the_document_shows_what_is_printed() {
    let all = [api()];
    let mut printed = Vec::new();
    budgets(&all, TERMINAL, &mut printed).unwrap();
    must_stand_in_the_document(&printed);
    printed.clear();
    let told = Told::default();
    alerts(&standing(&all, &told), TERMINAL, &mut printed).unwrap();
    must_stand_in_the_document(&printed);
}

#[test]
fn the_numbers_of_the_document_are_in_the_json() {
    let looked = api();
    let budget = super::budget_json(&looked);
    for (at, expected) in [
        ("/spent_usd", "67.2"),
        ("/remaining_usd", "62.8"),
        ("/used_percent", "51.6"),
        ("/thresholds/0/reached_on", "2026-11-13"),
        ("/burn_rate/usd_per_day", "6"),
        ("/exhausted_on", "2026-11-25"),
        ("/forecast/amount_usd", "124.7"),
        ("/forecast/low_usd", "117.2"),
        ("/forecast/high_usd", "158.2"),
    ] {
        assert_eq!(budget.pointer(at).and_then(|value| value.as_str()), Some(expected), "{at}");
    }
    let told = Told::default();
    let all = [looked];
    let standing = standing(&all, &told);
    let anomaly = standing[1].json();
    for (at, expected) in [
        ("/cell", "api/2026-11-13"),
        ("/numbers/median_usd", "4.75"),
        ("/numbers/mad_usd", "0.75"),
        ("/numbers/factor", "5.2"),
        ("/numbers/margin_usd", "3.9"),
        ("/numbers/bound_usd", "8.65"),
        ("/numbers/observations/2026-11-12", "6.5"),
    ] {
        assert_eq!(anomaly.pointer(at).and_then(|value| value.as_str()), Some(expected), "{at}");
    }
    assert_eq!(anomaly["numbers"]["observations"].as_object().unwrap().len(), 18);
}

#[test]
fn the_settings_of_the_document_are_right() {
    let block = DOCUMENT.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let mut table: toml::Table = block.parse().unwrap();
    let budgets = of_toml(table.remove(crate::config::BUDGET).unwrap()).unwrap();
    let names: Vec<&str> = budgets.iter().map(|budget| budget.name.as_str()).collect();
    assert_eq!(names, ["anthropic", "night shift", "everything"]);
}

#[test]
fn tables_fit_80_columns() {
    let mut looked = api();
    looked.settings.name = "a name that is as long as any name may be".to_owned();
    let huge: Decimal = "999999999.99".parse().unwrap();
    let status = looked.status.as_mut().unwrap();
    for amount in [&mut status.spent, &mut status.limit, &mut status.remaining] {
        *amount = huge.clone();
    }
    let forecast = status.forecast.as_mut().unwrap();
    for amount in [&mut forecast.amount, &mut forecast.low, &mut forecast.high] {
        *amount = huge.clone();
    }
    let mut printed = Vec::new();
    budgets(&[looked], TERMINAL, &mut printed).unwrap();
    let printed = String::from_utf8(printed).unwrap();
    for line in printed.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}
