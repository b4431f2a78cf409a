//! Fields as agents really write them: missing, null, of the wrong type, negative or absurd.
//!
//! A field of a wrong type costs the field, not the record. Each type here accepts any JSON value.
//!
//! ```json
//! {"input":-5,"output":10.9,"cacheRead":null,"cacheWrite":"3","model":{"id":"x"}}
//! ```

use trueup_core::{NanoUsd, TOKENS_MAX, UnixMs};

use crate::json::{self, Error, Fields, Read, Reader, Word};

/// A count of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Count {
    /// Missing, null, or not a number.
    #[default]
    Missing,
    /// A plausible count.
    Exact(u64),
    /// Negative, or past [`TOKENS_MAX`]: cut to this.
    Cut(u64),
}

impl Count {
    /// The count; zero where there is none.
    pub(crate) const fn or_zero(self) -> u64 {
        match self {
            Self::Missing => 0,
            Self::Exact(count) | Self::Cut(count) => count,
        }
    }

    /// Whether the source wrote something.
    pub(crate) const fn is_present(self) -> bool {
        !matches!(self, Self::Missing)
    }

    /// Whether the source wrote an impossible count.
    pub(crate) const fn is_cut(self) -> bool {
        matches!(self, Self::Cut(_))
    }

    /// This count, or another where this one is missing.
    pub(crate) const fn or(self, other: Self) -> Self {
        match self {
            Self::Missing => other,
            Self::Exact(_) | Self::Cut(_) => self,
        }
    }

    fn of_u64(number: u64) -> Self {
        if number > TOKENS_MAX { Self::Cut(TOKENS_MAX) } else { Self::Exact(number) }
    }

    fn of_i64(number: i64) -> Self {
        u64::try_from(number).map_or(Self::Cut(0), Self::of_u64)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "bounds are checked first: below 2^53 a float truncates exactly"
    )]
    fn of_f64(number: f64) -> Self {
        if number.is_nan() {
            Self::Missing
        } else if number < 0.0 {
            Self::Cut(0)
        } else if number > TOKENS_MAX as f64 {
            Self::Cut(TOKENS_MAX)
        } else {
            Self::Exact(number as u64)
        }
    }

    fn of_str(text: &str) -> Self {
        let text = text.trim();
        text.parse()
            .map(Self::of_u64)
            .or_else(|_| text.parse().map(Self::of_f64))
            .unwrap_or_default()
    }
}

/// A count of tokens in sources for which digits in a text are no count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) Count);

/// A text; nothing for anything else. Whether its bytes stand for characters is found out when it is
/// asked for: most are only compared, or not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Str<'a> {
    #[default]
    None,
    Bytes(&'a [u8]),
    Unescaped(String),
}

impl Str<'_> {
    /// The text.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Bytes(bytes) => str::from_utf8(bytes).ok(),
            Self::Unescaped(text) => Some(text),
        }
    }

    /// The text, where there is one that is not blank.
    pub(crate) fn filled(&self) -> Option<&str> {
        self.text().filter(|text| !text.trim_start().is_empty())
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::None => None,
            Self::Bytes(bytes) => Some(bytes),
            Self::Unescaped(text) => Some(text.as_bytes()),
        }
    }

    /// Whether it is exactly this.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.bytes() == Some(text.as_bytes())
    }
}

/// A field that nobody asks for, declared because it stands between others.
#[derive(Debug, Default)]
pub(crate) struct Ignored;

/// A value as it is written, to be read later or not at all; nothing for null.
#[derive(Debug, Default)]
pub(crate) struct Raw<'a>(pub(crate) Option<&'a [u8]>);

/// A truth value; `false` for anything else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) bool);

/// A truth value that may be missing; `None` for anything else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Truth(pub(crate) Option<bool>);

/// A time, as RFC 3339 or as an epoch number; `None` for anything else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Option<UnixMs>);

/// An object; `None` for anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object<T>(pub(crate) Option<T>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// The objects of a list; empty for anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// An amount in dollars, read digit by digit; `None` for anything else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usd(pub(crate) Option<NanoUsd>);

/// A share in percent, in thousandths of a percent; `None` for anything else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Millipercent(pub(crate) Option<u32>);

/// One way to read for all: a type says what it makes of each kind of value.
trait FromAny: Default {
    fn from_text(_text: &str) -> Self {
        Self::default()
    }
    fn from_u64(_number: u64) -> Self {
        Self::default()
    }
    fn from_i64(_number: i64) -> Self {
        Self::default()
    }
    fn from_f64(_number: f64) -> Self {
        Self::default()
    }
    fn from_bool(_value: bool) -> Self {
        Self::default()
    }
}

fn any<T: FromAny>(reader: &mut Reader<'_>) -> Result<T, Error> {
    Ok(match reader.peek() {
        Some(b'"') => reader.text()?.read().map_or_else(T::default, |text| T::from_text(&text)),
        Some(b'-' | b'0'..=b'9') => match reader.number().value()? {
            json::Number::Natural(number) => T::from_u64(number),
            json::Number::Integer(number) => T::from_i64(number),
            json::Number::Float(number) => T::from_f64(number),
        },
        Some(b'{' | b'[') | None => {
            reader.skip()?;
            T::default()
        }
        Some(_) => match reader.word()? {
            Word::Null => T::default(),
            Word::True => T::from_bool(true),
            Word::False => T::from_bool(false),
        },
    })
}

/// The same of what is a natural number as a rule: that is looked for first.
#[inline]
fn number<T: FromAny>(reader: &mut Reader<'_>) -> Result<T, Error> {
    reader.natural().map_or_else(|| any(reader), |number| Ok(T::from_u64(number)))
}

impl FromAny for Count {
    fn from_text(text: &str) -> Self {
        Self::of_str(text)
    }
    fn from_u64(number: u64) -> Self {
        Self::of_u64(number)
    }
    fn from_i64(number: i64) -> Self {
        Self::of_i64(number)
    }
    fn from_f64(number: f64) -> Self {
        Self::of_f64(number)
    }
}

impl FromAny for Number {
    fn from_u64(number: u64) -> Self {
        Self(Count::of_u64(number))
    }
    fn from_i64(number: i64) -> Self {
        Self(Count::of_i64(number))
    }
    fn from_f64(number: f64) -> Self {
        Self(Count::of_f64(number))
    }
}

impl FromAny for Flag {
    fn from_bool(value: bool) -> Self {
        Self(value)
    }
}

impl FromAny for Truth {
    fn from_bool(value: bool) -> Self {
        Self(Some(value))
    }
}

impl FromAny for Millipercent {
    fn from_text(text: &str) -> Self {
        text.trim().parse().map_or(Self(None), Self::from_f64)
    }
    fn from_u64(number: u64) -> Self {
        Self(u32::try_from(number).ok().and_then(|percent| percent.checked_mul(1_000)))
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounds are checked first: the share lies between none and a thousandfold"
    )]
    fn from_f64(number: f64) -> Self {
        Self((0.0..=1e5).contains(&number).then_some((number * 1e3).round() as u32))
    }
}

impl FromAny for Time {
    fn from_text(text: &str) -> Self {
        let number = || text.parse().ok().map(UnixMs::from_epoch_number);
        Self(UnixMs::parse_rfc3339(text).or_else(number))
    }
    fn from_u64(number: u64) -> Self {
        i64::try_from(number).map_or(Self(None), Self::from_i64)
    }
    fn from_i64(number: i64) -> Self {
        Self((number > 0).then(|| UnixMs::from_epoch_number(number)))
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounds are checked first: the float is a time between 1970 and 10889 in ms or s"
    )]
    fn from_f64(number: f64) -> Self {
        let ms = if number < 1e10 { number * 1e3 } else { number };
        Self((1.0..1e14).contains(&ms).then_some(UnixMs(ms as i64)))
    }
}

macro_rules! read_from {
    ($of:ident: $($name:ident),+) => {$(
        impl Read<'_> for $name {
            #[inline]
            fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
                *self = $of(reader)?;
                Ok(())
            }
        }
    )+};
}

read_from!(any: Flag, Truth, Millipercent);
read_from!(number: Count, Number);

impl Read<'_> for Time {
    #[inline]
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let before = *reader;
        if let Some(time) = reader.plain_text().and_then(UnixMs::parse_utc) {
            *self = Self(Some(time));
            return Ok(());
        }
        *reader = before;
        *self = number(reader)?;
        Ok(())
    }
}

impl<'de: 'a, 'a> Read<'de> for Str<'a> {
    #[inline]
    fn read(&mut self, reader: &mut Reader<'de>) -> Result<(), Error> {
        if let Some(bytes) = reader.plain_text() {
            *self = Self::Bytes(bytes);
            return Ok(());
        }
        *self = Self::None;
        if reader.peek() != Some(b'"') {
            return reader.skip();
        }
        let text = reader.text()?;
        *self = if text.has_escapes() {
            text.unescaped().map_or(Self::None, Self::Unescaped)
        } else {
            Self::Bytes(text.bytes)
        };
        Ok(())
    }
}

impl<'de: 'a, 'a> Read<'de> for Raw<'a> {
    #[inline]
    fn read(&mut self, reader: &mut Reader<'de>) -> Result<(), Error> {
        let is_null = reader.peek() == Some(b'n');
        let value = reader.skipped()?;
        self.0 = Some(value).filter(|_| !is_null);
        Ok(())
    }
}

impl Read<'_> for Ignored {
    #[inline]
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        reader.skip()
    }
}

impl<'de, T: Fields<'de>> Read<'de> for Object<T> {
    #[inline]
    fn read(&mut self, reader: &mut Reader<'de>) -> Result<(), Error> {
        if reader.peek() == Some(b'{') {
            return reader.fields(self.0.insert(T::default()));
        }
        self.0 = None;
        reader.skip()
    }
}

impl<'de, T: Fields<'de>> Read<'de> for List<T> {
    fn read(&mut self, reader: &mut Reader<'de>) -> Result<(), Error> {
        self.0.clear();
        if reader.peek() != Some(b'[') {
            return reader.skip();
        }
        reader.elements(|reader| {
            let mut object = Object(None);
            object.read(reader)?;
            self.0.extend(object.0);
            Ok(())
        })
    }
}

impl Read<'_> for Usd {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        // The digits as written: a float would round them.
        *self = match reader.peek() {
            Some(b'-' | b'0'..=b'9') => Self::of_digits(reader.digits()),
            _ => any(reader)?,
        };
        Ok(())
    }
}

impl Usd {
    fn of_digits(digits: &[u8]) -> Self {
        Self(str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()))
    }
}

impl FromAny for Usd {
    fn from_text(text: &str) -> Self {
        Self::of_digits(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::objects;

    fn count(json: &str) -> Count {
        json::from_slice(json.as_bytes()).unwrap()
    }

    #[test]
    fn counts_take_any_value() {
        for (json, expected) in [
            ("12", Count::Exact(12)),
            ("\"3\"", Count::Exact(3)),
            ("10.9", Count::Exact(10)),
            ("-5", Count::Cut(0)),
            ("null", Count::Missing),
            ("true", Count::Missing),
            ("[1,[2]]", Count::Missing),
            ("{\"a\":{}}", Count::Missing),
            ("\"many\"", Count::Missing),
            ("9007199254740993", Count::Cut(TOKENS_MAX)),
            ("99999999999999999999999", Count::Cut(TOKENS_MAX)),
        ] {
            assert_eq!(count(json), expected, "{json}");
        }
    }

    #[test]
    fn objects_lists_times_and_amounts_take_any_value() {
        objects! {
            #[derive(PartialEq, Eq)]
            struct One {
                a: Count = "a",
            }
        }
        let object =
            |json: &'static str| json::from_slice::<Object<One>>(json.as_bytes()).unwrap().0;
        assert_eq!(object("{\"a\":1,\"b\":[]}"), Some(One { a: Count::Exact(1) }));
        assert_eq!(object("[{\"a\":1}]"), None);
        assert_eq!(object("3"), None);
        let list =
            |json: &'static str| json::from_slice::<List<One>>(json.as_bytes()).unwrap().0.len();
        assert_eq!((list("[{\"a\":1},2,{}]"), list("{}"), list("null")), (2, 0, 0));
        let time = |json: &'static str| json::from_slice::<Time>(json.as_bytes()).unwrap().0;
        assert_eq!(time("1771045200001"), Some(UnixMs(1_771_045_200_001)));
        assert_eq!(time("\"2026-02-14T05:00:00.001Z\""), Some(UnixMs(1_771_045_200_001)));
        assert_eq!(time("1771045200.5"), Some(UnixMs(1_771_045_200_500)));
        assert_eq!(time("{}"), None);
        let share =
            |json: &'static str| json::from_slice::<Millipercent>(json.as_bytes()).unwrap().0;
        assert_eq!(
            (share("12.5"), share("7"), share("\"0.1\"")),
            (Some(12_500), Some(7_000), Some(100))
        );
        assert_eq!((share("-1"), share("1e99"), share("null")), (None, None, None));
        let usd = |json: &'static str| json::from_slice::<Usd>(json.as_bytes()).unwrap().0;
        assert_eq!(usd("0.000764"), Some(NanoUsd(764_000)));
        assert_eq!(usd("\"1.5\""), Some(NanoUsd(1_500_000_000)));
        assert_eq!(usd("{\"total\":1}"), None);
    }
}
