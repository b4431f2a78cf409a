//! `trueup budget` and `trueup alerts`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};
use trueup_ledger::Reader;

use super::{Nothing, WrongUsage, load};
use crate::budget::{Alert, Looked, SCHEMA, Source, Told, budget_json, look, standing};
use crate::clock;
use crate::config::Config;
use crate::render;
use crate::render::terminal::Terminal;

/// Show what of each budget is spent and left, how long it lasts, and what is to be expected
#[derive(Debug, Args)]
pub(super) struct ShowBudget {
    /// Only these budgets
    names: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Show which budgets have reached a threshold, and which days are out of the ordinary
#[derive(Debug, Args)]
pub(super) struct ShowAlerts {
    /// Exit with 1 where something stands
    #[arg(long)]
    check: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl ShowBudget {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        let all = self.look(config)?;
        let mut out = io::BufWriter::new(io::stdout().lock());
        if self.json {
            writeln!(out, "{:#}", as_json(&all))?;
        } else {
            let terminal = Terminal::of_stdout(&config.environment);
            render::budget::budgets(&all, terminal, &mut out)?;
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }

    /// The budgets, as JSON.
    pub(super) fn answer(&self, config: &Config) -> Result<Value> {
        Ok(as_json(&self.look(config)?))
    }

    fn look(&self, config: &Config) -> Result<Vec<Looked>> {
        must_have_budgets(config)?;
        let unknown =
            self.names.iter().find(|name| !config.budgets.iter().any(|one| one.name == **name));
        if let Some(unknown) = unknown {
            let known = config.budgets.iter().map(|one| format!("`{}`", one.name));
            let known: Vec<String> = known.collect();
            let words = format!("there is no budget `{unknown}`, but {}", known.join(", "));
            return Err(WrongUsage(words).into());
        }
        let (mut all, _) = looked(config)?;
        all.retain(|one| self.names.is_empty() || self.names.contains(&one.settings.name));
        Ok(all)
    }
}

fn as_json(budgets: &[Looked]) -> Value {
    let budgets: Vec<_> = budgets.iter().map(budget_json).collect();
    json!({"schema": SCHEMA, "budgets": budgets})
}

impl ShowAlerts {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        must_have_budgets(config)?;
        let (all, told) = looked(config)?;
        let alerts = standing(&all, &told);
        let mut out = io::BufWriter::new(io::stdout().lock());
        if self.json {
            let alerts: Vec<_> = alerts.iter().map(Alert::json).collect();
            writeln!(out, "{:#}", json!({"schema": SCHEMA, "alerts": alerts}))?;
        } else {
            let terminal = Terminal::of_stdout(&config.environment);
            render::budget::alerts(&alerts, terminal, &mut out)?;
        }
        out.flush()?;
        let fails = self.check && !alerts.is_empty();
        Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Nothing is watched that nobody has asked for.
fn must_have_budgets(config: &Config) -> Result<()> {
    if config.budgets.is_empty() {
        let file = config.shown_settings_file();
        return Err(
            Nothing(format!("no budget is set: put one under [[budget]] into {file}")).into()
        );
    }
    Ok(())
}

/// Every budget, and what was told before.
fn looked(config: &Config) -> Result<(Vec<Looked>, Told)> {
    let book = load::prices(config)?;
    let zone = config.zone()?;
    let loaded = load::load(config, false)?;
    let reader = Reader::open(&config.ledger())?;
    let source = Source { usage: &loaded.usage, reader: reader.as_ref(), book: &book, zone: &zone };
    let all = look(source, &config.budgets, clock::now())?;
    let told = reader.as_ref().map(Reader::alerts).transpose().context("alerts")?;
    Ok((all, Told::new(told.unwrap_or_default())))
}
