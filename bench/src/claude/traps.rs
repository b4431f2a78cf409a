//! What a naive reader of Claude Code gets wrong; each is set on purpose and counted in the truth.

use crate::truth::TrapKind;

pub(super) const STREAMED: TrapKind =
    TrapKind { name: "streaming_duplicates", naive: "adds every line of a response" };
pub(super) const FIRST_LINE: TrapKind =
    TrapKind { name: "streaming_first_line", naive: "keeps the first line of a response" };
pub(super) const RESUMED: TrapKind =
    TrapKind { name: "resume_copies", naive: "dedupes within one file only" };
pub(super) const ASIDE: TrapKind = TrapKind {
    name: "sidechain_replays",
    naive: "takes a replay under another request id for a call",
};
pub(super) const PROGRESS: TrapKind = TrapKind {
    name: "agent_progress_copies",
    naive: "adds the sub-agent messages repeated in progress lines",
};
pub(super) const TASK: TrapKind =
    TrapKind { name: "task_result_usage", naive: "adds toolUseResult.usage of user lines" };
pub(super) const ADVISOR: TrapKind =
    TrapKind { name: "advisor_iterations", naive: "reads the top-level usage only" };
pub(super) const NULL_CACHE: TrapKind =
    TrapKind { name: "null_cache_fields", naive: "drops lines with a null cache count" };
pub(super) const NULL_OTHER: TrapKind = TrapKind {
    name: "null_other_fields",
    naive: "drops lines whose requestId, costUSD or speed is null",
};
pub(super) const NO_REQUEST: TrapKind =
    TrapKind { name: "no_request_id", naive: "does not dedupe lines without a request id" };
pub(super) const NO_REQUEST_COPY: TrapKind = TrapKind {
    name: "no_request_id_copies",
    naive: "does not dedupe copied lines without a request id",
};
pub(super) const TWO_REQUESTS: TrapKind =
    TrapKind { name: "two_request_ids", naive: "dedupes by message id alone" };
pub(super) const SPACED: TrapKind =
    TrapKind { name: "whitespace_variants", naive: "searches for \"usage\":{ without a blank" };
pub(super) const OLD_WRITE: TrapKind =
    TrapKind { name: "cache_writes_without_ttl", naive: "reads cache_creation only" };
pub(super) const SYNTHETIC: TrapKind =
    TrapKind { name: "synthetic_lines", naive: "counts a call of <synthetic>" };
pub(super) const FAST: TrapKind =
    TrapKind { name: "fast_lines", naive: "prices them like standard ones; the tokens are right" };
pub(super) const TORN: TrapKind =
    TrapKind { name: "truncated_tails", naive: "counts a last line that was cut" };
pub(super) const IMAGE: TrapKind =
    TrapKind { name: "image_lines", naive: "buffers a line of megabytes" };
pub(super) const JUNK: TrapKind =
    TrapKind { name: "junk_files", naive: "stops at a file that is not JSON or is empty" };

/// All traps of this agent.
#[cfg(test)]
pub(crate) const TRAPS: &[&TrapKind] = &[
    &STREAMED,
    &FIRST_LINE,
    &RESUMED,
    &ASIDE,
    &PROGRESS,
    &TASK,
    &ADVISOR,
    &NULL_CACHE,
    &NULL_OTHER,
    &NO_REQUEST,
    &NO_REQUEST_COPY,
    &TWO_REQUESTS,
    &SPACED,
    &OLD_WRITE,
    &SYNTHETIC,
    &FAST,
    &TORN,
    &IMAGE,
    &JUNK,
];
