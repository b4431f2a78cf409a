//! What errors of one kind have in common.

use sha2::{Digest as _, Sha256};

use super::ToldFrame;
use crate::outbox::hex;

/// Bytes of the hash that are kept: of a million kinds no two will be the same.
const HASH_BYTES: usize = 8;
/// What stands for whatever differs.
const ANY: char = '*';
/// The fewest letters that are taken for a hexadecimal number where there is no digit in them.
const HEX_LETTERS_MIN: usize = 6;

/// The hash of type, pattern, and where it came from: the function of the innermost own frame, or the
/// line, where no function is known.
pub(super) fn fingerprint(kind: &str, pattern: &str, frames: &[ToldFrame]) -> String {
    let own = frames.iter().find(|frame| frame.is_own);
    let place = own.map(|frame| match frame.function.as_str() {
        "" => frame.to_string(),
        function => format!("{function} {}", frame.file),
    });
    let parts = [kind, pattern, place.as_deref().unwrap_or_default()];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hex(hash.finalize().get(..HASH_BYTES).unwrap_or_default())
}

/// A redacted text without what differs between errors of one kind: marks, quoted texts, and words with
/// a digit, a slash or hexadecimal letters alone in them. Several such beside each other are one.
pub(super) fn pattern(redacted: &str) -> String {
    let mut out = Pattern::default();
    let mut rest = redacted;
    while let Some(first) = rest.chars().next() {
        let is_behind_word = out.ends_in_word();
        let length = quoted(rest, is_behind_word).or_else(|| address(rest, is_behind_word));
        let length = length.map(|length| (length, true));
        let (length, is_any) = length.unwrap_or_else(|| {
            if is_joint(first) {
                return (first.len_utf8(), false);
            }
            let length = rest.find(is_joint).unwrap_or(rest.len());
            (length, rest.get(..length).is_some_and(differs))
        });
        let (token, behind) = rest.split_at_checked(length.max(1)).unwrap_or((rest, ""));
        if is_any {
            out.any();
        } else {
            out.text.push_str(token);
        }
        rest = behind;
    }
    out.text.trim().to_owned()
}

/// Whatever ends a word of a pattern.
fn is_joint(c: char) -> bool {
    c.is_whitespace() || "()[]{}=:,;|\"'`".contains(c)
}

/// Whether a word differs between errors of one kind.
fn differs(word: &str) -> bool {
    let is_hex = word.len() >= HEX_LETTERS_MIN && word.bytes().all(|c| c.is_ascii_hexdigit());
    is_hex
        || word.starts_with(ANY)
        || word.contains(|c: char| c.is_ascii_digit() || "<>/\\\u{fffd}".contains(c))
}

/// The length of the quoted text that this begins with. An apostrophe inside a word begins none.
fn quoted(text: &str, is_behind_word: bool) -> Option<usize> {
    let quote = text.chars().next().filter(|c| "\"'`".contains(*c))?;
    if quote == '\'' && is_behind_word {
        return None;
    }
    let inside = text.get(quote.len_utf8()..)?;
    let ends = inside.match_indices(quote).map(|(at, _)| at + 2 * quote.len_utf8());
    let is_end = |end: &usize| {
        let behind = text.get(*end..).and_then(|behind| behind.chars().next());
        quote != '\'' || !behind.is_some_and(char::is_alphanumeric)
    };
    ends.into_iter().find(is_end)
}

/// The length of the address, or of the path on a drive, that this begins with: `https://<url>`.
fn address(text: &str, is_behind_word: bool) -> Option<usize> {
    let (begin, rest) = text.split_once(':').filter(|_| !is_behind_word)?;
    let is_name = begin.bytes().all(|c| c.is_ascii_alphanumeric() || b"+.-".contains(&c));
    let is_address = match begin.len() {
        0 => false,
        1 => rest.starts_with(['\\', '/']),
        _ => rest.starts_with("//"),
    };
    let length = rest.find(|c: char| c.is_whitespace() || "()[]{},;|\"'`".contains(c));
    (is_name && is_address).then(|| text.len() - rest.len() + length.unwrap_or(rest.len()))
}

#[derive(Debug, Default)]
struct Pattern {
    text: String,
}

impl Pattern {
    fn ends_in_word(&self) -> bool {
        self.text.ends_with(|c: char| c.is_alphanumeric())
    }

    /// Adds what differs, unless there is one already, with nothing but joints after it.
    fn any(&mut self) {
        let before = self.text.trim_end_matches(|c| " ,:;|=".contains(c)).len();
        if self.text.get(..before).is_some_and(|before| before.ends_with(ANY)) {
            self.text.truncate(before);
        } else {
            self.text.push(ANY);
        }
    }
}
