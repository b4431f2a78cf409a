//! The program as people and scripts meet it: its command line, run as a process of its own on home
//! folders that the tests write.
//!
//! Nothing here looks inside: what is asserted is what was printed, the exit code, and what lies in
//! the files afterwards.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what does not hold panics, in whichever function it shows; homes are small"
)]

mod backfill;
mod bad_input;
mod budgets;
mod ccusage;
mod completeness;
mod completions;
mod demo;
mod discovery;
mod doctor;
mod export;
mod export_tables;
mod focus_rules;
mod golden;
mod home;
mod hook_handler;
mod hooks;
mod kill;
mod laws;
mod mcp;
mod openclaw;
mod page;
mod pipe;
mod provider_backfill;
mod provider_prune;
mod providers;
mod redact;
mod schema;
mod sessions;
mod statements;
mod statusline;
mod telemetry;
mod telemetry_pipe;
mod width;
