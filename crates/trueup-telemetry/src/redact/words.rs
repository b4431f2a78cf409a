//! The words that pass: a table that `scripts/update-words` writes and that is read as it lies.
//!
//! It is a graph of edges of three bytes. Those of one node lie side by side, the most used first:
//!
//! ```text
//! bits 0–5 of the first byte    the letter, as its place in the alphabet of the header
//! bit 6                         this is the node's last edge
//! bit 7                         a word ends behind this edge
//! the other two                 place of the first edge of the node behind it, 0 for none
//! ```
//!
//! Nothing is unpacked or checked when it is loaded: whatever leads out of the table is no word.

/// A set of words, in lower case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    /// By byte: its letter's place in the alphabet, the same for both cases.
    letters: [u8; 256],
    edges: &'static [[u8; 3]],
}

const MAGIC: &[u8] = b"TUW1";
/// Place of the root's first edge.
const ROOT: usize = 1;
const LETTER: u8 = 0x3f;
const IS_LAST: u8 = 0x40;
const ENDS_WORD: u8 = 0x80;
/// A byte that is in no word; as a letter it would not fit into its six bits.
const NO_LETTER: u8 = 0xff;

impl Words {
    /// The words of Debian's `wamerican`, and those of programs.
    pub(super) fn built_in() -> Option<Self> {
        Self::of_table(include_bytes!("../../data/words.dawg"))
    }

    /// None for bytes that are no such table.
    pub(super) fn of_table(table: &'static [u8]) -> Option<Self> {
        let (size, rest) = table.strip_prefix(MAGIC)?.split_first()?;
        let (alphabet, edges) = rest.split_at_checked(usize::from(*size))?;
        let mut letters = [NO_LETTER; 256];
        for (place, letter) in (0..LETTER).zip(alphabet) {
            *letters.get_mut(usize::from(*letter))? = place;
            *letters.get_mut(usize::from(letter.to_ascii_uppercase()))? = place;
        }
        let (edges, []) = edges.as_chunks() else { return None };
        Some(Self { letters, edges })
    }

    /// Whether this is a word, in whatever case.
    pub(super) fn contains(&self, word: &[u8]) -> bool {
        let mut place = ROOT;
        let mut is_word = false;
        for byte in word {
            let Some(edge) = self.edge(place, *byte) else { return false };
            let [first, low, high] = *edge;
            is_word = first & ENDS_WORD != 0;
            place = usize::from(u16::from_le_bytes([low, high]));
        }
        is_word
    }

    /// The edge with this letter, of the node whose edges begin at a place.
    fn edge(&self, place: usize, byte: u8) -> Option<&[u8; 3]> {
        let letter = *self.letters.get(usize::from(byte))?;
        if place == 0 {
            return None;
        }
        for edge in self.edges.get(place..)? {
            let [first, ..] = edge;
            if first & LETTER == letter {
                return Some(edge);
            }
            if first & IS_LAST != 0 {
                return None;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        Words::built_in().unwrap()
    }

    #[test]
    fn words_are_known_in_any_case() {
        for word in
            ["error", "Error", "ERROR", "the", "timeout", "stdin", "sha256", "c++", "x86_64"]
        {
            assert!(words().contains(word.as_bytes()), "{word}");
        }
    }

    #[test]
    fn what_is_not_listed_is_no_word() {
        for word in
            ["", "e", "errorx", "timeou", "alice", "zoltan", "hunter2", "qzlbp", "für", "a b"]
        {
            assert!(!words().contains(word.as_bytes()), "{word}");
        }
    }

    #[test]
    fn every_technical_word_is_in_the_table() {
        let lines = include_str!("../../data/technical.txt").lines();
        for line in lines.filter(|line| !line.starts_with('#')) {
            for word in line.split_whitespace() {
                assert!(words().contains(word.as_bytes()), "{word}: run scripts/update-words");
            }
        }
    }

    #[test]
    fn the_table_is_small() {
        assert!(include_bytes!("../../data/words.dawg").len() <= 200_000);
    }

    #[test]
    fn bytes_that_are_no_table_are_refused() {
        for bytes in [&b""[..], b"TUW1", b"TUW1\x09ab", b"TUW2\x01a\0\0\0", b"TUW1\x01a\0\0"] {
            assert!(Words::of_table(bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn a_damaged_table_knows_fewer_words_and_does_no_harm() {
        let whole = include_bytes!("../../data/words.dawg");
        let header = MAGIC.len() + 1 + 42;
        for edges in [0, 1, 2, 100, 10_000] {
            let cut = Words::of_table(&whole[..header + 3 * edges]).unwrap();
            assert!(!cut.contains(b"zymurgyzymurgyzymurgyzymurgy"));
            assert!(!cut.contains(b"errors") || edges > 100);
        }
    }
}
