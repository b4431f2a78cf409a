//! The calendar of a corpus: 60 days that end with 2026-10-31, in UTC milliseconds.

use std::fmt;

use crate::rng::Rng;

/// 2026-09-02T00:00:00Z, the first instant of any corpus.
pub(crate) const FIRST_MS: i64 = 1_788_307_200_000;
/// 2026-11-01T00:00:00Z, which no record of a fresh corpus reaches.
pub(crate) const END_MS: i64 = FIRST_MS + 60 * DAY_MS;
/// One day.
pub(crate) const DAY_MS: i64 = 86_400_000;
/// One hour.
pub(crate) const HOUR_MS: i64 = 3_600_000;
/// Nothing starts this close before midnight, so that all lines of one response share a day.
const MIDNIGHT_GUARD_MS: i64 = 180_000;

/// An instant as session files print it: `2026-10-01T12:00:00.123Z`, always 24 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Iso(pub(crate) i64);

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", timestamp(self.0))
    }
}

/// `2026-10-01`.
pub(crate) fn day(ms: i64) -> String {
    timestamp(ms).strftime("%Y-%m-%d").to_string()
}

/// `2026-10-01T12-00-00`, as in the names of rollouts and archives.
pub(crate) fn file_stamp(ms: i64) -> String {
    timestamp(ms).strftime("%Y-%m-%dT%H-%M-%S").to_string()
}

/// `2026/10/01`, the folders of rollouts.
pub(crate) fn folders(ms: i64) -> String {
    timestamp(ms).strftime("%Y/%m/%d").to_string()
}

/// A session's start: the first (`early`) ones leave weeks for what must come after them.
pub(crate) fn start(rng: &mut Rng, early: bool) -> i64 {
    let last = if early { FIRST_MS + 15 * DAY_MS } else { END_MS - 18 * HOUR_MS };
    advance(rng.millis(FIRST_MS, last), 0)
}

/// `now + gap`, moved past midnight when that lies just before it.
pub(crate) fn advance(now_ms: i64, gap_ms: i64) -> i64 {
    let then = now_ms + gap_ms;
    let to_midnight = DAY_MS - then.rem_euclid(DAY_MS);
    if to_midnight <= MIDNIGHT_GUARD_MS { then + to_midnight + 60_000 } else { then }
}

fn timestamp(ms: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_spans_sixty_days_to_the_end_of_october() {
        assert_eq!(Iso(FIRST_MS).to_string(), "2026-09-02T00:00:00.000Z");
        assert_eq!(Iso(END_MS - 1).to_string(), "2026-10-31T23:59:59.999Z");
        assert_eq!(file_stamp(END_MS - 1), "2026-10-31T23-59-59");
        assert_eq!(
            (day(END_MS - 1).as_str(), folders(FIRST_MS).as_str()),
            ("2026-10-31", "2026/09/02")
        );
    }

    #[test]
    fn nothing_starts_just_before_midnight() {
        assert_eq!(advance(FIRST_MS + DAY_MS - 10_000, 5_000), FIRST_MS + DAY_MS + 60_000);
        assert_eq!(advance(FIRST_MS, 5_000), FIRST_MS + 5_000);
    }
}
