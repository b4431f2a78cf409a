//! HTTP as values: what is asked, and what was answered.
//!
//! Whoever knows a service says what to ask of it and what an answer means; whoever has sockets sends
//! it. Neither needs the other to be tested. A secret is in neither: it is added where it is sent.

use std::borrow::Cow;
use std::time::Duration;

use crate::UnixMs;

/// Longest wait that a `Retry-After` can ask for.
const WAIT_MAX: Duration = Duration::from_hours(1);
/// Bytes of somebody else's words that are kept.
const WORDS_BYTES_MAX: usize = 200;

/// A `GET` of something below the address of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// What follows the service's address, beginning with a slash.
    pub path: Cow<'static, str>,
    /// Names and values of the query, in order; a name may come again.
    pub query: Vec<(String, String)>,
    /// Headers beside those of the connection.
    pub headers: Vec<(&'static str, &'static str)>,
}

impl Request {
    /// The path and the query. A value can never end the query or begin another parameter.
    #[must_use]
    pub fn target(&self) -> String {
        let mut target = self.path.clone().into_owned();
        for (at, (name, value)) in self.query.iter().enumerate() {
            target.push(if at == 0 { '?' } else { '&' });
            encode(name, &mut target);
            target.push('=');
            encode(value, &mut target);
        }
        target
    }
}

/// Percent-encodes everything but the unreserved characters of RFC 3986 (section 2.3).
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let hex = |half: u8| {
                char::from(b"0123456789ABCDEF".get(usize::from(half)).map_or(b'0', |hex| *hex))
            };
            out.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
}

/// What was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Names, in lower case, and values of those headers that are text.
    pub headers: Vec<(String, String)>,
    /// The body, or its beginning where it was longer than was asked for.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of this name, which is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// `Retry-After`: seconds, or a date.
    #[must_use]
    pub fn retry_after(&self, now: UnixMs) -> Option<Duration> {
        let text = self.header("retry-after")?.trim();
        let seconds = text.parse().ok().map(Duration::from_secs);
        let until = || {
            let date = jiff::fmt::rfc2822::parse(text).ok()?;
            let ms = date.timestamp().as_millisecond().saturating_sub(now.0);
            Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
        };
        seconds.or_else(until).map(|wait| wait.min(WAIT_MAX))
    }

    /// The status, and what the service says about it.
    #[must_use]
    pub fn words(&self) -> String {
        let words = one_line(&String::from_utf8_lossy(&self.body));
        let Self { status, .. } = self;
        if words.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {words}") }
    }
}

/// Somebody else's words, short and on one line.
#[must_use]
pub fn one_line(words: &str) -> String {
    let words = words.get(..words.floor_char_boundary(WORDS_BYTES_MAX)).unwrap_or_default();
    let words: Vec<&str> = words
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_one_value() {
        let query = vec![
            ("group_by[]".to_owned(), "model".to_owned()),
            ("page".to_owned(), "https://evil.example/?a=b&c#d/é".to_owned()),
        ];
        let request = Request { path: "/usage".into(), query, headers: Vec::new() };
        assert_eq!(
            request.target(),
            "/usage?group_by%5B%5D=model&page=https%3A%2F%2Fevil.example%2F%3Fa%3Db%26c%23d%2F%C3%A9"
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now = UnixMs::parse_rfc3339("2026-11-20T22:08:00Z").unwrap();
        let wait = |value: &str| {
            let headers = vec![("retry-after".to_owned(), value.to_owned())];
            Reply { headers, ..Reply::default() }.retry_after(now)
        };
        for (value, seconds) in [
            ("7", Some(7)),
            ("Fri, 20 Nov 2026 22:08:30 GMT", Some(30)),
            ("Fri, 20 Nov 2026 22:07:30 GMT", Some(0)),
            ("99999999", Some(3_600)),
            ("soon", None),
        ] {
            assert_eq!(wait(value), seconds.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn words_are_short_and_on_one_line() {
        let body = format!("two\n words\u{7} {}", "é".repeat(300)).into_bytes();
        let words = Reply { status: 502, body, ..Reply::default() }.words();
        assert!(words.starts_with("HTTP 502: two words é") && words.len() < 220, "{words}");
    }
}
