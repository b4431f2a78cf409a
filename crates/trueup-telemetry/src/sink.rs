//! What each kind of place is sent, and what its answers mean. It knows no socket, no file and no clock.
//!
//! An [`Encoder`] makes the bytes of a request once; they are stored, and every attempt sends the same.
//! What is not in them (address and headers) follows from them and from what is known of their item, so
//! that a request can be shown before it is made. docs/telemetry-sinks.md shows the bytes of each sink.
//!
//! ```text
//! POST https://us.i.posthog.com/batch/
//! content-type: application/json
//!
//! {"api_key":"phc_…","batch":[{"uuid":"5c1a…","event":"observer_turn_rollup","distinct_id":"2f1c…",
//!  "timestamp":"2026-11-21T12:00:00.000Z","properties":{"count":12,…}}],"sent_at":"…"}
//! ```

mod judge;
mod lines;
mod otlp;
mod parts;
mod posthog;
mod webhook;

use serde_json::{Map, Value};
use thiserror::Error;
use trueup_core::UnixMs;
use uuid::Uuid;

pub use judge::{BACKOFF_MAX_MS, BACKOFF_MIN_MS, Judged, Refusal};

use crate::budget::{Class, Day};
use crate::manifest;
use crate::outbox::{Item, LEASE_MS};
use crate::rollup::Property;
use crate::state::Event;

/// What an HTTP server answered.
pub type Answer = trueup_core::Reply;

/// The name by which this library is known on the wire.
pub const LIBRARY: &str = "trueup-telemetry";
/// Its version there.
pub const LIBRARY_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The header that says how a body is packed, and the one way there is.
const CONTENT_ENCODING: &str = "content-encoding";
const GZIP: &str = "gzip";

/// What all requests of a product have in common.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    /// The product.
    pub product: String,
    /// Its version, which only the header `User-Agent` says: events say what the manifest lists.
    pub version: String,
    /// By what events are told apart; empty where the manifest has `id = "none"`.
    pub install: String,
    /// The base fields of the manifest, and what they hold.
    pub base: Vec<(String, Value)>,
}

/// One event that is to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// Its id: the same at every attempt.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// Of which kind it is.
    pub class: Class,
    /// When it was.
    pub time: UnixMs,
    /// Whether the base fields are kept in a profile of the id: lifecycle events can ask for that.
    pub is_person: bool,
    /// What it says, beside the base fields.
    pub properties: Map<String, Value>,
}

impl Outgoing {
    /// What a rollup says.
    #[must_use]
    pub fn of_rollup(event: &Event) -> Self {
        let properties = &event.properties.0;
        let properties = properties.iter().map(|(name, value)| (name.clone(), json(value)));
        Self {
            uuid: event.uuid,
            name: event.name.clone(),
            class: Class::Rollup,
            time: event.time,
            is_person: false,
            properties: properties.collect(),
        }
    }
}

/// A property as JSON. What no double holds exactly (whole numbers above 2⁶⁴, dollars of more than 17
/// digits) is as near as one comes.
fn json(property: &Property) -> Value {
    if let Property::Integer(value) = property {
        let whole = i64::try_from(*value).map(Value::from);
        let whole = whole.or_else(|_| u64::try_from(*value).map(Value::from));
        return whole
            .unwrap_or_else(|_| value.to_string().parse::<f64>().map_or(Value::Null, Value::from));
    }
    serde_json::to_value(property).unwrap_or(Value::Null)
}

/// What an event says: the base fields, and its own. History is not of this version, nor of this system.
/// Keys that begin with `$` mean something to a server, and are decided on here: only those of an
/// exception come from outside.
fn properties(context: &Context, event: &Outgoing) -> Map<String, Value> {
    let is_history = event.class == Class::Historical;
    let of_exceptions = event.class == Class::Exception;
    let base = context.base.iter().filter(|_| !is_history).cloned();
    let own = event.properties.iter().filter(|(key, _)| {
        !key.starts_with('$') || (of_exceptions && key.starts_with("$exception_"))
    });
    base.chain(own.map(|(key, value)| (key.clone(), value.clone()))).collect()
}

/// One request: all of it but `Host` and `Content-Length`, which follow from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `POST`; `APPEND` to a file; `PRINT`.
    pub method: &'static str,
    /// The address, or the path of the file as the manifest has it.
    pub url: String,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The stored bytes, as they are. Where [`is_gzip`](Self::is_gzip) says so, they are packed on their
    /// way.
    pub body: Vec<u8>,
}

impl Request {
    /// Whether its headers say that the body arrives packed, which whoever sends it has to do.
    #[must_use]
    pub fn is_gzip(&self) -> bool {
        self.headers.iter().any(|(name, value)| name == CONTENT_ENCODING && value == GZIP)
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum Unreachable {
    /// Not in the time that there was.
    #[error("no answer within {0} ms")]
    TimedOut(u64),
    /// The network, or the other side of it.
    #[error("{0}")]
    Network(String),
    /// The file cannot be written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was to be done.
        action: &'static str,
        /// To which file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// This program was built without any code of the network.
    #[error("this program was built without the feature `net`")]
    NoNetwork,
}

/// How one kind of place wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// PostHog's `/batch/`.
    V0,
    /// PostHog's `/i/v1/analytics/events`.
    V1,
    /// OTLP's `/v1/logs`.
    Logs,
    /// OTLP's `/v1/metrics`.
    Metrics,
    /// JSON, signed.
    Webhook,
    /// A line for each event.
    Lines,
}

/// Makes requests for one place of a manifest, and reads its answers.
#[derive(Clone)]
pub struct Encoder {
    form: Form,
    sink: manifest::Sink,
    context: Context,
    secret: Option<String>,
}

/// Without the secret.
impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { form, sink, context, .. } = self;
        let mut shown = f.debug_struct("Encoder");
        shown.field("form", form).field("sink", sink).field("context", context);
        shown.finish_non_exhaustive()
    }
}

impl Encoder {
    /// For one place. `secret` signs what a webhook is sent. Of an OTLP sink with both signals this is
    /// the one of logs; [`each`](Self::each) gives both.
    #[must_use]
    pub fn new(sink: &manifest::Sink, context: Context, secret: Option<String>) -> Self {
        let form = match sink {
            manifest::Sink::PostHog { is_v1: false, .. } => Form::V0,
            manifest::Sink::PostHog { is_v1: true, .. } => Form::V1,
            manifest::Sink::Otlp { logs: false, metrics: true, .. } => Form::Metrics,
            manifest::Sink::Otlp { .. } => Form::Logs,
            manifest::Sink::Webhook { .. } => Form::Webhook,
            manifest::Sink::File { .. } | manifest::Sink::Stdout => Form::Lines,
        };
        Self { form, sink: sink.clone(), context, secret }
    }

    /// One for each request that an event becomes at this place: two where it is told as logs and as
    /// metrics, one everywhere else. Each needs an outbox of its own.
    #[must_use]
    pub fn each(sink: &manifest::Sink, context: &Context, secret: Option<&str>) -> Vec<Self> {
        let first = Self::new(sink, context.clone(), secret.map(str::to_owned));
        if let manifest::Sink::Otlp { logs: true, metrics: true, .. } = sink {
            let metrics = Self { form: Form::Metrics, ..first.clone() };
            return vec![first, metrics];
        }
        vec![first]
    }

    /// The body of a request, with the same bytes for the same input. `now` is when the bytes are
    /// fixed, which is all that is ever said of the time of sending.
    #[must_use]
    pub fn encode(&self, events: &[Outgoing], now: UnixMs) -> Vec<u8> {
        match self.form {
            Form::V0 => posthog::v0(self, events, now),
            Form::V1 => posthog::v1(self, events, now),
            Form::Logs => otlp::logs(&self.context, events, now),
            Form::Metrics => otlp::metrics(&self.context, events),
            Form::Webhook => webhook::body(&self.context, events, now),
            Form::Lines => lines::body(&self.context, events),
        }
    }

    /// The request of one attempt. `item` is as it is while on its way, as [`Store::next`] gives it
    /// out.
    ///
    /// [`Store::next`]: crate::state::Store::next
    #[must_use]
    pub fn request(&self, item: &Item, body: &[u8]) -> Request {
        let (method, url) = match &self.sink {
            manifest::Sink::PostHog { host, .. } => ("POST", posthog::url(host, self.form)),
            manifest::Sink::Otlp { endpoint, .. } => ("POST", otlp::url(endpoint, self.form)),
            manifest::Sink::Webhook { endpoint, .. } => ("POST", endpoint.clone()),
            manifest::Sink::File { path } => ("APPEND", path.clone()),
            manifest::Sink::Stdout => ("PRINT", "-".to_owned()),
        };
        let headers = if self.form == Form::Lines { Vec::new() } else { self.headers(item, body) };
        Request { method, url, headers, body: body.to_vec() }
    }

    /// The request that an attempt at `now` would be: what `show` prints.
    #[must_use]
    pub fn preview(&self, item: &Item, body: &[u8], now: UnixMs) -> Request {
        self.request(&item.attempted(Day::of(now), now), body)
    }

    fn headers(&self, item: &Item, body: &[u8]) -> Vec<(String, String)> {
        let mut headers = vec![
            ("accept", "*/*".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("user-agent", self.user_agent()),
        ];
        if let manifest::Sink::PostHog { is_gzip: true, .. }
        | manifest::Sink::Otlp { is_gzip: true, .. } = &self.sink
        {
            headers.push((CONTENT_ENCODING, GZIP.to_owned()));
        }
        match (&self.sink, self.form) {
            (manifest::Sink::PostHog { key, .. }, Form::V1) => {
                let time = UnixMs(item.next.0.saturating_sub(LEASE_MS)).max(item.queued);
                headers.extend([
                    ("authorization", format!("Bearer {key}")),
                    ("posthog-attempt", item.attempts.max(1).to_string()),
                    ("posthog-request-id", posthog::request_id(body).to_string()),
                    ("posthog-request-timestamp", time.to_string()),
                    ("posthog-sdk-info", format!("{LIBRARY}/{LIBRARY_VERSION}")),
                ]);
            }
            (manifest::Sink::Webhook { .. }, _) => {
                headers.push(("idempotency-key", item.sha256.clone()));
                let signature =
                    self.secret.as_ref().and_then(|secret| webhook::signature(secret, body));
                headers.extend(signature.map(|signature| ("x-signature", signature)));
            }
            _ => {}
        }
        headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// `claude-mem/13.15.3 trueup-telemetry/0.1.0`
    fn user_agent(&self) -> String {
        let plain = |text: &str| -> String {
            let is_plain = |c: &char| c.is_ascii_alphanumeric() || "._+-".contains(*c);
            text.chars().filter(is_plain).take(manifest::NAME_CHARS_MAX).collect()
        };
        let (product, version) = (plain(&self.context.product), plain(&self.context.version));
        let own = format!("{LIBRARY}/{LIBRARY_VERSION}");
        match (product.is_empty(), version.is_empty()) {
            (true, _) => own,
            (false, true) => format!("{product} {own}"),
            (false, false) => format!("{product}/{version} {own}"),
        }
    }
}
