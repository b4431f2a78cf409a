//! Bytes of any encoding as UTF-8, and a bound for each record.
//!
//! A byte order mark decides; without one, zeros at every other byte are UTF-16. All else is UTF-8, and
//! bytes that are none are Windows-1252, as old programs of Windows save it: that is a guess, and told.

use std::io::{self, Read};

/// The longest row that is held: an unclosed quote would take in the whole file.
pub const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 16 << 10;
/// Bytes that are looked at to tell UTF-16 without a byte order mark.
const SNIFF_BYTES: usize = 64;

/// A record is longer than [`RECORD_BYTES_MAX`].
#[derive(Debug, thiserror::Error)]
#[error("a row that is too long")]
pub(super) struct RecordTooLong;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

/// UTF-8 of a file of any encoding.
#[derive(Debug)]
pub(super) struct Decoded<R> {
    input: R,
    encoding: Option<Encoding>,
    /// What was read and not decoded yet.
    raw: Vec<u8>,
    text: Vec<u8>,
    text_at: usize,
    is_at_end: bool,
    is_guessed: bool,
}

impl<R: Read> Decoded<R> {
    pub(super) const fn new(input: R) -> Self {
        Self {
            input,
            encoding: None,
            raw: Vec::new(),
            text: Vec::new(),
            text_at: 0,
            is_at_end: false,
            is_guessed: false,
        }
    }

    /// Reads more, up to a chunk; the first time enough to tell the encoding.
    fn fill(&mut self) -> io::Result<()> {
        let wanted = if self.encoding.is_none() { SNIFF_BYTES } else { self.raw.len() + 1 };
        let mut chunk = [0; CHUNK_BYTES];
        while self.raw.len() < wanted && !self.is_at_end {
            let count = match self.input.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                count => count?,
            };
            self.is_at_end = count == 0;
            self.raw.extend(chunk.iter().take(count));
        }
        Ok(())
    }

    fn decode(&mut self) {
        let encoding = *self.encoding.get_or_insert_with(|| {
            let (encoding, mark) = sniff(&self.raw);
            self.raw.drain(..mark);
            encoding
        });
        let used = match encoding {
            Encoding::Utf8 => self.decode_utf8(),
            Encoding::Utf16Le => self.decode_utf16(u16::from_le_bytes),
            Encoding::Utf16Be => self.decode_utf16(u16::from_be_bytes),
        };
        self.raw.drain(..used);
    }

    /// How many bytes were decoded: all but the beginning of a character at the end.
    fn decode_utf8(&mut self) -> usize {
        let mut used = 0;
        while let Some(rest) = self.raw.get(used..).filter(|rest| !rest.is_empty()) {
            let error = match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.text.extend(text.as_bytes());
                    return self.raw.len();
                }
                Err(error) => error,
            };
            let (valid, invalid) = rest.split_at(error.valid_up_to());
            self.text.extend(valid);
            used += valid.len();
            let count = match error.error_len() {
                Some(count) => count,
                None if self.is_at_end => invalid.len(),
                None => return used,
            };
            for byte in invalid.iter().take(count) {
                let mut buffer = [0; 4];
                self.text.extend(windows_1252(*byte).encode_utf8(&mut buffer).as_bytes());
            }
            self.is_guessed = true;
            used += count;
        }
        used
    }

    fn decode_utf16(&mut self, unit: fn([u8; 2]) -> u16) -> usize {
        let mut units: Vec<u16> =
            self.raw.as_chunks::<2>().0.iter().map(|pair| unit(*pair)).collect();
        // The first half of a pair waits for the second.
        if !self.is_at_end && units.last().is_some_and(|last| (0xd800..0xdc00).contains(last)) {
            units.pop();
        }
        let mut buffer = [0; 4];
        for character in char::decode_utf16(units.iter().copied()) {
            self.is_guessed |= character.is_err();
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            self.text.extend(character.encode_utf8(&mut buffer).as_bytes());
        }
        let used = units.len() * 2;
        let is_torn = self.is_at_end && used < self.raw.len();
        self.is_guessed |= is_torn;
        if is_torn { self.raw.len() } else { used }
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.text_at == self.text.len() {
            self.text.clear();
            self.text_at = 0;
            if self.is_at_end && self.raw.is_empty() {
                return Ok(0);
            }
            self.fill()?;
            self.decode();
        }
        let rest = self.text.get(self.text_at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        self.text_at += count;
        Ok(count)
    }
}

/// The encoding, and the length of its mark.
fn sniff(bytes: &[u8]) -> (Encoding, usize) {
    match bytes {
        [0xef, 0xbb, 0xbf, ..] => return (Encoding::Utf8, 3),
        [0xff, 0xfe, ..] => return (Encoding::Utf16Le, 2),
        [0xfe, 0xff, ..] => return (Encoding::Utf16Be, 2),
        _ => {}
    }
    let pairs = bytes.get(..bytes.len().min(SNIFF_BYTES)).unwrap_or_default().as_chunks::<2>().0;
    let all = |is_so: fn(&[u8; 2]) -> bool| !pairs.is_empty() && pairs.iter().all(is_so);
    if all(|[first, second]| *first != 0 && *second == 0) {
        (Encoding::Utf16Le, 0)
    } else if all(|[first, second]| *first == 0 && *second != 0) {
        (Encoding::Utf16Be, 0)
    } else {
        (Encoding::Utf8, 0)
    }
}

/// The characters 0x80 to 0x9f of Windows-1252; the others are those of Latin-1.
const C1: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

fn windows_1252(byte: u8) -> char {
    let at = usize::from(byte).checked_sub(0x80);
    at.and_then(|at| C1.get(at)).copied().unwrap_or(char::from(byte))
}

/// The text from the header on, which ends where one record is too long.
#[derive(Debug)]
pub(super) struct Bounded<R> {
    text: io::Chain<io::Cursor<Vec<u8>>, Decoded<R>>,
    record_bytes: u64,
}

impl<R: Read> Bounded<R> {
    /// `begin` was read already.
    pub(super) fn new(begin: Vec<u8>, rest: Decoded<R>) -> Self {
        Self { text: io::Cursor::new(begin).chain(rest), record_bytes: 0 }
    }

    /// What comes from now on is of the next record, but for what is held already.
    pub(super) const fn record_begins(&mut self) {
        self.record_bytes = 0;
    }

    /// Whether bytes were taken for characters that they need not be.
    pub(super) fn is_guessed(&self) -> bool {
        self.text.get_ref().1.is_guessed
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.record_bytes > RECORD_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, RecordTooLong));
        }
        let count = self.text.read(buffer)?;
        self.record_bytes += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buffer.len());
            (&mut self.0).take(count as u64).read(buffer)
        }
    }

    fn decoded(bytes: &[u8], step: usize) -> (String, bool) {
        let mut decoded = Decoded::new(Slow(bytes, step));
        let mut text = String::new();
        decoded.read_to_string(&mut text).unwrap();
        (text, decoded.is_guessed)
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        let text = "start_time,modèle ≤ 200k 🦀\n";
        for (mark, bytes) in [
            (&[0xef, 0xbb, 0xbf][..], text.as_bytes().to_vec()),
            (&[0xff, 0xfe], utf16(text, u16::to_le_bytes)),
            (&[0xfe, 0xff], utf16(text, u16::to_be_bytes)),
            (&[], text.as_bytes().to_vec()),
        ] {
            let bytes = [mark, &bytes].concat();
            for step in [1, 2, 3, 7, 64, 1_000] {
                assert_eq!(decoded(&bytes, step), (text.to_owned(), false), "{mark:?} {step}");
            }
        }
    }

    #[test]
    fn utf16_needs_no_mark_and_windows_1252_is_told() {
        let header = "start_time,end_time,start_time_iso,end_time_iso,amount_value\n≤ 200k";
        assert_eq!(decoded(&utf16(header, u16::to_le_bytes), 5), (header.to_owned(), false));
        assert_eq!(decoded(&utf16(header, u16::to_be_bytes), 5), (header.to_owned(), false));
        assert_eq!(decoded(b"\xe9t\xe9 \x80 5\xff", 2), ("été € 5ÿ".to_owned(), true));
        assert_eq!(decoded(b"cut \xe2\x89", 2), ("cut â‰".to_owned(), true));
    }

    proptest! {
        #[test]
        fn any_bytes_are_text_however_they_come(
            bytes in prop::collection::vec(any::<u8>(), 0..300), step in 1..40_usize,
        ) {
            prop_assert_eq!(decoded(&bytes, step), decoded(&bytes, 1_000));
        }

        #[test]
        fn text_is_the_same_in_every_encoding(text in "[a-z]{64}\\PC{0,80}", step in 1..40_usize) {
            let same = (text.clone(), false);
            prop_assert_eq!(&decoded(text.as_bytes(), step), &same);
            let le = [&[0xff, 0xfe][..], &utf16(&text, u16::to_le_bytes)].concat();
            prop_assert_eq!(&decoded(&le, step), &same);
            prop_assert_eq!(&decoded(&utf16(&text, u16::to_be_bytes), step), &same);
        }
    }
}
