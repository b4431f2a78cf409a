//! The words of JSON: where each begins and ends, found without copying it.

use std::borrow::Cow;

use memchr::memchr;

use super::{Error, Fault, Fields};

/// Values inside of each other that are read. Records nest a handful deep; deeper ones are no records.
pub(super) const DEPTH_MAX: u8 = 64;

/// Stands somewhere in a value.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'de> {
    /// What is left.
    pub(crate) rest: &'de [u8],
    /// Objects and lists that are open.
    depth: u8,
}

impl<'de> Reader<'de> {
    /// Stands before all of `rest`.
    pub(crate) const fn new(rest: &'de [u8]) -> Self {
        Self { rest, depth: 0 }
    }

    /// The next byte that is not blank; it is not taken.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    /// Takes the byte that [`Self::peek`] has shown.
    #[inline]
    pub(crate) fn take(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), Error> {
        match self.peek() {
            Some(found) if found == byte => {
                self.take();
                Ok(())
            }
            Some(_) => Err(Error::new(Fault::Syntax)),
            None => Err(Error::new(Fault::End)),
        }
    }

    /// Takes a text and both its quotes.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<Text<'de>, Error> {
        self.expect(b'"')?;
        match plain_end(self.rest) {
            Some(end) => Ok(Text { bytes: self.take_to(end), is_plain: true }),
            None => self.long_text(),
        }
    }

    /// Takes a text that is short and has no escapes, and both its quotes, where that comes next.
    #[inline]
    pub(crate) fn plain_text(&mut self) -> Option<&'de [u8]> {
        let text = self.rest.strip_prefix(b"\"")?;
        let end = plain_end(text)?;
        self.rest = text;
        Some(self.take_to(end))
    }

    /// Takes the rest of a text that is long or has escapes. Apart, so that the short way stays short.
    #[inline(never)]
    fn long_text(&mut self) -> Result<Text<'de>, Error> {
        let mut end = 0;
        loop {
            let tail = self.rest.get(end..).unwrap_or_default();
            end += memchr(b'"', tail).ok_or(Error::new(Fault::End))?;
            let bytes = self.rest.get(..end).unwrap_or_default();
            let escapes = bytes.iter().rev().take_while(|byte| **byte == b'\\').count();
            if escapes % 2 == 0 {
                return Ok(Text { bytes: self.take_to(end), is_plain: false });
            }
            end += 1;
        }
    }

    /// Takes what stands before `end`, and the quote there.
    #[inline]
    fn take_to(&mut self, end: usize) -> &'de [u8] {
        let (bytes, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        bytes
    }

    /// Takes a natural number, where that comes next.
    #[inline]
    pub(crate) fn natural(&mut self) -> Option<u64> {
        let (mut value, mut rest) = (0_u64, self.rest);
        while let [byte @ b'0'..=b'9', others @ ..] = rest {
            value = value.checked_mul(10)?.checked_add(u64::from(byte & 0xf))?;
            rest = others;
        }
        let is_natural = rest.len() < self.rest.len() && !matches!(rest, [b'.' | b'e' | b'E', ..]);
        is_natural.then(|| {
            self.rest = rest;
            value
        })
    }

    /// Takes a number.
    pub(crate) fn number(&mut self) -> Digits<'de> {
        let from = self.rest;
        let natural = self.natural();
        if natural.is_none() {
            self.digits();
        }
        let text = from.get(..from.len() - self.rest.len()).unwrap_or_default();
        Digits { text, natural }
    }

    /// Takes a number as it is written.
    pub(crate) fn digits(&mut self) -> &'de [u8] {
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let end = self.rest.iter().take_while(|byte| is_part(byte)).count();
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        digits
    }

    /// Takes a word.
    pub(crate) fn word(&mut self) -> Result<Word, Error> {
        let words: [(&[u8], Word); 3] =
            [(b"null", Word::Null), (b"true", Word::True), (b"false", Word::False)];
        for (text, word) in words {
            if let Some(rest) = self.rest.strip_prefix(text) {
                self.rest = rest;
                return Ok(word);
            }
        }
        Err(Error::new(Fault::Syntax))
    }

    /// Takes a value that nobody asks for.
    #[inline]
    pub(crate) fn skip(&mut self) -> Result<(), Error> {
        if self.plain_text().is_some() {
            return Ok(());
        }
        match self.peek() {
            Some(b'"') => self.text().map(|_| ()),
            Some(b'{' | b'[') => self.skip_nested(),
            Some(b'-' | b'0'..=b'9') => {
                self.digits();
                Ok(())
            }
            Some(_) => self.word().map(|_| ()),
            None => Err(Error::new(Fault::End)),
        }
    }

    /// The same; what it is, as it is written.
    pub(crate) fn skipped(&mut self) -> Result<&'de [u8], Error> {
        let from = self.rest;
        self.skip()?;
        Ok(from.get(..from.len() - self.rest.len()).unwrap_or_default())
    }

    fn skip_nested(&mut self) -> Result<(), Error> {
        let mut depth = 0_usize;
        while let [byte, rest @ ..] = self.rest {
            match byte {
                b'"' => {
                    if self.plain_text().is_none() {
                        self.text()?;
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.rest = rest;
            if depth == 0 {
                return Ok(());
            }
        }
        Err(Error::new(Fault::End))
    }

    /// Takes an object: hands the value of each of its fields to `object`.
    #[inline]
    pub(crate) fn fields(&mut self, object: &mut impl Fields<'de>) -> Result<(), Error> {
        self.nested(b'}', |reader| {
            if !object.in_order(reader)? {
                return Ok(false);
            }
            let name = reader.text()?;
            reader.expect(b':')?;
            if name.has_escapes() {
                object.field(name.unescaped().unwrap_or_default().as_bytes(), reader)?;
            } else {
                object.field(name.bytes, reader)?;
            }
            reader.has_another(b'}')
        })
    }

    /// Takes a list: `each` takes its elements.
    pub(crate) fn elements(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.nested(b']', |reader| {
            each(reader)?;
            reader.has_another(b']')
        })
    }

    /// Takes an object or a list: `part` takes a part, and says whether another follows.
    #[inline]
    fn nested(
        &mut self,
        close: u8,
        mut part: impl FnMut(&mut Self) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        if self.depth == DEPTH_MAX {
            return Err(Error::new(Fault::Depth));
        }
        self.take();
        if self.peek() == Some(close) {
            self.take();
            return Ok(());
        }
        self.depth += 1;
        while part(self)? {}
        self.depth -= 1;
        Ok(())
    }

    /// Whether the field of this name, written with its quotes and its colon, comes now; it is taken.
    #[inline]
    pub(crate) fn is_field(&mut self, name: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(name);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Moves on to the next part of an object or a list; `false` behind the last.
    #[inline]
    pub(crate) fn has_another(&mut self, close: u8) -> Result<bool, Error> {
        let found = self.peek();
        if found == Some(b',') {
            self.take();
            Ok(true)
        } else if found == Some(close) {
            self.take();
            Ok(false)
        } else {
            Err(Error::new(if found.is_some() { Fault::Syntax } else { Fault::End }))
        }
    }
}

/// Where a short text without escapes ends; `None` for others. Most names and values that are read are
/// short, and looking at them word by word costs less than to begin a search.
#[inline]
fn plain_end(bytes: &[u8]) -> Option<usize> {
    const WORDS: usize = 5;
    const ONES: u64 = u64::MAX / 0xff;
    const QUOTES: u64 = ONES * 0x22;
    const ESCAPES: u64 = ONES * 0x5c;
    let (words, tail) = bytes.as_chunks();
    for (at, word) in words.iter().take(WORDS).enumerate() {
        let word = u64::from_le_bytes(*word);
        let (quotes, escapes) = (word ^ QUOTES, word ^ ESCAPES);
        // The high bit of each byte that is zero, and above the lowest one perhaps of others.
        let zeros = (quotes.wrapping_sub(ONES) & !quotes) | (escapes.wrapping_sub(ONES) & !escapes);
        let found = zeros & (ONES << 7);
        if found != 0 {
            let end = at * size_of_val(&word) + found.trailing_zeros() as usize / 8;
            return (bytes.get(end) == Some(&b'"')).then_some(end);
        }
    }
    // The last text of a line ends less than a word before the line does.
    let at = tail
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\'))
        .filter(|_| words.len() < WORDS)?;
    (tail.get(at) == Some(&b'"')).then_some(bytes.len() - tail.len() + at)
}

/// A number as it is written.
pub(crate) struct Digits<'de> {
    pub(crate) text: &'de [u8],
    /// Its value, where it is a natural number of not too many digits.
    natural: Option<u64>,
}

/// What a number comes to.
#[derive(Clone, Copy)]
pub(crate) enum Number {
    Natural(u64),
    Integer(i64),
    Float(f64),
}

impl Digits<'_> {
    /// Its value.
    #[inline]
    pub(crate) fn value(&self) -> Result<Number, Error> {
        self.natural.map_or_else(|| self.other(), |number| Ok(Number::Natural(number)))
    }

    fn other(&self) -> Result<Number, Error> {
        let text = str::from_utf8(self.text).unwrap_or_default();
        if let Ok(number) = text.parse() {
            return Ok(Number::Integer(number));
        }
        match text.parse() {
            Ok(number) => Ok(Number::Natural(number)),
            Err(_) => text.parse().map(Number::Float).map_err(|_| Error::new(Fault::Syntax)),
        }
    }
}

/// A word that is a value.
#[derive(Clone, Copy)]
pub(crate) enum Word {
    Null,
    True,
    False,
}

/// A text as it is written.
pub(crate) struct Text<'de> {
    pub(crate) bytes: &'de [u8],
    /// Whether it is known to have no escapes.
    pub(crate) is_plain: bool,
}

impl<'de> Text<'de> {
    /// The text that it stands for; `None` where its bytes or escapes stand for no characters.
    #[inline]
    pub(crate) fn read(&self) -> Option<Cow<'de, str>> {
        if self.has_escapes() {
            self.unescaped().map(Cow::Owned)
        } else {
            str::from_utf8(self.bytes).ok().map(Cow::Borrowed)
        }
    }

    /// Whether it does not stand for itself.
    #[inline]
    pub(crate) fn has_escapes(&self) -> bool {
        !self.is_plain && memchr(b'\\', self.bytes).is_some()
    }

    /// The text that a text with escapes stands for; `None` where they stand for no characters.
    #[cold]
    pub(crate) fn unescaped(&self) -> Option<String> {
        serde_json::from_slice(&[b"\"", self.bytes, b"\""].concat()).ok()
    }
}
