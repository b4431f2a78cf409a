//! Bodies: which records there are, and where each stands.
//!
//! An object alone, an array of objects, and objects one after the other (with line ends between
//! them, as NDJSON has, or with none) are told apart by the JSON itself, whatever the content type
//! says.
//!
//! ```json
//! {"name":"deploy"}
//! {"name":"rollback","metadata":{"to":"v41"}}
//! ```

use std::fmt;

use serde_json::value::RawValue;

use super::Refusal;
use super::fields::Fields;
use super::json::{Elements, Members};

/// Records in one request. A post is meant to be one call or the calls of a few seconds; the bound
/// keeps what a body becomes in memory near the size of the body.
pub(crate) const RECORDS_PER_BODY_MAX: usize = 10_000;

/// One record's JSON.
pub(super) struct Piece<'a> {
    pub(super) place: Place,
    json: &'a RawValue,
}

/// Where a record stands in its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the body.
    Alone,
    /// In an array, from 0.
    Index(usize),
    /// In a line, from 1.
    Line(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone => Ok(()),
            Self::Index(index) => write!(f, "record at index {index}: "),
            Self::Line(line) => write!(f, "record in line {line}: "),
        }
    }
}

impl<'a> Piece<'a> {
    /// The fields of the record.
    pub(super) fn fields(&self) -> Result<Fields<'a>, Refusal> {
        let place = self.place;
        match serde_json::from_str(self.json.get()) {
            Ok(Members(fields)) => Ok(Fields::new(fields)),
            Err(_) => Err(Refusal::NotAnObject { place, found: what_is(self.json.get()) }),
        }
    }
}

/// The objects of a body, as long as it holds nothing else; `None` at what is none.
pub(super) fn objects(body: &str) -> impl Iterator<Item = Option<Fields<'_>>> {
    let stream = serde_json::Deserializer::from_str(body).into_iter();
    stream.map(|object| object.ok().map(|Members(fields)| Fields::new(fields)))
}

/// The records of a body.
pub(super) fn pieces(body: &str) -> Result<Vec<Piece<'_>>, Refusal> {
    // A byte-order mark is no JSON; editors on Windows write it all the same.
    let body = body.strip_prefix('\u{feff}').unwrap_or(body);
    let values = values(body)?;
    match values.as_slice() {
        [] => Err(Refusal::Empty),
        [(_, array)] if array.get().starts_with('[') => elements(array),
        [(_, json)] => Ok(vec![Piece { place: Place::Alone, json }]),
        lines => {
            Ok(lines.iter().map(|(line, json)| Piece { place: Place::Line(*line), json }).collect())
        }
    }
}

/// The JSON values that follow one another, with the line that each begins in.
fn values(body: &str) -> Result<Vec<(usize, &RawValue)>, Refusal> {
    let mut stream = serde_json::Deserializer::from_str(body).into_iter::<&RawValue>();
    let mut values = Vec::new();
    let (mut line, mut counted) = (1, 0);
    while let Some(value) = stream.next() {
        let value = value.map_err(|error| not_json(&error))?;
        if values.len() == RECORDS_PER_BODY_MAX {
            return Err(Refusal::TooManyRecords);
        }
        let start = stream.byte_offset().saturating_sub(value.get().len());
        line += newlines(body.get(counted..start));
        counted = start;
        values.push((line, value));
    }
    Ok(values)
}

fn newlines(text: Option<&str>) -> usize {
    text.map_or(0, |text| text.bytes().filter(|byte| *byte == b'\n').count())
}

/// The array was found to be JSON as a whole: it can only be too long.
fn elements(array: &RawValue) -> Result<Vec<Piece<'_>>, Refusal> {
    let Ok(Elements::<'_, RECORDS_PER_BODY_MAX>(elements)) = serde_json::from_str(array.get())
    else {
        return Err(Refusal::TooManyRecords);
    };
    let place = |(index, json)| Piece { place: Place::Index(index), json };
    match elements.len() {
        0 => Err(Refusal::Empty),
        _ => Ok(elements.into_iter().enumerate().map(place).collect()),
    }
}

fn not_json(error: &serde_json::Error) -> Refusal {
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or_default().to_owned();
    Refusal::NotJson { line: error.line(), column: error.column(), what }
}

/// What a JSON value is that is no object.
fn what_is(json: &str) -> &'static str {
    match json.bytes().next() {
        Some(b'{') => "one of too many fields, or with a name that is no Unicode text",
        Some(b'[') => "an array",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "a truth value",
        Some(b'n') => "null",
        _ => "a number",
    }
}
