//! The manifest: what it refuses, what it accepts, and that all that is made from it agrees.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;
use trueup_core::NanoUsd;
use trueup_telemetry::manifest::{
    Drops, Field, FieldType, Input, KEYS, Manifest, NAME_CHARS_MAX, PROPERTIES_MAX, Reason,
    SCREEN_COLUMNS, Section, Severity, Value, lint, reference,
};

/// A manifest that uses every key that there is.
const FULL: &str = r#"
product = "claude-mem"
about = "Says how often memories are made, and how well that goes"
env_prefix = "CLAUDE_MEM"
data_dir = "~/.claude-mem"
default = "local"
notice = "required"
id = "install"
base = ["version", "os"]

[fields]
version = { semver = true, about = "The version" }
os = { enum = ["linux", "macos", "windows"], about = "The system" }
outcome = { enum = ["ok", "error", "aborted", "invalid_output"], about = "How it went" }
model = { token_max = 64, charset = "model", about = "The model" }
channel = { token_max = 16, charset = "word", about = "The channel" }
editor = { token_max = 20, charset = "name", about = "The editor" }
tokens_input = { u64 = true, about = "Tokens of the prompt" }
balance = { i64 = true, about = "Gained or lost" }
load = { f64 = true, about = "Load" }
cost_usd = { usd = true, about = "Cost" }
duration_ms = { u64 = true, about = "Milliseconds" }
is_wsl = { bool = true, about = "Windows Subsystem | for Linux" }
installed_on = { day = true, about = "When it was installed" }
window_start_ts = { ts = "hour" }
seen_ts = { ts = "minute", about = "When it was seen" }
created = { u64 = true, about = "Observations" }

[[rollup]]
event = "observer_turn_rollup"
about = "Turns of an observer"
key = "session"
grain = "session"
sum = ["tokens_input", "cost_usd", "balance", { field = "created", as = "observations_created" }]
hist = ["duration_ms", "load"]
enum = ["outcome", "is_wsl"]
top = ["model", { field = "version", as = "most_seen_version" }]
max_age = "1h"
max_records = 1000

[[rollup]]
event = "context_injected_rollup"
key = "none"
grain = "5m"
sum = ["tokens_input"]
enum = [{ field = "outcome", as = "results" }]

[[rollup]]
event = "crashed"
grain = "event"
fields = ["outcome", "seen_ts", "editor"]
max_per_day = 2

[[lifecycle]]
event = "installed"
about = "It was installed"
person = true
max_per_day = 1
fields = ["installed_on", "channel"]

[errors]
level = "redacted"
rollup = "observer_turn_rollup"
top = 4

[budget]
events_per_day = 2
hard_cap = 6
bytes_per_day = 32768
exceptions_per_day = 2

[[sink]]
type = "posthog"
host = "https://us.i.posthog.com"
key = "phc_abc"
protocol = "v0"
geoip = false

[[sink]]
type = "otlp"
endpoint = "http://localhost:4318/v1/logs"
signal = "both"

[[sink]]
type = "webhook"
endpoint = "https://example.com/hook?x=1"
secret_variable = "HOOK_SECRET"

[[sink]]
type = "file"
path = "~/telemetry.ndjson"

[[sink]]
type = "stdout"

[backfill]
event = "historical_activity"
about = "A day of the past"
version = 2
namespace = "8a9c2f4e-31b7-5d68-9c4a-f02e6d5b8a17"
lag = "60h"
needs = "explicit"
fields = ["created"]
"#;

fn full() -> Manifest {
    Manifest::parse(FULL, "telemetry.toml").unwrap_or_else(|error| panic!("{error}"))
}

/// The least that is a manifest, with more behind it.
fn least(more: &str) -> String {
    format!("product = \"p\"\nenv_prefix = \"P\"\n{more}")
}

fn errors(text: &str) -> Vec<String> {
    let errors = lint(text).into_iter().filter(|it| it.severity == Severity::Error);
    errors.map(|finding| finding.to_string()).collect()
}

#[test]
fn a_manifest_may_have_every_key_of_the_reference() {
    full();
    for key in KEYS {
        let is_there =
            FULL.contains(&format!("{} = ", key.name)) || FULL.contains(&format!("[{}]", key.name));
        assert!(is_there, "{} is in no test", key.name);
        assert!(reference().contains(&format!("| `{}` | {}", key.name, key.takes)));
    }
    for section in Section::ALL {
        let mut names = BTreeSet::new();
        assert!(section.keys().all(|key| names.insert(key.name)), "{section:?} has a key twice");
    }
}

#[test]
fn the_contracts_own_example_is_understood() {
    let manifest = full();
    assert_eq!(manifest.product, "claude-mem");
    assert_eq!(manifest.rollups.len(), 3);
    let keys = manifest.sent_keys("observer_turn_rollup");
    for key in [
        "count",
        "total_tokens_input",
        "total_cost_usd",
        "avg_duration_ms",
        "p50_duration_ms",
        "p95_duration_ms",
        "max_duration_ms",
        "outcomes_ok",
        "outcomes_error",
        "outcomes_aborted",
        "outcomes_invalid_output",
        "observations_created",
        "window_start_ts",
        "rollup_reason",
        "window_seq",
        "top_model",
        "is_wsls_true",
        "is_wsls_false",
        "most_seen_version",
        "errors",
        "errors_count",
        "errors_other_count",
        "version",
        "os",
    ] {
        assert!(keys.contains(key), "{key}: {keys:?}");
    }
    assert_eq!(
        manifest.sent_keys("crashed"),
        ["outcome", "seen_ts", "editor", "version", "os"].map(str::to_owned).into()
    );
    assert!(manifest.sent_keys("installed").contains("$set"));
    assert!(manifest.sent_keys("$exception").contains("$exception_list"));
    assert!(manifest.sent_keys("nobody").is_empty());
}

/// Each is a whole text; of the first error its line and field, and a part of what it says.
const REFUSED: &[(&str, &str)] = &[
    ("product = ", "1: this is not TOML"),
    ("", "1: `product` is missing"),
    ("product = \"p\"", "1: `env_prefix` is missing"),
    ("product = \"P p\"\nenv_prefix = \"P\"", "1: `product` `P p` is not a name of `a-z0-9-`"),
    ("product = 7\nenv_prefix = \"P\"", "1: `product` must be a text, and is a whole number"),
    ("product = \"p\"\nenv_prefix = \"p\"", "2: `env_prefix` `p` is not"),
    ("@standard = \"on\"", "3: `standard` is not known here; there are product, about"),
    ("@default = \"maybe\"", "3: `default` `maybe` is not `off`, `local` or `on`"),
    ("@data_dir = \"relative\"", "3: `data_dir` `relative` is not a path"),
    ("@data_dir = \"~/../x\"", "3: `data_dir`"),
    ("@about = \"a\\nb\"", "3: `about` must be one line"),
    ("@base = [\"nothing\"]", "3: `base` names `nothing`, which is not one of [fields]"),
    ("@base = \"x\"", "3: `base` must be a list, and is a text"),
    ("@fields = 1", "3: `fields` must be a table"),
    ("@[fields]\nNote = { u64 = true }", "4: `fields.Note` is not a name"),
    ("@[fields]\nnote = \"u64\"", "4: `fields.note` must be a table such as { u64 = true }"),
    ("@[fields]\nnote = { string = true }", "4: `fields.note.string` is free text"),
    ("@[fields]\nnote = { text = 100 }", "4: `fields.note.text` is free text"),
    ("@[fields]\nnote = { json = true }", "4: `fields.note.json` is free text"),
    ("@[fields]\nnote = {}", "4: `fields.note` must have one type of bool, u64"),
    ("@[fields]\nnote = { u64 = true, bool = true }", "4: `fields.note` must have one type"),
    ("@[fields]\nnote = { u64 = false }", "4: `fields.note` says that it is not a `u64`"),
    ("@[fields]\nnote = { u64 = 1 }", "4: `fields.note.u64` must be true or false"),
    ("@[fields]\nnote = { ts = \"week\" }", "4: `fields.note.ts` `week` is not"),
    (
        "@[fields]\nnote = { token_max = 65 }",
        "4: `fields.note.token_max` must be a whole number from 1 to 64",
    ),
    (
        "@[fields]\nnote = { token_max = 8, charset = \"any\" }",
        "4: `fields.note.charset` `any` is not",
    ),
    (
        "@[fields]\nnote = { u64 = true, charset = \"name\" }",
        "4: `fields.note.charset` means nothing",
    ),
    ("@[fields]\nnote = { enum = [] }", "4: `fields.note.enum` must have 1 to 64 words"),
    (
        "@[fields]\nnote = { enum = [\"a b\"] }",
        "4: `fields.note.enum` has `a b`, which is not a word",
    ),
    ("@[fields]\nnote = { enum = [\"a\", \"a\"] }", "4: `fields.note.enum` has `a` twice"),
    ("@[fields]\nnote = { enum = [1] }", "4: `fields.note.enum` has `a whole number`"),
    // A stream of single records, and rollups without an end.
    (
        "@[[rollup]]\nevent = \"e\"\ngrain = \"event\"",
        "5: `rollup[1].max_per_day` is missing: an event for each record needs a cap",
    ),
    (
        "@[[rollup]]\nevent = \"e\"\ngrain = \"event\"\nmax_per_day = 101",
        "6: `rollup[1].max_per_day` must be a whole number from 1 to 100",
    ),
    (
        "@[[rollup]]\nevent = \"e\"\ngrain = \"session\"\nmax_age = \"1h\"",
        "3: `rollup[1].max_records` is missing",
    ),
    (
        "@[[rollup]]\nevent = \"e\"\ngrain = \"session\"\nmax_records = 9",
        "3: `rollup[1].max_age` is missing",
    ),
    (
        "@[[rollup]]\nevent = \"e\"\ngrain = \"session\"\nmax_records = 1000001\nmax_age = \"1h\"",
        "6: `rollup[1].max_records`",
    ),
    (
        "@[[rollup]]\nevent = \"e\"\ngrain = \"session\"\nmax_records = 1\nmax_age = \"2d\"",
        "7: `rollup[1].max_age`",
    ),
    ("@[[rollup]]\nevent = \"e\"\ngrain = \"1s\"", "5: `rollup[1].grain` must be `session`"),
    ("@[[rollup]]\nevent = \"e\"\ngrain = \"7m\"", "5: `rollup[1].grain` must divide a day"),
    ("@[[rollup]]\nevent = \"e\"", "3: `rollup[1].grain` is missing"),
    ("@[[rollup]]\ngrain = \"5m\"", "3: `rollup[1].event` is missing"),
    ("@[[rollup]]\nevent = \"$e\"\ngrain = \"5m\"", "4: `rollup[1].event` `$e` is not"),
    (
        "@[[rollup]]\nevent = \"e\"\ngrain = \"5m\"\nkey = \"session\"",
        "6: `rollup[1].key` must be \"none\"",
    ),
    (
        "@[[rollup]]\nevent = \"e\"\ngrain = \"5m\"\nmax_per_day = 1",
        "6: `rollup[1].max_per_day` means nothing",
    ),
    (
        "@[[rollup]]\nevent = \"e\"\ngrain = \"5m\"\nsum = [\"x\"]\n[fields]\nx = { f64 = true }",
        "6: `rollup[1].sum` names `x`, but `sum` takes u64, i64 or usd",
    ),
    (
        "@[[rollup]]\nevent = \"e\"\ngrain = \"5m\"\nsum = [\"x\", \"x\"]\n[fields]\nx = { u64 = true }",
        "6: `rollup[1].sum` names `x` twice",
    ),
    (
        "@[[rollup]]\nevent = \"e\"\ngrain = \"5m\"\nsum = [{ field = \"x\" }]\n[fields]\nx = { u64 = true }",
        "6: `rollup[1].sum.as` is missing",
    ),
    (
        "@[[rollup]]\nevent = \"e\"\ngrain = \"5m\"\nsum = [{ field = \"x\", as = \"count\" }]\n[fields]\nx = { u64 = true }",
        "3: `e` has two things under the key `count`",
    ),
    (
        "@base = [\"count\"]\n[[rollup]]\nevent = \"e\"\ngrain = \"5m\"\n[fields]\ncount = { u64 = true }",
        "4: `e` has two things under the key `count`",
    ),
    (
        "@[[rollup]]\nevent = \"e\"\ngrain = \"5m\"\n[[rollup]]\nevent = \"e\"\ngrain = \"5m\"",
        "6: `e` is an event that stands there twice",
    ),
    (
        "@[[rollup]]\nevent = \"e\"\ngrain = \"5m\"\n[fields]\nwindow_start_ts = { u64 = true }",
        "3: `rollup[1]` begins at `window_start_ts`, which must be a `ts`",
    ),
    ("@[rollup]\nevent = \"e\"\ngrain = 5", "5: `rollup.grain` must be a text"),
    ("@rollup = [1]", "3: `rollup[1]` must be a table"),
    ("@[[lifecycle]]\nevent = \"e\"", "3: `lifecycle[1].max_per_day` is missing"),
    ("@[[lifecycle]]\nevent = \"e\"\nmax_per_day = 0", "5: `lifecycle[1].max_per_day`"),
    (
        "@[[lifecycle]]\nevent = \"e\"\nmax_per_day = 1\nperson = \"yes\"",
        "6: `lifecycle[1].person` must be true or false",
    ),
    ("@[errors]\nlevel = \"template\"", "3: `errors.rollup` is missing"),
    ("@[errors]\nrollup = \"e\"", "4: `errors.rollup` must be the event of a [[rollup]]"),
    ("@[errors]\nlevel = \"raw\"\nrollup = \"e\"", "4: `errors.level` `raw` is not"),
    ("@[[budget]]\nhard_cap = 1", "3: `budget` must be one table"),
    ("@[budget]\nhard_cap = -1", "4: `budget.hard_cap` must be a whole number from 0 to 1000"),
    ("@[budget]\nhard_cap = 1001", "4: `budget.hard_cap` must be a whole number from 0 to 1000"),
    (
        "@[budget]\nhard_cap = 1\nevents_per_day = 2",
        "5: `budget.events_per_day` is 2, above `hard_cap` of 1",
    ),
    (
        "@[budget]\nexceptions_per_day = 7",
        "4: `budget.exceptions_per_day` is 7, above `hard_cap` of 6",
    ),
    (
        "@[budget]\nbytes_per_day = 1000",
        "4: `budget.bytes_per_day` must be a whole number from 1024",
    ),
    ("@[sink]\ntype = \"kafka\"", "4: `sink.type` `kafka` is not"),
    ("@[sink]\nkey = \"x\"", "3: `sink.type` is missing"),
    ("@[sink]\ntype = \"posthog\"\nkey = \"x\"", "3: `sink.host` is missing"),
    (
        "@[sink]\ntype = \"posthog\"\nkey = \"x\"\nhost = \"http://us.i.posthog.com\"",
        "6: `sink.host`",
    ),
    ("@[sink]\ntype = \"posthog\"\nkey = \"x y\"\nhost = \"https://h\"", "5: `sink.key`"),
    (
        "@[sink]\ntype = \"stdout\"\npath = \"/x\"",
        "5: `sink.path` means nothing with `type = \"stdout\"`",
    ),
    ("@[sink]\ntype = \"webhook\"\nendpoint = \"https://user:pw@h/\"", "5: `sink.endpoint`"),
    (
        "@[sink]\ntype = \"webhook\"\nendpoint = \"http://localhost.example.com/\"",
        "5: `sink.endpoint`",
    ),
    (
        "@[backfill]\nevent = \"e\"\nversion = 1\nnamespace = \"x\"",
        "6: `backfill.namespace` `x` is not a UUID",
    ),
    (
        "@[backfill]\nevent = \"e\"\nversion = 1\nnamespace = \"8a9c2f4e-31b7-5d68-9c4a-f02e6d5b8a17\"\nlag = \"47h\"",
        "7: `backfill.lag`",
    ),
];

#[test]
fn what_is_refused_has_its_line_and_its_field() {
    for (text, expected) in REFUSED {
        let text = text.strip_prefix('@').map_or_else(|| (*text).to_owned(), least);
        let errors = errors(&text);
        let first = errors.first().unwrap_or_else(|| panic!("accepted:\n{text}"));
        assert!(first.starts_with(expected), "{text}\n  is     {first}\n  not is {expected}");
        let error = Manifest::parse(&text, "a/telemetry.toml").unwrap_err();
        assert!(error.to_string().starts_with(&format!("a/telemetry.toml:{expected}")), "{error}");
    }
}

#[test]
fn check_12_lint_rejects_a_raw_stream_and_free_text() {
    let raw = least("[[rollup]]\nevent = \"search_performed\"\ngrain = \"event\"\nfields = []\n");
    assert!(errors(&raw)[0].contains("needs a cap"), "{:?}", errors(&raw));
    let disguised = least("[[rollup]]\nevent = \"search_performed\"\ngrain = \"1m\"\n");
    assert_eq!(errors(&disguised).len(), 1);
    for free in ["string", "text", "str", "free", "json", "any"] {
        let text = least(&format!("[fields]\nmessage = {{ {free} = true }}\n"));
        assert!(errors(&text)[0].contains("free text"), "{:?}", errors(&text));
    }
    assert_eq!(errors(FULL), Vec::<String>::new());
}

#[test]
fn lint_advises_what_is_perhaps_not_meant() {
    let text = "product = \"p\"\nenv_prefix = \"P\"\ndefault = \"on\"\nnotice = \"none\"\n\
        [fields]\nuser_name = { token_max = 9 }\nos = { enum = [\"linux\"] }\n\
        [[rollup]]\nevent = \"e\"\ngrain = \"event\"\nmax_per_day = 50\nfields = [\"user_name\"]\n\
        [[rollup]]\nevent = \"f\"\ngrain = \"1d\"\n[budget]\nhard_cap = 25\n";
    let all: Vec<String> = lint(text).iter().map(ToString::to_string).collect();
    let all = all.join("\n");
    for expected in [
        "1: advice: `default` is \"on\" without a notice",
        "1: advice: `default` is \"on\", but there is no [sink]",
        "1: advice: `about` is missing",
        "1: advice: `budget.hard_cap` is 25: a thousand installations can send 25000 events a day",
        "1: advice: `budget.hard_cap` lets 25 events out in a day, of 50",
        "6: advice: `fields.user_name` is a token that is called `user`",
        "6: advice: `fields.user_name` has no `about`",
        "7: advice: `fields.os` is in no event",
        "8: advice: `e` has no `about`",
        "13: advice: `f` adds nothing up",
    ] {
        assert!(all.contains(expected), "{expected}\n{all}");
    }
    assert!(Manifest::parse(text, "").is_ok(), "advice refuses nothing");
}

#[test]
fn every_bound_is_reached() {
    let fields = |count: usize| -> String {
        (0..count).map(|at| format!("f{at} = {{ u64 = true }}\n")).collect::<Vec<_>>().concat()
    };
    assert_eq!(errors(&least(&format!("[fields]\n{}", fields(256)))), Vec::<String>::new());
    assert!(errors(&least(&format!("[fields]\n{}", fields(257))))[0].contains("there may be 256"));
    let events = |count: usize| -> String {
        let event = |at| format!("[[lifecycle]]\nevent = \"e{at}\"\nmax_per_day = 1\n");
        (0..count).map(event).collect::<Vec<_>>().concat()
    };
    assert_eq!(errors(&least(&events(64))), Vec::<String>::new());
    assert!(errors(&least(&events(65)))[0].contains("there may be 64"));
    let words = |count: usize| {
        let words: Vec<String> = (0..count).map(|at| format!("\"w{at}\"")).collect();
        least(&format!("[fields]\nf = {{ enum = [{}] }}\n", words.join(",")))
    };
    assert_eq!(errors(&words(64)), Vec::<String>::new());
    assert!(errors(&words(65))[0].contains("must have 1 to 64 words"));
    let name = |length: usize| {
        let name = "n".repeat(length);
        least(&format!("[fields]\n{name} = {{ u64 = true }}\n"))
    };
    assert_eq!(errors(&name(NAME_CHARS_MAX)), Vec::<String>::new());
    assert_eq!(errors(&name(NAME_CHARS_MAX + 1)).len(), 1);
    let wide: Vec<String> = (0..64).map(|at| format!("\"w{at}\"")).collect();
    let enums: Vec<String> = (0..17).map(|at| format!("\"f{at}\"")).collect();
    let wide: Vec<String> =
        (0..17).map(|at| format!("f{at} = {{ enum = [{}] }}\n", wide.join(","))).collect();
    let wide = least(&format!(
        "[[rollup]]\nevent = \"e\"\ngrain = \"1d\"\nenum = [{}]\n[fields]\n{}",
        enums.join(","),
        wide.concat()
    ));
    assert!(errors(&wide)[0].contains("has 1088 keys; an event may have 1024"));
    assert!(errors(&"x".repeat(256 * 1024 + 1))[0].contains("is longer than 262144 bytes"));
    let many: Vec<String> = (0..200).map(|at| format!("k{at} = 1\n")).collect();
    assert_eq!(lint(&many.concat()).len(), trueup_telemetry::manifest::FINDINGS_MAX);
}

#[test]
fn a_byte_order_mark_is_no_error() {
    assert!(Manifest::parse(&format!("\u{feff}{FULL}"), "").is_ok());
}

// --- what is kept ----------------------------------------------------------------------------------

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
    assert!(drops.iter().count() <= trueup_telemetry::manifest::DROPS_MAX + 9);
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

proptest! {
    /// Whatever is linted, it does not panic, and what is refused has a line that is there.
    #[test]
    fn any_text_is_linted(lines in proptest::collection::vec(0..FULL.lines().count(), 0..30), noise in "\\PC{0,30}") {
        let all: Vec<&str> = FULL.lines().collect();
        let text = lines.iter().map(|at| all[*at]).chain([noise.as_str()]).collect::<Vec<_>>().join("\n");
        for finding in lint(&text) {
            prop_assert!((1..=text.lines().count().max(1) + 1).contains(&finding.line), "{finding}");
        }
    }
}

static MANIFEST: std::sync::LazyLock<Manifest> = std::sync::LazyLock::new(full);
static LONG: std::sync::LazyLock<[String; 3]> =
    std::sync::LazyLock::new(|| ["x", "7", "/"].map(|it| it.repeat(1_000_000)));

/// By event the keys that its records may have, written by hand.
static RECORDED: std::sync::LazyLock<BTreeMap<&str, Vec<&str>>> = std::sync::LazyLock::new(|| {
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

// --- one walk --------------------------------------------------------------------------------------

/// Event and key of every row of a document.
fn of_markdown(text: &str) -> BTreeSet<(String, String)> {
    let mut event = String::new();
    let mut rows = BTreeSet::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.trim_matches('`').clone_into(&mut event);
        } else if let Some(row) = line.strip_prefix("| `") {
            rows.insert((event.clone(), row.split('`').next().unwrap().to_owned()));
        }
    }
    rows
}

/// Event and key of every row of a screen: an event stands at the margin, a key behind four blanks.
fn of_screen(text: &str) -> BTreeSet<(String, String)> {
    let mut rows = BTreeSet::new();
    for part in text.split("\n\n").skip(2) {
        let event = part.lines().next().unwrap();
        let keys = part.lines().filter_map(|line| line.strip_prefix("    "));
        for key in keys.filter(|line| !line.starts_with(' ')) {
            rows.insert((event.to_owned(), key.split_whitespace().next().unwrap().to_owned()));
        }
    }
    rows
}

fn of_json(json: &serde_json::Value) -> BTreeSet<(String, String)> {
    let mut rows = BTreeSet::new();
    for event in json["events"].as_array().unwrap() {
        let name = event["event"].as_str().unwrap_or("Every event");
        for key in event["keys"].as_array().unwrap() {
            rows.insert((name.to_owned(), key["key"].as_str().unwrap().to_owned()));
        }
    }
    rows
}

#[test]
fn check_11_document_screen_and_accepted_keys_are_one_list() {
    let manifest = full();
    let document = of_markdown(&manifest.schema_md());
    assert_eq!(document, of_screen(&manifest.screen()));
    assert_eq!(document, of_json(&manifest.schema_json()));
    // What may be sent is what is documented, event by event.
    let base = |rows: &BTreeSet<(String, String)>, of: &str| -> BTreeSet<String> {
        let rows = rows.iter().filter(|(event, _)| event == of || event == "Every event");
        rows.map(|(_, key)| key.clone()).collect()
    };
    let events: Vec<_> = manifest.told_events().map(|event| event.name.to_owned()).collect();
    assert_eq!(events.len(), 6, "{events:?}");
    for event in &events {
        assert_eq!(manifest.sent_keys(event), base(&document, event), "{event}");
    }
    // What a record may have is what documented keys are made from: each field is tried in each event.
    let json = manifest.schema_json();
    for event in json["events"].as_array().unwrap() {
        let keys = event["keys"].as_array().unwrap();
        let from: BTreeSet<&str> = keys.iter().filter_map(|key| key["from"].as_str()).collect();
        let name = event["event"].as_str();
        let accepted: BTreeSet<&str> = manifest
            .fields
            .iter()
            .filter(|field| {
                let value = example(&field.holds);
                let bag = [(field.name.as_str(), value)];
                let mut drops = Drops::default();
                let kept = match name {
                    Some(name) => manifest.accept(name, bag, &|_| true, &mut drops),
                    None => manifest.accept_base(bag, &|_| true, &mut drops),
                };
                !kept.is_empty()
            })
            .map(|field| field.name.as_str())
            .collect();
        assert_eq!(accepted, from, "{name:?}");
        if let Some(name) = name {
            assert_eq!(accepted, RECORDED[name].iter().copied().collect(), "{name}");
        }
    }
}

/// A value that a type takes.
fn example(holds: &FieldType) -> Input<'_> {
    match holds {
        FieldType::Bool => Input::Bool(true),
        FieldType::U64 | FieldType::I64 | FieldType::F64 | FieldType::Usd => Input::U64(1),
        FieldType::Semver => Input::Text("1.2.3"),
        FieldType::Day => Input::Text("2026-11-20"),
        FieldType::Time(_) => Input::U64(1_795_000_000_000),
        FieldType::Enum(words) => Input::Text(&words[0]),
        FieldType::Token { .. } => Input::Text("word"),
    }
}

#[test]
fn the_screen_fits_a_terminal_and_says_what_claude_mems_did_not() {
    let screen = full().screen();
    let wide: Vec<&str> =
        screen.lines().filter(|line| line.chars().count() > SCREEN_COLUMNS).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    // D7: it denied what it sent.
    assert!(screen.contains("An error's message is told without"), "{screen}");
    assert!(full().schema_md().contains("Windows Subsystem \\| for Linux"));
}

/// `TRUEUP_ACCEPT=1` writes the reference anew.
#[test]
fn the_reference_is_in_the_documentation() {
    const MARK: &str = "<!-- generated: the keys of a manifest -->";
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/telemetry-manifest.md");
    let document = crate::text(&path);
    let mut parts: Vec<&str> = document.split(MARK).collect();
    assert_eq!(parts.len(), 3, "the reference stands between two marks");
    let generated = format!("\n\n{}\n\n", reference());
    if std::env::var_os("TRUEUP_ACCEPT").is_some() {
        parts[1] = &generated;
        std::fs::write(&path, parts.join(MARK)).unwrap();
    } else {
        assert_eq!(parts[1], generated, "docs/telemetry-manifest.md is out of date");
    }
}
