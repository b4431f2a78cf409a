//! What coding agents leave on disk, read into facts.
//!
//! This crate knows file formats, and how to read files of any size that others are writing at the
//! same time. It does not know the ledger, prices or reports: it hands out
//! [`Batch`](trueup_core::Batch)es and is told how far it came last time.
//!
//! A new agent is one file, one line in [`AGENTS`], and one fixture folder.

mod agent;
mod chunks;
mod claude_code;
mod codex;
mod discover;
mod found;
mod gateway_log;
mod gemini_cli;
mod inspect;
mod json;
mod lines;
mod lossy;
mod openclaw;
mod opencode;
mod scan;
mod sha256;
mod shorten;
mod sqlite;
mod uuid;

pub use agent::{
    Agent, Content, Decoder, Directions, Environment, Guide, Place, Root, SessionKinds, Store,
    StoreKind,
};
pub use discover::{
    Discovery, FoundRoot, GuideProblems, Inventory, discover, folders_of, session_stores,
};
pub use found::Found;
pub use gateway_log::{GatewayEvent, GatewayEventKind, GatewayLine, MESSAGE_BYTES_MAX};
pub use inspect::{Contents, LineKind, inspect, sessions_in_index};
pub use lines::{LINE_BYTES_MAX, Line};
pub use scan::{Positions, Scanned, scan};

/// Every agent that trueup reads, in the order of reports.
pub static AGENTS: &[&dyn Agent] = &[
    &claude_code::ClaudeCode,
    &codex::Codex,
    &openclaw::OpenClaw,
    &gemini_cli::GeminiCli,
    &opencode::OpenCode,
];

/// The agent with this source id.
#[must_use]
pub fn agent(id: &str) -> Option<&'static dyn Agent> {
    AGENTS.iter().copied().find(|agent| agent.id() == id)
}
