//! A session's entry in OpenClaw's index: what it claims that the session's last run used.
//!
//! The counts are those of the last run that was answered, not of the session; `totalTokens` is the
//! context of the last call, without its answer. Resets write zeros, compactions clear the counts; a
//! label moves `updatedAt`, a failed run moves `lastRunId` and every time, and both leave the counts of
//! the run before. The counts and `lastRunId` are two writes, in either order. So a run is told by its
//! counts alone: the same ones are the same run, however often the entry is read and whatever else in it
//! has changed.
//!
//! From OpenClaw 2026.2.12 and 2026.9.6; the second writes the cache, a cost and `totalTokensFresh`.
//!
//! ```json
//! {"sessionId":"3e5aebe9-…","updatedAt":1771029601500,"modelProvider":"openai-codex","model":"gpt-5.3-codex",
//!  "inputTokens":690,"outputTokens":66,"totalTokens":1090,"cacheRead":400,"cacheWrite":0}
//! ```

use trueup_core::{Key, NanoUsd, Origin, SessionTotal, Tokens, UnixMs};

use super::SOURCE;
use crate::json::objects;
use crate::lossy::{Number, Str, Time, Truth, Usd};

objects! {
    /// What we read of an entry; it also holds prompts and skills, which nobody needs.
    pub(super) struct Entry<'a> {
        session_id: Str<'a> = "sessionId",
        parent_session_id: Str<'a> = "parentSessionId",
        updated_at: Time = "updatedAt",
        started_at: Time = "startedAt",
        ended_at: Time = "endedAt",
        status: Str<'a> = "status",
        model_provider: Str<'a> = "modelProvider",
        model: Str<'a> = "model",
        input_tokens: Number = "inputTokens",
        output_tokens: Number = "outputTokens",
        cache_read: Number = "cacheRead",
        cache_write: Number = "cacheWrite",
        total_tokens: Number = "totalTokens",
        total_tokens_fresh: Truth = "totalTokensFresh",
        estimated_cost_usd: Usd = "estimatedCostUsd",
    }
}

impl Entry<'_> {
    /// The session that the entry is of.
    pub(super) fn session(&self) -> Option<&str> {
        self.session_id.filled()
    }

    /// What the entry claims, where it claims anything. `modified` is the time of entries without one.
    pub(super) fn claim(&self, session_key: &str, modified: UnixMs) -> Option<SessionTotal> {
        let session = self.session()?;
        let tokens = self.tokens()?;
        let touched = self.updated_at.0.unwrap_or(modified);
        // A run that goes on, failed or was aborted has its own times here, beside the counts of the run
        // before. A job's entry is put back to before its run: then only `endedAt` is after its calls.
        let is_of_this_run = !matches!(self.status.filled(), Some("running" | "failed" | "killed"));
        let started = self.started_at.0.filter(|_| is_of_this_run);
        let is_in_order = |ended: &UnixMs| {
            is_of_this_run
                && (*ended <= touched || started.is_some_and(|started| started <= *ended))
        };
        let ended = self.ended_at.0.filter(is_in_order);
        let counts = [tokens.input, tokens.output, tokens.cache_read, tokens.cache_write];
        let counts = counts.map(|count| count.to_string()).join(" ");
        Some(SessionTotal {
            key: Key::of(SOURCE, &["run", session, &counts]),
            time: ended.unwrap_or(touched),
            started,
            parent: self.parent_session_id.filled().unwrap_or_default().into(),
            origin: Origin {
                source: SOURCE.into(),
                provider: self.model_provider.filled().unwrap_or_default().into(),
                model: self.model.filled().unwrap_or_default().into(),
                session: session.into(),
                kind: session_kind(session_key).into(),
                ..Origin::default()
            },
            tokens,
            // A recorded zero means that OpenClaw has no price for the model.
            reported_cost: self.estimated_cost_usd.0.filter(|cost| *cost != NanoUsd::ZERO),
        })
    }

    /// The usage of the last run; `None` where the entry tells of none.
    fn tokens(&self) -> Option<Tokens> {
        let count = |number: Number| number.0.or_zero();
        let (input, output) = (count(self.input_tokens), count(self.output_tokens));
        if input.saturating_add(output) == 0 {
            return None;
        }
        let is_split = self.cache_read.0.is_present() || self.cache_write.0.is_present();
        let is_fresh = self.total_tokens_fresh.0 != Some(false);
        let cache_read = if is_split {
            count(self.cache_read)
        } else if is_fresh {
            // The context of the last call: its input, and what came from the cache.
            count(self.total_tokens).saturating_sub(input)
        } else {
            0
        };
        let cache_write = count(self.cache_write);
        Some(Tokens { input, output, cache_read, cache_write, ..Tokens::ZERO })
    }
}

/// What kind of session a key stands for: `agent:main:telegram:group:-100` is a `group`.
pub(super) fn session_kind(key: &str) -> &'static str {
    let own = key.strip_prefix("agent:").and_then(|rest| rest.split_once(':'));
    let own = own.map_or(key, |(_, own)| own);
    let mut parts = own.split(':');
    match (parts.next().unwrap_or_default(), parts.next()) {
        ("main", _) => "main",
        ("cron", Some(_)) => "cron",
        ("subagent", Some(_)) => "subagent",
        ("acp", Some(_)) => "acp",
        ("hook", Some(_)) => "webhook",
        ("dashboard", Some(_)) => "dashboard",
        ("boot", Some(_)) => "boot",
        ("recovered", Some(_)) => "recovered",
        ("explicit", Some(run)) if run.starts_with("model-run-") => "probe",
        (_, Some("group" | "channel" | "room")) => "group",
        (_, Some("direct" | "dm")) => "direct",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn claim(json: &str) -> Option<SessionTotal> {
        json::from_slice::<Entry<'_>>(json.as_bytes()).unwrap().claim("agent:main:main", UnixMs(7))
    }

    /// Input, cache read, cache write, output.
    fn parts(json: &str) -> Option<[u64; 4]> {
        let tokens = claim(json)?.tokens;
        Some([tokens.input, tokens.cache_read, tokens.cache_write, tokens.output])
    }

    #[test]
    fn an_entry_claims_its_last_run() {
        for (json, expected) in [
            (
                r#"{"inputTokens":690,"outputTokens":66,"totalTokens":1090}"#,
                Some([690, 400, 0, 66]),
            ),
            (
                r#"{"inputTokens":690,"outputTokens":66,"totalTokens":1090,"cacheRead":7,"cacheWrite":2}"#,
                Some([690, 7, 2, 66]),
            ),
            (
                r#"{"inputTokens":690,"outputTokens":66,"totalTokens":1090,"totalTokensFresh":false}"#,
                Some([690, 0, 0, 66]),
            ),
            (r#"{"inputTokens":690,"outputTokens":66,"totalTokens":null}"#, Some([690, 0, 0, 66])),
            // Compaction, reset, an index that lost its counts.
            (r#"{"totalTokens":2580,"compactionCount":1}"#, None),
            (r#"{"inputTokens":0,"outputTokens":0,"totalTokens":0,"totalTokensFresh":true}"#, None),
            (r#"{"inputTokens":-5,"outputTokens":"x"}"#, None),
        ] {
            let json = format!(r#"{{"sessionId":"s",{}"#, json.strip_prefix('{').unwrap());
            assert_eq!(parts(&json), expected, "{json}");
        }
        assert_eq!(claim(r#"{"inputTokens":1}"#), None, "an entry without a session");
    }

    #[test]
    fn a_run_stays_the_same_whatever_else_changes() {
        let run = r#""sessionId":"s","inputTokens":1,"outputTokens":2,"cacheRead":3"#;
        let first = claim(&format!(r#"{{{run},"updatedAt":1771029601500}}"#)).unwrap();
        let later =
            claim(&format!(r#"{{{run},"updatedAt":1771029999999,"label":"x","totalTokens":9}}"#));
        assert_eq!((first.time, first.key), (UnixMs(1_771_029_601_500), later.unwrap().key));
        let other = claim(r#"{"sessionId":"s","inputTokens":1,"outputTokens":2,"cacheRead":4}"#);
        assert_ne!(first.key, other.unwrap().key);
        let ended =
            claim(&format!(r#"{{{run},"updatedAt":1771029999999,"endedAt":1771029601500}}"#));
        assert_eq!(ended.unwrap().time, first.time);
    }

    #[test]
    fn a_job_whose_entry_is_put_back_still_ends_after_its_calls() {
        let run = r#""sessionId":"s","inputTokens":948,"outputTokens":137,"updatedAt":1795252999460,
            "startedAt":1795253001021,"endedAt":1795253001849"#;
        let done = claim(&format!(r#"{{{run},"status":"done"}}"#)).unwrap();
        assert_eq!(done.started, Some(UnixMs(1_795_253_001_021)));
        assert_eq!(done.time, UnixMs(1_795_253_001_849));
        let killed = claim(&format!(r#"{{{run},"status":"killed"}}"#)).unwrap();
        assert_eq!((killed.started, killed.time), (None, UnixMs(1_795_252_999_460)));
    }

    #[test]
    fn keys_say_what_kind_a_session_is() {
        for (key, kind) in [
            ("agent:main:main", "main"),
            ("agent:main:telegram:group:-100", "group"),
            ("agent:main:telegram:group:-100:topic:7", "group"),
            ("agent:main:cron:job1", "cron"),
            ("agent:main:cron:job1:run:r1", "cron"),
            ("cron:job1", "cron"),
            ("agent:main:subagent:0b6f3a52", "subagent"),
            ("agent:main:acp:1", "acp"),
            ("agent:main:explicit:model-run-1", "probe"),
            ("agent:main:dashboard:1", "dashboard"),
            ("hook:77", "webhook"),
            ("global", "other"),
            ("temp:slug-generator", "other"),
            ("", "other"),
        ] {
            assert_eq!(session_kind(key), kind, "{key}");
        }
    }
}
