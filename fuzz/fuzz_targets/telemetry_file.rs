//! Any bytes as a `telemetry.json`: a decision of on needs a file that says so, and a change keeps it.

#![no_main]

use std::path::Path;

use trueup_telemetry::consent::{
    Content, Document, Evidence, Layer, Mode, Notice, StateFile, decide,
};
use trueup_telemetry::identity::{Found, IdKind, find};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("telemetry.json");
    let policy = StateFile::absent(path);
    let Ok(document) = Document::parse(bytes) else { return };
    let again = Document::parse(&document.bytes()).expect("what is written can be read");
    assert_eq!(again.decision(), document.decision());
    let is_stated = document.get("mode").is_some() || document.get("enabled").is_some();
    let file = StateFile { path: path.to_path_buf(), content: Content::Read(document) };
    let consent = decide(&Evidence {
        do_not_track: None,
        prefix: "FUZZ",
        variable: None,
        errors_variable: None,
        policy: &policy,
        file: &file,
        ci: None,
        default: Mode::Off,
        notice: Notice::Required,
    });
    assert!(consent.mode == Mode::Off || (is_stated && consent.layer == Layer::File));
    for kind in IdKind::ALL {
        if let Found::Made(identity) = find(kind, &file) {
            let id = identity.id_at(trueup_core::UnixMs(0));
            assert!(id.is_none_or(|id| id.len() <= 36 && id.is_ascii()));
        }
    }
});
