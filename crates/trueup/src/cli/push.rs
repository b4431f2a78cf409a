//! `trueup push`.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;
use trueup_core::UnixMs;
use trueup_ledger::{Ledger, LedgerError, OpenOptions, PushAttempt, Reader, Writer};

use super::WrongUsage;
use super::load::CLOSE_PATIENCE;
use crate::config::Config;
use crate::push::{Cycle, DESTINATION, End, Pusher, Settings, Tries};
use crate::render::number;
use crate::secret::Secret;
use crate::{clock, daemon};

/// How long a running `serve` may take over a cycle before this no longer waits.
const ASK_TIME_MAX: Duration = Duration::from_mins(1);
/// Attempts that are shown.
const ATTEMPTS_SHOWN: u32 = 5;
/// Refused records that are shown.
const REFUSED_SHOWN: u32 = 10;

/// Send what is new to the destination of `push_endpoint`, or show what was sent
#[derive(Debug, Args)]
pub(super) struct Push {
    /// Send now, until nothing is left
    ///
    /// Where `trueup serve` holds the ledger, it is asked to do it, at the address of `bind` and
    /// `port`.
    #[arg(long)]
    now: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what waits, what was sent last, and what was refused
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Push {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        match (self.now, self.verb) {
            (false, Some(Verb::Status { json })) => status(config, json),
            (true, None) => now(config),
            (true, Some(_)) | (false, None) => {
                let message = "say `trueup push --now` or `trueup push status`".to_owned();
                Err(WrongUsage(message).into())
            }
        }
    }
}

fn now(config: &Config) -> Result<ExitCode> {
    let Some(settings) = Settings::of(config)? else {
        bail!("push is off: set push_endpoint (TRUEUP_PUSH_ENDPOINT); docs/push.md says how");
    };
    let path = config.ledger();
    match Ledger::open(&path, OpenOptions::default()) {
        Ok(ledger) => send(ledger, &settings),
        Err(LedgerError::Locked { owner, .. }) => ask(config, &owner),
        Err(error) => Err(error.into()),
    }
}

/// Sends from here: nobody else holds the ledger.
fn send(mut ledger: Ledger, settings: &Settings) -> Result<ExitCode> {
    ledger.activate(DESTINATION, &settings.shown_endpoint())?;
    let path = ledger.path().to_path_buf();
    let writer = Arc::new(Writer::spawn(ledger, trueup_ledger::Limits::default(), clock::now)?);
    let reader = Reader::open(&path)?.context("the ledger has vanished")?;
    let mut pusher = Pusher::new(Arc::clone(&writer), reader, settings)?;
    let cycle = pusher.cycle(Tries::Many, &pause);
    let waiting = pusher.reader().waiting(DESTINATION)?;
    drop(pusher);
    drop(writer.close(CLOSE_PATIENCE));
    let Cycle { end, pushed, quarantined, .. } = cycle;
    let mut out = io::stdout();
    writeln!(out, "{} records sent, {} left.", number::grouped(pushed), number::grouped(waiting))?;
    if quarantined > 0 {
        let refused = number::grouped(quarantined);
        writeln!(out, "{refused} were refused for good: see `trueup push status`.")?;
    }
    match end {
        End::Drained => Ok(ExitCode::SUCCESS),
        End::Waiting(until) => bail!("the receiver asked to wait until {until}"),
        End::Failed(error) | End::Paused(error) => bail!(error),
        End::Stopped => bail!("stopped"),
    }
}

/// Waits; an interrupt ends the process here or anywhere.
pub(super) fn pause(wait: Duration) -> bool {
    let until = Instant::now() + wait;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        if left.is_zero() {
            break;
        }
        std::thread::park_timeout(left);
    }
    true
}

/// What `POST /v1/push` answers.
#[derive(Debug, Deserialize)]
struct Answer {
    error: Option<String>,
    waiting: Option<u64>,
    is_done: Option<bool>,
}

/// Has the `serve` that holds the ledger send.
fn ask(config: &Config, owner: &str) -> Result<ExitCode> {
    let address = serve_address(config)?;
    let help = || {
        format!(
            "process {owner} holds the ledger and does not answer at {address}: give the bind, \
             port and token that it was started with, or wait for its next cycle"
        )
    };
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(ASK_TIME_MAX))
        .proxy(None)
        .build();
    let agent = ureq::Agent::new_with_config(agent);
    let mut request = agent.post(format!("http://{address}/v1/push"));
    if let Some(token) = Secret::of(config, "token", "token_file")? {
        request = request.header("authorization", format!("Bearer {}", token.reveal()));
    }
    let mut reply = request.send_empty().with_context(help)?;
    let text = reply.body_mut().read_to_string().with_context(help)?;
    let answer: Answer = serde_json::from_str(&text).with_context(help)?;
    match answer {
        Answer { error: Some(error), .. } => bail!(error),
        Answer { is_done: Some(true), waiting, .. } => {
            let waiting = number::grouped(waiting.unwrap_or(0));
            writeln!(io::stdout(), "Sent by process {owner}, {waiting} left.")?;
            Ok(ExitCode::SUCCESS)
        }
        Answer { .. } => {
            writeln!(io::stdout(), "Process {owner} is still sending: see `trueup push status`.")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Where a `serve` with these settings listens, as seen from this machine.
fn serve_address(config: &Config) -> Result<SocketAddr> {
    let mut address = daemon::Settings::address_of(config)?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

/// Shows how it stands, out of the ledger: also beside a running `serve`.
fn status(config: &Config, is_json: bool) -> Result<ExitCode> {
    let path = config.ledger();
    let reader =
        Reader::open(&path)?.with_context(|| format!("{} does not exist", path.display()))?;
    let mut out = io::stdout().lock();
    let Some(destination) = reader.destination(DESTINATION)? else {
        if is_json {
            writeln!(out, "{:#}", json!({ "is_active": false }))?;
        } else {
            writeln!(out, "Nothing was ever sent: {}.", why_nothing(config))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let waiting = if destination.is_active { reader.waiting(DESTINATION)? } else { 0 };
    let frozen = reader.frozen(DESTINATION)?;
    let attempts = reader.push_attempts(DESTINATION, ATTEMPTS_SHOWN)?;
    let refused = reader.quarantined_count(DESTINATION)?;
    let refusals = reader.quarantined(DESTINATION, REFUSED_SHOWN)?;
    if is_json {
        let time = |time: UnixMs| time.to_string();
        let status = json!({
            "is_active": destination.is_active,
            "endpoint": destination.endpoint,
            "waiting": waiting,
            "not_before": destination.next_at.map(time),
            "batch": frozen.as_ref().map(|batch| json!({
                "id": batch.id,
                "created_at": time(batch.created_at),
                "events": batch.events,
                "bytes": batch.bytes,
                "encoding": batch.encoding,
                "attempts": batch.attempts,
            })),
            "attempts": attempts.iter().map(|one| json!({
                "at": time(one.at),
                "batch": one.batch,
                "status": one.status,
                "http_status": one.http_status,
                "events": one.events,
                "error": one.error,
                "duration_ms": one.duration_ms,
            })).collect::<Vec<_>>(),
            "quarantined": refused,
            "last_quarantined": refusals.iter().map(|one| json!({
                "id": one.id.to_string(),
                "type": one.kind,
                "at": time(one.at),
                "reason": one.reason,
            })).collect::<Vec<_>>(),
        });
        writeln!(out, "{status:#}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let state = if destination.is_active { "" } else { " (off)" };
    writeln!(out, "Destination  {}{state}", destination.endpoint)?;
    writeln!(out, "Waiting      {} records", number::grouped(waiting))?;
    if let Some(until) = destination.next_at.filter(|until| *until > clock::now()) {
        writeln!(out, "Not before   {until}, as the destination asked")?;
    }
    if let Some(batch) = frozen {
        writeln!(
            out,
            "On its way   {} records, batch {}, sent {} times",
            number::grouped(batch.events),
            batch.id,
            batch.attempts
        )?;
    }
    if refused > 0 {
        writeln!(out, "Refused      {} records for good", number::grouped(refused))?;
    }
    for one in &refusals {
        writeln!(out, "  {} {} {}: {}", one.at, one.kind, one.id, one.reason)?;
    }
    if !attempts.is_empty() {
        writeln!(out, "Last attempts")?;
    }
    for one in &attempts {
        writeln!(out, "  {}", attempt(one))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn why_nothing(config: &Config) -> &'static str {
    match config.text("push_endpoint") {
        Some(_) => "start `trueup serve`, or say `trueup push --now`",
        None => "push_endpoint is not set",
    }
}

fn attempt(one: &PushAttempt) -> String {
    let PushAttempt { at, status, events, error, duration_ms, .. } = one;
    let error = error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
    format!("{at} {status}, {} records in {duration_ms} ms{error}", number::grouped(*events))
}
