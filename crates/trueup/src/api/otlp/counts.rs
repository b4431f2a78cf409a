//! What has come by OpenTelemetry since the start.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use trueup_otlp::{Dialect, Export, Signal};

/// Scopes that other records are counted by; those of more are counted together.
const SCOPES_MAX: usize = 64;
/// What they are counted as.
const MORE_SCOPES: &str = "…";

/// The counters.
#[derive(Debug, Default)]
pub(in crate::api) struct Counts(Mutex<Seen>);

/// What they say.
#[derive(Debug, Clone, Default)]
pub(in crate::api) struct Seen {
    /// Exports taken, by what they held.
    pub(in crate::api) exports: BTreeMap<&'static str, u64>,
    /// Records that are calls.
    pub(in crate::api) calls: BTreeMap<&'static str, u64>,
    /// Records that only witness one.
    pub(in crate::api) evidence: BTreeMap<&'static str, u64>,
    /// Failed requests without usage.
    pub(in crate::api) errors: u64,
    /// Second copies of records that an agent writes twice.
    pub(in crate::api) duplicates: u64,
    /// Exports that were of another signal than their path.
    pub(in crate::api) misrouted: u64,
    /// Records refused within exports that were taken.
    pub(in crate::api) rejected: u64,
    /// What was wrong with records.
    pub(in crate::api) problems: BTreeMap<&'static str, u64>,
    /// Exports refused.
    pub(in crate::api) refused: BTreeMap<&'static str, u64>,
    /// Attempts to send metrics to a collector, by what became of them.
    pub(in crate::api) pushed: BTreeMap<&'static str, u64>,
    /// Everything else, by scope.
    pub(in crate::api) others: BTreeMap<String, u64>,
}

/// The same in few words, for `/health`.
#[derive(Debug, Serialize)]
pub(in crate::api) struct Summary {
    exports: u64,
    calls: u64,
    errors: u64,
    evidence: u64,
    others: u64,
    rejected: u64,
    refused: u64,
    misrouted: u64,
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An export was read.
    pub(super) fn took(&self, expected: Option<Signal>, export: &Export) {
        let mut seen = self.lock();
        *seen.exports.entry(export.signal.name()).or_default() += 1;
        seen.misrouted += u64::from(expected.is_some_and(|signal| signal != export.signal));
        seen.errors += export.errors.len() as u64;
        seen.duplicates += export.duplicates;
        seen.rejected += export.rejected;
        for call in &export.calls {
            *seen.calls.entry(call.dialect.name()).or_default() += 1;
        }
        for (dialect, records) in &export.evidence {
            *seen.evidence.entry(Dialect::name(*dialect)).or_default() += records;
        }
        for (problem, records) in &export.problems {
            *seen.problems.entry(problem.name()).or_default() += records;
        }
        for (scope, records) in &export.others {
            let is_known = seen.others.contains_key(scope) || seen.others.len() < SCOPES_MAX;
            let scope = if is_known { scope } else { MORE_SCOPES };
            *seen.others.entry(scope.to_owned()).or_default() += records;
        }
    }

    /// An export was refused.
    pub(super) fn refused(&self, reason: &'static str) {
        *self.lock().refused.entry(reason).or_default() += 1;
    }

    /// Metrics were sent to a collector, or not.
    pub(in crate::api) fn pushed(&self, result: &'static str) {
        *self.lock().pushed.entry(result).or_default() += 1;
    }

    /// What they say now.
    pub(in crate::api) fn seen(&self) -> Seen {
        self.lock().clone()
    }
}

impl Seen {
    /// The same in few words.
    pub(in crate::api) fn summary(&self) -> Summary {
        let sum = |of: &BTreeMap<&'static str, u64>| of.values().sum();
        Summary {
            exports: sum(&self.exports),
            calls: sum(&self.calls),
            errors: self.errors,
            evidence: sum(&self.evidence) + self.duplicates,
            others: self.others.values().sum(),
            rejected: self.rejected,
            refused: sum(&self.refused),
            misrouted: self.misrouted,
        }
    }
}
