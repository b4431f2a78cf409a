//! The records that are posted: calls as an agent has them, about a kilobyte each.

use std::net::SocketAddr;

use crate::filler::Filler;
use crate::rng::Rng;

/// Requests that differ, in turn: what repeats sooner than this compresses too well.
const REQUESTS: usize = 32;
/// Sessions, projects and models that calls are of.
const SESSIONS: u64 = 24;

/// What a request is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Calls in a request, one a line.
    pub(crate) records: usize,
    /// Bytes of prompt and completion together.
    pub(crate) text_bytes: u64,
}

/// One call, as it is posted.
pub(crate) struct Record {
    pub(crate) provider: &'static str,
    pub(crate) model: String,
    pub(crate) session: String,
    pub(crate) project: String,
    pub(crate) prompt_tokens: u64,
    pub(crate) cache_read_tokens: u64,
    pub(crate) completion_tokens: u64,
    pub(crate) latency_ms: u64,
    /// Escaped, as it stands in JSON.
    pub(crate) input_text: String,
    pub(crate) output_text: String,
}

/// Bodies, the same for the same shape.
pub(crate) fn bodies(shape: Shape) -> Vec<String> {
    let (filler, mut rng) = (Filler::new(42), Rng::new(42, 1));
    let mut body = || {
        let lines = (0..shape.records).map(|_| Record::any(&filler, &mut rng, shape.text_bytes));
        lines.map(|record| record.json()).collect::<Vec<_>>().join("\n")
    };
    (0..REQUESTS).map(|_| body()).collect()
}

/// Calls as they are posted, `count` of them.
pub(crate) fn records(text_bytes: u64, count: usize) -> Vec<Record> {
    let (filler, mut rng) = (Filler::new(42), Rng::new(42, 1));
    (0..count).map(|_| Record::any(&filler, &mut rng, text_bytes)).collect()
}

/// Whole requests with these bodies.
pub(crate) fn posts(address: SocketAddr, path: &str, bodies: &[String]) -> Vec<Vec<u8>> {
    let post = |body: &String| {
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    };
    bodies.iter().map(|body| post(body).into_bytes()).collect()
}

impl Record {
    fn any(filler: &Filler, rng: &mut Rng, text_bytes: u64) -> Self {
        let mut text = |bytes| {
            let mut text = Vec::new();
            filler.text(&mut text, rng, bytes);
            String::from_utf8_lossy(&text).into_owned()
        };
        let (input_text, output_text) = (text(text_bytes / 2), text(text_bytes / 2));
        let session = rng.below(SESSIONS);
        Self {
            provider: "anthropic",
            model: format!("claude-sonnet-{}", session % 3),
            session: format!("session-{session}"),
            project: format!("/home/dev/project-{}", session % 6),
            prompt_tokens: rng.between(6_000, 9_000),
            cache_read_tokens: rng.below(6_000),
            completion_tokens: rng.below(900),
            latency_ms: rng.between(300, 4_000),
            input_text,
            output_text,
        }
    }

    fn json(&self) -> String {
        let Self { provider, model, session, project, input_text, output_text, .. } = self;
        let Self { prompt_tokens, cache_read_tokens, completion_tokens, latency_ms, .. } = self;
        format!(
            r#"{{"provider":"{provider}","model":"{model}","session_id":"{session}","project":"{project}","agent":"openclaw","prompt_tokens":{prompt_tokens},"cache_read_tokens":{cache_read_tokens},"completion_tokens":{completion_tokens},"latency_ms":{latency_ms},"status":"ok","cost_usd":0.0312,"input_text":"{input_text}","output_text":"{output_text}"}}"#
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_of_about_the_size_that_is_asked_for() {
        let bodies = bodies(Shape { records: 3, text_bytes: 900 });
        assert_eq!(bodies.len(), REQUESTS);
        for line in bodies.iter().flat_map(|body| body.lines()) {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(record["prompt_tokens"].as_u64() > record["cache_read_tokens"].as_u64());
            assert!((800..1_400).contains(&line.len()), "{}", line.len());
        }
        assert_ne!(bodies[0], bodies[1]);
    }
}
