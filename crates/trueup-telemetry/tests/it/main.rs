//! The laws of the crate, through its public faces.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what does not hold panics, in whichever function it shows; cases are small"
)]

mod accept;
#[cfg(feature = "net")]
mod adapter;
mod backfill;
mod budget_laws;
#[cfg(feature = "net")]
mod compliance;
mod consent;
mod crash_laws;
mod damage_laws;
#[cfg(feature = "net")]
mod delivery;
mod errors;
mod fixtures;
mod fleet;
#[cfg(feature = "net")]
mod http;
mod identity;
mod instrument;
mod kill_laws;
mod machine_laws;
mod manifest;
mod outbox;
mod panics;
mod plan;
#[cfg(feature = "net")]
mod post;
mod product;
#[cfg(feature = "net")]
mod receiver;
mod redact;
mod rollup_laws;
#[cfg(feature = "net")]
mod sinks;
mod told;
mod world;

/// A small file that a test wrote.
fn text(path: &std::path::Path) -> String {
    String::from_utf8(std::fs::read(path).unwrap()).unwrap()
}
