//! The release's promises, kept by the real binary.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics; helpers of tests are tests"
)]

mod hub;
mod openclaw_laws;
mod parity;
mod serve;
