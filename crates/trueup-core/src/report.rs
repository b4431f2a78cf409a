//! Reports as plain data: usage grouped, summed and priced.
//!
//! A [`ReportBuilder`] takes sums from wherever they are kept and folds them into rows; it does not
//! know files, tables or terminals. Exact and estimated usage are never added up, and a call whose
//! price is not known is counted as unpriced, never as free.

mod blocks;
mod completeness;
mod cost;
mod filter;

use std::collections::{BTreeMap, BTreeSet};

use crate::prices::YoctoUsd;
use crate::{Bucket, Calendar, Counters, NanoUsd, Series, Text, Tokens, UnixMs, Witness};

pub use blocks::{BLOCK_MS, Block, blocks};
pub use completeness::{ClaimSeen, Completeness, CompletenessBuilder, CompletenessReport};
pub use cost::{CostMode, Pricer};
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
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 12] = [
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
            | Self::Tier => None,
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
    pub series: &'a Series,
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

/// Folds sums into a report.
#[derive(Debug)]
pub struct ReportBuilder<'a> {
    by: Vec<Dimension>,
    calendar: Calendar,
    filter: &'a Filter,
    pricer: Pricer<'a>,
    rows: BTreeMap<Vec<Text>, Row>,
    totals: Sums,
    unpriced_models: BTreeMap<Text, u64>,
    last_label: Text,
}

impl<'a> ReportBuilder<'a> {
    /// A report by `by`, of what passes `filter`.
    #[must_use]
    pub fn new(
        by: Vec<Dimension>,
        calendar: Calendar,
        filter: &'a Filter,
        pricer: Pricer<'a>,
    ) -> Self {
        Self {
            by,
            calendar,
            filter,
            pricer,
            rows: BTreeMap::new(),
            totals: Sums::default(),
            unpriced_models: BTreeMap::new(),
            last_label: Text::default(),
        }
    }

    /// Adds one sum.
    pub fn add(&mut self, entry: Entry<'_>) {
        let series = entry.series;
        if !self.filter.takes_series(series) || !self.filter.window.contains(entry.start) {
            return;
        }
        let sum = self.pricer.price(entry.start, series, entry.counters);
        if sum.unpriced_calls > 0 {
            *self.unpriced_models.entry(Text::clone(&series.model)).or_default() +=
                sum.unpriced_calls;
        }
        let keys = (0..self.by.len()).map(|at| self.key(at, entry)).collect();
        self.totals.add(series.witness, &sum);
        let row = self.rows.entry(keys).or_insert_with_key(|keys| Row {
            keys: keys.clone(),
            sums: Sums::default(),
            models: BTreeMap::new(),
            agents: BTreeSet::new(),
            projects: BTreeSet::new(),
            kinds: BTreeSet::new(),
            times: entry.times,
        });
        row.sums.add(series.witness, &sum);
        row.times = (row.times.0.min(entry.times.0), row.times.1.max(entry.times.1));
        row.agents.insert(Text::clone(&series.source));
        row.projects.insert(Text::clone(&series.project));
        row.kinds.insert(Text::clone(&series.kind));
        row.models.entry(Text::clone(&series.model)).or_default().add(series.witness, &sum);
    }

    fn key(&mut self, at: usize, entry: Entry<'_>) -> Text {
        let Some(dimension) = self.by.get(at) else { return Text::default() };
        if let Some(bucket) = dimension.bucket() {
            let label = self.calendar.label(bucket, entry.start);
            if *self.last_label != *label {
                self.last_label = label.into();
            }
            return Text::clone(&self.last_label);
        }
        match dimension {
            Dimension::Agent => Text::clone(&entry.series.source),
            Dimension::Model => Text::clone(&entry.series.model),
            Dimension::Project => Text::clone(&entry.series.project),
            Dimension::Session => entry.session.into(),
            Dimension::Kind => Text::clone(&entry.series.kind),
            Dimension::Provider => Text::clone(&entry.series.provider),
            Dimension::Tier => entry.series.class.tier.name().into(),
            Dimension::HalfHour
            | Dimension::Hour
            | Dimension::Day
            | Dimension::Week
            | Dimension::Month => Text::default(),
        }
    }

    /// The report: rows of time in order of time, sessions in order of their last call, others by
    /// their tokens.
    #[must_use]
    pub fn finish(self) -> Report {
        let mut rows: Vec<Row> = self.rows.into_values().collect();
        match self.by.first() {
            Some(Dimension::Session) => {
                let mut ends: BTreeMap<Option<Text>, UnixMs> = BTreeMap::new();
                for row in &rows {
                    let end = ends.entry(row.keys.first().cloned()).or_insert(row.times.1);
                    *end = (*end).max(row.times.1);
                }
                // The rows of one session stay together, wherever its calls lie among others'.
                rows.sort_by_cached_key(|row| {
                    let session = row.keys.first().cloned();
                    (ends.get(&session).copied(), session, row.times.1, row.keys.clone())
                });
            }
            Some(
                Dimension::Agent
                | Dimension::Model
                | Dimension::Project
                | Dimension::Kind
                | Dimension::Provider
                | Dimension::Tier,
            ) if self.by.len() == 1 => {
                rows.sort_by(|a, b| {
                    (b.sums.total_tokens(), &a.keys).cmp(&(a.sums.total_tokens(), &b.keys))
                });
            }
            // Keys of time sort by time; with several dimensions, rows of one first key stay together.
            Some(
                Dimension::HalfHour
                | Dimension::Hour
                | Dimension::Day
                | Dimension::Week
                | Dimension::Month
                | Dimension::Agent
                | Dimension::Model
                | Dimension::Project
                | Dimension::Kind
                | Dimension::Provider
                | Dimension::Tier,
            )
            | None => {}
        }
        Report {
            by: self.by,
            zone: self.calendar.zone_name(),
            rows,
            totals: self.totals,
            unpriced_models: self.unpriced_models,
        }
    }
}
