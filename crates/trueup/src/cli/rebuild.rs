//! `trueup rebuild`.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use trueup_agents::Agent;
use trueup_core::report::Window;
use trueup_core::{Counters, DAY_MS, Witness};
use trueup_ledger::{Ledger, OpenOptions, Reader};

use super::backfill::{COPY, copy_of_ledger, problems_note, read_anew, read_note};
use super::{EXIT_USAGE, WrongUsage};
use crate::config::Config;
use crate::render::number;
use crate::render::table::{Cell, Layout, Look};
use crate::render::terminal::Terminal;
use crate::sync::{self, Synced};
use crate::usage::Usage;

/// Drop what was read of an agent, and read it anew
#[derive(Debug, Args)]
pub(super) struct RebuildSource {
    /// The agent, by its id in `trueup sources`
    #[arg(long, value_name = "AGENT")]
    source: String,
    /// Do it; otherwise it is tried on a copy, and nothing is changed
    #[arg(long)]
    yes: bool,
}

/// What a rebuild came to.
struct Rebuilt {
    synced: Synced,
    before: Totals,
    after: Totals,
    /// Calls, and claimed runs, that are in no store any more.
    lost: (u64, u64),
}

/// The account of one source.
#[derive(Debug, Default)]
struct Totals {
    exact: Counters,
    estimated: Counters,
    problems: u64,
}

impl RebuildSource {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let agent = sync::agent_named(&self.source).map_err(WrongUsage)?;
        let terminal = Terminal::of_stdout(&config.environment);
        let mut out = io::BufWriter::new(io::stdout().lock());
        if self.yes {
            let rebuilt = rebuild(config, agent, &config.ledger())?;
            rebuilt.say(agent, terminal, &mut out)?;
            out.flush()?;
            return Ok(ExitCode::SUCCESS);
        }
        let copy = copy_of_ledger(&config.ledger())?;
        let rebuilt = rebuild(config, agent, &copy.path().join(COPY))?;
        rebuilt.say(agent, terminal, &mut out)?;
        writeln!(
            out,
            "\nThis was tried on a copy, and nothing was changed.\n\
             `trueup rebuild --source {} --yes` does it.",
            agent.id()
        )?;
        out.flush()?;
        Ok(ExitCode::from(EXIT_USAGE))
    }
}

fn rebuild(config: &Config, agent: &'static dyn Agent, path: &Path) -> Result<Rebuilt> {
    let mut ledger = Ledger::open(path, OpenOptions::default())?;
    let before = Totals::of(agent, path)?;
    let (synced, lost) = ledger.rebuild(agent.id(), crate::clock::now(), |new| {
        let synced = read_anew(config, agent, |batches| Ok(new.append(batches).map(drop)?))?;
        if synced.inventory.stores.is_empty() && before.has_calls() {
            bail!(WrongUsage(format!(
                "no store of {} was found, so that a rebuild would only delete: nothing was changed. \
                 `trueup sources` shows where it looked",
                agent.title()
            )));
        }
        let lost = new.lost()?;
        Ok::<_, anyhow::Error>((synced, lost))
    })?;
    ledger.checkpoint()?;
    Ok(Rebuilt { synced, before, after: Totals::of(agent, path)?, lost })
}

impl Totals {
    /// What the ledger holds of a source.
    fn of(agent: &dyn Agent, path: &Path) -> Result<Self> {
        let mut totals = Self::default();
        Usage::of_ledger(path)?.by_time(DAY_MS, Window::ALL, &mut |entry| {
            if *entry.series.source == *agent.id() {
                let sum = match entry.series.witness {
                    Witness::Measured => &mut totals.exact,
                    Witness::Claimed => &mut totals.estimated,
                };
                *sum = sum.plus(entry.counters);
            }
        })?;
        let sources =
            Reader::open(path)?.map_or_else(|| Ok(Vec::new()), |reader| reader.sources())?;
        let source = sources.into_iter().find(|state| state.source == agent.id());
        totals.problems = source.map_or(0, |state| state.problems);
        Ok(totals)
    }

    const fn has_calls(&self) -> bool {
        self.exact.calls > 0 || self.estimated.calls > 0
    }

    fn row(&self, name: &str) -> Vec<Cell> {
        vec![
            Cell::Text(name.to_owned()),
            Cell::Count(self.exact.calls),
            Cell::Count(self.exact.tokens.total()),
            Cell::Count(self.estimated.tokens.total()),
            Cell::Count(self.problems),
        ]
    }
}

impl Rebuilt {
    fn say(&self, agent: &dyn Agent, terminal: Terminal, out: &mut impl Write) -> Result<()> {
        writeln!(out, "{}\n", read_note(agent, &self.synced))?;
        let columns = vec![agent.title(), "Calls", "Tokens", "Estimated tokens", "Problems"];
        let mut layout = Layout::new(columns);
        layout.row(Look::Plain, self.before.row("before"));
        layout.row(Look::Plain, self.after.row("rebuilt"));
        out.write_all(layout.draw(terminal).as_bytes())?;
        writeln!(out)?;
        let (calls, runs) = self.lost;
        if (calls, runs) == (0, 0) {
            writeln!(out, "Everything that was known is in a store.")?;
        }
        for (lost, name) in [(calls, "call"), (runs, "estimated run")] {
            if lost > 0 {
                let lost = number::counted(lost, name);
                writeln!(out, "In no store any more, and lost in a rebuild: {lost}")?;
            }
        }
        problems_note(&self.synced, out)
    }
}
