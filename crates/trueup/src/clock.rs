//! The only place that reads the clock.

use trueup_core::UnixMs;

/// The time now.
pub(crate) fn now() -> UnixMs {
    #[expect(clippy::disallowed_methods, reason = "this is the place that the ban points to")]
    let now = jiff::Timestamp::now();
    UnixMs(now.as_millisecond().saturating_add(off_ms()))
}

/// How far the clock is off: only tests say so, and only programs that are built for them listen.
#[cfg(debug_assertions)]
fn off_ms() -> i64 {
    static OFF_MS: std::sync::LazyLock<i64> = std::sync::LazyLock::new(|| {
        #[expect(
            clippy::disallowed_methods,
            reason = "no setting: programs that are shipped have none"
        )]
        let off_s = std::env::var("TRUEUP_TEST_CLOCK_OFF_S").ok();
        off_s
            .and_then(|text| text.parse::<i64>().ok())
            .map_or(0, |off_s| off_s.saturating_mul(1_000))
    });
    *OFF_MS
}

/// The clock of programs that are shipped is the machine's.
#[cfg(not(debug_assertions))]
const fn off_ms() -> i64 {
    0
}
