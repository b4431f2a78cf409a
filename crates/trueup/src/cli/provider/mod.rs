//! `trueup provider`.

mod add;
mod key;
mod list;
mod prune;
mod test;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use crate::config::Config;
use crate::pull::{Connection, Connections};

/// Manage connections to providers, whose usage and costs are pulled
#[derive(Debug, Args)]
pub(super) struct ManageProviders {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add a connection to a provider, or give one another key
    ///
    /// The key is read from a file, a variable, or a prompt that does not echo; it is stored beside
    /// the settings in a file that only its owner can read, and never printed.
    Add(add::Add),
    /// List connections, and how far each was pulled
    List(list::List),
    /// Ask each family for one day, and say which scope or role is missing
    ///
    /// Nothing is stored. Exits with 1 where something that is needed cannot be had.
    Test(test::Test),
    /// Remove the detail of days that are settled and were compared since
    ///
    /// Pages as they came, and rows of hours and minutes, go; rows of days stay for ever, and of a page
    /// its hash. `trueup serve` does it once an hour.
    Prune(prune::Prune),
    /// Forget a connection and its key; what was pulled stays in the ledger
    Remove(Remove),
}

#[derive(Debug, Args)]
struct Remove {
    /// The connection's name
    name: String,
}

impl ManageProviders {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        match self.verb {
            Verb::Add(add) => add.run(config),
            Verb::List(list) => list.run(config),
            Verb::Test(test) => test.run(config),
            Verb::Prune(prune) => prune.run(config),
            Verb::Remove(remove) => remove.run(config),
        }
    }
}

impl Remove {
    fn run(self, config: &Config) -> Result<ExitCode> {
        let mut connections = Connections::load(config)?;
        if !connections.remove(&self.name)? {
            bail!(unknown(&connections, &self.name));
        }
        let Self { name } = self;
        writeln!(io::stdout(), "{name} and its key are forgotten; what was pulled stays.")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The connections of these names; all where none is named.
pub(super) fn chosen<'a>(
    connections: &'a Connections,
    names: &[String],
) -> Result<Vec<&'a Connection>> {
    if connections.is_empty() {
        bail!("no provider is connected; `trueup provider add --help` says how");
    }
    if names.is_empty() {
        return Ok(connections.iter().collect());
    }
    let find = |name: &String| {
        connections.get(name).ok_or_else(|| anyhow::anyhow!(unknown(connections, name)))
    };
    names.iter().map(find).collect()
}

fn unknown(connections: &Connections, name: &str) -> String {
    let known: Vec<&str> = connections.iter().map(|one| one.name.as_str()).collect();
    let known = if known.is_empty() {
        "there are none".to_owned()
    } else {
        format!("there are {}", known.join(", "))
    };
    format!("`{name}` is not a connection; {known}")
}
