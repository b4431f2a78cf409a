//! The one pass over a text: what stands where, and what becomes of it.
//!
//! From left to right, and never back: white space, brackets and quotes stay, and what stands between
//! them is judged whole. What is longer than one compound (a key's value, a quoted text, a number with
//! blanks in it) is looked for at the place where it begins. Every search is bounded by what it takes
//! out, or is made once only, so that the time is linear in the length.
//!
//! What comes out is read by the same rules when it is redacted again: marks are left as they are, a
//! rule whose text is a mark takes just that mark, and no rule depends on what another took out.

mod items;
mod quotes;
mod values;

use super::Level;
use super::marks;
use super::places;
use super::policy::{ENDS, Policy};

/// A text on its way.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    policy: Policy<'a>,
    /// All before this is done.
    at: usize,
    /// Nothing is looked at from here on: the end of the text, or of the quoted text that `at` is in.
    end: usize,
    is_in_quotes: bool,
    /// From here on there is no `"`, and no `` ` ``.
    no_more: [usize; 2],
    out: String,
    out_bytes_max: usize,
    is_full: bool,
}

impl<'a> Scan<'a> {
    /// The text, redacted. With `is_cut` it is the beginning of a longer one.
    pub(super) fn run(
        policy: Policy<'a>,
        text: &'a str,
        out_bytes_max: usize,
        is_cut: bool,
    ) -> String {
        // A text that was cut before is redacted as what was left of it.
        let (text, is_cut) = match text.strip_suffix(marks::CUT) {
            Some(text) => (text, true),
            None => (text, is_cut),
        };
        let bytes = text.as_bytes();
        let mut scan = Self {
            text,
            bytes,
            policy,
            at: 0,
            end: bytes.len(),
            is_in_quotes: false,
            no_more: [usize::MAX; 2],
            out: String::with_capacity(text.len().min(out_bytes_max)),
            out_bytes_max,
            is_full: false,
        };
        scan.steps();
        if is_cut && !scan.is_full {
            scan.emit(marks::CUT);
        }
        scan.out
    }

    fn steps(&mut self) {
        while self.at < self.end && !self.is_full {
            let before = self.at;
            self.step();
            // Whatever rule stood still: the rest goes, rather than the program.
            if self.at <= before {
                self.emit(marks::CUT);
                self.at = self.end;
            }
        }
    }

    fn step(&mut self) {
        let (kind, length) = self.kind(self.at);
        match kind {
            Kind::Space => {
                let end = self.while_kind(self.at, Kind::Space);
                self.space(end);
            }
            Kind::Control => self.replace(self.at + length, marks::CONTROL),
            Kind::Quote => self.quote(),
            Kind::Bracket => match marks::begins(self.rest(self.at)) {
                Some(mark) => self.mark(mark),
                None if self.rest(self.at).starts_with(b"</") => self.end_tag(),
                None => self.pass(self.at + length),
            },
            Kind::Word => self.item(),
        }
    }

    // --- reading -----------------------------------------------------------------------------------

    fn byte(&self, at: usize) -> Option<u8> {
        if at < self.end { self.bytes.get(at).copied() } else { None }
    }

    fn rest(&self, from: usize) -> &'a [u8] {
        self.bytes.get(from..self.end).unwrap_or_default()
    }

    fn is_digit(&self, at: usize) -> bool {
        self.byte(at).is_some_and(|byte| byte.is_ascii_digit())
    }

    fn line_end(&self, from: usize) -> usize {
        let newline = self.rest(from).iter().position(|byte| *byte == b'\n');
        newline.map_or(self.end, |length| from + length)
    }

    /// Whether there is a quote that is no apostrophe, whatever the bounds.
    fn is_quote(&self, at: usize) -> bool {
        let is_in_word = |at: usize| self.bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
        match self.bytes.get(at) {
            Some(b'"' | b'`') => true,
            Some(b'\'') => !(at > 0 && is_in_word(at - 1) && is_in_word(at + 1)),
            _ => false,
        }
    }

    fn while_kind(&self, from: usize, kind: Kind) -> usize {
        let mut at = from;
        while at < self.end {
            let (here, length) = self.kind(at);
            if here != kind {
                break;
            }
            at += length;
        }
        at.min(self.end)
    }

    /// What kind of character begins here, and how many bytes it has.
    #[inline]
    fn kind(&self, at: usize) -> (Kind, usize) {
        let Some(byte) = self.bytes.get(at) else { return (Kind::Control, 1) };
        if *byte >= 0x80 {
            return self.kind_beyond_ascii(at);
        }
        match KINDS.get(usize::from(*byte)) {
            Some(Kind::Quote) if *byte == b'\'' && !self.is_quote(at) => (Kind::Word, 1),
            kind => (*kind.unwrap_or(&Kind::Control), 1),
        }
    }

    fn kind_beyond_ascii(&self, at: usize) -> (Kind, usize) {
        let next = self.text.get(at..).and_then(|rest| rest.chars().next());
        // In the middle of a character there is nothing to see: it belongs to its compound.
        next.map_or((Kind::Word, 1), |c| (kind_beyond_ascii(c), c.len_utf8()))
    }

    // --- writing -----------------------------------------------------------------------------------

    /// Writes a piece, or nothing any more.
    fn emit(&mut self, piece: &str) {
        if self.is_full {
            return;
        }
        if self.out.len().saturating_add(piece.len()).saturating_add(marks::CUT.len())
            > self.out_bytes_max
        {
            return self.cut();
        }
        self.out.push_str(piece);
    }

    fn cut(&mut self) {
        self.is_full = true;
        if self.out.len() + marks::CUT.len() <= self.out_bytes_max {
            self.out.push_str(marks::CUT);
        }
    }

    /// Writes the text up to a place as it is.
    fn pass(&mut self, end: usize) {
        let end = end.min(self.end);
        if end > self.at {
            // A place inside of a character is a fault: nothing of the piece is passed on.
            self.emit(self.text.get(self.at..end).unwrap_or(marks::WORD));
            self.at = end;
        }
    }

    /// Writes white space: in a template one character stands for a run of it, a line's end for those
    /// with one.
    fn space(&mut self, end: usize) {
        let run = self.bytes.get(self.at..end).unwrap_or_default();
        if self.policy.level == Level::Redacted || run.len() <= 1 {
            return self.pass(end);
        }
        self.replace(end, if run.contains(&b'\n') { "\n" } else { " " });
    }

    fn blanks(&mut self) {
        let end = self.at + self.blanks_at(self.at);
        // Those at the end of a line are one run with it.
        if end > self.at && self.kind(end).0 != Kind::Space {
            self.space(end);
        }
    }

    /// How many blanks stand at a place, all in its line.
    fn blanks_at(&self, at: usize) -> usize {
        self.rest(at).iter().take_while(|byte| is_blank(**byte)).count()
    }

    /// Writes a mark in place of the text up to a place.
    fn replace(&mut self, end: usize, mark: &str) {
        self.emit(mark);
        self.at = end.min(self.end).max(self.at);
    }

    /// Passes a mark that stands here, with the file's name behind that of a path.
    fn mark(&mut self, mark: &'static str) {
        let end = self.at + mark.len();
        if mark != marks::PATH || self.byte(end) != Some(b'/') {
            return self.replace(end, mark);
        }
        let tail_end = self.while_kind(end, Kind::Word);
        let tail = self.bytes.get(end..tail_end).unwrap_or_default();
        let body_end = tail_end - trailing(tail);
        let body = self.bytes.get(end..body_end).unwrap_or_default();
        let name = places::file_name(self.policy, body).filter(|name| name.len() + 1 == body.len());
        self.path_mark(body_end, name.map_or(0, <[u8]>::len));
        self.pass(tail_end);
    }
}

pub(super) const PEM_BEGINS: &[u8] = b"-----BEGIN";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Space,
    /// What would move a cursor or ring a bell.
    Control,
    Quote,
    Bracket,
    /// Part of a compound.
    Word,
}

/// The kinds of ASCII.
const KINDS: [Kind; 128] = {
    let mut kinds = [Kind::Word; 128];
    let mut at = 0;
    while at < kinds.len() {
        #[expect(clippy::indexing_slicing, reason = "in a constant, it would not compile")]
        #[expect(clippy::cast_possible_truncation, reason = "at is less than 128")]
        {
            kinds[at] = match at as u8 {
                b'"' | b'`' | b'\'' => Kind::Quote,
                b' ' | b'\n' | b'\t' | b'\r' => Kind::Space,
                b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>' => Kind::Bracket,
                0x21..=0x7e => Kind::Word,
                _ => Kind::Control,
            };
        }
        at += 1;
    }
    kinds
};

/// Blanks and punctuation of other scripts end a compound; all else, also what cannot be seen, is in it.
fn kind_beyond_ascii(c: char) -> Kind {
    match c {
        '\u{80}'..='\u{9f}' => Kind::Control,
        char::REPLACEMENT_CHARACTER => Kind::Bracket,
        '\u{a1}' | '\u{ab}' | '\u{b7}' | '\u{bb}' | '\u{bf}' => Kind::Bracket,
        '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' => Kind::Bracket,
        // Arrows, frames and blocks, as in the drawings of compilers.
        '\u{2190}'..='\u{21ff}' | '\u{2500}'..='\u{25ff}' => Kind::Bracket,
        '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' => Kind::Bracket,
        '\u{ff01}' | '\u{ff08}' | '\u{ff09}' | '\u{ff0c}' | '\u{ff1a}' | '\u{ff1b}' => {
            Kind::Bracket
        }
        _ if c.is_whitespace() => Kind::Bracket,
        _ => Kind::Word,
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// How many bytes of punctuation end a compound that has more than that.
fn trailing(compound: &[u8]) -> usize {
    let tail = compound.iter().rev().take_while(|byte| ENDS.contains(byte)).count();
    if tail == compound.len() && tail > 1 { 0 } else { tail }
}
