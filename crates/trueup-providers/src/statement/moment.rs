//! Times as statements write them.
//!
//! `1793491200`, `2026-11-01T00:00:00+00:00`, `2026-11-01 00:00:00`, `2026-11-01`, `20261101`: a time
//! without a zone is in UTC. A reader that takes it for the zone of its machine shifts every day.

use trueup_core::{Decimal, UnixMs};

/// 2000-01-01: what is earlier is no usage of a model.
const EARLIEST: UnixMs = UnixMs(946_684_800_000);
/// 2100-01-01.
const LATEST: UnixMs = UnixMs(4_102_444_800_000);

/// A time that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) at: UnixMs,
    /// Whether its zone is told; seconds since 1970 have none and need none.
    pub(super) has_zone: bool,
    /// Whether it is a day alone.
    pub(super) is_day: bool,
}

/// Reads a time.
pub(super) fn moment(text: &str) -> Option<Moment> {
    let text = text.trim();
    let found = day(text).or_else(|| epoch(text)).or_else(|| time(text))?;
    (EARLIEST..LATEST).contains(&found.at).then_some(found)
}

fn day(text: &str) -> Option<Moment> {
    let is_day = match text.as_bytes() {
        [_, _, _, _, b'-', _, _, b'-', _, _] => true,
        digits => digits.len() == 8 && digits.iter().all(u8::is_ascii_digit),
    };
    let at = is_day.then(|| UnixMs::parse_date(text))??;
    Some(Moment { at, has_zone: false, is_day: true })
}

fn epoch(text: &str) -> Option<Moment> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let number = text.parse::<Decimal>().ok()?.to_count()?;
    let at = UnixMs::from_epoch_number(i64::try_from(number).ok()?);
    Some(Moment { at, has_zone: true, is_day: false })
}

fn time(text: &str) -> Option<Moment> {
    let text = text.strip_suffix(" UTC").map_or_else(|| text.to_owned(), |text| format!("{text}Z"));
    let told = UnixMs::parse_rfc3339(&text);
    let at = told.or_else(|| UnixMs::parse_rfc3339(&format!("{text}Z")))?;
    Some(Moment { at, has_zone: told.is_some(), is_day: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_way_of_writing_a_time_is_the_same_time() {
        for (text, has_zone, is_day) in [
            ("1793491200", true, false),
            ("1793491200.0", true, false),
            ("1793491200000", true, false),
            ("2026-11-01T00:00:00Z", true, false),
            ("2026-11-01T00:00:00+00:00", true, false),
            ("2026-11-01T08:00:00+08:00", true, false),
            ("2026-11-01T00:00Z", true, false),
            ("2026-11-01T00:00:00.000Z", true, false),
            ("2026-11-01 00:00:00 UTC", true, false),
            ("2026-11-01T00:00:00", false, false),
            ("2026-11-01 00:00:00", false, false),
            ("2026-11-01 00:00", false, false),
            (" 2026-11-01 ", false, true),
            ("20261101", false, true),
        ] {
            let expected = Moment { at: UnixMs(1_793_491_200_000), has_zone, is_day };
            assert_eq!(moment(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_of_usage_is_none() {
        for text in [
            "",
            "Total",
            "11/01/2026",
            "2026-13-01",
            "20261301",
            "0",
            "5",
            "99999999999999999999",
            "1970-01-01",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _unused = moment(&text);
        }
    }
}
