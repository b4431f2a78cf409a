//! What holds of every page of every provider.

use serde_json::Value;
use trueup_core::{BilledFact, IssueCode, Measure};

use crate::fixture::{Fixture, all, text_of};

#[test]
fn fixtures_are_read_as_expected() {
    for fixture in all() {
        let path = fixture.path.with_extension("txt");
        let read = text_of(&fixture.read());
        if is_accepting() {
            std::fs::write(&path, &read).unwrap();
        }
        let expected = std::fs::read(&path).unwrap_or_default();
        assert_eq!(read, String::from_utf8(expected).unwrap(), "{}", fixture.path.display());
    }
}

#[expect(clippy::disallowed_methods, reason = "how golden files are written is asked for so")]
pub(crate) fn is_accepting() -> bool {
    std::env::var("TRUEUP_ACCEPT").is_ok()
}

#[test]
fn every_family_is_asked_for_below_its_address_and_in_some_buckets() {
    for provider in trueup_providers::PROVIDERS {
        for family in provider.families() {
            assert!(family.path.starts_with('/') && !family.widths.is_empty(), "{}", family.name);
            let is_spelled =
                |name: &str| name.bytes().all(|c| c.is_ascii_lowercase() || b"/_".contains(&c));
            assert!(is_spelled(family.name), "{}", family.name);
        }
    }
}

/// The list that a page is made of.
fn list(fixture: &Fixture) -> (&'static str, Vec<Value>) {
    let page: Value = serde_json::from_str(fixture.page.get()).unwrap();
    let name = if page["data"].is_array() { "data" } else { "results" };
    (name, page[name].as_array().unwrap().clone())
}

fn with_list(fixture: &Fixture, name: &str, items: &[Value]) -> Vec<u8> {
    let mut page: Value = serde_json::from_str(fixture.page.get()).unwrap();
    page[name] = items.into();
    serde_json::to_vec(&page).unwrap()
}

#[test]
fn pages_may_be_split_anywhere() {
    for fixture in all() {
        let (name, items) = list(&fixture);
        let facts =
            |items: &[Value]| fixture.read_bytes(&with_list(&fixture, name, items)).unwrap().facts;
        let whole = facts(&items);
        for at in 0..=items.len() {
            let mut parts: Vec<BilledFact> = facts(&items[..at]);
            parts.extend(facts(&items[at..]));
            parts.sort_by(|a, b| (a.start, &a.dims).cmp(&(b.start, &b.dims)));
            assert_eq!(parts, whole, "{} cut at {at}", fixture.path.display());
        }
    }
}

#[test]
fn the_order_of_rows_does_not_matter() {
    for fixture in all() {
        let (name, mut items) = list(&fixture);
        let whole = fixture.read_bytes(&with_list(&fixture, name, &items)).unwrap();
        items.reverse();
        let turned = fixture.read_bytes(&with_list(&fixture, name, &items)).unwrap();
        assert_eq!(whole.facts, turned.facts, "{}", fixture.path.display());
    }
}

/// Puts a field that nobody knows into every object.
fn with_unknown(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(with_unknown);
            fields.insert("zz_unheard_of".into(), serde_json::json!({"a": [1, "b"]}));
        }
        Value::Array(items) => items.iter_mut().for_each(with_unknown),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn unknown_fields_are_kept_and_told_and_change_nothing_else() {
    for fixture in all().iter().filter(|fixture| fixture.provider.id() != "litellm") {
        let mut page: Value = serde_json::from_str(fixture.page.get()).unwrap();
        let plain = fixture.read_bytes(&serde_json::to_vec(&page).unwrap()).unwrap();
        with_unknown(&mut page);
        let read = fixture.read_bytes(&serde_json::to_vec(&page).unwrap()).unwrap();
        assert!(read.issues.iter().any(|issue| issue.code == IssueCode::SchemaDrift));
        assert_eq!((&read.buckets, &read.next), (&plain.buckets, &plain.next));
        assert_eq!(read.facts.len(), plain.facts.len(), "{}", fixture.path.display());
        for (with, without) in read.facts.iter().zip(&plain.facts) {
            assert!(with.extra.contains("zz_unheard_of"), "{}", with.extra);
            let with = BilledFact { extra: without.extra.clone(), ..with.clone() };
            assert_eq!(with, *without);
        }
    }
}

#[test]
fn parts_are_not_more_than_what_they_are_parts_of() {
    for fixture in all() {
        for fact in fixture.read().facts {
            let count = |measure| fact.measures.get(measure).unwrap_or(0);
            assert!(count(Measure::OutReasoning) <= count(Measure::Out));
            assert!(count(Measure::OutText) + count(Measure::OutAudio) <= count(Measure::Out));
        }
    }
}

#[test]
fn a_torn_page_is_an_error_and_never_half_a_page() {
    for fixture in all() {
        let bytes = fixture.page.get().as_bytes();
        for end in 0..bytes.len() {
            let read = fixture.read_bytes(&bytes[..end]);
            assert_eq!(read.unwrap_err().code, IssueCode::NotJson, "{}", fixture.path.display());
        }
    }
}
