//! `trueup provider add`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use trueup_providers::provider;

use super::key;
use crate::cli::WrongUsage;
use crate::config::Config;
use crate::pull::{Connection, Connections, REQUESTS_PER_MINUTE};

/// Add a connection to a provider, or give one another key
#[derive(Debug, Args)]
pub(super) struct Add {
    /// The provider: openai, anthropic, openrouter or litellm
    provider: String,
    /// What to call it [default: the provider's id]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where it is asked, an https:// address [default: the provider's own]
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// Read the key from this file
    #[arg(long, value_name = "FILE", conflicts_with = "key_env")]
    key_file: Option<PathBuf>,
    /// Read the key from this variable
    #[arg(long, value_name = "VARIABLE")]
    key_env: Option<String>,
    /// How often it is asked at most
    #[arg(long, value_name = "N", default_value_t = REQUESTS_PER_MINUTE)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=60_000))]
    requests_per_minute: u32,
}

impl Add {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let id = &self.provider;
        let known = provider(id);
        let known = known.ok_or_else(|| WrongUsage(crate::pull::unknown_provider(id)))?;
        let address = self.address.as_deref().or_else(|| known.address());
        let address = address.ok_or_else(|| {
            WrongUsage(format!("{} has no address of its own: give --address", known.title()))
        })?;
        let name = self.name.as_deref().unwrap_or(id);
        // Before the key is asked for: nobody types it twice.
        Connection::check(name, address)?;
        let mut connections = Connections::load(config)?;
        let key = match (&self.key_file, &self.key_env) {
            (Some(path), _) => key::of_file(path)?,
            (None, Some(name)) => key::of_variable(config, name)?,
            (None, None) => {
                key::of_input(&format!("Key of {} ({})", known.title(), known.needs()))?
            }
        };
        let mut connection = Connection::new(name, id, address, key)?;
        connection.requests_per_minute = self.requests_per_minute;
        let what = match connections.get(name).map(Connection::key_id) {
            None => "is connected",
            Some(known) if known == connection.key_id() => "is stored anew with the same key",
            Some(_) => "has a new key",
        };
        connections.add(connection)?;
        let path = connections.path();
        let mut out = io::stdout();
        writeln!(out, "{name} {what}; the key lies in {}.", path.display())
            .context("the connection is stored")?;
        writeln!(out, "`trueup provider test {name}` says what it may read.")?;
        Ok(ExitCode::SUCCESS)
    }
}
