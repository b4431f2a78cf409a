//! Any bytes as a page of each family of Anthropic.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trueup_fuzz::page("anthropic", bytes));
