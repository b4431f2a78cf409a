//! Lines of any length, in bounded memory, from files that others are writing.
//!
//! A line is handed out only when its newline is there. One that is longer than [`LINE_BYTES_MAX`] is
//! handed out [`Shortened`], so that a 64 MiB tool result costs no more memory than a short one. What a
//! record is about stands in its [`Opening`], so that most lines are never read further.

use std::fmt;
use std::io::{self, Read};
use std::sync::LazyLock;

use memchr::memchr;
use memchr::memmem::Finder;
use trueup_core::ProblemKind;

use crate::agent::Decoder;
use crate::chunks::read_once;
use crate::found::Found;
use crate::json;
use crate::shorten::Shortened;

/// The longest line that is held as it is.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Bytes asked for in one read: more would fall out of the processor's cache before they are looked at.
const CHUNK_BYTES: usize = 256 << 10;

/// One line, without its newline.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    number: u64,
    bytes: &'a [u8],
}

impl fmt::Debug for Line<'_> {
    /// The place and the length: lines hold prompts, which no message may show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({}, {} bytes)", self.number, self.bytes.len())
    }
}

impl<'a> Line<'a> {
    /// A line that is all in memory.
    #[must_use]
    pub fn new(number: u64, bytes: &'a [u8]) -> Self {
        Self { number, bytes: trim(bytes) }
    }

    /// Its number in the file, from 1.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The line.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether it begins and ends as a JSON object does.
    #[must_use]
    pub const fn looks_like_record(&self) -> bool {
        matches!(self.bytes, [b'{', .., b'}'])
    }

    /// What it says of itself before its first object.
    pub(crate) fn opening(&self) -> Opening<'a> {
        let bytes = self.bytes.get(1..).unwrap_or_default();
        let head = bytes.get(..OPENING_BYTES).unwrap_or(bytes);
        let (own, object) = memchr(b'{', head).map_or((head, &[][..]), |at| bytes.split_at(at));
        Opening { own, object: object.get(1..).unwrap_or_default() }
    }

    /// Reads it as JSON; what `T` keeps is borrowed.
    #[inline]
    pub(crate) fn parse<T: json::Read<'a>>(&self) -> Result<T, json::Error> {
        json::from_slice(self.bytes)
    }
}

/// Hands a line to a decoder. One that cannot be a record, or that is too long even when shortened
/// (`None`), is a problem.
pub(crate) fn decode(
    decoder: &mut (impl Decoder + ?Sized),
    number: u64,
    bytes: Option<&[u8]>,
    found: &mut Found<'_>,
) {
    match bytes.map(|bytes| Line::new(number, bytes)) {
        Some(line) if line.bytes.is_empty() => {}
        Some(line) if line.looks_like_record() => decoder.line(&line, found),
        Some(_) => found.problem(ProblemKind::NotJson, number, "is not a JSON object"),
        None => found.problem(ProblemKind::TooLarge, number, "is too long to hold"),
    }
}

/// Bytes in which agents say what a record is, before they say what was said.
const OPENING_BYTES: usize = 512;

/// The first bytes of a record: its own fields up to its first object, and what follows. Quotes are
/// escaped inside of texts, so a name with its quotes is a name here, and it is the record's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening<'a> {
    own: &'a [u8],
    object: &'a [u8],
}

impl<'a> Opening<'a> {
    /// The record's `type`, where it stands here.
    pub(crate) fn own_type(&self) -> Option<&'a [u8]> {
        static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"type\""));
        self.own_text(&NAME)
    }

    /// The record's own text of a name, which has its quotes.
    pub(crate) fn own_text(&self, name: &Finder<'_>) -> Option<&'a [u8]> {
        let at = name.find(self.own)? + name.needle().len();
        value(self.own.get(at..)?)
    }

    /// All that follows the beginning of the first object.
    pub(crate) const fn behind(&self) -> &'a [u8] {
        self.object
    }

    /// The name of the record's first object.
    pub(crate) fn object_name(&self) -> Option<&'a [u8]> {
        let name =
            self.own.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end().strip_suffix(b"\"")?;
        name.get(memchr::memrchr(b'"', name)? + 1..)
    }

    /// The first field of that object, where it is a text of this name.
    pub(crate) fn object_begins_with(&self, name: &[u8]) -> Option<&'a [u8]> {
        let rest = trim_start(self.object).strip_prefix(b"\"")?.strip_prefix(name)?;
        value(rest.strip_prefix(b"\"")?)
    }
}

/// The text that is the value of the name before it.
fn value(rest: &[u8]) -> Option<&[u8]> {
    let text = trim_start(trim_start(rest).strip_prefix(b":")?).strip_prefix(b"\"")?;
    text.get(..memchr(b'"', text)?)
}

/// Without white space before it, of which most programs write none.
fn trim_start(bytes: &[u8]) -> &[u8] {
    if bytes.first().is_some_and(u8::is_ascii_whitespace) {
        bytes.trim_ascii_start()
    } else {
        bytes
    }
}

/// Without byte order marks, white space, carriage return and NUL bytes around a record.
fn trim(bytes: &[u8]) -> &[u8] {
    if let [b'{', .., b'}'] = bytes {
        return bytes;
    }
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
pub(crate) struct LineReader<'b, R> {
    source: R,
    /// What was read and not handed out lies from `start` to `end`.
    buffer: &'b mut Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes handed out in whole lines, their newlines included.
    pub(crate) offset: u64,
    /// Lines handed out.
    pub(crate) line: u64,
    is_last_line_complete: bool,
}

impl<'b, R: Read> LineReader<'b, R> {
    /// Reads on from a source that stands at `offset`, after `line` lines. `is_last_line_complete`:
    /// whether the end of the source ends a line, as in files that are written once. `buffer` is the
    /// caller's, as a fresh one for each of thousands of files costs more than many a file.
    pub(crate) fn new(
        source: R,
        buffer: &'b mut Vec<u8>,
        (offset, line): (u64, u64),
        is_last_line_complete: bool,
    ) -> Self {
        Self { source, buffer, start: 0, end: 0, offset, line, is_last_line_complete }
    }

    /// The next line, which stays to be read, where it is complete and one read brings all of it.
    pub(crate) fn peek(&mut self) -> io::Result<Option<Line<'_>>> {
        if self.start == self.end {
            self.fill()?;
        }
        let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
        let bytes = memchr(b'\n', unread).and_then(|at| unread.get(..at));
        Ok(bytes.map(|bytes| Line::new(self.line + 1, bytes)))
    }

    /// Hands the next complete line to `decoder`; `false` where there is none yet.
    pub(crate) fn next(
        &mut self,
        decoder: &mut (impl Decoder + ?Sized),
        found: &mut Found<'_>,
    ) -> io::Result<bool> {
        let mut searched = 0;
        loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            let fresh = unread.get(searched..).unwrap_or_default();
            if let Some(at) = memchr(b'\n', fresh) {
                self.give(searched + at, 1, decoder, found);
                return Ok(true);
            }
            searched = unread.len();
            if searched >= LINE_BYTES_MAX {
                return self.give_long(decoder, found);
            }
            if self.fill()? == 0 {
                let is_line = searched > 0 && self.is_last_line_complete;
                if is_line {
                    self.give(searched, 0, decoder, found);
                }
                return Ok(is_line);
            }
        }
    }

    fn give(
        &mut self,
        length: usize,
        newline: usize,
        decoder: &mut (impl Decoder + ?Sized),
        found: &mut Found<'_>,
    ) {
        let bytes = self.buffer.get(self.start..self.start + length).unwrap_or_default();
        self.line += 1;
        self.start += length + newline;
        self.offset += (length + newline) as u64;
        decode(decoder, self.line, Some(bytes), found);
    }

    /// Hands out a line that is too long to hold, once all of it has streamed by.
    fn give_long(
        &mut self,
        decoder: &mut (impl Decoder + ?Sized),
        found: &mut Found<'_>,
    ) -> io::Result<bool> {
        let mut shortened = Shortened::default();
        let mut length = 0;
        let is_complete = loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            let newline = memchr(b'\n', unread);
            let part = newline.unwrap_or(unread.len());
            shortened.push(unread.get(..part).unwrap_or_default());
            length += part as u64;
            self.start += part;
            if newline.is_some() {
                self.start += 1;
                length += 1;
                break true;
            }
            if self.fill()? == 0 {
                break self.is_last_line_complete;
            }
        };
        if is_complete {
            self.line += 1;
            self.offset += length;
            decode(decoder, self.line, shortened.into_bytes().as_deref(), found);
        }
        Ok(is_complete)
    }

    /// Reads another chunk behind what is there; 0 at the end of the source.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let full = self.end + CHUNK_BYTES;
        if self.buffer.is_empty() {
            // Zeroed by the system; `resize` would write each byte.
            *self.buffer = vec![0; full];
        } else if self.buffer.len() < full {
            self.buffer.resize(full, 0);
        }
        let free = self.buffer.get_mut(self.end..full).unwrap_or_default();
        let count = read_once(&mut self.source, free)?;
        self.end += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Records = Vec<(u64, Vec<u8>)>;

    /// Keeps the lines that look like records.
    #[derive(Debug, Default)]
    struct Kept(Records);

    impl Decoder for Kept {
        fn line(&mut self, line: &Line<'_>, _found: &mut Found<'_>) {
            self.0.push((line.number(), line.bytes().to_vec()));
        }
    }

    /// The records and the number of problems of what is read in polls that end at the given offsets,
    /// and how far that came.
    fn polls(bytes: &[u8], ends: &[usize]) -> (Records, u64, (u64, u64)) {
        let mut emit = |_| {};
        let mut found = Found::new("", "", &mut emit);
        let (mut kept, mut at, mut buffer) = (Kept::default(), (0, 0), Vec::new());
        for end in ends.iter().copied().chain([bytes.len()]) {
            let from = usize::try_from(at.0).unwrap();
            let mut reader = LineReader::new(&bytes[from..end.max(from)], &mut buffer, at, false);
            while reader.next(&mut kept, &mut found).unwrap() {}
            at = (reader.offset, reader.line);
        }
        (kept.0, found.problem_count(), at)
    }

    #[test]
    fn a_torn_tail_waits_for_its_newline() {
        let (records, problems, at) = polls(b"{1}\n{2}\r\n\n{3", &[]);
        assert_eq!(records, [(1, b"{1}".to_vec()), (2, b"{2}".to_vec())]);
        assert_eq!((problems, at), (0, (10, 3)));
    }

    #[test]
    fn a_line_past_the_bound_is_shortened_and_the_next_one_is_whole() {
        let long = "x".repeat(3 * LINE_BYTES_MAX);
        let bytes = format!("{{\"skip\":\"{long}\",\"keep\":7}}\n{{\"keep\":8}}\n").into_bytes();
        for ends in [&[][..], &[LINE_BYTES_MAX + 9], &[bytes.len() - 15]] {
            let (records, problems, at) = polls(&bytes, ends);
            let expected =
                [(1, br#"{"skip":"","keep":7}"#.to_vec()), (2, br#"{"keep":8}"#.to_vec())];
            assert_eq!((records, problems), (expected.to_vec(), 0));
            assert_eq!(at, (bytes.len() as u64, 2));
        }
    }

    #[test]
    fn a_line_that_cannot_be_shortened_is_a_problem_once_it_is_complete() {
        let mut bytes = vec![b'x'; 2 * LINE_BYTES_MAX];
        assert_eq!(polls(&bytes, &[]), (vec![], 0, (0, 0)));
        bytes.extend_from_slice(b"\n{1}\n");
        let (records, problems, at) = polls(&bytes, &[]);
        assert_eq!((records, problems), (vec![(2, b"{1}".to_vec())], 1));
        assert_eq!(at, (bytes.len() as u64, 2));
    }

    #[test]
    fn an_opening_says_what_a_record_is_and_never_what_is_said_in_it() {
        fn own_type(line: &str) -> Option<&str> {
            Line::new(1, line.as_bytes())
                .opening()
                .own_type()
                .map(|found| str::from_utf8(found).unwrap())
        }
        for (line, expected) in [
            (r#"{"cwd":"/x","type":"user","message":{"type":"message"}}"#, Some("user")),
            (r#"{ "type" : "user" }"#, Some("user")),
            (r#"{"message":{"type":"message"},"type":"user"}"#, None),
            (r#"{"text":"\"type\":\"user\"","type":"summary"}"#, Some("summary")),
            (r#"{"types":["type","user"]}"#, None),
            (r#"{"type":7}"#, None),
        ] {
            assert_eq!(own_type(line), expected, "{line}");
        }
        let line = r#"{"type":"message","message": {"role":"user","content":[]}}"#;
        let opening = Line::new(1, line.as_bytes()).opening();
        assert_eq!(opening.object_name(), Some(&b"message"[..]));
        assert_eq!(opening.object_begins_with(b"role"), Some(&b"user"[..]));
        assert_eq!(opening.object_begins_with(b"content"), None);
    }

    proptest! {
        #[test]
        fn any_polls_read_the_same_lines(
            bytes in prop::collection::vec(prop_oneof![3 => Just(b'{'), 3 => Just(b'}'), 1 => Just(b'\n'), 1 => any::<u8>()], 0..200),
            cuts in prop::collection::vec(0..200_usize, 0..8),
        ) {
            let mut ends: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            ends.sort_unstable();
            prop_assert_eq!(polls(&bytes, &ends), polls(&bytes, &[]));
        }
    }
}
