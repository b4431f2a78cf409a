//! Instants, and the calendar buckets that they fall into.
//!
//! Inside, every time is a [`UnixMs`]. A time zone appears only where a report asks for calendar
//! days: a [`Calendar`] says which bucket an instant falls into there. It does not know what time it
//! is now.

use std::fmt;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMs(pub i64);

/// Milliseconds of the finest bucket that is kept: a quarter of an hour, because no zone in use
/// today is offset from UTC by anything finer (Nepal is at +05:45).
pub const QUARTER_MS: i64 = 15 * 60 * 1_000;
/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 60 * 60 * 1_000;
/// Milliseconds of a UTC day.
pub const DAY_MS: i64 = 24 * HOUR_MS;

impl UnixMs {
    /// Reads an RFC 3339 time, with any offset.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        fast_utc(text.as_bytes()).or_else(|| {
            let timestamp: Timestamp = text.parse().ok()?;
            Some(Self(timestamp.as_millisecond()))
        })
    }

    /// Reads a time as most programs write it, in UTC and with milliseconds or none:
    /// `2026-11-20T22:08:29.482Z`. `None` for any other, which [`Self::parse_rfc3339`] may know.
    #[must_use]
    pub fn parse_utc(text: &[u8]) -> Option<Self> {
        fast_utc(text)
    }

    /// Reads a day, as `2026-11-20`: where it begins in UTC.
    #[must_use]
    pub fn parse_date(text: &str) -> Option<Self> {
        Self::parse_rfc3339(&format!("{text}T00:00:00Z"))
    }

    /// The day that it falls into in UTC, as `2026-11-20`.
    #[must_use]
    pub fn utc_date(self) -> String {
        self.zoned(&TimeZone::UTC).date().to_string()
    }

    /// The month that it falls into in UTC, as `2026-11`.
    #[must_use]
    pub fn utc_month(self) -> String {
        self.zoned(&TimeZone::UTC).strftime("%Y-%m").to_string()
    }

    /// Reads an epoch number in seconds (below 10^10), milliseconds (below 10^13), microseconds or
    /// nanoseconds, as sources write them without saying which.
    #[must_use]
    pub const fn from_epoch_number(number: i64) -> Self {
        match number.unsigned_abs() {
            0..10_000_000_000 => Self(number.saturating_mul(1_000)),
            10_000_000_000..10_000_000_000_000 => Self(number),
            10_000_000_000_000..10_000_000_000_000_000 => Self(number / 1_000),
            _ => Self(number / 1_000_000),
        }
    }

    /// The start of the bucket of `width_ms` that this instant falls into, counted from the epoch.
    #[must_use]
    pub const fn floor(self, width_ms: i64) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(width_ms)))
    }

    /// The UTC days from the one that this instant lies in, as long as they begin before `until`.
    pub fn days_until(self, until: Self) -> impl Iterator<Item = Self> {
        let next = |day: &Self| day.0.checked_add(DAY_MS).map(Self);
        std::iter::successors(Some(self.floor(DAY_MS)), next).take_while(move |day| *day < until)
    }

    /// The start of this instant's month in UTC.
    #[must_use]
    pub fn floor_month_utc(self) -> Self {
        let date = self.zoned(&TimeZone::UTC).date().first_of_month();
        date.to_zoned(TimeZone::UTC).map_or(self, |start| ms(&start))
    }

    /// The start of the next month in UTC: where this instant's month ends.
    #[must_use]
    pub fn next_month_utc(self) -> Self {
        let first = self.zoned(&TimeZone::UTC).date().first_of_month();
        let next = first.checked_add(1.month()).and_then(|date| date.to_zoned(TimeZone::UTC));
        // The last month of the calendar does not end.
        next.map_or(Self(i64::MAX), |start| ms(&start))
    }

    /// The same instant as a calendar time in `zone`.
    #[must_use]
    pub fn zoned(self, zone: &TimeZone) -> Zoned {
        let limit = if self.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::from_millisecond(self.0).unwrap_or(limit).to_zoned(zone.clone())
    }
}

/// The common form `2026-11-20T22:08:30.117Z`, read without a general parser: session files hold one
/// on each line.
fn fast_utc(text: &[u8]) -> Option<UnixMs> {
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        i1,
        i2,
        b':',
        s1,
        s2,
        rest @ ..,
    ] = text
    else {
        return None;
    };
    let millis = match rest {
        [b'Z'] => 0,
        [b'.', a, b, c, b'Z'] => number([*a, *b, *c])?,
        _ => return None,
    };
    let (year, month, day) =
        (number([*y1, *y2, *y3, *y4])?, number([*m1, *m2])?, number([*d1, *d2])?);
    let (hour, minute, second) = (number([*h1, *h2])?, number([*i1, *i2])?, number([*s1, *s2])?);
    let is_plausible = year >= 1970
        && (1..=12).contains(&month)
        && (1..=28 + i64::from(month != 2) * 2).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    // Days of the civil calendar, as in Howard Hinnant's "chrono-Compatible Low-Level Date
    // Algorithms"; the last days of long months and of leap years go the general way.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, month) = (shifted / 400, (month + 9) % 12);
    let year_of_era = shifted - era * 400;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100
        + day_of_year
        - 719_468;
    is_plausible
        .then(|| UnixMs(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + millis))
}

#[inline]
fn number<const DIGITS: usize>(digits: [u8; DIGITS]) -> Option<i64> {
    let mut number = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
    }
    Some(number)
}

/// RFC 3339 in UTC with milliseconds.
impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Years before 0 have six digits, as in ISO 8601: written with fewer they could not be read.
        write!(f, "{:.3}", self.zoned(&TimeZone::UTC).timestamp())
    }
}

/// How wide the buckets of a report are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// Half an hour, from the full hour or the middle of it.
    HalfHour,
    /// One hour.
    Hour,
    /// One calendar day.
    Day,
    /// Seven days, from Monday.
    Week,
    /// One calendar month.
    Month,
}

/// The days, weeks and months of one time zone.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: TimeZone,
    /// Reports walk through time in order: the span found last is nearly always right again.
    last: Option<Span>,
}

/// One bucket on the time line and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    bucket: Bucket,
    start: UnixMs,
    end: UnixMs,
    label: String,
}

impl Calendar {
    /// The calendar of `zone`.
    #[must_use]
    pub const fn new(zone: TimeZone) -> Self {
        Self { zone, last: None }
    }

    /// The zone's name, as reports print it: an IANA name, or the offset where there is none.
    #[must_use]
    pub fn zone_name(&self) -> String {
        zone_name(&self.zone)
    }

    /// The zone itself.
    #[must_use]
    pub const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The label of the bucket that `time` falls into: `2026-11-20`, `2026-11` for months,
    /// `2026-11-16` (the Monday) for weeks, `2026-11-20 13:00` for hours, `2026-11-20 13:30` for half hours.
    pub fn label(&mut self, bucket: Bucket, time: UnixMs) -> &str {
        let is_same = self.last.as_ref().is_some_and(|span| {
            span.bucket == bucket && (span.start.0..span.end.0).contains(&time.0)
        });
        if !is_same {
            self.last = Some(span_of(bucket, time, &self.zone));
        }
        self.last.as_ref().map_or("", |span| &span.label)
    }

    /// Where the bucket that `time` falls into ends; a little after `time` in an hour in which clocks change.
    pub fn end(&mut self, bucket: Bucket, time: UnixMs) -> UnixMs {
        self.label(bucket, time);
        self.last.as_ref().map_or(time, |span| span.end)
    }

    /// The buckets between two instants, each with where it begins there and its label, in order;
    /// `None` where there are more than `most`. Where clocks go back, a label stands for both hours.
    pub fn buckets(
        &mut self,
        bucket: Bucket,
        from: UnixMs,
        until: UnixMs,
        most: usize,
    ) -> Option<Vec<(UnixMs, String)>> {
        let mut buckets: Vec<(UnixMs, String)> = Vec::new();
        let mut at = from;
        // Behind the last time of the calendar no label ever changes.
        let until = until.min(UnixMs(Timestamp::MAX.as_millisecond().saturating_add(1)));
        while at < until {
            let label = self.label(bucket, at).to_owned();
            let is_known = buckets.iter().rev().take(REPEATED).any(|(_, known)| *known == label);
            if !is_known {
                if buckets.len() == most {
                    return None;
                }
                buckets.push((at, label));
            }
            let next = UnixMs(at.floor(QUARTER_MS).0.saturating_add(QUARTER_MS));
            // The span of an hour in which clocks change is one instant.
            at = self.last.as_ref().map_or(next, |span| span.end.max(next));
        }
        Some(buckets)
    }

    /// The first instant of a calendar day; of a day at an end of the calendar that has none in this
    /// zone, that end.
    #[must_use]
    pub fn start_of_day(&self, day: Date) -> UnixMs {
        let end = if day.year() < 0 { i64::MIN } else { i64::MAX };
        first_midnight(day, &self.zone).unwrap_or(UnixMs(end))
    }

    /// The calendar day of an instant.
    #[must_use]
    pub fn day(&self, time: UnixMs) -> Date {
        day_of(&time.zoned(&self.zone))
    }

    /// The widest bucket, counted in UTC, whose edges fall on every day's edges in this zone between
    /// two instants: whole UTC days where the zone is at UTC all the time, else hours or quarters.
    #[must_use]
    pub fn finest_needed_ms(&self, from: UnixMs, until: UnixMs) -> i64 {
        let offset_ms = |at: UnixMs| i64::from(at.zoned(&self.zone).offset().seconds()) * 1_000;
        let step = |at: &UnixMs| Some(UnixMs(at.0.checked_add(OFFSET_STEP_MS)?));
        let between = std::iter::successors(Some(from), step).take_while(|at| *at < until);
        let width_for = |offset_ms: i64| match offset_ms {
            0 => DAY_MS,
            _ if offset_ms.rem_euclid(HOUR_MS) == 0 => HOUR_MS,
            _ => QUARTER_MS,
        };
        between.chain([until]).map(|at| width_for(offset_ms(at))).min().unwrap_or(QUARTER_MS)
    }
}

/// No zone keeps an offset for less than this: the shortest in use is Morocco's, for a month.
const OFFSET_STEP_MS: i64 = 14 * DAY_MS;

/// How far back a label may come again: half hours of an hour, or of two, that clocks go back by.
const REPEATED: usize = 4;

/// The name of a zone: IANA, or its offset.
fn zone_name(zone: &TimeZone) -> String {
    zone.iana_name().map_or_else(
        || zone.to_fixed_offset().map_or_else(|_| "local".to_owned(), |offset| offset.to_string()),
        str::to_owned,
    )
}

/// The day of a time: the date on the wall, but a day that has begun is never left for the one
/// before. Where clocks went back from 00:01 to 23:01 (St. John's, until 2011), that hour belongs to
/// the new day: days are one piece of time each.
fn day_of(at: &Zoned) -> Date {
    let date = at.date();
    let has_begun =
        |day: &Date| first_midnight(*day, at.time_zone()).is_some_and(|it| it <= ms(at));
    date.checked_add(1.day()).ok().filter(has_begun).unwrap_or(date)
}

fn first_midnight(day: Date, zone: &TimeZone) -> Option<UnixMs> {
    day.to_zoned(zone.clone()).ok().as_ref().map(ms)
}

fn span_of(bucket: Bucket, time: UnixMs, zone: &TimeZone) -> Span {
    let at = time.zoned(zone);
    let day = day_of(&at);
    let (start, end, label) = match bucket {
        Bucket::HalfHour => return span_of_minutes(bucket, 30, &at),
        Bucket::Hour => return span_of_minutes(bucket, 60, &at),
        Bucket::Day => (day, day.checked_add(1.day()), day.to_string()),
        Bucket::Week => {
            let back = i64::from(day.weekday().since(Weekday::Monday));
            let monday = day.checked_sub(back.days()).unwrap_or(day);
            (monday, monday.checked_add(7.days()), monday.to_string())
        }
        Bucket::Month => {
            let first = day.first_of_month();
            (first, first.checked_add(1.month()), day.strftime("%Y-%m").to_string())
        }
    };
    let edge = |date: Date| first_midnight(date, zone).unwrap_or(time);
    Span { bucket, start: edge(start), end: end.map_or(UnixMs(i64::MAX), edge), label }
}

/// The part of an hour that a time falls into, by the clock on the wall. Where that clock is changed
/// within it, the span is only this instant: the label holds for no more.
fn span_of_minutes(bucket: Bucket, minutes: i8, at: &Zoned) -> Span {
    let past_minutes = at.minute() % minutes;
    let past_ms = i64::from(past_minutes) * 60_000 + i64::from(at.second()) * 1_000;
    let start = UnixMs(ms(at).0.saturating_sub(past_ms + i64::from(at.millisecond())));
    let end = UnixMs(start.0.saturating_add(i64::from(minutes) * 60_000));
    let label = format!("{}:{:02}", at.strftime("%Y-%m-%d %H"), at.minute() - past_minutes);
    let is_even = [start, UnixMs(end.0 - 1)]
        .iter()
        .all(|edge| edge.zoned(at.time_zone()).offset() == at.offset());
    if is_even {
        Span { bucket, start, end, label }
    } else {
        Span { bucket, start: ms(at), end: UnixMs(ms(at).0.saturating_add(1)), label }
    }
}

fn ms(zoned: &Zoned) -> UnixMs {
    UnixMs(zoned.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> UnixMs {
        UnixMs::parse_rfc3339(text).unwrap()
    }

    fn calendar(zone: &str) -> Calendar {
        Calendar::new(TimeZone::get(zone).unwrap())
    }

    #[test]
    fn times_are_read_in_every_form_that_sources_write() {
        assert_eq!(at("2026-11-20T22:08:30.117Z"), UnixMs(1_795_212_510_117));
        assert_eq!(at("2026-11-20T22:08:30Z"), UnixMs(1_795_212_510_000));
        assert_eq!(at("2026-11-20T23:08:30.117+01:00"), UnixMs(1_795_212_510_117));
        assert_eq!(at("2024-02-29T00:00:00.000Z"), UnixMs(1_709_164_800_000));
        assert_eq!(UnixMs::from_epoch_number(1_795_212_510), at("2026-11-20T22:08:30Z"));
        assert_eq!(UnixMs::from_epoch_number(1_795_212_510_117), at("2026-11-20T22:08:30.117Z"));
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-20"]
        {
            assert_eq!(UnixMs::parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_is_the_first_instant_of_it() {
        assert_eq!(UnixMs::parse_date("2026-11-20"), Some(at("2026-11-20T00:00:00Z")));
        assert_eq!(at("2026-11-20T23:59:59.999Z").utc_date(), "2026-11-20");
        assert_eq!(UnixMs(-1).utc_date(), "1969-12-31");
        for text in ["", "2026-11", "2026-11-31", "2026-11-20T00:00:00Z", "2026-11-20 ", "today"] {
            assert_eq!(UnixMs::parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_printed_can_be_read() {
        assert_eq!(at("2026-11-20T22:08:30.117Z").to_string(), "2026-11-20T22:08:30.117Z");
        for ms in [0, -1, 1_795_212_510_117, -97_263_731_472_000, i64::MIN, i64::MAX] {
            let time = UnixMs(UnixMs(ms).zoned(&TimeZone::UTC).timestamp().as_millisecond());
            assert_eq!(UnixMs::parse_rfc3339(&time.to_string()), Some(time), "{time}");
        }
    }

    #[test]
    fn months_follow_each_other() {
        for (time, from, until) in [
            ("2026-12-31T23:59:59.999Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        ] {
            assert_eq!(
                (at(time).floor_month_utc(), at(time).next_month_utc()),
                (at(from), at(until))
            );
        }
        for ms in [i64::MIN, i64::MAX] {
            assert!(UnixMs(ms).next_month_utc() > UnixMs(ms).floor_month_utc(), "{ms}");
        }
    }

    #[test]
    fn buckets_are_all_that_labels_name() {
        let (from, until) = (at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z"));
        for (zone, bucket, expected) in [
            ("Europe/Berlin", Bucket::HalfHour, 48),
            ("Europe/Berlin", Bucket::Hour, 24),
            ("Europe/Berlin", Bucket::Day, 1),
            ("UTC", Bucket::Hour, 25),
            ("UTC", Bucket::Day, 2),
            ("UTC", Bucket::Month, 1),
        ] {
            let mut calendar = calendar(zone);
            let buckets = calendar.buckets(bucket, from, until, 400).unwrap();
            assert_eq!(buckets.len(), expected, "{zone} {bucket:?} {buckets:?}");
            for quarter in (from.0..until.0).step_by(15 * 60_000).map(UnixMs) {
                let label = calendar.label(bucket, quarter);
                assert!(buckets.iter().any(|(_, known)| known == label), "{zone} {label}");
            }
            assert_eq!(calendar.buckets(bucket, from, until, expected - 1), None);
        }
        assert_eq!(calendar("UTC").buckets(Bucket::Day, until, from, 0), Some(Vec::new()));
    }

    /// The last time of the calendar is 9999-12-30T22:00:00.999Z.
    #[test]
    fn the_calendar_has_ends() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let mut utc = calendar("UTC");
        assert_eq!(utc.start_of_day(day("9999-12-31")), UnixMs(i64::MAX));
        assert_eq!(utc.start_of_day(day("-009999-01-01")), UnixMs(i64::MIN));
        let last = utc.start_of_day(day("9999-12-30"));
        let hours = utc.buckets(Bucket::Hour, last, UnixMs(i64::MAX), 100).unwrap();
        assert_eq!(hours.len(), 23, "{hours:?}");
        let mut east = calendar("Pacific/Kiritimati");
        let last = east.start_of_day(day("9999-12-31"));
        let halves = east.buckets(Bucket::HalfHour, last, UnixMs(i64::MAX), 100).unwrap();
        assert_eq!(halves.last().unwrap().1, "9999-12-31 12:00");
        let days = east.buckets(Bucket::Day, last, UnixMs(i64::MAX), 100).unwrap();
        assert_eq!(days.len(), 1);
    }

    #[test]
    fn days_follow_the_zone() {
        let late = at("2026-11-20T23:30:00Z");
        assert_eq!(calendar("UTC").label(Bucket::Day, late), "2026-11-20");
        assert_eq!(calendar("Asia/Kathmandu").label(Bucket::Day, late), "2026-11-21");
        assert_eq!(calendar("Asia/Kathmandu").label(Bucket::Hour, late), "2026-11-21 05:00");
        assert_eq!(calendar("UTC").label(Bucket::HalfHour, late), "2026-11-20 23:30");
        assert_eq!(calendar("Asia/Kathmandu").label(Bucket::HalfHour, late), "2026-11-21 05:00");
        assert_eq!(calendar("America/New_York").label(Bucket::Week, late), "2026-11-16");
        assert_eq!(calendar("Europe/Berlin").label(Bucket::Month, late), "2026-11");
    }

    #[test]
    fn hours_in_which_clocks_change_keep_their_names() {
        let mut calendar = calendar("Australia/Lord_Howe");
        for (time, half_hour) in [
            ("2026-10-03T15:29:59Z", "2026-10-04 01:30"),
            ("2026-10-03T15:30:00Z", "2026-10-04 02:30"),
            ("2026-10-03T15:59:59Z", "2026-10-04 02:30"),
            ("2026-10-03T16:00:00Z", "2026-10-04 03:00"),
        ] {
            assert_eq!(calendar.label(Bucket::HalfHour, at(time)), half_hour, "{time}");
            let hour = half_hour.replace(":30", ":00");
            assert_eq!(calendar.label(Bucket::Hour, at(time)), hour, "{time}");
        }
    }

    #[test]
    fn a_day_that_has_begun_is_not_left_when_clocks_go_back_over_midnight() {
        for (time, day) in [
            ("2007-11-04T02:29:59Z", "2007-11-03"),
            ("2007-11-04T02:30:00Z", "2007-11-04"),
            ("2007-11-04T02:31:00Z", "2007-11-04"),
            ("2007-11-04T03:30:00Z", "2007-11-04"),
        ] {
            let mut calendar = calendar("America/St_Johns");
            assert_eq!(calendar.label(Bucket::Day, at(time)), day, "{time}");
            assert_eq!(calendar.day(at(time)).to_string(), day, "{time}");
        }
    }

    #[test]
    fn each_zone_reads_buckets_that_fit_its_days() {
        let (from, until) = (at("2026-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z"));
        for (zone, width) in [
            ("UTC", DAY_MS),
            ("Etc/UTC", DAY_MS),
            ("Europe/London", HOUR_MS),
            ("Australia/Lord_Howe", QUARTER_MS),
            ("Europe/Berlin", HOUR_MS),
            ("Asia/Kolkata", QUARTER_MS),
            ("Asia/Kathmandu", QUARTER_MS),
        ] {
            assert_eq!(calendar(zone).finest_needed_ms(from, until), width, "{zone}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_reader_agrees_with_the_calendar(ms in 0..4_102_444_800_000_i64) {
            prop_assert_eq!(UnixMs::parse_rfc3339(&UnixMs(ms).to_string()), Some(UnixMs(ms)));
        }

        #[test]
        fn every_instant_lies_in_its_bucket(ms in 0..4_102_444_800_000_i64, zone in "UTC|Asia/Kathmandu|America/St_Johns|America/Havana|Pacific/Apia|Australia/Lord_Howe") {
            let zone = TimeZone::get(&zone).unwrap();
            // Where clocks were changed last before the instant, and around it.
            let change = UnixMs(ms).zoned(&zone);
            let change = zone.preceding(change.timestamp()).next().map(|it| it.timestamp().as_millisecond());
            let near = change.into_iter().flat_map(|at| [-3_600_000, -1, 0, 60_000, 3_599_999].map(|by| at + by));
            for ms in near.chain([ms]).filter(|ms| *ms >= 0) {
                for bucket in [Bucket::HalfHour, Bucket::Hour, Bucket::Day, Bucket::Week, Bucket::Month] {
                    let span = span_of(bucket, UnixMs(ms), &zone);
                    prop_assert!((span.start.0..span.end.0).contains(&ms), "{ms} {span:?}");
                    for edge in [span.start.0, span.end.0 - 1] {
                        let again = span_of(bucket, UnixMs(edge), &zone);
                        prop_assert_eq!(&again.label, &span.label, "{} {:?}", edge, again);
                    }
                }
            }
        }
    }
}
