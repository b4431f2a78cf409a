//! `trueup completions` and `trueup man`: what the command line says of itself, in the forms of others.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::{Generator as _, shells};

use super::Cli;

/// Print what lets a shell complete trueup's commands and options
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

/// Shells whose completion is made.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    /// ~/.local/share/bash-completion/completions/trueup
    Bash,
    /// A file `_trueup` in a folder of $fpath
    Zsh,
    /// ~/.config/fish/completions/trueup.fish
    Fish,
}

impl Completions {
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut command = Cli::command();
        command.set_bin_name("trueup");
        // Options of every verb are handed down only when this is done.
        command.build();
        let mut script = Vec::new();
        match self.shell {
            Shell::Bash => shells::Bash.try_generate(&command, &mut script)?,
            Shell::Zsh => shells::Zsh.try_generate(&command, &mut script)?,
            Shell::Fish => shells::Fish.try_generate(&command, &mut script)?,
        }
        io::stdout().lock().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Write the manual pages, for those who make packages
#[derive(Debug, Args)]
pub(super) struct ManualPages {
    /// An existing folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl ManualPages {
    pub(super) fn run(&self) -> Result<ExitCode> {
        // A page of `trueup help serve` would say what that of `trueup serve` says.
        let command = Cli::command().disable_help_subcommand(true);
        clap_mangen::generate_to(command, &self.folder)
            .with_context(|| format!("cannot write into {}", self.folder.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
