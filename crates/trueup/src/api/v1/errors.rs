//! `GET /api/v1/errors`: errors by fingerprint, the last first, and calls that failed, by why.
//!
//! Clients post whatever they like as a message, keys among it: nothing of it is told that the redactor
//! of telemetry would not let pass, and a text that it does not finish is not told at all.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use trueup_core::report::Window;
use trueup_core::{FactId, Text, UnixMs};
use trueup_ledger::StoredError;
use trueup_telemetry::errors::{Report, frames_of, tell};
use trueup_telemetry::manifest::ErrorLevel;

use super::asked::{Asked, DEVICE, Kind, Parameter, TIME};
use super::{Endpoint, Failed, Sight, told};
use crate::facts::{Facts, Failures};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    path: "/api/v1/errors",
    about: "Errors by fingerprint, the last first, and calls that failed",
    parameters: &[TIME, PART, &[DEVICE]],
    answer,
};

/// Errors that one question looks at, the last ones.
const LOOKED_AT_MAX: u32 = 10_000;
/// Bytes of a message that are looked at: what lies behind them is in no answer.
const MESSAGE_BYTES_MAX: usize = 1_024;
/// Texts that differ in more than numbers, of which one question redacts no more.
const TEXTS_MAX: usize = 2_000;
/// Kinds of failed calls that are told, the most frequent.
const FAILED_MAX: usize = 200;
/// Fingerprints of a part, and most of them.
const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 500;

const PART: &[Parameter] = &[
    Parameter {
        name: "limit",
        about: "how many fingerprints at once",
        kind: Kind::Count(1, LIMIT_MAX, LIMIT),
    },
    Parameter { name: "cursor", about: "`next_cursor` of the part before", kind: Kind::Text },
];

/// Errors of one fingerprint.
#[derive(Debug)]
struct Group {
    fingerprint: String,
    kind: String,
    pattern: String,
    /// Of the last of them.
    severity: String,
    text: String,
    count: u64,
    first: UnixMs,
    last: UnixMs,
    last_id: FactId,
}

/// A place in the list: behind a group, as the list was when its first part was read. Errors that come
/// later are in no further part, so that they move nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    edge: FactId,
    last: UnixMs,
    fingerprint: String,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let edge = FactId::parse(parts.next()?)?;
        let last = UnixMs(parts.next()?.parse().ok()?);
        Some(Self { edge, last, fingerprint: parts.next()?.to_owned() })
    }

    fn text(&self) -> String {
        format!("{}.{}.{}", self.edge, self.last.0, self.fingerprint)
    }

    /// Whether a group lies behind it.
    fn is_before(&self, group: &Group) -> bool {
        (group.last, &self.fingerprint) < (self.last, &group.fingerprint)
    }
}

fn answer(asked: &Asked, sight: &Sight<'_>) -> Result<Value, Failed> {
    let place = asked.text("cursor").map(|text| Place::parse(text).ok_or_else(told::wrong_cursor));
    let place = place.transpose()?;
    let facts = sight.facts(asked)?;
    let calendar = asked.calendar(sight);
    let first_usage = sight.usage(asked)?.span()?.map(|(first, _)| first);
    let first = first_usage.into_iter().chain(facts.first_error()?).min();
    let days = asked.days(&calendar, first, sight.now)?;
    let window = days.window;
    let from = FactId::first_at(window.from);
    let end = place.as_ref().map_or(LAST, |place| after(place.edge));
    let until = FactId::first_at(window.until).min(end);
    let events = facts.error_count(from, until)?;
    let (groups, is_rest_untold) = groups(&facts, from, until)?;
    let edge = groups.iter().map(|group| group.last_id).max();
    let mut left =
        groups.iter().filter(|group| place.as_ref().is_none_or(|place| place.is_before(group)));
    let limit = asked.count("limit", usize::try_from(LIMIT).unwrap_or(usize::MAX));
    let part: Vec<&Group> = left.by_ref().take(limit).collect();
    let has_more = left.next().is_some();
    let next = part.last().zip(edge).filter(|_| has_more).map(|(group, edge)| {
        Place { edge, last: group.last, fingerprint: group.fingerprint.clone() }.text()
    });
    let samples: Vec<FactId> = part.iter().map(|group| group.last_id).collect();
    let stacks = facts.stacks_of_errors(&samples)?;
    let rows = part.into_iter().map(|group| as_json(group, stacks.get(&group.last_id)));
    let rows: Vec<Value> = rows.collect();
    let failed = FailedCalls::read(&facts, window)?;
    Ok(json!({
        "schema": 1,
        "tz": calendar.zone_name(),
        "calls_failed": failed.calls,
        "events": events,
        "rows": rows,
        "failed_calls": failed.rows,
        "is_cut": failed.is_cut || is_rest_untold || events > u64::from(LOOKED_AT_MAX),
        "next_cursor": next,
        "cli": format!("trueup export errors{}{}", days.options(&calendar), asked.device_option()),
    }))
}

/// The id that no fact has.
const LAST: FactId = FactId([0xff; 16]);

/// The id behind another.
fn after(id: FactId) -> FactId {
    FactId(u128::from_be_bytes(id.0).saturating_add(1).to_be_bytes())
}

/// Errors while they are gathered, from the last on.
#[derive(Default)]
struct Gathering {
    groups: BTreeMap<String, Group>,
    /// The fingerprint of each text. Most errors come again and again, with other numbers in them: one
    /// of them is redacted, which takes a hundred times as long as to see that they are alike.
    known: HashMap<(String, String), String>,
    is_cut: bool,
}

impl Gathering {
    fn take(&mut self, error: &StoredError) {
        let text = (without_numbers(&error.error_type), without_numbers(&error.message));
        if !self.known.contains_key(&text) {
            if self.known.len() >= TEXTS_MAX {
                self.is_cut = true;
                return;
            }
            let new = Group::of(error);
            self.known.insert(text.clone(), new.fingerprint.clone());
            self.groups.entry(new.fingerprint.clone()).or_insert(new);
        }
        let group = self.known.get(&text).and_then(|known| self.groups.get_mut(known));
        if let Some(group) = group {
            group.count += 1;
            group.first = group.first.min(error.time);
        }
    }
}

/// A text with one sign for each word that has a digit in it.
fn without_numbers(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    let is_joint = |letter: char| !(letter.is_alphanumeric() || "-_".contains(letter));
    for word in text.split_inclusive(is_joint) {
        let end = word.trim_end_matches(is_joint);
        if end.contains(|letter: char| letter.is_ascii_digit()) {
            all.push('0');
            all.push_str(word.get(end.len()..).unwrap_or_default());
        } else {
            all.push_str(word);
        }
    }
    all
}

/// The errors of a time by fingerprint, the last first; whether some were not told apart.
fn groups(facts: &Facts, from: FactId, until: FactId) -> Result<(Vec<Group>, bool), Failed> {
    let mut gathering = Gathering::default();
    facts.errors(from, until, LOOKED_AT_MAX, &mut |error| gathering.take(&error))?;
    let mut groups: Vec<Group> = gathering.groups.into_values().collect();
    groups
        .sort_by(|one, other| (other.last, &one.fingerprint).cmp(&(one.last, &other.fingerprint)));
    Ok((groups, gathering.is_cut))
}

impl Group {
    /// The group of an error, which is not counted yet. Those that come after it are older.
    fn of(error: &StoredError) -> Self {
        let StoredError { id, time, error_type, message, severity } = error;
        let message = beginning(message);
        let report =
            Report { kind: error_type, message, template: None, frames: &[], is_handled: true };
        let told = tell(&report, ErrorLevel::Redacted);
        let (fingerprint, kind, pattern, text) = told.map_or_else(
            || ("untold".to_owned(), String::new(), String::new(), String::new()),
            |told| (told.fingerprint, told.kind, told.pattern, told.text),
        );
        Self {
            fingerprint,
            kind,
            pattern,
            severity: told::error_type(severity),
            text,
            count: 0,
            first: *time,
            last: *time,
            last_id: *id,
        }
    }
}

/// As much of a message as is told; never a part of a word, because half a secret does not look like one.
fn beginning(message: &str) -> &str {
    let cut = message.floor_char_boundary(MESSAGE_BYTES_MAX);
    if cut == message.len() {
        return message;
    }
    let begin = message.get(..cut).unwrap_or_default();
    begin.rfind(char::is_whitespace).and_then(|end| begin.get(..end)).unwrap_or_default()
}

fn as_json(group: &Group, stack: Option<&String>) -> Value {
    json!({
        "fingerprint": group.fingerprint,
        "type": group.kind,
        "message": group.pattern,
        "severity": group.severity,
        "count": group.count,
        "first": group.first.to_string(),
        "last": group.last.to_string(),
        "sample_message": group.text,
        "sample_stack": stack.and_then(|stack| shown(stack)),
    })
}

/// The frames of a stack, one a line, the innermost first.
fn shown(stack: &str) -> Option<String> {
    let frames = frames_of(stack);
    let report =
        Report { kind: "", message: "", template: None, frames: &frames, is_handled: true };
    let told = tell(&report, ErrorLevel::Redacted)?;
    let lines: Vec<String> = told.frames.iter().map(ToString::to_string).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The calls of a time that failed.
struct FailedCalls {
    calls: u64,
    rows: Vec<Value>,
    is_cut: bool,
}

/// Agent, provider, model, and the kind of error where it is known.
type Why = (Text, Text, Text, Option<String>);

impl FailedCalls {
    fn read(facts: &Facts, window: Window) -> Result<Self, Failed> {
        let why = |(source, provider, model), kind| -> Why { (source, provider, model, kind) };
        let Failures { calls: mut unknown, known, mut is_cut } = facts.failures(window)?;
        let mut all: BTreeMap<Why, (u64, Option<UnixMs>)> = BTreeMap::new();
        let calls = unknown.values().sum();
        for (failing, kind, count, last) in known {
            if let Some(left) = unknown.get_mut(&failing) {
                *left = left.saturating_sub(count);
            }
            let (calls, latest) =
                all.entry(why(failing, Some(told::error_type(&kind)))).or_default();
            *calls += count;
            *latest = (*latest).max(Some(last));
        }
        for (failing, count) in unknown.into_iter().filter(|(_, count)| *count > 0) {
            all.entry(why(failing, None)).or_default().0 += count;
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by(|(one, (few, _)), (other, (many, _))| (many, one).cmp(&(few, other)));
        is_cut |= all.len() > FAILED_MAX;
        all.truncate(FAILED_MAX);
        Ok(Self { calls, rows: all.iter().map(failed_as_json).collect(), is_cut })
    }
}

fn failed_as_json((why, (calls, last)): &(Why, (u64, Option<UnixMs>))) -> Value {
    let (agent, provider, model, error_type) = why;
    json!({
        "agent": agent,
        "provider": provider,
        "model": model,
        "error_type": error_type,
        "calls": calls,
        "last": last.map(|last| last.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(last: i64, message: &str) -> StoredError {
        StoredError {
            id: FactId::first_at(UnixMs(last)),
            time: UnixMs(last),
            error_type: "llm_error".to_owned(),
            message: message.to_owned(),
            severity: "error".to_owned(),
        }
    }

    #[test]
    fn errors_that_differ_in_numbers_are_one_text() {
        for (text, expected) in [
            ("after 3 tries, 14 ms", "after 0 tries, 0 ms"),
            ("id 5f0c-3a1b_x: no", "id 0: no"),
            ("no numbers", "no numbers"),
            ("1", "0"),
            ("שלום 7!", "שלום 0!"),
            ("", ""),
        ] {
            assert_eq!(without_numbers(text), expected);
        }
        let mut gathering = Gathering::default();
        for at in (0..100).rev() {
            gathering.take(&error(at, &format!("gave up after {at} ms")));
        }
        assert_eq!((gathering.known.len(), gathering.is_cut), (1, false));
        let group = gathering.groups.into_values().next().unwrap();
        assert_eq!((group.count, group.first, group.last), (100, UnixMs(0), UnixMs(99)));
        assert_eq!(group.text, "gave up after 99 ms");
    }

    #[test]
    fn only_so_many_texts_are_redacted() {
        let mut gathering = Gathering::default();
        let letters = |at: usize| format!("{at:b}").replace('0', "a").replace('1', "b");
        for at in 0..=TEXTS_MAX {
            gathering.take(&error(7, &letters(at)));
        }
        assert_eq!((gathering.known.len(), gathering.is_cut), (TEXTS_MAX, true));
    }

    #[test]
    fn long_messages_are_cut_between_words() {
        let long = format!("{} secret", "x".repeat(MESSAGE_BYTES_MAX - 3));
        assert_eq!(beginning(&long).len(), MESSAGE_BYTES_MAX - 3);
        assert_eq!(beginning(&"é".repeat(MESSAGE_BYTES_MAX)), "");
        assert_eq!(beginning("short"), "short");
    }

    #[test]
    fn a_place_is_behind_its_group_and_before_older_ones() {
        let edge = FactId::first_at(UnixMs(9));
        let place = Place { edge, last: UnixMs(5), fingerprint: "b".to_owned() };
        assert_eq!(Place::parse(&place.text()), Some(place.clone()));
        for (last, fingerprint, is_before) in
            [(5, "a", false), (5, "b", false), (5, "c", true), (4, "a", true), (6, "z", false)]
        {
            let fingerprint = fingerprint.to_owned();
            let group = Group { fingerprint, ..Group::of(&error(last, "x")) };
            assert_eq!(place.is_before(&group), is_before, "{group:?}");
        }
        for text in ["", ".", "..", "x.1.y", "019e9c31-86f0-7000-8000-000000000000.x.y"] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }

    #[test]
    fn stacks_are_told_by_their_frames() {
        let stack = "Error: password=hunter2\n    at open (/home/alice/app/src/db.js:12:9)";
        let shown = shown(stack).unwrap();
        assert!(shown.contains("open") && shown.contains("12"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("alice"), "{shown}");
        assert_eq!(super::shown("nothing that is a frame"), None);
    }
}
