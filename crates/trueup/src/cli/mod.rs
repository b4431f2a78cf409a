//! The command line: one file per verb.

mod backfill;
mod budget;
mod check;
mod completeness;
mod completions;
mod config;
mod cost;
mod demo;
mod doctor;
mod export;
mod hooks;
mod hub;
mod import;
mod load;
mod mcp;
pub(crate) mod notes;
mod own;
mod page;
mod parity;
mod prices;
mod provider;
mod pull;
mod push;
mod questions;
mod rebuild;
mod remote;
mod report;
mod serve;
mod sessions;
mod sources;
mod statusline;
mod sync;
pub(crate) mod tables;
mod telemetry;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::Config;

/// The account of what AI agents use: model calls, tokens, dollars.
#[derive(Debug, Parser)]
#[command(name = "trueup", version, propagate_version = true, arg_required_else_help = true)]
#[command(max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Where the options of every verb stand in help: behind a verb's own.
const GLOBAL_ORDER: usize = 100;

/// Options of every verb.
#[derive(Debug, Args)]
struct Global {
    /// The settings file [default: ~/.config/trueup/trueup.toml, where it exists]
    #[arg(long, global = true, value_name = "FILE", display_order = GLOBAL_ORDER)]
    config: Option<PathBuf>,
    /// The ledger file; `trueup config` shows the one in use
    #[arg(long, global = true, value_name = "FILE", display_order = GLOBAL_ORDER)]
    ledger: Option<String>,
    /// Read this state folder of OpenClaw, and no other
    #[arg(long, global = true, value_name = "DIR", display_order = GLOBAL_ORDER)]
    openclaw_dir: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what agents used
    Report(Box<report::ShowReport>),
    /// List sessions, the latest last
    Sessions(sessions::Sessions),
    /// Read what is new in the agents' stores into the ledger
    Sync(sync::Sync),
    /// Read all that an agent has left on disk from its start again
    ///
    /// Each call counts once, however often it is read: what is known is passed over, and a second
    /// run changes nothing.
    Backfill(backfill::Backfill),
    /// Drop what was read of an agent, and read it anew
    ///
    /// In one transaction: whatever happens, the ledger holds the old account or the new one. Calls
    /// that are in no store any more are lost; without --yes it only says what would become of them.
    Rebuild(rebuild::RebuildSource),
    /// Show what was found where, how much was read, and what could not be understood
    Sources(sources::Sources),
    /// Look into the price table
    Prices(prices::Prices),
    /// Print one line for Claude Code's status line; reads its JSON from standard input
    Statusline(statusline::Statusline),
    /// Listen for traces, errors and events, and keep the account up to date
    Serve(serve::Serve),
    /// Receive what the sidecars of a fleet send, and answer questions about all of it
    ///
    /// Each device has a token of its own, which says whose account it tells: `trueup hub token create
    /// --tenant … --device …`. docs/hub.md begins with two commands.
    Hub(hub::RunHub),
    /// Send what is new to the destination of `push_endpoint`, or show what was sent
    Push(push::Push),
    /// Manage connections to providers, whose usage and costs are pulled
    Provider(provider::ManageProviders),
    /// Ask providers what was used and charged, and keep what they say
    ///
    /// A pull that is interrupted goes on where it was, and one that is repeated changes nothing.
    Pull(pull::Pull),
    /// Read files that providers let their customers download: usage, costs, FOCUS
    ///
    /// The header tells what a file is. The same file adds nothing; of two of one kind that cover a
    /// day, the one that is imported later counts there.
    Import(import::Import),
    /// Show which part of what providers say the account explains, and where the rest is
    ///
    /// Exits with 0 at parity, 1 where something differs by more than is tolerated, 2 for wrong usage,
    /// 3 where a side could not be read, 4 where days are not known or not settled, 5 where a provider
    /// told something in a new form, 70 where the amounts do not add up.
    Parity(parity::Parity),
    /// Write the account for other tools: tables, FOCUS 1.2, and costs by cost centre
    ///
    /// Of costs, a day of a provider is as it was billed where that is known, else as the account knows
    /// it, at the prices of the table; each row says which of the two it is.
    #[command(subcommand)]
    Export(export::Export),
    /// Show what of each budget is spent and left, how long it lasts, and what is to be expected
    ///
    /// Budgets are tables [[budget]] of the settings file.
    Budget(budget::ShowBudget),
    /// Show which budgets have reached a threshold, and which days are out of the ordinary
    Alerts(budget::ShowAlerts),
    /// Let agents ask for usage, cost, sessions, completeness and parity, by the Model Context Protocol
    ///
    /// One message a line on standard input, one answer a line on standard output; nothing can be
    /// changed by it. docs/mcp.md says how Claude Code, Codex and OpenClaw are told of it.
    Mcp(mcp::Mcp),
    /// Let an agent tell of sessions that end, by a hook that leaves small files
    Hooks(hooks::Hooks),
    /// Look for what the account lacks, and say what mends it
    Doctor(doctor::Doctor),
    /// Check the ledger file, and every sum in it against the calls below it
    Check(check::CheckLedger),
    /// Show reports and the listener on built-in data, in a temporary folder that is removed again
    Demo(demo::Demo),
    /// Look at what telemetry may tell, and decide on it
    ///
    /// Of trueup itself, or of another product by its manifest. trueup adds up its own runs beside the
    /// ledger, and sends nothing.
    Telemetry(telemetry::TelemetryVerbs),
    /// Show every setting, its value and where it comes from
    Config(config::ShowConfig),
    /// Print what lets a shell complete trueup's commands and options
    Completions(completions::Completions),
    /// Write the manual pages, for those who make packages
    #[command(hide = true)]
    Man(completions::ManualPages),
}

/// Runs the command line; the exit code is 0 for done, 1 for failed, 2 for wrong usage.
pub(crate) fn run() -> ExitCode {
    let parsed = Cli::command().try_get_matches().and_then(|matches| {
        let verb = matches.subcommand_name().unwrap_or_default().to_owned();
        Ok((verb, Cli::from_arg_matches(&matches)?))
    });
    let (name, Cli { global, verb }) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error),
    };
    let start = Instant::now();
    let result = verb.run(&global);
    own::record(&name, &result, start.elapsed(), &global);
    match result {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let is_usage = error.is::<WrongUsage>() || error.is::<Nothing>();
            // Where even this cannot be written, there is nobody to tell.
            let _is_told = writeln!(io::stderr(), "trueup: {error:#}").is_ok();
            if is_usage { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// The exit code for a command line that cannot be meant.
const EXIT_USAGE: u8 = 2;

/// Options that are well-formed, each for itself, but ask for what there is not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WrongUsage(pub(crate) String);

/// There is nothing yet that could be asked about; the sentence says what is to be set up.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Nothing(pub(crate) String);

fn usage(error: &clap::Error) -> ExitCode {
    let _is_told = error.print().is_ok();
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Prints what is ready.
fn print(text: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    Ok(out.flush()?)
}

/// Whether the reader of our output has gone, as `head` does: that is no failure of ours.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| match cause.downcast_ref::<csv::Error>().map(csv::Error::kind) {
            Some(csv::ErrorKind::Io(cause)) => Some(cause),
            Some(_) | None => cause.downcast_ref::<io::Error>(),
        })
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

impl Verb {
    fn run(self, global: &Global) -> Result<ExitCode> {
        match self {
            Self::Report(report) => report.run(&global.settings(&[])?),
            Self::Sessions(sessions) => sessions.run(&global.settings(&[])?),
            Self::Sync(sync) => sync.run(&global.settings(&[])?),
            Self::Backfill(backfill) => backfill.run(&global.settings(&[])?),
            Self::Rebuild(rebuild) => rebuild.run(&global.settings(&[])?),
            Self::Sources(sources) => sources.run(&global.settings(&[])?),
            Self::Prices(prices) => prices.run(&global.settings(&[])?),
            Self::Statusline(_) => statusline::Statusline::run(&global.settings(&[])?),
            Self::Serve(serve) => serve.run(global),
            Self::Hub(hub) => hub.run(global),
            Self::Push(push) => push.run(&global.settings(&[])?),
            Self::Provider(provider) => provider.run(&global.settings(&[])?),
            Self::Pull(pull) => pull.run(&global.settings(&[])?),
            Self::Import(import) => import.run(&global.settings(&[])?),
            Self::Parity(parity) => parity.run(&global.settings(&[])?),
            Self::Export(export) => export.run(&global.settings(&[])?),
            Self::Budget(show) => show.run(&global.settings(&[])?),
            Self::Alerts(show) => show.run(&global.settings(&[])?),
            Self::Mcp(_) => mcp::Mcp::run(global),
            Self::Hooks(hooks) => hooks.run(&global.settings(&[])?),
            Self::Doctor(doctor) => doctor.run(&global.settings(&[])?),
            Self::Check(_) => check::CheckLedger::run(&global.settings(&[])?),
            Self::Demo(demo) => demo.run(),
            Self::Telemetry(telemetry) => telemetry.run(&global.settings(&[])?),
            Self::Config(show) => show.run(global),
            Self::Completions(completions) => completions.run(),
            Self::Man(pages) => pages.run(),
        }
    }
}

impl Global {
    /// The settings, with these flags and a verb's own.
    fn settings(&self, flags: &[(&'static str, Option<OsString>)]) -> Result<Config> {
        let ledger = self.ledger.clone().map(|path| ("ledger", path));
        let openclaw_dir = self.openclaw_dir.clone().map(|path| ("openclaw_dir", path));
        let own = flags.iter().filter_map(|(key, value)| {
            Some((*key, value.as_ref()?.to_string_lossy().into_owned()))
        });
        let flags: Vec<_> = ledger.into_iter().chain(openclaw_dir).chain(own).collect();
        Config::of_process(self.config.as_deref(), &flags)
    }
}
