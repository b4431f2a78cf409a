//! What a manifest lists is what its rollups say, key by key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use trueup_core::{DAY_MS, UnixMs};
use trueup_telemetry::budget::Caps;
use trueup_telemetry::manifest::{
    Drops, FieldType, Grain, Input, Manifest, Precision, Routes, plan_of,
};
use trueup_telemetry::rollup::{COLUMN_END, Plan, Reason, Value};
use trueup_telemetry::state::{Durability, Recorder};

use crate::manifest::full;
use crate::told::example;
use crate::world::{NOON, deliver, encode, later, seal, store};

/// The names that claude-mem's events have (contract §1.3), and what our own are beside them.
pub(crate) const CLAUDE_MEM: &str = r#"
product = "claude-mem"
env_prefix = "CLAUDE_MEM"
default = "local"
id = "install"

[fields]
outcome = { enum = ["ok", "error", "aborted", "invalid_output"] }
model = { token_max = 64, charset = "model" }
tokens_input = { u64 = true }
tokens_output = { u64 = true }
cost_usd = { usd = true }
duration_ms = { u64 = true }
compression_ms = { u64 = true }
observation_count = { u64 = true }
obs_bugfix = { u64 = true }
obs_other = { u64 = true }
tokens = { u64 = true }
observations_injected = { u64 = true }
tokens_saved_vs_naive = { u64 = true }
injected = { enum = ["ok", "error"] }
window_start_ts = { ts = "ms" }

[[rollup]]
event = "observer_turn_rollup"
key = "session"
grain = "session"
sum = [
  "tokens_input", "tokens_output", "cost_usd",
  { field = "observation_count", as = "observations_created" },
  { field = "obs_bugfix", as = "obs_type_bugfix" },
  { field = "obs_other", as = "obs_type_other" },
]
hist = ["duration_ms", "compression_ms"]
enum = ["outcome"]
top = ["model"]
max_age = "1h"
max_records = 1000

[[rollup]]
event = "context_injected_rollup"
key = "none"
grain = "5m"
sum = ["tokens", "observations_injected", "tokens_saved_vs_naive"]
hist = ["tokens"]
enum = [{ field = "injected", as = "outcomes" }]

[errors]
rollup = "observer_turn_rollup"
"#;

pub(crate) fn parsed(text: &str) -> Manifest {
    Manifest::parse(text, "telemetry.toml").unwrap_or_else(|error| panic!("{error}"))
}

/// A product in a folder of its own.
pub(crate) struct Product {
    pub(crate) folder: TempDir,
    pub(crate) manifest: Manifest,
    pub(crate) plan: Arc<Plan>,
    pub(crate) routes: Routes,
    random: u8,
}

impl Product {
    pub(crate) fn new(manifest: Manifest) -> Self {
        let plan = Arc::new(plan_of(&manifest).unwrap());
        let routes = Routes::of(&manifest, &plan);
        Self { folder: TempDir::new().unwrap(), manifest, plan, routes, random: 0 }
    }

    pub(crate) fn recorder(&mut self, now: UnixMs) -> Recorder {
        self.random += 1;
        let path = self.folder.path();
        let plan = Arc::clone(&self.plan);
        Recorder::open(path, plan, Durability::default(), [self.random; 48], now).unwrap()
    }

    /// Records what the manifest keeps of a bag, and says how many values the sums refused.
    pub(crate) fn record(
        &self,
        recorder: &mut Recorder,
        event: &str,
        bag: &[(&str, Input<'_>)],
        now: UnixMs,
    ) -> u64 {
        let mut drops = Drops::default();
        let kept = self.manifest.accept(event, bag.iter().copied(), &|_| true, &mut drops);
        assert_eq!(drops.total(), 0, "{drops:?}");
        let route = self.routes.event(event).unwrap();
        let mut values = Vec::new();
        let refused = route.values(&kept, &mut values);
        let session = route.needs_session.then(|| recorder.session("a"));
        let ack = recorder.record(route.rollup, session, &values, now);
        assert!(ack.number.is_some());
        refused + ack.refused
    }

    fn note_error(&self, recorder: &mut Recorder, session: Option<&str>, value: &str) {
        let (rollup, field) = self.routes.errors().unwrap();
        let session = session.map(|key| recorder.session(key));
        let ack = recorder.note(rollup, session, &[(field, Value::Text(value))], NOON);
        assert_eq!(ack.refused, 0);
    }

    fn sums(&self) -> Vec<&str> {
        let rollups = self.manifest.rollups.iter();
        let sums = rollups.filter(|it| !matches!(it.grain, Grain::Event { .. }));
        sums.map(|it| it.event.as_str()).collect()
    }

    /// All events of the day after, as what was recorded is merged into its day.
    pub(crate) fn of_the_day(&self) -> Vec<Json> {
        let caps = Caps { events_per_day: 64, hard_cap: 64, bytes_per_day: 1 << 30, ..none() };
        let mut store = store(self.folder.path(), Arc::clone(&self.plan), caps);
        seal(&mut store, None, later(NOON, DAY_MS));
        deliver(&mut store, later(NOON, DAY_MS))
    }
}

pub(crate) fn none() -> Caps {
    Caps { events_per_day: 0, requests_per_day: 1_000, ..Caps::default() }
}

/// The keys that each rollup said, when every field came.
fn said(manifest: &Manifest) -> BTreeMap<String, BTreeSet<String>> {
    let mut product = Product::new(manifest.clone());
    let mut recorder = product.recorder(NOON);
    for event in product.sums() {
        let fields: BTreeSet<&str> = manifest
            .told()
            .iter()
            .filter(|told| told.event == Some(event))
            .filter_map(|told| told.from)
            .map(|id| manifest.name(id))
            .collect();
        let bag: Vec<_> = fields
            .into_iter()
            .map(|name| {
                (name, example(&manifest.field(manifest.find(name).unwrap()).unwrap().holds))
            })
            .collect();
        assert_eq!(product.record(&mut recorder, event, &bag, NOON), 0, "{event}");
    }
    if manifest.errors.is_some() {
        product.note_error(&mut recorder, Some("a"), "f\u{1f}Kind\u{1f}failed");
    }
    assert!(recorder.persist(NOON));
    // Without a shutdown: so that it is recovered, and, where no event has room, merged.
    drop(recorder);
    let mut closed = store(product.folder.path(), Arc::clone(&product.plan), none());
    seal(&mut closed, None, NOON);
    let events = product.of_the_day();
    let keys = |event: &Json| event["properties"].as_object().unwrap().keys().cloned().collect();
    events.iter().map(|event| (event["event"].as_str().unwrap().to_owned(), keys(event))).collect()
}

fn told(manifest: &Manifest) -> BTreeMap<String, BTreeSet<String>> {
    let sums = manifest.rollups.iter().filter(|it| !matches!(it.grain, Grain::Event { .. }));
    let own = |event: &str| {
        let told = manifest.told().into_iter().filter(|told| told.event == Some(event));
        told.map(|told| told.key).collect()
    };
    sums.map(|it| (it.event.clone(), own(&it.event))).collect()
}

#[test]
fn every_key_that_is_told_comes_out_of_the_rollup_and_no_other() {
    let own = include_str!("../../../trueup/telemetry.toml");
    for manifest in [full(), parsed(own), parsed(CLAUDE_MEM)] {
        assert_eq!(said(&manifest), told(&manifest), "{}", manifest.product);
    }
}

#[test]
fn a_manifest_without_rollups_adds_nothing_up() {
    let manifest = parsed("product = \"p\"\nenv_prefix = \"P\"\n");
    let plan = plan_of(&manifest).unwrap();
    assert!(plan.is_empty());
    let routes = Routes::of(&manifest, &plan);
    assert!(routes.errors().is_none() && routes.event("turns").is_none());
}

#[test]
fn an_event_of_which_each_record_is_told_has_no_place_in_the_plan() {
    let manifest = full();
    let plan = plan_of(&manifest).unwrap();
    assert_eq!(plan.len(), 2);
    assert!(plan.rollup("crashed").is_none());
}

#[test]
fn a_budget_becomes_the_ceilings_of_a_day() {
    let budget = full().budget;
    let caps = Caps { exceptions_per_day: 2, ..Caps::default() };
    assert_eq!(budget.caps(), caps);
}

#[test]
fn claude_mems_names_come_out_with_the_sums_of_its_records() {
    let mut product = Product::new(parsed(CLAUDE_MEM));
    let mut recorder = product.recorder(NOON);
    let turns =
        [(1_000_u64, "ok", "a/b", 0.1), (1_100, "error", "c", 0.2), (1_200, "ok", "c", 0.3)];
    for (tokens, outcome, model, dollars) in turns {
        let bag = [
            ("tokens_input", Input::U64(tokens)),
            ("tokens_output", Input::U64(1)),
            ("cost_usd", Input::F64(dollars)),
            ("duration_ms", Input::U64(tokens / 10)),
            ("compression_ms", Input::F64(5.0)),
            ("outcome", Input::Text(outcome)),
            ("model", Input::Text(model)),
            ("observation_count", Input::U64(2)),
            ("obs_bugfix", Input::U64(1)),
            ("obs_other", Input::U64(1)),
        ];
        product.record(&mut recorder, "observer_turn_rollup", &bag, NOON);
    }
    let caps = Caps { events_per_day: 9, hard_cap: 9, ..Caps::default() };
    let mut store = store(product.folder.path(), Arc::clone(&product.plan), caps);
    let session = recorder.session("a");
    recorder.end(session, NOON);
    let handed = recorder.hand_over(NOON);
    store.seal(Some(&handed), NOON, &mut encode).unwrap();
    let events = deliver(&mut store, NOON);
    let expected = json!({
        "count": 3,
        "total_tokens_input": 3_300,
        "total_tokens_output": 3,
        "total_cost_usd": 0.6,
        "avg_duration_ms": 110,
        "p50_duration_ms": 110,
        "p95_duration_ms": 120,
        "max_duration_ms": 120,
        "avg_compression_ms": 5,
        "p50_compression_ms": 5,
        "p95_compression_ms": 5,
        "max_compression_ms": 5,
        "outcomes_ok": 2,
        "outcomes_error": 1,
        "outcomes_aborted": 0,
        "outcomes_invalid_output": 0,
        "observations_created": 6,
        "obs_type_bugfix": 3,
        "obs_type_other": 3,
        "top_model": "c",
        "errors": [],
        "errors_count": 0,
        "errors_other_count": 0,
        "window_start_ts": NOON.0,
        "rollup_reason": "session_end",
        "window_seq": 0,
    });
    let mut found = events[0]["properties"].clone();
    // The middle of a histogram's bucket, at most 1/32 off.
    for (key, exact) in [("p50_duration_ms", 110), ("p95_duration_ms", 120)] {
        let said = found[key].as_i64().unwrap();
        assert!((said - exact).abs() * 32 <= exact, "{key}: {said}");
        found[key] = json!(exact);
    }
    assert_eq!(found, expected);
}

#[test]
fn errors_are_counted_and_leave_records_as_they_are() {
    let mut product = Product::new(parsed(CLAUDE_MEM));
    let mut recorder = product.recorder(NOON);
    let bag = [("tokens_input", Input::U64(7))];
    product.record(&mut recorder, "observer_turn_rollup", &bag, NOON);
    for (session, value) in
        [(None, "b"), (Some("a"), "a"), (None, "a"), (Some("z"), "b"), (None, "b")]
    {
        let value = format!("{value}{COLUMN_END}Kind{COLUMN_END}failed");
        product.note_error(&mut recorder, session, &value);
    }
    let mut closed = store(product.folder.path(), Arc::clone(&product.plan), none());
    closed.shut_down(recorder, NOON, &mut encode).unwrap();
    let events = product.of_the_day();
    assert_eq!(events.len(), 1);
    let properties = &events[0]["properties"];
    assert_eq!(properties["count"], 1);
    assert_eq!(properties["total_tokens_input"], 7);
    assert_eq!(properties["errors_count"], 5);
    assert_eq!(properties["errors_other_count"], 0);
    let listed = json!([
        { "fingerprint": "b", "type": "Kind", "message": "failed", "count": 3 },
        { "fingerprint": "a", "type": "Kind", "message": "failed", "count": 2 },
    ]);
    assert_eq!(properties["errors"], listed);
}

#[test]
fn an_error_without_a_session_takes_no_event_of_its_own() {
    let mut product = Product::new(parsed(CLAUDE_MEM));
    let mut recorder = product.recorder(NOON);
    product.note_error(&mut recorder, None, "a");
    let caps = Caps { events_per_day: 9, hard_cap: 9, ..Caps::default() };
    let mut store = store(product.folder.path(), Arc::clone(&product.plan), caps);
    let sealed = store.shut_down(recorder, NOON, &mut encode).unwrap();
    assert_eq!((sealed.queued, sealed.merged), (0, 1));
    let later = later(NOON, DAY_MS);
    seal(&mut store, None, later);
    let events = deliver(&mut store, later);
    assert_eq!(events[0]["properties"]["errors_count"], 1);
    assert_eq!(events[0]["reason"], json!(Reason::BudgetMerge));
}

#[test]
fn errors_of_a_process_that_was_killed_take_no_event_of_their_own() {
    let mut product = Product::new(parsed(CLAUDE_MEM));
    let caps = Caps { events_per_day: 9, hard_cap: 9, ..Caps::default() };
    let mut store = store(product.folder.path(), Arc::clone(&product.plan), caps);
    for _ in 0..20 {
        let mut recorder = product.recorder(NOON);
        product.note_error(&mut recorder, None, "a");
        assert!(recorder.persist(NOON));
        drop(recorder);
        let sealed = seal(&mut store, None, NOON);
        assert_eq!((sealed.queued, sealed.merged), (0, 1));
    }
    seal(&mut store, None, later(NOON, DAY_MS));
    let events = deliver(&mut store, later(NOON, DAY_MS));
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["properties"]["errors_count"], 20);
    assert_eq!(events[0]["properties"]["recovered_rollups"], 20);
}

#[test]
fn what_a_sum_cannot_hold_is_refused_and_the_rest_taken() {
    let mut product = Product::new(full());
    let mut recorder = product.recorder(NOON);
    let bag = [
        ("tokens_input", Input::U64(u64::MAX)),
        ("load", Input::F64(1e15)),
        ("duration_ms", Input::U64(3)),
    ];
    assert_eq!(product.record(&mut recorder, "observer_turn_rollup", &bag, NOON), 2);
    let bag = [("load", Input::F64(-0.5)), ("balance", Input::I64(-3))];
    assert_eq!(product.record(&mut recorder, "observer_turn_rollup", &bag, NOON), 1);
    let bag = [("load", Input::F64(0.25))];
    assert_eq!(product.record(&mut recorder, "observer_turn_rollup", &bag, NOON), 0);
    let mut closed = store(product.folder.path(), Arc::clone(&product.plan), none());
    closed.shut_down(recorder, NOON, &mut encode).unwrap();
    let properties = &product.of_the_day()[0]["properties"];
    assert_eq!(properties["total_tokens_input"], 0);
    assert_eq!(properties["total_balance"], -3);
    assert_eq!(properties["avg_duration_ms"], 3);
    assert_eq!((&properties["avg_load"], &properties["max_load"]), (&json!(0.25), &json!(0.25)));
}

/// A manifest with one rollup of these fields, some under names as long as names may be.
fn generated(lists: &[(usize, usize, bool)], grain: &str) -> String {
    const LISTS: [(&str, &[&str]); 4] = [
        ("sum", &["tokens", "balance", "cost"]),
        ("hist", &["tokens", "load", "cost"]),
        ("enum", &["outcome", "flag"]),
        ("top", &["outcome", "model", "version"]),
    ];
    let long = format!("outcome = {{ enum = [\"ok\", \"{}\"] }}", "w".repeat(64));
    let mut text = format!(
        "product = \"p\"\nenv_prefix = \"P\"\n[fields]\ntokens = {{ u64 = true }}\n\
         balance = {{ i64 = true }}\ncost = {{ usd = true }}\nload = {{ f64 = true }}\n{long}\n\
         flag = {{ bool = true }}\nmodel = {{ token_max = 64, charset = \"model\" }}\n\
         version = {{ semver = true }}\n[[rollup]]\nevent = \"turns\"\ngrain = \"{grain}\"\n"
    );
    if grain == "session" {
        text.push_str("max_age = \"1h\"\nmax_records = 10\n");
    }
    for (place, (list, fields)) in LISTS.into_iter().enumerate() {
        let mut names = BTreeMap::new();
        for (_, field, is_renamed) in lists.iter().filter(|(list, ..)| *list == place) {
            let field = fields[field % fields.len()];
            let key = format!("{}{list}{field}", "k".repeat(64 - list.len() - field.len()));
            let renamed = format!("{{ field = \"{field}\", as = \"{key}\" }}");
            names.insert(field, if *is_renamed { renamed } else { format!("\"{field}\"") });
        }
        let names: Vec<_> = names.into_values().collect();
        text = format!("{text}{list} = [{}]\n", names.join(", "));
    }
    text.push_str("[errors]\nrollup = \"turns\"\ntop = 3\n");
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_a_manifest_may_list_comes_out(
        lists in prop::collection::vec((0..4_usize, 0..3_usize, any::<bool>()), 0..14),
        grain in prop::sample::select(vec!["session", "5m", "1d"]),
    ) {
        let manifest = parsed(&generated(&lists, grain));
        prop_assert_eq!(said(&manifest), told(&manifest));
    }
}

#[test]
fn a_window_begins_as_exactly_as_the_manifest_says() {
    for (precision, start) in [("day", 20_778 * DAY_MS), ("hour", NOON.0), ("ms", NOON.0 + 61_001)]
    {
        let text = format!(
            "product = \"p\"\nenv_prefix = \"P\"\n[fields]\nwindow_start_ts = {{ ts = \"{precision}\" }}\n\
             [[rollup]]\nevent = \"e\"\ngrain = \"1d\"\n"
        );
        let manifest = parsed(&text);
        let is_time = |holds: &FieldType| matches!(holds, FieldType::Time(it) if *it == manifest.rollups[0].start);
        assert!(manifest.fields.iter().all(|field| is_time(&field.holds)));
        let mut product = Product::new(manifest);
        let mut recorder = product.recorder(NOON);
        product.record(&mut recorder, "e", &[], UnixMs(NOON.0 + 61_001));
        assert!(recorder.persist(NOON));
        drop(recorder);
        let events = product.of_the_day();
        assert_eq!(events[0]["properties"]["window_start_ts"], start, "{precision}");
    }
    assert_eq!(
        Precision::Day,
        parsed(include_str!("../../../trueup/telemetry.toml")).rollups[0].start
    );
}
