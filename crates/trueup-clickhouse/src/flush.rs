//! What devices told, as inserts: one for each table and week of each shard.
//!
//! ```text
//! facts of shard 0, week 2026-11-16: llm_event 1200 rows, error_event 3 rows
//! facts of shard 1, week 2026-11-16: llm_event 1180 rows
//! then marks: dirty of shard 0, dirty of shard 1
//! ```
//!
//! The order is what makes it safe: first the facts, then the marks of the days whose sums are to be
//! worked out anew, and only then is anybody told that it is kept. Where it ends between two of these, it
//! is told again, and marked then.

use std::collections::{BTreeMap, BTreeSet};

use trueup_core::{Delivery, Fact, Word};

use crate::day::Day;
use crate::native::{Columns, Get};
use crate::rows::{Head, Rows};
use crate::slots::SlotMap;
use crate::statement::Statement;

/// What one device told, and of whose devices it is.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Whose it is.
    pub tenant: &'a str,
    /// What was told.
    pub delivery: &'a Delivery,
}

/// Who marks days, and for which time. A receiver is a process: it takes a random number when it starts,
/// counts its flushes from 1, and never uses a count again, not even of a flush that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Of the receiver.
    pub receiver: u64,
    /// Of the flush.
    pub seq: u64,
}

/// An insert for one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    /// For which shard, from 0.
    pub shard: usize,
    /// Into which table.
    pub table: &'static str,
    /// How many rows.
    pub rows: usize,
    /// What is sent.
    pub statement: Statement,
}

/// Why a word is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unkept {
    /// Its time is none that the store can hold.
    #[error("its time is not between {first} and {last}", first = Day::FIRST, last = Day::LAST)]
    NoDay,
    /// What it belongs to is no longer kept.
    #[error("it is of {day}, and nothing before {horizon} is kept")]
    TooOld {
        /// Its day.
        day: Day,
        /// The first day that is kept.
        horizon: Day,
    },
    /// Of a kind that devices do not send.
    #[error("estimates of sessions and allowances are not kept for a fleet")]
    Kind,
}

/// The day of a word, or why it is not kept. `horizon` is the first day that is.
///
/// # Errors
/// Why it is not kept.
pub fn day_of(word: &Word, horizon: Day) -> Result<Day, Unkept> {
    if matches!(word, Word::Is(Fact::SessionTotal(_) | Fact::Quota(_))) {
        return Err(Unkept::Kind);
    }
    // Of the id and not of the fact: it is in the key, which all words on one id must share.
    let day = Day::of(word.id().time()).ok_or(Unkept::NoDay)?;
    if day < horizon { Err(Unkept::TooOld { day, horizon }) } else { Ok(day) }
}

/// What is to be sent, in this order.
#[derive(Debug, Default)]
pub struct Flush {
    /// The facts. All of them must be kept before any mark is sent.
    pub facts: Vec<Insert>,
    /// The marks. All of them must be kept before anybody is told so.
    pub marks: Vec<Insert>,
    /// What is to be worked out anew: shard, tenant and day.
    pub dirty: BTreeSet<(usize, String, Day)>,
    /// Words that are not kept: which delivery, which word of it, and why.
    pub unkept: Vec<(usize, usize, Unkept)>,
}

impl Flush {
    /// What is to be sent so that this is kept.
    #[must_use]
    pub fn of(told: &[Told<'_>], map: &SlotMap, horizon: Day, mark: Mark) -> Self {
        let mut flush = Self::default();
        let mut parts: BTreeMap<(usize, Day), Rows<'_>> = BTreeMap::new();
        for (which, Told { tenant, delivery }) in told.iter().enumerate() {
            let mut days: BTreeSet<(usize, Day)> = BTreeSet::new();
            for (place, word) in delivery.words.iter().enumerate() {
                let day = match day_of(word, horizon) {
                    Ok(day) => day,
                    Err(unkept) => {
                        flush.unkept.push((which, place, unkept));
                        continue;
                    }
                };
                let head = Head { tenant, day, id: word.id(), device: &delivery.device };
                let shard = map.shard(tenant, head.id, day);
                parts.entry((shard, day.monday())).or_default().push(head, word);
                if matches!(word, Word::Is(Fact::Call(_)) | Word::IsNot { .. }) {
                    days.insert((shard, day));
                }
            }
            let dirty = days.into_iter().map(|(shard, day)| (shard, (*tenant).to_owned(), day));
            flush.dirty.extend(dirty);
        }
        for ((shard, _), rows) in &parts {
            let inserts = rows.inserts().into_iter();
            flush.facts.extend(inserts.map(|(table, rows, statement)| Insert {
                shard: *shard,
                table,
                rows,
                statement,
            }));
        }
        flush.marks = marks(&flush.dirty, mark);
        flush
    }

    /// Whether there is anything to be sent.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }
}

/// Marks days whose sums are to be worked out anew: shard, tenant and day of each.
#[must_use]
pub fn marks(dirty: &BTreeSet<(usize, String, Day)>, mark: Mark) -> Vec<Insert> {
    let mut parts: BTreeMap<(usize, Day), Vec<MarkRow<'_>>> = BTreeMap::new();
    for (shard, tenant, day) in dirty {
        let row = MarkRow { tenant, day: *day, mark };
        parts.entry((*shard, day.monday())).or_default().push(row);
    }
    parts.into_iter().map(|((shard, _), rows)| mark_insert(shard, &rows)).collect()
}

fn mark_insert<'a>(shard: usize, rows: &[MarkRow<'a>]) -> Insert {
    let columns = Columns::new()
        .with("tenant", Get::Text(|row: &MarkRow<'a>| row.tenant))
        .with("day", Get::Date(|row: &MarkRow<'a>| row.day.number()))
        .with("receiver", Get::U64(|row: &MarkRow<'a>| row.mark.receiver))
        .with("seq", Get::U64(|row: &MarkRow<'a>| row.mark.seq));
    let statement = Statement::insert("dirty", &columns, rows);
    Insert { shard, table: "dirty", rows: rows.len(), statement }
}

struct MarkRow<'a> {
    tenant: &'a str,
    day: Day,
    mark: Mark,
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_core::{CustomEvent, DAY_MS, FactId, Key, Quota, UnixMs, Version};

    const NOW: UnixMs = UnixMs(1_795_212_509_482);

    fn taken_back(day: i64, number: u8) -> Word {
        let id = FactId::new(UnixMs(NOW.0 - day * DAY_MS), Key([number; 16]));
        Word::IsNot { id, version: Version::new(NOW, 0) }
    }

    fn event(day: i64) -> Word {
        Word::Is(Fact::Event(Box::new(CustomEvent {
            key: Key([7; 16]),
            time: UnixMs(NOW.0 - day * DAY_MS),
            trace_id: None,
            source: "".into(),
            session: "".into(),
            name: "deploy".into(),
            metadata: None,
        })))
    }

    #[test]
    fn one_insert_for_each_table_and_week_of_each_shard() {
        let map = SlotMap::new(&[(Day::FIRST, 2)]).unwrap();
        let words = (0..40).map(|number| taken_back(i64::from(number % 9), number));
        let words: Vec<Word> = words.chain([event(0), event(8)]).collect();
        let delivery = Delivery { words, ..Delivery::default() };
        let told = [Told { tenant: "acme", delivery: &delivery }; 3];
        let flush = Flush::of(&told, &map, Day::FIRST, Mark { receiver: 1, seq: 1 });
        let rows = |table: &str| -> usize {
            flush.facts.iter().filter(|it| it.table == table).map(|it| it.rows).sum()
        };
        assert_eq!((rows("llm_event"), rows("custom_event")), (120, 6));
        let calls = flush.facts.iter().filter(|it| it.table == "llm_event").count();
        assert_eq!((calls, flush.marks.len()), (4, 4), "two shards, two weeks");
        let days: BTreeSet<Day> = flush.dirty.iter().map(|(_, _, day)| *day).collect();
        assert_eq!((days.len(), flush.unkept.len()), (9, 0));
        let marked: usize = flush.marks.iter().map(|it| it.rows).sum();
        assert_eq!(marked, flush.dirty.len());
    }

    #[test]
    fn what_is_not_kept_is_named() {
        let map = SlotMap::new(&[(Day::FIRST, 1)]).unwrap();
        let horizon = Day::near(NOW).back(3);
        let quota = Word::Is(Fact::Quota(Box::new(Quota {
            source: "codex".into(),
            time: NOW,
            window_minutes: 300,
            used_millipercent: 1,
            resets_at: None,
            plan: "".into(),
        })));
        let words = vec![taken_back(4, 1), quota, taken_back(3, 2), taken_back(40_000, 3)];
        let delivery = Delivery { words, ..Delivery::default() };
        let told = [Told { tenant: "acme", delivery: &delivery }];
        let flush = Flush::of(&told, &map, horizon, Mark { receiver: 1, seq: 1 });
        let too_old = Unkept::TooOld { day: Day::near(NOW).back(4), horizon };
        assert_eq!(flush.unkept, [(0, 0, too_old), (0, 1, Unkept::Kind), (0, 3, Unkept::NoDay)]);
        assert_eq!(flush.facts.iter().map(|it| it.rows).sum::<usize>(), 1);
        assert!(Flush::of(&[], &map, horizon, Mark { receiver: 1, seq: 1 }).is_empty());
    }
}
