//! Any bytes as the settings of OpenClaw, which may name further stores.

#![no_main]

use trueup_fuzz as harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::guide(
    "openclaw",
    ".openclaw/openclaw.json",
    bytes
));
