//! `trueup sources`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use jiff::tz::TimeZone;
use serde_json::json;
use trueup_agents::AGENTS;
use trueup_core::UnixMs;
use trueup_ledger::{Reader, SourceState};

use super::load::{self, Loaded};
use super::report::EXIT_UNKNOWN;
use crate::config::Config;
use crate::render::number;
use crate::render::table::{Cell, Layout, Look};
use crate::render::terminal::Terminal;
use crate::usage::Usage;

/// Show what was found where, how much was read, and what could not be understood
#[derive(Debug, Args)]
pub(super) struct Sources {
    /// Name each record that could not be understood; exits with 3 where there is one
    #[arg(long)]
    problems: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Keep everything in memory: read all stores, write nothing
    #[arg(long)]
    no_ledger: bool,
}

impl Sources {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let mut loaded = load::load(config, self.no_ledger)?;
        if loaded.keeper.is_some() {
            // Another process reads the stores; where they are can be seen all the same.
            loaded.inventory = trueup_agents::discover(AGENTS, &config.environment);
        }
        let states = states(&loaded)?;
        let terminal = Terminal::of_stdout(&config.environment);
        let mut out = io::BufWriter::new(io::stdout().lock());
        match (self.json, self.problems) {
            (true, _) => json_of(&loaded, &states, &mut out)?,
            (false, true) => problems(&loaded, &mut out)?,
            (false, false) => table(&loaded, &states, &config.zone()?, terminal, &mut out)?,
        }
        out.flush()?;
        let has_problems = !loaded.problems()?.is_empty();
        Ok(if self.problems && has_problems {
            ExitCode::from(EXIT_UNKNOWN)
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// What the account knows of each source.
fn states(loaded: &Loaded) -> Result<BTreeMap<String, SourceState>> {
    let mut states: BTreeMap<String, SourceState> = BTreeMap::new();
    match &loaded.usage {
        Usage::Ledger(reader) => {
            let reader: &Reader = reader;
            states.extend(reader.sources()?.into_iter().map(|state| (state.source.clone(), state)));
        }
        Usage::Memory(account) => {
            for call in account.counted() {
                states.entry(call.series.source.to_string()).or_default().calls += 1;
            }
        }
        Usage::ClickHouse(_) => {}
    }
    for state in states.values_mut() {
        state.problems = 0;
    }
    for (store, problems) in loaded.problems()? {
        let state = states.entry(store.source.to_string()).or_default();
        state.problems += problems.len() as u64;
    }
    Ok(states)
}

fn table(
    loaded: &Loaded,
    states: &BTreeMap<String, SourceState>,
    zone: &TimeZone,
    terminal: Terminal,
    out: &mut impl Write,
) -> Result<()> {
    let mut layout =
        Layout::new(vec!["Agent", "Folder", "Stores", "Size", "Calls", "Problems", "Last read"]);
    let mut shown = BTreeSet::new();
    for found in loaded.inventory.roots.iter().filter(|found| found.exists) {
        // What is counted of a source stands in the row of its first folder.
        let state = states.get(found.source).filter(|_| shown.insert(found.source));
        let root = found.root.path.canonicalize().unwrap_or_else(|_| found.root.path.clone());
        let stores = loaded
            .inventory
            .stores
            .iter()
            .filter(|store| store.source == found.source && *store.root == *root);
        let (count, size) =
            stores.fold((0, 0), |(count, size), store| (count + 1, size + store.stamp.size_bytes));
        let mut cells = vec![
            Cell::Text(found.source.to_owned()),
            Cell::Name(found.root.path.display().to_string()),
            Cell::Count(count),
            Cell::Number(number::bytes(size)),
        ];
        match state {
            Some(state) => cells.extend([
                Cell::Count(state.calls),
                Cell::Count(state.problems),
                Cell::Number(when(state.last_read, zone)),
            ]),
            None => cells.extend([blank(), blank(), blank()]),
        }
        layout.row(Look::Plain, cells);
    }
    if let Some(posted) = states.get("http") {
        layout.row(
            Look::Plain,
            vec![
                Cell::Text("http".to_owned()),
                Cell::Name("posted to trueup serve".to_owned()),
                blank(),
                blank(),
                Cell::Count(posted.calls),
                blank(),
                blank(),
            ],
        );
    }
    out.write_all(layout.draw(terminal).as_bytes())?;
    let missing: Vec<String> = loaded
        .inventory
        .roots
        .iter()
        .filter(|found| !found.exists)
        .map(|found| format!("  {:<12} {}", found.source, found.root.path.display()))
        .collect();
    if !missing.is_empty() {
        writeln!(
            out,
            "{}",
            terminal.dim(&format!("\nLooked for, and not there:\n{}", missing.join("\n")))
        )?;
    }
    let unread = states.values().map(|state| state.problems).sum::<u64>();
    if unread > 0 {
        writeln!(out, "\n`trueup sources --problems` names each of the {unread} problems.")?;
    }
    Ok(())
}

fn blank() -> Cell {
    Cell::Number(String::new())
}

fn when(time: UnixMs, zone: &TimeZone) -> String {
    if time.0 <= 0 { String::new() } else { time.zoned(zone).strftime("%m-%d %H:%M").to_string() }
}

fn problems(loaded: &Loaded, out: &mut impl Write) -> Result<()> {
    let problems = loaded.problems()?;
    if problems.is_empty() {
        writeln!(out, "Everything that was found could be read.")?;
    }
    for (store, problems) in &problems {
        for problem in problems {
            let line = if problem.line > 0 { format!(":{}", problem.line) } else { String::new() };
            writeln!(out, "{}{line}: {} ({})", store.path, problem.detail, problem.kind.name())?;
        }
    }
    Ok(())
}

fn json_of(
    loaded: &Loaded,
    states: &BTreeMap<String, SourceState>,
    out: &mut impl Write,
) -> Result<()> {
    let roots: Vec<_> = loaded
        .inventory
        .roots
        .iter()
        .map(|found| {
            json!({
                "agent": found.source,
                "path": found.root.path.display().to_string(),
                "origin": found.root.origin,
                "exists": found.exists,
            })
        })
        .collect();
    let sources: BTreeMap<_, _> = states
        .iter()
        .map(|(source, state)| {
            let value = json!({
                "stores": state.stores,
                "bytes": state.bytes,
                "calls": state.calls,
                "problems": state.problems,
                "last_read": (state.last_read.0 > 0).then(|| state.last_read.to_string()),
            });
            (source, value)
        })
        .collect();
    let problems: Vec<_> = loaded
        .problems()?
        .into_iter()
        .flat_map(|(store, problems)| {
            problems.into_iter().map(move |problem| {
                json!({
                    "agent": &*store.source,
                    "path": &*store.path,
                    "line": (problem.line > 0).then_some(problem.line),
                    "kind": problem.kind.name(),
                    "detail": problem.detail,
                })
            })
        })
        .collect();
    let all = json!({"schema": 1, "roots": roots, "sources": sources, "problems": problems});
    writeln!(out, "{all:#}")?;
    Ok(())
}
