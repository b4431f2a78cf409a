//! `trueup export chargeback`.

mod show;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use trueup_core::allocate::{Part, Rules, StatedRule, apportion};
use trueup_core::{Basis, Charged, Decimal, Text, UnixMs};

use super::{Selection, Sum, WrongUsage, span, tell};
use crate::config::{Config, read_text};
use crate::export::to_place;
use crate::render::terminal::Terminal;

/// Places behind the point that amounts can be rounded to.
const PLACES_MAX: i64 = 12;
/// Places that people are shown.
const CENTS: u16 = 2;
/// Trueup itself is wrong: the parts are not the whole.
const EXIT_NOT_WHOLE: u8 = 70;

/// Options of `trueup export chargeback`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Chargeback {
    /// The file of rules, in TOML
    #[arg(long, value_name = "FILE")]
    rules: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// Round amounts to so many places, so that they still add up [default: not at all; 2 in the table]
    #[arg(long, value_name = "PLACES", value_parser = clap::value_parser!(u16).range(0..=PLACES_MAX))]
    round: Option<u16>,
    #[command(flatten)]
    selection: Selection,
}

/// A form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: by cost centre
    #[default]
    Table,
    /// One line a month, cost centre, rule, provider, basis and currency
    Csv,
    /// The same, with totals
    Json,
}

/// The file of rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(default)]
    rule: Vec<StatedRule>,
}

/// What a line is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct LineKey {
    /// Where the month begins.
    month: UnixMs,
    /// Those that pay first, then what nobody pays.
    is_unallocated: bool,
    centre: Text,
    rule: Text,
    provider: Text,
    basis: Basis,
    currency: Text,
}

type Lines = BTreeMap<LineKey, Sum>;

/// All that was divided.
#[derive(Debug)]
struct Divided<'a> {
    lines: Lines,
    /// The amounts of all rows by basis and currency, as they came.
    totals: BTreeMap<(Basis, Text), Decimal>,
    /// The first day, and the last.
    span: Option<(String, String)>,
    rules: &'a Path,
}

impl Chargeback {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        let rules = rules(&self.rules).map_err(|error| WrongUsage(format!("{error:#}")))?;
        let gathered = self.selection.gather(config)?;
        let mut divided = Divided::new(&gathered.rows, &rules, &self.rules);
        if !divided.is_whole() {
            writeln!(
                io::stderr(),
                "trueup: the parts are not the whole: this is an error in trueup"
            )?;
            return Ok(ExitCode::from(EXIT_NOT_WHOLE));
        }
        if let Some(places) = self.round {
            divided.round(places);
        }
        let terminal = Terminal::of_stdout(&config.environment);
        to_place(self.selection.out.as_deref(), |out| match self.format {
            Format::Table => {
                show::table(&divided, self.round.unwrap_or(CENTS).min(CENTS), terminal, out)
            }
            Format::Csv => show::csv(&divided, out),
            Format::Json => Ok(writeln!(out, "{:#}", show::json(&divided))?),
        })?;
        tell(&gathered.sentences(), terminal)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads the file; what is wrong in it is told with its place.
fn rules(path: &Path) -> Result<Rules> {
    let text = read_text(path)?;
    let file: RuleFile = toml::from_str(&text).with_context(|| path.display().to_string())?;
    Rules::new(&file.rule).with_context(|| path.display().to_string())
}

impl<'a> Divided<'a> {
    fn new(rows: &[Charged], rules: &Rules, path: &'a Path) -> Self {
        let mut lines = Lines::new();
        let mut totals: BTreeMap<(Basis, Text), Decimal> = BTreeMap::new();
        for row in rows {
            if let Some(amount) = &row.amount {
                let total = totals.entry((row.basis, Text::clone(&row.currency)));
                let total = total.or_insert(Decimal::ZERO);
                *total = total.plus(amount);
            }
            for part in rules.allocate(row) {
                let line = lines.entry(LineKey::new(row, &part)).or_default();
                line.add(&row.unit, part.amount.as_ref(), part.quantity.as_ref());
            }
        }
        let days =
            span(rows).map(|(from, until)| (from.utc_date(), UnixMs(until.0 - 1).utc_date()));
        Self { lines, totals, span: days, rules: path }
    }

    /// Whether the lines come to what came in.
    fn is_whole(&self) -> bool {
        let mut sums: BTreeMap<(Basis, Text), Decimal> = BTreeMap::new();
        for (key, line) in &self.lines {
            if let Some(amount) = &line.amount {
                let sum = sums.entry((key.basis, Text::clone(&key.currency)));
                let sum = sum.or_insert(Decimal::ZERO);
                *sum = sum.plus(amount);
            }
        }
        sums == self.totals
    }

    /// Rounds the amounts of each basis and currency so that they come to their total, rounded.
    fn round(&mut self, places: u16) {
        for ((basis, currency), total) in &mut self.totals {
            let of_these = |key: &LineKey| (key.basis, &key.currency) == (*basis, &*currency);
            let amounts = self.lines.iter_mut().filter(|(key, _)| of_these(key));
            let mut amounts: Vec<&mut Decimal> =
                amounts.filter_map(|(_, line)| line.amount.as_mut()).collect();
            let parts: Vec<Decimal> = amounts.iter().map(|amount| (**amount).clone()).collect();
            for (amount, rounded) in amounts.iter_mut().zip(apportion(&parts, places)) {
                **amount = rounded;
            }
            *total = total.rounded(places);
        }
    }
}

impl LineKey {
    fn new(row: &Charged, part: &Part) -> Self {
        Self {
            month: row.from.floor_month_utc(),
            is_unallocated: part.centre.is_none(),
            centre: part.centre.clone().unwrap_or_default(),
            rule: part.rule.clone().unwrap_or_default(),
            provider: Text::clone(&row.provider),
            basis: row.basis,
            currency: Text::clone(&row.currency),
        }
    }
}
