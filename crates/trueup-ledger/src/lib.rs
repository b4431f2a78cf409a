//! The ledger: one SQLite file, one writer.
//!
//! Facts, the rollups over them, the positions up to which their sources were read, and the outbox
//! are written in one transaction: after a crash at any point they agree. The ledger does not know
//! who produced a fact.
//!
//! A [`Ledger`] is the one writer of its file; a [`Writer`] gives it a thread and a bounded queue; a
//! [`Reader`] sees what is committed, beside them.

mod account;
mod alerts;
mod anew;
mod billed;
mod completeness;
mod devices;
mod error;
mod failures;
mod intern;
mod ledger;
mod metered;
mod outgoing;
mod positions;
mod push;
mod queue;
mod reader;
mod reconciled;
mod records;
mod retention;
mod rollup;
mod row;
mod samples;
mod schema;
mod spans;
mod stated;
mod stretches;
mod timeline;
mod tokens;
mod volume;
mod weeks;
mod writer;

pub use alerts::{ALERTS_LOST, AlertChange, AlertDelivery, AlertState, DeliveryEnd};
pub use billed::{
    BackfillStep, BilledBucket, ConnectionState, Finished, Prunable, Pruned, PullRange, PulledPage,
    Pulling, RowCounts, SETTLE_AGE_MS, SettleLag, StoredIssue, ToldDay, ToldName, ToldRow,
    ToldState,
};
pub use completeness::{ClaimCounts, ClaimRow, Newest, OpenSession, ToldSession};
pub use devices::{Delivered, Device, DeviceLedger};
pub use error::LedgerError;
pub use failures::{FailedCalls, StoredError};
pub use ledger::{Appended, Ledger, OpenOptions, Rebuild, write_ahead_log};
pub use metered::{MeteredDay, Meters};
pub use outgoing::{
    Backlog, Destination, Identity, Outgoing, PushAttempt, Quarantined, Snapshot, Value,
};
pub use positions::StoredPositions;
pub use push::{Ack, Effect, Frozen, Outcome, Postponed, Rejected};
pub use queue::{Done, Limits, Offered};
pub use reader::{
    CallRow, Check, Held, Reader, SessionUsage, SourceState, StoredProblem, TimeUsage,
};
pub use reconciled::Reconciled;
pub use records::Records;
pub use retention::{BallastState, LOST, REMOVED, Removed, Retention};
pub use rollup::{Width, week_start};
pub use samples::{Folded, FoldedSamples, SAMPLED};
pub use schema::KNOWN as SCHEMA_VERSION;
pub use stated::{
    Imported, Importing, OddStatement, StatedIssue, StatedRow, Statement, StatementAccount,
    StatementEnd, StatementHead,
};
pub use timeline::{CallsPart, LatestCall, StoredCall};
pub use tokens::TokenFile;
pub use volume::Volume;
pub use writer::{CHECKPOINT_PATIENCE, DROPPED, Health, REFUSED, Writer, WriterState};
