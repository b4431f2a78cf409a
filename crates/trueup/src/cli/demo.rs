//! `trueup demo`.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Parser as _};

use super::questions::QUESTIONS;
use super::{Cli, Verb, load};
use crate::config::Config;

/// Show reports and the listener on built-in data, in a temporary folder that is removed again
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// End after the reports, without the listener
    #[arg(long)]
    reports_only: bool,
}

/// The reports that are shown.
const SHOWN: [&[&str]; 3] = [
    &["trueup", "report", "day,agent"],
    &["trueup", "report", "model"],
    &["trueup", "sessions", "--last", "6"],
];

impl Demo {
    pub(super) fn run(self) -> Result<ExitCode> {
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        let home = folder.path().join("home");
        crate::demo::write_home(&home, crate::clock::now())?;
        let config = settings(&home, folder.path())?;
        let mut out = io::stdout();
        writeln!(
            out,
            "A demonstration on built-in sessions of three agents, in a temporary folder.\n\
             Nothing of yours is read, and nothing stays behind."
        )?;
        for command in SHOWN {
            writeln!(out, "\n$ {}\n", command.join(" "))?;
            let verb = Cli::try_parse_from(command)?.verb;
            if let Verb::Report(report) = verb {
                report.run(&config)?;
            } else if let Verb::Sessions(sessions) = verb {
                sessions.run(&config)?;
            }
        }
        // Without anybody to look at it or to stop it, the listener has no point.
        if !self.reports_only && io::stdin().is_terminal() {
            writeln!(
                out,
                "\n$ trueup serve\n\nListening until Ctrl-C; its first log line names the address."
            )?;
            crate::daemon::serve(&config, load::prices(&config)?, QUESTIONS)?;
        }
        writeln!(out, "\nThe temporary folder is removed. `trueup report` shows your own usage.")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Settings that know nothing of this machine but where the built-in home is.
fn settings(home: &std::path::Path, folder: &std::path::Path) -> Result<Config> {
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let variables = BTreeMap::from([("HOME".to_owned(), text(home))]);
    let flags = [
        ("ledger", text(&folder.join("trueup.db"))),
        ("port", "0".to_owned()),
        ("log_level", "info".to_owned()),
    ];
    Config::resolve(variables, None, &flags)
}
