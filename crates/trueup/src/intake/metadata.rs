//! Metadata: what a record says beyond the fields that have a place of their own.
//!
//! Always one JSON object: the client's own `metadata`, and beside it every field that we do not
//! know. Values are kept as the client wrote them, digit by digit.
//!
//! ```json
//! {"metadata":{"user":"u1"},"temperature":0.20}   becomes   {"temperature":0.20,"user":"u1"}
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::fields::{Field, Fields};
use super::json::Members;
use super::text;

/// What is added to a record's metadata by us.
pub(super) struct Note<'a> {
    pub(super) name: &'static str,
    pub(super) json: &'a str,
}

/// Takes all that is left of a record. Longer than `bytes_max`, it becomes an object that says so and
/// holds the first part of it as a text, so that the column is JSON whatever happens.
pub(super) fn take(
    fields: &mut Fields<'_>,
    notes: &[Note<'_>],
    bytes_max: usize,
) -> Option<String> {
    let own = fields.take(&["metadata"]).as_ref().map(own).unwrap_or_default();
    let mut all: BTreeMap<String, String> = fields.rest().into_iter().map(owned).collect();
    for (name, json) in own {
        if let Some(outer) = all.insert(name.clone(), json) {
            all.insert(format!("body.{name}"), outer);
        }
    }
    for note in notes {
        all.insert(note.name.to_owned(), note.json.to_owned());
    }
    (!all.is_empty()).then(|| bounded(object(&all), bytes_max))
}

/// The client's own metadata: an object, an object in a text, or anything else under its name.
fn own(field: &Field<'_>) -> BTreeMap<String, String> {
    let text = text::scalar(field.json).filter(|_| field.json.starts_with('"'));
    let inner = text.as_deref().unwrap_or(field.json);
    if inner.trim().is_empty() {
        return BTreeMap::new();
    }
    if let Ok(Members(members)) = serde_json::from_str(inner) {
        return members.into_iter().map(owned).collect();
    }
    // Other JSON in a text is that JSON; what is no JSON is the text.
    let is_json = serde_json::from_str::<&RawValue>(inner).is_ok();
    let value = if is_json { inner } else { field.json };
    BTreeMap::from([(field.name.to_owned(), value.to_owned())])
}

fn owned((name, json): (Cow<'_, str>, &RawValue)) -> (String, String) {
    (name.into_owned(), json.get().to_owned())
}

fn object(members: &BTreeMap<String, String>) -> String {
    let members: Vec<String> =
        members.iter().map(|(name, json)| format!("{}:{json}", quoted(name))).collect();
    format!("{{{}}}", members.join(","))
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

const CUT_HEAD: &str = r#"{"is_cut":true,"json":""#;
const CUT_TAIL: &str = r#""}"#;

fn bounded(json: String, bytes_max: usize) -> String {
    if json.len() <= bytes_max {
        return json;
    }
    let mut cut = CUT_HEAD.to_owned();
    for character in json.chars() {
        let quoted = quoted(character.encode_utf8(&mut [0; 4]));
        let escaped = quoted.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"'));
        let escaped = escaped.unwrap_or_default();
        if cut.len() + escaped.len() + CUT_TAIL.len() > bytes_max {
            break;
        }
        cut.push_str(escaped);
    }
    cut + CUT_TAIL
}
