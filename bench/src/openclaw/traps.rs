//! What a naive reader of OpenClaw gets wrong; each is set on purpose and counted in the truth.

use crate::truth::TrapKind;

pub(super) const RESET: TrapKind = TrapKind { name: "reset_archives", naive: "reads *.jsonl only" };
pub(super) const DELETED: TrapKind =
    TrapKind { name: "deleted_archives", naive: "reads *.jsonl only" };
pub(super) const DELETED_ZST: TrapKind =
    TrapKind { name: "deleted_archives_zst", naive: "does not read compressed archives" };
pub(super) const BACKUP: TrapKind =
    TrapKind { name: "backup_copies", naive: "adds a backup to the session that was compacted" };
pub(super) const BACKUP_ONLY: TrapKind =
    TrapKind { name: "backup_only_lines", naive: "does not read backups" };
pub(super) const FORK: TrapKind =
    TrapKind { name: "fork_copies", naive: "keys entries by session" };
pub(super) const MIRROR: TrapKind =
    TrapKind { name: "delivery_mirrors", naive: "counts a call of provider openclaw" };
pub(super) const FAILED: TrapKind =
    TrapKind { name: "failed_calls", naive: "drops calls without tokens" };
pub(super) const UNNAMED: TrapKind =
    TrapKind { name: "models_from_model_change", naive: "drops messages without a model" };
pub(super) const STRADDLE: TrapKind = TrapKind {
    name: "midnight_straddles",
    naive: "dates a call by its entry: these tokens move to the next day",
};
pub(super) const REASONING: TrapKind = TrapKind {
    name: "reasoning_inside_output",
    naive: "adds reasoning to the output that holds it",
};
pub(super) const CLAIMED: TrapKind = TrapKind {
    name: "claims_beside_transcripts",
    naive: "adds the index's totals to the transcript's",
};
pub(super) const INDEX_ONLY: TrapKind = TrapKind {
    name: "index_only_sessions",
    naive: "does not read the index: the estimate is missing",
};
pub(super) const STORED: TrapKind = TrapKind { name: "sqlite_sessions", naive: "reads files only" };
pub(super) const STORED_COPY: TrapKind = TrapKind {
    name: "sqlite_beside_files",
    naive: "adds what the import left behind to the store",
};
pub(super) const ZSTD_ROWS: TrapKind =
    TrapKind { name: "zstd_events", naive: "reads event_json only, and no copy" };

/// All traps of this agent's files.
#[cfg(test)]
pub(crate) const TRAPS: &[&TrapKind] = &[
    &RESET,
    &DELETED,
    &DELETED_ZST,
    &BACKUP,
    &BACKUP_ONLY,
    &FORK,
    &MIRROR,
    &FAILED,
    &UNNAMED,
    &STRADDLE,
    &REASONING,
    &CLAIMED,
    &INDEX_ONLY,
];

/// Those of its store.
#[cfg(test)]
pub(crate) const STORE_TRAPS: &[&TrapKind] = &[&STORED, &STORED_COPY, &ZSTD_ROWS];
