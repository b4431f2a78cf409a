//! Any bytes as OpenCode's SQLite store.

#![no_main]

use trueup_fuzz as harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::whole(
    "opencode",
    ".local/share/opencode/opencode.db",
    bytes
));
