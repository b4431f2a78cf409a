//! `trueup telemetry pipe`.
//!
//! For a product in any language that can start a program: it writes one JSON object a line
//! ([`entries`](crate::telemetry::entries)), and reads one line of JSON when it is done.
//!
//! ```text
//! {"event":"observer_turn","key":"s1","props":{"tokens_input":120}}
//! {"end":"s1"}
//! {"accepted":2,"dropped":[],"refused":[],"refused_count":0}
//! ```

use std::io::{self, BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::Value as Json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;
use trueup_telemetry::manifest::{FieldType, Manifest};
use trueup_telemetry::product::{Options, Telemetry};

use super::redact::read_line;
use crate::config::Config;
use crate::telemetry::entries::{Entry, Tally, Wrong, entry};
use crate::telemetry::products::SHUTDOWN_MAX;
use crate::telemetry::{self, with_base};

#[derive(Debug, Args)]
pub(super) struct Pipe {
    /// The manifest of the product
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// A field that every event carries; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    base: Vec<String>,
}

/// The longest line.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// What is read at once.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long after a signal what was written before it is still read.
const READ_OUT_MAX: Duration = Duration::from_millis(100);

impl Pipe {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let mut options = telemetry::options(telemetry::manifest(Some(&self.manifest))?, config);
        options.base = base(&self.base, &options)?;
        let tally = Arc::new(Mutex::new(Tally::of(&options.manifest)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let telemetry = Telemetry::open(options);
        let read = runtime.block_on(read_all(telemetry.clone(), Arc::clone(&tally)));
        // Whoever still reads counts what nobody is told.
        let tally = std::mem::take(&mut *held(&tally));
        telemetry.shut_down(SHUTDOWN_MAX);
        writeln!(io::stdout(), "{}", tally.json())?;
        let nothing = tally.accepted == 0;
        read.or_else(|error| if nothing { Err(error) } else { Ok(()) })?;
        Ok(if tally.is_all_refused() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Reads on a thread of its own, until the input ends or somebody ends it.
async fn read_all(telemetry: Telemetry, tally: Arc<Mutex<Tally>>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (told, mut is_done) = oneshot::channel();
    let read = move || {
        let input = BufReader::with_capacity(BUFFER_BYTES, io::stdin().lock());
        let _is_awaited = told.send(lines(input, &telemetry, &tally)).is_ok();
    };
    thread::Builder::new().name("stdin".to_owned()).spawn(read)?;
    let read = tokio::select! {
        read = &mut is_done => Some(read),
        _ = terminate.recv() => timeout(READ_OUT_MAX, is_done).await.ok(),
        _ = interrupt.recv() => timeout(READ_OUT_MAX, is_done).await.ok(),
    };
    // An error of the channel is a reader that panicked, which has said so.
    read.and_then(Result::ok).unwrap_or(Ok(()))
}

fn held(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lines(mut input: impl BufRead, telemetry: &Telemetry, tally: &Mutex<Tally>) -> Result<()> {
    let mut line = Vec::new();
    for number in 1_usize.. {
        let Some(end) = read_line(&mut input, &mut line, LINE_BYTES_MAX)? else { break };
        if line.trim_ascii().is_empty() {
            continue;
        }
        let read = if end.is_cut {
            Err(Wrong::new(format!("longer than {LINE_BYTES_MAX} bytes")))
        } else {
            entry(&line)
        };
        match read {
            Ok(entry) => {
                if matches!(entry, Entry::Flush) {
                    let _flushed = telemetry.flush();
                }
                held(tally).take(telemetry, &entry);
            }
            Err(wrong) => held(tally).refuse(number, wrong),
        }
    }
    Ok(())
}

/// The fields that every event carries. One that the manifest would drop is an error: nobody would
/// look for it.
fn base(given: &[String], options: &Options) -> Result<Vec<(String, Json)>> {
    let given = given.iter().map(|pair| {
        let (name, text) =
            pair.split_once('=').with_context(|| format!("--base {pair}: no `=`"))?;
        Ok((name.to_owned(), value(name, text, &options.manifest)))
    });
    let given = given.collect::<Result<Vec<_>>>()?;
    let (base, drops) = with_base(&options.base, &options.manifest, given);
    match drops.iter().next() {
        Some((name, reason, _)) => bail!("--base {name}: {}", reason.name()),
        None => Ok(base),
    }
}

/// A value of a command line, as its field takes it.
fn value(name: &str, text: &str, manifest: &Manifest) -> Json {
    let holds = manifest.find(name).and_then(|id| manifest.field(id)).map(|field| &field.holds);
    let is_text = match holds {
        Some(FieldType::Semver | FieldType::Day | FieldType::Enum(_) | FieldType::Token { .. }) => {
            true
        }
        Some(
            FieldType::Bool
            | FieldType::U64
            | FieldType::I64
            | FieldType::F64
            | FieldType::Usd
            | FieldType::Time(_),
        )
        | None => false,
    };
    let typed = if is_text { None } else { serde_json::from_str(text).ok() };
    typed.unwrap_or_else(|| Json::from(text))
}
