//! Every amount ends in exactly one place: matched, different or missing, and the three add up.

use std::collections::BTreeMap;

use super::{Quantity, Side, Sums};
use crate::Decimal;

/// Where the amounts of one side of one comparison went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TieLine {
    /// The side.
    pub side: Side,
    /// Whether it is what agents claim rather than what was measured.
    pub is_estimated: bool,
    /// Of what.
    pub quantity: Quantity,
    /// What the other side has, too.
    pub matched: Decimal,
    /// What it has more than the other side, in cells that both have.
    pub variance: Decimal,
    /// What stands in cells that the other side does not have.
    pub missing: Decimal,
    /// The side's total, taken from its rows and from nothing else.
    pub total: Decimal,
}

impl TieLine {
    /// Whether the three add up to the total, exactly.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.matched.plus(&self.variance).plus(&self.missing) == self.total
    }
}

/// One side's amounts in one cell, by where they went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Both sides have the cell.
    Shared,
    /// Only one has it.
    Alone,
}

/// Sums by side, whether they are estimated, and quantity.
#[derive(Debug, Default)]
pub(super) struct Ties(BTreeMap<(Side, bool, Quantity), [Decimal; 3]>);

impl Ties {
    /// A cell: what one side says, and what of it the other side has.
    pub(super) fn add(
        &mut self,
        side: Side,
        is_estimated: bool,
        own: &Sums,
        other: &Sums,
        place: Place,
    ) {
        for (quantity, amount) in own.told() {
            let line = self
                .0
                .entry((side, is_estimated, quantity))
                .or_insert_with(|| [Decimal::ZERO, Decimal::ZERO, Decimal::ZERO]);
            let [matched, variance, missing] = line;
            if place == Place::Alone {
                *missing = missing.plus(amount);
                continue;
            }
            let shared = shared(amount, &other.or_zero(quantity));
            *matched = matched.plus(&shared);
            *variance = variance.plus(&amount.minus(&shared));
        }
    }

    /// The lines, beside totals that were taken from the rows.
    pub(super) fn lines(self, totals: &BTreeMap<(Side, bool), Sums>) -> Vec<TieLine> {
        let mut lines = Vec::new();
        for ((side, is_estimated), total) in totals {
            for (quantity, total) in total.told() {
                let line = self.0.get(&(*side, *is_estimated, quantity)).cloned();
                let [matched, variance, missing] =
                    line.unwrap_or([Decimal::ZERO, Decimal::ZERO, Decimal::ZERO]);
                let (side, is_estimated, total) = (*side, *is_estimated, total.clone());
                lines.push(TieLine {
                    side,
                    is_estimated,
                    quantity,
                    matched,
                    variance,
                    missing,
                    total,
                });
            }
        }
        lines
    }
}

/// What two amounts have in common: the smaller one, or nothing where one is a credit.
pub(super) fn shared(one: &Decimal, other: &Decimal) -> Decimal {
    if one.is_negative() != other.is_negative() {
        return Decimal::ZERO;
    }
    if one.clone().abs() <= other.clone().abs() { one.clone() } else { other.clone() }
}
