//! What is added up, as plain data. A manifest is turned into it elsewhere, and it into a
//! [`Plan`](super::Plan).

use serde::{Deserialize, Serialize};
use trueup_core::HOUR_MS;

/// What one event adds up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupSpec {
    /// The name of the event, such as `observer_turn_rollup`.
    pub event: String,
    /// What one bucket covers.
    pub grain: Grain,
    /// Fields that are numbers.
    pub numbers: Vec<NumberSpec>,
    /// Fields that are one of a few values.
    pub enums: Vec<EnumSpec>,
    /// Fields that are one of many values, such as the name of a model.
    pub values: Vec<ValuesSpec>,
    /// Age after which a session's bucket is ended and a next one begun.
    pub max_age_ms: i64,
    /// Records after which a bucket is ended and a next one begun.
    pub max_records: u64,
    /// What `window_start_ts` is rounded down to: 1 for the instant, a day's length for the day alone.
    pub start_width_ms: i64,
}

/// What one bucket covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// A session: until its end, its age or its count.
    Session,
    /// A stretch of time, counted from the epoch, whoever recorded.
    Window {
        /// How long it is; 300,000 for five minutes.
        length_ms: i64,
    },
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// As the integer that it is.
    Integer,
    /// Recorded in nano-dollars, written as exact dollars.
    NanoUsd,
    /// Recorded in millionths, written as a number with a fraction.
    Millionths,
}

/// A field that is a number, and the properties made of it. Each `Some` is the property's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberSpec {
    /// Its name in a record.
    pub field: String,
    /// How it is written.
    pub unit: Unit,
    /// The exact sum.
    pub total: Option<String>,
    /// The mean of the records that had the field; 0 if none had.
    pub average: Option<String>,
    /// The smallest.
    pub minimum: Option<String>,
    /// The largest.
    pub maximum: Option<String>,
    /// The median, at most 5 % off. With this or `p95` the field must not be negative.
    pub p50: Option<String>,
    /// The 95th percentile, at most 5 % off.
    pub p95: Option<String>,
}

/// A field that is one of a few values; each value's count is a property, also where it is zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnumSpec {
    /// Its name in a record.
    pub field: String,
    /// What stands before `_value` in the properties, such as `outcomes`.
    pub prefix: String,
    /// All values that are counted. Any other is refused.
    pub values: Vec<String>,
}

/// A field that is one of many values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValuesSpec {
    /// Its name in a record.
    pub field: String,
    /// The field of the same record by which values are weighed; each record weighs 1 without one.
    pub weight: Option<String>,
    /// Different values that are kept apart, in one bucket.
    pub kept: usize,
    /// What is said of them.
    pub output: ValuesOutput,
}

/// What is said of a field that is one of many values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValuesOutput {
    /// The one of the largest weight; of equal ones the first in the order of bytes.
    Top {
        /// The property, such as `top_model`.
        name: String,
    },
    /// The heaviest with their weights, and the weight of all others.
    List {
        /// The property that holds the list, such as `errors`.
        name: String,
        /// What the parts of a value are called, which [`COLUMN_END`](super::COLUMN_END) divides.
        columns: Vec<String>,
        /// How many are listed.
        shown: usize,
        /// The property that holds the weight of all.
        total: Option<String>,
        /// The property that holds the weight of what is not listed, such as `other_count`.
        other: String,
    },
}

/// Why a bucket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The session ended.
    SessionEnd,
    /// The process shut down in order.
    WorkerShutdown,
    /// The bucket was too old, or had too many records, or too many were open.
    SafetyFlush,
    /// Its window of time was over.
    Window,
    /// Its process ended without a shutdown, and the next found it.
    Recovered,
    /// Too many for the budget: merged into its day.
    BudgetMerge,
    /// The day, where the budget has room for nothing finer.
    Daily,
}

impl Reason {
    /// As `rollup_reason` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SessionEnd => "session_end",
            Self::WorkerShutdown => "worker_shutdown",
            Self::SafetyFlush => "safety_flush",
            Self::Window => "window",
            Self::Recovered => "recovered",
            Self::BudgetMerge => "budget_merge",
            Self::Daily => "daily",
        }
    }
}

/// A value of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of a number's field.
    Number(i64),
    /// Of an enum's field, or of one of many values.
    Text(&'a str),
}

impl RollupSpec {
    /// A rollup of sessions, ended after an hour or 1,000 records, without any field yet.
    #[must_use]
    pub fn session(event: &str) -> Self {
        Self {
            event: event.to_owned(),
            grain: Grain::Session,
            numbers: Vec::new(),
            enums: Vec::new(),
            values: Vec::new(),
            max_age_ms: HOUR_MS,
            max_records: 1_000,
            start_width_ms: 1,
        }
    }

    /// A rollup of windows of `length_ms`, without any field yet.
    #[must_use]
    pub fn window(event: &str, length_ms: i64) -> Self {
        Self {
            grain: Grain::Window { length_ms },
            max_records: u64::MAX,
            max_age_ms: i64::MAX,
            ..Self::session(event)
        }
    }
}

impl NumberSpec {
    /// A field of which nothing is said.
    #[must_use]
    pub fn new(field: &str, unit: Unit) -> Self {
        Self {
            field: field.to_owned(),
            unit,
            total: None,
            average: None,
            minimum: None,
            maximum: None,
            p50: None,
            p95: None,
        }
    }

    /// `total_<field>`.
    #[must_use]
    pub fn sum(field: &str, unit: Unit) -> Self {
        Self { total: Some(format!("total_{field}")), ..Self::new(field, unit) }
    }

    /// The sum, under a name of its own.
    #[must_use]
    pub fn sum_as(field: &str, name: &str) -> Self {
        Self { total: Some(name.to_owned()), ..Self::new(field, Unit::Integer) }
    }

    /// `avg_`, `p50_`, `p95_` and `max_<field>`.
    #[must_use]
    pub fn histogram(field: &str) -> Self {
        Self {
            average: Some(format!("avg_{field}")),
            maximum: Some(format!("max_{field}")),
            p50: Some(format!("p50_{field}")),
            p95: Some(format!("p95_{field}")),
            ..Self::new(field, Unit::Integer)
        }
    }

    pub(crate) const fn has_histogram(&self) -> bool {
        self.p50.is_some() || self.p95.is_some()
    }

    pub(super) fn outputs(&self) -> impl Iterator<Item = &String> {
        [&self.total, &self.average, &self.minimum, &self.maximum, &self.p50, &self.p95]
            .into_iter()
            .flatten()
    }
}

impl EnumSpec {
    /// `<field>s_<value>`, as `outcomes_ok` of `outcome`.
    #[must_use]
    pub fn plural(field: &str, values: &[&str]) -> Self {
        Self {
            field: field.to_owned(),
            prefix: format!("{field}s"),
            values: values.iter().map(|&value| value.to_owned()).collect(),
        }
    }
}

impl ValuesSpec {
    /// `top_<field>`, by the number of records.
    #[must_use]
    pub fn top(field: &str) -> Self {
        Self {
            field: field.to_owned(),
            weight: None,
            kept: 64,
            output: ValuesOutput::Top { name: format!("top_{field}") },
        }
    }

    /// The heaviest `shown` of 64 that are kept, by the number of records.
    #[must_use]
    pub fn list(field: &str, name: &str, shown: usize, other: &str) -> Self {
        Self {
            output: ValuesOutput::List {
                name: name.to_owned(),
                columns: vec![field.to_owned()],
                shown,
                total: None,
                other: other.to_owned(),
            },
            ..Self::top(field)
        }
    }
}
