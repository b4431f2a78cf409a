//! Any text as an amount of money, a time, an id and a pattern: what is read is what is printed.

#![no_main]

use trueup_core::report::matches;
use trueup_core::{FactId, NanoUsd, UnixMs, scaled_decimal};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(amount) = text.parse::<NanoUsd>() {
        assert_eq!(amount.to_string().parse::<NanoUsd>().ok(), Some(amount));
    }
    if let Some(time) = UnixMs::parse_rfc3339(text) {
        assert_eq!(UnixMs::parse_rfc3339(&time.to_string()), Some(time));
    }
    if let Some(id) = FactId::parse(text) {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
    if let Some(amount) = scaled_decimal(text, 9) {
        assert_eq!(scaled_decimal(text.trim_start_matches('+'), 9), Some(amount));
    }
    let (pattern, name) = text.split_once('\n').unwrap_or((text, text));
    let is_meant = matches(pattern, name);
    assert!(is_meant || pattern != name || pattern.contains('*') || pattern.is_empty());
});
