//! The lines of an OpenClaw transcript, the same in its files and in its SQLite store.
//!
//! ```json
//! {"type":"message","id":"e13d7013","parentId":"…","timestamp":"2026-10-01T12:00:02.117Z","message":{
//!  "role":"assistant","content":[…],"api":"anthropic-messages","provider":"anthropic","model":"claude-sonnet-4-6",
//!  "usage":{"input":630,"output":60,"cacheRead":400,"cacheWrite":0,"reasoningTokens":7,"totalTokens":1090,"cost":{…}},
//!  "stopReason":"stop","timestamp":1795212509482}}
//! ```

use std::io::Write as _;

use anyhow::Result;

use crate::desk::Desk;
use crate::instant::Iso;
use crate::truth::Usage;

/// A provider with its API and one of its models.
pub(super) type Engine = (&'static str, &'static str, &'static str);

/// A session while its transcript is written.
#[derive(Debug, Clone)]
pub(super) struct Transcript {
    pub(super) id: String,
    pub(super) agent: &'static str,
    pub(super) cwd: String,
    pub(super) engine: Engine,
    /// v4 has UUIDs as entry ids, v3 has 8 hexadecimal digits.
    pub(super) version: u8,
    pub(super) started_ms: i64,
    pub(super) now_ms: i64,
    pub(super) out: Vec<u8>,
    pub(super) last_entry: String,
    /// All counted tokens of its lines, copied ones included.
    pub(super) tokens: u64,
    /// The last call: what an index claims of the whole session.
    pub(super) last: Option<Usage>,
    /// Its live file will lose its first lines, so that each message must name its model.
    pub(super) cut: bool,
}

/// How a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Answered,
    /// Without `provider` and `model`: the last `model_change` names them.
    Unnamed,
    Failed,
    Mirror,
    Injected,
}

impl Transcript {
    /// The first line: who this is, and for forks whose history follows.
    pub(super) fn header(&mut self, parent: Option<&str>) -> Result<()> {
        let (version, id, cwd) = (self.version, &self.id, &self.cwd);
        write!(
            self.out,
            r#"{{"type":"session","version":{version},"id":"{id}","timestamp":"{}","cwd":"{cwd}""#,
            Iso(self.started_ms)
        )?;
        if let Some(parent) = parent {
            write!(self.out, r#","parentSession":"{parent}""#)?;
        }
        self.out.extend_from_slice(b"}\n");
        Ok(())
    }

    fn entry(
        &mut self,
        desk: &mut Desk<'_>,
        kind: &str,
        at_ms: i64,
        rest: impl FnOnce(&mut Desk<'_>, &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let id = if self.version >= 4 { desk.rng.uuid() } else { desk.rng.hex(8) };
        let mut line = Vec::with_capacity(1024);
        write!(line, r#"{{"type":"{kind}","id":"{id}","parentId":"#)?;
        if self.last_entry.is_empty() {
            line.extend_from_slice(b"null");
        } else {
            write!(line, r#""{}""#, self.last_entry)?;
        }
        write!(line, r#","timestamp":"{}","#, Iso(at_ms))?;
        rest(desk, &mut line)?;
        line.extend_from_slice(b"}\n");
        self.out.append(&mut line);
        self.last_entry = id;
        Ok(())
    }

    /// Which model answers from here on, said in all the ways in which OpenClaw says it.
    pub(super) fn opening(&mut self, desk: &mut Desk<'_>) -> Result<()> {
        let ((_, provider, model), at) = (self.engine, self.now_ms);
        self.entry(desk, "model_change", at, |_, out| {
            write!(out, r#""provider":"{provider}","modelId":"{model}""#)?;
            Ok(())
        })?;
        self.entry(desk, "thinking_level_change", at, |_, out| {
            out.extend_from_slice(br#""thinkingLevel":"medium""#);
            Ok(())
        })?;
        self.entry(desk, "custom", at, |_, out| {
            write!(
                out,
                r#""customType":"model-snapshot","data":{{"timestamp":{at},"provider":"{provider}","modelId":"{model}"}}"#
            )?;
            Ok(())
        })
    }

    pub(super) fn prompt(&mut self, desk: &mut Desk<'_>, bytes: u64) -> Result<()> {
        let at = self.now_ms;
        self.entry(desk, "message", at, |desk, out| {
            out.extend_from_slice(
                br#""message":{"role":"user","content":[{"type":"text","text":""#,
            );
            desk.text(out, bytes);
            write!(out, r#""}}],"timestamp":{at}}}"#)?;
            Ok(())
        })
    }

    pub(super) fn tool_result(&mut self, desk: &mut Desk<'_>, bytes: u64) -> Result<()> {
        let at = self.now_ms;
        self.entry(desk, "message", at, |desk, out| {
            out.extend_from_slice(br#""message":{"role":"toolResult","toolCallId":"call_1","toolName":"exec","content":[{"type":"text","text":""#);
            desk.text(out, bytes);
            write!(out, r#""}}],"isError":false,"timestamp":{at}}}"#)?;
            Ok(())
        })
    }

    /// A summary of the history, which is spent but leaves no usage.
    pub(super) fn compaction(&mut self, desk: &mut Desk<'_>) -> Result<()> {
        let at = self.now_ms;
        self.entry(desk, "compaction", at, |desk, out| {
            out.extend_from_slice(br#""summary":""#);
            desk.text(out, 900);
            out.extend_from_slice(
                br#"","firstKeptEntryId":"00000000","tokensBefore":120000,"tokensAfter":2580"#,
            );
            Ok(())
        })
    }

    /// An assistant's message: called at `at_ms`, appended at `now_ms`.
    pub(super) fn reply(
        &mut self,
        desk: &mut Desk<'_>,
        reply: Reply,
        at_ms: i64,
        used: &Usage,
    ) -> Result<()> {
        let (engine, appended) = (self.engine, self.now_ms);
        self.entry(desk, "message", appended, |desk, out| {
            out.extend_from_slice(br#""message":{"role":"assistant","content":["#);
            if reply != Reply::Failed {
                let bytes = desk.rng.long_tail(700);
                out.extend_from_slice(br#"{"type":"text","text":""#);
                desk.text(out, bytes);
                out.extend_from_slice(b"\"}");
            }
            let (api, provider, model) = match reply {
                Reply::Mirror => ("openai-responses", "openclaw", "delivery-mirror"),
                Reply::Injected => ("openai-responses", "openclaw", "gateway-injected"),
                Reply::Answered | Reply::Unnamed | Reply::Failed => engine,
            };
            out.push(b']');
            if reply != Reply::Unnamed {
                write!(out, r#","api":"{api}","provider":"{provider}","model":"{model}""#)?;
            }
            usage(out, used)?;
            let stop = if reply == Reply::Failed {
                r#""error","errorMessage":"500 boom""#
            } else {
                r#""stop""#
            };
            write!(out, r#","stopReason":{stop},"timestamp":{at_ms}}}"#)?;
            Ok(())
        })
    }
}

/// Four disjoint counts with their sum; `reasoningTokens` lies inside `output`.
fn usage(out: &mut Vec<u8>, u: &Usage) -> Result<()> {
    write!(
        out,
        r#","usage":{{"input":{},"output":{},"cacheRead":{},"cacheWrite":{},"#,
        u.input, u.output, u.cache_read, u.cache_write
    )?;
    if u.reasoning > 0 {
        write!(out, r#""reasoningTokens":{},"#, u.reasoning)?;
    }
    let micro = |tokens: u64, rate: u64| format!("0.{:09}", (tokens * rate).min(999_999_999));
    let total = u.input * 3_000 + u.output * 15_000 + u.cache_read * 300 + u.cache_write * 3_750;
    write!(
        out,
        r#""totalTokens":{},"cost":{{"input":{},"output":{},"cacheRead":{},"cacheWrite":{},"total":{}}}}}"#,
        u.sum(),
        micro(u.input, 3_000),
        micro(u.output, 15_000),
        micro(u.cache_read, 300),
        micro(u.cache_write, 3_750),
        micro(total, 1)
    )?;
    Ok(())
}

/// The `totalTokens` of lines that we wrote ourselves.
pub(super) fn counted(lines: &[u8]) -> u64 {
    let text = std::str::from_utf8(lines).unwrap_or_default();
    let digits = |tail: &str| tail.split(',').next().and_then(|n| n.parse::<u64>().ok());
    text.split(r#""totalTokens":"#).skip(1).filter_map(digits).sum()
}
