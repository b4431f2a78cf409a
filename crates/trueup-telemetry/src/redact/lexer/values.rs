//! The values of names that say that they are secret.

use super::super::keys::{self, Key};
use super::super::marks;
use super::super::policy::DIGITS_MIN;
use super::{Kind, PEM_BEGINS, Scan, trailing};

impl Scan<'_> {
    /// The value of a bare word: `password = …`, `--password …`, `<password>…`.
    pub(super) fn after_name(&mut self, name: &[u8], key: Key) {
        let is_flag = name.starts_with(b"-");
        let blanks = self.blanks_at(self.at);
        if self.assignment(self.at).is_some_and(|by| by == b'=' || key != Key::Assigned) {
            self.assigned(key);
        } else if is_flag && blanks > 0 && self.byte(self.at + blanks) != Some(b'-') {
            self.value(Key::Value);
        } else if self.byte(self.at) == Some(b'>') && key != Key::Assigned {
            self.pass(self.at + 1);
            self.element();
        }
    }

    /// What follows `Bearer`, unless it is a plain word, as in "bearer token".
    pub(super) fn after_scheme(&mut self) {
        let from = self.at + self.blanks_at(self.at);
        let end = self.while_kind(from, Kind::Word);
        if from == self.at || end == from {
            return;
        }
        let credentials = self.bytes.get(from..end).unwrap_or_default();
        let credentials = credentials.get(..credentials.len() - trailing(credentials));
        if !credentials.unwrap_or_default().iter().all(u8::is_ascii_lowercase) {
            self.value(Key::Value);
        }
    }

    /// What follows `--user`, where it is a name with a password, as for `curl`.
    pub(super) fn after_user(&mut self) {
        let from = self.at + self.blanks_at(self.at);
        let end = self.while_kind(from, Kind::Word);
        let credentials = self.bytes.get(from..end).unwrap_or_default();
        if from > self.at && credentials.contains(&b':') {
            self.value(Key::Value);
        }
    }

    /// The separator of an assignment that begins at a place, perhaps behind blanks.
    pub(super) fn assignment(&self, from: usize) -> Option<u8> {
        let rest = self.rest(from);
        match rest.get(self.blanks_at(from)..)? {
            [b':', b':', ..] => None,
            [by @ (b'=' | b':'), ..] => Some(*by),
            _ => None,
        }
    }

    /// Passes the separator at or behind this place, and takes out the value.
    pub(super) fn assigned(&mut self, key: Key) {
        self.blanks();
        let separators = self.rest(self.at).iter();
        let length = separators.take_while(|byte| matches!(byte, b'=' | b':' | b'~')).count();
        // `=>`, and not the bracket of `key:<v>`.
        let is_arrow = length > 0 && self.byte(self.at + length) == Some(b'>');
        self.pass(self.at + length + usize::from(is_arrow));
        self.value(key);
    }

    /// Takes out the value that begins here, in quotes or not.
    pub(super) fn value(&mut self, key: Key) {
        self.blanks();
        let slashes = self.rest(self.at).iter().take_while(|byte| **byte == b'\\').count();
        let quote = self.at + slashes;
        if quote < self.end && self.is_quote(quote) {
            return self.quoted_value(quote, slashes > 0);
        }
        if let Some(mark) = marks::begins(self.rest(self.at)) {
            return self.mark(mark);
        }
        if self.rest(self.at).starts_with(PEM_BEGINS) {
            return self.pem();
        }
        let end = match key {
            Key::Header => self.line_end(self.at),
            Key::Phrase => self.phrase_end(),
            Key::Value | Key::Assigned => self.value_end(),
        };
        let value = self.bytes.get(self.at..end).unwrap_or_default();
        let closers = |byte: &&u8| b")]}.,;:!? \t\r\\".contains(byte);
        let end = end - value.iter().rev().take_while(closers).count();
        let value = self.bytes.get(self.at..end).unwrap_or_default();
        let is_count = value.len() < DIGITS_MIN && value.iter().all(u8::is_ascii_digit);
        if key == Key::Assigned && is_count {
            self.pass(end);
        } else if end > self.at {
            self.replace(end, marks::VALUE);
        }
    }

    /// `"…"`, or `\"…\"` where the whole is quoted once more. Without its end, the line goes.
    pub(super) fn quoted_value(&mut self, open: usize, is_escaped: bool) {
        let quote = self.byte(open);
        let closes = |at: &usize| {
            let is_behind_slash = *at > open + 1 && self.byte(*at - 1) == Some(b'\\');
            self.byte(*at) == quote && self.is_quote(*at) && is_behind_slash == is_escaped
        };
        let Some(close) = (open + 1..self.end).find(closes) else {
            let line_end = self.line_end(open);
            let line = self.bytes.get(open + 1..line_end).unwrap_or_default();
            // Of a text that was cut there may be a quote and no value.
            if line.iter().any(|byte| !matches!(byte, b'\\' | b'"' | b'`' | b'\'')) {
                self.replace(line_end, marks::VALUE);
            }
            return;
        };
        let value = self.bytes.get(open + 1..close).unwrap_or_default();
        let slashes = value.iter().rev().take_while(|byte| **byte == b'\\').count();
        let bare = value.get(..value.len() - slashes).unwrap_or(value);
        let is_mark = marks::begins(bare).is_some_and(|mark| mark.len() == bare.len());
        if bare.is_empty() {
            return;
        }
        // The quotes are written with what they enclose, or not at all.
        if is_mark {
            return self.pass(close + 1);
        }
        let text = |from, to| self.text.get(from..to).unwrap_or_default();
        let closing = text(close - slashes, close + 1);
        self.emit(&format!("{}{}{closing}", text(self.at, open + 1), marks::VALUE));
        self.at = close + 1;
    }

    /// The text of `<password>…</password>`.
    pub(super) fn element(&mut self) {
        if let Some(mark) = marks::begins(self.rest(self.at)) {
            return self.mark(mark);
        }
        let length = self.rest(self.at).iter().take_while(|byte| !b"<\n".contains(byte)).count();
        let mut end = self.at + length;
        // With a quote in it the line goes: the quotes that stay must be those that were.
        if (self.at..end).any(|at| self.is_quote(at)) {
            end = self.line_end(end);
        }
        if length > 0 {
            self.replace(end, marks::VALUE);
        }
    }

    /// `</password>`: neither a path nor the beginning of a value.
    pub(super) fn end_tag(&mut self) {
        self.pass(self.at + 2);
        let name = self.rest(self.at).iter().take_while(|byte| keys::is_of_name(**byte)).count();
        if name > 0 && self.byte(self.at + name) == Some(b'>') {
            self.judge(self.at + name);
            self.pass(self.at + 1);
        }
    }

    /// The end of a value without blanks.
    pub(super) fn value_end(&self) -> usize {
        let ends = |at: &usize| matches!(self.kind(*at).0, Kind::Space | Kind::Quote);
        (self.at..self.end).find(ends).unwrap_or(self.end)
    }

    /// The end of several words: of the line, of a bracket, before the next assignment or option.
    pub(super) fn phrase_end(&self) -> usize {
        let mut at = self.at;
        while at < self.end {
            match (self.kind(at).0, self.byte(at)) {
                (_, Some(b'\n')) | (Kind::Quote, _) => return at,
                (Kind::Bracket, Some(b')' | b'}' | b']' | b'<')) if at > self.at => return at,
                (Kind::Word, Some(b',' | b';')) if self.kind(at + 1).0 == Kind::Space => return at,
                (Kind::Space, _) if self.begins_option(at + self.blanks_at(at)) => return at,
                _ => at += 1,
            }
        }
        self.end
    }

    /// Whether a compound is like `user=x` or `--user`.
    pub(super) fn begins_option(&self, at: usize) -> bool {
        let rest = self.rest(at);
        let name = rest.iter().take_while(|byte| keys::is_of_name(**byte)).count();
        rest.starts_with(b"--") || (name > 0 && rest.get(name) == Some(&b'='))
    }
}
