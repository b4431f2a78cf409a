//! Durable inserts without a ledger around them: what SQLite alone costs.
//!
//! One STRICT table with the columns of a call, WAL, `synchronous=FULL`, one commit per batch; no
//! rollups, no positions, no outbox. The ledger's own rate is compared with this one.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, params};

use crate::instant::FIRST_MS;
use crate::rng::Rng;

const SCHEMA: &str = "
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
CREATE TABLE call(id BLOB PRIMARY KEY, at_ms INTEGER NOT NULL, agent INTEGER NOT NULL, model INTEGER NOT NULL,
  project INTEGER NOT NULL, session INTEGER NOT NULL, requests INTEGER NOT NULL, input INTEGER NOT NULL,
  cache_read INTEGER NOT NULL, cache_write_5m INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL,
  cache_write INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL, cost_nanousd INTEGER,
  status INTEGER NOT NULL, pushed_at INTEGER) STRICT, WITHOUT ROWID;
";
const INSERT: &str = "INSERT INTO call VALUES(?1,?2,1,?3,?4,?5,1,?6,?7,?8,0,0,?9,?10,?11,0,NULL)";

/// Inserts `rows` and prints how many of them became durable per second.
pub(crate) fn print(file: &Path, rows: u64, batch: u64) -> Result<()> {
    ensure!(!file.exists(), "{} exists already: name a new file", file.display());
    let mut connection =
        Connection::open(file).with_context(|| format!("create {}", file.display()))?;
    connection.execute_batch(SCHEMA)?;
    let (mut rng, mut written, start) = (Rng::new(42, 0), 0, Instant::now());
    while written < rows {
        let end = rows.min(written + batch.max(1));
        insert(&mut connection, &mut rng, written, end)?;
        written = end;
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = rows as f64 / seconds;
    println!("{rows} rows in batches of {batch}: {seconds:.3} s, {rate:.0} durable rows/s");
    Ok(())
}

/// One transaction of rows `from..to`, their ids ordered by time as the ledger's are.
fn insert(connection: &mut Connection, rng: &mut Rng, from: u64, to: u64) -> Result<()> {
    let write = connection.transaction()?;
    {
        let mut insert = write.prepare(INSERT)?;
        for row in from..to {
            let at_ms = FIRST_MS + row.cast_signed() * 80;
            let id = (u128::from(at_ms.unsigned_abs()) << 80)
                | (u128::from(rng.below(u64::MAX)) << 16)
                | u128::from(row & 0xFFFF);
            insert.execute(params![
                id.to_be_bytes(),
                at_ms,
                rng.below(6) as i64,
                rng.below(8) as i64,
                rng.below(1_400) as i64,
                rng.below(9_000) as i64,
                rng.below(130_000) as i64,
                rng.below(5_000) as i64,
                rng.below(900) as i64,
                rng.below(300) as i64,
                rng.below(90_000_000) as i64,
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
    fn all_rows_are_there_and_an_existing_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("floor.db");
        super::print(&file, 1_000, 300).unwrap();
        let count = "SELECT count(*) FROM call";
        let rows: i64 =
            Connection::open(&file).unwrap().query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1_000);
        assert!(super::print(&file, 1, 1).is_err());
    }
}
