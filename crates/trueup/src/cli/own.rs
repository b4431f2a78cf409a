//! What trueup records of its own runs: which verb, how it ended, how long it took. Never on what.
//!
//! Its manifest is `telemetry.toml`, `docs/telemetry-schema.md` lists every key, and unless somebody
//! decides otherwise it all stays on this machine. Nothing is recorded before there is a ledger, and
//! nothing of verbs that only look: those leave no trace.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use trueup_ledger::LedgerError;
use trueup_telemetry::manifest::Input;
use trueup_telemetry::product::{Options, Telemetry};

use super::{Global, WrongUsage, is_closed_pipe};
use crate::telemetry;

/// Verbs that are never recorded: they show what there is, or run at every prompt.
pub(super) const UNRECORDED: [&str; 7] =
    ["completions", "config", "demo", "man", "mcp", "statusline", "telemetry"];

/// Records a run. What cannot be recorded is not worth a word: the run itself was what mattered.
pub(super) fn record(verb: &str, result: &Result<ExitCode>, took: Duration, global: &Global) {
    if UNRECORDED.contains(&verb) {
        return;
    }
    let Ok(config) = global.settings(&[]) else { return };
    let Ok(manifest) = telemetry::manifest(None) else { return };
    if !is_own(&config.ledger()) {
        return;
    }
    let options = telemetry::options(manifest, &config);
    let telemetry = Telemetry::open(Options { is_driven: true, ..options });
    let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let mut properties = vec![
        ("verb", Input::Text(verb)),
        ("outcome", Input::Text(outcome(result))),
        ("duration_ms", Input::U64(took)),
    ];
    if let Some(class) = result.as_ref().err().and_then(class) {
        properties.push(("error_class", Input::Text(class)));
    }
    telemetry.record("verbs_rollup", None, &properties);
    telemetry.leave();
}

/// Whether there is a ledger, and whoever runs this is its owner: files that an administrator left
/// beside it would be in the owner's way.
fn is_own(ledger: &Path) -> bool {
    let user = rustix::process::geteuid().as_raw();
    fs::metadata(ledger).is_ok_and(|file| file.uid() == user)
}

fn outcome(result: &Result<ExitCode>) -> &'static str {
    match result {
        Ok(code) if *code == ExitCode::SUCCESS => "ok",
        Ok(_) => "finding",
        Err(error) if is_closed_pipe(error) => "ok",
        Err(error) if error.is::<WrongUsage>() => "usage",
        Err(_) => "failed",
    }
}

/// Why a run failed, as far as its error has a type.
fn class(error: &anyhow::Error) -> Option<&'static str> {
    if is_closed_pipe(error) || error.is::<WrongUsage>() {
        return None;
    }
    Some(if is::<LedgerError>(error) {
        "ledger"
    } else if is::<std::io::Error>(error) {
        "disk"
    } else if is::<ureq::Error>(error) {
        "network"
    } else {
        "other"
    })
}

/// Whether an error, or what it comes from, is of a type.
fn is<E: std::error::Error + 'static>(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<E>().is_some())
}
