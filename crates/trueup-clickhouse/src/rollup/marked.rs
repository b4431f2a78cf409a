//! How far the sums of a tenant's days are, as one question sees it.
//!
//! ```text
//! 2026-11-20  receiver 7: 12, receiver 9: 4   sums hold 16
//! 2026-11-21  receiver 7: 13                  sums hold 12   → it lacks something
//! ```
//!
//! Rows are told as they lie, and added up here: that is less for a server to understand.

use std::collections::BTreeMap;

use crate::day::Day;
use crate::native::{NativeError, Row};
use crate::quote::quoted;
use crate::statement::{Purpose, Statement};

/// What was said of each day of a tenant that is still worked out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marked {
    days: BTreeMap<Day, Marks>,
    /// The day before which no sum is worked out.
    horizon: u16,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Marks {
    /// How often each receiver said that it wrote calls.
    told: BTreeMap<u64, u64>,
    /// How many of these words the sums hold.
    held: u64,
}

const TOLD: u8 = 0;
const HELD: u8 = 1;
const HORIZON: u8 = 2;

/// Asks for it, of the days that `before`, which was read earlier, does not know to be done with:
/// [`saying_of`] reads each row.
#[must_use]
pub fn marked(tenant: &str, before: Option<&Marked>) -> Statement {
    let tenant = quoted(tenant);
    let from = before.map_or(0, |before| before.horizon);
    let sql = format!(
        "SELECT day, receiver, seq, toUInt8({TOLD}) AS what FROM dirty
         WHERE tenant = {tenant} AND day >= toDate({from})
         UNION ALL
         SELECT day, toUInt64(0) AS receiver, marks AS seq, toUInt8({HELD}) AS what FROM rolled
         WHERE tenant = {tenant} AND day >= toDate({from})
         UNION ALL
         SELECT day, toUInt64(0) AS receiver, set_ms AS seq, toUInt8({HORIZON}) AS what FROM horizon"
    );
    Statement::new(Purpose::Ask, sql)
}

/// One row of what was said.
#[derive(Debug, Clone, Copy)]
pub struct Saying {
    day: Day,
    receiver: u64,
    seq: u64,
    what: u8,
}

/// A row of the answer.
///
/// # Errors
/// What is no row of it.
pub fn saying_of(row: Row<'_>) -> Result<Saying, NativeError> {
    let day = Day::of_column(row.unsigned("day")?).ok_or(NativeError::Value { column: "day" })?;
    let (receiver, seq) = (row.unsigned("receiver")?, row.unsigned("seq")?);
    let what = u8::try_from(row.unsigned("what")?).ok().filter(|what| *what <= HORIZON);
    Ok(Saying { day, receiver, seq, what: what.ok_or(NativeError::Value { column: "what" })? })
}

impl Marked {
    /// What all rows of an answer come to, in whichever order.
    #[must_use]
    pub fn of(rows: &[Saying]) -> Self {
        let mut marked = Self::default();
        for Saying { day, receiver, seq, what } in rows.iter().copied() {
            if what == HORIZON {
                marked.horizon = marked.horizon.max(day.number());
                continue;
            }
            let marks = marked.days.entry(day).or_default();
            let most = if what == TOLD {
                marks.told.entry(receiver).or_default()
            } else {
                &mut marks.held
            };
            *most = seq.max(*most);
        }
        marked
    }

    /// The days whose sums lack something.
    #[must_use]
    pub fn lacking(&self) -> Vec<Day> {
        let lacks = |marks: &Marks| {
            marks.told.values().fold(0, |sum: u64, told| sum.saturating_add(*told)) > marks.held
        };
        self.kept().filter(|(_, marks)| lacks(marks)).map(|(day, _)| day).collect()
    }

    /// Whether sums that were read after `before` was, and maybe before this, hold all that was marked
    /// before this was asked, where the calls of these days were read instead: of any other day, nothing was
    /// written or worked out in between.
    #[must_use]
    pub fn is_settled_since(&self, before: &Self, read_from_calls: &[Day]) -> bool {
        let is_other = |(day, _): &(Day, &Marks)| !read_from_calls.contains(day);
        let of = |marked: &Self| marked.horizon == self.horizon;
        of(before) && self.kept().filter(is_other).eq(before.kept().filter(is_other))
    }

    /// The days behind the horizon.
    fn kept(&self) -> impl Iterator<Item = (Day, &Marks)> {
        let is_kept = |(day, _): &(&Day, &Marks)| day.number() >= self.horizon;
        self.days.iter().filter(is_kept).map(|(day, marks)| (*day, marks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::{Columns, Get, read};

    type Told = (u16, u64, u64, u8);

    fn marked_of(rows: &[Told]) -> Marked {
        let columns = Columns::new()
            .with("day", Get::Date(|row: &Told| row.0))
            .with("receiver", Get::U64(|row| row.1))
            .with("seq", Get::U64(|row| row.2))
            .with("what", Get::U8(|row| row.3));
        let mut sayings = Vec::new();
        let mut take = |row: Row<'_>| {
            sayings.push(saying_of(row)?);
            Ok(())
        };
        read(&mut &*columns.block(rows), &mut take).unwrap();
        Marked::of(&sayings)
    }

    #[test]
    fn a_day_lacks_what_its_sums_do_not_hold() {
        let rows = [
            (20, 7, 12, TOLD),
            (20, 9, 4, TOLD),
            (20, 7, 11, TOLD),
            (20, 0, 16, HELD),
            (21, 7, 13, TOLD),
            (21, 0, 12, HELD),
            (22, 7, 1, TOLD),
        ];
        let days = |numbers: &[u16]| {
            numbers.iter().map(|number| Day::FIRST.ahead(number - 4)).collect::<Vec<_>>()
        };
        let before = marked_of(&rows);
        assert_eq!(before.lacking(), days(&[21, 22]));
        // What lies before the horizon is as it is, and a horizon is the last that was said.
        let horizon = [(5, 0, 9, HORIZON), (22, 0, 1, HORIZON)];
        assert_eq!(marked_of(&[&rows[..], &horizon].concat()).lacking(), days(&[22]));
    }

    #[test]
    fn only_what_nothing_happened_to_is_settled() {
        let day = |number: u16| Day::FIRST.ahead(number - 4);
        let rows = [(20, 7, 12, TOLD), (20, 0, 12, HELD), (21, 7, 13, TOLD), (21, 0, 12, HELD)];
        let before = marked_of(&rows);
        let calls = [day(21)];
        let and = |more: &[Told]| marked_of(&[&rows[..], more].concat());
        assert!(before.is_settled_since(&before, &[]));
        // Both may have come to the sums meanwhile, or not.
        assert!(and(&[(21, 7, 14, TOLD), (21, 0, 14, HELD)]).is_settled_since(&before, &calls));
        for more in [
            &[(20, 7, 13, TOLD)][..],
            &[(20, 7, 13, TOLD), (20, 0, 13, HELD)],
            &[(20, 0, 13, HELD)],
            &[(19, 1, 1, TOLD), (19, 0, 1, HELD)],
            &[(20, 0, 1, HORIZON)],
        ] {
            assert!(!and(more).is_settled_since(&before, &calls), "{more:?}");
        }
        // As after a tenant was forgotten, and came again with as many words.
        let again = [(20, 8, 12, TOLD), (20, 0, 12, HELD)];
        assert!(!marked_of(&again).is_settled_since(&before, &calls));
        assert!(!Marked::default().is_settled_since(&before, &calls));
    }
}
