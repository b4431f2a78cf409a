//! Rows that nothing tells apart, as one: what can be added is, and nothing of the rest is lost.
//!
//! ```json
//! {"line_item":"x","amount":{"value":"0.1","currency":"usd"},"quantity":2,"quantity_unit":"tokens"}
//! {"line_item":"x","amount":{"value":"0.2","currency":"eur"}}
//! ```
//!
//! becomes 0.1 USD for 2 tokens, and `{"not_added":"0.2 EUR"}`. It knows no page and no order of rows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;
use trueup_core::{BilledFact, Charge, IssueCode, Text};

use super::{Reading, USD, extra_of};

/// What cannot be added, among the unknown fields of a row.
const NOT_ADDED: &str = "not_added";

/// The rows of a page, of which no two have the same bucket and dimensions.
pub(super) fn of(reading: &mut Reading<'_>) -> Vec<BilledFact> {
    let mut facts = Vec::new();
    for mut rows in std::mem::take(&mut reading.facts).into_values() {
        let fact = if rows.len() > 1 { sum_of(reading, rows) } else { rows.pop() };
        facts.extend(fact);
    }
    facts
}

/// One row of several that nothing tells apart. What cannot be added is kept as it is, and whatever
/// their order is, the sum is the same.
fn sum_of(reading: &mut Reading<'_>, rows: Vec<BilledFact>) -> Option<BilledFact> {
    let (mut charges, mut extras) = (Vec::new(), Vec::new());
    let mut sum: Option<BilledFact> = None;
    for mut row in rows {
        charges.extend(row.charge.take());
        extras.push(std::mem::take(&mut row.extra));
        match &mut sum {
            Some(sum) => sum.measures.add(&row.measures),
            None => sum = Some(row),
        }
    }
    let mut sum = sum?;
    let (charge, left) = added(charges);
    sum.charge = charge;
    let what = if left.is_empty() { "added" } else { "what cannot be added is in `extra`" };
    let detail = format!("two rows at {} that no dimension tells apart: {what}", sum.start);
    reading.issue(IssueCode::RowRepeated, detail);
    sum.extra = reading.bounded(merged(&extras, &left));
    Some(sum)
}

/// The sum of charges, and those that cannot be in it. Dollars go before other money, because they are
/// what is compared; quantities of two units leave the sum without one.
fn added(mut charges: Vec<Charge>) -> (Option<Charge>, Vec<String>) {
    charges.sort_by(|one, two| {
        let rank = |charge: &Charge| (&*charge.currency != USD, charge.currency.clone());
        rank(one).cmp(&rank(two)).then_with(|| one.amount.cmp(&two.amount))
    });
    let units: BTreeSet<Option<&Text>> = charges
        .iter()
        .filter(|charge| charge.quantity.is_some())
        .map(|charge| charge.quantity_unit.as_ref())
        .collect();
    let is_one_unit = units.len() < 2;
    let mut left = Vec::new();
    let mut sum: Option<Charge> = None;
    for mut charge in charges {
        if !is_one_unit && let Some(quantity) = charge.quantity.take() {
            let unit = charge.quantity_unit.take();
            left.push(format!("{quantity} {}", unit.as_deref().unwrap_or("of no unit")));
        }
        let Some(known) = &mut sum else {
            sum = Some(charge);
            continue;
        };
        let mut both = known.clone();
        match both.add(charge.clone()) {
            Ok(()) if both.is_in_bounds() => *known = both,
            Ok(()) | Err(_) => left.push(charge_text(&charge)),
        }
    }
    left.sort();
    (sum, left)
}

fn charge_text(charge: &Charge) -> String {
    let Charge { amount, currency, quantity, quantity_unit } = charge;
    let quantity = quantity.as_ref().map_or_else(String::new, |quantity| {
        format!(" for {quantity} {}", quantity_unit.as_deref().unwrap_or("of no unit"))
    });
    format!("{amount} {currency}{quantity}")
}

/// The unknown fields of several rows, as one object: a field of which they say different things holds
/// them as a list.
fn merged(extras: &[String], left: &[String]) -> String {
    let mut fields: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for extra in extras {
        let values: BTreeMap<String, &RawValue> = serde_json::from_str(extra).unwrap_or_default();
        for (name, value) in values {
            fields.entry(name).or_default().insert(value.get().to_owned());
        }
    }
    for text in left {
        let text = serde_json::Value::from(text.as_str()).to_string();
        fields.entry(NOT_ADDED.to_owned()).or_default().insert(text);
    }
    let values = fields.into_iter().filter_map(|(name, values)| {
        let text = if values.len() > 1 {
            format!("[{}]", Vec::from_iter(values).join(","))
        } else {
            values.into_iter().next()?
        };
        Some((name, RawValue::from_string(text).ok()?))
    });
    let values: BTreeMap<String, Box<RawValue>> = values.collect();
    extra_of(&values.iter().map(|(name, value)| (name.clone(), &**value)).collect())
}
