//! The fields of a JSON object, taken one by one: what is left at the end is what we do not know.
//!
//! Values stay as they are written until they are asked for, so that no digit of a number is lost.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use trueup_core::{Decimal, Issue, IssueCode};

/// The fields that were not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    /// The fields of an answer.
    pub(crate) fn of_body(body: &'a [u8]) -> Result<Self, Issue> {
        let begin = body.iter().find(|byte| !byte.is_ascii_whitespace());
        let not_json = |what: &str| Issue::new(IssueCode::NotJson, what);
        if begin == Some(&b'<') {
            return Err(not_json("the answer is a page of HTML, as a proxy or a login sends it"));
        }
        let text = std::str::from_utf8(body).map_err(|_| not_json("the answer is no UTF-8"))?;
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| {
            not_json(&format!("the answer is no JSON (column {})", error.column()))
        })?;
        Self::of(raw).ok_or_else(|| shape_unknown("the answer is no object"))
    }

    /// The fields of an object; `None` for anything else.
    pub(crate) fn of(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok().map(Self)
    }

    /// A field, null too.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        self.0.remove(name)
    }

    /// A field that is not null.
    pub(crate) fn take_some(&mut self, name: &str) -> Option<&'a RawValue> {
        self.take(name).filter(|raw| raw.get() != "null")
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        text_of(self.take_some(name)?)
    }

    /// Whether there is another page, and its cursor. Where nothing says whether, or not by a yes or a no,
    /// the cursor does.
    pub(crate) fn next_page(&mut self) -> (bool, Option<String>) {
        let cursor = self.text("next_page");
        let has_more = self.take_some("has_more").and_then(|raw| match raw.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        });
        (has_more.unwrap_or(cursor.is_some()), cursor)
    }

    /// A whole number of any spelling.
    pub(crate) fn number(&mut self, name: &str) -> Option<i64> {
        let number = Decimal::of_json(self.take_some(name)?.get()).ok()?;
        i64::try_from(number.to_count()?).ok()
    }

    /// An object within.
    pub(crate) fn object(&mut self, name: &str) -> Option<Self> {
        Self::of(self.take_some(name)?)
    }

    /// A list within.
    pub(crate) fn list(&mut self, name: &str) -> Option<Vec<&'a RawValue>> {
        list_of(self.take_some(name)?)
    }

    /// Each field by its name, in order.
    pub(crate) fn into_each(self) -> impl Iterator<Item = (String, &'a RawValue)> {
        self.0.into_iter()
    }
}

/// A text, where a value is one.
pub(crate) fn text_of(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// A list, where a value is one.
pub(crate) fn list_of(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// An answer that is JSON of another shape than it has.
pub(crate) fn shape_unknown(what: &str) -> Issue {
    Issue::new(IssueCode::ShapeUnknown, what)
}
