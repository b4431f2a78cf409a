//! A report in the form that is asked for: what the command prints, and what a hub or `serve` answers.

use std::io::Write as _;

use anyhow::Result;
use clap::ValueEnum;
use trueup_core::report::{Block, Report, Sums};
use trueup_core::{Calendar, UnixMs};

use super::terminal::Terminal;
use super::{ccusage, json};
use crate::cli::{WrongUsage, tables};
use crate::export::{self, Format};

/// How a report is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    #[default]
    Json,
    /// In the shape of ccusage
    Ccusage,
    Csv,
    /// For people, as the command prints it
    Table,
}

/// A form, and what is chosen of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) form: Form,
    /// Whether each row is shown by model, too.
    pub(crate) has_breakdown: bool,
    /// Whether only tokens and cost are shown.
    pub(crate) is_compact: bool,
    pub(crate) terminal: Terminal,
}

impl Form {
    /// Refuses a form that blocks do not have.
    pub(crate) fn must_have_blocks(self) -> Result<()> {
        match self {
            Self::Csv => Err(WrongUsage("blocks have no CSV; use --json".to_owned()).into()),
            Self::Json | Self::Ccusage | Self::Table => Ok(()),
        }
    }

    /// The type of its bytes.
    pub(crate) const fn media(self) -> &'static str {
        match self {
            Self::Json | Self::Ccusage => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Table => "text/plain; charset=utf-8",
        }
    }
}

impl Written {
    /// Writes a report by anything but blocks.
    pub(crate) fn report(self, report: &Report, out: &mut Vec<u8>) -> Result<()> {
        match self.form {
            Form::Json => writeln!(out, "{:#}", json::report(report, self.has_breakdown))?,
            Form::Ccusage => {
                let shape = ccusage::report(report).ok_or_else(|| {
                    let text = "ccusage has reports by day, week, month, session and block only";
                    WrongUsage(text.to_owned())
                })?;
                writeln!(out, "{shape:#}")?;
            }
            Form::Csv => {
                export::report(report, Format::Csv, out)?;
            }
            Form::Table => {
                tables::report(report, self.has_breakdown, self.is_compact, self.terminal, out)?;
            }
        }
        Ok(())
    }

    /// Writes blocks of five hours.
    pub(crate) fn blocks(
        self,
        blocks: &[Block],
        totals: &Sums,
        calendar: &Calendar,
        now: UnixMs,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.form.must_have_blocks()?;
        match self.form {
            Form::Json => {
                let zone = calendar.zone_name();
                writeln!(out, "{:#}", json::blocks(blocks, totals, &zone, now))?;
            }
            Form::Ccusage => writeln!(out, "{:#}", ccusage::blocks(blocks, now))?,
            Form::Csv | Form::Table => {
                tables::blocks(blocks, totals, calendar, now, self.terminal, out)?;
            }
        }
        Ok(())
    }
}
