//! Every file of one log, each read to its end.
//!
//! A file stays open while it is there, so that what is written to it after it was renamed or deleted
//! is read too. What was renamed while nothing ran is found by its inode.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::cursor::{Cursor, Identity, Placed};
use super::family::Family;

/// Files that are held open: a log has one, and a few that were renamed.
const FILES_MAX: usize = 64;
/// Polls between two looks at the folder, where it says nothing of a change.
const POLLS_BETWEEN_LISTS: u32 = 20;
/// Polls without news after which a file that is no longer in the folder is let go.
const SILENT_POLLS_MAX: u32 = 20;
/// Bytes of the buffer that are kept between two polls.
const BUFFER_KEPT_BYTES: usize = 64 << 10;

/// Follows one log.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    files: Vec<Followed>,
    /// Of a run before, until the files are found.
    known: Vec<Cursor>,
    polls_until_list: u32,
    /// When the folder had last changed as it was listed.
    listed: Option<(i64, i64)>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Followed {
    file: File,
    cursor: Cursor,
    /// Size and time of change when it was last read to its end.
    read: Option<(u64, i64, i64)>,
    is_listed: bool,
    silent_polls: u32,
}

impl Follower {
    /// Follows the log of a file or folder, from where `state` says.
    pub(super) fn new(path: &Path, state: &str) -> Self {
        Self {
            path: path.to_path_buf(),
            files: Vec::new(),
            known: serde_json::from_str(state).unwrap_or_default(),
            polls_until_list: 0,
            listed: None,
            buffer: Vec::new(),
        }
    }

    /// How far every file was read.
    pub(super) fn state(&self) -> String {
        let cursors: Vec<Cursor> =
            self.files.iter().map(|file| file.cursor).chain(self.known.iter().copied()).collect();
        serde_json::to_string(&cursors).unwrap_or_default()
    }

    /// Looks for files that are new, and lets go of those that are gone. An error is of the folder or
    /// of a file in it; the others are followed all the same.
    pub(super) fn look(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT_BYTES);
        self.files.retain(|file| file.is_listed || file.silent_polls < SILENT_POLLS_MAX);
        for file in &mut self.files {
            file.silent_polls += 1;
        }
        let family = Family::of(&self.path);
        let now = fs::metadata(&family.folder).ok().map(|folder| changed(&folder));
        if self.polls_until_list > 0 && now == self.listed && !self.is_replaced() {
            self.polls_until_list -= 1;
            return Ok(());
        }
        self.polls_until_list = POLLS_BETWEEN_LISTS;
        self.listed = now;
        self.list(&family)
    }

    /// Whether the set file is one that is not followed yet.
    fn is_replaced(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|now| {
            now.is_file()
                && !self.files.iter().any(|file| file.cursor.identity == Identity::of(&now))
        })
    }

    fn list(&mut self, family: &Family) -> io::Result<()> {
        for file in &mut self.files {
            file.is_listed = false;
        }
        let mut found = found(family)?;
        found.sort_by_key(|(_, metadata)| std::cmp::Reverse(changed(metadata)));
        let mut result = Ok(());
        for (path, metadata) in found.into_iter().take(FILES_MAX) {
            if let Err(error) = self.follow(&path, &metadata) {
                result = Err(error);
            }
        }
        if result.is_ok() {
            self.known.clear();
        }
        result
    }

    fn follow(&mut self, path: &Path, listed: &Metadata) -> io::Result<()> {
        let is = |identity: Identity| move |file: &&mut Followed| file.cursor.identity == identity;
        if let Some(file) = self.files.iter_mut().find(is(Identity::of(listed))) {
            file.is_listed = true;
            return Ok(());
        }
        let file = match File::open(path) {
            // It was renamed meanwhile, and is found under its new name.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.polls_until_list = 0;
                return Ok(());
            }
            result => result?,
        };
        let identity = Identity::of(&file.metadata()?);
        if let Some(file) = self.files.iter_mut().find(is(identity)) {
            file.is_listed = true;
            return Ok(());
        }
        let known = self.known.iter().find(|cursor| cursor.identity == identity);
        let cursor = known.copied().unwrap_or(Cursor::start(identity));
        self.known.retain(|cursor| cursor.identity != identity);
        self.files.push(Followed { file, cursor, read: None, is_listed: true, silent_polls: 0 });
        Ok(())
    }

    /// Hands out the lines of the next piece of any file that has some. `false` where none has; an
    /// error where none has and one cannot be read.
    pub(super) fn next(&mut self, mut take: impl FnMut(Placed<'_>)) -> io::Result<bool> {
        let mut result = Ok(false);
        for file in &mut self.files {
            match file.next(&mut self.buffer, &mut take) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => result = Err(error),
            }
        }
        result
    }
}

impl Followed {
    fn next(
        &mut self,
        buffer: &mut Vec<u8>,
        take: &mut impl FnMut(Placed<'_>),
    ) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        let stamp = (metadata.size(), metadata.mtime(), metadata.mtime_nsec());
        if self.read == Some(stamp) {
            return Ok(false);
        }
        let is_anew = self.cursor.check(&self.file, metadata.size())?;
        let has_more = self.cursor.advance(&self.file, buffer, take)?;
        if has_more || is_anew {
            self.silent_polls = 0;
        }
        if !has_more {
            self.read = Some(stamp);
        }
        Ok(has_more)
    }
}

/// The files of a family, and what they are.
fn found(family: &Family) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(&family.folder)? {
        let entry = entry?;
        if !family.has(&entry.file_name()) {
            continue;
        }
        // A link counts as what it leads to; what is gone by now is no error.
        let metadata = fs::metadata(entry.path());
        found.extend(metadata.ok().filter(Metadata::is_file).map(|is| (entry.path(), is)));
    }
    Ok(found)
}

fn changed(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

#[cfg(test)]
mod tests;
