//! One transcript: the events of a session, the same in files, archives and the SQLite store.
//!
//! Formats 3 and 4. An event's id and time are kept by every copy; ids of 8 hex digits repeat between
//! sessions, but not in one millisecond. A fork says so in its header and begins with a copy of its
//! parent's events; a session that `sessions.compact` cut has lost its header and its first events.
//!
//! ```json
//! {"type":"session","version":4,"id":"3e5aebe9","timestamp":"2026-11-20T22:00:00.000Z","cwd":"/home/u/app"}
//! {"type":"model_change","id":"9d5f","timestamp":"2026-11-20T22:00:00.100Z","provider":"mock","modelId":"mock-1"}
//! {"type":"message","id":"dbda47b3","parentId":"244d3fa9","timestamp":"2026-11-20T22:08:30.117Z","message":
//!  {"role":"assistant","content":[],"api":"openai-completions","provider":"mock","model":"mock-1","usage":
//!   {"input":620,"output":52,"cacheRead":400,"cacheWrite":0,"reasoningTokens":7,"totalTokens":1072,
//!    "cost":{"total":0.000764}},"stopReason":"stop","timestamp":1795212509482,"responseId":"chatcmpl-2"}}
//! ```

use memchr::memmem;
use serde::{Deserialize, Serialize};
use trueup_core::{
    Billing, Call, Key, NanoUsd, Origin, Outcome, ProblemKind, Rank, Text, Tokens, UnixMs, Variant,
};

use super::SOURCE;
use super::usage::Usage;
use crate::agent::Decoder;
use crate::found::Found;
use crate::lines::{Line, describe};
use crate::lossy::{Object, Str, Time};
use crate::scan::hash64;

/// Bytes at the beginning of a line in which it says what it is.
const OPENING_BYTES: usize = 4 << 10;

/// Answers without an id that are remembered, to count how often the same one stands in a transcript.
/// Times only grow, so equal ones are neighbours.
const ROWS_REMEMBERED: usize = 32;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Event {
    r#type: Str,
    id: Str,
    timestamp: Time,
    cwd: Str,
    parent_session: Str,
    custom_type: Str,
    provider: Str,
    model_id: Str,
    data: Object<Choice>,
    message: Object<Message>,
}

/// Of a `model-snapshot`: the model that answers from here on.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Choice {
    provider: Str,
    model_id: Str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Message {
    role: Str,
    provider: Str,
    response_model: Str,
    model: Str,
    model_id: Str,
    response_id: Str,
    usage: Object<Usage>,
    stop_reason: Str,
    timestamp: Time,
    openclaw_delivery_mirror: Object<Mirror>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Mirror {
    kind: Str,
}

/// How close a copy is to the call that was made; see [`trueup_core::settle`].
mod standing {
    /// In a session that began as a copy of another.
    pub(super) const FORK: u8 = 0;
    /// In a session of its own.
    pub(super) const OWN: u8 = 1;
}

/// What was learnt from the lines before, kept so that a later decoder can go on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    has_header: bool,
    is_fork: bool,
    session: String,
    project: String,
    /// When the session began. Without a header the session is the last that may own a call.
    start_ms: Option<i64>,
    provider: String,
    model: String,
    /// Answers without an id, and how often each was seen.
    rows: Vec<(u64, u32)>,
}

/// Reads one transcript.
#[derive(Debug)]
pub(super) struct TranscriptDecoder {
    state: State,
    modified: UnixMs,
    last: Origin,
}

impl TranscriptDecoder {
    /// Goes on from `state`, or begins where that is empty. `session` is the name of a transcript that
    /// has no header, `modified` the time of answers that have none.
    pub(super) fn new(session: &str, modified: UnixMs, state: &str) -> Self {
        let state = serde_json::from_str(state)
            .unwrap_or_else(|_| State { session: session.to_owned(), ..State::default() });
        Self { state, modified, last: Origin { source: SOURCE.into(), ..Origin::default() } }
    }

    /// The model of answers that name none, until the transcript says otherwise.
    pub(super) fn choose(&mut self, provider: Option<&str>, model: Option<&str>) {
        if is_own_artifact(provider.unwrap_or_default(), model.unwrap_or_default()) {
            return;
        }
        let State { provider: chosen_provider, model: chosen_model, .. } = &mut self.state;
        provider.unwrap_or_default().clone_into(chosen_provider);
        model.unwrap_or_default().clone_into(chosen_model);
    }

    fn event(&mut self, event: &Event, line: u64, found: &mut Found<'_>) {
        match event.r#type.filled() {
            Some("session") => self.header(event),
            Some("model_change") => self.choose(event.provider.filled(), event.model_id.filled()),
            Some("custom") if event.custom_type.is("model-snapshot") => {
                if let Some(choice) = &event.data.0 {
                    self.choose(choice.provider.filled(), choice.model_id.filled());
                }
            }
            Some("message") | None => {
                if let Some(message) = &event.message.0
                    && let Some(usage) = &message.usage.0
                    && message.role.is("assistant")
                    && !is_mirror(message)
                {
                    self.call(event, message, usage, line, found);
                }
            }
            Some(_) => {}
        }
    }

    /// Only the first: a second one would be another session's.
    fn header(&mut self, event: &Event) {
        if self.state.has_header {
            return;
        }
        let session = event.id.filled().unwrap_or(&self.state.session).to_owned();
        self.state = State {
            has_header: true,
            is_fork: event.parent_session.filled().is_some(),
            session,
            project: event.cwd.filled().unwrap_or_default().to_owned(),
            start_ms: event.timestamp.0.map(|time| time.0),
            ..std::mem::take(&mut self.state)
        };
    }

    fn call(
        &mut self,
        event: &Event,
        message: &Message,
        usage: &Usage,
        line: u64,
        found: &mut Found<'_>,
    ) {
        let counted = usage.counted();
        if counted.is_cut {
            found.problem(ProblemKind::BadCount, line, "message.usage has an impossible count");
        }
        if counted.is_unsplit {
            let detail = "message.usage has a total without its parts: it counts as input";
            found.problem(ProblemKind::BadRecord, line, detail);
        }
        self.share(message);
        let tokens = counted.tokens;
        let outcome = outcome(message);
        let standing = if self.state.is_fork { standing::FORK } else { standing::OWN };
        let start = self.state.start_ms.map(UnixMs);
        let time = message.timestamp.0.or(event.timestamp.0).or(start).unwrap_or(self.modified);
        let owner_start = start.unwrap_or(UnixMs(i64::MAX));
        let is_detailed = !self.last.model.is_empty();
        found.call(Call {
            key: self.key(event, message, &tokens),
            variant: Variant(0),
            rank: Rank::new(standing, &tokens, is_detailed, owner_start, &self.last.session),
            time,
            origin: self.last.clone(),
            tokens,
            billing: Billing::default(),
            reported_cost: known_cost(usage.cost(), &outcome),
            latency_ms: None,
            time_to_first_token_ms: None,
            outcome,
            trace_id: None,
            body: None,
        });
    }

    /// Takes over where the answer belongs, sharing the texts of the one before where they are equal.
    fn share(&mut self, message: &Message) {
        let model = [&message.response_model, &message.model, &message.model_id]
            .into_iter()
            .find_map(Str::filled)
            .unwrap_or(&self.state.model);
        let provider = message.provider.filled().unwrap_or(&self.state.provider);
        update(&mut self.last.model, model);
        update(&mut self.last.provider, provider);
        update(&mut self.last.session, &self.state.session);
        update(&mut self.last.project, &self.state.project);
    }

    /// What an answer is known by in every copy: never the session, never the counts of an entry that
    /// has an id.
    fn key(&mut self, event: &Event, message: &Message, tokens: &Tokens) -> Key {
        let text = |time: Time| time.0.map(|time| time.0.to_string()).unwrap_or_default();
        let (entry_time, message_time) = (text(event.timestamp), text(message.timestamp));
        let has_time = !entry_time.is_empty() || !message_time.is_empty();
        // Without any time nothing tells an answer from another session's.
        let session = if has_time { "" } else { &*self.state.session };
        if let Some(id) = event.id.filled() {
            let time = if entry_time.is_empty() { &message_time } else { &entry_time };
            return Key::of(SOURCE, &["entry", id, time, session]);
        }
        let counts = [tokens.input, tokens.cache_read, tokens.cache_written(), tokens.output];
        let counts = counts.map(|count| count.to_string()).join(" ");
        let response = message.response_id.filled().unwrap_or_default();
        let Origin { provider, model, .. } = &self.last;
        let row = Key::of(
            SOURCE,
            &["row", &entry_time, &message_time, response, provider, model, &counts, session],
        );
        let ordinal = self.state.ordinal(row).to_string();
        Key::of(SOURCE, &[&row.0[..], ordinal.as_bytes()])
    }
}

impl State {
    /// How often this row was seen before.
    fn ordinal(&mut self, row: Key) -> u32 {
        let short = hash64(&row.0);
        let at = self.rows.iter().position(|(seen, _)| *seen == short);
        let count = at.map_or(0, |at| self.rows.remove(at).1);
        self.rows.push((short, count.saturating_add(1)));
        if self.rows.len() > ROWS_REMEMBERED {
            self.rows.remove(0);
        }
        count
    }
}

fn update(text: &mut Text, to: &str) {
    if **text != *to {
        *text = to.into();
    }
}

/// Whether a message repeats or brings an answer to a channel, and no model was called for it.
fn is_mirror(message: &Message) -> bool {
    let mirror =
        message.openclaw_delivery_mirror.0.as_ref().and_then(|mirror| mirror.kind.filled());
    let is_marked = matches!(
        mirror,
        Some(
            "channel-final"
                | "channel-final-suppressed"
                | "message-tool-source-reply"
                | "cron-direct-delivery-context"
        )
    );
    let provider = message.provider.filled().unwrap_or_default();
    is_marked || is_own_artifact(provider, message.model.filled().unwrap_or_default())
}

fn is_own_artifact(provider: &str, model: &str) -> bool {
    provider == "openclaw" && matches!(model, "delivery-mirror" | "gateway-injected")
}

fn outcome(message: &Message) -> Outcome {
    match message.stop_reason.filled() {
        Some(reason @ ("error" | "aborted")) => Outcome::Failed { error_type: reason.into() },
        _ => Outcome::Ok,
    }
}

/// A recorded zero says something only of a call that failed: of others it means that OpenClaw has no
/// price for the model.
fn known_cost(cost: Option<NanoUsd>, outcome: &Outcome) -> Option<NanoUsd> {
    cost.filter(|cost| *cost != NanoUsd::ZERO || *outcome != Outcome::Ok)
}

impl Decoder for TranscriptDecoder {
    fn line(&mut self, line: &mut Line<'_>, found: &mut Found<'_>) {
        let number = line.number();
        if !line.looks_like_record() {
            found.problem(ProblemKind::NotJson, number, "is not a JSON object");
            return;
        }
        if !may_matter(line) {
            return;
        }
        match line.parse::<Event>() {
            Ok(event) => self.event(&event, number, found),
            Err(error) => found.problem(ProblemKind::NotJson, number, describe(&error)),
        }
    }

    fn state(&self) -> String {
        serde_json::to_string(&self.state).unwrap_or_default()
    }
}

/// Whether a line must be parsed, told without parsing: most are prompts and results of tools.
fn may_matter(line: &Line<'_>) -> bool {
    let head = line.head();
    let opening = head.get(..OPENING_BYTES).unwrap_or(head);
    let opens_with = |text: &str| memmem::find(opening, text.as_bytes()).is_some();
    if !line.is_whole() {
        // Too long to hold: only an answer is worth streaming, and a message says its role first.
        return match memmem::find(opening, b"\"role\":\"").and_then(|at| opening.get(at + 8..)) {
            Some(role) => role.starts_with(b"assistant\""),
            None => true,
        };
    }
    if memmem::find(head, b"\"usage\"").is_some() {
        return true;
    }
    !head.starts_with(b"{\"type\":\"message\"")
        && (opens_with("\"session\"")
            || opens_with("\"model_change\"")
            || opens_with("\"model-snapshot\""))
}
