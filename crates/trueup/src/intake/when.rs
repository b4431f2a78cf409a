//! When a record says that it happened.
//!
//! RFC 3339 with an offset, or a number of seconds, milliseconds, microseconds or nanoseconds since
//! 1970. A clock that is plainly wrong must not open a bucket in the year 1970 or 2603: such a record
//! gets the time of its arrival, and what it said is kept.

use trueup_core::{DAY_MS, UnixMs, scaled_decimal};

use super::fields::{Field, Fields, Wrong};
use super::text;

/// 2000-01-01T00:00:00Z: nothing that we count is older.
pub(crate) const EARLIEST: UnixMs = UnixMs(946_684_800_000);
/// How far a client's clock may be ahead of ours.
pub(crate) const AHEAD_MAX_MS: i64 = DAY_MS;

/// A record's time, and what it said where that is absurd.
pub(super) struct When<'a> {
    pub(super) time: UnixMs,
    pub(super) absurd: Option<&'a str>,
}

/// Takes the time of a record.
pub(super) fn take<'a>(fields: &mut Fields<'a>, now: UnixMs) -> Result<When<'a>, Wrong> {
    let Some(field) = fields.take(&["timestamp"]) else {
        return Ok(When { time: now, absurd: None });
    };
    let time = parse(&field).ok_or_else(|| {
        let what = "must be RFC 3339 with an offset, such as 2026-11-20T22:08:30Z, or a number of \
                    seconds or milliseconds since 1970";
        Wrong::new(field.name, what)
    })?;
    let is_plausible = time >= EARLIEST && time.0 <= now.0.saturating_add(AHEAD_MAX_MS);
    Ok(if is_plausible {
        When { time, absurd: None }
    } else {
        When { time: now, absurd: Some(field.json) }
    })
}

fn parse(field: &Field<'_>) -> Option<UnixMs> {
    let text = text::scalar(field.json)?;
    let text = text.trim();
    UnixMs::parse_rfc3339(text).or_else(|| epoch(text))
}

/// Seconds may have a fraction, as Python's `time.time()` has.
fn epoch(text: &str) -> Option<UnixMs> {
    let thousandths = scaled_decimal(text, 3)?;
    let whole = i64::try_from(thousandths / 1_000).ok()?;
    let time = UnixMs::from_epoch_number(whole);
    let is_in_seconds = time.0 == whole.saturating_mul(1_000);
    if is_in_seconds { i64::try_from(thousandths).ok().map(UnixMs) } else { Some(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_usual_form() {
        const NOON: UnixMs = UnixMs(1_795_176_000_123);
        for json in [
            "\"2026-11-20T12:00:00.123Z\"",
            "\"2026-11-20T13:00:00.123+01:00\"",
            "1795176000.123",
            "\"1795176000.123\"",
            "1795176000123",
            "1.795176000123e12",
            "1795176000123456",
            "1795176000123456789",
        ] {
            assert_eq!(parse(&Field { name: "timestamp", json }), Some(NOON), "{json}");
        }
        for json in ["\"yesterday\"", "{}", "\"2026-11-20\"", "true", "\"\"", "1e400"] {
            assert_eq!(parse(&Field { name: "timestamp", json }), None, "{json}");
        }
    }
}
