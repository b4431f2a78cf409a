//! Which lines of a thread are one call, and what that call used.
//!
//! A thread's usage is told by up to three voices: a running total, the last answer's usage, and (since
//! 0.15x) a record per answer. Between half and two thirds of all `token_count` lines only repeat the
//! line before. This module knows counts as OpenAI writes them; it does not know lines or files.
//!
//! ```json
//! [{"total":900,"last":900}, {"total":900,"last":900}, {"total":1900,"last":1000}]
//! ```
//! are two calls, of 900 and of 1,000 tokens.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use trueup_core::Tokens;

/// Counts as OpenAI's API has them: the cached tokens are part of the input, the reasoning is part of
/// the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 5]", into = "[u64; 5]")]
pub(super) struct Counts {
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) cache_write: u64,
    pub(super) output: u64,
    pub(super) reasoning: u64,
}

impl Counts {
    /// The same in disjoint fields.
    ///
    /// `cache_write` (0.145) is taken for a part of the input, as all of OpenAI's details are. This is
    /// not proven: the logs that we have seen say 0. If it were beside the input, the total would be too
    /// small by it.
    pub(super) fn tokens(&self) -> Tokens {
        let cache_read = self.cached.min(self.input);
        let cache_write = self.cache_write.min(self.input - cache_read);
        Tokens {
            input: self.input - cache_read - cache_write,
            cache_read,
            cache_write,
            output: self.output,
            reasoning: self.reasoning.min(self.output),
            ..Tokens::ZERO
        }
    }

    /// The counts as bytes of a key.
    pub(super) fn bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        for (to, count) in bytes.chunks_exact_mut(8).zip(<[u64; 5]>::from(*self)) {
            to.copy_from_slice(&count.to_le_bytes());
        }
        bytes
    }

    fn is_empty(&self) -> bool {
        self.input == 0 && self.output == 0
    }

    /// Whether any count is smaller than before, as a running total's never is.
    fn has_dropped_from(&self, before: &Self) -> bool {
        let pairs = <[u64; 5]>::from(*self).into_iter().zip(<[u64; 5]>::from(*before));
        pairs.into_iter().any(|(now, before)| now < before)
    }

    fn plus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    fn minus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    fn with(&self, other: &Self, join: fn(u64, u64) -> u64) -> Self {
        Self {
            input: join(self.input, other.input),
            cached: join(self.cached, other.cached),
            cache_write: join(self.cache_write, other.cache_write),
            output: join(self.output, other.output),
            reasoning: join(self.reasoning, other.reasoning),
        }
    }
}

impl From<[u64; 5]> for Counts {
    fn from([input, cached, cache_write, output, reasoning]: [u64; 5]) -> Self {
        Self { input, cached, cache_write, output, reasoning }
    }
}

impl From<Counts> for [u64; 5] {
    fn from(counts: Counts) -> Self {
        [counts.input, counts.cached, counts.cache_write, counts.output, counts.reasoning]
    }
}

/// One call: what it used, and the thread's total after it, which tells it from every other call of the
/// thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) used: Counts,
    pub(super) total: Counts,
    /// How often the total had begun again by then.
    pub(super) restarts: u32,
}

/// Who told of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Voice {
    Count,
    Record,
}

/// Calls that only one voice has told of so far, and that the other may still repeat. The two voices of
/// a call stand next to each other; this leaves room for calls that overlap.
const UNPAIRED_MAX: usize = 8;

/// The counters of one thread.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Counter {
    /// The last running total, or the sum of what was used where there is none.
    total: Option<Counts>,
    /// The last answer's usage, where it came without a total.
    last_alone: Option<Counts>,
    restarts: u32,
    unpaired: VecDeque<(Voice, Counts)>,
    response_id: Option<String>,
}

impl Counter {
    /// Hears a `token_count`. `None`: it tells of no new call.
    pub(super) fn count(&mut self, total: Option<Counts>, last: Option<Counts>) -> Option<Step> {
        let before = self.total;
        let used = match (total, last) {
            (None, None) => return None,
            // Said again because something else changed.
            (Some(total), _) if before == Some(total) => return None,
            // Without a total, two calls that are alike in every count are taken for one said twice:
            // a conversation's prompt grows with each call.
            (None, Some(last)) if self.last_alone == Some(last) => return None,
            (None, Some(last)) => last,
            (Some(total), last) => {
                let before = before.unwrap_or_default();
                let has_restarted = total.has_dropped_from(&before);
                self.restarts += u32::from(has_restarted);
                last.unwrap_or_else(|| if has_restarted { total } else { total.minus(&before) })
            }
        };
        self.last_alone = last.filter(|_| total.is_none());
        let total = total.unwrap_or_else(|| before.unwrap_or_default().plus(&used));
        self.total = Some(total);
        let is_new = !used.is_empty() && !self.is_pair(Voice::Count, used);
        is_new.then_some(Step { used, total, restarts: self.restarts })
    }

    /// Hears a `token_usage_record`. `None`: a `token_count` has told of this call.
    pub(super) fn record(&mut self, used: Counts, response_id: Option<&str>) -> Option<Step> {
        if response_id.is_some() && self.response_id.as_deref() == response_id {
            return None;
        }
        self.response_id = response_id.map(str::to_owned);
        // As the `token_count` of this call will say: so that a copy without records has the same key.
        let total = self.total_with_records().plus(&used);
        let is_new = !used.is_empty() && !self.is_pair(Voice::Record, used);
        is_new.then_some(Step { used, total, restarts: self.restarts })
    }

    fn total_with_records(&self) -> Counts {
        let records = self.unpaired.iter().filter(|(voice, _)| *voice == Voice::Record);
        records.fold(self.total.unwrap_or_default(), |sum, (_, used)| sum.plus(used))
    }

    /// Whether the other voice has told of this call; if not, waits for it.
    fn is_pair(&mut self, voice: Voice, used: Counts) -> bool {
        let other = self.unpaired.iter().position(|(by, counts)| *by != voice && *counts == used);
        if let Some(at) = other {
            self.unpaired.drain(..=at);
            return true;
        }
        self.unpaired.push_back((voice, used));
        if self.unpaired.len() > UNPAIRED_MAX
            && let Some((Voice::Record, told)) = self.unpaired.pop_front()
        {
            // No `token_count` will come: the record alone moves the total.
            self.total = Some(self.total.unwrap_or_default().plus(&told));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(input: u64, output: u64) -> Counts {
        Counts { input, output, ..Counts::default() }
    }

    /// What each line adds, as input tokens.
    fn used(lines: &[(Option<u64>, Option<u64>)]) -> Vec<Option<u64>> {
        let mut counter = Counter::default();
        let counts = |input: Option<u64>| input.map(|input| counts(input, input / 10));
        lines
            .iter()
            .map(|(total, last)| counter.count(counts(*total), counts(*last)))
            .map(|step| step.map(|step| step.used.input))
            .collect()
    }

    #[test]
    fn each_advance_of_the_total_is_one_call() {
        for (lines, expected) in [
            // said again
            (
                vec![(Some(900), Some(900)), (Some(900), Some(900)), (Some(1900), Some(1000))],
                vec![Some(900), None, Some(1000)],
            ),
            // totals only
            (
                vec![(Some(900), None), (Some(900), None), (Some(1900), None)],
                vec![Some(900), None, Some(1000)],
            ),
            // the total begins again, with and without the last usage
            (vec![(Some(900), None), (Some(300), None)], vec![Some(900), Some(300)]),
            (vec![(Some(900), Some(900)), (Some(300), Some(200))], vec![Some(900), Some(200)]),
            // last usage only
            (
                vec![(None, Some(100)), (None, Some(100)), (None, Some(200))],
                vec![Some(100), None, Some(200)],
            ),
            // the last usage stands even where the first total says more
            (vec![(Some(5000), Some(400))], vec![Some(400)]),
            (vec![(None, None), (Some(0), Some(0))], vec![None, None]),
        ] {
            assert_eq!(used(&lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_restart_tells_equal_totals_apart() {
        let mut counter = Counter::default();
        let first = counter.count(Some(counts(10, 1)), None).unwrap();
        counter.count(Some(counts(20, 2)), None).unwrap();
        let again = counter.count(Some(counts(10, 1)), None).unwrap();
        assert_eq!((first.total, again.total), (again.total, counts(10, 1)));
        assert_ne!(first.restarts, again.restarts);
    }

    #[test]
    fn a_record_and_its_count_are_one_call_whichever_comes_first() {
        let (a, b) = (counts(100, 10), counts(250, 20));
        let mut counter = Counter::default();
        // The record first: its key is that of the count which a copy without records has.
        let by_record = counter.record(a, Some("r1")).unwrap();
        assert_eq!(counter.record(a, Some("r1")), None);
        assert_eq!(counter.count(Some(a), Some(a)), None);
        assert_eq!(Counter::default().count(Some(a), Some(a)), Some(by_record));
        // The count first.
        assert_eq!(counter.count(Some(a.plus(&b)), Some(b)).unwrap().used, b);
        assert_eq!(counter.record(b, Some("r2")), None);
        // Two records before their counts, and a count said again in between.
        assert!(counter.record(a, Some("r3")).is_some());
        assert!(counter.record(b, Some("r4")).is_some());
        assert_eq!(counter.count(Some(a.plus(&b)), Some(b)), None);
        assert_eq!(counter.count(Some(a.plus(&b).plus(&a)), None), None);
        assert_eq!(counter.count(Some(a.plus(&b).plus(&a).plus(&b)), None), None);
    }

    #[test]
    fn records_alone_count_past_the_bound_each_with_its_own_total() {
        let mut counter = Counter::default();
        let mut totals = Vec::new();
        for at in 0..3 * UNPAIRED_MAX {
            let step = counter.record(counts(7, 1), Some(&at.to_string())).unwrap();
            totals.push(step.total.input);
        }
        let expected: Vec<u64> = (1..=3 * UNPAIRED_MAX as u64).map(|at| at * 7).collect();
        assert_eq!(totals, expected);
    }

    #[test]
    fn parts_are_taken_out_of_the_whole_and_never_exceed_it() {
        let counts = |input, cached, cache_write, output, reasoning| {
            let tokens = Counts { input, cached, cache_write, output, reasoning }.tokens();
            (tokens.input, tokens.cache_read, tokens.cache_write, tokens.output, tokens.reasoning)
        };
        assert_eq!(counts(100, 60, 30, 20, 5), (10, 60, 30, 20, 5));
        assert_eq!(counts(100, 160, 30, 20, 50), (0, 100, 0, 20, 20));
    }
}
