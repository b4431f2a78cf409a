//! The bulk of a session file: prompts, tool results and images that say nothing of usage.
//!
//! Text is drawn from one pool of JSON-escaped words, cut only at blanks, so that a slice is valid
//! inside a JSON string: no escape and no UTF-8 character is split. The pool itself holds escaped
//! `\"usage\":{…}` snippets, which a reader that searches for bytes must not take for usage.

use crate::rng::Rng;

/// Large enough that compression and caches do not see one repeated page.
const POOL_BYTES: usize = 1 << 20;
/// The longest single copy out of the pool; longer text is several copies.
const SLICE_BYTES_MAX: usize = 1 << 16;

const WORDS: &[&str] = &[
    "fn",
    "let",
    "mut",
    "return",
    "if",
    "else",
    "match",
    "self.rows",
    "=>",
    "==",
    "0x1f",
    "{",
    "}",
    "the",
    "ledger",
    "keeps",
    "every",
    "call",
    "and",
    "no",
    "row",
    "twice",
    "error:",
    "expected",
    "found",
    "src/main.rs:42:17",
    "warning:",
    "unused",
    "variable",
    "--release",
    "cargo",
    "build",
    "naïve",
    "日本語",
    "—",
    "\\\"quoted\\\"",
    "C:\\\\dir\\\\file",
    "\\u00e9t\\u00e9",
    "\\ttab",
    "https://example.org/a?b=c&d=e",
    "[1,",
    "2,",
    "3]",
    "TODO",
    "assert_eq!(a,",
    "b);",
    "\\n",
    "\\n",
];
const DECOY: &str = "\\\"usage\\\":{\\\"input_tokens\\\":987654,\\\"output_tokens\\\":3210}";

/// The pool of text and of base64.
#[derive(Debug)]
pub(crate) struct Filler {
    text: Vec<u8>,
    base64: Vec<u8>,
}

impl Filler {
    /// The same pool for every corpus of one seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 0xF111);
        let mut text = Vec::with_capacity(POOL_BYTES + 64);
        while text.len() < POOL_BYTES {
            let word = if rng.chance(1) { DECOY } else { rng.pick(WORDS) };
            text.extend_from_slice(word.as_bytes());
            text.push(b' ');
        }
        let base64 = rng.base62(SLICE_BYTES_MAX).into_bytes();
        Self { text, base64 }
    }

    /// Appends about `bytes` of escaped text, to go between the quotes of a JSON string.
    pub(crate) fn text(&self, out: &mut Vec<u8>, rng: &mut Rng, bytes: u64) {
        let mut missing = bytes as usize;
        while missing > 0 {
            let copied = self.slice(rng, missing.min(SLICE_BYTES_MAX));
            out.extend_from_slice(copied);
            missing = missing.saturating_sub(copied.len());
        }
    }

    /// Appends `bytes` of base64, as images and signatures have it.
    pub(crate) fn base64(&self, out: &mut Vec<u8>, bytes: u64) {
        let mut missing = bytes as usize;
        while missing > 0 {
            let copied = self.base64.get(..missing).unwrap_or(&self.base64);
            out.extend_from_slice(copied);
            missing -= copied.len();
        }
    }

    /// Whole words of the pool: starts after a blank and ends with the blank that follows `bytes`.
    fn slice(&self, rng: &mut Rng, bytes: usize) -> &[u8] {
        let room = self.text.len() - SLICE_BYTES_MAX - 1024;
        let tail = self.text.get(rng.below(room as u64) as usize..).unwrap_or_default();
        let tail = tail.get(blank(tail)..).unwrap_or_default();
        let end = bytes + tail.get(bytes..).map_or(0, blank);
        tail.get(..end).unwrap_or_default()
    }
}

/// The offset just after the first blank.
fn blank(text: &[u8]) -> usize {
    text.iter().position(|&byte| byte == b' ').map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::Filler;
    use crate::rng::Rng;

    #[test]
    fn any_slice_is_the_inside_of_a_json_string() {
        let (filler, mut rng) = (Filler::new(1), Rng::new(1, 1));
        for bytes in [1, 2, 17, 900, 70_000, 200_000] {
            let mut json = b"\"".to_vec();
            filler.text(&mut json, &mut rng, bytes);
            json.push(b'"');
            assert!(json.len() as u64 >= bytes);
            serde_json::from_slice::<String>(&json).expect("valid JSON string");
        }
    }
}
