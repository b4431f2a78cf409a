//! The laws of the crate, through its public face.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what does not hold panics, in whichever function it shows; fixtures are small"
)]

mod redact;
