//! From rows to the bytes of a request, one row in memory at a time.
//!
//! The rows are walked over twice, as they were at one moment: first to see how many fit and what
//! their hash is, then to write and compress them.
//!
//! ```json
//! {"v":1,
//!  "batch":{"id":"01a1…","created_at":1795212509482,"count":1,"first_seq":17,"last_seq":17,"sha256":"…"},
//!  "source":{"id":"…","epoch":"…","host":"box","agent":"hermes","version":"0.1.0",
//!   "status":{"waiting":0,"oldest_waiting_at":null,"dropped":0,"refused":0,"last_read_at":1795212509118}},
//!  "events":[{"type":"custom_event","seq":17,"id":"…","data":{"trace_id":"…","name":"deploy"}}]}
//! ```

use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use trueup_core::UnixMs;
use trueup_ledger::{Backlog, Frozen, Identity, LedgerError, Outgoing, Snapshot};

use super::compress::{Compressor, IDENTITY};
use super::{DESTINATION, json};
use crate::render::number::hex;

/// Most records in a batch.
const EVENTS_MAX: u64 = 10_000;

/// The version of the format.
pub(super) const FORMAT: u32 = 1;

/// What goes into a batch.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Behind this place of the outbox.
    pub(super) after: i64,
    /// Up to this one.
    pub(super) until: i64,
    /// At most so many records.
    pub(super) events_max: u64,
    /// Largest size before compression, of more than one record.
    pub(super) bytes_max: u64,
    /// Largest size of one record alone: a larger one is cut.
    pub(super) single_bytes_max: u64,
    /// How it is compressed.
    pub(super) encoding: String,
}

/// Who sends it.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub(super) identity: Identity,
    pub(super) host: String,
    pub(super) agent: String,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Made {
    /// A batch.
    Batch(Frozen),
    /// There is no record up to this place.
    Nothing(i64),
    /// The record at this place is too large even without its texts.
    TooLarge(i64),
}

/// Why no batch could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("a batch cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// Rows that fit into one batch.
#[derive(Default)]
struct Plan {
    first_seq: i64,
    last_seq: i64,
    events: u64,
    /// Of the records and the commas between them.
    bytes: u64,
    sha256: Sha256,
    text_bytes_max: Option<usize>,
    is_too_large: bool,
}

/// Makes a batch of what is in the outbox.
pub(super) fn make(
    snapshot: &Snapshot<'_>,
    wanted: &Wanted,
    sender: &Sender,
    id: &str,
    now: UnixMs,
) -> Result<Made, BatchError> {
    let created_at = snapshot.next_batch_at(now)?;
    let longest = envelope(sender, id, created_at, &Plan::longest(), &LONGEST);
    let plan = plan(snapshot, wanted, longest.len() as u64 + TAIL.len() as u64)?;
    if plan.is_too_large {
        return Ok(Made::TooLarge(plan.last_seq));
    }
    if plan.events == 0 {
        return Ok(Made::Nothing(plan.last_seq));
    }
    let backlog = snapshot.backlog(DESTINATION, plan.last_seq)?;
    let head = envelope(sender, id, created_at, &plan, &backlog);
    let body = encode(snapshot, wanted, &plan, &head)?;
    Ok(Made::Batch(Frozen {
        id: id.to_owned(),
        created_at,
        first_seq: wanted.after.saturating_add(1),
        last_seq: plan.last_seq,
        events: plan.events,
        bytes: head.len() as u64 + plan.bytes + TAIL.len() as u64,
        is_cut: plan.text_bytes_max.is_some(),
        encoding: wanted.encoding.clone(),
        attempts: 0,
        body: Arc::new(body),
    }))
}

/// Makes a batch without records, which says that we are there and have nothing to send.
pub(super) fn heartbeat(
    snapshot: &Snapshot<'_>,
    after: i64,
    sender: &Sender,
    id: &str,
    now: UnixMs,
) -> Result<Frozen, BatchError> {
    let created_at = snapshot.next_batch_at(now)?;
    let plan = Plan { first_seq: after.saturating_add(1), last_seq: after, ..Plan::default() };
    let backlog = snapshot.backlog(DESTINATION, after)?;
    let body = envelope(sender, id, created_at, &plan, &backlog) + TAIL;
    Ok(Frozen {
        id: id.to_owned(),
        created_at,
        first_seq: plan.first_seq,
        last_seq: plan.last_seq,
        events: 0,
        bytes: body.len() as u64,
        is_cut: false,
        encoding: IDENTITY.to_owned(),
        attempts: 0,
        body: Arc::new(body.into_bytes()),
    })
}

/// What stands behind the records.
const TAIL: &str = "]}";

/// The backlog whose words are the longest.
const LONGEST: Backlog = Backlog {
    waiting: u64::MAX,
    oldest_waiting_at: Some(UnixMs(i64::MAX)),
    dropped: u64::MAX,
    refused: u64::MAX,
    last_read_at: Some(UnixMs(i64::MAX)),
};

/// What stands before the records.
fn envelope(
    sender: &Sender,
    id: &str,
    created_at: UnixMs,
    plan: &Plan,
    backlog: &Backlog,
) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let time = |time: Option<UnixMs>| time.map_or("null".to_owned(), |time| time.0.to_string());
    let mut hasher = plan.sha256.clone();
    hasher.update(if plan.events == 0 { "[]" } else { "]" });
    let sha256 = hex(&hasher.finalize());
    let Backlog { waiting, oldest_waiting_at, dropped, refused, last_read_at } = *backlog;
    format!(
        r#"{{"v":{FORMAT},"batch":{{"id":"{id}","created_at":{},"count":{},"first_seq":{},"last_seq":{},"sha256":"{sha256}"}},"source":{{"id":{},"epoch":{},"host":{},"agent":{},"version":"{}","status":{{"waiting":{waiting},"oldest_waiting_at":{},"dropped":{dropped},"refused":{refused},"last_read_at":{}}}}},"events":["#,
        created_at.0,
        plan.events,
        plan.first_seq,
        plan.last_seq,
        text(&sender.identity.source),
        text(&sender.identity.epoch),
        text(&sender.host),
        text(&sender.agent),
        env!("CARGO_PKG_VERSION"),
        time(oldest_waiting_at),
        time(last_read_at),
    )
}

impl Plan {
    /// The one whose envelope is the longest.
    fn longest() -> Self {
        Self { first_seq: i64::MAX, last_seq: i64::MAX, events: u64::MAX, ..Self::default() }
    }

    /// Takes a record's bytes in.
    fn add(&mut self, seq: i64, json: &[u8]) {
        self.sha256.update(if self.events == 0 { b"[" } else { b"," });
        self.sha256.update(json);
        self.bytes += json.len() as u64 + u64::from(self.events > 0);
        self.events += 1;
        self.last_seq = seq;
    }
}

/// Which records fit.
fn plan(snapshot: &Snapshot<'_>, wanted: &Wanted, around: u64) -> Result<Plan, BatchError> {
    let mut plan = Plan { first_seq: wanted.after.saturating_add(1), ..Plan::default() };
    let mut json = Vec::new();
    let mut failed = None;
    let last = snapshot.each(wanted.after, |record| {
        if record.seq > wanted.until || plan.events == wanted.events_max.min(EVENTS_MAX) {
            return ControlFlow::Break(());
        }
        json.clear();
        if let Err(error) = json::write(&mut json, record, None) {
            failed = Some(error);
            return ControlFlow::Break(());
        }
        let room = wanted.bytes_max.saturating_sub(around + plan.bytes + 1);
        if plan.events > 0 && json.len() as u64 > room {
            return ControlFlow::Break(());
        }
        let room = wanted.single_bytes_max.saturating_sub(around);
        if json.len() as u64 > room {
            plan.text_bytes_max = cut_to(&mut json, record, room);
            plan.is_too_large = plan.text_bytes_max.is_none();
        }
        plan.add(record.seq, &json);
        let is_alone = plan.is_too_large || plan.text_bytes_max.is_some();
        if is_alone { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    failed.map_or(Ok(()), Err)?;
    // Places behind the last record whose rows are gone; not behind a record that is alone, so that
    // its place is the batch's last.
    if plan.events != 1 {
        plan.last_seq = plan.last_seq.max(last.min(wanted.until));
    }
    Ok(plan)
}

/// How far the texts of a record must be cut so that it fits, and its JSON; `None` where nothing helps.
fn cut_to(json: &mut Vec<u8>, record: &Outgoing<'_>, room: u64) -> Option<usize> {
    // In the longest JSON a byte of text is six: `\u0001`.
    let mut text_bytes_max = usize::try_from(room).unwrap_or(usize::MAX) / 2;
    loop {
        json.clear();
        json::write(json, record, Some(text_bytes_max)).ok()?;
        match (json.len() as u64 <= room, text_bytes_max) {
            (true, _) => return Some(text_bytes_max),
            (false, 0) => return None,
            (false, _) => text_bytes_max /= 2,
        }
    }
}

/// Writes the planned records.
fn encode(
    snapshot: &Snapshot<'_>,
    wanted: &Wanted,
    plan: &Plan,
    head: &str,
) -> Result<Vec<u8>, BatchError> {
    let mut out = Compressor::new(&wanted.encoding)?;
    out.write_all(head.as_bytes())?;
    let mut json = Vec::new();
    let mut written: u64 = 0;
    let mut failed = None;
    snapshot.each(wanted.after, |record| {
        if written == plan.events {
            return ControlFlow::Break(());
        }
        json.clear();
        if written > 0 {
            json.push(b',');
        }
        let result = json::write(&mut json, record, plan.text_bytes_max);
        match result.and_then(|()| out.write_all(&json)) {
            Ok(()) => written += 1,
            Err(error) => failed = Some(error),
        }
        if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    failed.map_or(Ok(()), Err)?;
    out.write_all(TAIL.as_bytes())?;
    let mut body = out.finish()?;
    // It stays until there is an answer.
    body.shrink_to_fit();
    Ok(body)
}
