//! Any bytes as records of the past, and as the marker of a backfill.

#![no_main]

use std::io::Cursor;

use trueup_core::UnixMs;
use trueup_telemetry::backfill::{CHUNK_EVENTS_MAX, FIRST_DAY, History, Mark};
use trueup_telemetry::manifest::Manifest;

const MANIFEST: &str = r#"
product = "p"
env_prefix = "P"
[fields]
observation_count = { u64 = true }
balance = { i64 = true }
cost_usd = { usd = true }
load = { f64 = true }
model = { token_max = 64 }
[backfill]
event = "historical_activity"
version = 2
namespace = "8a9c2f4e-31b7-5d68-9c4a-f02e6d5b8a17"
fields = ["observation_count", "balance", "cost_usd", "load", "model"]
"#;
/// 2026-11-21T12:00:00Z.
const NOW: UnixMs = UnixMs(1_795_262_400_000);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert_ne!(Mark::of(bytes), Mark::Absent, "whatever lies there is a marker");
    let manifest = Manifest::parse(MANIFEST, "telemetry.toml").expect("it is a manifest");
    let mut history = History::new(&manifest, NOW).expect("it tells the past");
    let read = history.read(Cursor::new(bytes), &|_| true, &mut |_, _| {});
    read.expect("memory can be read");
    let mut days = 0;
    for chunk in history.chunks("install-1") {
        assert!((1..=CHUNK_EVENTS_MAX).contains(&chunk.events.len()));
        for event in &chunk.events {
            assert!(event.time >= FIRST_DAY.start() && event.time < NOW);
            assert_eq!(event.properties.get("backfilled"), Some(&serde_json::Value::Bool(true)));
            days += 1;
        }
    }
    assert_eq!(days, history.days().count());
});
