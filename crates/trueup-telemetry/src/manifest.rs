//! A product's manifest: the only list of what it may tell, in what form, how much, and to whom.
//!
//! Documentation, the consent screen and the list of keys that are accepted are made from one walk over it
//! ([`Manifest::told`]), so that none of them can promise what another does not hold. No type of field can
//! hold free text. A manifest that could run up a bill, or whose meaning is in doubt, is refused as a
//! whole, with the line and the field of everything that is wrong.
//!
//! ```toml
//! product = "example"
//! env_prefix = "EXAMPLE"
//! default = "local"
//! id = "install"
//!
//! [fields]
//! outcome = { enum = ["ok", "error"], about = "How it went" }
//! tokens_input = { u64 = true, about = "Tokens of the prompt" }
//!
//! [[rollup]]
//! event = "turn_rollup"
//! grain = "session"
//! sum = ["tokens_input"]
//! enum = ["outcome"]
//! max_age = "1h"
//! max_records = 1000
//! ```

mod accept;
mod build;
mod events;
mod keys;
mod lint;
mod plan;
mod read;
mod render;
mod sinks;
mod source;
mod told;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use accept::{DROPS_MAX, Drops, Input, PROPERTIES_MAX, Reason, Value};
pub use keys::{KEYS, Key, Section, reference};
pub use lint::lint;
pub use plan::{Route, Routes, plan_of};
pub use read::{ABOUT_CHARS_MAX, FINDINGS_MAX};
pub use render::SCREEN_COLUMNS;
pub(crate) use sinks::{is_project_key, url as address};
pub use told::{Told, ToldEvent};

use crate::consent::{Mode, Notice};
use crate::identity::IdKind;

/// Longest manifest that is read.
pub const MANIFEST_BYTES_MAX: usize = 256 * 1024;
/// Most fields.
pub const FIELDS_MAX: usize = 256;
/// Most events.
pub const EVENTS_MAX: usize = 64;
/// Most words of an enum.
pub const WORDS_MAX: usize = 64;
/// Most characters of a name, a word or a token.
pub const NAME_CHARS_MAX: usize = 64;

/// What a product may tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The product, in `a-z0-9-`.
    pub product: String,
    /// What it tells, and what for.
    pub about: String,
    /// What its variables begin with.
    pub env_prefix: String,
    /// Where `telemetry.json` lies, where the manifest says so; `~` is the home folder.
    pub data_dir: Option<String>,
    /// What holds where nobody has decided.
    pub default: Mode,
    /// Whether a default of `on` waits for its notice.
    pub notice: Notice,
    /// By what events are told apart.
    pub id: IdKind,
    /// Every field, by name.
    pub fields: Vec<Field>,
    /// Fields that every event carries.
    pub base: Vec<FieldId>,
    /// Events that add up records.
    pub rollups: Vec<Rollup>,
    /// Events of which there are few by nature.
    pub lifecycles: Vec<Lifecycle>,
    /// How errors are told.
    pub errors: Option<Errors>,
    /// How much may leave.
    pub budget: Budget,
    /// Where it goes; nowhere where there is none.
    pub sinks: Vec<Sink>,
    /// What is told of the time before consent.
    pub backfill: Option<Backfill>,
    /// Of each event the fields that its records may have; made from the walk.
    accepted: BTreeMap<String, Vec<FieldId>>,
}

/// A field's place in [`Manifest::fields`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(u16);

/// A field.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub holds: FieldType,
    /// What it means.
    pub about: String,
    /// Its line in the manifest.
    pub line: usize,
}

/// What a field holds. None of these can hold free text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldType {
    /// True or false.
    Bool,
    /// A whole number from 0 on.
    U64,
    /// A whole number.
    I64,
    /// A finite number.
    F64,
    /// Nano-dollars.
    Usd,
    /// A version of three numbers, with a pre-release of known words.
    Semver,
    /// A day.
    Day,
    /// Milliseconds since 1970, cut down.
    Time(Precision),
    /// One of these words.
    Enum(Vec<Arc<str>>),
    /// A word of so many characters at most.
    Token {
        /// Most characters.
        chars_max: usize,
        /// Which.
        charset: Charset,
    },
}

impl FieldType {
    /// By how many values it can be counted.
    fn words(&self) -> usize {
        if let Self::Enum(words) = self { words.len() } else { 2 }
    }
}

/// To what a time is cut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// The UTC day.
    Day,
    /// The hour.
    Hour,
    /// The minute.
    Minute,
    /// Not at all.
    Millisecond,
}

/// Characters of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// `a-z0-9_-`
    Word,
    /// `A-Za-z0-9._-`
    Name,
    /// The latter, with `:` and at most two `/` inside: `openrouter/anthropic/claude-opus-4.5:free`.
    Model,
}

/// What is added up into one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// A session, until it is so old or has so many records.
    Session {
        /// Oldest, in milliseconds.
        age_ms_max: i64,
        /// Most records.
        records_max: u64,
    },
    /// A window of time, in milliseconds.
    Window(i64),
    /// Nothing: each record is an event, of which so many a day are kept.
    Event {
        /// Most in a UTC day.
        per_day_max: u64,
    },
}

/// An event that adds up records.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollup {
    /// Its name.
    pub event: String,
    /// What it means.
    pub about: String,
    /// What is added up into one.
    pub grain: Grain,
    /// To what the start of its window is cut down.
    pub start: Precision,
    /// Added up.
    pub sums: Vec<Used>,
    /// As mean, percentiles and maximum.
    pub hists: Vec<Used>,
    /// Counted by value.
    pub enums: Vec<Used>,
    /// The most frequent value.
    pub tops: Vec<Used>,
    /// Sent as they are, where nothing is added up.
    pub fields: Vec<FieldId>,
    /// Its line in the manifest.
    pub line: usize,
}

/// A field in a rollup, and the key or the part of keys under which it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Which.
    pub field: FieldId,
    /// Under which key; of a histogram and of a count by value only the part that all keys share.
    pub key: String,
}

/// An event of which there are few by nature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// Its name.
    pub event: String,
    /// What it means.
    pub about: String,
    /// Whether the base fields are kept in a profile of the id.
    pub is_person: bool,
    /// Most in a UTC day.
    pub per_day_max: u64,
    /// Fields that it carries.
    pub fields: Vec<FieldId>,
    /// Its line in the manifest.
    pub line: usize,
}

/// How errors are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    /// How much of their text may stay.
    pub level: ErrorLevel,
    /// The rollup that carries them.
    pub rollup: String,
    /// How many of them, the most frequent first.
    pub top: u64,
}

/// How much of an error's text may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorLevel {
    /// Words of the dictionary only.
    Template,
    /// All but what looks like a secret or a name.
    Redacted,
}

/// How much may leave an installation in a UTC day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Events of a usual day.
    pub events_per_day: u64,
    /// Events that no day passes.
    pub hard_cap: u64,
    /// Bytes that no day passes.
    pub bytes_per_day: u64,
    /// Errors of a day that are events of their own.
    pub exceptions_per_day: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { events_per_day: 2, hard_cap: 6, bytes_per_day: 32_768, exceptions_per_day: 0 }
    }
}

/// Where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// PostHog.
    PostHog {
        /// The server.
        host: String,
        /// The project's public key.
        key: String,
        /// Whether the newer endpoint is used.
        is_v1: bool,
        /// Whether the server may look up where the address is.
        geoip: bool,
        /// Whether bodies are packed on their way.
        is_gzip: bool,
    },
    /// OTLP over HTTP.
    Otlp {
        /// Where it is posted to.
        endpoint: String,
        /// As logs.
        logs: bool,
        /// As metrics.
        metrics: bool,
        /// Whether bodies are packed on their way.
        is_gzip: bool,
    },
    /// JSON that is posted.
    Webhook {
        /// Where it is posted to.
        endpoint: String,
        /// The variable with the secret of its signature.
        secret_variable: Option<String>,
    },
    /// A file of lines.
    File {
        /// The file; `~` is the home folder.
        path: String,
    },
    /// Standard output.
    Stdout,
}

impl Sink {
    /// Its kind, as in the manifest.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::PostHog { .. } => "posthog",
            Self::Otlp { .. } => "otlp",
            Self::Webhook { .. } => "webhook",
            Self::File { .. } => "file",
            Self::Stdout => "stdout",
        }
    }

    /// The variable with the secret of its signature.
    #[must_use]
    pub fn secret_variable(&self) -> Option<&str> {
        match self {
            Self::Webhook { secret_variable, .. } => secret_variable.as_deref(),
            Self::PostHog { .. } | Self::Otlp { .. } | Self::File { .. } | Self::Stdout => None,
        }
    }
}

/// What is told of the time before consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    /// Its event, one for each day.
    pub event: String,
    /// What it means.
    pub about: String,
    /// A larger one tells the past again.
    pub version: u64,
    /// The namespace of its ids.
    pub namespace: String,
    /// How old a day must be, in milliseconds.
    pub lag_ms: i64,
    /// Whether it is told only on command.
    pub is_explicit: bool,
    /// Fields of a day.
    pub fields: Vec<FieldId>,
    /// Its line in the manifest.
    pub line: usize,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The manifest cannot be used.
    Error,
    /// It can, but is perhaps not what is meant.
    Advice,
}

/// Something in a manifest that is wrong, or perhaps not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Its line, from 1.
    pub line: usize,
    /// Its field, such as `rollup[1].max_age`; empty for the text as a whole.
    pub field: String,
    /// What it is, and what to do.
    pub words: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, line, field, words } = self;
        let advice = if *severity == Severity::Advice { "advice: " } else { "" };
        if field.is_empty() {
            write!(f, "{line}: {advice}{words}")
        } else {
            write!(f, "{line}: {advice}`{field}` {words}")
        }
    }
}

/// A manifest that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", all(.file, .findings))]
pub struct ManifestError {
    /// Its file, as it was named.
    pub file: String,
    /// All that is wrong with it.
    pub findings: Vec<Finding>,
}

fn all(file: &str, findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(|finding| format!("{file}:{finding}")).collect();
    lines.join("\n")
}

impl Manifest {
    /// Reads a manifest; `file` is what findings call it.
    pub fn parse(text: &str, file: &str) -> Result<Self, ManifestError> {
        let (manifest, mut findings) = build::read(text);
        findings.retain(|finding| finding.severity == Severity::Error);
        findings.sort_by_key(|finding| finding.line);
        manifest.ok_or_else(|| ManifestError { file: file.to_owned(), findings })
    }

    /// A field.
    #[must_use]
    pub fn field(&self, id: FieldId) -> Option<&Field> {
        self.fields.get(usize::from(id.0))
    }

    /// The name of a field.
    #[must_use]
    pub fn name(&self, id: FieldId) -> &str {
        self.field(id).map_or("", |field| &field.name)
    }

    /// The field of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<FieldId> {
        find(&self.fields, name)
    }
}

fn find(fields: &[Field], name: &str) -> Option<FieldId> {
    let place = fields.binary_search_by(|field| field.name.as_str().cmp(name)).ok()?;
    u16::try_from(place).ok().map(FieldId)
}

/// Whether a text can be the name of a field or an event.
fn is_name(text: &str) -> bool {
    text.len() <= NAME_CHARS_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
}
