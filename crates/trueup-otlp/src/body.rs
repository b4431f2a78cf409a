//! Bodies: what they are, and their records one after the other.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::{self, OfResource};
use crate::model::{Record, Resource, Scope};
use crate::protobuf::{self, Budget};
use crate::wire::Garbage;

/// What may be built of one body: records, attributes, values. The largest bodies of real exporters
/// have some tens of thousands; each takes up to a few hundred bytes while its record is read.
const PARTS_MAX: usize = 1_000_000;

/// What an export holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records, which may be events.
    Logs,
    /// Metrics.
    Metrics,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    /// Its name, as the paths have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Protobuf.
    Protobuf,
    /// JSON.
    Json,
}

/// Why nothing of a body is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no protobuf.
    #[error("the body is not an OTLP message in protobuf: {0}")]
    NotProtobuf(String),
    /// It is no JSON, or not of OTLP's shape.
    #[error("the body is not an OTLP message in JSON: {0}")]
    NotJson(String),
    /// Its values are nested too deep.
    #[error("the body's values are nested too deep")]
    TooDeep,
    /// It would become too large in memory.
    #[error("the body has more than {PARTS_MAX} parts: send smaller batches")]
    TooManyParts,
    /// It holds more calls than are taken at once.
    #[error("the body has more than {0} calls: send smaller batches")]
    TooManyCalls(usize),
    /// Nothing says whether its records are spans, logs or metrics.
    #[error(
        "nothing says of which signal the records are: send them to /v1/traces, /v1/logs or /v1/metrics"
    )]
    NoSignal,
}

impl Refusal {
    /// A short name for counters.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotProtobuf(_) => "not_protobuf",
            Self::NotJson(_) => "not_json",
            Self::TooDeep => "too_deep",
            Self::TooManyParts => "too_many_parts",
            Self::TooManyCalls(_) => "too_many_calls",
            Self::NoSignal => "no_signal",
        }
    }

    /// Whether smaller bodies would be taken.
    #[must_use]
    pub const fn is_of_size(&self) -> bool {
        matches!(self, Self::TooManyParts | Self::TooManyCalls(_))
    }
}

impl From<Garbage> for Refusal {
    fn from(garbage: Garbage) -> Self {
        Self::NotProtobuf(garbage.to_string())
    }
}

impl From<serde_json::Error> for Refusal {
    /// Without the place's text: an error message holds nothing of a body.
    fn from(error: serde_json::Error) -> Self {
        // It has no other name for it.
        if error.is_syntax() && error.to_string().starts_with("recursion limit") {
            return Self::TooDeep;
        }
        Self::NotJson(if error.is_data() {
            let (line, column) = (error.line(), error.column());
            format!("a field is of a wrong type at line {line}, column {column}")
        } else {
            error.to_string()
        })
    }
}

/// What is done with each record.
pub(crate) type Each<'e> =
    &'e mut dyn FnMut(&Resource<'_>, &Scope<'_>, Record<'_>) -> Result<(), Refusal>;

/// Reads a body, record by record, and says of which signal they are. A body may be of another signal
/// than its path says; it is what its records are.
pub(crate) fn records(
    body: &[u8],
    encoding: Encoding,
    expected: Option<Signal>,
    each: Each<'_>,
) -> Result<Signal, Refusal> {
    match encoding {
        Encoding::Protobuf => {
            let signal = protobuf::signal_of(body, expected)?.ok_or(Refusal::NoSignal)?;
            protobuf::read(body, signal, Budget(PARTS_MAX), each)?;
            Ok(signal)
        }
        Encoding::Json => {
            let text =
                str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
            of_json(text.trim_start_matches('\u{feff}'), expected, each)
        }
    }
}

fn of_json(json: &str, expected: Option<Signal>, each: Each<'_>) -> Result<Signal, Refusal> {
    if json::structures(json) > PARTS_MAX {
        return Err(Refusal::TooManyParts);
    }
    if !json.trim_start().starts_with('{') {
        return Err(Refusal::NotJson("it is no object".to_owned()));
    }
    let export: json::Export<'_> = serde_json::from_str(json)?;
    let all = [
        (Signal::Traces, export.spans),
        (Signal::Logs, export.logs),
        (Signal::Metrics, export.metrics),
    ];
    let mut found = None;
    for (signal, resources) in all {
        let Some(resources) = resources else { continue };
        found = found.or(Some(signal));
        for OfResource { resource, scopes } in resources {
            for of_scope in scopes {
                for record in of_scope.records {
                    each(&resource, &of_scope.scope, record_of(record, signal)?)?;
                }
            }
        }
    }
    // An export may be empty; what is something else would be lost if it were taken for one.
    let is_nothing = json.bytes().filter(|byte| !byte.is_ascii_whitespace()).eq(*b"{}");
    match (found, expected) {
        (Some(signal), _) => Ok(signal),
        (None, Some(signal)) if is_nothing => Ok(signal),
        (None, None) if is_nothing => Err(Refusal::NoSignal),
        (None, _) => Err(Refusal::NotJson(NO_NAME.to_owned())),
    }
}

const NO_NAME: &str = "none of resourceSpans, resourceLogs and resourceMetrics is in it";

fn record_of(record: &RawValue, signal: Signal) -> Result<Record<'_>, serde_json::Error> {
    let json = record.get();
    Ok(match signal {
        Signal::Traces => Record::Span(serde_json::from_str(json)?),
        Signal::Logs => Record::Log(serde_json::from_str(json)?),
        Signal::Metrics => Record::Metric(json::metric(json)?),
    })
}
