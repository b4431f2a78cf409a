//! The pure core of trueup: facts and the arithmetic on them.
//!
//! Nothing in this crate reads a clock, a file, the environment or a socket, and nothing is
//! asynchronous: what depends on them is passed in. Readers turn bytes into facts, the ledger keeps
//! them, reports are folded from them; this crate is the language that they share.

mod money;
pub mod prices;
mod tokens;

pub use money::{MoneyError, NANO_PER_USD, NanoUsd, scaled_decimal};
pub use tokens::{TOKENS_MAX, Tokens};
