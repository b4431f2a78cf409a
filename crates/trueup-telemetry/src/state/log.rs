//! The log of a recorder: how lines get into it, and how it is written anew.
//!
//! What is to be written is taken from the sums first, so that nobody who records waits while it is
//! written.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::StateError;
use super::folder::{Folder, is_at, private, remove, sync_folder};
use super::lines::line;
use super::open_log::{OPEN_LOG_VERSION, OpenOp, Put};
use crate::rollup::{Part, Plan, Taken};

/// Bytes of a log past which it is written anew with what counts of it.
const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Bytes of a line beside its JSON: the checksum, a space, and the newline.
const LINE_BYTES: usize = 10;

/// A log, which its recorder shares with what is to be written to it and with what it has handed over:
/// whichever file it is by now, they mean the same one.
#[derive(Debug)]
pub(crate) struct Log {
    folder: Folder,
    name: String,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    file: File,
    bytes: u64,
    bytes_max: u64,
}

/// Of what the log does not say yet, so much as is written with one call.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) log: Arc<Log>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) taken: Taken,
    /// The last record that the log holds once all of it is written.
    pub(crate) number: u64,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) changes: Changes,
    pub(crate) result: io::Result<()>,
}

impl Changes {
    /// Writes it, with one call and without a sync. Of one recorder, one after the other.
    pub(crate) fn write(self) -> Attempt {
        let line = ops_line(&self.taken.parts, &self.taken.gone, &self.plan);
        let result = line.and_then(|line| self.log.append(&line));
        Attempt { changes: self, result }
    }
}

impl Log {
    /// Begins a log.
    pub(crate) fn begin(folder: Folder, name: String) -> Result<Self, StateError> {
        let (file, bytes) = write_log(&folder, &name, None)?;
        let written = Mutex::new(Written { file, bytes, bytes_max: LOG_BYTES_MAX });
        Ok(Self { folder, name, written })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path(&self.name)
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody has removed it. Whoever holds the lock of the folder knows that this stays so.
    pub(crate) fn is_there(&self) -> bool {
        is_at(&self.written().file, &self.path())
    }

    /// Makes it last that what it says was written.
    pub(crate) fn sync(&self) -> Result<(), StateError> {
        let synced = self.written().file.sync_data();
        synced.map_err(StateError::io("sync", Path::new(&self.name)))
    }

    fn append(&self, line: &[u8]) -> io::Result<()> {
        let Written { file, bytes, bytes_max } = &mut *self.written();
        let written = file.write_all(line);
        if written.is_ok() {
            *bytes += u64::try_from(line.len()).unwrap_or(0);
        } else if file.set_len(*bytes).is_err() {
            // A torn line is left, which hides whole ones behind it: after the next the log is written
            // anew.
            *bytes_max = 0;
        }
        written
    }

    /// Whether it is time to write it anew.
    pub(crate) fn is_long(&self) -> bool {
        let written = self.written();
        written.bytes > written.bytes_max
    }

    /// Writes it anew, with these buckets alone. Not while another process purges, which would bring it
    /// back; where it fails the old one is as good.
    pub(crate) fn rewrite(&self, parts: &[Part], plan: &Plan) {
        let Ok(_lock) = self.folder.lock() else { return };
        let mut written = self.written();
        if !is_at(&written.file, &self.path()) {
            return;
        }
        let Ok(lines) = ops_line(parts, &BTreeSet::new(), plan) else { return };
        if let Ok((file, bytes)) = write_log(&self.folder, &self.name, Some(&lines)) {
            let bytes_max = LOG_BYTES_MAX.max(bytes.saturating_mul(4));
            *written = Written { file, bytes, bytes_max };
        }
    }
}

/// Makes a log that is locked before anybody else can see it: a new one, or one with `lines` in the
/// place of an older one, which must last before the older one is gone.
fn write_log(folder: &Folder, name: &str, lines: Option<&[u8]>) -> Result<(File, u64), StateError> {
    let path = folder.path(name);
    let tmp = path.with_added_extension("tmp");
    let mut bytes = Vec::new();
    line(&format!(r#"[{{"head":{{"version":{OPEN_LOG_VERSION}}}}}]"#), &mut bytes);
    bytes.extend_from_slice(lines.unwrap_or_default());
    remove(&tmp)?;
    let file = private().create_new(true).append(true).open(&tmp);
    let mut file = file.map_err(StateError::io("create", &tmp))?;
    let mut make = || {
        file.try_lock().map_err(io::Error::from).map_err(StateError::io("lock", &tmp))?;
        file.write_all(&bytes).map_err(StateError::io("write", &tmp))?;
        if lines.is_some() {
            file.sync_all().map_err(StateError::io("sync", &tmp))?;
        }
        fs::rename(&tmp, &path).map_err(StateError::io("rename", &tmp))
    };
    if let Err(error) = make() {
        // A full disk must not fill with what it had no room for.
        remove(&tmp)?;
        return Err(error);
    }
    if lines.is_some() {
        // An older log must not be back after the power fails: it would show what is gone.
        sync_folder(folder.root())?;
    }
    Ok((file, u64::try_from(bytes.len()).unwrap_or(0)))
}

/// One bucket after the other: of what they are made of there is never more than one at a time.
fn ops_line(parts: &[Part], gone: &BTreeSet<u64>, plan: &Plan) -> io::Result<Vec<u8>> {
    let puts = parts.iter().filter_map(|part| Put::of(part, plan));
    let puts = puts.map(|put| OpenOp::Put(Box::new(put)));
    let gone = (!gone.is_empty()).then(|| OpenOp::Gone(gone.clone()));
    let mut json = String::from("[");
    for op in puts.chain(gone) {
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(&serde_json::to_string(&op)?);
    }
    json.push(']');
    let mut bytes = Vec::with_capacity(json.len() + LINE_BYTES);
    line(&json, &mut bytes);
    Ok(bytes)
}
