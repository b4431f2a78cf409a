//! The manifest: what it may have, and what is refused, with its place.

use std::collections::BTreeSet;

use proptest::prelude::*;
use trueup_telemetry::manifest::{
    FINDINGS_MAX, KEYS, Manifest, NAME_CHARS_MAX, Section, Severity, lint, reference,
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
compression = "gzip"

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

pub(crate) fn full() -> Manifest {
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
    assert_eq!(
        manifest.sent_keys("historical_activity"),
        ["created", "backfilled", "version", "os"].map(str::to_owned).into()
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
        "@[sink]\ntype = \"posthog\"\nkey = \"x\"\nhost = \"https://h\"\ncompression = \"zstd\"",
        "7: `sink.compression` `zstd` is not `none` or `gzip`",
    ),
    (
        "@[sink]\ntype = \"otlp\"\nendpoint = \"https://h\"\ncompression = true",
        "6: `sink.compression` must be a text, and is true or false",
    ),
    (
        "@[sink]\ntype = \"webhook\"\nendpoint = \"https://h\"\ncompression = \"gzip\"",
        "6: `sink.compression` means nothing with `type = \"webhook\"`",
    ),
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
    assert_eq!(lint(&many.concat()).len(), FINDINGS_MAX);
}

#[test]
fn a_byte_order_mark_is_no_error() {
    assert!(Manifest::parse(&format!("\u{feff}{FULL}"), "").is_ok());
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
