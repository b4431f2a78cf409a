//! What counters of telemetry tell that was used, beside what the calls of the same session and day come to.
//!
//! ```text
//! on 2026-11-22 its metrics tell of 1,456 tokens of prompts, 345 more than its calls have
//! ```
//!
//! What they tell is in no total: a counter makes no call. It says that a record of one is missing: files that
//! are not read, events that an exporter has lost. Calls of the day before that no counter told of may have been
//! told after midnight, and are taken for it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use trueup_core::DAY_MS;
use trueup_ledger::{MeteredDay, Meters};

use super::{Item, Sight, Status, Verdict};
use crate::render::number::{counted, grouped};

/// A name, and how the count is come by.
type Count = (&'static str, fn(&Meters) -> u64);

/// The counts that are compared.
const COUNTS: [Count; 5] = [
    ("prompts", |meters| meters.prompt),
    ("prompts read from caches", |meters| meters.cache_read),
    ("prompts written to caches", |meters| meters.cache_write),
    ("answers", |meters| meters.output),
    ("reasoning", |meters| meters.reasoning),
];

/// A session and day of which counters tell more than its calls have, and of each count how much.
struct More<'a> {
    of: &'a MeteredDay,
    tokens: [u64; COUNTS.len()],
}

/// Sums over the sessions of one source.
#[derive(Debug, Default)]
struct Sums {
    days: u64,
    prompt: u64,
    output: u64,
    cost_nanousd: u64,
    days_with_more: u64,
}

/// Sessions and days of which counters tell more than was counted.
pub(super) fn metrics_tell_more(sight: &Sight<'_>) -> Verdict {
    let mut sums: BTreeMap<&str, Sums> = BTreeMap::new();
    let more = more(&sight.metered);
    for of in sight.metered.iter().filter(|of| of.told != Meters::default()) {
        let Meters { prompt, output, cost_nanousd, .. } = of.told;
        let sums = sums.entry(&of.source).or_default();
        sums.days += 1;
        sums.prompt = sums.prompt.saturating_add(prompt);
        sums.output = sums.output.saturating_add(output);
        sums.cost_nanousd = sums.cost_nanousd.saturating_add(cost_nanousd);
    }
    for more in &more {
        sums.entry(&more.of.source).or_default().days_with_more += 1;
    }
    let detail = match (more.len() as u64, sums.is_empty()) {
        (_, true) => "no counter of tokens has come".to_owned(),
        (0, false) => "the account has all that counters of tokens tell of".to_owned(),
        (days, false) => format!(
            "metrics of {} tell of more tokens than the account has",
            counted(days, "session and day").replace("session and days", "sessions and days")
        ),
    };
    let status = if more.is_empty() { Status::Ok } else { Status::Warn };
    let by_agent: Map<String, Value> =
        sums.iter().map(|(source, sums)| ((*source).to_owned(), sums.as_json())).collect();
    Verdict::new(status, detail).naming(&more, More::item).meta("by_agent", by_agent)
}

/// The days of each session come one after the other.
fn more(days: &[MeteredDay]) -> Vec<More<'_>> {
    let mut before: Option<(&MeteredDay, [u64; COUNTS.len()])> = None;
    let mut found = Vec::new();
    for of in days {
        let is_next = |known: &MeteredDay| {
            let (source, session) = (&known.source, &known.session);
            (source, session, known.day.0 + DAY_MS) == (&of.source, &of.session, of.day.0)
        };
        let untold = before.filter(|(known, _)| is_next(known)).map(|(_, untold)| untold);
        let untold = untold.unwrap_or_default();
        let pairs = COUNTS.map(|(_, count)| (count(&of.told), count(&of.counted)));
        let mut tokens = [0; COUNTS.len()];
        for ((tokens, (told, counted)), untold) in tokens.iter_mut().zip(pairs).zip(untold) {
            *tokens = told.saturating_sub(counted).saturating_sub(untold);
        }
        if tokens.iter().any(|tokens| *tokens > 0) {
            found.push(More { of, tokens });
        }
        before = Some((of, pairs.map(|(told, counted)| counted.saturating_sub(told))));
    }
    found
}

impl More<'_> {
    fn item(&self) -> Item {
        let MeteredDay { source, session, day, told, .. } = self.of;
        let (whose, than) = if session.is_empty() {
            (format!("metrics of {source} that name no session tell"), "all its calls have")
        } else {
            (format!("its metrics ({source}) tell"), "its calls have")
        };
        let more = COUNTS.iter().zip(self.tokens).filter(|(_, tokens)| *tokens > 0);
        let more: Vec<String> = more
            .map(|((name, count), tokens)| {
                let told = counted(count(told), "token");
                format!("of {told} of {name}, {} more than {than}", grouped(tokens))
            })
            .collect();
        let item = Item::new(format!("on {} {whose} {}", day.utc_date(), more.join("; ")));
        let item = if session.is_empty() { item } else { item.of(session) };
        let first =
            "see that its calls are told, too: by its files, or by its events as docs/otlp.md says";
        item.mended((Some(first), "trueup sync"))
    }
}

impl Sums {
    fn as_json(&self) -> Value {
        json!({
            "days": self.days,
            "prompt": self.prompt,
            "output": self.output,
            "cost_nanousd": self.cost_nanousd,
            "days_with_more": self.days_with_more,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_core::UnixMs;

    fn day(session: &str, day: i64, told: u64, counted: u64) -> MeteredDay {
        let of = |output| Meters { output, ..Meters::default() };
        MeteredDay {
            source: "test".into(),
            session: session.into(),
            day: UnixMs(day * DAY_MS),
            told: of(told),
            counted: of(counted),
        }
    }

    #[test]
    fn calls_before_midnight_may_be_told_after_it() {
        for (days, expected) in [
            (vec![day("a", 0, 10, 10)], vec![]),
            (vec![day("a", 0, 11, 10)], vec![(0, 1)]),
            // Told on the next day, of the same session and of no other.
            (vec![day("a", 0, 5, 10), day("a", 1, 15, 10)], vec![]),
            (vec![day("a", 0, 5, 10), day("a", 1, 16, 10)], vec![(1, 1)]),
            (vec![day("a", 0, 5, 10), day("a", 2, 15, 10)], vec![(2, 5)]),
            (vec![day("a", 0, 5, 10), day("b", 1, 15, 10)], vec![(1, 5)]),
            // What was used before telemetry was on covers nothing of later days.
            (vec![day("a", 0, 0, 90), day("a", 1, 1, 1), day("a", 2, 7, 2)], vec![(2, 5)]),
        ] {
            let found = more(&days);
            let found: Vec<_> =
                found.iter().map(|more| (more.of.day.0 / DAY_MS, more.tokens[3])).collect();
            assert_eq!(found, expected, "{days:?}");
        }
    }
}
