//! Tells the log when the ledger fails and recovers, and when records are lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trueup_ledger::{BallastState, Health, Removed, Writer, WriterState};

/// How often the writer is looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// How often further dropped records are worth a line.
const DROPS_INTERVAL: Duration = Duration::from_mins(1);

/// Looks at the writer for ever.
pub(super) async fn run(writer: Arc<Writer>) {
    let mut told = Told::default();
    loop {
        told.tell(&writer.health());
        tokio::time::sleep(INTERVAL).await;
    }
}

/// What the log knows.
#[derive(Debug, Default)]
struct Told {
    is_failing: bool,
    dropped: u64,
    drops_at: Option<Instant>,
    refused: u64,
    removed: Removed,
    is_low: bool,
}

impl Told {
    fn tell(&mut self, health: &Health) {
        self.tell_state(&health.state);
        let is_due = self.drops_at.is_none_or(|at| at.elapsed() >= DROPS_INTERVAL);
        if health.dropped > self.dropped && is_due {
            tracing::error!(records = health.dropped - self.dropped, "records_dropped");
            self.dropped = health.dropped;
            self.drops_at = Some(Instant::now());
        }
        if health.refused > self.refused {
            tracing::error!(records = health.refused - self.refused, "records_refused");
            self.refused = health.refused;
        }
        self.tell_room(health);
    }

    fn tell_room(&mut self, health: &Health) {
        let Removed { rows, lost } = health.removed;
        let (rows, lost) = (rows - self.removed.rows, lost - self.removed.lost);
        self.removed = health.removed;
        match (rows, lost) {
            (0, _) => {}
            (_, 0) => tracing::info!(rows, "rows_removed"),
            (_, _) => tracing::error!(rows, lost, "rows_removed"),
        }
        let is_low = health.ballast == BallastState::Released;
        if is_low != self.is_low {
            if is_low {
                tracing::warn!("ballast_released");
            } else {
                tracing::info!("ballast_held");
            }
            self.is_low = is_low;
        }
    }

    fn tell_state(&mut self, state: &WriterState) {
        match state {
            WriterState::Ok if self.is_failing => {
                tracing::info!("ledger_recovered");
                self.is_failing = false;
            }
            WriterState::Retrying { error, .. } if !self.is_failing => {
                tracing::warn!(error, "ledger_failing");
                self.is_failing = true;
            }
            WriterState::Ok | WriterState::Retrying { .. } => {}
        }
    }
}
