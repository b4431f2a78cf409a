//! Any bytes as a line of OpenClaw's gateway log: what is kept is short, of one line, and the same when
//! it is read again.

#![no_main]

use trueup_agents::{GatewayLine, MESSAGE_BYTES_MAX};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let line = GatewayLine::read(bytes);
    assert_eq!(line, GatewayLine::read(bytes));
    if let GatewayLine::Event(event) = line {
        assert!(event.message.len() <= MESSAGE_BYTES_MAX);
        assert!(!event.message.contains(char::is_control));
    }
});
