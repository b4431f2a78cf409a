//! A ledger of any size, as a year of several agents fills it, to ask questions of.
//!
//! ```text
//! trueup-bench ledger --file NEW --calls 10000000
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use trueup_core::{
    Batch, Call, DAY_MS, Delivery, ErrorEvent, Fact, HostMetric, Key, Origin, Outcome, Pressure,
    Text, UnixMs, Version, Word,
};
use trueup_ledger::{Ledger, OpenOptions};

use crate::floor::posted;
use crate::rng::Rng;

/// Calls of one session.
const CALLS_PER_SESSION: u64 = 100;
/// Sessions that are under way side by side.
const SESSIONS_AT_ONCE: u64 = 4;
/// Calls in one transaction.
const BATCH: u64 = 8_192;
const AGENTS: u64 = 5;
const MODELS: [&str; 20] = [
    "claude-opus-4-8",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
    "gpt-5.5",
    "gpt-5.4",
    "gpt-5.3-codex",
    "gpt-5.2",
    "gpt-5.1",
    "gpt-5",
    "gpt-5-mini",
    "gpt-4.1",
    "gpt-4o",
    "o3",
    "o4-mini",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "deepseek-chat",
    "house-llama",
    "house-qwen",
    "house-mistral",
];
const PROJECTS: u64 = 40;
/// Of so many calls one fails, and is told as an error.
const CALLS_PER_FAILURE: u64 = 500;
/// How long back the machine was sampled, and how often.
const SAMPLED_DAYS: i64 = 35;
const SAMPLE_MS: i64 = 15_000;

/// Fills a new ledger with calls that end at `until` and began `days` before, their errors, and samples
/// of the machine of the last weeks.
/// With devices it is as a hub keeps it.
pub(crate) fn fill(file: &Path, calls: u64, days: u64, until: UnixMs, devices: u64) -> Result<()> {
    ensure!(!file.exists(), "{} exists already: name a new file", file.display());
    let mut ledger = Ledger::open(file, OpenOptions::default())?;
    let first = until.0 - days.cast_signed() * DAY_MS;
    let step = (until.0 - first).cast_unsigned() / calls.max(1);
    let (mut rng, mut written) = (Rng::new(42, 0), 0);
    while written < calls {
        let end = calls.min(written + BATCH);
        let at = |row: u64| UnixMs(first + (row * step).cast_signed());
        let facts = (written..end).flat_map(|row| {
            let mut call = call(&mut rng, row, at(row));
            let error = row.is_multiple_of(CALLS_PER_FAILURE).then(|| fail(&mut call, row));
            std::iter::once(Fact::Call(Box::new(call))).chain(error)
        });
        if devices > 0 {
            deliver(&mut ledger, facts.collect(), devices, at(written))?;
        } else {
            append(&mut ledger, facts.collect(), at(written))?;
        }
        written = end;
    }
    let sampled = SAMPLED_DAYS.min(days.cast_signed()) * DAY_MS / SAMPLE_MS;
    let samples = (0..sampled).map(|back| UnixMs(until.0 - (sampled - back) * SAMPLE_MS));
    let samples: Vec<Fact> = samples.map(|time| Fact::Host(Box::new(sample(time)))).collect();
    for part in samples.chunks(1_024) {
        if devices > 0 {
            deliver(&mut ledger, part.to_vec(), 1, until)?;
        } else {
            append(&mut ledger, part.to_vec(), until)?;
        }
    }
    println!("{calls} calls of {days} days in {}", file.display());
    Ok(())
}

fn append(ledger: &mut Ledger, facts: Vec<Fact>, now: UnixMs) -> Result<()> {
    ledger.append(&[&Batch { facts, ..Batch::default() }], now)?;
    Ok(())
}

/// Has devices tell of facts: each of the sessions whose number it gets.
fn deliver(ledger: &mut Ledger, facts: Vec<Fact>, devices: u64, now: UnixMs) -> Result<()> {
    let mut deliveries: BTreeMap<u64, Delivery> = BTreeMap::new();
    for mut fact in facts {
        let number = match &mut fact {
            Fact::Call(call) => {
                call.key = Key::of_id(call.id());
                call.rank = Version::new(now, 0).rank(&[]);
                call.origin.session.rsplit('-').next().and_then(|number| number.parse().ok())
            }
            Fact::Error(error) => {
                error.session.rsplit('-').next().and_then(|number| number.parse().ok())
            }
            Fact::Event(_)
            | Fact::Host(_)
            | Fact::SessionTotal(_)
            | Fact::Quota(_)
            | Fact::Metered(_) => None,
        };
        let device = number.unwrap_or(0) % devices;
        let delivery = deliveries.entry(device).or_insert_with(|| Delivery {
            device: format!("device-{device}").into(),
            ..Delivery::default()
        });
        delivery.words.push(Word::Is(fact));
    }
    let deliveries: Vec<Delivery> = deliveries.into_values().collect();
    ledger.deliver(&deliveries, now)?;
    Ok(())
}

/// Lets a call fail; the error that tells of it.
fn fail(call: &mut Call, row: u64) -> Fact {
    let number = row / CALLS_PER_FAILURE % 60;
    call.outcome = Outcome::Failed { error_type: format!("kind_{}", number % 4).into() };
    Fact::Error(Box::new(ErrorEvent {
        key: Key::fresh(call.time, u128::from(row)),
        time: call.time,
        trace_id: None,
        source: Text::clone(&call.origin.source),
        session: Text::clone(&call.origin.session),
        error_type: "llm_error".into(),
        message: format!("the upstream of pool {number} did not answer within {row} ms"),
        stack_trace: None,
        severity: "error".into(),
        metadata: None,
    }))
}

/// A machine at work: figures that go up and down.
fn sample(time: UnixMs) -> HostMetric {
    let wave = time.0 / SAMPLE_MS % 1_000;
    let (small, large) = (u32::try_from(wave).ok(), u64::try_from(wave << 20).ok());
    let pressure = Pressure { some_millipercent: small, full_millipercent: small };
    HostMetric {
        key: Key::fresh(time, 7),
        time,
        scope: "cgroup2".into(),
        cpu_millipercent: small,
        cpu_capacity_millicores: Some(2_000),
        mem_rss_bytes: large,
        mem_working_set_bytes: large,
        mem_limit_bytes: Some(1 << 30),
        cpu_pressure: pressure,
        mem_pressure: pressure,
        io_pressure: pressure,
        disk_used_bytes: large,
        disk_available_bytes: large,
        disk_total_bytes: Some(1 << 40),
        disk_read_bytes_per_second: large,
        disk_write_bytes_per_second: large,
        net_rx_bytes_per_second: large,
        net_tx_bytes_per_second: large,
        processes: large,
        threads: large,
        zombies: Some(0),
        oom_kills: Some(0),
        metadata: None,
    }
}

fn call(rng: &mut Rng, row: u64, time: UnixMs) -> Call {
    let lane = row % SESSIONS_AT_ONCE;
    let number = row / SESSIONS_AT_ONCE / CALLS_PER_SESSION * SESSIONS_AT_ONCE + lane;
    let model = usize::try_from(number + rng.below(2)).unwrap_or(0);
    let model = MODELS.iter().cycle().nth(model % MODELS.len()).copied().unwrap_or_default();
    let origin = Origin {
        source: format!("agent-{}", number % AGENTS).into(),
        provider: "gateway".into(),
        model: model.into(),
        project: format!("/home/dev/project-{}", number % PROJECTS).into(),
        session: format!("session-{number}").into(),
        kind: "main".into(),
    };
    posted(rng, time, origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_there_in_its_time_and_an_existing_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let until = UnixMs::parse_rfc3339("2026-11-20T00:00:00Z").unwrap();
        fill(&file, 10_000, 30, until, 0).unwrap();
        let database = rusqlite::Connection::open(&file).unwrap();
        let one = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
        assert_eq!(one("SELECT count(*) FROM llm_calls"), 10_000);
        assert_eq!(one("SELECT count(*) FROM sessions"), 100);
        assert_eq!(one("SELECT count(*) FROM error_events"), 20);
        assert_eq!(one("SELECT count(*) FROM llm_calls WHERE error_type IS NOT NULL"), 20);
        assert_eq!(one("SELECT count(*) FROM system_metrics"), 30 * 5_760);
        assert!(one("SELECT max(created_at) FROM llm_calls") < until.0);
        assert_eq!(one("SELECT min(created_at) FROM llm_calls"), until.0 - 30 * DAY_MS);
        assert!(fill(&file, 1, 1, until, 0).is_err());
    }

    #[test]
    fn devices_tell_of_their_sessions() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hub.db");
        let until = UnixMs::parse_rfc3339("2026-11-20T00:00:00Z").unwrap();
        fill(&file, 10_000, 2, until, 7).unwrap();
        let database = rusqlite::Connection::open(&file).unwrap();
        let one = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
        assert_eq!(one("SELECT count(*) FROM llm_calls"), 10_000);
        assert_eq!(one("SELECT count(*) FROM devices"), 7);
        assert_eq!(one("SELECT sum(calls) FROM usage_device WHERE width_minutes = 1440"), 10_000);
        let reader = trueup_ledger::Reader::open(&file).unwrap().unwrap();
        assert_eq!(reader.check().unwrap(), trueup_ledger::Check::default());
    }
}
