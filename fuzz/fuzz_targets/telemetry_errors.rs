//! Any text as what an error says, as its stack, and as the names in it.

#![no_main]

use trueup_telemetry::errors::{
    FRAMES_BYTES_MAX, FRAMES_MAX, Frame, KIND_BYTES_MAX, Owner, Report, frames_of, listed, tell,
};
use trueup_telemetry::manifest::ErrorLevel;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let frames = frames_of(text);
    let (first, rest) = text.split_once('\n').unwrap_or((text, text));
    let named = [Frame { function: first, file: rest, line: 1, owner: Owner::Own }];
    for level in [ErrorLevel::Template, ErrorLevel::Redacted] {
        for (frames, template) in [(&frames[..], None), (&named[..], Some(rest))] {
            let report = Report { kind: first, message: text, template, frames, is_handled: true };
            let told = tell(&report, level).expect("the redactor has no fault");
            assert!(told.text.len() <= 500 && told.kind.len() <= KIND_BYTES_MAX);
            assert!(told.frames.len() <= FRAMES_MAX);
            let bytes: usize = told.frames.iter().map(|frame| frame.to_string().len()).sum();
            assert!(bytes <= FRAMES_BYTES_MAX);
            assert!(!listed(Some(&told)).contains('\n'));
            assert_eq!(tell(&report, level).as_ref(), Some(&told), "the same is told of the same");
        }
    }
});
