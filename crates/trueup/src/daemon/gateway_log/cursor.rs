//! How far one file was read.
//!
//! ```json
//! {"device":2049,"inode":131,"offset":8192,"tail":1234567890,"is_skipping":false}
//! ```
//!
//! A file is known by its inode, whatever it is called, and by the bytes before the place that it was
//! read to: where those differ it was truncated and written anew, and is read from its start.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use serde::{Deserialize, Serialize};
use trueup_agents::LINE_BYTES_MAX;

/// Bytes before the place that say whether it is still the same file.
const TAIL_BYTES: usize = 4 << 10;
/// Bytes of the first line that tell a file from another one.
const HEAD_BYTES: usize = 4 << 10;
/// Bytes asked for in one read.
const CHUNK_BYTES: usize = 64 << 10;

/// A file, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl Identity {
    pub(super) fn of(metadata: &std::fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// How far a file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    #[serde(flatten)]
    pub(super) identity: Identity,
    /// Bytes read, up to and including the last newline.
    pub(super) offset: u64,
    /// A hash of the bytes before.
    tail: u64,
    /// Whether the place is within a line that is too long to hold.
    is_skipping: bool,
}

/// A line, and where it is.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    /// The line without its newline; `None` for one that is too long to hold.
    pub(super) bytes: Option<&'a [u8]>,
    /// Where it begins.
    pub(super) offset: u64,
    /// Tells the file from any other: a hash of its first line.
    pub(super) head: [u8; 32],
}

impl Cursor {
    /// At the start of a file.
    pub(super) const fn start(identity: Identity) -> Self {
        Self { identity, offset: 0, tail: 0, is_skipping: false }
    }

    /// Goes back to the start of a file that is no longer what was read. Whether it did.
    pub(super) fn check(&mut self, file: &File, size_bytes: u64) -> io::Result<bool> {
        let is_same = self.offset <= size_bytes && tail(file, self.offset)? == self.tail;
        if !is_same && self.offset > 0 {
            *self = Self::start(self.identity);
            return Ok(true);
        }
        Ok(false)
    }

    /// Hands out the complete lines from here on, as many as lie in the next piece of the file, and
    /// goes behind them. `false` where there is none.
    pub(super) fn advance(
        &mut self,
        file: &File,
        buffer: &mut Vec<u8>,
        mut take: impl FnMut(Placed<'_>),
    ) -> io::Result<bool> {
        let Some(end) = self.fill(file, buffer)? else { return Ok(false) };
        let head = head(file)?;
        let (lines, _) = buffer.split_at(end);
        let mut offset = self.offset;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let is_complete = line.ends_with(b"\n");
            let is_long = self.is_skipping || !is_complete;
            if is_complete {
                let bytes = line.strip_suffix(b"\n").unwrap_or(line);
                let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
                take(Placed { bytes: Some(bytes).filter(|_| !is_long), offset, head });
            }
            self.is_skipping = !is_complete;
            offset += line.len() as u64;
        }
        self.offset = offset;
        self.tail = tail(file, offset)?;
        Ok(true)
    }

    /// Reads until there is a newline, and says where the last one ends. A line that does not end
    /// within what is held is held no further: it ends where the buffer does.
    fn fill(&self, file: &File, buffer: &mut Vec<u8>) -> io::Result<Option<usize>> {
        buffer.clear();
        loop {
            let held = buffer.len();
            buffer.resize(held + CHUNK_BYTES, 0);
            let into = buffer.get_mut(held..).unwrap_or_default();
            let length = read_at(file, into, self.offset + held as u64)?;
            buffer.truncate(held + length);
            if let Some(last) = buffer.iter().rposition(|byte| *byte == b'\n') {
                return Ok(Some(last + 1));
            }
            if length == 0 {
                return Ok(None);
            }
            if buffer.len() >= LINE_BYTES_MAX {
                return Ok(Some(buffer.len()));
            }
        }
    }
}

fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(into, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A hash of the bytes before a place; other than any where they are not all there.
fn tail(file: &File, offset: u64) -> io::Result<u64> {
    let length = offset.min(TAIL_BYTES as u64);
    let mut bytes = [0; TAIL_BYTES];
    let wanted = bytes.get_mut(..usize::try_from(length).unwrap_or(TAIL_BYTES)).unwrap_or_default();
    match file.read_exact_at(wanted, offset - length) {
        Ok(()) => {
            let hash = blake3::hash(wanted);
            let mut first = [0; 8];
            first.copy_from_slice(hash.as_bytes().split_at(8).0);
            Ok(u64::from_le_bytes(first))
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        Err(error) => Err(error),
    }
}

/// A hash of a file's first line, or of as much of it as is looked at.
fn head(file: &File) -> io::Result<[u8; 32]> {
    let mut bytes = [0; HEAD_BYTES];
    let mut length = 0;
    while let Some(into) = bytes.get_mut(length..).filter(|into| !into.is_empty()) {
        match read_at(file, into, length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    let read = bytes.get(..length).unwrap_or_default();
    let first = read.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(*blake3::hash(first).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// What is handed out of a file, in as many pieces as it takes.
    fn lines(cursor: &mut Cursor, file: &File) -> Vec<Option<usize>> {
        let mut lines = Vec::new();
        let mut buffer = Vec::new();
        while cursor
            .advance(file, &mut buffer, |line| lines.push(line.bytes.map(<[u8]>::len)))
            .unwrap()
        {}
        lines
    }

    #[test]
    fn half_a_line_waits_and_a_long_one_is_skipped() {
        let mut file = tempfile::tempfile().unwrap();
        let mut cursor = Cursor::start(Identity { device: 0, inode: 0 });
        file.write_all(b"one\r\ntw").unwrap();
        assert_eq!(lines(&mut cursor, &file), [Some(3)]);
        assert_eq!(lines(&mut cursor, &file), []);
        file.write_all(b"o\n").unwrap();
        assert_eq!(lines(&mut cursor, &file), [Some(3)]);
        file.write_all(&vec![b'x'; LINE_BYTES_MAX * 2 + 5]).unwrap();
        assert_eq!(lines(&mut cursor, &file), []);
        file.write_all(b"\nafter\n").unwrap();
        assert_eq!(lines(&mut cursor, &file), [None, Some(5)]);
    }

    #[test]
    fn a_file_that_was_written_anew_is_read_from_its_start() {
        let mut file = tempfile::tempfile().unwrap();
        let mut cursor = Cursor::start(Identity { device: 0, inode: 0 });
        file.write_all(b"aaaa\nbbbb\n").unwrap();
        lines(&mut cursor, &file);
        assert!(!cursor.check(&file, 10).unwrap());
        file.set_len(0).unwrap();
        assert!(cursor.check(&file, 0).unwrap());
        lines(&mut cursor, &file);
        // As long as before, and not the same.
        cursor.offset = 10;
        file.write_all_at(b"cccc\ndddd\n", 0).unwrap();
        assert!(cursor.check(&file, 10).unwrap());
        assert_eq!(lines(&mut cursor, &file), [Some(4), Some(4)]);
    }
}
