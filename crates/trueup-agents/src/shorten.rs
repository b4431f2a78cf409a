//! Records that are too long to hold, cut to what is read of them.
//!
//! A record has many megabytes because of a few texts: an image, the result of a tool. None of them is a
//! field that anybody reads. Such a text becomes an empty one while the record streams by, and what is
//! left is the same record in little memory. This module knows of JSON where its texts begin and end, and
//! nothing else.
//!
//! ```text
//! {"content":"…64 MiB…","usage":{"output_tokens":318}}   becomes   {"content":"","usage":{"output_tokens":318}}
//! ```

use std::io::{self, Read};

use memchr::memchr;

use crate::chunks::each_chunk;

/// The longest text that is kept: much longer than a path or a name.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// The longest record that is kept, once its long texts are gone.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// A record that is being cut.
#[derive(Debug, Default)]
pub(crate) struct Shortened {
    bytes: Vec<u8>,
    /// The text that is open.
    text: Option<Text>,
    /// Whether the last byte was a backslash that belongs to the next.
    is_escape: bool,
    is_too_long: bool,
}

#[derive(Debug, Clone, Copy)]
struct Text {
    /// Where it begins, behind its quote.
    start: usize,
    is_left_out: bool,
}

impl Shortened {
    /// Reads a whole record.
    pub(crate) fn read(record: impl Read) -> io::Result<Self> {
        let mut shortened = Self::default();
        each_chunk(record, |bytes| shortened.push(bytes))?;
        Ok(shortened)
    }

    /// Takes the next bytes of the record.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_too_long {
            let quote = memchr(b'"', bytes);
            let before = bytes.get(..quote.unwrap_or(bytes.len())).unwrap_or_default();
            let escapes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
            // The first of them may be one that stands for itself.
            let is_escape = (escapes % 2 == 1) != (self.is_escape && escapes == before.len());
            let is_escape = is_escape && self.text.is_some();
            let (run, rest) = bytes.split_at(quote.map_or(bytes.len(), |at| at + 1));
            if let Some(text) = &mut self.text {
                text.is_left_out |= self.bytes.len() - text.start + run.len() > TEXT_BYTES_MAX;
            }
            if self.text.is_none_or(|text| !text.is_left_out) {
                self.bytes.extend_from_slice(run);
            }
            self.is_escape = is_escape && quote.is_none();
            self.close_or_open(!is_escape && quote.is_some());
            bytes = rest;
        }
    }

    /// Drops what is open of a text that is too long; a quote ends it, or begins another.
    fn close_or_open(&mut self, is_quote: bool) {
        if let Some(text) = self.text {
            if text.is_left_out {
                self.bytes.truncate(text.start);
                self.bytes.extend(is_quote.then_some(b'"'));
            }
            if is_quote {
                self.text = None;
            }
        } else if is_quote {
            self.text = Some(Text { start: self.bytes.len(), is_left_out: false });
        }
        if self.text.is_none() && self.bytes.len() > RECORD_BYTES_MAX {
            self.is_too_long = true;
            self.bytes = Vec::new();
        }
    }

    /// What is left; `None` where that is still too long.
    pub(crate) fn into_bytes(self) -> Option<Vec<u8>> {
        (!self.is_too_long).then_some(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shortened(record: &str, chunk: usize) -> Option<String> {
        let mut shortened = Shortened::default();
        for chunk in record.as_bytes().chunks(chunk) {
            shortened.push(chunk);
        }
        shortened.into_bytes().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn long_texts_become_empty_wherever_the_chunks_end() {
        let long = r#"é\"\\\u00e9 {"#.replace('{', "[{").repeat(TEXT_BYTES_MAX / 8);
        let record = format!(r#"{{"a":"{long}","b":{{"c\\":"d\"","e":["{long}",1]}}}}"#);
        for chunk in [1, 2, 3, 7, 1_000, record.len()] {
            let left = shortened(&record, chunk).unwrap();
            assert_eq!(left, r#"{"a":"","b":{"c\\":"d\"","e":["",1]}}"#, "{chunk}");
        }
    }

    #[test]
    fn what_stays_too_long_is_given_up() {
        let record = format!("[{}1]", "1,".repeat(RECORD_BYTES_MAX / 2));
        assert_eq!(shortened(&record, 1 << 16), None);
        let text = "x".repeat(TEXT_BYTES_MAX - 1);
        assert_eq!(shortened(&format!("[\"{text}\"]"), 100).unwrap().len(), text.len() + 4);
        let texts = format!("\"{text}\",").repeat(RECORD_BYTES_MAX / TEXT_BYTES_MAX + 1);
        assert_eq!(shortened(&texts, 1 << 16), None);
    }

    proptest! {
        #[test]
        fn records_without_long_texts_stay_as_they_are(record in "[\"\\\\{}:a]{0,60}", chunk in 1..9_usize) {
            prop_assert_eq!(shortened(&record, chunk), Some(record));
        }
    }
}
