//! Bare SQLite with what is posted: the ceiling of what a ledger can keep of it.
//!
//! One table with a column for each field, texts included, and the record's id, in order of time, which
//! is unique; no other index, no sums. WAL, `synchronous=FULL`, one commit for each batch, one statement
//! that is prepared once.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rusqlite::{Connection, params};

use crate::instant::FIRST_MS;
use crate::post::records::records;

const SCHEMA: &str = "
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
PRAGMA cache_size=-4000;
CREATE TABLE trace(id BLOB NOT NULL PRIMARY KEY, trace_id TEXT NOT NULL, created_at INTEGER NOT NULL,
  provider TEXT NOT NULL, model TEXT NOT NULL, session TEXT, project TEXT, prompt_tokens INTEGER,
  cache_read_tokens INTEGER, completion_tokens INTEGER, cost_nanousd INTEGER, latency_ms INTEGER,
  status TEXT, input_text TEXT, output_text TEXT) STRICT;
";
const INSERT: &str =
    "INSERT INTO trace VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,31200000,?11,'ok',?12,?13)";

/// Records that differ.
const RECORDS: usize = 1_024;

/// Inserts for a while and prints the rows of a second.
pub(crate) fn print(file: &Path, batch: u64, text_bytes: u64, time: Duration) -> Result<()> {
    ensure!(!file.exists(), "{} exists already: name a new file", file.display());
    let mut bare = Connection::open(file)?;
    bare.execute_batch(SCHEMA)?;
    let records = records(text_bytes, RECORDS);
    let mut next = records.iter().cycle();
    let (start, mut rows) = (Instant::now(), 0_u64);
    while start.elapsed() < time {
        let write = bare.transaction()?;
        {
            let mut insert = write.prepare_cached(INSERT)?;
            for record in next.by_ref().take(usize::try_from(batch)?) {
                insert.execute(params![
                    u128::from(rows).to_be_bytes(),
                    format!("0b2f0c3e-7a51-4a0c-9a57-{rows:012x}"),
                    FIRST_MS + rows.cast_signed(),
                    record.provider,
                    record.model,
                    record.session,
                    record.project,
                    record.prompt_tokens.cast_signed(),
                    record.cache_read_tokens.cast_signed(),
                    record.completion_tokens.cast_signed(),
                    record.latency_ms.cast_signed(),
                    record.input_text,
                    record.output_text,
                ])?;
                rows += 1;
            }
        }
        write.commit()?;
    }
    let per_second = rows as f64 / start.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({ "rows": rows, "per_second": per_second }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_there_and_an_existing_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bare.db");
        print(&file, 100, 900, Duration::from_millis(20)).unwrap();
        let database = Connection::open(&file).unwrap();
        let rows = "SELECT count(*) FROM trace WHERE length(input_text) > 100";
        let rows: i64 = database.query_row(rows, [], |row| row.get(0)).unwrap();
        assert!(rows > 0 && rows % 100 == 0, "{rows}");
        assert!(print(&file, 1, 1, Duration::ZERO).is_err());
    }
}
