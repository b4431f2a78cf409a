//! Batches as the sidecars of a fleet push them.
//!
//! All are made, packed and hashed before the first is sent: a client that works hard measures itself.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use trueup_core::{FactId, Key, UnixMs};

use crate::instant::{DAY_MS, FIRST_MS};
use crate::post::Plan;
use crate::post::records::{Record, records};
use crate::rng::Rng;

/// Calls that differ.
const CALLS: usize = 1_024;
/// How hard batches are packed, as sidecars do.
const LEVEL: i32 = 3;
/// How long a measurement may take.
const TIME_MAX: Duration = Duration::from_mins(10);

/// How much is pushed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) batches: usize,
    pub(crate) records: usize,
    pub(crate) connections: usize,
    pub(crate) within: Option<Duration>,
}

/// The tokens of a file: the last word of each line.
pub(crate) fn tokens(file: &Path) -> Result<Vec<String>> {
    let text = String::from_utf8(std::fs::read(file)?)?;
    let tokens: Vec<String> =
        text.lines().filter_map(|line| line.split_whitespace().last()).map(Into::into).collect();
    anyhow::ensure!(!tokens.is_empty(), "{} has no token", file.display());
    Ok(tokens)
}

/// Pushes them, one device after the other.
pub(crate) fn plan(address: SocketAddr, tokens: &[String], shape: Shape) -> Result<Plan> {
    let calls = records(0, CALLS);
    let requests = (0..shape.batches).map(|number| {
        let device = number % tokens.len();
        let token = tokens.get(device).context("no token")?;
        let first_seq = number / tokens.len() * shape.records + 1;
        let body = zstd::encode_all(&batch(device, first_seq, shape.records, &calls)[..], LEVEL)?;
        let head = format!(
            "POST /v1/ingest HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Encoding: zstd\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Ok([head.into_bytes(), body].concat())
    });
    let due = shape.within.map(|within| {
        let mut rng = Rng::new(42, 7);
        let micros = u64::try_from(within.as_micros()).unwrap_or(u64::MAX);
        let mut due: Vec<Duration> =
            (0..shape.batches).map(|_| Duration::from_micros(rng.below(micros))).collect();
        due.sort_unstable();
        due
    });
    Ok(Plan {
        address,
        connections: shape.connections,
        time: TIME_MAX,
        requests_max: shape.batches as u64,
        rate: None,
        due,
        requests: requests.collect::<Result<_>>()?,
        ids: None,
    })
}

/// A batch of a device, from a place on: calls of a month.
fn batch(device: usize, first_seq: usize, count: usize, calls: &[Record]) -> Vec<u8> {
    let mut events = String::from("[");
    for (call, seq) in calls.iter().cycle().skip(device % CALLS).take(count).zip(first_seq..) {
        let spread = (seq * 977 + device) as u64 % (30 * DAY_MS).cast_unsigned();
        let time = UnixMs(FIRST_MS + spread.cast_signed());
        let id = FactId::new(time, Key::of("fleet", &[device.to_le_bytes(), seq.to_le_bytes()]));
        let comma = if seq == first_seq { "" } else { "," };
        let Record { provider, model, session, project, prompt_tokens, .. } = call;
        let Record { cache_read_tokens, completion_tokens, latency_ms, .. } = call;
        let prompt = prompt_tokens + cache_read_tokens;
        let _is_written = write!(
            events,
            r#"{comma}{{"type":"llm_trace","seq":{seq},"id":"{id}","data":{{"trace_id":"{id}","created_at":{},"provider":"{provider}","model":"{model}","input_text":null,"output_text":null,"prompt_tokens":{prompt},"completion_tokens":{completion_tokens},"total_tokens":{},"cost_usd":0.0312,"latency_ms":{latency_ms},"status":"ok","error_type":null,"metadata":null,"source":"http","project":"{project}","session":"{session}","session_kind":"","input_tokens":{prompt_tokens},"cache_read_tokens":{cache_read_tokens},"cache_write_5m_tokens":0,"cache_write_1h_tokens":0,"cache_write_tokens":0,"output_tokens":{completion_tokens},"reasoning_tokens":0,"reported_cost_nanousd":31200000,"time_to_first_token_ms":null,"price_class":0,"is_text_cut":false}}}}"#,
            time.0,
            prompt + completion_tokens,
        )
        .is_ok();
    }
    events.push(']');
    let hash = Sha256::digest(events.as_bytes()).iter().fold(String::new(), |mut hash, byte| {
        let _is_written = write!(hash, "{byte:02x}").is_ok();
        hash
    });
    let last_seq = first_seq + count - 1;
    format!(
        r#"{{"v":1,"batch":{{"id":"{device}-{first_seq}","created_at":{},"count":{count},"first_seq":{first_seq},"last_seq":{last_seq},"sha256":"{hash}"}},"source":{{"id":"ledger-{device}","epoch":"1","host":"box-{device}","agent":"","version":"0.1.0"}},"events":{events}}}"#,
        FIRST_MS + 31 * DAY_MS
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_json_and_each_record_has_an_id_of_its_own() {
        let calls = records(0, 8);
        let body = batch(3, 11, 20, &calls);
        let batch: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let ids: std::collections::BTreeSet<String> =
            batch["events"].as_array().unwrap().iter().map(|one| one["id"].to_string()).collect();
        assert_eq!((ids.len(), &batch["batch"]["last_seq"]), (20, &serde_json::json!(30)));
    }
}
