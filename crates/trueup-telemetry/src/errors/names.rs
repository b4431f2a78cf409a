//! Names from source code: types, functions and files. They are kept as they are where they look like
//! such names, since no dictionary holds them; whatever else stands in their place goes.

use super::Redact;
use crate::redact::{Dropped, Level, Limits};

/// What stands for what is no name.
pub(super) const NO_NAME: &str = "<w>";

/// A type or a function, if it has nothing in it that such names do not have. Of a long one only the
/// end is kept, where its own name stands.
pub(super) fn name(text: &str, bytes_max: usize, redact: Redact<'_>) -> Result<String, Dropped> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_$:.<>{}#~&*,+-[]() ;'=!".contains(c);
    if text.is_empty() || !text.chars().all(is_plain) {
        return Ok(if text.is_empty() { String::new() } else { NO_NAME.to_owned() });
    }
    if !is_one_name(text) {
        return Ok(NO_NAME.to_owned());
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

/// Whether blanks stand only where they do in names: `<Vec<T, A> as Drop>::drop`, `async run`. A
/// sentence in the place of a name is somebody's text.
fn is_one_name(text: &str) -> bool {
    /// What a name may begin with, before a blank.
    const BEGINS: [&str; 7] = ["&mut", "async", "dyn", "get", "impl", "new", "set"];
    /// What stands between blanks inside of brackets.
    const JOINS: [&str; 9] = ["&mut", "+", "->", "as", "const", "dyn", "for", "impl", "mut"];
    let is_join = |word: Option<&str>| word.is_some_and(|word| JOINS.contains(&word));
    let parts: Vec<&str> = text.split(' ').collect();
    let mut depth = 0_usize;
    parts.windows(2).enumerate().all(|(place, pair)| {
        let [one, two] = pair else { return true };
        for byte in one.replace("->", "").bytes() {
            match byte {
                b'<' | b'[' => depth += 1,
                b'>' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        if depth == 0 {
            return place == 0 && parts.len() == 2 && BEGINS.contains(one);
        }
        let is_listed = one.ends_with([',', ';']);
        is_listed || is_join(one.rsplit(['<', '[']).next()) || is_join(two.split(['>', ']']).next())
    })
}

/// A file of the product's own: of a path on this machine its name, with the folder of sources that it
/// lies in. What stands before may be somebody's, and folders of users are called `src`, too.
pub(super) fn file(path: &str, redact: Redact<'_>) -> Result<String, Dropped> {
    const SOURCES: [&str; 5] = ["src", "lib", "tests", "examples", "benches"];
    let parts: Vec<&str> = path.split(['/', '\\']).collect();
    let is_placed = path.starts_with(['/', '\\', '~', '.']) || path.contains(':');
    let kept_max = match parts.as_slice() {
        [.., folder, _] if is_placed && SOURCES.contains(folder) => 2,
        _ if is_placed => 1,
        _ => PARTS_MAX,
    };
    let kept = parts.get(parts.len().saturating_sub(kept_max)..).unwrap_or_default();
    for part in kept {
        if !is_clean_part(part, redact)? {
            return Ok(NO_NAME.to_owned());
        }
    }
    Ok(kept.join("/"))
}

/// Whether a folder or a file has a name as sources have.
fn is_clean_part(part: &str, redact: Redact<'_>) -> Result<bool, Dropped> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !(1..=PART_BYTES_MAX).contains(&part.len()) || !part.chars().all(is_plain) || part == ".." {
        return Ok(false);
    }
    for word in part.split(['.', '-']).filter(|word| !word.is_empty()) {
        if !is_clean(word, redact)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Folders and the file of a path that are kept at most.
const PARTS_MAX: usize = 8;
/// Bytes of one of them at most.
const PART_BYTES_MAX: usize = 64;

/// Whether a word of a name does not look like a secret.
fn is_clean(word: &str, redact: Redact<'_>) -> Result<bool, Dropped> {
    Ok(redact(Level::Redacted, word, Limits::LINE)? == word)
}
