//! A hub that keeps the newest word on each id, and nothing else that it could be right by.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use serde_json::Value;
use trueup_core::{FactId, Reply, UnixMs, Version};
use trueup_ledger::Frozen;

/// What is said of an id: the output of a call, or that it no longer counts.
pub(super) type Word = Option<u64>;

/// One record of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) seq: i64,
    pub(super) id: FactId,
    pub(super) word: Word,
    pub(super) version: Version,
}

/// The hub.
#[derive(Debug, Default)]
pub(super) struct Hub {
    words: BTreeMap<FactId, (Version, Word)>,
    /// The bytes of each batch that was taken, by its id.
    batches: BTreeMap<String, Vec<u8>>,
    /// Whether it says which batch it had before.
    pub(super) says_newest: bool,
    /// When each batch was made, and its id.
    made: BTreeSet<(i64, String)>,
}

/// What the hub does not like now.
#[derive(Debug, Clone, Default)]
pub(super) struct Taste {
    /// Answers 413 to more bytes.
    pub(super) bytes_max: Option<u64>,
    /// Answers 415 to this encoding.
    pub(super) unread: Option<&'static str>,
    /// Refuses whole batches with a call of this output, for good.
    pub(super) poison: Option<u64>,
    /// Puts off every record whose place is a multiple of this.
    pub(super) puts_off: Option<i64>,
    /// Rejects, for good, every record whose place is a multiple of this.
    pub(super) rejects: Option<i64>,
    /// Says so many bytes for each record.
    pub(super) words: Option<usize>,
    /// Wants to hear of devices after so many seconds of silence.
    pub(super) heartbeat_seconds: Option<u32>,
}

impl Hub {
    /// What it counts.
    pub(super) fn account(&self) -> BTreeMap<FactId, u64> {
        let live = self.words.iter().filter_map(|(id, (_, word))| word.map(|word| (*id, word)));
        live.collect()
    }

    /// Whether it knows a word, or a newer one on its id.
    pub(super) fn has(&self, record: &Record) -> bool {
        self.words.get(&record.id).is_some_and(|(version, _)| *version >= record.version)
    }

    /// Takes a request, or not, and says so.
    pub(super) fn take(&mut self, batch: &Frozen, taste: &Taste) -> Reply {
        let answer = |status, body: String| Reply {
            status,
            headers: vec![("accept-encoding".into(), "gzip, zstd, identity".into())],
            body: body.into_bytes(),
        };
        if taste.unread == Some(&*batch.encoding) {
            let headers = vec![("accept-encoding".into(), "identity".into())];
            return Reply { status: 415, headers, body: Vec::new() };
        }
        let Some(body) = body_of(batch) else { return answer(408, "damaged".into()) };
        if taste.bytes_max.is_some_and(|most| body.len() as u64 > most) {
            return answer(413, String::new());
        }
        let Some((made_at, records)) = records_of(&body) else {
            return answer(408, "damaged".into());
        };
        match self.batches.get(&batch.id) {
            Some(known) if *known != *batch.body => return answer(409, String::new()),
            Some(_) | None => {}
        }
        if records.iter().any(|record| record.word.is_some() && record.word == taste.poison) {
            return answer(422, "poisoned".into());
        }
        let mut rejected = Vec::new();
        for record in &records {
            let is = |of: Option<i64>| of.is_some_and(|of| record.seq % of == 0);
            if is(taste.puts_off) || is(taste.rejects) {
                rejected.push(serde_json::json!({"seq": record.seq, "code": "no",
                    "retryable": is(taste.puts_off)}));
                continue;
            }
            let known = self.words.entry(record.id).or_insert((record.version, record.word));
            *known = (record.version, record.word).max(*known);
        }
        self.batches.insert(batch.id.clone(), batch.body.to_vec());
        let other = self.made.iter().rev().find(|(_, id)| *id != batch.id);
        let newest_at = other.map(|(made_at, _)| *made_at).filter(|_| self.says_newest);
        self.made.insert((made_at, batch.id.clone()));
        let said = serde_json::json!({"v": 1, "accepted": records.len() - rejected.len(),
            "rejected": rejected, "heartbeat_seconds": taste.heartbeat_seconds,
            "newest_at": newest_at,
            // Behind what is rejected, which is to be read nonetheless.
            "words": "w".repeat(taste.words.unwrap_or(0) * records.len())});
        answer(200, said.to_string())
    }
}

/// What a batch says, where it is whole.
pub(super) fn records(batch: &Frozen) -> Vec<Record> {
    body_of(batch).and_then(|body| records_of(&body)).unwrap().1
}

/// The body before compression; `None` where it is damaged.
fn body_of(batch: &Frozen) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    match &*batch.encoding {
        "gzip" => {
            flate2::read::GzDecoder::new(&**batch.body).read_to_end(&mut body).ok()?;
        }
        "zstd" => body = zstd::decode_all(&**batch.body).ok()?,
        _ => body.extend_from_slice(&batch.body),
    }
    Some(body)
}

/// When it was made, and its records.
fn records_of(body: &[u8]) -> Option<(i64, Vec<Record>)> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let made_at = body["batch"]["created_at"].as_i64()?;
    let events = body["events"].as_array()?;
    let record = |(place, event): (usize, &Value)| {
        Some(Record {
            seq: event["seq"].as_i64()?,
            id: FactId::parse(event["id"].as_str()?)?,
            word: match event["type"].as_str()? {
                "llm_trace" => Some(event["data"]["output_tokens"].as_u64()?),
                _ => None,
            },
            version: Version::new(UnixMs(made_at), place),
        })
    };
    Some((made_at, events.iter().enumerate().map(record).collect::<Option<_>>()?))
}
