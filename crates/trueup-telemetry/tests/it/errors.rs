//! Errors: what is told of them, by what they are counted, and that nothing is told where in doubt.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use trueup_core::DAY_MS;
use trueup_telemetry::budget::{Caps, Class};
use trueup_telemetry::errors::{
    Exceptions, FRAMES_BYTES_MAX, FRAMES_MAX, Frame, KIND_BYTES_MAX, Owner, PATTERN_BYTES_MAX,
    Report, Told, frames_of, listed, tell, tell_with,
};
use trueup_telemetry::manifest::{ErrorLevel, Input};
use trueup_telemetry::redact::{Dropped, Level, Limits, Redactor};
use trueup_telemetry::rollup::Value;
use trueup_telemetry::state::Recorder;

use crate::plan::{CLAUDE_MEM, Product, none, parsed};
use crate::redact::{leaks, vectors};
use crate::world::{NOON, encode, later, store};
use crate::{alone, own_bytes};

const LEVELS: [ErrorLevel; 2] = [ErrorLevel::Template, ErrorLevel::Redacted];
const TURN: &str = "observer_turn_rollup";

fn report(message: &str) -> Report<'_> {
    Report { kind: "app::Error", message, template: None, frames: &[], is_handled: true }
}

fn own<'a>(function: &'a str, file: &'a str, line: u32) -> Frame<'a> {
    Frame { function, file, line, owner: Owner::Own }
}

fn fingerprint(report: &Report<'_>) -> String {
    tell(report, ErrorLevel::Template).unwrap().fingerprint
}

#[test]
fn what_is_told_of_a_message_depends_on_the_level() {
    let cases = [
        (
            "cannot open /home/alice/acme/plan.md after 3 tries",
            "cannot open <p>/plan.md after 3 tries",
            "cannot open <p>/plan.md after 3 tries",
            "cannot open * after * tries",
        ),
        ("no table zqxwv in trueup", "no table <w> in <w>", "no table zqxwv in trueup", ""),
        (
            "index out of bounds: the len is 3 but the index is 99",
            "index out of bounds: the len is 3 but the index is 99",
            "index out of bounds: the len is 3 but the index is 99",
            "index out of bounds: the len is * but the index is *",
        ),
        (
            "can't parse 'two words' at line 12, column 4",
            "can't parse 'two words' at line 12, column 4",
            "can't parse 'two words' at line 12, column 4",
            "can't parse * at line *, column *",
        ),
        ("lengths [1, 2, 3]", "lengths [1, 2, 3]", "lengths [1, 2, 3]", "lengths [*]"),
        ("", "", "", ""),
    ];
    for (message, template, redacted, pattern) in cases {
        let [one, two] = LEVELS.map(|level| tell(&report(message), level).unwrap());
        assert_eq!((one.text.as_str(), two.text.as_str()), (template, redacted));
        if !pattern.is_empty() {
            assert_eq!([&one.pattern, &two.pattern], [pattern, pattern]);
        }
    }
}

#[test]
fn a_text_from_the_source_code_stands_for_the_message_unless_it_holds_a_secret() {
    let template = Some("trueup cannot open {path}: key sk-live-9fQ2abcdefgh12345678");
    let report = Report { template, ..report("trueup cannot open zqx.md") };
    let told = tell(&report, ErrorLevel::Template).unwrap();
    assert_eq!(told.text, "trueup cannot open {path}: key <secret>");
    assert_eq!(told.pattern, "trueup cannot open {path}: key *");
    let whole = tell(&report, ErrorLevel::Redacted).unwrap();
    assert_eq!(whole.text, "trueup cannot open zqx.md");
    assert_eq!(whole.fingerprint, told.fingerprint);
}

#[test]
fn type_pattern_and_innermost_own_frame_tell_fingerprints_apart() {
    let std = Frame { owner: Owner::Foreign("std"), ..own("core::panic", "", 0) };
    let open = [std, own("app::open", "src/db.rs", 12)];
    let moved = [own("app::open", "/home/alice/app/src/db.rs", 99)];
    let close = [std, own("app::close", "src/db.rs", 12)];
    let lines = [own("", "src/db.rs", 12), own("", "src/db.rs", 13)];
    let of = |frames| fingerprint(&Report { frames, ..report("no") });
    assert_eq!(of(&open), of(&moved), "another line, another machine");
    let mut all: BTreeSet<String> = BTreeSet::new();
    for frames in [&[][..], &[std], &open, &close, &lines[..1], &lines[1..]] {
        all.insert(of(frames));
    }
    assert_eq!(all.len(), 5, "a frame of others is none");
    all.insert(fingerprint(&report("yes")));
    all.insert(fingerprint(&Report { kind: "app::Other", ..report("no") }));
    assert_eq!(all.len(), 7);
    assert!(all.iter().all(|it| it.len() == 16 && it.bytes().all(|c| c.is_ascii_hexdigit())));
}

fn hole() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,20}",
        "0x[0-9a-f]{1,16}",
        "[0-9a-f]{8,40}",
        "(/[a-zA-Z0-9_.]{1,12}){2,6}",
        "[A-Z]:(\\\\[a-zA-Z0-9_.]{1,12}){1,6}",
        "\"[a-zA-Z0-9 _./-]{0,80}\"",
        "'[a-z]{1,12}( [a-z]{1,12}){0,6}'",
        "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
        "https?://[a-z]{1,9}\\.example\\.com/[a-z0-9/?=&]{0,30}",
        "[a-z]{1,9}@example\\.com",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn a_fingerprint_does_not_change_with_what_differs(
        one in hole(), two in hole(),
        place in prop::sample::select(vec![
            "cannot read {} now", "{} is missing", "request failed with {}", "item ({}) was lost",
            "retry {}, then stop",
        ]),
        is_template in any::<bool>(),
    ) {
        let level = LEVELS[usize::from(is_template)];
        let [one, two] = [one, two].map(|hole| {
            let told = tell(&report(&place.replace("{}", &hole)), level).unwrap();
            (told.fingerprint, told.pattern)
        });
        prop_assert_eq!(one, two);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn whatever_comes_is_bounded_and_without_what_moves_a_cursor(
        kind in ".{0,300}", message in ".{0,600}", template in prop::option::of(".{0,300}"),
        function in ".{0,200}", file in ".{0,300}", line in any::<u32>(), frames in 0..40_usize,
    ) {
        let frames = vec![own(&function, &file, line); frames];
        let template = template.as_deref();
        let report =
            Report { kind: &kind, message: &message, template, frames: &frames, is_handled: true };
        for level in LEVELS {
            let told = tell(&report, level).unwrap();
            prop_assert!(told.text.len() <= 500 && told.kind.len() <= KIND_BYTES_MAX);
            prop_assert!(told.frames.len() <= FRAMES_MAX);
            let bytes: usize = told.frames.iter().map(|frame| frame.to_string().len()).sum();
            prop_assert!(bytes <= FRAMES_BYTES_MAX);
            let listed = listed(Some(&told));
            prop_assert!(listed.len() <= 16 + KIND_BYTES_MAX + PATTERN_BYTES_MAX + 2);
            prop_assert_eq!(listed.matches('\u{1f}').count(), 2);
            let all = format!("{}{}{}{:?}", told.text, told.kind, told.pattern, told.frames);
            prop_assert!(!all.contains(|c: char| c.is_control()));
        }
    }

    #[test]
    fn any_stack_is_read(stack in "(\\PC{0,40}|at |File \"|\", line |[0-9]: |:[0-9]+|\n){0,60}") {
        for frame in frames_of(&stack) {
            prop_assert!(stack.contains(frame.function) && stack.contains(frame.file));
        }
    }
}

#[test]
fn a_secret_in_the_place_of_a_name_is_not_told() {
    let mut leaked = 0;
    let vectors = vectors();
    for vector in &vectors {
        let secret = vector.secret.as_str();
        let frames = [own(secret, &vector.text, 1), own("f", secret, 2)];
        let report = Report { kind: secret, frames: &frames, ..report("no") };
        let told = tell(&report, ErrorLevel::Template).unwrap();
        let frames: Vec<String> = told.frames.iter().map(ToString::to_string).collect();
        leaked += usize::from(leaks(secret, &told.kind) || leaks(secret, &frames.join(" ")));
    }
    println!("{leaked} of {} secrets as names were told", vectors.len());
    assert!(leaked * 200 <= vectors.len(), "{leaked}");
}

#[test]
fn of_own_code_function_and_place_are_told_and_of_that_of_others_its_name() {
    let frames = [
        Frame { owner: Owner::Foreign("serde_json"), ..own("serde_json::de::from_str", "x.rs", 3) },
        Frame { owner: Owner::Foreign("serde_json"), ..own("serde_json::de::parse", "x.rs", 4) },
        own("app::db::open::{{closure}}::h0123456789abcdef", "/home/alice/work/acme/src/db.rs", 12),
        own("app::main", "crates/app/src/main.rs", 7),
        own("", "/home/alice/secret-project/run.js", 9),
        own("getUserById2", "~/x/../y.rs", 1),
        own("app::\u{1b}[31m", "", 1),
        own("run", "/home/alice/src/acme-merger/run.rs", 2),
        own("<Vec<T, A> as Drop>::drop", "/home/alice/app/src/db/store.rs", 3),
        own("a sentence of somebody", "", 4),
    ];
    let told = tell(&Report { frames: &frames, ..report("no") }, ErrorLevel::Template).unwrap();
    let told: Vec<String> = told.frames.iter().map(ToString::to_string).collect();
    let expected = [
        "serde_json",
        "app::db::open::{{closure}} (src/db.rs:12)",
        "app::main (crates/app/src/main.rs:7)",
        "run.js:9",
        "<w> (y.rs:1)",
        "<w>",
        "run (run.rs:2)",
        "<Vec<T, A> as Drop>::drop (store.rs:3)",
        "<w>",
    ];
    for (kind, told) in [
        ("std::io::Error", "std::io::Error"),
        ("Merger with Acme failed", "<w>"),
        ("a plan for Acme, new, as async", "<w>"),
        ("new Error", "new Error"),
        (
            "<impl core::fmt::Display for app::Error>::fmt",
            "<impl core::fmt::Display for app::Error>::fmt",
        ),
        ("<a plan of Acme>", "<w>"),
        ("", ""),
        ("Box<dyn std::error::Error + Send>", "Box<dyn std::error::Error + Send>"),
        ("alloc::boxed::Box<dyn core::error::Error>", "alloc::boxed::Box<dyn core::error::Error>"),
    ] {
        assert_eq!(tell(&Report { kind, ..report("no") }, LEVELS[0]).unwrap().kind, told);
    }
    assert_eq!(told, expected);
}

#[test]
fn stacks_of_three_languages_are_read_from_the_innermost_frame_on() {
    let rust = "   0: core::panicking::panic\n             at /rustc/abc/library/core/src/panicking.rs:80:14\n   \
        1: app::db::open\n             at ./src/db.rs:12:9\n   2: foo::run\n             \
        at /home/a/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/foo-1.2.3/src/lib.rs:5:1\n";
    let javascript = "TypeError: x is not a function\n    at open (/home/a/app/src/db.js:12:9)\n    \
        at async run (file:///home/a/app/node_modules/@scope/foo/index.js:5:1)\n    \
        at node:internal/main:23:5\n";
    let python = "Traceback (most recent call last):\n  File \"/usr/lib/python3.12/runpy.py\", line 5, in run\n    \
        pass\n  File \"/home/a/app/src/db.py\", line 12, in open\n    at(1)\nValueError: no\n";
    let seen = |stack| {
        let frames = frames_of(stack).into_iter();
        frames.map(|it| (it.function, it.file, it.line, it.owner)).collect::<Vec<_>>()
    };
    let rust = seen(rust);
    assert_eq!(rust[0].3, Owner::Foreign("std"));
    assert_eq!(rust[1], ("app::db::open", "./src/db.rs", 12, Owner::Own));
    assert_eq!(rust[2].3, Owner::Foreign("foo"));
    let javascript = seen(javascript);
    assert_eq!(javascript[0], ("open", "/home/a/app/src/db.js", 12, Owner::Own));
    assert_eq!(javascript[1].3, Owner::Foreign("foo"));
    assert_eq!(javascript[2].3, Owner::Foreign("node"));
    let python = seen(python);
    assert_eq!(python[0], ("open", "/home/a/app/src/db.py", 12, Owner::Own));
    assert_eq!(python[1].3, Owner::Foreign("python"));
}

// --- counts --------------------------------------------------------------------------------------

fn count(product: &Product, recorder: &mut Recorder, session: Option<&str>, told: Option<&Told>) {
    let (rollup, field) = product.routes.errors().unwrap();
    let session = session.map(|key| recorder.session(key));
    let value = listed(told);
    let ack = recorder.note(rollup, session, &[(field, Value::Text(&value))], NOON);
    assert_eq!(ack.refused, 0);
}

/// What is sent of a day on which `record` recorded.
fn day(record: impl FnOnce(&Product, &mut Recorder)) -> Json {
    let mut product = Product::new(parsed(CLAUDE_MEM));
    let mut recorder = product.recorder(NOON);
    record(&product, &mut recorder);
    let mut closed = store(product.folder.path(), Arc::clone(&product.plan), none());
    closed.shut_down(recorder, NOON, &mut encode).unwrap();
    let mut events = product.of_the_day();
    assert_eq!(events.len(), 1);
    events.remove(0)["properties"].take()
}

#[test]
fn check_25_a_hundred_errors_of_one_kind_are_one_fingerprint_and_a_hundred() {
    let said = day(|product, recorder| {
        for number in 0..100 {
            let message = format!("cannot open /home/alice/{number}/plan.md after {number} tries");
            let told = tell(&report(&message), ErrorLevel::Template);
            count(product, recorder, None, told.as_ref());
        }
    });
    let fingerprint = fingerprint(&report("cannot open /x/y after 7 tries"));
    let expected = json!([{
        "fingerprint": fingerprint,
        "type": "app::Error",
        "message": "cannot open * after * tries",
        "count": 100,
    }]);
    assert_eq!(said["errors"], expected);
    assert_eq!((&said["errors_count"], &said["errors_other_count"]), (&json!(100), &json!(0)));
    assert_eq!(said["count"], 0, "an error is no record");
}

#[test]
fn check_26_a_storm_of_kinds_is_eight_and_a_count_in_bounded_memory() {
    alone("errors::a_storm_of_kinds_alone");
}

#[test]
#[ignore = "memory is only its own in a process of its own: the test above starts it"]
fn a_storm_of_kinds_alone() {
    const WORDS: [&str; 18] = [
        "open", "close", "read", "write", "file", "disk", "server", "client", "token", "error",
        "failed", "missing", "wrong", "empty", "full", "locked", "old", "new",
    ];
    let mut grown = 0;
    let mut fingerprints = BTreeSet::new();
    let pattern = tell(&report("no"), ErrorLevel::Template).unwrap();
    let said = day(|product, recorder| {
        let mut before = 0;
        for number in 0..100_000_usize {
            // Four words of eighteen: each combination once.
            let word = |place: u32| WORDS[number / 18_usize.pow(place) % 18];
            let message = format!("{} {} {} {}", word(0), word(1), word(2), word(3));
            let told = if number % 50 == 0 {
                tell(&report(&message), ErrorLevel::Template).unwrap()
            } else {
                // What would come out, without the redactor, which is slow where it is not optimised.
                let fingerprint = format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                Told { fingerprint, pattern: message, ..pattern.clone() }
            };
            if fingerprints.len() < 1_000 {
                fingerprints.insert(told.fingerprint.clone());
            }
            count(product, recorder, None, Some(&told));
            if number == 10 {
                before = own_bytes();
            }
        }
        grown = own_bytes().saturating_sub(before);
    });
    assert_eq!(fingerprints.len(), 1_000, "each is a kind of its own");
    let listed = said["errors"].as_array().unwrap();
    assert_eq!(listed.len(), 8);
    let shown: u64 = listed.iter().map(|error| error["count"].as_u64().unwrap()).sum();
    assert_eq!(shown + said["errors_other_count"].as_u64().unwrap(), 100_000);
    assert_eq!(said["errors_count"], 100_000);
    let bytes = said.to_string().len();
    assert!(bytes < 8_192, "{bytes} bytes fit into a day of 32 KiB");
    println!("memory grew by {grown} bytes, the event has {bytes}");
    assert!(grown < 1 << 20, "{grown}");
}

#[test]
fn check_27_without_errors_there_are_none_and_all_else_is_the_same() {
    let said = |is_told: bool| {
        day(|product, recorder| {
            for number in 1..=50_u64 {
                let bag = [("tokens_input", Input::U64(number)), ("outcome", Input::Text("error"))];
                product.record(recorder, TURN, &bag, NOON);
                if is_told {
                    let told = tell(&report("no"), ErrorLevel::Template);
                    count(product, recorder, Some("a"), told.as_ref());
                }
            }
        })
    };
    let (mut with, mut without) = (said(true), said(false));
    assert_eq!((&with["errors_count"], &without["errors_count"]), (&json!(50), &json!(0)));
    assert_eq!(without["errors"], json!([]));
    for key in ["errors", "errors_count"] {
        with[key].take();
        without[key].take();
    }
    assert_eq!(with, without);
}

#[test]
fn check_29_a_redactor_that_fails_leaves_a_count_and_nothing_else() {
    type Fault = dyn Fn(Level, &str, Limits) -> Result<String, Dropped>;
    fn whole(level: Level, text: &str, limits: Limits) -> Result<String, Dropped> {
        Redactor::new(level).redact(text, limits)
    }
    let faults: [&Fault; 4] = [
        &|_, _, _| Err(Dropped::Fault),
        &|_, _, _| Err(Dropped::NoWords),
        &|_, _, _| panic!("injected"),
        // The last of what is looked at: all before it went well.
        &|level, text, limits| {
            if text == "db" { Err(Dropped::Fault) } else { whole(level, text, limits) }
        },
    ];
    let frames = [own("app::open", "src/db.rs", 12)];
    let report = Report { template: Some("secret {x}"), frames: &frames, ..report("a secret") };
    for fault in faults {
        for level in LEVELS {
            assert_eq!(tell_with(&report, level, fault), None);
        }
    }
    assert!(tell_with(&report, ErrorLevel::Template, &whole).is_some());
    let said = day(|product, recorder| {
        for _ in 0..3 {
            count(product, recorder, None, tell_with(&report, LEVELS[0], faults[0]).as_ref());
        }
    });
    let listed = json!([{ "fingerprint": "untold", "type": "", "message": "", "count": 3 }]);
    assert_eq!((&said["errors"], &said["errors_count"]), (&listed, &json!(3)));
}

// --- events of their own -------------------------------------------------------------------------

#[test]
fn the_first_of_a_kind_on_a_day_is_an_event_and_no_more_than_the_budget_has() {
    let namespace = uuid::Uuid::NAMESPACE_URL;
    let mut exceptions = Exceptions::new(namespace, "install-1".to_owned(), 2);
    let told = |kind| {
        let frames = [
            Frame { owner: Owner::Foreign("std"), ..own("core::panic", "", 0) },
            own("app::open", "/home/alice/app/src/db.rs", 12),
            own("app::main", "src/main.rs", 7),
        ];
        tell(&Report { kind, frames: &frames, ..report("no file /x/plan.md") }, LEVELS[0]).unwrap()
    };
    let first = exceptions.first(&told("A"), NOON).unwrap();
    let expected = json!({
        "$exception_list": [{
            "type": "A",
            "value": "no file <p>/plan.md",
            "mechanism": { "type": "generic", "handled": true, "synthetic": false },
            "stacktrace": { "type": "raw", "frames": [
                { "platform": "native", "lang": "rust", "function": "app::main", "in_app": true,
                  "filename": "src/main.rs", "lineno": 7, "synthetic": false, "client_resolved": true },
                { "platform": "native", "lang": "rust", "function": "app::open", "in_app": true,
                  "filename": "src/db.rs", "lineno": 12, "synthetic": false, "client_resolved": true },
                { "platform": "native", "lang": "rust", "function": "std", "in_app": false,
                  "synthetic": false, "client_resolved": true },
            ] },
        }],
        "$exception_fingerprint": told("A").fingerprint,
        "$exception_level": "error",
    });
    assert_eq!(Json::Object(first.properties.clone()), expected);
    assert_eq!(
        (first.name.as_str(), first.class, first.time),
        ("$exception", Class::Exception, NOON)
    );
    assert!(!first.is_person && !first.properties.contains_key("$set"));
    let keys: BTreeSet<String> = first.properties.keys().cloned().collect();
    let told_keys = crate::manifest::full().sent_keys("$exception");
    assert!(keys.is_subset(&told_keys), "what is not listed is not sent");
    assert!(exceptions.first(&told("A"), later(NOON, 1)).is_none());
    assert!(exceptions.first(&told("A"), later(NOON, -DAY_MS)).is_none(), "a clock that went back");
    assert!(exceptions.first(&told("B"), NOON).is_some());
    assert!(exceptions.first(&told("C"), NOON).is_none(), "the day has room for two");
    let next = exceptions.first(&told("A"), later(NOON, DAY_MS)).unwrap();
    assert_ne!(next.uuid, first.uuid);
    let mut again = Exceptions::new(namespace, "install-1".to_owned(), 2);
    assert_eq!(again.first(&told("A"), NOON).unwrap().uuid, first.uuid, "the same on every start");
    let fatal = Told { is_handled: false, ..told("D") };
    assert_eq!(again.first(&fatal, NOON).unwrap().properties["$exception_level"], "fatal");
    assert!(Exceptions::new(namespace, String::new(), 0).first(&fatal, NOON).is_none());
}

#[test]
fn what_is_in_the_outbox_is_not_sent_again_after_a_restart() {
    let product = Product::new(parsed(CLAUDE_MEM));
    let caps = Caps { exceptions_per_day: 2, ..Caps::default() };
    let mut store = store(product.folder.path(), Arc::clone(&product.plan), caps);
    let told = tell(&report("no"), LEVELS[0]).unwrap();
    let start = || Exceptions::new(uuid::Uuid::NAMESPACE_URL, "install-1".to_owned(), 2);
    let event = start().first(&told, NOON).unwrap();
    let draft = trueup_telemetry::outbox::Draft {
        class: event.class,
        event: event.name,
        uuids: vec![event.uuid],
        day: trueup_telemetry::budget::Day::of(NOON),
        body: b"{}".to_vec(),
    };
    store.queue(draft, None, NOON).unwrap();
    let mut restarted = start();
    restarted.resume(&store.look(NOON).unwrap().items, NOON);
    assert!(restarted.first(&told, NOON).is_none());
    assert!(restarted.first(&told, later(NOON, DAY_MS)).is_some());
}
