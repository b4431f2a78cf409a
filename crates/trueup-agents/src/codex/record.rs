//! The lines of a rollout: which ones to read, and their shapes.
//!
//! Nine tenths of a rollout are prompts, reasoning and tool results. What a line is stands in its first
//! bytes, so that most lines cost one short search. Fields are as lossy as agents write them.

use memchr::memmem;
use serde::Deserialize;
use trueup_core::UnixMs;

use super::counter::Counts;
use crate::lines::Line;
use crate::lossy::{Count, Millipercent, Object, Str, Time};

/// Bytes in which Codex's own writer says what a line is.
const HEAD_BYTES: usize = 256;

/// Records that are read.
const RECORDS: [&[u8]; 5] =
    [b"session_meta", b"turn_context", b"token_usage_record", b"thread.started", b"turn.completed"];

/// Events that are read.
const EVENTS: [&[u8]; 2] = [b"token_count", b"thread_settings_applied"];

/// Records that hold conversation only.
const CONVERSATION: [&[u8]; 5] =
    [b"response_item", b"compacted", b"item.started", b"item.updated", b"item.completed"];

/// What stands in every line that is read, for lines whose head does not say what they are. Inside of a
/// text the quotes would be escaped.
const MARKS: [&[u8]; 6] = [
    b"\"token_count\"",
    b"\"session_meta\"",
    b"\"turn_context\"",
    b"\"thread_settings_applied\"",
    b"\"thread.started\"",
    b"\"usage\"",
];

/// Whether a line may say something that is read.
pub(super) fn may_matter(line: &Line<'_>) -> bool {
    let head = line.head().get(..HEAD_BYTES).unwrap_or(line.head());
    let mut types = types(head);
    let first = types.next().unwrap_or_default();
    if RECORDS.contains(&first) || EVENTS.contains(&first) {
        return true;
    }
    if CONVERSATION.contains(&first) {
        return false;
    }
    if first == b"event_msg"
        && let Some(event) = types.next()
    {
        return EVENTS.contains(&event);
    }
    !line.is_whole() || MARKS.iter().any(|mark| memmem::find(line.head(), mark).is_some())
}

/// The texts behind `"type":`.
fn types(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    memmem::find_iter(head, b"\"type\"").filter_map(|at| text_behind(head, at + b"\"type\"".len()))
}

/// The text of the field whose name ends at `at`.
fn text_behind(head: &[u8], at: usize) -> Option<&[u8]> {
    let value = head.get(at..)?.trim_ascii_start().strip_prefix(b":")?;
    let text = value.trim_ascii_start().strip_prefix(b"\"")?;
    text.get(..memchr::memchr(b'"', text)?)
}

/// The time of a line, without reading the rest of it.
pub(super) fn time_in_head(line: &[u8]) -> Option<UnixMs> {
    let head = line.get(..HEAD_BYTES).unwrap_or(line);
    let at = memmem::find(head, b"\"timestamp\"")? + b"\"timestamp\"".len();
    UnixMs::parse_rfc3339(str::from_utf8(text_behind(head, at)?).ok()?)
}

/// One line, of a rollout (with a payload) or of `codex exec --json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) r#type: Str,
    timestamp: Time,
    created_at: Time,
    #[serde(rename = "createdAt")]
    created_at_camel: Time,
    pub(super) payload: Object<Payload>,
    pub(super) thread_id: Str,
    model: Str,
    // Boxed, as few lines have them, and all lines move what has room for them.
    usage: Object<Box<Usage>>,
    data: Object<Box<Wrapped>>,
    result: Object<Box<Wrapped>>,
    response: Object<Box<Wrapped>>,
}

/// Where other writers put the usage of a stream's line.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wrapped {
    model: Str,
    usage: Object<Usage>,
}

impl Record {
    pub(super) fn time(&self) -> Option<UnixMs> {
        self.timestamp.0.or(self.created_at.0).or(self.created_at_camel.0)
    }

    /// The usage of a stream's line, wherever it stands.
    pub(super) fn stream_usage(&self) -> Option<&Usage> {
        let wrapped = self.wrapped().find_map(|wrapped| wrapped.usage.0.as_ref());
        self.usage.0.as_deref().or(wrapped)
    }

    /// The model of a stream's line, wherever it stands.
    pub(super) fn model_name(&self) -> Option<&str> {
        let wrapped = self.wrapped().find_map(|wrapped| wrapped.model.filled());
        self.model.filled().or(wrapped)
    }

    fn wrapped(&self) -> impl Iterator<Item = &Wrapped> {
        [&self.data.0, &self.result.0, &self.response.0].into_iter().filter_map(Option::as_deref)
    }
}

/// The payloads of all lines that are read, in one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Payload {
    /// Of events.
    pub(super) r#type: Str,
    // Of `session_meta`. Its `session_id` is the root's, in sub-agents: not read.
    pub(super) id: Str,
    pub(super) timestamp: Time,
    pub(super) cwd: Str,
    pub(super) model_provider: Str,
    pub(super) forked_from_id: Str,
    parent_thread_id: Str,
    source: Object<Source>,
    // Of `turn_context`.
    pub(super) turn_id: Str,
    pub(super) service_tier: Str,
    model: Str,
    model_name: Str,
    metadata: Object<Box<Wrapped>>,
    // Of `token_count`.
    pub(super) info: Object<Info>,
    pub(super) rate_limits: Object<RateLimits>,
    // Of `thread_settings_applied`.
    pub(super) thread_settings: Object<ThreadSettings>,
    // Of `token_usage_record`, whose running totals are not read.
    pub(super) response_id: Str,
    pub(super) usage: Object<Box<Usage>>,
}

impl Payload {
    /// The thread that spawned this one.
    pub(super) fn parent(&self) -> Option<&str> {
        let subagent = self.source.0.as_ref().and_then(|source| source.subagent.0.as_ref());
        let spawn = subagent.and_then(|subagent| subagent.thread_spawn.0.as_ref());
        self.parent_thread_id
            .filled()
            .or_else(|| spawn.and_then(|spawn| spawn.parent_thread_id.filled()))
    }

    /// The model of a turn.
    pub(super) fn model_name(&self) -> Option<&str> {
        let metadata = self.metadata.0.as_ref();
        self.model
            .filled()
            .or_else(|| self.model_name.filled())
            .or_else(|| metadata.and_then(|metadata| metadata.model.filled()))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Source {
    subagent: Object<Subagent>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Subagent {
    thread_spawn: Object<ThreadSpawn>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ThreadSpawn {
    parent_thread_id: Str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    pub(super) total_token_usage: Object<Usage>,
    pub(super) last_token_usage: Object<Usage>,
    pub(super) model: Str,
    pub(super) model_name: Str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ThreadSettings {
    pub(super) model: Str,
    pub(super) service_tier: Str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RateLimits {
    pub(super) limit_id: Str,
    pub(super) primary: Object<Window>,
    pub(super) secondary: Object<Window>,
    pub(super) plan_type: Str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Window {
    pub(super) used_percent: Millipercent,
    #[serde(rename = "window_minutes")]
    pub(super) minutes: Count,
    pub(super) resets_at: Time,
    pub(super) resets_in_seconds: Count,
}

/// Usage under its own names and those that other writers of streams give it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    input_tokens: Count,
    prompt_tokens: Count,
    input: Count,
    cached_input_tokens: Count,
    cache_read_input_tokens: Count,
    cached_tokens: Count,
    cache_write_input_tokens: Count,
    output_tokens: Count,
    completion_tokens: Count,
    output: Count,
    reasoning_output_tokens: Count,
    reasoning_tokens: Count,
}

impl Usage {
    pub(super) const fn counts(&self) -> Counts {
        let [input, cached, cache_write, output, reasoning] = self.parts();
        Counts {
            input: input.or_zero(),
            cached: cached.or_zero(),
            cache_write: cache_write.or_zero(),
            output: output.or_zero(),
            reasoning: reasoning.or_zero(),
        }
    }

    pub(super) fn is_cut(&self) -> bool {
        self.parts().into_iter().any(Count::is_cut)
    }

    const fn parts(&self) -> [Count; 5] {
        [
            self.input_tokens.or(self.prompt_tokens).or(self.input),
            self.cached_input_tokens.or(self.cache_read_input_tokens).or(self.cached_tokens),
            self.cache_write_input_tokens,
            self.output_tokens.or(self.completion_tokens).or(self.output),
            self.reasoning_output_tokens.or(self.reasoning_tokens),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_decides_and_the_whole_line_where_it_does_not() {
        let far = format!(
            r#"{{"payload":{{"info":"{}","type":"token_count"}},"type":"event_msg"}}"#,
            "x".repeat(400)
        );
        for (line, expected) in [
            (
                r#"{"timestamp":"t","type":"event_msg","payload":{"type":"token_count","info":null}}"#,
                true,
            ),
            (r#"{"timestamp": "t", "ordinal": 3, "type": "turn_context", "payload": {}}"#, true),
            (
                r#"{"timestamp":"t","type":"response_item","payload":{"type":"message","text":"\"type\":\"token_count\""}}"#,
                false,
            ),
            (
                r#"{"timestamp":"t","type":"event_msg","payload":{"type":"agent_message","message":"\"token_count\""}}"#,
                false,
            ),
            (r#"{"payload":{"type":"token_count"},"type":"event_msg"}"#, true),
            (r#"{"payload":{"type":"message","text":"\"usage\""},"type":"response_item"}"#, false),
            (far.as_str(), true),
            (r#"{"type":"turn.completed","usage":{}}"#, true),
            (r#"{"created_at":1,"result":{"usage":{}}}"#, true),
            (r#"{"type":"world_state","payload":{}}"#, false),
        ] {
            assert_eq!(may_matter(&Line::whole(1, line.as_bytes())), expected, "{line}");
        }
    }

    #[test]
    fn the_time_is_found_without_parsing() {
        let line = br#"{"timestamp": "1970-01-01T00:00:01.250Z","type":"response_item"}"#;
        assert_eq!(time_in_head(line), Some(UnixMs(1_250)));
        assert_eq!(time_in_head(br#"{"timestamp":1790000000,"type":"x"}"#), None);
    }
}
