//! The volume that a ledger lies on, and space that is held there for the day it is full.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use rustix::io::Errno;

/// How full a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "units stand last")]
pub struct Volume {
    /// All there is.
    pub total_bytes: u64,
    /// What is taken.
    pub used_bytes: u64,
    /// What users other than root can still take.
    pub available_bytes: u64,
}

impl Volume {
    /// The volume of a file, or of the folder that it would be in; `None` where the system does not
    /// say.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let stat = statvfs(path).or_else(|_| statvfs(folder.unwrap_or(Path::new(".")))).ok()?;
        let bytes = |blocks: u64| blocks.checked_mul(stat.f_frsize);
        Some(Self {
            total_bytes: bytes(stat.f_blocks)?,
            used_bytes: bytes(stat.f_blocks.checked_sub(stat.f_bfree)?)?,
            available_bytes: bytes(stat.f_bavail)?,
        })
    }

    /// What is taken and what can be: without what is reserved for root, as `df` counts.
    #[must_use]
    pub const fn usable_bytes(&self) -> u64 {
        self.used_bytes.saturating_add(self.available_bytes)
    }

    /// How much more is taken than this many percent.
    pub(crate) const fn bytes_above(&self, percent: u64) -> u64 {
        self.used_bytes.saturating_sub(self.usable_bytes() / 100 * percent)
    }
}

/// A file that only takes space. Where the disk is full it must make room for what is in the write-ahead
/// log and not in the ledger's file yet: nothing can be removed before that is there.
#[derive(Debug, Clone)]
pub(crate) struct Ballast {
    path: PathBuf,
    bytes: u64,
}

/// Of a volume at most this part is held.
const VOLUME_PART: u64 = 8;

impl Ballast {
    /// The ballast of a ledger; `None` for no bytes.
    pub(crate) fn of(ledger: &Path, bytes: u64) -> Option<Self> {
        let bytes =
            Volume::of(ledger).map_or(bytes, |volume| bytes.min(volume.total_bytes / VOLUME_PART));
        let ballast = Self { path: ledger.with_added_extension("ballast"), bytes };
        if bytes > 0 {
            return Some(ballast);
        }
        // Of the time when some was wanted.
        ballast.release();
        None
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn is_held(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() >= self.bytes)
    }

    /// Whether a volume has room for it and for as much again.
    pub(crate) const fn fits(&self, volume: Volume) -> bool {
        volume.available_bytes / 2 >= self.bytes
    }

    /// Takes the space.
    pub(crate) fn hold(&self) -> io::Result<()> {
        let held = self.fill();
        if held.is_err() {
            self.release();
        }
        held
    }

    fn fill(&self) -> io::Result<()> {
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        match promise(&file, self.bytes) {
            // A file system that cannot promise space has to be given bytes.
            Err(Errno::OPNOTSUPP) => {
                io::copy(&mut io::repeat(0).take(self.bytes), &mut file).map(drop)
            }
            promised => Ok(promised?),
        }
    }

    /// Gives the space back; whether there was some.
    pub(crate) fn release(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }
}

#[cfg(target_os = "linux")]
fn promise(file: &File, bytes: u64) -> rustix::io::Result<()> {
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes)
}

#[cfg(not(target_os = "linux"))]
const fn promise(_: &File, _: u64) -> rustix::io::Result<()> {
    Err(Errno::OPNOTSUPP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defect_10_blocks_that_are_reserved_are_neither_used_nor_available() {
        // Of 1,000 blocks 471 are taken and 191 can be, as on a disk that `df` calls 71 % full.
        let volume = Volume { total_bytes: 1_000, used_bytes: 471, available_bytes: 191 };
        assert_eq!(volume.usable_bytes(), 662);
        assert_eq!((volume.bytes_above(80), volume.bytes_above(50)), (0, 171));
        assert_eq!(Volume::of(Path::new("/nowhere/at/all")), None);
    }
}
