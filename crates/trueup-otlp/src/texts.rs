//! Prompts and completions, wherever a dialect puts them: under one name, in numbered pieces, or in events
//! within a span. Looked for only where texts are to be kept.

use crate::attributes::Attributes;
use crate::model::{Attribute, Value};
use crate::names::Row;

/// The places of a record in which texts may be.
pub(crate) struct Texts<'r> {
    pub(crate) here: &'r [Attribute<'r>],
    /// Of the events within it.
    pub(crate) within: &'r [&'r [Attribute<'r>]],
}

impl Texts<'_> {
    /// A text under one of these names, or in pieces whose names begin so.
    pub(crate) fn find(&self, names: Row, pieces: &[&str]) -> Option<String> {
        let all = std::iter::once(&self.here).chain(self.within);
        let mut all = all.map(|record| Attributes { record, resource: &[] });
        let whole = all.find_map(|attributes| attributes.first(names).map(shown));
        whole.or_else(|| self.pieces(pieces))
    }

    fn pieces(&self, starts: &[&str]) -> Option<String> {
        let is_piece = |attribute: &&Attribute<'_>| {
            let is_one = |start: &&str| attribute.key.starts_with(*start);
            attribute.key.ends_with("content") && starts.iter().any(is_one)
        };
        let texts: Vec<_> =
            self.here.iter().filter(is_piece).map(|piece| shown(&piece.value)).collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }
}

/// A value as a text: what is no text is JSON.
fn shown(value: &Value<'_>) -> String {
    if let Value::Text(text) = value {
        text.clone().into_owned()
    } else {
        as_json(value).to_string()
    }
}

fn as_json(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Empty => serde_json::Value::Null,
        Value::Text(text) => (**text).into(),
        Value::Bool(is_true) => (*is_true).into(),
        Value::Int(number) => (*number).into(),
        Value::Double(number) => (*number).into(),
        Value::List(values) => values.iter().map(as_json).collect(),
        Value::Map(members) => members
            .iter()
            .map(|member| (member.key.0.clone().into_owned(), as_json(&member.value)))
            .collect(),
    }
}
