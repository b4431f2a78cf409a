//! What is to be sent, read beside the writer, one row at a time.
//!
//! ```text
//! seq 17, id 01a1…, llm_trace: trace_id = "0b2f0c3e-…", created_at = 1795212509482, model = "gpt-5.5", …
//! ```
//!
//! A row's columns are the fields of the record: their names are part of the push format.

use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use trueup_core::{FactId, UnixMs};

use crate::push::{BATCH_ACKED, BATCH_MADE, HEARTBEAT};
use crate::{DROPPED, Frozen, LedgerError, Reader};

/// Whose account this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Made with the file, and never changed.
    pub source: String,
    /// Another file is another epoch: numbers of rows begin anew.
    pub epoch: String,
}

/// Where rows are sent, and how far it has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Its address, without what may be secret in it.
    pub endpoint: String,
    /// The last place of the outbox that it has.
    pub acked_seq: i64,
    /// How new batches are compressed.
    pub encoding: String,
    /// It asked not to be sent to before.
    pub next_at: Option<UnixMs>,
    /// Whether rows are queued for it.
    pub is_active: bool,
}

/// A value of a record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Not known.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// A text.
    Text(&'a str),
}

/// A record to be sent.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Its place in the outbox.
    pub seq: i64,
    /// What makes it count once.
    pub id: FactId,
    /// `llm_trace`, `error_event`, `custom_event`, `system_metric` or `llm_trace_retracted`.
    pub kind: &'static str,
    /// Its fields, by name.
    pub fields: Vec<(&'a str, Value<'a>)>,
}

/// One attempt to send, as it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushAttempt {
    /// When it began.
    pub at: UnixMs,
    /// The batch.
    pub batch: String,
    /// How it ended.
    pub status: String,
    /// The HTTP status, where there was an answer.
    pub http_status: Option<u16>,
    /// Records that count as pushed by it.
    pub events: u64,
    /// What went wrong.
    pub error: Option<String>,
    /// How long it took.
    pub duration_ms: u64,
}

/// A record that was refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its id.
    pub id: FactId,
    /// What it is.
    pub kind: &'static str,
    /// When it was refused.
    pub at: UnixMs,
    /// Why.
    pub reason: String,
}

/// How it stands with what is still to be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Places of the outbox.
    pub waiting: u64,
    /// The time of the record at the first of them.
    pub oldest_waiting_at: Option<UnixMs>,
    /// Records that were dropped for want of room, over all runs.
    pub dropped: u64,
    /// Records that the destination refused for good.
    pub refused: u64,
    /// When something new was last read of an agent's store.
    pub last_read_at: Option<UnixMs>,
}

/// The ledger as it is at one moment.
#[derive(Debug)]
pub struct Snapshot<'a>(&'a Reader);

/// The names of kinds of records, by their number in the outbox.
const KINDS: [&str; 5] =
    ["llm_trace", "error_event", "custom_event", "system_metric", "llm_trace_retracted"];

/// The rows behind each kind. A column that is not to be sent is among [`UNSENT`].
const ROWS: [&str; 5] = [
    "SELECT t.trace_id, t.created_at, s.provider, s.model, x.input_text, x.output_text,
     t.prompt_tokens, t.completion_tokens, t.prompt_tokens + t.completion_tokens AS total_tokens,
     t.reported_cost_nanousd / 1e9 AS cost_usd, t.latency_ms, t.status, t.error_type, x.metadata,
     s.source, s.project, n.session, s.kind AS session_kind, t.input AS input_tokens,
     t.cache_read AS cache_read_tokens, t.cache_write_5m AS cache_write_5m_tokens,
     t.cache_write_1h AS cache_write_1h_tokens, t.cache_write AS cache_write_tokens,
     t.output AS output_tokens, t.reasoning AS reasoning_tokens, t.reported_cost_nanousd,
     t.time_to_first_token_ms, s.price_class, coalesce(x.is_text_cut, 0) AS is_text_cut
     FROM llm_traces t JOIN series s ON s.id = t.series JOIN sessions n ON n.id = t.session
     LEFT JOIN llm_trace_texts x ON x.id = t.id WHERE t.id = ?1",
    "SELECT * FROM error_events WHERE id = ?1",
    "SELECT * FROM custom_events WHERE id = ?1",
    "SELECT *, cpu_millipercent / 1e3 AS cpu_pct FROM system_metrics WHERE id = ?1",
    // A call that is there again is sent as such.
    "SELECT lower(
        substr(hex(?1), 1, 8) || '-' || substr(hex(?1), 9, 4) || '-' || substr(hex(?1), 13, 4) || '-'
        || substr(hex(?1), 17, 4) || '-' || substr(hex(?1), 21)) AS trace_id
     WHERE NOT EXISTS (SELECT 1 FROM llm_calls WHERE id = ?1)",
];

/// Columns that are our own affair.
const UNSENT: [&str; 4] = ["id", "client_trace_id", "pushed_at", "device"];

impl Snapshot<'_> {
    /// Hands the records behind a place of the outbox to `each`, in their order, until it breaks.
    /// Places whose row is gone are passed over. The last place that was looked at and not broken
    /// off at.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn each(
        &self,
        after: i64,
        mut each: impl FnMut(&Outgoing<'_>) -> ControlFlow<()>,
    ) -> Result<i64, LedgerError> {
        let database = &self.0.database;
        let mut run = || {
            let mut queued = database
                .prepare_cached("SELECT seq, kind, id FROM outbox WHERE seq > ?1 ORDER BY seq")?;
            let mut queued = queued.query([after])?;
            let mut last = after;
            while let Some(place) = queued.next()? {
                let (seq, kind) = (place.get(0)?, usize::from(place.get::<_, u8>(1)?));
                if record(database, seq, kind, FactId(place.get(2)?), &mut each)?.is_break() {
                    break;
                }
                last = seq;
            }
            Ok(last)
        };
        run().map_err(LedgerError::sqlite(&self.0.path))
    }
}

impl Snapshot<'_> {
    /// How it stands with what is behind a place of the outbox.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn backlog(&self, destination: &str, after: i64) -> Result<Backlog, LedgerError> {
        let reader = self.0;
        let oldest = "SELECT id FROM outbox WHERE seq > ?1 ORDER BY seq LIMIT 1";
        let oldest = reader.one(oldest, [after], |row| row.get(0).map(FactId))?;
        Ok(Backlog {
            waiting: u64::try_from(reader.last_queued()?.saturating_sub(after)).unwrap_or(0),
            oldest_waiting_at: oldest.map(FactId::time),
            dropped: reader.counter(DROPPED)?,
            refused: reader.quarantined_count(destination)?,
            last_read_at: reader.last_read()?,
        })
    }

    /// When the next batch counts as made: now, or right after the one before it where the clock went
    /// back. Of two words on one id the later one holds, so no two batches have one time.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn next_batch_at(&self, now: UnixMs) -> Result<UnixMs, LedgerError> {
        let before = self.0.counter(BATCH_MADE)?.cast_signed();
        Ok(UnixMs(now.0.max(before.saturating_add(1))))
    }
}

/// Hands one record to `each`, where it is still there.
fn record(
    database: &Connection,
    seq: i64,
    kind: usize,
    id: FactId,
    each: &mut impl FnMut(&Outgoing<'_>) -> ControlFlow<()>,
) -> rusqlite::Result<ControlFlow<()>> {
    let (Some(sql), Some(name)) = (ROWS.get(kind), KINDS.get(kind)) else {
        return Ok(ControlFlow::Continue(()));
    };
    let mut statement = database.prepare_cached(sql)?;
    let mut rows = statement.query([id.0])?;
    let Some(row) = rows.next()? else { return Ok(ControlFlow::Continue(())) };
    let columns = row.as_ref();
    let mut fields = Vec::with_capacity(columns.column_count());
    for at in 0..columns.column_count() {
        let name = columns.column_name(at)?;
        if !UNSENT.contains(&name) {
            fields.push((name, value(row, at)?));
        }
    }
    Ok(each(&Outgoing { seq, id, kind: name, fields }))
}

/// The value of a column.
pub(crate) fn value<'a>(row: &'a Row<'_>, at: usize) -> rusqlite::Result<Value<'a>> {
    Ok(match row.get_ref(at)? {
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(_) => Value::Text(row.get_ref(at)?.as_str()?),
        ValueRef::Null | ValueRef::Blob(_) => Value::Null,
    })
}

/// Kilobytes of pages that a reader keeps who looks at each row twice at most.
const WALKER_CACHE_KIB: i64 = 256;

impl Reader {
    /// Keeps little of what it reads in memory: for one who walks over rows and does not come back.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn keep_little(&self) -> Result<(), LedgerError> {
        let set = self.database.pragma_update(None, "cache_size", -WALKER_CACHE_KIB);
        set.map_err(LedgerError::sqlite(&self.path))
    }

    /// Reads several things as they are at one moment.
    ///
    /// # Errors
    /// What SQLite says, and what `read` does.
    pub fn at_once<T, E: From<LedgerError>>(
        &self,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let wrap = || LedgerError::sqlite(&self.path);
        let transaction = self.database.unchecked_transaction().map_err(wrap())?;
        let result = read(&Snapshot(self))?;
        transaction.finish().map_err(wrap())?;
        Ok(result)
    }

    /// Whose account this is.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn identity(&self) -> Result<Identity, LedgerError> {
        let of = |name: &str| {
            self.one("SELECT value FROM identity WHERE name = ?1", [name], |row| row.get(0))
        };
        Ok(Identity {
            source: of("source")?.unwrap_or_default(),
            epoch: of("epoch")?.unwrap_or_default(),
        })
    }

    /// A destination; `None` where there never was one of this name.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn destination(&self, name: &str) -> Result<Option<Destination>, LedgerError> {
        let sql = "SELECT endpoint, acked_seq, encoding, next_at, is_active FROM push_destinations
             WHERE name = ?1";
        self.one(sql, [name], |row| {
            Ok(Destination {
                endpoint: row.get(0)?,
                acked_seq: row.get(1)?,
                encoding: row.get(2)?,
                next_at: row.get::<_, Option<i64>>(3)?.map(UnixMs),
                is_active: row.get(4)?,
            })
        })
    }

    /// After how many seconds of silence the destination wants to hear that we are there; 0 is never.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn heartbeat_seconds(&self) -> Result<u32, LedgerError> {
        Ok(u32::try_from(self.counter(HEARTBEAT)?).unwrap_or(0))
    }

    /// When the newest batch was made that was acknowledged.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn acked_batch_at(&self) -> Result<UnixMs, LedgerError> {
        Ok(UnixMs(self.counter(BATCH_ACKED)?.cast_signed()))
    }

    /// The batch that is on its way to a destination.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn frozen(&self, destination: &str) -> Result<Option<Frozen>, LedgerError> {
        let sql =
            "SELECT batch_id, created_at, first_seq, last_seq, events, bytes, is_cut, encoding,
             attempts, body FROM push_batches WHERE destination = ?1";
        self.one(sql, [destination], |row| {
            Ok(Frozen {
                id: row.get(0)?,
                created_at: UnixMs(row.get(1)?),
                first_seq: row.get(2)?,
                last_seq: row.get(3)?,
                events: row.get::<_, i64>(4)?.cast_unsigned(),
                bytes: row.get::<_, i64>(5)?.cast_unsigned(),
                is_cut: row.get(6)?,
                encoding: row.get(7)?,
                attempts: row.get(8)?,
                body: Arc::new(row.get(9)?),
            })
        })
    }

    /// How many places of the outbox a destination has before it.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn waiting(&self, destination: &str) -> Result<u64, LedgerError> {
        let sql = "SELECT count(*) FROM outbox WHERE seq >
             coalesce((SELECT acked_seq FROM push_destinations WHERE name = ?1), 0)";
        let count = self.one(sql, [destination], |row| row.get::<_, i64>(0))?;
        Ok(count.unwrap_or(0).cast_unsigned())
    }

    /// The last place of the outbox.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn last_queued(&self) -> Result<i64, LedgerError> {
        let last = self.one("SELECT max(seq) FROM outbox", [], |row| row.get(0))?;
        Ok(last.flatten().unwrap_or(0))
    }

    /// The last attempts to send, the latest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn push_attempts(
        &self,
        destination: &str,
        limit: u32,
    ) -> Result<Vec<PushAttempt>, LedgerError> {
        let sql = "SELECT created_at, batch_id, status, http_status, events_pushed, error_message,
             duration_ms FROM push_log WHERE destination = ?1 ORDER BY id DESC LIMIT ?2";
        self.all(sql, params![destination, limit], |row| {
            Ok(PushAttempt {
                at: UnixMs(row.get(0)?),
                batch: row.get(1)?,
                status: row.get(2)?,
                http_status: row.get(3)?,
                events: row.get::<_, i64>(4)?.cast_unsigned(),
                error: row.get(5)?,
                duration_ms: row.get::<_, i64>(6)?.cast_unsigned(),
            })
        })
    }

    /// How many records a destination refused for good.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn quarantined_count(&self, destination: &str) -> Result<u64, LedgerError> {
        let sql = "SELECT count(*) FROM push_quarantine WHERE destination = ?1";
        let count = self.one(sql, [destination], |row| row.get::<_, i64>(0))?;
        Ok(count.unwrap_or(0).cast_unsigned())
    }

    /// The records that a destination refused last.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn quarantined(
        &self,
        destination: &str,
        limit: u32,
    ) -> Result<Vec<Quarantined>, LedgerError> {
        let sql = "SELECT id, kind, created_at, reason FROM push_quarantine WHERE destination = ?1
             ORDER BY seq DESC LIMIT ?2";
        self.all(sql, params![destination, limit], |row| {
            Ok(Quarantined {
                id: FactId(row.get(0)?),
                kind: KINDS.get(usize::from(row.get::<_, u8>(1)?)).copied().unwrap_or("unknown"),
                at: UnixMs(row.get(2)?),
                reason: row.get(3)?,
            })
        })
    }

    fn one<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        of_row: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, LedgerError> {
        let found = self
            .database
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row(values, of_row).optional());
        found.map_err(LedgerError::sqlite(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ledger, OpenOptions};
    use rusqlite::StatementStatus;

    #[test]
    fn rows_are_read_with_one_plan_whatever_their_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        drop(Ledger::open(&path, OpenOptions::default()).unwrap());
        let reader = Reader::open(&path).unwrap().unwrap();
        for sql in ROWS {
            for id in [[1; 16], [2; 16], [3; 16]] {
                let mut statement = reader.database.prepare_cached(sql).unwrap();
                assert!(statement.query([id]).unwrap().next().is_ok());
            }
            let statement = reader.database.prepare_cached(sql).unwrap();
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
        }
    }
}
