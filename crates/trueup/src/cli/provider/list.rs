//! `trueup provider list`.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use trueup_ledger::{ConnectionState, Reader};

use crate::clock;
use crate::config::Config;
use crate::pull::{Connection, Connections, Lags};
use crate::render::number;
use crate::render::table::{Cell, Layout, Look};
use crate::render::terminal::Terminal;

/// List connections, and how far each was pulled
#[derive(Debug, Args)]
pub(super) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A connection, and what the ledger knows of it.
type Known<'a> = (&'a Connection, Option<ConnectionState>);

impl List {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        let connections = Connections::load(config)?;
        let (states, lags) = match Reader::open(&config.ledger())? {
            Some(reader) => (reader.connections()?, reader.settle_lags(clock::now())?),
            None => (Vec::new(), Vec::new()),
        };
        let state = |name: &str| states.iter().find(|state| state.name == name).cloned();
        let known: Vec<Known<'_>> =
            connections.iter().map(|connection| (connection, state(&connection.name))).collect();
        let mut out = io::stdout().lock();
        if self.json {
            let lags = Lags::by(&lags, |lag| &lag.connection);
            let connections: Vec<Value> = known
                .iter()
                .map(|known| as_json(known, lags.get(known.0.name.as_str()).copied()))
                .collect();
            writeln!(out, "{:#}", json!({ "schema": 1, "connections": connections }))?;
        } else if known.is_empty() {
            writeln!(out, "No provider is connected; `trueup provider add --help` says how.")?;
        } else {
            table(&known, Terminal::of_stdout(&config.environment), &mut out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn as_json((connection, state): &Known<'_>, lags: Option<Lags>) -> Value {
    let [missing, provisional, settled, restated] =
        state.as_ref().map_or([0; 4], |state| state.buckets);
    json!({
        "name": connection.name,
        "provider": connection.provider.id(),
        "address": connection.address,
        "key_id": connection.key_id(),
        "last_pull": state.as_ref().and_then(|state| state.last_pull_at).map(|at| at.to_string()),
        "buckets": {
            "missing": missing, "provisional": provisional, "settled": settled, "restated": restated,
        },
        "settle_lag": lags.unwrap_or_default().as_json(),
        "issues": state.as_ref().map_or(0, |state| state.issues),
    })
}

fn table(known: &[Known<'_>], terminal: Terminal, out: &mut impl Write) -> Result<()> {
    let mut layout =
        Layout::new(vec!["Name", "Provider", "Open", "Settled", "Missing", "Issues", "Last pull"]);
    for (connection, state) in known {
        let count = |of: fn(&ConnectionState) -> u64| Cell::Count(state.as_ref().map_or(0, of));
        let last = state.as_ref().and_then(|state| state.last_pull_at);
        let last = last.map_or_else(
            || "never".to_owned(),
            |at| {
                let ms = clock::now().0.saturating_sub(at.0);
                format!("{} ago", number::duration_ms(ms))
            },
        );
        layout.row(
            Look::Plain,
            vec![
                Cell::Name(connection.name.clone()),
                Cell::Text(connection.provider.title().to_owned()),
                count(|state| state.buckets[1]),
                count(|state| state.buckets[2] + state.buckets[3]),
                count(|state| state.buckets[0]),
                count(|state| state.issues),
                Cell::Number(last),
            ],
        );
    }
    out.write_all(layout.draw(terminal).as_bytes())?;
    writeln!(
        out,
        "\nOpen, settled and missing are days of a family. `trueup doctor` names the issues."
    )?;
    Ok(())
}
