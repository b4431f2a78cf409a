//! The laws that every provider inherits by having a folder of fixtures.
//!
//! A fixture is what was asked and the page that came: `{"family":…,"from":…,"until":…,"page":…}`.
//! Beside it stands what must be read of it; `TRUEUP_ACCEPT=1` writes that anew. Statements lie in
//! `fixtures/statements`, as they would be downloaded.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what does not hold panics, in whichever function it shows; fixtures are small"
)]

mod fixture;
mod focus;
mod hostile;
mod laws;
mod requests;
mod stated;
mod statements;
