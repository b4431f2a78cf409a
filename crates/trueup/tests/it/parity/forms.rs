//! What is printed, in each form.

use std::process::{Command, Stdio};

use insta::assert_snapshot;
use serde_json::Value;
use trueup_core::Decimal;
use unicode_width::UnicodeWidthStr as _;

use super::world::{UNPRICED, World, calls_of};

/// 2026-03-31.
const TODAY_S: i64 = 1_774_915_200;
const DAYS: [&str; 5] = ["parity", "--from", "2026-03-24", "--to", "2026-03-30"];

/// A week with a model that nobody tracked, one that is tracked twice, and one without a price.
fn world() -> World {
    let world = World::of_day(TODAY_S, 12, 8);
    world.pull(3);
    let told = world.sim.told();
    let model = |at: usize| {
        let mut models: Vec<&str> = told.iter().map(|row| row.model).collect();
        models.sort_unstable();
        models.dedup();
        models.retain(|model| *model != UNPRICED);
        models[at]
    };
    let mut calls: Vec<_> =
        told.iter().filter(|row| row.model != model(0)).flat_map(calls_of).collect();
    let again: Vec<_> = calls.iter().filter(|call| call.row.model == model(1)).cloned().collect();
    calls.extend(again);
    world.post(&calls);
    world
}

#[test]
fn every_form_says_the_same() {
    let world = world();
    let form = |name: &str| {
        let ran = world.run(&[&DAYS[..], &["--format", name]].concat());
        assert_eq!(ran.code, Some(1), "{name}: {ran:?}");
        ran.text
    };
    let table = form("table");
    for line in table.lines() {
        assert!(line.width() <= 80, "{line}");
    }
    assert_snapshot!("table", table);
    assert_snapshot!("markdown", form("md"));
    // What the table says stands in the others, too.
    let plain = |text: &str| {
        text.replace(['\\', '`', '*'], "").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (md, page) = (plain(&form("md")), plain(&form("html").replace("&#39;", "'")));
    let told = plain(&table);
    for words in ["Captured: ", "By the price table it comes to ", "key_"] {
        assert!(
            told.contains(words) && md.contains(words) && page.contains(words),
            "{words}: {md}"
        );
    }
    let run: Value = serde_json::from_str(&form("json")).unwrap();
    assert_eq!((&run["schema"], &run["exit_code"]), (&1.into(), &1.into()));
    let findings = run["findings"].as_array().unwrap();

    let csv = form("csv");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(reader.headers().unwrap().len(), 35);
    assert_eq!(reader.records().map(Result::unwrap).count(), findings.len());

    let html = form("html");
    assert!(!html.contains("<script") && !html.contains("http://") && !html.contains("https://"));
    assert!(html.contains("ft:gpt-4.1-2025-04-14:acme::Ab1"));

    let junit = form("junit");
    let fails = findings.iter().filter(|of| of["severity"] == "fail");
    let days: std::collections::BTreeSet<_> =
        fails.map(|of| (of["right"].to_string(), of["day"].to_string())).collect();
    assert_eq!(junit.matches("<failure ").count(), days.len(), "{junit}");
    assert_eq!(junit.matches("<testcase ").count(), 2 * (7 + 1));
    well_formed(&junit, days.len());

    let focus = form("focus");
    let mut reader = csv::Reader::from_reader(focus.as_bytes());
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (cost, status) = (at("BilledCost"), at("x_ReconStatus"));
    let mut billed = Decimal::ZERO;
    let mut classes = std::collections::BTreeSet::new();
    for record in reader.records().map(Result::unwrap) {
        billed = billed.plus(&record[cost].parse().unwrap());
        classes.insert(record[status].to_owned());
    }
    let truth = world.sim.truth(TODAY_S - 7 * 86_400, TODAY_S);
    assert_eq!(billed, truth.cost.parse().unwrap());
    let of_costs =
        findings.iter().filter(|of| of["right"] == "cost" && of["class"] != "missing_provider");
    let found: std::collections::BTreeSet<String> =
        of_costs.map(|of| of["class"].as_str().unwrap().to_owned()).collect();
    assert!(found.contains("missing_local"), "{found:?}");
    classes.remove("match");
    assert_eq!(classes, found);

    let cogni: Value = serde_json::from_str(&form("cogni")).unwrap();
    let list = |name: &str| cogni[name].as_array().unwrap().len();
    assert!(list("missingInDb") > 0 && list("mismatched") > 0, "{cogni:#}");
    assert_eq!((list("missingInCsv"), list("inspectedCsvFiles")), (0, 0));
    let totals = &cogni["totals"];
    assert_eq!(totals["csv"]["outputTokens"], truth.output);
    assert_eq!(totals["csv"]["inputTokens"], truth.uncached + truth.cached + truth.written);
    assert_eq!(totals["csv"]["numModelRequests"], truth.requests);
}

/// A parser that is not ours reads it, and counts the same; where there is no Python, that is left out.
fn well_formed(junit: &str, failures: usize) {
    let script = "import sys, xml.etree.ElementTree as e\n\
        root = e.fromstring(sys.stdin.buffer.read())\n\
        assert root.tag == 'testsuites'\n\
        for s in root: assert int(s.get('tests')) == len(s.findall('testcase')), s.attrib\n\
        print(len(root.findall('.//failure')), root.get('failures'))";
    let python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut python) = python else { return };
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), junit.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), format!("{failures} {failures}"));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let world = World::of_day(TODAY_S, 12, 3);
    for (line, words) in [
        (&["--fail-on", "everything"][..], "there are match, within_tolerance"),
        (&["--from", "2026-03-02", "--to", "2026-03-01"], "lies before --from"),
        (&["--format", "xls"], "possible values"),
        (&["--baseline", "nowhere.json"], "nowhere.json"),
    ] {
        let ran = world.run(&[&["parity"], line].concat());
        assert_eq!(ran.code, Some(2), "{line:?}: {ran:?}");
        assert!(ran.errors.contains(words), "{line:?}: {}", ran.errors);
    }
}
