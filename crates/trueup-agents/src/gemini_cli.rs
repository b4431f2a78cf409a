//! Gemini CLI: `tmp/<project>/chats/` of its home: one JSON document a chat, or one JSONL.
//!
//! Formats of Gemini CLI 0.6 to 0.58. A document is written anew with each message. A JSONL file begins
//! with what is said of the chat; a message is appended whole each time that it changes, and
//! `{"$set":{"messages":[…]}}` repeats all of them. `{"$rewindTo":…}` takes messages out of the chat: they
//! were answered and count. This module does not read the totals that `gemini -o json` prints, which are
//! sums over calls and stand in no file of the CLI's own.
//!
//! ```json
//! {"id":"26522e6d-0b73-434e-a65d-bb783dab2738","timestamp":"2026-06-01T10:00:07.670Z","type":"gemini",
//!  "content":"4","thoughts":[],"model":"gemini-3-pro-preview",
//!  "tokens":{"input":7173,"output":12,"cached":5000,"thoughts":170,"tool":0,"total":7355}}
//! ```

use std::path::Path;
use std::sync::Arc;

use memchr::memmem;
use serde::{Deserialize, Serialize};
use trueup_core::{
    Billing, Call, Key, Origin, Outcome, Owner, ProblemKind, Rank, Text, Tokens, Twin, UnixMs,
    Variant,
};

use crate::agent::{Agent, Decoder, Environment, Root, Store, StoreKind};
use crate::found::Found;
use crate::json::{self, objects};
use crate::lines::Line;
use crate::lossy::{Count, List, Object, Str, Time};
use crate::uuid::is_uuid;

/// Gemini CLI.
#[derive(Debug)]
pub(crate) struct GeminiCli;

const SOURCE: &str = "gemini-cli";

const PROVIDER: &str = "google";

/// The start of a chat that does not say it: behind all that do.
const LATEST_START: UnixMs = UnixMs(i64::MAX);

/// The folder of a project that holds its chats, and in it those of sub-agents by parent.
const CHATS: &str = "chats";

impl Agent for GeminiCli {
    fn id(&self) -> &'static str {
        SOURCE
    }

    fn title(&self) -> &'static str {
        "Gemini CLI"
    }

    fn roots(&self, environment: &Environment) -> Vec<Root> {
        let default = || vec![environment.below_home(".gemini", "~/.gemini")];
        let homes = environment.folders("GEMINI_DATA_DIR").unwrap_or_else(default);
        homes.into_iter().map(|home| Root { path: home.path.join("tmp"), ..home }).collect()
    }

    fn enters(&self, below_root: &Path) -> bool {
        below_root.components().nth(1).is_none_or(|part| part.as_os_str() == CHATS)
    }

    fn classify(&self, below_root: &Path) -> Option<StoreKind> {
        let is_chat = below_root.components().nth(1)?.as_os_str() == CHATS;
        match below_root.extension()?.to_str() {
            Some("json") if is_chat => Some(StoreKind::Document),
            Some("jsonl") if is_chat => Some(StoreKind::Lines),
            _ => None,
        }
    }

    fn decoder(&self, store: &Store, state: &str) -> Box<dyn Decoder> {
        let chat = serde_json::from_str(state).unwrap_or_default();
        Box::new(GeminiCliDecoder { reader: Reader::new(store, chat) })
    }

    fn document(&self, store: &Store, bytes: &[u8], found: &mut Found<'_>) {
        match json::from_slice::<Object<Record<'_>>>(bytes) {
            Ok(Object(Some(record))) => {
                Reader::new(store, Chat::default()).record(record, 0, found);
            }
            Ok(Object(None)) => found.problem(ProblemKind::BadRecord, 0, "is not an object"),
            Err(error) => found.problem(ProblemKind::NotJson, 0, error.to_string()),
        }
    }
}

objects! {
    /// One line, or a whole document: what is said of the chat, or one message.
    struct Record<'a> {
        session_id: Str<'a> = "sessionId",
        start_time: Time = "startTime",
        messages: List<Message<'a>> = "messages",
        set: Object<Update<'a>> = "$set",
        // What a message in a line of its own says: see `Message`.
        id: Str<'a> = "id",
        r#type: Str<'a> = "type",
        timestamp: Time = "timestamp",
        model: Str<'a> = "model",
        tokens: Object<Usage> = "tokens",
    }

    /// What is said of the chat later on.
    struct Update<'a> {
        session_id: Str<'a> = "sessionId",
        messages: List<Message<'a>> = "messages",
    }

    struct Message<'a> {
        id: Str<'a> = "id",
        r#type: Str<'a> = "type",
        timestamp: Time = "timestamp",
        model: Str<'a> = "model",
        tokens: Object<Usage> = "tokens",
    }

    /// The counts of Gemini's API by the CLI's names: the prompt (cached tokens included), the answer, what of
    /// the prompt came from a cache, thoughts beside the answer, and results of built-in tools beside the
    /// prompt.
    struct Usage {
        input: Count = "input",
        output: Count = "output",
        cached: Count = "cached",
        thoughts: Count = "thoughts",
        tool: Count = "tool",
        total: Count = "total",
    }
}

impl Usage {
    fn tokens(&self) -> Tokens {
        let [input, output, cached, thoughts, tool] =
            [self.input, self.output, self.cached, self.thoughts, self.tool].map(Count::or_zero);
        // The total says whether a writer counts the cached tokens inside its input, as the CLI does.
        let outside = input.saturating_add(output).saturating_add(thoughts).saturating_add(tool);
        let is_outside = cached > input
            || (cached > 0 && self.total.or_zero() == outside.saturating_add(cached));
        Tokens {
            input: if is_outside { input } else { input - cached }.saturating_add(tool),
            cache_read: cached,
            output: output.saturating_add(thoughts),
            reasoning: thoughts,
            ..Tokens::ZERO
        }
    }

    fn is_cut(&self) -> bool {
        [self.input, self.output, self.cached, self.thoughts, self.tool]
            .into_iter()
            .any(Count::is_cut)
    }
}

/// What the lines so far have said of the chat.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Chat {
    session: Option<Text>,
    start: Option<UnixMs>,
}

#[derive(Debug)]
struct Reader {
    chat: Chat,
    modified: UnixMs,
    fallback_session: Text,
    /// What was last shared.
    last: Origin,
}

impl Reader {
    fn new(store: &Store, chat: Chat) -> Self {
        // The folder is named after the project, and in older versions after a hash of its path.
        let below_root = store.below_root();
        let folder = below_root.components().next();
        let project = folder.and_then(|folder| folder.as_os_str().to_str()).unwrap_or_default();
        Self {
            chat,
            modified: store.modified(),
            fallback_session: store.stem().into(),
            last: Origin {
                source: SOURCE.into(),
                provider: PROVIDER.into(),
                project: project.into(),
                ..Origin::default()
            },
        }
    }

    fn record(&mut self, record: Record<'_>, line: u64, found: &mut Found<'_>) {
        let Record { session_id, start_time, messages, set, id, r#type, timestamp, model, tokens } =
            record;
        let update = set.0.unwrap_or_default();
        self.session_is(&session_id);
        self.session_is(&update.session_id);
        self.chat.start = start_time.0.or(self.chat.start);
        let alone = Message { id, r#type, timestamp, model, tokens };
        for message in messages.0.iter().chain(&update.messages.0).chain([&alone]) {
            self.message(message, line, found);
        }
    }

    fn session_is(&mut self, id: &Str<'_>) {
        if let Some(id) = id.filled()
            && self.chat.session.as_deref() != Some(id)
        {
            self.chat.session = Some(id.into());
        }
    }

    fn message(&mut self, message: &Message<'_>, line: u64, found: &mut Found<'_>) {
        let Some(usage) = &message.tokens.0 else { return };
        if !message.r#type.is("gemini") {
            return;
        }
        if usage.is_cut() {
            found.problem(ProblemKind::BadCount, line, "tokens has an impossible count");
        }
        let tokens = usage.tokens();
        if tokens.total() == 0 {
            return;
        }
        let Some(id) = message.id.filled() else {
            found.problem(ProblemKind::BadRecord, line, "a message with tokens has no id");
            return;
        };
        let model = message.model.filled().unwrap_or_default();
        if *self.last.model != *model {
            self.last.model = model.into();
        }
        let session = self.chat.session.as_ref().unwrap_or(&self.fallback_session);
        let owner = Owner::new(self.chat.start.unwrap_or(LATEST_START), session);
        found.call(Call {
            key: key(id, session),
            variant: Variant(0),
            // A message's tokens are told once and kept; where two copies differ, the one that says more
            // is the later one. Equal copies in two chats belong to the chat that began first.
            rank: Rank::new(0, &tokens, !model.is_empty(), owner),
            twin: Some(Twin::Covers(Twin::of_usage(SOURCE, session, &tokens))),
            time: message.timestamp.0.or(self.chat.start).unwrap_or(self.modified),
            origin: Origin { session: Arc::clone(session), ..self.last.clone() },
            tokens,
            billing: Billing::default(),
            reported_cost: None,
            latency_ms: None,
            time_to_first_token_ms: None,
            outcome: Outcome::Ok,
            trace_id: None,
            body: None,
        });
    }
}

/// The CLI's message ids are UUIDs, which stay the same in a copy of the chat under another session id.
/// Ids of another form are taken to be unique in their session only.
fn key(id: &str, session: &str) -> Key {
    if is_uuid(id) { Key::of(SOURCE, &[id]) } else { Key::of(SOURCE, &[session, id]) }
}

#[derive(Debug)]
struct GeminiCliDecoder {
    reader: Reader,
}

impl Decoder for GeminiCliDecoder {
    fn line(&mut self, line: &Line<'_>, found: &mut Found<'_>) {
        let has = |mark: &[u8]| memmem::find(line.bytes(), mark).is_some();
        if !has(b"\"tokens\"") && !has(b"\"sessionId\"") {
            return;
        }
        match line.parse::<Record<'_>>() {
            Ok(record) => self.reader.record(record, line.number(), found),
            Err(error) => found.problem(ProblemKind::NotJson, line.number(), error.to_string()),
        }
    }

    fn state(&self) -> String {
        // Texts and numbers only: this cannot fail.
        serde_json::to_string(&self.reader.chat).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_tokens_leave_the_input_that_holds_them() {
        for (json, expected) in [
            (
                r#"{"input":100,"output":10,"cached":60,"thoughts":5,"tool":3,"total":118}"#,
                (43, 60, 15, 5),
            ),
            // no total: the API's convention
            (r#"{"input":100,"output":10,"cached":60}"#, (40, 60, 10, 0)),
            // a writer that counts them beside the input
            (r#"{"input":40,"output":10,"cached":60,"total":110}"#, (40, 60, 10, 0)),
            (r#"{"input":70,"output":10,"cached":60,"total":140}"#, (70, 60, 10, 0)),
            (r#"{"input":null,"output":"7","cached":[],"thoughts":{}}"#, (0, 0, 7, 0)),
        ] {
            let tokens = json::from_slice::<Usage>(json.as_bytes()).unwrap().tokens();
            let read = (tokens.input, tokens.cache_read, tokens.output, tokens.reasoning);
            assert_eq!(read, expected, "{json}");
        }
    }

    #[test]
    fn a_message_is_known_by_its_uuid_in_any_chat() {
        let uuid = "26522e6d-0b73-434e-a65d-bb783dab2738";
        assert_eq!(key(uuid, "a"), key(uuid, "b"));
        assert_ne!(key("1", "a"), key("1", "b"));
    }
}
