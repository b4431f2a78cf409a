//! The folder of a product: names, locks, and files that are written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use trueup_core::UnixMs;

use super::error::StateError;
use super::lines::{Lines, line};
use crate::budget::Ledger;

/// Bytes of one file that are read at most. Logs are rewritten long before; a longer one is not ours.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// How often, and how long apart, the lock is tried.
const LOCK_TRIES: u32 = 10;
const LOCK_TRIES_APART: Duration = Duration::from_millis(1);

#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

/// What the ledger's file holds.
#[derive(Debug)]
pub(crate) enum OnDisk {
    /// No file: nothing was ever sent.
    Absent,
    /// As it was left.
    Known(Ledger),
    /// Something else.
    Unreadable,
}

impl Folder {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn outbox(&self) -> PathBuf {
        self.path("outbox")
    }

    /// Holds the state against other processes until the file is dropped; never waits for them, but for a
    /// moment: a process that is being started has this one's locks until it is the other program.
    pub(crate) fn lock(&self) -> Result<File, StateError> {
        create_folder(&self.root)?;
        let path = self.path("lock");
        let file = private().create(true).append(true).open(&path);
        let file = file.map_err(StateError::io("open", &path))?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => thread::park_timeout(LOCK_TRIES_APART),
                Err(TryLockError::Error(source)) => {
                    return Err(StateError::Io { action: "lock", path, source });
                }
            }
        }
        Err(StateError::Busy { path })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn ledger(&self) -> Result<OnDisk, StateError> {
        let path = self.path("ledger");
        let Some(bytes) = read(&path)? else { return Ok(OnDisk::Absent) };
        let ledger = Lines::new(&bytes).next().and_then(|json| serde_json::from_str(json).ok());
        match ledger {
            Some(ledger) if Ledger::is_known(&ledger) => Ok(OnDisk::Known(ledger)),
            Some(ledger) => Err(StateError::Version { path, version: ledger.version() }),
            None => Ok(OnDisk::Unreadable),
        }
    }

    /// The ledger, to be changed under the lock, which remembers that `now` was seen. One that cannot
    /// be read is put aside, and the day closed: what was sent on it is not known.
    pub(crate) fn ledger_at(&self, now: UnixMs) -> Result<Ledger, StateError> {
        let mut ledger = match self.ledger()? {
            OnDisk::Absent => Ledger::new(),
            OnDisk::Known(ledger) => ledger,
            OnDisk::Unreadable => {
                let path = self.path("ledger");
                let aside = path.with_added_extension("damaged");
                fs::copy(&path, aside).map_err(StateError::io("copy", &path))?;
                let closed = Ledger::closed(now);
                self.write_ledger(&closed)?;
                closed
            }
        };
        if ledger.see(now) {
            self.write_ledger(&ledger)?;
        }
        Ok(ledger)
    }

    pub(crate) fn write_ledger(&self, ledger: &Ledger) -> Result<(), StateError> {
        let json = serde_json::to_string(ledger)
            .map_err(|source| StateError::Json { what: "the ledger", source })?;
        let mut bytes = Vec::new();
        line(&json, &mut bytes);
        write_whole(&self.path("ledger"), &bytes).map(drop)
    }

    /// The salt of the install, which is `fresh` where there is none yet.
    pub(crate) fn salt(&self, fresh: [u8; 32], tmp: &str) -> Result<[u8; 32], StateError> {
        let path = self.path("salt");
        if let Some(salt) = read(&path)?.and_then(|bytes| bytes.try_into().ok()) {
            return Ok(salt);
        }
        let tmp = self.path(tmp);
        drop(write_whole(&tmp, &fresh)?);
        // A link is made only where there is none: of two processes that begin at once, both get the
        // salt of the first. Where there are no links, or the old salt is damaged, the last wins.
        if fs::hard_link(&tmp, &path).is_err() {
            match read(&path)?.and_then(|bytes| bytes.try_into().ok()) {
                Some(salt) => {
                    remove(&tmp)?;
                    return Ok(salt);
                }
                None => fs::rename(&tmp, &path).map_err(StateError::io("rename", &tmp))?,
            }
        } else {
            remove(&tmp)?;
        }
        Ok(fresh)
    }

    /// Names of the logs of open buckets, and with `tmp` of what was to become one.
    pub(crate) fn open_logs(&self, with_tmp: bool) -> Result<Vec<String>, StateError> {
        let list = match fs::read_dir(&self.root) {
            Ok(list) => list,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(StateError::io("list", &self.root)(source)),
        };
        let mut names = Vec::new();
        for entry in list {
            let name = entry.map_err(StateError::io("list", &self.root))?.file_name();
            let Some(name) = name.to_str() else { continue };
            let log = name.strip_suffix(".tmp").filter(|_| with_tmp).unwrap_or(name);
            if log.starts_with("open-") && log.strip_suffix(".log").is_some() {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Makes a folder that only its owner sees, unless it is there.
pub(crate) fn create_folder(path: &Path) -> Result<(), StateError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(StateError::io("create", path))
}

/// Makes it last that files of a folder were made, renamed or removed.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StateError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(StateError::io("sync", folder))
}

/// Writes a file whole: a reader, or a start after a crash, finds the old one or the new one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<File, StateError> {
    let tmp = path.with_added_extension("tmp");
    let file = private().create(true).write(true).truncate(true).open(&tmp);
    let mut file = file.map_err(StateError::io("create", &tmp))?;
    let mut make = || {
        file.write_all(bytes).map_err(StateError::io("write", &tmp))?;
        file.sync_all().map_err(StateError::io("sync", &tmp))?;
        fs::rename(&tmp, path).map_err(StateError::io("rename", &tmp))
    };
    if let Err(error) = make() {
        // A full disk must not fill with what it had no room for.
        remove(&tmp)?;
        return Err(error);
    }
    sync_folder(path.parent().unwrap_or(path))?;
    Ok(file)
}

/// Options for a file that only its owner reads.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// A file's bytes, if it is there.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    match File::open(path) {
        Ok(file) => read_all(&file).map(Some).map_err(StateError::io("read", path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StateError::io("open", path)(source)),
    }
}

/// The same of a small file: one byte more than `bytes_max` says that it is none.
pub(crate) fn read_capped(path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, StateError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::io("open", path)(source)),
    };
    let mut bytes = Vec::new();
    let bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(bytes_max).read_to_end(&mut bytes).map_err(StateError::io("read", path))?;
    Ok(Some(bytes))
}

pub(crate) fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StateError::io("remove", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Which file this is, whatever it is called by now.
pub(crate) fn identity(file: &File) -> io::Result<(u64, u64)> {
    file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Whether `path` still leads to this file.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let there = fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((identity(file), there), (Ok(own), Ok(there)) if own == there)
}
