//! The lines of a rollout: which ones to read, and their shapes.
//!
//! Nine tenths of a rollout are prompts, reasoning and tool results. What a line is stands in its
//! opening, so that most lines cost one short search. Fields are as lossy as agents write them.

use std::sync::LazyLock;

use memchr::memmem::{self, Finder};
use trueup_core::UnixMs;

use super::counter::Counts;
use crate::json::objects;
use crate::lines::Line;
use crate::lossy::{Count, Ignored, Millipercent, Object, Raw, Str, Time};

/// Records that are read.
const RECORDS: [&[u8]; 5] =
    [b"session_meta", b"turn_context", b"token_usage_record", b"thread.started", b"turn.completed"];

/// Records that hold conversation only.
const CONVERSATION: [&[u8]; 5] =
    [b"response_item", b"compacted", b"item.started", b"item.updated", b"item.completed"];

/// What stands in every line that is read, for lines whose opening does not say what they are. Inside of
/// a text the quotes would be escaped.
const MARKS: [&[u8]; 6] = [
    b"\"token_count\"",
    b"\"session_meta\"",
    b"\"turn_context\"",
    b"\"thread_settings_applied\"",
    b"\"thread.started\"",
    b"\"usage\"",
];

/// What a line is, told without reading it.
pub(super) enum Kind<'a> {
    /// It says nothing that is read.
    Conversation,
    /// A `token_count`: its payload as it is written, without the line's time and number.
    Count(&'a [u8]),
    /// It may say something else.
    Other,
}

/// What a line is, by its opening; where that says too little, by all of it.
pub(super) fn kind<'a>(line: &Line<'a>) -> Kind<'a> {
    let opening = line.opening();
    let own = opening.own_type();
    if let Some(own) = own {
        if CONVERSATION.contains(&own) {
            return Kind::Conversation;
        }
        if RECORDS.contains(&own) {
            return Kind::Other;
        }
    }
    match opening.object_begins_with(b"type").filter(|_| own == Some(b"event_msg")) {
        Some(b"token_count") => Kind::Count(opening.behind()),
        Some(b"thread_settings_applied") => Kind::Other,
        Some(_) => Kind::Conversation,
        None if MARKS.iter().any(|mark| memmem::find(line.bytes(), mark).is_some()) => Kind::Other,
        None => Kind::Conversation,
    }
}

/// The time of a line, without reading the rest of it.
pub(super) fn time(line: &Line<'_>) -> Option<UnixMs> {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"timestamp\""));
    UnixMs::parse_rfc3339(str::from_utf8(line.opening().own_text(&NAME)?).ok()?)
}

objects! {
    /// One line, of a rollout (with a payload) or of `codex exec --json`.
    pub(super) struct Record<'a> {
        timestamp: Time = "timestamp",
        _ordinal: Ignored = "ordinal",
        pub(super) r#type: Str<'a> = "type",
        pub(super) payload: Object<Payload<'a>> = "payload",
        pub(super) thread_id: Str<'a> = "thread_id",
        created_at: Time = "created_at",
        created_at_camel: Time = "createdAt",
        model: Str<'a> = "model",
        // Boxed, as few lines have them.
        usage: Object<Box<Usage>> = "usage",
        data: Object<Box<Wrapped<'a>>> = "data",
        result: Object<Box<Wrapped<'a>>> = "result",
        response: Object<Box<Wrapped<'a>>> = "response",
    }

    /// Where other writers put the usage of a stream's line.
    struct Wrapped<'a> {
        model: Str<'a> = "model",
        usage: Object<Usage> = "usage",
    }
}

impl<'a> Record<'a> {
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

    fn wrapped(&self) -> impl Iterator<Item = &Wrapped<'a>> {
        [&self.data.0, &self.result.0, &self.response.0].into_iter().filter_map(Option::as_deref)
    }
}

objects! {
    /// The payloads of all lines that are read, in one.
    pub(super) struct Payload<'a> {
        /// Of events.
        pub(super) r#type: Str<'a> = "type",
        // Of `token_count`.
        pub(super) info: Object<Info<'a>> = "info",
        /// [`RateLimits`]: nearly every line repeats those of the line before.
        pub(super) rate_limits: Raw<'a> = "rate_limits",
        // Of `session_meta`. Its `session_id` is the root's, in sub-agents: not read.
        pub(super) id: Str<'a> = "id",
        pub(super) timestamp: Time = "timestamp",
        pub(super) cwd: Str<'a> = "cwd",
        pub(super) model_provider: Str<'a> = "model_provider",
        pub(super) forked_from_id: Str<'a> = "forked_from_id",
        parent_thread_id: Str<'a> = "parent_thread_id",
        source: Object<Source<'a>> = "source",
        // Of `turn_context`.
        pub(super) turn_id: Str<'a> = "turn_id",
        pub(super) service_tier: Str<'a> = "service_tier",
        model: Str<'a> = "model",
        model_name: Str<'a> = "model_name",
        metadata: Object<Box<Wrapped<'a>>> = "metadata",
        // Of `thread_settings_applied`.
        pub(super) thread_settings: Object<ThreadSettings<'a>> = "thread_settings",
        // Of `token_usage_record`, whose running totals are not read.
        pub(super) response_id: Str<'a> = "response_id",
        pub(super) usage: Object<Box<Usage>> = "usage",
    }
}

impl Payload<'_> {
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

objects! {
    struct Source<'a> {
        subagent: Object<Subagent<'a>> = "subagent",
    }

    struct Subagent<'a> {
        thread_spawn: Object<ThreadSpawn<'a>> = "thread_spawn",
    }

    struct ThreadSpawn<'a> {
        parent_thread_id: Str<'a> = "parent_thread_id",
    }

    pub(super) struct Info<'a> {
        pub(super) total_token_usage: Object<Usage> = "total_token_usage",
        pub(super) last_token_usage: Object<Usage> = "last_token_usage",
        _window: Ignored = "model_context_window",
        pub(super) model: Str<'a> = "model",
        pub(super) model_name: Str<'a> = "model_name",
    }

    pub(super) struct ThreadSettings<'a> {
        pub(super) model: Str<'a> = "model",
        pub(super) service_tier: Str<'a> = "service_tier",
    }

    pub(super) struct RateLimits<'a> {
        pub(super) limit_id: Str<'a> = "limit_id",
        pub(super) primary: Object<Window> = "primary",
        pub(super) secondary: Object<Window> = "secondary",
        _credits: Ignored = "credits",
        pub(super) plan_type: Str<'a> = "plan_type",
    }
}

impl RateLimits<'_> {
    /// Whether a window tells its end as a distance from the line's own time.
    pub(super) fn tell_a_distance(&self) -> bool {
        let windows = [&self.primary.0, &self.secondary.0];
        windows.into_iter().flatten().any(|window| window.resets_in_seconds.is_present())
    }
}

objects! {
    pub(super) struct Window {
        pub(super) used_percent: Millipercent = "used_percent",
        pub(super) minutes: Count = "window_minutes",
        pub(super) resets_at: Time = "resets_at",
        pub(super) resets_in_seconds: Count = "resets_in_seconds",
    }

    /// Usage under its own names and those that other writers of streams give it.
    pub(super) struct Usage {
        input_tokens: Count = "input_tokens",
        cached_input_tokens: Count = "cached_input_tokens",
        output_tokens: Count = "output_tokens",
        cache_write_input_tokens: Count = "cache_write_input_tokens",
        reasoning_output_tokens: Count = "reasoning_output_tokens",
        _total: Ignored = "total_tokens",
        prompt_tokens: Count = "prompt_tokens",
        input: Count = "input",
        cache_read_input_tokens: Count = "cache_read_input_tokens",
        cached_tokens: Count = "cached_tokens",
        completion_tokens: Count = "completion_tokens",
        output: Count = "output",
        reasoning_tokens: Count = "reasoning_tokens",
    }
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
    fn the_opening_decides_and_the_whole_line_where_it_does_not() {
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
            let kind = kind(&Line::new(1, line.as_bytes()));
            assert_eq!(!matches!(kind, Kind::Conversation), expected, "{line}");
        }
    }

    #[test]
    fn the_time_is_found_without_parsing() {
        let time = |line: &str| time(&Line::new(1, line.as_bytes()));
        let line = r#"{"timestamp": "1970-01-01T00:00:01.250Z","type":"response_item"}"#;
        assert_eq!(time(line), Some(UnixMs(1_250)));
        assert_eq!(time(r#"{"timestamp":1790000000,"type":"x"}"#), None);
    }
}
