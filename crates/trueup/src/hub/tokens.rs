//! Who may ask a hub.
//!
//! ```text
//! truh_4f6c0a…  the secret: shown once, when it is made
//! 9d3e51c2      its name: the first bytes of its hash, which is all that is kept
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::http::{HeaderMap, header};
use trueup_core::{HubToken, Text, UnixMs};
use uuid::Uuid;

use super::store::Store;
use crate::api::shown_secret;
use crate::render::number::hex;

/// What secrets begin with, so that scanners of repositories can find them.
const PREFIX: &str = "truh_";
/// How long tokens are remembered: so long one that is revoked may still open.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Longest secret that is looked at.
const SECRET_BYTES_MAX: usize = 512;

/// A new token and its secret.
pub(crate) fn create(tenant: &str, device: Option<&str>, now: UnixMs) -> (HubToken, String) {
    // 244 random bits.
    let random = blake3::hash(&[Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat());
    let secret = format!("{PREFIX}{}", random.to_hex());
    let hash = hash(&secret);
    let id = hex(hash.first_chunk::<4>().map_or(&[], |first| &first[..]));
    let token = HubToken {
        id: id.into(),
        hash,
        tenant: tenant.into(),
        device: device.map(Text::from),
        created_at: now,
        revoked_at: None,
    };
    (token, secret)
}

fn hash(secret: &str) -> [u8; 32] {
    blake3::hash(secret.as_bytes()).into()
}

/// Whether a text may name a tenant or a device: it becomes the name of a file, and stands in tables.
pub(crate) fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_inner = |byte: u8| is_letter(byte) || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&text.len())
        && text.bytes().all(is_inner)
        && text.bytes().next().is_some_and(is_letter)
}

/// The tokens of a store, as they were a moment ago.
#[derive(Debug)]
pub(super) struct Tokens {
    store: Arc<dyn Store>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    tokens: Arc<HashMap<[u8; 32], HubToken>>,
    /// How many devices may tell.
    devices: usize,
    read_at: Option<Instant>,
    /// What the store said of its tokens just before, so that what has not changed is not read again.
    version: Option<i64>,
}

impl Tokens {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, known: Mutex::default() }
    }

    /// The token that a request shows, where it opens something.
    pub(super) fn shown(&self, headers: &HeaderMap) -> Result<Option<HubToken>> {
        let Some(secret) = secret(headers) else { return Ok(None) };
        let tokens = self.all()?;
        // By its hash: how long that takes says nothing of secrets.
        Ok(tokens.get(&hash(&secret)).filter(|token| token.revoked_at.is_none()).cloned())
    }

    /// How many devices may tell, as far as was read.
    pub(super) fn devices(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).devices
    }

    fn all(&self) -> Result<Arc<HashMap<[u8; 32], HubToken>>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.read_at.is_none_or(|read_at| read_at.elapsed() >= REMEMBERED) {
            let version = self.store.tokens_version()?;
            if version.is_some() && version == known.version {
                known.read_at = Some(Instant::now());
                return Ok(Arc::clone(&known.tokens));
            }
            let tokens = self.store.tokens()?;
            let is_device =
                |token: &&HubToken| token.device.is_some() && token.revoked_at.is_none();
            known.devices = tokens.iter().filter(is_device).count();
            known.tokens = Arc::new(tokens.into_iter().map(|token| (token.hash, token)).collect());
            known.read_at = Some(Instant::now());
            known.version = version;
        }
        Ok(Arc::clone(&known.tokens))
    }
}

/// The secret that a request shows, where it is not too long to be one.
fn secret(headers: &HeaderMap) -> Option<String> {
    let length = headers.get(header::AUTHORIZATION)?.len();
    shown_secret(headers).filter(|_| length <= SECRET_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_once_and_only_its_hash_is_kept() {
        let (token, secret) = create("acme", Some("laptop-7"), UnixMs(5));
        assert_eq!((secret.len(), token.id.len(), hash(&secret)), (69, 8, token.hash));
        assert!(hex(&token.hash).starts_with(&*token.id));
        assert_ne!(create("acme", None, UnixMs(5)).1, secret);
    }

    #[test]
    fn names_are_those_of_files() {
        for name in ["a", "acme", "laptop-7", "a.b_c", "7", &"a".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", "-a", "A", "a/b", "a b", "ä", "a\n", &"a".repeat(65)] {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[test]
    fn secrets_come_in_two_forms() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            secret(&headers)
        };
        assert_eq!(of("Bearer x").as_deref(), Some("x"));
        assert_eq!(of("bearer  x ").as_deref(), Some("x"));
        assert_eq!(of("Basic bWU6eA==").as_deref(), Some("x"));
        for wrong in ["x", "Basic x", "Digest x", &format!("Bearer {}", "x".repeat(600))] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
