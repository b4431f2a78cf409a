//! Packed bodies: unpacked up to a bound, whatever they become beyond it.

use std::borrow::Cow;
use std::io::Read;

use axum::http::{HeaderMap, StatusCode, header};
use flate2::read::MultiGzDecoder;

use super::Problem;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    /// The name that HTTP has for it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Of the name that HTTP and gRPC have for it; `None` for none.
    pub(super) fn named(name: &str) -> Result<Option<Self>, Problem> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(None),
            "gzip" | "x-gzip" => Ok(Some(Self::Gzip)),
            "zstd" => Ok(Some(Self::Zstd)),
            name => Err(Problem::unsupported(format!(
                "bodies packed as `{name}` are not read: send gzip, zstd or plain ones"
            ))),
        }
    }

    /// What the headers of a request say.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let encoding = headers.get(header::CONTENT_ENCODING);
        Self::named(encoding.map_or("", |value| value.to_str().unwrap_or("unreadable")))
    }
}

/// Memory that a packed body may make the unpacker take, as a power of two: 8 MiB, which all encoders
/// stay within that are not asked for more.
const WINDOW_LOG_MAX: u32 = 23;
/// What is unpacked at a time.
const STEP_BYTES: usize = 1 << 20;
/// Of what becomes larger than this the place is reserved once: a buffer that doubles is there twice while it
/// moves. What is not written to takes no memory.
const GROWN_BYTES_MAX: usize = 8 << 20;

/// Why a body is not unpacked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unpacked {
    /// It becomes more than so many bytes.
    TooLarge(usize),
    /// It is not packed as its headers say.
    Damaged(&'static str),
}

impl From<Unpacked> for Problem {
    fn from(unpacked: Unpacked) -> Self {
        match unpacked {
            Unpacked::TooLarge(bytes_max) => {
                let message = format!(
                    "the body is larger than {bytes_max} bytes once unpacked: send smaller batches"
                );
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
            }
            Unpacked::Damaged(packing) => {
                let message = format!("the body is not {packing}, as its headers say");
                Self::new(StatusCode::BAD_REQUEST, message)
            }
        }
    }
}

/// The body as it was before it was packed.
pub(crate) fn plain(
    body: &[u8],
    packing: Option<Packing>,
    bytes_max: usize,
) -> Result<Cow<'_, [u8]>, Unpacked> {
    let unpacked = match packing {
        None if body.len() > bytes_max => return Err(Unpacked::TooLarge(bytes_max)),
        None => return Ok(Cow::Borrowed(body)),
        Some(Packing::Gzip) => unpacked(MultiGzDecoder::new(body), "gzip", bytes_max),
        Some(Packing::Zstd) => {
            let decoder = zstd::stream::read::Decoder::new(body);
            let mut decoder = decoder.map_err(|_| Unpacked::Damaged("zstd"))?;
            decoder.window_log_max(WINDOW_LOG_MAX).map_err(|_| Unpacked::Damaged("zstd"))?;
            unpacked(decoder, "zstd", bytes_max)
        }
    };
    unpacked.map(Cow::Owned)
}

fn unpacked(
    mut decoder: impl Read,
    packing: &'static str,
    bytes_max: usize,
) -> Result<Vec<u8>, Unpacked> {
    let mut bytes = Vec::new();
    loop {
        let read = decoder.by_ref().take(STEP_BYTES as u64).read_to_end(&mut bytes);
        match read {
            Ok(_) if bytes.len() > bytes_max => return Err(Unpacked::TooLarge(bytes_max)),
            Ok(0) => return Ok(bytes),
            Ok(_) if bytes.len() > GROWN_BYTES_MAX => {
                let most = bytes_max.saturating_add(2 * STEP_BYTES);
                // Where it is not to be had, it grows after all.
                let _is_reserved =
                    bytes.try_reserve_exact(most.saturating_sub(bytes.len())).is_ok();
            }
            Ok(_) => {}
            Err(_) => return Err(Unpacked::Damaged(packing)),
        }
    }
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

    const MAX: usize = 4 << 20;

    fn damage(body: &[u8], packing: Packing) -> Option<Unpacked> {
        plain(body, Some(packing), MAX).err()
    }

    #[test]
    fn what_was_packed_comes_back() {
        let body = b"telemetry ".repeat(300_000);
        assert_eq!(plain(&gzip(&body), Some(Packing::Gzip), MAX).ok().as_deref(), Some(&body[..]));
        let packed = zstd::encode_all(&body[..], 3).unwrap();
        assert_eq!(plain(&packed, Some(Packing::Zstd), MAX).ok().as_deref(), Some(&body[..]));
    }

    #[test]
    fn bombs_and_damage_are_refused() {
        let bomb = vec![0; MAX + 1];
        assert_eq!(damage(&gzip(&bomb), Packing::Gzip), Some(Unpacked::TooLarge(MAX)));
        let packed = zstd::encode_all(&bomb[..], 1).unwrap();
        assert_eq!(damage(&packed, Packing::Zstd), Some(Unpacked::TooLarge(MAX)));
        let mut cut = gzip(b"telemetry");
        cut.truncate(cut.len() - 9);
        assert_eq!(damage(&cut, Packing::Gzip), Some(Unpacked::Damaged("gzip")));
        assert_eq!(damage(b"plain", Packing::Gzip), Some(Unpacked::Damaged("gzip")));
        assert_eq!(damage(b"plain", Packing::Zstd), Some(Unpacked::Damaged("zstd")));
    }
}
