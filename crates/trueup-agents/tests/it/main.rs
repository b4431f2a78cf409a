//! The laws that every agent's reader inherits by having a fixture folder.
//!
//! `fixtures/<agent>/<case>/` is a home folder; `expected.txt` in it holds one line per counted call.
//! `TRUEUP_ACCEPT=1 cargo test -p trueup-agents` writes that file anew: read the difference.

mod home;
mod laws;
