//! What can go wrong on disk.

use std::io;
use std::path::{Path, PathBuf};

/// Why the state could not be read or changed. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process changes the state at this moment: try again.
    #[error("{path} is held by another process: try again")]
    Busy {
        /// The file that is locked.
        path: PathBuf,
    },
    /// Written by a newer version.
    #[error(
        "{path} has version {version}, which only a newer program reads: use that, or remove it"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// Something that has no form on disk.
    #[error("cannot write {what} as JSON")]
    Json {
        /// What was to be written.
        what: &'static str,
        /// Why not.
        source: serde_json::Error,
    },
}

impl StateError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
