//! `trueup mcp`: the account as tools of the Model Context Protocol, over standard input and output.
//!
//! Each tool is a [question](crate::question): what an agent is told is what its user is, to the byte
//! ([`mod@tools`] tells it in parts). The protocol ([`protocol`]) knows nothing of either.

mod protocol;
mod tools;

use std::io::{self, BufRead, Read as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::Global;
use super::questions::QUESTIONS;
use crate::question::Question;
use protocol::{Answered, Tools};

/// The longest message that is read. Questions are short.
const MESSAGE_BYTES_MAX: u64 = 1 << 20;

/// Let agents ask for usage, cost, sessions, completeness and parity, by the Model Context Protocol
#[derive(Debug, Args)]
pub(super) struct Mcp {}

impl Mcp {
    pub(super) fn run(global: &Global) -> Result<ExitCode> {
        serve(&Account { global }, &mut io::stdin().lock(), &mut io::stdout().lock())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The questions that agents may ask.
fn tools() -> impl Iterator<Item = &'static Question> {
    QUESTIONS.iter().filter(|question| question.is_tool)
}

/// The account, as tools. Settings are read at each call: a server may run for days.
struct Account<'a> {
    global: &'a Global,
}

impl Tools for Account<'_> {
    fn list(&self) -> Value {
        tools().map(tools::description).collect()
    }

    fn call(&self, name: &str, arguments: &Value) -> Option<Answered> {
        let question = tools().find(|question| question.name == name)?;
        let answer = || tools::answer(question, arguments, &self.global.settings(&[])?);
        Some(answer().map_err(|error: anyhow::Error| format!("{error:#}")))
    }
}

/// Answers one message a line, until there are no more.
fn serve(tools: &impl Tools, input: &mut impl BufRead, out: &mut impl io::Write) -> Result<()> {
    let mut line = Vec::new();
    while input.by_ref().take(MESSAGE_BYTES_MAX).read_until(b'\n', &mut line)? > 0 {
        let is_whole = line.ends_with(b"\n") || (line.len() as u64) < MESSAGE_BYTES_MAX;
        let answer = if is_whole {
            protocol::answer(&line, tools)
        } else {
            input.skip_until(b'\n')?;
            Some(protocol::too_long(MESSAGE_BYTES_MAX))
        };
        if let Some(answer) = answer {
            serde_json::to_writer(&mut *out, &answer).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
            out.flush()?;
        }
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// One tool that gives back what it is asked, and refuses `null`.
    struct Echo;

    impl Tools for Echo {
        fn list(&self) -> Value {
            json!([{"name": "echo", "inputSchema": {"type": "object"}}])
        }

        fn call(&self, name: &str, arguments: &Value) -> Option<Answered> {
            let answer = arguments.get("text").cloned().ok_or_else(|| "no text".to_owned());
            (name == "echo").then_some(answer)
        }
    }

    fn served(input: &[u8]) -> Vec<Value> {
        let mut out = Vec::new();
        serve(&Echo, &mut &*input, &mut out).unwrap();
        out.split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    #[test]
    fn a_message_that_is_too_long_is_passed_over() {
        let ping = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let mut input = vec![b'x'; 3 << 20];
        input.push(b'\n');
        input.extend(ping);
        let answers = served(&input);
        assert_eq!(answers.len(), 2, "{answers:?}");
        assert_eq!(answers[0]["error"]["code"], -32700);
        assert_eq!(answers[1], json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    }

    proptest! {
        #[test]
        fn no_input_ends_the_server_or_goes_without_a_proper_answer(
            lines in prop::collection::vec(line(), 0..8),
        ) {
            let mut input = lines.join(&b"\n"[..]);
            input.extend(b"\n{\"jsonrpc\":\"2.0\",\"id\":\"last\",\"method\":\"ping\"}");
            let answers = served(&input);
            let each = |answer: &Value| answer.as_array().cloned().unwrap_or(vec![answer.clone()]);
            let all = answers.iter().flat_map(each);
            for answer in all {
                prop_assert_eq!(&answer["jsonrpc"], "2.0");
                prop_assert!(answer.get("id").is_some());
                prop_assert!(answer.get("result").is_some() != answer.get("error").is_some());
            }
            prop_assert_eq!(&answers.last().unwrap()["id"], "last");
        }
    }

    /// A line of anything, and of what is nearly a message.
    fn line() -> impl Strategy<Value = Vec<u8>> {
        let id = prop_oneof![
            Just(json!(null)),
            Just(json!([1])),
            Just(json!({})),
            any::<i64>().prop_map(|id| json!(id)),
            ".{0,8}".prop_map(|id| json!(id)),
        ];
        let method = prop::sample::select(vec![
            "initialize",
            "server/discover",
            "ping",
            "tools/list",
            "tools/call",
            "notifications/initialized",
            "resources/list",
        ]);
        let params = prop_oneof![
            Just(json!(null)),
            Just(json!([])),
            Just(json!({"protocolVersion": 7})),
            Just(json!({"_meta": {"io.modelcontextprotocol/protocolVersion": 7}})),
            Just(json!({"_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            }})),
            Just(json!({"name": "echo", "arguments": {"text": "x"}})),
            Just(json!({"name": "echo", "arguments": 5})),
            Just(json!({"name": "other"})),
        ];
        let message = (id, method, params).prop_map(|(id, method, params)| {
            json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        });
        let batch = prop::collection::vec(message.clone(), 0..3).prop_map(Value::Array);
        let cut = |(value, length): (Value, prop::sample::Index)| {
            let mut text = value.to_string().into_bytes();
            text.truncate(length.index(text.len()) + 1);
            text
        };
        let bytes = |value: Value| value.to_string().into_bytes();
        prop_oneof![
            prop::collection::vec(any::<u8>().prop_filter("a line", |byte| *byte != b'\n'), 0..64),
            message.clone().prop_map(bytes),
            batch.prop_map(bytes),
            (message, any::<prop::sample::Index>()).prop_map(cut),
        ]
    }
}
