//! Budgets, as arithmetic on exact amounts of days: what is spent, what is left, how long it lasts at
//! the present rate, what is to be expected, and which days are out of the ordinary.
//!
//! What comes in is a sum of dollars for each day that is known; what comes out is plain data, with
//! every number that a person needs to compute it again by hand. There is no clock, no price, and no
//! floating point. A day that is not known is not a day without spending: it is in no sum, in no median,
//! and is counted as unknown.
//!
//! ```
//! use trueup_core::Decimal;
//! use trueup_core::budget::{Budget, Days, Period, status};
//!
//! let mut days = Days::default();
//! for (day, dollars) in [("2026-11-01", 3), ("2026-11-02", 5), ("2026-11-03", 4)] {
//!     days.add(day.parse().unwrap(), &Decimal::from(dollars));
//! }
//! let budget = Budget { limit: Decimal::from(20), per: Period::Month, thresholds: vec![50, 80, 100] };
//! let found = status(&budget, &days, "2026-11-04".parse().unwrap());
//! assert_eq!(found.spent.to_string(), "12");
//! assert_eq!(found.reached(), Some(50));
//! // $4 a day: 12, and 4 for each day from the 4th on.
//! assert_eq!(found.exhausted_on.unwrap().to_string(), "2026-11-05");
//! ```

mod anomaly;
mod forecast;
mod level;
mod spent;

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};

use crate::Decimal;

pub use anomaly::{BASELINE_DAYS, FACTOR_TENTHS, Look, Margin, anomaly};
pub use forecast::{Expected, Forecast};
pub use level::{Turn, has_reached, permille, turn};
pub use spent::{Budget, Rate, Reached, Settled, Status, settled, status};

/// How long a budget lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// A calendar day.
    Day,
    /// Seven days, from Monday.
    Week,
    /// A calendar month.
    Month,
}

impl Period {
    /// Every period.
    pub const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    /// Its name in settings and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The period of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.name() == name)
    }

    /// The period that a day lies in.
    #[must_use]
    pub fn span(self, day: Date) -> Span {
        match self {
            Self::Day => Span { first: day, last: day },
            Self::Week => {
                let first = before(day, i64::from(day.weekday().since(Weekday::Monday)));
                Span { first, last: after(first, 6) }
            }
            Self::Month => Span { first: day.first_of_month(), last: day.last_of_month() },
        }
    }
}

/// Calendar days, from the first to the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first day in it.
    pub first: Date,
    /// The last day in it.
    pub last: Date,
}

impl Span {
    /// The days before another one, as many as are given.
    #[must_use]
    pub fn before(day: Date, days: i64) -> Self {
        Self { first: before(day, days), last: before(day, 1) }
    }

    /// Its days, in order.
    pub fn days(self) -> impl Iterator<Item = Date> {
        std::iter::successors(Some(self.first), |day| day.tomorrow().ok())
            .take_while(move |day| *day <= self.last)
    }
}

fn before(day: Date, days: i64) -> Date {
    day.saturating_sub(days.days())
}

fn after(day: Date, days: i64) -> Date {
    day.saturating_add(days.days())
}

/// What is known of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Dollars, those of `estimated` among them.
    pub amount: Decimal,
    /// The part that agents only claim.
    pub estimated: Decimal,
    /// Calls without a known price: what they cost is in no sum.
    pub unpriced_calls: u64,
    /// Whether the amount stays; that of a provider may still change for some days.
    pub is_settled: bool,
}

impl Default for Day {
    fn default() -> Self {
        let (amount, estimated) = (Decimal::ZERO, Decimal::ZERO);
        Self { amount, estimated, unpriced_calls: 0, is_settled: true }
    }
}

/// The days that are known. What is added in which order does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Days(BTreeMap<Date, Day>);

impl Days {
    /// A day is known, also where nothing was spent on it; it is settled unless somebody says that it
    /// is not.
    pub fn know(&mut self, date: Date, is_settled: bool) {
        self.0.entry(date).or_default().is_settled &= is_settled;
    }

    /// Adds dollars to a day, which is known by that.
    pub fn add(&mut self, date: Date, dollars: &Decimal) {
        let day = self.0.entry(date).or_default();
        day.amount = day.amount.plus(dollars);
    }

    /// Adds dollars that an agent only claims.
    pub fn add_estimated(&mut self, date: Date, dollars: &Decimal) {
        self.add(date, dollars);
        let day = self.0.entry(date).or_default();
        day.estimated = day.estimated.plus(dollars);
    }

    /// Counts calls of a day that have no known price.
    pub fn add_unpriced(&mut self, date: Date, calls: u64) {
        let day = self.0.entry(date).or_default();
        day.unpriced_calls = day.unpriced_calls.saturating_add(calls);
    }

    /// What is known of a day.
    #[must_use]
    pub fn get(&self, date: Date) -> Option<&Day> {
        self.0.get(&date)
    }

    /// The days of a span that are known, in order.
    pub fn within(&self, span: Span) -> impl DoubleEndedIterator<Item = (Date, &Day)> {
        // A range that ends before it begins is refused by the map.
        let last = span.last.max(span.first);
        let is_some = span.first <= span.last;
        self.0.range(span.first..=last).filter(move |_| is_some).map(|(date, day)| (*date, day))
    }

    /// The first day that is known.
    #[must_use]
    pub fn first(&self) -> Option<Date> {
        self.0.first_key_value().map(|(date, _)| *date)
    }

    /// The days of a span of which something can be said: known ones, gaps between them, and days to
    /// come. Days that were over before the first known one are in no sum, guessed or not.
    fn told(&self, span: Span, today: Date) -> impl Iterator<Item = Date> {
        let first = self.first().map_or(today, |first| first.min(today));
        span.days().skip_while(move |date| *date < first)
    }
}

/// Amounts in order, of which there is at least one.
#[derive(Debug)]
struct Sorted(Vec<Decimal>);

impl Sorted {
    fn new(mut amounts: Vec<Decimal>) -> Option<Self> {
        amounts.sort();
        (!amounts.is_empty()).then_some(Self(amounts))
    }

    /// The one in the middle, or half the sum of the two there.
    fn median(&self) -> Decimal {
        let upper = self.0.len() / 2;
        let at = |place: usize| self.0.get(place).cloned().unwrap_or(Decimal::ZERO);
        if self.0.len().is_multiple_of(2) {
            at(upper.saturating_sub(1)).plus(&at(upper)).half()
        } else {
            at(upper)
        }
    }

    /// The smallest of them that at least `quarters` of four are not above.
    fn quartile(&self, quarters: usize) -> Decimal {
        let place = (self.0.len() * quarters).div_ceil(4).saturating_sub(1);
        self.0.get(place).cloned().unwrap_or(Decimal::ZERO)
    }
}

#[cfg(test)]
mod tests;
