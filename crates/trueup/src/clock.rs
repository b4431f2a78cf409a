//! The only place that reads the clock.

use trueup_core::UnixMs;

/// The time now.
pub(crate) fn now() -> UnixMs {
    #[expect(clippy::disallowed_methods, reason = "this is the place that the ban points to")]
    let now = jiff::Timestamp::now();
    UnixMs(now.as_millisecond())
}
