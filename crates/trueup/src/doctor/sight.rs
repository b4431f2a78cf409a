//! What checks look at: the ledger as it is committed, and what lies on disk.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use trueup_agents::Inventory;
use trueup_core::{Text, UnixMs};
use trueup_ledger::{
    ClaimCounts, MeteredDay, Newest, OpenSession, Reader, SourceState, StoredPositions,
    StoredProblem, ToldSession,
};

use super::alerts::Untold;
use super::provider::Billed;
use super::push::Sent;
use super::transcripts::Transcripts;
use crate::config::Config;
use crate::fleet::Fleet;
use crate::problems;

/// How the ledger was come by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LedgerState {
    /// What is new was read into it.
    UpToDate,
    /// It was only read, because that was asked for.
    OnlyRead,
    /// It was only read, because another process keeps it.
    Held { owner: String },
    /// It was only read, because it cannot be written.
    ReadOnly { why: String },
    /// There is none, and none was to be made.
    Absent,
    /// It cannot be used; what it should hold was read anew, into a temporary one.
    Unusable { why: Vec<String> },
    /// There is none and it cannot be made; what it should hold was read into a temporary one.
    CannotBeMade { why: String },
}

/// What checks look at.
#[derive(Debug)]
pub(crate) struct Sight<'a> {
    pub(super) config: &'a Config,
    pub(super) now: UnixMs,
    /// The agent that was asked for.
    pub(super) asked: Option<&'a str>,
    /// Days that are compared with OpenClaw's own account, where that was asked for.
    pub(super) parity_days: Option<u16>,
    pub(super) state: LedgerState,
    /// The user's ledger, which may not be the one that is read.
    pub(super) ledger: PathBuf,
    pub(super) reader: Reader,
    pub(super) inventory: Inventory,
    pub(super) problems: Vec<StoredProblem>,
    pub(super) open: Vec<OpenSession>,
    pub(super) positions: StoredPositions,
    pub(super) claims: BTreeMap<Text, ClaimCounts>,
    pub(super) sources: Vec<SourceState>,
    pub(super) newest: Newest,
    /// What agents told by OpenTelemetry, beside what their files hold.
    pub(super) told: Vec<ToldSession>,
    /// What counters of OpenTelemetry tell, beside what calls come to.
    pub(super) metered: Vec<MeteredDay>,
    /// What the ledger tells of its destination, where it has one.
    pub(super) sent: Option<Sent>,
    /// What the ledger tells of alerts.
    pub(super) untold: Untold,
    /// What the ledger tells of providers.
    pub(super) billed: Billed,
    /// The devices of a hub's account.
    pub(super) fleet: Fleet,
    transcripts: OnceCell<Transcripts>,
}

impl<'a> Sight<'a> {
    /// Looks at a ledger that was come by as `state` says.
    pub(crate) fn new(
        config: &'a Config,
        now: UnixMs,
        asked: Option<&'a str>,
        state: LedgerState,
        reader: Reader,
        inventory: Inventory,
    ) -> Result<Self> {
        let mut problems = problems::present(&reader)?;
        problems.retain(|problem| asked.is_none_or(|asked| *problem.store.source == *asked));
        let mut told = reader.told_sessions()?;
        told.retain(|session| asked.is_none_or(|asked| *session.source == *asked));
        let mut metered = reader.metered_days()?;
        metered.retain(|of| asked.is_none_or(|asked| *of.source == *asked));
        Ok(Self {
            config,
            now,
            asked,
            parity_days: None,
            state,
            ledger: config.ledger(),
            problems,
            open: reader.open_sessions()?,
            positions: reader.positions()?,
            claims: reader.claim_counts()?,
            sources: reader.sources()?,
            newest: reader.newest()?,
            told,
            metered,
            sent: Sent::read(&reader)?,
            untold: Untold::read(&reader)?,
            billed: Billed::read(&reader)?,
            fleet: Fleet::read(&reader, config, now)?,
            reader,
            inventory,
            transcripts: OnceCell::new(),
        })
    }

    /// The same, and OpenClaw is asked for its own account of so many days.
    pub(crate) fn with_parity(mut self, days: Option<u16>) -> Self {
        self.parity_days = days;
        self
    }

    /// Whether checks about an agent are made: it was asked for, or all were and it is here.
    pub(super) fn is_about(&self, source: &str) -> bool {
        self.asked.map_or_else(|| self.knows(source), |asked| asked == source)
    }

    /// Whether a folder of an agent is here, or the ledger knows something of it.
    fn knows(&self, source: &str) -> bool {
        let has_root = |found: &trueup_agents::FoundRoot| found.source == source && found.exists;
        self.inventory.roots.iter().any(has_root)
            || self.sources.iter().any(|state| state.source == source)
    }

    /// Where the transcripts of each session lie.
    pub(super) fn transcripts(&self) -> &Transcripts {
        self.transcripts.get_or_init(|| Transcripts::of(self))
    }
}
