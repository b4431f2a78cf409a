//! Fields as agents really write them: missing, null, of the wrong type, negative or absurd.
//!
//! A field of a wrong type costs the field, not the record. Each type here accepts any JSON value.
//!
//! ```json
//! {"input":-5,"output":10.9,"cacheRead":null,"cacheWrite":"3","model":{"id":"x"}}
//! ```

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use trueup_core::{NanoUsd, TOKENS_MAX, UnixMs};

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

/// A text; `None` for anything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Str<'a>(pub(crate) Option<Cow<'a, str>>);

impl Str<'_> {
    /// The text, where there is one that is not blank.
    pub(crate) fn filled(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.trim_start().is_empty())
    }

    /// Whether it is exactly this.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.0.as_deref() == Some(text)
    }
}

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

/// One visitor for all: a type says what it makes of each kind of value.
trait FromAny<'de>: Sized + Default {
    fn from_text(_text: Cow<'de, str>) -> Self {
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

struct Any<T>(PhantomData<T>);

impl<'de, T: FromAny<'de>> Visitor<'de> for Any<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        Ok(T::from_text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::from_text(Cow::Owned(text.to_owned())))
    }
    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(T::from_u64(number))
    }
    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::from_i64(number))
    }
    fn visit_f64<E>(self, number: f64) -> Result<T, E> {
        Ok(T::from_f64(number))
    }
    fn visit_bool<E>(self, value: bool) -> Result<T, E> {
        Ok(T::from_bool(value))
    }
    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(T::default())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(T::default())
    }
}

impl FromAny<'_> for Count {
    fn from_text(text: Cow<'_, str>) -> Self {
        Self::of_str(&text)
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

impl FromAny<'_> for Number {
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

impl<'de: 'a, 'a> FromAny<'de> for Str<'a> {
    fn from_text(text: Cow<'de, str>) -> Self {
        Self(Some(text))
    }
}

impl FromAny<'_> for Flag {
    fn from_bool(value: bool) -> Self {
        Self(value)
    }
}

impl FromAny<'_> for Truth {
    fn from_bool(value: bool) -> Self {
        Self(Some(value))
    }
}

impl FromAny<'_> for Millipercent {
    fn from_text(text: Cow<'_, str>) -> Self {
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

impl FromAny<'_> for Time {
    fn from_text(text: Cow<'_, str>) -> Self {
        let number = || text.parse().ok().map(UnixMs::from_epoch_number);
        Self(UnixMs::parse_rfc3339(&text).or_else(number))
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

macro_rules! deserialize_from_any {
    ($($name:ident),+) => {$(
        impl<'de> Deserialize<'de> for $name {
            #[inline]
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Any(PhantomData))
            }
        }
    )+};
}

deserialize_from_any!(Count, Number, Flag, Truth, Time, Millipercent);

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|value| Object(Some(value)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Object<T>, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Object(None))
            }
            fn visit_str<E>(self, _: &str) -> Result<Object<T>, E> {
                Ok(Object(None))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Object<T>, E> {
                Ok(Object(None))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Object<T>, E> {
                Ok(Object(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Object<T>, E> {
                Ok(Object(None))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Object<T>, E> {
                Ok(Object(None))
            }
            fn visit_unit<E>(self) -> Result<Object<T>, E> {
                Ok(Object(None))
            }
        }
        deserializer.deserialize_any(Map(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seq<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Seq<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
                let mut objects = Vec::new();
                while let Some(element) = list.next_element::<Object<T>>()? {
                    objects.extend(element.0);
                }
                Ok(List(objects))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<List<T>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(List(Vec::new()))
            }
            fn visit_str<E>(self, _: &str) -> Result<List<T>, E> {
                Ok(List(Vec::new()))
            }
            fn visit_u64<E>(self, _: u64) -> Result<List<T>, E> {
                Ok(List(Vec::new()))
            }
            fn visit_i64<E>(self, _: i64) -> Result<List<T>, E> {
                Ok(List(Vec::new()))
            }
            fn visit_f64<E>(self, _: f64) -> Result<List<T>, E> {
                Ok(List(Vec::new()))
            }
            fn visit_bool<E>(self, _: bool) -> Result<List<T>, E> {
                Ok(List(Vec::new()))
            }
            fn visit_unit<E>(self) -> Result<List<T>, E> {
                Ok(List(Vec::new()))
            }
        }
        deserializer.deserialize_any(Seq(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The digits as written: a float would round them.
        deserializer.deserialize_newtype_struct("Usd", Any(PhantomData))
    }
}

impl FromAny<'_> for Usd {
    fn from_text(text: Cow<'_, str>) -> Self {
        Self(text.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

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
        #[derive(Debug, Deserialize, PartialEq, Eq)]
        struct One {
            #[serde(default)]
            a: Count,
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
