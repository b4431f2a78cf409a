//! The laws that every agent's reader inherits by having a fixture folder.
//!
//! `fixtures/<agent>/<case>/` is a home folder; `expected.txt` in it holds one line per counted call.
//! `TRUEUP_ACCEPT=1 cargo test -p trueup-agents` writes that file anew: read the difference.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken law panics, in whichever helper it shows; fixtures are small files"
)]

mod home;
mod laws;
mod openclaw;
mod opencode;
