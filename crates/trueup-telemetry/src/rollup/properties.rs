//! What an event says of a bucket.

use serde::ser::{Error as _, SerializeMap as _};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use trueup_core::NANO_PER_USD;

use super::accumulator::{Accumulator, Number};
use super::plan::Rollup;
use super::spec::{NumberSpec, Reason, Unit, ValuesOutput};
use super::weights::Weights;

/// The property that says of how many rollups one was merged.
pub(crate) const MERGED: &str = "merged_rollups";
/// The property that says how many of those were of a process that was killed.
pub(crate) const RECOVERED: &str = "recovered_rollups";
/// What stands between the parts of a value that has several.
pub const COLUMN_END: char = '\u{1f}';

/// What an event says, in order. As JSON, an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Properties(pub Vec<(String, Property)>);

/// One thing that an event says.
#[derive(Debug, Clone, PartialEq)]
pub enum Property {
    /// A whole number.
    Integer(i128),
    /// Nano-dollars; as JSON, exact dollars.
    NanoUsd(i128),
    /// A mean that is no whole number.
    Real(f64),
    /// A name.
    Text(String),
    /// Yes or no.
    Flag(bool),
    /// Values and their counts. As JSON, objects with the columns and `count`.
    Counts {
        /// What the parts of a value are called.
        columns: Vec<String>,
        /// The values, the heaviest first.
        counts: Vec<(String, u128)>,
    },
}

impl Accumulator {
    /// What an event says of this bucket.
    #[must_use]
    pub fn properties(&self, rollup: &Rollup, reason: Reason, window_seq: u32) -> Properties {
        let spec = &rollup.spec;
        let mut list = vec![("count".to_owned(), Property::Integer(self.count.into()))];
        for (spec, sums) in spec.numbers.iter().zip(&self.numbers) {
            list.extend(number(spec, sums));
        }
        for (spec, counts) in spec.enums.iter().zip(&self.enums) {
            let named = spec.values.iter().zip(counts);
            list.extend(named.map(|(value, count)| {
                (format!("{}_{value}", spec.prefix), Property::Integer((*count).into()))
            }));
        }
        for (spec, weights) in spec.values.iter().zip(&self.values) {
            list.extend(values(&spec.output, weights));
        }
        let mut tail = |name: &str, value| list.push((name.to_owned(), value));
        if self.merged > 0 {
            tail(MERGED, Property::Integer(self.merged.into()));
        }
        if self.recovered > 0 {
            tail(RECOVERED, Property::Integer(self.recovered.into()));
        }
        let start = self.first.floor(spec.start_width_ms.max(1));
        tail("window_start_ts", Property::Integer(start.0.into()));
        tail("rollup_reason", Property::Text(reason.as_str().to_owned()));
        tail("window_seq", Property::Integer(window_seq.into()));
        Properties(list)
    }
}

fn number(spec: &NumberSpec, sums: &Number) -> Vec<(String, Property)> {
    let unit = |value: i128| match spec.unit {
        Unit::Integer => Property::Integer(value),
        Unit::NanoUsd => Property::NanoUsd(value),
        Unit::Millionths => Property::Real(of_millionths(value)),
    };
    let some = |value: i64| (sums.count > 0).then(|| unit(value.into()));
    // The middle of a bucket may lie outside of what came.
    let percentile = |percent| {
        let said = sums.histogram.as_ref()?.percentile(percent)?;
        Some(unit(said.clamp(sums.minimum, sums.maximum.max(sums.minimum)).into()))
    };
    let all = [
        (&spec.total, Some(unit(sums.sum))),
        (&spec.average, Some(mean(spec.unit, sums))),
        (&spec.minimum, some(sums.minimum)),
        (&spec.p50, percentile(50)),
        (&spec.p95, percentile(95)),
        (&spec.maximum, some(sums.maximum)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.clone()?, value?))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a mean that is no whole number is rounded anyway")]
fn mean(unit: Unit, sums: &Number) -> Property {
    let count = i128::from(sums.count.max(1));
    match unit {
        Unit::NanoUsd => Property::NanoUsd(sums.sum / count),
        Unit::Millionths => Property::Real(of_millionths(sums.sum) / count as f64),
        Unit::Integer if sums.sum % count == 0 => Property::Integer(sums.sum / count),
        Unit::Integer => Property::Real(sums.sum as f64 / count as f64),
    }
}

#[expect(clippy::cast_precision_loss, reason = "it was a number with a fraction when it came")]
fn of_millionths(value: i128) -> f64 {
    value as f64 / 1_000_000.0
}

fn values(output: &ValuesOutput, weights: &Weights) -> Vec<(String, Property)> {
    match output {
        ValuesOutput::Top { name } => {
            let top = weights.top().map(|top| (name.clone(), Property::Text(top.to_owned())));
            top.into_iter().collect()
        }
        ValuesOutput::List { name, columns, shown, total, other } => {
            let counts: Vec<_> = weights.heaviest(*shown);
            let listed = counts.iter().fold(0_u128, |sum, &(_, count)| sum.saturating_add(count));
            let rest = weights.total().saturating_sub(listed);
            let counts = counts.into_iter().map(|(value, count)| (value.to_owned(), count));
            let list = Property::Counts { columns: columns.clone(), counts: counts.collect() };
            let whole = |weight| Property::Integer(i128::try_from(weight).unwrap_or(i128::MAX));
            let total = total.as_ref().map(|total| (total.clone(), whole(weights.total())));
            let list = std::iter::once((name.clone(), list));
            list.chain(total).chain([(other.clone(), whole(rest))]).collect()
        }
    }
}

impl Properties {
    /// A property by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Property> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Serialize for Property {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Integer(value) => value.serialize(serializer),
            Self::NanoUsd(value) => {
                let dollars = RawValue::from_string(dollars(*value)).map_err(S::Error::custom)?;
                dollars.serialize(serializer)
            }
            Self::Real(value) => value.serialize(serializer),
            Self::Text(value) => value.serialize(serializer),
            Self::Flag(value) => value.serialize(serializer),
            Self::Counts { columns, counts } => {
                serializer.collect_seq(counts.iter().map(|(value, count)| Counted {
                    columns,
                    value,
                    count: *count,
                }))
            }
        }
    }
}

struct Counted<'a> {
    columns: &'a [String],
    value: &'a str,
    count: u128,
}

impl Serialize for Counted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        // The last column takes whatever is left of the value, so that nothing of it is lost.
        let parts = self.value.splitn(self.columns.len().max(1), COLUMN_END);
        for (column, part) in self.columns.iter().zip(parts) {
            map.serialize_entry(column, part)?;
        }
        map.serialize_entry("count", &self.count)?;
        map.end()
    }
}

/// Exact dollars, without trailing zeros. Sums may be larger than a `NanoUsd` can hold.
fn dollars(nano: i128) -> String {
    let nano_per_usd = u128::from(NANO_PER_USD.unsigned_abs());
    let (whole, fraction) =
        (nano.unsigned_abs() / nano_per_usd, nano.unsigned_abs() % nano_per_usd);
    let sign = if nano < 0 { "-" } else { "" };
    let fraction = format!("{fraction:09}");
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use trueup_core::NanoUsd;

    proptest! {
        #[test]
        fn dollars_are_written_as_the_core_writes_them(nano in any::<i64>()) {
            prop_assert_eq!(dollars(nano.into()), NanoUsd(nano).to_string());
        }
    }

    #[test]
    fn sums_past_the_range_of_one_amount_stay_exact() {
        assert_eq!(dollars(i128::from(i64::MAX) * 3 + 1), "27670116110.564327422");
    }
}
