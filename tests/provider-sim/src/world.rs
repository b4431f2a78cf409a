//! The world: what was used, by day, project, key, user, model and tier, and what it cost.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::rng::Rng;

/// Seconds of a day.
pub const DAY_S: i64 = 86_400;

/// What world to make.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The same seed is the same world.
    pub seed: u64,
    /// Where the last day begins, in seconds since 1970.
    pub today_s: i64,
    /// How many days there are, the last among them.
    pub days: i64,
    /// Buckets on a page at most, whatever is asked for.
    pub page_buckets: usize,
    /// Whether amounts and fields are as they were seen live, rather than as described.
    pub is_live: bool,
    /// Whether Anthropic's analytics are offered.
    pub has_analytics: bool,
    /// Requests of a row at most.
    pub requests_max: u64,
    /// Dimensions that are refused.
    pub refused_dims: Vec<&'static str>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 7,
            today_s: today(),
            days: 12,
            page_buckets: 5,
            is_live: false,
            has_analytics: false,
            requests_max: 5_000,
            refused_dims: Vec::new(),
        }
    }
}

/// Where the present day begins, in seconds since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the program that is tested reads the clock, too")]
pub fn today() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(0);
    now - now % DAY_S
}

/// Usage that is told as one row when everything is told apart.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Where its day begins.
    pub(crate) day_s: i64,
    pub(crate) project: &'static str,
    pub(crate) key: &'static str,
    pub(crate) user: Option<&'static str>,
    pub(crate) model: &'static str,
    pub(crate) tier: &'static str,
    pub(crate) is_batch: bool,
    pub(crate) counts: Counts,
    /// The stage at which it is first told: most at once, some late.
    arrives: u32,
    /// The stage at which its output is corrected, and by how much.
    corrected: Option<(u32, u64)>,
}

/// Disjoint counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) uncached: u64,
    pub(crate) cached: u64,
    pub(crate) written: u64,
    pub(crate) output: u64,
    pub(crate) requests: u64,
}

impl Counts {
    pub(crate) const fn add(&mut self, other: Self) {
        self.uncached += other.uncached;
        self.cached += other.cached;
        self.written += other.written;
        self.output += other.output;
        self.requests += other.requests;
    }

    /// What it costs, in units of 10^-19 dollars: more digits than a float holds.
    pub(crate) fn cost_e19(self) -> i128 {
        let of = |count: u64, price: i128| i128::from(count) * price;
        of(self.uncached, 1_250_000_000_001)
            + of(self.cached, 125_000_000_000)
            + of(self.written, 1_562_500_000_000)
            + of(self.output, 10_000_000_000_003)
    }
}

/// Everything that was used.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) entries: Vec<Entry>,
    /// How far time has gone on: late usage arrives, and corrections are made.
    pub(crate) stage: u32,
}

/// What should be known of some days, all of it from the generator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Rows, when everything is told apart.
    pub rows: u64,
    /// Uncached prompt tokens.
    pub uncached: u64,
    /// Prompt tokens from caches.
    pub cached: u64,
    /// Prompt tokens written to caches.
    pub written: u64,
    /// Completion tokens.
    pub output: u64,
    /// Requests.
    pub requests: u64,
    /// Dollars, exactly.
    pub cost: String,
}

/// Usage as it is told when everything is told apart: what a local side can be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what a provider calls so")]
pub struct Told {
    pub day_s: i64,
    pub project: &'static str,
    pub key: &'static str,
    pub model: &'static str,
    pub tier: &'static str,
    pub is_batch: bool,
    pub uncached: u64,
    pub cached: u64,
    pub written: u64,
    pub output: u64,
    pub requests: u64,
}

pub(crate) const PROJECTS: &[&str] = &["proj_alpha", "proj_beta", "proj_gamma"];
pub(crate) const KEYS: &[&str] = &["key_1", "key_2", "key_3", "key_4", "key_5", "key_6"];
const USERS: &[&str] = &["", "user-a", "user-b"];
const MODELS: &[&str] = &[
    "gpt-4.1-2025-04-14",
    "gpt-4o-mini-2024-07-18",
    "ft:gpt-4.1-2025-04-14:acme::Ab1",
    "o3-2025-04-16",
    "gpt-5",
    "gpt-5-mini",
    "claude-opus-4-6",
    "claude-haiku-4-5",
];
const TIERS: &[&str] = &["default", "flex", "priority"];

/// Rows of one day at most.
const ROWS_MAX: u64 = 24;

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut rng = Rng::new(plan.seed);
        let mut entries = Vec::new();
        for age in (0..plan.days).rev() {
            let day_s = plan.today_s - age * DAY_S;
            // One day in seven is empty, told, and holds nothing. It is counted from the present day, so
            // that a seed is the same world on whichever day of the week it is made.
            let is_rest = age % 7 == 6;
            let rows = if is_rest { 0 } else { 1 + rng.below(ROWS_MAX) };
            let mut seen = BTreeSet::new();
            for _ in 0..rows {
                let entry = entry(day_s, plan.requests_max, &mut rng);
                let Entry { project, key, user, model, tier, is_batch, .. } = &entry;
                if seen.insert((*project, *key, *user, *model, *tier, *is_batch)) {
                    entries.push(entry);
                }
            }
        }
        Self { plan, entries, stage: 0 }
    }

    /// What is told at this stage.
    pub(crate) fn told(&self) -> impl Iterator<Item = (&Entry, Counts)> {
        self.entries.iter().filter(|entry| entry.arrives <= self.stage).map(|entry| {
            let more = entry.corrected.filter(|(stage, _)| *stage <= self.stage);
            let output = entry.counts.output + more.map_or(0, |(_, more)| more);
            (entry, Counts { output, ..entry.counts })
        })
    }

    /// The same, for those who make the other side of it.
    pub(crate) fn rows(&self) -> Vec<Told> {
        let rows = self.told().map(|(entry, counts)| {
            let Counts { uncached, cached, written, output, requests } = counts;
            let Entry { day_s, project, key, model, tier, is_batch, .. } = *entry;
            Told {
                day_s,
                project,
                key,
                model,
                tier,
                is_batch,
                uncached,
                cached,
                written,
                output,
                requests,
            }
        });
        rows.collect()
    }

    /// The truth about the days in `from_s..until_s`.
    pub(crate) fn truth(&self, from_s: i64, until_s: i64) -> Truth {
        let mut sum = Counts::default();
        let (mut rows, mut cost) = (0, 0);
        for (entry, counts) in self.told() {
            if (from_s..until_s).contains(&entry.day_s) {
                rows += 1;
                cost += counts.cost_e19();
                sum.add(counts);
            }
        }
        let Counts { uncached, cached, written, output, requests } = sum;
        Truth { rows, uncached, cached, written, output, requests, cost: decimal(cost) }
    }
}

fn entry(day_s: i64, requests_max: u64, rng: &mut Rng) -> Entry {
    let uncached = rng.below(9_000_000_000);
    let user = rng.pick(USERS);
    Entry {
        day_s,
        project: rng.pick(PROJECTS),
        key: rng.pick(KEYS),
        user: Some(user).filter(|user| !user.is_empty()),
        model: rng.pick(MODELS),
        tier: rng.pick(TIERS),
        is_batch: rng.below(5) == 0,
        counts: Counts {
            uncached,
            cached: rng.below(1_000_000),
            written: rng.below(50_000),
            output: rng.below(3_000_000),
            requests: 1 + rng.below(requests_max),
        },
        arrives: u32::from(rng.below(10) == 0),
        corrected: (rng.below(10) == 0).then(|| (2, 1 + rng.below(1_000))),
    }
}

/// Units of 10^-19 as a decimal, without zeros at its end.
pub(crate) fn decimal(units_e19: i128) -> String {
    let unit = 10_i128.pow(19);
    let fraction = format!("{:019}", units_e19 % unit);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        (units_e19 / unit).to_string()
    } else {
        format!("{}.{fraction}", units_e19 / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_world_and_time_changes_it() {
        let plan = Plan { today_s: 1_763_596_800, ..Plan::default() };
        let (mut one, two) = (World::new(plan.clone()), World::new(plan));
        let truth = |world: &World| world.truth(0, i64::MAX);
        assert_eq!(truth(&one), truth(&two));
        one.stage = 1;
        assert!(truth(&one).rows > truth(&two).rows, "late usage arrives");
        let late = truth(&one);
        one.stage = 2;
        assert!(truth(&one).output > late.output && truth(&one).rows == late.rows);
    }

    #[test]
    fn amounts_are_written_exactly() {
        assert_eq!(decimal(10_i128.pow(19)), "1");
        assert_eq!(decimal(1), "0.0000000000000000001");
    }
}
