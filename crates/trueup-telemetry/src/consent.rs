//! Whether a product may tell anything, and who says so.
//!
//! [`decide`] is the whole rule: a pure function of what was found. It knows no environment, no clock and
//! no file; the caller brings values and a [`StateFile`] that was [read](StateFile::read). Reading never
//! writes. Any doubt ends with [`Mode::Off`], and nothing ever puts a file in the place of one that could
//! not be read.
//!
//! A `telemetry.json`, as a person or claude-mem may have left it:
//!
//! ```json
//! {"enabled": false, "installId": "0b7f4f0e-6f3c-4c7e-9d0e-2f1f6f1f7a11", "decidedAt": "2026-06-19T08:00:00Z"}
//! ```

mod document;
mod file;

use std::fmt;

use trueup_core::UnixMs;

pub(crate) use document::{DAILY_SECRET, INSTALL_ID};
pub use document::{Decision, Document, Doubt};
pub(crate) use file::change;
pub use file::{Content, FILE_BYTES_MAX, StateFile, Unreadable, WriteError};

/// How much a product tells. The order is that of how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Nothing is recorded, written or sent.
    Off,
    /// It is recorded on this machine, and nothing is sent.
    Local,
    /// It is sent.
    On,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Off, Self::Local, Self::On];

    /// Its word in files, variables and output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Local => "local",
            Self::On => "on",
        }
    }

    /// The mode of exactly this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.word() == word)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Who decided. The first that says something does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// The variable `DO_NOT_TRACK`, which can only turn off.
    DoNotTrack,
    /// The product's own variable, such as `TRUEUP_TELEMETRY`.
    Variable,
    /// The file of whoever manages the machine, which can only lower.
    Policy,
    /// `telemetry.json`, where the user's decision is kept.
    File,
    /// The variable `CI`, which can only lower.
    Ci,
    /// The product's manifest.
    Default,
}

impl Layer {
    /// Every layer, the first to be asked first.
    pub const ALL: [Self; 6] =
        [Self::DoNotTrack, Self::Variable, Self::Policy, Self::File, Self::Ci, Self::Default];

    /// Its name in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DoNotTrack => "do_not_track",
            Self::Variable => "variable",
            Self::Policy => "policy",
            Self::File => "file",
            Self::Ci => "ci",
            Self::Default => "default",
        }
    }
}

/// Whether a product that is on by default shows a notice before it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Notice {
    /// It sends only once the notice is recorded as shown.
    #[default]
    Required,
    /// Its manifest says that it shows none.
    None,
}

/// All that the rule looks at.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The value of `DO_NOT_TRACK`, where it is set.
    pub do_not_track: Option<&'a str>,
    /// What the product's variables begin with, such as `TRUEUP`. Warnings name them.
    pub prefix: &'a str,
    /// The value of `<PREFIX>_TELEMETRY`, where it is set.
    pub variable: Option<&'a str>,
    /// The value of `<PREFIX>_TELEMETRY_ERRORS`, where it is set.
    pub errors_variable: Option<&'a str>,
    /// The file of whoever manages the machine.
    pub policy: &'a StateFile,
    /// The product's `telemetry.json`.
    pub file: &'a StateFile,
    /// The value of `CI`, where it is set.
    pub ci: Option<&'a str>,
    /// What the manifest says.
    pub default: Mode,
    /// Whether a notice must have been shown where the manifest says `on`.
    pub notice: Notice,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// How much may be told.
    pub mode: Mode,
    /// Who decided.
    pub layer: Layer,
    /// When the decision was made, where it has a date.
    pub as_of: Option<UnixMs>,
    /// Whether it would be `on`, had the notice been shown.
    pub awaits_notice: bool,
    /// Whether errors may be told beside the rest. Never where the mode is off.
    pub errors: bool,
    /// What was doubtful.
    pub warnings: Vec<Warning>,
}

/// Something that was not understood, and what it led to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// A variable has a value that means nothing.
    #[error("{name} is `{value}`, which is not one of {expected}: {effect}")]
    Variable {
        /// Which.
        name: String,
        /// Its value, cut to [`VALUE_CHARS_MAX`].
        value: String,
        /// What it could have been.
        expected: &'static str,
        /// What this led to.
        effect: &'static str,
    },
    /// A file could not be read.
    #[error("{0}; telemetry is off until it is mended or removed")]
    Unreadable(Unreadable),
    /// A file was read, and something in it is not understood.
    #[error("{path}: {doubt}")]
    Doubtful {
        /// Which.
        path: String,
        /// What.
        doubt: Doubt,
    },
}

/// Characters of a variable's value that a warning shows.
pub const VALUE_CHARS_MAX: usize = 32;

impl Consent {
    /// Whether what was recorded at a time may be sent: never what is older than the decision, or, where
    /// that has no date, than the moment at which it was first seen. What was recorded while another
    /// layer kept it local, such as a variable for one process, the caller must leave out by itself.
    #[must_use]
    pub fn may_send(&self, recorded: UnixMs, first_seen: UnixMs) -> bool {
        self.mode == Mode::On && recorded >= self.as_of.unwrap_or(first_seen)
    }
}

/// What one layer says.
struct Said {
    mode: Mode,
    layer: Layer,
    as_of: Option<UnixMs>,
    awaits_notice: bool,
}

impl Said {
    const fn new(mode: Mode, layer: Layer) -> Self {
        Self { mode, layer, as_of: None, awaits_notice: false }
    }
}

/// The rule.
///
/// ```
/// use std::path::Path;
/// use trueup_telemetry::consent::{Evidence, Layer, Mode, Notice, StateFile, decide};
/// let nothing = StateFile::read(Path::new("/nowhere/telemetry.json"));
/// let consent = decide(&Evidence {
///     do_not_track: Some("1"),
///     prefix: "EXAMPLE",
///     variable: Some("on"),
///     errors_variable: None,
///     policy: &nothing,
///     file: &nothing,
///     ci: None,
///     default: Mode::Local,
///     notice: Notice::Required,
/// });
/// assert_eq!((consent.mode, consent.layer), (Mode::Off, Layer::DoNotTrack));
/// ```
#[must_use]
pub fn decide(evidence: &Evidence<'_>) -> Consent {
    let mut warnings = Vec::new();
    let said = said(evidence, &mut warnings);
    let errors = said.mode != Mode::Off && errors(evidence, &mut warnings);
    let Said { mode, layer, as_of, awaits_notice } = said;
    Consent { mode, layer, as_of, awaits_notice, errors, warnings }
}

fn said(evidence: &Evidence<'_>, warnings: &mut Vec<Warning>) -> Said {
    if evidence.do_not_track.is_some_and(is_set) {
        return Said::new(Mode::Off, Layer::DoNotTrack);
    }
    if let Some(mode) = of_variable(evidence, warnings) {
        return Said::new(mode, Layer::Variable);
    }
    let ceiling = stated(evidence.policy, warnings).map_or(Mode::On, |decision| decision.mode);
    if ceiling == Mode::Off {
        return Said::new(Mode::Off, Layer::Policy);
    }
    let below = below_policy(evidence, warnings);
    if ceiling < below.mode { Said::new(ceiling, Layer::Policy) } else { below }
}

/// What is decided where neither a variable nor a policy does.
fn below_policy(evidence: &Evidence<'_>, warnings: &mut Vec<Warning>) -> Said {
    if let Some(decision) = stated(evidence.file, warnings) {
        return Said { as_of: decision.as_of, ..Said::new(decision.mode, Layer::File) };
    }
    // Where a build runs nobody reads a notice; it lowers, and never turns on what is off.
    if evidence.ci.is_some_and(is_set) && evidence.default != Mode::Off {
        return Said::new(Mode::Local, Layer::Ci);
    }
    if evidence.default != Mode::On || evidence.notice == Notice::None {
        return Said::new(evidence.default, Layer::Default);
    }
    match noticed(evidence.file, warnings) {
        Some(shown) => Said { as_of: Some(shown), ..Said::new(Mode::On, Layer::Default) },
        None => Said { awaits_notice: true, ..Said::new(Mode::Local, Layer::Default) },
    }
}

/// Whether a variable that is there means yes. `0` and `false` do not; every other spelling does, so
/// that `DO_NOT_TRACK=FALSE` is taken for a wish not to be tracked.
fn is_set(value: &str) -> bool {
    !matches!(value, "" | "0" | "false")
}

fn of_variable(evidence: &Evidence<'_>, warnings: &mut Vec<Warning>) -> Option<Mode> {
    let value = evidence.variable?.trim();
    if value.is_empty() {
        return None;
    }
    let word = value.to_ascii_lowercase();
    Some(match switch(&word) {
        Some(true) => Mode::On,
        Some(false) => Mode::Off,
        None if word == "local" => Mode::Local,
        None => {
            warnings.push(Warning::Variable {
                name: format!("{}_TELEMETRY", evidence.prefix),
                value: shown(value),
                expected: "off, local, on",
                effect: "telemetry is off",
            });
            Mode::Off
        }
    })
}

/// The words for yes and no.
fn switch(word: &str) -> Option<bool> {
    match word {
        "1" | "true" | "on" | "yes" => Some(true),
        "0" | "false" | "off" | "no" | "disabled" => Some(false),
        _ => None,
    }
}

fn errors(evidence: &Evidence<'_>, warnings: &mut Vec<Warning>) -> bool {
    let value = evidence.errors_variable.unwrap_or_default().trim();
    if value.is_empty() {
        return true;
    }
    switch(&value.to_ascii_lowercase()).unwrap_or_else(|| {
        warnings.push(Warning::Variable {
            name: format!("{}_TELEMETRY_ERRORS", evidence.prefix),
            value: shown(value),
            expected: "off, on",
            effect: "errors are not told",
        });
        false
    })
}

/// A value as a warning may show it, on one line of a terminal.
fn shown(value: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut shown: String = value.chars().take(VALUE_CHARS_MAX).map(plain).collect();
    if value.chars().nth(VALUE_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// What a file decides; a file that cannot be read decides for off.
fn stated(file: &StateFile, warnings: &mut Vec<Warning>) -> Option<Decision> {
    match &file.content {
        Content::Absent => None,
        Content::Unreadable(why) => {
            warnings.push(Warning::Unreadable(why.clone()));
            Some(Decision { mode: Mode::Off, as_of: None })
        }
        Content::Read(document) => {
            let (decision, doubts) = document.decision();
            warnings.extend(doubtful(file, doubts));
            decision
        }
    }
}

/// When the notice was shown, as the file says.
fn noticed(file: &StateFile, warnings: &mut Vec<Warning>) -> Option<UnixMs> {
    let Content::Read(document) = &file.content else { return None };
    let (shown, doubt) = document.notice_shown();
    warnings.extend(doubtful(file, doubt));
    shown
}

fn doubtful(
    file: &StateFile,
    doubts: impl IntoIterator<Item = Doubt>,
) -> impl Iterator<Item = Warning> {
    let path = file.path.display().to_string();
    doubts.into_iter().map(move |doubt| Warning::Doubtful { path: path.clone(), doubt })
}
