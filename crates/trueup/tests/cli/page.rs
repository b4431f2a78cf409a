//! The page of `trueup report --html`: its figures are those of `--json`, and no name leaves its place.

use serde_json::Value;

use crate::home::Home;
use crate::sessions::{Answer, time, transcript};

const PLACE: &str = r#"<script type="application/json" id="data">"#;

/// Names that would do harm where they were not escaped, or are merely hard.
const NAMES: [&str; 5] = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "\u{202e}שלום\u{202c} 🦀",
    "a&amp;b\u{2028}c\u{2029}d",
    "=1+1",
];

/// The data in a page.
fn data(page: &str) -> Value {
    let (_, after) = page.split_once(PLACE).unwrap();
    let (data, _) = after.split_once("</script>").unwrap();
    serde_json::from_str(data).unwrap()
}

fn json(home: &Home, options: &str) -> Value {
    serde_json::from_str(&home.print(&format!("report --json {options}"))).unwrap()
}

#[test]
fn its_figures_are_those_of_the_report_for_any_filter() {
    let home = Home::everyday();
    for options in [
        "",
        "--since 2026-10-01",
        "--since 2025-10-01 --until 2025-12-31 --tz Asia/Kathmandu",
        "--source codex --source opencode",
        "--model claude-* --cost computed",
        "--project app --cost reported",
        "--tier standard --provider anthropic",
        "--model nothing-of-this-name",
        "--no-ledger --kind main",
    ] {
        let page = data(&home.print(&format!("report --html {options}")));
        let report = json(&home, options);
        for answer in ["over_time", "by"].iter().flat_map(|list| page[list].as_array().unwrap()) {
            assert_eq!(answer["totals"], report["totals"], "{options}: {}", answer["group"]);
            assert_eq!(answer["unpriced_models"], report["unpriced_models"], "{options}");
            let of_series = |name: &str| -> u64 {
                let series = answer["series"].as_array().unwrap().iter();
                series.map(|one| one["totals"]["exact"][name].as_u64().unwrap()).sum()
            };
            for name in ["calls", "total", "unpriced_calls"] {
                assert_eq!(of_series(name), report["totals"]["exact"][name], "{options}: {name}");
            }
        }
        assert_eq!(page["over_time"].as_array().unwrap().len(), 3);
        let times = page["times"]["by"].as_str().unwrap();
        assert_eq!(page["times"], json(&home, &format!("{options} --by {times}")), "{options}");
    }
}

#[test]
fn its_command_writes_it_again() {
    let home = Home::everyday();
    let first = data(&home.print("report --html --source codex --tz Europe/Berlin"));
    let command = first["cli"].as_str().unwrap();
    assert!(command.contains(" --tz Europe/Berlin --source=codex"), "{command}");
    let again = data(&home.print(command.strip_prefix("trueup ").unwrap()));
    assert_eq!(again["by"][0]["totals"], first["by"][0]["totals"]);
    assert_eq!(again["cli"], first["cli"]);
    assert_eq!(again["filters"], serde_json::json!({"agent": ["codex"]}));
}

#[test]
fn no_name_leaves_the_data() {
    let home = Home::new();
    let mut text = String::new();
    for (at, name) in (0..).zip(NAMES) {
        let id = format!("hostile_{at}");
        let start = time("2026-11-01T08:00:00Z");
        text += &Answer { model: name, project: name, ..Answer::new(&id, "one", start) }.line();
    }
    home.write(&transcript("one"), text);
    let page = home.print("report --html");
    // Those of the page without any data.
    let plain = Home::new().print("report --html");
    for mark in ["<script", "</script", "<!--", "<style", "\u{2028}", "\u{2029}"] {
        let (found, own) = (page.matches(mark).count(), plain.matches(mark).count());
        assert_eq!(found, own, "{mark}");
    }
    let by = data(&page)["by"].take();
    for (at, name) in NAMES.into_iter().enumerate() {
        for list in &by.as_array().unwrap()[..2] {
            let series = list["series"].as_array().unwrap();
            assert!(series.iter().any(|one| one["group"] == name), "{at}: {list:#}");
        }
    }
}

#[test]
fn without_usage_it_says_so() {
    let page = data(&Home::new().print("report --html"));
    assert_eq!(page["over_time"][0]["first_usage"], Value::Null);
    assert_eq!(page["times"]["rows"], serde_json::json!([]));
}

#[test]
fn what_it_cannot_be_with_is_refused() {
    let home = Home::everyday();
    for line in
        ["day --html", "--by day --html", "--html --json", "--html --csv", "--html --breakdown"]
    {
        assert_eq!(home.run(&format!("report {line}")).code, Some(2), "{line}");
    }
    let long = home.run("report --html --since 1900-01-01");
    assert_eq!(long.code, Some(2));
    assert!(long.stderr.contains("ask for fewer days with --since"), "{}", long.stderr);
    let turned = home.run("report --html --since 2999-01-01");
    assert_eq!(turned.code, Some(2));
    assert!(turned.stderr.contains("--since 2999-01-01 lies after"), "{}", turned.stderr);
}
