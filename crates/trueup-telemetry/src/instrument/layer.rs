//! The bridge from the log to errors: a line of level `ERROR` with an `error` becomes a report.

use std::error::Error;
use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::errors::Report;
use crate::product::Telemetry;
use crate::product::words;

/// A layer of `tracing` that reports the errors of a program:
/// `error!(error = &error as &dyn std::error::Error, "cannot open it")`.
#[derive(Debug, Clone)]
pub struct ErrorLayer {
    telemetry: Telemetry,
}

impl ErrorLayer {
    /// One that reports to this telemetry.
    #[must_use]
    pub const fn new(telemetry: Telemetry) -> Self {
        Self { telemetry }
    }
}

impl<S: Subscriber> Layer<S> for ErrorLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() != Level::ERROR || self.telemetry.is_off() {
            return;
        }
        let mut found = Found::default();
        event.record(&mut found);
        let Some((kind, message)) = found.error else { return };
        let report = Report {
            kind: &kind,
            message: &message,
            template: None,
            frames: &[],
            is_handled: true,
        };
        self.telemetry.report(&report);
    }
}

/// The error of a line.
#[derive(Debug, Default)]
struct Found {
    error: Option<(String, String)>,
}

impl Visit for Found {
    fn record_error(&mut self, _: &Field, error: &(dyn Error + 'static)) {
        self.error.get_or_insert_with(|| (kind(error), words(error)));
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// The type of an error, as far as it shows itself: an error that is a trait object has no name, but
/// what is derived for `Debug` begins with it.
fn kind(error: &dyn Error) -> String {
    let debug = format!("{error:?}");
    let end = debug.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(debug.len());
    let (name, rest) = debug.split_at(end);
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
        && (rest.is_empty() || rest.starts_with(['(', '{']) || rest.starts_with(" {"));
    if is_name { name.to_owned() } else { "Error".to_owned() }
}
