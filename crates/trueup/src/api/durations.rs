//! How long calls took that clients tell of: the one part of OpenTelemetry's metrics that is in no sum of
//! the ledger.
//!
//! Kept in memory since the start, as counters of Prometheus may be. A call that is told again soon is known
//! by its key, and not counted twice.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use trueup_core::{Call, Fact, Key, Text};

/// Upper ends of the buckets that OpenTelemetry's conventions advise, in milliseconds.
pub(super) const ENDS_MS: [u32; 14] =
    [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_120, 10_240, 20_480, 40_960, 81_920];
/// Pairs of provider and model that are told apart; calls of more are counted under none.
const PAIRS_MAX: usize = 200;
/// The last calls that are known again.
const KEYS_MAX: usize = 4_096;

/// The histograms.
#[derive(Debug, Default)]
pub(super) struct Durations(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    by: BTreeMap<(Text, Text), Histogram>,
    known: HashSet<Key>,
    order: VecDeque<Key>,
}

/// The durations of one provider and model.
#[derive(Debug, Clone, Default)]
pub(super) struct Histogram {
    /// Calls by the first bucket that they are in; those of none are only in `calls`.
    pub(super) buckets: [u64; ENDS_MS.len()],
    pub(super) calls: u64,
    pub(super) sum_ms: u64,
}

impl Durations {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the calls among facts that say how long they took.
    pub(super) fn note(&self, facts: &[Fact]) {
        let calls = facts.iter().filter_map(|fact| match fact {
            Fact::Call(call) => Some((call, call.latency_ms?)),
            Fact::Error(_) | Fact::Event(_) | Fact::Host(_) => None,
            Fact::SessionTotal(_) | Fact::Quota(_) | Fact::Metered(_) => None,
        });
        let mut state = self.lock();
        for (call, latency_ms) in calls {
            state.note(call, latency_ms);
        }
    }

    /// The histograms by provider and model.
    pub(super) fn seen(&self) -> BTreeMap<(Text, Text), Histogram> {
        self.lock().by.clone()
    }
}

impl State {
    fn note(&mut self, call: &Call, latency_ms: u32) {
        if !self.known.insert(call.key) {
            return;
        }
        self.order.push_back(call.key);
        if self.order.len() > KEYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        let pair = (Text::clone(&call.origin.provider), Text::clone(&call.origin.model));
        let is_known = self.by.len() < PAIRS_MAX || self.by.contains_key(&pair);
        let pair = if is_known { pair } else { (Text::from("other"), Text::from("other")) };
        let histogram = self.by.entry(pair).or_default();
        let bucket = ENDS_MS.partition_point(|end| *end < latency_ms);
        if let Some(bucket) = histogram.buckets.get_mut(bucket) {
            *bucket += 1;
        }
        histogram.calls += 1;
        histogram.sum_ms += u64::from(latency_ms);
    }
}
