//! What the account knows of days that no provider tells of, at the prices of the table.

use anyhow::Result;
use trueup_core::prices::provider_key;
use trueup_core::report::{Entry, Pricer};
use trueup_core::{Basis, Charged, Counters, DAY_MS, Decimal, Measure, Text, Tokens, Witness};

use super::{Asked, Gathered};
use crate::parity::{Names, Narrow, dollars, own_tier};
use crate::usage::Usage;

/// Whom an estimate is charged to: nobody sent a bill.
const ACCOUNT: &str = "trueup";
/// What is charged by a subscription, and costs no more for being used.
const SUBSCRIPTION: (&str, &str) = ("lane", "subscription");

/// Adds what the account knows.
pub(super) fn account(
    usage: &Usage,
    mut pricer: Pricer<'_>,
    asked: &Asked,
    narrow: &Narrow,
    names: &Names<'_>,
    to: &mut Gathered,
) -> Result<()> {
    let subscribed = usage.subscribed()?;
    usage.by_time(DAY_MS, asked.window, &mut |entry| {
        let series = entry.series;
        let day = entry.start.floor(DAY_MS);
        let is_asked = narrow.takes_provider(&series.provider, None);
        if !is_asked || to.is_covered(&series.provider, day) {
            return;
        }
        let mut row = of_entry(&entry, names);
        if subscribed.contains(&series.source) {
            row.tags.insert(SUBSCRIPTION.0.into(), SUBSCRIPTION.1.into());
        }
        let priced = pricer.price(entry.start, series, entry.counters);
        if priced.unpriced_calls > 0 {
            let calls = to.unpriced.entry(Text::clone(&series.model)).or_default();
            *calls = calls.saturating_add(priced.unpriced_calls);
        }
        let is_unpriced = priced.unpriced_calls > 0;
        if !is_unpriced && series.has_reported_cost && asked.is_reported_taken {
            // An agent states what a call cost, not what its kinds of tokens did.
            let tokens = entry.counters.tokens.total();
            to.rows.push(with(row, tokens, Some(dollars(priced.cost))));
            return;
        }
        for (measure, tokens) in kinds(&entry.counters.tokens) {
            let counters = Counters { tokens, ..*entry.counters };
            // The price of a sum is the sum of the prices of its parts.
            let cost = pricer.price(entry.start, series, &counters).cost;
            let amount = (!is_unpriced).then(|| dollars(cost));
            let row = Charged { measure: Some(measure), ..row.clone() };
            to.rows.push(with(row, tokens.total(), amount));
        }
    })
}

fn with(row: Charged, tokens: u64, amount: Option<Decimal>) -> Charged {
    Charged {
        basis: if amount.is_some() { Basis::Estimate } else { Basis::Unpriced },
        amount,
        quantity: Some(Decimal::from(i128::from(tokens))),
        unit: "tokens".into(),
        ..row
    }
}

fn of_entry(entry: &Entry<'_>, names: &Names<'_>) -> Charged {
    let series = entry.series;
    let day = entry.start.floor(DAY_MS);
    let provider = provider_key(&series.provider);
    let mut row = Charged::new(day, &provider, Basis::Estimate);
    row.account = ACCOUNT.into();
    row.state = match series.witness {
        Witness::Measured => "measured".into(),
        Witness::Claimed => "claimed".into(),
    };
    row.model = Text::clone(&series.model);
    row.tier = own_tier(series.class.tier).unwrap_or_default();
    if !series.project.is_empty() {
        row.project = names.of(&series.provider).project(&series.project);
    }
    row.tags.insert("agent".into(), Text::clone(&series.source));
    if !series.kind.is_empty() {
        row.tags.insert("kind".into(), Text::clone(&series.kind));
    }
    row
}

/// Each kind of token that was used, alone.
fn kinds(tokens: &Tokens) -> impl Iterator<Item = (Measure, Tokens)> {
    let Tokens {
        input,
        cache_read,
        cache_write_5m,
        cache_write_1h,
        cache_write,
        output,
        reasoning,
    } = *tokens;
    let none = Tokens::ZERO;
    [
        (Measure::InUncached, Tokens { input, ..none }),
        (Measure::InCacheRead, Tokens { cache_read, ..none }),
        (Measure::InCacheWrite5m, Tokens { cache_write_5m, ..none }),
        (Measure::InCacheWrite1h, Tokens { cache_write_1h, ..none }),
        (Measure::InCacheWrite, Tokens { cache_write, ..none }),
        (Measure::Out, Tokens { output, reasoning, ..none }),
    ]
    .into_iter()
    .filter(|(_, tokens)| tokens.total() > 0)
}
