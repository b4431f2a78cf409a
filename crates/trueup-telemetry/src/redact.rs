//! Takes out of a text what could be a secret or somebody's own, before it leaves the machine.
//!
//! ```text
//! request failed: invalid api key sk-live-9fQ2… for alice@example.com (retry in 30 s)
//! request failed: invalid api key <w> for <at> (retry in 30 s)
//! ```
//!
//! Two levels share one lexer. `Template` lets words pass that are listed, and nothing else: it needs
//! to know no kind of secret. `Redacted` lets all words pass but those that look like a secret. Both
//! take out addresses, hosts, paths, long numbers, keys of certificates and the values of secret names.
//!
//! This module knows no kind of error, no file and no network. It refuses to pass on what it could not
//! finish: whatever goes wrong, there is no text. docs/redaction.md has the rules, the marks, and what
//! plain words can still tell.

mod keys;
mod lexer;
mod lines;
mod marks;
mod places;
mod policy;
mod secrets;
mod words;

use std::panic::{self, AssertUnwindSafe};

pub use lines::Lines;

use lexer::Scan;
use policy::Policy;
use words::Words;

/// What may stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Listed words and short numbers: what is left is the text's pattern.
    #[default]
    Template,
    /// Whatever does not look like a secret, an address, a path or somebody's number.
    Redacted,
}

/// How much is read, and how much is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What lies behind so many bytes is not looked at: `<cut>` stands for it.
    pub raw_bytes_max: usize,
    /// The text that comes out has no more bytes. More than `raw_bytes_max` is never written.
    pub redacted_bytes_max: usize,
}

impl Limits {
    /// For the message of an error.
    pub const MESSAGE: Self = Self { raw_bytes_max: RAW_BYTES_MAX, redacted_bytes_max: 500 };
    /// For the frames of a stack.
    pub const STACK: Self = Self { raw_bytes_max: RAW_BYTES_MAX, redacted_bytes_max: 2_048 };
    /// For a line of a text.
    pub const LINE: Self = Self { raw_bytes_max: RAW_BYTES_MAX, redacted_bytes_max: RAW_BYTES_MAX };
}

/// The longest text that is looked at: a millisecond's work at worst.
pub const RAW_BYTES_MAX: usize = 8_192;

/// Why there is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// The list of words is damaged, so that nothing can be known to be harmless.
    #[error("the text was dropped: the list of words that may pass is damaged")]
    NoWords,
    /// The redactor failed on this text.
    #[error("the text was dropped: the redactor failed on it")]
    Fault,
}

/// A redactor of one level.
///
/// ```
/// use trueup_telemetry::redact::{Level, Limits, Redactor};
///
/// let redactor = Redactor::new(Level::Template);
/// let text = "cannot open /home/alice/acme-merger/plan.md: password=hunter2";
/// let redacted = redactor.redact(text, Limits::MESSAGE);
/// assert_eq!(redacted.as_deref(), Ok("cannot open <p>/plan.md: password=<v>"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Redactor {
    level: Level,
    words: Option<Words>,
}

impl Redactor {
    /// A redactor; its list of words is part of the program.
    pub fn new(level: Level) -> Self {
        Self { level, words: Words::built_in() }
    }

    /// The text without what must not leave the machine, or no text at all.
    ///
    /// Redacting what came out changes nothing. The time is linear in the length of the text, and no
    /// more than [`Limits::raw_bytes_max`] of it are looked at.
    pub fn redact(&self, text: &str, limits: Limits) -> Result<String, Dropped> {
        let words = self.words.as_ref().ok_or(Dropped::NoWords)?;
        let policy = Policy { words, level: self.level };
        guarded(limits, || {
            let begin = beginning(text, limits.raw_bytes_max);
            let is_cut = begin.len() < text.len();
            let bytes_max = limits.redacted_bytes_max.min(limits.raw_bytes_max);
            Scan::run(policy, begin, bytes_max, is_cut)
        })
    }
}

/// Runs the redactor so that its faults, of which none is known, cost the text and nothing else.
fn guarded(limits: Limits, run: impl FnOnce() -> String) -> Result<String, Dropped> {
    let redacted = panic::catch_unwind(AssertUnwindSafe(run)).map_err(|_| Dropped::Fault)?;
    if redacted.len() > limits.redacted_bytes_max { Err(Dropped::Fault) } else { Ok(redacted) }
}

/// As much of a text as may be looked at; never a part of what stands between two blanks, because half
/// a secret does not look like one.
fn beginning(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let begin = text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default();
    let blank = begin.rfind(char::is_whitespace);
    blank.and_then(|end| begin.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
