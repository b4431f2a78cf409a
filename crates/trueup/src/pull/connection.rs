//! Connections: which providers are asked, and with which key.
//!
//! They stand in a file of their own beside the settings, which only its owner can read:
//!
//! ```toml
//! [openai]
//! provider = "openai"
//! address = "https://api.openai.com/v1"
//! key = "sk-admin-…"
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use trueup_providers::{Provider, provider};

use crate::config::{Config, read_text};
use crate::net::{Address, NoAddress};
use crate::secret::Secret;

/// The file, beside that of the settings.
const FILE: &str = "providers.toml";
/// Longest name of a connection.
const NAME_BYTES_MAX: usize = 40;

/// One connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) name: String,
    pub(crate) provider: &'static dyn Provider,
    /// Where it is asked: an address without a slash at its end.
    pub(crate) address: String,
    pub(crate) key: Secret,
    /// How often it is asked at most.
    pub(crate) requests_per_minute: u32,
}

/// Requests a minute where nothing else is said: below what any provider allows.
pub(crate) const REQUESTS_PER_MINUTE: u32 = 50;

const fn requests_per_minute() -> u32 {
    REQUESTS_PER_MINUTE
}

/// A connection as it stands in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    provider: String,
    address: String,
    key: String,
    #[serde(default = "requests_per_minute")]
    requests_per_minute: u32,
}

impl Connection {
    /// A connection, with everything checked that can be without asking.
    pub(crate) fn new(name: &str, provider_id: &str, address: &str, key: Secret) -> Result<Self> {
        check_name(name)?;
        let provider =
            provider(provider_id).ok_or_else(|| anyhow!(unknown_provider(provider_id)))?;
        Ok(Self {
            name: name.to_owned(),
            provider,
            address: checked_address(address)?,
            key,
            requests_per_minute: REQUESTS_PER_MINUTE,
        })
    }

    /// Whether there can be a connection of this name and address.
    pub(crate) fn check(name: &str, address: &str) -> Result<()> {
        check_name(name)?;
        checked_address(address).map(drop)
    }

    /// What stands for the key in the ledger: it says which of two keys asked, and not what it is.
    pub(crate) fn key_id(&self) -> String {
        let hash =
            blake3::derive_key("trueup 2026-11-21 provider key id", self.key.reveal().as_bytes());
        format!("key_{}", crate::render::number::hex(hash.get(..4).unwrap_or_default()))
    }
}

/// What to say of a provider that is not known.
pub(crate) fn unknown_provider(id: &str) -> String {
    let known: Vec<&str> = trueup_providers::PROVIDERS.iter().map(|one| one.id()).collect();
    format!("`{id}` is not a provider; those known are {}", known.join(", "))
}

fn check_name(name: &str) -> Result<()> {
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_".contains(&c));
    if !is_name {
        bail!("a connection's name is made of a to z, 0 to 9, - and _, {NAME_BYTES_MAX} at most");
    }
    Ok(())
}

/// A key is never sent where others on the way could read it.
fn checked_address(address: &str) -> Result<String> {
    let address = address.trim_end_matches('/');
    let has_more = "an address has no name, password or query; the key is given by itself";
    let checked = Address::of(address).map_err(|why| match why {
        NoAddress::Unreadable => anyhow!("{address} is not a URL"),
        NoAddress::NoHost => anyhow!("{address}: an address begins with https:// and a host"),
        NoAddress::HasPassword => anyhow!(has_more),
    })?;
    if address.contains(['?', '#']) {
        bail!(has_more);
    }
    if checked.is_in_the_clear() {
        bail!("{address}: the key could be read on its way; use https://");
    }
    Ok(address.to_owned())
}

/// All connections, by name.
#[derive(Debug)]
pub(crate) struct Connections {
    path: PathBuf,
    all: BTreeMap<String, Connection>,
}

impl Connections {
    /// Those of the file beside the settings; none where there is no file, or where they are not of the
    /// account that is looked at.
    pub(crate) fn load(config: &Config) -> Result<Self> {
        let path = config.settings_file().with_file_name(FILE);
        if !(config.has_bills && path.exists()) {
            return Ok(Self { path, all: BTreeMap::new() });
        }
        check_private(&path)?;
        let text = read_text(&path)?;
        // The message of the parser would show the line, and the key in it.
        let entries: BTreeMap<String, Entry> = toml::from_str(&text)
            .map_err(|_| anyhow!("{}: not as `trueup provider add` writes it", path.display()))?;
        let all = entries.into_iter().map(|(name, entry)| {
            let key =
                Secret::new(&entry.key).with_context(|| format!("{name}: the key is no word"))?;
            let mut connection = Connection::new(&name, &entry.provider, &entry.address, key)?;
            connection.requests_per_minute = entry.requests_per_minute;
            Ok((name, connection))
        });
        let all: Result<BTreeMap<String, Connection>> = all.collect();
        Ok(Self { all: all.with_context(|| path.display().to_string())?, path })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Each of them, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.all.values()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The one of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&Connection> {
        self.all.get(name)
    }

    /// Adds one, or puts it in the place of that of the same name.
    pub(crate) fn add(&mut self, connection: Connection) -> Result<()> {
        self.all.insert(connection.name.clone(), connection);
        self.save()
    }

    /// Forgets one, and its key; whether it was there.
    pub(crate) fn remove(&mut self, name: &str) -> Result<bool> {
        let was_there = self.all.remove(name).is_some();
        if was_there {
            self.save()?;
        }
        Ok(was_there)
    }

    /// Writes the file anew: whoever reads it meanwhile sees the old one or the new one.
    fn save(&self) -> Result<()> {
        let entries: BTreeMap<&String, Entry> = self
            .all
            .iter()
            .map(|(name, connection)| {
                let Connection { provider, address, key, requests_per_minute, .. } =
                    connection.clone();
                let (provider, key) = (provider.id().to_owned(), key.reveal().to_owned());
                (name, Entry { provider, address, key, requests_per_minute })
            })
            .collect();
        let text = toml::to_string(&entries)?;
        let folder = self.path.parent().context("the settings have no folder")?;
        let write = || {
            fs::create_dir_all(folder)?;
            let new = self.path.with_extension("toml.new");
            // One that an interrupted write left may have any mode.
            drop(fs::remove_file(&new));
            let mut file: File =
                File::options().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        };
        write().with_context(|| format!("{} cannot be written", self.path.display()))
    }
}

/// A file with keys in it that others may read is not used.
fn check_private(path: &Path) -> Result<()> {
    let metadata =
        fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        bail!("{} holds keys, and others may read it: chmod 600 it", path.display());
    }
    Ok(())
}

/// A key as it was typed, or as it stands in a file or a variable.
pub(crate) fn key_of(text: &str) -> Result<Secret> {
    Secret::new(text).context("a key is one word of visible ASCII characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &Path) -> Config {
        let home = [("HOME".to_owned(), folder.display().to_string())];
        Config::resolve(home.into_iter().collect(), None, &[]).unwrap()
    }

    fn connection(name: &str, key: &str) -> Connection {
        Connection::new(name, "openai", "https://api.openai.com/v1/", key_of(key).unwrap()).unwrap()
    }

    #[test]
    fn keys_lie_in_a_file_that_only_its_owner_reads_and_are_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let mut connections = Connections::load(&config).unwrap();
        assert!(connections.is_empty());
        connections.add(connection("main", "sk-admin-s3cret")).unwrap();
        connections.add(connection("main", "sk-admin-s3cret2")).unwrap();
        let mode = fs::metadata(connections.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut again = Connections::load(&config).unwrap();
        assert_eq!(again.get("main").unwrap().key.reveal(), "sk-admin-s3cret2");
        assert_eq!(again.get("main").unwrap().address, "https://api.openai.com/v1");
        assert!(!format!("{again:?}").contains("s3cret"));
        fs::set_permissions(again.path(), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Connections::load(&config).unwrap_err().to_string().contains("chmod 600"));
        assert!(again.remove("main").unwrap() && !again.remove("main").unwrap());
    }

    #[test]
    fn a_damaged_file_is_named_without_its_keys() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let mut connections = Connections::load(&config).unwrap();
        connections.add(connection("main", "sk-admin-s3cret")).unwrap();
        fs::write(connections.path(), "[main]\nkey = sk-admin-s3cret").unwrap();
        let error = format!("{:#}", Connections::load(&config).unwrap_err());
        assert!(error.contains("providers.toml") && !error.contains("s3cret"), "{error}");
    }

    #[test]
    fn two_keys_have_two_ids_and_neither_tells_the_key() {
        let (one, two) = (connection("a", "sk-1"), connection("a", "sk-2"));
        assert_ne!(one.key_id(), two.key_id());
        assert_eq!((one.key_id().len(), one.key_id().starts_with("key_")), (12, true));
    }

    #[test]
    fn a_key_is_only_sent_where_nobody_reads_along() {
        for address in ["https://a.example/v1", "http://127.0.0.1:4000", "http://localhost:4000/"] {
            assert!(checked_address(address).is_ok(), "{address}");
        }
        for address in [
            "http://a.example",
            "ftp://a.example",
            "a.example",
            "https://me:pw@a.example",
            "https://a.example/?k=1",
        ] {
            assert!(checked_address(address).is_err(), "{address}");
        }
    }
}
