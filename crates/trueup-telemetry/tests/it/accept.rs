//! What of a record is kept: what its event has, of its type, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;
use trueup_core::NanoUsd;
use trueup_telemetry::manifest::{
    DROPS_MAX, Drops, Field, FieldType, Input, Manifest, PROPERTIES_MAX, Reason, Value,
};

use crate::manifest::full;

fn kept(event: &str, key: &str, input: Input<'_>) -> Result<Value, Reason> {
    let manifest = full();
    let mut drops = Drops::default();
    let kept = manifest.accept(event, [(key, input)], &|_| true, &mut drops);
    match (kept.as_slice(), drops.iter().next()) {
        ([(id, value)], None) if manifest.name(*id) == key => Ok(value.clone()),
        ([], Some((_, reason, 1))) => Err(reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn check_10_a_value_outside_its_enum_is_dropped_and_counted() {
    let manifest = full();
    let mut drops = Drops::default();
    for outcome in ["ok", "OK", "error ", "ok", "stolen secret"] {
        let bag = [("outcome", Input::Text(outcome)), ("tokens_input", Input::U64(1))];
        let kept = manifest.accept("observer_turn_rollup", bag, &|_| true, &mut drops);
        assert_eq!(kept.len(), if outcome == "ok" { 2 } else { 1 });
    }
    let counted: Vec<_> = drops.iter().collect();
    assert_eq!(counted, [("outcome", Reason::NotInEnum, 3)]);
}

#[test]
fn values_are_of_their_types() {
    let word = |text: &str| Ok(Value::Word(text.into()));
    let token = |text: &str| Ok(Value::Token(text.into()));
    let turn = "observer_turn_rollup";
    let cases: Vec<(&str, &str, Input<'_>, Result<Value, Reason>)> = vec![
        (turn, "tokens_input", Input::U64(u64::MAX), Ok(Value::U64(u64::MAX))),
        (turn, "tokens_input", Input::F64(5.0), Ok(Value::U64(5))),
        (turn, "tokens_input", Input::F64(5.5), Err(Reason::WrongType)),
        (turn, "tokens_input", Input::F64(f64::NAN), Err(Reason::OutOfRange)),
        (turn, "tokens_input", Input::F64(1e300), Err(Reason::OutOfRange)),
        (turn, "tokens_input", Input::I64(-1), Err(Reason::OutOfRange)),
        (turn, "tokens_input", Input::Text("5"), Err(Reason::WrongType)),
        (turn, "tokens_input", Input::Nested, Err(Reason::WrongType)),
        (turn, "balance", Input::I64(i64::MIN), Ok(Value::I64(i64::MIN))),
        (turn, "balance", Input::U64(u64::MAX), Err(Reason::OutOfRange)),
        (turn, "load", Input::F64(0.1), Ok(Value::F64(0.1))),
        (turn, "load", Input::U64(2), Ok(Value::F64(2.0))),
        (turn, "load", Input::F64(f64::INFINITY), Err(Reason::OutOfRange)),
        (turn, "cost_usd", Input::F64(0.1), Ok(Value::Usd(NanoUsd(100_000_000)))),
        (turn, "cost_usd", Input::F64(1.5e-7), Ok(Value::Usd(NanoUsd(150)))),
        (turn, "cost_usd", Input::U64(3), Ok(Value::Usd(NanoUsd(3_000_000_000)))),
        (turn, "cost_usd", Input::Text("0.000764"), Ok(Value::Usd(NanoUsd(764_000)))),
        (turn, "cost_usd", Input::Text("free"), Err(Reason::WrongType)),
        (turn, "cost_usd", Input::F64(1e12), Err(Reason::OutOfRange)),
        (turn, "cost_usd", Input::F64(f64::NAN), Err(Reason::OutOfRange)),
        (turn, "is_wsl", Input::Bool(true), Ok(Value::Bool(true))),
        (turn, "is_wsl", Input::U64(1), Err(Reason::WrongType)),
        (turn, "outcome", Input::Text("ok"), word("ok")),
        (turn, "outcome", Input::Bool(true), Err(Reason::WrongType)),
        (turn, "version", Input::Text("1.2.3"), token("1.2.3")),
        (turn, "version", Input::Text("1.2.3-rc.1+git.alice"), token("1.2.3-rc.1")),
        (turn, "version", Input::Text("1.2.3-nightly20261120"), token("1.2.3-nightly20261120")),
        (turn, "version", Input::Text("1.2.3-acme-merger"), Err(Reason::NotAToken)),
        (turn, "version", Input::Text("1.2"), Err(Reason::NotAToken)),
        (turn, "version", Input::Text("1.2.555123456789"), Err(Reason::NotAToken)),
        (turn, "model", Input::Text("claude-opus-4-5-20991231"), token("claude-opus-4-5-20991231")),
        (
            turn,
            "model",
            Input::Text("openrouter/anthropic/claude-4:free"),
            token("openrouter/anthropic/claude-4:free"),
        ),
        (turn, "model", Input::Text("/home/alice/model.gguf"), Err(Reason::NotAToken)),
        (turn, "model", Input::Text("home/alice/secret/model.gguf"), Err(Reason::NotAToken)),
        (turn, "model", Input::Text("C:/Users/alice"), Err(Reason::NotAToken)),
        (turn, "model", Input::Text("../alice"), Err(Reason::NotAToken)),
        (turn, "model", Input::Text("https://h/x"), Err(Reason::NotAToken)),
        (turn, "model", Input::Text("alice@h"), Err(Reason::NotAToken)),
        (turn, "model", Input::Text("my model"), Err(Reason::NotAToken)),
        (turn, "model", Input::Text("m-4111111111111111"), Err(Reason::NotAToken)),
        (turn, "model", Input::Text(""), Err(Reason::NotAToken)),
        ("crashed", "editor", Input::Text("VS-Code_1.2"), token("VS-Code_1.2")),
        ("crashed", "editor", Input::Text("a/b"), Err(Reason::NotAToken)),
        ("crashed", "editor", Input::Text("a-name-of-21-letters-"), Err(Reason::NotAToken)),
        ("crashed", "seen_ts", Input::U64(1_795_000_059_999), Ok(Value::U64(1_795_000_020_000))),
        ("crashed", "seen_ts", Input::U64(1_795_000_000), Err(Reason::OutOfRange)),
        ("crashed", "tokens_input", Input::U64(1), Err(Reason::UnknownKey)),
        ("crashed", "$set", Input::Nested, Err(Reason::UnknownKey)),
        ("installed", "channel", Input::Text("nightly-2"), token("nightly-2")),
        ("installed", "channel", Input::Text("Nightly"), Err(Reason::NotAToken)),
        ("installed", "installed_on", Input::Text("2026-11-20"), token("2026-11-20")),
        ("installed", "installed_on", Input::Text("2026-02-30"), Err(Reason::NotAToken)),
        ("installed", "installed_on", Input::Text("2026-11-20T01:02:03"), Err(Reason::NotAToken)),
        ("installed", "installed_on", Input::Text("2028-02-29"), token("2028-02-29")),
        ("installed", "installed_on", Input::Text("1999-12-31"), Err(Reason::NotAToken)),
        ("installed", "installed_on", Input::Text("2026-1-120"), Err(Reason::NotAToken)),
        ("installed", "installed_on", Input::Text("2026-11-+1"), Err(Reason::NotAToken)),
        ("installed", "installed_on", Input::Text("2026-11-20-"), Err(Reason::NotAToken)),
        ("nobody", "tokens_input", Input::U64(1), Err(Reason::UnknownEvent)),
    ];
    for (event, key, input, expected) in cases {
        assert_eq!(kept(event, key, input), expected, "{event}.{key} = {input:?}");
    }
}

#[test]
fn a_token_is_kept_only_if_the_redactor_passes_it() {
    let manifest = full();
    let mut drops = Drops::default();
    let bag = || [("model", Input::Text("acme-merger")), ("outcome", Input::Text("ok"))];
    let kept =
        manifest.accept("observer_turn_rollup", bag(), &|text| text != "acme-merger", &mut drops);
    assert_eq!(kept.len(), 1);
    assert_eq!(drops.iter().collect::<Vec<_>>(), [("model", Reason::NotClean, 1)]);
}

#[test]
fn drops_are_bounded_and_keep_no_text() {
    let manifest = full();
    let mut drops = Drops::default();
    let keys: Vec<String> = (0..1_000).map(|at| format!("key_{at}")).collect();
    for key in &keys {
        manifest.accept("crashed", [(key.as_str(), Input::Nested)], &|_| true, &mut drops);
    }
    let secret = "password = hunter2";
    manifest.accept("crashed", [(secret, Input::Nested)], &|_| true, &mut drops);
    assert_eq!(drops.total(), 1_001);
    assert!(drops.iter().count() <= DROPS_MAX + 9);
    assert!(!format!("{drops:?}").contains("hunter2"));
    let mut drops = Drops::default();
    let many = (0..=PROPERTIES_MAX).map(|_| ("outcome", Input::Text("ok")));
    assert_eq!(manifest.accept("crashed", many, &|_| true, &mut drops).len(), 1);
    let reasons: Vec<_> = drops.iter().map(|(_, reason, count)| (reason, count)).collect();
    assert_eq!(reasons, [(Reason::TooMany, 1), (Reason::Twice, PROPERTIES_MAX as u64 - 1)]);
}

/// Whether a value is of a field's type, said in other words than those of the code.
fn is_typed(field: &Field, value: &Value) -> bool {
    let json = match value {
        Value::Token(text) => text.to_string(),
        Value::Word(word) => word.to_string(),
        Value::Bool(_) | Value::U64(_) | Value::I64(_) | Value::F64(_) | Value::Usd(_) => {
            String::new()
        }
    };
    let is_short = json.chars().count() <= 64 && json.is_ascii() && !json.contains(' ');
    is_short
        && match (&field.holds, value) {
            (FieldType::Bool, Value::Bool(_)) => true,
            (FieldType::U64, Value::U64(_)) => true,
            (FieldType::Time(_), Value::U64(ms)) => ms % 60_000 == 0,
            (FieldType::I64, Value::I64(_)) => true,
            (FieldType::Usd, Value::Usd(_)) => true,
            (FieldType::F64, Value::F64(number)) => !number.is_nan() && number.abs() <= f64::MAX,
            (FieldType::Enum(words), Value::Word(word)) => words.contains(word),
            (FieldType::Semver, Value::Token(text)) => text.split('.').count() >= 3,
            (FieldType::Day, Value::Token(text)) => {
                text.len() == 10 && text.split('-').count() == 3
            }
            (FieldType::Token { chars_max, .. }, Value::Token(text)) => text.len() <= *chars_max,
            _ => false,
        }
}

/// Chance from a seed: generators of whole texts and trees would take longer than what they test.
struct Dice(u64);

impl Dice {
    /// The next of the sequence that is called `SplitMix64`.
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end as u64).unwrap()
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// A text of characters from a set, or of any.
    fn text(&mut self, set: &str) -> String {
        let set: Vec<char> = set.chars().collect();
        let any =
            |roll: u64| char::from_u32(u32::try_from(roll % 0x11_0000).unwrap()).unwrap_or('\0');
        (0..self.below(80))
            .map(|_| if set.is_empty() { any(self.roll()) } else { *self.of(&set) })
            .collect()
    }

    fn key(&mut self) -> String {
        match self.below(6) {
            0 => self.text(""),
            1 => self.text("abc_"),
            2 => (*self.of(&[
                "__proto__",
                "$set",
                "count",
                "total_tokens_input",
                "Outcome",
                " model",
            ]))
            .to_owned(),
            _ => self.of(&MANIFEST.fields).name.clone(),
        }
    }

    /// A value that a hostile or careless caller could give.
    fn value(&mut self) -> Hostile {
        const SET: &str = "ABYZabyz0189._:/-";
        const ODD: [f64; 7] =
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MAX, f64::MIN_POSITIVE, 5.0];
        const LIKELY: [&str; 9] = [
            "ok",
            "1.2.3",
            "linux",
            "2026-11-20",
            "claude-opus-4-5",
            "1.2.3-rc.1+git",
            "0.25",
            "true",
            "a/b",
        ];
        match self.below(12) {
            0 => Hostile::Json(json!({"a": {"b": [{"outcome": "ok"}]}})),
            1 => Hostile::Json(json!([[[["deep"]]], null])),
            2 => Hostile::Json(json!(null)),
            3 => Hostile::Json(json!(self.roll().is_multiple_of(2))),
            4 => Hostile::Json(json!(self.roll())),
            5 => Hostile::Json(json!(1_700_000_000_000 + self.roll() % 100_000_000_000)),
            6 => Hostile::Json(json!(self.roll().cast_signed() >> (self.roll() % 64))),
            7 => Hostile::Number(*self.of(&ODD)),
            8 => Hostile::Number(f64::from_bits(self.roll())),
            9 => {
                let set = *self.of(&["", SET, "0189", "abc -|<>"]);
                Hostile::Json(json!(self.text(set)))
            }
            10 => {
                let length = *self.of(&[64, 65, 4_096, 1_000_000]);
                Hostile::Long(self.of(&*LONG).get(..length).unwrap())
            }
            _ => Hostile::Json(json!(self.of(&LIKELY))),
        }
    }
}

/// A value of a hostile bag.
#[derive(Debug)]
enum Hostile {
    Json(serde_json::Value),
    Number(f64),
    /// A text of up to a megabyte.
    Long(&'static str),
}

/// What the next test would say if nothing were ever kept: nothing.
#[test]
fn hostile_bags_have_a_good_value_for_every_field() {
    let (mut dice, mut drops) = (Dice(1), Drops::default());
    let mut seen = BTreeSet::new();
    for _ in 0..20_000 {
        let (key, value) = (dice.key(), dice.value());
        let Hostile::Json(json) = &value else { continue };
        for event in RECORDED.keys() {
            let kept =
                MANIFEST.accept(event, [(key.as_str(), Input::from(json))], &|_| true, &mut drops);
            seen.extend(kept.iter().map(|(id, _)| MANIFEST.name(*id).to_owned()));
        }
    }
    let recorded: BTreeSet<String> =
        RECORDED.values().flatten().map(|name| (*name).to_owned()).collect();
    assert_eq!(seen, recorded);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn check_09_of_a_hostile_bag_only_typed_keys_are_kept(
        seed in any::<u64>(),
    ) {
        let mut dice = Dice(seed);
        let events = ["observer_turn_rollup", "crashed", "installed", "historical_activity", "nobody", ""];
        let event = *dice.of(&events);
        let cleans = dice.below(4) > 0;
        let bag: Vec<(String, Hostile)> =
            (0..dice.below(20)).map(|_| (dice.key(), dice.value())).collect();
        let manifest = &*MANIFEST;
        let inputs = bag.iter().map(|(key, value)| (key.as_str(), match value {
            Hostile::Json(json) => Input::from(json),
            Hostile::Number(number) => Input::F64(*number),
            Hostile::Long(text) => Input::Text(text),
        }));
        let mut drops = Drops::default();
        let kept = manifest.accept(event, inputs, &|_| cleans, &mut drops);
        prop_assert_eq!(kept.len() as u64 + drops.total(), bag.len() as u64, "nothing is lost unseen");
        let allowed = &RECORDED[event];
        for (id, value) in &kept {
            let field = manifest.field(*id).unwrap();
            prop_assert!(allowed.contains(&field.name.as_str()), "{} in {event}", field.name);
            prop_assert!(is_typed(field, value), "{}: {value:?}", field.name);
            let is_token = matches!(field.holds, FieldType::Token { .. });
            prop_assert!(cleans || !is_token);
        }
        let mut names: Vec<_> = kept.iter().map(|(id, _)| id).collect();
        names.sort();
        names.dedup();
        prop_assert_eq!(names.len(), kept.len());
    }
}

static MANIFEST: LazyLock<Manifest> = LazyLock::new(full);
static LONG: LazyLock<[String; 3]> =
    LazyLock::new(|| ["x", "7", "/"].map(|it| it.repeat(1_000_000)));

/// By event the keys that its records may have, written by hand.
pub(crate) static RECORDED: LazyLock<BTreeMap<&str, Vec<&str>>> = LazyLock::new(|| {
    let turn =
        "tokens_input cost_usd balance created duration_ms load outcome is_wsl model version";
    [
        ("observer_turn_rollup", turn),
        ("context_injected_rollup", "tokens_input outcome"),
        ("crashed", "outcome seen_ts editor"),
        ("installed", "installed_on channel"),
        ("historical_activity", "created"),
        ("$exception", ""),
        ("nobody", ""),
        ("", ""),
    ]
    .into_iter()
    .map(|(event, keys)| (event, keys.split_whitespace().collect()))
    .collect()
});
