//! What real engines make of what is sent to them. `scripts/prove-clickhouse` starts them and says where
//! they are in `TRUEUP_CLICKHOUSE`: addresses, separated by spaces.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that cannot go on panics; helpers of tests are tests"
)]

mod bad_input;
mod facts;
mod kills;
mod store;
mod sums;
mod told;
