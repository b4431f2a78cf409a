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

mod reader;

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use self::reader::{Number, Reader, Text, Word};

/// Reads one value that is all of `bytes`.
pub(crate) fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    let mut reader = Reader::new(bytes);
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

impl<'de> Text<'de> {
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

    use super::reader::DEPTH_MAX;
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
