//! Sending what is new to the one place that its owner named.
//!
//! ```text
//! outbox ──▶ plan ──▶ freeze ──▶ send ──▶ verdict ──▶ settle
//!            rows     bytes, in  HTTP     what the    position, log,
//!            that fit the ledger          reply means quarantine
//! ```
//!
//! A batch is in the ledger, bytes and all, before it is first sent, and stays there until there is an
//! answer: a retry is the same to the last byte, also after a crash. One batch is on its way at a
//! time. Nothing here runs unless `push_endpoint` is set.

mod batch;
mod client;
mod compress;
mod cycle;
mod hunt;
mod json;
mod pace;
mod settings;
#[cfg(test)]
mod sim;
mod verdict;
mod world;

pub(crate) use client::Client;
pub(crate) use cycle::{Cycle, End, Pusher, Tries};
pub(crate) use pace::Pace;
pub(crate) use settings::{Settings, endpoint, shown};
#[cfg(test)]
pub(crate) use verdict::REFUSAL_BYTES;

/// The name of the one destination that settings know.
pub(crate) const DESTINATION: &str = "default";
