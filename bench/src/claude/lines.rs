//! The lines of a Claude Code transcript, keys in the order in which Claude Code writes them.
//!
//! ```json
//! {"parentUuid":"…","isSidechain":false,"userType":"external","cwd":"/home/dev/work/ledger","sessionId":"…",
//!  "version":"2.1.30","gitBranch":"main","message":{"model":"claude-opus-4-8","id":"msg_01…","type":"message",
//!  "role":"assistant","content":[…],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,…}},
//!  "requestId":"req_011C…","type":"assistant","uuid":"…","timestamp":"2026-10-01T12:00:00.123Z"}
//! ```

use std::io::Write as _;

use anyhow::Result;

use crate::desk::Desk;
use crate::instant::Iso;
use crate::truth::Usage;

/// What is odd about the lines of one response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Plain,
    Fast,
    /// `"cache_read_input_tokens":null`.
    NullCacheRead,
    /// `"cache_creation_input_tokens":null`.
    NullCacheWrite,
    /// `"requestId":null`.
    NullRequest,
    /// `"costUSD":null`.
    NullCost,
    /// `"speed":null`.
    NullSpeed,
    /// No `requestId` at all, as through Bedrock or Vertex.
    NoRequest,
    /// `"usage": {`, as third parties write it.
    Spaced,
    /// An advisor's call inside `usage.iterations`.
    Advisor,
    /// The same message id under two request ids.
    TwoRequests,
    /// Cache writes without the `cache_creation` object of newer versions.
    OldCacheWrite,
    /// `model:"<synthetic>"`, which no model answered.
    Synthetic,
}

/// What all lines of one file share.
#[derive(Debug, Clone)]
pub(super) struct Thread {
    pub(super) session: String,
    pub(super) cwd: String,
    pub(super) branch: &'static str,
    /// The sub-agent whose side chain this is.
    pub(super) agent: Option<String>,
    pub(super) now_ms: i64,
    pub(super) out: Vec<u8>,
    pub(super) last_uuid: Option<String>,
}

/// One model response, which becomes one line per content block.
#[derive(Debug, Clone)]
pub(super) struct Response {
    pub(super) id: String,
    pub(super) request: String,
    pub(super) model: &'static str,
    pub(super) usage: Usage,
    pub(super) shape: Shape,
    /// Model and tokens of an advisor that was asked meanwhile.
    pub(super) advisor: Option<(&'static str, Usage)>,
}

const VERSION: &str = "2.1.30";

impl Thread {
    fn open(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(b"{\"parentUuid\":");
        match &self.last_uuid {
            Some(uuid) => write!(out, "\"{uuid}\"")?,
            None => out.extend_from_slice(b"null"),
        }
        let (cwd, session, branch) = (&self.cwd, &self.session, self.branch);
        let sidechain = self.agent.is_some();
        write!(
            out,
            r#","isSidechain":{sidechain},"userType":"external","cwd":"{cwd}","sessionId":"{session}","version":"{VERSION}","gitBranch":"{branch}","#
        )?;
        if let Some(agent) = &self.agent {
            write!(out, r#""agentId":"{agent}","#)?;
        }
        Ok(())
    }

    fn close(&mut self, desk: &mut Desk<'_>, out: &mut Vec<u8>) -> Result<()> {
        let uuid = desk.rng.uuid();
        write!(out, r#""uuid":"{uuid}","timestamp":"{}"}}"#, Iso(self.now_ms))?;
        self.last_uuid = Some(uuid);
        Ok(())
    }

    fn finish(&mut self, mut line: Vec<u8>) {
        line.push(b'\n');
        self.out.append(&mut line);
    }

    /// One content block of a response; `output` is what had been counted when it was written.
    pub(super) fn assistant(
        &mut self,
        desk: &mut Desk<'_>,
        response: &Response,
        output: u64,
        last: bool,
    ) -> Result<()> {
        let mut line = Vec::with_capacity(4096);
        self.open(&mut line)?;
        line.extend_from_slice(b"\"message\":");
        message(&mut line, desk, response, output, last)?;
        match response.shape {
            Shape::NullRequest => line.extend_from_slice(b",\"requestId\":null"),
            Shape::NoRequest | Shape::Synthetic => {}
            Shape::NullCost => {
                write!(line, r#","requestId":"{}","costUSD":null"#, response.request)?;
            }
            Shape::Plain
            | Shape::Fast
            | Shape::NullCacheRead
            | Shape::NullCacheWrite
            | Shape::NullSpeed
            | Shape::Spaced
            | Shape::Advisor
            | Shape::TwoRequests
            | Shape::OldCacheWrite => write!(line, r#","requestId":"{}""#, response.request)?,
        }
        line.extend_from_slice(b",\"type\":\"assistant\",");
        if response.shape == Shape::Synthetic {
            line.extend_from_slice(b"\"isApiErrorMessage\":true,");
        }
        self.close(desk, &mut line)?;
        self.finish(if response.shape == Shape::Spaced { spaced(&line) } else { line });
        Ok(())
    }

    /// A prompt of the user.
    pub(super) fn prompt(&mut self, desk: &mut Desk<'_>, bytes: u64) -> Result<()> {
        let mut line = Vec::with_capacity(1024);
        self.open(&mut line)?;
        line.extend_from_slice(br#""type":"user","message":{"role":"user","content":""#);
        desk.text(&mut line, bytes);
        line.extend_from_slice(b"\"},");
        self.close(desk, &mut line)?;
        self.finish(line);
        Ok(())
    }

    /// A tool's answer: where most bytes of a transcript lie.
    pub(super) fn tool_result(&mut self, desk: &mut Desk<'_>, bytes: u64) -> Result<()> {
        let mut line = Vec::with_capacity(bytes as usize + 1024);
        self.open(&mut line)?;
        let id = desk.rng.base62(24);
        write!(
            line,
            r#""type":"user","message":{{"role":"user","content":[{{"tool_use_id":"toolu_{id}","type":"tool_result","content":""#
        )?;
        desk.text(&mut line, bytes / 2);
        line.extend_from_slice(br#"","is_error":false}]},"#);
        line.extend_from_slice(br#""toolUseResult":{"stdout":""#);
        desk.text(&mut line, bytes / 2);
        line.extend_from_slice(br#"","stderr":"","interrupted":false,"isImage":false},"#);
        self.close(desk, &mut line)?;
        self.finish(line);
        Ok(())
    }

    /// A screenshot: one line of base64.
    pub(super) fn image(&mut self, desk: &mut Desk<'_>, bytes: u64) -> Result<()> {
        let mut line = Vec::with_capacity(bytes as usize + 1024);
        self.open(&mut line)?;
        line.extend_from_slice(br#""type":"user","message":{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":""#);
        desk.filler.base64(&mut line, bytes);
        line.extend_from_slice(b"\"}}]},");
        self.close(desk, &mut line)?;
        self.finish(line);
        Ok(())
    }

    /// What a sub-agent's task reports of itself at its end: a sum that was counted already.
    pub(super) fn task_result(
        &mut self,
        desk: &mut Desk<'_>,
        agent: &str,
        last: &Response,
    ) -> Result<()> {
        let mut line = Vec::with_capacity(4096);
        self.open(&mut line)?;
        line.extend_from_slice(br#""type":"user","message":{"role":"user","content":[{"tool_use_id":"toolu_01","type":"tool_result","content":[{"type":"text","text":""#);
        desk.text(&mut line, 1200);
        write!(
            line,
            r#""}}]}}]}},"toolUseResult":{{"status":"completed","agentId":"{agent}","totalDurationMs":41234,"totalTokens":{},"totalToolUseCount":3,"usage":"#,
            last.usage.sum()
        )?;
        usage(&mut line, last, last.usage.output, true)?;
        line.extend_from_slice(b"},");
        self.close(desk, &mut line)?;
        self.finish(line);
        Ok(())
    }

    /// A sub-agent's message, repeated in the main transcript while it runs.
    pub(super) fn progress(
        &mut self,
        desk: &mut Desk<'_>,
        agent: &str,
        response: &Response,
    ) -> Result<()> {
        let mut line = Vec::with_capacity(4096);
        self.open(&mut line)?;
        let at = Iso(self.now_ms);
        write!(
            line,
            r#""type":"progress","data":{{"message":{{"type":"assistant","timestamp":"{at}","message":"#
        )?;
        message(&mut line, desk, response, response.usage.output, true)?;
        write!(
            line,
            r#","requestId":"{}","uuid":"{}"}},"type":"agent_progress","prompt":"","agentId":"{agent}"}},"toolUseID":"agent_msg_01","parentToolUseID":"toolu_01","#,
            response.request,
            desk.rng.uuid()
        )?;
        self.close(desk, &mut line)?;
        self.finish(line);
        Ok(())
    }

    /// Book-keeping lines that carry no usage at all.
    pub(super) fn chatter(&mut self, desk: &mut Desk<'_>, bytes: u64) -> Result<()> {
        let mut line = Vec::with_capacity(bytes as usize + 512);
        if desk.rng.chance(300) {
            let id = desk.rng.uuid();
            write!(
                line,
                r#"{{"type":"file-history-snapshot","messageId":"{id}","snapshot":{{"messageId":"{id}","trackedFileBackups":{{"notes":""#
            )?;
            desk.text(&mut line, bytes);
            write!(line, r#""}},"timestamp":"{}"}},"isSnapshotUpdate":false}}"#, Iso(self.now_ms))?;
        } else {
            self.open(&mut line)?;
            line.extend_from_slice(
                br#""type":"progress","data":{"type":"bash_progress","output":""#,
            );
            desk.text(&mut line, bytes);
            line.extend_from_slice(
                br#"","elapsedTimeSeconds":4,"totalLines":12},"toolUseID":"bash-progress-1","#,
            );
            self.close(desk, &mut line)?;
        }
        self.finish(line);
        Ok(())
    }
}

/// The `message` object: head, one content block, `usage`.
fn message(
    out: &mut Vec<u8>,
    desk: &mut Desk<'_>,
    response: &Response,
    output: u64,
    last: bool,
) -> Result<()> {
    let (model, id) = (response.model, &response.id);
    let model = if response.shape == Shape::Synthetic { "<synthetic>" } else { model };
    write!(
        out,
        r#"{{"model":"{model}","id":"{id}","type":"message","role":"assistant","content":["#
    )?;
    block(out, desk, last)?;
    let stop = if last { r#""tool_use""# } else { "null" };
    write!(out, r#"],"stop_reason":{stop},"stop_sequence":null,"usage":"#)?;
    usage(out, response, output, last)?;
    out.push(b'}');
    Ok(())
}

fn block(out: &mut Vec<u8>, desk: &mut Desk<'_>, last: bool) -> Result<()> {
    let bytes = desk.rng.long_tail(900);
    if last {
        let id = desk.rng.base62(24);
        write!(
            out,
            r#"{{"type":"tool_use","id":"toolu_{id}","name":"Bash","input":{{"command":""#
        )?;
        desk.text(out, bytes);
        out.extend_from_slice(br#"","description":"Run the tests"}}"#);
    } else if desk.rng.chance(400) {
        out.extend_from_slice(br#"{"type":"thinking","thinking":""#);
        desk.text(out, bytes);
        out.extend_from_slice(br#"","signature":""#);
        desk.filler.base64(out, 480);
        out.extend_from_slice(b"\"}");
    } else {
        out.extend_from_slice(br#"{"type":"text","text":""#);
        desk.text(out, bytes);
        out.extend_from_slice(b"\"}");
    }
    Ok(())
}

fn usage(out: &mut Vec<u8>, response: &Response, output: u64, last: bool) -> Result<()> {
    let (u, shape) = (&response.usage, response.shape);
    let written = u.cache_write_5m + u.cache_write_1h;
    let null_or = |null: bool, n: u64| if null { "null".to_owned() } else { n.to_string() };
    write!(
        out,
        r#"{{"input_tokens":{},"cache_creation_input_tokens":{},"cache_read_input_tokens":{}"#,
        u.input,
        null_or(shape == Shape::NullCacheWrite, written),
        null_or(shape == Shape::NullCacheRead, u.cache_read),
    )?;
    if !matches!(shape, Shape::NullCacheWrite | Shape::OldCacheWrite) {
        ttl(out, u)?;
    }
    write!(out, r#","output_tokens":{output},"service_tier":"standard""#)?;
    match shape {
        Shape::Fast => out.extend_from_slice(br#","speed":"fast""#),
        Shape::NullSpeed => out.extend_from_slice(br#","speed":null"#),
        Shape::Plain
        | Shape::NullCacheRead
        | Shape::NullCacheWrite
        | Shape::NullRequest
        | Shape::NullCost
        | Shape::NoRequest
        | Shape::Spaced
        | Shape::Advisor
        | Shape::TwoRequests
        | Shape::OldCacheWrite
        | Shape::Synthetic => {}
    }
    if let Some((model, advice)) = response.advisor.as_ref().filter(|_| last) {
        iterations(out, u, model, advice)?;
    }
    out.extend_from_slice(br#","inference_geo":"not_available"}"#);
    Ok(())
}

/// The top-level usage repeats the `message` iteration and leaves out the advisor's.
fn iterations(out: &mut Vec<u8>, own: &Usage, model: &str, advice: &Usage) -> Result<()> {
    out.extend_from_slice(br#","iterations":["#);
    for (kind, u) in
        [("message\"".to_owned(), own), (format!(r#"advisor_message","model":"{model}""#), advice)]
    {
        if kind.starts_with("advisor") {
            out.push(b',');
        }
        write!(
            out,
            r#"{{"type":"{kind},"input_tokens":{},"output_tokens":{},"cache_read_input_tokens":{},"cache_creation_input_tokens":{}"#,
            u.input,
            u.output,
            u.cache_read,
            u.cache_write_5m + u.cache_write_1h
        )?;
        ttl(out, u)?;
        out.push(b'}');
    }
    out.push(b']');
    Ok(())
}

fn ttl(out: &mut Vec<u8>, u: &Usage) -> Result<()> {
    write!(
        out,
        r#","cache_creation":{{"ephemeral_5m_input_tokens":{},"ephemeral_1h_input_tokens":{}}}"#,
        u.cache_write_5m, u.cache_write_1h
    )?;
    Ok(())
}

/// The same JSON with a blank after every `:` and `,`, as Python's `json.dumps` prints it.
fn spaced(line: &[u8]) -> Vec<u8> {
    let (mut out, mut quoted, mut escaped) = (Vec::with_capacity(line.len() + 128), false, false);
    for &byte in line {
        out.push(byte);
        match byte {
            b'"' if !escaped => quoted = !quoted,
            b':' | b',' if !quoted => out.push(b' '),
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::spaced;

    #[test]
    fn blanks_go_outside_of_strings_only() {
        let line = br#"{"a":"x:\",y","usage":{"n":1,"m":2}}"#;
        let expected = br#"{"a": "x:\",y", "usage": {"n": 1, "m": 2}}"#;
        assert_eq!(spaced(line), expected);
    }
}
