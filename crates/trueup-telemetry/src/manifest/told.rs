//! The one walk over a manifest: every key of every event, what it holds, and what it is made from.
//!
//! Documentation, consent screen, JSON and the list of accepted keys are made of this, and of nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::events::WINDOW_START;
use super::{Charset, ErrorLevel, FieldId, FieldType, Grain, Manifest, Precision, Rollup, Used};
use crate::rollup::{MERGED, RECOVERED};

/// One key that may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<'m> {
    /// The event that carries it; `None` for every event.
    pub event: Option<&'m str>,
    /// The key.
    pub key: String,
    /// The field of a record that it is made from; `None` where no record says it.
    pub from: Option<FieldId>,
    /// What it holds.
    pub holds: String,
    /// What it means.
    pub about: &'m str,
}

/// One event that may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldEvent<'m> {
    /// Its name.
    pub name: &'m str,
    /// When there is one.
    pub when: String,
    /// What it means.
    pub about: &'m str,
    /// Its line in the manifest.
    pub line: usize,
}

/// Why a rollup was sent.
pub(super) const REASONS: &str =
    "session_end, worker_shutdown, safety_flush, window, recovered, budget_merge, daily";
/// The keys of a rollup that carries errors.
pub(super) const ERRORS: &str = "errors";
pub(super) const ERRORS_COUNT: &str = "errors_count";
pub(super) const ERRORS_OTHER_COUNT: &str = "errors_other_count";
/// The event that an error is, where the manifest asks for such.
pub(super) const EXCEPTION: &str = "$exception";

impl Told<'_> {
    /// Whether an event carries it.
    #[must_use]
    pub fn is_of(&self, event: &str) -> bool {
        self.event.is_none_or(|of| of == event)
    }
}

impl Manifest {
    /// Every key of every event: first those that all carry, then event by event.
    #[must_use]
    pub fn told(&self) -> Vec<Told<'_>> {
        let mut all: Vec<Told<'_>> = self.base.iter().map(|id| self.plain(None, *id)).collect();
        for rollup in &self.rollups {
            self.rollup(rollup, &mut all);
        }
        for lifecycle in &self.lifecycles {
            let event = Some(lifecycle.event.as_str());
            all.extend(lifecycle.fields.iter().map(|id| self.plain(event, *id)));
            if lifecycle.is_person {
                let holds = "what every event carries, kept in a profile of the id".to_owned();
                all.push(made(event, "$set", holds));
            }
        }
        if let Some(backfill) = &self.backfill {
            let event = Some(backfill.event.as_str());
            all.extend(backfill.fields.iter().map(|id| self.plain(event, *id)));
            all.push(made(event, "backfilled", "true".to_owned()));
        }
        if let Some(level) = self.exceptions() {
            let event = Some(EXCEPTION);
            let list = format!("type, {}, and functions with file and line", text_of(level));
            all.push(made(event, "$exception_list", list));
            all.push(made(event, "$exception_fingerprint", FINGERPRINT.to_owned()));
            all.push(made(event, "$exception_level", "one of error, fatal".to_owned()));
        }
        all
    }

    /// Every event.
    pub fn told_events(&self) -> impl Iterator<Item = ToldEvent<'_>> {
        let rollups = self.rollups.iter().map(|it| ToldEvent {
            name: &it.event,
            when: when(it.grain),
            about: &it.about,
            line: it.line,
        });
        let lifecycles = self.lifecycles.iter().map(|it| ToldEvent {
            name: &it.event,
            when: format!("at most {} a day", it.per_day_max),
            about: &it.about,
            line: it.line,
        });
        let backfill = self.backfill.iter().map(|it| ToldEvent {
            name: &it.event,
            when: backfill_when(it.is_explicit).to_owned(),
            about: &it.about,
            line: it.line,
        });
        let exceptions = self.exceptions().map(|_| ToldEvent {
            name: EXCEPTION,
            when: format!("at most {} a day, of errors", self.budget.exceptions_per_day),
            about: "",
            line: 1,
        });
        rollups.chain(lifecycles).chain(backfill).chain(exceptions)
    }

    /// The keys that an event may be sent with; empty for an event that there is not.
    #[must_use]
    pub fn sent_keys(&self, event: &str) -> BTreeSet<String> {
        if !self.told_events().any(|it| it.name == event) {
            return BTreeSet::new();
        }
        self.told().into_iter().filter(|told| told.is_of(event)).map(|told| told.key).collect()
    }

    /// Of each event the fields that its records may have.
    pub(super) fn accepted_by_event(&self) -> BTreeMap<String, Vec<FieldId>> {
        let mut all: BTreeMap<String, Vec<FieldId>> =
            self.told_events().map(|event| (event.name.to_owned(), Vec::new())).collect();
        for told in self.told() {
            let (Some(event), Some(field)) = (told.event, told.from) else { continue };
            all.entry(event.to_owned()).or_default().push(field);
        }
        for fields in all.values_mut() {
            fields.sort_unstable();
            fields.dedup();
        }
        all
    }

    /// How much of an error's text stays, where errors are events of their own.
    fn exceptions(&self) -> Option<ErrorLevel> {
        let errors = self.errors.as_ref()?;
        (self.budget.exceptions_per_day > 0).then_some(errors.level)
    }

    fn plain<'m>(&'m self, event: Option<&'m str>, id: FieldId) -> Told<'m> {
        let field = self.field(id);
        Told {
            event,
            key: self.name(id).to_owned(),
            from: Some(id),
            holds: field.map(|field| holds(&field.holds)).unwrap_or_default(),
            about: field.map_or("", |field| &field.about),
        }
    }

    fn rollup<'m>(&'m self, rollup: &'m Rollup, all: &mut Vec<Told<'m>>) {
        let event = Some(rollup.event.as_str());
        if let Grain::Event { .. } = rollup.grain {
            all.extend(rollup.fields.iter().map(|id| self.plain(event, *id)));
            return;
        }
        all.push(made(event, "count", "how many were added up".to_owned()));
        let start = format!("when it began: {}", holds(&FieldType::Time(rollup.start)));
        all.push(made(event, WINDOW_START, start));
        all.push(made(event, "window_seq", "which part of a long session it is".to_owned()));
        all.push(made(event, "rollup_reason", format!("one of {REASONS}")));
        let merged = "of how many it was merged, where there was no room for each".to_owned();
        all.push(made(event, MERGED, merged));
        let recovered = "how many of them were of a process that was killed".to_owned();
        all.push(made(event, RECOVERED, recovered));
        for used in &rollup.sums {
            let name = self.name(used.field);
            all.push(self.used(event, used, used.key.clone(), format!("sum of `{name}`")));
        }
        for used in &rollup.hists {
            let name = self.name(used.field);
            for (what, words) in HIST {
                let key = format!("{what}_{}", used.key);
                all.push(self.used(event, used, key, format!("{words} of `{name}`")));
            }
        }
        for used in &rollup.enums {
            for word in self.words(used.field) {
                let words = format!("how many had `{}` = {word}", self.name(used.field));
                all.push(self.used(event, used, format!("{}_{word}", used.key), words));
            }
        }
        for used in &rollup.tops {
            let field = self.field(used.field);
            let of = field.map(|field| holds(&field.holds)).unwrap_or_default();
            let words = format!("the most frequent `{}`: {of}", self.name(used.field));
            all.push(self.used(event, used, used.key.clone(), words));
        }
        if let Some(errors) = self.errors.as_ref().filter(|it| it.rollup == rollup.event) {
            let each = text_of(errors.level);
            let holds = format!(
                "the {} most frequent errors: type, {each}, fingerprint, how often",
                errors.top
            );
            all.push(made(event, ERRORS, holds));
            all.push(made(event, ERRORS_COUNT, "how many errors there were".to_owned()));
            let other = "how many of them are not among those".to_owned();
            all.push(made(event, ERRORS_OTHER_COUNT, other));
        }
    }

    fn used<'m>(
        &'m self,
        event: Option<&'m str>,
        used: &Used,
        key: String,
        holds: String,
    ) -> Told<'m> {
        let about = self.field(used.field).map_or("", |field| &field.about);
        Told { event, key, from: Some(used.field), holds, about }
    }

    /// The values that a field is counted by.
    pub(super) fn words(&self, id: FieldId) -> Vec<&str> {
        match self.field(id).map(|field| &field.holds) {
            Some(FieldType::Enum(words)) => words.iter().map(|word| &**word).collect(),
            _ => vec!["true", "false"],
        }
    }
}

/// What a histogram is told as.
const HIST: [(&str, &str); 4] =
    [("avg", "mean"), ("p50", "median"), ("p95", "95th percentile"), ("max", "largest")];

const FINGERPRINT: &str = "what errors of one kind have in common";

fn made<'m>(event: Option<&'m str>, key: &str, holds: String) -> Told<'m> {
    Told { event, key: key.to_owned(), from: None, holds, about: "" }
}

const fn text_of(level: ErrorLevel) -> &'static str {
    match level {
        ErrorLevel::Template => "message with only words of a dictionary left in it",
        ErrorLevel::Redacted => "message without what looks like a secret or a name",
    }
}

const fn backfill_when(is_explicit: bool) -> &'static str {
    if is_explicit {
        "once for each day of the past, when you ask for it"
    } else {
        "once for each day of the past"
    }
}

fn when(grain: Grain) -> String {
    match grain {
        Grain::Session { age_ms_max, records_max } => format!(
            "one for each session, and after {} or {records_max} records of it",
            length(age_ms_max)
        ),
        Grain::Window(ms) => {
            let length = length(ms);
            let each = length.strip_prefix("1 ").unwrap_or(&length);
            format!("one for each {each} in which something was recorded")
        }
        Grain::Event { per_day_max } => {
            format!("one each time it happens, at most {per_day_max} a day")
        }
    }
}

/// A length of time in words.
pub(super) fn length(ms: i64) -> String {
    const UNITS: [(i64, &str); 4] =
        [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second")];
    let unit = UNITS.into_iter().find(|(unit_ms, _)| ms % unit_ms == 0);
    let (unit_ms, unit) = unit.unwrap_or((1, "millisecond"));
    let count = ms / unit_ms;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn holds(holds: &FieldType) -> String {
    match holds {
        FieldType::Bool => "true or false".to_owned(),
        FieldType::U64 => "a whole number".to_owned(),
        FieldType::I64 => "a whole number, perhaps negative".to_owned(),
        FieldType::F64 => "a number".to_owned(),
        FieldType::Usd => "dollars".to_owned(),
        FieldType::Semver => "a version such as 1.2.3".to_owned(),
        FieldType::Day => "a day such as 2026-11-20".to_owned(),
        FieldType::Time(Precision::Day) => "a UTC day, as a time".to_owned(),
        FieldType::Time(Precision::Hour) => "a time, to the hour".to_owned(),
        FieldType::Time(Precision::Minute) => "a time, to the minute".to_owned(),
        FieldType::Time(Precision::Millisecond) => "a time".to_owned(),
        FieldType::Enum(words) => format!("one of {}", words.join(", ")),
        FieldType::Token { chars_max, charset } => {
            let of = match charset {
                Charset::Word => "a-z 0-9 _ -",
                Charset::Name => "A-Z a-z 0-9 . _ -",
                Charset::Model => "A-Z a-z 0-9 . _ - : /",
            };
            format!("one word of at most {chars_max} characters of {of}")
        }
    }
}
