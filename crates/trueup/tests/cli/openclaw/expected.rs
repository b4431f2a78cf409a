//! `expected.json`: what a case must come to, word by word as the contract's fixtures have it.
//!
//! A field that is not known here fails the test, so that no expectation is passed over.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a case must come to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    pub(super) step1: Option<Step>,
    pub(super) step2: Option<Step>,
    /// After the last step, read again.
    pub(super) step3_rerun: Option<Rerun>,
    /// After a tree was built while it was read.
    pub(super) r#final: Option<Step>,
    /// What became of single rows, by the ids of their entries.
    pub(super) rows: Option<BTreeMap<String, Row>>,
    /// The kinds of all claimed sessions.
    pub(super) kinds: Option<Vec<String>>,
    /// In words, for trees that no folder holds.
    pub(super) build: Option<String>,
    pub(super) max_rss_mib: Option<u64>,
    /// What peers count instead, which is wrong.
    pub(super) vibeusage_0_2_20: Option<u64>,
    pub(super) vibeusage_0_2_20_after_step2: Option<u64>,
    /// That OpenClaw's own report counts copies, which we do not.
    pub(super) openclaw_usage_cost_counts_copies: Option<bool>,
}

/// After a step.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) exact: Option<Exact>,
    pub(super) estimate: Option<Estimate>,
    pub(super) estimate_total: Option<u64>,
    /// Exact and estimated.
    pub(super) total: Option<u64>,
    /// Calls.
    pub(super) events: Option<u64>,
    pub(super) allowed_totals: Option<Vec<u64>>,
    /// Claims that calls cover.
    pub(super) superseded: Option<i64>,
    pub(super) rerun_delta: Option<i64>,
    pub(super) bad_lines: Option<usize>,
    /// Bytes behind the last newline, not read yet.
    pub(super) partial_tail_bytes: Option<i64>,
    /// Compressed rows in the fixture's store.
    pub(super) zstd_rows: Option<i64>,
    /// What is not there and is said so.
    pub(super) gap: Option<String>,
    /// The check of `trueup doctor` that must not be ok.
    pub(super) doctor: Option<String>,
    pub(super) naive_per_session_total: Option<u64>,
    pub(super) vibeusage_0_2_20_with_hook: Option<u64>,
}

/// Measured usage.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exact {
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) total: u64,
    pub(super) events: Option<u64>,
}

/// Claimed usage.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Estimate {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cache: u64,
    pub(super) total: u64,
    pub(super) exactness: Exactness,
}

/// How much of a session an estimate tells of.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Exactness {
    EstimateLastRun,
}

/// Read again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rerun {
    pub(super) delta: i64,
}

/// What became of one row.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Row {
    Total(u64),
    Counts(Counts),
    Said(Said),
}

/// Counts of one row.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counts {
    pub(super) input: Option<i64>,
    pub(super) cache_read: Option<i64>,
    pub(super) cache_write: Option<i64>,
    pub(super) output: Option<i64>,
    pub(super) reasoning: Option<i64>,
    /// A total without its parts.
    pub(super) unsplit: Option<i64>,
    pub(super) total: Option<i64>,
}

/// What is said of a row in words.
#[derive(Debug, Deserialize)]
pub(super) enum Said {
    #[serde(rename = "clamp 2^53-1 and flag")]
    Clamped,
    #[serde(rename = "error call, 0 tokens, counts as failed call")]
    Failed,
}
