//! Any instant in any zone: buckets hold their instants, and days begin where they say.

#![no_main]

use jiff::tz::{Offset, TimeZone};
use trueup_core::{Bucket, Calendar, DAY_MS, HOUR_MS, QUARTER_MS, UnixMs};

const ZONES: [&str; 12] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "America/Sao_Paulo",
    "Asia/Tehran",
];

libfuzzer_sys::fuzz_target!(|input: (u8, i8, i64, i64)| {
    let (zone, hours, a, b) = input;
    let zone = match ZONES.get(usize::from(zone)) {
        Some(name) => TimeZone::get(name).expect("a zone that every time zone database has"),
        None => TimeZone::fixed(Offset::constant(hours % 24)),
    };
    let mut calendar = Calendar::new(zone);
    for time in [UnixMs(a), UnixMs(b), UnixMs::from_epoch_number(a), UnixMs(a.saturating_add(1))] {
        for width_ms in [QUARTER_MS, HOUR_MS, DAY_MS] {
            let start = time.floor(width_ms);
            assert!(start <= time || time.0 < i64::MIN + width_ms);
        }
        assert!(time.floor_month_utc() <= time || time.0 < -377_705_000_000_000);
        for bucket in [Bucket::Hour, Bucket::Day, Bucket::Week, Bucket::Month] {
            let label = calendar.label(bucket, time).to_owned();
            // Found through the span that is remembered, or anew, it is the same bucket.
            let mut other = Calendar::new(calendar.zone().clone());
            assert_eq!(label, other.label(bucket, time));
        }
        let day = calendar.day(time);
        let start = calendar.start_of_day(day);
        assert!(start <= time || time.0.unsigned_abs() > 200_000_000_000_000);
    }
    // A few years: the step through offsets is a fortnight, whatever the span.
    let until = UnixMs(a.saturating_add(b.rem_euclid(10 * 365 * DAY_MS)));
    let finest = calendar.finest_needed_ms(UnixMs(a), until);
    assert!([QUARTER_MS, HOUR_MS, DAY_MS].contains(&finest));
});
