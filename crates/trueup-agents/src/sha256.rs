//! Whether bytes are still those that somebody took a SHA-256 of.

use std::fmt::Write as _;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use crate::chunks::each_chunk;

/// Whether the SHA-256 of `bytes`, in hexadecimal digits, is `expected`.
pub(crate) fn is_sha256_of(expected: &str, bytes: impl Read) -> io::Result<bool> {
    let mut hasher = Sha256::new();
    each_chunk(bytes, |chunk| hasher.update(chunk))?;
    let mut hex = String::with_capacity(64);
    for byte in hasher.finalize() {
        // Writing to a string cannot fail.
        let _is_written = write!(hex, "{byte:02x}");
    }
    Ok(hex.eq_ignore_ascii_case(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_match() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(is_sha256_of(abc, &b"abc"[..]).unwrap());
        assert!(is_sha256_of(&abc.to_uppercase(), &b"abc"[..]).unwrap());
        assert!(!is_sha256_of(abc, &b"abc "[..]).unwrap());
        assert!(!is_sha256_of("", &b""[..]).unwrap());
    }
}
