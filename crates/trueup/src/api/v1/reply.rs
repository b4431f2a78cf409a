//! An answer as bytes: its tag, whether the client has it already, and compression.

use std::io::Write as _;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

/// Shorter answers are not compressed.
const COMPRESSED_BYTES_MIN: usize = 1_024;

/// The field that is in no tag: it moves while all else stays.
const AS_OF: &str = "as_of";

/// The answer to a request with these headers.
pub(super) fn of(answer: &Value, headers: &HeaderMap) -> Response {
    let tag = tag(answer);
    let mut response = if is_known(headers, &tag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        body(format!("{answer}\n").into_bytes(), headers)
    };
    let own = response.headers_mut();
    own.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    own.insert(header::VARY, HeaderValue::from_static("accept-encoding, authorization"));
    if let Ok(tag) = tag.parse() {
        own.insert(header::ETAG, tag);
    }
    response
}

/// A weak tag: two answers with the same one say the same of the account.
fn tag(answer: &Value) -> String {
    let mut hash = blake3::Hasher::new();
    for (name, value) in answer.as_object().into_iter().flatten() {
        if name != AS_OF {
            hash.update(format!("{name}={value}\n").as_bytes());
        }
    }
    format!("W/\"{:.32}\"", hash.finalize().to_hex())
}

/// Whether the client has what this tag is of.
pub(in crate::api) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut given = given.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    given.any(|one| one.trim() == "*" || strong(one) == strong(tag))
}

fn body(bytes: Vec<u8>, headers: &HeaderMap) -> Response {
    let zipped = (bytes.len() >= COMPRESSED_BYTES_MIN && takes_gzip(headers)).then(|| zip(&bytes));
    let (bytes, is_zipped) =
        zipped.and_then(Result::ok).map_or((bytes, false), |zipped| (zipped, true));
    let mut response = Response::new(Body::from(bytes));
    let own = response.headers_mut();
    own.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if is_zipped {
        own.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Whether a client takes gzip: it names it, and not with the weight of 0.
pub(in crate::api) fn takes_gzip(headers: &HeaderMap) -> bool {
    let given = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut given = given.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    given.any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let weight = weight.trim().trim_start_matches("q=");
        let is_none = weight.starts_with('0') && weight.trim_matches(['0', '.']).is_empty();
        name.trim().eq_ignore_ascii_case("gzip") && !is_none
    })
}

fn zip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(bytes)?;
    zip.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn gzip_is_for_those_who_ask_for_it() {
        for (value, is_taken) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(&headers(header::ACCEPT_ENCODING, value)), is_taken, "{value}");
        }
    }

    #[test]
    fn a_tag_is_of_all_but_the_time_of_the_last_look() {
        let answer = |as_of: u32, rows: u32| tag(&json!({"as_of": as_of, "rows": rows}));
        assert_eq!(answer(1, 7), answer(2, 7));
        assert_ne!(answer(1, 7), answer(1, 8));
        let known = |value: &str| is_known(&headers(header::IF_NONE_MATCH, value), &answer(1, 7));
        assert!(known(&answer(1, 7)) && known("*"));
        assert!(known(&format!("\"x\", {}", answer(1, 7).trim_start_matches("W/"))));
        assert!(!known(&answer(1, 8)) && !known(""));
    }
}
