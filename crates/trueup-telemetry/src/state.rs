//! What lies on disk: one folder for each product, which any number of its processes share.
//!
//! ```text
//! <folder>/salt                  32 random bytes, with which keys of sessions are hashed
//! <folder>/ledger                what was sent, day by day; outlives everything else
//! <folder>/lock                  held while the ledger or the outbox changes, never longer
//! <folder>/open-<pid>-<id>.log   the open buckets of a process, which holds a lock on it
//! <folder>/outbox/log            what will be sent, what was, and days that are being added up
//! <folder>/outbox/00000007.body  the very bytes of a request
//! ```
//!
//! A [`Recorder`] takes records: in memory, and now and then with one write to its own log. A
//! [`Store`] does what is slow, on whichever thread may wait: it takes what has ended, and what dead
//! processes left, makes events of it as the budget allows, and says what to send. docs/telemetry-state.md
//! says what a kill can lose, and why nothing counts twice. Time and randomness come from the caller.

mod book;
mod error;
mod folder;
mod lines;
mod open_log;
mod recorder;
mod seal;
mod shelf;
mod store;

pub use error::StateError;
pub use lines::{Lines, line};
pub use open_log::{OpenLog, read_open_log};
pub use recorder::{Ack, Durability, Handed, Health, Recorder};
pub use seal::{Event, Sealed};
pub use store::{Look, Next, Queued, Request, Settings, Store};
