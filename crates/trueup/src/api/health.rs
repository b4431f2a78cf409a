//! `GET /health`: always 200 while the process lives; whether all is well is in the answer.
//!
//! Read from memory, and from the sizes of two files: it is answered while the ledger is locked.
//!
//! ```json
//! {"status":"ok","db_status":"ok","queue_depth":0,"queue_capacity":512,"dropped_total":0}
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use trueup_core::UnixMs;
use trueup_ledger::{BallastState, SCHEMA_VERSION, WriterState};

use super::{App, otlp};

/// A write that takes longer is waiting for another program.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(1);

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    pub(super) status: &'static str,
    pub(super) db_status: &'static str,
    pub(super) db_error: Option<String>,
    pub(super) queue_depth: usize,
    pub(super) queue_capacity: usize,
    #[serde(skip)]
    pub(super) queue_bytes: usize,
    pub(super) dropped_total: u64,
    pub(super) refused_total: u64,
    /// `full` where a write waits for room, `low` where the ballast was let go.
    pub(super) disk_status: &'static str,
    pub(super) removed_total: u64,
    pub(super) lost_to_retention_total: u64,
    pub(super) uptime_seconds: u64,
    #[serde(serialize_with = "as_text")]
    pub(super) last_push_time: Option<UnixMs>,
    pub(super) last_push_status: &'static str,
    pub(super) push_error: Option<String>,
    /// Records that were not pushed when the last cycle ended.
    pub(super) unsynced_count: u64,
    pub(super) push_quarantined_total: u64,
    /// When a provider last told something as a whole.
    #[serde(serialize_with = "as_text")]
    pub(super) last_pull_time: Option<UnixMs>,
    pub(super) pull_status: &'static str,
    pub(super) pull_error: Option<String>,
    pub(super) log_reader: &'static str,
    /// What came by OpenTelemetry since the start.
    pub(super) otlp: otlp::Summary,
    pub(super) version: &'static str,
    pub(super) schema_version: i64,
    /// Only for those who know the token.
    pub(super) ledger: Option<String>,
    pub(super) db_size_bytes: u64,
    pub(super) wal_size_bytes: u64,
    #[serde(serialize_with = "as_text")]
    pub(super) last_commit: Option<UnixMs>,
    #[serde(serialize_with = "as_text")]
    pub(super) last_sync: Option<UnixMs>,
    pub(super) sync_error: Option<String>,
}

#[expect(clippy::ref_option, reason = "the form that serde asks for")]
fn as_text<S: serde::Serializer>(time: &Option<UnixMs>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(serializer)
}

pub(super) async fn get(State(app): State<Arc<App>>, headers: HeaderMap) -> Json<Health> {
    let mut health = app.health();
    if !app.guard.knows(&headers) {
        // Paths and messages of the system are for the owner.
        health.ledger = None;
        health.db_error = health.db_error.map(|_| "send the token to see it".to_owned());
        health.push_error = health.push_error.map(|_| "send the token to see it".to_owned());
        health.pull_error = health.pull_error.map(|_| "send the token to see it".to_owned());
        health.sync_error = health.sync_error.map(|_| "send the token to see it".to_owned());
    }
    Json(health)
}

impl App {
    /// How everything is.
    pub(super) fn health(&self) -> Health {
        let writer = self.writer.health();
        let seen = self.threads.watch.seen();
        let ledger = &self.settings.ledger;
        let db_error = db_error(&writer);
        let push = self.threads.push.seen();
        let pull = self.threads.pull.seen();
        let before = self.counts.before;
        let disk_status = disk_status(&writer);
        let is_ok = db_error.is_none()
            && disk_status == "ok"
            && seen.error.is_none()
            && !push.is_degraded()
            && !pull.is_degraded();
        Health {
            status: if is_ok { "ok" } else { "degraded" },
            db_status: if db_error.is_none() { "ok" } else { "error" },
            db_error,
            queue_depth: writer.queue_depth,
            queue_capacity: writer.queue_capacity,
            queue_bytes: writer.queue_bytes,
            dropped_total: before.dropped + writer.dropped,
            refused_total: before.refused + writer.refused,
            disk_status,
            removed_total: before.removed.rows + writer.removed.rows,
            lost_to_retention_total: before.removed.lost + writer.removed.lost,
            uptime_seconds: self.start.elapsed().as_secs(),
            last_push_time: push.last_push,
            last_push_status: push.status(),
            push_error: push.error(),
            unsynced_count: push.waiting,
            push_quarantined_total: push.quarantined,
            last_pull_time: pull.last_pull,
            pull_status: pull.status(),
            pull_error: pull.error(),
            otlp: self.otlp.counts.seen().summary(),
            log_reader: if self.threads.gateway_log.is_some() { "on" } else { "off" },
            version: env!("CARGO_PKG_VERSION"),
            schema_version: SCHEMA_VERSION,
            ledger: Some(ledger.display().to_string()),
            db_size_bytes: size(ledger),
            wal_size_bytes: self.writer.log_bytes(),
            last_commit: writer.last_commit,
            last_sync: seen.last_sync,
            sync_error: seen.error,
        }
    }
}

fn db_error(writer: &trueup_ledger::Health) -> Option<String> {
    match (&writer.state, writer.write_wait) {
        (WriterState::Retrying { error, .. }, _) => Some(error.clone()),
        (WriterState::Ok, Some(wait)) if wait > WRITE_WAIT_MAX => Some(format!(
            "a write has been waiting for {} s: another program holds the ledger",
            wait.as_secs()
        )),
        (WriterState::Ok, _) => None,
    }
}

const fn disk_status(writer: &trueup_ledger::Health) -> &'static str {
    match (&writer.state, writer.ballast) {
        (WriterState::Retrying { is_full: true, .. }, _) => "full",
        (_, BallastState::Released) => "low",
        (_, BallastState::None | BallastState::Held) => "ok",
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
