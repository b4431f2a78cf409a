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
        if let Some(end) = plain_end(self.rest) {
            return Ok(self.text_of(end, true));
        }
        let mut end = 0;
        loop {
            let tail = self.rest.get(end..).unwrap_or_default();
            end += memchr(b'"', tail).ok_or(Error::new(Fault::End))?;
            let bytes = self.rest.get(..end).unwrap_or_default();
            if !is_escaped(bytes) {
                return Ok(self.text_of(end, false));
            }
            end += 1;
        }
    }

    #[inline]
    fn text_of(&mut self, end: usize, is_plain: bool) -> Text<'de> {
        let (bytes, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        Text { bytes, is_plain }
    }

    /// Takes a number or a word.
    #[inline]
    fn token(&mut self) -> Result<&'de [u8], Error> {
        let is_part =
            |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-' | b'+' | b'.' | b'E');
        let end = self.rest.iter().position(|byte| !is_part(byte)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        let is_value = matches!(token, [b'-' | b'0'..=b'9', ..] | b"true" | b"false" | b"null");
        if is_value { Ok(token) } else { Err(Error::new(Fault::Syntax)) }
    }

    /// Takes a value that nobody asks for.
    #[inline]
    fn skip(&mut self) -> Result<(), Error> {
        match self.peek() {
            Some(b'"') => self.text().map(|_| ()),
            Some(b'{' | b'[') => self.skip_nested(),
            Some(_) => self.token().map(|_| ()),
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
    const WORD: usize = size_of::<u64>();
    const WORDS: usize = 5;
    /// Has the high bit of each byte that is `wanted`; above the lowest one perhaps of others.
    const fn marks(word: u64, wanted: u8) -> u64 {
        const ONES: u64 = u64::MAX / 0xff;
        let bytes = word ^ (ONES * wanted as u64);
        bytes.wrapping_sub(ONES) & !bytes & (ONES << 7)
    }
    for (at, word) in bytes.chunks_exact(WORD).take(WORDS).enumerate() {
        let word = u64::from_le_bytes(word.try_into().ok()?);
        let (quotes, escapes) = (marks(word, b'"'), marks(word, b'\\'));
        if (quotes | escapes) != 0 {
            let (end, escape) = (quotes.trailing_zeros(), escapes.trailing_zeros());
            return (end < escape).then_some(at * WORD + end as usize / 8);
        }
    }
    None
}

/// Whether what follows these bytes of a text is escaped.
#[inline]
fn is_escaped(bytes: &[u8]) -> bool {
    bytes.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
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
            Some(_) => scalar(self.token()?, visitor),
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
                Text { bytes: self.token()?, is_plain: true }.visit(visitor)
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

/// Hands a number or a word to a visitor.
#[inline]
fn scalar<'de, V: Visitor<'de>>(token: &[u8], visitor: V) -> Result<V::Value, Error> {
    /// As many digits always fit into 64 bits.
    const DIGITS_MAX: usize = 19;
    match token {
        b"true" => visitor.visit_bool(true),
        b"false" => visitor.visit_bool(false),
        b"null" => visitor.visit_unit(),
        digits if digits.len() <= DIGITS_MAX && digits.iter().all(u8::is_ascii_digit) => visitor
            .visit_u64(digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))),
        other => {
            let text = str::from_utf8(other).map_err(|_| Error::new(Fault::Syntax))?;
            if let Ok(number) = text.parse::<i64>() {
                return visitor.visit_i64(number);
            }
            match text.parse::<u64>() {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => visitor.visit_f64(text.parse().map_err(|_| Error::new(Fault::Syntax))?),
            }
        }
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
            (r#"{"id":secret}"#, "is not valid JSON at column 13"),
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
