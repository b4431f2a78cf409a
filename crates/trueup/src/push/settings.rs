//! The settings of a push, checked before anything is opened.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use crate::config::{Config, Origin};
use crate::net::{Address, NoAddress};
use crate::secret::Secret;

/// Shortest time between two cycles.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Longest time between two cycles.
const INTERVAL_MAX: Duration = Duration::from_hours(24);
/// Least size of a request that may be set: a record without its texts fits into it.
const REQUEST_BYTES_MIN: u64 = 64 << 10;
/// Largest size of a request that may be set.
const REQUEST_BYTES_MAX: u64 = 64 << 20;
/// Longest name of an agent.
const AGENT_BYTES_MAX: usize = 255;

/// Where to, how often, and who says so.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The address that batches are posted to.
    pub(crate) endpoint: String,
    /// The bearer token.
    pub(crate) token: Option<Secret>,
    /// From the end of a cycle to the next.
    pub(crate) interval: Duration,
    /// Largest request before compression.
    pub(crate) bytes_max: u64,
    /// The name of the agent beside which this runs; may be empty.
    pub(crate) agent: String,
}

impl Settings {
    /// Reads and checks them; `None` where no endpoint is set.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>> {
        let Some(endpoint) = endpoint(config)? else { return Ok(None) };
        let bytes_max = config.parse("push_max_bytes", "a whole number")?;
        if !(REQUEST_BYTES_MIN..=REQUEST_BYTES_MAX).contains(&bytes_max) {
            bail!(
                "push_max_bytes (from {}): {bytes_max} is not within {REQUEST_BYTES_MIN} and \
                 {REQUEST_BYTES_MAX}",
                config.value("push_max_bytes").1
            );
        }
        let agent = config.text("push_agent").unwrap_or_default().to_owned();
        if agent.len() > AGENT_BYTES_MAX {
            bail!(
                "push_agent (from {}): longer than {AGENT_BYTES_MAX} bytes",
                config.value("push_agent").1
            );
        }
        Ok(Some(Self {
            endpoint: endpoint.to_owned(),
            token: Secret::of(config, "push_token", "push_token_file")?,
            interval: interval(config)?,
            bytes_max,
            agent,
        }))
    }

    /// The address as it may be shown.
    pub(crate) fn shown_endpoint(&self) -> String {
        shown(&self.endpoint)
    }

    /// Whether others on the way can read what is sent.
    pub(crate) fn is_in_the_clear(&self) -> bool {
        Address::of(&self.endpoint).is_ok_and(|address| address.is_in_the_clear())
    }
}

/// The address that is set, where it is one that can be used.
pub(crate) fn endpoint(config: &Config) -> Result<Option<&str>> {
    let Some(endpoint) = config.text("push_endpoint") else { return Ok(None) };
    check_endpoint(endpoint, config.value("push_endpoint").1)?;
    Ok(Some(endpoint))
}

/// An address without its query, in which older receivers take their token.
pub(crate) fn shown(endpoint: &str) -> String {
    match endpoint.split_once(['?', '#']) {
        Some((address, _)) => format!("{address}?…"),
        None => endpoint.to_owned(),
    }
}

fn check_endpoint(endpoint: &str, origin: &Origin) -> Result<()> {
    let wrong = |what: &str| format!("push_endpoint (from {origin}): {what}");
    let address = Address::of(endpoint).map_err(|why| {
        anyhow!(wrong(match why {
            NoAddress::Unreadable => "not a URL",
            NoAddress::NoHost => "a URL begins with https:// or http:// and a host",
            NoAddress::HasPassword => {
                "a name and password in the URL are not sent; use push_token_file"
            }
        }))
    })?;
    if address.has_query() && *origin == Origin::Flag {
        bail!(wrong(
            "a command line can be read by everybody on the machine; put a URL with a query into \
             TRUEUP_PUSH_ENDPOINT or the settings file"
        ));
    }
    Ok(())
}

fn interval(config: &Config) -> Result<Duration> {
    let interval = config.duration("push_interval")?;
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        bail!(
            "push_interval (from {}): {interval:?} is not within {INTERVAL_MIN:?} and 24 h",
            config.value("push_interval").1
        );
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)], flags: &[(&'static str, String)]) -> Result<Settings> {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let config = Config::resolve(variables.collect(), None, flags)?;
        Ok(Settings::of(&config)?.unwrap())
    }

    #[test]
    fn nothing_is_sent_unless_an_endpoint_is_set() {
        let config = Config::resolve([].into(), None, &[]).unwrap();
        assert!(Settings::of(&config).unwrap().is_none());
    }

    #[test]
    fn brief_names_are_read() {
        let settings = settings(
            &[("TRACE_PUSH_ENDPOINT", "https://hub.example/x"), ("TRACE_PUSH_INTERVAL", "90s")],
            &[],
        );
        let settings = settings.unwrap();
        assert_eq!(settings.interval, Duration::from_secs(90));
        assert_eq!(settings.bytes_max, 5_000_000);
        assert!(!settings.is_in_the_clear());
    }

    #[test]
    fn no_secret_is_shown_or_taken_from_a_command_line() {
        let endpoint = "http://hub.example/ingest?token=s3cret";
        let variables = [("OCT_PUSH_ENDPOINT", endpoint), ("TRUEUP_PUSH_TOKEN", "s3cret")];
        let from_variable = settings(&variables, &[]).unwrap();
        assert_eq!(from_variable.shown_endpoint(), "http://hub.example/ingest?…");
        assert!(!format!("{:?}", from_variable.token).contains("s3cret"));
        assert!(from_variable.is_in_the_clear());
        let from_flag = settings(&[], &[("push_endpoint", endpoint.to_owned())]).unwrap_err();
        assert!(!from_flag.to_string().contains("s3cret"), "{from_flag}");
        let in_url = settings(&[("TRACE_PUSH_ENDPOINT", "https://me:s3cret@hub.example/")], &[]);
        assert!(!in_url.unwrap_err().to_string().contains("s3cret"));
    }

    #[test]
    fn wrong_settings_are_named_with_their_origin() {
        for (name, value, expected) in [
            (
                "TRACE_PUSH_ENDPOINT",
                "hub",
                "push_endpoint (from TRACE_PUSH_ENDPOINT): a URL begins",
            ),
            ("TRUEUP_PUSH_INTERVAL", "1ms", "push_interval (from TRUEUP_PUSH_INTERVAL): 1ms"),
            ("TRUEUP_PUSH_MAX_BYTES", "7", "push_max_bytes (from TRUEUP_PUSH_MAX_BYTES): 7"),
            ("TRUEUP_PUSH_TOKEN", "two words", "push_token (from TRUEUP_PUSH_TOKEN): a token is"),
        ] {
            let endpoint = ("TRUEUP_PUSH_ENDPOINT", "https://hub.example/");
            let variables = if name == "TRACE_PUSH_ENDPOINT" {
                vec![(name, value)]
            } else {
                vec![endpoint, (name, value)]
            };
            let error = settings(&variables, &[]).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
