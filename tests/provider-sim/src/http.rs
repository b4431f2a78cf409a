//! Requests and answers on the wire.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

/// Bytes of a request's head that are read.
const HEAD_BYTES_MAX: u64 = 64 << 10;

/// A request.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) target: String,
    headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    /// Whether only the first half of the body is sent.
    pub(crate) is_torn: bool,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    /// An error as OpenAI tells it.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        let error = serde_json::json!({"message": message, "type": "invalid_request_error",
            "param": null, "code": null});
        Self::new(status, serde_json::json!({ "error": error }).to_string())
    }
}

impl Request {
    /// Reads one; `None` where the other side has gone.
    pub(crate) fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream.take(HEAD_BYTES_MAX));
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let target = line.split(' ').nth(1)?.to_owned();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        });
        Some(Self {
            path: path.to_owned(),
            query: query.collect(),
            target: target.clone(),
            headers,
        })
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The last value of a parameter.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter, with brackets behind its name or without.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let is_it = |known: &str| known == name || known.strip_suffix("[]") == Some(name);
        self.query
            .iter()
            .filter(|(known, _)| is_it(known))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// Sends an answer; the connection ends with it.
pub(crate) fn send(stream: &mut TcpStream, answer: &Answer) {
    let kind = if answer.body.starts_with('<') { "text/html" } else { "application/json" };
    let length = answer.body.len();
    let mut head = format!(
        "HTTP/1.1 {} -\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n",
        answer.status
    );
    for (name, value) in &answer.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let body = answer.body.as_bytes();
    let sent = if answer.is_torn { body.split_at(body.len() / 2).0 } else { body };
    let message = [head.as_bytes(), b"\r\n", sent].concat();
    // Whoever no longer listens is not told.
    let _is_sent = stream.write_all(&message).is_ok();
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (byte, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
