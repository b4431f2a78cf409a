//! What comes of a run, as plain data.

use std::collections::{BTreeMap, BTreeSet};

use super::{Class, Grain, Labels, Options, Quantity, Severity, Side, Sums, TieLine};
use crate::{Decimal, UnixMs};

/// One day of one provider, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Where the day begins, in UTC.
    pub day: UnixMs,
    /// Which part of it; nothing for all of it.
    pub labels: Labels,
}

/// A cell in which two sides do not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The provider.
    pub provider: String,
    /// The two sides.
    pub sides: (Side, Side),
    /// Where.
    pub cell: Cell,
    /// What.
    pub class: Class,
    /// What it would be, were it not for the state of the day.
    pub kind: Class,
    /// How much it matters.
    pub severity: Severity,
    /// What the first side says; of the account only what was measured.
    pub left: Sums,
    /// What agents claim beside that.
    pub estimated: Sums,
    /// What the second side says.
    pub right: Sums,
    /// Of what only one side has: how much of it is of which project and key, the largest first.
    pub told_by: Vec<(Labels, Decimal)>,
    /// What one side could not tell apart, so that the cell is no smaller.
    pub unsupported: Vec<Grain>,
    /// Whether it is among the cells that together explain nine tenths of the difference.
    pub is_named: bool,
    /// Why it is accepted, where it is.
    pub accepted: Option<String>,
}

impl Finding {
    /// How much the first side has more than the second.
    #[must_use]
    pub fn difference(&self, quantity: Quantity) -> Decimal {
        self.left.or_zero(quantity).minus(&self.right.or_zero(quantity))
    }

    /// The size of the difference: of tokens, or of money.
    #[must_use]
    pub fn weight(&self) -> Decimal {
        if self.sides.1.is_cost() {
            return self.difference(Quantity::Cost).abs();
        }
        let kinds = Quantity::ALL.into_iter().filter(|quantity| quantity.is_tokens());
        let kinds = kinds.map(|quantity| self.difference(quantity).abs());
        kinds.fold(Decimal::ZERO, |sum, kind| sum.plus(&kind))
    }
}

/// The largest parts of what is told, which together make nine tenths of it.
#[must_use]
pub fn most_of(parts: &[(Labels, Decimal)]) -> Vec<&(Labels, Decimal)> {
    let all = parts.iter().fold(Decimal::ZERO, |sum, (_, weight)| sum.plus(weight));
    let mut so_far = Decimal::ZERO;
    let mut most = Vec::new();
    for part in parts {
        if is_most(&so_far, &all) {
            break;
        }
        so_far = so_far.plus(&part.1);
        most.push(part);
    }
    most
}

/// How two sides of a provider compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairResult {
    /// The provider.
    pub provider: String,
    /// The two sides.
    pub sides: (Side, Side),
    /// What both of them tell, and hence is compared.
    pub quantities: Vec<Quantity>,
    /// Days on which the second side tells.
    pub days_covered: u32,
    /// Days that were asked for.
    pub days: u32,
    /// Days that may still change.
    pub days_provisional: u32,
    /// Where every amount went.
    pub ties: Vec<TieLine>,
    /// Cells by what became of them, and what the two sides say of them.
    pub classes: BTreeMap<Class, (u64, Sums, Sums)>,
    /// What the second side says that the first one has, too, in ten-thousandths.
    pub capture: BTreeMap<&'static str, i128>,
    /// What the first side's calls cost by its prices, in ten-thousandths of what was charged, where
    /// both have the cell.
    pub price_ratio_e4: Option<i128>,
}

/// Rows or grains of which something is to be known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notice {
    /// How many.
    pub count: u64,
    /// Where, or of what: at most a few.
    pub places: BTreeSet<String>,
}

/// Places that a notice names.
const PLACES_MAX: usize = 20;

impl Notice {
    /// Notes one more.
    pub fn add(notices: &mut BTreeMap<Class, Self>, class: Class, place: &str) {
        let notice = notices.entry(class).or_default();
        notice.count += 1;
        if notice.places.len() < PLACES_MAX {
            notice.places.insert(place.to_owned());
        }
    }
}

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All sides agree, as far as is tolerated.
    Parity,
    /// A day is not known, or may still change where that was asked.
    Incomplete,
    /// They agree, and the provider told something in a form that is not known.
    SchemaDrift,
    /// They differ by more than is tolerated.
    Variance,
    /// Amounts were lost or made up: trueup itself is wrong.
    TieOutBroken,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parity => "parity",
            Self::Variance => "variance",
            Self::Incomplete => "incomplete",
            Self::SchemaDrift => "schema_drift",
            Self::TieOutBroken => "tie_out_broken",
        }
    }

    /// The exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Parity => 0,
            Self::Variance => 1,
            Self::Incomplete => 4,
            Self::SchemaDrift => 5,
            Self::TieOutBroken => 70,
        }
    }
}

/// A finished run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciliation {
    /// The hash of what was compared and how: the same again is the same run.
    pub run_id: String,
    /// The hash of what was compared.
    pub inputs: [u8; 16],
    /// Where the first day begins.
    pub from: UnixMs,
    /// What the last day ends before.
    pub until: UnixMs,
    /// Each comparison that was made.
    pub pairs: Vec<PairResult>,
    /// Cells in which sides do not agree: what fails first, then the largest.
    pub findings: Vec<Finding>,
    /// What else is to be known.
    pub notices: BTreeMap<Class, Notice>,
    /// Providers of which only the account tells.
    pub unconnected: BTreeMap<String, Sums>,
    /// Accepted differences whose time is over.
    pub expired: Vec<String>,
    /// What came of it.
    pub verdict: Verdict,
}

impl Reconciliation {
    /// Whether every amount of every side ended in exactly one place.
    #[must_use]
    pub fn ties_out(&self) -> bool {
        self.pairs.iter().flat_map(|pair| &pair.ties).all(TieLine::holds)
    }

    /// Whether a finding fails the run.
    #[must_use]
    pub fn fails(finding: &Finding, fail_on: Option<&BTreeSet<Class>>) -> bool {
        finding.accepted.is_none()
            && match fail_on {
                Some(classes) => classes.contains(&finding.class),
                None => finding.class.fails() && finding.severity == Severity::Fail,
            }
    }
}

/// Orders what was found, leaves out what is accepted, and judges.
pub(super) fn finish(
    run_id: String,
    inputs: [u8; 16],
    options: &Options,
    pairs: Vec<PairResult>,
    mut findings: Vec<Finding>,
    notices: BTreeMap<Class, Notice>,
    unconnected: BTreeMap<String, Sums>,
) -> Reconciliation {
    let (expired, valid): (Vec<_>, Vec<_>) =
        options.accepted.iter().partition(|one| one.has_expired(options.today));
    for finding in &mut findings {
        finding.accepted =
            valid.iter().find(|one| one.means(finding)).map(|one| one.reason.clone());
    }
    name_the_largest(&mut findings);
    findings.sort_by_cached_key(|finding| {
        let Finding { provider, sides, cell, severity, .. } = finding;
        let rank = (finding.accepted.is_some(), std::cmp::Reverse(*severity), *sides);
        (rank, std::cmp::Reverse(finding.weight()), provider.clone(), cell.clone())
    });
    let expired = expired.into_iter().map(|one| format!("{} ({})", one.reason, one.until));
    let mut run = Reconciliation {
        run_id,
        inputs,
        from: options.from,
        until: options.until,
        pairs,
        findings,
        notices,
        unconnected,
        expired: expired.collect(),
        verdict: Verdict::Parity,
    };
    run.verdict = verdict(&run, options);
    run
}

/// Marks, for each comparison, the largest cells that together make up nine tenths of the difference.
fn name_the_largest(findings: &mut [Finding]) {
    let mut of_pair: BTreeMap<(String, (Side, Side)), Vec<usize>> = BTreeMap::new();
    for (at, finding) in findings.iter().enumerate() {
        of_pair.entry((finding.provider.clone(), finding.sides)).or_default().push(at);
    }
    for mut places in of_pair.into_values() {
        let weight = |at: &usize| findings.get(*at).map_or(Decimal::ZERO, Finding::weight);
        places.sort_by_cached_key(|at| (std::cmp::Reverse(weight(at)), *at));
        let all = places.iter().map(weight).fold(Decimal::ZERO, |sum, one| sum.plus(&one));
        let mut so_far = Decimal::ZERO;
        let mut named = Vec::new();
        for at in &places {
            let is_enough = is_most(&so_far, &all) && !all.is_zero();
            let weight = weight(at);
            so_far = so_far.plus(&weight);
            // Where only requests differ there is no weight to go by.
            if !is_enough || weight.is_zero() {
                named.push(*at);
            }
        }
        for at in named {
            if let Some(finding) = findings.get_mut(at) {
                finding.is_named = true;
            }
        }
    }
}

/// Whether a part is nine tenths of all, or more.
fn is_most(part: &Decimal, all: &Decimal) -> bool {
    part.clone().shifted(1) >= all.times(&9.into())
}

fn verdict(run: &Reconciliation, options: &Options) -> Verdict {
    let fail_on = options.fail_on.as_ref();
    if !run.ties_out() {
        return Verdict::TieOutBroken;
    }
    let is_noticed = fail_on.is_some_and(|classes| {
        run.notices.iter().any(|(class, notice)| notice.count > 0 && classes.contains(class))
    });
    if is_noticed || run.findings.iter().any(|finding| Reconciliation::fails(finding, fail_on)) {
        return Verdict::Variance;
    }
    if fail_on.is_none() && run.notices.contains_key(&Class::SchemaDrift) {
        return Verdict::SchemaDrift;
    }
    let is_open = |finding: &Finding| {
        finding.accepted.is_none()
            && (finding.class == Class::Uncovered
                || (options.requires_settled && finding.class == Class::Provisional))
    };
    let is_unsettled = |pair: &PairResult| {
        options.requires_settled && (pair.days_provisional > 0 || pair.days_covered < pair.days)
    };
    if run.findings.iter().any(is_open) || run.pairs.iter().any(is_unsettled) {
        return Verdict::Incomplete;
    }
    Verdict::Parity
}
