//! Which days are due: the younger a day, the more often it is asked for, because it still changes.

use std::collections::BTreeMap;

use trueup_core::{BilledWidth, DAY_MS, HOUR_MS, UnixMs};
use trueup_ledger::BilledBucket;
use trueup_providers::{Family, Span};

use super::clipped;

/// Ages of days, the present one 0, and how long what is known of them stays fresh.
const TIERS: [(i64, i64, i64); 4] =
    [(0, 0, HOUR_MS), (1, 3, 6 * HOUR_MS), (4, 7, DAY_MS), (8, 35, 7 * DAY_MS)];

/// A day that did not come is asked for again after this long, where its tier says longer.
const MISSING_MS: i64 = 6 * HOUR_MS;

/// How many days back anything is asked for.
pub(crate) const DAYS_BACK: i64 = 35;

/// The days of a family that are due, as ranges; the latest first, because they are wanted most.
pub(crate) fn due(family: &Family, known: &[BilledBucket], now: UnixMs) -> Vec<Span> {
    let known: BTreeMap<UnixMs, &BilledBucket> =
        known.iter().map(|bucket| (bucket.start, bucket)).collect();
    let today = now.floor(DAY_MS);
    let spans = TIERS.iter().filter_map(|(youngest, oldest, fresh_ms)| {
        let span = Span {
            from: UnixMs(today.0 - oldest * DAY_MS),
            until: UnixMs(today.0 - (youngest - 1) * DAY_MS),
        };
        let span = clipped(family, span, BilledWidth::Day, now);
        let is_stale = |day: UnixMs| {
            let bucket = known.get(&day);
            let is_past =
                |at: Option<UnixMs>, ms: i64| at.is_none_or(|at| now.0.saturating_sub(at.0) >= ms);
            is_past(bucket.and_then(|bucket| bucket.last_pull_at), *fresh_ms)
                && is_past(bucket.and_then(|bucket| bucket.asked_at), MISSING_MS.min(*fresh_ms))
        };
        span.buckets(BilledWidth::Day).any(is_stale).then_some(span)
    });
    joined(spans)
}

/// Ranges that touch, as one.
fn joined(spans: impl Iterator<Item = Span>) -> Vec<Span> {
    let mut all: Vec<Span> = Vec::new();
    for span in spans {
        match all.last_mut() {
            Some(last) if last.from == span.until => last.from = span.from,
            _ => all.push(span),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> UnixMs {
        UnixMs::parse_rfc3339("2026-11-20T22:08:00Z").unwrap()
    }

    fn family(name: &str) -> &'static Family {
        trueup_providers::provider("openai").unwrap().family(name).unwrap()
    }

    /// Each of the last days, told so many milliseconds ago.
    fn told(ms_ago: impl Fn(i64) -> i64) -> Vec<BilledBucket> {
        let bucket = |age: i64| BilledBucket {
            start: UnixMs(now().floor(DAY_MS).0 - age * DAY_MS),
            last_pull_at: Some(UnixMs(now().0 - ms_ago(age))),
            asked_at: None,
        };
        (0..=DAYS_BACK).rev().map(bucket).collect()
    }

    #[test]
    fn what_was_never_pulled_is_one_range() {
        let due_spans = due(family("usage/completions"), &[], now());
        assert_eq!(due_spans, [Span::days("2026-10-16", "2026-11-21").unwrap()]);
        let costs = due(family("costs"), &[], now());
        assert_eq!(costs, [Span::days("2026-10-16", "2026-11-20").unwrap()]);
    }

    #[test]
    fn young_days_are_asked_for_more_often_than_old_ones() {
        let usage = family("usage/completions");
        assert!(due(usage, &told(|_| 59 * 60_000), now()).is_empty());
        let hour_old = due(usage, &told(|_| HOUR_MS), now());
        assert_eq!(hour_old, [Span::days("2026-11-20", "2026-11-21").unwrap()]);
        let six_hours_old = due(usage, &told(|_| 6 * HOUR_MS), now());
        assert_eq!(six_hours_old, [Span::days("2026-11-17", "2026-11-21").unwrap()]);
        let week_old_ones_only =
            due(usage, &told(|age| if age > 7 { 7 * DAY_MS } else { 0 }), now());
        assert_eq!(week_old_ones_only, [Span::days("2026-10-16", "2026-11-13").unwrap()]);
    }

    /// Its tier would be asked for at every look.
    #[test]
    fn a_day_that_did_not_come_is_left_alone_for_a_while() {
        let usage = family("usage/completions");
        for (age, rest_ms) in [(0, HOUR_MS), (2, 6 * HOUR_MS), (20, 6 * HOUR_MS)] {
            for last_pull_at in [None, Some(UnixMs(0))] {
                let asked_ago = |ms: i64| {
                    let mut known = told(|_| 0);
                    for bucket in &mut known {
                        if bucket.start.0 == now().floor(DAY_MS).0 - age * DAY_MS {
                            bucket.last_pull_at = last_pull_at;
                            bucket.asked_at = Some(UnixMs(now().0 - ms));
                        }
                    }
                    due(usage, &known, now())
                };
                assert!(asked_ago(rest_ms - 1).is_empty(), "{age}");
                assert_eq!(asked_ago(rest_ms).len(), 1, "{age}");
            }
        }
    }

    #[test]
    fn cogni_defect_11_restatements_of_old_days_are_looked_for() {
        let usage = family("usage/completions");
        let oldest = UnixMs(now().floor(DAY_MS).0 - DAYS_BACK * DAY_MS);
        let mut known = told(|_| 0);
        known.retain(|bucket| bucket.start != oldest);
        let spans = due(usage, &known, now());
        assert!(spans.iter().any(|span| span.contains(oldest)), "{spans:?}");
    }
}
