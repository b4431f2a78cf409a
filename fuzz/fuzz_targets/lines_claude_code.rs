//! Any bytes as a transcript of Claude Code.

#![no_main]

use trueup_fuzz as harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::lines(
    "claude-code",
    ".claude/projects/-home-u-app/s.jsonl",
    bytes
));
