//! Any bytes as a chat of Gemini CLI, one record a line.

#![no_main]

use trueup_fuzz as harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::lines(
    "gemini-cli",
    ".gemini/tmp/app/chats/session-2026-06-01T10-00-s.jsonl",
    bytes
));
