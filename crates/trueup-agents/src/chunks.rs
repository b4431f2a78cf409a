//! Bytes of a source, as many at a time as one read brings.

use std::io::{self, Read};

/// Bytes asked for in one read.
const CHUNK_BYTES: usize = 64 << 10;

/// Hands every byte of a source to `take`, chunk by chunk.
pub(crate) fn each_chunk(mut source: impl Read, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match read_once(&mut source, &mut chunk)? {
            0 => return Ok(()),
            count => take(chunk.get(..count).unwrap_or_default()),
        }
    }
}

/// Reads once, and again where a signal came between; 0 at the end of the source.
pub(crate) fn read_once(source: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source whose every second read a signal interrupts.
    struct Interrupted<'a> {
        bytes: &'a [u8],
        is_next: bool,
    }

    impl Read for Interrupted<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.is_next = !self.is_next;
            if self.is_next {
                return Err(io::ErrorKind::Interrupted.into());
            }
            self.bytes.read(into)
        }
    }

    #[test]
    fn every_byte_comes_whatever_interrupts() {
        let bytes = vec![b'x'; 2 * CHUNK_BYTES + 1];
        let mut lengths = Vec::new();
        let source = Interrupted { bytes: &bytes, is_next: false };
        each_chunk(source, |chunk| lengths.push(chunk.len())).unwrap();
        assert_eq!(lengths, [CHUNK_BYTES, CHUNK_BYTES, 1]);
    }
}
