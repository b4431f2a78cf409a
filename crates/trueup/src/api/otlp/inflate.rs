//! Packed bodies: unpacked up to a bound, whatever they become beyond it.

use std::borrow::Cow;
use std::io::Read;

use axum::http::StatusCode;
use flate2::read::MultiGzDecoder;

use super::Refused;
use super::media::Packing;
use crate::api::Problem;

/// Largest body once it is unpacked: telemetry packs to about a tenth.
const INFLATED_BYTES_MAX: usize = 64 << 20;
/// Memory that a packed body may make the unpacker take, as a power of two: 8 MiB, which all encoders
/// stay within that are not asked for more.
const WINDOW_LOG_MAX: u32 = 23;
/// What is unpacked at a time.
const STEP_BYTES: u64 = 1 << 20;

/// The body as it was before it was packed.
pub(super) fn plain(body: &[u8], packing: Option<Packing>) -> Result<Cow<'_, [u8]>, Refused> {
    let unpacked = match packing {
        None => return Ok(Cow::Borrowed(body)),
        Some(Packing::Gzip) => unpacked(MultiGzDecoder::new(body), "gzip"),
        Some(Packing::Zstd) => {
            let decoder = zstd::stream::read::Decoder::new(body);
            let mut decoder = decoder.map_err(|_| damaged("zstd"))?;
            decoder.window_log_max(WINDOW_LOG_MAX).map_err(|_| damaged("zstd"))?;
            unpacked(decoder, "zstd")
        }
    };
    unpacked.map(Cow::Owned)
}

fn unpacked(mut decoder: impl Read, packing: &str) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    loop {
        let read = decoder.by_ref().take(STEP_BYTES).read_to_end(&mut bytes);
        match read {
            Ok(0) => return Ok(bytes),
            Ok(_) if bytes.len() > INFLATED_BYTES_MAX => return Err(too_large()),
            Ok(_) => {}
            Err(_) => return Err(damaged(packing)),
        }
    }
}

fn too_large() -> Refused {
    let message = format!(
        "the body is larger than {INFLATED_BYTES_MAX} bytes once unpacked: send smaller batches"
    );
    Refused::of("inflated", Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message))
}

fn damaged(packing: &str) -> Refused {
    let message = format!("the body is not {packing}, as its headers say");
    Refused::of("packing", Problem::new(StatusCode::BAD_REQUEST, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn reason(body: &[u8], packing: Packing) -> &'static str {
        plain(body, Some(packing)).err().map_or("", |refused| refused.reason)
    }

    #[test]
    fn what_was_packed_comes_back() {
        let body = b"telemetry ".repeat(300_000);
        assert_eq!(plain(&gzip(&body), Some(Packing::Gzip)).ok().as_deref(), Some(&body[..]));
        let packed = zstd::encode_all(&body[..], 3).unwrap();
        assert_eq!(plain(&packed, Some(Packing::Zstd)).ok().as_deref(), Some(&body[..]));
    }

    #[test]
    fn bombs_and_damage_are_refused() {
        let bomb = vec![0; INFLATED_BYTES_MAX + 1];
        assert_eq!(reason(&gzip(&bomb), Packing::Gzip), "inflated");
        assert_eq!(reason(&zstd::encode_all(&bomb[..], 1).unwrap(), Packing::Zstd), "inflated");
        let mut cut = gzip(b"telemetry");
        cut.truncate(cut.len() - 9);
        assert_eq!(reason(&cut, Packing::Gzip), "packing");
        assert_eq!(reason(b"plain", Packing::Gzip), "packing");
        assert_eq!(reason(b"plain", Packing::Zstd), "packing");
    }
}
