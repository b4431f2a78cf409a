//! How a batch is compressed: by what the receiver is known to read.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Level of gzip: two thirds of what the best one saves, at a tenth of its work.
const GZIP_LEVEL: u32 = 3;
/// Level of zstd.
const ZSTD_LEVEL: i32 = 3;
/// Binary logarithm of how far zstd looks back: 512 KiB, which is what its memory grows with.
const ZSTD_WINDOW_LOG: u32 = 19;

/// What a receiver reads without having said anything.
pub(super) const FIRST: &str = "gzip";
/// No compression.
pub(super) const IDENTITY: &str = "identity";
/// Better than gzip, where the receiver says that it reads it.
const ZSTD: &str = "zstd";

/// The best encoding that a receiver's `Accept-Encoding` names; `None` where it names none of ours.
pub(super) fn best_of(accept_encoding: &str) -> Option<&'static str> {
    let names = |wanted: &str| {
        accept_encoding.split(',').any(|item| {
            let (name, quality) = item.split_once(';').unwrap_or((item, ""));
            let is_refused = quality.replace(' ', "").trim_end_matches(['0', '.']) == "q=";
            name.trim().eq_ignore_ascii_case(wanted) && !is_refused
        })
    };
    [ZSTD, FIRST, IDENTITY].into_iter().find(|encoding| names(encoding))
}

/// Compresses into memory.
pub(super) enum Compressor {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(Box<zstd::Encoder<'static, Vec<u8>>>),
    Identity(Vec<u8>),
}

impl Compressor {
    pub(super) fn new(encoding: &str) -> io::Result<Self> {
        Ok(match encoding {
            ZSTD => {
                let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(ZSTD_WINDOW_LOG)?;
                Self::Zstd(Box::new(encoder))
            }
            FIRST => Self::Gzip(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL))),
            _ => Self::Identity(Vec::new()),
        })
    }

    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Identity(bytes) => Ok(bytes),
        }
    }
}

impl Write for Compressor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
            Self::Identity(all) => all.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn the_best_encoding_that_is_named_is_taken() {
        for (header, expected) in [
            ("", None),
            ("br", None),
            ("gzip, zstd", Some("zstd")),
            ("GZIP;q=1.0", Some("gzip")),
            ("zstd;q=0, gzip;q=0.0, identity", Some("identity")),
            ("zstd; q=0.5", Some("zstd")),
        ] {
            assert_eq!(best_of(header), expected, "{header}");
        }
    }

    #[test]
    fn what_is_compressed_comes_out_again() {
        for encoding in ["gzip", "zstd", "identity"] {
            let mut compressor = Compressor::new(encoding).unwrap();
            compressor.write_all(&b"trueup ".repeat(1_000)).unwrap();
            let bytes = compressor.finish().unwrap();
            let mut text = Vec::new();
            match encoding {
                "gzip" => {
                    flate2::read::GzDecoder::new(&*bytes).read_to_end(&mut text).unwrap();
                }
                "zstd" => text = zstd::decode_all(&*bytes).unwrap(),
                _ => text = bytes,
            }
            assert_eq!(text, b"trueup ".repeat(1_000), "{encoding}");
        }
    }
}
