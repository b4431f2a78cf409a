//! Which claimed runs the measured calls of their session cover.
//!
//! An agent's index says what the last run of a session used; of earlier runs it says nothing any
//! more. So a claim stands for one run, and gives way when calls of that run were measured. It must
//! not give way to calls of earlier runs: a transcript may hold these and lack the last.
//!
//! A run is covered when one of its session's calls falls into it, that is, after the run before it
//! was claimed and no later than the claim itself. Of the first claim nobody knows where the run
//! began: then calls shortly before the claim cover it, and so does any row of calls that used just
//! what is claimed, however much later the agent touched its index again.

use crate::UnixMs;

/// How long before a claim a call may lie that covers it, where nobody knows when the run began.
/// Agents write the index within seconds of a run's last answer.
const RUN_END_MS: i64 = 10 * 60_000;

/// A claim, as far as it matters for what covers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimedRun {
    /// When it was written.
    pub time: UnixMs,
    /// When the run began, where the agent says.
    pub started: Option<UnixMs>,
    /// Input and output tokens.
    pub used: (u64, u64),
}

/// A measured call, as far as it matters for what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredCall {
    /// When it was made.
    pub time: UnixMs,
    /// Input and output tokens.
    pub used: (u64, u64),
}

/// Which of `runs`, all of one session and in the order of their times, are covered by `calls`, in
/// the order of theirs. `copied` are the calls of the session that this one began as a copy of, and of
/// its own copies: an index may repeat the last run of the original, and a run may be left in a copy
/// alone. They must be just what is claimed.
#[must_use]
pub fn covered(runs: &[ClaimedRun], calls: &[MeasuredCall], copied: &[MeasuredCall]) -> Vec<bool> {
    let mut before = None;
    let is_covered = |run: &ClaimedRun| {
        let since = before.replace(run.time);
        let since = since.unwrap_or(UnixMs(i64::MIN));
        let start = calls.partition_point(|call| call.time <= since);
        let later = calls.get(start..).unwrap_or_default();
        let until = later.partition_point(|call| call.time <= run.time);
        let assumed = UnixMs(run.time.0.saturating_sub(RUN_END_MS));
        let began = match run.started.filter(|started| *started <= run.time) {
            Some(started) => started,
            // The run before ended at its claim at the latest: all since then is this run's.
            None if since > UnixMs(i64::MIN) => since,
            None => assumed,
        };
        later.get(..until).and_then(<[_]>::last).is_some_and(|last| last.time >= began)
            || has_row_of(later, run.used)
            || has_row_of(copied, run.used)
    };
    runs.iter().map(is_covered).collect()
}

/// Whether some calls in a row used exactly this.
fn has_row_of(calls: &[MeasuredCall], used: (u64, u64)) -> bool {
    let total = |(input, output): (u64, u64)| u128::from(input) + u128::from(output);
    if total(used) == 0 {
        return false;
    }
    // Sums only grow with a longer row: each end is moved once over all calls.
    let (mut start, mut sum) = (0, 0);
    let mut parts = (0_u128, 0_u128);
    for call in calls {
        sum += total(call.used);
        parts = (parts.0 + u128::from(call.used.0), parts.1 + u128::from(call.used.1));
        while sum > total(used)
            && let Some(first) = calls.get(start)
        {
            sum -= total(first.used);
            parts = (parts.0 - u128::from(first.used.0), parts.1 - u128::from(first.used.1));
            start += 1;
        }
        if parts == (u128::from(used.0), u128::from(used.1)) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000;

    fn call(minute: i64, input: u64, output: u64) -> MeasuredCall {
        MeasuredCall { time: UnixMs(minute * MINUTE), used: (input, output) }
    }

    fn run(minute: i64, input: u64, output: u64) -> ClaimedRun {
        ClaimedRun { time: UnixMs(minute * MINUTE), started: None, used: (input, output) }
    }

    #[test]
    fn the_last_run_is_covered_by_its_own_calls_only() {
        let (first, last) = (call(10, 630, 60), call(40, 690, 66));
        assert_eq!(covered(&[run(41, 690, 66)], &[first, last], &[]), [true]);
        assert_eq!(covered(&[run(41, 690, 66)], &[first], &[]), [false]);
        assert_eq!(covered(&[run(41, 690, 66)], &[], &[]), [false]);
    }

    #[test]
    fn an_index_with_the_time_of_before_the_run_claims_nothing_new() {
        assert_eq!(covered(&[run(10, 690, 66)], &[call(11, 690, 66)], &[]), [true]);
        assert_eq!(covered(&[run(10, 690, 66)], &[call(11, 690, 65)], &[]), [false]);
    }

    #[test]
    fn a_copy_claims_what_its_original_used() {
        let copied = [call(40, 690, 66)];
        assert_eq!(covered(&[run(300, 690, 66)], &[], &copied), [true]);
        assert_eq!(covered(&[run(41, 691, 66)], &[], &copied), [false]);
    }

    #[test]
    fn an_index_that_is_touched_again_later_claims_nothing_new() {
        let calls = [call(10, 630, 60), call(40, 690, 66), call(90, 5, 1)];
        assert_eq!(covered(&[run(500, 690, 66)], &calls, &[]), [true]);
        // A run of two answers.
        assert_eq!(covered(&[run(500, 1_320, 126)], &calls, &[]), [true]);
        assert_eq!(covered(&[run(500, 1_320, 125)], &calls, &[]), [false]);
    }

    #[test]
    fn calls_of_the_run_before_cover_nothing_of_the_next() {
        let runs = [run(10, 630, 60), run(60, 690, 66)];
        assert_eq!(covered(&runs, &[call(9, 630, 60)], &[]), [true, false]);
        assert_eq!(covered(&runs, &[call(9, 630, 60), call(20, 1, 1)], &[]), [true, true]);
        let told = ClaimedRun { started: Some(UnixMs(50 * MINUTE)), ..runs[1] };
        assert_eq!(covered(&[runs[0], told], &[call(20, 1, 1)], &[]), [false, false]);
    }

    proptest! {
        #[test]
        fn a_row_of_calls_is_found_wherever_it_is(
            calls in prop::collection::vec((0..4_u64, 0..4_u64), 0..12),
            used in (0..9_u64, 0..9_u64),
        ) {
            let calls: Vec<_> = calls.iter().map(|(input, output)| call(0, *input, *output)).collect();
            let is_row = |row: &[MeasuredCall]| {
                let sum = |part: fn(&MeasuredCall) -> u64| row.iter().map(part).sum::<u64>();
                (sum(|call| call.used.0), sum(|call| call.used.1)) == used
            };
            let rows = (0..calls.len()).flat_map(|start| (start..calls.len()).map(move |end| start..=end));
            let is_there = used != (0, 0) && rows.into_iter().any(|row| is_row(&calls[row]));
            prop_assert_eq!(has_row_of(&calls, used), is_there);
        }

        #[test]
        fn a_call_right_before_its_claim_always_covers_it(
            calls in prop::collection::vec((0..200_i64, 0..5_u64, 0..5_u64), 0..12),
            minute in 0..200_i64,
        ) {
            let mut calls: Vec<_> = calls.iter().map(|(m, i, o)| call(*m, *i, *o)).collect();
            calls.push(call(minute, 1, 1));
            calls.sort_by_key(|call| call.time);
            prop_assert_eq!(covered(&[run(minute, 9, 9)], &calls, &[]), [true]);
        }
    }
}
