//! OpenTelemetry's protocol (OTLP), and what each agent and SDK says by it, as facts.
//!
//! Pure: the bytes of one export and the time go in; calls, errors and counts of everything else come
//! out, or one reason why nothing is taken. Knows the wire format in both encodings and the names that
//! each *dialect* gives to the parts of a call. Does not know sockets, the clock or the ledger.
//!
//! ```
//! use trueup_core::UnixMs;
//! use trueup_otlp::{Encoding, Reading, Signal, Text, read};
//! let body = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{
//!   "traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"chat gpt-5.5",
//!   "startTimeUnixNano":"1795212508982000000","endTimeUnixNano":"1795212509482000000",
//!   "attributes":[
//!     {"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},
//!     {"key":"gen_ai.response.model","value":{"stringValue":"gpt-5.5"}},
//!     {"key":"gen_ai.usage.input_tokens","value":{"intValue":"1020"}},
//!     {"key":"gen_ai.usage.cache_read.input_tokens","value":{"intValue":"400"}},
//!     {"key":"gen_ai.usage.output_tokens","value":{"intValue":52}}]}]}]}]}"#;
//! let reading = Reading { now: UnixMs(1_795_212_510_000), text: Text::Off };
//! let export = read(body, Encoding::Json, Some(Signal::Traces), &reading).unwrap();
//! let call = &export.calls[0].call;
//! assert_eq!((call.tokens.input, call.tokens.cache_read, call.latency_ms), (620, 400, Some(500)));
//! ```

mod attributes;
mod body;
mod dialect;
mod export;
mod json;
mod key;
mod map;
mod metrics;
mod model;
mod names;
mod protobuf;
mod reply;
mod texts;
mod tokens;
mod wire;

pub use body::{Encoding, Refusal, Signal};
pub use dialect::Dialect;
pub use export::{Export, Identity, MappedCall, Problem, read};
pub use map::{Reading, Text};
pub use reply::{answer, status};
