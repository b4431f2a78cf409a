//! A spool folder as it lies there: how many events lie there, since when nothing came, what was dropped.
//!
//! It does not read the events. Their names say enough, and the list of drops has one line for each.
//!
//! ```text
//! ~/.local/share/trueup/spool/openclaw/1795212509482-4711-9f3c2b1a0d4e5f67.json
//! ~/.local/share/trueup/spool/openclaw/dropped
//! ```

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use trueup_core::UnixMs;

/// What lies in a spool folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Spooled {
    /// Events that nobody has read.
    pub(crate) events: u64,
    /// When the last of them was left.
    pub(crate) last: Option<UnixMs>,
    /// Events that found no room.
    pub(crate) dropped: u64,
}

/// The file that has a line for each drop.
const DROPPED: &str = "dropped";

/// Longest list of drops that is counted: twice what a hook writes.
const DROPPED_BYTES_MAX: u64 = 2 << 20;

/// What lies in a folder; nothing where it is not there yet.
pub(crate) fn look(folder: &Path) -> Result<Spooled> {
    let mut spooled = Spooled::default();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(spooled),
        entries => entries.with_context(|| format!("{} cannot be read", folder.display()))?,
    };
    for entry in entries {
        let name =
            entry.with_context(|| format!("{} cannot be read", folder.display()))?.file_name();
        if let Some(left) = name.to_str().and_then(left_at) {
            spooled.events += 1;
            spooled.last = spooled.last.max(Some(left));
        }
    }
    spooled.dropped = drops(&folder.join(DROPPED))?;
    Ok(spooled)
}

/// When an event was left, by its file's name. `None`: it is none, or not whole yet.
fn left_at(name: &str) -> Option<UnixMs> {
    let (ms, _) = name.strip_suffix(".json")?.split_once('-')?;
    ms.parse().ok().map(UnixMs)
}

fn drops(list: &Path) -> Result<u64> {
    match File::open(list) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        file => file
            .and_then(|file| {
                let lines = BufReader::new(file.take(DROPPED_BYTES_MAX)).split(b'\n');
                lines.map(|line| line.map(|_| 1)).sum()
            })
            .with_context(|| format!("{} cannot be read", list.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_events_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(look(&folder.path().join("nowhere")).unwrap(), Spooled::default());
        for name in ["1795212509482-7-ab.json", "1795212509481-7-ab.json"] {
            fs::write(folder.path().join(name), "{}").unwrap();
        }
        for name in ["1795212509483-7-ab.json.tmp", "notes.json", "1795212509484.json", "x-y.json"]
        {
            fs::write(folder.path().join(name), "{}").unwrap();
        }
        fs::write(folder.path().join(DROPPED), "1 full command:new\n2 full command:new\n").unwrap();
        let expected = Spooled { events: 2, last: Some(UnixMs(1_795_212_509_482)), dropped: 2 };
        assert_eq!(look(folder.path()).unwrap(), expected);
    }
}
