//! What of a budget is spent and left, and how long the rest lasts at the present rate.

use jiff::civil::Date;

use super::forecast::{Forecast, forecast};
use super::{Days, Period, Span, has_reached};
use crate::Decimal;

/// Whole days before the present one that the burn rate is the mean of.
pub(super) const RATE_DAYS: i64 = 7;

/// What may be spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Dollars, more than none.
    pub limit: Decimal,
    /// In which time.
    pub per: Period,
    /// Percents of the limit at which somebody is to be told, in order.
    pub thresholds: Vec<u32>,
}

/// How a budget stands in one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The period.
    pub span: Span,
    /// What may be spent in it.
    pub limit: Decimal,
    /// What is known to be spent.
    pub spent: Decimal,
    /// The part of it on days that no longer change.
    pub settled: Decimal,
    /// The part of it that agents only claim.
    pub estimated: Decimal,
    /// Calls without a known price: what they cost is in no sum.
    pub unpriced_calls: u64,
    /// What is left of the limit; less than nothing where more was spent.
    pub remaining: Decimal,
    /// Days that are known.
    pub days_known: u32,
    /// The part of them that may still change.
    pub days_provisional: u32,
    /// Days before the present one that are not known.
    pub days_unknown: u32,
    /// Thresholds that what is spent has reached, from the lowest on.
    pub thresholds: Vec<Reached>,
    /// What is spent a day, where any of the last days is known.
    pub rate: Option<Rate>,
    /// The first day at whose end nothing is left: known where it is past, by the rate where it is to
    /// come; `None` where the budget outlasts the period, or nothing is known.
    pub exhausted_on: Option<Date>,
    /// What is to be expected of the whole period, where enough days are known.
    pub forecast: Option<Forecast>,
}

/// A threshold that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Percent of the limit.
    pub percent: u32,
    /// The day on which the sum reached it.
    pub on: Date,
}

/// What is spent a day: `sum` over `days`, which is a fraction that need not end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// What the days come to.
    pub sum: Decimal,
    /// How many of the seven days before the present one are known.
    pub days: u32,
}

impl Rate {
    /// Dollars a day, cut behind so many decimals.
    #[must_use]
    pub fn per_day(&self, places: u16) -> Decimal {
        self.sum.share(self.days, places)
    }
}

impl Status {
    /// The highest threshold that was reached.
    #[must_use]
    pub fn reached(&self) -> Option<u32> {
        self.thresholds.last().map(|reached| reached.percent)
    }
}

/// What of a period no longer changes: what somebody is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The period.
    pub span: Span,
    /// What may be spent in it.
    pub limit: Decimal,
    /// What is spent on days that no longer change.
    pub amount: Decimal,
    /// Calls of all days without a known price: what they cost is in no sum.
    pub unpriced_calls: u64,
    /// The days that no longer change, and what they came to.
    pub days: Vec<(Date, Decimal)>,
}

/// What no longer changes of the period that `day` lies in.
#[must_use]
pub fn settled(budget: &Budget, days: &Days, day: Date) -> Settled {
    let (span, limit) = (budget.per.span(day), budget.limit.clone());
    let mut settled =
        Settled { span, limit, amount: Decimal::ZERO, unpriced_calls: 0, days: Vec::new() };
    for (date, day) in days.within(span) {
        settled.unpriced_calls = settled.unpriced_calls.saturating_add(day.unpriced_calls);
        if day.is_settled {
            settled.amount = settled.amount.plus(&day.amount);
            settled.days.push((date, day.amount.clone()));
        }
    }
    settled
}

/// How a budget stands in the present period.
#[must_use]
pub fn status(budget: &Budget, days: &Days, today: Date) -> Status {
    let span = budget.per.span(today);
    let limit = budget.limit.clone();
    let mut status = Status {
        span,
        spent: Decimal::ZERO,
        settled: Decimal::ZERO,
        estimated: Decimal::ZERO,
        unpriced_calls: 0,
        remaining: limit.clone(),
        days_known: 0,
        days_provisional: 0,
        days_unknown: 0,
        thresholds: Vec::new(),
        rate: rate(days, today),
        exhausted_on: None,
        forecast: forecast(days, span, today),
        limit,
    };
    for (date, day) in days.within(span) {
        status.spent = status.spent.plus(&day.amount);
        if day.is_settled {
            status.settled = status.settled.plus(&day.amount);
        }
        status.estimated = status.estimated.plus(&day.estimated);
        status.unpriced_calls = status.unpriced_calls.saturating_add(day.unpriced_calls);
        status.days_known += 1;
        status.days_provisional += u32::from(!day.is_settled);
        for percent in &budget.thresholds {
            let is_new = status.reached().is_none_or(|reached| *percent > reached);
            if is_new && has_reached(&status.spent, &status.limit, *percent) {
                status.thresholds.push(Reached { percent: *percent, on: date });
            }
        }
    }
    status.remaining = status.limit.minus(&status.spent);
    let past = span.days().take_while(|date| *date < today);
    let unknown = past.filter(|date| days.get(*date).is_none()).count();
    status.days_unknown = u32::try_from(unknown).unwrap_or(u32::MAX);
    status.exhausted_on = exhausted_on(&status, days, today);
    status
}

fn rate(days: &Days, today: Date) -> Option<Rate> {
    let mut rate = Rate { sum: Decimal::ZERO, days: 0 };
    for (_, day) in days.within(Span::before(today, RATE_DAYS)) {
        rate.sum = rate.sum.plus(&day.amount);
        rate.days += 1;
    }
    (rate.days > 0).then_some(rate)
}

/// Goes through the days of the period from the first known one on: known ones come to what they came
/// to, the present one at least to the rate, and all others to the rate.
fn exhausted_on(status: &Status, days: &Days, today: Date) -> Option<Date> {
    // Everything times the days of the rate, so that nothing is divided.
    let (rate, parts) =
        status.rate.as_ref().map_or((Decimal::ZERO, 1), |rate| (rate.sum.clone(), rate.days));
    let limit = status.limit.times(&parts.into());
    let mut sum = Decimal::ZERO;
    for date in days.told(status.span, today) {
        let known = days.get(date).map(|day| day.amount.times(&parts.into()));
        let comes_to = match known {
            Some(amount) if date < today => amount,
            Some(amount) => amount.max(rate.clone()),
            None => rate.clone(),
        };
        sum = sum.plus(&comes_to);
        if sum >= limit {
            return Some(date);
        }
    }
    None
}
