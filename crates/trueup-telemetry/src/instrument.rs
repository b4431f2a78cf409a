//! One path for log and telemetry: what happened is written down in full here, and the part of it that
//! the manifest lists is added up where somebody agreed.
//!
//! [`instrument!`](crate::instrument!) logs through `tracing` (feature `tracing`) whatever becomes of
//! telemetry, and hands the same values to [`Telemetry::record`](crate::product::Telemetry::record). Its
//! keys are held against the manifest when the program is compiled, by the constant that
//! [`Manifest::rust_source`](crate::manifest::Manifest::rust_source) writes.
//!
//! [`report!`](crate::report!) does the same with an error: the log has its whole text, and of it telemetry
//! may tell what stands in the source code.

#[cfg(feature = "tracing")]
mod layer;

#[cfg(feature = "tracing")]
pub use layer::ErrorLayer;
#[cfg(feature = "tracing")]
#[doc(hidden)]
pub use tracing;

use crate::manifest::Input;

/// Events, and the keys that a record of each may have.
pub type Events = &'static [(&'static str, &'static [&'static str])];

/// Whether there is such an event.
#[must_use]
pub const fn has_event(events: Events, event: &str) -> bool {
    let mut events = events;
    while let [(name, _), rest @ ..] = events {
        if is_same(name, event) {
            return true;
        }
        events = rest;
    }
    false
}

/// Whether a record of an event may have a key.
#[must_use]
pub const fn has_key(events: Events, event: &str, key: &str) -> bool {
    let mut events = events;
    while let [(name, keys), rest @ ..] = events {
        let mut keys: &[&str] = if is_same(name, event) { keys } else { &[] };
        while let [name, rest @ ..] = keys {
            if is_same(name, key) {
                return true;
            }
            keys = rest;
        }
        events = rest;
    }
    false
}

const fn is_same(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while let ([left, one_rest @ ..], [right, other_rest @ ..]) = (one, other) {
        if *left != *right {
            return false;
        }
        (one, other) = (one_rest, other_rest);
    }
    one.is_empty() && other.is_empty()
}

/// The value of a key, for the log.
#[doc(hidden)]
#[must_use]
pub fn logged<'a>(properties: &[(&str, Input<'a>)], key: &str) -> Input<'a> {
    let found = properties.iter().find(|(name, _)| *name == key);
    found.map_or(Input::Nested, |(_, value)| *value)
}

/// Writes a line of the log, and hands its values to telemetry.
///
/// First the telemetry and the constant with the manifest's events, then the level and the words of the
/// log, the event with its session (or `None`), and its values. What stands in `log { … }` is logged
/// only, in the syntax of `tracing`. Each value is looked at once.
///
/// ```
/// use trueup_telemetry::instrument;
/// # use std::sync::Arc;
/// # use trueup_telemetry::manifest::Manifest;
/// # use trueup_telemetry::product::{Environment, Options, Outcome, Telemetry};
/// # let manifest = "product = 'example'\nenv_prefix = 'EXAMPLE'\ndefault = 'local'\n\
/// #     [fields]\ntokens = { u64 = true }\noutcome = { enum = ['ok', 'error'] }\n\
/// #     [[rollup]]\nevent = 'turns'\ngrain = '1d'\nsum = ['tokens']\nenum = ['outcome']";
/// # let manifest = Manifest::parse(manifest, "telemetry.toml")?;
/// # let folder = tempfile::tempdir().unwrap();
/// # let environment = Environment::default();
/// # let telemetry = Telemetry::open(Options::new(Arc::new(manifest), folder.path(), environment));
/// // What build.rs wrote of the manifest.
/// const EVENTS: trueup_telemetry::instrument::Events = &[("turns", &["tokens", "outcome"])];
///
/// let path = "/home/alice/plan.md";
/// let recorded = instrument!(
///     telemetry, EVENTS, WARN, "the answer was cut",
///     event = "turns", session = None,
///     { tokens = 7_u64, outcome = "error" },
///     log { path = path }
/// );
/// assert_eq!(recorded.outcome, Outcome::Taken);
/// # Ok::<(), trueup_telemetry::manifest::ManifestError>(())
/// ```
///
/// A key that the manifest does not have for the event does not compile:
///
/// ```compile_fail,E0080
/// # use trueup_telemetry::{instrument, product::Telemetry};
/// # fn main() {}
/// # fn with(telemetry: &Telemetry) {
/// const EVENTS: trueup_telemetry::instrument::Events = &[("turns", &["tokens", "outcome"])];
/// instrument!(
///     telemetry, EVENTS, WARN, "the answer was cut",
///     event = "turns", session = None, { prompt = "a secret" }
/// );
/// # }
/// ```
///
/// Nor does an event that it does not have:
///
/// ```compile_fail,E0080
/// # use trueup_telemetry::{instrument, product::Telemetry};
/// # fn main() {}
/// # fn with(telemetry: &Telemetry) {
/// const EVENTS: trueup_telemetry::instrument::Events = &[("turns", &["tokens", "outcome"])];
/// instrument!(
///     telemetry, EVENTS, WARN, "the answer was cut",
///     event = "turn", session = None, { tokens = 7_u64 }
/// );
/// # }
/// ```
#[macro_export]
macro_rules! instrument {
    (
        $telemetry:expr, $events:path, $level:ident, $message:expr,
        event = $event:literal, session = $session:expr,
        { $($key:ident = $value:expr),* $(,)? }
        $(, log { $($log:tt)* })? $(,)?
    ) => {{
        const _: () = assert!(
            $crate::instrument::has_event($events, $event),
            concat!("the manifest has no event `", $event, "`"),
        );
        $(const _: () = assert!(
            $crate::instrument::has_key($events, $event, stringify!($key)),
            concat!("the event `", $event, "` of the manifest has no key `", stringify!($key), "`"),
        );)*
        let properties: &[(&str, $crate::manifest::Input<'_>)] =
            &[$((stringify!($key), $crate::manifest::Input::from($value))),*];
        $crate::__log!($level, $message, $event, properties, ($($key),*), ($($($log)* ,)?));
        $crate::product::Telemetry::record(&$telemetry, $event, $session, properties)
    }};
}

/// Writes an error to the log, and reports it to telemetry.
///
/// First the telemetry and the type of the error, then what it says, as for [`format!`]: the literal is
/// what of it stands in the source code ([`Report::template`](crate::errors::Report::template)). By that
/// errors are told apart and told, whatever was put in its places.
///
/// ```
/// use trueup_telemetry::report;
/// # use std::sync::Arc;
/// # use trueup_telemetry::manifest::Manifest;
/// # use trueup_telemetry::product::{Environment, Options, Telemetry};
/// # let manifest = "product = 'example'\nenv_prefix = 'EXAMPLE'\ndefault = 'local'\n\
/// #     [fields]\ntokens = { u64 = true }\n\
/// #     [[rollup]]\nevent = 'turns'\ngrain = '1d'\nsum = ['tokens']\n[errors]\nrollup = 'turns'";
/// # let manifest = Manifest::parse(manifest, "telemetry.toml")?;
/// # let folder = tempfile::tempdir().unwrap();
/// # let environment = Environment::default();
/// # let telemetry = Telemetry::open(Options::new(Arc::new(manifest), folder.path(), environment));
/// let path = "/home/alice/acme/plan.md";
/// report!(telemetry, "std::io::Error", "cannot open {path} after {} tries", 3);
/// # Ok::<(), trueup_telemetry::manifest::ManifestError>(())
/// ```
///
/// What does not stand in the source code is no template:
///
/// ```compile_fail
/// # use trueup_telemetry::{product::Telemetry, report};
/// # fn main() {}
/// # fn with(telemetry: &Telemetry, text: &str) {
/// report!(telemetry, "std::io::Error", text);
/// # }
/// ```
#[macro_export]
macro_rules! report {
    ($telemetry:expr, $kind:expr, $template:literal $(, $($arguments:tt)*)?) => {{
        let kind: &str = $kind;
        let message = ::std::format!($template $(, $($arguments)*)?);
        $crate::__log_error!(kind, message);
        $crate::product::Telemetry::report(&$telemetry, &$crate::errors::Report {
            kind,
            message: &message,
            template: ::core::option::Option::Some($template),
            frames: &[],
            is_handled: true,
        });
    }};
}

/// The line of the log.
#[cfg(feature = "tracing")]
#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $message:expr, $event:literal, $properties:ident, ($($key:ident),*), ($($log:tt)*)) => {
        $crate::instrument::tracing::event!(
            $crate::instrument::tracing::Level::$level,
            event = $event,
            $($key = %$crate::instrument::logged($properties, stringify!($key)),)*
            $($log)*
            "{}", $message
        )
    };
}

/// Without the feature `tracing` there is no log that this crate knows.
#[cfg(not(feature = "tracing"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $message:expr, $event:literal, $properties:ident, ($($key:ident),*), ($($log:tt)*)) => {
        let _: (&str, &[_]) = ($message, $properties);
    };
}

/// The line of an error.
#[cfg(feature = "tracing")]
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($kind:ident, $message:ident) => {
        $crate::instrument::tracing::event!(
            $crate::instrument::tracing::Level::ERROR,
            kind = $kind,
            "{}",
            $message
        )
    };
}

/// Without the feature `tracing` there is no log that this crate knows.
#[cfg(not(feature = "tracing"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($kind:ident, $message:ident) => {};
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: Events = &[("turns", &["tokens", "outcome"]), ("starts", &[])];

    #[test]
    fn what_there_is_is_found_and_nothing_else() {
        assert!(has_event(EVENTS, "turns") && has_event(EVENTS, "starts"));
        for event in ["", "turn", "turnss", "tokens"] {
            assert!(!has_event(EVENTS, event), "{event}");
        }
        assert!(has_key(EVENTS, "turns", "tokens") && has_key(EVENTS, "turns", "outcome"));
        for (event, key) in
            [("turns", ""), ("turns", "token"), ("starts", "tokens"), ("x", "tokens")]
        {
            assert!(!has_key(EVENTS, event, key), "{event} {key}");
        }
    }
}
