//! What clients post, turned into facts.
//!
//! Pure: bytes, the time and fresh ids go in; facts, or one reason why there are none, come out. A
//! body is one object, an array of objects, or one object a line; all of its records are taken or
//! none is. What has no place of its own in a fact is kept in its metadata. Nothing here knows of
//! HTTP or of the ledger.
//!
//! ```json
//! {"provider":"openai","model":"gpt-5.5","prompt_tokens":1020,"completion_tokens":52,"cost_usd":0.0041}
//! ```

mod body;
mod fields;
mod json;
mod metadata;
mod records;
mod text;
mod trace;
mod usage;
mod when;

use std::borrow::Cow;

use trueup_core::{Fact, Key, Text, UnixMs};
use uuid::Uuid;

pub(crate) use body::RECORDS_PER_BODY_MAX;
use body::{Piece, Place};
use fields::{Fields, Wrong};
pub(crate) use when::{AHEAD_MAX_MS, EARLIEST};

/// What a client says that it posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Model calls.
    Trace,
    /// Errors.
    Error,
    /// Events of the client's own.
    Event,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub(crate) const ALL: [Self; 3] = [Self::Trace, Self::Error, Self::Event];

    /// The name in keys and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Error => "error",
            Self::Event => "event",
        }
    }
}

/// What a record is read with beside its own bytes.
pub(crate) struct Arrival<'a> {
    /// When it came.
    pub(crate) now: UnixMs,
    /// Longest stored text of a record, in bytes.
    pub(crate) text_bytes_max: usize,
    /// Makes a random v4 id.
    pub(crate) fresh_id: &'a dyn Fn() -> Uuid,
}

/// One record, understood.
#[derive(Debug, PartialEq)]
pub(crate) struct Received {
    /// The id that the client sent, or is told.
    pub(crate) trace_id: Text,
    /// What it says.
    pub(crate) fact: Fact,
}

/// Why nothing of a body is taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// There is nothing in it.
    #[error("the body is empty: send a JSON object, an array of objects, or one object a line")]
    Empty,
    /// It is not JSON.
    #[error(
        "the body is not JSON at line {line}, column {column}: {what}; send an object, an array of \
         objects, or one object a line"
    )]
    NotJson {
        /// From 1.
        line: usize,
        /// In bytes, from 1.
        column: usize,
        /// What the parser says.
        what: String,
    },
    /// A record is not an object.
    #[error("{place}a record must be a JSON object, not {found}")]
    NotAnObject {
        /// Which record.
        place: Place,
        /// What it is instead.
        found: &'static str,
    },
    /// A record lacks a field, or has a wrong one.
    #[error("{place}{wrong}")]
    Field {
        /// Which record.
        place: Place,
        /// Which field, and why.
        wrong: Wrong,
    },
    /// It holds more records than are taken at once.
    #[error("the body has more than {RECORDS_PER_BODY_MAX} records: send fewer in one request")]
    TooManyRecords,
    /// It is OpenTelemetry's protocol, somewhere within records of our own.
    #[error("a record is OTLP: send an export alone, or to /v1/traces; see docs/otlp.md")]
    Otlp,
}

/// The records of a body.
pub(crate) fn read(
    kind: Kind,
    body: &[u8],
    arrival: &Arrival<'_>,
) -> Result<Vec<Received>, Refusal> {
    // A text that somebody has cut in the middle of a character is no reason to lose a call.
    // Nearly none is, and whether one is can be told much faster than what to put in its place.
    let body = str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
    if let Some(received) = at_once(kind, &body, arrival) {
        return Ok(received);
    }
    let of_piece = |piece: Piece<'_>| record(kind, piece.fields()?, piece.place, arrival);
    body::pieces(&body)?.into_iter().map(of_piece).collect()
}

/// Reads objects one after the other, each of them once: what nearly every body is. `None` where one
/// is wrong or it is no such body; what then is to be said of it takes a second look.
fn at_once(kind: Kind, body: &str, arrival: &Arrival<'_>) -> Option<Vec<Received>> {
    let objects = body::objects(body).take(RECORDS_PER_BODY_MAX + 1);
    let of_object = |fields: Option<Fields<'_>>| record(kind, fields?, Place::Alone, arrival).ok();
    let received: Vec<_> = objects.map(of_object).collect::<Option<_>>()?;
    (1..=RECORDS_PER_BODY_MAX).contains(&received.len()).then_some(received)
}

fn record(
    kind: Kind,
    mut fields: Fields<'_>,
    place: Place,
    arrival: &Arrival<'_>,
) -> Result<Received, Refusal> {
    if fields.is_otlp() {
        return Err(Refusal::Otlp);
    }
    let received = match kind {
        Kind::Trace => trace::read(&mut fields, arrival),
        Kind::Error => records::error(&mut fields, arrival),
        Kind::Event => records::event(&mut fields, arrival),
    };
    received.map_err(|wrong| Refusal::Field { place, wrong })
}

/// What names a record and makes it count once.
struct Identity {
    trace_id: Text,
    key: Key,
}

/// A client that sends its own id may send the record again: the id is the record's natural key.
///
/// Without one every post is another record, which nothing needs to remember.
fn identity(
    kind: Kind,
    fields: &mut Fields<'_>,
    arrival: &Arrival<'_>,
    time: UnixMs,
) -> Result<Identity, Wrong> {
    let trace_id = fields.name(&["trace_id"])?;
    if !trace_id.is_empty() {
        let key = Key::of("http", &[kind.name(), &*trace_id]);
        return Ok(Identity { trace_id, key });
    }
    // One id for both: asking the system for random bits takes longer than reading a small record.
    let fresh = (arrival.fresh_id)();
    let random = fresh.as_u128();
    // A v4 id has six bits that are always the same; above them are others that are not.
    let key = Key::fresh(time, random ^ (random >> 48));
    Ok(Identity { trace_id: fresh.to_string().into(), key })
}

#[cfg(test)]
mod tests;
