//! What a hub has done since it started.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::api::{Exposition, Type};

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    Replayed,
    Conflict,
    Unavailable,
}

impl Outcome {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Taken, "taken"),
        (Self::Replayed, "replayed"),
        (Self::Conflict, "conflict"),
        (Self::Unavailable, "unavailable"),
    ];
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    batches: [AtomicU64; Outcome::ALL.len()],
    accepted: AtomicU64,
    rejected: AtomicU64,
}

impl Counts {
    pub(super) fn note(&self, outcome: Outcome, accepted: u64) {
        if let Some(count) = self.batches.get(outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if outcome == Outcome::Taken {
            self.accepted.fetch_add(accepted, Ordering::Relaxed);
        }
    }

    pub(super) fn rejected(&self, records: usize) {
        self.rejected.fetch_add(records as u64, Ordering::Relaxed);
    }

    /// As Prometheus reads it.
    pub(super) fn text(&self, devices: usize, uptime_seconds: u64) -> Exposition {
        let mut text = Exposition::default();
        text.family("trueup_hub_build_info", Type::Gauge, "The program.");
        text.sample("trueup_hub_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let about = "Seconds since the start.";
        text.single("trueup_hub_uptime_seconds", Type::Gauge, about, uptime_seconds);
        text.single("trueup_hub_devices", Type::Gauge, "Devices that have a token.", devices);
        let name = "trueup_hub_batches_total";
        text.family(name, Type::Counter, "Batches of devices, by what became of them.");
        for ((_, outcome), count) in Outcome::ALL.iter().zip(&self.batches) {
            text.sample(name, &[("outcome", outcome)], count.load(Ordering::Relaxed));
        }
        for (name, about, count) in [
            ("trueup_hub_records_accepted_total", "Records that were new.", &self.accepted),
            ("trueup_hub_records_rejected_total", "Records that were not taken.", &self.rejected),
        ] {
            text.single(name, Type::Counter, about, count.load(Ordering::Relaxed));
        }
        text
    }
}
