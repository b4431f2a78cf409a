//! What a manifest lets be told, as a person reads it: in Markdown, as a screen of text, as JSON.

use serde_json::{Value, json};

use super::told::length;
use super::{ErrorLevel, Grain, Manifest, Sink, Told};
use crate::consent::{Mode, Notice};
use crate::identity::IdKind;

/// Columns of the consent screen.
pub const SCREEN_COLUMNS: usize = 80;
/// Columns that a key takes on it.
const KEY_COLUMNS: usize = 28;
/// Columns before it, which tell it from text.
const KEY_INDENT: usize = 4;
/// The heading of keys that every event carries.
const EVERY: &str = "Every event";

/// The keys of one heading.
struct Part<'m> {
    name: Option<&'m str>,
    about: String,
    keys: Vec<Told<'m>>,
}

impl Manifest {
    /// Everything that may be told, event by event.
    fn parts(&self) -> Vec<Part<'_>> {
        let all = self.told();
        let keys = |name: Option<&str>| -> Vec<Told<'_>> {
            all.iter().filter(|told| told.event == name).cloned().collect()
        };
        let every = Part { name: None, about: self.envelope().to_owned(), keys: keys(None) };
        let events = self.told_events().map(|event| {
            let about = match event.about {
                "" => format!("{}.", upper(&event.when)),
                about => format!("{}. {}.", about.trim_end_matches('.'), upper(&event.when)),
            };
            Part { name: Some(event.name), about, keys: keys(Some(event.name)) }
        });
        std::iter::once(every).chain(events).collect()
    }

    /// What an event carries beside its keys.
    const fn envelope(&self) -> &'static str {
        match self.id {
            IdKind::None => {
                "Carries its name, a number of its own, its time in UTC, no id, and these keys."
            }
            IdKind::Daily => {
                "Carries its name, a number of its own, its time in UTC, a random id that is another \
                 each UTC day, and these keys."
            }
            IdKind::Install => {
                "Carries its name, a number of its own, its time in UTC, a random id that is made \
                 when something is first sent and can be reset, and these keys."
            }
        }
    }

    /// Where it goes, place by place, as a person reads it.
    #[must_use]
    pub fn places(&self) -> Vec<String> {
        self.sinks.iter().map(place).collect()
    }

    /// What holds for all of it, a sentence each.
    fn terms(&self) -> Vec<String> {
        let budget = &self.budget;
        let mut terms = Vec::new();
        if !self.about.is_empty() {
            terms.push(format!("{}.", self.about.trim_end_matches('.')));
        }
        terms.push("What is not listed here is dropped before it is kept.".to_owned());
        terms.push(match (self.default, self.notice) {
            (Mode::Off, _) => "Unless you turn it on, nothing is recorded or sent.".to_owned(),
            (Mode::Local, _) => {
                "Unless you turn it on, it stays on this machine and nothing is sent.".to_owned()
            }
            (Mode::On, Notice::Required) => {
                "It is sent once this was shown to you, unless you turn it off.".to_owned()
            }
            (Mode::On, Notice::None) => "It is sent unless you turn it off.".to_owned(),
        });
        terms.push(format!(
            "At most {} events and {} bytes are sent in a UTC day, whatever happens.",
            budget.hard_cap, budget.bytes_per_day
        ));
        terms.push(match self.errors.as_ref().map(|errors| errors.level) {
            None => "Errors are not told.".to_owned(),
            Some(ErrorLevel::Template) => {
                "Of an error's message only words of a dictionary are told.".to_owned()
            }
            Some(ErrorLevel::Redacted) => {
                "An error's message is told without what looks like a secret or a name.".to_owned()
            }
        });
        let sinks = self.places();
        terms.push(if sinks.is_empty() {
            "There is no place that it is sent to.".to_owned()
        } else {
            format!("It goes to {}.", sinks.join(", and to "))
        });
        terms
    }

    /// A document of it, in Markdown.
    #[must_use]
    pub fn schema_md(&self) -> String {
        let mut lines = vec![format!("# What {} may tell", self.product), String::new()];
        lines.push(self.terms().join(" "));
        for part in self.parts() {
            let title = part.name.map_or_else(|| EVERY.to_owned(), |name| format!("`{name}`"));
            lines.extend([String::new(), format!("## {title}"), String::new(), part.about]);
            if !part.keys.is_empty() {
                let head = ["", "| key | holds | means |", "|---|---|---|"];
                lines.extend(head.map(str::to_owned));
            }
            for told in part.keys {
                let Told { key, holds, about, .. } = told;
                lines.push(format!("| `{key}` | {} | {} |", cell(&holds), cell(about)));
            }
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// The screen that a person reads before they consent, in [`SCREEN_COLUMNS`].
    #[must_use]
    pub fn screen(&self) -> String {
        let mut lines = vec![format!("What {} may tell", self.product), String::new()];
        for term in self.terms() {
            lines.extend(wrapped(&term, 0));
        }
        for part in self.parts() {
            lines.push(String::new());
            lines.push(part.name.unwrap_or(EVERY).to_owned());
            lines.extend(wrapped(&part.about, 2));
            // Of keys that are made from one field, the first says what it means.
            let mut last = None;
            for told in part.keys {
                let is_again = told.from.is_some() && told.from == last;
                last = told.from;
                lines.extend(row(&told, if is_again { "" } else { told.about }));
            }
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// The same as JSON.
    #[must_use]
    pub fn schema_json(&self) -> Value {
        let key = |told: &Told<'_>| {
            json!({
                "key": told.key,
                "from": told.from.map(|id| self.name(id)),
                "holds": told.holds,
                "about": told.about,
            })
        };
        let events: Vec<Value> = self
            .parts()
            .iter()
            .map(|part| {
                let keys: Vec<Value> = part.keys.iter().map(key).collect();
                json!({"event": part.name, "about": part.about, "keys": keys})
            })
            .collect();
        json!({
            "schema": 1,
            "product": self.product,
            "default": self.default.word(),
            "id": self.id.word(),
            "budget": {
                "events_per_day": self.budget.events_per_day,
                "hard_cap": self.budget.hard_cap,
                "bytes_per_day": self.budget.bytes_per_day,
                "exceptions_per_day": self.budget.exceptions_per_day,
            },
            "sinks": self.places(),
            "windows": self.windows(),
            "events": events,
        })
    }

    /// The windows of rollups, by event.
    fn windows(&self) -> Value {
        let window = |grain| match grain {
            Grain::Session { .. } => "session".to_owned(),
            Grain::Window(ms) => length(ms),
            Grain::Event { .. } => "event".to_owned(),
        };
        self.rollups.iter().map(|it| (it.event.clone(), Value::from(window(it.grain)))).collect()
    }
}

/// Where something goes, without keys.
fn place(sink: &Sink) -> String {
    match sink {
        Sink::PostHog { host, geoip, .. } => {
            let geoip = if *geoip { ", which looks up where the address is" } else { "" };
            format!("PostHog at {host}{geoip}")
        }
        Sink::Otlp { endpoint, .. } => format!("{endpoint} as OTLP"),
        Sink::Webhook { endpoint, .. } => endpoint.clone(),
        Sink::File { path } => format!("the file {path}"),
        Sink::Stdout => "standard output".to_owned(),
    }
}

/// A text in a table of Markdown.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
}

/// A key and what it holds, in two columns.
fn row(told: &Told<'_>, about: &str) -> Vec<String> {
    let words = match about {
        "" => told.holds.clone(),
        about => format!("{}; {}", about.trim_end_matches('.'), told.holds),
    };
    let indent = KEY_INDENT + KEY_COLUMNS;
    let mut lines = wrapped(&words, indent);
    let head = format!("{:KEY_INDENT$}{:<KEY_COLUMNS$}", "", told.key);
    if told.key.len() >= KEY_COLUMNS {
        lines.insert(0, head.trim_end().to_owned());
    } else if let Some(first) = lines.first_mut() {
        *first = format!("{head}{}", first.trim_start());
    }
    lines
}

/// Words in lines of [`SCREEN_COLUMNS`], indented.
fn wrapped(text: &str, indent: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let columns = indent + line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && columns > SCREEN_COLUMNS {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.into_iter().map(|line| format!("{:indent$}{line}", "")).collect()
}

fn upper(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}
