//! Quoted texts: names stay, and whatever is more than a name goes.

use super::super::Level;
use super::super::keys::{self, Key};
use super::super::marks;
use super::Scan;

/// A quoted text of more words is no name.
const QUOTED_WORDS_MAX: usize = 3;
/// Nor one that is longer.
const QUOTED_BYTES_MAX: usize = 64;
/// A quoted key, such as `"api_key"` in JSON, is no longer.
const QUOTED_KEY_BYTES_MAX: usize = 64;

impl Scan<'_> {
    pub(super) fn quote(&mut self) {
        if self.quoted_key() {
            return;
        }
        if self.is_in_quotes || self.policy.level == Level::Redacted {
            self.pass(self.at + 1);
            return;
        }
        let open = self.at;
        match self.closing(open) {
            Some(close) => self.quoted(open, close, 1),
            // What an error quotes is often cut off; a single quote may be an apostrophe.
            None if self.byte(open) == Some(b'\'') => self.pass(open + 1),
            None => self.quoted(open, self.line_end(open), 0),
        }
    }

    /// A quoted key and its value, such as `"token": "…"`.
    pub(super) fn quoted_key(&mut self) -> bool {
        let open = self.at;
        let before = self.bytes.get(..open).unwrap_or_default();
        let before = before.iter().rev().find(|byte| **byte != b'\\');
        // Behind a word or a mark it is rather the end of a quoted text.
        if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'>') {
            return false;
        }
        let Some((quote, inner)) = self.rest(open).split_first() else { return false };
        let inner = inner.get(..QUOTED_KEY_BYTES_MAX).unwrap_or(inner);
        let is_name = |byte: &&u8| keys::is_of_name(**byte);
        let length = inner.iter().take_while(is_name).count();
        let name = inner.get(..length).unwrap_or_default();
        let behind = inner.get(length..).unwrap_or_default();
        let slashes = behind.iter().take_while(|byte| **byte == b'\\').count();
        if behind.get(slashes) != Some(quote) {
            return false;
        }
        let Some(key) = Key::of_name(name) else { return false };
        let name_from = open + 1;
        let close = name_from + length + slashes;
        if self.assignment(close + 1).is_none() {
            return false;
        }
        self.pass(name_from);
        if self.policy.keeps(name) {
            self.pass(name_from + length);
        } else {
            self.replace(name_from + length, self.policy.mark(name));
        }
        self.pass(close + 1);
        self.assigned(key);
        true
    }

    /// A quoted text up to its end: short ones are redacted, long ones go.
    pub(super) fn quoted(&mut self, open: usize, close: usize, closing: usize) {
        // It stays or goes as one: the bound on what is written applies to it as a whole.
        let written = self.out.len();
        let (end, bytes_max) = (self.end, self.out_bytes_max);
        (self.end, self.out_bytes_max, self.is_in_quotes) = (close, usize::MAX, true);
        self.pass(open + 1);
        let inner = self.out.len();
        let is_short = !is_long(self.text.get(open + 1..close).unwrap_or_default());
        if is_short {
            self.steps();
        }
        if !is_short || self.out.len() - inner > QUOTED_BYTES_MAX {
            self.out.truncate(inner);
            self.out.push_str(marks::QUOTE);
        }
        (self.at, self.end) = (close, end);
        self.pass(close + closing);
        (self.out_bytes_max, self.is_in_quotes) = (bytes_max, false);
        self.bound(written);
    }

    /// Takes back what was written from a place on where it is too much.
    pub(super) fn bound(&mut self, written: usize) {
        if self.out.len().saturating_add(marks::CUT.len()) > self.out_bytes_max {
            self.out.truncate(written);
            self.cut();
        }
    }

    /// Where the text that is quoted from a place on ends.
    pub(super) fn closing(&mut self, open: usize) -> Option<usize> {
        match self.byte(open)? {
            b'\'' => self.closing_single(open),
            quote => self.closing_double(open, quote),
        }
    }

    /// A single quote may be an apostrophe: its end is on the same line, before any other quote: what
    /// those enclose may span lines, and be taken out.
    fn closing_single(&self, open: usize) -> Option<usize> {
        for at in open + 1..self.end {
            match self.byte(at)? {
                b'\'' if self.is_quote(at) => return Some(at),
                b'\n' | b'"' | b'`' => return None,
                _ => {}
            }
        }
        None
    }

    /// Others may enclose several lines.
    fn closing_double(&mut self, open: usize, quote: u8) -> Option<usize> {
        let slot = self.no_more.get_mut(usize::from(quote == b'`'))?;
        if *slot <= open {
            return None;
        }
        let length = self.rest(open + 1).iter().position(|byte| *byte == quote);
        if length.is_none() {
            let slot = self.no_more.get_mut(usize::from(quote == b'`'))?;
            *slot = open;
        }
        Some(open + 1 + length?)
    }
}

/// Whether a quoted text is more than a name.
fn is_long(quoted: &str) -> bool {
    let words = quoted.split([' ', '\n', '\t', '\r']);
    let words = words.filter(|word| !word.is_empty()).take(QUOTED_WORDS_MAX + 1).count();
    let is_path = || quoted.contains(['/', '\\']);
    quoted.len() > QUOTED_BYTES_MAX || words > QUOTED_WORDS_MAX || (words > 1 && is_path())
}
