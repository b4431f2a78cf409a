//! Any bytes as a transcript of OpenClaw.

#![no_main]

use trueup_fuzz as harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::lines(
    "openclaw",
    ".openclaw/agents/main/sessions/s.jsonl",
    bytes
));
