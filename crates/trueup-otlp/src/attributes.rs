//! The attributes of one record, looked up by the names that dialects give them.
//!
//! Exporters write numbers as numbers and as texts, both of them officially: JavaScript's Claude Code
//! does the one, Rust's Codex the other. A count that is negative, no number, or larger than any real
//! one is an error: half of a call is worse than none.

use std::borrow::Cow;

use trueup_core::{NanoUsd, TOKENS_MAX, scaled_decimal};

use crate::model::{Attribute, Value};

/// Longest name that is kept: of a model, a session, an id… in bytes.
const NAME_BYTES_MAX: usize = 1_024;

/// A number that cannot be what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wrong;

/// The attributes of a record, and of the process that sent it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'r> {
    pub(crate) record: &'r [Attribute<'r>],
    pub(crate) resource: &'r [Attribute<'r>],
}

fn find<'r>(attributes: &'r [Attribute<'_>], name: &str) -> Option<&'r Value<'r>> {
    let found = attributes.iter().find(|attribute| *attribute.key == *name)?;
    Some(&found.value).filter(|value| **value != Value::Empty)
}

impl<'r> Attributes<'r> {
    /// The record's own value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&'r Value<'r>> {
        find(self.record, name)
    }

    /// The record's own value of the first of these names that it has.
    pub(crate) fn first(&self, names: &[&str]) -> Option<&'r Value<'r>> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Whether it has any of these names.
    pub(crate) fn has(&self, names: &[&str]) -> bool {
        self.first(names).is_some()
    }

    /// The record's value, or else the process's, as a short text; empty where there is none.
    pub(crate) fn name(&self, names: &[&str]) -> Cow<'r, str> {
        let of_process = || names.iter().find_map(|name| find(self.resource, name));
        let value = self.first(names).or_else(of_process);
        value.map(short).unwrap_or_default()
    }

    /// A value of the process, as a short text.
    pub(crate) fn of_process(&self, name: &str) -> Cow<'r, str> {
        find(self.resource, name).map(short).unwrap_or_default()
    }

    /// A count; a fraction of it is dropped.
    pub(crate) fn count(&self, names: &[&str]) -> Result<Option<u64>, Wrong> {
        let Some(digits) = self.first(names).map(digits) else { return Ok(None) };
        let digits = digits.ok_or(Wrong)?;
        if digits.is_empty() {
            return Ok(None);
        }
        let thousandths = scaled_decimal(&digits, 3).ok_or(Wrong)?;
        let count = u64::try_from(thousandths.div_euclid(1_000)).map_err(|_| Wrong)?;
        Some(count).filter(|count| *count <= TOKENS_MAX).map(Some).ok_or(Wrong)
    }

    /// A length of time in milliseconds, of a number of units of 10^-`scale` milliseconds; `None` where
    /// it is none that could be.
    pub(crate) fn milliseconds(&self, names: &[&str], scale: i32) -> Option<u32> {
        let digits = digits(self.first(names)?)?;
        u32::try_from(scaled_decimal(&digits, scale)?).ok()
    }

    /// An amount of dollars, exactly.
    pub(crate) fn usd(&self, names: &[&str]) -> Result<Option<NanoUsd>, Wrong> {
        self.amount(names, 9)
    }

    /// An amount of millionths of a dollar.
    pub(crate) fn micro_usd(&self, names: &[&str]) -> Result<Option<NanoUsd>, Wrong> {
        self.amount(names, 3)
    }

    fn amount(&self, names: &[&str], scale: i32) -> Result<Option<NanoUsd>, Wrong> {
        let Some(digits) = self.first(names).map(digits) else { return Ok(None) };
        let digits = digits.ok_or(Wrong)?;
        if digits.is_empty() {
            return Ok(None);
        }
        let nano = scaled_decimal(&digits, scale).and_then(|nano| i64::try_from(nano).ok());
        nano.filter(|nano| *nano >= 0).map(|nano| Some(NanoUsd(nano))).ok_or(Wrong)
    }
}

/// A number as decimal digits: of a double the shortest that mean it, so that $0.026 is that.
fn digits<'r>(value: &'r Value<'_>) -> Option<Cow<'r, str>> {
    match value {
        Value::Int(number) => Some(number.to_string().into()),
        Value::Double(number) => Some(format!("{number:?}").into()),
        Value::Text(text) => Some(text.trim().into()),
        Value::Empty | Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
    }
}

fn short<'r>(value: &'r Value<'_>) -> Cow<'r, str> {
    match value {
        Value::Text(text) => {
            let text = text.trim();
            text.get(..text.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default().into()
        }
        Value::Int(number) => number.to_string().into(),
        Value::Bool(is_true) => is_true.to_string().into(),
        Value::List(values) => {
            let texts: Vec<_> = values.iter().take(8).map(short).collect();
            let text = texts.join(",");
            text.get(..text.floor_char_boundary(NAME_BYTES_MAX))
                .unwrap_or_default()
                .to_owned()
                .into()
        }
        Value::Double(number) => number.to_string().into(),
        Value::Empty | Value::Map(_) => Cow::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Str;

    fn with(value: Value<'static>, check: impl FnOnce(Attributes<'_>)) {
        let record = [Attribute { key: Str("n".into()), value }];
        check(Attributes { record: &record, resource: &[] });
    }

    #[test]
    fn counts_are_read_in_every_form_and_wrong_ones_refused() {
        for (value, expected) in [
            (Value::Int(12), Ok(Some(12))),
            (Value::Text("12".into()), Ok(Some(12))),
            (Value::Double(12.7), Ok(Some(12))),
            (Value::Double(1e3), Ok(Some(1_000))),
            (Value::Text(String::new().into()), Ok(None)),
            (Value::Empty, Ok(None)),
            (Value::Int(-1), Err(Wrong)),
            (Value::Double(-0.5), Err(Wrong)),
            (Value::Double(f64::NAN), Err(Wrong)),
            (Value::Double(f64::INFINITY), Err(Wrong)),
            (Value::Double(1e300), Err(Wrong)),
            (Value::Int(i64::MAX), Err(Wrong)),
            (Value::Text("many".into()), Err(Wrong)),
            (Value::Bool(true), Err(Wrong)),
            (Value::List(Vec::new()), Err(Wrong)),
        ] {
            let shown = format!("{value:?}");
            with(value, |of| assert_eq!(of.count(&["n"]), expected, "{shown}"));
        }
    }

    #[test]
    fn money_is_exact() {
        for (value, expected) in [
            (Value::Double(0.026), 26_000_000),
            (Value::Double(0.1 + 0.2), 300_000_000),
            (Value::Double(1.5e-7), 150),
            (Value::Text("0.000764".into()), 764_000),
            (Value::Int(2), 2_000_000_000),
        ] {
            with(value, |of| assert_eq!(of.usd(&["n"]), Ok(Some(NanoUsd(expected)))));
        }
        with(Value::Int(26_001), |of| {
            assert_eq!(of.micro_usd(&["n"]), Ok(Some(NanoUsd(26_001_000))));
        });
        with(Value::Double(-0.1), |of| assert_eq!(of.usd(&["n"]), Err(Wrong)));
        with(Value::Double(0.0125), |of| assert_eq!(of.milliseconds(&["n"], 3), Some(13)));
    }
}
