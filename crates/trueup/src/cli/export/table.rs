//! `trueup export usage`, `sessions`, `errors` and `host`: tables, in the forms that others read.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use jiff::civil::Date;
use trueup_core::report::{CostMode, Window};

use super::tell;
use crate::cli::WrongUsage;
use crate::cli::load::Loaded;
use crate::cli::notes;
use crate::cli::report::{Chosen, Selection, calendar};
use crate::config::Config;
use crate::export::{self, AskedUsage, Format, to_place};
use crate::facts::Facts;
use crate::query::{self, By, Cost, day};
use crate::render::number::counted;
use crate::render::terminal::Terminal;
use crate::usage::Keeping;

/// Options of `trueup export usage`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExportUsage {
    /// What the rows are about; several with commas, such as day,model
    #[arg(long, value_name = "BY", value_delimiter = ',', default_value = "day")]
    by: Vec<By>,
    #[command(flatten)]
    selection: Selection,
    /// Which cost to write
    #[arg(long, value_enum, default_value_t)]
    cost: Cost,
    #[command(flatten)]
    target: Target,
}

/// Options of `trueup export sessions`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExportSessions {
    #[command(flatten)]
    selection: Selection,
    /// Which cost to write
    #[arg(long, value_enum, default_value_t)]
    cost: Cost,
    #[command(flatten)]
    target: Target,
}

/// Options of `trueup export errors`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExportErrors {
    #[command(flatten)]
    times: Times,
    /// Only of this agent, or what else sent them: a name, or a pattern with *; may be repeated
    #[arg(long, value_name = "AGENT")]
    source: Vec<String>,
    #[command(flatten)]
    target: Target,
}

/// Options of `trueup export host`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExportHost {
    #[command(flatten)]
    times: Times,
    #[command(flatten)]
    target: Target,
}

/// Which days.
#[derive(Debug, Args)]
struct Times {
    /// The first day, such as 2026-11-01
    #[arg(long, value_name = "DAY", value_parser = day)]
    since: Option<Date>,
    /// The last day, included
    #[arg(long, value_name = "DAY", value_parser = day)]
    until: Option<Date>,
    /// The time zone of days, an IANA name [default: the machine's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
}

/// Which form, and where to.
#[derive(Debug, Args)]
struct Target {
    /// In which form
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// Write to this file, as a whole or not at all; `-` is standard output
    #[arg(long, visible_alias = "output", value_name = "FILE")]
    out: Option<PathBuf>,
}

impl ExportUsage {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        let Some(by) = query::dimensions(&self.by).map_err(WrongUsage)? else {
            let text = "blocks are not exported; see `trueup report block --json`";
            bail!(WrongUsage(text.to_owned()));
        };
        let write = |loaded: &Loaded, asked: &AskedUsage<'_>, out: &mut dyn Write| {
            export::usage(&loaded.usage, &by, asked, self.target.format, out)
        };
        self.target.write_chosen(&self.selection, self.cost.mode(), config, write)
    }
}

impl ExportSessions {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        let write = |loaded: &Loaded, asked: &AskedUsage<'_>, out: &mut dyn Write| {
            export::sessions(&loaded.usage, asked, self.target.format, out)
        };
        self.target.write_chosen(&self.selection, self.cost.mode(), config, write)
    }
}

impl ExportErrors {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        let (window, format) = (self.times.window(config)?, self.target.format);
        let facts = facts(config)?;
        self.target.write(config, |out| export::errors(&facts, window, &self.source, format, out))
    }
}

impl ExportHost {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        let (window, format) = (self.times.window(config)?, self.target.format);
        let facts = facts(config)?;
        self.target.write(config, |out| export::host(&facts, window, format, out))
    }
}

fn facts(config: &Config) -> Result<Facts> {
    Keeping::in_ledger(config.ledger()).facts(None)
}

impl Times {
    fn window(&self, config: &Config) -> Result<Window> {
        let calendar = calendar(self.tz.as_deref(), config)?;
        Ok(query::window(&calendar, self.since, self.until, "--").map_err(WrongUsage)?)
    }
}

impl Target {
    /// Writes what was chosen of the account, and says what is not known of it.
    fn write_chosen(
        &self,
        selection: &Selection,
        cost: CostMode,
        config: &Config,
        write: impl FnOnce(&Loaded, &AskedUsage<'_>, &mut dyn Write) -> Result<u64>,
    ) -> Result<ExitCode> {
        let Chosen { calendar, filter, book, loaded } = selection.choose(config)?;
        let asked = AskedUsage { calendar, filter: &filter, book: &book, cost };
        let code = self.write(config, |out| write(&loaded, &asked, out))?;
        notes::after(&loaded, &BTreeMap::new(), Terminal::of_stdout(&config.environment))?;
        Ok(code)
    }

    /// Writes a table, and says how many rows it has.
    fn write(
        &self,
        config: &Config,
        write: impl FnOnce(&mut dyn Write) -> Result<u64>,
    ) -> Result<ExitCode> {
        let is_printed = self.out.as_ref().is_none_or(|place| place.as_os_str() == "-");
        if self.format == Format::Parquet && is_printed && std::io::stdout().is_terminal() {
            let text = "Parquet is not for terminals: name a file with --out";
            bail!(WrongUsage(text.to_owned()));
        }
        let mut rows = 0;
        to_place(self.out.as_deref(), |out| {
            rows = write(out)?;
            Ok(())
        })?;
        tell(&[format!("{}.", counted(rows, "row"))], Terminal::of_stdout(&config.environment))?;
        Ok(ExitCode::SUCCESS)
    }
}
