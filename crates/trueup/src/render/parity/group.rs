//! Differences of one kind on several days, as one line for people.

use std::collections::BTreeMap;

use trueup_core::reconcile::{Class, Finding, Labels, Reconciliation, Severity, Side, Sums};
use trueup_core::{DAY_MS, Decimal, UnixMs};

use super::day;

/// The same difference on one or several days.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) class: Class,
    pub(super) severity: Severity,
    pub(super) provider: &'a str,
    pub(super) sides: (Side, Side),
    pub(super) labels: &'a Labels,
    pub(super) accepted: Option<&'a str>,
    pub(super) days: Vec<UnixMs>,
    pub(super) left: Sums,
    pub(super) estimated: Sums,
    pub(super) right: Sums,
    pub(super) is_named: bool,
    weight: Decimal,
}

/// The differences of a run, what fails first, then the largest.
pub(super) fn groups(run: &Reconciliation) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<_, Group<'_>> = BTreeMap::new();
    for finding in &run.findings {
        let Finding { provider, sides, cell, class, severity, accepted, .. } = finding;
        let key = (provider, *sides, *class, *severity, &cell.labels, accepted);
        let group = groups.entry(key).or_insert_with(|| Group {
            class: *class,
            severity: *severity,
            provider,
            sides: *sides,
            labels: &cell.labels,
            accepted: accepted.as_deref(),
            days: Vec::new(),
            left: Sums::default(),
            estimated: Sums::default(),
            right: Sums::default(),
            is_named: false,
            weight: Decimal::ZERO,
        });
        group.days.push(cell.day);
        group.left.add(&finding.left);
        group.estimated.add(&finding.estimated);
        group.right.add(&finding.right);
        group.is_named |= finding.is_named;
        group.weight = group.weight.plus(&finding.weight());
    }
    let mut groups: Vec<Group<'_>> = groups.into_values().collect();
    for group in &mut groups {
        group.days.sort_unstable();
    }
    groups.sort_by(|one, other| {
        let rank =
            |of: &Group<'_>| (of.accepted.is_some(), std::cmp::Reverse(of.severity), of.sides);
        rank(one).cmp(&rank(other)).then_with(|| other.weight.cmp(&one.weight))
    });
    groups
}

impl Group<'_> {
    /// Which part of a day it is, in words: `gpt-5, batch, proj_beta`.
    pub(super) fn place(&self) -> String {
        let Labels { model, tier, context, project, key } = self.labels;
        let none = |what: &str, label: &Option<_>| {
            label.as_ref().map(|label: &trueup_core::Text| match &**label {
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

    /// Its days: `2026-11-01`, `2026-11-01 to 11-05`, or `7 days from 2026-11-01`.
    pub(super) fn when(&self) -> String {
        let (Some(first), Some(last)) = (self.days.first(), self.days.last()) else {
            return String::new();
        };
        let count = self.days.len();
        let is_one_run = last.0 - first.0 == (i64::try_from(count).unwrap_or(0) - 1) * DAY_MS;
        match count {
            1 => day(*first),
            _ if is_one_run => {
                let last = day(*last);
                format!("{} to {}", day(*first), last.get(5..).unwrap_or(&last))
            }
            _ => format!("{count} days from {}", day(*first)),
        }
    }
}
