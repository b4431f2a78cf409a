//! Batches: facts, and how far their source was read, committed together.
//!
//! A [`Position`] says how far one store was read. It is written in the transaction that writes the
//! facts up to it, so that a crash between the two cannot happen. This module does not know how a
//! store is read; `state` is the reader's own.

use crate::{Fact, FactId, Key, Text};

/// Facts and the positions that they bring their stores to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// What was observed.
    pub facts: Vec<Fact>,
    /// Copies of calls that do not count beside those above, under ids of their own: of interest only
    /// where they may once have been told alone.
    pub copies: Vec<(Key, FactId)>,
    /// How far the stores were read with these facts.
    pub positions: Vec<(StoreId, Position)>,
    /// Stores that are read from their start again, because they are no longer what was read: what
    /// could not be understood in them before is forgotten.
    pub restarted: Vec<StoreId>,
    /// What could not be understood on the way.
    pub problems: Vec<(StoreId, Problem)>,
    /// Whether a look at all stores ends here: what was to be found by now was found.
    pub is_poll: bool,
}

/// Names one store of one source: a file or a database, or a part of a database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreId {
    /// The source id: `claude-code`…
    pub source: Text,
    /// The absolute path.
    pub path: Text,
    /// The part of a database that has a position of its own, such as a session; empty for files.
    pub part: Text,
}

impl StoreId {
    /// A store as a whole.
    #[must_use]
    pub fn of_file(source: &str, path: &str) -> Self {
        Self { source: source.into(), path: path.into(), part: Text::default() }
    }
}

/// How far one store was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// What the file was when it was read: its identity and its size then.
    pub stamp: Stamp,
    /// Bytes read, up to and including the last newline; rows' last sequence number in databases.
    pub offset: u64,
    /// Lines read.
    pub line: u64,
    /// A hash of the bytes before `offset`: whether this is still the file that was read.
    pub tail_hash: u64,
    /// What the reader needs to go on, in its own form; empty at the start.
    pub state: String,
}

/// A file's identity and size: while it is unchanged there is nothing new to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// The size in bytes.
    pub size_bytes: u64,
    /// The time of the last change, in nanoseconds since the epoch.
    pub modified_ns: i64,
}

/// Something in a store that could not be understood. It names the place and the kind, never the
/// content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub kind: ProblemKind,
    /// The line, from 1; 0 where the store has no lines.
    pub line: u64,
    /// What exactly: a column, a field, an error of the system.
    pub detail: String,
}

/// What can be wrong with input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProblemKind {
    /// The store cannot be opened or read.
    Unreadable,
    /// A line or document is not JSON.
    NotJson,
    /// A record has a wrong shape: a field of a wrong type, a missing time.
    BadRecord,
    /// A count is negative, too large, or not a number; it was cut.
    BadCount,
    /// A database has tables that this version does not know.
    UnknownSchema,
    /// A compressed store is damaged.
    Corrupt,
    /// A store that others point to is not there.
    Missing,
    /// A store or line is larger than the bound for it.
    TooLarge,
}

impl ProblemKind {
    /// Whether such a problem in this line is about one record.
    #[must_use]
    pub const fn is_bad_line(self, line: u64) -> bool {
        match self {
            Self::NotJson | Self::BadRecord | Self::BadCount => true,
            Self::TooLarge => line > 0,
            Self::Unreadable | Self::UnknownSchema | Self::Corrupt | Self::Missing => false,
        }
    }

    /// Every kind, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Unreadable,
        Self::NotJson,
        Self::BadRecord,
        Self::BadCount,
        Self::UnknownSchema,
        Self::Corrupt,
        Self::Missing,
        Self::TooLarge,
    ];

    /// The name in output and in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::NotJson => "not_json",
            Self::BadRecord => "bad_record",
            Self::BadCount => "bad_count",
            Self::UnknownSchema => "unknown_schema",
            Self::Corrupt => "corrupt",
            Self::Missing => "missing",
            Self::TooLarge => "too_large",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
