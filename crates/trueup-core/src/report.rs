//! Reports as plain data: usage grouped, summed and priced.
//!
//! A [`ReportBuilder`] takes sums from wherever they are kept and folds them into rows; it does not
//! know files, tables or terminals. Exact and estimated usage are never added up, and a call whose
//! price is not known is counted as unpriced, never as free.

mod blocks;
mod builder;
mod completeness;
mod cost;
mod filter;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::prices::YoctoUsd;
use crate::{Bucket, Counters, NanoUsd, Series, Text, Tokens, UnixMs, Witness};

pub use blocks::{BLOCK_MS, Block, blocks};
pub use builder::ReportBuilder;
pub use completeness::{ClaimSeen, Completeness, CompletenessBuilder, CompletenessReport};
pub use cost::{CostMode, Pricer, kinds};
pub use filter::{Filter, Window, matches};

/// What rows are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// Half hours.
    HalfHour,
    /// Hours.
    Hour,
    /// Calendar days.
    Day,
    /// Weeks from Monday.
    Week,
    /// Calendar months.
    Month,
    /// Agents, by their source ids.
    Agent,
    /// Models, exactly as their sources write them.
    Model,
    /// Projects.
    Project,
    /// Sessions.
    Session,
    /// Kinds of session, as their sources name them.
    Kind,
    /// Providers, as their sources name them.
    Provider,
    /// Tiers of service; see [`ServiceTier::name`](crate::prices::ServiceTier::name).
    Tier,
    /// Devices of a fleet.
    Device,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 13] = [
        Self::HalfHour,
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Agent,
        Self::Model,
        Self::Project,
        Self::Session,
        Self::Kind,
        Self::Provider,
        Self::Tier,
        Self::Device,
    ];

    /// The name in options and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HalfHour => "30m",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Agent => "agent",
            Self::Model => "model",
            Self::Project => "project",
            Self::Session => "session",
            Self::Kind => "kind",
            Self::Provider => "provider",
            Self::Tier => "tier",
            Self::Device => "device",
        }
    }

    /// The bucket of a dimension of time.
    #[must_use]
    pub const fn bucket(self) -> Option<Bucket> {
        match self {
            Self::HalfHour => Some(Bucket::HalfHour),
            Self::Hour => Some(Bucket::Hour),
            Self::Day => Some(Bucket::Day),
            Self::Week => Some(Bucket::Week),
            Self::Month => Some(Bucket::Month),
            Self::Agent
            | Self::Model
            | Self::Project
            | Self::Session
            | Self::Kind
            | Self::Provider
            | Self::Tier
            | Self::Device => None,
        }
    }
}

/// One sum that goes into a report.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Where its bucket begins, or when its call was answered.
    pub start: UnixMs,
    /// The first and the last call in it.
    pub times: (UnixMs, UnixMs),
    /// What it is a sum of.
    pub series: &'a Arc<Series>,
    /// The session; empty in sums over time.
    pub session: &'a str,
    /// The sum.
    pub counters: &'a Counters,
}

/// A sum of a report, priced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Calls, failed ones included.
    pub calls: u64,
    /// Failed calls.
    pub errors: u64,
    /// Tokens.
    pub tokens: Tokens,
    /// What the priced calls cost.
    pub cost: YoctoUsd,
    /// Calls whose price is not known: their cost is in no sum.
    pub unpriced_calls: u64,
    /// What the tokens read from a cache would have cost more as plain input, at the prices of the
    /// table; nothing where none is known.
    pub cache_saved: YoctoUsd,
}

impl Sum {
    /// The cost, rounded once.
    #[must_use]
    pub fn cost_nanousd(&self) -> NanoUsd {
        self.cost.to_nano()
    }

    /// Adds another sum.
    pub fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.errors = self.errors.saturating_add(other.errors);
        self.tokens = self.tokens.plus(&other.tokens);
        self.cost = self.cost.plus(other.cost);
        self.unpriced_calls = self.unpriced_calls.saturating_add(other.unpriced_calls);
        self.cache_saved = self.cache_saved.plus(other.cache_saved);
    }
}

/// The two kinds of usage, kept apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// What single calls were measured to use.
    pub exact: Sum,
    /// What agents claim where nothing was measured.
    pub estimated: Sum,
}

impl Sums {
    /// Adds a sum of one witness.
    pub fn add(&mut self, witness: Witness, sum: &Sum) {
        match witness {
            Witness::Measured => self.exact.add(sum),
            Witness::Claimed => self.estimated.add(sum),
        }
    }

    /// Adds both kinds.
    pub fn plus(&mut self, other: &Self) {
        self.exact.add(&other.exact);
        self.estimated.add(&other.estimated);
    }

    /// All tokens, of both kinds.
    #[must_use]
    pub const fn total_tokens(&self) -> u64 {
        self.exact.tokens.total().saturating_add(self.estimated.tokens.total())
    }
}

/// One row of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is about: one value for each dimension of the report.
    pub keys: Vec<Text>,
    /// The sums.
    pub sums: Sums,
    /// The sums by model.
    pub models: BTreeMap<Text, Sums>,
    /// The agents in it.
    pub agents: BTreeSet<Text>,
    /// The projects in it.
    pub projects: BTreeSet<Text>,
    /// The kinds of session in it.
    pub kinds: BTreeSet<Text>,
    /// The first and the last call.
    pub times: (UnixMs, UnixMs),
}

/// A finished report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What the rows are about.
    pub by: Vec<Dimension>,
    /// The time zone of its days.
    pub zone: String,
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// The sums over all rows.
    pub totals: Sums,
    /// Models without a known price, and how many calls of theirs are unpriced.
    pub unpriced_models: BTreeMap<Text, u64>,
}
