//! The one place that speaks to other machines: how a client is set up, what is read of a reply, and
//! how long to wait before another try.
//!
//! What is said stands elsewhere: `push` sends batches, `pull` asks providers, `daemon::alerts` tells of
//! alerts. Redirects are never followed: where a secret goes is for the owner to decide.

mod address;
mod backoff;

use std::io::Read as _;
use std::time::Duration;

use trueup_core::Reply;

pub(crate) use address::{Address, NoAddress};
pub(crate) use backoff::{backoff, part, random};

/// Time to find and reach the other side.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of a reply's head that are read.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Bytes that are copied to and from the socket at a time.
const BUFFER_BYTES: usize = 16 << 10;

/// A client that has not connected yet, and holds one connection open between requests.
pub(crate) fn agent() -> ureq::Agent {
    agent_of(1)
}

/// The same with so many connections.
pub(crate) fn agent_of(connections: usize) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(CONNECT_TIME_MAX))
        .max_response_header_size(HEAD_BYTES_MAX)
        .input_buffer_size(BUFFER_BYTES)
        .output_buffer_size(BUFFER_BYTES)
        .max_idle_connections(connections)
        .user_agent(concat!("trueup/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// A reply as a value, with at most `bytes_max` of its body; an error where the connection broke
/// before a good one was complete.
pub(crate) fn read(
    reply: ureq::http::Response<ureq::Body>,
    bytes_max: u64,
) -> Result<Reply, String> {
    let headers = reply.headers().iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    });
    let headers = headers.collect();
    let status = reply.status();
    let mut body = Vec::new();
    let is_whole = reply.into_body().into_reader().take(bytes_max).read_to_end(&mut body).is_ok();
    if status.is_success() && !is_whole {
        return Err("the connection broke before the reply was complete".to_owned());
    }
    Ok(Reply { status: status.as_u16(), headers, body })
}

/// Whether a host of an address is this machine.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
