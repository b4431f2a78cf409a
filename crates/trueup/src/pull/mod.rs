//! Asking providers what was used and charged.
//!
//! ```text
//! connections ──▶ ranges ──▶ ask ──▶ client ──▶ page ──▶ ledger: page, rows and cursor at once
//!  file, 0600     what is    a value  HTTP      read by      │
//!                 due                           the provider └─▶ again, until there is no next page
//! ```
//!
//! Nothing here runs unless a connection was added. Keys go nowhere but to the address that they were
//! added for.

mod client;
mod connection;
mod lag;
mod names;
mod rate;
mod run;
mod schedule;
mod store;
mod summary;

pub(crate) use client::{Client, Unanswered};
pub(crate) use connection::{
    Connection, Connections, REQUESTS_PER_MINUTE, key_of, unknown_provider,
};
pub(crate) use lag::Lags;
pub(crate) use run::{Puller, Wanted, clipped};
pub(crate) use schedule::{DAYS_BACK, due};
pub(crate) use store::{Store, prune};
pub(crate) use summary::{Failure, Summary};
