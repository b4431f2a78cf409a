//! The one place of this crate that speaks to other machines.
//!
//! Redirects are never followed, and what is not `https` goes to this machine only: the manifest sees to
//! that. Proxies are those of the usual variables, as the client reads them.
//!
//! What is stored, hashed and shown is a request's plain body. One whose headers say
//! `content-encoding: gzip` is packed here, behind all of that: the same body gives the same bytes.

use std::borrow::Cow;
use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::deliver::Transport;
use crate::sink::{Answer, Request, Unreachable};

/// Bytes of an answer's head that are read.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Bytes of an answer's body that are read.
const BODY_BYTES_MAX: u64 = 256 << 10;
/// Bytes that are copied to and from the socket at a time.
const BUFFER_BYTES: usize = 16 << 10;

/// An HTTP client that has not connected yet, and holds one connection open between requests.
#[derive(Debug, Clone)]
pub struct Net(ureq::Agent);

impl Default for Net {
    fn default() -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(HEAD_BYTES_MAX)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .max_idle_connections(1)
            .build();
        Self(agent.into())
    }
}

impl Transport for Net {
    fn send(&mut self, request: &Request, time_max: Duration) -> Result<Answer, Unreachable> {
        let post = self.0.post(&request.url).config().timeout_global(Some(time_max)).build();
        let headers = request.headers.iter();
        let post = headers.fold(post, |post, (name, value)| post.header(name, value));
        let body = packed(request).map_err(|error| Unreachable::Network(error.to_string()))?;
        let reply = post.send(&*body).map_err(|error| problem(&error, request, time_max))?;
        let status = reply.status();
        let headers = reply.headers().iter().filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        let headers = headers.collect();
        let mut body = Vec::new();
        let read = reply.into_body().into_reader().take(BODY_BYTES_MAX).read_to_end(&mut body);
        match read {
            // What was taken of a batch may stand in the part that did not come.
            Err(error) if status.is_success() => Err(Unreachable::Network(error.to_string())),
            Ok(_) | Err(_) => Ok(Answer { status: status.as_u16(), headers, body }),
        }
    }

    fn stopper(&self) -> Box<dyn Fn() + Send + Sync> {
        let agent = self.0.clone();
        Box::new(move || agent.clone().shutdown())
    }
}

/// The body as it travels. The header of gzip names neither a time nor a system.
fn packed(request: &Request) -> io::Result<Cow<'_, [u8]>> {
    if !request.is_gzip() {
        return Ok(Cow::Borrowed(&request.body));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&request.body)?;
    encoder.finish().map(Cow::Owned)
}

/// What went wrong, without the part of the address that may hold a token.
fn problem(error: &ureq::Error, request: &Request, time_max: Duration) -> Unreachable {
    if matches!(error, ureq::Error::Timeout(_)) {
        return Unreachable::TimedOut(u64::try_from(time_max.as_millis()).unwrap_or(u64::MAX));
    }
    let words = error.to_string();
    let words = match request.url.split_once('?') {
        Some((_, query)) if !query.is_empty() => words.replace(query, "…"),
        _ => words,
    };
    Unreachable::Network(trueup_core::one_line(&words))
}
