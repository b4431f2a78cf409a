//! Benchmarks of trueup: corpora with a known truth, the check against it, and floors to measure by.

#![expect(clippy::print_stdout, reason = "a developer's tool that prints its findings")]
#![expect(clippy::cast_possible_truncation, reason = "sizes here are far below 2^32")]
#![expect(clippy::cast_possible_wrap, reason = "sizes here are far below 2^32")]
#![expect(clippy::cast_precision_loss, reason = "rates for people to read")]

mod claude;
mod codex;
mod corpus;
mod desk;
mod filler;
mod fleet;
mod floor;
mod http_floor;
mod instant;
mod ledger;
mod openclaw;
mod otlp;
mod post;
mod read;
mod redact;
mod rng;
mod rows_floor;
mod telemetry_embedder;
mod telemetry_product;
mod telemetry_record;
mod truth;
mod verify;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use trueup_core::UnixMs;

use crate::corpus::Plan;
use crate::post::records::Shape;
use crate::truth::Truth;
use crate::verify::Scope;

#[derive(Debug, Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write a corpus: DIR/home as coding agents leave it, DIR/truth.json beside it.
    Corpus {
        #[arg(long, default_value_t = 42)]
        seed: u64,
        /// Bytes in all, such as 1MB, 100MB or 1GB.
        #[arg(long, value_parser = bytes)]
        size: u64,
        #[arg(long)]
        out: PathBuf,
        #[arg(long, value_delimiter = ',', default_value = "claude-code,codex,openclaw")]
        agents: Vec<String>,
        /// Put most OpenClaw sessions into its SQLite store.
        #[arg(long)]
        openclaw_sqlite: bool,
        /// Mean bytes of an OpenClaw session.
        #[arg(long, value_parser = bytes, default_value = "450KB")]
        openclaw_session: u64,
        /// Mean bytes of what a tool answers in OpenClaw.
        #[arg(long, value_parser = bytes, default_value = "4600")]
        openclaw_tool: u64,
    },
    /// Add records to existing files of a corpus, and to its truth.
    Append {
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How much to add, in percent of the corpus, such as 1 or 0.1.
        #[arg(long, default_value = "1", value_parser = per_mille)]
        percent: u64,
        #[arg(long)]
        dir: PathBuf,
    },
    /// Compare JSON reports of trueup with the truth; exit 1 if any number differs.
    Verify {
        #[arg(long)]
        truth: PathBuf,
        #[arg(long, required = true)]
        report: Vec<PathBuf>,
        /// The reports are of this agent only.
        #[arg(long)]
        agent: Option<String>,
        /// Pass over estimates, and compare what was measured.
        #[arg(long)]
        exact_only: bool,
    },
    /// Read all bytes below DIR and do nothing with them.
    Read {
        dir: PathBuf,
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// Insert bare rows of a call's shape durably: the floor for the ledger.
    LedgerFloor {
        /// The folder to create for the two files; it must not exist.
        #[arg(long)]
        folder: PathBuf,
        #[arg(long, default_value_t = 200_000)]
        rows: u64,
        /// Calls in one transaction.
        #[arg(long, default_value_t = 512)]
        batch: u64,
    },
    /// Fill a new ledger with calls of several agents, models and projects, to ask questions of.
    Ledger {
        /// The file to create; it must not exist.
        #[arg(long)]
        file: PathBuf,
        #[arg(long)]
        calls: u64,
        #[arg(long, default_value_t = 365)]
        days: u64,
        /// When they end, as RFC 3339.
        #[arg(long)]
        until: String,
        /// As a hub keeps it that these many devices tell; 0 for that of one machine
        #[arg(long, default_value_t = 0)]
        devices: u64,
    },
    /// Redact texts, one a line, beside a bare copy of the same bytes and a search for their line ends.
    Redact {
        /// Lines of text, of JSON with a field `text`, or a JSON list of such; perhaps `.zst`.
        files: Vec<PathBuf>,
        #[arg(long, default_value_t = 7)]
        rounds: u32,
    },
    /// Read exports of OpenTelemetry, and print how long their calls took.
    Otlp {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// When they are read: times after that are taken for wrong.
        #[arg(long, default_value = "2026-11-22T12:00:00Z")]
        now: String,
        #[arg(long, default_value_t = 7)]
        rounds: u32,
    },
    /// Serve HTTP and do nothing with it: the ceiling for `post`. Prints the address, and never ends.
    HttpFloor,
    /// Post calls to a server, and print how it answered, as JSON.
    Post(Post),
    /// Push batches of a fleet to a hub, made before the first is sent, and print how it answered, as JSON.
    Fleet {
        #[arg(long)]
        address: SocketAddr,
        /// A token on each line, perhaps behind the name of its device.
        #[arg(long)]
        tokens: PathBuf,
        #[arg(long, default_value_t = 400)]
        batches: usize,
        /// Calls in each.
        #[arg(long, default_value_t = 500)]
        records: usize,
        #[arg(long, default_value_t = 8)]
        connections: usize,
        /// Each batch at a moment of its own within so many seconds, by chance; as fast as they are
        /// answered where that is not given.
        #[arg(long)]
        within: Option<f64>,
    },
    /// Insert what `post` posts into one bare table, durably: the ceiling for what is kept of it.
    RowsFloor {
        /// The file to create; it must not exist.
        #[arg(long)]
        file: PathBuf,
        /// Calls in one transaction.
        #[arg(long, default_value_t = 512)]
        batch: u64,
        #[arg(long, default_value_t = TEXT_BYTES)]
        text_bytes: u64,
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
    },
    /// Record product telemetry beside a push of the same to a list, and print how long each took.
    TelemetryRecord {
        /// The folder to create for the state; it must not exist.
        #[arg(long)]
        folder: PathBuf,
        #[arg(long, default_value_t = 1_000_000)]
        records: u64,
        /// Sessions that are open at once.
        #[arg(long, default_value_t = 4)]
        sessions: u64,
    },
    /// Record through the face that embedders have, first off, then on with a thread, each record timed.
    TelemetryProduct {
        /// The folder to create for the state; it must not exist.
        #[arg(long)]
        folder: PathBuf,
        #[arg(long, default_value_t = 1_000_000)]
        records: u64,
        /// Sessions that are open at once.
        #[arg(long, default_value_t = 4)]
        sessions: u64,
    },
    /// Run a program with telemetry and without it, and print the memory and the size of both.
    TelemetryEmbedder {
        /// The folder to create for the state; it must not exist.
        #[arg(long)]
        folder: PathBuf,
        /// Where the examples `embedder` and `embedder-bare` of trueup-telemetry lie.
        #[arg(long, default_value = "target/release/examples")]
        examples: PathBuf,
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Simulate a fleet of installations, and print what it sends.
    TelemetryFleet {
        /// The folder to create for their state; it must not exist.
        #[arg(long)]
        folder: PathBuf,
        #[arg(long, default_value_t = 1_000)]
        installs: u64,
        #[arg(long, default_value_t = 30)]
        days: u32,
        /// With crash loops and storms of errors.
        #[arg(long)]
        bad: bool,
        #[arg(long, default_value_t = 42)]
        seed: u64,
    },
}

/// Bytes of prompt and completion that make a record of a kilobyte.
const TEXT_BYTES: u64 = 800;

#[derive(Debug, clap::Args)]
struct Post {
    /// Such as 127.0.0.1:9090.
    address: SocketAddr,
    #[arg(long, default_value = "/v1/traces")]
    path: String,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Requests at most.
    #[arg(long, default_value_t = u64::MAX)]
    requests: u64,
    /// Requests a second, whether or not those before are answered; otherwise as fast as they are.
    #[arg(long)]
    rate: Option<u64>,
    /// Calls in a request.
    #[arg(long, default_value_t = 1)]
    records: usize,
    /// Bytes of prompt and completion of a call, together.
    #[arg(long, default_value_t = TEXT_BYTES)]
    text_bytes: u64,
    /// GET the path instead.
    #[arg(long)]
    get: bool,
    /// Append the ids to this file whose answer said that they are durable.
    #[arg(long)]
    ids: Option<PathBuf>,
    /// Write the first body to this file, for other clients, and post nothing.
    #[arg(long)]
    body_to: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    match Cli::parse().verb {
        Verb::Corpus {
            seed,
            size,
            out,
            agents,
            openclaw_sqlite,
            openclaw_session: session_bytes,
            openclaw_tool: tool_bytes,
        } => {
            let openclaw = openclaw::Shape { session_bytes, tool_bytes };
            let plan = Plan { seed, bytes: size, agents, openclaw_sqlite, openclaw };
            timed(|| corpus::write(&plan, &out))?;
        }
        Verb::Append { seed, percent, dir } => timed(|| corpus::append(seed, percent, &dir))?,
        Verb::Verify { truth, report, agent, exact_only } => {
            let scope = Scope { agent: agent.as_deref(), is_exact_only: exact_only };
            return verify(&truth, &report, scope);
        }
        Verb::Read { dir, threads } => {
            let (files, bytes) = read::all(&dir, threads)?;
            println!("{files} files, {bytes} bytes");
        }
        Verb::LedgerFloor { folder, rows, batch } => floor::print(&folder, rows, batch)?,
        Verb::Ledger { file, calls, days, until, devices } => {
            let until = UnixMs::parse_rfc3339(&until).context("--until is not an RFC 3339 time")?;
            ledger::fill(&file, calls, days, until, devices)?;
        }
        Verb::Redact { files, rounds } => redact::print(&files, rounds)?,
        Verb::Otlp { files, now, rounds } => {
            let now = UnixMs::parse_rfc3339(&now).context("--now is not an RFC 3339 time")?;
            otlp::print(&files, now, rounds)?;
        }
        Verb::HttpFloor => http_floor::serve()?,
        Verb::Post(args) => args.run()?,
        Verb::Fleet { address, tokens, batches, records, connections, within } => {
            let tokens = fleet::tokens(&tokens)?;
            let within = within.map(Duration::try_from_secs_f64).transpose()?;
            let shape = fleet::Shape { batches, records, connections, within };
            post::print(&fleet::plan(address, &tokens, shape)?)?;
        }
        Verb::RowsFloor { file, batch, text_bytes, seconds } => {
            rows_floor::print(&file, batch, text_bytes, Duration::try_from_secs_f64(seconds)?)?;
        }
        Verb::TelemetryRecord { folder, records, sessions } => {
            telemetry_record::print(&folder, records, sessions)?;
        }
        Verb::TelemetryProduct { folder, records, sessions } => {
            telemetry_product::print(&folder, records, sessions)?;
        }
        Verb::TelemetryEmbedder { folder, examples, rounds } => {
            telemetry_embedder::print(&folder, &examples, rounds)?;
        }
        Verb::TelemetryFleet { folder, installs, days, bad, seed } => {
            telemetry_product::fleet(&folder, installs, days, bad, seed)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Post {
    fn run(self) -> Result<()> {
        let Self { address, path, records, text_bytes, .. } = self;
        let bodies = post::records::bodies(Shape { records, text_bytes });
        if let Some(file) = self.body_to {
            let body = bodies.first().map(String::as_str).unwrap_or_default();
            return std::fs::write(&file, body)
                .with_context(|| format!("write {}", file.display()));
        }
        let requests = if self.get {
            vec![format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes()]
        } else {
            post::records::posts(address, &path, &bodies)
        };
        post::print(&post::Plan {
            address,
            connections: self.connections,
            time: Duration::try_from_secs_f64(self.seconds)?,
            requests_max: self.requests,
            rate: self.rate,
            due: None,
            requests,
            ids: self.ids,
        })
    }
}

fn timed(write: impl FnOnce() -> Result<Truth>) -> Result<()> {
    let start = Instant::now();
    let truth = write()?;
    let seconds = start.elapsed().as_secs_f64();
    let (files, lines, bytes) = (truth.files, truth.lines, truth.bytes);
    println!("{files} files, {lines} lines, {bytes} bytes; written in {seconds:.2} s");
    for (name, source) in &truth.sources {
        let (exact, estimated) = (&source.exact.totals, &source.estimated.totals);
        println!(
            "{name}: {} calls, {} tokens, {} tokens estimated, {} traps",
            exact.calls,
            exact.total,
            estimated.total,
            source.traps.len()
        );
    }
    Ok(())
}

fn verify(truth: &Path, reports: &[PathBuf], scope: Scope<'_>) -> Result<ExitCode> {
    let truth = Truth::load(truth)?;
    let mut exit = ExitCode::SUCCESS;
    for path in reports {
        let report = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let found = verify::differences(&truth, scope, &report)
            .with_context(|| format!("verify {}", path.display()))?;
        if found.is_empty() {
            println!("{}: every number is right", path.display());
            continue;
        }
        exit = ExitCode::FAILURE;
        println!("{}: differs from the truth", path.display());
        for line in found {
            println!("  {line}");
        }
    }
    Ok(exit)
}

/// `100MB` as bytes, in powers of ten.
fn bytes(text: &str) -> Result<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim() {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => anyhow::bail!("unknown unit {unit}: write a number and B, KB, MB or GB"),
    };
    Ok(number.parse::<u64>().context("a size begins with a number")? * scale)
}

/// `0.1` percent as 1 per mille.
fn per_mille(text: &str) -> Result<u64> {
    let percent: f64 = text.parse().context("a percentage is a number")?;
    let rounded = (percent * 10.0).round();
    anyhow::ensure!((1.0..=1000.0).contains(&rounded), "a percentage lies in 0.1..=100");
    Ok(format!("{rounded}").parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_percentages_are_read_as_people_write_them() {
        for (text, expected) in
            [("7", 7), ("20KB", 20_000), ("100MB", 100_000_000), ("1GB", 1_000_000_000)]
        {
            assert_eq!(bytes(text).unwrap(), expected, "{text}");
        }
        assert!(bytes("MB").is_err() && bytes("1MiB").is_err());
        assert_eq!((per_mille("1").unwrap(), per_mille("0.1").unwrap()), (10, 1));
        assert!(per_mille("0").is_err());
    }
}
