//! By what a product's events are told apart: by nothing, for a day, or for as long as it is installed.
//!
//! Both ids live in `telemetry.json`, beside the decision, where claude-mem keeps its own. They are made
//! on first need, which is when something is to be sent: [`find`] never writes, so that asking for the
//! status makes none. An id is random, and says nothing about its machine or user.
//!
//! ```json
//! {"installId": "0b7f4f0e-6f3c-4c7e-9d0e-2f1f6f1f7a11"}
//! ```

use std::fmt::Write as _;
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::tz::TimeZone;
use serde_json::Value;
use sha2::Sha256;
use trueup_core::UnixMs;
use uuid::Uuid;

use crate::consent::{Content, Document, StateFile, WriteError};
use crate::consent::{DAILY_SECRET, INSTALL_ID, change};

/// What kind of id a manifest asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdKind {
    /// None: events cannot be told to be of one installation.
    None,
    /// Another each UTC day: days cannot be told to be of one installation.
    Daily,
    /// One for as long as it is installed, or until it is reset.
    Install,
}

impl IdKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::None, Self::Daily, Self::Install];

    /// Its word in a manifest.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Daily => "daily",
            Self::Install => "install",
        }
    }
}

/// By what events are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// By nothing.
    None,
    /// By an id of the day.
    Daily(Secret),
    /// By an id of the installation, as it stands in the file.
    Install(String),
}

/// Bytes of the secret from which ids of days are made.
const SECRET_BYTES: usize = 32;
/// Bytes of the HMAC that make an id.
const DAILY_ID_BYTES: usize = 16;

/// What ids of days are made from. It stays in its file.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET_BYTES]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a file has by way of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// None that was made yet.
    NotYet,
    /// This one.
    Made(Identity),
    /// Something that is no id. It may be a name, so it is not used.
    NotAnId {
        /// The key at which it stands.
        key: &'static str,
    },
    /// The file cannot be read.
    Unreadable,
}

/// Why there is no id. Nothing is sent without one.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// What stands there is no id.
    #[error("{path}: `{key}` is not an id that was made by chance; `reset-id` makes a new one")]
    NotAnId {
        /// The file.
        path: String,
        /// The key.
        key: &'static str,
    },
    /// It cannot be kept.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// The id that a file has. Writes nothing.
#[must_use]
pub fn find(kind: IdKind, file: &StateFile) -> Found {
    match &file.content {
        _ if kind == IdKind::None => Found::Made(Identity::None),
        Content::Absent => Found::NotYet,
        Content::Unreadable(_) => Found::Unreadable,
        Content::Read(document) => in_document(kind, document),
    }
}

fn in_document(kind: IdKind, document: &Document) -> Found {
    let (key, read): (_, fn(&str) -> Option<Identity>) = match kind {
        IdKind::None => return Found::Made(Identity::None),
        IdKind::Daily => (DAILY_SECRET, |text| Secret::parse(text).map(Identity::Daily)),
        IdKind::Install => (INSTALL_ID, install_id),
    };
    match document.get(key) {
        None => Found::NotYet,
        // claude-mem writes an empty one where telemetry was turned off before anything was sent.
        Some(Value::String(text)) if text.is_empty() => Found::NotYet,
        Some(value) => {
            let identity = value.as_str().and_then(read);
            identity.map_or(Found::NotAnId { key }, Found::Made)
        }
    }
}

/// An id of an installation: any UUID in its usual form, kept letter by letter, so that it stays the same.
fn install_id(text: &str) -> Option<Identity> {
    let uuid = Uuid::try_parse(text).ok()?;
    let is_usual = text.len() == uuid::fmt::Hyphenated::LENGTH && !uuid.is_nil();
    is_usual.then(|| Identity::Install(text.to_owned()))
}

/// The id of a product, made where there is none yet. Only what is about to be sent needs one.
pub fn obtain(kind: IdKind, path: &Path) -> Result<Identity, IdentityError> {
    let not_an_id = |key| IdentityError::NotAnId { path: path.display().to_string(), key };
    match find(kind, &StateFile::read(path)) {
        Found::Made(identity) => return Ok(identity),
        Found::NotAnId { key } => return Err(not_an_id(key)),
        // Writing says why it cannot be read.
        Found::NotYet | Found::Unreadable => {}
    }
    // Another process may have made one in between.
    let found = change(path, |document| match in_document(kind, document) {
        Found::NotYet | Found::Unreadable => Ok(make(kind, document)),
        Found::Made(identity) => Ok(identity),
        Found::NotAnId { key } => Err(key),
    })?;
    found.map_err(not_an_id)
}

/// Puts a new id in the place of one that is there; whether one was. Ids of the past stay what they were,
/// and cannot be told to be of the same installation.
pub fn reset(kind: IdKind, path: &Path) -> Result<bool, IdentityError> {
    match find(kind, &StateFile::read(path)) {
        Found::NotYet => return Ok(false),
        Found::Made(Identity::None) => return Ok(false),
        Found::Made(Identity::Daily(_) | Identity::Install(_)) => {}
        Found::NotAnId { .. } | Found::Unreadable => {}
    }
    change(path, |document| make(kind, document))?;
    Ok(true)
}

fn make(kind: IdKind, document: &mut Document) -> Identity {
    document.keep_date();
    match kind {
        IdKind::None => Identity::None,
        IdKind::Daily => {
            let secret = Secret::random();
            document.set(DAILY_SECRET, &Value::from(hex(&secret.0)));
            Identity::Daily(secret)
        }
        IdKind::Install => {
            let id = Uuid::new_v4().to_string();
            document.set(INSTALL_ID, &Value::from(id.as_str()));
            Identity::Install(id)
        }
    }
}

impl Identity {
    /// The id that an event of a time carries.
    #[must_use]
    pub fn id_at(&self, time: UnixMs) -> Option<String> {
        match self {
            Self::None => None,
            Self::Daily(secret) => secret.id_at(time),
            Self::Install(id) => Some(id.clone()),
        }
    }
}

impl Secret {
    /// Two random UUIDs: 244 bits of chance.
    fn random() -> Self {
        let mut bytes = [0; SECRET_BYTES];
        let random = [Uuid::new_v4(), Uuid::new_v4()];
        for (to, from) in bytes.iter_mut().zip(random.iter().flat_map(Uuid::as_bytes)) {
            *to = *from;
        }
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits.
    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; SECRET_BYTES];
        let pairs = text.as_bytes().chunks_exact(2);
        if text.len() != 2 * SECRET_BYTES {
            return None;
        }
        for (to, pair) in bytes.iter_mut().zip(pairs) {
            let digit =
                |byte: &u8| char::from(*byte).to_digit(16).and_then(|it| it.try_into().ok());
            let [high, low] = pair else { return None };
            let (high, low): (u8, u8) = (digit(high)?, digit(low)?);
            *to = high << 4 | low;
        }
        Some(Self(bytes))
    }

    /// HMAC-SHA256 of the UTC day as `2026-11-20`, its first half, in hexadecimal digits.
    fn id_at(&self, time: UnixMs) -> Option<String> {
        let day = time.zoned(&TimeZone::UTC).date().to_string();
        let mut hmac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        hmac.update(day.as_bytes());
        let tag = hmac.finalize().into_bytes();
        tag.get(..DAILY_ID_BYTES).map(hex)
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a text cannot fail.
        let _is_written = write!(text, "{byte:02x}").is_ok();
    }
    text
}
