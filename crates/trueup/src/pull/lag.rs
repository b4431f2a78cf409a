//! How long after their end days still changed, as a histogram.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trueup_core::HOUR_MS;
use trueup_ledger::SettleLag;

/// Hours after the end of a day by which it is counted.
const HOURS: [u64; 9] = [0, 1, 6, 12, 24, 48, 72, 168, 720];

/// Days by how long they still changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lags {
    /// How many changed last within so many hours, for each of [`HOURS`].
    within: [u64; HOURS.len()],
    /// How many there are.
    pub(crate) days: u64,
}

impl Lags {
    /// Days, put together by what `of` says of them.
    pub(crate) fn by<'a>(
        lags: &'a [SettleLag],
        of: impl Fn(&'a SettleLag) -> &'a str,
    ) -> BTreeMap<&'a str, Self> {
        let mut all: BTreeMap<&str, Self> = BTreeMap::new();
        for lag in lags {
            all.entry(of(lag)).or_default().add(lag.lag_ms);
        }
        all
    }

    fn add(&mut self, lag_ms: u64) {
        self.days += 1;
        for (hours, within) in HOURS.iter().zip(&mut self.within) {
            *within += u64::from(lag_ms <= hours * HOUR_MS.unsigned_abs());
        }
    }

    /// Hours, and how many days changed last within them.
    pub(crate) fn within(&self) -> impl Iterator<Item = (u64, u64)> {
        HOURS.into_iter().zip(self.within)
    }

    /// As JSON.
    pub(crate) fn as_json(&self) -> Value {
        let within = self.within().map(|(hours, days)| json!({"hours": hours, "days": days}));
        json!({"days": self.days, "within": within.collect::<Vec<_>>()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_is_in_every_span_that_holds_its_last_change() {
        let lag = |provider: &str, hours: u64| SettleLag {
            connection: "main".to_owned(),
            provider: provider.to_owned(),
            lag_ms: hours * HOUR_MS.unsigned_abs(),
        };
        let lags = [lag("openai", 0), lag("openai", 6), lag("openai", 7), lag("anthropic", 9_999)];
        let by = Lags::by(&lags, |lag| &lag.provider);
        assert_eq!((by["openai"].days, by["openai"].within), (3, [1, 1, 2, 3, 3, 3, 3, 3, 3]));
        assert_eq!((by["anthropic"].days, by["anthropic"].within), (1, [0; 9]));
    }
}
