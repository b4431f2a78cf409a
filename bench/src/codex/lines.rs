//! The lines of a Codex rollout.
//!
//! ```json
//! {"timestamp":"2026-10-01T12:00:00.123Z","type":"event_msg","payload":{"type":"token_count","info":{
//!  "total_token_usage":{"input_tokens":900,"cached_input_tokens":700,"output_tokens":50,
//!  "reasoning_output_tokens":10,"total_tokens":950},"last_token_usage":{…},"model_context_window":272000},
//!  "rate_limits":{…}}}
//! ```

use std::io::Write as _;

use anyhow::Result;

use crate::desk::Desk;
use crate::instant::Iso;
use crate::truth::Usage;

/// Where the 24 bytes of a line's own timestamp lie: after `{"timestamp":"`.
const STAMP: std::ops::Range<usize> = 14..38;

/// A thread while its rollout is written.
#[derive(Debug, Clone)]
pub(super) struct Rollout {
    pub(super) id: String,
    pub(super) cwd: String,
    /// `None`: the file never names a model.
    pub(super) model: Option<&'static str>,
    pub(super) started_ms: i64,
    pub(super) now_ms: i64,
    pub(super) out: Vec<u8>,
    /// Running sums, in disjoint fields.
    pub(super) totals: Usage,
}

/// How a thread came to be.
#[derive(Debug)]
pub(super) enum Origin<'a> {
    Fresh,
    Fork { parent: &'a str },
    Subagent { parent: &'a str },
}

impl Rollout {
    fn open(&self, out: &mut Vec<u8>, kind: &str) -> Result<()> {
        write!(out, r#"{{"timestamp":"{}","type":"{kind}","payload":{{"#, Iso(self.now_ms))?;
        Ok(())
    }

    fn line(&mut self, kind: &str, payload: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
        let mut line = Vec::with_capacity(2048);
        self.open(&mut line, kind)?;
        payload(&mut line)?;
        line.extend_from_slice(b"}}\n");
        self.out.append(&mut line);
        Ok(())
    }

    /// The first line of any rollout, and again of the parent in forks and sub-agents.
    pub(super) fn meta(&mut self, origin: &Origin<'_>) -> Result<()> {
        let (id, cwd, at) = (self.id.clone(), self.cwd.clone(), Iso(self.started_ms));
        self.line("session_meta", |out| {
            match origin {
                Origin::Fresh => write!(out, r#""id":"{id}","#)?,
                Origin::Fork { parent } => {
                    write!(out, r#""id":"{id}","forked_from_id":"{parent}","#)?;
                }
                Origin::Subagent { parent } => write!(
                    out,
                    r#""id":"{id}","session_id":"{parent}","parent_thread_id":"{parent}","thread_source":"subagent","#
                )?,
            }
            let source = match origin {
                Origin::Subagent { parent } => format!(
                    r#"{{"subagent":{{"thread_spawn":{{"parent_thread_id":"{parent}","depth":1,"agent_nickname":"Ada"}}}}}}"#
                ),
                Origin::Fresh | Origin::Fork { .. } => r#""cli""#.to_owned(),
            };
            write!(
                out,
                r#""timestamp":"{at}","cwd":"{cwd}","originator":"codex_cli_rs","cli_version":"0.145.0","source":{source},"model_provider":"openai","git":{{"branch":"main"}}"#
            )?;
            Ok(())
        })
    }

    pub(super) fn turn_context(&mut self) -> Result<()> {
        let (cwd, model) = (self.cwd.clone(), self.model);
        self.line("turn_context", |out| {
            write!(out, r#""cwd":"{cwd}","approval_policy":"never","#)?;
            if let Some(model) = model {
                write!(out, r#""model":"{model}","#)?;
            }
            out.extend_from_slice(br#""effort":"high","summary":"auto""#);
            Ok(())
        })
    }

    /// A prompt, as the item sent to the model and as the event shown to the user.
    pub(super) fn prompt(&mut self, text: &[u8]) -> Result<()> {
        self.line("response_item", |out| {
            out.extend_from_slice(
                br#""type":"message","role":"user","content":[{"type":"input_text","text":""#,
            );
            out.extend_from_slice(text);
            out.extend_from_slice(b"\"}]");
            Ok(())
        })?;
        self.line("event_msg", |out| {
            out.extend_from_slice(br#""type":"user_message","message":""#);
            out.extend_from_slice(text);
            out.extend_from_slice(br#"","kind":"plain""#);
            Ok(())
        })
    }

    /// Reasoning, a tool call and its result: the bulk of a rollout.
    pub(super) fn work(&mut self, desk: &mut Desk<'_>) -> Result<()> {
        if desk.rng.chance(600) {
            let bytes = desk.rng.between(400, 2_400);
            self.line("response_item", |out| {
                out.extend_from_slice(br#""type":"reasoning","summary":[],"encrypted_content":""#);
                desk.filler.base64(out, bytes);
                out.push(b'"');
                Ok(())
            })?;
        }
        let (id, bytes) = (desk.rng.base62(24), desk.rng.long_tail(700));
        self.line("response_item", |out| {
            out.extend_from_slice(
                br#""type":"function_call","name":"shell","arguments":"{\"command\":"#,
            );
            desk.text(out, bytes);
            write!(out, r#"}}","call_id":"call_{id}""#)?;
            Ok(())
        })?;
        let bytes = desk.rng.long_tail(8_500);
        self.line("response_item", |out| {
            write!(out, r#""type":"function_call_output","call_id":"call_{id}","output":""#)?;
            desk.text(out, bytes);
            out.push(b'"');
            Ok(())
        })
    }

    /// One `token_count`; `last` is absent in files that give totals only.
    pub(super) fn token_count(&mut self, last: Option<&Usage>) -> Result<()> {
        let totals = self.totals;
        self.line("event_msg", |out| {
            out.extend_from_slice(br#""type":"token_count","info":{"total_token_usage":"#);
            usage(out, &totals)?;
            if let Some(last) = last {
                out.extend_from_slice(br#","last_token_usage":"#);
                usage(out, last)?;
            }
            out.extend_from_slice(br#","model_context_window":272000},"#);
            rate_limits(out);
            Ok(())
        })
    }

    /// A `token_count` without usage.
    pub(super) fn rate_limits(&mut self) -> Result<()> {
        self.line("event_msg", |out| {
            out.extend_from_slice(br#""type":"token_count","info":null,"#);
            rate_limits(out);
            Ok(())
        })
    }

    /// Newer versions repeat the usage of a response in a record of its own.
    pub(super) fn usage_record(&mut self, desk: &mut Desk<'_>, last: &Usage) -> Result<()> {
        let (id, totals) = (desk.rng.hex(48), self.totals);
        self.line("token_usage_record", |out| {
            write!(out, r#""response_id":"resp_{id}","usage":"#)?;
            usage(out, last)?;
            out.extend_from_slice(br#","thread_usage":"#);
            usage(out, &totals)
        })
    }

    /// Everything that `parent` wrote, with its own timestamps.
    pub(super) fn replay_verbatim(&mut self, parent: &Self) {
        self.out.extend_from_slice(&parent.out);
        self.totals = parent.totals;
    }

    /// Everything that `parent` wrote, stamped anew over some seconds without a gap of one second.
    pub(super) fn replay_restamped(&mut self, desk: &mut Desk<'_>, parent: &Self) {
        let lines = memchr::memchr_iter(b'\n', &parent.out).count() as i64;
        let gap_ms = (7_000 / lines.max(1)).clamp(2, 700);
        for line in parent.out.split_inclusive(|&byte| byte == b'\n') {
            self.now_ms += desk.rng.millis(gap_ms / 2, gap_ms * 4 / 3);
            let at = self.out.len();
            self.out.extend_from_slice(line);
            if let Some(stamp) = self.out.get_mut(at + STAMP.start..at + STAMP.end) {
                stamp.copy_from_slice(Iso(self.now_ms).to_string().as_bytes());
            }
        }
        self.totals = parent.totals;
    }
}

/// Disjoint fields in OpenAI's convention: cached inside input, reasoning inside output.
fn usage(out: &mut Vec<u8>, u: &Usage) -> Result<()> {
    write!(
        out,
        r#"{{"input_tokens":{},"cached_input_tokens":{},"output_tokens":{},"reasoning_output_tokens":{},"total_tokens":{}}}"#,
        u.input + u.cache_read,
        u.cache_read,
        u.output,
        u.reasoning,
        u.sum()
    )?;
    Ok(())
}

fn rate_limits(out: &mut Vec<u8>) {
    out.extend_from_slice(br#""rate_limits":{"primary":{"used_percent":12.0,"window_minutes":300,"resets_at":1793000000},"secondary":{"used_percent":31.0,"window_minutes":10080,"resets_at":1793400000},"credits":null,"plan_type":"pro"}"#);
}
