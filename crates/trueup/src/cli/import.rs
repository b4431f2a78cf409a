//! `trueup import`.

mod show;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;
use serde_json::json;
use trueup_ledger::{Ledger, LedgerError, OpenOptions};
use trueup_providers::StatementOptions;

use crate::clock;
use crate::config::Config;
use crate::render::terminal::Terminal;
use crate::statement::{Importer, Outcome, dry_run, statements, superseded};

/// Read what providers let their customers download: usage, costs, FOCUS
#[derive(Debug, Args)]
pub(super) struct Import {
    /// CSV files, also compressed by gzip; `-` is standard input
    #[arg(required_unless_present_any = ["list", "remove"], value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Whose usage it is, where the file does not tell (FOCUS)
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Of which account it is: files of different accounts do not supersede each other
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Say what is in the files, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// List what was imported
    #[arg(long, conflicts_with_all = ["files", "provider", "account", "dry_run", "remove"])]
    list: bool,
    /// Take a statement back, by its number in the list; what it superseded counts again
    #[arg(long, value_name = "ID", conflicts_with_all = ["files", "provider", "account", "dry_run"])]
    remove: Option<i64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of a file, or why nothing did.
type Tried<'a> = (&'a Path, Result<Outcome>);

impl Import {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        match self.remove {
            Some(id) => self.remove(id, config),
            None if self.list => self.list(config),
            None => self.import(config),
        }
    }

    fn import(&self, config: &Config) -> Result<ExitCode> {
        let options =
            StatementOptions { provider: self.provider.clone(), account: self.account.clone() };
        let path = config.ledger();
        let mut importer = if self.dry_run {
            None
        } else {
            Some(Importer::new(open(&path)?, options.clone(), &self.files)?)
        };
        let mut out = io::stdout().lock();
        let mut tried: Vec<Tried<'_>> = Vec::new();
        for file in &self.files {
            let outcome = match &mut importer {
                Some(importer) => importer.import(file, clock::now()),
                None => dry_run(file, &options, &path),
            };
            if !self.json {
                match &outcome {
                    Ok(outcome) => show::outcome(outcome, &mut out)?,
                    Err(error) => writeln!(io::stderr(), "trueup: {}: {error:#}", file.display())?,
                }
            }
            tried.push((file, outcome));
        }
        if self.json {
            let files: Vec<_> = tried.iter().map(show::as_json).collect();
            writeln!(out, "{:#}", json!({ "schema": 1, "files": files }))?;
        }
        let has_failed = tried.iter().any(|(_, outcome)| outcome.is_err());
        Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn list(&self, config: &Config) -> Result<ExitCode> {
        let path = config.ledger();
        let (statements, superseded) = (statements(&path)?, superseded(&path)?);
        let mut out = io::stdout().lock();
        if self.json {
            let statements: Vec<_> = statements
                .iter()
                .map(|statement| show::statement_as_json(statement, &superseded))
                .collect();
            writeln!(out, "{:#}", json!({ "schema": 1, "statements": statements }))?;
        } else {
            show::list(
                &statements,
                &superseded,
                Terminal::of_stdout(&config.environment),
                &mut out,
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn remove(&self, id: i64, config: &Config) -> Result<ExitCode> {
        let path = config.ledger();
        let known = statements(&path)?.into_iter().find(|statement| statement.id == id);
        let known = known.ok_or_else(|| {
            anyhow!("there is no statement {id}; `trueup import --list` shows those there are")
        })?;
        let superseded = superseded(&path)?;
        open(&path)?.remove_statement(id)?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(
                out,
                "{:#}",
                json!({ "schema": 1, "removed": show::statement_as_json(&known, &superseded) })
            )?;
        } else {
            show::removed(&known, &mut out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The ledger, for writing.
fn open(path: &Path) -> Result<Ledger> {
    Ledger::open(path, OpenOptions::default()).map_err(|error| {
        let is_held = matches!(error, LedgerError::Locked { .. });
        let error = anyhow::Error::from(error);
        if is_held {
            error.context("statements are written while `trueup serve` is stopped")
        } else {
            error
        }
    })
}
