//! A receiver of ours that behaves as PostHog's does, as far as contract and wire facts go: it answers as
//! it is told to, and keeps rows by the server's own rule for times and duplicates.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value as Json, json};
use trueup_core::UnixMs;

use super::http::{Asked, Server};

/// One answer.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    /// This status, with these headers and this body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// 200 of v1, with a result for each event in order, and these headers.
    Results(Vec<&'static str>, Vec<(&'static str, String)>),
    /// Nothing, for ever.
    Silence,
}

impl Say {
    pub(crate) fn status(status: u16) -> Self {
        Self::Status(status, Vec::new(), String::new())
    }
}

pub(crate) struct Receiver {
    pub(crate) server: Server,
    asked: Arc<Mutex<Vec<(Instant, Asked)>>>,
}

impl Receiver {
    /// Answers like this, one after the other, and 200 after that.
    pub(crate) fn start(script: Vec<Say>) -> Self {
        let script = Mutex::new(VecDeque::from(script));
        Self::with(move |_| script.lock().unwrap().pop_front().unwrap_or_else(|| Say::status(200)))
    }

    /// Answers by what is asked.
    pub(crate) fn with(answer: impl Fn(&Asked) -> Say + Send + Sync + 'static) -> Self {
        let asked: Arc<Mutex<Vec<(Instant, Asked)>>> = Arc::default();
        let log = Arc::clone(&asked);
        let server = Server::start("127.0.0.1:0", move |asked| {
            let say = answer(&asked);
            log.lock().unwrap().push((Instant::now(), asked.clone()));
            let (status, headers, body) = match say {
                Say::Status(status, headers, body) => (status, headers, body),
                Say::Results(results, headers) => (200, headers, of_results(&asked, &results)),
                Say::Silence => return None,
            };
            let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value));
            Some((status, headers.collect(), body.into_bytes()))
        });
        Self { server, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().map(|(_, asked)| asked.clone()).collect()
    }

    /// How long it was between each request and the one before, in milliseconds.
    pub(crate) fn delays_ms(&self) -> Vec<u128> {
        let asked = self.asked.lock().unwrap();
        let times = asked.windows(2);
        times.map(|two| (two[1].0 - two[0].0).as_millis()).collect()
    }
}

fn of_results(asked: &Asked, results: &[&str]) -> String {
    let events = events(asked);
    let results: BTreeMap<String, Json> = events
        .iter()
        .zip(results)
        .map(|(event, result)| {
            (event["uuid"].as_str().unwrap().to_owned(), json!({ "result": result }))
        })
        .collect();
    json!({ "results": results }).to_string()
}

/// The events of a batch of either protocol.
pub(crate) fn events(asked: &Asked) -> Vec<Json> {
    let body: Json = serde_json::from_slice(&asked.body).unwrap();
    body["batch"].as_array().cloned().unwrap_or_default()
}

/// The rows that remain of batches that arrived at these times of the server: one for each day, event,
/// id and uuid, as `ReplacingMergeTree` keeps them and a bill counts them.
pub(crate) fn rows(arrived: &[(UnixMs, Asked)]) -> BTreeSet<(String, String, String, String)> {
    let mut rows = BTreeSet::new();
    for (now, asked) in arrived {
        let body: Json = serde_json::from_slice(&asked.body).unwrap();
        for event in events(asked) {
            let time = UnixMs::parse_rfc3339(event["timestamp"].as_str().unwrap()).unwrap();
            let is_kept = event["properties"]["$ignore_sent_at"] == true
                || event["options"]["disable_skew_correction"] == true;
            let sent = body["sent_at"].as_str().or(asked.header("posthog-request-timestamp"));
            let sent = UnixMs::parse_rfc3339(sent.unwrap()).unwrap();
            let time = if is_kept { time } else { UnixMs(now.0 + time.0 - sent.0) };
            let text = |name: &str| event[name].as_str().unwrap().to_owned();
            rows.insert((time.utc_date(), text("event"), text("distinct_id"), text("uuid")));
        }
    }
    rows
}
