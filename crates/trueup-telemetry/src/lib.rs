//! Product telemetry that can prove what it sends and cannot run up a bill.
//!
//! A product says in its manifest what it may tell: events, fields and their types, and how much of it
//! a day. What is recorded is added up, what an error says is redacted, and the bytes of a request are
//! fixed and stored before they are sent. Without consent nothing is written and nothing leaves.

pub mod backfill;
pub mod budget;
pub mod consent;
pub mod deliver;
pub mod errors;
pub mod identity;
pub mod instrument;
pub mod manifest;
#[cfg(feature = "net")]
pub mod net;
pub mod outbox;
pub mod product;
pub mod redact;
pub mod rollup;
pub mod simulate;
pub mod sink;
pub mod state;
