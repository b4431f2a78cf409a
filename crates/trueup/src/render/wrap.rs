//! Text in lines that fit.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// A text in lines of at most `columns`, each behind `indent` blanks. Lines break at blanks; a word
/// that is longer breaks behind a slash, so that paths stay whole parts, or where it must. Control
/// characters do not reach the terminal.
pub(crate) fn wrapped(text: &str, columns: usize, indent: usize) -> Vec<String> {
    let room = columns.saturating_sub(indent).max(ROOM_MIN);
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in clean.split_whitespace() {
        let needed = word.width() + usize::from(!line.is_empty());
        if !line.is_empty() && line.width() + needed > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for part in parts(word, room) {
            if !line.is_empty() && line.width() + part.width() > room {
                lines.push(std::mem::take(&mut line));
            }
            line.push_str(&part);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    let blanks = " ".repeat(indent);
    lines.iter().map(|line| format!("{blanks}{}", line.trim_end())).collect()
}

/// The narrowest column of text.
const ROOM_MIN: usize = 20;

/// A word in parts that fit: all of it, else its parts behind slashes, else pieces.
fn parts(word: &str, room: usize) -> Vec<String> {
    if word.width() <= room {
        return vec![word.to_owned()];
    }
    let mut parts = Vec::new();
    for part in word.split_inclusive('/') {
        let mut piece = String::new();
        for c in part.chars() {
            if piece.width() + c.width().unwrap_or(0) > room {
                parts.push(std::mem::take(&mut piece));
            }
            piece.push(c);
        }
        parts.push(piece);
    }
    parts
}

/// A text as a sentence: its first word begins large, unless it is the name of something.
pub(crate) fn sentence(text: &str) -> String {
    let is_of_word = |letter: char| letter.is_alphabetic() || ['\'', '-'].contains(&letter);
    let is_word = |word: &str| word.trim_end_matches([',', ';', ':']).chars().all(is_of_word);
    let end = if text.ends_with(['.', '?', '!', ')']) { "" } else { "." };
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if text.split(' ').next().is_some_and(is_word) => {
            format!("{}{}{end}", first.to_uppercase(), letters.as_str())
        }
        _ => format!("{text}{end}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_break_at_blanks_and_paths_behind_slashes() {
        assert_eq!(wrapped("one two three four", 24, 12), ["            one two three four"]);
        let lines = wrapped("see /home/somebody/with/a/long/path now", 26, 2);
        assert_eq!(lines, ["  see", "  /home/somebody/with/a/", "  long/path now"]);
        assert_eq!(wrapped("a\x1b[2Jb", 80, 0), ["a [2Jb"]);
        assert!(wrapped("", 80, 4).is_empty());
    }

    #[test]
    fn names_at_the_beginning_of_a_sentence_stay_as_they_are() {
        assert_eq!(sentence("it's off: nothing is sent"), "It's off: nothing is sent.");
        assert_eq!(sentence("is it so?"), "Is it so?");
        assert_eq!(sentence("f.csv: 3 rows"), "f.csv: 3 rows.");
        assert_eq!(sentence("usage/claude_code is left out"), "usage/claude_code is left out.");
        assert_eq!(sentence(""), ".");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_its_terminal(text in "\\PC{0,200}", columns in 30..90_usize) {
            for line in wrapped(&text, columns, 6) {
                prop_assert!(line.width() <= columns, "{line:?}");
            }
        }
    }
}
