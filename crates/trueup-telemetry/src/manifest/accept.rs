//! What of a record is kept: keys that its event has, with values of their type. The rest is dropped, and
//! counted by key and reason, on this machine only.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use trueup_core::{DAY_MS, HOUR_MS, NanoUsd, UnixMs};

use super::{Charset, Field, FieldId, FieldType, Manifest, NAME_CHARS_MAX, Precision, is_name};

/// Most properties of a record that are looked at.
pub const PROPERTIES_MAX: usize = 256;
/// Most kinds of drops that are told apart.
pub const DROPS_MAX: usize = 256;
/// Fields of an event up to which one after the other is looked at: most differ in their lengths already,
/// so that this takes a fraction of the time of a search by order.
const SCAN_MAX: usize = 32;
/// Most digits in a row that a token may have: more are a number of somebody or something.
const DIGITS_MAX: usize = 8;
/// Most `/` in a token.
const SLASHES_MAX: usize = 2;
/// Characters of a day.
const DAY_CHARS: usize = 10;
/// Longest text of an amount.
const AMOUNT_CHARS_MAX: usize = 40;
/// 2000-01-01 and 2100-01-01: what is outside is not in milliseconds.
const TIME_MS: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;
/// Whole numbers up to here are exact where a reader of JSON made them floating.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
const MINUTE_MS: i64 = 60_000;

/// A value as it comes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Input<'a> {
    /// True or false.
    Bool(bool),
    /// A whole number.
    U64(u64),
    /// A whole number.
    I64(i64),
    /// Any number, also one that is none.
    F64(f64),
    /// A text of any length.
    Text(&'a str),
    /// Nothing, a list or an object.
    Nested,
}

/// A value that is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number from 0 on, or a time.
    U64(u64),
    /// A whole number.
    I64(i64),
    /// A finite number.
    F64(f64),
    /// Dollars.
    Usd(NanoUsd),
    /// A word of an enum.
    Word(Arc<str>),
    /// A token, version or day.
    Token(Box<str>),
}

impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        match value {
            Value::Bool(truth) => Self::from(*truth),
            Value::U64(number) => Self::from(*number),
            Value::I64(number) => Self::from(*number),
            Value::F64(number) => Self::from(*number),
            Value::Usd(dollars) => serde_json::from_str(&dollars.to_string()).unwrap_or(Self::Null),
            Value::Word(word) => Self::from(&**word),
            Value::Token(token) => Self::from(&**token),
        }
    }
}

/// Why a property was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The manifest has no such event.
    UnknownEvent,
    /// The event has no such key.
    UnknownKey,
    /// It is of another type.
    WrongType,
    /// The number is no number, or too large or small.
    OutOfRange,
    /// It is not one of the words.
    NotInEnum,
    /// It is too long, or has other characters than it may.
    NotAToken,
    /// The redactor does not pass it.
    NotClean,
    /// The record had the key before.
    Twice,
    /// The record had too many before.
    TooMany,
}

impl Reason {
    /// Its name in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownEvent => "unknown_event",
            Self::UnknownKey => "unknown_key",
            Self::WrongType => "wrong_type",
            Self::OutOfRange => "out_of_range",
            Self::NotInEnum => "not_in_enum",
            Self::NotAToken => "not_a_token",
            Self::NotClean => "not_clean",
            Self::Twice => "twice",
            Self::TooMany => "too_many",
        }
    }
}

/// How much was dropped, by key and reason. Never sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drops {
    counts: BTreeMap<(String, Reason), u64>,
}

/// What stands for a key that is no name, and for keys past [`DROPS_MAX`].
const OTHER: &str = "(other)";

impl Drops {
    /// Counts one.
    fn add(&mut self, key: &str, reason: Reason) {
        // A key that is no name may itself be what must not be kept.
        let key = if is_name(key) { key } else { OTHER };
        let mut place = (key.to_owned(), reason);
        if self.counts.len() >= DROPS_MAX && !self.counts.contains_key(&place) {
            OTHER.clone_into(&mut place.0);
        }
        let count = self.counts.entry(place).or_insert(0);
        *count = count.saturating_add(1);
    }

    /// Each key and reason, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Reason, u64)> {
        self.counts.iter().map(|((key, reason), count)| (key.as_str(), *reason, *count))
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Adds those of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        for ((key, reason), more) in &other.counts {
            let is_known = self.counts.contains_key(&(key.clone(), *reason));
            let is_room = is_known || self.counts.len() < DROPS_MAX;
            let key = if is_room { key.as_str() } else { OTHER };
            let count = self.counts.entry((key.to_owned(), *reason)).or_insert(0);
            *count = count.saturating_add(*more);
        }
    }

    /// How many there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// As a line of a log has it: a text as it is.
impl fmt::Display for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(truth) => truth.fmt(f),
            Self::U64(number) => number.fmt(f),
            Self::I64(number) => number.fmt(f),
            Self::F64(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Nested => f.write_str("null"),
        }
    }
}

impl From<bool> for Input<'_> {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<u64> for Input<'_> {
    fn from(number: u64) -> Self {
        Self::U64(number)
    }
}

impl From<u32> for Input<'_> {
    fn from(number: u32) -> Self {
        Self::U64(number.into())
    }
}

impl From<usize> for Input<'_> {
    fn from(number: usize) -> Self {
        u64::try_from(number).map_or(Self::Nested, Self::U64)
    }
}

impl From<i64> for Input<'_> {
    fn from(number: i64) -> Self {
        Self::I64(number)
    }
}

impl From<i32> for Input<'_> {
    fn from(number: i32) -> Self {
        Self::I64(number.into())
    }
}

impl From<f64> for Input<'_> {
    fn from(number: f64) -> Self {
        Self::F64(number)
    }
}

impl<'a> From<&'a str> for Input<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a serde_json::Value> for Input<'a> {
    fn from(value: &'a serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match value {
            Json::Bool(truth) => Self::Bool(*truth),
            Json::Number(number) => number
                .as_u64()
                .map(Self::U64)
                .or_else(|| number.as_i64().map(Self::I64))
                .or_else(|| number.as_f64().map(Self::F64))
                .unwrap_or(Self::Nested),
            Json::String(text) => Self::Text(text),
            Json::Null | Json::Array(_) | Json::Object(_) => Self::Nested,
        }
    }
}

impl Manifest {
    /// The properties of a record that are kept. `is_clean` says whether a token may leave: the redactor's
    /// judgement, without which no token is kept.
    ///
    /// ```
    /// use trueup_telemetry::manifest::{Drops, Input, Manifest, Reason, Value};
    /// let manifest = Manifest::parse(
    ///     r#"
    ///     product = "example"
    ///     env_prefix = "EXAMPLE"
    ///     [fields]
    ///     tokens = { u64 = true }
    ///     [[rollup]]
    ///     event = "turns"
    ///     grain = "1d"
    ///     sum = ["tokens"]
    ///     "#,
    ///     "telemetry.toml",
    /// )?;
    /// let mut drops = Drops::default();
    /// let bag = [("tokens", Input::U64(7)), ("prompt", Input::Text("a secret"))];
    /// let kept = manifest.accept("turns", bag, &|_| true, &mut drops);
    /// assert_eq!(kept, [(manifest.find("tokens").unwrap(), Value::U64(7))]);
    /// assert_eq!(drops.iter().next(), Some(("prompt", Reason::UnknownKey, 1)));
    /// # Ok::<(), trueup_telemetry::manifest::ManifestError>(())
    /// ```
    pub fn accept<'a>(
        &self,
        event: &str,
        properties: impl IntoIterator<Item = (&'a str, Input<'a>)>,
        is_clean: &dyn Fn(&str) -> bool,
        drops: &mut Drops,
    ) -> Vec<(FieldId, Value)> {
        let known = self.accepted.get(event).map(Vec::as_slice);
        let reason = if known.is_some() { Reason::UnknownKey } else { Reason::UnknownEvent };
        self.keep((known.unwrap_or_default(), reason), properties, is_clean, drops)
    }

    /// The same for the fields that every event carries.
    pub fn accept_base<'a>(
        &self,
        properties: impl IntoIterator<Item = (&'a str, Input<'a>)>,
        is_clean: &dyn Fn(&str) -> bool,
        drops: &mut Drops,
    ) -> Vec<(FieldId, Value)> {
        self.keep((&self.base, Reason::UnknownKey), properties, is_clean, drops)
    }

    fn keep<'a>(
        &self,
        (known, reason): (&[FieldId], Reason),
        properties: impl IntoIterator<Item = (&'a str, Input<'a>)>,
        is_clean: &dyn Fn(&str) -> bool,
        drops: &mut Drops,
    ) -> Vec<(FieldId, Value)> {
        let mut kept: Vec<(FieldId, Value)> = Vec::with_capacity(known.len());
        for (place, (key, input)) in properties.into_iter().enumerate() {
            if place >= PROPERTIES_MAX {
                drops.add(OTHER, Reason::TooMany);
                continue;
            }
            let id = self.find_among(known, key);
            let Some((id, field)) = id.and_then(|id| Some((id, self.field(id)?))) else {
                drops.add(key, reason);
                continue;
            };
            if kept.iter().any(|(other, _)| *other == id) {
                drops.add(key, Reason::Twice);
                continue;
            }
            match typed(field, input, is_clean) {
                Ok(value) => kept.push((id, value)),
                Err(reason) => drops.add(key, reason),
            }
        }
        kept
    }

    fn find_among(&self, known: &[FieldId], key: &str) -> Option<FieldId> {
        if known.len() <= SCAN_MAX {
            return known.iter().copied().find(|id| self.name(*id) == key);
        }
        self.find(key).filter(|id| known.contains(id))
    }
}

/// A value of a field's type.
fn typed(
    field: &Field,
    input: Input<'_>,
    is_clean: &dyn Fn(&str) -> bool,
) -> Result<Value, Reason> {
    match &field.holds {
        FieldType::Bool => match input {
            Input::Bool(truth) => Ok(Value::Bool(truth)),
            Input::U64(_) | Input::I64(_) | Input::F64(_) | Input::Text(_) | Input::Nested => {
                Err(Reason::WrongType)
            }
        },
        FieldType::U64 => {
            let number = whole(input)?;
            u64::try_from(number).map(Value::U64).map_err(|_| Reason::OutOfRange)
        }
        FieldType::I64 => {
            let number = whole(input)?;
            i64::try_from(number).map(Value::I64).map_err(|_| Reason::OutOfRange)
        }
        FieldType::F64 => number(input).map(Value::F64),
        FieldType::Usd => usd(input).map(Value::Usd),
        FieldType::Time(precision) => time(input, *precision).map(Value::U64),
        FieldType::Semver => formed(input, semver).map(|it| Value::Token(it.into())),
        FieldType::Day => formed(input, day).map(|it| Value::Token(it.into())),
        FieldType::Enum(words) => {
            let text = text(input)?;
            let word = words.iter().find(|word| &***word == text);
            word.map(|word| Value::Word(Arc::clone(word))).ok_or(Reason::NotInEnum)
        }
        FieldType::Token { chars_max, charset } => {
            let is_token = |text: &str| text.len() <= *chars_max && is_token(text, *charset);
            let token = formed(input, |text| is_token(text).then_some(text))?;
            if is_clean(token) { Ok(Value::Token(token.into())) } else { Err(Reason::NotClean) }
        }
    }
}

fn whole(input: Input<'_>) -> Result<i128, Reason> {
    match input {
        Input::U64(number) => Ok(number.into()),
        Input::I64(number) => Ok(number.into()),
        // Languages with one kind of number write 5 as 5.0.
        Input::F64(number) if !number.is_finite() || number.abs() > EXACT_MAX => {
            Err(Reason::OutOfRange)
        }
        Input::F64(number) if number.fract() == 0.0 => {
            format!("{number:.0}").parse().map_err(|_| Reason::OutOfRange)
        }
        Input::F64(_) | Input::Bool(_) | Input::Text(_) | Input::Nested => Err(Reason::WrongType),
    }
}

fn number(input: Input<'_>) -> Result<f64, Reason> {
    #[expect(clippy::cast_precision_loss, reason = "the field holds a number with a fraction")]
    let number = match input {
        Input::F64(number) => number,
        Input::U64(number) => number as f64,
        Input::I64(number) => number as f64,
        Input::Bool(_) | Input::Text(_) | Input::Nested => return Err(Reason::WrongType),
    };
    if number.is_finite() { Ok(number) } else { Err(Reason::OutOfRange) }
}

/// The nano-dollars of a number that is written with at most nine digits behind its point, and fifteen
/// in all. No two of such amounts are the same floating-point number, so that what divides to the number
/// again is the one that its digits say.
#[expect(clippy::cast_possible_truncation, reason = "whole, and far within the range")]
#[expect(clippy::float_cmp, reason = "it is the same number, or it is not the amount")]
fn short_usd(dollars: f64) -> Option<NanoUsd> {
    const NANO: f64 = 1e9;
    const FIFTEEN_DIGITS: f64 = 1e15;
    let nano = (dollars * NANO).round();
    let is_short = nano.abs() < FIFTEEN_DIGITS && nano / NANO == dollars;
    is_short.then_some(NanoUsd(nano as i64))
}

/// Dollars, from the digits with which a number is written.
fn usd(input: Input<'_>) -> Result<NanoUsd, Reason> {
    if let Input::F64(dollars) = input
        && let Some(nano) = short_usd(dollars)
    {
        return Ok(nano);
    }
    let written = match input {
        Input::U64(number) => number.to_string(),
        Input::I64(number) => number.to_string(),
        Input::F64(number) if number.is_finite() => format!("{number:e}"),
        Input::F64(_) => return Err(Reason::OutOfRange),
        Input::Text(text) if text.len() <= AMOUNT_CHARS_MAX => text.to_owned(),
        Input::Text(_) => return Err(Reason::OutOfRange),
        Input::Bool(_) | Input::Nested => return Err(Reason::WrongType),
    };
    written.parse().map_err(|error| match error {
        trueup_core::MoneyError::NotDecimal(_) => Reason::WrongType,
        trueup_core::MoneyError::OutOfRange(_) => Reason::OutOfRange,
    })
}

fn time(input: Input<'_>, precision: Precision) -> Result<u64, Reason> {
    let ms = i64::try_from(whole(input)?).ok().filter(|ms| TIME_MS.contains(ms));
    let width_ms = match precision {
        Precision::Day => DAY_MS,
        Precision::Hour => HOUR_MS,
        Precision::Minute => MINUTE_MS,
        Precision::Millisecond => 1,
    };
    let cut = UnixMs(ms.ok_or(Reason::OutOfRange)?).floor(width_ms);
    u64::try_from(cut.0).map_err(|_| Reason::OutOfRange)
}

fn text(input: Input<'_>) -> Result<&str, Reason> {
    match input {
        Input::Text(text) => Ok(text),
        Input::Bool(_) | Input::U64(_) | Input::I64(_) | Input::F64(_) | Input::Nested => {
            Err(Reason::WrongType)
        }
    }
}

/// A text of a form.
fn formed<'a>(
    input: Input<'a>,
    form: impl FnOnce(&'a str) -> Option<&'a str>,
) -> Result<&'a str, Reason> {
    let text = text(input)?;
    // Before anything reads it: it may be of any length.
    let short = Some(text).filter(|text| text.len() <= NAME_CHARS_MAX);
    short.and_then(form).ok_or(Reason::NotAToken)
}

fn is_token(text: &str, charset: Charset) -> bool {
    let more: &[u8] = match charset {
        Charset::Word => b"_-",
        Charset::Name => b"._-",
        Charset::Model => b"._-:/",
    };
    let is_allowed = |c: u8| match charset {
        Charset::Word => c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(&c),
        Charset::Name | Charset::Model => c.is_ascii_alphanumeric() || more.contains(&c),
    };
    let ends_well = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.iter().all(|c| is_allowed(*c))
        && ends_well(bytes.first())
        && ends_well(bytes.last())
        && !is_like_a_path(text)
        && !has_a_long_number(text)
}

/// A model of a gateway has two slashes, such as `openrouter/anthropic/claude-opus-4.5`.
fn is_like_a_path(text: &str) -> bool {
    let mut pairs = text.as_bytes().windows(2);
    text.bytes().filter(|c| *c == b'/').count() > SLASHES_MAX
        || pairs.any(|pair| matches!(pair, b"//" | b".." | b":/" | b"/." | b"/:"))
}

fn has_a_long_number(text: &str) -> bool {
    let mut runs = text.split(|c: char| !c.is_ascii_digit());
    runs.any(|run| run.len() > DIGITS_MAX)
}

/// Words that a pre-release may have.
const PRE_RELEASES: [&str; 10] =
    ["alpha", "beta", "rc", "pre", "preview", "dev", "nightly", "canary", "next", "snapshot"];

/// A version without what stands behind its `+`, which may be anything.
fn semver(text: &str) -> Option<&str> {
    let version = text.split_once('+').map_or(text, |(version, _)| version);
    let (numbers, pre) = match version.split_once('-') {
        Some((numbers, pre)) => (numbers, Some(pre)),
        None => (version, None),
    };
    let is_number = |part: &str| {
        (1..=DIGITS_MAX).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_digit())
    };
    let is_version = numbers.split('.').count() == 3 && numbers.split('.').all(is_number);
    let is_known = |part: &str| {
        let word = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = part.len() - word.len();
        digits <= DIGITS_MAX && (PRE_RELEASES.contains(&word) || (word.is_empty() && digits > 0))
    };
    (is_version && pre.is_none_or(|pre| pre.split('.').all(is_known))).then_some(version)
}

/// A day of the calendar. Its digits are read here: the general reader takes times and zones, too.
fn day(text: &str) -> Option<&str> {
    let digits = |part: &str| part.bytes().all(|c| c.is_ascii_digit());
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let is_plain = text.len() == DAY_CHARS && (year.len(), month.len(), day.len()) == (4, 2, 2);
    if !is_plain || ![year, month, day].into_iter().all(digits) {
        return None;
    }
    let year = year.parse().ok().filter(|year| (2000..2100).contains(year))?;
    let date = jiff::civil::Date::new(year, month.parse().ok()?, day.parse().ok()?);
    date.is_ok().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn short_amounts_are_those_of_their_digits(nano in -2_000_000_000_000_000_i64..2_000_000_000_000_000, any in any::<f64>()) {
            let written: f64 = NanoUsd(nano).to_string().parse().unwrap();
            for dollars in [written, any] {
                if let Some(short) = short_usd(dollars) {
                    prop_assert_eq!(Ok(short), format!("{dollars:e}").parse::<NanoUsd>());
                }
            }
            if nano.abs() < 1_000_000_000_000_000 {
                prop_assert_eq!(short_usd(written), Some(NanoUsd(nano)));
            }
        }
    }
}
