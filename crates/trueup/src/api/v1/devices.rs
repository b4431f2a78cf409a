//! `GET /api/v1/devices`: who tells a hub, and whether all of it came.
//!
//! On one machine there are none.

use std::path::Path;

use serde_json::{Map, Value, json};
use trueup_core::{SenderStatus, UnixMs};
use trueup_ledger::{Device, DeviceLedger};

use super::asked::Asked;
use super::{Endpoint, Failed, Sight};
use crate::config::Config;
use crate::usage::reader_of;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    path: "/api/v1/devices",
    about: "The devices of a hub: when each was heard of, and what is known to be missing of it",
    parameters: &[],
    answer,
};

/// Heartbeats that may be missed before a device is called silent.
const HEARTBEATS_MISSED_MAX: u32 = 3;

/// How a device is; the first that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Some of what it had will never come: it was dropped, refused, or passed over.
    Lossy,
    /// It is not heard of.
    Silent,
    /// What it has waits longer than it should.
    Behind,
    Ok,
}

impl State {
    const ALL: [Self; 4] = [Self::Ok, Self::Behind, Self::Silent, Self::Lossy];

    const fn name(self) -> &'static str {
        match self {
            Self::Lossy => "lossy",
            Self::Silent => "silent",
            Self::Behind => "behind",
            Self::Ok => "ok",
        }
    }
}

fn answer(_: &Asked, sight: &Sight<'_>) -> Result<Value, Failed> {
    Ok(told(sight.ledger, sight.config, sight.now)?)
}

/// The devices of the account at `ledger`.
pub(crate) fn told(ledger: &Path, config: &Config, now: UnixMs) -> anyhow::Result<Value> {
    let reader = reader_of(ledger, None)?;
    let silent_after = config.duration("hub_heartbeat")? * HEARTBEATS_MISSED_MAX;
    let silent_ms = i64::try_from(silent_after.as_millis()).unwrap_or(i64::MAX);
    let devices = reader.devices()?;
    let states: Vec<State> = devices.iter().map(|device| state(device, now, silent_ms)).collect();
    let count = |wanted: State| states.iter().filter(|state| **state == wanted).count();
    let counts: Map<String, Value> =
        State::ALL.iter().map(|state| (state.name().to_owned(), count(*state).into())).collect();
    let rows = devices.iter().zip(&states).map(|(device, state)| row(device, *state, now));
    Ok(json!({
        "schema": 1,
        "as_of": now.to_string(),
        "silent_after_seconds": silent_after.as_secs(),
        "is_complete": states.iter().all(|state| *state == State::Ok),
        "counts": counts,
        "rows": rows.collect::<Vec<_>>(),
        "cli": "trueup hub devices",
    }))
}

fn state(device: &Device, now: UnixMs, silent_ms: i64) -> State {
    let statuses = || device.ledgers.iter().filter_map(|ledger| ledger.sender.status);
    let is_lossy = device.ledgers.iter().any(|ledger| ledger.missing > 0)
        || statuses().any(|status| status.dropped > 0 || status.refused > 0);
    let has_waited = |since: UnixMs| now.0.saturating_sub(since.0) > silent_ms;
    if is_lossy {
        State::Lossy
    } else if has_waited(device.last_seen_at) {
        State::Silent
    } else if current(device).is_some_and(|status| {
        status.waiting > 0 && status.oldest_waiting_at.is_some_and(has_waited)
    }) {
        State::Behind
    } else {
        State::Ok
    }
}

/// What the ledger says that the device tells from now.
fn current(device: &Device) -> Option<SenderStatus> {
    device.ledgers.first()?.sender.status
}

fn row(device: &Device, state: State, now: UnixMs) -> Value {
    let text = |time: Option<UnixMs>| time.map(|time| time.to_string());
    let seconds = |since: UnixMs| now.0.saturating_sub(since.0).max(0) / 1_000;
    let sum = |of: fn(&DeviceLedger) -> u64| device.ledgers.iter().map(of).sum::<u64>();
    let newest = device.ledgers.iter().filter_map(|ledger| ledger.newest_at).max();
    let status = current(device);
    let sender = device.ledgers.first().map(|ledger| &ledger.sender);
    let word =
        |of: fn(&trueup_core::Sender) -> &str| sender.map(of).filter(|word| !word.is_empty());
    json!({
        "device": &*device.name,
        "state": state.name(),
        "first_seen_at": device.first_seen_at.to_string(),
        "last_seen_at": device.last_seen_at.to_string(),
        "seen_seconds_ago": seconds(device.last_seen_at),
        "host": word(|sender| &sender.host),
        "agent": word(|sender| &sender.agent),
        "version": word(|sender| &sender.version),
        "newest_at": text(newest),
        "waiting": status.map(|status| status.waiting),
        "oldest_waiting_at": text(status.and_then(|status| status.oldest_waiting_at)),
        "last_read_at": text(status.and_then(|status| status.last_read_at)),
        "dropped": sum(|ledger| ledger.sender.status.map_or(0, |status| status.dropped)),
        "refused": sum(|ledger| ledger.sender.status.map_or(0, |status| status.refused)),
        "missing": sum(|ledger| ledger.missing),
        "batches": sum(|ledger| ledger.batches),
        "accepted": sum(|ledger| ledger.accepted),
        "duplicates": sum(|ledger| ledger.duplicates),
        "ledgers": device.ledgers.len(),
    })
}
