//! JSON, read where it lies, into places that are there already.
//!
//! Records are read for a handful of short fields beside kilobytes of conversation. Texts are borrowed
//! from the line. A value that nobody asks for is passed over by its quotes and brackets, at the speed of
//! looking for quotes; what stands between them is not judged. So a name inside of a text, or of an
//! object inside of another, is never taken for a field, and a line that is cut or torn is an error, but
//! a misspelt number in a tool's input is not. Of a field that is there twice the last counts, as it does
//! for the agents themselves.
//!
//! This module is the grammar only; [`objects`] declares what is read of an object. It stands in the place
//! of serde, which hands every value up by moving it: half of the time that a record took. What fields of
//! a wrong type mean is said in [`lossy`](crate::lossy).
//!
//! ```json
//! {"message":{"content":[{"input":{"usage":"this is passed over"}}],"usage":{"output_tokens":318}}}
//! ```

mod reader;

pub(crate) use self::reader::{Number, Reader, Word};

/// A value that is read into its place.
pub(crate) trait Read<'de>: Default {
    /// Takes the value that `reader` stands before.
    fn read(&mut self, reader: &mut Reader<'de>) -> Result<(), Error>;
}

/// An object of which some fields are read.
pub(crate) trait Fields<'de>: Default {
    /// Takes the fields that come in the order in which they are declared, from the one that `reader`
    /// stands before; whether another field follows.
    fn in_order(&mut self, reader: &mut Reader<'de>) -> Result<bool, Error>;

    /// Takes the value of the field of this name.
    fn field(&mut self, name: &[u8], reader: &mut Reader<'de>) -> Result<(), Error>;
}

impl<'de, T: Fields<'de>> Fields<'de> for Box<T> {
    fn in_order(&mut self, reader: &mut Reader<'de>) -> Result<bool, Error> {
        T::in_order(self, reader)
    }

    fn field(&mut self, name: &[u8], reader: &mut Reader<'de>) -> Result<(), Error> {
        T::field(self, name, reader)
    }
}

/// Where an object is needed, anything else is an error.
impl<'de, T: Fields<'de>> Read<'de> for T {
    #[inline]
    fn read(&mut self, reader: &mut Reader<'de>) -> Result<(), Error> {
        match reader.peek() {
            Some(b'{') => reader.fields(self),
            Some(_) => Err(Error::new(Fault::Data)),
            None => Err(Error::new(Fault::End)),
        }
    }
}

/// Declares objects by their fields: where a value goes, its type, and its name in JSON. In the order in
/// which agents write them: a field that is the next one costs a comparison, any other a search.
macro_rules! objects {
    ($(
        $(#[$about:meta])*
        $vis:vis struct $object:ident $(<$life:lifetime>)? {
            $($(#[$field_about:meta])* $field_vis:vis $field:ident: $type:ty = $name:literal,)*
        }
    )*) => {$(
        $(#[$about])*
        #[derive(Debug, Default)]
        $vis struct $object $(<$life>)? {
            $($(#[$field_about])* $field_vis $field: $type,)*
        }

        impl<'de $(: $life, $life)?> $crate::json::Fields<'de> for $object $(<$life>)? {
            #[inline]
            fn in_order(
                &mut self,
                reader: &mut $crate::json::Reader<'de>,
            ) -> Result<bool, $crate::json::Error> {
                $(if reader.is_field(concat!("\"", $name, "\":").as_bytes()) {
                    $crate::json::Read::read(&mut self.$field, reader)?;
                    if !reader.has_another(b'}')? {
                        return Ok(false);
                    }
                })*
                Ok(true)
            }

            fn field(
                &mut self,
                name: &[u8],
                reader: &mut $crate::json::Reader<'de>,
            ) -> Result<(), $crate::json::Error> {
                $(if name == $name.as_bytes() {
                    return $crate::json::Read::read(&mut self.$field, reader);
                })*
                reader.skip()
            }
        }
    )*};
}
pub(crate) use objects;

/// Reads one value that is all of `bytes`.
#[inline]
pub(crate) fn from_slice<'de, T: Read<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    let (mut value, mut reader) = (T::default(), Reader::new(bytes));
    let read = value.read(&mut reader).and_then(|()| match reader.peek() {
        None => Ok(()),
        Some(_) => Err(Error::new(Fault::Syntax)),
    });
    match read {
        Ok(()) => Ok(value),
        Err(error) => Err(Error { column: bytes.len() - reader.rest.len() + 1, ..error }),
    }
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
    #[error("is not an object")]
    Data,
}

impl Error {
    const fn new(fault: Fault) -> Self {
        Self { fault, column: 0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::reader::DEPTH_MAX;
    use super::*;
    use crate::lossy::{Count, Str};

    objects! {
        struct Record<'a> {
            message: Message = "message",
            id: Str<'a> = "id",
        }

        struct Message {
            usage: Usage = "usage",
        }

        struct Usage {
            output: Count = "output",
        }
    }

    fn usage(json: &str) -> Result<Option<u64>, Error> {
        let record: Record<'_> = from_slice(json.as_bytes())?;
        let output = record.message.usage.output;
        Ok(output.is_present().then(|| output.or_zero()))
    }

    /// Every part of a value, as nobody else reads it.
    impl Read<'_> for Value {
        fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
            *self = match reader.peek() {
                Some(b'"') => reader.text()?.read().unwrap_or_default().into(),
                Some(b'{') => {
                    let mut object = Object::default();
                    reader.fields(&mut object)?;
                    Self::Object(object.0)
                }
                Some(b'[') => {
                    let mut list = Vec::new();
                    reader.elements(|reader| {
                        list.push(Self::Null);
                        list.last_mut().unwrap().read(reader)
                    })?;
                    Self::Array(list)
                }
                Some(b'-' | b'0'..=b'9') => match reader.number().value()? {
                    Number::Natural(number) => number.into(),
                    Number::Integer(number) => number.into(),
                    Number::Float(number) => number.into(),
                },
                _ => match reader.word()? {
                    Word::Null => Self::Null,
                    Word::True => true.into(),
                    Word::False => false.into(),
                },
            };
            Ok(())
        }
    }

    #[derive(Default)]
    struct Object(Map<String, Value>);

    impl Fields<'_> for Object {
        fn in_order(&mut self, _: &mut Reader<'_>) -> Result<bool, Error> {
            Ok(true)
        }

        fn field(&mut self, name: &[u8], reader: &mut Reader<'_>) -> Result<(), Error> {
            let name = str::from_utf8(name).unwrap().to_owned();
            self.0.entry(name).or_insert_with(Value::default).read(reader)
        }
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
            (r#"{"id":"a","message":7}"#, "is not an object at column 21"),
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
            let _unused = from_slice::<Record<'_>>(bytes.as_bytes());
        }
    }
}
