//! Sends what is asked to the one address of a connection, again where that may help.

use std::time::{Duration, Instant};

use trueup_core::{Issue, IssueCode, Reply, Request, UnixMs, one_line};
use trueup_providers::Auth;

use super::Connection;
use super::rate::Rate;
use crate::net::{self, backoff, random};
use crate::{clock, secret::Secret};

/// Tries of one request.
const TRIES_MAX: u32 = 5;
/// Time that one request may take.
const REQUEST_TIME_MAX: Duration = Duration::from_mins(1);
/// Largest answer that is read.
const BODY_BYTES_MAX: u64 = 64 << 20;
/// Longest wait that is waited; who asks for more is asked again by a later pull.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// Waits, unless the process ends first: then it is `false`.
pub(crate) type Pause<'a> = &'a dyn Fn(Duration) -> bool;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The process is to end: nothing is wrong, and nothing more is asked.
    Stopped,
    /// None came.
    Issue(Issue),
}

/// A client for one connection. It knows one address, and goes nowhere else.
pub(crate) struct Client {
    agent: ureq::Agent,
    address: String,
    auth: Auth,
    key: Secret,
    rate: Rate,
}

impl Client {
    /// A client that has not connected yet.
    pub(crate) fn new(connection: &Connection) -> Self {
        Self {
            agent: net::agent(),
            address: connection.address.clone(),
            auth: connection.provider.auth(),
            key: connection.key.clone(),
            rate: Rate::new(connection.requests_per_minute),
        }
    }

    /// Asks, and asks again while the other side is busy or failing. What comes back is its last
    /// answer, or why there is none.
    pub(crate) fn get(&mut self, request: &Request, pause: Pause<'_>) -> Result<Reply, Unanswered> {
        let mut tries = 0;
        loop {
            tries += 1;
            // Also where there is nothing to wait for: nothing is asked once the process is to end.
            if !pause(self.rate.take(Instant::now())) {
                return Err(Unanswered::Stopped);
            }
            let answer = self.send(request);
            let asked = answer.as_ref().ok().and_then(|reply| reply.retry_after(clock::now()));
            let is_final = answer.as_ref().is_ok_and(|reply| !is_busy(reply.status));
            if is_final || tries == TRIES_MAX || asked.is_some_and(|asked| asked > WAIT_MAX) {
                return answer.map_err(Unanswered::Issue);
            }
            if !pause(asked.unwrap_or_else(|| backoff(tries, random()))) {
                return Err(Unanswered::Stopped);
            }
        }
    }

    fn send(&self, request: &Request) -> Result<Reply, Issue> {
        let target = format!("{}{}", self.address, request.target());
        let mut call =
            self.agent.get(target).config().timeout_global(Some(REQUEST_TIME_MAX)).build();
        call = match self.auth {
            Auth::Bearer => call.header("authorization", format!("Bearer {}", self.key.reveal())),
            Auth::Header(name) => call.header(name, self.key.reveal()),
        };
        for (name, value) in &request.headers {
            call = call.header(*name, *value);
        }
        let unreachable = |words: &str| Issue::new(IssueCode::Unreachable, self.clean(words));
        let reply = call.call().map_err(|error| unreachable(&error.to_string()))?;
        let mut reply =
            net::read(reply, BODY_BYTES_MAX + 1).map_err(|words| unreachable(&words))?;
        if reply.body.len() as u64 > BODY_BYTES_MAX {
            let detail = format!("an answer is larger than {BODY_BYTES_MAX} bytes");
            return Err(Issue::new(IssueCode::BodyTooLarge, detail));
        }
        if reply.status != 200 {
            // Its words are shown, and may repeat what was sent. All of them are kept: what is refused
            // may be named anywhere.
            reply.body = self.without_key(&String::from_utf8_lossy(&reply.body)).into_bytes();
        }
        Ok(reply)
    }

    /// Words without the key, short and on one line.
    fn clean(&self, words: &str) -> String {
        one_line(&self.without_key(words))
    }

    fn without_key(&self, words: &str) -> String {
        words.replace(self.key.reveal(), "…")
    }
}

/// Whether the same may be answered otherwise soon.
const fn is_busy(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// How far the clocks may be apart.
const SKEW_MS_MAX: i64 = 5 * 60_000;

/// Whether the other side's clock and ours differ: then days begin at different times.
pub(super) fn skew(reply: &Reply, now: UnixMs) -> Option<Issue> {
    let date = jiff::fmt::rfc2822::parse(reply.header("date")?).ok()?;
    let apart_ms = now.0.saturating_sub(date.timestamp().as_millisecond());
    (apart_ms.abs() > SKEW_MS_MAX).then(|| {
        let (minutes, side) =
            (apart_ms.abs() / 60_000, if apart_ms > 0 { "ahead of" } else { "behind" });
        let detail = format!("this machine's clock is {minutes} minutes {side} the provider's");
        Issue::new(IssueCode::ClockSkew, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_end_asks_nothing_and_is_told_of_no_fault() {
        // Nobody listens there.
        let key = crate::pull::key_of("sk-admin-s3cret").unwrap();
        let connection = Connection::new("main", "openai", "http://127.0.0.1:1", key).unwrap();
        for pauses in [0, 1] {
            let left = std::cell::Cell::new(pauses);
            let pause = |_| left.replace(left.get() - 1) > 0;
            let answer = Client::new(&connection).get(&Request::default(), &pause);
            assert!(matches!(answer, Err(Unanswered::Stopped)), "{answer:?}");
        }
    }

    #[test]
    fn clocks_that_are_far_apart_are_told() {
        let now = UnixMs::parse_rfc3339("2026-11-20T22:08:00Z").unwrap();
        let reply = |date: &str| Reply {
            headers: vec![("date".to_owned(), date.to_owned())],
            ..Reply::default()
        };
        assert_eq!(skew(&reply("Fri, 20 Nov 2026 22:05:00 GMT"), now), None);
        assert_eq!(skew(&reply("yesterday"), now), None);
        let told = skew(&reply("Fri, 20 Nov 2026 20:08:00 GMT"), now).unwrap();
        assert_eq!(told.code, IssueCode::ClockSkew);
        assert!(told.detail.contains("120 minutes ahead of the provider's"), "{told}");
        let told = skew(&reply("Sat, 21 Nov 2026 00:08:00 GMT"), now).unwrap();
        assert!(told.detail.contains("120 minutes behind the provider's"), "{told}");
    }
}
