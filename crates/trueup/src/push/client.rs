//! The one place that sends something to another machine.

use std::io::Read as _;
use std::time::Duration;

use trueup_ledger::{Frozen, Identity};

use super::settings::Settings;
use super::verdict::{Reply, tidy};
use crate::secret::Secret;

/// Time to find and reach the receiver.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of a reply that are read.
const REPLY_BYTES_MAX: u64 = 64 << 10;
/// Bytes of a reply's head that are read.
const REPLY_HEAD_BYTES_MAX: usize = 16 << 10;
/// Bytes that are copied to the socket at a time.
const BUFFER_BYTES: usize = 16 << 10;

/// An HTTP client for one address.
pub(crate) struct Client {
    agent: ureq::Agent,
    endpoint: String,
    token: Option<Secret>,
}

impl Client {
    /// A client that has not connected yet.
    pub(crate) fn new(settings: &Settings) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // Elsewhere is for the owner to decide: it is told, and what is in the outbox stays.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT_TIME_MAX))
            .max_response_header_size(REPLY_HEAD_BYTES_MAX)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .max_idle_connections(1)
            .user_agent(concat!("trueup/", env!("CARGO_PKG_VERSION")))
            .build();
        let Settings { endpoint, token, .. } = settings.clone();
        Self { agent: config.into(), endpoint, token }
    }

    /// Sends a batch. An error where there is no answer.
    pub(super) fn send(
        &self,
        batch: &Frozen,
        identity: &Identity,
        time_max: Duration,
    ) -> Result<Reply, String> {
        let mut request = self
            .agent
            .post(&self.endpoint)
            .config()
            .timeout_global(Some(time_max))
            .build()
            .header("content-type", "application/json")
            .header("idempotency-key", &batch.id)
            .header("x-trace-source", &identity.source)
            .header("x-trace-epoch", &identity.epoch);
        if batch.encoding != super::compress::IDENTITY {
            request = request.header("content-encoding", &batch.encoding);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.reveal()));
        }
        let reply = request.send(&batch.body[..]).map_err(|error| self.words(&error))?;
        let header = |name: &str| {
            reply.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let (retry_after, accept_encoding) = (header("retry-after"), header("accept-encoding"));
        let status = reply.status();
        let mut body = Vec::new();
        let reader = reply.into_body().into_reader().take(REPLY_BYTES_MAX);
        let is_whole = { reader }.read_to_end(&mut body).is_ok();
        if status.is_success() && !is_whole {
            // What was taken of it stands in a body that did not come.
            return Err("the connection broke before the reply was complete".to_owned());
        }
        Ok(Reply { status: status.as_u16(), retry_after, accept_encoding, body })
    }

    /// What went wrong, without the part of the address that may hold a token.
    fn words(&self, error: &ureq::Error) -> String {
        let words = error.to_string();
        let query = self.endpoint.split_once('?').map_or("", |(_, query)| query);
        tidy(&if query.is_empty() { words } else { words.replace(query, "…") })
    }
}
