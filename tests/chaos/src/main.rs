//! `trueup-chaos`: runs seeds, and prints what each came to.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use trueup_chaos::{Plan, Programs, run};

/// Kill sidecars and a hub, and everything between them, and compare three independent sums
#[derive(Debug, Parser)]
struct Options {
    /// What decides what happens when; of several each is a world of its own
    #[arg(long, default_value = "7", num_args = 1..)]
    seed: Vec<u64>,
    /// So many seeds are run at once: most of the time they wait
    #[arg(long, default_value_t = 1)]
    at_once: usize,
    /// Processes that are killed, of each seed
    #[arg(long, default_value_t = 20)]
    kills: u64,
    /// Sidecars
    #[arg(long, default_value_t = 3)]
    devices: usize,
    /// The sidecar's program
    #[arg(long, default_value = "target/release/trueup")]
    trueup: PathBuf,
    /// The hub's command line, without its options [default: the sidecar's program, and `hub`]
    #[arg(long, num_args = 1..)]
    hub: Vec<String>,
    /// What the hub's `--store` takes [default: a folder that is removed]. Between a hub and servers of
    /// ClickHouse there are faults, too; databases are made and removed
    #[arg(long)]
    store: Option<String>,
    /// Have clocks go wrong, too: the sidecar's program is a debug build
    #[arg(long)]
    clocks: bool,
    /// Leave everything where it is, and say where
    #[arg(long)]
    keep: bool,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let trueup = options.trueup.canonicalize();
    let trueup = trueup.with_context(|| options.trueup.display().to_string())?;
    let mut is_exact = true;
    let start = Instant::now();
    for seeds in options.seed.chunks(options.at_once.max(1)) {
        std::thread::scope(|scope| -> Result<()> {
            let (options, trueup) = (&options, &trueup);
            let one = |seed: &u64| {
                let seed = *seed;
                scope.spawn(move || one(options, trueup, seed))
            };
            let running: Vec<_> = seeds.iter().map(one).collect();
            for one in running {
                let (told, is_well) =
                    one.join().map_err(|_| anyhow!("a seed's thread has ended"))??;
                stdout().write_all(told.as_bytes())?;
                is_exact &= is_well;
            }
            Ok(())
        })?;
    }
    let seeds = options.seed.len();
    writeln!(stdout(), "{seeds} seeds in {} s", start.elapsed().as_secs())?;
    Ok(if is_exact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one seed; what it came to, and whether it is exact.
fn one(options: &Options, trueup: &Path, seed: u64) -> Result<(String, bool)> {
    let folder = tempfile::Builder::new().prefix("trueup-chaos-").tempdir()?;
    let store = folder.path().join("store").display().to_string();
    let own_hub = || vec![trueup.display().to_string(), "hub".to_owned()];
    let plan = Plan {
        seed,
        kills: options.kills,
        devices: options.devices,
        programs: Programs {
            trueup: trueup.to_path_buf(),
            hub: if options.hub.is_empty() { own_hub() } else { options.hub.clone() },
            store: options.store.clone().unwrap_or(store),
            has_clock: options.clocks,
        },
        folder: folder.path().to_path_buf(),
    };
    let verdict = run(&plan);
    let mut told = String::new();
    if options.keep {
        let folder = folder.keep();
        writeln!(stdout(), "seed {seed} is left in {}", folder.display())?;
    }
    let verdict = verdict.with_context(|| format!("seed {seed}"))?;
    writeln!(told, "{verdict}")?;
    let is_complete = verdict.is_complete() || !plan.is_whole();
    if !is_complete {
        writeln!(told, "not every kind of fault was met")?;
    }
    Ok((told, verdict.is_exact() && is_complete))
}
