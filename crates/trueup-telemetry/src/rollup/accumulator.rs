//! The sums of one bucket.

use trueup_core::UnixMs;

use super::histogram::Histogram;
use super::plan::{FieldId, Rollup, Slot};
use super::spec::{NumberSpec, Value};
use super::weights::Weights;

/// The sums of one bucket: of a session, a window, or whatever was merged into them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accumulator {
    pub(crate) count: u64,
    pub(crate) first: UnixMs,
    pub(crate) last: UnixMs,
    /// Rollups that were merged into this one, and are no events of their own.
    pub(crate) merged: u64,
    /// Those among them whose process ended without a shutdown.
    pub(crate) recovered: u64,
    pub(crate) numbers: Vec<Number>,
    pub(crate) enums: Vec<Vec<u64>>,
    pub(crate) values: Vec<Weights>,
}

/// The sums of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// Records that had the field.
    pub count: u64,
    /// Their exact sum.
    pub sum: i128,
    /// The smallest; of none, the largest there is.
    pub minimum: i64,
    /// The largest; of none, the smallest there is.
    pub maximum: i64,
    /// For percentiles, where there are some.
    pub histogram: Option<Histogram>,
}

impl Accumulator {
    /// Nothing yet.
    #[must_use]
    pub fn new(rollup: &Rollup) -> Self {
        let spec = &rollup.spec;
        Self {
            count: 0,
            first: UnixMs(i64::MAX),
            last: UnixMs(i64::MIN),
            merged: 0,
            recovered: 0,
            numbers: spec.numbers.iter().map(Number::new).collect(),
            enums: spec.enums.iter().map(|spec| vec![0; spec.values.len()]).collect(),
            values: spec.values.iter().map(|spec| Weights::new(spec.kept)).collect(),
        }
    }

    /// Adds one record, and says how many of its values were refused: of a kind that the field does
    /// not have, outside of its enum, negative where percentiles are made, or too long. The record
    /// counts without them.
    pub fn add(&mut self, rollup: &Rollup, values: &[(FieldId, Value<'_>)], now: UnixMs) -> u64 {
        self.count = self.count.saturating_add(1);
        self.note(rollup, values, now)
    }

    /// Adds values that are no record, such as an error's: [`count`](Self::count) stays as it is.
    pub fn note(&mut self, rollup: &Rollup, values: &[(FieldId, Value<'_>)], now: UnixMs) -> u64 {
        self.first = self.first.min(now);
        self.last = self.last.max(now);
        let mut refused = 0;
        for &(field, value) in values {
            let is_taken = match (rollup.slot(field), value) {
                (Some(Slot::Number(place)), Value::Number(number)) => {
                    self.numbers.get_mut(place).is_some_and(|sums| sums.add(number))
                }
                (Some(Slot::Enum(place)), Value::Text(text)) => {
                    self.add_enum(rollup, place, text).is_some()
                }
                (Some(Slot::Values(place)), Value::Text(text)) => {
                    let weight = weight(rollup, place, values);
                    self.values.get_mut(place).is_some_and(|sums| sums.add(text, weight))
                }
                (Some(Slot::Number(_) | Slot::Enum(_) | Slot::Values(_)) | None, _) => false,
            };
            refused += u64::from(!is_taken);
        }
        refused
    }

    /// Adds the sums of another of the same rollup. Associative and commutative.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.merged = self.merged.saturating_add(other.merged);
        self.recovered = self.recovered.saturating_add(other.recovered);
        for (sums, more) in self.numbers.iter_mut().zip(&other.numbers) {
            sums.merge(more);
        }
        for (counts, more) in self.enums.iter_mut().zip(&other.enums) {
            for (count, more) in counts.iter_mut().zip(more) {
                *count = count.saturating_add(*more);
            }
        }
        for (weights, more) in self.values.iter_mut().zip(&other.values) {
            weights.merge(more);
        }
    }

    /// The records of the bucket.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// When the first and the last record came; of none, the ends of time the wrong way round.
    #[must_use]
    pub const fn span(&self) -> (UnixMs, UnixMs) {
        (self.first, self.last)
    }

    /// Marks it as a part of another that it is merged into.
    pub(crate) fn into_part(mut self, is_recovered: bool) -> Self {
        if self.merged == 0 {
            self.merged = 1;
            self.recovered = u64::from(is_recovered);
        }
        self
    }

    fn add_enum(&mut self, rollup: &Rollup, place: usize, text: &str) -> Option<()> {
        let values = &rollup.spec.enums.get(place)?.values;
        let value = values.iter().position(|value| value == text)?;
        let count = self.enums.get_mut(place)?.get_mut(value)?;
        *count = count.saturating_add(1);
        Some(())
    }
}

/// What a value weighs in its record: without the field that says so, or with less than nothing in
/// it, nothing.
fn weight(rollup: &Rollup, place: usize, values: &[(FieldId, Value<'_>)]) -> u128 {
    let Some(field) = rollup.weights.get(place).copied().flatten() else { return 1 };
    let number = values.iter().find_map(|&(other, value)| match value {
        Value::Number(number) if other == field => Some(number),
        Value::Number(_) | Value::Text(_) => None,
    });
    number.and_then(|number| u128::try_from(number).ok()).unwrap_or(0)
}

impl Number {
    pub(crate) fn new(spec: &NumberSpec) -> Self {
        Self {
            count: 0,
            sum: 0,
            minimum: i64::MAX,
            maximum: i64::MIN,
            histogram: spec.has_histogram().then(Histogram::default),
        }
    }

    fn add(&mut self, number: i64) -> bool {
        if let Some(histogram) = &mut self.histogram {
            if number < 0 {
                return false;
            }
            histogram.add(number);
        }
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(i128::from(number));
        self.minimum = self.minimum.min(number);
        self.maximum = self.maximum.max(number);
        true
    }

    fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        if let (Some(histogram), Some(more)) = (&mut self.histogram, &other.histogram) {
            histogram.merge(more);
        }
    }
}
