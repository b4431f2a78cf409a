//! What is to be expected: of each day what days of its weekday came to.
//!
//! The median of the same weekday over the last eight weeks, so that one day out of the ordinary moves
//! nothing; and between its quartiles. A weekday that is not known takes all known days in its place.

use jiff::civil::Date;

use super::{Days, Sorted, Span};
use crate::Decimal;

/// Days before the present one that are looked at: eight weeks.
const HISTORY_DAYS: i64 = 56;
/// Known days among them below which nothing is expected: a week.
const HISTORY_DAYS_MIN: u32 = 7;

/// What is to be expected of a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// What is likeliest: the sum of `days`.
    pub amount: Decimal,
    /// The lower end of the interval: the sum of their lower quartiles.
    pub low: Decimal,
    /// The upper end: the sum of their upper quartiles.
    pub high: Decimal,
    /// Known days that it was made of.
    pub history_days: u32,
    /// What each day that is not over is expected to come to, in order, and each gap
    /// between known ones. The others are what they were.
    pub days: Vec<Expected>,
}

/// What a day is expected to come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The day.
    pub date: Date,
    /// The median.
    pub amount: Decimal,
    /// The lower quartile.
    pub low: Decimal,
    /// The upper quartile.
    pub high: Decimal,
    /// How many days these are of.
    pub observations: u32,
    /// Whether they are days of the same weekday, and not all that are known.
    pub is_of_weekday: bool,
}

pub(super) fn forecast(days: &Days, span: Span, today: Date) -> Option<Forecast> {
    let history: Vec<(Date, Decimal)> = days
        .within(Span::before(today, HISTORY_DAYS))
        .map(|(date, day)| (date, day.amount.clone()))
        .collect();
    let history_days = u32::try_from(history.len()).unwrap_or(u32::MAX);
    if history_days < HISTORY_DAYS_MIN {
        return None;
    }
    let mut forecast = Forecast {
        amount: Decimal::ZERO,
        low: Decimal::ZERO,
        high: Decimal::ZERO,
        history_days,
        days: Vec::new(),
    };
    for date in days.told(span, today) {
        let known = days.get(date).map(|day| &day.amount);
        if let (Some(amount), true) = (known, date < today) {
            forecast.add(amount, amount, amount);
            continue;
        }
        let mut day = expected(&history, date)?;
        // The present day comes at least to what it has come to already.
        if let Some(so_far) = known {
            for part in [&mut day.amount, &mut day.low, &mut day.high] {
                *part = std::mem::replace(part, Decimal::ZERO).max(so_far.clone());
            }
        }
        forecast.add(&day.amount, &day.low, &day.high);
        forecast.days.push(day);
    }
    Some(forecast)
}

impl Forecast {
    fn add(&mut self, amount: &Decimal, low: &Decimal, high: &Decimal) {
        self.amount = self.amount.plus(amount);
        self.low = self.low.plus(low);
        self.high = self.high.plus(high);
    }
}

fn expected(history: &[(Date, Decimal)], date: Date) -> Option<Expected> {
    let amounts = |is_taken: &dyn Fn(Date) -> bool| {
        let taken = history.iter().filter(|(day, _)| is_taken(*day));
        Sorted::new(taken.map(|(_, amount)| amount.clone()).collect())
    };
    let of_weekday = amounts(&|day| day.weekday() == date.weekday());
    let is_of_weekday = of_weekday.is_some();
    let sorted = of_weekday.or_else(|| amounts(&|_| true))?;
    Some(Expected {
        date,
        amount: sorted.median(),
        low: sorted.quartile(1),
        high: sorted.quartile(3),
        observations: u32::try_from(sorted.0.len()).unwrap_or(u32::MAX),
        is_of_weekday,
    })
}
