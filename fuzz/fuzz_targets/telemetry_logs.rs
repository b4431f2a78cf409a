//! Any bytes as the log of open buckets, and as the log of an outbox: as they are, and each line behind
//! a checksum that is right, so that what is behind it is read, too.

#![no_main]

use std::path::Path;
use std::sync::{Arc, OnceLock};

use trueup_core::UnixMs;
use trueup_telemetry::budget::Caps;
use trueup_telemetry::rollup::{
    EnumSpec, NumberSpec, Plan, Reason, RollupSpec, Saved, Unit, ValuesSpec,
};
use trueup_telemetry::state::{Settings, Store, line, read_open_log};

static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let plan = Arc::new(plan());
    let folder =
        FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder can be made"));
    for log in [bytes.to_vec(), framed(bytes)] {
        open(&log, &plan);
        book(&log, &plan, folder.path());
    }
});

/// The same lines behind right checksums.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut log = Vec::new();
    for text in String::from_utf8_lossy(bytes).lines() {
        let json = text.get(8..).and_then(|rest| rest.strip_prefix(' ')).unwrap_or(text);
        line(json, &mut log);
    }
    log
}

fn open(log: &[u8], plan: &Plan) {
    let read = read_open_log(log);
    assert_eq!(read.good_bytes + read.unread_bytes, log.len());
    let (parts, _) = read.parts(plan);
    let again = read_open_log(log.get(..read.good_bytes).unwrap_or_default());
    assert_eq!(again.parts(plan).0, parts, "without what is torn");
    for part in &parts {
        let rollup = plan.get(part.rollup).expect("of this plan");
        let properties = part.sums.properties(rollup, Reason::Recovered, part.window_seq);
        serde_json::to_string(&properties).expect("what is said has a form");
        let json = serde_json::to_string(&Saved::of(&part.sums, rollup)).expect("sums have a form");
        let saved: Saved<'_> = serde_json::from_str(&json).expect("what was written is read");
        assert_eq!(saved.restore(rollup).0, part.sums, "written and read");
        let mut twice = part.sums.clone();
        twice.merge(&part.sums);
    }
}

fn book(log: &[u8], plan: &Arc<Plan>, folder: &Path) {
    std::fs::create_dir_all(folder.join("outbox")).expect("the folder is ours");
    std::fs::write(folder.join("outbox").join("log"), log).expect("the folder is ours");
    let settings = Settings {
        caps: Caps::default(),
        install: String::new(),
        namespace: "8a9c2f4e-31b7-5d68-9c4a-f02e6d5b8a17".parse().expect("an id"),
    };
    let mut store = Store::new(folder, Arc::clone(plan), settings, [1; 16]);
    let now = UnixMs(1_795_000_000_000);
    // An error is as good an answer as any.
    let known = store.look(now).is_ok();
    let sealed = store.seal(None, now, &mut |_| b"{}".to_vec());
    assert_eq!(sealed.is_ok(), known, "{sealed:?}");
}

fn plan() -> Plan {
    let mut turns = RollupSpec::session("observer_turn_rollup");
    turns.numbers = vec![
        NumberSpec::sum("tokens_input", Unit::Integer),
        NumberSpec::sum("cost_usd", Unit::NanoUsd),
        NumberSpec::histogram("duration_ms"),
    ];
    turns.enums = vec![EnumSpec::plural("outcome", &["ok", "error"])];
    turns.values =
        vec![ValuesSpec::top("model"), ValuesSpec::list("fingerprint", "errors", 8, "other_count")];
    Plan::new(vec![turns]).expect("a plan")
}
