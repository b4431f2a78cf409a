//! Logs as lines of JSON, each behind its checksum, of which the end may be torn.
//!
//! ```text
//! 5a1f09c2 [{"put":{"serial":3,"event":"observer_turn_rollup","seq":0,"day":20778,"sums":{…}}}]
//! ```
//!
//! A line is written with one call and counts only whole: with its newline, and with the checksum of
//! what is between. Reading ends before the first that does not.

/// Appends a line that holds `json`, which has no newline in it.
pub fn line(json: &str, to: &mut Vec<u8>) {
    to.extend_from_slice(format!("{:08x} ", crc32fast::hash(json.as_bytes())).as_bytes());
    to.extend_from_slice(json.as_bytes());
    to.push(b'\n');
}

/// The JSON of each whole line.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    rest: &'a [u8],
    good_bytes: usize,
}

impl<'a> Lines<'a> {
    /// The lines of a log.
    #[must_use]
    pub const fn new(log: &'a [u8]) -> Self {
        Self { rest: log, good_bytes: 0 }
    }

    /// Bytes of the lines that were read.
    #[must_use]
    pub const fn good_bytes(&self) -> usize {
        self.good_bytes
    }

    fn take(&mut self) -> Option<&'a str> {
        let length = self.rest.iter().position(|&byte| byte == b'\n')?;
        let (line, rest) = self.rest.split_at_checked(length + 1)?;
        let json = whole(line.strip_suffix(b"\n")?)?;
        self.rest = rest;
        self.good_bytes += line.len();
        Some(json)
    }
}

fn whole(line: &[u8]) -> Option<&str> {
    let (sum, rest) = line.split_first_chunk::<8>()?;
    let json = rest.strip_prefix(b" ")?;
    let is_right = format!("{:08x}", crc32fast::hash(json)).as_bytes() == sum;
    std::str::from_utf8(json).ok().filter(|_| is_right)
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let json = self.take();
        if json.is_none() {
            self.rest = &[];
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_log_that_is_cut_anywhere_has_its_whole_lines(
            texts in prop::collection::vec("[a-z\u{e4}]{0,20}", 0..8),
        ) {
            let mut log = Vec::new();
            let mut ends = vec![0];
            for text in &texts {
                line(text, &mut log);
                ends.push(log.len());
            }
            for cut in 0..=log.len() {
                let mut lines = Lines::new(&log[..cut]);
                let read: Vec<_> = lines.by_ref().collect();
                let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
                prop_assert_eq!(&read, &texts[..whole]);
                prop_assert_eq!(lines.good_bytes(), ends[whole]);
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(log in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Lines::new(&log).count() <= log.len());
        }
    }

    #[test]
    fn a_line_with_a_wrong_byte_ends_the_reading() {
        let mut log = Vec::new();
        for text in ["one", "two", "three"] {
            line(text, &mut log);
        }
        let place = log.windows(3).position(|bytes| bytes == b"two").unwrap();
        log[place] ^= 1;
        assert_eq!(Lines::new(&log).collect::<Vec<_>>(), ["one"]);
    }
}
