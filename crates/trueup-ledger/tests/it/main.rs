//! Laws of the ledger, against a tiny model in memory.

mod laws;
mod writer;
