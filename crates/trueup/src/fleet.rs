//! The devices of a hub's account: how each is, and what is known to be missing of it.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, Value, json};
use trueup_core::{Sender, SenderStatus, UnixMs};
use trueup_ledger::{Device, DeviceLedger, Reader};

use crate::config::Config;
use crate::usage::{Keeping, reader_of};

/// Heartbeats that may be missed before a device is called silent.
const HEARTBEATS_MISSED_MAX: u32 = 3;

/// How a device is; the first that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
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

    /// The word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Lossy => "lossy",
            Self::Silent => "silent",
            Self::Behind => "behind",
            Self::Ok => "ok",
        }
    }
}

/// Some of the devices, by name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    /// Behind the device of this name.
    pub(crate) behind: &'a str,
    /// How many at most.
    pub(crate) limit: usize,
}

impl Part<'_> {
    /// All of them.
    pub(crate) const ALL: Self = Part { behind: "", limit: usize::MAX };
}

/// The devices of an account, of which a part is told one by one.
pub(crate) fn told(kept: &Keeping, config: &Config, now: UnixMs, part: Part<'_>) -> Result<Value> {
    // Out of ClickHouse it is not known which words were known before: rows meet later.
    let (devices, has_duplicates) = match kept.tenant() {
        Some(tenant) => (tenant.devices()?, false),
        None => (reader_of(kept.ledger(), None)?.devices()?, true),
    };
    let Fleet { devices, silent_after } = Fleet::of(devices, config, now)?;
    let count = |wanted: State| devices.iter().filter(|(_, state)| *state == wanted).count();
    let counts: Map<String, Value> =
        State::ALL.iter().map(|state| (state.name().to_owned(), count(*state).into())).collect();
    let from = devices.partition_point(|(device, _)| *device.name <= *part.behind);
    let behind = devices.get(from..).unwrap_or_default();
    let shown = behind.get(..part.limit).unwrap_or(behind);
    let next = shown.last().filter(|_| shown.len() < behind.len());
    let rows = shown.iter().map(|(device, state)| row(device, *state, has_duplicates, now));
    Ok(json!({
        "schema": 1,
        "as_of": now.to_string(),
        "silent_after_seconds": silent_after.as_secs(),
        "is_complete": count(State::Ok) == devices.len(),
        "counts": counts,
        "rows": rows.collect::<Vec<_>>(),
        "next_cursor": next.map(|(device, _)| &*device.name),
        "cli": "trueup hub devices",
    }))
}

/// The devices of an account, and how each is.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pub(crate) devices: Vec<(Device, State)>,
    /// How long a device may be silent.
    pub(crate) silent_after: Duration,
}

impl Fleet {
    /// Looks at those of a ledger; there are none on a machine that is no hub.
    pub(crate) fn read(reader: &Reader, config: &Config, now: UnixMs) -> Result<Self> {
        Self::of(reader.devices()?, config, now)
    }

    fn of(devices: Vec<Device>, config: &Config, now: UnixMs) -> Result<Self> {
        let silent_after = config.duration("hub_heartbeat")? * HEARTBEATS_MISSED_MAX;
        let silent_ms = i64::try_from(silent_after.as_millis()).unwrap_or(i64::MAX);
        let devices = devices.into_iter().map(|device| {
            let state = state(&device, now, silent_ms);
            (device, state)
        });
        Ok(Self { devices: devices.collect(), silent_after })
    }
}

/// Places that were passed over, and records that were dropped or refused, of all ledgers of a device.
pub(crate) fn losses(device: &Device) -> [u64; 3] {
    let sum = |of: fn(&DeviceLedger) -> u64| device.ledgers.iter().map(of).sum::<u64>();
    [
        sum(|ledger| ledger.missing),
        sum(|ledger| ledger.sender.status.map_or(0, |status| status.dropped)),
        sum(|ledger| ledger.sender.status.map_or(0, |status| status.refused)),
    ]
}

fn state(device: &Device, now: UnixMs, silent_ms: i64) -> State {
    let has_waited = |since: UnixMs| now.0.saturating_sub(since.0) > silent_ms;
    if losses(device) != [0; 3] {
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

fn row(device: &Device, state: State, has_duplicates: bool, now: UnixMs) -> Value {
    let text = |time: Option<UnixMs>| time.map(|time| time.to_string());
    let seconds = |since: UnixMs| now.0.saturating_sub(since.0).max(0) / 1_000;
    let sum = |of: fn(&DeviceLedger) -> u64| device.ledgers.iter().map(of).sum::<u64>();
    let newest = device.ledgers.iter().filter_map(|ledger| ledger.newest_at).max();
    let status = current(device);
    let sender = device.ledgers.first().map(|ledger| &ledger.sender);
    let [missing, dropped, refused] = losses(device);
    let word = |of: fn(&Sender) -> &str| sender.map(of).filter(|word| !word.is_empty());
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
        "dropped": dropped,
        "refused": refused,
        "missing": missing,
        "batches": sum(|ledger| ledger.batches),
        "accepted": sum(|ledger| ledger.accepted),
        "duplicates": has_duplicates.then(|| sum(|ledger| ledger.duplicates)),
        "ledgers": device.ledgers.len(),
    })
}
