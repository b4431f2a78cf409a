//! Lines of any length, in bounded memory, from files that others are writing.
//!
//! A line is handed out only when its newline is there. One that is longer than [`LINE_BYTES_MAX`] is
//! handed out as its head and a reader of the rest, so that a 64 MiB tool result costs no more memory
//! than a short one. This module does not know JSON beyond the first and the last byte of a record.

use std::fmt;
use std::io::{self, Read};

use serde::de::DeserializeOwned;

/// The longest line that is held in memory. Longer ones are streamed.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Bytes asked for in one read.
const CHUNK_BYTES: usize = 256 << 10;

/// One line, without its newline.
pub struct Line<'a> {
    number: u64,
    head: &'a [u8],
    rest: Option<&'a mut dyn Read>,
}

impl fmt::Debug for Line<'_> {
    /// The place and the length: lines hold prompts, which no message may show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Line({}, {} bytes, whole: {})",
            self.number,
            self.head.len(),
            self.rest.is_none()
        )
    }
}

impl<'a> Line<'a> {
    /// A line that is all in memory.
    #[must_use]
    pub fn whole(number: u64, bytes: &'a [u8]) -> Self {
        Self { number, head: trim(bytes), rest: None }
    }

    /// A line of which only the head is in memory: `rest` reads what follows it.
    #[must_use]
    pub fn streamed(number: u64, head: &'a [u8], rest: &'a mut dyn Read) -> Self {
        Self { number, head: trim(head), rest: Some(rest) }
    }

    /// Its number in the file, from 1.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The line, or the first [`LINE_BYTES_MAX`] of it.
    #[must_use]
    pub const fn head(&self) -> &'a [u8] {
        self.head
    }

    /// Whether [`Self::head`] is all of it.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// Whether it begins and ends as a JSON object does.
    #[must_use]
    pub fn looks_like_record(&self) -> bool {
        self.head.first() == Some(&b'{') && (self.rest.is_some() || self.head.last() == Some(&b'}'))
    }

    /// Reads the line as JSON. What `T` ignores costs no memory, however long it is.
    ///
    /// # Errors
    /// The position in the line; see [`describe`] for a message without content.
    pub fn parse<T: DeserializeOwned>(&mut self) -> serde_json::Result<T> {
        match self.rest.take() {
            None => serde_json::from_slice(self.head),
            Some(rest) => serde_json::from_reader(io::BufReader::new(self.head.chain(rest))),
        }
    }
}

/// What is wrong with a line or document, without quoting it: messages of the JSON reader may hold
/// content.
#[must_use]
pub(crate) fn describe(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "ends too early",
        serde_json::error::Category::Syntax => "is not valid JSON",
        serde_json::error::Category::Data => "has a field of a wrong type",
        serde_json::error::Category::Io => "could not be read",
    };
    format!("{what} at column {}", error.column())
}

/// Without byte order marks, white space, carriage return and NUL bytes around a record.
fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = bytes;
    // More than one where files that each had their own were joined.
    while let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        bytes = rest;
    }
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    let Some(first) = bytes.iter().position(|byte| !is_blank(byte)) else { return &[] };
    let last = bytes.iter().rposition(|byte| !is_blank(byte)).unwrap_or(first);
    bytes.get(first..=last).unwrap_or_default()
}

/// Reads lines from `R`.
pub(crate) struct LineReader<R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes handed out in whole lines, their newlines included.
    pub(crate) offset: u64,
    /// Lines handed out.
    pub(crate) line: u64,
    is_last_line_complete: bool,
}

impl<R: Read> LineReader<R> {
    /// Reads on from a source that stands at `offset`, after `line` lines. `is_last_line_complete`:
    /// whether the end of the source ends a line, as in files that are written once.
    pub(crate) fn new(source: R, offset: u64, line: u64, is_last_line_complete: bool) -> Self {
        let buffer = vec![0; CHUNK_BYTES];
        Self { source, buffer, start: 0, end: 0, offset, line, is_last_line_complete }
    }

    /// Hands the next complete line to `take`; `false` where there is none yet.
    pub(crate) fn next(&mut self, take: impl FnOnce(&mut Line<'_>)) -> io::Result<bool> {
        let mut searched = 0;
        loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            let fresh = unread.get(searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', fresh) {
                self.give_whole(searched + at, 1, take);
                return Ok(true);
            }
            searched = unread.len();
            if searched >= LINE_BYTES_MAX {
                return self.give_long(take);
            }
            if self.fill()? == 0 {
                if searched == 0 || !self.is_last_line_complete {
                    return Ok(false);
                }
                self.give_whole(searched, 0, take);
                return Ok(true);
            }
        }
    }

    fn give_whole(&mut self, length: usize, newline: usize, take: impl FnOnce(&mut Line<'_>)) {
        let bytes = self.buffer.get(self.start..self.start + length).unwrap_or_default();
        self.line += 1;
        self.start += length + newline;
        self.offset += (length + newline) as u64;
        let mut line = Line::whole(self.line, bytes);
        if !line.head.is_empty() {
            take(&mut line);
        }
    }

    /// Streams a line that is too long to hold. Whether its newline is there at all is only known at
    /// its end, after `take`: where it is not, the caller drops what was found in the line.
    fn give_long(&mut self, take: impl FnOnce(&mut Line<'_>)) -> io::Result<bool> {
        let head = self.buffer.get(self.start..self.end).unwrap_or_default();
        let mut rest = RestOfLine {
            source: &mut self.source,
            left: Vec::new(),
            at: 0,
            has_ended: false,
            taken: 0,
        };
        take(&mut Line::streamed(self.line + 1, head, &mut rest));
        let is_complete = rest.drain()? || self.is_last_line_complete;
        let length = head.len() as u64 + rest.taken;
        let left = rest.left.split_off(rest.at);
        self.start = 0;
        self.end = left.len();
        self.buffer.clear();
        self.buffer.extend_from_slice(&left);
        self.buffer.resize(left.len().max(CHUNK_BYTES), 0);
        if is_complete {
            self.line += 1;
            self.offset += length;
        }
        Ok(is_complete)
    }

    /// Reads another chunk behind what is there; 0 at the end of the source.
    fn fill(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() < self.end + CHUNK_BYTES / 2 {
            self.buffer.resize(self.end + CHUNK_BYTES, 0);
        }
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        let count = read_once(&mut self.source, free)?;
        self.end += count;
        Ok(count)
    }
}

fn read_once(source: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The part of a long line that is not in memory; ends at its newline.
struct RestOfLine<'a, R> {
    source: &'a mut R,
    /// The chunk read last; from `at` on it belongs to the lines behind.
    left: Vec<u8>,
    at: usize,
    has_ended: bool,
    /// Bytes of the line taken from the source, newline included.
    taken: u64,
}

impl<R: Read> RestOfLine<'_, R> {
    /// Skips to the end of the line; whether there was a newline.
    fn drain(&mut self) -> io::Result<bool> {
        let mut sink = [0; 8 << 10];
        while self.read(&mut sink)? > 0 {}
        Ok(self.has_ended)
    }
}

impl<R: Read> Read for RestOfLine<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.has_ended || into.is_empty() {
            return Ok(0);
        }
        if self.at == self.left.len() {
            self.left.resize(CHUNK_BYTES, 0);
            let count = read_once(self.source, &mut self.left)?;
            self.left.truncate(count);
            self.at = 0;
        }
        let unread = self.left.get(self.at..).unwrap_or_default();
        let newline = memchr::memchr(b'\n', unread);
        let length = newline.unwrap_or(unread.len()).min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..length), unread.get(..length)) {
            to.copy_from_slice(from);
        }
        self.at += length;
        self.taken += length as u64;
        if newline == Some(length) {
            self.at += 1;
            self.taken += 1;
            self.has_ended = true;
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(serde::Deserialize)]
    struct Kept {
        keep: u64,
    }

    /// Everything that is read in polls that end at the given offsets.
    fn polls(bytes: &[u8], ends: &[usize]) -> (Vec<(u64, Vec<u8>)>, u64) {
        let (mut lines, mut offset, mut number) = (Vec::new(), 0, 0);
        for end in ends.iter().copied().chain([bytes.len()]) {
            let from = usize::try_from(offset).unwrap();
            let mut reader = LineReader::new(&bytes[from..end.max(from)], offset, number, false);
            while reader.next(|line| lines.push((line.number(), line.head().to_vec()))).unwrap() {}
            (offset, number) = (reader.offset, reader.line);
        }
        (lines, offset)
    }

    #[test]
    fn a_torn_tail_waits_for_its_newline() {
        let (lines, offset) = polls(b"one\ntwo\r\n\nthr", &[]);
        assert_eq!(lines, [(1, b"one".to_vec()), (2, b"two".to_vec())]);
        assert_eq!(offset, 10);
    }

    #[test]
    fn a_line_past_the_bound_is_streamed_and_the_next_one_is_whole() {
        let mut bytes = br#"{"skip":""#.to_vec();
        bytes.resize(bytes.len() + 3 * LINE_BYTES_MAX, b'x');
        bytes.extend_from_slice(b"\",\"keep\":7}\n{\"keep\":8}\n");
        let mut kept = Vec::new();
        let mut reader = LineReader::new(&bytes[..], 0, 0, false);
        while reader
            .next(|line| kept.push((line.is_whole(), line.parse::<Kept>().unwrap().keep)))
            .unwrap()
        {}
        assert_eq!(kept, [(false, 7), (true, 8)]);
        assert_eq!((reader.offset, reader.line), (bytes.len() as u64, 2));
    }

    #[test]
    fn a_long_line_without_its_newline_does_not_count() {
        let bytes = vec![b'x'; LINE_BYTES_MAX + 5];
        let mut reader = LineReader::new(&bytes[..], 0, 0, false);
        assert!(!reader.next(|_| {}).unwrap());
        assert_eq!((reader.offset, reader.line), (0, 0));
    }

    proptest! {
        #[test]
        fn any_polls_read_the_same_lines(
            bytes in prop::collection::vec(prop_oneof![3 => Just(b'a'), 1 => Just(b'\n'), 1 => any::<u8>()], 0..200),
            cuts in prop::collection::vec(0..200_usize, 0..8),
        ) {
            let mut ends: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            ends.sort_unstable();
            prop_assert_eq!(polls(&bytes, &ends), polls(&bytes, &[]));
        }
    }
}
