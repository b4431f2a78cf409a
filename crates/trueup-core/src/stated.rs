//! What a statement says: the file that a provider lets its customers download.
//!
//! It tells the same as the provider's interface, so that its rows are of the same dimensions and
//! measures. What differs is that a file has lines, that each row may be as wide as it likes, and that
//! some of its rows cannot be placed in time: those are kept, too.

use std::collections::BTreeMap;

use crate::{BilledWidth, Charge, Dims, Measures, Text, UnixMs};

/// One row of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedFact {
    /// The line of the file that it begins on, from 1.
    pub line: u64,
    /// Whose usage it is: the id of a provider, or its name where trueup knows none such.
    pub provider: Text,
    /// The organization or account that it is of; empty where it is not told.
    pub account: Text,
    /// Where its bucket begins; `None` where its time cannot be read.
    pub start: Option<UnixMs>,
    /// How long that is.
    pub width_minutes: u32,
    /// What the row is about.
    pub dims: Dims,
    /// What was counted.
    pub measures: Measures,
    /// What was charged, where that is told.
    pub charge: Option<Charge>,
    /// Fields that are not known, or could not be read, as a JSON object; empty where there are none.
    pub extra: String,
}

/// Rows of a statement, added up to wider buckets: minutes and hours to days.
///
/// What is as wide as the buckets, or wider, is only added to what it cannot be told from. Rows that
/// cannot be placed in time are left out.
#[derive(Debug, Clone)]
pub struct StatedSums {
    width: BilledWidth,
    sums: BTreeMap<SumKey, StatedFact>,
}

/// What one sum is of. Money of two currencies, and quantities of two units, are never added.
type SumKey = (UnixMs, u32, Text, Text, Dims, [Option<Text>; 2]);

impl StatedSums {
    /// No sums yet, of buckets of this width.
    #[must_use]
    pub const fn new(width: BilledWidth) -> Self {
        Self { width, sums: BTreeMap::new() }
    }

    /// Adds a row. The sum keeps the line of its first row, and unknown fields only where it is alone.
    pub fn add(&mut self, mut row: StatedFact) {
        let Some(start) = row.start else { return };
        let width_minutes = u32::try_from(self.width.ms() / 60_000).unwrap_or(u32::MAX);
        if row.width_minutes < width_minutes {
            row.width_minutes = width_minutes;
            row.start = Some(start.floor(self.width.ms()));
        }
        let units = row.charge.as_ref().map_or([None, None], |charge| {
            [Some(charge.currency.clone()), charge.quantity_unit.clone()]
        });
        let key = (
            row.start.unwrap_or(start),
            row.width_minutes,
            row.provider.clone(),
            row.account.clone(),
            row.dims.clone(),
            units,
        );
        match self.sums.get_mut(&key) {
            Some(sum) => sum.plus(row),
            None => drop(self.sums.insert(key, row)),
        }
    }

    /// The sums, in order of time.
    pub fn into_rows(self) -> impl Iterator<Item = StatedFact> {
        self.sums.into_values()
    }
}

impl StatedFact {
    fn plus(&mut self, row: Self) {
        self.line = self.line.min(row.line);
        self.measures.add(&row.measures);
        self.extra.clear();
        match (&mut self.charge, row.charge) {
            (Some(one), Some(two)) => {
                let added = one.add(two);
                debug_assert!(added.is_ok(), "a sum is of one currency and unit");
            }
            (one, two) => *one = one.take().or(two),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DAY_MS, Measure};

    fn row(start: i64, width_minutes: u32, out: u64, amount: &str, currency: &str) -> StatedFact {
        let mut measures = Measures::default();
        measures.set(Measure::Out, out);
        StatedFact {
            line: 2,
            provider: "openai".into(),
            account: "".into(),
            start: Some(UnixMs(start)),
            width_minutes,
            dims: Dims::new(),
            measures,
            charge: Some(Charge {
                amount: amount.parse().unwrap(),
                currency: currency.into(),
                quantity: None,
                quantity_unit: None,
            }),
            extra: String::new(),
        }
    }

    #[test]
    fn minutes_and_hours_become_days_and_nothing_else_changes() {
        let mut sums = StatedSums::new(BilledWidth::Day);
        for row in [
            row(DAY_MS, 1, 1, "0.1", "USD"),
            row(DAY_MS + 60_000, 1, 2, "0.02", "USD"),
            row(2 * DAY_MS - 1, 60, 4, "0.003", "USD"),
            row(2 * DAY_MS, 1_440, 8, "1", "USD"),
            row(DAY_MS, 1_440, 16, "5", "EUR"),
            StatedFact { start: None, ..row(0, 1, 32, "7", "USD") },
        ] {
            sums.add(row);
        }
        let told: Vec<_> = sums
            .into_rows()
            .map(|row| {
                let charge = row.charge.unwrap();
                let out = row.measures.get(Measure::Out);
                (row.start.unwrap().0 / DAY_MS, row.width_minutes, out, charge.amount.to_string())
            })
            .collect();
        assert_eq!(
            told,
            [
                (1, 1_440, Some(16), "5".to_owned()),
                (1, 1_440, Some(7), "0.123".to_owned()),
                (2, 1_440, Some(8), "1".to_owned()),
            ]
        );
    }
}
