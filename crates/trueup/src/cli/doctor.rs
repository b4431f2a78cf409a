//! `trueup doctor`.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};
use tempfile::TempDir;
use trueup_agents::{AGENTS, Inventory, discover};
use trueup_core::{Batch, UnixMs};
use trueup_ledger::{Ledger, LedgerError, OpenOptions, Reader, Writer};

use super::{WrongUsage, load};
use crate::config::Config;
use crate::doctor::{self, Item, LedgerState, Outcome, Sight, Status};
use crate::render::number::counted;
use crate::render::terminal::Terminal;
use crate::render::wrap::{sentence, wrapped};
use crate::sync;

/// Look for what the account lacks, and say what mends it
#[derive(Debug, Args)]
#[command(
    after_help = "Reads what is new first, as a report does. Exits with 0 where all is well, 1 \
    with warnings, and 2 with failures, as for wrong usage."
)]
pub(super) struct Doctor {
    /// Print JSON, as docs/doctor-json.md says
    #[arg(long)]
    json: bool,
    /// Only what is about this agent, by its id in `trueup sources`, and about this machine
    #[arg(long, value_name = "AGENT")]
    source: Option<String>,
    /// Look at what was read before; read nothing new, write nothing
    #[arg(long)]
    no_sync: bool,
    /// Ask OpenClaw for its own account of the last days (30), and compare
    #[arg(long, value_name = "DAYS", num_args = 0..=1, require_equals = true, default_missing_value = "30",
        value_parser = clap::value_parser!(u16).range(1..=3650))]
    parity: Option<u16>,
}

/// The version of the JSON. It changes only when a reader of an older one would misread.
const SCHEMA: u32 = 1;

impl Doctor {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        self.check_source()?;
        match self.examine(config) {
            Err(error) if !super::is_closed_pipe(&error) => {
                // That nothing could be checked is no warning.
                let _is_told = writeln!(io::stderr(), "trueup: {error:#}").is_ok();
                Ok(ExitCode::from(EXIT_FAILURES))
            }
            result => result,
        }
    }

    fn examine(self, config: &Config) -> Result<ExitCode> {
        let now = crate::clock::now();
        let outcomes = self.outcomes(config, now)?;
        let mut out = io::BufWriter::new(io::stdout().lock());
        if self.json {
            writeln!(out, "{:#}", as_json(&outcomes, now))?;
        } else {
            show(&outcomes, config, &mut out)?;
        }
        out.flush()?;
        Ok(match worst(&outcomes) {
            Status::Ok => ExitCode::SUCCESS,
            Status::Warn => ExitCode::from(EXIT_WARNINGS),
            Status::Fail => ExitCode::from(EXIT_FAILURES),
        })
    }
}

impl Doctor {
    /// What was found, as JSON.
    pub(super) fn answer(&self, config: &Config) -> Result<Value> {
        self.check_source()?;
        let now = crate::clock::now();
        Ok(as_json(&self.outcomes(config, now)?, now))
    }

    fn check_source(&self) -> Result<()> {
        if let Some(source) = &self.source {
            sync::agent_named(source).map_err(WrongUsage)?;
        }
        Ok(())
    }

    fn outcomes(&self, config: &Config, now: UnixMs) -> Result<Vec<Outcome>> {
        let seen = if self.no_sync { read_only(config) } else { up_to_date(config) }?;
        let Seen { state, reader, inventory, temporary } = seen;
        let sight = Sight::new(config, now, self.source.as_deref(), state, reader, inventory)?;
        let outcomes = doctor::examine(&sight.with_parity(self.parity));
        drop(temporary);
        Ok(outcomes)
    }
}

/// The exit code for "nothing is wrong, but somebody should look".
const EXIT_WARNINGS: u8 = 1;
/// The exit code for "the account is short, or may be".
const EXIT_FAILURES: u8 = 2;

/// A ledger to look at, and what is on disk.
struct Seen {
    state: LedgerState,
    reader: Reader,
    inventory: Inventory,
    /// Where the ledger lies that stands in for the user's.
    temporary: Option<TempDir>,
}

/// Reads what is new, where that can be.
fn up_to_date(config: &Config) -> Result<Seen> {
    let path = config.ledger();
    let damage = damage(&path);
    if !damage.is_empty() {
        // A writer would wait for ever for a file that is damaged.
        return in_place_of_it(config, LedgerState::Unusable { why: damage });
    }
    let found = |state, reader, inventory| Seen { state, reader, inventory, temporary: None };
    match load::open(&path) {
        Ok(ledger) => {
            let threads = sync::threads(config.parse("threads", "a number of threads")?);
            let inventory = load::read_new(config, ledger, threads)?;
            let reader = Reader::open(&path)?.context("the ledger has vanished")?;
            Ok(found(LedgerState::UpToDate, reader, inventory))
        }
        Err(LedgerError::Locked { owner, .. }) => match Reader::open(&path)? {
            Some(reader) => Ok(found(LedgerState::Held { owner }, reader, on_disk(config))),
            None => in_place_of_it(config, LedgerState::Held { owner }),
        },
        Err(
            error @ (LedgerError::File { .. }
            | LedgerError::Sqlite { .. }
            | LedgerError::NoRoom { .. }),
        ) => {
            let why = error.to_string();
            match Reader::open(&path) {
                Ok(Some(reader)) => {
                    Ok(found(LedgerState::ReadOnly { why }, reader, on_disk(config)))
                }
                Ok(None) => in_place_of_it(config, LedgerState::CannotBeMade { why }),
                Err(error) => {
                    in_place_of_it(config, LedgerState::Unusable { why: vec![error.to_string()] })
                }
            }
        }
        Err(error @ (LedgerError::Newer { .. } | LedgerError::NotALedger { .. })) => {
            in_place_of_it(config, LedgerState::Unusable { why: vec![error.to_string()] })
        }
    }
}

/// Looks at what was read before.
fn read_only(config: &Config) -> Result<Seen> {
    let path = config.ledger();
    let mut why = damage(&path);
    if why.is_empty() {
        match Reader::open(&path) {
            Ok(Some(reader)) => {
                let (state, inventory) = (LedgerState::OnlyRead, on_disk(config));
                return Ok(Seen { state, reader, inventory, temporary: None });
            }
            Ok(None) => {}
            Err(error) => why.push(error.to_string()),
        }
    }
    let state = if why.is_empty() { LedgerState::Absent } else { LedgerState::Unusable { why } };
    let (temporary, ledger) = temporary()?;
    let reader = Reader::open(ledger.path())?.context("the temporary ledger has vanished")?;
    Ok(Seen { state, reader, inventory: on_disk(config), temporary: Some(temporary) })
}

/// Reads everything into a temporary ledger.
fn in_place_of_it(config: &Config, state: LedgerState) -> Result<Seen> {
    let threads = sync::threads(config.parse("threads", "a number of threads")?);
    let (temporary, ledger) = temporary()?;
    let path = ledger.path().to_path_buf();
    // Not a sync: that tidies up what was read, and nothing stays of what is read here.
    let writer = Writer::spawn(ledger, load::SCAN_LIMITS, crate::clock::now)?;
    let emit = |batch| {
        let _is_queued = writer.submit(batch);
    };
    let inventory = sync::read_all(&config.environment, threads, &emit, &()).inventory;
    emit(Batch { is_poll: true, ..Batch::default() });
    let _is_written = writer.flush();
    drop(writer.close(load::CLOSE_PATIENCE));
    let reader = Reader::open(&path)?.context("the temporary ledger has vanished")?;
    Ok(Seen { state, reader, inventory, temporary: Some(temporary) })
}

fn temporary() -> Result<(TempDir, Ledger)> {
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let ledger = Ledger::open(&folder.path().join("trueup.db"), OpenOptions::default())?;
    Ok((folder, ledger))
}

fn on_disk(config: &Config) -> Inventory {
    discover(AGENTS, &config.environment)
}

/// What is wrong with the pages of the ledger; nothing where there is none, or where it cannot be
/// opened for another reason.
fn damage(path: &Path) -> Vec<String> {
    match Reader::open(path) {
        Ok(Some(reader)) => doctor::damage(&reader, path),
        Ok(None) | Err(_) => Vec::new(),
    }
}

fn worst(outcomes: &[Outcome]) -> Status {
    outcomes.iter().map(|outcome| outcome.status).max().unwrap_or(Status::Ok)
}

fn count(outcomes: &[Outcome], status: Status) -> usize {
    outcomes.iter().filter(|outcome| outcome.status == status).count()
}

fn as_json(outcomes: &[Outcome], now: UnixMs) -> Value {
    json!({
        "schema": SCHEMA,
        "generated_at": now.to_string(),
        "ok": worst(outcomes) == Status::Ok,
        "summary": {
            "ok": count(outcomes, Status::Ok),
            "warn": count(outcomes, Status::Warn),
            "fail": count(outcomes, Status::Fail),
        },
        "checks": outcomes,
    })
}

/// Sessions and paths of one check that are shown; JSON has more.
const ITEMS_SHOWN_MAX: usize = 10;

/// Where the text behind a status begins.
const INDENT: usize = 6;

fn show(outcomes: &[Outcome], config: &Config, out: &mut impl Write) -> Result<()> {
    let terminal = Terminal::of_stdout(&config.environment);
    let home = config.environment.home.display().to_string();
    writeln!(out, "{}\n", terminal.bold(&headline(outcomes)))?;
    // What is worst first; within that, in the order of the checks.
    for status in [Status::Fail, Status::Warn] {
        for outcome in outcomes.iter().filter(|outcome| outcome.status == status) {
            Page { terminal, home: &home }.finding(outcome, out)?;
            writeln!(out)?;
        }
    }
    let well: Vec<&Outcome> =
        outcomes.iter().filter(|outcome| outcome.status == Status::Ok).collect();
    let width = well.iter().map(|outcome| name(outcome).len()).max().unwrap_or(0);
    for outcome in well {
        let status = terminal.green(&format!("{:<INDENT$}", Status::Ok.word()));
        let room = terminal.columns.saturating_sub(INDENT + width + 2);
        let detail = shortened(&outcome.detail, room);
        let line = format!("{:<width$}  {}", name(outcome), terminal.dim(&detail));
        writeln!(out, "{status}{}", line.trim_end())?;
    }
    Ok(())
}

fn headline(outcomes: &[Outcome]) -> String {
    let said = |status, one: &str| {
        let count = count(outcomes, status) as u64;
        (count > 0).then(|| counted(count, one))
    };
    let wrong: Vec<String> = [said(Status::Fail, "failure"), said(Status::Warn, "warning")]
        .into_iter()
        .flatten()
        .collect();
    let well = format!("{} of {} checks well", count(outcomes, Status::Ok), outcomes.len());
    if wrong.is_empty() {
        "All is well".to_owned()
    } else {
        format!("{}; {well}", wrong.join(", "))
    }
}

/// A check's name, with the agent where it is made of each.
fn name(outcome: &Outcome) -> String {
    match outcome.source {
        Some(source) if outcome.id == "last_success" => format!("{} {source}", outcome.id),
        Some(_) | None => outcome.id.to_owned(),
    }
}

/// The first line of a text, cut to its column.
fn shortened(text: &str, columns: usize) -> String {
    let lines = wrapped(text, columns, 0);
    let is_cut = lines.len() > 1;
    // What says so needs a column, too.
    let lines = if is_cut { wrapped(text, columns.saturating_sub(1), 0) } else { lines };
    let first = lines.into_iter().next().unwrap_or_default();
    if is_cut { first + "…" } else { first }
}

struct Page<'a> {
    terminal: Terminal,
    home: &'a str,
}

impl Page<'_> {
    /// A check that is not well, with all that it names.
    fn finding(&self, outcome: &Outcome, out: &mut impl Write) -> Result<()> {
        let terminal = self.terminal;
        let status = format!("{:<INDENT$}", outcome.status.word());
        let status = match outcome.status {
            Status::Fail => terminal.red(&status),
            Status::Warn => terminal.yellow(&status),
            Status::Ok => terminal.green(&status),
        };
        writeln!(out, "{status}{}", terminal.bold(&name(outcome)))?;
        self.text(&sentence(&outcome.detail), INDENT, out)?;
        for item in outcome.items.iter().take(ITEMS_SHOWN_MAX) {
            self.item(item, out)?;
        }
        let not_listed = outcome.meta.get(doctor::NOT_LISTED).and_then(Value::as_u64).unwrap_or(0);
        let more = outcome.items.len().saturating_sub(ITEMS_SHOWN_MAX) as u64 + not_listed;
        if more > 0 {
            writeln!(out)?;
            self.text(&format!("and {more} more: `trueup doctor --json` names them"), INDENT, out)?;
        }
        Ok(())
    }

    fn item(&self, item: &Item, out: &mut impl Write) -> Result<()> {
        writeln!(out)?;
        if let Some(session) = &item.session {
            self.text(&format!("session {session}"), INDENT, out)?;
        }
        if let Some(path) = &item.path {
            self.text(&self.short(path), INDENT, out)?;
        }
        self.text(&item.reason, INDENT + 2, out)?;
        if let Some(mend) = &item.mend {
            let text = match &item.first {
                Some(first) => format!("{first}, then `{mend}`"),
                None => format!("`{mend}`"),
            };
            let lines = wrapped(&text, self.terminal.columns, INDENT + 4);
            for (at, line) in lines.iter().enumerate() {
                let arrow = if at == 0 { "  → " } else { "    " };
                writeln!(out, "{:INDENT$}{arrow}{}", "", line.trim_start())?;
            }
        }
        Ok(())
    }

    fn text(&self, text: &str, indent: usize, out: &mut impl Write) -> Result<()> {
        for line in wrapped(text, self.terminal.columns, indent) {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    /// A path with `~` for the home folder, as shells understand it.
    fn short(&self, path: &str) -> String {
        match path.strip_prefix(self.home) {
            Some(below) if below.starts_with('/') && self.home.len() > 1 => format!("~{below}"),
            Some(_) | None => path.to_owned(),
        }
    }
}
