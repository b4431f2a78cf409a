//! Names from source code: types, functions and files. They are kept as they are where they look like
//! such names, since no dictionary holds them; whatever else stands in their place goes.

use super::Redact;
use crate::redact::{Dropped, Level, Limits};

/// What stands for what is no name.
pub(super) const NO_NAME: &str = "<w>";

/// A type or a function, if it has nothing in it that such names do not have. Of a long one only the
/// end is kept, where its own name stands.
pub(super) fn name(text: &str, bytes_max: usize, redact: Redact<'_>) -> Result<String, Dropped> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_$:.<>{}#~&*,-[]() ;'=!".contains(c);
    if text.is_empty() || !text.chars().all(is_plain) {
        return Ok(if text.is_empty() { String::new() } else { NO_NAME.to_owned() });
    }
    let begin = text.len().saturating_sub(bytes_max);
    // Half a part of a name may be half a secret.
    let is_joint = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let cut = text.get(begin..).unwrap_or_default();
    let kept = if begin == 0 {
        cut
    } else {
        cut.find(is_joint).and_then(|at| cut.get(at..)).unwrap_or_default()
    };
    for part in kept.split(is_joint).filter(|part| !part.is_empty()) {
        if !is_clean(part, redact)? {
            return Ok(NO_NAME.to_owned());
        }
    }
    Ok(kept.trim_start_matches([':', '.', ' ']).to_owned())
}

/// A file of the product's own, from the folder of its sources on, or without any folder.
pub(super) fn file(path: &str, redact: Redact<'_>) -> Result<String, Dropped> {
    const SOURCES: [&str; 5] = ["src", "lib", "tests", "examples", "benches"];
    let parts: Vec<&str> = path.split(['/', '\\']).collect();
    let is_placed = path.starts_with(['/', '\\', '~', '.']) || path.contains(':');
    let begin = if is_placed {
        let last = parts.len().saturating_sub(1);
        let folders = parts.get(..last).unwrap_or_default();
        folders.iter().rposition(|part| SOURCES.contains(part)).unwrap_or(last)
    } else {
        0
    };
    let kept = parts.get(begin..).unwrap_or_default();
    let kept = kept.get(kept.len().saturating_sub(PARTS_MAX)..).unwrap_or_default();
    for part in kept {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let is_name = (1..=PART_BYTES_MAX).contains(&part.len()) && part.chars().all(is_plain);
        let words = part.split(['.', '-']).filter(|word| !word.is_empty());
        let mut is_good = is_name && *part != "..";
        for word in words {
            is_good = is_good && is_clean(word, redact)?;
        }
        if !is_good {
            return Ok(NO_NAME.to_owned());
        }
    }
    Ok(kept.join("/"))
}

/// Folders and the file of a path that are kept at most.
const PARTS_MAX: usize = 8;
/// Bytes of one of them at most.
const PART_BYTES_MAX: usize = 64;

/// Whether a word of a name does not look like a secret.
fn is_clean(word: &str, redact: Redact<'_>) -> Result<bool, Dropped> {
    Ok(redact(Level::Redacted, word, Limits::LINE)? == word)
}
