//! Any text through both levels of the redactor: bounded, and the same again the second time.

#![no_main]

use trueup_telemetry::redact::{Level, Limits, Redactor};

libfuzzer_sys::fuzz_target!(|text: &str| {
    for level in [Level::Template, Level::Redacted] {
        let redactor = Redactor::new(level);
        for limits in [Limits::LINE, Limits::MESSAGE] {
            let once = redactor.redact(text, limits).expect("it has its words, and does not fail");
            assert!(once.len() <= limits.redacted_bytes_max);
            assert_eq!(redactor.redact(&once, limits).as_ref(), Ok(&once), "of {text:?}");
        }
    }
});
