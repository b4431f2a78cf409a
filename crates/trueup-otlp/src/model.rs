//! The parts of OTLP that are read, in both encodings: a record's attributes, and where it stands.
//!
//! Everything borrows from the body. What is not named here is passed over.

use std::borrow::Cow;

use serde::Deserialize;

use crate::json::{self, Hex, Int, Str};

/// The value of an attribute.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Value<'a> {
    /// None, or one of bytes, which no dialect uses.
    #[default]
    Empty,
    Text(Cow<'a, str>),
    Bool(bool),
    Int(i64),
    Double(f64),
    List(Vec<Self>),
    Map(Vec<Attribute<'a>>),
}

/// A named value.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(crate) struct Attribute<'a> {
    #[serde(default)]
    pub(crate) key: Str<'a>,
    #[serde(default, deserialize_with = "json::or_default")]
    pub(crate) value: Value<'a>,
}

/// What sends: a process.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(crate) struct Resource<'a> {
    #[serde(default, deserialize_with = "json::or_default")]
    pub(crate) attributes: Vec<Attribute<'a>>,
}

/// What within it: an instrumentation.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(crate) struct Scope<'a> {
    #[serde(default, deserialize_with = "json::or_default")]
    pub(crate) name: Str<'a>,
}

/// One step of a trace.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
#[expect(clippy::struct_field_names, reason = "the names of the protocol")]
pub(crate) struct Span<'a> {
    #[serde(default, alias = "trace_id")]
    pub(crate) trace_id: Hex,
    #[serde(default, alias = "span_id")]
    pub(crate) span_id: Hex,
    #[serde(default, deserialize_with = "json::or_default")]
    pub(crate) name: Str<'a>,
    #[serde(default, alias = "start_time_unix_nano")]
    pub(crate) start_time_unix_nano: Int,
    #[serde(default, alias = "end_time_unix_nano")]
    pub(crate) end_time_unix_nano: Int,
    #[serde(default, deserialize_with = "json::or_default")]
    pub(crate) attributes: Vec<Attribute<'a>>,
    #[serde(default, deserialize_with = "json::or_default")]
    pub(crate) events: Vec<SpanEvent<'a>>,
    #[serde(default, deserialize_with = "json::or_default")]
    pub(crate) status: Status<'a>,
}

/// What happened within a span: an exception, or a message in the oldest conventions.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(crate) struct SpanEvent<'a> {
    #[serde(default, deserialize_with = "json::or_default")]
    pub(crate) name: Str<'a>,
    #[serde(default, deserialize_with = "json::or_default")]
    pub(crate) attributes: Vec<Attribute<'a>>,
}

/// How a span ended.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(crate) struct Status<'a> {
    #[serde(default, deserialize_with = "json::or_default")]
    pub(crate) message: Str<'a>,
    #[serde(default, rename = "code", deserialize_with = "json::is_error_code")]
    pub(crate) is_error: bool,
}

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(crate) struct LogRecord<'a> {
    #[serde(default, alias = "time_unix_nano")]
    pub(crate) time_unix_nano: Int,
    #[serde(default, alias = "observed_time_unix_nano")]
    pub(crate) observed_time_unix_nano: Int,
    #[serde(default, alias = "event_name", deserialize_with = "json::or_default")]
    pub(crate) event_name: Str<'a>,
    #[serde(default, deserialize_with = "json::or_default")]
    pub(crate) body: Value<'a>,
    #[serde(default, deserialize_with = "json::or_default")]
    pub(crate) attributes: Vec<Attribute<'a>>,
    #[serde(default, alias = "trace_id")]
    pub(crate) trace_id: Hex,
    #[serde(default, alias = "span_id")]
    pub(crate) span_id: Hex,
}

/// One metric. Its points are read where it may be a counter of what was used, and where it adds up.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Metric<'a> {
    pub(crate) name: Str<'a>,
    /// Whether its points are of all since it began, rather than since the point before; nothing where it
    /// does not say.
    pub(crate) is_cumulative: Option<bool>,
    pub(crate) points: Vec<Point<'a>>,
}

/// What a counter has come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Point<'a> {
    pub(crate) attributes: Vec<Attribute<'a>>,
    pub(crate) start_time_unix_nano: Int,
    pub(crate) time_unix_nano: Int,
    pub(crate) value: Value<'a>,
}

impl Metric<'_> {
    /// Whether one so called may be a counter of tokens or of cost. Of the others only the name is read:
    /// most metrics are histograms of something else, and large.
    pub(crate) fn is_of_usage(name: &str) -> bool {
        ["token", "cost"].iter().any(|part| name.contains(part))
    }
}

/// A record of any signal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record<'a> {
    Span(Span<'a>),
    Log(LogRecord<'a>),
    Metric(Metric<'a>),
}
