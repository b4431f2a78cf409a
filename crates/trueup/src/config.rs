//! Every setting: where it may come from, and what it is now.
//!
//! Defaults < `trueup.toml` < environment < flags. Each setting is one entry of [`SETTINGS`], from
//! which the file's keys, the environment's names, `trueup config` and the reference are made. This
//! is the only place that reads the environment.
//!
//! ```toml
//! port = 9090
//! ledger = "/data/openclaw-trace.db"
//! ```

mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::tz::TimeZone;
use trueup_agents::{Environment, Root};

pub(crate) use self::settings::{SETTINGS, Setting};
use crate::budget;
use crate::hooks::openclaw;
use crate::hub::Tenant;
use crate::telemetry;
use crate::usage::Keeping;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Built in.
    Default,
    /// A file, and the key in it.
    File(PathBuf),
    /// A variable.
    Variable(&'static str),
    /// A flag.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// The effective settings.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    values: BTreeMap<&'static str, (String, Origin)>,
    settings_file: PathBuf,
    /// The budgets of the settings file, in its order.
    pub(crate) budgets: Vec<budget::Settings>,
    /// What agents' folders are looked for by.
    pub(crate) environment: Environment,
    /// Whether this process keeps the ledger up to date anyhow: whoever reports need not.
    pub(crate) is_kept_here: bool,
    /// Whether connections to providers are this account's.
    pub(crate) has_bills: bool,
    /// The tenant of a hub whose account is on ClickHouse.
    tenant: Option<Tenant>,
    /// Whether it answers a tenant of a hub, whom the hub's own paths do not concern.
    is_of_tenant: bool,
}

/// The settings that tenants of a hub are told.
const TOLD_TENANTS: [&str; 4] = ["tz", "hub_push_interval", "hub_heartbeat", "hub_retention_days"];

/// Longest settings file.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl Config {
    /// The same for what runs within the process that keeps the ledger.
    pub(crate) fn kept_here(self) -> Self {
        Self { is_kept_here: true, ..self }
    }

    /// The same for what answers the tenant of a hub whose account this is: nothing of this machine's
    /// agents, budgets and paths is in it, and its connections to providers where they are the tenant's.
    pub(crate) fn of_tenant(self, kept: &Keeping) -> Self {
        let ledger = kept.ledger();
        let has_bills =
            self.text("hub_bills").is_some_and(|name| ledger.file_stem() == Some(name.as_ref()));
        let config = self.with("ledger", ledger.display().to_string());
        let home = ledger.with_extension("home");
        Self {
            has_bills,
            is_of_tenant: true,
            tenant: kept.tenant().cloned(),
            budgets: Vec::new(),
            environment: Environment { home, ..Environment::default() },
            ..config.kept_here()
        }
    }

    /// Where the account is kept.
    pub(crate) fn kept(&self) -> Keeping {
        match &self.tenant {
            Some(tenant) => Keeping::on_clickhouse(self.ledger(), tenant.clone()),
            None => Keeping::in_ledger(self.ledger()),
        }
    }

    /// Whether a setting may be shown to whoever asks.
    pub(crate) fn tells(&self, setting: &Setting) -> bool {
        !self.is_of_tenant || TOLD_TENANTS.contains(&setting.key)
    }

    /// The same with another value of one setting.
    pub(crate) fn with(mut self, key: &'static str, value: String) -> Self {
        self.values.insert(key, (value, Origin::Flag));
        self
    }

    /// The settings of this process: `file` is the file that a flag names, `flags` are settings given
    /// as flags.
    pub(crate) fn of_process(
        file: Option<&Path>,
        flags: &[(&'static str, String)],
    ) -> Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "this is the place that the ban points to")]
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok()?;
                let value = value.into_string();
                // Of a wish not to be tracked it matters that it is there, whatever its letters.
                let kept = value.or_else(|raw| {
                    if is_of_consent(&name) {
                        Ok(raw.to_string_lossy().into_owned())
                    } else {
                        Err(())
                    }
                });
                Some((name, kept.ok()?))
            })
            .collect();
        Self::resolve(variables, file, flags)
    }

    /// The settings of an environment.
    pub(crate) fn resolve(
        variables: BTreeMap<String, String>,
        file: Option<&Path>,
        flags: &[(&'static str, String)],
    ) -> Result<Self> {
        let home = variables.get("HOME").filter(|home| !home.is_empty());
        let home = home.map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let mut environment = Environment { home, variables, ..Environment::default() };
        let (path, is_named) = match (file, environment.variable("TRUEUP_CONFIG")) {
            (Some(path), _) => (path.to_path_buf(), true),
            (None, Some(path)) => (environment.expand(path), true),
            (None, None) => {
                (environment.xdg("XDG_CONFIG_HOME", ".config").join("trueup/trueup.toml"), false)
            }
        };
        let (in_file, budgets) = read_file(&path, is_named)?;
        let mut values = BTreeMap::new();
        for setting in SETTINGS {
            let names = std::iter::once(&setting.variable).chain(setting.aliases);
            let mut variables = names.filter_map(|name| {
                Some((environment.variable(name)?.to_owned(), Origin::Variable(name)))
            });
            let flag = flags.iter().find(|(key, _)| *key == setting.key);
            let value = flag
                .map(|(_, value)| (value.clone(), Origin::Flag))
                .or_else(|| variables.next())
                .or_else(|| Some((in_file.get(setting.key)?.clone(), Origin::File(path.clone()))))
                .unwrap_or_else(|| (default_of(setting, &environment), Origin::Default));
            values.insert(setting.key, value);
        }
        if let Some((folder, _)) = values.get("openclaw_dir").filter(|(path, _)| !path.is_empty()) {
            let root = Root::new(environment.expand(folder), "openclaw_dir");
            environment.pointed.insert(openclaw::SOURCE, root);
        }
        let mut config = Self {
            values,
            settings_file: path,
            budgets,
            environment,
            is_kept_here: false,
            has_bills: true,
            tenant: None,
            is_of_tenant: false,
        };
        let spool = config.spool(openclaw::SOURCE);
        config.environment.spools.insert(openclaw::SOURCE, spool);
        Ok(config)
    }

    /// The value of a setting and where it came from.
    pub(crate) fn value(&self, key: &str) -> (&str, &Origin) {
        self.values.get(key).map_or(("", &Origin::Default), |(value, origin)| (value, origin))
    }

    /// A setting as text; `None` where it is empty.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        Some(self.value(key).0).filter(|value| !value.is_empty())
    }

    /// A setting as a path, with `~` for the home folder.
    pub(crate) fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(|path| self.environment.expand(path))
    }

    /// A setting as a number or another type that is written as one word.
    pub(crate) fn parse<T: FromStr>(&self, key: &str, what: &str) -> Result<T> {
        let (value, origin) = self.value(key);
        value.parse().map_err(|_| anyhow!("{key} (from {origin}): `{value}` is not {what}"))
    }

    /// A setting as a length of time, such as `5m`, `90s` or `1h`.
    pub(crate) fn duration(&self, key: &str) -> Result<std::time::Duration> {
        let (value, origin) = self.value(key);
        let wrong = || {
            anyhow!(
                "{key} (from {origin}): `{value}` is not a length of time such as 30s, 5m or 1h"
            )
        };
        let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        let unit = value.get(digits.len()..).unwrap_or_default();
        let ms = match unit {
            "ms" => 1,
            "s" | "" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        Ok(std::time::Duration::from_millis(number.checked_mul(ms).ok_or_else(wrong)?))
    }

    /// The time zone of reports: the setting, or the machine's.
    pub(crate) fn zone(&self) -> Result<TimeZone> {
        let (name, origin) = self.value("tz");
        if name.is_empty() {
            return Ok(TimeZone::system());
        }
        zone_named(name).with_context(|| format!("tz (from {origin})"))
    }

    /// The settings file, which may not be there.
    pub(crate) fn settings_file(&self) -> &Path {
        &self.settings_file
    }

    /// The settings file, for whoever may ask: where it lies on a hub is no tenant's affair.
    pub(crate) fn shown_settings_file(&self) -> String {
        if self.is_of_tenant {
            return "the settings of the hub".to_owned();
        }
        self.settings_file.display().to_string()
    }

    /// The ledger file.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.path("ledger").unwrap_or_else(|| PathBuf::from("trueup.db"))
    }

    /// The folder that the hook of an agent leaves events in. Hooks name it and run elsewhere, so it is
    /// one and the same from wherever it is looked at.
    pub(crate) fn spool(&self, source: &str) -> PathBuf {
        let folder = self.path("spool_dir").unwrap_or_else(|| PathBuf::from("spool"));
        std::path::absolute(&folder).unwrap_or(folder).join(source)
    }
}

/// The time zone of an IANA name.
pub(crate) fn zone_named(name: &str) -> Result<TimeZone> {
    TimeZone::get(name)
        .map_err(|_| anyhow!("`{name}` is not a time zone; names are like Europe/Berlin or UTC"))
}

/// Defaults that depend on the machine.
fn default_of(setting: &Setting, environment: &Environment) -> String {
    match setting.key {
        "ledger" => default_ledger(environment, Path::new(VOLUME)).display().to_string(),
        "spool_dir" => default_ledger(environment, Path::new(VOLUME))
            .with_file_name("spool")
            .display()
            .to_string(),
        _ => setting.default.to_owned(),
    }
}

/// Whether a variable says something on telemetry, of whichever product.
fn is_of_consent(name: &str) -> bool {
    name == "DO_NOT_TRACK"
        || name == "CI"
        || name.ends_with("_TELEMETRY")
        || name.ends_with("_TELEMETRY_ERRORS")
}

/// Where containers have their data volume.
const VOLUME: &str = "/data";

/// On a machine with a data volume, as containers have, the ledger lies on it.
fn default_ledger(environment: &Environment, volume: &Path) -> PathBuf {
    let is_writable = volume.is_dir() && can_write(volume);
    if is_writable {
        volume.join("openclaw-trace.db")
    } else {
        environment.xdg("XDG_DATA_HOME", ".local/share").join("trueup/trueup.db")
    }
}

/// Whether files can be made in a folder, by its permissions.
fn can_write(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
}

/// A small text file that its owner wrote.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
        .with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(text)
}

/// The key of tables that are no setting of their own.
pub(crate) const BUDGET: &str = "budget";

/// What a settings file says: single values, and budgets.
type InFile = (BTreeMap<String, String>, Vec<budget::Settings>);

fn read_file(path: &Path, is_named: bool) -> Result<InFile> {
    if !is_named && !path.exists() {
        return Ok(InFile::default());
    }
    let text = read_text(path)?;
    let table: toml::Table =
        text.parse().map_err(|error| anyhow!("{}: {error}", path.display()))?;
    let (mut values, mut budgets) = InFile::default();
    for (key, value) in table {
        if key == BUDGET {
            budgets = budget::of_toml(value).with_context(|| path.display().to_string())?;
            continue;
        }
        if !SETTINGS.iter().any(|setting| setting.key == key) {
            bail!("{}: `{key}` is not a setting; `trueup config` lists them all", path.display());
        }
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(is_on) => is_on.to_string(),
            toml::Value::Array(paths) if key == telemetry::MANIFESTS => {
                list(&paths).with_context(|| format!("{}: `{key}`", path.display()))?
            }
            toml::Value::Float(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_)
            | toml::Value::Table(_) => {
                bail!("{}: `{key}` must be a text or a whole number", path.display())
            }
        };
        values.insert(key, text);
    }
    Ok((values, budgets))
}

/// A list of paths as one text, as variables have it.
fn list(paths: &[toml::Value]) -> Result<String> {
    let paths = paths.iter().map(|path| {
        let path = path.as_str().filter(|path| !path.contains(telemetry::PATHS_SEPARATOR));
        path.context("each must be a path, in which there is no `:`")
    });
    let separator = telemetry::PATHS_SEPARATOR.to_string();
    Ok(paths.collect::<Result<Vec<_>>>()?.join(&separator))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut variables: BTreeMap<String, String> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        variables.entry("HOME".to_owned()).or_insert_with(|| "/nowhere".to_owned());
        variables
    }

    #[test]
    fn flags_beat_variables_beat_the_file_beats_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trueup.toml");
        fs::write(&path, "port = 1\nbind = \"::1\"\nlog_level = \"warn\"").unwrap();
        let environment = variables(&[("TRACE_PORT", "2"), ("LOG_LEVEL", "debug")]);
        let flags = [("log_level", "error".to_owned())];
        let config = Config::resolve(environment, Some(&path), &flags).unwrap();
        assert_eq!(config.value("bind"), ("::1", &Origin::File(path)));
        assert_eq!(config.value("port"), ("2", &Origin::Variable("TRACE_PORT")));
        assert_eq!(config.value("log_level"), ("error", &Origin::Flag));
        assert_eq!(config.value("queue_records"), ("512", &Origin::Default));
        assert_eq!(config.ledger(), Path::new("/nowhere/.local/share/trueup/trueup.db"));
    }

    #[test]
    fn the_own_name_beats_its_aliases() {
        let environment =
            variables(&[("OCT_PORT", "3"), ("TRACE_PORT", "2"), ("TRUEUP_PORT", "1")]);
        assert_eq!(Config::resolve(environment, None, &[]).unwrap().value("port").0, "1");
    }

    #[test]
    fn wrong_values_say_where_they_are_from() {
        let config = Config::resolve(variables(&[("TRUEUP_PORT", "many")]), None, &[]).unwrap();
        let error = config.parse::<u16>("port", "a port").unwrap_err().to_string();
        assert_eq!(error, "port (from TRUEUP_PORT): `many` is not a port");
        let config =
            Config::resolve(variables(&[("TRUEUP_SYNC_INTERVAL", "5 parsecs")]), None, &[]);
        assert!(config.unwrap().duration("sync_interval").is_err());
    }

    #[test]
    fn unknown_keys_and_missing_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trueup.toml");
        fs::write(&path, "prot = 1").unwrap();
        let error = Config::resolve(variables(&[]), Some(&path), &[]).unwrap_err().to_string();
        assert!(error.contains("`prot` is not a setting"), "{error}");
        fs::write(&path, "port = = 1").unwrap();
        let error = Config::resolve(variables(&[]), Some(&path), &[]).unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
        assert!(Config::resolve(variables(&[]), Some(Path::new("/nowhere.toml")), &[]).is_err());
    }

    #[test]
    fn openclaw_is_read_where_the_setting_points() {
        let folder =
            |config: &Config| Some(config.environment.pointed.get("openclaw")?.path.clone());
        let variable = [("TRUEUP_OPENCLAW_DIR", "~/claw"), ("OPENCLAW_STATE_DIR", "/other")];
        let config = Config::resolve(variables(&variable), None, &[]).unwrap();
        assert_eq!(folder(&config), Some("/nowhere/claw".into()));
        let flags = [("openclaw_dir", "/flag".to_owned())];
        let config = Config::resolve(variables(&variable), None, &flags).unwrap();
        assert_eq!(folder(&config), Some("/flag".into()));
        let config =
            Config::resolve(variables(&[("TRUEUP_OPENCLAW_DIR", " ")]), None, &[]).unwrap();
        assert_eq!(folder(&config), None);
    }

    #[test]
    fn a_data_volume_holds_the_ledger() {
        let environment = Environment::default();
        let volume = tempfile::tempdir().unwrap();
        assert_eq!(
            default_ledger(&environment, volume.path()),
            volume.path().join("openclaw-trace.db")
        );
    }
}
