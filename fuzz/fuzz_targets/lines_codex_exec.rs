//! Any bytes as kept output of `codex exec --json`.

#![no_main]

use trueup_fuzz as harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::lines("codex", ".codex/run.jsonl", bytes));
