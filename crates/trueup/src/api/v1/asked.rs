//! The parameters of a path: what each may be, and what was asked.
//!
//! ```text
//! ?from=2026-11-01&model=gpt-*&model=o3&top=5
//! ```

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use trueup_core::report::{Filter, Window};
use trueup_core::{Calendar, UnixMs};

use super::{Failed, Sight};
use crate::query;
use crate::query::over_time::Days;
use crate::question::refusal;

/// Longest value of a parameter.
const VALUE_BYTES_MAX: usize = 1_024;
/// Most values of a parameter that may be given several times.
const VALUES_MAX: usize = 50;

/// A parameter.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) kind: Kind,
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A day, as `2026-11-20`.
    Day,
    /// An IANA name.
    Zone,
    /// One of these.
    Word(&'static [&'static str]),
    /// A whole number from the first to the second; the third where it is not given.
    Count(u64, u64, u64),
    /// Any text, once.
    Text,
    /// A text that is a part of the path.
    Segment,
    /// Any texts.
    Texts,
}

const fn texts(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, about, kind: Kind::Texts }
}

/// When.
pub(super) const TIME: &[Parameter] = &[
    Parameter { name: "from", about: "the first day", kind: Kind::Day },
    Parameter { name: "to", about: "the last day, included", kind: Kind::Day },
    Parameter { name: "tz", about: "the time zone of days, an IANA name", kind: Kind::Zone },
];

/// What is taken in.
pub(super) const FILTERS: &[Parameter] = &[
    texts("agent", "only this agent, by its id; `*` stands for any text"),
    texts("provider", "only this provider; `*` stands for any text"),
    texts("model", "only this model; `*` stands for any text"),
    texts("project", "only this project: a path, its end, or a pattern with `*`"),
    texts("kind", "only this kind of session"),
    texts("tier", "only this tier of service: standard, batch, flex, priority, other"),
    DEVICE,
];

/// Whose account.
pub(super) const DEVICE: Parameter = Parameter {
    name: "device",
    about: "only this device, in the account of a hub",
    kind: Kind::Text,
};

impl Kind {
    /// Its JSON schema.
    pub(super) fn schema(self) -> Value {
        match self {
            Self::Day => json!({"type": "string", "format": "date"}),
            Self::Zone | Self::Text => json!({"type": "string", "maxLength": VALUE_BYTES_MAX}),
            Self::Segment => {
                json!({"type": "string", "minLength": 1, "maxLength": VALUE_BYTES_MAX})
            }
            Self::Word(words) => json!({"type": "string", "enum": words}),
            Self::Count(min, max, default) => {
                json!({"type": "integer", "minimum": min, "maximum": max, "default": default})
            }
            Self::Texts => json!({
                "type": "array",
                "items": {"type": "string", "maxLength": VALUE_BYTES_MAX},
                "maxItems": VALUES_MAX,
            }),
        }
    }

    /// What is wrong with a text; nothing where it is one.
    fn wrong(self, text: &str) -> Option<String> {
        match self {
            _ if text.len() > VALUE_BYTES_MAX => {
                Some(format!("it has more than {VALUE_BYTES_MAX} bytes"))
            }
            Self::Day => query::day(text).err(),
            Self::Zone => crate::config::zone_named(text).err().map(|error| error.to_string()),
            Self::Word(words) if !words.contains(&text) => {
                Some(format!("`{text}` is not one of {}", words.join(", ")))
            }
            Self::Count(min, max, _) => {
                let is_count = text.parse().is_ok_and(|count| (min..=max).contains(&count));
                (!is_count).then(|| format!("it must be a whole number from {min} to {max}"))
            }
            Self::Word(_) | Self::Text | Self::Segment | Self::Texts => None,
        }
    }
}

/// What was asked; every value is sound.
pub(super) struct Asked(BTreeMap<&'static str, Vec<String>>);

impl Asked {
    /// Checks parameters. A refusal names the one that is wrong.
    pub(super) fn of(
        known: &'static [&'static [Parameter]],
        pairs: Vec<(String, String)>,
    ) -> Result<Self, Failed> {
        let parameters = || known.iter().copied().flatten();
        let mut asked: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for (name, value) in pairs {
            let Some(parameter) = parameters().find(|parameter| parameter.name == name) else {
                let names: Vec<&str> = parameters().map(|parameter| parameter.name).collect();
                return Err(Failed::Refused(refusal(&name, &names)));
            };
            let refused = |what: &str| Failed::Refused(format!("`{name}`: {what}"));
            if let Some(wrong) = parameter.kind.wrong(&value) {
                return Err(refused(&wrong));
            }
            let values = asked.entry(parameter.name).or_default();
            let is_list = matches!(parameter.kind, Kind::Texts);
            if values.len() >= if is_list { VALUES_MAX } else { 1 } {
                return Err(refused("it is given too often"));
            }
            values.push(value);
        }
        Ok(Self(asked))
    }

    /// The value of a parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str)
    }

    /// The values of a parameter.
    pub(super) fn texts(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// A number, or what it is where it is not given.
    pub(super) fn count(&self, name: &str, default: usize) -> usize {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    pub(super) fn day(&self, name: &str) -> Option<Date> {
        query::day(self.text(name)?).ok()
    }

    /// The calendar of the zone that is asked for, or that of the settings.
    pub(super) fn calendar(&self, sight: &Sight<'_>) -> Calendar {
        self.calendar_in(sight.zone)
    }

    /// The same, or that of this zone.
    pub(super) fn calendar_in(&self, zone: &TimeZone) -> Calendar {
        let asked = self.text("tz").and_then(|name| crate::config::zone_named(name).ok());
        Calendar::new(asked.unwrap_or_else(|| zone.clone()))
    }

    /// The days that are asked for: from the first with usage, to today, where it does not say.
    pub(super) fn days(
        &self,
        calendar: &Calendar,
        first_usage: Option<UnixMs>,
        now: UnixMs,
    ) -> Result<Days, Failed> {
        let today = calendar.day(now);
        let to = self.day("to").unwrap_or(today);
        let first = first_usage.map_or(today, |first| calendar.day(first)).min(to);
        let from = self.day("from").unwrap_or(first);
        if to < from {
            return Err(Failed::Refused(format!("`to`: {to} lies before {from}, the first day")));
        }
        Ok(Days::of(calendar, from, to))
    }

    /// What passes in a time.
    pub(super) fn filter(&self, window: Window) -> Filter {
        let of = |name: &str| self.texts(name).to_vec();
        Filter {
            window,
            sources: of("agent"),
            projects: of("project"),
            models: of("model"),
            providers: of("provider"),
            kinds: of("kind"),
            tiers: of("tier"),
            device: self.text("device").map(str::to_owned),
        }
    }

    /// The device as an option of `trueup`; nothing where none is asked for.
    pub(super) fn device_option(&self) -> String {
        let device = self.text("device").map(str::to_owned);
        query::filter_options(&Filter { device, ..Filter::default() })
    }

    /// The filters as options of `trueup report`.
    pub(super) fn filter_options(&self) -> String {
        query::filter_options(&self.filter(Window::ALL))
    }
}
