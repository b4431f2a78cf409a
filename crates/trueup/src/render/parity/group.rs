//! Differences of one kind on several days, as one line for people.

use std::collections::BTreeMap;

use trueup_core::reconcile::{
    Class, Finding, Labels, Quantity, Reconciliation, Severity, Side, Sums, most_of,
};
use trueup_core::{DAY_MS, Decimal, Text, UnixMs, scaled_decimal};

use super::amount;
use crate::render::number::counted;

/// Keys that are named of what only one side has.
const WHOSE_MAX: usize = 6;

/// The same difference on one or several days.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) class: Class,
    pub(super) severity: Severity,
    pub(super) provider: &'a str,
    pub(super) sides: (Side, Side),
    /// What all of its cells share.
    pub(super) labels: Labels,
    pub(super) accepted: Option<&'a str>,
    pub(super) days: Vec<UnixMs>,
    pub(super) left: Sums,
    pub(super) estimated: Sums,
    pub(super) right: Sums,
    /// Of what only one side has: how much is of which project and key.
    told_by: BTreeMap<Labels, Decimal>,
    weight: Decimal,
}

/// The differences of a run, what fails first, then the largest.
pub(super) fn groups(run: &Reconciliation) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<_, Group<'_>> = BTreeMap::new();
    for finding in &run.findings {
        let Finding { provider, sides, cell, class, severity, accepted, .. } = finding;
        // What one side has nothing of is told by model; what both have, as finely as it is known.
        let place = if is_whole(*class) {
            Labels { model: cell.labels.model.clone(), ..Labels::default() }
        } else {
            cell.labels.clone()
        };
        let key = (provider, *sides, *class, *severity, place, accepted);
        let group = groups.entry(key).or_insert_with(|| Group {
            class: *class,
            severity: *severity,
            provider,
            sides: *sides,
            labels: cell.labels.clone(),
            accepted: accepted.as_deref(),
            days: Vec::new(),
            left: Sums::default(),
            estimated: Sums::default(),
            right: Sums::default(),
            told_by: BTreeMap::new(),
            weight: Decimal::ZERO,
        });
        group.days.push(cell.day);
        share(&mut group.labels, &cell.labels);
        group.left.add(&finding.left);
        group.estimated.add(&finding.estimated);
        group.right.add(&finding.right);
        for (labels, weight) in &finding.told_by {
            let sum = group.told_by.entry(labels.clone()).or_insert(Decimal::ZERO);
            *sum = sum.plus(weight);
        }
        group.weight = group.weight.plus(&finding.weight());
    }
    let mut groups: Vec<Group<'_>> = groups.into_values().collect();
    for group in &mut groups {
        group.days.sort_unstable();
        group.days.dedup();
    }
    groups.sort_by(|one, other| {
        let rank =
            |of: &Group<'_>| (of.accepted.is_some(), std::cmp::Reverse(of.severity), of.sides);
        rank(one).cmp(&rank(other)).then_with(|| other.weight.cmp(&one.weight))
    });
    groups
}

/// Whether a class is about all that a side says of a model.
const fn is_whole(class: Class) -> bool {
    matches!(
        class,
        Class::MissingLocal
            | Class::MissingProvider
            | Class::MissingStatement
            | Class::ExtraStatement
            | Class::DuplicateLocal
    )
}

/// Leaves only what is the same in both.
fn share(labels: &mut Labels, other: &Labels) {
    for (one, other) in [
        (&mut labels.tier, &other.tier),
        (&mut labels.context, &other.context),
        (&mut labels.project, &other.project),
        (&mut labels.key, &other.key),
    ] {
        if one != other {
            *one = None;
        }
    }
}

impl Group<'_> {
    /// Which part of a day it is, in words: `gpt-5, batch, proj_beta`.
    pub(super) fn place(&self) -> String {
        let Labels { model, tier, context, project, key } = &self.labels;
        let none = |what: &str, label: &Option<_>| {
            label.as_ref().map(|label: &Text| match &**label {
                "" => format!("(no {what})"),
                label => label.to_owned(),
            })
        };
        let parts = [
            none("model", model),
            none("tier", tier),
            none("context", context),
            none("project", project),
            none("key", key),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "the whole day".to_owned() } else { parts.join(", ") }
    }

    /// Whose it is, where only one side has it: `key_3 of proj_beta 62 %, …`; nothing where all of it is
    /// of one.
    pub(super) fn whose(&self) -> Option<String> {
        let mut parts: Vec<(Labels, Decimal)> =
            self.told_by.iter().map(|(labels, weight)| (labels.clone(), weight.clone())).collect();
        parts.sort_by(|one, other| (&other.1, &one.0).cmp(&(&one.1, &other.0)));
        let all = parts.iter().fold(Decimal::ZERO, |sum, (_, weight)| sum.plus(weight));
        if parts.len() < 2 {
            return None;
        }
        let units = |number: &Decimal| scaled_decimal(&number.to_string(), 6);
        let share = |weight: &Decimal| units(weight)?.checked_mul(100)?.checked_div(units(&all)?);
        let most = most_of(&parts);
        let shown = most.iter().take(WHOSE_MAX).map(|(labels, weight)| {
            let name = |label: &Option<Text>, what: &str| match label.as_deref() {
                None => None,
                Some("") => Some(format!("(no {what})")),
                Some(label) => Some(label.to_owned()),
            };
            let names = [name(&labels.key, "key"), name(&labels.project, "project")];
            let names: Vec<String> = names.into_iter().flatten().collect();
            let names = if names.is_empty() { "(not told)".to_owned() } else { names.join(" of ") };
            format!("{names} {} %", share(weight).unwrap_or(0))
        });
        let more = most.len().saturating_sub(WHOSE_MAX);
        let more = (more > 0).then(|| format!("and {more} more"));
        Some(shown.chain(more).collect::<Vec<_>>().join(", "))
    }

    /// The part of the day, and whose it is, as one text.
    pub(super) fn place_and_whose(&self) -> String {
        [Some(self.place()), self.whose()].into_iter().flatten().collect::<Vec<_>>().join(": ")
    }

    /// What the first side says, and apart from it what is only claimed.
    pub(super) fn own(&self) -> String {
        let measured = self.says(&self.left);
        if self.estimated.is_zero() {
            return measured;
        }
        format!("{measured} (and ~{} claimed)", self.says(&self.estimated))
    }

    /// What a side says: tokens and requests, or dollars.
    pub(super) fn says(&self, sums: &Sums) -> String {
        let cost = sums.get(Quantity::Cost);
        if sums.is_zero() {
            let is_unknown = self.class == Class::Unpriced && cost.is_none();
            return if is_unknown { "unknown" } else { "nothing" }.to_owned();
        }
        if self.sides.1.is_cost() {
            return amount(Quantity::Cost, &sums.or_zero(Quantity::Cost));
        }
        let requests = sums.get(Quantity::Requests).and_then(Decimal::to_count);
        let requests = requests.map(|count| format!(" in {}", counted(count, "request")));
        let tokens = amount(Quantity::Out, &sums.tokens());
        format!("{tokens} tokens{}", requests.unwrap_or_default())
    }

    /// Its days: `2026-11-01`, `2026-11-01 to 11-05`, or `7 days from 2026-11-01`.
    pub(super) fn when(&self) -> String {
        let (Some(first), Some(last)) = (self.days.first(), self.days.last()) else {
            return String::new();
        };
        let count = self.days.len();
        let is_one_run = last.0 - first.0 == (i64::try_from(count).unwrap_or(0) - 1) * DAY_MS;
        match count {
            1 => first.utc_date(),
            _ if is_one_run => {
                let last = last.utc_date();
                format!("{} to {}", first.utc_date(), last.get(5..).unwrap_or(&last))
            }
            _ => format!("{count} days from {}", first.utc_date()),
        }
    }
}
