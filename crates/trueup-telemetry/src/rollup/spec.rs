//! What is added up, as plain data, and the plan that it is compiled into.
//!
//! A manifest is turned into [`RollupSpec`]s elsewhere. A [`Plan`] has been checked: its names are
//! unique and its sizes bounded.

use serde::{Deserialize, Serialize};
use trueup_core::{DAY_MS, HOUR_MS};

/// Fields of one rollup at most: a record is looked at field by field.
pub(super) const FIELDS_MAX: usize = 64;
/// Values of one enum at most: each is a property of the event.
pub(super) const ENUM_VALUES_MAX: usize = 64;
/// Bytes of the name of an event, a field or an enum's value at most.
pub(super) const NAME_BYTES_MAX: usize = 64;
/// Rollups of a product at most.
pub(super) const ROLLUPS_MAX: usize = 32;
/// Different values of one field that are kept apart at most; the rest is one sum.
pub(super) const VALUES_KEPT_MAX: usize = 1_024;

/// Properties that every rollup has, whose names no field may take.
const RESERVED: [&str; 6] = [
    "count",
    "window_start_ts",
    "rollup_reason",
    "window_seq",
    "merged_rollups",
    "recovered_rollups",
];

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
        /// How many are listed.
        shown: usize,
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

/// Which rollup of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RollupId(pub(crate) u16);

/// Which field of a rollup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldId(pub(crate) u16);

/// Where the values of a field go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    Number(usize),
    Enum(usize),
    Values(usize),
}

/// One checked rollup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollup {
    /// As it was given.
    pub spec: RollupSpec,
    pub(crate) slots: Vec<(String, Slot)>,
    /// For each of `spec.values`, the field by which it is weighed.
    pub(crate) weights: Vec<Option<FieldId>>,
}

/// All rollups of a product, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    rollups: Vec<Rollup>,
}

/// Why specifications make no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two rollups of one event.
    #[error("event `{event}` has more than one rollup: give each an event of its own")]
    EventTwice {
        /// The event.
        event: String,
    },
    /// Two fields, or two properties, of one name.
    #[error("rollup `{event}`: the name `{name}` is used twice, or is one that every rollup has")]
    NameTwice {
        /// The rollup's event.
        event: String,
        /// The name.
        name: String,
    },
    /// A name that is empty or too long.
    #[error("rollup `{event}`: `{name}` must have 1 to {NAME_BYTES_MAX} bytes")]
    NameLength {
        /// The rollup's event.
        event: String,
        /// The name.
        name: String,
    },
    /// The field by which values are weighed is no number of the same rollup.
    #[error("rollup `{event}`: `{field}` is weighed by `{weight}`, which is no number of it")]
    NoWeight {
        /// The rollup's event.
        event: String,
        /// The field.
        field: String,
        /// What it is weighed by.
        weight: String,
    },
    /// More of something than is allowed.
    #[error("{of}: {count} {what}, of which there may be 1 to {max}")]
    OutOfBounds {
        /// The rollup's event, or the plan.
        of: String,
        /// What there is too much of.
        what: &'static str,
        /// How much.
        count: i64,
        /// How much there may be.
        max: i64,
    },
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

    fn outputs(&self) -> impl Iterator<Item = &String> {
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
            output: ValuesOutput::List { name: name.to_owned(), shown, other: other.to_owned() },
            ..Self::top(field)
        }
    }
}

impl Plan {
    /// Checks what is to be added up.
    ///
    /// ```
    /// use trueup_telemetry::rollup::{EnumSpec, NumberSpec, Plan, RollupSpec, Unit};
    /// let mut turns = RollupSpec::session("observer_turn_rollup");
    /// turns.numbers.push(NumberSpec::sum("tokens_input", Unit::Integer));
    /// turns.enums.push(EnumSpec::plural("outcome", &["ok", "error"]));
    /// let plan = Plan::new(vec![turns]).unwrap();
    /// assert!(plan.rollup("observer_turn_rollup").is_some());
    /// ```
    pub fn new(specs: Vec<RollupSpec>) -> Result<Self, PlanError> {
        bounded("the plan", "rollups", specs.len(), ROLLUPS_MAX)?;
        let mut plan = Self::default();
        for spec in specs {
            if plan.rollup(&spec.event).is_some() {
                return Err(PlanError::EventTwice { event: spec.event });
            }
            plan.rollups.push(Rollup::new(spec)?);
        }
        Ok(plan)
    }

    /// The rollup of an event.
    #[must_use]
    pub fn rollup(&self, event: &str) -> Option<RollupId> {
        let place = self.rollups.iter().position(|rollup| rollup.spec.event == event)?;
        u16::try_from(place).ok().map(RollupId)
    }

    /// What a rollup adds up; of another plan's, nothing.
    #[must_use]
    pub fn get(&self, id: RollupId) -> Option<&Rollup> {
        self.rollups.get(usize::from(id.0))
    }

    /// A field of a rollup by its name in records.
    #[must_use]
    pub fn field(&self, id: RollupId, name: &str) -> Option<FieldId> {
        self.get(id)?.field(name)
    }

    /// How many events have rollups.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rollups.len()
    }

    /// Whether nothing is added up.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rollups.is_empty()
    }
}

impl Rollup {
    fn new(spec: RollupSpec) -> Result<Self, PlanError> {
        let mut slots = Vec::new();
        let numbers = spec.numbers.iter().map(|number| &number.field);
        slots.extend(numbers.enumerate().map(|(i, name)| (name.clone(), Slot::Number(i))));
        let enums = spec.enums.iter().map(|spec| &spec.field);
        slots.extend(enums.enumerate().map(|(i, name)| (name.clone(), Slot::Enum(i))));
        let values = spec.values.iter().map(|spec| &spec.field);
        slots.extend(values.enumerate().map(|(i, name)| (name.clone(), Slot::Values(i))));
        let mut rollup = Self { spec, slots, weights: Vec::new() };
        rollup.check_names()?;
        rollup.check_bounds()?;
        rollup.weights =
            rollup.spec.values.iter().map(|spec| rollup.weight(spec)).collect::<Result<_, _>>()?;
        Ok(rollup)
    }

    pub(crate) fn field(&self, name: &str) -> Option<FieldId> {
        let place = self.slots.iter().position(|(field, _)| field == name)?;
        u16::try_from(place).ok().map(FieldId)
    }

    pub(crate) fn slot(&self, field: FieldId) -> Option<Slot> {
        self.slots.get(usize::from(field.0)).map(|(_, slot)| *slot)
    }

    fn weight(&self, spec: &ValuesSpec) -> Result<Option<FieldId>, PlanError> {
        let Some(weight) = &spec.weight else { return Ok(None) };
        let field = self.field(weight);
        match field.and_then(|field| self.slot(field)) {
            Some(Slot::Number(_)) => Ok(field),
            Some(Slot::Enum(_) | Slot::Values(_)) | None => Err(PlanError::NoWeight {
                event: self.spec.event.clone(),
                field: spec.field.clone(),
                weight: weight.clone(),
            }),
        }
    }

    fn check_names(&self) -> Result<(), PlanError> {
        let event = &self.spec.event;
        named(event, event)?;
        unique(event, self.slots.iter().map(|(name, _)| name.clone()), &[])?;
        let spec = &self.spec;
        let numbers = spec.numbers.iter().flat_map(NumberSpec::outputs).cloned();
        let enums = spec.enums.iter().flat_map(|spec| {
            spec.values.iter().map(move |value| format!("{}_{value}", spec.prefix))
        });
        let values = spec.values.iter().flat_map(|spec| match &spec.output {
            ValuesOutput::Top { name } => vec![name.clone()],
            ValuesOutput::List { name, other, .. } => vec![name.clone(), other.clone()],
        });
        unique(event, numbers.chain(enums).chain(values), &RESERVED)
    }

    fn check_bounds(&self) -> Result<(), PlanError> {
        let (spec, of) = (&self.spec, self.spec.event.as_str());
        if !self.slots.is_empty() {
            bounded(of, "fields", self.slots.len(), FIELDS_MAX)?;
        }
        for spec in &spec.enums {
            bounded(of, "values of an enum", spec.values.len(), ENUM_VALUES_MAX)?;
        }
        for spec in &spec.values {
            bounded(of, "values that are kept apart", spec.kept, VALUES_KEPT_MAX)?;
        }
        let length = match spec.grain {
            Grain::Session => DAY_MS,
            Grain::Window { length_ms } => length_ms,
        };
        let positive = |what, count: i64, max| {
            let wrong = PlanError::OutOfBounds { of: of.to_owned(), what, count, max };
            (1..=max).contains(&count).then_some(()).ok_or(wrong)
        };
        positive("milliseconds of a window", length, DAY_MS)?;
        positive("milliseconds of age", spec.max_age_ms, i64::MAX)?;
        positive("records", i64::try_from(spec.max_records).unwrap_or(i64::MAX), i64::MAX)?;
        positive("milliseconds of rounding", spec.start_width_ms, DAY_MS)
    }
}

fn bounded(of: &str, what: &'static str, count: usize, max: usize) -> Result<(), PlanError> {
    let as_i64 = |count| i64::try_from(count).unwrap_or(i64::MAX);
    let wrong = || PlanError::OutOfBounds {
        of: of.to_owned(),
        what,
        count: as_i64(count),
        max: as_i64(max),
    };
    (1..=max).contains(&count).then_some(()).ok_or_else(wrong)
}

fn named(event: &str, name: &str) -> Result<(), PlanError> {
    let wrong = || PlanError::NameLength { event: event.to_owned(), name: name.to_owned() };
    (1..=NAME_BYTES_MAX).contains(&name.len()).then_some(()).ok_or_else(wrong)
}

fn unique(
    event: &str,
    names: impl Iterator<Item = String>,
    taken: &[&str],
) -> Result<(), PlanError> {
    let mut seen: Vec<String> = taken.iter().map(|&name| name.to_owned()).collect();
    for name in names {
        named(event, &name)?;
        if seen.contains(&name) {
            return Err(PlanError::NameTwice { event: event.to_owned(), name });
        }
        seen.push(name);
    }
    Ok(())
}
