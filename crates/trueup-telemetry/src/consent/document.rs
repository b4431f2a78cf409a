//! What stands in a `telemetry.json`: the decision, the notice, ids, and whatever else is there.
//!
//! It may be of another program's hand, so what is not known is kept, in its place and digit by digit.
//! What is not understood is doubtful, and doubt is off.

use jiff::civil::Date;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use trueup_core::UnixMs;

use super::Mode;

pub(super) const MODE: &str = "mode";
pub(super) const ENABLED: &str = "enabled";
pub(super) const DECIDED_AT: &str = "decidedAt";
pub(super) const NOTICE_SHOWN_AT: &str = "noticeShownAt";
pub(crate) const INSTALL_ID: &str = "installId";
pub(crate) const DAILY_SECRET: &str = "dailySecret";
/// What a program of ours may write.
const KNOWN: [&str; 6] = [MODE, ENABLED, DECIDED_AT, NOTICE_SHOWN_AT, INSTALL_ID, DAILY_SECRET];

/// Something in a file that was read, but is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// `mode` is none of the three.
    #[error("`mode` is not \"off\", \"local\" or \"on\": telemetry is off")]
    Mode,
    /// `enabled` is neither true nor false.
    #[error("`enabled` is not true or false: telemetry is off")]
    Enabled,
    /// `mode` and `enabled` contradict each other.
    #[error("`mode` and `enabled` contradict each other: the lower of the two counts")]
    Contradiction,
    /// A key that differs from one of ours in the size of its letters only.
    #[error("a key differs from `{0}` only in the size of letters: telemetry is off")]
    Spelling(&'static str),
    /// Keys, but none that is known.
    #[error("it has no key that is known, so that it may be meant as a refusal: telemetry is off")]
    Nothing,
    /// A date that is none.
    #[error("`{0}` is not a time such as 2026-11-20T08:00:00Z")]
    Time(&'static str),
}

/// What a file decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The mode.
    pub mode: Mode,
    /// When it was decided: as the file says, else when the file was last changed.
    pub as_of: Option<UnixMs>,
}

/// The members of a file, in their order, as they are written.
#[derive(Debug, Clone, Default)]
pub struct Document {
    members: Vec<(String, Box<RawValue>)>,
    /// When its file was last changed.
    modified: Option<UnixMs>,
}

impl Document {
    /// Reads the bytes of a file, with or without a byte order mark; the line of what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, usize> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        serde_json::from_slice(bytes).map_err(|error| error.line().max(1))
    }

    /// The same, of a file that was last changed then.
    pub(super) const fn modified(mut self, modified: Option<UnixMs>) -> Self {
        self.modified = modified;
        self
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value> {
        let (_, raw) = self.members.iter().find(|(name, _)| name == key)?;
        // A number that is too large for JSON's readers is something, too.
        Some(serde_json::from_str(raw.get()).unwrap_or(Value::Null))
    }

    /// What is decided, if anything is, and what is doubtful.
    #[must_use]
    pub fn decision(&self) -> (Option<Decision>, Vec<Doubt>) {
        let mut doubts = Vec::new();
        let mode = self.stated(&mut doubts);
        let mode = match self.doubt_of_all() {
            Some(doubt) => {
                doubts.push(doubt);
                Some(Mode::Off)
            }
            None => mode,
        };
        let decision = mode.map(|mode| {
            let (as_of, doubt) = self.time(DECIDED_AT);
            doubts.extend(doubt);
            Decision { mode, as_of: as_of.or(self.modified) }
        });
        (decision, doubts)
    }

    /// What `mode` and `enabled` say together.
    fn stated(&self, doubts: &mut Vec<Doubt>) -> Option<Mode> {
        let mode = self.get(MODE).map(|value| {
            value.as_str().and_then(Mode::of_word).unwrap_or_else(|| {
                doubts.push(Doubt::Mode);
                Mode::Off
            })
        });
        let is_on = self.get(ENABLED).map(|value| {
            value.as_bool().unwrap_or_else(|| {
                doubts.push(Doubt::Enabled);
                false
            })
        });
        match (mode, is_on) {
            (None, None) => None,
            (None, Some(is_on)) => Some(if is_on { Mode::On } else { Mode::Off }),
            (Some(mode), None) => Some(mode),
            // `enabled` is what a program knows that has no third mode: false beside `local` is right.
            (Some(Mode::On), Some(false)) => {
                doubts.push(Doubt::Contradiction);
                Some(Mode::Off)
            }
            (Some(mode @ (Mode::Off | Mode::Local)), Some(true)) => {
                doubts.push(Doubt::Contradiction);
                Some(mode)
            }
            (Some(mode), Some(_)) => Some(mode),
        }
    }

    /// Why nothing in it can be trusted: somebody wrote something that we do not understand.
    fn doubt_of_all(&self) -> Option<Doubt> {
        let has = |is_it: &dyn Fn(&str) -> bool| self.members.iter().any(|(key, _)| is_it(key));
        let misspelt = [MODE, ENABLED]
            .into_iter()
            .find(|known| has(&|key| key != *known && key.eq_ignore_ascii_case(known)));
        let is_strange = !self.members.is_empty() && !has(&|key| KNOWN.contains(&key));
        misspelt.map(Doubt::Spelling).or(is_strange.then_some(Doubt::Nothing))
    }

    /// When the notice was shown.
    #[must_use]
    pub fn notice_shown(&self) -> (Option<UnixMs>, Option<Doubt>) {
        self.time(NOTICE_SHOWN_AT)
    }

    /// A time; an empty one is none, as claude-mem writes it.
    fn time(&self, key: &'static str) -> (Option<UnixMs>, Option<Doubt>) {
        let value = match self.get(key) {
            None => return (None, None),
            Some(Value::String(text)) if text.is_empty() => return (None, None),
            Some(value) => value,
        };
        match value.as_str().and_then(time_of) {
            Some(time) => (Some(time), None),
            None => (None, Some(Doubt::Time(key))),
        }
    }

    /// Writes down since when the decision holds, where only the time of the file says so: whoever is
    /// about to write something else would make the decision a new one.
    pub(crate) fn keep_date(&mut self) {
        let (decision, _) = self.decision();
        let as_of = decision.and_then(|decision| decision.as_of);
        let is_dated = self.get(DECIDED_AT).is_some_and(|date| date != "");
        if let Some(as_of) = as_of.filter(|_| !is_dated) {
            self.set(DECIDED_AT, &Value::from(as_of.to_string()));
        }
    }

    /// Sets a key, in its place where it is there.
    pub(crate) fn set(&mut self, key: &str, value: &Value) {
        // Texts and truths always have a JSON form.
        let Ok(raw) = to_raw_value(value) else { return };
        match self.members.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = raw,
            None => self.members.push((key.to_owned(), raw)),
        }
    }

    /// The bytes of a file, a member a line.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let lines: Vec<String> = self
            .members
            .iter()
            .map(|(key, raw)| format!("  {}: {}", Value::from(key.as_str()), raw.get()))
            .collect();
        format!("{{\n{}\n}}\n", lines.join(",\n")).into_bytes()
    }
}

/// A time as `2026-11-20T08:00:00.000Z`, or with an offset such as `+01:00`. The general reader of times is
/// a quarter of a megabyte in an embedder, and takes forms that nobody writes here.
fn time_of(text: &str) -> Option<UnixMs> {
    let (date, time) = text.split_once('T')?;
    let zone = time.find(['Z', '+', '-'])?;
    let (time, zone) = time.split_at_checked(zone)?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let offset_minutes = match zone.split_at_checked(1)? {
        ("Z", "") => 0,
        (sign, offset) => {
            let [hours, minutes] = numbers(offset, ':', [2, 2])?;
            let minutes = (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)?;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    let date = Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?);
    let days = date.ok()?.duration_since(EPOCH).as_hours() / 24;
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|c| c.is_ascii_digit());
    let is_clock = hour < 24 && minute < 60 && second < 60;
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let minutes = (days * 24 + hour) * 60 + minute - offset_minutes;
    (is_fraction && is_clock).then_some(UnixMs((minutes * 60 + second) * 1_000 + ms))
}

const EPOCH: Date = Date::constant(1970, 1, 1);

/// Numbers of so many digits each.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        let is_plain = part.len() == digits && part.bytes().all(|c| c.is_ascii_digit());
        *number = is_plain.then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

/// Reads members in their order, and refuses a key that stands there twice: which of the two is meant?
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Document;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut members: Vec<(String, Box<RawValue>)> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom("a key twice"));
            }
            members.push((key, value));
        }
        Ok(Document { members, modified: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_as_people_and_programs_write_them() {
        for text in [
            "2026-11-20T08:00:00Z",
            "2026-06-19T08:00:00.000Z",
            "2024-02-29T23:59:59.999999Z",
            "2026-01-31T00:30:00.5+01:00",
            "2026-01-31T00:30:00-09:30",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(time_of(text), UnixMs::parse_rfc3339(text), "{text}");
            assert!(time_of(text).is_some(), "{text}");
        }
        for text in [
            "",
            "2026-11-20",
            "2026-11-20T08:00:00",
            "2026-11-20 08:00:00Z",
            "2026-02-29T08:00:00Z",
            "2026-13-01T08:00:00Z",
            "2026-11-20T24:00:00Z",
            "2026-11-20T08:60:00Z",
            "2026-11-20T08:00:00.Z",
            "2026-11-20T08:00:00.xZ",
            "2026-11-20T08:00:00ZZ",
            "2026-11-20T08:00:00+1:00",
            "2026-11-20T08:00:00+24:00",
            "+026-11-20T08:00:00Z",
            "2026-11-20T08:00:00.000é",
        ] {
            assert_eq!(time_of(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_that_is_written_is_read(ms in -62_000_000_000_000_i64..253_000_000_000_000) {
            prop_assert_eq!(time_of(&UnixMs(ms).to_string()), Some(UnixMs(ms)));
        }

        #[test]
        fn no_text_panics(text in "[-+:.TZ0-9é]{0,40}") {
            let _is_read = time_of(&text);
        }
    }
}
