//! `GET /` and `GET /assets/…`: the dashboard, as `npm run build` in `ui` leaves it in `ui/dist`.
//!
//! Files are held as their gzip, and sent so. The browser is told to load nothing from elsewhere and to
//! run nothing but these files: all figures come from `/api/v1` (docs/usage-api.md).

use std::io::Read as _;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use flate2::read::GzDecoder;

use super::Problem;
use super::v1::{is_known, takes_gzip};

/// A file.
struct Asset {
    path: &'static str,
    kind: &'static str,
    etag: &'static str,
    gzip: &'static [u8],
}

/// Every file. The name of each but the page has the hash of what is in it.
const ASSETS: &[Asset] = include!("../../../../ui/dist/assets.rs");

/// The one file whose name stays: it names the others.
const PAGE: &str = "/";

/// What the page may do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The file at a path.
pub(super) async fn get(uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let asset = ASSETS.iter().find(|asset| asset.path == uri.path());
    let asset = asset.ok_or_else(Problem::not_found)?;
    let mut response = if is_known(&headers, asset.etag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        asset.body(takes_gzip(&headers))?
    };
    let kept = if asset.path == PAGE { "no-cache" } else { "public, max-age=31536000, immutable" };
    for (name, value) in [
        (header::CACHE_CONTROL, kept),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::ETAG, asset.etag),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::VARY, "accept-encoding"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

impl Asset {
    /// The contents, unpacked for those who do not take gzip.
    fn body(&self, is_zipped: bool) -> Result<Response, Problem> {
        let bytes = if is_zipped { Bytes::from_static(self.gzip) } else { self.unpacked()?.into() };
        let mut response = Response::new(Body::from(bytes));
        let own = response.headers_mut();
        own.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        if is_zipped {
            own.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(response)
    }

    fn unpacked(&self) -> Result<Vec<u8>, Problem> {
        let mut bytes = Vec::new();
        let unpacked = GzDecoder::new(self.gzip).read_to_end(&mut bytes);
        let damaged = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the program is damaged");
        unpacked.map(|_| bytes).map_err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_only_what_is_there_and_has_nothing_inline() {
        let page = ASSETS.iter().find(|asset| asset.path == PAGE).unwrap();
        let page = String::from_utf8(page.unpacked().unwrap()).unwrap();
        let named: Vec<&str> =
            page.split(['"', '\'']).filter(|part| part.starts_with("/assets/")).collect();
        assert!(named.len() >= 2, "{page}");
        for name in named {
            assert!(ASSETS.iter().any(|asset| asset.path == name), "{name}");
        }
        for unwanted in ["<style", "style=", "onload=", "http:", "https:", "<script>"] {
            assert!(!page.contains(unwanted), "{unwanted}\n{page}");
        }
    }

    #[test]
    fn names_are_those_of_contents_and_every_file_is_whole() {
        for asset in ASSETS {
            assert!(!asset.unpacked().unwrap().is_empty(), "{}", asset.path);
            let stem = asset.path.rsplit_once('.').map_or("", |(stem, _)| stem);
            let has_hash = stem.len() > 8 && stem.contains('-');
            assert!(has_hash || asset.path == PAGE, "{}", asset.path);
        }
    }
}
