//! One model call as a client posts it.
//!
//! ```json
//! {"trace_id":"a1","timestamp":"2026-11-20T22:08:30Z","provider":"openai","model":"gpt-5.5",
//!  "input_text":"…","output_text":"…","prompt_tokens":1020,"completion_tokens":52,
//!  "cost_usd":0.0041,"latency_ms":412,"status":"ok","session_id":"s1","project":"/src/x"}
//! ```

use trueup_core::{
    Billing, Call, CallBody, Fact, Origin, Outcome, Owner, Rank, Text, Tokens, UnixMs, Variant,
};

use super::fields::{Fields, Wrong};
use super::metadata::{self, Note};
use super::{Arrival, Identity, Kind, Received, identity, text, usage, when};

/// The source of what names no agent.
pub(super) const SOURCE: &str = "http";

/// Statuses of calls that were answered; every other one is a failure.
const ANSWERED: [&str; 6] = ["", "ok", "success", "succeeded", "completed", "unset"];

pub(super) fn read(fields: &mut Fields<'_>, arrival: &Arrival<'_>) -> Result<Received, Wrong> {
    let when = when::take(fields, arrival.now)?;
    let Identity { trace_id, key } = identity(Kind::Trace, fields, arrival, when.time)?;
    let origin = origin(fields)?;
    let stated = usage::take(fields)?;
    let tokens = stated.tokens()?;
    let reported_cost = fields.usd(&["cost_usd", "gen_ai.usage.cost"])?;
    let latency_ms = fields.milliseconds(&["latency_ms"])?;
    let time_to_first_token_ms = fields.milliseconds(&["time_to_first_token_ms"])?;
    let outcome = outcome(fields)?;
    let total = stated.total.filter(|_| stated.has_other_total()).map(|total| total.to_string());
    let notes: Vec<Note<'_>> =
        [("original_timestamp", when.absurd), ("total_tokens", total.as_deref())]
            .into_iter()
            .filter_map(|(name, json)| Some(Note { name, json: json? }))
            .collect();
    let body = body(fields, &notes, arrival.text_bytes_max);
    let call = Call {
        key,
        variant: Variant::default(),
        rank: rank(&tokens, reported_cost.is_some()),
        twin: None,
        time: when.time,
        origin,
        tokens,
        billing: Billing::default(),
        reported_cost,
        latency_ms,
        time_to_first_token_ms,
        outcome,
        trace_id: Some(Text::clone(&trace_id)),
        body,
    };
    Ok(Received { trace_id, fact: Fact::Call(Box::new(call)) })
}

/// Where the call belongs. The model that answered is the one that is billed; it wins over the one
/// that was asked for.
fn origin(fields: &mut Fields<'_>) -> Result<Origin, Wrong> {
    Ok(Origin {
        source: source(fields)?,
        provider: fields.required(&["provider", "gen_ai.provider.name", "gen_ai.system"])?,
        model: fields.required(&["model", "gen_ai.response.model", "gen_ai.request.model"])?,
        project: fields.name(&["project"])?,
        session: session(fields)?,
        kind: fields.name(&["session_kind"])?,
    })
}

/// The agent that a record names, or that it came over HTTP.
pub(super) fn source(fields: &mut Fields<'_>) -> Result<Text, Wrong> {
    let agent = fields.name(&["agent", "gen_ai.agent.name"])?;
    Ok(if agent.is_empty() { SOURCE.into() } else { agent })
}

pub(super) fn session(fields: &mut Fields<'_>) -> Result<Text, Wrong> {
    fields.name(&["session_id", "gen_ai.conversation.id", "session.id"])
}

/// Whether it was answered. A status that is neither a success nor the error's name is kept.
fn outcome(fields: &mut Fields<'_>) -> Result<Outcome, Wrong> {
    let error_type = fields.name(&["error_type", "error.type"])?;
    let field = fields.take(&["status"]);
    let status = field.as_ref().and_then(|field| text::scalar(field.json)).unwrap_or_default();
    let status = status.trim().to_ascii_lowercase();
    let is_answered = ANSWERED.contains(&status.as_str()) || is_http_success(&status);
    Ok(match (is_answered, error_type.is_empty()) {
        (true, true) => Outcome::Ok,
        (false, true) => Outcome::Failed { error_type: status.into() },
        (_, false) => {
            if let Some(field) = field.filter(|_| status != "error") {
                fields.keep(&field);
            }
            Outcome::Failed { error_type }
        }
    })
}

fn is_http_success(status: &str) -> bool {
    matches!(status.as_bytes(), [b'2', b'0'..=b'9', b'0'..=b'9'])
}

fn body(fields: &mut Fields<'_>, notes: &[Note<'_>], bytes_max: usize) -> Option<Box<CallBody>> {
    let mut is_text_cut = false;
    let mut bounded = |text: Option<String>| {
        text.map(|mut text| {
            is_text_cut |= text::cut(&mut text, bytes_max);
            text
        })
    };
    let input_text = bounded(fields.long(&["input_text"]));
    let output_text = bounded(fields.long(&["output_text"]));
    let metadata = metadata::take(fields, notes, bytes_max);
    let body = CallBody { input_text, output_text, is_text_cut, metadata };
    (body != CallBody::default()).then(|| Box::new(body))
}

/// A client that posts an id again posts the same call: the copy with the larger usage counts, one
/// with a cost before one without. Copies of equal rank are the same copy: the first stays.
fn rank(tokens: &Tokens, has_cost: bool) -> Rank {
    Rank::new(0, tokens, has_cost, Owner::new(UnixMs(0), ""))
}
