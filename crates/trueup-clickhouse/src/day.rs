//! Days and weeks in UTC, as ClickHouse counts them: its type `Date`, and `toMonday` of one.

use std::fmt;

use trueup_core::{DAY_MS, UnixMs};

/// A day in UTC, as days since 1970: the Monday of its week is one, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u16);

impl Day {
    /// The first that there is: the first Monday.
    pub const FIRST: Self = Self(4);
    /// The last that every version of ClickHouse can hold: 2105-12-31.
    pub const LAST: Self = Self(49_672);

    /// The day of a time; `None` where ClickHouse has none.
    #[must_use]
    pub fn of(time: UnixMs) -> Option<Self> {
        let day = u16::try_from(time.0.div_euclid(DAY_MS)).ok().map(Self)?;
        (Self::FIRST..=Self::LAST).contains(&day).then_some(day)
    }

    /// The day of a time, or the nearest one that there is.
    #[must_use]
    pub fn near(time: UnixMs) -> Self {
        Self::of(time).unwrap_or(if time.0 < Self::FIRST.start().0 {
            Self::FIRST
        } else {
            Self::LAST
        })
    }

    /// The day of a column that came back.
    pub(crate) fn of_column(number: u64) -> Option<Self> {
        u16::try_from(number).ok().map(Self)
    }

    /// Where it begins.
    #[must_use]
    pub fn start(self) -> UnixMs {
        UnixMs(i64::from(self.0) * DAY_MS)
    }

    /// The Monday of its week.
    #[must_use]
    pub const fn monday(self) -> Self {
        Self(self.0 - (self.0 + 3) % 7)
    }

    /// So many days before, or the first.
    #[must_use]
    pub fn back(self, days: u16) -> Self {
        Self(self.0.saturating_sub(days)).max(Self::FIRST)
    }

    /// So many days after, or the last.
    #[must_use]
    pub fn ahead(self, days: u16) -> Self {
        Self(self.0.saturating_add(days)).min(Self::LAST)
    }

    /// Days since 1970.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// As SQL.
    pub(crate) fn sql(self) -> String {
        format!("toDate({})", self.0)
    }
}

/// As `2026-11-20`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.start().utc_date())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_begins_on_monday() {
        let day = |text: &str| Day::of(UnixMs::parse_date(text).unwrap()).unwrap();
        for (text, monday) in [
            ("2026-11-20", "2026-11-16"),
            ("2026-11-16", "2026-11-16"),
            ("2026-11-15", "2026-11-09"),
            ("1970-01-05", "1970-01-05"),
            ("2105-12-31", "2105-12-28"),
        ] {
            assert_eq!(day(text).monday().to_string(), monday, "{text}");
        }
        assert_eq!(day("2105-12-31"), Day::LAST);
        assert_eq!(day("1970-01-05"), Day::FIRST);
    }

    #[test]
    fn what_no_date_can_hold_has_no_day() {
        for ms in [i64::MIN, -1, 0, 4 * DAY_MS - 1, (49_673) * DAY_MS, i64::MAX] {
            assert_eq!(Day::of(UnixMs(ms)), None, "{ms}");
        }
        assert_eq!(Day::near(UnixMs(0)), Day::FIRST);
        assert_eq!(Day::near(UnixMs(i64::MAX)), Day::LAST);
        assert_eq!(Day::FIRST.back(9), Day::FIRST);
        assert_eq!(Day::LAST.ahead(9), Day::LAST);
    }
}
