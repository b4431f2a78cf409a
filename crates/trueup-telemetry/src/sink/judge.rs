//! What an answer means. It believes nothing of it that could send more, or sooner, than was decided here.

use std::collections::BTreeMap;

use serde::Deserialize;
use trueup_core::{DAY_MS, UnixMs, one_line};
use uuid::Uuid;

use super::parts::{V0, keep};
use super::{Answer, Encoder, Form, Unreachable};
use crate::budget::Day;
use crate::manifest::Sink;
use crate::outbox::{Draft, Item, Verdict};

/// The wait before the second attempt; each one after it is twice as long, a quarter more or less.
pub const BACKOFF_MIN_MS: i64 = 200;
/// The longest wait that is not asked for.
pub const BACKOFF_MAX_MS: i64 = 30_000;
/// The longest wait that an answer can ask for.
const ASKED_MAX_MS: i64 = DAY_MS;

/// What becomes of an item, and of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What becomes of the item.
    pub verdict: Verdict,
    /// Nothing is sent before this.
    pub rest: Option<UnixMs>,
    /// Why nothing will be taken before the configuration changes.
    pub stop: Option<String>,
    /// Events that were refused for good although their request was not.
    pub refused: Vec<Refusal>,
}

/// An event that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which, where the answer says so.
    pub uuid: Option<Uuid>,
    /// Why.
    pub reason: String,
}

/// What v1 answers: a result for each event. Events without one were taken.
#[derive(Debug, Default, Deserialize)]
struct Results {
    #[serde(default)]
    results: BTreeMap<String, EventResult>,
}

#[derive(Debug, Default, Deserialize)]
struct EventResult {
    #[serde(default)]
    result: String,
    #[serde(default)]
    details: Option<String>,
}

/// What OTLP answers.
#[derive(Debug, Default, Deserialize)]
struct Taken {
    #[serde(default, rename = "partialSuccess")]
    partial_success: PartialSuccess,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PartialSuccess {
    rejected_log_records: Option<Count>,
    rejected_data_points: Option<Count>,
    error_message: Option<String>,
}

/// A 64-bit number of JSON's form of protocol buffers.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Count {
    Number(i64),
    Text(String),
}

impl From<Verdict> for Judged {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, rest: None, stop: None, refused: Vec::new() }
    }
}

impl Encoder {
    /// What an answer, or that there is none, means for the item that was sent. `jitter` is any number.
    #[must_use]
    pub fn verdict(
        &self,
        item: &Item,
        body: &[u8],
        answer: Result<&Answer, &Unreachable>,
        now: UnixMs,
        jitter: u64,
    ) -> Judged {
        let backoff = after(now, backoff_ms(item.attempts, jitter));
        let Ok(answer) = answer else {
            return Verdict::Retry { next: backoff, status: None }.into();
        };
        let status = answer.status;
        let asked = retry_after(answer, now);
        let next = asked.map_or(backoff, |asked| asked.max(backoff));
        if let Some(draft) = self.with_new_key(item, body).filter(|_| [401, 403].contains(&status))
        {
            return Verdict::Split(vec![draft]).into();
        }
        match status {
            200..=299 => self.taken(item, body, answer, next, now),
            // A proxy before the server answers 404, too.
            404 | 408 | 425 | 429 | 500..=599 => {
                let verdict = Verdict::Retry { next, status: Some(status) };
                Judged { rest: asked.map(|_| next), ..verdict.into() }
            }
            402 => resting(status, Day(Day::of(now).0.saturating_add(1)).start(), now),
            413 => self.halves(item, body, status, "one event is too large"),
            0..=199 | 300..=399 | 401 | 403 | 405 | 407 | 410 | 415 | 421 | 426 | 451 | 600.. => {
                let stop = Some(answer.words());
                Judged { stop, ..resting(status, after(now, DAY_MS), now) }
            }
            400..=499 => self.halves(item, body, status, &answer.words()),
        }
    }

    fn taken(
        &self,
        item: &Item,
        body: &[u8],
        answer: &Answer,
        next: UnixMs,
        now: UnixMs,
    ) -> Judged {
        let delivered = Verdict::Delivered { status: answer.status };
        match self.form {
            Form::V1 => {
                let results: Results = serde_json::from_slice(&answer.body).unwrap_or_default();
                self.results(item, body, answer.status, &results, next, now)
            }
            Form::Logs | Form::Metrics => {
                let taken: Taken = serde_json::from_slice(&answer.body).unwrap_or_default();
                let Some(reason) = taken.partial_success.reason() else { return delivered.into() };
                if item.uuids.len() == 1 {
                    return Verdict::Refused { status: Some(answer.status), reason }.into();
                }
                let refused = vec![Refusal { uuid: None, reason }];
                Judged { refused, ..delivered.into() }
            }
            Form::V0 | Form::Webhook | Form::Lines => delivered.into(),
        }
    }

    /// What becomes of each event of a batch.
    fn results(
        &self,
        item: &Item,
        body: &[u8],
        status: u16,
        results: &Results,
        next: UnixMs,
        now: UnixMs,
    ) -> Judged {
        let of = |uuid: &Uuid| results.results.get(&uuid.to_string());
        let word = |uuid: &Uuid| of(uuid).map_or("", |result| result.result.as_str());
        let is_limited = item.uuids.iter().any(|uuid| word(uuid) == "limited");
        let again: Vec<bool> =
            item.uuids.iter().map(|uuid| ["retry", "limited"].contains(&word(uuid))).collect();
        let dropped = item.uuids.iter().filter(|uuid| word(uuid) == "drop");
        let refused: Vec<Refusal> = dropped
            .map(|uuid| {
                let details = of(uuid).and_then(|result| result.details.as_deref());
                Refusal { uuid: Some(*uuid), reason: one_line(details.unwrap_or("dropped")) }
            })
            .collect();
        let tomorrow = Day(Day::of(now).0.saturating_add(1)).start();
        let next = if is_limited { next.max(tomorrow) } else { next };
        let verdict = match again.iter().filter(|again| **again).count() {
            0 if refused.len() == item.uuids.len() && !refused.is_empty() => {
                let reason = refused.first().map(|first| first.reason.clone()).unwrap_or_default();
                Verdict::Refused { status: Some(status), reason }
            }
            0 => Verdict::Delivered { status },
            all if all == item.uuids.len() => Verdict::Retry { next, status: Some(status) },
            _ => {
                let is_again = |place: usize| again.get(place).is_some_and(|again| *again);
                let part = part(self.form, item, body, &is_again);
                let retry = Verdict::Retry { next, status: Some(status) };
                part.map_or(retry, |part| Verdict::Split(vec![part]))
            }
        };
        let waits = matches!(verdict, Verdict::Split(_) | Verdict::Retry { .. });
        Judged { refused, rest: waits.then_some(next), ..verdict.into() }
    }

    /// What was stored with a key of PostHog's that is no longer the one of the manifest, with that one. A
    /// body of v0 holds its key; of v1 only a header does.
    fn with_new_key(&self, item: &Item, body: &[u8]) -> Option<Draft> {
        let Sink::PostHog { key, is_v1: false, .. } = &self.sink else { return None };
        let mut whole: V0 = serde_json::from_slice(body).ok()?;
        if whole.api_key == *key {
            return None;
        }
        whole.api_key.clone_from(key);
        let Item { class, event, uuids, day, .. } = item.clone();
        let body = serde_json::to_vec(&whole).ok()?;
        Some(Draft { class, event, uuids, day, body })
    }

    /// Half of the events each, so that what cannot be taken is found; a single one is put aside.
    fn halves(&self, item: &Item, body: &[u8], status: u16, reason: &str) -> Judged {
        let middle = item.uuids.len() / 2;
        let half =
            |is_first: bool| part(self.form, item, body, &|place| (place < middle) == is_first);
        let halves = if middle == 0 { None } else { half(true).zip(half(false)) };
        let refused = || Verdict::Refused { status: Some(status), reason: reason.to_owned() };
        halves.map_or_else(refused, |(one, other)| Verdict::Split(vec![one, other])).into()
    }
}

impl PartialSuccess {
    /// Why something was not taken, if anything was not.
    fn reason(&self) -> Option<String> {
        let counts = [&self.rejected_log_records, &self.rejected_data_points];
        let number = |count: &Count| match count {
            Count::Number(number) => *number,
            Count::Text(text) => text.parse().unwrap_or(0),
        };
        let rejected = counts.into_iter().flatten().map(number).any(|count| count > 0);
        let words = one_line(self.error_message.as_deref().unwrap_or_default());
        rejected.then(|| if words.is_empty() { "rejected".to_owned() } else { words })
    }
}

/// A part of an item, by the places of its events.
fn part(form: Form, item: &Item, body: &[u8], is_kept: &dyn Fn(usize) -> bool) -> Option<Draft> {
    let body = keep(form, body, item.uuids.len(), is_kept)?;
    let uuids = item.uuids.iter().enumerate().filter(|(place, _)| is_kept(*place));
    let uuids = uuids.map(|(_, uuid)| *uuid).collect();
    Some(Draft { class: item.class, event: item.event.clone(), uuids, day: item.day, body })
}

/// Not this one, nor any other, before `until`; then all are due.
fn resting(status: u16, until: UnixMs, now: UnixMs) -> Judged {
    let verdict = Verdict::Retry { next: now, status: Some(status) };
    Judged { rest: Some(until), ..verdict.into() }
}

/// How long to wait after so many attempts.
fn backoff_ms(attempts: u32, jitter: u64) -> i64 {
    let doublings = attempts.saturating_sub(1).min(16);
    let whole = BACKOFF_MIN_MS.saturating_mul(1 << doublings).min(BACKOFF_MAX_MS);
    let spread = u64::try_from(whole / 2).unwrap_or(0).saturating_add(1);
    let more = i64::try_from(jitter % spread).unwrap_or(0);
    (whole - whole / 4).saturating_add(more)
}

/// When an answer asks to be asked again: `Retry-After`, in seconds or as a date.
fn retry_after(answer: &Answer, now: UnixMs) -> Option<UnixMs> {
    let text = answer.header("retry-after")?.trim();
    let seconds = || text.parse::<u64>().ok().and_then(|seconds| i64::try_from(seconds).ok());
    let date = || jiff::fmt::rfc2822::parse(text).ok();
    let wait_ms = match (seconds(), date()) {
        (Some(seconds), _) => seconds.saturating_mul(1_000),
        (None, Some(date)) => date.timestamp().as_millisecond().saturating_sub(now.0).max(0),
        (None, None) => return None,
    };
    Some(after(now, wait_ms.min(ASKED_MAX_MS)))
}

fn after(now: UnixMs, ms: i64) -> UnixMs {
    UnixMs(now.0.saturating_add(ms))
}
