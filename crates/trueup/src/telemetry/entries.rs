//! What products in other languages tell, and what became of it.
//!
//! One JSON object for each thing, the same on standard input of `trueup telemetry pipe` and in the body
//! of a request. Nothing of a value that is refused is repeated in an answer.
//!
//! ```json
//! {"event":"observer_turn","key":"s1","props":{"tokens_input":120,"outcome":"ok"}}
//! {"lifecycle":"worker_started","props":{"version":"1.2.3"}}
//! {"error":{"type":"TypeError","message":"x is not a function","stack":"…","handled":true}}
//! {"end":"s1"}
//! {"flush":true}
//! ```

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use trueup_telemetry::errors::{Report, frames_of};
use trueup_telemetry::manifest::{Drops, Input, Manifest, Reason};
use trueup_telemetry::product::{Outcome, Recorded, Telemetry};

/// Refusals that are listed in an answer; more are counted.
const REFUSED_MAX: usize = 100;
/// Kinds of drops that are told apart in an answer.
const DROPPED_MAX: usize = 256;
/// By what an answer calls an error.
const ERROR: &str = "error";
/// Characters of a name that an answer repeats.
const NAME_CHARS_MAX: usize = 64;

/// One thing that is told.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Something to add up.
    Record { event: String, key: Option<String>, props: Props },
    /// Something of which there are few by nature.
    Lifecycle { event: String, props: Props },
    /// A session is over.
    End { key: String },
    /// Something went wrong.
    Error(Failure),
    /// What has ended is to be sealed, and sent where that is allowed.
    Flush,
}

/// Properties of a record, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Props(Vec<(String, Prop)>);

#[derive(Debug)]
enum Prop {
    Bool(bool),
    U64(u64),
    I64(i64),
    F64(f64),
    Text(String),
    Nested,
}

/// An error of a product.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Failure {
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// What it says.
    #[serde(default)]
    pub(crate) message: String,
    /// Where it came from, as the language writes it.
    #[serde(default)]
    pub(crate) stack: Option<String>,
    /// Whether the product went on.
    #[serde(default = "yes")]
    pub(crate) handled: bool,
}

const fn yes() -> bool {
    true
}

/// An entry as it stands there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    event: Option<String>,
    key: Option<Key>,
    props: Option<Props>,
    lifecycle: Option<String>,
    end: Option<Key>,
    error: Option<Failure>,
    flush: Option<bool>,
}

/// The key of a session: a text or a whole number.
#[derive(Debug)]
struct Key(String);

/// Why something is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Where in its line, from 1, where that is known.
    pub(crate) column: Option<usize>,
    /// What it is.
    pub(crate) what: String,
}

impl Wrong {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { column: None, what: what.into() }
    }
}

impl From<serde_json::Error> for Wrong {
    /// In words that repeat no value.
    fn from(error: serde_json::Error) -> Self {
        let column = Some(error.column()).filter(|column| *column > 0);
        let text = error.to_string();
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
        let what = match (error.classify(), text.split_once(", expected ")) {
            (Category::Data, None) => text.to_owned(),
            (Category::Data, Some((key, expected))) if key.starts_with("unknown field") => {
                let key: String = key.chars().take(NAME_CHARS_MAX).collect();
                format!("{key}, expected {expected}")
            }
            (Category::Data, Some((_, expected))) => format!("expected {expected}"),
            (Category::Eof, _) => "it ends before its end".to_owned(),
            (Category::Syntax | Category::Io, _) => "not JSON".to_owned(),
        };
        Self { column, what }
    }
}

/// Reads one entry.
pub(crate) fn entry(bytes: &[u8]) -> Result<Entry, Wrong> {
    let Wire { event, key, props, lifecycle, end, error, flush } = serde_json::from_slice(bytes)?;
    let has_props = props.is_some();
    let props = props.unwrap_or_default();
    match (event, lifecycle, end, error, flush) {
        (Some(event), None, None, None, None) => {
            Ok(Entry::Record { event, key: key.map(|key| key.0), props })
        }
        _ if key.is_some() => Err(Wrong::new("`key` belongs to an `event`")),
        (None, Some(event), None, None, None) => Ok(Entry::Lifecycle { event, props }),
        _ if has_props => Err(Wrong::new("`props` belong to an `event` or a `lifecycle`")),
        (None, None, Some(key), None, None) => Ok(Entry::End { key: key.0 }),
        (None, None, None, Some(failure), None) => Ok(Entry::Error(failure)),
        (None, None, None, None, Some(true)) => Ok(Entry::Flush),
        _ => Err(Wrong::new(
            "an object has one of `event`, `lifecycle`, `end`, `error` and `flush`: true",
        )),
    }
}

/// Reads one error.
pub(crate) fn failure(bytes: &[u8]) -> Result<Entry, Wrong> {
    Ok(Entry::Error(serde_json::from_slice(bytes)?))
}

/// The objects of a body, which is one of them, an array of them, or has one on each line; with the
/// number of the line, or of the place in the array.
pub(crate) fn pieces(body: &[u8]) -> Vec<(usize, &[u8])> {
    let is_array = body.trim_ascii_start().starts_with(b"[");
    let array = is_array.then(|| serde_json::from_slice::<Vec<&RawValue>>(body).ok()).flatten();
    if let Some(array) = array {
        return array.iter().map(|one| one.get().as_bytes()).enumerate().map(numbered).collect();
    }
    if serde_json::from_slice::<&RawValue>(body).is_ok() {
        return vec![(1, body)];
    }
    let lines = body.split(|byte| *byte == b'\n').enumerate().map(numbered);
    lines.filter(|(_, line)| !line.trim_ascii().is_empty()).collect()
}

fn numbered((place, bytes): (usize, &[u8])) -> (usize, &[u8]) {
    (place + 1, bytes)
}

/// What became of entries.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Entries that were taken.
    pub(crate) accepted: u64,
    tells_errors: bool,
    dropped: BTreeMap<(String, &'static str), u64>,
    refused: Vec<(usize, Wrong)>,
    refused_count: u64,
}

impl Tally {
    /// None yet of what a product tells.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        Self { tells_errors: manifest.errors.is_some(), ..Self::default() }
    }

    /// Takes an entry. A flush is for the caller, who knows whether it may wait.
    pub(crate) fn take(&mut self, telemetry: &Telemetry, entry: &Entry) {
        match entry {
            Entry::Record { event, key, props } => {
                let recorded = telemetry.record(event, key.as_deref(), &props.inputs());
                self.recorded(event, &recorded);
            }
            Entry::Lifecycle { event, props } => {
                let recorded = telemetry.lifecycle(event, &props.inputs());
                self.recorded(event, &recorded);
            }
            Entry::End { .. } if telemetry.is_off() => self.drop("end", "off", 1),
            Entry::End { key } => {
                telemetry.end(key);
                self.accepted += 1;
            }
            Entry::Error(failure) => self.failed(telemetry, failure),
            Entry::Flush => self.accepted += 1,
        }
    }

    fn failed(&mut self, telemetry: &Telemetry, failure: &Failure) {
        if telemetry.is_off() {
            return self.drop(ERROR, "off", 1);
        }
        if !self.tells_errors {
            return self.drop(ERROR, Reason::UnknownEvent.name(), 1);
        }
        let Failure { kind, message, stack, handled } = failure;
        let frames = frames_of(stack.as_deref().unwrap_or_default());
        let frames = &frames;
        telemetry.report(&Report { kind, message, template: None, frames, is_handled: *handled });
        self.accepted += 1;
    }

    fn recorded(&mut self, event: &str, Recorded { outcome, drops }: &Recorded) {
        match outcome {
            Outcome::Taken => self.accepted += 1,
            Outcome::Off => self.drop(event, "off", 1),
            Outcome::UnknownEvent => self.drop(event, Reason::UnknownEvent.name(), 1),
            Outcome::NoSession => self.drop(event, "no_session", 1),
            Outcome::Full => self.drop(event, "full", 1),
        }
        self.add(drops);
    }

    /// Counts properties that were dropped.
    pub(crate) fn add(&mut self, drops: &Drops) {
        for (key, reason, count) in drops.iter() {
            self.drop(key, reason.name(), count);
        }
    }

    fn drop(&mut self, key: &str, reason: &'static str, count: u64) {
        let key: String = key.chars().take(NAME_CHARS_MAX).collect();
        let mut place = (key, reason);
        if self.dropped.len() >= DROPPED_MAX && !self.dropped.contains_key(&place) {
            "(other)".clone_into(&mut place.0);
        }
        *self.dropped.entry(place).or_default() += count;
    }

    /// Counts what is not taken.
    pub(crate) fn refuse(&mut self, line: usize, wrong: Wrong) {
        self.refused_count += 1;
        if self.refused.len() < REFUSED_MAX {
            self.refused.push((line, wrong));
        }
    }

    /// Whether something came, and none of it could be read.
    pub(crate) fn is_all_refused(&self) -> bool {
        self.refused_count > 0 && self.accepted == 0 && self.dropped.is_empty()
    }

    /// The first thing that is not taken, in words.
    pub(crate) fn first_refusal(&self) -> Option<String> {
        let (line, Wrong { column, what }) = self.refused.first()?;
        let column = column.map(|column| format!(", column {column}")).unwrap_or_default();
        Some(format!("line {line}{column}: {what}"))
    }

    /// The answer.
    pub(crate) fn json(&self) -> Json {
        let refused = self.refused.iter().map(|(line, Wrong { column, what })| match column {
            Some(column) => json!({"line": line, "column": column, "what": what}),
            None => json!({"line": line, "what": what}),
        });
        json!({
            "accepted": self.accepted,
            "dropped": self.dropped(),
            "refused": refused.collect::<Vec<_>>(),
            "refused_count": self.refused_count,
        })
    }

    /// What was dropped alone.
    pub(crate) fn dropped(&self) -> Vec<Json> {
        let one = |(key, reason): &(String, &str), count: &u64| json!({"key": key, "reason": reason, "count": count});
        self.dropped.iter().map(|(place, count)| one(place, count)).collect()
    }
}

impl Props {
    fn inputs(&self) -> Vec<(&str, Input<'_>)> {
        let inputs = self.0.iter().map(|(name, prop)| {
            let input = match prop {
                Prop::Bool(truth) => Input::Bool(*truth),
                Prop::U64(number) => Input::U64(*number),
                Prop::I64(number) => Input::I64(*number),
                Prop::F64(number) => Input::F64(*number),
                Prop::Text(text) => Input::Text(text),
                Prop::Nested => Input::Nested,
            };
            (name.as_str(), input)
        });
        inputs.collect()
    }
}

impl<'de> Deserialize<'de> for Props {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Props;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of properties")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Props, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Props(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

impl<'de> Deserialize<'de> for Prop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Prop;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Prop, E> {
                Ok(Prop::Bool(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Prop, E> {
                Ok(Prop::U64(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Prop, E> {
                Ok(Prop::I64(value))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Prop, E> {
                Ok(Prop::F64(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Prop, E> {
                Ok(Prop::Text(value.to_owned()))
            }
            fn visit_string<E>(self, value: String) -> Result<Prop, E> {
                Ok(Prop::Text(value))
            }
            fn visit_unit<E>(self) -> Result<Prop, E> {
                Ok(Prop::Nested)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Prop, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Prop::Nested)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Prop, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Prop::Nested)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Prop::deserialize(deserializer)? {
            Prop::Text(text) if !text.is_empty() => Ok(Self(text)),
            Prop::U64(number) => Ok(Self(number.to_string())),
            Prop::I64(number) => Ok(Self(number.to_string())),
            Prop::Bool(_) | Prop::F64(_) | Prop::Text(_) | Prop::Nested => {
                Err(D::Error::custom("the key of a session is a text or a whole number"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wrong(line: &str) -> (Option<usize>, String) {
        let Wrong { column, what } = entry(line.as_bytes()).unwrap_err();
        (column, what)
    }

    #[test]
    fn entries_are_told_apart() {
        let kind = |line: &str| match entry(line.as_bytes()).unwrap() {
            Entry::Record { event, key, props } => {
                format!("record {event} {key:?} {}", props.0.len())
            }
            Entry::Lifecycle { event, props } => format!("lifecycle {event} {}", props.0.len()),
            Entry::End { key } => format!("end {key}"),
            Entry::Error(Failure { kind, message, stack, handled }) => {
                format!("error {kind} {message} {stack:?} {handled}")
            }
            Entry::Flush => "flush".to_owned(),
        };
        for (line, expected) in [
            (r#"{"event":"e"}"#, "record e None 0"),
            (r#"{"event":"e","key":"s","props":{"a":1,"a":[{"b":2}]}}"#, "record e Some(\"s\") 2"),
            (r#"{"event":"e","key":42,"props":null}"#, "record e Some(\"42\") 0"),
            (r#"{"lifecycle":"l","props":{"a":null}}"#, "lifecycle l 1"),
            (r#" {"end":"s"} "#, "end s"),
            (r#"{"error":{"type":"E"}}"#, "error E  None true"),
            (
                r#"{"error":{"type":"E","message":"m","stack":"s","handled":false}}"#,
                "error E m Some(\"s\") false",
            ),
            (r#"{"flush":true}"#, "flush"),
        ] {
            assert_eq!(kind(line), expected, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_it() {
        for (line, column, what) in [
            ("{", Some(1), "it ends before its end"),
            ("nope", Some(2), "not JSON"),
            (r#"{"event":5}"#, Some(10), "expected a string"),
            (r#"{"event":"e","props":"a secret"}"#, Some(31), "expected an object of properties"),
            (
                r#"{"evnt":"e"}"#,
                Some(7),
                "unknown field `evnt`, expected one of `event`, `key`, `props`, `lifecycle`, \
                 `end`, `error`, `flush`",
            ),
            (r#"{"error":{"message":"a secret"}}"#, Some(31), "missing field `type`"),
            (r#"{"end":""}"#, Some(10), "the key of a session is a text or a whole number"),
            (r#"{"end":"s","key":"s"}"#, None, "`key` belongs to an `event`"),
            (r#"{"end":"s","props":{}}"#, None, "`props` belong to an `event` or a `lifecycle`"),
            (
                r#"{"flush":false}"#,
                None,
                "an object has one of `event`, `lifecycle`, `end`, `error` and `flush`: true",
            ),
        ] {
            assert_eq!(wrong(line), (column, what.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_body_is_one_object_an_array_or_lines() {
        let texts = |body: &str| -> Vec<(usize, String)> {
            let pieces = pieces(body.as_bytes()).into_iter();
            pieces.map(|(at, text)| (at, String::from_utf8(text.to_vec()).unwrap())).collect()
        };
        assert_eq!(texts("{\n\"a\": 1\n}").len(), 1);
        assert_eq!(texts("[{\"a\":1},\n 2]"), [(1, "{\"a\":1}".into()), (2, "2".into())]);
        assert_eq!(texts("{}\n\n{ \n{}\n"), [(1, "{}".into()), (3, "{ ".into()), (4, "{}".into())]);
        assert_eq!(texts("[1,").len(), 1);
        assert_eq!(texts(" \n"), []);
    }

    /// An answer is bounded, whatever comes.
    #[test]
    fn an_answer_lists_only_so_much() {
        let mut tally = Tally::default();
        for at in 0..1_000 {
            tally.refuse(at, Wrong::new("no"));
            tally.drop(&format!("k{at}"), "full", 1);
        }
        let answer = tally.json();
        assert_eq!(answer["refused"].as_array().unwrap().len(), REFUSED_MAX);
        assert_eq!(answer["refused_count"], 1_000);
        let dropped = answer["dropped"].as_array().unwrap();
        assert_eq!(dropped.len(), DROPPED_MAX + 1);
        let sum: u64 = dropped.iter().map(|one| one["count"].as_u64().unwrap()).sum();
        assert_eq!(sum, 1_000);
    }

    proptest! {
        /// Whatever comes, it is read or refused, and a refusal repeats no value.
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            for (line, piece) in pieces(&bytes) {
                prop_assert!(line > 0);
                let _is_read = (entry(piece).is_ok(), failure(piece).is_ok());
            }
        }

        #[test]
        fn no_refusal_repeats_a_value(
            key in prop::sample::select(vec![
                "event", "key", "props", "lifecycle", "end", "error", "flush",
            ]),
            value in prop_oneof![
                "SECRET[a-z]{0,9}".prop_map(Json::from),
                any::<f64>().prop_map(|number| json!([number, "SECRET"])),
                any::<i64>().prop_map(|number| json!({"type": number, "message": "SECRET"})),
                any::<bool>().prop_map(Json::from),
            ],
        ) {
            let line = json!({ key: value }).to_string();
            if let Err(Wrong { what, .. }) = entry(line.as_bytes()) {
                prop_assert!(!what.contains("SECRET"), "{line}: {what}");
            }
        }
    }
}
