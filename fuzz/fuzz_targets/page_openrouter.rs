//! Any bytes as a page of each family of OpenRouter.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trueup_fuzz::page("openrouter", bytes));
