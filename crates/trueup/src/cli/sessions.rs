//! `trueup sessions`.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::Value;
use trueup_core::Text;
use trueup_core::report::{CostMode, Dimension, Pricer, Report, Row};

use super::load::Loaded;
use super::report::{Chosen, Selection};
use super::{notes, remote};
use crate::config::Config;
use crate::query::sessions;
use crate::render::json;
use crate::render::table::{Cell, Layout, Look};
use crate::render::terminal::Terminal;

/// List sessions, the latest last
#[derive(Debug, Args)]
pub(super) struct Sessions {
    #[command(flatten)]
    selection: Selection,
    /// How many of the latest to list; 0 for all
    #[arg(long, default_value_t = 30, value_name = "COUNT")]
    last: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Ask a hub, by its address, for those of its fleet; with the token of `hub_token_file`
    #[arg(long, value_name = "URL", conflicts_with = "no_ledger")]
    hub: Option<String>,
}

impl Sessions {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        if let Some(hub) = &self.hub {
            let mut asked = self.selection.asked(config)?;
            asked.extend([("last", self.last.to_string()), ("json", self.json.to_string())]);
            return remote::print(config, hub, "/v1/sessions", asked);
        }
        let (terminal, mut text) = (Terminal::of_stdout(&config.environment), Vec::new());
        let (report, loaded) = self.write(config, terminal, &mut text)?;
        super::print(&text)?;
        notes::after(&loaded, &report.unpriced_models, terminal)?;
        Ok(ExitCode::SUCCESS)
    }

    /// What is printed; the exit code.
    pub(super) fn print(
        &self,
        config: &Config,
        terminal: Terminal,
        out: &mut Vec<u8>,
    ) -> Result<u8> {
        self.write(config, terminal, out).map(|_| 0)
    }

    fn write(
        &self,
        config: &Config,
        terminal: Terminal,
        out: &mut Vec<u8>,
    ) -> Result<(Report, Loaded)> {
        let zone = self.selection.calendar(config)?.zone().clone();
        let (report, loaded) = self.look(config)?;
        if self.json {
            writeln!(out, "{:#}", as_json(&report))?;
        } else if report.rows.is_empty() {
            notes::nothing(out, &loaded, self.selection.is_narrow())?;
        } else {
            out.extend_from_slice(table(&report, &zone, terminal).as_bytes());
        }
        Ok((report, loaded))
    }

    /// The sessions, as JSON.
    pub(super) fn answer(&self, config: &Config) -> Result<Value> {
        Ok(as_json(&self.look(config)?.0))
    }

    fn look(&self, config: &Config) -> Result<(Report, Loaded)> {
        let Chosen { calendar, filter, book, loaded } = self.selection.choose(config)?;
        let pricer = Pricer::new(&book, CostMode::Auto);
        let most = if self.last == 0 { usize::MAX } else { self.last };
        let part = sessions::part(&loaded.usage, calendar, &filter, pricer, None, most)?;
        Ok((part.report, loaded))
    }
}

fn as_json(report: &Report) -> Value {
    json::report(report, true)
}

fn table(report: &Report, zone: &jiff::tz::TimeZone, terminal: Terminal) -> String {
    let device = report.by.contains(&Dimension::Device).then_some("Device");
    let names = ["Last call", "Agent", "Project", "Session"].into_iter().chain(device);
    let mut layout = Layout::new(names.chain(["Calls", "Tokens", "Cost"]).collect());
    for row in &report.rows {
        let sums = &row.sums;
        let last = row.times.1.zoned(zone).strftime("%m-%d %H:%M").to_string();
        let tilde = if sums.estimated.calls > 0 { "~" } else { "" };
        let mut both = sums.exact;
        both.add(&sums.estimated);
        let mut cells =
            vec![Cell::Text(last), Cell::Text(joined(&row.agents)), Cell::Name(last_folder(row))];
        cells.extend(row.keys.iter().map(|key| Cell::Name(key.to_string())));
        cells.extend([
            Cell::Count(both.calls),
            Cell::Count(both.tokens.total()),
            Cell::Number(format!("{tilde}{}", super::tables::cost(&both))),
        ]);
        layout.row(Look::Plain, cells);
    }
    layout.draw(terminal)
}

fn joined<'a, Names: IntoIterator<Item = &'a Text>>(names: Names) -> String {
    names.into_iter().map(|name| &**name).collect::<Vec<_>>().join(", ")
}

/// The project by its last folder: the whole path is in the JSON.
fn last_folder(row: &Row) -> String {
    let project = row.projects.iter().find(|project| !project.is_empty());
    let name = project.and_then(|project| project.rsplit('/').find(|part| !part.is_empty()));
    name.unwrap_or_default().to_owned()
}
