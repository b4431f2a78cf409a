//! What a reply means.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use trueup_core::{Reply, UnixMs, one_line};
use trueup_ledger::{Ack, Frozen, Postponed, Rejected};

use super::batch::FORMAT;
use super::compress;

/// Longest wait that a receiver can ask for.
const WAIT_MAX: Duration = Duration::from_hours(1);

/// Longest time between two cycles that a receiver can ask for.
const NEXT_SECONDS_MAX: u32 = 3_600;
/// Longest silence that a receiver can allow before it wants to hear that we are there.
const HEARTBEAT_SECONDS_MAX: u32 = 24 * 3_600;

/// Bytes of a reply that are read, whatever was sent.
const REPLY_BYTES: u64 = 64 << 10;
/// Bytes of a reply that are read for each record that was sent: each may be refused with a reason.
pub(crate) const REFUSAL_BYTES: u64 = 1 << 10;

/// 2248-09-26: no batch is of a later time, whoever says so.
const BATCH_AT_MAX: UnixMs = UnixMs(1 << 43);

/// What a receiver says beside what it took: what it wants from now on, and what it knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// So much time between two cycles.
    pub(super) interval: Option<Duration>,
    /// To hear that we are there after so many seconds of silence; 0 is never.
    pub(super) heartbeat_seconds: Option<u32>,
    /// When the newest batch of this ledger was made that it had before this one.
    pub(super) newest_at: Option<UnixMs>,
}

/// What becomes of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Taken, but for what is listed; the next one not before a while.
    Taken(Ack, Option<Duration>),
    /// The same again, later.
    Later(String, Option<Duration>),
    /// Too large: 413.
    TooLarge,
    /// Compressed in a way that the receiver does not read: 415.
    Unread,
    /// Known under the same id with other bytes: 409.
    Conflict,
    /// Taken, and nobody knows what of it: the reply does not end where reading it did.
    Unheard(String),
    /// Something in it is not taken.
    Refused(String),
    /// Nothing is taken here now, whatever it is.
    Shut(String),
}

/// The body of a good reply; every field may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    rejected: Option<Vec<Refusal>>,
    // Any value: one that makes no sense must not make the others unread.
    retry_after_ms: Value,
    next_push_seconds: Value,
    heartbeat_seconds: Value,
    newest_at: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refusal {
    seq: Value,
    code: Value,
    message: Value,
    retryable: Value,
}

/// Bytes of the reply to a batch that are read: enough to refuse each of its records.
pub(super) const fn reply_bytes_max(batch: &Frozen) -> u64 {
    REPLY_BYTES.saturating_add(batch.events.saturating_mul(REFUSAL_BYTES))
}

/// The encoding that new batches should have, where the receiver says.
pub(super) fn encoding(reply: &Reply) -> Option<&'static str> {
    reply.header("accept-encoding").and_then(compress::best_of)
}

/// What the receiver wants from now on, where it took the batch and says so.
pub(super) fn wishes(reply: &Reply) -> Wishes {
    let Body { next_push_seconds, heartbeat_seconds, newest_at, .. } = match reply.status {
        200..=299 => read(&reply.body),
        _ => Body::default(),
    };
    let at_most = |value: &Value, most: u32| {
        value.as_u64().map(|seconds| u32::try_from(seconds).unwrap_or(most).min(most))
    };
    let interval = at_most(&next_push_seconds, NEXT_SECONDS_MAX).filter(|seconds| *seconds > 0);
    Wishes {
        interval: interval.map(|seconds| Duration::from_secs(seconds.into())),
        heartbeat_seconds: at_most(&heartbeat_seconds, HEARTBEAT_SECONDS_MAX),
        newest_at: newest_at.as_i64().map(UnixMs).filter(|at| *at < BATCH_AT_MAX),
    }
}

impl Verdict {
    /// What the reply to a batch means.
    pub(super) fn of(reply: &Reply, batch: &Frozen, now: UnixMs) -> Self {
        match reply.status {
            200..=299 => taken(&reply.body, batch),
            408 | 425 | 429 | 500..=599 => Self::Later(reply.words(), reply.retry_after(now)),
            409 => Self::Conflict,
            413 => Self::TooLarge,
            415 => Self::Unread,
            426 => Self::Shut(other_version(reply)),
            // The address, the token or the method is wrong: the records are not.
            0..=199 | 300..=399 | 401..=407 | 410 | 421 | 451 | 600.. => Self::Shut(reply.words()),
            400..=499 => Self::Refused(reply.words()),
        }
    }
}

/// 426: which versions of the format the receiver reads, where it says so.
fn other_version(reply: &Reply) -> String {
    let words = reply.words();
    match reply.header("trueup-ingest-versions").map(one_line) {
        Some(read) => format!(
            "{words} (the receiver reads version {read} of the format, and this trueup sends \
             {FORMAT}: update the older of the two)"
        ),
        None => words,
    }
}

/// A good reply's body: a receiver may say anything, or nothing.
fn read(body: &[u8]) -> Body {
    serde_json::from_slice(body).unwrap_or_default()
}

fn taken(body: &[u8], batch: &Frozen) -> Verdict {
    let bytes_max = reply_bytes_max(batch);
    let body = match serde_json::from_slice::<Body>(body) {
        // What it says against records may stand behind its end.
        Err(error) if error.is_eof() && body.len() as u64 >= bytes_max => {
            return Verdict::Unheard(format!("the answer is longer than {bytes_max} bytes"));
        }
        read => read.unwrap_or_default(),
    };
    let mut ack = Ack::default();
    let place = |refusal: Refusal| Some((refusal.seq.as_i64()?, refusal));
    let mut listed: Vec<_> =
        body.rejected.unwrap_or_default().into_iter().filter_map(place).collect();
    listed.retain(|(seq, _)| (batch.first_seq..=batch.last_seq).contains(seq));
    listed.sort_by_key(|(seq, _)| *seq);
    listed.dedup_by_key(|(seq, _)| *seq);
    for (seq, Refusal { code, message, retryable, .. }) in listed {
        let words = [&code, &message].map(|words| words.as_str().unwrap_or_default());
        let reason = match words {
            ["", words] | [words, ""] => one_line(words),
            [code, message] => one_line(&format!("{code}: {message}")),
        };
        if retryable == true {
            ack.postponed.push(Postponed { seq, reason });
        } else {
            ack.rejected.push(Rejected { seq, reason });
        }
    }
    let pause = body.retry_after_ms.as_u64().filter(|ms| *ms > 0);
    Verdict::Taken(ack, pause.map(|ms| Duration::from_millis(ms).min(WAIT_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const NOW: UnixMs = UnixMs(1_795_212_509_000);

    fn batch() -> Frozen {
        Frozen {
            id: String::new(),
            created_at: NOW,
            first_seq: 10,
            last_seq: 19,
            events: 10,
            bytes: 0,
            is_cut: false,
            encoding: "gzip".into(),
            attempts: 0,
            body: Arc::default(),
        }
    }

    fn verdict(status: u16, retry_after: Option<&str>, body: &str) -> Verdict {
        let headers = retry_after.map(|value| ("retry-after".to_owned(), value.to_owned()));
        let reply = Reply { status, headers: headers.into_iter().collect(), body: body.into() };
        Verdict::of(&reply, &batch(), NOW)
    }

    #[test]
    fn any_2xx_is_an_acknowledgement() {
        for status in [200, 201, 202, 204, 299] {
            for body in ["", "ok", "{", r#"{"accepted":10}"#, "[1]"] {
                assert_eq!(verdict(status, None, body), Verdict::Taken(Ack::default(), None));
            }
        }
    }

    #[test]
    fn a_partial_acknowledgement_lists_what_is_not_taken() {
        let body = r#"{"accepted":8,"rejected":[{"seq":12,"code":"bad\nmodel"},{"seq":11,"code":"busy","message":"come\nlater","retryable":true},{"seq":12},{"seq":99}],"retry_after_ms":1500}"#;
        let expected = Ack {
            rejected: vec![Rejected { seq: 12, reason: "bad model".into() }],
            postponed: vec![Postponed { seq: 11, reason: "busy: come later".into() }],
            next_at: None,
        };
        let pause = Some(Duration::from_millis(1_500));
        assert_eq!(verdict(202, None, body), Verdict::Taken(expected, pause));
    }

    #[test]
    fn what_is_said_of_one_record_hides_nothing_of_others() {
        let body = r#"{"rejected":[{"seq":null,"code":"odd"},{"code":"odder"},{"seq":12,"code":7,"message":"no","retryable":"perhaps"}],"newest_at":5}"#;
        let rejected = vec![Rejected { seq: 12, reason: "no".into() }];
        let expected = Ack { rejected, ..Ack::default() };
        assert_eq!(verdict(200, None, body), Verdict::Taken(expected, None));
        let null = r#"{"rejected":null,"retry_after_ms":7}"#;
        let pause = Some(Duration::from_millis(7));
        assert_eq!(verdict(200, None, null), Verdict::Taken(Ack::default(), pause));
    }

    #[test]
    fn an_answer_of_which_the_end_was_not_read_is_none() {
        let long = |words: usize| {
            format!(r#"{{"words":"{}","rejected":[{{"seq":12}}]}}"#, "w".repeat(words))
        };
        let most = usize::try_from(reply_bytes_max(&batch())).unwrap();
        let Verdict::Taken(ack, None) = verdict(200, None, &long(most - 100)) else { panic!() };
        assert_eq!(ack.rejected.len(), 1);
        let cut = long(most);
        let Verdict::Unheard(words) = verdict(200, None, cut.get(..most).unwrap()) else {
            panic!()
        };
        assert_eq!(words, "the answer is longer than 75776 bytes");
        // What is no JSON says nothing of records, however long it is.
        let page = "<html>".repeat(most);
        assert_eq!(
            verdict(200, None, page.get(..most).unwrap()),
            Verdict::Taken(Ack::default(), None)
        );
    }

    #[test]
    fn a_receiver_says_when_it_wants_to_hear_of_us() {
        let wishes =
            |status, body: &str| wishes(&Reply { status, body: body.into(), ..Reply::default() });
        let both = r#"{"next_push_seconds":60,"heartbeat_seconds":300}"#;
        let minute = Some(Duration::from_mins(1));
        assert_eq!(
            wishes(200, both),
            Wishes { interval: minute, heartbeat_seconds: Some(300), newest_at: None }
        );
        for (status, body) in [
            (503, both),
            (204, ""),
            (200, "[]"),
            (200, r#"{"accepted":1}"#),
            (200, r#"{"next_push_seconds":"soon","heartbeat_seconds":-1}"#),
        ] {
            assert_eq!(wishes(status, body), Wishes::default(), "{body}");
        }
        let known = wishes(200, r#"{"newest_at":1795212509000}"#);
        assert_eq!(known.newest_at, Some(UnixMs(1_795_212_509_000)));
        assert_eq!(wishes(200, r#"{"newest_at":9223372036854775807}"#), Wishes::default());
        let none = wishes(200, r#"{"next_push_seconds":0,"heartbeat_seconds":0}"#);
        assert_eq!(none, Wishes { heartbeat_seconds: Some(0), ..Wishes::default() });
        let most = wishes(200, r#"{"next_push_seconds":99999,"heartbeat_seconds":4294967296}"#);
        let hour = Some(Duration::from_hours(1));
        assert_eq!(
            most,
            Wishes { interval: hour, heartbeat_seconds: Some(86_400), newest_at: None }
        );
    }

    #[test]
    fn a_version_that_is_not_read_is_told_with_those_that_are() {
        let headers = vec![("trueup-ingest-versions".to_owned(), "2, 3".to_owned())];
        let reply = Reply { status: 426, headers, body: b"too old".to_vec() };
        let Verdict::Shut(words) = Verdict::of(&reply, &batch(), NOW) else { panic!() };
        let expected = "HTTP 426: too old (the receiver reads version 2, 3 of the format, and this \
             trueup sends 1: update the older of the two)";
        assert_eq!(words, expected);
        assert_eq!(verdict(426, None, ""), Verdict::Shut("HTTP 426".into()));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        for (header, expected_s) in [
            (None, None),
            (Some("7"), Some(7)),
            (Some(" 86400 "), Some(3_600)),
            (Some("Fri, 20 Nov 2026 22:08:59 GMT"), Some(30)),
            (Some("Fri, 20 Nov 2026 22:08:00 GMT"), Some(0)),
            (Some("Sat, 21 Nov 2026 22:08:00 GMT"), Some(3_600)),
            (Some("soon"), None),
        ] {
            let expected = expected_s.map(Duration::from_secs);
            assert_eq!(verdict(503, header, ""), Verdict::Later("HTTP 503".into(), expected));
        }
    }

    #[test]
    fn every_other_status_has_its_meaning() {
        for status in [408, 425, 429, 500, 502, 503, 504, 507] {
            assert!(matches!(verdict(status, None, ""), Verdict::Later(..)), "{status}");
        }
        for status in [301, 302, 307, 401, 403, 404, 405, 410] {
            assert!(matches!(verdict(status, None, ""), Verdict::Shut(_)), "{status}");
        }
        for status in [400, 411, 412, 417, 418, 422, 431] {
            assert!(matches!(verdict(status, None, ""), Verdict::Refused(_)), "{status}");
        }
        assert_eq!(verdict(413, None, ""), Verdict::TooLarge);
        assert_eq!(verdict(415, None, ""), Verdict::Unread);
        assert_eq!(verdict(409, None, ""), Verdict::Conflict);
        let words = Verdict::Refused("HTTP 422: no such model".into());
        assert_eq!(verdict(422, None, " no such\r\n model\u{1b}"), words);
    }
}
