//! Any bytes as a thread of Codex.

#![no_main]

use trueup_fuzz as harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::lines(
    "codex",
    ".codex/sessions/2026/10/01/rollout-2026-10-01T12-00-00-0199a000-0000-4000-8000-000000000001.jsonl",
    bytes
));
