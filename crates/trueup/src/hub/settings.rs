//! The settings of `trueup hub`, checked before anything is opened.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use trueup_clickhouse::Address;

use super::clickhouse::Retention;
use crate::config::Config;
use crate::daemon;

/// Bounds of what may be asked of sidecars.
const SECONDS: std::ops::RangeInclusive<u64> = 1..=3_600;

/// What `hub` needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where what is told is kept.
    pub(crate) place: Place,
    /// Where to listen.
    pub(crate) address: SocketAddr,
    /// How often each sidecar should send, at least.
    pub(crate) push_interval: Duration,
    /// How long a sidecar that has nothing to send may be silent.
    pub(crate) heartbeat: Duration,
    /// Largest body, packed and unpacked.
    pub(crate) body_bytes_max: usize,
    /// How long the rows of a store on ClickHouse are kept.
    pub(crate) retention: Retention,
}

impl Settings {
    /// Reads and checks them.
    pub(crate) fn of(config: &Config) -> Result<Self> {
        let ip = match config.value("hub_bind").0 {
            "localhost" => Ipv4Addr::LOCALHOST.into(),
            _ => config.parse("hub_bind", "an IP address, such as 127.0.0.1, ::1 or 0.0.0.0")?,
        };
        Ok(Self {
            place: Place::of(config)?,
            address: SocketAddr::new(ip, config.parse("hub_port", "a port, 0 to 65535")?),
            push_interval: seconds(config, "hub_push_interval")?,
            heartbeat: seconds(config, "hub_heartbeat")?,
            body_bytes_max: config.parse("max_body_bytes", "a whole number")?,
            retention: retention(config)?,
        })
    }
}

/// Rows go by weeks: none before its time.
fn retention(config: &Config) -> Result<Retention> {
    let weeks = daemon::days(config, "hub_retention_days")?.map(|days| days.div_ceil(7));
    let weeks = weeks.map(|weeks| u16::try_from(weeks).unwrap_or(u16::MAX));
    Ok(Retention { weeks, interval: daemon::interval(config, "cleanup_interval")? })
}

/// Where what is told is kept.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In a folder of this machine.
    Folder(PathBuf),
    /// On servers.
    ClickHouse(Box<Address>),
}

impl Place {
    /// The store that is set: a folder beside the ledger where nothing else is said.
    pub(crate) fn of(config: &Config) -> Result<Self> {
        let (value, origin) = config.value("hub_store");
        match value.split_once("://") {
            Some(("clickhouse" | "clickhouses", _)) => {
                let address = Address::parse(value);
                let address = address.with_context(|| format!("hub_store (from {origin})"))?;
                Ok(Self::ClickHouse(Box::new(address)))
            }
            Some((scheme, _)) => bail!(
                "hub_store (from {origin}): a store of kind `{scheme}` is not known to this program: \
                 name a folder, as in /var/lib/trueup/hub, or clickhouse://host:8123/trueup"
            ),
            None => {
                let folder = config.path("hub_store");
                Ok(Self::Folder(folder.unwrap_or_else(|| config.ledger().with_file_name("hub"))))
            }
        }
    }

    /// The folder, for what only a store on this machine has.
    pub(crate) fn folder(self) -> Result<PathBuf> {
        match self {
            Self::Folder(folder) => Ok(folder),
            Self::ClickHouse(address) => {
                bail!("{address} has no ledger file: ask a hub that serves, by --hub")
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::ClickHouse(address) => address.fmt(f),
        }
    }
}

fn seconds(config: &Config, key: &str) -> Result<Duration> {
    let time = config.duration(key)?;
    if time.subsec_nanos() != 0 || !SECONDS.contains(&time.as_secs()) {
        bail!("{key} (from {}): it must be whole seconds, 1s to 1h", config.value(key).1);
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings> {
        let mut variables: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        variables.insert("HOME".into(), "/nowhere".into());
        Settings::of(&Config::resolve(variables, None, &[])?)
    }

    #[test]
    fn the_defaults_are_those_of_the_reference() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.place.to_string(), "/nowhere/.local/share/trueup/hub");
        assert_eq!(settings.address.to_string(), "127.0.0.1:9190");
        assert_eq!((settings.push_interval.as_secs(), settings.heartbeat.as_secs()), (300, 300));
    }

    #[test]
    fn wrong_values_say_where_they_are_from() {
        for (name, value) in [
            ("TRUEUP_HUB_STORE", "mongodb://x"),
            ("TRUEUP_HUB_STORE", "clickhouse://a,b"),
            ("TRUEUP_HUB_HEARTBEAT", "2h"),
            ("TRUEUP_HUB_PUSH_INTERVAL", "500ms"),
            ("TRUEUP_HUB_PORT", "70000"),
        ] {
            let refused = settings(&[(name, value)]).unwrap_err().to_string();
            assert!(refused.contains(name), "{refused}");
        }
    }
}
