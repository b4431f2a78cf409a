//! Sends a batch to the one address that its owner named.

use std::time::Duration;

use trueup_core::{Reply, one_line};
use trueup_ledger::{Frozen, Identity};

use super::settings::Settings;
use super::verdict::reply_bytes_max;
use crate::net;
use crate::secret::Secret;

/// An HTTP client for one address.
pub(crate) struct Client {
    agent: ureq::Agent,
    endpoint: String,
    token: Option<Secret>,
}

impl Client {
    /// A client that has not connected yet.
    pub(crate) fn new(settings: &Settings) -> Self {
        let Settings { endpoint, token, .. } = settings.clone();
        Self { agent: net::agent(), endpoint, token }
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
        // What was taken of a batch may stand in a body that did not come.
        net::read(reply, reply_bytes_max(batch))
    }

    /// What went wrong, without the part of the address that may hold a token.
    fn words(&self, error: &ureq::Error) -> String {
        let words = error.to_string();
        let query = self.endpoint.split_once('?').map_or("", |(_, query)| query);
        one_line(&if query.is_empty() { words } else { words.replace(query, "…") })
    }
}
