//! Small files of the kernel, read into one buffer.
//!
//! ```text
//! usage_usec 1234567
//! user_usec 1000000
//! ```
//!
//! A file that is not there, or not as expected, is `None`: what cannot be read is not zero.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes read of one file: a mount table of thousands of lines.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// The file system, or a tree that looks like one.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    buffer: Vec<u8>,
}

impl Files {
    /// The files below a root.
    pub(super) fn below(root: &Path) -> Self {
        Self { root: root.to_path_buf(), buffer: Vec::new() }
    }

    /// Where an absolute path lies.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The text of a file, until the next one is read.
    pub(super) fn text(&mut self, path: &str) -> Option<&str> {
        self.buffer.clear();
        let file = File::open(self.path(path)).ok()?;
        file.take(FILE_BYTES_MAX).read_to_end(&mut self.buffer).ok()?;
        std::str::from_utf8(&self.buffer).ok()
    }

    /// A file that is one number.
    pub(super) fn number(&mut self, path: &str) -> Option<u64> {
        self.text(path)?.trim().parse().ok()
    }

    /// The number behind a name in a file of names and numbers.
    pub(super) fn named(&mut self, path: &str, name: &str) -> Option<u64> {
        named(self.text(path)?, name)
    }
}

/// The number behind a name, in lines of names and numbers: `anon 4096`, `MemTotal:  2048 kB`.
pub(super) fn named(text: &str, name: &str) -> Option<u64> {
    let of_name = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        if words.next()?.trim_end_matches(':') == name { words.next()?.parse().ok() } else { None }
    };
    text.lines().find_map(of_name)
}

/// A sum; `None` where one of the numbers is not known.
pub(super) fn sum(mut numbers: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    numbers.try_fold(0_u64, |sum, number| sum.checked_add(number?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::below(folder.path());
        assert_eq!(files.number("/proc/no"), None);
        for (text, expected) in [("12\n", Some(12)), ("max\n", None), ("", None), ("-1\n", None)] {
            std::fs::write(folder.path().join("n"), text).unwrap();
            assert_eq!(files.number("/n"), expected, "{text:?}");
        }
        std::fs::write(folder.path().join("n"), b"\xff\xfe").unwrap();
        assert_eq!(files.text("/n"), None);
    }

    #[test]
    fn files_are_cut_at_their_bound() {
        let folder = tempfile::tempdir().unwrap();
        let long = usize::try_from(FILE_BYTES_MAX).unwrap() + 1;
        std::fs::write(folder.path().join("long"), vec![b'x'; long]).unwrap();
        assert_eq!(Files::below(folder.path()).text("long").unwrap().len(), long - 1);
    }

    #[test]
    fn names_are_whole_words() {
        let text = "inactive_anon 1\nanon 2\nMemTotal:       3 kB\noom_kill\n";
        assert_eq!(named(text, "anon"), Some(2));
        assert_eq!(named(text, "MemTotal"), Some(3));
        assert_eq!(named(text, "oom_kill"), None);
        assert_eq!(named(text, "file"), None);
    }
}
