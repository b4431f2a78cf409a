//! `trueup telemetry`.
//!
//! What trueup may tell of itself, and, with a manifest of theirs, what other products may. These verbs
//! bring the telemetry crate what it does not know: the environment, the clock, and where files lie.

mod backfill;
mod decide;
mod errors;
mod flush;
mod lint;
mod log;
mod pipe;
mod purge;
mod redact;
mod reset_id;
mod schema;
mod show;
mod simulate;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use trueup_telemetry::consent::{Layer, Mode};
use trueup_telemetry::manifest::Manifest;
use trueup_telemetry::product::{Options, Status, Telemetry};

use crate::config::Config;
use crate::telemetry;
use crate::telemetry::shown::meaning;

/// Look at what telemetry may tell, and decide on it
#[derive(Debug, Args)]
pub(super) struct TelemetryVerbs {
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
    /// Show the next request, to the byte; changes nothing
    Show(show::Show),
    /// Show the requests that were sent, and what was kept on this machine; changes nothing
    Log(log::Log),
    /// Show the errors that were counted and not sent; changes nothing
    Errors(errors::Errors),
    /// Tell the past, once, from records of it that the product gives
    Backfill(backfill::Backfill),
    /// Make requests of what has ended, and send those that may be sent
    Flush(flush::Flush),
    /// Delete what was recorded and not sent, and what is known of what was
    ///
    /// What was sent today still counts against the day. The decision stays as it is.
    Purge(purge::Purge),
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
    /// Simulate a fleet, and show how many events it would send; exits with 1 if a day passed its cap
    Simulate(simulate::Simulate),
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

impl TelemetryVerbs {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        match self.verb {
            Verb::Status(status) => status.run(config),
            Verb::On(decide) => decide.run(Mode::On, config),
            Verb::Local(decide) => decide.run(Mode::Local, config),
            Verb::Off(decide) => decide.run(Mode::Off, config),
            Verb::Show(show) => show.run(config),
            Verb::Log(log) => log.run(config),
            Verb::Errors(errors) => errors.run(config),
            Verb::Backfill(backfill) => backfill.run(config),
            Verb::Flush(flush) => flush.run(config),
            Verb::Purge(purge) => purge.run(config),
            Verb::Schema(schema) => schema.run(),
            Verb::ResetId(reset) => reset.run(config),
            Verb::Lint(lint) => lint.run(),
            Verb::Pipe(pipe) => pipe.run(config),
            Verb::Simulate(simulate) => simulate.run(),
            Verb::Redact(redact) => redact.run(),
        }
    }
}

impl Which {
    fn manifest(&self) -> Result<Manifest> {
        telemetry::manifest(self.manifest.as_deref())
    }

    fn options(&self, config: &Config) -> Result<Options> {
        // A verb does what it says, and then ends: nothing happens beside it.
        Ok(Options { is_driven: true, ..telemetry::options(self.manifest()?, config) })
    }

    fn open(&self, config: &Config) -> Result<Telemetry> {
        Ok(Telemetry::open(self.options(config)?))
    }

    /// A product's telemetry, to look at: nothing is made, changed or deleted.
    fn look(&self, config: &Config) -> Result<Telemetry> {
        Ok(telemetry::look(self.manifest()?, config))
    }
}

/// Who decided, in words.
fn decided_by(status: &Status, manifest: &Manifest) -> String {
    match status.layer {
        Layer::DoNotTrack => "the variable DO_NOT_TRACK".to_owned(),
        Layer::Variable => format!("the variable {}_TELEMETRY", manifest.env_prefix),
        Layer::Policy => format!("the policy {}", status.policy.display()),
        Layer::File => format!("the decision in {}", status.file.display()),
        Layer::Ci => "the variable CI".to_owned(),
        Layer::Default => "the manifest: nobody has decided".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::own::UNRECORDED;
    use crate::telemetry::{OWN, OWN_NAME};
    use trueup_telemetry::manifest::{Manifest, lint};

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
        let verbs = command.get_subcommands().map(clap::Command::get_name);
        let verbs: Vec<&str> = verbs.filter(|verb| !UNRECORDED.contains(verb)).collect();
        let manifest = Manifest::parse(OWN, OWN_NAME).unwrap();
        for verb in &verbs {
            let key = format!("verbs_{verb}");
            assert!(manifest.sent_keys("verbs_rollup").contains(&key), "{key}");
        }
        let keys = manifest.sent_keys("verbs_rollup");
        assert_eq!(keys.iter().filter(|key| key.starts_with("verbs_")).count(), verbs.len());
    }
}
