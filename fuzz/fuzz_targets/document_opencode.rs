//! Any bytes as a message of OpenCode.

#![no_main]

use trueup_fuzz as harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::whole(
    "opencode",
    ".local/share/opencode/storage/message/ses_1/msg_1.json",
    bytes
));
