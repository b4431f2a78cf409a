//! Posts alerts to the one address that its owner named.
//!
//! The body is one JSON object; `idempotency-key` is the alert's id, the same at every try. What proves
//! who sends is the bearer token, as of a push: nothing is signed.

use std::time::Duration;

use anyhow::{Result, bail};
use trueup_core::{Reply, one_line};
use trueup_ledger::AlertDelivery;

use crate::clock;
use crate::config::Config;
use crate::net::{self, Address, backoff, random};
use crate::secret::Secret;

/// Tries in a row; after that it rests.
const TRIES_MAX: u32 = 3;
/// Time for one of them.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Longest wait between tries that a receiver can ask for; for more it rests.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Bytes of a reply that are read, so that the connection can be used again; none is kept.
const REPLY_BYTES_MAX: u64 = 4 << 10;

/// Where to, and by which token.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    url: Secret,
    token: Option<Secret>,
}

impl Settings {
    /// Reads and checks them; `None` where no address is set.
    pub(super) fn of(config: &Config) -> Result<Option<Self>> {
        let token = Secret::of(config, "alert_webhook_token", "alert_webhook_token_file")?;
        let Some(url) = config.text("alert_webhook") else { return Ok(None) };
        let origin = config.value("alert_webhook").1;
        let is_safe = Address::of(url).is_ok_and(|address| !address.is_in_the_clear());
        // Its words are not repeated: the path of many a webhook is its password.
        let Some(url) = Secret::new(url).filter(|_| is_safe) else {
            bail!(
                "alert_webhook (from {origin}): it must be an https:// URL, or http:// on this machine, \
                 without a name and password"
            );
        };
        Ok(Some(Self { url, token }))
    }
}

/// An HTTP client for one address.
pub(super) struct Webhook {
    agent: ureq::Agent,
    settings: Settings,
}

/// What came of a post.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Taken,
    /// This alert will never be taken.
    Refused(String),
    /// Later, perhaps; not before a while, where the receiver says so.
    Failed(String, Option<Duration>),
}

impl Webhook {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { agent: net::agent(), settings: settings.clone() }
    }

    /// Posts an alert, up to three times with full jitter between them.
    pub(super) fn post(&self, alert: &AlertDelivery, pause: &dyn Fn(Duration) -> bool) -> Answer {
        let mut tries = 1;
        loop {
            let answer = self.try_once(alert);
            let Answer::Failed(_, asked) = &answer else { return answer };
            let wait = asked.unwrap_or_else(|| backoff(tries, random()));
            if tries >= TRIES_MAX || wait > PAUSE_MAX || !pause(wait) {
                return answer;
            }
            tries += 1;
        }
    }

    fn try_once(&self, alert: &AlertDelivery) -> Answer {
        let mut request = self
            .agent
            .post(self.settings.url.reveal())
            .config()
            .timeout_global(Some(TIME_MAX))
            .build()
            .header("content-type", "application/json")
            .header("idempotency-key", &alert.alert_id);
        if let Some(token) = &self.settings.token {
            request = request.header("authorization", format!("Bearer {}", token.reveal()));
        }
        let reply = request.send(alert.body.as_bytes()).map_err(|error| self.words(&error));
        match reply.and_then(|reply| net::read(reply, REPLY_BYTES_MAX)) {
            Ok(reply) => meaning(&reply),
            Err(words) => Answer::Failed(words, None),
        }
    }

    /// What went wrong, without the address.
    fn words(&self, error: &ureq::Error) -> String {
        without_address(&error.to_string(), self.settings.url.reveal())
    }
}

/// Words without an address, and without the part of it behind the host, in which its secret is.
fn without_address(words: &str, url: &str) -> String {
    let words = words.replace(url, "…");
    let address = Address::of(url).ok();
    let target = address.as_ref().map_or("", Address::target);
    one_line(&if target.len() > "/".len() { words.replace(target, "…") } else { words })
}

/// What a reply means. Its own words are not repeated: many a receiver names the path that it was asked
/// for, and that is a password.
fn meaning(reply: &Reply) -> Answer {
    let rest = reply.retry_after(clock::now());
    let words = format!("HTTP {}", reply.status);
    match reply.status {
        200..=299 => Answer::Taken,
        // The address, the token or the method is wrong, or nobody is there: the alert is not at fault.
        0..=399 | 401..=408 | 410 | 421 | 425 | 426 | 429 | 451 | 500.. => {
            Answer::Failed(words, rest)
        }
        // It is known under its id already.
        409 => Answer::Taken,
        400..=499 => Answer::Refused(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Result<Option<Settings>> {
        let variables = [("TRUEUP_ALERT_WEBHOOK".to_owned(), url.to_owned())];
        Settings::of(&Config::resolve(variables.into(), None, &[])?)
    }

    #[test]
    fn an_address_is_safe_and_never_shown() {
        for url in [
            "https://hooks.example/s3cret",
            "https://hooks.example/s3cret/@ops",
            "http://127.0.0.1:9/s3cret",
            "http://[::1]/x",
        ] {
            let settings = settings(url).unwrap().unwrap();
            assert!(!format!("{settings:?}").contains("s3cret"));
        }
        for url in [
            "http://hooks.example/s3cret",
            "hooks.example",
            "https://me:s3cret@x.example/",
            "ftp://x/",
        ] {
            let refused = settings(url).unwrap_err().to_string();
            assert!(refused.starts_with("alert_webhook (from TRUEUP_ALERT_WEBHOOK)"), "{refused}");
            assert!(!refused.contains("s3cret"), "{refused}");
        }
        assert!(settings("").unwrap().is_none());
    }

    #[test]
    fn no_words_have_the_address_or_its_path() {
        let url = "https://hooks.example/s3cret?k=s3cret";
        for words in [format!("cannot reach {url}"), "bad path /s3cret?k=s3cret".to_owned()] {
            let told = without_address(&words, url);
            assert!(told.ends_with(" …"), "{told}");
        }
        assert_eq!(without_address("no host/name", "https://hooks.example/"), "no host/name");
    }

    #[test]
    fn every_answer_has_its_meaning() {
        let of = |status: u16| {
            meaning(&Reply {
                status,
                headers: vec![("retry-after".into(), "7".into())],
                body: b"Cannot POST /s3cret".to_vec(),
            })
        };
        for status in [200, 204, 409] {
            assert_eq!(of(status), Answer::Taken, "{status}");
        }
        for status in [301, 401, 403, 404, 408, 429, 500, 503] {
            let words = format!("HTTP {status}");
            assert_eq!(of(status), Answer::Failed(words, Some(Duration::from_secs(7))));
        }
        for status in [400, 413, 422] {
            assert_eq!(of(status), Answer::Refused(format!("HTTP {status}")));
        }
    }
}
