//! What of an error is told: its kind, its text without what may be somebody's, and where it came from.
//!
//! Errors of one kind have one *fingerprint*: a hash of type, pattern of the text and innermost own
//! frame, which digits, quoted texts, paths and hexadecimal numbers do not change. By it they are
//! counted, exactly, in the rollup that the manifest names; where the manifest asks for it, the first of
//! each fingerprint on a day is an event of its own, too.
//!
//! ```text
//! std::io::Error: cannot open /home/alice/acme/plan.md after 3 tries      at app::db::open, src/db.rs:12
//! {"fingerprint":"5f0c3a…","type":"std::io::Error","message":"cannot open * after * tries","count":100}
//! ```
//!
//! It fails closed: an error whose text the redactor did not finish is counted, and nothing of it kept.
//! It knows no file and no clock. docs/telemetry-errors.md says it in full.

mod exception;
mod fingerprint;
mod frames;
mod hook;
mod names;

use std::panic::{self, AssertUnwindSafe};

pub use exception::Exceptions;
pub use frames::{Frame, Owner, ToldFrame, frames_of};
pub use hook::{HOOK_MS_MAX, panic_hook};

use crate::manifest::ErrorLevel;
use crate::redact::{Dropped, Level, Limits, Redactor};
use crate::rollup::COLUMN_END;

/// Bytes of the type of an error at most.
pub const KIND_BYTES_MAX: usize = 100;
/// Frames that are told at most, the innermost.
pub const FRAMES_MAX: usize = 10;
/// Bytes of all frames that are told at most.
pub const FRAMES_BYTES_MAX: usize = 2_048;
/// Bytes of the pattern that a rollup lists at most.
pub const PATTERN_BYTES_MAX: usize = 160;

/// An error as it comes.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// Its type, such as `std::io::Error`.
    pub kind: &'a str,
    /// What it says.
    pub message: &'a str,
    /// What of that stands in the source code, where it is known: `cannot open {path}`.
    pub template: Option<&'a str>,
    /// Where it came from, the innermost frame first.
    pub frames: &'a [Frame<'a>],
    /// Whether the product went on.
    pub is_handled: bool,
}

/// What is told of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What errors of one kind have in common: 16 hexadecimal digits.
    pub fingerprint: String,
    /// Its type.
    pub kind: String,
    /// What it says, redacted.
    pub text: String,
    /// The same without whatever differs between errors of one kind.
    pub pattern: String,
    /// Where it came from, the innermost frame first.
    pub frames: Vec<ToldFrame>,
    /// Whether the product went on.
    pub is_handled: bool,
}

/// A redactor: a text and how much of it, at a level.
type Redact<'a> = &'a dyn Fn(Level, &str, Limits) -> Result<String, Dropped>;

/// What may be told of an error. `None` where the redactor failed: the error is counted, as
/// [`listed`] says, and nothing of it is kept.
///
/// ```
/// use trueup_telemetry::errors::{Report, tell};
/// use trueup_telemetry::manifest::ErrorLevel;
/// let report = Report {
///     kind: "std::io::Error",
///     message: "cannot open /home/alice/acme/plan.md after 3 tries",
///     template: None,
///     frames: &[],
///     is_handled: true,
/// };
/// let told = tell(&report, ErrorLevel::Template).unwrap();
/// assert_eq!(told.text, "cannot open <p>/plan.md after 3 tries");
/// assert_eq!(told.pattern, "cannot open * after * tries");
/// ```
#[must_use]
pub fn tell(report: &Report<'_>, level: ErrorLevel) -> Option<Told> {
    tell_with(report, level, &|level, text, limits| Redactor::new(level).redact(text, limits))
}

/// The same with another redactor, for tests of what happens when it fails.
#[must_use]
pub fn tell_with(report: &Report<'_>, level: ErrorLevel, redact: Redact<'_>) -> Option<Told> {
    let told = panic::catch_unwind(AssertUnwindSafe(|| told(report, level, redact)));
    told.ok()?.ok()
}

fn told(report: &Report<'_>, level: ErrorLevel, redact: Redact<'_>) -> Result<Told, Dropped> {
    let redact: Redact<'_> = &|level, text, limits| redact(level, text, limits).map(on_one_line);
    // What stands in the source code is nobody's but the author's; only secrets are looked for.
    let template = report.template.map(|it| redact(Level::Redacted, it, Limits::MESSAGE));
    let template = template.transpose()?;
    let text = match (level, &template) {
        (ErrorLevel::Template, Some(template)) => template.clone(),
        (ErrorLevel::Template, None) => redact(Level::Template, report.message, Limits::MESSAGE)?,
        (ErrorLevel::Redacted, _) => redact(Level::Redacted, report.message, Limits::MESSAGE)?,
    };
    let kind = names::name(report.kind, KIND_BYTES_MAX, redact)?;
    let frames = frames::told(report.frames, redact)?;
    let pattern = fingerprint::pattern(template.as_ref().unwrap_or(&text));
    let fingerprint = fingerprint::fingerprint(&kind, &pattern, &frames);
    Ok(Told { fingerprint, kind, text, pattern, frames, is_handled: report.is_handled })
}

/// The value by which an error is counted in the rollup that [`Routes::errors`] names. Errors of which
/// nothing may be told are counted together.
///
/// [`Routes::errors`]: crate::manifest::Routes::errors
#[must_use]
pub fn listed(told: Option<&Told>) -> String {
    let Some(told) = told else { return format!("untold{COLUMN_END}{COLUMN_END}") };
    let pattern = beginning(&told.pattern, PATTERN_BYTES_MAX);
    format!("{}{COLUMN_END}{}{COLUMN_END}{pattern}", told.fingerprint, told.kind)
}

/// A text without ends of lines and whatever else is no character that is seen.
fn on_one_line(text: String) -> String {
    if text.contains(char::is_control) { text.replace(char::is_control, " ") } else { text }
}

/// As much of a text as fits, up to the end of a character.
fn beginning(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}
