//! What a naive reader of Codex gets wrong; each is set on purpose and counted in the truth.

use crate::truth::TrapKind;

pub(super) const RE_EMITTED: TrapKind =
    TrapKind { name: "re_emitted_counts", naive: "adds the last usage of every token_count" };
pub(super) const LIMITS_ONLY: TrapKind =
    TrapKind { name: "rate_limit_only_counts", naive: "needs info in every token_count" };
pub(super) const FORK: TrapKind =
    TrapKind { name: "fork_replays", naive: "counts a parent's history again in its fork" };
pub(super) const RESUMED: TrapKind =
    TrapKind { name: "resume_copies", naive: "counts history with its old timestamps again" };
pub(super) const SUBAGENT: TrapKind = TrapKind {
    name: "subagents_without_replay",
    naive: "takes a file with its parent's meta for a replay",
};
pub(super) const SUBAGENT_BURST: TrapKind = TrapKind {
    name: "subagent_first_count_re_emitted",
    naive: "takes two counts within a second at the start of a sub-agent for a replay",
};
pub(super) const ARCHIVED: TrapKind =
    TrapKind { name: "archived_copies", naive: "counts the archived copy of a session too" };
pub(super) const TOTALS_ONLY: TrapKind =
    TrapKind { name: "totals_only", naive: "needs last_token_usage" };
pub(super) const RESTART: TrapKind =
    TrapKind { name: "counter_restarts", naive: "takes the final total of a session" };
pub(super) const NO_MODEL: TrapKind =
    TrapKind { name: "no_model_metadata", naive: "drops usage without a model" };
pub(super) const RECORD: TrapKind = TrapKind {
    name: "token_usage_records",
    naive: "adds the record to the token_count that it repeats",
};
pub(super) const CACHED: TrapKind = TrapKind {
    name: "cached_inside_input",
    naive: "adds cached tokens to the input that holds them",
};
pub(super) const REASONING: TrapKind = TrapKind {
    name: "reasoning_inside_output",
    naive: "adds reasoning to the output that holds it",
};

/// All traps of this agent.
#[cfg(test)]
pub(crate) const TRAPS: &[&TrapKind] = &[
    &RE_EMITTED,
    &LIMITS_ONLY,
    &FORK,
    &RESUMED,
    &SUBAGENT,
    &SUBAGENT_BURST,
    &ARCHIVED,
    &TOTALS_ONLY,
    &RESTART,
    &NO_MODEL,
    &RECORD,
    &CACHED,
    &REASONING,
];
