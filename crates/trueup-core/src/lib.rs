//! The pure core of trueup: facts and the arithmetic on them.
//!
//! Nothing in this crate reads a clock, a file, the environment or a socket, and nothing is
//! asynchronous: what depends on them is passed in. Readers turn bytes into facts, the ledger keeps
//! them, reports are folded from them; this crate is the language that they share.

mod account;
pub mod allocate;
mod batch;
mod billed;
pub mod budget;
mod charged;
mod claims;
mod decimal;
mod delivery;
mod fact;
mod http;
mod id;
mod metered;
mod money;
pub mod prices;
mod rank;
pub mod reconcile;
pub mod report;
mod stated;
mod time;
mod tokens;
mod twin;
mod usage;

pub use account::{Account, Counted};
pub use batch::{Batch, Position, Problem, ProblemKind, Stamp, StoreId};
pub use billed::{
    BilledFact, BilledName, BilledWidth, Charge, Dim, Dims, Issue, IssueCode, Measure, Measures,
    dims_json, dims_of_json,
};
pub use charged::{Basis, Charged, ChargedSums};
pub use claims::{ClaimedRun, MeasuredCall, covered};
pub use decimal::{Decimal, DecimalError};
pub use delivery::{BatchHead, Delivery, HubToken, Sender, SenderStatus, Version, Word};
pub use fact::{
    Billing, Call, CallBody, CustomEvent, ErrorEvent, Fact, HostMetric, Origin, Outcome, Pressure,
    Quota, SessionTotal, Text,
};
pub use http::{Reply, Request, one_line};
pub use id::{FactId, Key};
pub use metered::{Metered, Parts};
pub use money::{MoneyError, NANO_PER_USD, NanoUsd, scaled_decimal};
pub use prices::{PriceClass, Region, ServiceTier, Speed};
pub use rank::{Owner, Rank, Variant, Verdict, settle};
pub use stated::{StatedFact, StatedSums};
pub use time::{Bucket, Calendar, DAY_MS, HOUR_MS, QUARTER_MS, UnixMs};
pub use tokens::{SUM_MAX, TOKENS_MAX, Tokens};
pub use twin::Twin;
pub use usage::{Counters, Series, Witness};
