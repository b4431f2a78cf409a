//! How every budget stands, and which figures somebody is to be told of.
//!
//! A *cell* is one figure that an alert can be about: a budget in one period, or a day of it. Figures of
//! the account count at once, those of providers once their days are settled; so periods that ended a
//! few days ago are looked at, too.

use std::collections::BTreeSet;

use anyhow::Result;
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use trueup_core::budget::{Budget, Days, Look, Period, Settled, Status, anomaly, settled, status};
use trueup_core::prices::PriceBook;
use trueup_core::report::{CostMode, Pricer};
use trueup_core::{Decimal, UnixMs};
use trueup_ledger::Reader;

use super::days::{self, Known};
use super::{Of, Settings};
use crate::usage::Usage;

/// Days after its end in which the account still gets to know of a period: calls of its last hours.
const LATE_DAYS: i64 = 1;
/// Days after its end in which a provider settles one, and in which a day out of the ordinary stands.
const STANDING_DAYS: i64 = 7;

/// Where amounts come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) usage: &'a Usage,
    /// Where providers' amounts are; `None` where there is no ledger.
    pub(crate) reader: Option<&'a Reader>,
    pub(crate) book: &'a PriceBook,
    /// The zone of days of the account.
    pub(crate) zone: &'a TimeZone,
}

/// What an alert is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    /// A budget in one period.
    Budget(Box<Settled>),
    /// A day.
    Anomaly(Box<Look>),
}

/// A figure that somebody may be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    /// Its name: that of the budget, and the period or the day.
    pub(crate) name: String,
    pub(crate) about: About,
}

impl Cell {
    /// The kind of alert.
    pub(crate) const fn class(&self) -> &'static str {
        match self.about {
            About::Budget(_) => "budget",
            About::Anomaly(_) => "anomaly",
        }
    }

    /// What is compared with what: settled amounts, because nobody is to be told of what may still
    /// change.
    pub(crate) fn figures(&self) -> (Decimal, Decimal) {
        match &self.about {
            About::Budget(settled) => (settled.amount.clone(), settled.limit.clone()),
            About::Anomaly(look) => (look.amount.minus(&look.median), look.margin.clone()),
        }
    }
}

/// A budget, looked at.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) settings: Settings,
    pub(crate) of: Of,
    /// The zone of its days.
    pub(crate) zone: String,
    pub(crate) today: Date,
    /// The present period; `None` where there is no limit.
    pub(crate) status: Option<Status>,
    /// The amounts of its days so far.
    pub(crate) days: Days,
    pub(crate) notes: BTreeSet<String>,
    /// Every figure that somebody may be told of.
    pub(crate) cells: Vec<Cell>,
}

/// Looks at every budget.
pub(crate) fn look(source: Source<'_>, budgets: &[Settings], now: UnixMs) -> Result<Vec<Looked>> {
    let Source { usage, reader, book, zone } = source;
    let mut pricer = Pricer::new(book, CostMode::Auto);
    let known = days::known(usage, reader, &mut pricer, zone, budgets, now)?;
    Ok(budgets.iter().zip(known).map(|(budget, known)| looked(budget, known)).collect())
}

/// A budget and its days, looked at.
pub(super) fn looked(settings: &Settings, known: Known) -> Looked {
    let budget = settings.budget();
    let mut cells = Vec::new();
    if let Some(budget) = &budget {
        cells.extend(periods(settings, budget, &known));
    }
    if settings.has_anomalies {
        let days = back(known.today, STANDING_DAYS);
        let looks = days.filter_map(|date| anomaly(&known.days, date));
        cells.extend(looks.map(|look| Cell {
            name: format!("{}/{}", settings.name, look.date),
            about: About::Anomaly(Box::new(look)),
        }));
    }
    let status = budget.map(|budget| status(&budget, &known.days, known.today));
    let Known { of, days, zone, today, notes } = known;
    Looked { settings: settings.clone(), of, zone, today, status, days, notes, cells }
}

/// A day and so many before it.
fn back(day: Date, days: i64) -> impl Iterator<Item = Date> {
    (0..=days).map(move |back| day.saturating_sub(back.days()))
}

/// The present period, and those that ended a short time ago.
fn periods(settings: &Settings, budget: &Budget, known: &Known) -> Vec<Cell> {
    let late_days = match known.of {
        Of::Account => LATE_DAYS,
        Of::Billed => STANDING_DAYS,
    };
    let spans: BTreeSet<_> = back(known.today, late_days).map(|day| budget.per.span(day)).collect();
    let cell = |day: Date| {
        let settled = settled(budget, &known.days, day);
        Cell {
            name: format!("{}/{}", settings.name, label(budget.per, settled.span.first)),
            about: About::Budget(Box::new(settled)),
        }
    };
    spans.into_iter().map(|span| cell(span.first)).collect()
}

/// What a period is called: `2026-11-20`, `week of 2026-11-16`, `2026-11`.
pub(crate) fn label(per: Period, first: Date) -> String {
    match per {
        Period::Day => first.to_string(),
        Period::Week => format!("week of {first}"),
        Period::Month => first.strftime("%Y-%m").to_string(),
    }
}
