//! One walk: document, screen, JSON and accepted keys are one list.

use std::collections::BTreeSet;

use trueup_telemetry::manifest::{Drops, FieldType, Input, SCREEN_COLUMNS};

use crate::accept::RECORDED;
use crate::manifest::full;

/// Event and key of every row of a document.
fn of_markdown(text: &str) -> BTreeSet<(String, String)> {
    let mut event = String::new();
    let mut rows = BTreeSet::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.trim_matches('`').clone_into(&mut event);
        } else if let Some(row) = line.strip_prefix("| `") {
            rows.insert((event.clone(), row.split('`').next().unwrap().to_owned()));
        }
    }
    rows
}

/// Event and key of every row of a screen: an event stands at the margin, a key behind four blanks.
fn of_screen(text: &str) -> BTreeSet<(String, String)> {
    let mut rows = BTreeSet::new();
    for part in text.split("\n\n").skip(2) {
        let event = part.lines().next().unwrap();
        let keys = part.lines().filter_map(|line| line.strip_prefix("    "));
        for key in keys.filter(|line| !line.starts_with(' ')) {
            rows.insert((event.to_owned(), key.split_whitespace().next().unwrap().to_owned()));
        }
    }
    rows
}

fn of_json(json: &serde_json::Value) -> BTreeSet<(String, String)> {
    let mut rows = BTreeSet::new();
    for event in json["events"].as_array().unwrap() {
        let name = event["event"].as_str().unwrap_or("Every event");
        for key in event["keys"].as_array().unwrap() {
            rows.insert((name.to_owned(), key["key"].as_str().unwrap().to_owned()));
        }
    }
    rows
}

#[test]
fn check_11_document_screen_and_accepted_keys_are_one_list() {
    let manifest = full();
    let document = of_markdown(&manifest.schema_md());
    assert_eq!(document, of_screen(&manifest.screen()));
    assert_eq!(document, of_json(&manifest.schema_json()));
    // What may be sent is what is documented, event by event.
    let base = |rows: &BTreeSet<(String, String)>, of: &str| -> BTreeSet<String> {
        let rows = rows.iter().filter(|(event, _)| event == of || event == "Every event");
        rows.map(|(_, key)| key.clone()).collect()
    };
    let events: Vec<_> = manifest.told_events().map(|event| event.name.to_owned()).collect();
    assert_eq!(events.len(), 6, "{events:?}");
    for event in &events {
        assert_eq!(manifest.sent_keys(event), base(&document, event), "{event}");
    }
    // What a record may have is what documented keys are made from: each field is tried in each event.
    let json = manifest.schema_json();
    for event in json["events"].as_array().unwrap() {
        let keys = event["keys"].as_array().unwrap();
        let from: BTreeSet<&str> = keys.iter().filter_map(|key| key["from"].as_str()).collect();
        let name = event["event"].as_str();
        let accepted: BTreeSet<&str> = manifest
            .fields
            .iter()
            .filter(|field| {
                let value = example(&field.holds);
                let bag = [(field.name.as_str(), value)];
                let mut drops = Drops::default();
                let kept = match name {
                    Some(name) => manifest.accept(name, bag, &|_| true, &mut drops),
                    None => manifest.accept_base(bag, &|_| true, &mut drops),
                };
                !kept.is_empty()
            })
            .map(|field| field.name.as_str())
            .collect();
        assert_eq!(accepted, from, "{name:?}");
        if let Some(name) = name {
            assert_eq!(accepted, RECORDED[name].iter().copied().collect(), "{name}");
        }
    }
}

/// A value that a type takes.
pub(crate) fn example(holds: &FieldType) -> Input<'_> {
    match holds {
        FieldType::Bool => Input::Bool(true),
        FieldType::U64 | FieldType::I64 | FieldType::F64 | FieldType::Usd => Input::U64(1),
        FieldType::Semver => Input::Text("1.2.3"),
        FieldType::Day => Input::Text("2026-11-20"),
        FieldType::Time(_) => Input::U64(1_795_000_000_000),
        FieldType::Enum(words) => Input::Text(&words[0]),
        FieldType::Token { .. } => Input::Text("word"),
    }
}

#[test]
fn the_screen_fits_a_terminal_and_says_what_claude_mems_did_not() {
    let screen = full().screen();
    let wide: Vec<&str> =
        screen.lines().filter(|line| line.chars().count() > SCREEN_COLUMNS).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    // D7: it denied what it sent.
    assert!(screen.contains("An error's message is told without"), "{screen}");
    assert!(full().schema_md().contains("Windows Subsystem \\| for Linux"));
}
