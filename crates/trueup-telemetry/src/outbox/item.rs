//! One request: what is known of it, and what it becomes.

use serde::{Deserialize, Serialize};
use trueup_core::UnixMs;
use uuid::Uuid;

use super::LEASE_MS;
use crate::budget::{Class, Cost, Day};

/// Bytes of the reason for which an item was quarantined.
const REASON_BYTES_MAX: usize = 200;

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemState {
    /// It waits to be sent.
    Queued,
    /// It arrived.
    Sent,
    /// It never will: it was refused for what it is.
    Quarantined,
    /// It never will: it was recorded when nothing might be sent, or before that was decided.
    Kept,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its place in the outbox; never used again.
    pub number: u64,
    /// The ids of its events.
    pub uuids: Vec<Uuid>,
    /// Of which kind its events are.
    pub class: Class,
    /// What it is called.
    pub event: String,
    /// The day that it is about.
    pub day: Day,
    /// How long its body is.
    pub bytes: u64,
    /// The hash of its body.
    pub sha256: String,
    /// Which sink it is for; empty where there is but one, and for what is kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sink: String,
    /// When the first record in it came, where it is of records of its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<UnixMs>,
    /// When its bytes were fixed.
    pub queued: UnixMs,
    /// What became of it.
    pub state: ItemState,
    /// How often it was sent.
    pub attempts: u32,
    /// When it may be sent.
    pub next: UnixMs,
    /// The last day on which its events were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Day>,
    /// The last status that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// When it was sent or quarantined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<UnixMs>,
    /// Why it was quarantined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether its bytes are still there.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub has_body: bool,
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_true(value: &bool) -> bool {
    *value
}

impl Item {
    /// How many events it holds: at least one, since nothing is sent that counts as nothing.
    #[must_use]
    pub fn events(&self) -> u64 {
        u64::try_from(self.uuids.len()).unwrap_or(u64::MAX).max(1)
    }

    /// The name of the file that holds its bytes.
    #[must_use]
    pub fn body_name(&self) -> String {
        format!("{:08}.body", self.number)
    }

    /// What it costs to send it on a day: its events only once.
    #[must_use]
    pub fn cost(&self, day: Day) -> Cost {
        let events = if self.counted == Some(day) { 0 } else { self.events() };
        Cost { class: self.class, events, bytes: self.bytes }
    }

    /// The item while it is on its way.
    #[must_use]
    pub fn attempted(&self, day: Day, now: UnixMs) -> Self {
        Self {
            attempts: self.attempts.saturating_add(1),
            next: UnixMs(now.0.saturating_add(LEASE_MS)),
            counted: Some(day),
            ..self.clone()
        }
    }

    /// The item as a part of one that was tried: it is as old, and was tried and counted as that was.
    #[must_use]
    pub fn of(self, whole: &Self) -> Self {
        let Self { queued, attempts, counted, .. } = *whole;
        Self { queued, attempts, counted, ..self }
    }

    /// The item after its bytes were found to be none that can be sent, or were refused.
    #[must_use]
    pub fn quarantined(&self, status: Option<u16>, reason: &str, now: UnixMs) -> Self {
        let cut = (0..=REASON_BYTES_MAX.min(reason.len()))
            .rev()
            .find_map(|end| reason.get(..end))
            .unwrap_or_default();
        Self {
            state: ItemState::Quarantined,
            status: status.or(self.status),
            settled: Some(now),
            reason: Some(cut.to_owned()),
            ..self.clone()
        }
    }

    /// The item that stays on this machine.
    #[must_use]
    pub fn kept(&self, now: UnixMs) -> Self {
        Self { state: ItemState::Kept, settled: Some(now), ..self.clone() }
    }

    /// The item after it arrived.
    #[must_use]
    pub fn delivered(&self, status: u16, now: UnixMs) -> Self {
        Self { state: ItemState::Sent, status: Some(status), settled: Some(now), ..self.clone() }
    }
}
