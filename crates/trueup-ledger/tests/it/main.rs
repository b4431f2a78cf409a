//! Laws of the ledger, against a tiny model in memory.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a broken law panics, in whichever helper it shows"
)]

mod alerts;
mod billed;
mod claim_laws;
mod claims;
mod completeness;
mod device_ends;
mod device_laws;
mod document;
mod host;
mod laws;
mod metered;
mod older;
mod prune;
mod push;
mod rebuild;
mod reconciled;
mod retention;
mod stated;
mod stretches;
mod timeline;
mod twin_laws;
mod writer;
