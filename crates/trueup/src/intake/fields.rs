//! The fields of one record, as clients really write them.
//!
//! A field is taken out when it is read; what is left at the end is unknown to us and belongs to the
//! metadata. Counts may be texts (`"12"`), have a fraction (`12.5` is 12) or be null; a negative one
//! is refused, because cutting it would make up a number that nobody sent. Amounts of money are read
//! digit by digit, never as floating point.
//!
//! ```json
//! {"prompt_tokens":"1020","latency_ms":412.7,"cost_usd":1.5e-7,"status":null}
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;
use trueup_core::{NanoUsd, TOKENS_MAX, Text, scaled_decimal};

use super::text;

/// Longest name: of a model, a session, an id… in bytes.
pub(super) const NAME_BYTES_MAX: usize = 1_024;

/// A field that cannot be what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(super) field: String,
    pub(super) what: String,
}

impl Wrong {
    pub(super) fn new(field: &str, what: impl Into<String>) -> Self {
        Self { field: field.to_owned(), what: what.into() }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.what)
    }
}

/// What is left of a record.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    fields: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

/// A field that was found, and under which of its names.
pub(super) struct Field<'a> {
    pub(super) name: &'static str,
    pub(super) json: &'a str,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(fields: BTreeMap<Cow<'a, str>, &'a RawValue>) -> Self {
        Self { fields }
    }

    /// Whether this is an export of OpenTelemetry's, as JSON.
    pub(super) fn is_otlp(&self) -> bool {
        const OTLP: [&str; 4] =
            ["resourceSpans", "resourceLogs", "resourceMetrics", "resource_spans"];
        OTLP.iter().any(|name| self.fields.contains_key(*name))
    }

    /// Takes the first of `names` that is there and not null. The others stay, and are kept as
    /// metadata.
    pub(super) fn take(&mut self, names: &[&'static str]) -> Option<Field<'a>> {
        for name in names {
            if let Some(json) = self.fields.remove(*name).filter(|json| json.get() != "null") {
                return Some(Field { name, json: json.get() });
            }
        }
        None
    }

    /// A short text: empty where it is missing.
    pub(super) fn name(&mut self, names: &[&'static str]) -> Result<Text, Wrong> {
        let Some(field) = self.take(names) else { return Ok(Text::default()) };
        let text =
            text::scalar(field.json).ok_or_else(|| Wrong::new(field.name, "must be a text"))?;
        let text = text.trim();
        if text.len() > NAME_BYTES_MAX {
            let what = format!("is longer than {NAME_BYTES_MAX} bytes");
            return Err(Wrong::new(field.name, what));
        }
        Ok(text.into())
    }

    /// A short text that a record cannot do without.
    pub(super) fn required(&mut self, names: &[&'static str]) -> Result<Text, Wrong> {
        let name = self.name(names)?;
        if name.is_empty() {
            let field = names.first().copied().unwrap_or_default();
            return Err(Wrong::new(field, "is missing or empty: it must be a text"));
        }
        Ok(name)
    }

    /// A long text; JSON that is no text is kept as JSON.
    pub(super) fn long(&mut self, names: &[&'static str]) -> Option<String> {
        let field = self.take(names)?;
        Some(text::scalar(field.json).unwrap_or_else(|| field.json.to_owned()))
    }

    /// A whole number, at most [`TOKENS_MAX`].
    pub(super) fn count(&mut self, names: &[&'static str]) -> Result<Option<u64>, Wrong> {
        let Some(field) = self.take(names) else { return Ok(None) };
        let Some(text) = number(&field)? else { return Ok(None) };
        let wrong = |what: String| Err(Wrong::new(field.name, what));
        match whole(&text) {
            None => wrong("must be a number".to_owned()),
            Some(count) if count < 0 => wrong("must not be negative".to_owned()),
            Some(count) => match u64::try_from(count) {
                Ok(count) if count <= TOKENS_MAX => Ok(Some(count)),
                _ => wrong(format!("must be at most {TOKENS_MAX}")),
            },
        }
    }

    /// A number of milliseconds.
    pub(super) fn milliseconds(&mut self, names: &[&'static str]) -> Result<Option<u32>, Wrong> {
        let field = names.first().copied().unwrap_or_default();
        let count = self.count(names)?;
        let fit = |count| u32::try_from(count).map_err(|_| Wrong::new(field, "is past 49 days"));
        count.map(fit).transpose()
    }

    /// An amount of dollars, exactly. An explicit zero is a statement of the client's, and kept.
    pub(super) fn usd(&mut self, names: &[&'static str]) -> Result<Option<NanoUsd>, Wrong> {
        let Some(field) = self.take(names) else { return Ok(None) };
        let Some(text) = number(&field)? else { return Ok(None) };
        match text.parse::<NanoUsd>() {
            Ok(amount) if amount < NanoUsd::ZERO => {
                Err(Wrong::new(field.name, "must not be negative"))
            }
            Ok(amount) => Ok(Some(amount)),
            Err(error) => Err(Wrong::new(field.name, format!("is wrong: {error}"))),
        }
    }

    /// Puts a field back, to be kept as metadata.
    pub(super) fn keep(&mut self, field: &Field<'a>) {
        if let Ok(json) = serde_json::from_str(field.json) {
            self.fields.insert(field.name.into(), json);
        }
    }

    /// What nobody has taken.
    pub(super) fn rest(&mut self) -> BTreeMap<Cow<'a, str>, &'a RawValue> {
        std::mem::take(&mut self.fields)
    }
}

/// The digits of a number, which may stand in a text; a blank text is no number.
fn number(field: &Field<'_>) -> Result<Option<String>, Wrong> {
    let is_number_or_text =
        field.json.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit());
    let text = text::scalar(field.json)
        .filter(|_| is_number_or_text)
        .ok_or_else(|| Wrong::new(field.name, "must be a number"))?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// The whole part of a decimal; of what is below zero, anything below zero.
fn whole(text: &str) -> Option<i128> {
    const SCALE: i32 = 9;
    let units = scaled_decimal(text, SCALE)?;
    Some(units.div_euclid(10_i128.pow(SCALE.unsigned_abs())))
}
