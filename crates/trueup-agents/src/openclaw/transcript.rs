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

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};
use trueup_core::{
    Billing, Call, Key, NanoUsd, Origin, Outcome, Owner, ProblemKind, Rank, Text, Tokens, UnixMs,
    Variant,
};

use super::SOURCE;
use super::usage::Usage;
use crate::agent::{Decoder, SessionKinds};
use crate::found::Found;
use crate::inspect::LineKind;
use crate::json::objects;
use crate::lines::Line;
use crate::lossy::{Ignored, Object, Str, Time};
use crate::scan::hash64;
use crate::uuid::is_uuid;

/// Answers without an id that are remembered, to count how often the same one stands in a transcript.
/// Times only grow, so equal ones are neighbours.
const ROWS_REMEMBERED: usize = 32;

objects! {
    struct Event<'a> {
        r#type: Str<'a> = "type",
        id: Str<'a> = "id",
        _parent: Ignored = "parentId",
        timestamp: Time = "timestamp",
        cwd: Str<'a> = "cwd",
        parent_session: Str<'a> = "parentSession",
        custom_type: Str<'a> = "customType",
        provider: Str<'a> = "provider",
        model_id: Str<'a> = "modelId",
        data: Object<Choice<'a>> = "data",
        message: Object<Message<'a>> = "message",
    }

    /// Of a `model-snapshot`: the model that answers from here on.
    struct Choice<'a> {
        provider: Str<'a> = "provider",
        model_id: Str<'a> = "modelId",
    }

    struct Message<'a> {
        role: Str<'a> = "role",
        _content: Ignored = "content",
        _api: Ignored = "api",
        provider: Str<'a> = "provider",
        response_model: Str<'a> = "responseModel",
        model: Str<'a> = "model",
        model_id: Str<'a> = "modelId",
        usage: Object<Usage> = "usage",
        stop_reason: Str<'a> = "stopReason",
        timestamp: Time = "timestamp",
        response_id: Str<'a> = "responseId",
        openclaw_delivery_mirror: Object<Mirror<'a>> = "openclawDeliveryMirror",
    }

    struct Mirror<'a> {
        kind: Str<'a> = "kind",
    }
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
    /// When the session began.
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
    owner: Owner,
    kinds: SessionKinds,
}

impl TranscriptDecoder {
    /// Goes on from `state`, or begins where that is empty. `session` is the transcript's name, which is
    /// its session's where it is an id; `modified` the time of answers that have none.
    pub(super) fn new(session: &str, modified: UnixMs, state: &str) -> Self {
        let state: State = serde_json::from_str(state)
            .unwrap_or_else(|_| State { session: session.to_owned(), ..State::default() });
        let owner = state.owner();
        let last = Origin { source: SOURCE.into(), ..Origin::default() };
        Self { state, modified, last, owner, kinds: SessionKinds::default() }
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

    fn event(&mut self, event: &Event<'_>, line: u64, found: &mut Found<'_>) {
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

    /// Only the first: a second one would be another session's. One that was written after the session
    /// was cut has an id of its own; OpenClaw goes on to call the session by its file's name.
    fn header(&mut self, event: &Event<'_>) {
        if self.state.has_header {
            return;
        }
        let id = event.id.filled().filter(|_| !is_uuid(&self.state.session));
        let session = id.unwrap_or(&self.state.session).to_owned();
        self.state = State {
            has_header: true,
            is_fork: event.parent_session.filled().is_some(),
            session,
            project: event.cwd.filled().unwrap_or_default().to_owned(),
            start_ms: event.timestamp.0.map(|time| time.0),
            ..std::mem::take(&mut self.state)
        };
        self.owner = self.state.owner();
    }

    fn call(
        &mut self,
        event: &Event<'_>,
        message: &Message<'_>,
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
        let rank = Rank::new(standing, &tokens, !self.last.model.is_empty(), self.owner);
        found.call(Call {
            key: self.key(event, message, &tokens),
            variant: Variant(0),
            rank: if self.last.kind.is_empty() { rank } else { rank.with_kind() },
            twin: None,
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
    fn share(&mut self, message: &Message<'_>) {
        let model = [&message.response_model, &message.model, &message.model_id]
            .into_iter()
            .find_map(Str::filled)
            .unwrap_or(&self.state.model);
        let provider = message.provider.filled().unwrap_or(&self.state.provider);
        update(&mut self.last.model, model);
        update(&mut self.last.provider, provider);
        update(&mut self.last.session, &self.state.session);
        let kind = self.kinds.get(&self.state.session).map_or("", |kind| &**kind);
        update(&mut self.last.kind, kind);
        update(&mut self.last.project, &self.state.project);
    }

    /// What an answer is known by in every copy: never the session, never the counts of an entry that
    /// has an id.
    fn key(&mut self, event: &Event<'_>, message: &Message<'_>, tokens: &Tokens) -> Key {
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
    /// The session as an owner of calls. Without a header it is the last that may own one.
    fn owner(&self) -> Owner {
        Owner::new(UnixMs(self.start_ms.unwrap_or(i64::MAX)), &self.session)
    }

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
fn is_mirror(message: &Message<'_>) -> bool {
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

fn outcome(message: &Message<'_>) -> Outcome {
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
    fn expect(&mut self, kinds: &SessionKinds) {
        self.kinds = SessionKinds::clone(kinds);
    }

    fn line(&mut self, line: &Line<'_>, found: &mut Found<'_>) {
        if !may_matter(line) {
            return;
        }
        match line.parse::<Event<'_>>() {
            Ok(event) => self.event(&event, line.number(), found),
            Err(error) => found.problem(ProblemKind::NotJson, line.number(), error.to_string()),
        }
    }

    fn state(&self) -> String {
        serde_json::to_string(&self.state).unwrap_or_default()
    }
}

/// Whether a line is the header of a session.
pub(super) fn is_header(line: &Line<'_>) -> bool {
    line.opening().own_type() == Some(b"session")
}

/// What a line is, whether or not it counts.
pub(super) fn kind_of_line(line: &Line<'_>) -> LineKind {
    let Ok(event) = line.parse::<Event<'_>>() else { return LineKind::Bad };
    match (event.r#type.filled(), &event.message.0) {
        (Some("session"), _) => LineKind::Header,
        (Some("message") | None, Some(message)) if message.role.is("assistant") => {
            match &message.usage.0 {
                _ if is_mirror(message) => LineKind::Mirror,
                Some(_) => LineKind::Answer,
                None => LineKind::AnswerWithoutUsage,
            }
        }
        (Some(_) | None, _) => LineKind::Other,
    }
}

/// Whether a line must be parsed, told without parsing: most are prompts and results of tools, and a
/// message says its role first.
fn may_matter(line: &Line<'_>) -> bool {
    static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));
    let opening = line.opening();
    match opening.own_type() {
        Some(b"message") => {
            let is_first = opening.object_name() == Some(b"message");
            match opening.object_begins_with(b"role").filter(|_| is_first) {
                Some(role) => role == b"assistant",
                None => USAGE.find(line.bytes()).is_some(),
            }
        }
        Some(own) => matches!(own, b"session" | b"model_change" | b"custom"),
        None => true,
    }
}
