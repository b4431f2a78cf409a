//! Which usage a report is about.

use jiff::civil::Date;

use crate::{Calendar, Series, UnixMs};

/// A span of time: from `from` on, before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first instant in it.
    pub from: UnixMs,
    /// The first instant after it.
    pub until: UnixMs,
}

impl Window {
    /// All of time.
    pub const ALL: Self = Self { from: UnixMs(i64::MIN), until: UnixMs(i64::MAX) };

    /// From the start of a day to the end of another, in a calendar.
    #[must_use]
    pub fn of_days(calendar: &Calendar, since: Option<Date>, until: Option<Date>) -> Self {
        let after = until.and_then(|day| day.tomorrow().ok());
        Self {
            from: since.map_or(Self::ALL.from, |day| calendar.start_of_day(day)),
            until: after.map_or(Self::ALL.until, |day| calendar.start_of_day(day)),
        }
    }

    /// Whether an instant is in it.
    #[must_use]
    pub const fn contains(&self, time: UnixMs) -> bool {
        self.from.0 <= time.0 && (time.0 < self.until.0 || self.until.0 == i64::MAX)
    }

    /// Whether it is all of time.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::ALL
    }
}

/// What a report takes in. Of each list of patterns (see [`matches()`]) one must fit; an empty one
/// takes all.
#[derive(Debug, Clone)]
pub struct Filter {
    /// When.
    pub window: Window,
    /// Source ids.
    pub sources: Vec<String>,
    /// Projects.
    pub projects: Vec<String>,
    /// Models.
    pub models: Vec<String>,
    /// Providers.
    pub providers: Vec<String>,
    /// Kinds of session.
    pub kinds: Vec<String>,
    /// Tiers of service, by their names.
    pub tiers: Vec<String>,
    /// The one device of a fleet that is asked about: whoever hands sums in hands in only its own.
    pub device: Option<String>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            window: Window::ALL,
            sources: Vec::new(),
            projects: Vec::new(),
            models: Vec::new(),
            providers: Vec::new(),
            kinds: Vec::new(),
            tiers: Vec::new(),
            device: None,
        }
    }
}

impl Filter {
    /// Whether sums of a series are taken in.
    #[must_use]
    pub fn takes_series(&self, series: &Series) -> bool {
        let is_any = |patterns: &[String], text: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, text))
        };
        is_any(&self.sources, &series.source)
            && is_any(&self.projects, &series.project)
            && is_any(&self.models, &series.model)
            && is_any(&self.providers, &series.provider)
            && is_any(&self.kinds, &series.kind)
            && is_any(&self.tiers, series.class.tier.name())
    }
}

/// Whether a name is meant by a pattern: the name itself, the end of a path (`app` means
/// `/home/u/app`), or a pattern with `*` for any text.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    if !pattern.contains('*') {
        let is_end = name.strip_suffix(pattern).is_some_and(|rest| rest.ends_with('/'));
        return name == pattern || (is_end && !pattern.is_empty());
    }
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return false };
    for part in middle {
        match rest.find(part).and_then(|at| rest.get(at + part.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_mean_names_ends_of_paths_and_stars() {
        for (pattern, name, is_meant) in [
            ("app", "app", true),
            ("app", "/home/u/app", true),
            ("u/app", "/home/u/app", true),
            ("app", "/home/u/my-app", false),
            ("", "/home/u/", false),
            ("claude-*", "claude-opus-4-8", true),
            ("*opus*", "claude-opus-4-8", true),
            ("gpt-*", "claude-opus-4-8", false),
            ("a*b*c", "a-b-c", true),
            ("a*bc*c", "abc", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), is_meant, "{pattern} {name}");
        }
    }

    #[test]
    fn windows_hold_their_first_and_last_day() {
        let calendar = Calendar::new(jiff::tz::TimeZone::UTC);
        let day = |text: &str| Some(text.parse().unwrap());
        let window = Window::of_days(&calendar, day("2026-11-20"), day("2026-11-20"));
        assert!(window.contains(UnixMs::parse_rfc3339("2026-11-20T00:00:00Z").unwrap()));
        assert!(window.contains(UnixMs::parse_rfc3339("2026-11-20T23:59:59.999Z").unwrap()));
        assert!(!window.contains(UnixMs::parse_rfc3339("2026-11-21T00:00:00Z").unwrap()));
        assert!(Window::of_days(&calendar, None, None).is_all());
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[a*/é]{0,8}", name in "[a/é]{0,12}") {
            let _is_meant = matches(&pattern, &name);
        }
    }
}
