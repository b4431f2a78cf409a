//! What a body is, by its headers and its first bytes.

use axum::http::{HeaderMap, header};
use trueup_otlp::Encoding;

use super::super::{Packing, Problem};
use crate::daemon::FORWARDED;

/// How a body is written and packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) struct Media {
    pub(in crate::api) encoding: Encoding,
    pub(in crate::api) packing: Option<Packing>,
    /// Whether another trueup has handed it on.
    pub(in crate::api) is_passed: bool,
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).map_or("", |value| value.to_str().unwrap_or("unreadable"))
}

impl Media {
    /// Plain JSON.
    pub(in crate::api) const JSON: Self =
        Self { encoding: Encoding::Json, packing: None, is_passed: false };

    /// What the headers of an export say.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let encoding = encoding(headers)?;
        let packing = Packing::named(text(headers, header::CONTENT_ENCODING))?;
        Ok(Self { encoding, packing, is_passed: headers.contains_key(FORWARDED) })
    }

    /// Whether headers on a path of the native API say that this is none of it: it has neither protobuf
    /// nor packed bodies.
    pub(in crate::api) fn is_certain(headers: &HeaderMap) -> bool {
        let is_packed = || Self::of(headers).is_ok_and(|media| media.packing.is_some());
        matches!(encoding(headers), Ok(Encoding::Protobuf)) || is_packed()
    }
}

/// How a body is written, whatever else is wrong with its headers: who sent it is answered in the same.
pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let full = text(headers, header::CONTENT_TYPE);
    let media = full.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media.as_str() {
        "application/x-protobuf" | "application/protobuf" => Ok(Encoding::Protobuf),
        "" | "application/json" | "text/plain" => Ok(Encoding::Json),
        _ => Err(Problem::unsupported(format!(
            "Content-Type `{media}` is not OTLP: send application/x-protobuf or application/json"
        ))),
    }
}

/// Whether a JSON body is an export, by the first name in it.
pub(in crate::api) fn is_shape(body: &[u8]) -> bool {
    const NAMES: [&[u8]; 6] = [
        b"resourceSpans\"",
        b"resourceLogs\"",
        b"resourceMetrics\"",
        b"resource_spans\"",
        b"resource_logs\"",
        b"resource_metrics\"",
    ];
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body).trim_ascii_start();
    let Some(body) = body.strip_prefix(b"{") else { return false };
    let Some(name) = body.trim_ascii_start().strip_prefix(b"\"") else { return false };
    NAMES.iter().any(|known| name.starts_with(known))
}

/// Whether a body is what an exporter of OpenTelemetry sends that has nothing to say.
pub(in crate::api) fn is_greeting(headers: &HeaderMap, body: &[u8]) -> bool {
    let is_nothing = matches!(body.trim_ascii(), b"" | b"{}");
    is_nothing && text(headers, header::USER_AGENT).starts_with("OTel")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn bodies_are_told_apart_by_their_headers() {
        let protobuf = |packing| Media { encoding: Encoding::Protobuf, packing, is_passed: false };
        for (media, packing, expected) in [
            ("application/x-protobuf", "gzip", Some(protobuf(Some(Packing::Gzip)))),
            ("application/protobuf; x=y", "", Some(protobuf(None))),
            ("application/json; charset=utf-8", "identity", Some(Media::JSON)),
            ("", "", Some(Media::JSON)),
            ("text/plain", "ZSTD", Some(Media { packing: Some(Packing::Zstd), ..Media::JSON })),
            ("application/json", "br", None),
            ("text/html", "", None),
        ] {
            let headers = headers(&[("content-type", media), ("content-encoding", packing)]);
            assert_eq!(Media::of(&headers).ok(), expected, "{media} {packing}");
            let is_certain = expected.is_some_and(|media| media != Media::JSON);
            assert_eq!(Media::is_certain(&headers), is_certain, "{media} {packing}");
        }
    }

    #[test]
    fn json_is_told_apart_by_its_first_name() {
        for (body, expected) in [
            ("{\"resourceSpans\":[]}", true),
            ("\u{feff} {\n \"resource_logs\" : []}", true),
            ("{\"resourceSpansOf\":[]}", false),
            ("[{\"resourceSpans\":[]}]", false),
            ("{\"provider\":\"x\",\"resourceSpans\":[]}", false),
            ("{", false),
            ("", false),
        ] {
            assert_eq!(is_shape(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn only_exporters_may_say_nothing() {
        let exporter = headers(&[("user-agent", "OTel-OTLP-Exporter-JavaScript/0.2")]);
        assert!(is_greeting(&exporter, b" {} ") && is_greeting(&exporter, b""));
        assert!(!is_greeting(&exporter, b"{\"a\":1}"));
        assert!(!is_greeting(&headers(&[("user-agent", "curl/8")]), b"{}"));
    }
}
