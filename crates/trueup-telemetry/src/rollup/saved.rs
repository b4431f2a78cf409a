//! Sums as they lie on disk: by name, so that another version of the product can read them.
//!
//! ```json
//! {"count":2,"first":1795000000000,"last":1795000004000,"numbers":{"tokens_input":
//!  {"count":2,"sum":2400,"minimum":1100,"maximum":1300}},"enums":{"outcome":{"ok":2}},
//!  "values":{"model":{"kept":{"claude-opus-4-5":2}}}}
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trueup_core::UnixMs;

use super::accumulator::{Accumulator, Number};
use super::plan::Rollup;

/// Sums by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved<'a> {
    count: u64,
    first: UnixMs,
    last: UnixMs,
    #[serde(default, skip_serializing_if = "is_zero")]
    merged: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    recovered: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    numbers: BTreeMap<Cow<'a, str>, SavedNumber>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    enums: BTreeMap<Cow<'a, str>, BTreeMap<Cow<'a, str>, u64>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    values: BTreeMap<Cow<'a, str>, SavedWeights<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedNumber {
    count: u64,
    sum: i128,
    minimum: i64,
    maximum: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    histogram: Vec<(u16, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedWeights<'a> {
    kept: BTreeMap<Cow<'a, str>, u128>,
    #[serde(default, skip_serializing_if = "is_none")]
    rest: u128,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

const fn is_none(weight: &u128) -> bool {
    *weight == 0
}

impl<'a> Saved<'a> {
    /// Sums, to be written.
    #[must_use]
    pub fn of(sums: &'a Accumulator, rollup: &'a Rollup) -> Self {
        let spec = &rollup.spec;
        let numbers = spec.numbers.iter().zip(&sums.numbers).filter(|(_, sums)| sums.count > 0);
        let enums = spec.enums.iter().zip(&sums.enums).map(|(spec, counts)| {
            let counts = spec.values.iter().zip(counts).filter(|(_, count)| **count > 0);
            let counts = counts.map(|(value, count)| (Cow::from(value), *count)).collect();
            (Cow::from(&spec.field), counts)
        });
        let values = spec.values.iter().zip(&sums.values).map(|(spec, weights)| {
            let kept = weights.kept().map(|(value, weight)| (Cow::from(value), weight)).collect();
            (Cow::from(&spec.field), SavedWeights { kept, rest: weights.rest() })
        });
        Self {
            count: sums.count,
            first: sums.first,
            last: sums.last,
            merged: sums.merged,
            recovered: sums.recovered,
            numbers: numbers
                .map(|(spec, sums)| (Cow::from(&spec.field), SavedNumber::of(sums)))
                .collect(),
            enums: enums.collect(),
            values: values.collect(),
        }
    }

    /// The sums that were saved, for a rollup that may have become another since: what it no longer
    /// has is left out, and counted.
    #[must_use]
    pub fn restore(&self, rollup: &Rollup) -> (Accumulator, u64) {
        let mut sums = Accumulator::new(rollup);
        (sums.count, sums.first, sums.last) = (self.count, self.first, self.last);
        (sums.merged, sums.recovered) = (self.merged, self.recovered);
        let spec = &rollup.spec;
        let mut unknown = self.numbers.len() + self.enums.len() + self.values.len();
        for (spec, sums) in spec.numbers.iter().zip(&mut sums.numbers) {
            let Some(saved) = self.numbers.get(spec.field.as_str()) else { continue };
            saved.restore(sums);
            unknown -= 1;
        }
        for (spec, counts) in spec.enums.iter().zip(&mut sums.enums) {
            let Some(saved) = self.enums.get(spec.field.as_str()) else { continue };
            unknown += saved.len();
            for (value, count) in spec.values.iter().zip(counts) {
                let Some(saved) = saved.get(value.as_str()) else { continue };
                *count = *saved;
                unknown -= 1;
            }
            unknown -= 1;
        }
        for (spec, weights) in spec.values.iter().zip(&mut sums.values) {
            let Some(saved) = self.values.get(spec.field.as_str()) else { continue };
            for (value, weight) in &saved.kept {
                unknown += usize::from(!weights.add(value, *weight));
            }
            weights.add_rest(saved.rest);
            unknown -= 1;
        }
        (sums, u64::try_from(unknown).unwrap_or(u64::MAX))
    }

    /// The same, without what it was made of.
    #[must_use]
    pub fn into_owned(self) -> Saved<'static> {
        let enums = self.enums.into_iter();
        let values = self.values.into_iter();
        Saved {
            count: self.count,
            first: self.first,
            last: self.last,
            merged: self.merged,
            recovered: self.recovered,
            numbers: owned(self.numbers),
            enums: enums.map(|(field, counts)| (own(field), owned(counts))).collect(),
            values: values.map(|(field, weights)| (own(field), weights.into_owned())).collect(),
        }
    }
}

fn own(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

fn owned<T>(map: BTreeMap<Cow<'_, str>, T>) -> BTreeMap<Cow<'static, str>, T> {
    map.into_iter().map(|(name, value)| (own(name), value)).collect()
}

impl SavedWeights<'_> {
    fn into_owned(self) -> SavedWeights<'static> {
        SavedWeights { kept: owned(self.kept), rest: self.rest }
    }
}

impl SavedNumber {
    fn of(sums: &Number) -> Self {
        let histogram = sums.histogram.as_ref().map(|histogram| histogram.buckets().collect());
        Self {
            count: sums.count,
            sum: sums.sum,
            minimum: sums.minimum,
            maximum: sums.maximum,
            histogram: histogram.unwrap_or_default(),
        }
    }

    fn restore(&self, sums: &mut Number) {
        if self.count == 0 {
            return; // Of nothing there is no smallest, whatever stands here.
        }
        (sums.count, sums.sum) = (self.count, self.sum);
        (sums.minimum, sums.maximum) = (self.minimum, self.maximum);
        if let Some(histogram) = &mut sums.histogram {
            for &(bucket, count) in &self.histogram {
                histogram.add_bucket(bucket, count);
            }
        }
    }
}
