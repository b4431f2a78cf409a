//! What a record of product telemetry costs whoever makes it, beside a push of the same values to a
//! `Vec`.
//!
//! Each record and each push is timed by itself, in turns, so that a noisy machine slows both; reading
//! the clock twice is part of both figures. The recorder works as in a program: sums in memory, its own
//! log on disk, time that goes on.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use trueup_core::UnixMs;
use trueup_telemetry::budget::Caps;
use trueup_telemetry::rollup::{
    EnumSpec, FieldId, NumberSpec, Plan, RollupSpec, SessionId, Unit, Value, ValuesSpec,
};
use trueup_telemetry::state::{Durability, Recorder, Settings, Store};

use crate::instant::FIRST_MS;
use crate::rng::Rng;

const EVENT: &str = "observer_turn_rollup";
const FIELDS: [&str; 7] = [
    "tokens_input",
    "tokens_output",
    "cost_usd",
    "duration_ms",
    "compression_ms",
    "outcome",
    "model",
];
const OUTCOMES: [&str; 3] = ["ok", "error", "aborted"];
const MODELS: [&str; 4] = ["claude-opus-4-5", "claude-haiku-4-5", "gpt-5.2", "gemini-3-pro"];
/// Records before those that are timed.
const WARM_UP: u64 = 10_000;

/// Makes `records` records of `sessions` sessions at once, and prints how long each took.
pub(crate) fn print(folder: &Path, records: u64, sessions: u64) -> Result<()> {
    ensure!(!folder.exists(), "{} exists already: name a new folder", folder.display());
    ensure!(sessions > 0, "at least one session");
    let plan = Arc::new(plan()?);
    let rollup = plan.rollup(EVENT).context("the plan has its event")?;
    let fields: Vec<FieldId> = FIELDS.iter().filter_map(|name| plan.field(rollup, name)).collect();
    let start_bytes = resident_bytes();
    let now = || UnixMs(FIRST_MS);
    let durability = Durability::default();
    let mut recorder = Recorder::open(folder, Arc::clone(&plan), durability, [7; 48], now())?;
    let keys: Vec<SessionId> =
        (0..sessions).map(|key| recorder.session(&format!("session-{key}"))).collect();
    let start = Instant::now();
    let mut rng = Rng::new(42, 0);
    let mut take = |number| -> Result<_> {
        let key = keys.get(usize::try_from(number % sessions)?).copied();
        let now = UnixMs(FIRST_MS + i64::try_from(start.elapsed().as_millis())?);
        Ok((key, values(&mut rng, &fields), now))
    };
    for number in 0..WARM_UP {
        let (key, values, now) = take(number)?;
        recorder.record(rollup, key, &values, now);
    }
    println!("memory: {} bytes more than before", resident_bytes().saturating_sub(start_bytes));
    // Grown and touched before, so that what is measured is a push and not the growth.
    let length = usize::try_from(records)?;
    let mut pushed = vec![(None, Vec::new()); length];
    let mut times = [vec![Duration::ZERO; length], vec![Duration::ZERO; length]];
    pushed.clear();
    times.iter_mut().for_each(Vec::clear);
    for number in 0..records {
        let (key, values, now) = take(number)?;
        let began = Instant::now();
        let ack = recorder.record(rollup, key, &values, now);
        times[0].push(began.elapsed());
        ensure!(ack.number.is_some() && ack.refused == 0, "a record was refused");
        let began = Instant::now();
        pushed.push((key, values));
        times[1].push(began.elapsed());
    }
    for (name, times) in ["record", "push"].iter().zip(&mut times) {
        times.sort_unstable();
        let at =
            |per_mille: usize| times.get((times.len() * per_mille / 1_000).min(times.len() - 1));
        let ns = |time: Option<&Duration>| time.map_or(0, Duration::as_nanos);
        println!(
            "{name}: p50 {} ns, p99 {} ns, p99.9 {} ns, max {} ns",
            ns(at(500)),
            ns(at(990)),
            ns(at(999)),
            ns(times.last())
        );
    }
    finish(recorder, plan, folder, records + WARM_UP)
}

/// Seals it all, to see that nothing was lost.
fn finish(recorder: Recorder, plan: Arc<Plan>, folder: &Path, records: u64) -> Result<()> {
    let health = recorder.health();
    ensure!(health.write_errors == 0, "a write failed: {:?}", health.last_error);
    let settings = Settings {
        caps: Caps { events_per_day: 0, ..Caps::default() },
        install: "bench".to_owned(),
        namespace: uuid::Uuid::nil(),
    };
    let mut store = Store::new(folder, plan, settings, [7; 16]);
    let now = UnixMs(FIRST_MS);
    let start = Instant::now();
    store.shut_down(recorder, now, &mut |_| Vec::new())?;
    println!("shutdown: {} µs", start.elapsed().as_micros());
    let kept: u64 = store.look(now)?.days.iter().map(|(_, _, count)| count).sum();
    ensure!(kept == records, "{kept} records of {records} were kept");
    Ok(())
}

fn plan() -> Result<Plan> {
    let mut turns = RollupSpec::session(EVENT);
    turns.numbers = vec![
        NumberSpec::sum("tokens_input", Unit::Integer),
        NumberSpec::sum("tokens_output", Unit::Integer),
        NumberSpec::sum("cost_usd", Unit::NanoUsd),
        NumberSpec::histogram("duration_ms"),
        NumberSpec::histogram("compression_ms"),
    ];
    turns.enums = vec![EnumSpec::plural("outcome", &OUTCOMES)];
    turns.values = vec![ValuesSpec::top("model")];
    Ok(Plan::new(vec![turns])?)
}

fn pick<const N: usize>(rng: &mut Rng, names: [&'static str; N]) -> &'static str {
    names.into_iter().nth(rng.below(N as u64) as usize).unwrap_or_default()
}

fn values(rng: &mut Rng, fields: &[FieldId]) -> Vec<(FieldId, Value<'static>)> {
    let mut number = |max: u64| Value::Number(rng.below(max).cast_signed());
    let values = [
        number(200_000),
        number(9_000),
        number(40_000_000),
        number(90_000),
        number(3_000),
        Value::Text(pick(rng, OUTCOMES)),
        Value::Text(pick(rng, MODELS)),
    ];
    fields.iter().copied().zip(values).collect()
}

/// What this process holds.
fn resident_bytes() -> u64 {
    let statm = std::fs::read("/proc/self/statm").unwrap_or_default();
    let text = String::from_utf8_lossy(&statm).into_owned();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}
