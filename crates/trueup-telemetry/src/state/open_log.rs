//! The log of a process's open buckets: each line says what some of them hold by now.
//!
//! ```text
//! 1f0a… [{"head":{"version":1}}]
//! 5a1f… [{"put":{"serial":3,"event":"observer_turn_rollup","session":"0c9f…","seq":0,"day":20778,"sums":{…}}}]
//! 77b2… [{"gone":[3]}]
//! ```
//!
//! The last line about a bucket is what counts, so a torn end loses what came since the line before,
//! and nothing can count twice.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::lines::Lines;
use crate::budget::Day;
use crate::rollup::{Part, Plan, Reason, Saved, SessionId};

/// The form of the log that is written here.
pub(crate) const OPEN_LOG_VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OpenOp<'a> {
    Head { version: u32 },
    Put(Box<Put<'a>>),
    Gone(BTreeSet<u64>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Put<'a> {
    serial: u64,
    event: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    seq: u32,
    day: Day,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    local: bool,
    sums: Saved<'a>,
}

impl<'a> Put<'a> {
    /// A bucket as it is now. `None` only for one of another plan.
    pub(crate) fn of(part: &'a Part, plan: &'a Plan) -> Option<Self> {
        let rollup = plan.get(part.rollup)?;
        Some(Self {
            serial: part.serial,
            event: Cow::from(&rollup.spec.event),
            session: part.session.map(|id| format!("{:032x}", id.0)),
            seq: part.window_seq,
            day: part.day,
            reason: part.reason,
            local: part.is_local,
            sums: Saved::of(&part.sums, rollup),
        })
    }

    fn part(&self, plan: &Plan) -> Option<(Part, u64)> {
        let rollup = plan.rollup(&self.event)?;
        let (sums, unknown) = self.sums.restore(plan.get(rollup)?);
        let session = self.session.as_deref().and_then(|hex| u128::from_str_radix(hex, 16).ok());
        let part = Part {
            serial: self.serial,
            rollup,
            session: session.map(SessionId),
            window_seq: self.seq,
            day: self.day,
            reason: self.reason,
            is_local: self.local,
            sums,
        };
        Some((part, unknown))
    }
}

/// What a log says.
#[derive(Debug, Default)]
pub struct OpenLog {
    /// Its version; 0 where it does not say one.
    pub version: u32,
    /// Bytes that were understood.
    pub good_bytes: usize,
    /// Bytes behind those, which are torn or damaged.
    pub unread_bytes: usize,
    puts: BTreeMap<u64, Put<'static>>,
}

/// Reads a log, as far as it is whole. Any bytes are allowed.
#[must_use]
pub fn read_open_log(bytes: &[u8]) -> OpenLog {
    let mut log = OpenLog::default();
    let mut lines = Lines::new(bytes);
    while let Some(json) = lines.next() {
        let Ok(ops) = serde_json::from_str::<Vec<OpenOp<'static>>>(json) else { break };
        for op in ops {
            log.apply(op);
        }
        log.good_bytes = lines.good_bytes();
    }
    log.unread_bytes = bytes.len() - log.good_bytes;
    log
}

impl OpenLog {
    /// Its buckets, as far as the plan knows their events, and how many fields or events it does not.
    #[must_use]
    pub fn parts(&self, plan: &Plan) -> (Vec<Part>, u64) {
        let mut parts = Vec::new();
        let mut unknown = 0;
        for put in self.puts.values() {
            match put.part(plan) {
                Some((part, fields)) => {
                    unknown += fields;
                    parts.push(part);
                }
                None => unknown += 1,
            }
        }
        (parts, unknown)
    }

    pub(crate) const fn is_known(&self) -> bool {
        self.version <= OPEN_LOG_VERSION
    }

    fn apply(&mut self, op: OpenOp<'static>) {
        match op {
            OpenOp::Head { version } => self.version = version,
            OpenOp::Put(put) => {
                self.puts.insert(put.serial, *put);
            }
            OpenOp::Gone(serials) => self.puts.retain(|serial, _| !serials.contains(serial)),
        }
    }
}
