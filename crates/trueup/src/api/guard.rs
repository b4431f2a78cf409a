//! Who may ask.
//!
//! A page in somebody's browser can send requests to this machine, under a name of its own that
//! points here (DNS rebinding) or across origins. On a loopback address only requests to a loopback
//! name are answered, and nowhere those of a foreign page. With a token set, every path but health
//! demands it; but for the daily pull, which has a secret of its own.

use std::fmt;
use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{Problem, cron};
use crate::secret::Secret;

/// The path that is answered to everybody: supervisors have no token.
pub(super) const HEALTH_PATH: &str = "/health";

/// The path of the dashboard.
const PAGE_PATH: &str = "/";

/// What the paths begin with that no page may ask, of whatever origin.
pub(super) const TELEMETRY_PATHS: &str = "/v1/telemetry/";

/// A token, kept only as its hash.
#[derive(Clone)]
pub(crate) struct Token(blake3::Hash);

impl Token {
    /// What clients must send.
    pub(crate) fn new(secret: &Secret) -> Self {
        Self(blake3::hash(secret.reveal().as_bytes()))
    }

    /// Whether a text is the token. How long that takes says nothing about either: hashes are
    /// compared, and in constant time.
    pub(crate) fn is(&self, text: &str) -> bool {
        blake3::hash(text.as_bytes()) == self.0
    }

    /// Whether a request shows it, as `Authorization: Bearer …`, or as the password that a browser asks
    /// a person for.
    pub(super) fn is_shown(&self, headers: &HeaderMap) -> bool {
        shown_secret(headers).is_some_and(|secret| self.is(&secret))
    }
}

/// The secret that a request shows, as `Authorization: Bearer …`, or as the password that a browser asks a
/// person for.
pub(crate) fn shown_secret(headers: &HeaderMap) -> Option<String> {
    let sent = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, text) = sent.split_once(' ')?;
    match text.trim() {
        secret if scheme.eq_ignore_ascii_case("bearer") => Some(secret.to_owned()),
        credentials if scheme.eq_ignore_ascii_case("basic") => password(credentials),
        _ => None,
    }
}

/// The password of basic credentials (RFC 7617), whoever the user is.
fn password(credentials: &str) -> Option<String> {
    let plain = String::from_utf8(BASE64_STANDARD.decode(credentials).ok()?).ok()?;
    plain.split_once(':').map(|(_, password)| password.to_owned())
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Decides on requests before anything else sees them.
#[derive(Debug)]
pub(crate) struct Guard {
    token: Option<Token>,
    is_on_loopback: bool,
}

impl Guard {
    /// The guard of a listener on `address`.
    pub(crate) fn new(token: Option<Token>, address: IpAddr) -> Self {
        Self { token, is_on_loopback: address.to_canonical().is_loopback() }
    }

    /// Whether a request may go on.
    pub(super) fn admit(&self, request: &Request) -> Result<(), Problem> {
        let headers = request.headers();
        let host = host(request.uri(), headers)?;
        if self.is_on_loopback && !is_loopback(host) {
            let message =
                "the Host of this request is not a loopback name: use 127.0.0.1 or localhost";
            return Err(forbidden(message));
        }
        if !is_own_origin(headers, host) {
            return Err(forbidden("requests of pages of other origins are not answered"));
        }
        let path = request.uri().path();
        if path.starts_with(TELEMETRY_PATHS) && headers.contains_key(header::ORIGIN) {
            return Err(forbidden("requests of pages are not answered here"));
        }
        let needs_token = path != HEALTH_PATH && path != cron::PATH;
        if needs_token && !self.knows(headers) {
            let message = "send the token: `Authorization: Bearer …`";
            // Only the page has a person before it; browsers send what she says to all other paths, too.
            let challenge = if path == PAGE_PATH { "Basic realm=\"trueup\"" } else { "Bearer" };
            return Err(Problem::new(StatusCode::UNAUTHORIZED, message)
                .with(header::WWW_AUTHENTICATE, challenge));
        }
        Ok(())
    }

    /// Whether a client has shown the token, where there is one.
    pub(super) fn knows(&self, headers: &HeaderMap) -> bool {
        self.token.as_ref().is_none_or(|token| token.is_shown(headers))
    }
}

fn forbidden(message: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, message)
}

/// The one host that a request is for.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (uri.authority(), hosts.next(), hosts.next()) {
        (_, _, Some(_)) => None,
        (Some(authority), _, None) => Some(authority.as_str()),
        (None, host, None) => host.and_then(|host| host.to_str().ok()),
    };
    host.ok_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST, "a request must have exactly one Host header")
    })
}

/// Whether the host is this machine under a name that nobody else can give to a page.
fn is_loopback(host: &str) -> bool {
    let name = without_port(host);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let is_address =
        address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    is_address || name.eq_ignore_ascii_case("localhost")
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a request comes from no page, from our own, or from one on this machine.
fn is_own_origin(headers: &HeaderMap, host: &str) -> bool {
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let from = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        from.is_some_and(|from| from.eq_ignore_ascii_case(host) || is_loopback(from))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn status(guard: &Guard, path: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        guard.admit(&request).map_or_else(
            |problem| axum::response::IntoResponse::into_response(problem).status().as_u16(),
            |()| 200,
        )
    }

    fn guard(token: Option<&str>, address: &str) -> Guard {
        let token = token.map(|token| Token::new(&Secret::new(token).unwrap()));
        Guard::new(token, address.parse().unwrap())
    }

    #[test]
    fn only_loopback_names_are_answered_on_loopback() {
        let guard = guard(None, "127.0.0.1");
        for (host, expected) in [
            ("127.0.0.1:9090", 200),
            ("127.0.0.1", 200),
            ("localhost:9090", 200),
            ("LOCALHOST", 200),
            ("[::1]:9090", 200),
            ("127.8.8.8", 200),
            ("[::ffff:127.0.0.1]:1", 200),
            ("evil.example:9090", 403),
            ("localhost.evil.example", 403),
            ("127.0.0.1.evil.example", 403),
            ("0.0.0.0:9090", 403),
            ("192.168.1.7", 403),
            ("", 403),
            ("localhost:9090@evil.example", 403),
        ] {
            assert_eq!(status(&guard, "/", &[("host", host)]), expected, "{host}");
        }
        assert_eq!(status(&guard, "/", &[]), 400);
        assert_eq!(status(&guard, "/", &[("host", "localhost"), ("host", "evil.example")]), 400);
        assert_eq!(status(&guard, "http://evil.example/", &[("host", "localhost")]), 403);
    }

    #[test]
    fn pages_of_other_origins_are_refused_everywhere() {
        let loopback = guard(None, "::1");
        for (origin, expected) in [
            ("http://localhost:3000", 200),
            ("https://127.0.0.1", 200),
            ("https://evil.example", 403),
            ("http://localhost.evil.example", 403),
            ("null", 403),
            ("file://", 403),
            ("", 403),
        ] {
            let headers = [("host", "localhost:9090"), ("origin", origin)];
            assert_eq!(status(&loopback, "/v1/traces", &headers), expected, "{origin}");
        }
        let open = guard(Some("t"), "0.0.0.0");
        let own = ("host", "usage.example:9090");
        let token = ("authorization", "Bearer t");
        for (origin, expected) in
            [("http://usage.example:9090", 200), ("http://usage.example:1", 403)]
        {
            let headers = [own, token, ("origin", origin)];
            assert_eq!(status(&open, "/", &headers), expected, "{origin}");
        }
    }

    #[test]
    fn the_token_opens_all_and_health_needs_none() {
        for address in ["127.0.0.1", "0.0.0.0"] {
            let guard = guard(Some("s3cret"), address);
            for (value, expected) in [
                ("Bearer s3cret", 200),
                ("bearer  s3cret ", 200),
                ("Bearer s3cre", 401),
                ("Bearer s3cret2", 401),
                ("Bearer", 401),
                ("Basic s3cret", 401),
            ] {
                let headers = [("host", "localhost"), ("authorization", value)];
                assert_eq!(status(&guard, "/metrics", &headers), expected, "{value}");
            }
            assert_eq!(status(&guard, "/", &[("host", "localhost")]), 401);
            assert_eq!(status(&guard, "/health", &[("host", "localhost")]), 200);
        }
        let token = Token::new(&Secret::new("s3cret").unwrap());
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
