//! JSON that is posted to an address of one's own, signed with a secret that both sides know.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value};
use sha2::Sha256;
use trueup_core::UnixMs;
use uuid::Uuid;

use super::parts::Hook;
use super::{Context, Outgoing, properties};
use crate::budget::Class;
use crate::outbox::hex;

/// One event, as a webhook and a file have it.
#[derive(Serialize)]
pub(super) struct Plain<'a> {
    uuid: Uuid,
    event: &'a str,
    kind: Class,
    time: String,
    properties: Map<String, Value>,
}

pub(super) fn plain<'a>(context: &Context, event: &'a Outgoing) -> Plain<'a> {
    Plain {
        uuid: event.uuid,
        event: &event.name,
        kind: event.class,
        time: event.time.to_string(),
        properties: properties(context, event),
    }
}

pub(super) fn body(context: &Context, events: &[Outgoing], now: UnixMs) -> Vec<u8> {
    let body = Hook {
        product: context.product.clone(),
        install: context.install.clone(),
        sent_at: now.to_string(),
        events: events
            .iter()
            .filter_map(|event| to_raw_value(&plain(context, event)).ok())
            .collect(),
    };
    serde_json::to_vec(&body).unwrap_or_default()
}

/// `sha256=` and the HMAC-SHA-256 of the body, in hexadecimal digits, as GitHub signs its webhooks.
pub(super) fn signature(secret: &str, body: &[u8]) -> Option<String> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    hmac.update(body);
    Some(format!("sha256={}", hex(&hmac.finalize().into_bytes())))
}
