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
//!
//! ```
//! use std::sync::Arc;
//! use trueup_core::UnixMs;
//! use trueup_telemetry::budget::Caps;
//! use trueup_telemetry::outbox::Verdict;
//! use trueup_telemetry::rollup::{NumberSpec, Plan, RollupSpec, Unit, Value};
//! use trueup_telemetry::state::{Durability, Next, Recorder, Settings, Store};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let folder = folder.path();
//! # let (random, now) = ([7; 48], UnixMs(1_795_000_000_000));
//! let mut turns = RollupSpec::session("observer_turn_rollup");
//! turns.numbers.push(NumberSpec::sum("tokens_input", Unit::Integer));
//! let plan = Arc::new(Plan::new(vec![turns]).unwrap());
//! let rollup = plan.rollup("observer_turn_rollup").unwrap();
//! let tokens = plan.field(rollup, "tokens_input").unwrap();
//!
//! let mut recorder =
//!     Recorder::open(folder, Arc::clone(&plan), Durability::default(), random, now).unwrap();
//! let session = recorder.session("a key of ours");
//! recorder.record(rollup, Some(session), &[(tokens, Value::Number(1_200))], now);
//!
//! let settings = Settings {
//!     caps: Caps { events_per_day: 10, hard_cap: 20, ..Caps::default() },
//!     install: "2f1c…".to_owned(),
//!     namespace: "8a9c2f4e-31b7-5d68-9c4a-f02e6d5b8a17".parse().unwrap(),
//! };
//! let mut store = Store::new(folder, plan, settings, [7; 16]);
//! let mut encode = |event: &_| serde_json::to_vec(event).unwrap();
//! store.shut_down(recorder, now, &mut encode).unwrap();
//! let Next::Send(request) = store.next(now).unwrap() else { panic!("there is room") };
//! assert!(String::from_utf8_lossy(&request.body).contains("\"total_tokens_input\":1200"));
//! store.settle(request.number, Verdict::Delivered { status: 200 }, now).unwrap();
//! ```

mod book;
mod error;
mod folder;
mod lines;
mod log;
mod open_log;
mod recorder;
mod seal;
mod shelf;
mod store;

pub use error::StateError;
pub(crate) use folder::{create_folder, is_at, private, read_capped, remove, write_whole};
pub use lines::{Lines, line};
pub use open_log::{OpenLog, read_open_log};
pub use recorder::{Ack, Durability, Handed, Health, Recorder};
pub use seal::{Event, Sealed};
pub(crate) use shelf::Memory;
pub use store::{Drafts, Look, Next, Queued, Reach, Request, Settings, Store, Sums};

/// How many logs of open buckets lie in a folder, of processes that live and that do not.
pub(crate) fn logs_in(folder: &std::path::Path) -> usize {
    folder::Folder::new(folder).open_logs(false).map_or(0, |logs| logs.len())
}
