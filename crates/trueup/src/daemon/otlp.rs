//! Settings of what comes by OpenTelemetry.

mod forward;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::net::TcpListener;
use trueup_otlp::{Dialect, Text};

use super::listen::bind;
use super::settings::{interval, number};
use crate::config::Config;
use crate::net::Address;
pub(crate) use forward::{Forward, MARK as FORWARDED, Passed};

/// Where OpenTelemetry is taken beside the port of everything else, and what is kept of it.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// What of prompts and completions is kept.
    pub(crate) text: Text,
    /// Ports to listen on where they are free: those that exporters know.
    pub(crate) ports: Vec<u16>,
    /// What counts of the calls of agents whose files may tell of them, too.
    pub(crate) counting: Vec<(Dialect, Counting)>,
    /// The address of a collector that is to see the exports, too.
    pub(crate) forward: Option<String>,
    /// The address of a collector that metrics are sent to, and how often.
    pub(crate) metrics: Option<(String, Duration)>,
}

/// What counts of an agent's calls that come by OpenTelemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting {
    /// All but those that a file has, too.
    Merge,
    /// None: its files are the record.
    Files,
    /// None once calls were read from its files; all until then.
    Auto,
}

impl Settings {
    pub(super) fn of(config: &Config) -> Result<Self> {
        let mut ports = Vec::new();
        for key in ["otlp_http_port", "otlp_grpc_port"] {
            if config.value(key).0 != "off" {
                ports.push(config.parse(key, "a port, 1 to 65535, or off")?);
            }
        }
        ports.retain(|port| *port != 0);
        let metrics = match address(config, "otlp_metrics_endpoint")? {
            Some(base) => Some((base, interval(config, "otlp_metrics_interval")?)),
            None => None,
        };
        Ok(Self {
            text: text(config)?,
            ports,
            counting: counting(config)?,
            forward: address(config, "otlp_forward")?,
            metrics,
        })
    }
}

fn counting(config: &Config) -> Result<Vec<(Dialect, Counting)>> {
    let (value, origin) = config.value("otlp_count");
    let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
    let one = |part: &str| {
        let (agent, counting) = part.split_once('=')?;
        let mut agents = Dialect::ALL.into_iter().filter(|dialect| dialect.is_agent());
        let counting = match counting.trim() {
            "merge" => Counting::Merge,
            "files" => Counting::Files,
            "auto" => Counting::Auto,
            _ => return None,
        };
        Some((agents.find(|dialect| dialect.name() == agent.trim())?, counting))
    };
    let read = |part| {
        one(part).with_context(|| {
            format!(
                "otlp_count (from {origin}): `{part}` is not an agent and merge, files or auto, such as \
                 openclaw=files; agents are claude-code, codex, gemini-cli and openclaw"
            )
        })
    };
    parts.map(read).collect()
}

fn address(config: &Config, key: &str) -> Result<Option<String>> {
    let Some(base) = config.text(key) else { return Ok(None) };
    let origin = config.value(key).1;
    let address = Address::of(base).ok().filter(|address| !address.has_query());
    if address.is_none() {
        bail!(
            "{key} (from {origin}): it must be an address such as http://127.0.0.1:14318, \
               without a password and a query"
        );
    }
    Ok(Some(base.to_owned()))
}

/// Sockets on those of the ports that are free.
pub(super) async fn listeners(ip: IpAddr, ports: &[u16]) -> Vec<TcpListener> {
    let mut listeners = Vec::new();
    for port in ports {
        if let Ok(listener) = bind(SocketAddr::new(ip, *port)).await {
            tracing::info!(port, "listening_for_otlp");
            listeners.push(listener);
        } else {
            // Some collector has it: exporters are told the port of everything else then.
            tracing::info!(port, "otlp_port_taken");
        }
    }
    listeners
}

fn text(config: &Config) -> Result<Text> {
    let (value, origin) = config.value("otlp_text");
    Ok(match value {
        "off" => Text::Off,
        "truncated" => Text::Truncated(number(config, "max_text_bytes", 0, usize::MAX)?),
        "full" => Text::Full,
        _ => bail!("otlp_text (from {origin}): `{value}` is not off, truncated or full"),
    })
}
