//! Records of the past as lines: `{"day":"2025-10-19","observation_count":3}`.

use std::io::{self, BufRead, Read as _};

use serde_json::{Map, Value as Json};
use trueup_core::UnixMs;

use super::History;
use crate::budget::Day;
use crate::manifest::Input;

/// Bytes of a line at most.
pub const LINE_BYTES_MAX: usize = 65_536;
/// The key of a record's day.
const DAY: &str = "day";

/// Why a line is no record. It is passed over, and the others are read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is too long.
    #[error("longer than {LINE_BYTES_MAX} bytes: divide it into a record for each day")]
    TooLong,
    /// It is no text.
    #[error("not UTF-8: write the file as UTF-8")]
    NotText,
    /// It is no object.
    #[error("not a JSON object such as {{\"day\":\"2025-10-19\",…}}")]
    NotAnObject {
        /// What the reader of JSON says.
        source: serde_json::Error,
    },
    /// It has no day.
    #[error("no `day`: write it as \"2025-10-19\", or in seconds or milliseconds since 1970")]
    NoDay,
    /// Its day is none.
    #[error(
        "`day` is {found}: write it as \"2025-10-19\", or in seconds or milliseconds since 1970"
    )]
    NotADay {
        /// What it is, cut short.
        found: String,
    },
}

impl History<'_> {
    /// Reads records, a line each. `problem` is told of lines that are none, by their number from 1.
    /// Empty lines and a byte order mark are passed over.
    pub fn read(
        &mut self,
        mut reader: impl BufRead,
        is_clean: &dyn Fn(&str) -> bool,
        problem: &mut dyn FnMut(u64, LineError),
    ) -> io::Result<()> {
        let bytes_max = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let length = (&mut reader).take(bytes_max).read_until(b'\n', &mut line)?;
            if length == 0 {
                break;
            }
            let is_whole = line.ends_with(b"\n");
            let is_too_long = !is_whole && length > LINE_BYTES_MAX;
            let read = if is_too_long {
                skip_line(&mut reader)?;
                Err(LineError::TooLong)
            } else {
                let text = if number == 1 { without_mark(&line) } else { &line };
                str::from_utf8(text)
                    .map_err(|_| LineError::NotText)
                    .and_then(|line| self.line(line, is_clean))
            };
            if let Err(error) = read {
                problem(number, error);
            }
        }
        Ok(())
    }

    /// Reads one record.
    pub fn line(&mut self, line: &str, is_clean: &dyn Fn(&str) -> bool) -> Result<(), LineError> {
        if line.trim().is_empty() {
            return Ok(());
        }
        let mut record: Map<String, Json> =
            serde_json::from_str(line).map_err(|source| LineError::NotAnObject { source })?;
        let day = record.remove(DAY).ok_or(LineError::NoDay)?;
        let day = day_of(&day).ok_or_else(|| LineError::NotADay { found: shown(&day) })?;
        let fields = record.iter().map(|(key, value)| (key.as_str(), Input::from(value)));
        self.add(day, fields, is_clean);
        Ok(())
    }
}

fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line)
}

/// Passes over the rest of a line, however long it is, without holding it.
fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = reader.fill_buf()?;
        let (length, is_end) = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (bytes.len(), bytes.is_empty()),
        };
        reader.consume(length);
        if is_end {
            return Ok(());
        }
    }
}

/// `"2025-10-19"`, or seconds or milliseconds since 1970.
fn day_of(day: &Json) -> Option<Day> {
    match day {
        Json::String(text) => {
            let is_date = text.len() == "2025-10-19".len();
            UnixMs::parse_date(text).filter(|_| is_date).map(Day::of)
        }
        Json::Number(number) => {
            let whole = number.as_i64().or_else(|| whole(number.as_f64()?));
            whole.map(|number| Day::of(epoch(number)))
        }
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

/// claude-mem's rule: smaller numbers are seconds.
const fn epoch(number: i64) -> UnixMs {
    let is_seconds = number.unsigned_abs() < 1_000_000_000_000;
    UnixMs(if is_seconds { number.saturating_mul(1_000) } else { number })
}

/// Languages with one kind of number write seconds with a fraction.
#[expect(clippy::cast_possible_truncation, reason = "it is within what is exact")]
fn whole(number: f64) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    (number.abs() <= EXACT_MAX).then(|| number.floor() as i64)
}

fn shown(value: &Json) -> String {
    let text = value.to_string();
    let begin = text.get(..text.floor_char_boundary(40)).unwrap_or_default();
    if begin.len() < text.len() { format!("{begin}…") } else { text }
}
