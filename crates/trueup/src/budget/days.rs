//! What each day came to: by the account, priced, or by what providers say was charged.
//!
//! The account knows every day from its first use on, also those without any. What a provider has not
//! told of is not known.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use trueup_core::budget::{Days, Span};
use trueup_core::prices::provider_key;
use trueup_core::reconcile::{Coverage, DayState, Quantity};
use trueup_core::report::{Entry, Pricer, Window, matches};
use trueup_core::{Bucket, Calendar, Decimal, Series, UnixMs, Witness};
use trueup_ledger::Reader;

use super::Settings;
use crate::parity::{GATEWAY_PROVIDER, Gathered, Narrow, charged, dollars};
use crate::usage::Usage;

/// Days that are looked at, the present one among them: those of the longest period and the one before
/// it, and eight weeks before any day that a forecast is made on.
const DAYS_BACK: i64 = 100;

/// Whose word is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// What trueup counted, priced.
    Account,
    /// What providers say was charged.
    Billed,
}

impl Of {
    /// Both.
    const ALL: [Self; 2] = [Self::Account, Self::Billed];

    /// Its name in settings and output.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Billed => "billed",
        }
    }

    /// That of a name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|of| of.name() == name)
    }
}

/// The days of a budget, and how they were come by.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) of: Of,
    pub(super) days: Days,
    /// The zone of its days.
    pub(super) zone: String,
    /// The present day there.
    pub(super) today: Date,
    /// What a reader must know, in sentences.
    pub(super) notes: BTreeSet<String>,
}

/// The days of each budget.
pub(super) fn known(
    usage: &Usage,
    reader: Option<&Reader>,
    pricer: &mut Pricer<'_>,
    zone: &TimeZone,
    budgets: &[Settings],
    now: UnixMs,
) -> Result<Vec<Known>> {
    let asked: Vec<&Settings> =
        budgets.iter().filter(|budget| !matches!(whose(budget), Whose::Account)).collect();
    let mut billed = match reader {
        Some(reader) if !asked.is_empty() => billed(reader, &asked, now)?,
        Some(_) | None => Vec::new(),
    }
    .into_iter();
    let of_budget = |budget| match whose(budget) {
        Whose::Account => of_account_later(zone, now),
        Whose::Billed => billed.next().flatten().unwrap_or_else(|| unknown(now)),
        Whose::BilledIfTold => {
            billed.next().flatten().unwrap_or_else(|| of_account_later(zone, now))
        }
    };
    let mut known: Vec<Known> = budgets.iter().map(of_budget).collect();
    account(usage, pricer, zone, budgets, &mut known)?;
    Ok(known)
}

/// Whose word a budget takes.
enum Whose {
    Account,
    Billed,
    /// That of a provider, where it tells of these days.
    BilledIfTold,
}

/// A bill is the better word, where it covers all that the budget takes in: it does where the budget
/// names the provider alone. Nobody knows whether it does where it names none, and providers call
/// projects and models by other names than the account.
const fn whose(budget: &Settings) -> Whose {
    match budget.of {
        Some(Of::Account) => Whose::Account,
        Some(Of::Billed) => Whose::Billed,
        None if budget.key.is_some() => Whose::Billed,
        None if budget.provider.is_none() || is_of_account(budget) => Whose::Account,
        None => Whose::BilledIfTold,
    }
}

/// Whether a budget names what the account knows by these names, and bills may not.
const fn is_of_account(budget: &Settings) -> bool {
    budget.agent.is_some()
        || budget.tag.is_some()
        || budget.project.is_some()
        || budget.model.is_some()
}

/// Nothing is known yet: the account is gone through once, for all budgets.
fn of_account_later(zone: &TimeZone, now: UnixMs) -> Known {
    let calendar = Calendar::new(zone.clone());
    Known {
        of: Of::Account,
        days: Days::default(),
        zone: calendar.zone_name(),
        today: calendar.day(now),
        notes: BTreeSet::new(),
    }
}

fn unknown(now: UnixMs) -> Known {
    let calendar = Calendar::new(TimeZone::UTC);
    let note = "no provider has told what was charged: `trueup provider add`, then `trueup pull`";
    Known {
        of: Of::Billed,
        days: Days::default(),
        zone: calendar.zone_name(),
        today: calendar.day(now),
        notes: [note.to_owned()].into(),
    }
}

/// The last days, with the present one.
fn window(calendar: &Calendar, today: Date) -> Window {
    let first = Span::before(today, DAYS_BACK - 1).first;
    Window::of_days(calendar, Some(first), Some(today))
}

/// What the account knows, in the zone of reports.
fn account(
    usage: &Usage,
    pricer: &mut Pricer<'_>,
    zone: &TimeZone,
    budgets: &[Settings],
    known: &mut [Known],
) -> Result<()> {
    let Some(today) = known.iter().find(|one| one.of == Of::Account).map(|one| one.today) else {
        return Ok(());
    };
    let calendar = Calendar::new(zone.clone());
    let window = window(&calendar, today);
    let is_older = usage.span()?.is_some_and(|(first, _)| first < window.from);
    let mut first_use = is_older.then(|| calendar.day(window.from));
    let mut of_account: Vec<(&Settings, &mut Known)> =
        budgets.iter().zip(known).filter(|(_, one)| one.of == Of::Account).collect();
    usage.by_buckets(&[Bucket::Day], &calendar, window, &mut |entry| {
        let date = calendar.day(entry.start);
        first_use = Some(first_use.map_or(date, |first| first.min(date)));
        let mut priced = None;
        for (budget, one) in &mut of_account {
            if takes(budget, entry.series) {
                let sum = priced.get_or_insert_with(|| price(pricer, entry));
                add(&mut one.days, date, entry.series.witness, sum);
            }
        }
    })?;
    // From then on a day without any usage is one on which nothing was spent.
    let span = first_use.map(|first| Span { first, last: today });
    for date in span.into_iter().flat_map(Span::days) {
        for (_, one) in &mut of_account {
            one.days.know(date, true);
        }
    }
    Ok(())
}

/// What a sum costs, and its calls without a price.
fn price(pricer: &mut Pricer<'_>, entry: Entry<'_>) -> (Decimal, u64) {
    let sum = pricer.price(entry.start, entry.series, entry.counters);
    (dollars(sum.cost), sum.unpriced_calls)
}

fn add(days: &mut Days, date: Date, witness: Witness, (cost, unpriced): &(Decimal, u64)) {
    match witness {
        Witness::Measured => days.add(date, cost),
        Witness::Claimed => days.add_estimated(date, cost),
    }
    days.add_unpriced(date, *unpriced);
}

fn takes(budget: &Settings, series: &Series) -> bool {
    let is_meant = |pattern: &Option<String>, text: &str| {
        pattern.as_ref().is_none_or(|pattern| matches(pattern, text))
    };
    let provider = budget.provider.as_deref();
    provider.is_none_or(|asked| provider_key(asked) == provider_key(&series.provider))
        && is_meant(&budget.project, &series.project)
        && is_meant(&budget.agent, &series.source)
        && is_meant(&budget.model, &series.model)
        && budget.has_tag(series)
}

/// What providers say was charged, in UTC, of each budget; `None` where they say nothing of these days.
/// It is gone through once, for all of them.
fn billed(reader: &Reader, budgets: &[&Settings], now: UnixMs) -> Result<Vec<Option<Known>>> {
    let calendar = Calendar::new(TimeZone::UTC);
    let today = calendar.day(now);
    let narrows: Vec<Narrow> = budgets.iter().map(|budget| narrow(budget)).collect();
    let gathered = charged(reader, window(&calendar, today), &narrows)?;
    let all = budgets.iter().zip(gathered);
    Ok(all.map(|(budget, gathered)| of_charges(budget, gathered, &calendar, today)).collect())
}

/// What a budget takes in of what was charged.
fn narrow(budget: &Settings) -> Narrow {
    let list = |one: &Option<String>| one.iter().cloned().collect::<Vec<_>>();
    Narrow {
        providers: list(&budget.provider),
        projects: list(&budget.project),
        keys: list(&budget.key),
        models: list(&budget.model),
    }
}

fn of_charges(
    budget: &Settings,
    gathered: Gathered,
    calendar: &Calendar,
    today: Date,
) -> Option<Known> {
    // A gateway tells what it computed of calls that others bill: added to those, they would count twice.
    let is_bill = |provider: &str| budget.provider.is_some() || provider != GATEWAY_PROVIDER;
    let covers: BTreeMap<&str, &Coverage> = gathered
        .input
        .coverage
        .iter()
        .filter(|((_, provider), _)| is_bill(provider))
        .map(|((_, provider), days)| (provider.as_str(), days))
        .collect();
    if covers.is_empty() {
        return None;
    }
    let mut days = Days::default();
    for date in Span::before(today, DAYS_BACK - 1).days().chain([today]) {
        if let Some(is_settled) = state(&covers, calendar.start_of_day(date)) {
            days.know(date, is_settled);
        }
    }
    for row in &gathered.input.rows {
        let date = calendar.day(row.start);
        let is_taken = is_bill(&provider_key(&row.provider)) && days.get(date).is_some();
        if let Some(dollars) = row.sums.get(Quantity::Cost).filter(|_| is_taken) {
            days.add(date, dollars);
        }
    }
    let providers: Vec<&str> = covers.keys().copied().collect();
    let mut notes = gathered.notes;
    if budget.provider.is_none() {
        notes.insert(format!("what {} charged, and nobody else", providers.join(", ")));
    }
    if gathered.input.rows.is_empty() && narrow(budget).is_partial() {
        let part = budget.named(&["project", "key", "model"]);
        notes.insert(format!("no charge of these days names {part}, as providers call it"));
    }
    Some(Known { of: Of::Billed, days, zone: calendar.zone_name(), today, notes })
}

/// Whether a day is settled; `None` where a provider that has told of days before it does not tell of
/// it: a part is not the whole.
fn state(covers: &BTreeMap<&str, &Coverage>, day: UnixMs) -> Option<bool> {
    let mut is_settled = None;
    for coverage in covers.values() {
        let has_begun = coverage.first_key_value().is_some_and(|(first, _)| *first <= day);
        if has_begun {
            let is_final = match coverage.get(&day)? {
                DayState::Settled | DayState::Restated => true,
                DayState::Provisional | DayState::Ripe => false,
            };
            is_settled = Some(is_settled.unwrap_or(true) && is_final);
        }
    }
    is_settled
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_core::DAY_MS;

    #[test]
    fn a_day_is_known_where_all_that_have_begun_tell_of_it_and_settled_where_it_is_to_all() {
        use DayState::{Provisional, Restated, Ripe, Settled};
        let coverage = |days: &[(i64, DayState)]| -> Coverage {
            days.iter().map(|(day, state)| (UnixMs(day * DAY_MS), *state)).collect()
        };
        let one = coverage(&[(1, Settled), (2, Settled), (3, Restated), (4, Settled), (6, Ripe)]);
        let other = coverage(&[(3, Settled), (4, Provisional), (5, Settled), (6, Settled)]);
        let covers = BTreeMap::from([("one", &one), ("other", &other)]);
        let known: Vec<Option<bool>> =
            (0..8).map(|day| state(&covers, UnixMs(day * DAY_MS))).collect();
        let (settled, open) = (Some(true), Some(false));
        assert_eq!(known, [None, settled, settled, settled, open, None, open, None]);
    }
}
