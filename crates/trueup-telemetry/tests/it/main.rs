//! The laws of the crate, through its public faces.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what does not hold panics, in whichever function it shows; cases are small"
)]

mod accept;
mod consent;
mod identity;
mod manifest;
mod redact;
mod told;

/// A small file that a test wrote.
fn text(path: &std::path::Path) -> String {
    String::from_utf8(std::fs::read(path).unwrap()).unwrap()
}
