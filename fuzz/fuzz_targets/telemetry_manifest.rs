//! Any text as a product's manifest, and as what its records hold.

#![no_main]

use trueup_telemetry::manifest::{Drops, Input, Manifest, Severity, Value, lint};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let findings = lint(text);
    let manifest = Manifest::parse(text, "telemetry.toml");
    let has_errors = findings.iter().any(|finding| finding.severity == Severity::Error);
    assert_eq!(manifest.is_err(), has_errors, "what is linted without an error can be used");
    let Ok(manifest) = manifest else { return };
    assert_eq!(manifest.screen().is_empty(), manifest.schema_md().is_empty());
    assert!(manifest.schema_json()["events"].is_array());
    let mut drops = Drops::default();
    let words: Vec<&str> = text.split_whitespace().collect();
    for event in manifest.told_events() {
        let bag =
            words.chunks(2).filter_map(|pair| Some((*pair.first()?, Input::Text(pair.last()?))));
        for (id, value) in manifest.accept(event.name, bag, &|_| true, &mut drops) {
            assert!(manifest.field(id).is_some(), "what is kept has a field");
            if let Value::Token(token) = value {
                assert!(token.len() <= 64 && !token.contains(char::is_whitespace));
            }
        }
    }
});
