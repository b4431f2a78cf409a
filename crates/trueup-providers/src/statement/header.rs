//! The header of a statement: which kind it is, and what divides its columns.

use std::collections::HashMap;
use std::io::Read;

use super::decode::{Bounded, Decoded};
use super::{Format, STATEMENTS, StatementError};

/// The longest header that is looked at.
pub(super) const HEADER_BYTES_MAX: usize = 64 << 10;
/// What may divide columns, the most usual first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Empty lines, and lines that name the delimiter, that may stand before a header.
const LINES_BEFORE_MAX: u64 = 20;
/// Characters of an unknown header that are shown.
const SHOWN_CHARS_MAX: usize = 200;

/// A header that is known, and everything from it on.
pub(super) struct Found<R> {
    pub(super) format: &'static Format,
    pub(super) delimiter: u8,
    /// What to add to the number of a record's line.
    pub(super) lines_before: u64,
    pub(super) rest: Bounded<R>,
}

/// Reads up to the header.
pub(super) fn find<R: Read>(input: R) -> Result<Found<R>, StatementError> {
    let mut text = Decoded::new(input);
    let mut lines_before = 0;
    loop {
        let line = first_line(&mut text)?;
        let shown = String::from_utf8_lossy(&line);
        let shown = shown.trim();
        // Excel writes `sep=;` before the header.
        let is_before = shown.is_empty() || shown.to_ascii_lowercase().starts_with("sep=");
        if is_before && line.ends_with(b"\n") && lines_before < LINES_BEFORE_MAX {
            lines_before += 1;
            continue;
        }
        let (format, delimiter) = recognise(&line)?;
        // Of two characters that end a line, the second one is passed over with the next record.
        lines_before += u64::from(line.ends_with(b"\r\n"));
        return Ok(Found { format, delimiter, lines_before, rest: Bounded::new(line, text) });
    }
}

/// A line with its end.
fn first_line<R: Read>(text: &mut Decoded<R>) -> Result<Vec<u8>, StatementError> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        let count =
            text.read(&mut byte).map_err(|source| StatementError::Read { line: 0, source })?;
        if count == 0 {
            break;
        }
        line.extend(byte);
        if let Some(what) = not_text(&line) {
            return Err(what);
        }
        if line.len() > HEADER_BYTES_MAX {
            return Err(StatementError::HeaderTooLong);
        }
    }
    Ok(line)
}

/// What a file is that is no text.
fn not_text(begin: &[u8]) -> Option<StatementError> {
    match begin {
        b"PK\x03\x04" => Some(StatementError::Packed("a ZIP archive, as also Excel saves it")),
        // Its second byte, 0x8b, was taken for Windows-1252.
        b"\x1f\xe2\x80\xb9" => Some(StatementError::Packed("a file compressed by gzip")),
        b"%PDF" => Some(StatementError::NotCsv("a PDF")),
        b"PAR1" => Some(StatementError::NotCsv("a Parquet file")),
        b"{" | b"[" => Some(StatementError::NotCsv("JSON")),
        b"<" => Some(StatementError::NotCsv("a page of HTML or XML")),
        _ => None,
    }
}

/// The kind of a header, and what divides it.
fn recognise(line: &[u8]) -> Result<(&'static Format, u8), StatementError> {
    let mut most: Vec<String> = Vec::new();
    for delimiter in DELIMITERS {
        let names = names(line, delimiter);
        if let Some(format) = STATEMENTS.iter().find(|format| format.has_header(&names)) {
            return Ok((format, delimiter));
        }
        if names.len() > most.len() {
            most = names;
        }
    }
    if most.iter().all(String::is_empty) {
        return Err(StatementError::Empty);
    }
    let shown = most.join(", ");
    let columns = shown.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect();
    Err(StatementError::UnknownHeader { columns })
}

fn names(line: &[u8], delimiter: u8) -> Vec<String> {
    let mut record = csv::StringRecord::new();
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(line);
    // A header that is no record has no names.
    let _is_record = reader.read_record(&mut record).is_ok();
    record.iter().map(normal).collect()
}

/// A name, however its letters are spelled.
fn normal(name: &str) -> String {
    name.trim().to_ascii_lowercase()
}

impl Format {
    fn has_header(&self, names: &[String]) -> bool {
        let has = |one: &&str| names.iter().any(|name| name == *one);
        let is_long = self.is_whole && names.len() > self.signature.len();
        !is_long && self.signature.iter().all(|any| any.iter().any(has))
    }
}

/// Whether a record has the fields of its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It has.
    Whole,
    /// It has others: the columns cannot be told.
    Torn,
}

/// The columns of a file.
#[derive(Debug)]
pub(super) struct Columns {
    /// As they are written.
    pub(super) names: Vec<String>,
    by_name: HashMap<String, usize>,
}

impl Columns {
    pub(super) fn of(header: &csv::StringRecord) -> Self {
        let mut by_name = HashMap::new();
        let mut names = Vec::new();
        for (at, name) in header.iter().enumerate() {
            let name = name.trim();
            // A name that is there twice means its first column; the other one is not known.
            let is_first = !by_name.contains_key(&normal(name));
            if is_first {
                by_name.insert(normal(name), at);
            }
            names.push(if is_first {
                name.to_owned()
            } else {
                format!("{name} (column {})", at + 1)
            });
        }
        Self { names, by_name }
    }

    /// Where a column is; `name` in lower case.
    pub(super) fn at(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// A record may have more fields where these are empty, as spreadsheets write them, and fewer where
    /// it says nothing but a time: that is a bucket in which nothing was used.
    pub(super) fn fit(&self, record: &csv::StringRecord) -> Fit {
        let more = record.iter().skip(self.names.len()).all(|field| field.trim().is_empty());
        let is_time = |(name, field): (&String, &str)| {
            let name = normal(name);
            name.contains("time") || name.contains("date") || field.trim().is_empty()
        };
        let is_whole = record.len() >= self.names.len() && more
            || record.len() < self.names.len() && self.names.iter().zip(record).all(is_time);
        if is_whole { Fit::Whole } else { Fit::Torn }
    }
}
