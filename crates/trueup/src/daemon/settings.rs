//! The settings of `serve`, checked before anything is opened.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use jiff::tz::TimeZone;
use tracing::Level;
use trueup_ledger::Limits;
use trueup_telemetry::manifest::Manifest;

use super::{alerts, otlp, upkeep};
use crate::api::{CronDoor, Token};
use crate::config::Config;
use crate::secret::Secret;
use crate::{push, sync, telemetry};

/// Shortest wait between two looks at anything.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Most records that may be set to wait for the writer.
const QUEUE_RECORDS_MAX: usize = 1_000_000;
/// Largest body that may be set: one that still fits into memory.
const BODY_BYTES_MAX: usize = 1 << 30;

/// What `serve` needs to know.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The ledger file.
    pub(crate) ledger: PathBuf,
    /// Where to listen; port 0 lets the system choose.
    pub(crate) address: SocketAddr,
    /// What clients must send.
    pub(crate) token: Option<Token>,
    /// What may wait for the writer.
    pub(crate) queue: Limits,
    /// Longest stored text.
    pub(crate) text_bytes_max: usize,
    /// Largest request body.
    pub(crate) body_bytes_max: usize,
    /// The time zone of reports that are asked for without one.
    pub(crate) zone: TimeZone,
    /// How often to look at the stores.
    pub(crate) sync_interval: Duration,
    /// How often to take a sample of the machine; `None` for never.
    pub(crate) metrics_interval: Option<Duration>,
    /// The gateway log to follow; `None` for none.
    pub(crate) log_path: Option<PathBuf>,
    /// Threads that read stores.
    pub(crate) threads: usize,
    /// Where what is new is sent; nowhere by default.
    pub(crate) push: Option<push::Settings>,
    /// How often to look whether providers are to be asked; `None` for never.
    pub(crate) pull_interval: Option<Duration>,
    /// Who may have the last days pulled over HTTP.
    pub(crate) cron: CronDoor,
    /// What somebody is to be told of; `None` for nothing.
    pub(crate) alerts: Option<alerts::Settings>,
    /// The products whose telemetry is taken.
    pub(crate) telemetry: Vec<Manifest>,
    /// How OpenTelemetry is taken.
    pub(crate) otlp: otlp::Settings,
    /// How the ledger is kept within bounds.
    pub(crate) upkeep: upkeep::Settings,
    /// The least severe event that is logged.
    pub(crate) log_level: Level,
}

impl Settings {
    /// Reads and checks them.
    pub(crate) fn of(config: &Config) -> Result<Self> {
        let address = Self::address_of(config)?;
        let token = Secret::of(config, "token", "token_file")?.as_ref().map(Token::new);
        if token.is_none() && !address.ip().to_canonical().is_loopback() {
            bail!(
                "bind (from {}): other machines can reach {}, and no token is set; put one into a \
                 file and name it in token_file (TRUEUP_TOKEN_FILE), or bind to 127.0.0.1",
                config.value("bind").1,
                address.ip()
            );
        }
        Ok(Self {
            ledger: config.ledger(),
            address,
            token,
            queue: Limits {
                records: number(config, "queue_records", 1, QUEUE_RECORDS_MAX)?,
                bytes: number(config, "queue_bytes", 1, BODY_BYTES_MAX)?,
            },
            text_bytes_max: number(config, "max_text_bytes", 0, BODY_BYTES_MAX)?,
            body_bytes_max: number(config, "max_body_bytes", 1, BODY_BYTES_MAX)?,
            zone: config.zone()?,
            sync_interval: interval(config, "sync_interval")?,
            log_path: config.path("log_path"),
            metrics_interval: interval_or_off(config, "metrics_interval")?,
            threads: sync::threads(config.parse("threads", "a number of threads")?),
            push: push::Settings::of(config)?,
            pull_interval: interval_or_off(config, "pull_interval")?,
            cron: CronDoor::of(Secret::of(config, "cron_secret", "cron_secret_file")?.as_ref()),
            alerts: alerts::Settings::of(config)?,
            telemetry: telemetry::manifests(config)?,
            otlp: otlp::Settings::of(config)?,
            upkeep: upkeep::Settings::of(config)?,
            log_level: level(config)?,
        })
    }

    /// Where to listen.
    pub(crate) fn address_of(config: &Config) -> Result<SocketAddr> {
        let ip = match config.value("bind").0 {
            "localhost" => Ipv4Addr::LOCALHOST.into(),
            _ => config.parse("bind", "an IP address, such as 127.0.0.1, ::1 or 0.0.0.0")?,
        };
        Ok(SocketAddr::new(ip, config.parse("port", "a port, 0 to 65535")?))
    }
}

pub(super) fn number(config: &Config, key: &str, min: usize, max: usize) -> Result<usize> {
    let number = config.parse(key, "a whole number")?;
    if !(min..=max).contains(&number) {
        bail!("{key} (from {}): {number} is not within {min} and {max}", config.value(key).1);
    }
    Ok(number)
}

pub(crate) fn interval(config: &Config, key: &str) -> Result<Duration> {
    let interval = config.duration(key)?;
    if interval < INTERVAL_MIN {
        bail!(
            "{key} (from {}): {interval:?} is shorter than {INTERVAL_MIN:?}",
            config.value(key).1
        );
    }
    Ok(interval)
}

pub(super) fn interval_or_off(config: &Config, key: &str) -> Result<Option<Duration>> {
    let is_off = config.value(key).0 == "off" || config.duration(key)?.is_zero();
    if is_off { Ok(None) } else { interval(config, key).map(Some) }
}

pub(super) fn level(config: &Config) -> Result<Level> {
    let (value, origin) = config.value("log_level");
    Ok(match value.to_ascii_lowercase().as_str() {
        "debug" => Level::DEBUG,
        "info" => Level::INFO,
        "warn" => Level::WARN,
        "error" => Level::ERROR,
        _ => bail!("log_level (from {origin}): `{value}` is not debug, info, warn or error"),
    })
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

    fn refusal(name: &str, value: &str) -> String {
        settings(&[(name, value)]).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_those_of_the_reference() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.address.to_string(), "127.0.0.1:9090");
        assert_eq!(settings.queue, Limits { records: 512, bytes: 8 << 20 });
        assert_eq!((settings.text_bytes_max, settings.body_bytes_max), (16_384, 16 << 20));
        assert!(settings.token.is_none());
        assert_eq!(settings.metrics_interval, Some(Duration::from_secs(15)));
    }

    #[test]
    fn samples_can_be_turned_off() {
        for value in ["off", "0", "0s"] {
            let settings = settings(&[("TRACE_METRICS_INTERVAL", value)]).unwrap();
            assert_eq!(settings.metrics_interval, None, "{value}");
        }
        let refused = refusal("TRUEUP_METRICS_INTERVAL", "never");
        assert!(refused.contains("metrics_interval (from TRUEUP_METRICS_INTERVAL)"), "{refused}");
    }

    #[test]
    fn other_addresses_need_a_token() {
        for bind in ["0.0.0.0", "::", "192.168.1.7", "::ffff:10.0.0.1"] {
            let refused = refusal("TRUEUP_BIND", bind);
            assert!(
                refused.contains("no token is set") && refused.contains("TRUEUP_BIND"),
                "{bind}"
            );
            let with_token = [("TRUEUP_BIND", bind), ("TRUEUP_TOKEN", "t0ken")];
            assert!(settings(&with_token).unwrap().token.is_some());
        }
        for bind in ["127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1"] {
            assert!(settings(&[("TRUEUP_BIND", bind)]).is_ok(), "{bind}");
        }
    }

    #[test]
    fn wrong_values_are_named_with_their_origin() {
        for (name, value, expected) in [
            (
                "LOG_LEVEL",
                "loud",
                "log_level (from LOG_LEVEL): `loud` is not debug, info, warn or error",
            ),
            ("TRACE_PORT", "70000", "port (from TRACE_PORT): `70000` is not a port, 0 to 65535"),
            (
                "TRUEUP_QUEUE_RECORDS",
                "0",
                "queue_records (from TRUEUP_QUEUE_RECORDS): 0 is not within 1 and 1000000",
            ),
            (
                "TRUEUP_SYNC_INTERVAL",
                "1ms",
                "sync_interval (from TRUEUP_SYNC_INTERVAL): 1ms is shorter than 100ms",
            ),
            (
                "TRUEUP_TOKEN",
                "two words",
                "token (from TRUEUP_TOKEN): a token is a word of visible ASCII characters",
            ),
        ] {
            assert_eq!(refusal(name, value), expected);
        }
    }

    #[test]
    fn tokens_come_from_files_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "t0ken\n").unwrap();
        let path = path.to_str().unwrap();
        let token = settings(&[("TRUEUP_TOKEN_FILE", path)]).unwrap().token.unwrap();
        assert!(token.is("t0ken") && !token.is("t0ken\n"));
        assert!(settings(&[("TRUEUP_TOKEN_FILE", path), ("TRUEUP_TOKEN", "x")]).is_err());
        assert!(settings(&[("TRUEUP_TOKEN_FILE", "/nowhere/token")]).is_err());
    }
}
