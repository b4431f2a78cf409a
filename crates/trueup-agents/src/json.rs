//! JSON, read where it lies.
//!
//! Records are read for a handful of short fields beside kilobytes of conversation. Texts are borrowed
//! from the line. A value that nobody asks for is passed over by its quotes and brackets, at the speed of
//! looking for quotes; what stands between them is not judged. So a name inside of a text, or of an
//! object inside of another, is never taken for a field, and a line that is cut or torn is an error, but
//! a misspelt number in a tool's input is not.
//!
//! This module is the grammar only, for derived [`Deserialize`]. What fields of a
//! wrong type mean is said in [`lossy`](crate::lossy).
//!
//! ```json
//! {"message":{"content":[{"input":{"usage":"this is passed over"}}],"usage":{"output_tokens":318}}}
//! ```

use std::fmt;

use memchr::memchr;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// Values inside of each other that are read. Records nest a handful deep; deeper ones are no records.
const DEPTH_MAX: u8 = 64;

/// Reads one value that is all of `bytes`.
pub(crate) fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    let mut reader = Reader { rest: bytes, depth: 0 };
    let value = T::deserialize(&mut reader).and_then(|value| match reader.peek() {
        None => Ok(value),
        Some(_) => Err(Error::new(Fault::Syntax)),
    });
    value.map_err(|error| Error { column: bytes.len() - reader.rest.len() + 1, ..error })
}

/// What is wrong, and where; never what is written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at column {column}")]
pub(crate) struct Error {
    fault: Fault,
    column: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("ends too early")]
    End,
    #[error("is not valid JSON")]
    Syntax,
    #[error("is nested too deeply")]
    Depth,
    #[error("has a field twice, or of a wrong type")]
    Data,
}

impl Error {
    const fn new(fault: Fault) -> Self {
        Self { fault, column: 0 }
    }
}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self::new(Fault::Data)
    }
}

/// Stands somewhere in a value.
struct Reader<'de> {
    /// What is left.
    rest: &'de [u8],
    depth: u8,
}

impl<'de> Reader<'de> {
    /// The next byte that is not blank; it is not taken.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    /// Takes the byte that [`Self::peek`] has shown.
    #[inline]
    fn take(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    fn expect(&mut self, byte: u8) -> Result<(), Error> {
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
    fn text(&mut self) -> Result<Text<'de>, Error> {
        self.expect(b'"')?;
        match plain_end(self.rest) {
            Some(end) => Ok(Text { bytes: self.take_to(end), is_plain: true }),
            None => self.long_text(),
        }
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

    /// Takes a number.
    fn number(&mut self) -> Number<'de> {
        /// As many digits always fit into 64 bits.
        const DIGITS_MAX: usize = 19;
        let (mut value, mut end) = (0_u64, 0);
        for byte in self.rest.iter().take(DIGITS_MAX + 1) {
            match byte {
                b'0'..=b'9' => value = value.wrapping_mul(10).wrapping_add(u64::from(byte & 0xf)),
                _ => break,
            }
            end += 1;
        }
        let is_natural = (1..=DIGITS_MAX).contains(&end)
            && !matches!(self.rest.get(end), Some(b'.' | b'e' | b'E'));
        if !is_natural {
            let is_part =
                |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
            end = self.rest.iter().take_while(|byte| is_part(byte)).count();
        }
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        Number { text, natural: is_natural.then_some(value) }
    }

    /// Takes a word.
    fn word(&mut self) -> Result<Word, Error> {
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
    fn skip(&mut self) -> Result<(), Error> {
        match self.peek() {
            Some(b'"') => self.text().map(|_| ()),
            Some(b'{' | b'[') => self.skip_nested(),
            Some(b'-' | b'0'..=b'9') => {
                self.number();
                Ok(())
            }
            Some(_) => self.word().map(|_| ()),
            None => Err(Error::new(Fault::End)),
        }
    }

    fn skip_nested(&mut self) -> Result<(), Error> {
        let mut depth = 0_usize;
        while let [byte, rest @ ..] = self.rest {
            match byte {
                b'"' => {
                    self.text()?;
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

    /// Takes an object or a list: `open` hands its parts to a visitor.
    fn nested<T>(&mut self, open: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth == DEPTH_MAX {
            return Err(Error::new(Fault::Depth));
        }
        self.take();
        self.depth += 1;
        let value = open(self);
        self.depth -= 1;
        value
    }

    /// Moves on to the next part of an object or a list; `false` behind the last.
    #[inline]
    fn has_next(&mut self, is_first: &mut bool, close: u8) -> Result<bool, Error> {
        match self.peek() {
            Some(byte) if byte == close => {
                self.take();
                Ok(false)
            }
            Some(b',') if !*is_first => {
                self.take();
                Ok(true)
            }
            Some(_) if std::mem::take(is_first) => Ok(true),
            Some(_) => Err(Error::new(Fault::Syntax)),
            None => Err(Error::new(Fault::End)),
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
    let (words, _) = bytes.as_chunks();
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
    None
}

/// A number as it is written.
struct Number<'de> {
    text: &'de [u8],
    /// Its value, where it is a natural number of not too many digits.
    natural: Option<u64>,
}

impl Number<'_> {
    #[inline]
    fn visit<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Error> {
        match self.natural {
            Some(number) => visitor.visit_u64(number),
            None => self.visit_other(visitor),
        }
    }

    fn visit_other<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Error> {
        let text = str::from_utf8(self.text).unwrap_or_default();
        if let Ok(number) = text.parse::<i64>() {
            return visitor.visit_i64(number);
        }
        match text.parse::<u64>() {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => visitor.visit_f64(text.parse().map_err(|_| Error::new(Fault::Syntax))?),
        }
    }
}

#[derive(Clone, Copy)]
enum Word {
    Null,
    True,
    False,
}

/// A text as it is written.
struct Text<'de> {
    bytes: &'de [u8],
    /// Whether it is known to have no escapes.
    is_plain: bool,
}

impl<'de> Text<'de> {
    #[inline]
    fn has_escapes(&self) -> bool {
        !self.is_plain && memchr(b'\\', self.bytes).is_some()
    }

    /// Hands it to a visitor; as nothing where its bytes or escapes stand for no characters.
    #[inline]
    fn visit<V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Error> {
        if self.has_escapes() {
            return match self.unescaped() {
                Some(text) => visitor.visit_string(text),
                None => visitor.visit_unit(),
            };
        }
        match str::from_utf8(self.bytes) {
            Ok(text) => visitor.visit_borrowed_str(text),
            Err(_) => visitor.visit_unit(),
        }
    }

    #[cold]
    fn unescaped(&self) -> Option<String> {
        serde_json::from_slice(&[b"\"", self.bytes, b"\""].concat()).ok()
    }
}

/// The name of a field.
impl<'de> Deserializer<'de> for Text<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit(visitor)
    }

    /// Names of fields are compared only: their bytes will do.
    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.has_escapes() {
            self.visit(visitor)
        } else {
            visitor.visit_borrowed_bytes(self.bytes)
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum ignored_any
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'"') => self.text()?.visit(visitor),
            Some(b'{') => self.nested(|reader| visitor.visit_map(Parts { reader, is_first: true })),
            Some(b'[') => self.nested(|reader| visitor.visit_seq(Parts { reader, is_first: true })),
            Some(b'-' | b'0'..=b'9') => self.number().visit(visitor),
            Some(_) => match self.word()? {
                Word::Null => visitor.visit_unit(),
                Word::True => visitor.visit_bool(true),
                Word::False => visitor.visit_bool(false),
            },
            None => Err(Error::new(Fault::End)),
        }
    }

    /// A newtype is a number that is wanted as it is written.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.peek() {
            Some(b'"') => self.text()?.visit(visitor),
            Some(b'-' | b'0'..=b'9') => {
                Text { bytes: self.number().text, is_plain: true }.visit(visitor)
            }
            _ => {
                self.skip()?;
                visitor.visit_unit()
            }
        }
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map struct enum identifier
    }
}

/// The parts of an object or a list, one after the other.
struct Parts<'a, 'de> {
    reader: &'a mut Reader<'de>,
    is_first: bool,
}

impl<'de> MapAccess<'de> for Parts<'_, 'de> {
    type Error = Error;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if !self.reader.has_next(&mut self.is_first, b'}')? {
            return Ok(None);
        }
        seed.deserialize(self.reader.text()?).map(Some)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        self.reader.expect(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

impl<'de> SeqAccess<'de> for Parts<'_, 'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        if !self.reader.has_next(&mut self.is_first, b']')? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    /// A record with a field that is read as any other reader would read it.
    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Record {
        message: Message,
        id: String,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Message {
        usage: BTreeMap<String, Value>,
    }

    fn usage(json: &str) -> Result<Option<i64>, Error> {
        let record: Record = from_slice(json.as_bytes())?;
        Ok(record.message.usage.get("output").and_then(Value::as_i64))
    }

    #[test]
    fn only_the_field_itself_is_read() {
        for (json, expected) in [
            (r#"{"message":{"content":[],"usage":{"output":3}}}"#, Ok(Some(3))),
            (r#" { "message" : { "usage" : { "output" : 3 } } } "#, Ok(Some(3))),
            (r#"{"message":{"usa\u0067e":{"output":3}}}"#, Ok(Some(3))),
            // in a text, with and without escapes before it
            (r#"{"message":{"content":"\"usage\":{\"output\":3}"}}"#, Ok(None)),
            (r#"{"message":{"content":"\\","x":"\\\"usage\":{}"}}"#, Ok(None)),
            (r#"{"message":{"content":"}}\\\"","usage":{"output":4}}}"#, Ok(Some(4))),
            // in another object
            (r#"{"message":{"content":[{"input":{"usage":{"output":3}}}]}}"#, Ok(None)),
            (r#"{"usage":{"output":3},"message":{}}"#, Ok(None)),
            (r#"{"message":{"content":{"x":[[{"a":"]}"}]]},"usage":{"output":5}}}"#, Ok(Some(5))),
        ] {
            assert_eq!(usage(json), expected, "{json}");
        }
    }

    #[test]
    fn what_is_cut_or_torn_is_an_error() {
        let whole = r#"{"message":{"content":[{"a":"b\\"}],"usage":{"output":3}},"id":"x"}"#;
        assert_eq!(usage(whole), Ok(Some(3)));
        for end in 0..whole.len() {
            let cut = whole.get(..end).unwrap();
            assert!(usage(cut).is_err(), "{cut}");
        }
        for torn in [
            r#"{"message":{"usage":{"output":3}}}}"#,
            r#"{"message":{"usage":{"output":3}},}"#,
            r#"{"message":{"usage":{"output":3}}"id":"x"}"#,
            r#"{"id":"x{"message":{"usage":{"output":3}}}"#,
            r#"{"message" {"usage":{"output":3}}}"#,
            r#"{,"message":{}}"#,
            r#"{"x":nothing}"#,
            r#"{"x":}"#,
        ] {
            assert!(usage(torn).is_err(), "{torn}");
        }
    }

    #[test]
    fn nesting_ends_at_its_bound_where_it_is_read_and_nowhere_else() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let read = |json: &str| from_slice::<Value>(json.as_bytes());
        assert!(read(&deep(usize::from(DEPTH_MAX))).is_ok());
        assert_eq!(read(&deep(usize::from(DEPTH_MAX) + 1)).unwrap_err().fault, Fault::Depth);
        assert_eq!(usage(&format!(r#"{{"x":{}}}"#, deep(100_000))), Ok(None));
    }

    #[test]
    fn errors_name_the_place_and_no_content() {
        for (json, expected) in [
            (r#"{"id":"secret""#, "ends too early at column 15"),
            (r#"{"id":secret}"#, "is not valid JSON at column 7"),
            (r#"{"id":"a","id":"b"}"#, "has a field twice, or of a wrong type at column 15"),
        ] {
            assert_eq!(usage(json).unwrap_err().to_string(), expected);
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
            "[\"\\\\{}\\[\\]:,a\né]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"\\\\{]{0,3}", inner, 0..5)
                    .prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn valid_json_is_read_as_serde_json_reads_it(value in json(), is_pretty: bool) {
            let text = if is_pretty { format!("{value:#}") } else { value.to_string() };
            prop_assert_eq!(from_slice::<Value>(text.as_bytes()), Ok(serde_json::from_str(&text).unwrap()));
        }

        #[test]
        fn ignored_values_end_where_they_end(before in json(), after in json()) {
            let text = format!(r#"{{"x":{before},"message":{{"y":{after},"usage":{{"output":7}},"z":{before}}},"w":{after}}}"#);
            prop_assert_eq!(usage(&text), Ok(Some(7)));
        }

        #[test]
        fn no_bytes_panic(bytes in "[\"\\\\{}\\[\\]:,a1. -]{0,40}") {
            let _unused = from_slice::<Value>(bytes.as_bytes());
            let _unused = from_slice::<Record>(bytes.as_bytes());
        }
    }
}
