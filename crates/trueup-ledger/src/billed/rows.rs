//! Rows and their revisions.

use std::fmt::Write as _;
use std::sync::LazyLock;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};
use trueup_core::{BilledFact, Charge, Key, Measure, Measures, UnixMs, dims_json};

use super::{PullRange, Pulling, RowCounts};
use crate::row::signed;

/// Where rows belong.
pub(super) struct Place<'a> {
    pub(super) connection: i64,
    pub(super) range: &'a PullRange,
    /// The page that tells them; `None` at the end of a range.
    pub(super) page: Option<i64>,
    pub(super) pulling: &'a Pulling,
    pub(super) now: UnixMs,
}

/// Writes one row: a new one, a new revision, or only that it was seen again.
pub(super) fn store(
    database: &Connection,
    at: &Place<'_>,
    fact: &BilledFact,
    stored: &mut RowCounts,
) -> rusqlite::Result<()> {
    let dims = dims_json(&fact.dims);
    let (dims_key, value_key) = (BilledFact::key(&dims), value_key(fact));
    let width = at.range.width_minutes();
    let known: Option<(i64, Vec<u8>, bool)> = database
        .prepare_cached(
            "UPDATE provider_rows SET last_seen_at = ?6 WHERE connection = ?1 AND family = ?2
             AND width_minutes = ?3 AND start_ms = ?4 AND dims_key = ?5
             RETURNING id, value_key, is_withdrawn",
        )?
        .query_row(
            params![
                at.connection,
                at.range.family,
                width,
                fact.start.0,
                dims_key.0,
                at.pulling.started_at.0
            ],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    let row = match known {
        Some((_, value, false)) if value == value_key.0 => {
            stored.skipped += 1;
            return Ok(());
        }
        Some((row, ..)) => {
            stored.updated += 1;
            change(database, at, row, fact, value_key)?;
            row
        }
        None => {
            stored.stored += 1;
            insert(database, at, fact, (&dims, dims_key), value_key)?
        }
    };
    revise(database, at, row, fact.start, Some(fact))
}

/// What tells two values of one row apart.
fn value_key(fact: &BilledFact) -> Key {
    let charge = fact.charge.as_ref().map(|charge| {
        let Charge { amount, currency, quantity, quantity_unit } = charge;
        format!("{amount} {currency} {quantity:?} {quantity_unit:?}")
    });
    Key::of("billed value", &[counts_json(fact), charge.unwrap_or_default(), fact.extra.clone()])
}

fn counts_json(fact: &BilledFact) -> String {
    let mut text = String::from("{");
    for (measure, count) in fact.measures.told() {
        let comma = if text.len() > 1 { "," } else { "" };
        // Writing to a string cannot fail.
        let _is_written = write!(text, "{comma}\"{}\":{count}", measure.name()).is_ok();
    }
    text.push('}');
    text
}

/// The columns that a provider may change, in the order of [`values`].
pub(crate) fn value_columns() -> impl Iterator<Item = &'static str> {
    let measures = Measure::ALL.iter().map(|measure| measure.name());
    measures.chain(["amount", "currency", "quantity", "quantity_unit", "extra"])
}

fn values(fact: &BilledFact) -> impl Iterator<Item = Value> {
    value_of(&fact.measures, fact.charge.as_ref(), &fact.extra)
}

/// Counts, money and what is not known, in the order of [`value_columns`].
pub(crate) fn value_of(
    measures: &Measures,
    charge: Option<&Charge>,
    extra: &str,
) -> impl Iterator<Item = Value> + use<> {
    let count = |measure: &Measure| {
        measures.get(*measure).map_or(Value::Null, |count| Value::Integer(signed(count)))
    };
    let counts: Vec<Value> = Measure::ALL.iter().map(count).collect();
    counts.into_iter().chain(charge_values(charge)).chain([extra.to_owned().into()])
}

fn charge_values(charge: Option<&Charge>) -> [Value; 4] {
    let text = |text: Option<String>| text.map_or(Value::Null, Value::Text);
    [
        text(charge.map(|charge| charge.amount.to_string())),
        text(charge.map(|charge| charge.currency.to_string())),
        text(charge.and_then(|charge| charge.quantity.as_ref()).map(ToString::to_string)),
        text(charge.and_then(|charge| charge.quantity_unit.as_ref()).map(ToString::to_string)),
    ]
}

/// How a new row is written.
static INSERT: LazyLock<String> = LazyLock::new(|| {
    let columns: Vec<&str> = value_columns().collect();
    format!(
        "INSERT INTO provider_rows (connection, family, width_minutes, start_ms, dims_key, dims,
         value_key, first_seen_at, last_changed_at, last_seen_at, revision, is_withdrawn, {})
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0{})",
        columns.join(", "),
        ", ?".repeat(columns.len())
    )
});

fn insert(
    database: &Connection,
    at: &Place<'_>,
    fact: &BilledFact,
    (dims, dims_key): (&str, Key),
    value_key: Key,
) -> rusqlite::Result<i64> {
    let fixed: [Value; 10] = [
        at.connection.into(),
        at.range.family.clone().into(),
        at.range.width_minutes().into(),
        fact.start.0.into(),
        dims_key.0.to_vec().into(),
        dims.to_owned().into(),
        value_key.0.to_vec().into(),
        at.now.0.into(),
        at.now.0.into(),
        at.pulling.started_at.0.into(),
    ];
    database
        .prepare_cached(&INSERT)?
        .insert(params_from_iter(fixed.into_iter().chain(values(fact))))
}

/// How a new value is written.
static CHANGE: LazyLock<String> = LazyLock::new(|| {
    let columns: Vec<String> = value_columns().map(|column| format!("{column} = ?")).collect();
    format!(
        "UPDATE provider_rows SET {}, value_key = ?, last_changed_at = ?, is_withdrawn = 0,
         revision = revision + 1 WHERE id = ?",
        columns.join(", ")
    )
});

fn change(
    database: &Connection,
    at: &Place<'_>,
    row: i64,
    fact: &BilledFact,
    value_key: Key,
) -> rusqlite::Result<()> {
    let fixed: [Value; 3] = [value_key.0.to_vec().into(), at.now.0.into(), row.into()];
    database.prepare_cached(&CHANGE)?.execute(params_from_iter(values(fact).chain(fixed))).map(drop)
}

/// Takes a row out of what counts: its bucket was told as a whole, and without it.
pub(super) fn withdraw(
    database: &Connection,
    at: &Place<'_>,
    row: i64,
    start: UnixMs,
) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "UPDATE provider_rows SET is_withdrawn = 1, revision = revision + 1,
             last_changed_at = ?2 WHERE id = ?1",
        )?
        .execute(params![row, at.now.0])?;
    revise(database, at, row, start, None)
}

/// Appends the present value of a row to its revisions; `None` where it was withdrawn.
fn revise(
    database: &Connection,
    at: &Place<'_>,
    row: i64,
    start: UnixMs,
    fact: Option<&BilledFact>,
) -> rusqlite::Result<()> {
    let [amount, currency, quantity, unit] =
        charge_values(fact.and_then(|fact| fact.charge.as_ref()));
    let counts = fact.map_or_else(|| "{}".to_owned(), counts_json);
    let extra = fact.map_or_else(String::new, |fact| fact.extra.clone());
    database
        .prepare_cached(
            "INSERT INTO provider_revisions (row, revision, seen_at, page, state, counts, amount,
             currency, quantity, quantity_unit, extra)
             SELECT id, revision, ?2, ?3, iif(EXISTS (SELECT 1 FROM provider_buckets b
                 WHERE b.connection = ?10 AND b.family = ?11 AND b.width_minutes = ?12
                 AND b.start_ms = ?13 AND b.settled_at IS NOT NULL), 'restated', 'provisional'),
             ?4, ?5, ?6, ?7, ?8, ?9 FROM provider_rows WHERE id = ?1",
        )?
        .execute(params![
            row,
            at.now.0,
            at.page,
            counts,
            amount,
            currency,
            quantity,
            unit,
            extra,
            at.connection,
            at.range.family,
            at.range.width_minutes(),
            start.0
        ])
        .map(drop)
}
