//! `trueup backfill`.

mod provider;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use jiff::civil::Date;
use tempfile::TempDir;
use trueup_agents::Agent;
use trueup_core::report::Window;
use trueup_core::{Batch, Calendar};
use trueup_ledger::{Appended, Ledger, OpenOptions, Reader};

use super::WrongUsage;
use super::load::Bar;
use crate::config::Config;
use crate::query::{self, day};
use crate::render::number;
use crate::sync::{self, Stores, Synced};

/// Read all that an agent has left on disk from its start again
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Backfill {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The agent, by its id in `trueup sources`
    #[arg(value_name = "AGENT", required = true)]
    agent: Option<String>,
    /// Only calls from this day on, such as 2026-11-01
    #[arg(long, value_name = "DAY", value_parser = day)]
    since: Option<Date>,
    /// Only calls to the end of this day
    #[arg(long, value_name = "DAY", value_parser = day)]
    until: Option<Date>,
    /// Say what would be added, and add nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Ask providers for a long past, in chunks that go on where they were left
    ///
    /// A chunk that fails does not stop those after it. What was asked for is known: one that was
    /// killed goes on with --resume, and one that is repeated changes nothing.
    Provider(provider::BackfillProviders),
}

impl Backfill {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        if let Some(Verb::Provider(providers)) = &self.verb {
            return providers.run(config);
        }
        let agent = sync::agent_named(self.agent.as_deref().unwrap_or_default());
        let agent = agent.map_err(WrongUsage)?;
        let window = query::window(&Calendar::new(config.zone()?), self.since, self.until, "--");
        let window = window.map_err(WrongUsage)?;
        let copy = if self.dry_run { Some(copy_of_ledger(&config.ledger())?) } else { None };
        let path = copy.as_ref().map_or_else(|| config.ledger(), |copy| copy.path().join(COPY));
        let mut ledger = Ledger::open(&path, OpenOptions::default())?;
        let mut appended = Appended::default();
        let synced = read_anew(config, agent, |batches| {
            let within: Vec<Batch> = batches.iter().map(|batch| within(batch, window)).collect();
            let written = ledger.append(&within.iter().collect::<Vec<_>>(), crate::clock::now())?;
            appended = plus(appended, written);
            Ok(())
        })?;
        ledger.checkpoint()?;
        self.say(agent, &synced, appended, &mut io::stdout().lock())?;
        Ok(ExitCode::SUCCESS)
    }

    fn say(
        &self,
        agent: &dyn Agent,
        synced: &Synced,
        appended: Appended,
        out: &mut impl Write,
    ) -> Result<()> {
        writeln!(out, "{}", read_note(agent, synced))?;
        let only = match (self.since, self.until) {
            (None, None) => String::new(),
            (Some(since), None) => format!("Only calls from {since} on:\n"),
            (None, Some(until)) => format!("Only calls up to {until}:\n"),
            (Some(since), Some(until)) => format!("Only calls from {since} to {until}:\n"),
        };
        let Appended { added, replaced, known, claims } = appended;
        let (nothing, would_be) = match (added + replaced > 0, self.dry_run) {
            (false, _) => ("Nothing new: ", ""),
            (true, false) => ("", ""),
            (true, true) => ("", "would be "),
        };
        let calls = number::counted(added - claims, "call");
        let [replaced, known] = [replaced, known].map(number::grouped);
        write!(out, "{only}{nothing}{calls} {would_be}added, {replaced} replaced, {known} known")?;
        match claims {
            0 => writeln!(out)?,
            runs => writeln!(out, ", {} beside them", number::counted(runs, "estimated run"))?,
        }
        if self.dry_run {
            writeln!(out, "Nothing was written.")?;
        }
        problems_note(synced, out)
    }
}

/// Reads an agent's stores from their start, with a bar where somebody watches.
pub(super) fn read_anew(
    config: &Config,
    agent: &'static dyn Agent,
    take: impl FnMut(&[&Batch]) -> Result<()>,
) -> Result<Synced> {
    let threads = sync::threads(config.parse("threads", "a number of threads")?);
    let mut stores = Stores::of(vec![agent], &config.environment);
    let bar = Bar::default();
    let synced = sync::read_anew(&mut stores, threads, &bar, take)?;
    bar.finish();
    Ok(synced)
}

/// The name of a copy of the ledger in its temporary folder.
pub(super) const COPY: &str = "trueup.db";

/// A copy of the ledger, for what must not be written into it; it is removed with the folder. Of a
/// ledger that is not there, the folder alone.
pub(super) fn copy_of_ledger(path: &Path) -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("trueup-").tempdir()?;
    if let Some(reader) = Reader::open(path)? {
        reader.copy(&folder.path().join(COPY))?;
    }
    Ok(folder)
}

/// What of a batch lies in a window. How far it was read is only said where that is all of it: what
/// is left out must be read by the next sync.
fn within(batch: &Batch, window: Window) -> Batch {
    let mut within = batch.clone();
    if !window.is_all() {
        within.facts.retain(|fact| window.contains(fact.time()));
        within.positions.clear();
    }
    within
}

const fn plus(one: Appended, other: Appended) -> Appended {
    Appended {
        added: one.added + other.added,
        replaced: one.replaced + other.replaced,
        known: one.known + other.known,
        claims: one.claims + other.claims,
    }
}

/// How much was read.
pub(super) fn read_note(agent: &dyn Agent, synced: &Synced) -> String {
    format!(
        "Read {} of {} stores of {} from their start",
        number::bytes(synced.bytes_read),
        number::grouped(synced.inventory.stores.len() as u64),
        agent.title()
    )
}

/// Says that something could not be understood, where that is so.
pub(super) fn problems_note(synced: &Synced, out: &mut impl Write) -> Result<()> {
    if synced.problems > 0 {
        let problems = number::counted(synced.problems, "problem");
        writeln!(out, "{problems}: `trueup sources --problems` says which.")?;
    }
    Ok(())
}
