//! Any bytes as OpenClaw's SQLite store.

#![no_main]

use trueup_fuzz as harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::whole(
    "openclaw",
    ".openclaw/agents/main/agent/openclaw-agent.sqlite",
    bytes
));
