//! What telemetry costs an embedder, through its one face, and what a fleet of embedders sends.
//!
//! Each record is timed by itself; reading the clock twice is part of the figure while telemetry is on.
//! While it is off a record is cheaper than a look at the clock, so that a hundred are timed at once.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use trueup_telemetry::consent::Mode;
use trueup_telemetry::manifest::{Input, Manifest};
use trueup_telemetry::product::{Environment, Options, Outcome, Telemetry};
use trueup_telemetry::simulate::{RESTARTS, Scenario, simulate};

use crate::rng::Rng;

const MANIFEST: &str = r#"
product = "bench"
env_prefix = "BENCH"
default = "local"
id = "install"

[fields]
tokens_input = { u64 = true }
tokens_output = { u64 = true }
cost_usd = { usd = true }
duration_ms = { u64 = true }
compression_ms = { u64 = true }
outcome = { enum = ["ok", "error", "aborted"] }
model = { token_max = 64, charset = "model" }

[[rollup]]
event = "observer_turn_rollup"
grain = "session"
sum = ["tokens_input", "tokens_output", "cost_usd"]
hist = ["duration_ms", "compression_ms"]
enum = ["outcome"]
top = ["model"]
max_age = "1h"
max_records = 1000

[[lifecycle]]
event = "worker_started"
max_per_day = 1

[errors]
rollup = "observer_turn_rollup"
"#;
const EVENT: &str = "observer_turn_rollup";
const MODELS: [&str; 4] = ["claude-opus-4-5", "claude-haiku-4-5", "gpt-5.2", "gemini-3-pro"];
/// Records before those that are timed.
const WARM_UP: u64 = 10_000;
/// How long the thread has to begin.
const SETTLES: Duration = Duration::from_millis(500);
/// Records that are timed together while telemetry is off.
const TOGETHER: u64 = 100;

fn manifest() -> Result<Arc<Manifest>> {
    let manifest = Manifest::parse(MANIFEST, "telemetry.toml");
    Ok(Arc::new(manifest.map_err(|error| anyhow!("{error}"))?))
}

fn open(folder: &Path, mode: Mode) -> Result<Telemetry> {
    let environment =
        Environment { telemetry: Some(mode.word().to_owned()), ..Environment::default() };
    let telemetry = Telemetry::open(Options::new(manifest()?, folder, environment));
    let status = telemetry.status();
    ensure!(status.mode == mode, "the mode is {}", status.mode);
    Ok(telemetry)
}

/// Times records while telemetry is off, and while it is on.
pub(crate) fn print(folder: &Path, records: u64, sessions: u64) -> Result<()> {
    ensure!(!folder.exists(), "{} exists already: name a new folder", folder.display());
    ensure!(sessions > 0, "at least one session");
    let keys: Vec<String> = (0..sessions).map(|key| format!("session-{key}")).collect();
    let off = open(folder, Mode::Off)?;
    let mut times = Vec::new();
    let mut rng = Rng::new(42, 0);
    for _ in 0..records / TOGETHER {
        let properties = properties(&mut rng);
        let began = Instant::now();
        for _ in 0..TOGETHER {
            std::hint::black_box(off.record(EVENT, Some("session"), &properties));
        }
        times.push(began.elapsed() / u32::try_from(TOGETHER)?);
    }
    tell("off", &mut times);
    ensure!(!folder.exists(), "off, something was written");
    drop(off);
    let local = open(folder, Mode::Local)?;
    // The thread makes the files of a first run.
    local.record(EVENT, Some("session-0"), &properties(&mut rng));
    std::thread::park_timeout(SETTLES);
    let mut times = Vec::new();
    for number in 0..WARM_UP + records {
        let properties = properties(&mut rng);
        let key = keys.get(usize::try_from(number % sessions)?).map(String::as_str);
        let began = Instant::now();
        let recorded = local.record(EVENT, key, &properties);
        if number >= WARM_UP {
            times.push(began.elapsed());
        }
        let is_full = recorded.outcome == Outcome::Full;
        ensure!(is_full || recorded.outcome == Outcome::Taken, "{recorded:?}");
    }
    tell("on", &mut times);
    println!("dropped while the thread held the sums: {}", local.status().refused);
    let began = Instant::now();
    local.shut_down(Duration::from_millis(500));
    println!("shutdown: {} µs", began.elapsed().as_micros());
    Ok(())
}

fn tell(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |per_mille: usize| times.get((times.len() * per_mille / 1_000).min(times.len() - 1));
    let ns = |time: Option<&Duration>| time.map_or(0, Duration::as_nanos);
    let [p50, p99, p999] = [500, 990, 999].map(|per_mille| ns(at(per_mille)));
    println!("{name}: p50 {p50} ns, p99 {p99} ns, p99.9 {p999} ns, max {} ns", ns(times.last()));
}

fn properties(rng: &mut Rng) -> [(&'static str, Input<'static>); 7] {
    let model = MODELS.into_iter().nth(rng.below(4) as usize).unwrap_or_default();
    [
        ("tokens_input", Input::U64(rng.below(200_000))),
        ("tokens_output", Input::U64(rng.below(9_000))),
        ("cost_usd", Input::F64(rng.below(40_000) as f64 / 1_000_000.0)),
        ("duration_ms", Input::U64(rng.below(90_000))),
        ("compression_ms", Input::U64(rng.below(3_000))),
        ("outcome", Input::Text("ok")),
        ("model", Input::Text(model)),
    ]
}

/// Lets a fleet live through its days.
pub(crate) fn fleet(
    folder: &Path,
    installs: u64,
    days: u32,
    is_bad: bool,
    seed: u64,
) -> Result<()> {
    ensure!(!folder.exists(), "{} exists already: name a new folder", folder.display());
    let began = Instant::now();
    let scenario = Scenario { installs, days, is_bad, restarts: RESTARTS, seed };
    let figures = simulate(&*manifest()?, scenario, folder)?;
    println!(
        "{installs} installations, {days} days: {} records, of which {} were told in {} events",
        figures.records, figures.told, figures.events
    );
    println!(
        "of an installation and day: {:.3} events, p50 {}, p99 {}, most {}; {} bytes",
        figures.mean(),
        figures.p50(),
        figures.p99(),
        figures.most(),
        figures.bytes / (installs * u64::from(days)).max(1)
    );
    println!("it took {} s", began.elapsed().as_secs());
    Ok(())
}
