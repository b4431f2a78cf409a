//! Gaps of every class that sums can show, in a world of 35 days, 3 projects, 6 keys and 8 models: parity
//! finds exactly those.

use std::collections::{BTreeMap, BTreeSet};

use provider_sim::{DAY_S, Told};
use serde_json::Value;

use super::world::{Posted, UNPRICED, World, date, price};

/// Days of the world: 35 that are settled, and the three before today, which may still change.
const DAYS: i64 = 38;
/// A model that the provider does not tell of, and that has a price.
const FOREIGN: &str = "gpt-4.1-mini";

/// A difference: which comparison, class, day and model.
type Found = (String, String, String, String);

/// Days and models in which a gap can be seen for itself: a good part of their day.
struct Places {
    rows: BTreeMap<(i64, &'static str), Vec<Told>>,
    used: BTreeSet<i64>,
}

impl Places {
    fn new(world: &World) -> Self {
        let (from, to) = world.settled();
        let mut rows: BTreeMap<(i64, &'static str), Vec<Told>> = BTreeMap::new();
        for row in world.sim.told() {
            if (from..=to).contains(&row.day_s) {
                rows.entry((row.day_s, row.model)).or_default().push(row);
            }
        }
        Self { rows, used: BTreeSet::new() }
    }

    /// One that no other gap uses, nor the day after or before it, and which is so.
    fn take(&mut self, is_so: impl Fn(&Self, i64, &'static str) -> bool) -> (i64, &'static str) {
        let found = self.rows.keys().copied().find(|(day, model)| {
            *model != UNPRICED
                && ![-DAY_S, 0, DAY_S].iter().any(|by| self.used.contains(&(day + by)))
                && (15..80).contains(&self.percent(*day, model))
                && is_so(self, *day, model)
        });
        let (day, model) = found.unwrap();
        self.used.insert(day);
        (day, model)
    }

    fn percent(&self, day: i64, model: &'static str) -> u64 {
        let sum = |rows: &[Told]| rows.iter().map(|row| row.uncached).sum::<u64>();
        let all: u64 = self.of_day(day).map(|(_, rows)| sum(rows)).sum();
        100 * sum(&self.rows[&(day, model)]) / all
    }

    fn of_day(&self, day: i64) -> impl Iterator<Item = (&'static str, &[Told])> {
        let of_day = self.rows.range((day, "")..(day + 1, ""));
        of_day.map(|((_, model), rows)| (*model, rows.as_slice()))
    }

    /// Whether all of a day has a price, so that what is too much there is not made up for by what has none.
    fn is_priced(&self, day: i64) -> bool {
        !self.has(day, UNPRICED)
    }

    /// Days on which the model without a price is more than a hundredth of the cost, or which differ
    /// anyhow.
    fn unpriced(&self, differ: &[i64]) -> Vec<i64> {
        let is_seen = |day: i64| {
            let cost = |rows: &[Told]| rows.iter().map(cost).sum::<u128>();
            let all: u128 = self.of_day(day).map(|(_, rows)| cost(rows)).sum();
            differ.contains(&day) || cost(&self.rows[&(day, UNPRICED)]) * 100 > all
        };
        let days = self.rows.keys().filter(|(_, model)| *model == UNPRICED);
        days.map(|(day, _)| *day).filter(|day| is_seen(*day)).collect()
    }

    fn has(&self, day: i64, model: &'static str) -> bool {
        self.rows.contains_key(&(day, model))
    }

    fn projects(&self, day: i64, model: &'static str) -> BTreeMap<&'static str, u64> {
        let mut projects = BTreeMap::new();
        for row in &self.rows[&(day, model)] {
            *projects.entry(row.project).or_default() += row.uncached;
        }
        projects
    }
}

/// What the simulator charges, in units of 10^-19 dollars.
fn cost(row: &Told) -> u128 {
    let of = |count: u64, price: u128| u128::from(count) * price;
    of(row.uncached, 1_250_000_000_001)
        + of(row.cached, 125_000_000_000)
        + of(row.written, 1_562_500_000_000)
        + of(row.output, 10_000_000_000_003)
}

fn at(call: &Posted, (day, model): (i64, &str)) -> bool {
    (call.row.day_s, call.row.model) == (day, model)
}

/// What a run found in the settled days.
fn found(run: &Value) -> BTreeSet<Found> {
    let text = |of: &Value, field: &str| of[field].as_str().unwrap_or_default().to_owned();
    let findings = run["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|of| {
            let pair = format!("{}-{}", text(of, "left"), text(of, "right"));
            (pair, text(of, "class"), text(of, "day"), text(of, "model"))
        })
        .collect()
}

/// The same in both comparisons of the account.
fn in_both(class: &str, (day, model): (i64, &str)) -> [Found; 2] {
    [in_tokens(class, (day, model)), in_cost(class, (day, model))]
}

fn in_tokens(class: &str, (day, model): (i64, &str)) -> Found {
    ("account-usage".into(), class.into(), date(day), model.into())
}

fn in_cost(class: &str, (day, model): (i64, &str)) -> Found {
    ("account-cost".into(), class.into(), date(day), model.into())
}

#[test]
fn parity_finds_exactly_the_gaps_that_were_made() {
    for seed in [5, 21] {
        gaps_of(seed);
    }
}

fn gaps_of(seed: u64) {
    let world = World::new(seed, DAYS);
    world.pull(3);
    let told = world.sim.told();
    let count =
        |of: fn(&Told) -> &'static str| told.iter().map(of).collect::<BTreeSet<&str>>().len();
    let counts = (count(|row| row.project), count(|row| row.key), count(|row| row.model));
    assert_eq!(counts, (3, 6, 8));
    let mut places = Places::new(&world);
    let mut calls = world.calls();
    let mut expected: BTreeSet<Found> = BTreeSet::new();

    // Nobody tracked a model on a day.
    let untracked = places.take(|_, _, _| true);
    calls.retain(|call| !at(call, untracked));
    expected.extend(in_both("missing_local", untracked));

    // The account has what the provider does not bill.
    let foreign = (places.take(|of, day, _| of.is_priced(day)).0, FOREIGN);
    let pattern = calls.iter().find(|call| call.row.day_s == foreign.0).unwrap().clone();
    let row = Told { model: FOREIGN, uncached: 4_000_000_000, written: 0, ..pattern.row };
    calls.push(Posted { row, ..pattern });
    expected.extend(in_both("missing_provider", foreign));

    // Half of what one of several projects used is not tracked.
    let halved = places.take(|of, day, model| of.projects(day, model).len() > 1);
    let projects = places.projects(halved.0, halved.1);
    let (project, _) = projects.into_iter().max_by_key(|(_, tokens)| *tokens).unwrap();
    for call in calls.iter_mut().filter(|call| at(call, halved) && call.row.project == project) {
        call.row.uncached /= 2;
    }
    expected.insert(in_tokens("mismatch_tokens", halved));
    expected.insert(in_cost("mismatch_cost", halved));

    // More requests than the provider counts, for the same tokens.
    let chatty = places.take(|_, _, _| true);
    let pattern = calls.iter().find(|call| at(call, chatty)).unwrap().clone();
    let row = Told { uncached: 0, cached: 0, written: 0, output: 0, ..pattern.row };
    calls.extend(std::iter::repeat_n(Posted { row, ..pattern }, 9));
    expected.insert(in_tokens("mismatch_requests", chatty));

    // Everything of a model is counted twice.
    let doubled = places.take(|of, day, _| of.is_priced(day));
    let again: Vec<Posted> = calls.iter().filter(|call| at(call, doubled)).cloned().collect();
    calls.extend(again);
    expected.extend(in_both("duplicate_local", doubled));

    // Requests that end after midnight stand on the next day.
    let shifted =
        places.take(|of, day, model| !of.has(day + DAY_S, model) && of.is_priced(day + DAY_S));
    for call in calls.iter_mut().filter(|call| at(call, shifted)) {
        call.at_s = shifted.0 + DAY_S + 600;
    }
    for day in [shifted.0, shifted.0 + DAY_S] {
        expected.extend(in_both("boundary_shift", (day, shifted.1)));
    }

    // The price that is stated holds from another day on.
    let dear = places.take(|of, day, _| of.is_priced(day));
    let wrong = price(dear.1, &date(dear.0), "0.25", "2");
    let right = price(dear.1, &date(dear.0 + DAY_S), "0.1250000000001", "1.0000000000003");
    world.price(&(wrong + &right));
    expected.insert(in_cost("mismatch_cost", dear));

    // A model has no price at all.
    let unpriced = places.unpriced(&[untracked.0, halved.0, shifted.0]);
    expected.extend(unpriced.into_iter().map(|day| in_cost("unpriced", (day, UNPRICED))));

    world.post(&calls);
    let ran = world.parity(&["--format", "json"]);
    assert_eq!(ran.code, Some(1), "seed {seed}: {}", ran.errors);
    let run = ran.json();
    let (missed, made_up): (Vec<_>, Vec<_>) = (
        expected.difference(&found(&run)).cloned().collect(),
        found(&run).difference(&expected).cloned().collect(),
    );
    assert!(missed.is_empty() && made_up.is_empty(), "seed {seed}: {missed:#?} {made_up:#?}");
    ties_out(&world, &run);
    let cell = run["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|of| of["class"] == "mismatch_tokens" && of["right"] == "usage");
    assert_eq!(cell.unwrap()["project"], project, "it is the smallest cell that both tell");
    let unsupported = &run["notices"]["grain_unsupported"]["places"];
    assert!(unsupported.to_string().contains("openai key"), "{unsupported}");
    assert_eq!(
        (&run["comparisons"][0]["days"], run["findings"][0]["severity"].as_str()),
        (&35.into(), Some("fail"))
    );
    // The same again is the same run.
    assert_eq!(world.parity(&["--format", "json"]).text, ran.text);
}

/// What both sides say is the generator's truth, and all of it is accounted for.
fn ties_out(world: &World, run: &Value) {
    let (from, to) = world.settled();
    let truth = world.sim.truth(from, to + DAY_S);
    assert_eq!(run["ties_out"], true);
    let mut seen = 0;
    for pair in run["comparisons"].as_array().unwrap() {
        for line in pair["tie_out"].as_array().unwrap() {
            assert_eq!(line["holds"], true, "{line}");
            let expected = match (line["side"].as_str(), line["quantity"].as_str()) {
                (Some("usage"), Some("in_uncached")) => Value::from(truth.uncached),
                (Some("usage"), Some("in_cache_read")) => truth.cached.into(),
                (Some("usage"), Some("in_cache_write")) => truth.written.into(),
                (Some("usage"), Some("out")) => truth.output.into(),
                (Some("usage"), Some("requests")) => truth.requests.into(),
                (Some("cost"), _) => truth.cost.as_str().into(),
                _ => continue,
            };
            assert_eq!(line["total"], expected, "{line}");
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
}
