//! From a manifest to what is added up: its rollups as a [`Plan`], and where in it each field of a
//! record goes.
//!
//! Keys are those that [`Manifest::told`] lists, no more and no fewer. Names are looked up once: a
//! [`Route`] has the places of all fields of an event, so that a record is turned into values of the
//! plan without a look at any name.

use std::collections::BTreeMap;

use trueup_core::{DAY_MS, HOUR_MS, NanoUsd};

use super::{
    Budget, Errors, FieldId, FieldType, Grain, Manifest, Precision, Rollup, Used, Value, told,
};
use crate::budget::Caps;
use crate::rollup::{
    self, EnumSpec, NumberSpec, Plan, PlanError, RollupId, RollupSpec, SlotKind, Unit,
    ValuesOutput, ValuesSpec,
};

/// Different values of a field of which the most frequent is told.
const TOP_KEPT: usize = 64;
/// Different errors of one bucket whose counts are kept apart; the count of the others is one sum.
const ERRORS_KEPT: usize = 256;
/// The field of the plan that takes errors. No field of a manifest can have this name.
const ERROR_FIELD: &str = "$error";
/// What is told of each error that a rollup lists, beside its count.
pub(crate) const ERROR_COLUMNS: [&str; 3] = ["fingerprint", "type", "message"];
/// Millionths of one: numbers with a fraction are kept as whole millionths.
const MILLIONTHS: f64 = 1_000_000.0;
/// Larger numbers have no whole millionths that fit.
const REAL_MAX: f64 = 9_000_000_000_000.0;

/// All that a manifest adds up. Events of which each record is told have no place in it.
///
/// ```
/// use trueup_telemetry::manifest::{Manifest, plan_of};
/// let manifest = Manifest::parse(
///     r#"
///     product = "example"
///     env_prefix = "EXAMPLE"
///     [fields]
///     tokens = { u64 = true }
///     [[rollup]]
///     event = "turns"
///     grain = "1d"
///     sum = ["tokens"]
///     "#,
///     "telemetry.toml",
/// )?;
/// let plan = plan_of(&manifest).unwrap();
/// assert!(plan.rollup("turns").is_some());
/// # Ok::<(), trueup_telemetry::manifest::ManifestError>(())
/// ```
pub fn plan_of(manifest: &Manifest) -> Result<Plan, PlanError> {
    let specs: Vec<RollupSpec> =
        manifest.rollups.iter().filter_map(|rollup| spec(manifest, rollup)).collect();
    if specs.is_empty() { Ok(Plan::default()) } else { Plan::new(specs) }
}

impl Budget {
    /// The ceilings of a day. Those that a manifest does not name are the same for every product.
    #[must_use]
    pub fn caps(self) -> Caps {
        Caps {
            events_per_day: self.events_per_day,
            hard_cap: self.hard_cap,
            bytes_per_day: self.bytes_per_day,
            exceptions_per_day: self.exceptions_per_day,
            ..Caps::default()
        }
    }
}

fn spec(manifest: &Manifest, rollup: &Rollup) -> Option<RollupSpec> {
    let event = rollup.event.as_str();
    let mut spec = match rollup.grain {
        Grain::Session { age_ms_max, records_max } => RollupSpec {
            max_age_ms: age_ms_max,
            max_records: records_max,
            ..RollupSpec::session(event)
        },
        Grain::Window(length_ms) => RollupSpec::window(event, length_ms),
        Grain::Event { .. } => return None,
    };
    spec.start_width_ms = width_ms(rollup.start);
    spec.numbers = numbers(manifest, rollup);
    spec.enums = rollup.enums.iter().map(|used| counted(manifest, used)).collect();
    spec.values = rollup.tops.iter().map(|used| top(manifest, used)).collect();
    let errors = manifest.errors.as_ref().filter(|errors| errors.rollup == rollup.event);
    spec.values.extend(errors.map(listed));
    Some(spec)
}

/// A field that is both added up and told by its percentiles is one number.
fn numbers(manifest: &Manifest, rollup: &Rollup) -> Vec<NumberSpec> {
    let number = |used: &Used| NumberSpec::new(manifest.name(used.field), unit(manifest, used));
    let sums = rollup
        .sums
        .iter()
        .map(|used| (used.field, NumberSpec { total: Some(used.key.clone()), ..number(used) }));
    let mut all: Vec<(FieldId, NumberSpec)> = sums.collect();
    for used in &rollup.hists {
        let place = all.iter().position(|(field, _)| *field == used.field);
        let place = place.unwrap_or(all.len());
        if place == all.len() {
            all.push((used.field, number(used)));
        }
        let Some((_, spec)) = all.get_mut(place) else { continue };
        let key = |what: &str| Some(format!("{what}_{}", used.key));
        (spec.average, spec.p50) = (key("avg"), key("p50"));
        (spec.p95, spec.maximum) = (key("p95"), key("max"));
    }
    all.into_iter().map(|(_, spec)| spec).collect()
}

fn unit(manifest: &Manifest, used: &Used) -> Unit {
    match manifest.field(used.field).map(|field| &field.holds) {
        Some(FieldType::Usd) => Unit::NanoUsd,
        Some(FieldType::F64) => Unit::Millionths,
        _ => Unit::Integer,
    }
}

fn counted(manifest: &Manifest, used: &Used) -> EnumSpec {
    let values = manifest.words(used.field);
    EnumSpec {
        field: manifest.name(used.field).to_owned(),
        prefix: used.key.clone(),
        values: values.into_iter().map(str::to_owned).collect(),
    }
}

fn top(manifest: &Manifest, used: &Used) -> ValuesSpec {
    ValuesSpec {
        field: manifest.name(used.field).to_owned(),
        weight: None,
        kept: TOP_KEPT,
        output: ValuesOutput::Top { name: used.key.clone() },
    }
}

fn listed(errors: &Errors) -> ValuesSpec {
    ValuesSpec {
        field: ERROR_FIELD.to_owned(),
        weight: None,
        kept: ERRORS_KEPT,
        output: ValuesOutput::List {
            name: told::ERRORS.to_owned(),
            columns: ERROR_COLUMNS.into_iter().map(str::to_owned).collect(),
            shown: usize::try_from(errors.top).unwrap_or(usize::MAX),
            total: Some(told::ERRORS_COUNT.to_owned()),
            other: told::ERRORS_OTHER_COUNT.to_owned(),
        },
    }
}

const fn width_ms(precision: Precision) -> i64 {
    match precision {
        Precision::Day => DAY_MS,
        Precision::Hour => HOUR_MS,
        Precision::Minute => HOUR_MS / 60,
        Precision::Millisecond => 1,
    }
}

/// Where records of all events go, and where errors go.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    events: BTreeMap<String, Route>,
    errors: Option<(RollupId, rollup::FieldId)>,
}

/// Where the records of one event go.
#[derive(Debug, Clone)]
pub struct Route {
    /// The rollup of the event.
    pub rollup: RollupId,
    /// Whether a record needs its session.
    pub needs_session: bool,
    /// For each field of the manifest the places that take it: in numbers, in enums, in values.
    targets: Vec<[Option<rollup::FieldId>; 3]>,
}

impl Routes {
    /// The routes of a manifest into its own plan.
    #[must_use]
    pub fn of(manifest: &Manifest, plan: &Plan) -> Self {
        let route = |rollup: &Rollup| {
            let id = plan.rollup(&rollup.event)?;
            let checked = plan.get(id)?;
            let targets = manifest.fields.iter().map(|field| {
                let place = |kind| checked.field_of(kind, &field.name);
                [place(SlotKind::Number), place(SlotKind::Enum), place(SlotKind::Values)]
            });
            let needs_session = matches!(rollup.grain, Grain::Session { .. });
            let route = Route { rollup: id, needs_session, targets: targets.collect() };
            Some((rollup.event.clone(), route))
        };
        let errors = manifest.errors.as_ref().and_then(|errors| {
            let id = plan.rollup(&errors.rollup)?;
            Some((id, plan.get(id)?.field_of(SlotKind::Values, ERROR_FIELD)?))
        });
        Self { events: manifest.rollups.iter().filter_map(route).collect(), errors }
    }

    /// Where records of an event go; of one that adds nothing up, nowhere.
    #[must_use]
    pub fn event(&self, event: &str) -> Option<&Route> {
        self.events.get(event)
    }

    /// The rollup and its field that take errors, to be given, without a session, to
    /// [`Recorder::note`](crate::state::Recorder::note) with [`listed`](crate::errors::listed).
    #[must_use]
    pub const fn errors(&self) -> Option<(RollupId, rollup::FieldId)> {
        self.errors
    }
}

impl Route {
    /// Puts what was kept of a record into values of the plan, behind those that are there. Says how
    /// many of them the sums cannot hold: whole numbers past `i64`, and others past 9 · 10¹².
    pub fn values<'a>(
        &self,
        kept: &'a [(FieldId, Value)],
        values: &mut Vec<(rollup::FieldId, rollup::Value<'a>)>,
    ) -> u64 {
        let mut refused = 0;
        for (field, value) in kept {
            let Some(&[number, word, text]) = self.targets.get(usize::from(field.0)) else {
                continue;
            };
            if let Some(target) = number {
                match number_of(value) {
                    Some(number) => values.push((target, rollup::Value::Number(number))),
                    None => refused += 1,
                }
            }
            for target in [word, text].into_iter().flatten() {
                match text_of(value) {
                    Some(text) => values.push((target, rollup::Value::Text(text))),
                    None => refused += 1,
                }
            }
        }
        refused
    }
}

fn number_of(value: &Value) -> Option<i64> {
    match value {
        Value::U64(number) => i64::try_from(*number).ok(),
        Value::I64(number) => Some(*number),
        Value::F64(number) => millionths(*number),
        Value::Usd(NanoUsd(nano)) => Some(*nano),
        Value::Bool(_) | Value::Word(_) | Value::Token(_) => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it is within the range of whole numbers")]
fn millionths(number: f64) -> Option<i64> {
    (number.abs() <= REAL_MAX).then(|| (number * MILLIONTHS).round() as i64)
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Bool(true) => Some("true"),
        Value::Bool(false) => Some("false"),
        Value::Word(word) => Some(word),
        Value::Token(token) => Some(token),
        Value::U64(_) | Value::I64(_) | Value::F64(_) | Value::Usd(_) => None,
    }
}
