//! Differences that somebody has looked at and accepted, for a time.
//!
//! ```json
//! {"class":"missing_local","provider":"openai","key":"key_ci","until":"2026-12-31","reason":"CI"}
//! ```

use jiff::civil::Date;
use serde::Deserialize;

use super::{Class, Finding};
use crate::report::matches;

/// A difference that is accepted. What is not stated holds for all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The class, by its word.
    #[serde(default)]
    pub class: Option<String>,
    /// The provider.
    #[serde(default)]
    pub provider: Option<String>,
    /// The first day.
    #[serde(default)]
    pub from: Option<Date>,
    /// The last day.
    #[serde(default)]
    pub to: Option<Date>,
    /// The model; `*` stands for any text, here and below.
    #[serde(default)]
    pub model: Option<String>,
    /// The project.
    #[serde(default)]
    pub project: Option<String>,
    /// The key.
    #[serde(default)]
    pub key: Option<String>,
    /// The last day on which it is accepted. Nothing is accepted for ever.
    pub until: Date,
    /// Why, and by whom.
    pub reason: String,
}

impl Accepted {
    /// Whether its class, where it names one, is one that there is.
    #[must_use]
    pub fn has_known_class(&self) -> bool {
        self.class.as_ref().is_none_or(|class| Class::of_name(class).is_some())
    }

    /// Whether it is no longer accepted on a day.
    #[must_use]
    pub fn has_expired(&self, today: Date) -> bool {
        today > self.until
    }

    /// Whether it means a finding.
    pub(super) fn means(&self, finding: &Finding) -> bool {
        let is_any = |pattern: &Option<String>, value: Option<&str>| {
            pattern
                .as_ref()
                .is_none_or(|pattern| value.is_some_and(|value| matches(pattern, value)))
        };
        let day = finding.cell.day.zoned(&jiff::tz::TimeZone::UTC).date();
        let labels = &finding.cell.labels;
        is_any(&self.class, Some(finding.class.name()))
            && is_any(&self.provider, Some(&finding.provider))
            && is_any(&self.model, labels.model.as_deref())
            && is_any(&self.project, labels.project.as_deref())
            && is_any(&self.key, labels.key.as_deref())
            && self.from.is_none_or(|from| from <= day)
            && self.to.is_none_or(|to| day <= to)
    }
}
