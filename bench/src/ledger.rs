//! A ledger of any size, as a year of several agents fills it, to ask questions of.
//!
//! ```text
//! trueup-bench ledger --file NEW --calls 10000000
//! ```

use std::path::Path;

use anyhow::{Result, ensure};
use trueup_core::{Batch, Call, Fact, Origin, UnixMs};
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

/// Fills a new ledger with calls that end at `until` and began `days` before.
pub(crate) fn fill(file: &Path, calls: u64, days: u64, until: UnixMs) -> Result<()> {
    ensure!(!file.exists(), "{} exists already: name a new file", file.display());
    let mut ledger = Ledger::open(file, OpenOptions::default())?;
    let first = until.0 - days.cast_signed() * trueup_core::DAY_MS;
    let step = (until.0 - first).cast_unsigned() / calls.max(1);
    let (mut rng, mut written) = (Rng::new(42, 0), 0);
    while written < calls {
        let end = calls.min(written + BATCH);
        let at = |row: u64| UnixMs(first + (row * step).cast_signed());
        let facts = (written..end).map(|row| Fact::Call(Box::new(call(&mut rng, row, at(row)))));
        let batch = Batch { facts: facts.collect(), ..Batch::default() };
        ledger.append(&[&batch], at(written))?;
        written = end;
    }
    println!("{calls} calls of {days} days in {}", file.display());
    Ok(())
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
        fill(&file, 10_000, 30, until).unwrap();
        let database = rusqlite::Connection::open(&file).unwrap();
        let one = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
        assert_eq!(one("SELECT count(*) FROM llm_calls"), 10_000);
        assert_eq!(one("SELECT count(*) FROM sessions"), 100);
        assert!(one("SELECT max(created_at) FROM llm_calls") < until.0);
        assert_eq!(
            one("SELECT min(created_at) FROM llm_calls"),
            until.0 - 30 * trueup_core::DAY_MS
        );
        assert!(fill(&file, 1, 1, until).is_err());
    }
}
