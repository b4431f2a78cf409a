//! Reading and writing a `telemetry.json`.
//!
//! A change reads the file, edits what it knows, and puts a whole new file in its place; where the old one
//! cannot be read it stays as it is, and the change is refused.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde_json::Value;
use trueup_core::UnixMs;

use super::Mode;
use super::document::{DECIDED_AT, Document, ENABLED, MODE, NOTICE_SHOWN_AT};

/// Longest file that is read. What is longer was not written by a program of ours.
pub const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A `telemetry.json` or a policy, and what was found there.
#[derive(Debug, Clone)]
pub struct StateFile {
    /// Where it is, or would be.
    pub path: PathBuf,
    /// What was found.
    pub content: Content,
}

/// What was found.
#[derive(Debug, Clone)]
pub enum Content {
    /// There is no such file.
    Absent,
    /// There is something that cannot be read, or is not what it should be.
    Unreadable(Unreadable),
    /// It was read.
    Read(Document),
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The system does not let us.
    #[error("{path} cannot be read ({why})")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        why: io::ErrorKind,
    },
    /// It is a folder, a pipe, or a link that leads nowhere.
    #[error("{path} is not a file")]
    NotAFile {
        /// The file.
        path: String,
    },
    /// It is too long.
    #[error("{path} is longer than {FILE_BYTES_MAX} bytes")]
    TooLong {
        /// The file.
        path: String,
    },
    /// It is not one JSON object, or a key stands in it twice.
    #[error("{path}:{line}: it is not one JSON object in which each key stands once")]
    NotAnObject {
        /// The file.
        path: String,
        /// The line at which that shows, from 1.
        line: usize,
    },
}

/// Why a file was not written. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// What is there cannot be read, and is not overwritten.
    #[error("{0}; it was left as it is, and telemetry is off until it is mended or removed")]
    Refused(Unreadable),
    /// Another process is writing it at this moment.
    #[error("{} is being written by another process; try again", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The system does not let us.
    #[error("{} cannot be written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl StateFile {
    /// Reads a file. Nothing is written, and nothing that is not a file is opened.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        Self { path: path.to_path_buf(), content: content(path) }
    }

    /// One that is not there.
    #[must_use]
    pub fn absent(path: &Path) -> Self {
        Self { path: path.to_path_buf(), content: Content::Absent }
    }

    /// Writes a decision.
    pub fn write_decision(path: &Path, mode: Mode, now: UnixMs) -> Result<(), WriteError> {
        change(path, |document| {
            // Who says once more what was decided before decides nothing, and loses nothing.
            let is_same = document.get(MODE) == Some(Value::from(mode.word()))
                && document.get(ENABLED) == Some(Value::from(mode == Mode::On));
            if is_same && document.get(DECIDED_AT).is_some_and(|date| date != "") {
                return;
            }
            document.set(MODE, &Value::from(mode.word()));
            // claude-mem of today knows this key only.
            document.set(ENABLED, &Value::from(mode == Mode::On));
            document.set(DECIDED_AT, &Value::from(now.to_string()));
        })
    }

    /// Writes that the notice was shown.
    pub fn write_notice_shown(path: &Path, now: UnixMs) -> Result<(), WriteError> {
        change(path, |document| {
            document.keep_date();
            document.set(NOTICE_SHOWN_AT, &Value::from(now.to_string()));
        })
    }
}

fn content(path: &Path) -> Content {
    let text = || path.display().to_string();
    let io = |error: &io::Error| Unreadable::Io { path: text(), why: error.kind() };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A link that leads nowhere is something, and may have been a refusal.
            let is_link = fs::symlink_metadata(path).is_ok();
            let why = Unreadable::NotAFile { path: text() };
            return if is_link { Content::Unreadable(why) } else { Content::Absent };
        }
        Err(error) => return Content::Unreadable(io(&error)),
    };
    if !metadata.is_file() {
        return Content::Unreadable(Unreadable::NotAFile { path: text() });
    }
    let mut bytes = Vec::new();
    let opened = File::open(path);
    let read = opened.and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Content::Unreadable(io(&error)),
        Ok(length) if length as u64 > FILE_BYTES_MAX => {
            Content::Unreadable(Unreadable::TooLong { path: text() })
        }
        Ok(_) => match Document::parse(&bytes) {
            Ok(document) => Content::Read(document.modified(modified(&metadata))),
            Err(line) => Content::Unreadable(Unreadable::NotAnObject { path: text(), line }),
        },
    }
}

fn modified(metadata: &fs::Metadata) -> Option<UnixMs> {
    let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(UnixMs)
}

// --- writing -------------------------------------------------------------------------------------

/// Changes a file as a whole: it is read, edited, written beside itself, made durable, and renamed.
pub(crate) fn change<T>(
    path: &Path,
    edit: impl FnOnce(&mut Document) -> T,
) -> Result<T, WriteError> {
    let failed = |source| WriteError::Io { path: path.to_path_buf(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    // Before a folder is made: where something stands that cannot be read, nothing is touched.
    if let Content::Unreadable(why) = content(path) {
        return Err(WriteError::Refused(why));
    }
    make_folder(folder).map_err(failed)?;
    let lock = private(&beside(path, ".lock"), false).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(WriteError::Busy { path: path.to_path_buf() });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let mut document = match content(path) {
        Content::Absent => Document::default(),
        Content::Read(document) => document,
        Content::Unreadable(why) => return Err(WriteError::Refused(why)),
    };
    let edited = edit(&mut document);
    // Where it is a link, as people keep settings elsewhere, what it leads to is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    replace(&target, &document.bytes()).map_err(failed)?;
    Ok(edited)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = beside(path, ".tmp");
    let written = private(&new, true).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&new, path)) {
        // The error is what matters; what is left behind is overwritten the next time.
        let _is_removed = fs::remove_file(&new).is_ok();
        return Err(error);
    }
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// The name of a file that belongs to another.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(ending);
    path.with_file_name(name)
}

/// A file that only its owner can read. One that is new takes the place of what was left there.
fn private(path: &Path, is_new: bool) -> io::Result<File> {
    let mut options = File::options();
    options.write(true);
    if is_new {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        options.create_new(true);
    } else {
        options.create(true).truncate(false);
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
