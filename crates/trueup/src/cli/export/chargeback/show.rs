//! What cost centres pay, in every form that it is shown in.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};
use trueup_core::allocate::apportion;
use trueup_core::{Basis, Decimal, Text};

use super::{Divided, LineKey, Sum};
use crate::render::csv::harmless;
use crate::render::number::{grouped, money};
use crate::render::table::{Cell, Layout, Look};
use crate::render::terminal::Terminal;
use crate::render::wrap::wrapped;

/// What nobody pays, for people.
const UNALLOCATED: &str = "(unallocated)";

/// One line a month, cost centre, rule, provider, basis and currency; an amount without a price is empty.
pub(super) fn csv(divided: &Divided<'_>, out: &mut dyn Write) -> Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "month",
        "cost_centre",
        "is_unallocated",
        "rule",
        "provider",
        "basis",
        "currency",
        "amount",
        "tokens",
    ])?;
    for (key, line) in &divided.lines {
        csv.write_record([
            key.month.utc_month(),
            harmless(&key.centre),
            key.is_unallocated.to_string(),
            harmless(&key.rule),
            harmless(&key.provider),
            key.basis.name().to_owned(),
            harmless(&key.currency),
            line.amount.as_ref().map(ToString::to_string).unwrap_or_default(),
            line.tokens.to_string(),
        ])?;
    }
    csv.flush()?;
    Ok(())
}

pub(super) fn json(divided: &Divided<'_>) -> Value {
    let rows: Vec<Value> = divided.lines.iter().map(|(key, line)| row(key, line)).collect();
    let totals: Vec<Value> = divided
        .totals
        .iter()
        .map(|((basis, currency), total)| {
            let of_these = |key: &LineKey| (key.basis, &key.currency) == (*basis, currency);
            let left = divided.lines.iter().filter(|(key, _)| of_these(key) && key.is_unallocated);
            let left = left.filter_map(|(_, line)| line.amount.as_ref());
            let unallocated = left.fold(Decimal::ZERO, |sum, amount| sum.plus(amount));
            json!({
                "basis": basis.name(), "currency": &**currency, "amount": total.to_string(),
                "allocated": total.minus(&unallocated).to_string(),
                "unallocated": unallocated.to_string(),
            })
        })
        .collect();
    let (from, to) = divided.span.clone().unzip();
    json!({"schema": 1, "from": from, "to": to, "rows": rows, "totals": totals})
}

fn row(key: &LineKey, line: &Sum) -> Value {
    let told = |text: &Text| (!key.is_unallocated).then(|| text.to_string());
    json!({
        "month": key.month.utc_month(),
        "cost_centre": told(&key.centre),
        "rule": told(&key.rule),
        "provider": &*key.provider,
        "basis": key.basis.name(),
        "currency": &*key.currency,
        "amount": line.amount.as_ref().map(ToString::to_string),
        "tokens": line.tokens.to_string(),
    })
}

/// A line for people: a cost centre in one currency.
#[derive(Debug, Clone, Default)]
struct Shown {
    amounts: BTreeMap<Basis, Decimal>,
    unpriced_tokens: Decimal,
}

/// By cost centre and currency, those that pay most first, and what nobody pays last.
pub(super) fn table(
    divided: &Divided<'_>,
    places: u16,
    terminal: Terminal,
    out: &mut dyn Write,
) -> Result<()> {
    let Some((from, to)) = &divided.span else {
        return Ok(writeln!(out, "There is nothing to divide.")?);
    };
    let title = format!("Cost centres, {from} to {to}, by {}", divided.rules.display());
    for line in wrapped(&title, terminal.columns, 0) {
        writeln!(out, "{line}")?;
    }
    writeln!(out)?;
    let mut shown: BTreeMap<(Text, bool, Text), Shown> = BTreeMap::new();
    for (key, line) in &divided.lines {
        let of = (Text::clone(&key.currency), key.is_unallocated, Text::clone(&key.centre));
        let one = shown.entry(of).or_default();
        if let Some(amount) = &line.amount {
            let sum = one.amounts.entry(key.basis).or_insert(Decimal::ZERO);
            *sum = sum.plus(amount);
        }
        if key.basis == Basis::Unpriced {
            one.unpriced_tokens = one.unpriced_tokens.plus(&line.tokens);
        }
    }
    let mut layout = Layout::new(vec!["Cost centre", "Billed", "Estimated", "Unpriced tokens"]);
    let currencies: BTreeSet<Text> = shown.keys().map(|(currency, ..)| currency.clone()).collect();
    for currency in currencies {
        let of_it = shown.iter().filter(|((of, ..), _)| *of == currency);
        let mut lines: Vec<(bool, String, Shown)> = of_it
            .map(|((_, is_left, centre), one)| (*is_left, name(centre, *is_left), one.clone()))
            .collect();
        lines.sort_by(|one, other| {
            let sum = |shown: &Shown| shown.amounts.values().fold(Decimal::ZERO, |a, b| a.plus(b));
            (one.0, sum(&other.2), &one.1).cmp(&(other.0, sum(&one.2), &other.1))
        });
        let mut total = Shown::default();
        for basis in [Basis::Billed, Basis::Estimate] {
            round(&mut lines, basis, places, &mut total);
        }
        for (_, name, one) in &lines {
            layout.row(Look::Plain, cells(name, one, &currency));
            total.unpriced_tokens = total.unpriced_tokens.plus(&one.unpriced_tokens);
        }
        layout.row(Look::Total, cells("Total", &total, &currency));
    }
    Ok(writeln!(out, "{}", layout.draw(terminal))?)
}

fn name(centre: &str, is_left: bool) -> String {
    if is_left { UNALLOCATED.to_owned() } else { centre.to_owned() }
}

/// Rounds what lines show so that it is what the total shows.
fn round(lines: &mut [(bool, String, Shown)], basis: Basis, places: u16, total: &mut Shown) {
    let amounts: Vec<&mut Decimal> =
        lines.iter_mut().filter_map(|(.., one)| one.amounts.get_mut(&basis)).collect();
    if amounts.is_empty() {
        return;
    }
    let parts: Vec<Decimal> = amounts.iter().map(|amount| (**amount).clone()).collect();
    let rounded = apportion(&parts, places);
    total.amounts.insert(basis, rounded.iter().fold(Decimal::ZERO, |sum, one| sum.plus(one)));
    for (amount, rounded) in amounts.into_iter().zip(rounded) {
        *amount = rounded;
    }
}

fn cells(name: &str, shown: &Shown, currency: &str) -> Vec<Cell> {
    let amount = |basis| {
        let amount = shown.amounts.get(&basis);
        Cell::Number(amount.map_or_else(String::new, |amount| money(amount, currency)))
    };
    let tokens = shown.unpriced_tokens.rounded(0).to_count().filter(|tokens| *tokens > 0);
    vec![
        Cell::Name(name.to_owned()),
        amount(Basis::Billed),
        amount(Basis::Estimate),
        Cell::Number(tokens.map_or_else(String::new, grouped)),
    ]
}
