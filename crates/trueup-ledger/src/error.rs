//! What can go wrong with a ledger, and what to do about it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};

/// Why the ledger could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process writes it.
    #[error(
        "{path} is in use by another trueup (process {owner}); stop it, or give another --ledger"
    )]
    Locked {
        /// The ledger.
        path: PathBuf,
        /// What the lock file says of its owner.
        owner: String,
    },
    /// A later version wrote it.
    #[error(
        "{path} was written by a newer trueup (schema {found}, this one knows {known}); \
         install that version, or give another --ledger"
    )]
    Newer {
        /// The ledger.
        path: PathBuf,
        /// The file's schema version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The file is something else.
    #[error("{path} is not a trueup ledger ({what}); move it away, or give another --ledger")]
    NotALedger {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The folder or the lock file cannot be used.
    #[error("{path} cannot be used: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The disk is full, and no row may go: none is left, or all wait to be pushed.
    #[error("{path}: the disk is full, and the ledger has no row that may go; make room there")]
    NoRoom {
        /// The ledger.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("{path}: {source}")]
    Sqlite {
        /// The ledger.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

impl LedgerError {
    /// Whether there was no room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => source.sqlite_error().is_some_and(|error| {
                // The index of the write-ahead log is extended by other means than the rest.
                error.code == ErrorCode::DiskFull
                    || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
            }),
            Self::File { source, .. } => source.kind() == ErrorKind::StorageFull,
            Self::NoRoom { .. } => true,
            Self::Locked { .. } | Self::Newer { .. } | Self::NotALedger { .. } => false,
        }
    }

    pub(crate) fn sqlite(path: &Path) -> impl FnOnce(rusqlite::Error) -> Self + '_ {
        |source| match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => {
                Self::NotALedger { path: path.to_path_buf(), what: "no SQLite database" }
            }
            _ => Self::Sqlite { path: path.to_path_buf(), source },
        }
    }

    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::File { path: path.to_path_buf(), source }
    }

    /// Whether waiting may help: the disk is full or failing, the file is locked or cannot be opened.
    /// Otherwise the same input will fail again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => match source.sqlite_error_code() {
                // A value that is not what the reader of the row takes it for.
                None => false,
                Some(code) => !matches!(
                    code,
                    ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig
                ),
            },
            Self::File { .. } | Self::Locked { .. } | Self::NoRoom { .. } => true,
            Self::Newer { .. } | Self::NotALedger { .. } => false,
        }
    }
}
