//! What is asked: a family, a range of whole buckets, and what rows are to be told apart by.

use trueup_core::{BilledWidth, DAY_MS, Issue, IssueCode, UnixMs};

use crate::Family;

/// Longest cursor that is sent back.
const CURSOR_BYTES_MAX: usize = 512;

/// From the beginning of one bucket to the end of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Where it begins.
    pub from: UnixMs,
    /// What it ends before.
    pub until: UnixMs,
}

impl Span {
    /// From the beginning of one day to that of another, both in UTC and written `2026-11-01`.
    #[must_use]
    pub fn days(from: &str, until: &str) -> Option<Self> {
        Some(Self { from: UnixMs::parse_date(from)?, until: UnixMs::parse_date(until)? })
    }

    /// Whether a time lies in it.
    #[must_use]
    pub const fn contains(self, time: UnixMs) -> bool {
        self.from.0 <= time.0 && time.0 < self.until.0
    }

    /// Where each of its buckets begins.
    pub fn buckets(self, width: BilledWidth) -> impl Iterator<Item = UnixMs> {
        let count = (self.until.0 - self.from.0).max(0) / width.ms();
        (0..count).map(move |at| UnixMs(self.from.0 + at * width.ms()))
    }

    /// The same in parts of so many days at most.
    pub fn parts(self, days_max: u32) -> impl Iterator<Item = Self> {
        let length = i64::from(days_max.max(1)) * DAY_MS;
        let count = (self.until.0 - self.from.0).max(0) + length - 1;
        (0..count / length).map(move |at| {
            let from = self.from.0 + at * length;
            Self { from: UnixMs(from), until: UnixMs((from + length).min(self.until.0)) }
        })
    }
}

/// Where the next page begins, in the provider's own words.
///
/// It is opaque, and only ever sent as the value of a query parameter: an address that somebody puts
/// in its place leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor as it came.
    ///
    /// # Errors
    /// What no cursor looks like: an address, a text with spaces, one of great length.
    pub fn new(text: &str) -> Result<Self, Issue> {
        let is_cursor = (1..=CURSOR_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-=+/.".contains(&byte));
        if is_cursor {
            return Ok(Self(text.to_owned()));
        }
        let what = if text.contains("://") { "an address" } else { "of characters that none has" };
        Err(Issue::new(IssueCode::CursorInvalid, format!("the cursor of the next page is {what}")))
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// One page that is wanted.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// Of what.
    pub family: &'a Family,
    /// When.
    pub span: Span,
    /// In buckets of this length.
    pub width: BilledWidth,
    /// What rows are told apart by: what the family has, without what the provider refused.
    pub group: Vec<&'static str>,
    /// Which page; `None` for the first.
    pub page: Option<Cursor>,
}

impl<'a> Ask<'a> {
    /// The first page, by day, with everything that rows can be told apart by.
    #[must_use]
    pub fn new(family: &'a Family, span: Span) -> Self {
        let group = family.dims.to_vec();
        Self { family, span, width: BilledWidth::Day, group, page: None }
    }

    /// The width of its buckets, as OpenAI and Anthropic write it.
    pub(crate) const fn width_word(&self) -> &'static str {
        match self.width {
            BilledWidth::Minute => "1m",
            BilledWidth::Hour => "1h",
            BilledWidth::Day => "1d",
        }
    }

    /// The most buckets that a page of OpenAI or Anthropic may have.
    pub(crate) const fn buckets_max(&self) -> u32 {
        match self.width {
            BilledWidth::Minute => 1_440,
            BilledWidth::Hour => 168,
            BilledWidth::Day => self.family.days_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_a_span_without_gap_or_overlap() {
        let span = Span::days("2026-10-01", "2026-11-06").unwrap();
        let parts: Vec<Span> = span.parts(31).collect();
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].from, parts[1].until), (span.from, span.until));
        assert_eq!(parts[0].until, parts[1].from);
        assert_eq!(span.buckets(BilledWidth::Day).count(), 36);
        assert_eq!(Span { from: span.until, until: span.from }.parts(31).count(), 0);
    }

    #[test]
    fn a_cursor_is_short_and_no_address() {
        assert!(Cursor::new("page_AAAAAGk-_=+/.").is_ok());
        for text in ["", "a b", "https://evil.example/v1?page=x", "x\n", "é", &"a".repeat(513)] {
            assert_eq!(Cursor::new(text).unwrap_err().code, IssueCode::CursorInvalid, "{text}");
        }
    }
}
