//! `trueup export`.

mod chargeback;
mod focus;
mod table;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use trueup_core::report::Pricer;
use trueup_core::{Basis, Calendar, Charged, DAY_MS, Decimal, Text, UnixMs};
use trueup_ledger::Reader;

use super::{WrongUsage, load};
use crate::config::Config;
use crate::export::{self, Asked, Gathered};
use crate::query::{self, Cost, day};
use crate::render::number::{counted, money};
use crate::render::terminal::Terminal;
use crate::render::wrap::wrapped;

/// Models that are named where calls have no price; more are only counted.
const MODELS_SHOWN_MAX: usize = 5;

/// Write the account for other tools: tables, FOCUS 1.2, and costs by cost centre
#[derive(Debug, Subcommand)]
pub(super) enum Export {
    /// Write FOCUS 1.2: one row a day, model, kind of token, tier, project and key
    ///
    /// `x_EstimateOrBilled` says of each row who says what it cost: `billed`, `estimate`, or `unpriced`
    /// where nobody does. Who adds up `BilledCost` and wants only bills leaves the others out.
    Focus(focus::ExportFocus),
    /// Divide what usage cost among cost centres, by rules of a file
    ///
    /// The first rule that takes a row decides. What no rule takes is shown as unallocated. The parts are
    /// the whole to the last digit; docs/exports.md says how rules are written.
    Chargeback(chargeback::Chargeback),
    /// Write usage: the rows of `trueup report`
    Usage(Box<table::ExportUsage>),
    /// Write sessions: what each used, when, and of which models
    Sessions(Box<table::ExportSessions>),
    /// Write the errors that agents and clients reported, as they are kept
    Errors(table::ExportErrors),
    /// Write the samples that `trueup serve` took of the machine
    Host(table::ExportHost),
}

impl Export {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        match self {
            Self::Focus(focus) => focus.run(config),
            Self::Chargeback(chargeback) => chargeback.run(config),
            Self::Usage(usage) => usage.run(config),
            Self::Sessions(sessions) => sessions.run(config),
            Self::Errors(errors) => errors.run(config),
            Self::Host(host) => host.run(config),
        }
    }
}

/// What is exported, and where to.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// From this day on, in UTC [default: the first that is known]
    #[arg(long, value_name = "DAY", value_parser = day)]
    from: Option<Date>,
    /// To the end of this day, in UTC [default: the last that is known]
    #[arg(long, value_name = "DAY", value_parser = day)]
    to: Option<Date>,
    /// Only this provider or connection; may be given again
    #[arg(long, value_name = "NAME")]
    provider: Vec<String>,
    /// What calls that no provider billed are taken to cost
    #[arg(long, value_enum, default_value = "computed", value_name = "COST")]
    cost: Cost,
    /// Write to this file, as a whole or not at all; `-` is standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Selection {
    /// Reads what is new, and gathers rows.
    pub(super) fn gather(&self, config: &Config) -> Result<Gathered> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && to < from
        {
            return Err(WrongUsage(format!("--to {to} lies before --from {from}")).into());
        }
        let calendar = Calendar::new(TimeZone::UTC);
        let window = query::window(&calendar, self.from, self.to, "--").map_err(WrongUsage)?;
        let loaded = load::load(config, false)?;
        let book = load::prices(config)?;
        let path = config.ledger();
        let reader =
            Reader::open(&path)?.with_context(|| format!("{} does not exist", path.display()))?;
        let asked = Asked {
            window,
            providers: self.provider.clone(),
            is_reported_taken: self.cost != Cost::Computed,
        };
        let pricer = Pricer::new(&book, self.cost.mode());
        let mut gathered = export::gather(&loaded.usage, &reader, pricer, &asked)?;
        if let Some(owner) = &loaded.keeper {
            gathered.notes.insert(format!("the account is as far as {owner} has written it"));
        }
        Ok(gathered)
    }
}

/// What rows come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// What is to be paid; `None` where no price is known.
    pub(super) amount: Option<Decimal>,
    /// Tokens, as far as they were told.
    pub(super) tokens: Decimal,
}

impl Sum {
    /// Adds a row, or a part of one, whose quantity counts this unit.
    pub(super) fn add(&mut self, unit: &str, amount: Option<&Decimal>, quantity: Option<&Decimal>) {
        if let Some(amount) = amount {
            self.amount =
                Some(self.amount.take().map_or_else(|| amount.clone(), |sum| sum.plus(amount)));
        }
        if let Some(quantity) = quantity.filter(|_| unit == "tokens") {
            self.tokens = self.tokens.plus(quantity);
        }
    }
}

impl Gathered {
    /// What is in an export, in sentences.
    fn sentences(&self) -> Vec<String> {
        let unpriced = (!self.unpriced.is_empty()).then(|| unpriced(&self.unpriced));
        let notes = self.notes.iter().map(|note| format!("Note: {note}."));
        [summary(&self.rows)].into_iter().chain(unpriced).chain(notes).collect()
    }
}

/// Says on standard error what is in an export: standard output may be the export itself.
fn tell(sentences: &[String], terminal: Terminal) -> io::Result<()> {
    let mut out = io::stderr().lock();
    for sentence in sentences {
        for line in wrapped(sentence, terminal.columns, 0) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// Which days, and what they come to by who says so.
fn summary(rows: &[Charged]) -> String {
    let Some((from, until)) = span(rows) else {
        return "Nothing: no provider tells of these days, and the account has no usage of them."
            .to_owned();
    };
    let mut sums: BTreeMap<(Basis, &str), Decimal> = BTreeMap::new();
    for row in rows {
        let sum = sums.entry((row.basis, &row.currency)).or_insert(Decimal::ZERO);
        *sum = sum.plus(row.amount.as_ref().unwrap_or(&Decimal::ZERO));
    }
    let parts = sums.iter().filter(|((basis, _), _)| *basis != Basis::Unpriced);
    let parts = parts
        .map(|((basis, currency), sum)| format!("{} {}", basis_word(*basis), money(sum, currency)));
    let parts: Vec<String> = parts.collect();
    let parts = if parts.is_empty() { "no known price".to_owned() } else { parts.join(", ") };
    format!("{} to {}: {parts}.", from.utc_date(), UnixMs(until.0 - DAY_MS).utc_date())
}

const fn basis_word(basis: Basis) -> &'static str {
    match basis {
        Basis::Billed => "billed",
        Basis::Estimate => "estimated",
        Basis::Unpriced => "unpriced",
    }
}

fn unpriced(models: &BTreeMap<Text, u64>) -> String {
    let calls = models.values().fold(0_u64, |sum, calls| sum.saturating_add(*calls));
    let named = models.keys().take(MODELS_SHOWN_MAX);
    let mut named: Vec<String> = named.map(|model| shown(model).to_owned()).collect();
    let more = models.len().saturating_sub(named.len());
    if more > 0 {
        named.push(counted(more as u64, "more model"));
    }
    let calls = counted(calls, "call");
    format!(
        "Without a known price: {calls}, of {}. Tokens are there, money is not.",
        named.join(", ")
    )
}

fn shown(model: &str) -> &str {
    if model.is_empty() { "(no model)" } else { model }
}

/// Where the first row begins, and the last one ends.
fn span(rows: &[Charged]) -> Option<(UnixMs, UnixMs)> {
    let from = rows.iter().map(|row| row.from).min()?;
    let until = rows.iter().map(|row| row.until).max()?;
    Some((from, until))
}
