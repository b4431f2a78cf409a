//! The laws that every agent's reader inherits by having a fixture folder.
//!
//! `fixtures/<agent>/<case>/` is a home folder; `expected.txt` in it holds one line per counted call.
//! `TRUEUP_ACCEPT=1 cargo test -p trueup-agents` writes that file anew: read the difference.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the message"
)]

mod home;
mod laws;
mod openclaw;
mod opencode;
