//! What makes a call of OTLP count once.
//!
//! The strongest id that a record has is its key: the provider's id of request or answer, then the span
//! that it is or stands in, then all that it says. An export that is sent again is the same to the last
//! byte, so that each of them is the same then. Copies of one call in two signals share the first two.

use trueup_core::Key;

use crate::dialect::Dialect;
use crate::export::Identity;
use crate::model::Attribute;

/// What instrumentations of the same program share: two of them may watch one call.
const SDKS: &str = "sdk";

/// The key of a call.
pub(crate) fn of_call(dialect: Dialect, ids: &Identity, own: impl Fn() -> Key) -> Key {
    let speaker = if dialect.is_agent() { dialect.name() } else { SDKS };
    let key = |parts: &[&str]| Key::of("otlp", parts);
    match ids {
        Identity { request_id: Some(id), .. } if dialect.is_agent() => {
            key(&[speaker, "request", id])
        }
        Identity { response_id: Some(id), .. } => key(&[speaker, "response", id]),
        Identity { span: Some((trace, span)), .. } if !dialect.is_agent() => of_span(trace, span),
        Identity { span: Some((trace, span)), .. } => key(&[speaker, "span", trace, span]),
        _ => own(),
    }
}

/// The key of a call of an SDK of which only the span is known.
pub(crate) fn of_span(trace: &str, span: &str) -> Key {
    Key::of("otlp", &[SDKS, "span", trace, span])
}

/// The key of all that a record says.
pub(crate) fn of_record(dialect: Dialect, time_nanos: i64, attributes: &[Attribute<'_>]) -> Key {
    let mut said: Vec<String> = attributes
        .iter()
        .map(|attribute| format!("{}={:?}", &*attribute.key, attribute.value))
        .collect();
    // Some exporters keep attributes in a hash map.
    said.sort_unstable();
    said.push(time_nanos.to_string());
    said.push(dialect.name().to_owned());
    Key::of("otlp-record", &said)
}
