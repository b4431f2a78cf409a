//! `trueup telemetry`.
//!
//! What trueup may tell of itself, and, with a manifest of theirs, what other products may. These verbs
//! bring the telemetry crate what it does not know: the environment, the clock, and where files lie.

mod decide;
mod lint;
mod pipe;
mod redact;
mod reset_id;
mod schema;
mod status;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use trueup_telemetry::consent::{Consent, Evidence, Layer, Mode, StateFile, decide};
use trueup_telemetry::manifest::Manifest;

use crate::config::{Config, read_text};

/// Look at what telemetry may tell, and decide on it
#[derive(Debug, Args)]
pub(super) struct Telemetry {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show whether anything is recorded or sent, and who decided that; changes nothing
    Status(status::Status),
    /// Allow that it is sent
    On(decide::Decide),
    /// Allow that it is recorded on this machine; nothing is sent
    Local(decide::Decide),
    /// Let nothing be recorded or sent
    Off(decide::Decide),
    /// Show every key that may be told, and what it holds; changes nothing
    Schema(schema::Schema),
    /// Put a new id in the place of the one that events carry
    ///
    /// What was sent before cannot be told to be of the same installation any more. Where there is no
    /// id yet, none is made.
    ResetId(reset_id::ResetId),
    /// Check a manifest; exits with 1 where it cannot be used
    Lint(lint::Lint),
    /// Take what another product tells, one JSON object a line, from standard input
    ///
    /// At the end of the input, or on SIGTERM, it seals what it has and prints what became of it, as one
    /// line of JSON. docs/telemetry-http.md says what the lines are.
    Pipe(pipe::Pipe),
    /// Take secrets and personal data out of a text, from standard input to standard output
    ///
    /// A line that is longer than 8 KiB is cut. docs/redaction.md says what goes, and what stays.
    Redact(redact::Redact),
}

/// Whose telemetry.
#[derive(Debug, Args)]
struct Which {
    /// The manifest of a product [default: trueup's own]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

impl Telemetry {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        match self.verb {
            Verb::Status(status) => status.run(config),
            Verb::On(decide) => decide.run(Mode::On, config),
            Verb::Local(decide) => decide.run(Mode::Local, config),
            Verb::Off(decide) => decide.run(Mode::Off, config),
            Verb::Schema(schema) => schema.run(),
            Verb::ResetId(reset) => reset.run(config),
            Verb::Lint(lint) => lint.run(),
            Verb::Pipe(pipe) => pipe.run(config),
            Verb::Redact(redact) => redact.run(),
        }
    }
}

/// trueup's own manifest, and what findings call it.
const OWN: &str = include_str!("../../../telemetry.toml");
const OWN_NAME: &str = "telemetry.toml";

/// The text of a manifest, and what findings call it.
fn text_of(path: Option<&Path>) -> Result<(String, String)> {
    Ok(match path {
        Some(path) => (read_text(path)?, path.display().to_string()),
        None => (OWN.to_owned(), OWN_NAME.to_owned()),
    })
}

impl Which {
    fn manifest(&self) -> Result<Manifest> {
        let (text, name) = text_of(self.manifest.as_deref())?;
        Manifest::parse(&text, &name).map_err(|error| anyhow!("{error}"))
    }

    fn product<'c>(&self, config: &'c Config) -> Result<Product<'c>> {
        let manifest = self.manifest()?;
        let path = folder(&manifest, config).join(FILE);
        let policy = Path::new(POLICIES).join(&manifest.product).join(FILE);
        Ok(Product { manifest, path, policy, config })
    }
}

/// The name of the file that holds a decision.
const FILE: &str = "telemetry.json";
/// Where whoever manages a machine leaves such a file for a product.
const POLICIES: &str = "/etc";

/// Where a product keeps its decision: where its variable or its manifest says, else beside the ledger.
fn folder(manifest: &Manifest, config: &Config) -> PathBuf {
    let environment = &config.environment;
    let folder = match &manifest.data_dir {
        Some(stated) => {
            let variable = format!("{}_DATA_DIR", manifest.env_prefix);
            environment.expand(environment.variable(&variable).unwrap_or(stated))
        }
        None => config.ledger().with_file_name("telemetry").join(&manifest.product),
    };
    std::path::absolute(&folder).unwrap_or(folder)
}

/// A product on this machine.
struct Product<'c> {
    manifest: Manifest,
    path: PathBuf,
    policy: PathBuf,
    config: &'c Config,
}

impl Product<'_> {
    fn file(&self) -> StateFile {
        StateFile::read(&self.path)
    }

    fn policy(&self) -> StateFile {
        StateFile::read(&self.policy)
    }

    /// What is decided. Reads, and writes nothing.
    fn consent(&self, file: &StateFile, policy: &StateFile) -> Consent {
        let Manifest { env_prefix, default, notice, .. } = &self.manifest;
        let variable = |name: &str| self.config.environment.variables.get(name).map(String::as_str);
        decide(&Evidence {
            do_not_track: variable("DO_NOT_TRACK"),
            prefix: env_prefix,
            variable: variable(&format!("{env_prefix}_TELEMETRY")),
            errors_variable: variable(&format!("{env_prefix}_TELEMETRY_ERRORS")),
            policy,
            file,
            ci: variable("CI"),
            default: *default,
            notice: *notice,
        })
    }

    /// Who decided, in words.
    fn decided_by(&self, consent: &Consent) -> String {
        match consent.layer {
            Layer::DoNotTrack => "the variable DO_NOT_TRACK".to_owned(),
            Layer::Variable => format!("the variable {}_TELEMETRY", self.manifest.env_prefix),
            Layer::Policy => format!("the policy {}", self.policy.display()),
            Layer::File => format!("the decision in {}", self.path.display()),
            Layer::Ci => "the variable CI".to_owned(),
            Layer::Default => "the manifest: nobody has decided".to_owned(),
        }
    }
}

/// What a mode means, in words.
const fn meaning(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => "nothing is recorded or sent",
        Mode::Local => "it may be recorded on this machine, and nothing is sent",
        Mode::On => "it may be sent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_telemetry::manifest::lint;

    #[test]
    fn nothing_is_to_be_said_of_our_own_manifest() {
        let findings: Vec<String> = lint(OWN).iter().map(ToString::to_string).collect();
        assert_eq!(findings, Vec::<String>::new());
    }

    /// A verb that is not in the manifest could not be counted.
    #[test]
    fn our_own_manifest_names_every_verb() {
        use clap::CommandFactory as _;
        let command = super::super::Cli::command();
        let verbs: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        let manifest = Manifest::parse(OWN, OWN_NAME).unwrap();
        for verb in &verbs {
            let key = format!("verbs_{verb}");
            assert!(manifest.sent_keys("verbs_rollup").contains(&key), "{key}");
        }
        let keys = manifest.sent_keys("verbs_rollup");
        assert_eq!(keys.iter().filter(|key| key.starts_with("verbs_")).count(), verbs.len());
    }
}
