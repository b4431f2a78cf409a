//! `trueup hooks`.

mod change;
mod status;

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use crate::config::Config;
use crate::hooks::openclaw::StateFolders;
use change::Change;
use status::Status;

/// Let an agent tell of sessions that end, by a hook that leaves small files
#[derive(Debug, Args)]
pub(super) struct Hooks {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Put the hook into every state folder of an agent, and switch it on
    Install(Change),
    /// Switch the hook off, and take away what install wrote
    Uninstall(Change),
    /// Show where the hook is, whether it is on, and what it has left
    Status(Status),
}

/// An agent that a hook is there for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum HookedAgent {
    #[value(name = "openclaw")]
    OpenClaw,
}

impl Hooks {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let mut out = io::stdout().lock();
        match self.verb {
            Verb::Install(change) => change.install(config, &mut out),
            Verb::Uninstall(change) => change.uninstall(config, &mut out),
            Verb::Status(status) => status.run(config, &mut out),
        }
    }
}

/// Says that there is no state folder, and where it would be.
fn nowhere(folders: &StateFolders) -> String {
    let looked = folders.missing.iter().map(|path| format!("\n  {}", path.display()));
    format!(
        "No state folder of OpenClaw is there. Looked for{}\n\
         Where it is elsewhere, set OPENCLAW_STATE_DIR.",
        looked.collect::<String>()
    )
}

/// Columns of a text that is broken into lines.
const COLUMNS: usize = 80;

/// A sentence as indented lines, broken between words.
fn indented(text: &str) -> String {
    let mut lines = vec![String::from(" ")];
    for word in text.split_whitespace() {
        let is_full = lines.last().is_some_and(|line| line.len() + 1 + word.len() > COLUMNS);
        if is_full {
            lines.push(String::from("   "));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n")
}
