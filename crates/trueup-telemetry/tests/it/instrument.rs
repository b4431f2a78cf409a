//! The one path of log and telemetry, and the example of the documentation.

use trueup_core::DAY_MS;
use trueup_telemetry::instrument::Events;
use trueup_telemetry::manifest::{Manifest, lint};
use trueup_telemetry::product::Outcome;
use trueup_telemetry::{instrument, report};

use crate::product::{MANIFEST, Stage, TURN, events};

const EVENTS: Events =
    &[("observer_turn_rollup", &["tokens_input", "outcome", "duration_ms", "model"])];

const EXAMPLE: &str = include_str!("../../examples/embedding/telemetry.toml");
const GUIDE: &str = include_str!("../../../../docs/telemetry-embedding.md");

#[test]
fn values_are_looked_at_once_and_added_up() {
    let stage = Stage::new(MANIFEST);
    let telemetry = stage.open();
    let mut asked = 0;
    let mut tokens = || {
        asked += 1;
        7_u64
    };
    let recorded = instrument!(
        telemetry, EVENTS, DEBUG, "a turn",
        event = "observer_turn_rollup", session = Some("one"),
        { tokens_input = tokens(), outcome = "ok" }
    );
    assert_eq!((recorded.outcome, asked), (Outcome::Taken, 1));
    telemetry.end("one");
    telemetry.flush();
    let events = events(&telemetry);
    assert_eq!(events[0]["event"], TURN);
    assert_eq!(events[0]["properties"]["total_tokens_input"], 7);
}

#[test]
fn an_error_is_told_by_what_of_it_stands_in_the_source() {
    let stage = Stage::new(MANIFEST);
    let telemetry = stage.open();
    for (path, tries) in [("/home/alice/acme/plan.md", 3), ("a merger with initech", 4)] {
        report!(telemetry, "std::io::Error", "cannot open {path} after {} tries", tries);
    }
    let error = std::fmt::Error;
    report!(&telemetry, "fmt::Error", "cannot print: {error}",);
    report!(telemetry, "Closed", "the pipe is closed");
    stage.pass(DAY_MS);
    telemetry.flush();
    let events = events(&telemetry);
    assert_eq!(events.len(), 1, "{events:?}");
    let mut told: Vec<_> = events[0]["properties"]["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| [&one["type"], &one["message"], &one["count"]].map(ToString::to_string))
        .collect();
    told.sort();
    let expected = [
        ["\"Closed\"", "\"the pipe is closed\"", "1"],
        ["\"fmt::Error\"", "\"cannot print: {error}\"", "1"],
        ["\"std::io::Error\"", "\"cannot open {path} after {} tries\"", "2"],
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_constants_of_a_manifest_are_those_of_its_walk() {
    let manifest = Manifest::parse(MANIFEST, "telemetry.toml").unwrap();
    let source = manifest.rust_source();
    for line in [
        r#"("context_injected_rollup", &["outcome", "tokens_input"]),"#,
        r#"("worker_started", &["outcome"]),"#,
    ] {
        assert!(source.contains(line), "{source}");
    }
}

/// The guide shows the files that are compiled here, to the letter.
#[test]
fn the_guide_shows_the_example_that_is_compiled() {
    assert!(lint(EXAMPLE).is_empty(), "{:?}", lint(EXAMPLE));
    let manifest = Manifest::parse(EXAMPLE, "telemetry.toml").unwrap();
    let squeezed = |text: &str| text.split_whitespace().collect::<String>().replace(",]", "]");
    let written = squeezed(&manifest.rust_source());
    let included = squeezed(include_str!("../../examples/embedding/telemetry.rs"));
    assert_eq!(included, written);
    for file in [
        EXAMPLE,
        include_str!("../../examples/embedding/build.rs"),
        include_str!("../../examples/embedding/main.rs"),
    ] {
        // What tells our own lints that this is an edge is nobody else's.
        let file: String = file.split_inclusive('\n').filter(|it| !it.starts_with("#![")).collect();
        assert!(GUIDE.contains(&file), "docs/telemetry-embedding.md lacks:\n{file}");
    }
}

#[cfg(feature = "tracing")]
mod logged {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;
    use trueup_telemetry::consent::Mode;
    use trueup_telemetry::instrument::ErrorLayer;
    use trueup_telemetry::product::Telemetry;

    use super::{EVENTS, MANIFEST, Stage, events, instrument, report};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged while `run` runs, with the bridge of errors to `telemetry`.
    fn logged(telemetry: &Telemetry, run: impl FnOnce()) -> String {
        let log = Log::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt::layer()
            .without_time()
            .with_ansi(false)
            .with_writer(move || writer.clone());
        let subscriber =
            tracing_subscriber::registry().with(lines).with(ErrorLayer::new(telemetry.clone()));
        tracing::subscriber::with_default(subscriber, run);
        String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn the_log_is_whole_whatever_becomes_of_telemetry() {
        let path = "/home/alice/plan.md";
        let lines = [Mode::Off, Mode::Local].map(|mode| {
            let mut stage = Stage::new(MANIFEST);
            stage.environment.telemetry = Some(mode.word().to_owned());
            let telemetry = stage.open();
            logged(&telemetry, || {
                instrument!(
                    telemetry, EVENTS, WARN, "the answer was cut",
                    event = "observer_turn_rollup", session = Some("one"),
                    { tokens_input = 7_u64, outcome = "error" },
                    log { path = path }
                );
            })
        });
        assert_eq!(lines[0], lines[1]);
        for part in ["WARN", "the answer was cut", "tokens_input=7", "outcome=error", path] {
            assert!(lines[0].contains(part), "{}", lines[0]);
        }
    }

    #[test]
    fn an_error_is_logged_in_full_and_reported_once() {
        let path = "/home/alice/acme/plan.md";
        let lines = [Mode::Off, Mode::Local].map(|mode| {
            let mut stage = Stage::new(MANIFEST);
            stage.environment.telemetry = Some(mode.word().to_owned());
            let telemetry = stage.open();
            let lines = logged(&telemetry, || {
                report!(telemetry, "std::io::Error", "cannot open {path}");
            });
            stage.pass(600_000);
            telemetry.flush();
            let told = events(&telemetry);
            assert_eq!(told.len(), usize::from(mode == Mode::Local), "{told:?}");
            assert!(told.iter().all(|event| event["properties"]["errors_count"] == 1), "{told:?}");
            lines
        });
        assert_eq!(lines[0], lines[1]);
        for part in ["ERROR", "cannot open /home/alice/acme/plan.md", "std::io::Error"] {
            assert!(lines[0].contains(part), "{}", lines[0]);
        }
    }

    #[test]
    fn an_error_of_the_log_becomes_a_report() {
        let stage = Stage::new(MANIFEST);
        let telemetry = stage.open();
        logged(&telemetry, || {
            for _ in 0..3 {
                let error = io::Error::other("cannot open /home/alice/acme/plan.md");
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "it failed");
            }
            tracing::error!("without an error");
            tracing::warn!(error = &io::Error::other("a warning") as &dyn std::error::Error);
        });
        stage.pass(600_000);
        telemetry.flush();
        let events = events(&telemetry);
        assert_eq!(events.len(), 1, "{events:?}");
        let text = events[0]["properties"].to_string();
        assert!(text.contains("\"errors_count\":3"), "{text}");
        assert!(text.contains("\"type\":\"Custom\"") && !text.contains("alice"), "{text}");
    }
}
