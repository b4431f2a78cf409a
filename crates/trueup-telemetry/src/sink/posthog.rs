//! PostHog, by its batch endpoint or by the newer one.
//!
//! Bytes are fixed when they are stored, and may be sent days later. The server moves times of events by
//! the difference of `sent_at` (v1: of a header) and its own clock, so that an old `sent_at` would move an
//! event by as much, into another day, where it is not known again and counts twice. So every event says
//! that its time is right as it is: `$ignore_sent_at` (v1: the option `disable_skew_correction`).

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use trueup_core::UnixMs;
use uuid::{Builder, Uuid};

use super::parts::{V0, V1};
use super::{Encoder, Form, LIBRARY, LIBRARY_VERSION, Outgoing};
use crate::budget::Class;
use crate::manifest::Sink;

/// Longest id that the server takes.
const DISTINCT_ID_CHARS_MAX: usize = 200;
/// Ids that it takes for none, in lower case.
const NO_IDS: [&str; 13] = [
    "0",
    "anonymous",
    "distinct_id",
    "distinctid",
    "email",
    "false",
    "guest",
    "id",
    "none",
    "not_authenticated",
    "null",
    "true",
    "undefined",
];

/// One event of v0.
#[derive(Serialize)]
struct V0Event<'a> {
    uuid: Uuid,
    event: &'a str,
    distinct_id: String,
    timestamp: String,
    properties: Map<String, Value>,
}

/// One event of v1.
#[derive(Serialize)]
struct V1Event<'a> {
    uuid: Uuid,
    event: &'a str,
    distinct_id: String,
    timestamp: String,
    options: Options,
    properties: Map<String, Value>,
}

/// What v1 has in the place of properties that begin with `$`.
#[derive(Serialize)]
struct Options {
    disable_skew_correction: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    process_person_profile: Option<bool>,
}

pub(super) fn url(host: &str, form: Form) -> String {
    let path = if form == Form::V1 { "/i/v1/analytics/events" } else { "/batch/" };
    format!("{}{path}", host.trim_end_matches('/'))
}

pub(super) fn v0(encoder: &Encoder, events: &[Outgoing], now: UnixMs) -> Vec<u8> {
    let event = |event: &Outgoing| {
        let mut properties = properties(encoder, event);
        let mut put = |key: &str, value: Value| properties.insert(key.to_owned(), value);
        put("$lib", LIBRARY.into());
        put("$lib_version", LIBRARY_VERSION.into());
        put("$ignore_sent_at", true.into());
        if !is_person(encoder, event) {
            put("$process_person_profile", false.into());
        }
        raw(&V0Event {
            uuid: event.uuid,
            event: &event.name,
            distinct_id: distinct_id(encoder, event),
            timestamp: event.time.to_string(),
            properties,
        })
    };
    let key =
        if let Sink::PostHog { key, .. } = &encoder.sink { key.clone() } else { String::new() };
    let body = V0 {
        api_key: key,
        batch: events.iter().filter_map(event).collect(),
        historical_migration: historical(events),
        sent_at: now.to_string(),
    };
    serde_json::to_vec(&body).unwrap_or_default()
}

pub(super) fn v1(encoder: &Encoder, events: &[Outgoing], now: UnixMs) -> Vec<u8> {
    let event = |event: &Outgoing| {
        raw(&V1Event {
            uuid: event.uuid,
            event: &event.name,
            distinct_id: distinct_id(encoder, event),
            timestamp: event.time.to_string(),
            options: Options {
                disable_skew_correction: true,
                process_person_profile: (!is_person(encoder, event)).then_some(false),
            },
            properties: properties(encoder, event),
        })
    };
    let body = V1 {
        created_at: created_at(events, now),
        historical_migration: historical(events),
        batch: events.iter().filter_map(event).collect(),
    };
    serde_json::to_vec(&body).unwrap_or_default()
}

/// The time at which a batch was made, to the millisecond; the six digits below tell apart batches of one
/// millisecond, and are of the ids of their events. All parts of a batch keep it.
fn created_at(events: &[Outgoing], now: UnixMs) -> String {
    let mut hash = Sha256::new();
    for event in events {
        hash.update(event.uuid.as_bytes());
    }
    let bytes = hash.finalize();
    let number = bytes.iter().take(4).fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    let time = now.to_string();
    format!("{}{:06}Z", time.trim_end_matches('Z'), number % 1_000_000)
}

/// The id of a request of v1, the same for all attempts and parts of a batch, as the server expects it: a
/// UUID of version 7 of `created_at`.
pub(super) fn request_id(body: &[u8]) -> Uuid {
    let made = serde_json::from_slice(body).map(|body: V1| body.created_at).unwrap_or_default();
    let time = UnixMs::parse_rfc3339(&made).map_or(0, |time| u64::try_from(time.0).unwrap_or(0));
    let hash = Sha256::digest(made.as_bytes());
    let mut random = [0; 10];
    for (to, from) in random.iter_mut().zip(hash) {
        *to = from;
    }
    Builder::from_unix_timestamp_millis(time, &random).into_uuid()
}

fn historical(events: &[Outgoing]) -> Option<bool> {
    events.iter().any(|event| event.class == Class::Historical).then_some(true)
}

/// Whether an event makes a profile: only a lifecycle event that asks for it, and only of an id.
fn is_person(encoder: &Encoder, event: &Outgoing) -> bool {
    event.is_person && event.class == Class::Lifecycle && id(encoder).is_some()
}

/// What an event says, and what the server is to do with it.
fn properties(encoder: &Encoder, event: &Outgoing) -> Map<String, Value> {
    let mut all = super::properties(&encoder.context, event);
    if is_person(encoder, event) {
        all.insert(
            "$set".to_owned(),
            Value::Object(encoder.context.base.iter().cloned().collect()),
        );
    }
    if let Sink::PostHog { geoip: false, .. } = encoder.sink {
        all.insert("$geoip_disable".to_owned(), true.into());
    }
    all
}

/// By what an event is told apart: where that is nothing, by its own id, which no other shares.
fn distinct_id(encoder: &Encoder, event: &Outgoing) -> String {
    id(encoder).map_or_else(|| event.uuid.to_string(), str::to_owned)
}

fn id(encoder: &Encoder) -> Option<&str> {
    let id = encoder.context.install.trim();
    let is_id = !id.is_empty()
        && id.chars().count() <= DISTINCT_ID_CHARS_MAX
        && !NO_IDS.contains(&id.to_lowercase().as_str());
    is_id.then_some(id)
}

fn raw(value: &impl Serialize) -> Option<Box<RawValue>> {
    to_raw_value(value).ok()
}
