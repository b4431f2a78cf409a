//! Stretches of time, as conditions and columns: days, and those that are cut at quarters of an hour.

use trueup_core::{DAY_MS, QUARTER_MS, UnixMs};

use super::{Cut, UsageQuestion, Width};
use crate::day::Day;

/// The quarter at which the stretch begins that a quarter lies in.
pub(super) fn cell(question: &UsageQuestion<'_>) -> String {
    if question.is_quarter() {
        return "quarter".to_owned();
    }
    let cuts = question.cuts.iter().filter(|cut| !cut.quarters.is_empty());
    let mut cases: Vec<String> = Vec::new();
    for cut in cuts {
        for quarter in cut.quarters.iter().rev() {
            cases.push(format!("{} AND quarter >= {quarter}, toUInt8({quarter})", between(cut)));
        }
    }
    if cases.is_empty() {
        return "toUInt8(0)".to_owned();
    }
    format!("multiIf({}, toUInt8(0))", cases.join(", "))
}

fn between(cut: &Cut) -> String {
    format!("day >= {} AND day <= {}", cut.first.sql(), cut.last.sql())
}

pub(super) fn cut_days(cuts: &[Cut]) -> String {
    format!("({})", cuts.iter().map(between).collect::<Vec<_>>().join(" OR "))
}

pub(super) fn days(days: &[Day]) -> String {
    days.iter().map(|day| day.sql()).collect::<Vec<_>>().join(", ")
}

/// Stretches that begin between two times.
pub(super) fn within(question: &UsageQuestion<'_>, width: Width) -> String {
    let is_quarter = width == Width::Quarter;
    let width_ms = if is_quarter { QUARTER_MS } else { DAY_MS };
    let up = |time: UnixMs| UnixMs(time.0.saturating_add(width_ms - 1)).floor(width_ms);
    let (from, until) = (up(question.from), up(question.until));
    let (first, end) = (Day::near(from), Day::near(until));
    let of_day = |time: UnixMs| time.0.rem_euclid(DAY_MS) / QUARTER_MS;
    // The last day that there is ends nothing.
    let is_open = UnixMs(until.0) > end.start() && Day::of(until).is_none();
    if until <= Day::FIRST.start() || from >= until {
        return "0".to_owned();
    }
    if !is_quarter {
        let before = if is_open { "<=" } else { "<" };
        return format!("day >= {} AND day {before} {}", first.sql(), end.sql());
    }
    let mut parts = vec![format!("day >= {} AND day <= {}", first.sql(), end.sql())];
    if Day::of(from).is_some() && of_day(from) > 0 {
        parts.push(format!("(day > {} OR quarter >= {})", first.sql(), of_day(from)));
    }
    if !is_open {
        parts.push(format!("(day < {} OR quarter < {})", end.sql(), of_day(until)));
    }
    parts.join(" AND ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMs {
        UnixMs::parse_rfc3339(text).unwrap()
    }

    /// Only stretches that begin in a window are of it.
    #[test]
    fn a_window_is_rounded_up_to_stretches() {
        let asked = |from: &str, until: &str, width| {
            let question = UsageQuestion {
                from: at(from),
                until: at(until),
                ..UsageQuestion::of("acme", Width::Day)
            };
            within(&question, width)
        };
        let (noon, night) = ("2026-11-20T12:00:01Z", "2026-11-22T00:00:00Z");
        assert_eq!(asked(noon, night, Width::Day), "day >= toDate(20778) AND day < toDate(20779)");
        assert_eq!(
            asked(noon, night, Width::Quarter),
            "day >= toDate(20777) AND day <= toDate(20779) AND (day > toDate(20777) OR quarter >= 49) \
             AND (day < toDate(20779) OR quarter < 0)"
        );
        assert_eq!(asked(night, noon, Width::Quarter), "0");
        assert_eq!(asked("1969-01-01T00:00:00Z", "1970-01-02T00:00:00Z", Width::Quarter), "0");
        let all = UsageQuestion::of("acme", Width::Day);
        for width in [Width::Quarter, Width::Day] {
            assert_eq!(within(&all, width), "day >= toDate(4) AND day <= toDate(49672)");
        }
    }

    #[test]
    fn days_that_are_cut_alike_are_one_run() {
        let day = |number: u16| Day::FIRST.ahead(number);
        let cuts = Cut::joined([
            (day(1), vec![73]),
            (day(2), vec![73]),
            (day(3), vec![77]),
            (day(5), vec![77]),
        ]);
        let run = |first, last, quarter| Cut {
            first: day(first),
            last: day(last),
            quarters: vec![quarter],
        };
        assert_eq!(cuts, [run(1, 2, 73), run(3, 3, 77), run(5, 5, 77)]);
        let question = UsageQuestion { cuts: &cuts, ..UsageQuestion::of("acme", Width::Day) };
        let told = cell(&question);
        let first =
            "multiIf(day >= toDate(5) AND day <= toDate(6) AND quarter >= 73, toUInt8(73), ";
        assert!(told.starts_with(first) && told.ends_with(", toUInt8(0))"), "{told}");
        // Where quarters are asked for anyhow, nothing is cut.
        assert_eq!(cell(&UsageQuestion { width: Width::Quarter, ..question }), "quarter");
    }
}
