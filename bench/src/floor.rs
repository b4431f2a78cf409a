//! The ledger against bare SQLite: durable records a second, the same rows, in one run.
//!
//! The calls are as clients post them: in order of time, without ids of their own.
//!
//! Bare: one table with the ledger's columns of a call and its primary key, WAL, `synchronous=FULL`,
//! one commit per batch; no keys, no rollups, no index, no positions. The two take turns, so that a
//! noisy machine slows both.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, params};
use trueup_core::{
    Batch, Billing, Call, Fact, Key, Origin, Outcome, Owner, Rank, Tokens, UnixMs, Variant,
};
use trueup_ledger::{Ledger, OpenOptions};

use crate::instant::FIRST_MS;
use crate::rng::Rng;

const SCHEMA: &str = "
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
PRAGMA cache_size=-4000;
CREATE TABLE call(id BLOB PRIMARY KEY, created_at INTEGER NOT NULL, series INTEGER NOT NULL,
  session INTEGER NOT NULL, input INTEGER NOT NULL, cache_read INTEGER NOT NULL,
  cache_write_5m INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, cache_write INTEGER NOT NULL,
  output INTEGER NOT NULL, reasoning INTEGER NOT NULL, reported_cost_nanousd INTEGER,
  latency_ms INTEGER, time_to_first_token_ms INTEGER, error_type TEXT, client_trace_id TEXT,
  pushed_at INTEGER) STRICT, WITHOUT ROWID;
";
const INSERT: &str =
    "INSERT INTO call VALUES(?1,?2,?3,?4,?5,?6,?7,?8,0,?9,?10,NULL,?11,NULL,NULL,NULL,NULL)";

/// Calls of one session before the next begins.
const CALLS_PER_SESSION: u64 = 40;

/// Writes `rows` calls in batches both ways and prints the rates and their ratio.
pub(crate) fn print(folder: &Path, rows: u64, batch: u64) -> Result<()> {
    ensure!(!folder.exists(), "{} exists already: name a new folder", folder.display());
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let mut bare = Connection::open(folder.join("bare.db"))?;
    bare.execute_batch(SCHEMA)?;
    let mut ledger = Ledger::open(&folder.join("ledger.db"), OpenOptions::default())?;
    let (mut rng, mut times, mut written) = (Rng::new(42, 0), [Duration::ZERO; 2], 0);
    while written < rows {
        let end = rows.min(written + batch.max(1));
        let calls: Vec<Call> = (written..end).map(|row| call(&mut rng, row)).collect();
        times[0] += timed(|| insert(&mut bare, &calls))?;
        let facts = calls.into_iter().map(|call| Fact::Call(Box::new(call))).collect();
        let facts = Batch { facts, ..Batch::default() };
        times[1] += timed(|| Ok(ledger.append(&[&facts], UnixMs(FIRST_MS)).map(drop)?))?;
        written = end;
    }
    let [bare, ledger] = times.map(|time| rows as f64 / time.as_secs_f64());
    println!(
        "{rows} calls in batches of {batch}: bare {bare:.0}/s, ledger {ledger:.0}/s, ratio {:.2}",
        ledger / bare
    );
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

/// One call, as a client posts it: in order of time, of a few models and projects.
fn call(rng: &mut Rng, row: u64) -> Call {
    let time = UnixMs(FIRST_MS + row.cast_signed() * 80);
    let origin = Origin {
        source: "bench".into(),
        provider: "anthropic".into(),
        model: format!("model-{}", rng.below(4)).into(),
        project: format!("/home/dev/project-{}", row / CALLS_PER_SESSION % 6).into(),
        session: format!("session-{}", row / CALLS_PER_SESSION).into(),
        kind: "main".into(),
    };
    posted(rng, time, origin)
}

/// A call of some tokens.
pub(crate) fn posted(rng: &mut Rng, time: UnixMs, origin: Origin) -> Call {
    let tokens = Tokens {
        input: rng.below(9_000),
        cache_read: rng.below(130_000),
        cache_write_5m: rng.below(5_000),
        output: rng.below(900),
        ..Tokens::ZERO
    };
    Call {
        key: Key::fresh(time, u128::from(rng.below(u64::MAX))),
        variant: Variant(0),
        rank: Rank::new(0, &tokens, false, Owner::new(UnixMs(0), &origin.session)),
        time,
        origin,
        tokens,
        billing: Billing::default(),
        reported_cost: None,
        latency_ms: Some(1_200),
        twin: None,
        time_to_first_token_ms: None,
        outcome: Outcome::Ok,
        trace_id: None,
        body: None,
    }
}

/// One transaction.
fn insert(bare: &mut Connection, calls: &[Call]) -> Result<()> {
    let write = bare.transaction()?;
    {
        let mut insert = write.prepare_cached(INSERT)?;
        for call in calls {
            let tokens = &call.tokens;
            insert.execute(params![
                call.id().0,
                call.time.0,
                7,
                call.time.0 / 1_000_000,
                tokens.input.cast_signed(),
                tokens.cache_read.cast_signed(),
                tokens.cache_write_5m.cast_signed(),
                tokens.cache_write_1h.cast_signed(),
                tokens.output.cast_signed(),
                tokens.reasoning.cast_signed(),
                call.latency_ms,
            ])?;
        }
    }
    write.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    #[test]
    fn both_hold_every_call_and_an_existing_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("floor");
        super::print(&folder, 1_000, 300).unwrap();
        for (file, table) in [("bare.db", "call"), ("ledger.db", "llm_calls")] {
            let database = Connection::open(folder.join(file)).unwrap();
            let rows: i64 = database
                .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
                .unwrap();
            assert_eq!(rows, 1_000, "{file}");
        }
        assert!(super::print(&folder, 1, 1).is_err());
    }
}
