//! The account's side: its sums, priced.

use std::collections::BTreeMap;

use anyhow::Result;
use trueup_core::prices::YoctoUsd;
use trueup_core::reconcile::{Labels, Quantity, Row, Side, Sums};
use trueup_core::report::{Pricer, Window};
use trueup_core::{DAY_MS, Decimal, HOUR_MS, QUARTER_MS, Text, Tokens, UnixMs, Witness};

use super::labels::{Names, own_tier};
use super::sides::{Gathered, Narrow};
use crate::usage::Usage;

/// What sums of the account are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct OwnKey {
    start: UnixMs,
    provider: Text,
    labels: Labels,
    is_estimated: bool,
    is_subscription: bool,
}

/// A sum of the account.
#[derive(Debug, Clone, Copy, Default)]
struct OwnSum {
    tokens: Tokens,
    answered: u64,
    calls: u64,
    unpriced_calls: u64,
    cost: YoctoUsd,
}

/// What trueup knows by itself.
pub(super) fn account(
    usage: &Usage,
    pricer: &mut Pricer<'_>,
    window: Window,
    narrow: &Narrow,
    names: &Names<'_>,
    gathered: &mut Gathered,
) -> Result<()> {
    if !narrow.keys.is_empty() {
        let note = "the account does not know keys: it is left out of a comparison of some";
        gathered.notes.insert(note.to_owned());
        return Ok(());
    }
    let subscribed = usage.subscribed()?;
    let mut sums: BTreeMap<OwnKey, OwnSum> = BTreeMap::new();
    usage.by_time(QUARTER_MS, window, &mut |entry| {
        let series = entry.series;
        let names = names.of(&series.provider);
        let model = Some(&series.model).filter(|model| !model.is_empty());
        let project = Some(&series.project).filter(|project| !project.is_empty());
        let labels = Labels {
            model: model.cloned(),
            tier: own_tier(series.class.tier),
            context: None,
            project: project.map(|project| names.project(project)),
            key: None,
        };
        if !narrow.takes_provider(&series.provider, None) || !narrow.takes(&labels, names) {
            return;
        }
        let key = OwnKey {
            start: segment(entry.start),
            provider: Text::clone(&series.provider),
            labels,
            is_estimated: series.witness == Witness::Claimed,
            is_subscription: subscribed.contains(&series.source),
        };
        let priced = pricer.price(entry.start, series, entry.counters);
        let sum = sums.entry(key).or_default();
        sum.tokens = sum.tokens.plus(&entry.counters.tokens);
        sum.calls += entry.counters.calls;
        sum.answered += entry.counters.calls.saturating_sub(entry.counters.errors);
        sum.unpriced_calls += priced.unpriced_calls;
        sum.cost = YoctoUsd(sum.cost.0.saturating_add(priced.cost.0));
    })?;
    gathered.input.rows.extend(sums.into_iter().map(|(key, sum)| of_account(key, &sum)));
    Ok(())
}

/// What a price comes to, in dollars.
pub(crate) fn dollars(cost: YoctoUsd) -> Decimal {
    /// Yocto-dollars are 10^-24 dollars.
    const YOCTO_PLACES: i32 = -24;
    Decimal::from(cost.0).shifted(YOCTO_PLACES)
}

fn of_account(key: OwnKey, sum: &OwnSum) -> Row {
    let OwnKey { start, provider, labels, is_estimated, is_subscription } = key;
    // How many requests a claimed run made, nobody knows.
    let requests = Some(sum.answered).filter(|_| !is_estimated);
    let mut sums = Sums::of_tokens(&sum.tokens, requests);
    if sum.unpriced_calls < sum.calls {
        sums.put(Quantity::Cost, &dollars(sum.cost));
    }
    Row {
        is_estimated,
        is_subscription,
        labels,
        sums,
        unpriced_calls: sum.unpriced_calls,
        ..Row::new(Side::Account, &provider, start)
    }
}

/// The first hour of a day, the last one, or all between: requests over midnight lie at its edges.
const fn segment(start: UnixMs) -> UnixMs {
    let day = start.floor(DAY_MS);
    match start.0 - day.0 {
        ..HOUR_MS => day,
        past if past >= DAY_MS - HOUR_MS => UnixMs(day.0 + DAY_MS - HOUR_MS),
        _ => UnixMs(day.0 + HOUR_MS),
    }
}
