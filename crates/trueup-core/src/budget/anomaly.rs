//! Days that came to far more than the days before them.
//!
//! By the median of the thirty days before, and the median of their distances from it (MAD): neither is
//! moved by the days that are looked for. A day is out of the ordinary where it lies above the median by
//! at least the *margin*: [`FACTOR_TENTHS`] tenths of the MAD, a tenth of the median, or a dollar,
//! whichever is most. A day that came to too little is no anomaly here: that something is missing is
//! what parity and `doctor` look for.

use jiff::civil::Date;

use super::{Days, Sorted, Span};
use crate::Decimal;

/// Days before the one that is looked at.
pub const BASELINE_DAYS: i64 = 30;
/// Known days among them below which nothing is said.
const OBSERVATIONS_MIN: usize = 10;
/// What the MAD is multiplied by, in tenths. 5.2 is the limit of 3.5 of Iglewicz and Hoaglin, "How to
/// Detect and Handle Outliers" (1993), for the score 0.6745 × distance / MAD: 3.5 / 0.6745 = 5.19.
pub const FACTOR_TENTHS: u32 = 52;

/// A difference of less is never worth a look: where days are alike, the MAD is next to nothing.
fn margin_min() -> Decimal {
    Decimal::from(1)
}

/// What decided how far from the median a day may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Margin {
    /// The MAD, times the factor.
    Mad,
    /// A tenth of the median.
    Tenth,
    /// A dollar.
    Least,
}

impl Margin {
    /// Its name in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mad => "mad",
            Self::Tenth => "tenth_of_median",
            Self::Least => "least",
        }
    }
}

/// A day, looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The day.
    pub date: Date,
    /// What it came to.
    pub amount: Decimal,
    /// Calls of the day without a known price: what they cost is not in the amount.
    pub unpriced_calls: u64,
    /// The median of the observations.
    pub median: Decimal,
    /// The median of their distances from it.
    pub mad: Decimal,
    /// How far above the median it must lie.
    pub margin: Decimal,
    /// What that came from.
    pub margin_of: Margin,
    /// Median and margin: from here on it is an anomaly.
    pub bound: Decimal,
    /// The days that it was compared with, in order.
    pub observations: Vec<(Date, Decimal)>,
}

impl Look {
    /// Whether it is out of the ordinary.
    #[must_use]
    pub fn is_anomaly(&self) -> bool {
        self.amount >= self.bound
    }
}

/// Compares a day with those before it. `None` where it is not known or not settled, or too few of the
/// others are.
#[must_use]
pub fn anomaly(days: &Days, date: Date) -> Option<Look> {
    let day = days.get(date).filter(|day| day.is_settled)?;
    let (amount, unpriced_calls) = (day.amount.clone(), day.unpriced_calls);
    let observations: Vec<(Date, Decimal)> = days
        .within(Span::before(date, BASELINE_DAYS))
        .filter(|(_, day)| day.is_settled)
        .map(|(date, day)| (date, day.amount.clone()))
        .collect();
    if observations.len() < OBSERVATIONS_MIN {
        return None;
    }
    let amounts = observations.iter().map(|(_, amount)| amount.clone()).collect();
    let median = Sorted::new(amounts)?.median();
    let distances = observations.iter().map(|(_, amount)| amount.minus(&median).abs()).collect();
    let mad = Sorted::new(distances)?.median();
    let by_mad = mad.times(&FACTOR_TENTHS.into()).shifted(-1);
    let tenth = median.clone().abs().shifted(-1);
    let (margin, margin_of) = [(tenth, Margin::Tenth), (margin_min(), Margin::Least)]
        .into_iter()
        .fold((by_mad, Margin::Mad), |most, one| if one.0 > most.0 { one } else { most });
    let bound = median.plus(&margin);
    Some(Look { date, amount, unpriced_calls, median, mad, margin, margin_of, bound, observations })
}
