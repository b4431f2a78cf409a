//! The account against what providers say: one pure function over rows of both.
//!
//! Four **sides** tell of the same usage: the *account* (what trueup measured, and apart from it what
//! agents claim), a provider's *usage*, its *cost*, and a *statement* such as an exported CSV. Two of
//! them are compared at a time, by UTC day and provider, which no time zone can shift. Where they
//! differ, the day is taken apart by model, tier, project and key, as far as both sides can tell, until
//! the smallest cells are found in which the difference lies. Every amount of every row ends in exactly
//! one cell: what matched, what differs and what is missing add up to the side, or the run is wrong.
//!
//! ```
//! use trueup_core::reconcile::{Class, DayState, Input, Labels, Options, Row, Side, Sums, reconcile};
//! use trueup_core::{DAY_MS, Tokens, UnixMs};
//!
//! let used = |side, output| Row {
//!     labels: Labels { model: Some("gpt-5".into()), ..Labels::default() },
//!     sums: Sums::of_tokens(&Tokens { output, ..Tokens::ZERO }, Some(1)),
//!     ..Row::new(side, "openai", UnixMs(0))
//! };
//! let mut input = Input::default();
//! input.rows = vec![used(Side::Account, 60_000), used(Side::Usage, 100_000)];
//! input.cover(Side::Usage, "openai", UnixMs(0), DayState::Settled);
//! let options = Options::new(UnixMs(0), UnixMs(DAY_MS));
//! let found = reconcile(&input, &options);
//! assert_eq!(found.findings[0].class, Class::MismatchTokens);
//! assert!(found.ties_out());
//! ```

mod baseline;
mod cell;
mod class;
mod descend;
mod judge;
mod midnight;
mod outcome;
mod pair;
mod sums;
mod tie;

use std::collections::{BTreeMap, BTreeSet};

use crate::prices::provider_key;
use crate::{DAY_MS, Key, Text, UnixMs};

pub use baseline::Accepted;
pub use class::{Class, Severity};
pub use judge::{Tolerance, Tolerances};
pub use outcome::{Cell, Finding, Notice, PairResult, Reconciliation, Verdict, most_of};
pub use sums::{Quantity, Sums};
pub use tie::TieLine;

/// Who tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// What trueup knows by itself.
    Account,
    /// What the provider says was used.
    Usage,
    /// What the provider says was charged.
    Cost,
    /// What a file of the provider says was used: an export.
    Statement,
    /// What a file of the provider says was charged: an export, an invoice.
    StatementCost,
}

impl Side {
    /// Every side.
    pub const ALL: [Self; 5] =
        [Self::Account, Self::Usage, Self::Cost, Self::Statement, Self::StatementCost];

    /// Its name in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Usage => "usage",
            Self::Cost => "cost",
            Self::Statement => "statement",
            Self::StatementCost => "statement_cost",
        }
    }

    /// Whether it tells of money.
    #[must_use]
    pub const fn is_cost(self) -> bool {
        matches!(self, Self::Cost | Self::StatementCost)
    }
}

/// What rows are told apart by, from coarse to fine. `None` is not told; the empty text says that there
/// is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels {
    /// The model, as the side writes it.
    pub model: Option<Text>,
    /// The service tier: `standard`, `batch`, `flex`…
    pub tier: Option<Text>,
    /// How long prompts were.
    pub context: Option<Text>,
    /// The project, by the provider's id where it is known.
    pub project: Option<Text>,
    /// The key.
    pub key: Option<Text>,
}

/// What a cell is taken apart by next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grain {
    /// Models, whatever each side calls them.
    Model,
    /// Their exact names, where both sides use the same.
    Snapshot,
    /// Service tiers.
    Tier,
    /// Lengths of prompts.
    Context,
    /// Projects.
    Project,
    /// Keys.
    Key,
}

impl Grain {
    /// From coarse to fine.
    pub const ALL: [Self; 6] =
        [Self::Model, Self::Snapshot, Self::Tier, Self::Context, Self::Project, Self::Key];

    /// Its name in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Snapshot => "snapshot",
            Self::Tier => "tier",
            Self::Context => "context",
            Self::Project => "project",
            Self::Key => "key",
        }
    }
}

impl Labels {
    pub(crate) const fn get(&self, grain: Grain) -> Option<&Text> {
        match grain {
            Grain::Model | Grain::Snapshot => self.model.as_ref(),
            Grain::Tier => self.tier.as_ref(),
            Grain::Context => self.context.as_ref(),
            Grain::Project => self.project.as_ref(),
            Grain::Key => self.key.as_ref(),
        }
    }

    pub(crate) fn set(&mut self, grain: Grain, value: Option<Text>) {
        match grain {
            Grain::Model | Grain::Snapshot => self.model = value,
            Grain::Tier => self.tier = value,
            Grain::Context => self.context = value,
            Grain::Project => self.project = value,
            Grain::Key => self.key = value,
        }
    }

    /// Whether any id stands in it.
    fn is_blank(&self) -> bool {
        let all = [&self.model, &self.tier, &self.context, &self.project, &self.key];
        all.iter().all(|label| label.as_ref().is_none_or(|text| text.is_empty()))
    }
}

/// A sum that a side tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Who tells it.
    pub side: Side,
    /// Whether an agent claims it, and nothing measured it.
    pub is_estimated: bool,
    /// Whether a subscription pays for it.
    pub is_subscription: bool,
    /// The provider.
    pub provider: Text,
    /// A time of its day, in UTC. The account's rows are told apart by the first and the last hour of a
    /// day, for requests over midnight.
    pub start: UnixMs,
    /// What it is about.
    pub labels: Labels,
    /// How much.
    pub sums: Sums,
    /// Calls in it without a known price.
    pub unpriced_calls: u64,
}

impl Row {
    /// A row that says nothing yet.
    #[must_use]
    pub fn new(side: Side, provider: &str, start: UnixMs) -> Self {
        Self {
            side,
            is_estimated: false,
            is_subscription: false,
            provider: provider.into(),
            start,
            labels: Labels::default(),
            sums: Sums::default(),
            unpriced_calls: 0,
        }
    }

    pub(crate) const fn day(&self) -> UnixMs {
        self.start.floor(DAY_MS)
    }

    /// All of it as a text, for the hash of what was compared.
    fn text(&self) -> String {
        let Labels { model, tier, context, project, key } = &self.labels;
        let labels = [model, tier, context, project, key];
        let labels: Vec<&str> = labels.iter().map(|text| text.as_deref().unwrap_or("\0")).collect();
        let sums = self.sums.told().map(|(quantity, sum)| format!("{}={sum}", quantity.name()));
        let sums = sums.collect::<Vec<_>>().join(" ");
        let flags = (self.is_estimated, self.is_subscription, self.unpriced_calls);
        let (side, provider, start) = (self.side.name(), &self.provider, self.start.0);
        format!("{side}\u{1}{flags:?}\u{1}{provider}\u{1}{start}\u{1}{labels:?}\u{1}{sums}")
    }
}

/// How far what a side tells of a day stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DayState {
    /// It may still change.
    Provisional,
    /// It was told late enough that it will hardly change, and is not settled by the provider's record.
    Ripe,
    /// It has stayed the same.
    Settled,
    /// It has changed after that.
    Restated,
}

/// Days that a side tells of.
pub type Coverage = BTreeMap<UnixMs, DayState>;

/// What is compared.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// The rows of all sides, in any order.
    pub rows: Vec<Row>,
    /// The days that each side but the account tells of, by provider. A day that is not in it is not
    /// known, which is not the same as empty.
    pub coverage: BTreeMap<(Side, String), Coverage>,
    /// What is known beside the rows, such as that the provider told something new.
    pub notices: BTreeMap<Class, Notice>,
}

impl Input {
    /// A side tells of a day.
    pub fn cover(&mut self, side: Side, provider: &str, day: UnixMs, state: DayState) {
        let days = self.coverage.entry((side, provider_key(provider))).or_default();
        let known = days.entry(day.floor(DAY_MS)).or_insert(state);
        // Of two families the one that stands worse decides.
        *known = match (*known, state) {
            (DayState::Provisional, _) | (_, DayState::Provisional) => DayState::Provisional,
            (DayState::Restated, _) | (_, DayState::Restated) => DayState::Restated,
            (one, other) => one.min(other),
        };
    }
}

/// How it is compared.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the first day begins.
    pub from: UnixMs,
    /// What the last day ends before.
    pub until: UnixMs,
    /// How much may differ.
    pub tolerances: Tolerances,
    /// Classes that fail; `None` for those that do when nothing is said.
    pub fail_on: Option<BTreeSet<Class>>,
    /// Whether days that may still change are to be told as incomplete.
    pub requires_settled: bool,
    /// Differences that were looked at and accepted.
    pub accepted: Vec<Accepted>,
    /// The day on which it is asked, for what was accepted until a day.
    pub today: jiff::civil::Date,
    /// What else was asked for, for the id of the run.
    pub asked: String,
}

impl Options {
    /// These days, with the usual tolerances.
    #[must_use]
    pub fn new(from: UnixMs, until: UnixMs) -> Self {
        Self {
            from,
            until,
            tolerances: Tolerances::default(),
            fail_on: None,
            requires_settled: false,
            accepted: Vec::new(),
            today: jiff::civil::Date::MAX,
            asked: String::new(),
        }
    }

    fn days(&self) -> i64 {
        (self.until.0 - self.from.0).max(0) / DAY_MS
    }

    fn contains(&self, time: UnixMs) -> bool {
        self.from <= time && time < self.until
    }
}

/// The two sides of each comparison, and what keeps it from being made: a statement stands in only for
/// what was not pulled.
const PAIRS: [(Side, Side, Option<Side>); 6] = [
    (Side::Account, Side::Usage, None),
    (Side::Account, Side::Cost, None),
    (Side::Usage, Side::Statement, None),
    (Side::Cost, Side::StatementCost, None),
    (Side::Account, Side::Statement, Some(Side::Usage)),
    (Side::Account, Side::StatementCost, Some(Side::Cost)),
];

/// Compares all sides.
#[must_use]
pub fn reconcile(input: &Input, options: &Options) -> Reconciliation {
    // Of several names of one model the first stands for all: it must not depend on who came first.
    let mut told: Vec<(String, &Row)> = input.rows.iter().map(|row| (row.text(), row)).collect();
    told.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let inputs = hash_of(&told, input);
    let run_id = run_id(&inputs, options);
    let mut notices = input.notices.clone();
    let rows = usable(told.iter().map(|(_, row)| *row), options, &mut notices);
    let mut by_provider: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for row in &rows {
        by_provider.entry(provider_key(&row.provider)).or_default().push(row);
    }
    for (_, provider) in input.coverage.keys() {
        by_provider.entry(provider.clone()).or_default();
    }
    let mut pairs = Vec::new();
    let mut findings = Vec::new();
    let mut unconnected = BTreeMap::new();
    for (provider, rows) in &by_provider {
        let is_told =
            |side| side == Side::Account || input.coverage.contains_key(&(side, provider.clone()));
        let mut is_compared = false;
        for (left, right, unless) in PAIRS {
            if is_told(left) && is_told(right) && !unless.is_some_and(is_told) {
                is_compared = true;
                let pair = pair::Pair::new(provider, (left, right), rows, input, options);
                let (result, found) = pair.compare(rows, &mut notices);
                pairs.push(result);
                findings.extend(found);
            }
        }
        if !is_compared {
            let mut sums = Sums::default();
            for row in rows {
                sums.add(&row.sums);
            }
            unconnected.insert(provider.clone(), sums);
        }
    }
    outcome::finish(run_id, inputs, options, pairs, findings, notices, unconnected)
}

/// Rows of the days that are asked for, without empty ones; what is odd about them is noted.
fn usable<'a>(
    told: impl Iterator<Item = &'a Row>,
    options: &Options,
    notices: &mut BTreeMap<Class, Notice>,
) -> Vec<&'a Row> {
    let mut rows = Vec::new();
    for row in told.filter(|row| options.contains(row.start)) {
        let (is_blank, is_zero) = (row.labels.is_blank(), row.sums.is_zero());
        let is_provider = row.side != Side::Account;
        if is_provider && is_blank && is_zero {
            Notice::add(notices, Class::BlankBucket, row.side.name());
            continue;
        }
        if is_provider && is_blank {
            Notice::add(notices, Class::BlankMetadataNonzero, row.side.name());
        }
        let is_without_key = row.labels.key.as_ref().is_some_and(|key| key.is_empty());
        if is_provider && is_without_key && !is_zero {
            Notice::add(notices, Class::UnattributedKey, row.side.name());
        }
        rows.push(row);
    }
    rows
}

/// The hash of what is compared, of rows in the order of their texts.
fn hash_of(told: &[(String, &Row)], input: &Input) -> [u8; 16] {
    let coverage = input.coverage.iter().map(|(of, days)| format!("{of:?} {days:?}"));
    let notices =
        input.notices.iter().map(|(class, notice)| format!("{} {notice:?}", class.name()));
    let beside: Vec<String> = coverage.chain(notices).collect();
    let rows = told.iter().map(|(text, _)| text.as_str());
    let parts: Vec<&str> = rows.chain(beside.iter().map(String::as_str)).collect();
    Key::of("parity inputs", &parts).0
}

fn run_id(inputs: &[u8; 16], options: &Options) -> String {
    let Options { from, until, tolerances, fail_on, requires_settled, accepted, today, asked } =
        options;
    // Of the day only what it makes of them counts: the same again on the next day is the same.
    let accepted: Vec<_> = accepted.iter().map(|one| (one, one.has_expired(*today))).collect();
    // As texts: how a number is kept in memory is no part of what was asked.
    let Tolerances { tokens, requests, cost, statement_cost } = tolerances;
    let bounds = |of: &Tolerance| format!("{}/{}/{}", of.warn_e4, of.fail_e4, of.floor);
    let tolerances = [tokens, requests, cost, statement_cost].map(bounds);
    let config = format!(
        "{from} {until} {tolerances:?} {fail_on:?} {requires_settled} {accepted:?} {asked}"
    );
    let key = Key::of("parity", &[inputs.as_slice(), config.as_bytes()]);
    format!("{:032x}", key.as_u128())
}

#[cfg(test)]
mod tests;
