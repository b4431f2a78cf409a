//! What a hub has done since it started.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

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
    pub(super) fn text(&self, devices: usize, uptime_seconds: u64) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
            let _is_written = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").is_ok();
            for (labels, value) in values {
                let _is_written = writeln!(text, "{name}{labels} {value}").is_ok();
            }
        };
        let own = |value: u64| [(String::new(), value)];
        let batches = Outcome::ALL.map(|(outcome, name)| {
            let count = self.batches.get(outcome as usize);
            let count = count.map_or(0, |count| count.load(Ordering::Relaxed));
            (format!("{{outcome=\"{name}\"}}"), count)
        });
        let build = [(format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1)];
        family("trueup_hub_build_info", "gauge", "The program.", &build);
        let about = "Seconds since the start.";
        family("trueup_hub_uptime_seconds", "gauge", about, &own(uptime_seconds));
        let about = "Devices that have a token.";
        family("trueup_hub_devices", "gauge", about, &own(devices as u64));
        let about = "Batches of devices, by what became of them.";
        family("trueup_hub_batches_total", "counter", about, &batches);
        let about = "Records that were new.";
        let accepted = self.accepted.load(Ordering::Relaxed);
        family("trueup_hub_records_accepted_total", "counter", about, &own(accepted));
        let about = "Records that were not taken.";
        let rejected = self.rejected.load(Ordering::Relaxed);
        family("trueup_hub_records_rejected_total", "counter", about, &own(rejected));
        text
    }
}
