//! Sessions as agents write them, with chosen numbers.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

/// A moment.
pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The moment now: of the few things that only make sense while they last.
pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the program under test has a clock, too")]
    Timestamp::now()
}

/// One answer in Claude Code's words.
#[derive(Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) id: &'a str,
    pub(crate) session: &'a str,
    pub(crate) project: &'a str,
    pub(crate) model: &'a str,
    pub(crate) time: Timestamp,
    pub(crate) input: u64,
    pub(crate) cached: u64,
    pub(crate) output: u64,
}

impl Answer<'_> {
    /// An answer of 100 tokens to 1,000, 9,000 of which more were cached.
    pub(crate) fn new<'a>(id: &'a str, session: &'a str, time: Timestamp) -> Answer<'a> {
        Answer {
            id,
            session,
            project: "/home/u/app",
            model: "claude-opus-4-5",
            time,
            input: 1_000,
            cached: 9_000,
            output: 100,
        }
    }

    /// As a line of a transcript.
    pub(crate) fn line(&self) -> String {
        let Answer { id, session, project, model, time, input, cached, output } = self;
        format!(
            r#"{{"parentUuid":null,"isSidechain":false,"cwd":"{project}","sessionId":"{session}","version":"2.1.3","message":{{"model":"{model}","id":"msg_{id}","type":"message","role":"assistant","content":[],"usage":{{"input_tokens":{input},"cache_creation_input_tokens":0,"cache_read_input_tokens":{cached},"output_tokens":{output}}}}},"requestId":"req_{id}","type":"assistant","uuid":"{id}-{output}","timestamp":"{time:.3}"}}"#
        ) + "\n"
    }
}

/// Where Claude Code keeps a session.
pub(crate) fn transcript(session: &str) -> String {
    format!(".claude/projects/-home-u-app/{session}.jsonl")
}

/// A session of Claude Code: answers, and the minutes between them.
pub(crate) fn claude(session: &str, start: Timestamp, answers: u32, minutes: i64) -> String {
    let models = ["claude-opus-4-5", "claude-sonnet-4-5", "claude-of-nobody"];
    let projects = ["/home/u/app", "/home/u/api"];
    let mut text = String::new();
    for (at, model) in (0..answers).zip(models.iter().cycle()) {
        let time = start + SignedDuration::from_mins(minutes * i64::from(at));
        let id = format!("{session}_{at}");
        let project = projects[session.len() % projects.len()];
        let output = 100 + u64::from(at);
        text += &Answer { project, model, output, ..Answer::new(&id, session, time) }.line();
    }
    text
}

/// Where Codex keeps a session that began on 2025-10-20.
pub(crate) fn rollout(session: &str) -> String {
    format!(".codex/sessions/2025/10/20/rollout-2025-10-20T12-00-00-{session}.jsonl")
}

/// A session of Codex: answers, and the minutes between them. `limits` is JSON of rate limits.
pub(crate) fn codex(session: &str, start: Timestamp, answers: u32, limits: &str) -> String {
    let mut text = format!(
        r#"{{"timestamp":"{start:.3}","type":"session_meta","payload":{{"id":"{session}","timestamp":"{start:.3}","cwd":"/home/u/api","cli_version":"0.145.0","source":"cli","model_provider":"openai"}}}}
{{"timestamp":"{start:.3}","type":"turn_context","payload":{{"cwd":"/home/u/api","model":"gpt-5"}}}}
"#
    );
    for at in 1..=answers {
        let usage = |times: u32| {
            let (input, cached, output) = (9_000 * times, 7_000 * times, 300 * times);
            format!(
                r#"{{"input_tokens":{input},"cached_input_tokens":{cached},"output_tokens":{output},"reasoning_output_tokens":{},"total_tokens":{}}}"#,
                100 * times,
                input + output
            )
        };
        let time = start + SignedDuration::from_mins(i64::from(at));
        let (all, last) = (usage(at), usage(1));
        writeln!(
            text,
            r#"{{"timestamp":"{time:.3}","type":"event_msg","payload":{{"type":"token_count","info":{{"total_token_usage":{all},"last_token_usage":{last},"model_context_window":258400}},"rate_limits":{limits}}}}}"#
        )
        .unwrap();
    }
    text
}
