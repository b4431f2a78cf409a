//! What the daemon has done since it started, and what was lost before.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use trueup_ledger::{DROPPED, LOST, LedgerError, REFUSED, REMOVED, Reader, Removed};

use super::guard::TELEMETRY_PATHS;
use crate::intake::Kind;

/// Paths that requests are counted by; every other is `other`, so that clients cannot make metrics.
const PATHS: [&str; 16] = [
    "/",
    "/api/cron/daily-usage",
    "/api/usage",
    "/health",
    "/metrics",
    "/openapi.json",
    "/v1/completeness",
    "/v1/errors",
    "/v1/events",
    "/v1/logs",
    "/v1/metrics",
    "/v1/parity",
    "/v1/push",
    "/v1/report",
    "/v1/sessions",
    "/v1/traces",
];

/// What the paths begin with that are counted as one.
const GROUPS: [(&str, &str); 5] = [
    (TELEMETRY_PATHS, "/v1/telemetry"),
    ("/api/v1/", "/api/v1"),
    ("/api/public/otel/", "/api/public/otel"),
    ("/assets/", "/assets"),
    ("/opentelemetry.proto.collector.", "grpc"),
];

/// The path as it is counted.
pub(super) fn known_path(path: &str) -> &'static str {
    let group = GROUPS.into_iter().find(|(start, _)| path.starts_with(start));
    if let Some((_, name)) = group {
        return name;
    }
    PATHS.into_iter().find(|known| *known == path).unwrap_or("other")
}

/// What the ledger says of earlier runs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Before {
    /// Records dropped for want of room.
    pub(super) dropped: u64,
    /// Records that could not be written.
    pub(super) refused: u64,
    /// Rows that cleaning has removed.
    pub(super) removed: Removed,
}

/// Counters of the daemon.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// What was lost or removed before this start.
    pub(super) before: Before,
    accepted: [AtomicU64; Kind::ALL.len()],
    answered: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

impl Counts {
    /// Counters that go on from what the ledger says.
    pub(crate) fn new(reader: &Reader) -> Result<Self, LedgerError> {
        let removed = Removed { rows: reader.counter(REMOVED)?, lost: reader.counter(LOST)? };
        let (dropped, refused) = (reader.counter(DROPPED)?, reader.counter(REFUSED)?);
        Ok(Self { before: Before { dropped, refused, removed }, ..Self::default() })
    }

    pub(super) fn accepted(&self, kind: Kind, records: usize) {
        if let Some(count) = self.accepted.get(kind as usize) {
            count.fetch_add(records as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn accepted_so_far(&self) -> impl Iterator<Item = (Kind, u64)> {
        let counts = self.accepted.iter().map(|count| count.load(Ordering::Relaxed));
        Kind::ALL.into_iter().zip(counts)
    }

    pub(super) fn answered(&self, path: &'static str, status: u16) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        *answered.entry((path, status)).or_default() += 1;
    }

    pub(super) fn answered_so_far(&self) -> BTreeMap<(&'static str, u16), u64> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
