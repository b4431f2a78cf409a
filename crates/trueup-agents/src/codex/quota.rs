//! How much of a Codex subscription's allowances is used, as the provider's headers said.
//!
//! Every `token_count` repeats the limits; only what has changed is worth a fact.
//!
//! ```json
//! {"limit_id":"codex","primary":{"used_percent":12.5,"window_minutes":300,"resets_at":1790697271},
//!  "secondary":{"used_percent":40.0,"window_minutes":10080,"resets_at":1790952871},"plan_type":"pro"}
//! ```

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trueup_core::{Quota, Text, UnixMs};

use super::record::{RateLimits, Window};
use crate::found::Found;

/// The allowance that all models share. Others are of single models, and have the same windows.
const LIMIT_ID: &str = "codex";

/// Windows that begin with the first use are told with an end that wavers by some seconds.
const RESET_WAVERS_MS: u64 = 120_000;

/// What was last said of each window.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Quotas {
    primary: Option<Said>,
    secondary: Option<Said>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    window_minutes: u32,
    used_millipercent: u32,
    resets_at: Option<UnixMs>,
    plan: Text,
}

impl Said {
    fn is_news_after(&self, before: Option<&Self>) -> bool {
        let Some(before) = before else { return true };
        let has_same_end = match (self.resets_at, before.resets_at) {
            (Some(now), Some(then)) => now.0.abs_diff(then.0) <= RESET_WAVERS_MS,
            (now, then) => now == then,
        };
        !has_same_end || Self { resets_at: self.resets_at, ..before.clone() } != *self
    }
}

impl Quotas {
    /// Hands on what is new in the limits.
    pub(super) fn read(
        &mut self,
        limits: &RateLimits<'_>,
        source: &Text,
        time: UnixMs,
        found: &mut Found<'_>,
    ) {
        if limits.limit_id.filled().is_some_and(|id| id != LIMIT_ID) {
            return;
        }
        let plan = limits.plan_type.filled().unwrap_or_default();
        let windows =
            [(&limits.primary.0, &mut self.primary), (&limits.secondary.0, &mut self.secondary)];
        for (window, before) in windows {
            let said = window.as_ref().and_then(|window| said(window, plan, time));
            let Some(said) = said.filter(|said| said.is_news_after(before.as_ref())) else {
                continue;
            };
            found.quota(Quota {
                source: Arc::clone(source),
                time,
                window_minutes: said.window_minutes,
                used_millipercent: said.used_millipercent,
                resets_at: said.resets_at,
                plan: Arc::clone(&said.plan),
            });
            *before = Some(said);
        }
    }
}

fn said(window: &Window, plan: &str, time: UnixMs) -> Option<Said> {
    // Older versions tell the end as a distance.
    let distance = Some(window.resets_in_seconds)
        .filter(|seconds| seconds.is_present())
        .and_then(|seconds| i64::try_from(seconds.or_zero()).ok())
        .map(|seconds| UnixMs(time.0.saturating_add(seconds.saturating_mul(1_000))));
    Some(Said {
        window_minutes: u32::try_from(window.minutes.or_zero()).ok().filter(|m| *m > 0)?,
        used_millipercent: window.used_percent.0?,
        resets_at: window.resets_at.0.or(distance),
        plan: plan.into(),
    })
}

#[cfg(test)]
mod tests {
    use trueup_core::Fact;

    use super::*;
    use crate::json;

    fn read(quotas: &mut Quotas, json: &str, time: i64) -> Vec<(u32, u32, Option<i64>)> {
        let limits: RateLimits<'_> = json::from_slice(json.as_bytes()).unwrap();
        let mut said = Vec::new();
        let mut emit = |batch: trueup_core::Batch| {
            for fact in batch.facts {
                if let Fact::Quota(quota) = fact {
                    let resets_at = quota.resets_at.map(|time| time.0);
                    said.push((quota.window_minutes, quota.used_millipercent, resets_at));
                }
            }
        };
        let mut found = Found::new("codex", "/x", &mut emit);
        quotas.read(&limits, &"codex".into(), UnixMs(time), &mut found);
        found.flush();
        said
    }

    #[test]
    fn only_what_changed_is_said() {
        let mut quotas = Quotas::default();
        let both = r#"{"limit_id":"codex","primary":{"used_percent":12.5,"window_minutes":300,"resets_at":1790697271},
            "secondary":{"used_percent":40,"window_minutes":10080,"resets_at":1790952871},"plan_type":"pro"}"#;
        assert_eq!(
            read(&mut quotas, both, 1),
            [(300, 12_500, Some(1_790_697_271_000)), (10_080, 40_000, Some(1_790_952_871_000))]
        );
        assert_eq!(read(&mut quotas, both, 2), []);
        assert_eq!(read(&mut quotas, &both.replace("1790697271", "1790697300"), 3), []);
        assert_eq!(read(&mut quotas, &both.replace("12.5", "13"), 4).len(), 1);
        assert_eq!(
            read(
                &mut quotas,
                &both.replace("12.5", "99").replace("\"codex\"", "\"codex_other\""),
                5
            ),
            []
        );
    }

    #[test]
    fn older_versions_tell_the_end_as_a_distance() {
        let json = r#"{"primary":{"used_percent":"3","window_minutes":299,"resets_in_seconds":60},"secondary":null}"#;
        assert_eq!(read(&mut Quotas::default(), json, 5_000), [(299, 3_000, Some(65_000))]);
    }
}
