//! What providers say was used and charged: the third witness.
//!
//! A provider tells sums, not calls: so much in this bucket of time for this project, key and model.
//! Counts are *disjoint* as everywhere else, and a count that was not told is not zero. It is never
//! added to what was measured; the two are compared.
//!
//! ```
//! use trueup_core::{Dim, Dims, Measure, Measures};
//! let mut told = Measures::default();
//! told.set(Measure::InCacheRead, 400);
//! assert_eq!((told.get(Measure::InCacheRead), told.get(Measure::Requests)), (Some(400), None));
//! let dims = Dims::from([("api_key_id".into(), Dim::Null), ("model".into(), Dim::Text("gpt-5".into()))]);
//! assert_eq!(trueup_core::dims_json(&dims), r#"{"api_key_id":null,"model":"gpt-5"}"#);
//! ```

use std::collections::BTreeMap;
use std::fmt;

use crate::{Decimal, Key, Text, UnixMs};

/// Declares [`Measure`] so that a measure is one line: its variant, its name, whether it is a part.
macro_rules! measures {
    ($($(#[$doc:meta])* $variant:ident $name:literal $kind:ident;)*) => {
        /// Something that providers count.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Measure { $($(#[$doc])* $variant,)* }

        impl Measure {
            /// Every measure, in the order of columns and output.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name, as in columns and JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether it is a part of another one: for information, and never added to it.
            #[must_use]
            pub const fn is_part(self) -> bool {
                match self { $(Self::$variant => measures!($kind),)* }
            }
        }
    };
    (whole) => { false };
    (part) => { true };
}

measures! {
    /// Prompt tokens that were neither read from nor written to a cache.
    InUncached "in_uncached" whole;
    /// Prompt tokens served from a cache.
    InCacheRead "in_cache_read" whole;
    /// Prompt tokens written to a cache for five minutes.
    InCacheWrite5m "in_cache_write_5m" whole;
    /// Prompt tokens written to a cache for half an hour.
    InCacheWrite30m "in_cache_write_30m" whole;
    /// Prompt tokens written to a cache for an hour.
    InCacheWrite1h "in_cache_write_1h" whole;
    /// Prompt tokens written to a cache for twelve hours.
    InCacheWrite12h "in_cache_write_12h" whole;
    /// Prompt tokens written to a cache, for a time that is not told.
    InCacheWrite "in_cache_write" whole;
    /// Prompt tokens of which it is not told how many came from a cache.
    InUnsplit "in_unsplit" whole;
    /// Completion tokens, reasoning included.
    Out "out" whole;
    /// Those of the output that were reasoning.
    OutReasoning "out_reasoning" part;
    /// Uncached prompt tokens that are text.
    InText "in_text" part;
    /// Uncached prompt tokens that are audio.
    InAudio "in_audio" part;
    /// Uncached prompt tokens that are images.
    InImage "in_image" part;
    /// Cached prompt tokens that are text.
    InTextCached "in_text_cached" part;
    /// Cached prompt tokens that are audio.
    InAudioCached "in_audio_cached" part;
    /// Cached prompt tokens that are images.
    InImageCached "in_image_cached" part;
    /// Completion tokens that are text.
    OutText "out_text" part;
    /// Completion tokens that are audio.
    OutAudio "out_audio" part;
    /// Completion tokens that are images.
    OutImage "out_image" part;
    /// Requests to a model.
    Requests "requests" whole;
    /// Searches in the web.
    WebSearches "web_searches" whole;
    /// Searches in files.
    FileSearches "file_searches" whole;
    /// Images.
    Images "images" whole;
    /// Seconds of audio.
    Seconds "seconds" whole;
    /// Characters of speech.
    Characters "characters" whole;
    /// Bytes that are stored.
    Bytes "bytes" whole;
    /// Sessions.
    Sessions "sessions" whole;
}

/// Counts, of which each may not be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measures(BTreeMap<Measure, u64>);

impl Measures {
    /// A count; `None` where it was not told.
    #[must_use]
    pub fn get(&self, measure: Measure) -> Option<u64> {
        self.0.get(&measure).copied()
    }

    /// A count is told.
    pub fn set(&mut self, measure: Measure, count: u64) {
        self.0.insert(measure, count);
    }

    /// The counts that were told, in the order of [`Measure::ALL`].
    pub fn told(&self) -> impl Iterator<Item = (Measure, u64)> {
        self.0.iter().map(|(measure, count)| (*measure, *count))
    }

    /// Adds another row's counts; sums stop at the end of their range.
    pub fn add(&mut self, other: &Self) {
        for (measure, count) in other.told() {
            let sum = self.0.entry(measure).or_default();
            *sum = sum.saturating_add(count);
        }
    }
}

/// The value of a dimension. A dimension that was not told is not in [`Dims`] at all: that, null and
/// the empty text are three different things.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dim {
    /// The provider says that there is none.
    Null,
    /// A text, as it was written; models are never spelled otherwise.
    Text(Text),
    /// Yes or no.
    Bool(bool),
}

impl Dim {
    /// The text, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) => None,
        }
    }
}

/// What a row is about: project, key, model…
pub type Dims = BTreeMap<Text, Dim>;

/// Dimensions as JSON, in which null, the empty text and absence differ; sorted, so that the same
/// dimensions are the same text.
#[must_use]
pub fn dims_json(dims: &Dims) -> String {
    let value = |dim: &Dim| match dim {
        Dim::Null => serde_json::Value::Null,
        Dim::Text(text) => (&**text).into(),
        Dim::Bool(is_it) => (*is_it).into(),
    };
    let dims = dims.iter().map(|(name, dim)| (name.to_string(), value(dim)));
    serde_json::Value::Object(dims.collect()).to_string()
}

/// Dimensions of the text that [`dims_json`] makes of them; `None` for any other text.
#[must_use]
pub fn dims_of_json(text: &str) -> Option<Dims> {
    let values: BTreeMap<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    let dim = |value| match value {
        serde_json::Value::Null => Some(Dim::Null),
        serde_json::Value::Bool(is_it) => Some(Dim::Bool(is_it)),
        serde_json::Value::String(text) => Some(Dim::Text(text.into())),
        serde_json::Value::Number(_)
        | serde_json::Value::Array(_)
        | serde_json::Value::Object(_) => None,
    };
    values.into_iter().map(|(name, value)| Some((Text::from(name), dim(value)?))).collect()
}

/// How long a bucket of time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BilledWidth {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day in UTC.
    Day,
}

impl BilledWidth {
    /// Its length.
    #[must_use]
    pub const fn ms(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => crate::HOUR_MS,
            Self::Day => crate::DAY_MS,
        }
    }
}

/// Money, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// How much, exactly as it was told, in units of the currency.
    pub amount: Decimal,
    /// The currency, in upper case.
    pub currency: Text,
    /// Of how much; `None` where it is not told.
    pub quantity: Option<Decimal>,
    /// What that counts.
    pub quantity_unit: Option<Text>,
}

impl Charge {
    /// Whether it can be read again from what is written of it: see [`Decimal::is_in_bounds`].
    #[must_use]
    pub fn is_in_bounds(&self) -> bool {
        self.amount.is_in_bounds() && self.quantity.as_ref().is_none_or(Decimal::is_in_bounds)
    }

    /// Adds another one. Where only one of them says of how much it is, the sum says the same.
    ///
    /// # Errors
    /// The other one, as it was: money of two currencies is never added, nor are quantities of two units.
    pub fn add(&mut self, other: Self) -> Result<(), Self> {
        let is_counted_alike = self.quantity.is_none()
            || other.quantity.is_none()
            || self.quantity_unit == other.quantity_unit;
        if self.currency != other.currency || !is_counted_alike {
            return Err(other);
        }
        self.amount = self.amount.plus(&other.amount);
        if let Some(two) = other.quantity {
            self.quantity =
                Some(self.quantity.as_ref().map_or_else(|| two.clone(), |one| one.plus(&two)));
            self.quantity_unit = other.quantity_unit;
        }
        Ok(())
    }
}

/// One row of one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BilledFact {
    /// Where the bucket begins.
    pub start: UnixMs,
    /// What the row is about.
    pub dims: Dims,
    /// What was counted.
    pub measures: Measures,
    /// What was charged, where that is told.
    pub charge: Option<Charge>,
    /// Fields that this version does not know, as a JSON object; empty where there are none.
    pub extra: String,
}

impl BilledFact {
    /// What makes a row the same row in every pull of its bucket.
    #[must_use]
    pub fn key(dims_json: &str) -> Key {
        Key::of("billed", &[dims_json])
    }
}

/// What an id is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BilledName {
    /// Of what: `project`, `user`, `key`…
    pub kind: Text,
    /// The id.
    pub id: Text,
    /// Its name.
    pub name: Text,
}

/// Declares [`IssueCode`], each with the word that is stored and shown.
macro_rules! issue_codes {
    ($($(#[$doc:meta])* $variant:ident $name:literal;)*) => {
        /// What can be wrong with what a provider answers, or states in a file.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum IssueCode { $($(#[$doc])* $variant,)* }

        impl IssueCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word for it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

issue_codes! {
    /// The provider does not know the key (401).
    KeyRefused "key_refused";
    /// The key may not do this (403).
    ScopeMissing "scope_missing";
    /// There is no such thing here (404).
    NotOffered "not_offered";
    /// A dimension was refused; what follows is told without it.
    GroupingDegraded "grouping_degraded";
    /// The request was refused for another reason.
    Refused "refused";
    /// Too many requests (429), for longer than could be waited.
    Throttled "throttled";
    /// The provider failed (5xx).
    ProviderFailed "provider_failed";
    /// No answer came.
    Unreachable "unreachable";
    /// The provider sends elsewhere; that is not followed.
    Redirected "redirected";
    /// An answer is larger than what is read.
    BodyTooLarge "body_too_large";
    /// An answer is no JSON: a page for people, as a proxy sends it.
    NotJson "not_json";
    /// JSON of another shape.
    ShapeUnknown "shape_unknown";
    /// There is more, and no cursor to ask for it.
    CursorMissing "cursor_missing";
    /// A cursor that is none: an address, or of characters that no cursor has.
    CursorInvalid "cursor_invalid";
    /// A cursor that was there before: the pages go round.
    CursorRepeats "cursor_repeats";
    /// More pages than there can be.
    PagesMax "pages_max";
    /// A bucket that was asked for did not come.
    BucketMissing "bucket_missing";
    /// A bucket that was not asked for came.
    BucketUnexpected "bucket_unexpected";
    /// Rows that nothing tells apart, the same or not: they are added.
    RowRepeated "row_repeated";
    /// A field or a value that this version does not know; it is kept.
    SchemaDrift "schema_drift";
    /// Counts that must add up do not.
    IdentityBroken "identity_broken";
    /// Something that is to be a number is none.
    NumberInvalid "number_invalid";
    /// A currency that is not the dollar; the amount is kept, and added to no other.
    CurrencyUnknown "currency_unknown";
    /// The provider's clock and ours differ by more than a few minutes.
    ClockSkew "clock_skew";
    /// A line of a statement that has another number of fields than its header.
    LineInvalid "line_invalid";
    /// A time that cannot be read, or an end that is not behind its beginning.
    TimeInvalid "time_invalid";
    /// Times without a zone; they are taken for UTC.
    ZoneAssumed "zone_assumed";
    /// Bytes that are no UTF-8; they are taken for Windows-1252.
    EncodingGuessed "encoding_guessed";
}

impl IssueCode {
    /// The code of a word.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl fmt::Display for IssueCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Issue {
    /// What.
    pub code: IssueCode,
    /// Where and how exactly: a field, a dimension, a bucket; never a secret.
    pub detail: String,
}

impl Issue {
    /// Something is wrong.
    pub fn new(code: IssueCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_of_two_currencies_and_quantities_of_two_units_are_never_added() {
        let charge = |amount: &str, currency: &str, quantity: Option<(&str, &str)>| Charge {
            amount: amount.parse().unwrap(),
            currency: currency.into(),
            quantity: quantity.map(|(quantity, _)| quantity.parse().unwrap()),
            quantity_unit: quantity.map(|(_, unit)| unit.into()),
        };
        let tokens = charge("0.1", "USD", Some(("2", "tokens")));
        for (other, sum) in [
            (
                charge("0.2", "USD", Some(("3", "tokens"))),
                charge("0.3", "USD", Some(("5", "tokens"))),
            ),
            (charge("0.2", "USD", None), charge("0.3", "USD", Some(("2", "tokens")))),
        ] {
            let (mut one, mut two) = (tokens.clone(), other.clone());
            assert_eq!((one.add(other), two.add(tokens.clone())), (Ok(()), Ok(())));
            assert_eq!((&one, &two), (&sum, &sum), "in either order");
        }
        for other in [charge("0.2", "EUR", None), charge("0.2", "USD", Some(("3", "images")))] {
            let mut one = tokens.clone();
            assert_eq!(one.add(other.clone()), Err(other));
            assert_eq!(one, tokens);
        }
    }

    #[test]
    fn null_the_empty_text_and_absence_are_three_keys() {
        let key = |dims: Dims| BilledFact::key(&dims_json(&dims));
        let keys = [
            key(Dims::new()),
            key(Dims::from([("model".into(), Dim::Null)])),
            key(Dims::from([("model".into(), Dim::Text("".into()))])),
            key(Dims::from([("model".into(), Dim::Text("null".into()))])),
            key(Dims::from([("model".into(), Dim::Bool(false))])),
        ];
        let different: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
    }

    #[test]
    fn dimensions_survive_being_written() {
        let dims = Dims::from([
            ("a".into(), Dim::Null),
            ("b".into(), Dim::Text("\"\n≤".into())),
            ("c".into(), Dim::Bool(true)),
        ]);
        assert_eq!(dims_of_json(&dims_json(&dims)), Some(dims));
        assert_eq!(dims_of_json("{\"a\":1}"), None);
    }

    #[test]
    fn what_is_not_told_is_not_zero() {
        let mut sum = Measures::default();
        let mut row = Measures::default();
        row.set(Measure::Out, 5);
        sum.add(&row);
        sum.add(&row);
        assert_eq!((sum.get(Measure::Out), sum.get(Measure::Requests)), (Some(10), None));
    }

    #[test]
    fn every_word_stands_for_one_thing() {
        for code in IssueCode::ALL {
            assert_eq!(IssueCode::of_name(code.name()), Some(*code));
        }
        let names: std::collections::BTreeSet<_> =
            Measure::ALL.iter().map(|one| one.name()).collect();
        assert_eq!(names.len(), Measure::ALL.len());
    }
}
