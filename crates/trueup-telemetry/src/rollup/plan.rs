//! The plan that specifications are compiled into: their names are unique, their sizes bounded, and
//! fields have places.

use trueup_core::DAY_MS;

use super::properties::{MERGED, RECOVERED};
use super::spec::{Grain, NumberSpec, RollupSpec, ValuesOutput, ValuesSpec};

/// Fields of one rollup at most: no manifest can have more.
const FIELDS_MAX: usize = 1_024;
/// Values of one enum at most: each is a property of the event.
const ENUM_VALUES_MAX: usize = 64;
/// Bytes of the name of an event, a field or a property at most: two names of a manifest fit into one.
const NAME_BYTES_MAX: usize = 160;
/// Rollups of a product at most.
const ROLLUPS_MAX: usize = 64;
/// Different values of one field that are kept apart at most; the rest is one sum.
const VALUES_KEPT_MAX: usize = 1_024;

/// Properties that every rollup has, whose names no field may take.
const RESERVED: [&str; 6] =
    ["count", "window_start_ts", "rollup_reason", "window_seq", MERGED, RECOVERED];

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

/// What a field holds. Fields of different kinds may have one name: they are then of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlotKind {
    Number,
    Enum,
    Values,
}

impl Slot {
    const fn kind(self) -> SlotKind {
        match self {
            Self::Number(_) => SlotKind::Number,
            Self::Enum(_) => SlotKind::Enum,
            Self::Values(_) => SlotKind::Values,
        }
    }
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

    /// A field of a rollup by its name in records; of several kinds with that name the first of number,
    /// enum, values.
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

    /// A field of one kind.
    pub(crate) fn field_of(&self, kind: SlotKind, name: &str) -> Option<FieldId> {
        let mut slots = self.slots.iter();
        let place = slots.position(|(field, slot)| field == name && slot.kind() == kind)?;
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
        for kind in [SlotKind::Number, SlotKind::Enum, SlotKind::Values] {
            let slots = self.slots.iter().filter(|(_, slot)| slot.kind() == kind);
            unique(event, slots.map(|(name, _)| name.clone()), &[])?;
        }
        let spec = &self.spec;
        let numbers = spec.numbers.iter().flat_map(NumberSpec::outputs).cloned();
        let enums = spec.enums.iter().flat_map(|spec| {
            spec.values.iter().map(move |value| format!("{}_{value}", spec.prefix))
        });
        let values = spec.values.iter().flat_map(|spec| match &spec.output {
            ValuesOutput::Top { name } => vec![name.clone()],
            ValuesOutput::List { name, total, other, .. } => {
                [Some(name), total.as_ref(), Some(other)].into_iter().flatten().cloned().collect()
            }
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
