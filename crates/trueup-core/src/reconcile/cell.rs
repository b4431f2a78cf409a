//! Cells, and the rows of both sides in them.

use std::collections::BTreeMap;

use super::judge::Judged;
use super::outcome::Cell;
use super::{Class, Grain, Labels, Quantity, Row, Severity, Sums};
use crate::Decimal;

/// A row, and what of it is compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) row: &'a Row,
    pub(super) sums: &'a Sums,
}

impl Part<'_> {
    /// Calls without a price come to no money, and are there.
    pub(super) fn is_nothing(&self) -> bool {
        self.sums.is_zero() && self.row.unpriced_calls == 0
    }
}

/// A cell that is taken apart no further.
#[derive(Debug)]
pub(super) struct Leaf<'a> {
    pub(super) cell: Cell,
    pub(super) left: Vec<Part<'a>>,
    pub(super) right: Vec<Part<'a>>,
    pub(super) class: Class,
    pub(super) severity: Severity,
    pub(super) unsupported: Vec<Grain>,
}

pub(super) fn leaf<'a>(
    cell: Cell,
    left: Vec<Part<'a>>,
    right: Vec<Part<'a>>,
    judged: Judged,
    unsupported: Vec<Grain>,
) -> Vec<Leaf<'a>> {
    let Judged { severity, class } = judged;
    vec![Leaf { cell, left, right, class, severity, unsupported }]
}

pub(super) fn sum(parts: &[Part<'_>]) -> Sums {
    sum_of(parts.iter())
}

pub(super) fn exact(parts: &[Part<'_>]) -> Sums {
    sum_of(parts.iter().filter(|part| !part.row.is_estimated))
}

pub(super) fn estimated(parts: &[Part<'_>]) -> Sums {
    sum_of(parts.iter().filter(|part| part.row.is_estimated))
}

pub(super) fn sum_of<'p>(parts: impl Iterator<Item = &'p Part<'p>>) -> Sums {
    let mut sums = Sums::default();
    for part in parts {
        sums.add(part.sums);
    }
    sums
}

pub(super) fn is_nothing(parts: &[Part<'_>]) -> bool {
    parts.iter().all(Part::is_nothing)
}

/// Of what only one side has: how much is of which project and key.
pub(super) fn told_by(leaf: &Leaf<'_>) -> Vec<(Labels, Decimal)> {
    let parts = match (is_nothing(&leaf.left), is_nothing(&leaf.right)) {
        (true, false) => &leaf.right,
        (false, true) => &leaf.left,
        (true, true) | (false, false) => return Vec::new(),
    };
    let mut sums: BTreeMap<Labels, Decimal> = BTreeMap::new();
    for part in parts {
        let Labels { project, key, .. } = part.row.labels.clone();
        let weight = part.sums.tokens().plus(&part.sums.or_zero(Quantity::Cost));
        let sum = sums.entry(Labels { project, key, ..Labels::default() }).or_insert(Decimal::ZERO);
        *sum = sum.plus(&weight);
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by(|one, other| (&other.1, &one.0).cmp(&(&one.1, &other.0)));
    sums
}
