//! Errors and events as clients post them.
//!
//! ```json
//! {"error_type":"llm_error","message":"429 from the provider","severity":"warning","metadata":{"try":3}}
//! {"name":"deploy","metadata":"{\"version\":\"v42\"}"}
//! ```

use trueup_core::{CustomEvent, ErrorEvent, Fact, Text};

use super::fields::{Fields, Wrong};
use super::metadata::{self, Note};
use super::trace::{session, source};
use super::{Arrival, Identity, Kind, Received, identity, text, when};

pub(super) fn error(fields: &mut Fields<'_>, arrival: &Arrival<'_>) -> Result<Received, Wrong> {
    let when = when::take(fields, arrival.now)?;
    let Identity { trace_id, key } = identity(Kind::Error, fields, arrival, when.time)?;
    let error_type = fields.required(&["error_type"])?;
    let mut message = fields.long(&["message"]).unwrap_or_default();
    if message.trim().is_empty() {
        return Err(Wrong::new("message", "is missing or empty: it must be a text"));
    }
    let mut stack_trace = fields.long(&["stack_trace"]);
    let severity = fields.name(&["severity"])?;
    let bytes_max = arrival.text_bytes_max;
    let mut is_cut = text::cut(&mut message, bytes_max);
    is_cut |= stack_trace.as_mut().is_some_and(|stack| text::cut(stack, bytes_max));
    let cut = is_cut.then_some(Note { name: "is_text_cut", json: "true" });
    let error = ErrorEvent {
        key,
        time: when.time,
        trace_id: Some(Text::clone(&trace_id)),
        source: source(fields)?,
        session: session(fields)?,
        error_type,
        message,
        stack_trace,
        severity: if severity.is_empty() { "error".into() } else { severity },
        metadata: metadata::take(fields, &notes(&when, cut), bytes_max),
    };
    Ok(Received { trace_id, fact: Fact::Error(Box::new(error)) })
}

pub(super) fn event(fields: &mut Fields<'_>, arrival: &Arrival<'_>) -> Result<Received, Wrong> {
    let when = when::take(fields, arrival.now)?;
    let Identity { trace_id, key } = identity(Kind::Event, fields, arrival, when.time)?;
    let event = CustomEvent {
        key,
        time: when.time,
        trace_id: Some(Text::clone(&trace_id)),
        source: source(fields)?,
        session: session(fields)?,
        name: fields.required(&["name"])?,
        metadata: metadata::take(fields, &notes(&when, None), arrival.text_bytes_max),
    };
    Ok(Received { trace_id, fact: Fact::Event(Box::new(event)) })
}

fn notes<'a>(when: &when::When<'a>, other: Option<Note<'a>>) -> Vec<Note<'a>> {
    let original = when.absurd.map(|json| Note { name: "original_timestamp", json });
    original.into_iter().chain(other).collect()
}
