//! Logs: JSON on standard error, one object a line, each an event's name and its fields.
//!
//! ```json
//! {"timestamp":"2026-11-20T22:08:30.117Z","level":"INFO","message":"listening","addr":"127.0.0.1:9090"}
//! ```
//!
//! Never in a log: texts of prompts and completions, tokens, bodies.

use std::io;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging, of our own crates only: libraries say too much, and what they say is not ours to
/// vouch for.
pub(super) fn start(level: Level) {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        // Told on standard error, of which it is the loss that would be told.
        .log_internal_errors(false)
        .with_writer(io::stderr);
    let ours = Targets::new().with_target("trueup", level);
    let _is_first = tracing_subscriber::registry().with(lines).with(ours).try_init().is_ok();
}
