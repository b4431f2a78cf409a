//! A batch as a device sends it: bytes into a [`Delivery`].
//!
//! The whole is understood or refused; of what is understood, each record is taken or rejected alone.
//! Senders that know nothing of batches, as those before trueup, send `events` only.
//!
//! ```json
//! {"v":1,"batch":{"id":"019aa3c2-…","created_at":1795212600000,"count":1,"first_seq":17,"last_seq":17,
//!  "sha256":"7d1f…"},"source":{"id":"5f0d…","epoch":"9c41…","host":"box","agent":"","version":"0.1.0"},
//!  "events":[{"type":"custom_event","seq":17,"id":"01a1fc57-…","data":{"trace_id":"t","name":"deploy"}}]}
//! ```

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use trueup_core::{BatchHead, Delivery, Sender, SenderStatus, Text, UnixMs, Word};

use super::record::{self, Rejection};
use crate::render::number::hex;

/// The format that is read.
pub(super) const FORMAT: u32 = 1;
/// Most records in one batch.
pub(super) const RECORDS_MAX: usize = 10_000;
/// Longest name of anything in the envelope.
const NAME_BYTES_MAX: usize = 256;

/// A request that is understood.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) delivery: Delivery,
    /// The place of each word in the sender's outbox, where it said one.
    pub(super) seqs: Vec<Option<i64>>,
    /// Those that are not taken.
    pub(super) rejected: Vec<Rejected>,
}

/// A record that is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    /// Its place in the sender's outbox, where it said one.
    pub(super) seq: Option<i64>,
    /// Its id, where it said one.
    pub(super) id: Option<String>,
    /// Why.
    pub(super) why: Rejection,
}

/// Why a request as a whole is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the body is not a batch: {0}")]
    NotABatch(String),
    #[error("format {0} is not known: this hub reads format {FORMAT}; update the hub first")]
    Format(u32),
    #[error(
        "`batch.sha256` is {stated}, and that of `events` is {found}: the body was altered on its way"
    )]
    Altered { stated: String, found: String },
    #[error(
        "`batch.count` is {stated}, and there are {found} events: the body was altered on its way"
    )]
    Miscounted { stated: u64, found: usize },
    #[error("there are {0} events: send {RECORDS_MAX} at most")]
    TooMany(usize),
    #[error("`{0}` is longer than {NAME_BYTES_MAX} bytes")]
    TooLong(&'static str),
}

#[derive(Deserialize)]
struct Format {
    v: Option<u32>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    v: Option<u32>,
    batch: Option<Head>,
    source: Option<Source>,
    #[serde(borrow)]
    events: &'a RawValue,
}

#[derive(Deserialize)]
struct Head {
    id: String,
    created_at: i64,
    count: Option<u64>,
    first_seq: i64,
    last_seq: i64,
    sha256: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source {
    id: String,
    epoch: String,
    host: String,
    agent: String,
    version: String,
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    waiting: u64,
    oldest_waiting_at: Option<i64>,
    #[serde(default)]
    dropped: u64,
    #[serde(default)]
    refused: u64,
    last_read_at: Option<i64>,
}

/// Reads a request of a device.
pub(super) fn read(body: &[u8], device: &Text, now: UnixMs) -> Result<Batch, Refusal> {
    let Envelope { v, batch, source, events: raw } = envelope(body)?;
    if v.is_some() && batch.is_none() {
        return Err(Refusal::NotABatch("`batch` is missing".to_owned()));
    }
    let created_at = batch.as_ref().map(|head| UnixMs(head.created_at));
    let reader = record::Reader { device, created_at, now };
    let (words, rejected) = match reader.plain_words(raw.get(), RECORDS_MAX) {
        Some(words) => (words, Vec::new()),
        None => one_by_one(&reader, raw)?,
    };
    let count = words.len() + rejected.len();
    let (seqs, words) = words.into_iter().unzip();
    let batch = batch.map(|head| checked(head, raw.get(), count)).transpose()?;
    let sender = sender(source.unwrap_or_default())?;
    let device = Text::clone(device);
    Ok(Batch { delivery: Delivery { device, sender, batch, words }, seqs, rejected })
}

/// The whole of a request, but for what is in its records.
fn envelope(body: &[u8]) -> Result<Envelope<'_>, Refusal> {
    let not_a_batch = |error: serde_json::Error| Refusal::NotABatch(error.to_string());
    let read = serde_json::from_slice(body);
    if let Ok(envelope @ Envelope { v: None | Some(FORMAT), .. }) = read {
        return Ok(envelope);
    }
    // The version first: another one may have another shape.
    let Format { v } = serde_json::from_slice(body).map_err(not_a_batch)?;
    match v.filter(|v| *v != FORMAT) {
        Some(other) => Err(Refusal::Format(other)),
        None => read.map_err(not_a_batch),
    }
}

/// A word, and the place in the sender's outbox that it names.
type Placed = (Option<i64>, Word);

/// Records as anybody may write them.
fn one_by_one(
    reader: &record::Reader<'_>,
    events: &RawValue,
) -> Result<(Vec<Placed>, Vec<Rejected>), Refusal> {
    let events: Vec<&RawValue> = serde_json::from_str(events.get())
        .map_err(|error| Refusal::NotABatch(error.to_string()))?;
    if events.len() > RECORDS_MAX {
        return Err(Refusal::TooMany(events.len()));
    }
    let (mut words, mut rejected) = (Vec::with_capacity(events.len()), Vec::new());
    for (place, event) in events.into_iter().enumerate() {
        match reader.word(event.get(), place) {
            Ok(word) => words.push(word),
            Err(one) => rejected.push(one),
        }
    }
    Ok((words, rejected))
}

/// The head of a batch, held against what came.
fn checked(head: Head, events: &str, count: usize) -> Result<BatchHead, Refusal> {
    let Head { id, created_at, count: stated, first_seq, last_seq, sha256 } = head;
    let found = hex(&Sha256::digest(events.as_bytes()));
    if !sha256.eq_ignore_ascii_case(&found) {
        let stated: String = sha256.chars().take(NAME_BYTES_MAX).collect();
        return Err(Refusal::Altered { stated, found });
    }
    if let Some(stated) = stated.filter(|stated| usize::try_from(*stated) != Ok(count)) {
        return Err(Refusal::Miscounted { stated, found: count });
    }
    if first_seq < 0 || last_seq < first_seq.saturating_sub(1) || last_seq == i64::MAX {
        let what = format!("`batch.first_seq` is {first_seq} and `batch.last_seq` is {last_seq}");
        return Err(Refusal::NotABatch(what));
    }
    Ok(BatchHead {
        id: short("batch.id", id)?,
        created_at: UnixMs(created_at),
        first_seq,
        last_seq,
        sha256: found.into(),
    })
}

fn sender(source: Source) -> Result<Sender, Refusal> {
    let Source { id, epoch, host, agent, version, status } = source;
    let status = status.map(|status| SenderStatus {
        waiting: status.waiting,
        oldest_waiting_at: status.oldest_waiting_at.map(UnixMs),
        dropped: status.dropped,
        refused: status.refused,
        last_read_at: status.last_read_at.map(UnixMs),
    });
    Ok(Sender {
        ledger: short("source.id", id)?,
        epoch: short("source.epoch", epoch)?,
        host: short("source.host", host)?,
        agent: short("source.agent", agent)?,
        version: short("source.version", version)?,
        status,
    })
}

fn short(name: &'static str, text: String) -> Result<Text, Refusal> {
    if text.len() > NAME_BYTES_MAX {
        return Err(Refusal::TooLong(name));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_core::{Fact, FactId, Key, Version};

    const NOW: UnixMs = UnixMs(1_795_212_600_000);

    fn body(events: &str, more: &str) -> String {
        let sha256 = hex(&Sha256::digest(events.as_bytes()));
        format!(
            r#"{{"v":1,"batch":{{"id":"b","created_at":{},"first_seq":17,"last_seq":18,"sha256":"{sha256}"{more}}},
                "source":{{"id":"l","epoch":"e","host":"box","status":{{"waiting":3,"dropped":1}}}},"events":{events}}}"#,
            NOW.0
        )
    }

    fn read(body: &str) -> Result<Batch, Refusal> {
        super::read(body.as_bytes(), &"d".into(), NOW)
    }

    fn event(id: FactId, data: &str) -> String {
        format!(
            r#"{{"type":"custom_event","seq":17,"id":"{id}","data":{{"created_at":{},{data}}}}}"#,
            id.time().0
        )
    }

    #[test]
    fn what_is_understood_is_taken_record_by_record() {
        let id = FactId::new(UnixMs(NOW.0 - 5), Key::of("test", &["a"]));
        let (good, gone) = (event(id, r#""name":"deploy""#), event(id, r#""name":7"#));
        let retracted =
            format!(r#"{{"type":"llm_trace_retracted","seq":19,"id":"{id}","data":{{}}}}"#);
        let other = r#"{"type":"dream","seq":20,"id":"x","data":{}}"#;
        let batch = read(&body(&format!("[{good},{gone},{retracted},{other}, 5]"), "")).unwrap();
        let [Word::Is(Fact::Event(event)), Word::IsNot { id: retracted, version }] =
            &batch.delivery.words[..]
        else {
            panic!("{:?}", batch.delivery)
        };
        assert_eq!((&*event.name, FactId::new(event.time, event.key)), ("deploy", id));
        assert_eq!((*retracted, *version), (id, Version::new(NOW, 2)));
        let codes: Vec<_> = batch.rejected.iter().map(|one| (one.seq, one.why.code())).collect();
        let expected = [(Some(17), "bad_record"), (Some(20), "unknown_type"), (None, "bad_record")];
        assert_eq!(codes, expected);
        assert_eq!(batch.seqs, [Some(17), Some(19)]);
        let status = batch.delivery.sender.status.unwrap();
        assert_eq!((status.waiting, status.dropped), (3, 1));
    }

    #[test]
    fn what_is_written_otherwise_says_the_same() {
        let ids: Vec<FactId> =
            (0..6).map(|at| FactId::new(UnixMs(NOW.0 - at), Key::of("test", &["a"]))).collect();
        let told = |kind: &str, at: usize, data: &str| {
            let time = ids[at].time().0;
            let (seq, id) = (17 + at, ids[at]);
            format!(
                r#"{{"type":"{kind}","seq":{seq},"id":"{id}","data":{{"created_at":{time}{data}}}}}"#
            )
        };
        let own = format!(r#","trace_id":"{}","input_tokens":3,"cost_usd":0.25"#, ids[0]);
        let events = [
            told("llm_trace", 0, &own),
            told(
                "llm_trace",
                1,
                r#","trace_id":"t-\u0031","model":"m\"","status":"error","new":[{}]"#,
            ),
            told("llm_trace_retracted", 2, ""),
            told("error_event", 3, r#","error_type":"e","message":"\"]}""#),
            told("custom_event", 4, r#","name":"deploy""#),
            told("system_metric", 5, r#","cpu_pct":1.5"#),
        ];
        let plain = format!("[{}]", events.join(","));
        let reader = record::Reader { device: &"d".into(), created_at: Some(NOW), now: NOW };
        let told = reader.plain_words(&plain, 6).unwrap().into_iter().unzip();
        let (_, words): &(Vec<Option<i64>>, Vec<Word>) = &told;
        assert_eq!(words.len(), 6);
        assert!(reader.plain_words(&plain, 5).is_none());
        let [Word::Is(Fact::Call(first)), Word::Is(Fact::Call(second)), ..] = &words[..] else {
            panic!("{words:?}")
        };
        assert_eq!((first.trace_id.as_deref(), second.trace_id.as_deref()), (None, Some("t-1")));
        assert_eq!((&*second.origin.model, first.tokens.input), ("m\"", 3));
        let spaced = plain.replace(r#","id":"#, r#" , "id" : "#);
        let turned = events.map(|event| {
            let (kind, rest) = event.strip_prefix('{').unwrap().split_once(',').unwrap();
            format!("{{{},{kind}}}", rest.strip_suffix('}').unwrap())
        });
        for other in [spaced, format!("[ {} ]", turned.join(", "))] {
            assert!(reader.plain_words(&other, 6).is_none(), "{other}");
            let batch = read(&body(&other, "")).unwrap();
            assert_eq!((batch.seqs, batch.delivery.words), told, "{other}");
        }
        let batch = read(&body(&plain, "")).unwrap();
        assert_eq!((batch.seqs, batch.delivery.words), told);
        assert_eq!(reader.plain_words("[]", 0), Some(Vec::new()));
    }

    #[test]
    fn what_was_altered_is_refused_as_a_whole() {
        let id = FactId::new(NOW, Key::of("test", &["a"]));
        let whole = body(&format!("[{}]", event(id, r#""name":"a""#)), r#","count":1"#);
        assert!(read(&whole).is_ok());
        assert!(matches!(read(&whole.replace(r#""a""#, r#""b""#)), Err(Refusal::Altered { .. })));
        let miscounted = whole.replace(r#""count":1"#, r#""count":2"#);
        assert!(matches!(read(&miscounted), Err(Refusal::Miscounted { stated: 2, found: 1 })));
        for cut in 0..whole.len() {
            assert!(read(whole.get(..cut).unwrap()).is_err(), "{cut}");
        }
        assert_eq!(read(&whole.replace(r#""v":1"#, r#""v":2"#)).unwrap_err(), Refusal::Format(2));
        assert_eq!(read(r#"{"v":7,"quite":"other"}"#).unwrap_err(), Refusal::Format(7));
        assert!(matches!(read(r#"{"v":1,"events":[]}"#), Err(Refusal::NotABatch(_))));
        let backwards = whole.replace(r#""last_seq":18"#, r#""last_seq":3"#);
        assert!(matches!(read(&backwards), Err(Refusal::NotABatch(_))));
    }

    #[test]
    fn senders_from_before_batches_are_understood() {
        let old = r#"{"events":[{"type":"llm_trace","data":{"trace_id":"t-1","created_at":1795212509482,
            "provider":"openai","model":"gpt-5.5","prompt_tokens":10,"completion_tokens":2,"total_tokens":12,
            "cost_usd":0.5,"latency_ms":9,"status":"error","error_type":"rate_limit","metadata":"{}"}}]}"#;
        let [one, again] = [read(old).unwrap(), read(old).unwrap()];
        assert_eq!(one.delivery, again.delivery);
        let [Word::Is(Fact::Call(call))] = &one.delivery.words[..] else { panic!() };
        assert_eq!((call.tokens.input, call.tokens.output, call.latency_ms), (10, 2, Some(9)));
        assert_eq!(call.reported_cost.map(|cost| cost.0), Some(500_000_000));
        assert!(one.delivery.batch.is_none() && one.rejected.is_empty());
    }
}
