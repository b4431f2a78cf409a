//! What two readings of a counter say of the time between them.
//!
//! A counter that is smaller than before has begun anew, as after a restart of what it counts: of
//! such a time nothing is known, and in no case is a rate negative.

use std::time::Duration;

use super::reading::{CpuUsed, Transferred};

/// CPU in thousandths of a percent of a capacity.
pub(super) fn cpu_millipercent(
    before: CpuUsed,
    after: CpuUsed,
    elapsed: Duration,
    capacity_millicores: Option<u64>,
) -> Option<u32> {
    const WHOLE_MILLIPERCENT: u128 = 100_000;
    let (used, available) = match (before, after) {
        (CpuUsed::Time { used_ns: before }, CpuUsed::Time { used_ns: after }) => {
            let available_ns = elapsed.as_nanos() * u128::from(capacity_millicores?) / 1_000;
            (after.checked_sub(before)?, available_ns)
        }
        (CpuUsed::Ticks { used: used_before, all: all_before }, CpuUsed::Ticks { used, all }) => {
            (used.checked_sub(used_before)?, all.checked_sub(all_before)?.into())
        }
        (CpuUsed::Time { .. }, CpuUsed::Ticks { .. })
        | (CpuUsed::Ticks { .. }, CpuUsed::Time { .. }) => return None,
    };
    let share = (u128::from(used) * WHOLE_MILLIPERCENT).checked_div(available)?;
    u32::try_from(share).ok()
}

/// Bytes in and out in a second.
pub(super) fn per_second(
    before: Transferred,
    after: Transferred,
    elapsed: Duration,
) -> (Option<u64>, Option<u64>) {
    let rate = |before: u64, after: u64| {
        let bytes = u128::from(after.checked_sub(before)?);
        u64::try_from((bytes * 1_000).checked_div(elapsed.as_millis())?).ok()
    };
    (rate(before.in_bytes, after.in_bytes), rate(before.out_bytes, after.out_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn time(used_ns: u64) -> CpuUsed {
        CpuUsed::Time { used_ns }
    }

    #[test]
    fn cpu_is_a_share_of_the_quota_whatever_its_size() {
        let share = |used_ns: u64, millicores| {
            cpu_millipercent(time(5), time(5 + used_ns), SECOND, Some(millicores))
        };
        // A tenth of a core, all used; the same of two cores; and a burst past the quota.
        assert_eq!(share(100_000_000, 100), Some(100_000));
        assert_eq!(share(100_000_000, 2_000), Some(5_000));
        assert_eq!(share(150_000_000, 100), Some(150_000));
        assert_eq!(share(0, 100), Some(0));
        assert_eq!(share(1, 0), None);
        assert_eq!(cpu_millipercent(time(0), time(1), SECOND, None), None);
        assert_eq!(cpu_millipercent(time(0), time(1), Duration::ZERO, Some(100)), None);
    }

    #[test]
    fn counters_that_begin_anew_say_nothing() {
        assert_eq!(cpu_millipercent(time(5), time(4), SECOND, Some(1_000)), None);
        let ticks = |used, all| CpuUsed::Ticks { used, all };
        assert_eq!(cpu_millipercent(ticks(5, 50), ticks(4, 60), SECOND, None), None);
        assert_eq!(cpu_millipercent(ticks(5, 50), ticks(6, 49), SECOND, None), None);
        assert_eq!(cpu_millipercent(ticks(5, 50), ticks(5, 50), SECOND, None), None);
        assert_eq!(cpu_millipercent(ticks(5, 50), time(60), SECOND, Some(1)), None);
    }

    proptest! {
        #[test]
        fn any_two_readings_make_a_rate_or_none(
            before: (u64, u64), after: (u64, u64), elapsed_ms in 0_u64..100_000, millicores: u64,
        ) {
            let elapsed = Duration::from_millis(elapsed_ms);
            let of = |(in_bytes, out_bytes)| Transferred { in_bytes, out_bytes };
            let (received, _) = per_second(of(before), of(after), elapsed);
            prop_assert!(received.is_none() || after.0 >= before.0);
            let _share = cpu_millipercent(time(before.0), time(after.0), elapsed, Some(millicores));
            let ticks = |(used, all)| CpuUsed::Ticks { used, all };
            let _share = cpu_millipercent(ticks(before), ticks(after), elapsed, None);
        }
    }
}
