//! One record of a batch: JSON into a word.
//!
//! ```json
//! {"type":"llm_trace","seq":17,"id":"01a1fc57-caaa-9b1d-4a5e-0c5f7c3e2a11","data":{"trace_id":"t-1",
//!  "created_at":1795212509482,"source":"codex","provider":"openai","model":"gpt-5.5","input_tokens":620,
//!  "output_tokens":52,…}}
//! ```
//!
//! Texts of prompts and answers are not kept: a hub is for sums.
//!
//! Most of what a hub does is to read these. Records that are written as above, as sidecars write them,
//! are read in one go ([`Reader::plain_words`]); what is written otherwise, or wrong, is first taken
//! apart ([`Reader::word`]).

mod data;

use serde::Deserialize;
use serde_json::value::RawValue;
use trueup_core::{
    Billing, Call, CustomEvent, ErrorEvent, Fact, FactId, HostMetric, Key, NanoUsd, Origin,
    Outcome, Pressure, PriceClass, TOKENS_MAX, Text, Tokens, UnixMs, Variant, Version, Word,
    scaled_decimal,
};

use super::request::Rejected;
use crate::intake::{AHEAD_MAX_MS, EARLIEST};
use data::{CallData, Common, Event, Failure, Named, Said, Sample};

/// Longest name: of a model, a project, a session.
const NAME_BYTES_MAX: usize = 4_096;
/// Longest id that is said again: that of a UUID.
const ID_BYTES_MAX: usize = 36;
/// Longest message, stack trace or metadata.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// Why a record is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Rejection {
    #[error("{0}")]
    BadRecord(String),
    #[error("records of type `{0}` are not known here: update the hub")]
    UnknownType(String),
    #[error("`id` is not a UUID")]
    BadId,
    #[error("`created_at` {created_at} is not the time in `id`, {of_id}")]
    OtherTime { created_at: i64, of_id: i64 },
    #[error("`created_at` {0} lies before the year 2000")]
    TooOld(i64),
    #[error("`created_at` {0} is more than a day ahead of the hub's clock")]
    InTheFuture(i64),
    #[error("`{0}` is too large")]
    TooLarge(&'static str),
    #[error("{0}")]
    NotKept(String),
}

impl Rejection {
    /// A word for programs.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::BadRecord(_) => "bad_record",
            Self::UnknownType(_) => "unknown_type",
            Self::BadId => "bad_id",
            Self::OtherTime { .. } => "other_time",
            Self::TooOld(_) => "too_old",
            Self::InTheFuture(_) => "in_the_future",
            Self::TooLarge(_) => "too_large",
            Self::NotKept(_) => "not_kept",
        }
    }
}

/// What all records of a batch share.
pub(super) struct Reader<'a> {
    pub(super) device: &'a Text,
    /// When the batch was made; `None` of senders that make none.
    pub(super) created_at: Option<UnixMs>,
    pub(super) now: UnixMs,
}

/// What is looked for in a record that is none.
#[derive(Default, Deserialize)]
struct Place {
    seq: Option<i64>,
}

/// What makes a record count once, and when it happened.
struct Identity {
    id: FactId,
    key: Key,
    time: UnixMs,
    trace_id: Option<Text>,
}

impl Reader<'_> {
    /// Reads the record at a place of its batch; with it, its place in the sender's outbox.
    pub(super) fn word(&self, json: &str, place: usize) -> Result<(Option<i64>, Word), Rejected> {
        let event: Event<'_> = serde_json::from_str(json).map_err(|error| Rejected {
            // Without it the sender would not know which one is not taken.
            seq: serde_json::from_str(json).unwrap_or(Place::default()).seq,
            id: None,
            why: Rejection::BadRecord(error.to_string()),
        })?;
        let id = event.id.as_deref();
        let said = self.said(&event.r#type, id, event.data.get(), place);
        said.map(|word| (event.seq, word)).map_err(|why| Rejected {
            seq: event.seq,
            id: id.filter(|id| id.len() <= ID_BYTES_MAX).map(str::to_owned),
            why,
        })
    }

    /// The records of an array that are written as sidecars write them, each with its place in the sender's
    /// outbox; `None` where one is not, or is not to be taken, or there are more than `most`.
    pub(super) fn plain_words(
        &self,
        events: &str,
        most: usize,
    ) -> Option<Vec<(Option<i64>, Word)>> {
        let mut rest = events.strip_prefix('[')?;
        let mut words = Vec::new();
        if rest == "]" {
            return Some(words);
        }
        loop {
            let place = words.len();
            let (word, behind) = self.plain_word(rest, place).filter(|_| place < most)?;
            words.push(word);
            if behind == "]" {
                return Some(words);
            }
            rest = behind.strip_prefix(',')?;
        }
    }

    /// The record that a text begins with, and what comes behind it.
    fn plain_word<'a>(
        &self,
        text: &'a str,
        place: usize,
    ) -> Option<((Option<i64>, Word), &'a str)> {
        let (kind, rest) = text.strip_prefix(r#"{"type":""#)?.split_once('"')?;
        let (seq, rest) = rest.strip_prefix(r#","seq":"#)?.split_once(',')?;
        let seq: i64 = seq.parse().ok()?;
        let (id, rest) = rest.strip_prefix(r#""id":""#)?.split_once('"')?;
        let told = rest.strip_prefix(r#","data":"#).filter(|told| told.starts_with('{'))?;
        let (word, length) = if kind == "llm_trace" {
            let (trace, length) = first(told)?;
            (self.call(Some(id), told.get(..length)?, trace, place), length)
        } else {
            let (data, length) = first::<&RawValue>(told)?;
            (self.said(kind, Some(id), data.get(), place), length)
        };
        Some(((Some(seq), word.ok()?), told.get(length..)?.strip_prefix('}')?))
    }

    /// The version of what is told at a place.
    fn version(&self, time: UnixMs, place: usize) -> Version {
        Version::new(self.created_at.unwrap_or(time), place)
    }

    /// A call, out of its data: as they stand in the body, and as what they are.
    fn call(
        &self,
        id: Option<&str>,
        data: &str,
        mut trace: CallData<'_>,
        place: usize,
    ) -> Result<Word, Rejection> {
        // Most have no trace id of their own.
        if trace.trace_id.as_deref() == id {
            trace.trace_id = None;
        }
        let common = Common { trace_id: trace.trace_id.take(), created_at: trace.created_at };
        let Identity { id, key, time, trace_id } = self.identity(id, common, "trace")?;
        let is_own = |trace_id: &Text| FactId::parse(trace_id) != Some(id);
        let rank = self.version(time, place).rank(&[self.device.as_bytes(), data.as_bytes()]);
        let call = Call { key, rank, time, trace_id: trace_id.filter(is_own), ..call(trace)? };
        Ok(Word::Is(Fact::Call(Box::new(call))))
    }

    /// What a record of a kind tells.
    fn said(
        &self,
        kind: &str,
        id: Option<&str>,
        data: &str,
        place: usize,
    ) -> Result<Word, Rejection> {
        let identity = |kind: &str| self.identity(id, parsed(data)?, kind);
        Ok(match kind {
            "llm_trace" => self.call(id, data, parsed(data)?, place)?,
            "llm_trace_retracted" => {
                let id = id.and_then(FactId::parse).ok_or(Rejection::BadId)?;
                Word::IsNot { id, version: self.version(id.time(), place) }
            }
            "error_event" => {
                let Identity { key, time, trace_id, .. } = identity("error")?;
                let failure = parsed(data)?;
                Word::Is(Fact::Error(Box::new(error(failure, key, time, trace_id)?)))
            }
            "custom_event" => {
                let Identity { key, time, trace_id, .. } = identity("event")?;
                let Named { name, metadata, source, session } = parsed(data)?;
                Word::Is(Fact::Event(Box::new(CustomEvent {
                    key,
                    time,
                    trace_id,
                    source: named("source", &source)?,
                    session: named("session", &session)?,
                    name: named("name", &name)?,
                    metadata: text("metadata", metadata)?,
                })))
            }
            "system_metric" => {
                let Identity { key, time, .. } = identity("metric")?;
                Word::Is(Fact::Host(Box::new(sample(parsed(data)?, key, time)?)))
            }
            other => {
                return Err(Rejection::UnknownType(other.chars().take(64).collect()));
            }
        })
    }

    /// Who a record is. One without an id is known by its kind, its time and its trace id.
    fn identity(
        &self,
        id: Option<&str>,
        common: Common<'_>,
        kind: &str,
    ) -> Result<Identity, Rejection> {
        let Common { trace_id, created_at } = common;
        let trace_id = trace_id.map(|trace_id| named("trace_id", &trace_id)).transpose()?;
        let created_at = created_at.ok_or_else(|| missing("created_at"))?;
        let time = UnixMs(created_at);
        if time < EARLIEST {
            return Err(Rejection::TooOld(created_at));
        }
        if created_at > self.now.0.saturating_add(AHEAD_MAX_MS) {
            return Err(Rejection::InTheFuture(created_at));
        }
        let id = match (id, &trace_id) {
            (Some(id), _) => FactId::parse(id).ok_or(Rejection::BadId)?,
            (None, Some(trace_id)) => FactId::new(time, Key::of("http", &[kind, &**trace_id])),
            (None, None) => return Err(missing("id")),
        };
        if id.time() != time {
            return Err(Rejection::OtherTime { created_at, of_id: id.time().0 });
        }
        Ok(Identity { id, key: Key::of_id(id), time, trace_id })
    }
}

fn parsed<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, Rejection> {
    serde_json::from_str(data).map_err(|error| Rejection::BadRecord(format!("`data`: {error}")))
}

fn missing(name: &str) -> Rejection {
    Rejection::BadRecord(format!("`{name}` is missing"))
}

/// The value that a text begins with, and its length.
fn first<'a, T: Deserialize<'a>>(text: &'a str) -> Option<(T, usize)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    let value = values.next()?.ok()?;
    Some((value, values.byte_offset()))
}

fn named(name: &'static str, text: &str) -> Result<Text, Rejection> {
    if text.len() > NAME_BYTES_MAX {
        return Err(Rejection::TooLarge(name));
    }
    Ok(text.into())
}

fn text(name: &'static str, text: Option<String>) -> Result<Option<String>, Rejection> {
    match text {
        Some(text) if text.len() > TEXT_BYTES_MAX => Err(Rejection::TooLarge(name)),
        text => Ok(text),
    }
}

/// A call, without what makes it count once.
fn call(trace: CallData<'_>) -> Result<Call, Rejection> {
    let or_empty = |name, text: Option<Said<'_>>| named(name, text.as_deref().unwrap_or_default());
    let is_failed = trace.error_type.is_some() || trace.status.as_deref() == Some("error");
    let tokens = tokens(&trace)?;
    let class = trace.price_class.unwrap_or_default();
    let PriceClass { tier, speed, region, .. } = PriceClass::from_code(class).ok_or_else(|| {
        Rejection::BadRecord(format!("`price_class` {class} is of a later version: update the hub"))
    })?;
    let reported_cost = cost(&trace)?;
    Ok(Call {
        key: Key([0; 16]),
        variant: Variant(0),
        rank: Version::default().rank(&[]),
        twin: None,
        time: UnixMs(0),
        origin: Origin {
            source: match &trace.source {
                Some(source) => named("source", source)?,
                None => "http".into(),
            },
            provider: or_empty("provider", trace.provider)?,
            model: or_empty("model", trace.model)?,
            project: or_empty("project", trace.project)?,
            session: or_empty("session", trace.session)?,
            kind: or_empty("session_kind", trace.session_kind)?,
        },
        tokens,
        billing: Billing { tier, speed, region },
        reported_cost,
        latency_ms: trace.latency_ms,
        time_to_first_token_ms: trace.time_to_first_token_ms,
        outcome: if is_failed {
            let error_type = trace.error_type.as_deref().unwrap_or("error");
            Outcome::Failed { error_type: named("error_type", error_type)? }
        } else {
            Outcome::Ok
        },
        trace_id: None,
        body: None,
    })
}

fn tokens(trace: &CallData<'_>) -> Result<Tokens, Rejection> {
    let count = |count: Option<u64>| count.unwrap_or(0);
    let tokens = Tokens {
        // Senders that do not tell cached tokens apart tell the whole prompt.
        input: count(trace.input_tokens.or(trace.prompt_tokens)),
        cache_read: count(trace.cache_read_tokens),
        cache_write_5m: count(trace.cache_write_5m_tokens),
        cache_write_1h: count(trace.cache_write_1h_tokens),
        cache_write: count(trace.cache_write_tokens),
        output: count(trace.output_tokens.or(trace.completion_tokens)),
        reasoning: count(trace.reasoning_tokens),
    };
    match tokens.clamped() {
        (tokens, false) => Ok(tokens),
        (_, true) => Err(Rejection::BadRecord(format!("a token count is above {TOKENS_MAX}"))),
    }
}

fn cost(trace: &CallData<'_>) -> Result<Option<NanoUsd>, Rejection> {
    let nano = match (&trace.reported_cost_nanousd, &trace.cost_usd) {
        (Some(nano), _) => Some(*nano),
        (None, Some(usd)) => {
            let nano = scaled_decimal(usd.get(), 9).and_then(|nano| i64::try_from(nano).ok());
            let wrong = || Rejection::BadRecord("`cost_usd` is no number that fits".to_owned());
            Some(nano.ok_or_else(wrong)?)
        }
        (None, None) => None,
    };
    match nano {
        Some(nano) if nano < 0 => {
            Err(Rejection::BadRecord("a cost is less than nothing".to_owned()))
        }
        nano => Ok(nano.map(NanoUsd)),
    }
}

fn error(
    failure: Failure,
    key: Key,
    time: UnixMs,
    trace_id: Option<Text>,
) -> Result<ErrorEvent, Rejection> {
    let Failure { error_type, message, stack_trace, severity, metadata, source, session } = failure;
    Ok(ErrorEvent {
        key,
        time,
        trace_id,
        source: named("source", &source)?,
        session: named("session", &session)?,
        error_type: named("error_type", &error_type)?,
        message: text("message", Some(message))?.unwrap_or_default(),
        stack_trace: text("stack_trace", stack_trace)?,
        severity: named("severity", severity.as_deref().unwrap_or("error"))?,
        metadata: text("metadata", metadata)?,
    })
}

fn sample(sample: Sample, key: Key, time: UnixMs) -> Result<HostMetric, Rejection> {
    let percent = sample.cpu_pct.map(|percent| scaled_decimal(&percent.to_string(), 3));
    let cpu = sample.cpu_millipercent.or_else(|| u32::try_from(percent??).ok());
    let pressure = |some, full| Pressure { some_millipercent: some, full_millipercent: full };
    Ok(HostMetric {
        key,
        time,
        scope: named("scope", sample.scope.as_deref().unwrap_or_default())?,
        cpu_millipercent: cpu,
        cpu_capacity_millicores: sample.cpu_capacity_millicores,
        mem_rss_bytes: sample.mem_rss_bytes,
        mem_working_set_bytes: sample.mem_working_set_bytes,
        mem_limit_bytes: sample.mem_limit_bytes,
        cpu_pressure: pressure(sample.cpu_some_millipercent, sample.cpu_full_millipercent),
        mem_pressure: pressure(sample.mem_some_millipercent, sample.mem_full_millipercent),
        io_pressure: pressure(sample.io_some_millipercent, sample.io_full_millipercent),
        disk_used_bytes: sample.disk_used_bytes,
        disk_available_bytes: sample.disk_available_bytes,
        disk_total_bytes: sample.disk_total_bytes,
        disk_read_bytes_per_second: sample.disk_read_bytes_per_second,
        disk_write_bytes_per_second: sample.disk_write_bytes_per_second,
        net_rx_bytes_per_second: sample.net_rx_bytes_per_second,
        net_tx_bytes_per_second: sample.net_tx_bytes_per_second,
        processes: sample.processes,
        threads: sample.threads,
        zombies: sample.zombies,
        oom_kills: sample.oom_kills,
        metadata: text("metadata", sample.metadata)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_core::DAY_MS;

    const NOW: UnixMs = UnixMs(1_795_212_600_000);

    fn word(kind: &str, id: &str, data: &str) -> Result<(Option<i64>, Word), &'static str> {
        let device = "d".into();
        let reader = Reader { device: &device, created_at: Some(NOW), now: NOW };
        let json = format!(r#"{{"type":"{kind}","seq":1,"id":"{id}","data":{data}}}"#);
        reader.word(&json, 0).map_err(|rejected| rejected.why.code())
    }

    #[test]
    fn what_is_wrong_with_a_record_is_said() {
        let id = FactId::new(UnixMs(1_795_212_509_482), Key::of("test", &["a"])).to_string();
        let of = |ms: i64| FactId::new(UnixMs(ms), Key::of("test", &["a"])).to_string();
        for (id, data, expected) in [
            (&*id, r#"{"created_at":1795212509482}"#, Ok(())),
            (
                &id,
                r#"{"created_at":1795212509482,"input_tokens":18446744073709551616}"#,
                Err("bad_record"),
            ),
            (
                &id,
                r#"{"created_at":1795212509482,"input_tokens":9007199254740992}"#,
                Err("bad_record"),
            ),
            (&id, r#"{"created_at":1795212509482,"input_tokens":-1}"#, Err("bad_record")),
            (&id, r#"{"created_at":1795212509482,"cost_usd":-0.5}"#, Err("bad_record")),
            (&id, r#"{"created_at":1795212509482,"cost_usd":1e300}"#, Err("bad_record")),
            (&id, r#"{"created_at":1795212509482,"price_class":6}"#, Ok(())),
            (&id, r#"{"created_at":1795212509482,"price_class":61440}"#, Ok(())),
            (&id, r#"{"created_at":1795212509482,"price_class":2048}"#, Err("bad_record")),
            (&id, r#"{"created_at":1795212509483}"#, Err("other_time")),
            (&id, r#"{"created_at":"yesterday"}"#, Err("bad_record")),
            (&id, "{}", Err("bad_record")),
            (&id, "[]", Err("bad_record")),
            ("7", r#"{"created_at":1795212509482}"#, Err("bad_id")),
            (&of(0), r#"{"created_at":0}"#, Err("too_old")),
            (&of(NOW.0 + 2 * DAY_MS), r#"{"created_at":1795385400000}"#, Err("in_the_future")),
        ] {
            assert_eq!(word("llm_trace", id, data).map(drop), expected, "{data}");
        }
        let long = format!(r#"{{"created_at":1795212509482,"model":"{}"}}"#, "m".repeat(5_000));
        assert_eq!(word("llm_trace", &id, &long).map(drop), Err("too_large"));
        assert_eq!(word("dream", &id, "{}").map(drop), Err("unknown_type"));
    }

    #[test]
    fn a_record_that_is_none_still_has_its_place() {
        let device = "d".into();
        let reader = Reader { device: &device, created_at: Some(NOW), now: NOW };
        for (json, expected) in [
            (r#"{"type":"llm_trace","seq":7,"id":8,"data":{}}"#, Some(7)),
            (r#"{"seq":7}"#, Some(7)),
            (r#"{"seq":"7"}"#, None),
            ("5", None),
        ] {
            let Err(rejected) = reader.word(json, 0) else { panic!() };
            assert_eq!((rejected.seq, rejected.why.code()), (expected, "bad_record"), "{json}");
        }
    }

    #[test]
    fn texts_of_prompts_are_not_kept() {
        let id = FactId::new(UnixMs(1_795_212_509_482), Key::of("test", &["a"])).to_string();
        let data = r#"{"created_at":1795212509482,"input_text":"secret","output_text":"too","metadata":"{}"}"#;
        let Ok((Some(1), Word::Is(Fact::Call(call)))) = word("llm_trace", &id, data) else {
            panic!()
        };
        assert_eq!(call.body, None);
    }
}
