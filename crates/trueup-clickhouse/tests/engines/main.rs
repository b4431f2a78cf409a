//! What real engines make of what is sent to them. `scripts/prove-clickhouse` starts them and says where
//! they are in `TRUEUP_CLICKHOUSE`: addresses, separated by spaces.

mod bad_input;
mod facts;
mod kills;
mod store;
mod sums;
mod told;
