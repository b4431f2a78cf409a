//! `GET /api/v1/metrics/host`: samples of the machine over time, with the calls beside them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use trueup_core::report::Window;
use trueup_core::{DAY_MS, QUARTER_MS, UnixMs, Witness};
use trueup_ledger::{Folded, FoldedSamples, SAMPLED};

use super::asked::{Asked, DEVICE, Kind, Parameter, TIME};
use super::query::buckets;
use super::{Endpoint, Failed, Sight};
use crate::usage::Usage;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    path: "/api/v1/metrics/host",
    about: "Samples of the machine over time, with the calls beside them",
    parameters: &[TIME, PARAMETERS, &[DEVICE]],
    answer,
};

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "bucket",
    about: "how wide the buckets are; `auto` is the finest with at most 120",
    kind: Kind::Word(&["auto", "30m", "1h", "1d", "1w", "1mo", "none"]),
}];

fn answer(asked: &Asked, sight: &Sight<'_>) -> Result<Value, Failed> {
    let facts = sight.facts(asked)?;
    let mut calendar = asked.calendar(sight);
    let first = facts.first_sample()?;
    let days = asked.days(&calendar, first, sight.now)?;
    let buckets = buckets(asked, &mut calendar, &days)?;
    let spans = buckets.spans();
    let (samples, is_cut) = facts.samples(&spans)?;
    let scopes: BTreeSet<&String> = samples.iter().flat_map(|samples| &samples.scopes).collect();
    Ok(json!({
        "schema": 1,
        "tz": calendar.zone_name(),
        "from": days.from.to_string(),
        "to": days.to.to_string(),
        "bucket": buckets.name,
        "buckets": buckets.as_json(&buckets.states(first, sight.now)),
        "calls": calls(&sight.usage(asked)?, &spans)?,
        "metrics": metrics(&samples),
        "sources": scopes,
        "is_cut": is_cut,
        "cli": format!("trueup export host{}{}", days.options(&calendar), asked.device_option()),
    }))
}

/// Measured calls of each bucket.
fn calls(usage: &Usage, spans: &[(UnixMs, UnixMs)]) -> Result<Vec<u64>, Failed> {
    let mut calls = vec![0_u64; spans.len()];
    let is_of_days = |(from, until): &(UnixMs, UnixMs)| {
        from.floor(DAY_MS) == *from && until.floor(DAY_MS) == *until
    };
    let width_ms = if spans.iter().all(is_of_days) { DAY_MS } else { QUARTER_MS };
    let (Some((from, _)), Some((_, until))) = (spans.first(), spans.last()) else {
        return Ok(calls);
    };
    let window = Window { from: *from, until: *until };
    usage.by_time(width_ms, window, &mut |entry| {
        let is_measured = entry.series.witness == Witness::Measured;
        let behind = spans.partition_point(|(from, _)| *from <= entry.start);
        let bucket = behind.checked_sub(1).filter(|_| is_measured);
        if let Some(sum) = bucket.and_then(|at| calls.get_mut(at)) {
            *sum = sum.saturating_add(entry.counters.calls);
        }
    })?;
    Ok(calls)
}

/// Every metric, by the name of its column.
fn metrics(samples: &[FoldedSamples]) -> Value {
    let each = SAMPLED.iter().zip(0..).map(|(column, at): (_, usize)| {
        let shown = Shown::of(column);
        let values = |value: fn(&Folded) -> Measured| -> Vec<Value> {
            let folded = samples.iter().map(|samples| samples.values.get(at).copied().flatten());
            folded.map(|folded| folded.map_or(Value::Null, |it| shown.value(value(&it)))).collect()
        };
        let mean = values(|folded| Measured::Mean(mean(folded)));
        let max = values(|folded| Measured::Whole(folded.max));
        (shown.name.clone(), json!({"unit": shown.unit, "mean": mean, "max": max}))
    });
    Value::Object(each.collect::<Map<_, _>>())
}

/// A value as the ledger has it.
#[derive(Clone, Copy)]
enum Measured {
    Mean(f64),
    Whole(i64),
}

/// How a column is shown.
struct Shown {
    name: String,
    unit: &'static str,
    /// How many of the column's units make one.
    per: f64,
    /// Whether parts of one mean nothing.
    is_whole: bool,
}

/// The ends of columns, and what they are shown as.
const UNITS: [(&str, &str, &str, f64); 4] = [
    ("_millipercent", "_percent", "percent", 1_000.0),
    ("_millicores", "_cores", "cores", 1_000.0),
    ("_bytes_per_second", "_bytes_per_second", "bytes per second", 1.0),
    ("_bytes", "_bytes", "bytes", 1.0),
];

impl Shown {
    fn of(column: &str) -> Self {
        let unit = UNITS.iter().find_map(|(end, shown, unit, per)| {
            let name = format!("{}{shown}", column.strip_suffix(end)?);
            Some(Self { name, unit, per: *per, is_whole: unit.starts_with("bytes") })
        });
        unit.unwrap_or_else(|| Self {
            name: column.to_owned(),
            unit: "count",
            per: 1.0,
            is_whole: false,
        })
    }

    fn value(&self, measured: Measured) -> Value {
        match measured {
            Measured::Whole(value) if self.per <= 1.0 => json!(value),
            Measured::Whole(value) => json!(rounded(float(value) / self.per)),
            Measured::Mean(value) if self.is_whole => json!(whole(value)),
            Measured::Mean(value) => json!(rounded(value / self.per)),
        }
    }
}

/// To three places: what is shown is no more exact.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[expect(clippy::cast_precision_loss, reason = "what is only shown")]
fn mean(folded: &Folded) -> f64 {
    folded.sum as f64 / f64::from(folded.samples)
}

#[expect(clippy::cast_precision_loss, reason = "what is only shown")]
const fn float(value: i64) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, reason = "what is only shown; it stops at the largest")]
fn whole(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_units_that_their_names_say() {
        for (column, name, unit, mean, max) in [
            ("cpu_millipercent", "cpu_percent", "percent", json!(1.5), json!(2.0)),
            ("cpu_capacity_millicores", "cpu_capacity_cores", "cores", json!(1.5), json!(2.0)),
            ("mem_rss_bytes", "mem_rss_bytes", "bytes", json!(1500), json!(2000)),
            ("zombies", "zombies", "count", json!(1500.4), json!(2000)),
        ] {
            let shown = Shown::of(column);
            assert_eq!((&*shown.name, shown.unit), (name, unit));
            assert_eq!(shown.value(Measured::Whole(2_000)), max, "{column}");
            let told = shown.value(Measured::Mean(1_500.4));
            let expected = if shown.per > 1.0 { json!(1.5) } else { mean };
            assert_eq!(told, expected, "{column}");
        }
    }
}
