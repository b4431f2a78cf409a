//! What a reply means.

use std::time::Duration;

use serde::Deserialize;
use trueup_core::{Reply, UnixMs, one_line};
use trueup_ledger::{Ack, Frozen, Postponed, Rejected};

use super::compress;

/// Longest wait that a receiver can ask for.
const WAIT_MAX: Duration = Duration::from_hours(1);

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
    /// Something in it is not taken.
    Refused(String),
    /// Nothing is taken here now, whatever it is.
    Shut(String),
}

/// The body of a good reply; every field may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    rejected: Vec<Refusal>,
    retry_after_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    seq: i64,
    #[serde(default)]
    code: String,
    #[serde(default)]
    retryable: bool,
}

/// The encoding that new batches should have, where the receiver says.
pub(super) fn encoding(reply: &Reply) -> Option<&'static str> {
    reply.header("accept-encoding").and_then(compress::best_of)
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
            // The address, the token or the method is wrong: the records are not.
            0..=199 | 300..=399 | 401..=407 | 410 | 421 | 426 | 451 | 600.. => {
                Self::Shut(reply.words())
            }
            400..=499 => Self::Refused(reply.words()),
        }
    }
}

fn taken(body: &[u8], batch: &Frozen) -> Verdict {
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let mut ack = Ack::default();
    let mut listed = body.rejected;
    listed.retain(|refusal| (batch.first_seq..=batch.last_seq).contains(&refusal.seq));
    listed.sort_by_key(|refusal| refusal.seq);
    listed.dedup_by_key(|refusal| refusal.seq);
    for Refusal { seq, code, retryable } in listed {
        let reason = one_line(&code);
        if retryable {
            ack.postponed.push(Postponed { seq, reason });
        } else {
            ack.rejected.push(Rejected { seq, reason });
        }
    }
    let pause = body.retry_after_ms.filter(|ms| *ms > 0);
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
        let body = r#"{"accepted":8,"rejected":[{"seq":12,"code":"bad\nmodel"},{"seq":11,"code":"busy","retryable":true},{"seq":12},{"seq":99}],"retry_after_ms":1500}"#;
        let expected = Ack {
            rejected: vec![Rejected { seq: 12, reason: "bad model".into() }],
            postponed: vec![Postponed { seq: 11, reason: "busy".into() }],
            next_at: None,
        };
        let pause = Some(Duration::from_millis(1_500));
        assert_eq!(verdict(202, None, body), Verdict::Taken(expected, pause));
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
