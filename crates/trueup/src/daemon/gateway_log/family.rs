//! Which files are one log.
//!
//! ```text
//! openclaw-2026-11-20.log     the log of a day
//! openclaw-2026-11-20.1.log   what was renamed when it had grown too large, up to .5
//! openclaw-2026-11-21.log     the next day's
//! gateway.log.1  gateway.log-20261120  gateway.log.old     what other rotations leave
//! ```
//!
//! Which of them is written to does not matter: each is read to its end. Compressed ones are left
//! alone; they were read before.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The file of a folder that is set instead of a file.
const FILE_OF_FOLDER: &str = "openclaw-YYYY-MM-DD.log";
/// What stands for any date.
const ANY_DATE: &str = "YYYY-MM-DD";
/// Endings of files that cannot be read as lines.
const COMPRESSED: [&str; 5] = ["gz", "bz2", "xz", "zst", "zip"];

/// The names of the files of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) folder: PathBuf,
    /// Before the date, or before the ending.
    stem: String,
    /// Whether a date follows the stem.
    is_dated: bool,
    /// From the ending's dot on; empty for none.
    ending: String,
}

impl Family {
    /// The family of the file or folder that is set.
    pub(super) fn of(path: &Path) -> Self {
        if path.is_dir() {
            return Self::named(path.to_path_buf(), FILE_OF_FOLDER);
        }
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Self::named(folder, &path.file_name().unwrap_or_default().to_string_lossy())
    }

    fn named(folder: PathBuf, name: &str) -> Self {
        let dated = name.char_indices().find_map(|(at, _)| {
            let (stem, rest) = name.split_at(at);
            Some((stem, after_date(rest).or_else(|| rest.strip_prefix(ANY_DATE))?))
        });
        let plain =
            || name.find('.').filter(|at| *at > 0).map_or((name, ""), |at| name.split_at(at));
        let (stem, ending) = dated.unwrap_or_else(plain);
        Self { folder, stem: stem.to_owned(), is_dated: dated.is_some(), ending: ending.to_owned() }
    }

    /// Whether a file of this name is of the family.
    pub(super) fn has(&self, name: &OsStr) -> bool {
        self.has_text(name).unwrap_or(false)
    }

    fn has_text(&self, name: &OsStr) -> Option<bool> {
        let rest = name.to_str()?.strip_prefix(&*self.stem)?;
        let rest = if self.is_dated { after_date(rest)? } else { rest };
        let is_before = |rest: &str| {
            let number = rest.strip_prefix('.').and_then(|rest| rest.strip_suffix(&*self.ending));
            number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let behind = rest.strip_prefix(&*self.ending);
        let is_behind = behind.is_some_and(|rest| match rest.as_bytes() {
            [] => true,
            [b'.' | b'-', ..] => !COMPRESSED.iter().any(|ending| rest.ends_with(ending)),
            _ => false,
        });
        Some(is_behind || is_before(rest))
    }
}

/// What follows a date such as `2026-11-20`.
fn after_date(text: &str) -> Option<&str> {
    let (date, rest) = text.split_at_checked(ANY_DATE.len())?;
    let is_date = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    is_date.then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(set: &str, name: &str) -> bool {
        Family::named(PathBuf::new(), set).has(OsStr::new(name))
    }

    #[test]
    fn days_and_numbers_are_of_the_family() {
        for set in ["openclaw-2026-11-20.log", "openclaw-YYYY-MM-DD.log"] {
            for (name, expected) in [
                ("openclaw-2026-11-20.log", true),
                ("openclaw-2026-11-21.log", true),
                ("openclaw-2026-11-21.1.log", true),
                ("openclaw-2026-11-21.5.log", true),
                ("openclaw-2026-11-21.log.1", true),
                ("openclaw-2026-11-21.log.1.gz", false),
                ("openclaw-work-2026-11-21.log", false),
                ("openclaw-2026-11-2x.log", false),
                ("openclaw.log", false),
                ("openclaw-2026-11-21.x.log", false),
            ] {
                assert_eq!(has(set, name), expected, "{name} of {set}");
            }
        }
    }

    #[test]
    fn other_rotations_are_of_the_family() {
        for (name, expected) in [
            ("gateway.log", true),
            ("gateway.1.log", true),
            ("gateway.log.1", true),
            ("gateway.log.old", true),
            ("gateway.log-20261120", true),
            ("gateway.log-20261120.gz", false),
            ("gateway-other.log", false),
            ("gateway.logs", false),
            ("gateway", false),
        ] {
            assert_eq!(has("gateway.log", name), expected, "{name}");
        }
        assert!(has("log", "log") && has("log", "log.1") && !has("log", "logs"));
    }

    #[test]
    fn a_folder_stands_for_the_logs_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let family = Family::of(folder.path());
        assert_eq!(family.folder, folder.path());
        assert!(family.has(OsStr::new("openclaw-2026-11-20.log")));
    }
}
