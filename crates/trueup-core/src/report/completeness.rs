//! How complete the account is: what was measured, what only stands in for it, and what could not be
//! read, by time and source.
//!
//! A session counts in each row in which one of its runs was claimed, and once in the totals.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, Filter};
use crate::{Bucket, Calendar, Text, UnixMs, Witness};

/// One claimed run.
#[derive(Debug, Clone, Copy)]
pub struct ClaimSeen<'a> {
    /// The source id.
    pub source: &'a Text,
    /// The number of its session.
    pub session: i64,
    /// When it was claimed.
    pub time: UnixMs,
    /// Whether calls took its place.
    pub is_superseded: bool,
    /// Whether any call of its session was measured.
    pub is_session_measured: bool,
}

/// How complete the account of some time and source is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Completeness {
    /// Measured calls.
    pub calls: u64,
    /// Claimed runs that no call covers.
    pub runs_estimated: u64,
    /// Sessions with such a run.
    pub sessions_estimated: u64,
    /// Sessions with a claimed run that calls took the place of.
    pub sessions_superseded: u64,
    /// Sessions with a run that no call covers, and without any call.
    pub sessions_without_transcript: u64,
    /// Lines that could not be understood, by when they were first seen.
    pub bad_lines: u64,
}

/// A finished report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletenessReport {
    /// What the rows are about, beside their sources.
    pub bucket: Bucket,
    /// The time zone of its days.
    pub zone: String,
    /// By the label of their time, and their source.
    pub rows: Vec<((Text, Text), Completeness)>,
    /// Over all rows; each session once.
    pub totals: Completeness,
}

/// What one row is made of.
#[derive(Debug, Default)]
struct Row {
    calls: u64,
    runs_estimated: u64,
    bad_lines: u64,
    estimated: BTreeSet<i64>,
    superseded: BTreeSet<i64>,
    unmeasured: BTreeSet<i64>,
}

impl Row {
    fn claim(&mut self, claim: &ClaimSeen<'_>) {
        if claim.is_superseded {
            self.superseded.insert(claim.session);
            return;
        }
        self.estimated.insert(claim.session);
        if !claim.is_session_measured {
            self.unmeasured.insert(claim.session);
        }
    }

    fn plus(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.runs_estimated = self.runs_estimated.saturating_add(other.runs_estimated);
        self.bad_lines = self.bad_lines.saturating_add(other.bad_lines);
        self.estimated.extend(other.estimated);
        self.superseded.extend(other.superseded);
        self.unmeasured.extend(other.unmeasured);
    }

    fn finish(&self) -> Completeness {
        Completeness {
            calls: self.calls,
            runs_estimated: self.runs_estimated,
            sessions_estimated: self.estimated.len() as u64,
            sessions_superseded: self.superseded.len() as u64,
            sessions_without_transcript: self.unmeasured.len() as u64,
            bad_lines: self.bad_lines,
        }
    }
}

/// Folds what is known into a report.
#[derive(Debug)]
pub struct CompletenessBuilder<'a> {
    bucket: Bucket,
    calendar: Calendar,
    filter: &'a Filter,
    rows: BTreeMap<(Text, Text), Row>,
}

impl<'a> CompletenessBuilder<'a> {
    /// A report by `bucket`, of the time and the sources that pass `filter`.
    #[must_use]
    pub const fn new(bucket: Bucket, calendar: Calendar, filter: &'a Filter) -> Self {
        Self { bucket, calendar, filter, rows: BTreeMap::new() }
    }

    /// Adds a sum of usage.
    pub fn usage(&mut self, entry: &Entry<'_>) {
        let counters = entry.counters;
        if let Some(row) = self.row(entry.start, &entry.series.source) {
            match entry.series.witness {
                Witness::Measured => row.calls = row.calls.saturating_add(counters.calls),
                Witness::Claimed => {
                    row.runs_estimated = row.runs_estimated.saturating_add(counters.calls);
                }
            }
        }
    }

    /// Adds a claimed run, covered or not.
    pub fn claim(&mut self, claim: &ClaimSeen<'_>) {
        if let Some(row) = self.row(claim.time, claim.source) {
            row.claim(claim);
        }
    }

    /// Adds a line that could not be understood.
    pub fn bad_line(&mut self, seen_at: UnixMs, source: &Text) {
        if let Some(row) = self.row(seen_at, source) {
            row.bad_lines = row.bad_lines.saturating_add(1);
        }
    }

    fn row(&mut self, time: UnixMs, source: &Text) -> Option<&mut Row> {
        let sources = &self.filter.sources;
        let is_asked_for = sources.is_empty() || sources.iter().any(|asked| **asked == **source);
        if !is_asked_for || !self.filter.window.contains(time) {
            return None;
        }
        let label = Text::from(self.calendar.label(self.bucket, time));
        Some(self.rows.entry((label, Text::clone(source))).or_default())
    }

    /// The report, by time.
    #[must_use]
    pub fn finish(self) -> CompletenessReport {
        let rows = self.rows.iter().map(|(keys, row)| (keys.clone(), row.finish())).collect();
        let mut totals = Row::default();
        for row in self.rows.into_values() {
            totals.plus(row);
        }
        let zone = self.calendar.zone_name();
        CompletenessReport { bucket: self.bucket, zone, rows, totals: totals.finish() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::report::Window;
    use crate::{Counters, Series};

    fn time(text: &str) -> UnixMs {
        UnixMs::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_session_counts_once_in_each_row_and_in_the_totals() {
        let calendar = Calendar::new(jiff::tz::TimeZone::UTC);
        let filter = Filter::default();
        let mut report = CompletenessBuilder::new(Bucket::Day, calendar, &filter);
        let source = Text::from("openclaw");
        let claim = |text, session, is_superseded| ClaimSeen {
            source: &source,
            session,
            time: time(text),
            is_superseded,
            is_session_measured: session == 2,
        };
        report.claim(&claim("2026-11-19T10:00:00Z", 1, false));
        report.claim(&claim("2026-11-20T10:00:00Z", 1, false));
        report.claim(&claim("2026-11-20T11:00:00Z", 1, false));
        report.claim(&claim("2026-11-20T12:00:00Z", 2, false));
        report.claim(&claim("2026-11-20T13:00:00Z", 2, true));
        report.bad_line(time("2026-11-20T23:59:59Z"), &source);
        let report = report.finish();
        let counts = |row: &Completeness| {
            [row.sessions_estimated, row.sessions_superseded, row.sessions_without_transcript]
        };
        let rows: Vec<_> = report.rows.iter().map(|(_, row)| counts(row)).collect();
        assert_eq!(rows, [[1, 0, 1], [2, 1, 1]]);
        assert_eq!(counts(&report.totals), [2, 1, 1]);
        assert_eq!(report.totals.bad_lines, 1);
    }

    #[test]
    fn only_what_is_asked_for_is_in_it() {
        let calendar = Calendar::new(jiff::tz::TimeZone::UTC);
        let day = "2026-11-20".parse().ok();
        let filter = Filter {
            window: Window::of_days(&calendar, day, day),
            sources: vec!["codex".into()],
            ..Filter::default()
        };
        let mut report = CompletenessBuilder::new(Bucket::Month, calendar, &filter);
        for (source, start) in [
            ("codex", "2026-11-20T00:00:00Z"),
            ("codex", "2026-11-21T00:00:00Z"),
            ("openclaw", "2026-11-20T00:00:00Z"),
        ] {
            let series = Arc::new(Series { source: source.into(), ..Series::default() });
            let counters = Counters { calls: 7, ..Counters::default() };
            let start = time(start);
            let times = (start, start);
            report.usage(&Entry {
                start,
                times,
                series: &series,
                session: "",
                counters: &counters,
            });
        }
        let report = report.finish();
        assert_eq!((report.rows.len(), report.totals.calls), (1, 7));
    }
}
