//! What was sent and how that ended, written down.
//!
//! A batch is kept here, bytes and all, before it is first sent, and until its destination has said
//! what becomes of it: whatever ends the process in between, the next try is the same. What a reply
//! means is decided by who sends; this module only makes its effects one transaction.

use std::sync::Arc;

use rusqlite::{Connection, params};
use trueup_core::UnixMs;

use crate::row::signed;
use crate::{Ledger, LedgerError};

/// Attempts that are remembered.
const LOG_ROWS_MAX: i64 = 10_000;

/// How often a destination may put a record off before that counts as a refusal.
const POSTPONED_MAX: i64 = 8;

/// The counter of the time that the newest batch was made at.
pub(crate) const BATCH_MADE: &str = "push_batch_made_ms";
/// The counter of after how many seconds of silence a destination wants to hear that we are there.
pub(crate) const HEARTBEAT: &str = "push_heartbeat_seconds";
/// The counter of the time that the newest batch was made at that was acknowledged.
pub(crate) const BATCH_ACKED: &str = "push_batch_acked_ms";

/// A batch as it is sent, again and again until there is an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// The batch's id, a UUID.
    pub id: String,
    /// When it was made: later than every batch before it, whatever the clock says.
    pub created_at: UnixMs,
    /// The first place of the outbox that it covers.
    pub first_seq: i64,
    /// The last place of the outbox that it covers.
    pub last_seq: i64,
    /// Records in it; none in one that only says that we are there.
    pub events: u64,
    /// Its length before compression.
    pub bytes: u64,
    /// Whether the texts of its one record were cut to fit.
    pub is_cut: bool,
    /// The name of its compression: `gzip`, `zstd` or `identity`.
    pub encoding: String,
    /// How often it was sent.
    pub attempts: u32,
    /// What is sent.
    pub body: Arc<Vec<u8>>,
}

/// A record that a destination refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in the outbox.
    pub seq: i64,
    /// Why, in the destination's words.
    pub reason: String,
}

/// A record that a destination did not take now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postponed {
    /// Its place in the outbox.
    pub seq: i64,
    /// Why, in the destination's words.
    pub reason: String,
}

/// What a destination took of a batch: everything that is not listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ack {
    /// What it will never take.
    pub rejected: Vec<Rejected>,
    /// What it may take later: queued anew, at the end.
    pub postponed: Vec<Postponed>,
    /// It wants the next batch not before.
    pub next_at: Option<UnixMs>,
}

/// What becomes of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It was taken, but for what is listed.
    Acked(Ack),
    /// It stays as it is, to be sent again, not before the time where there is one.
    Kept(Option<UnixMs>),
    /// It is taken apart: its records will be in other batches.
    Dropped,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// When it began.
    pub at: UnixMs,
    /// How long it took.
    pub duration_ms: u64,
    /// `ok`, `retry`, `refused`, `quarantined` or `paused`.
    pub status: &'static str,
    /// The HTTP status, where there was an answer.
    pub http_status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// How batches are to be compressed from now on, where that changes.
    pub encoding: Option<&'static str>,
    /// After how many seconds of silence to say that we are there, where that changes; 0 is never.
    pub heartbeat_seconds: Option<u32>,
    /// What becomes of the batch.
    pub effect: Effect,
}

impl Ledger {
    /// From now on rows are queued for this destination. Those that were never pushed are queued at
    /// once, where nothing was queued before; all of them, where an older copy of the file was put in its
    /// place.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn activate(&mut self, destination: &str, endpoint: &str) -> Result<(), LedgerError> {
        if let Some(newest_at) = self.newer_mark()? {
            self.tell_anew(newest_at)?;
        }
        self.change(|database| {
            if !is_any_active(database)? {
                queue_unpushed(database)?;
            }
            forget_other(database, destination, endpoint)?;
            database.execute(
                "INSERT INTO push_destinations (name, endpoint, acked_seq, encoding, is_active)
                 VALUES (?1, ?2, 0, 'gzip', 1)
                 ON CONFLICT (name) DO UPDATE SET endpoint = excluded.endpoint, is_active = 1,
                 next_at = iif(endpoint = excluded.endpoint, next_at, NULL),
                 encoding = iif(endpoint = excluded.endpoint, encoding, 'gzip')",
                params![destination, endpoint],
            )
        })?;
        Ok(())
    }

    /// Nothing is queued any more, and the batch on its way is forgotten. Rows that were not pushed
    /// stay so, and are queued again when a destination is active again.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn deactivate(&mut self, destination: &str) -> Result<(), LedgerError> {
        self.change(|database| {
            let was_active = database.execute(
                "UPDATE push_destinations SET is_active = 0 WHERE name = ?1 AND is_active",
                [destination],
            )?;
            if was_active > 0 {
                database
                    .execute("DELETE FROM push_batches WHERE destination = ?1", [destination])?;
                if !is_any_active(database)? {
                    database.execute("DELETE FROM outbox WHERE kind <> 4", [])?;
                }
            }
            Ok(())
        })
    }

    /// Keeps a batch: it must be here before it is first sent.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn freeze(&mut self, destination: &str, batch: &Frozen) -> Result<(), LedgerError> {
        let insert = "INSERT INTO push_batches (destination, batch_id, created_at, first_seq,
             last_seq, events, bytes, is_cut, encoding, attempts, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        self.change(|database| {
            count_to(database, BATCH_MADE, batch.created_at.0)?;
            database.execute(
                insert,
                params![
                    destination,
                    batch.id,
                    batch.created_at.0,
                    batch.first_seq,
                    batch.last_seq,
                    signed(batch.events),
                    signed(batch.bytes),
                    batch.is_cut,
                    batch.encoding,
                    batch.attempts,
                    &*batch.body,
                ],
            )
        })?;
        self.mark(batch.created_at);
        // The pages of a batch are not looked at again before its retry.
        self.shed_memory()
    }

    /// Passes places of the outbox over that hold nothing to send.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn skip(&mut self, destination: &str, until: i64, now: UnixMs) -> Result<(), LedgerError> {
        self.change(|database| advance(database, destination, until, now))
    }

    /// Writes down how an attempt to send a batch ended, and what follows from it.
    ///
    /// # Errors
    /// What SQLite says; the batch is as before.
    pub fn settle(
        &mut self,
        destination: &str,
        batch: &Frozen,
        outcome: &Outcome,
    ) -> Result<(), LedgerError> {
        self.change(|database| {
            let pushed = apply(database, destination, batch, outcome)?;
            note(database, destination, batch, outcome, pushed)
        })
    }
}

/// Whether there is somebody to queue rows for.
pub(crate) fn is_any_active(database: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM push_destinations WHERE is_active)";
    database.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

/// Another address has asked for nothing yet.
fn forget_other(database: &Connection, destination: &str, endpoint: &str) -> rusqlite::Result<()> {
    let sql = "DELETE FROM counters WHERE name = ?1 AND NOT EXISTS
         (SELECT 1 FROM push_destinations WHERE name = ?2 AND endpoint = ?3)";
    database.execute(sql, params![HEARTBEAT, destination, endpoint]).map(drop)
}

/// Sets a counter.
pub(crate) fn count_to(database: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO counters (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    database.prepare_cached(sql)?.execute(params![name, value]).map(drop)
}

/// Queues every row that was never pushed, each table in the order of time.
fn queue_unpushed(database: &Connection) -> rusqlite::Result<()> {
    database.execute("DELETE FROM outbox WHERE kind <> 4", [])?;
    for (kind, table) in TABLES {
        let queue = format!(
            "INSERT INTO outbox (kind, id) SELECT {kind}, id FROM {table}
             WHERE pushed_at IS NULL ORDER BY id"
        );
        database.execute(&queue, [])?;
    }
    Ok(())
}

/// Queues every row, whether it was pushed or not.
pub(crate) fn queue_all(database: &Connection) -> rusqlite::Result<()> {
    for (_, table) in TABLES {
        database.execute(&format!("UPDATE {table} SET pushed_at = NULL"), [])?;
    }
    queue_unpushed(database)
}

/// The kinds of rows in the outbox, and where the rows are.
const TABLES: [(i64, &str); 4] =
    [(0, "llm_calls"), (1, "error_events"), (2, "custom_events"), (3, "system_metrics")];

/// The effect of an attempt; how many records count as pushed by it.
fn apply(
    database: &Connection,
    destination: &str,
    batch: &Frozen,
    outcome: &Outcome,
) -> rusqlite::Result<u64> {
    let ended_at = UnixMs(outcome.at.0.saturating_add(signed(outcome.duration_ms)));
    if let Some(encoding) = outcome.encoding {
        let set = "UPDATE push_destinations SET encoding = ?2 WHERE name = ?1";
        database.execute(set, params![destination, encoding])?;
    }
    if let Some(seconds) = outcome.heartbeat_seconds {
        count_to(database, HEARTBEAT, seconds.into())?;
    }
    match &outcome.effect {
        Effect::Kept(next_at) => {
            let sent = "UPDATE push_batches SET attempts = attempts + 1 WHERE destination = ?1";
            database.execute(sent, [destination])?;
            wait(database, destination, *next_at)?;
            Ok(0)
        }
        Effect::Dropped => {
            database.execute("DELETE FROM push_batches WHERE destination = ?1", [destination])?;
            Ok(0)
        }
        Effect::Acked(Ack { rejected, postponed, next_at }) => {
            for Rejected { seq, reason } in rejected {
                quarantine(database, destination, *seq, reason, ended_at)?;
            }
            for Postponed { seq, reason } in postponed {
                postpone(database, destination, *seq, reason, ended_at)?;
            }
            database.execute("DELETE FROM push_batches WHERE destination = ?1", [destination])?;
            if !batch.body.is_empty() {
                count_to(database, BATCH_ACKED, batch.created_at.0)?;
            }
            advance(database, destination, batch.last_seq, ended_at)?;
            wait(database, destination, *next_at)?;
            let untaken = (rejected.len() + postponed.len()) as u64;
            Ok(batch.events.saturating_sub(untaken))
        }
    }
}

fn wait(database: &Connection, destination: &str, until: Option<UnixMs>) -> rusqlite::Result<()> {
    let sql = "UPDATE push_destinations SET next_at = ?2 WHERE name = ?1";
    let mut wait = database.prepare_cached(sql)?;
    wait.execute(params![destination, until.map(|time| time.0)]).map(drop)
}

fn quarantine(
    database: &Connection,
    destination: &str,
    seq: i64,
    reason: &str,
    now: UnixMs,
) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "INSERT OR REPLACE INTO push_quarantine (destination, seq, kind, id, created_at, reason)
             SELECT ?1, seq, kind, id, ?3, ?4 FROM outbox WHERE seq = ?2",
        )?
        .execute(params![destination, seq, now.0, reason])?;
    refuse(database, seq)
}

fn refuse(database: &Connection, seq: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE outbox SET is_refused = 1 WHERE seq = ?1";
    database.prepare_cached(sql)?.execute([seq]).map(drop)
}

/// Queues a record anew, at the end, unless it was put off too often.
fn postpone(
    database: &Connection,
    destination: &str,
    seq: i64,
    reason: &str,
    now: UnixMs,
) -> rusqlite::Result<()> {
    let queued = database
        .prepare_cached(
            "INSERT INTO outbox (kind, id, tries) SELECT kind, id, tries + 1 FROM outbox
             WHERE seq = ?1 AND tries < ?2",
        )?
        .execute(params![seq, POSTPONED_MAX])?;
    if queued == 0 {
        let reason = format!("put off {POSTPONED_MAX} times: {reason}");
        return quarantine(database, destination, seq, &reason, now);
    }
    refuse(database, seq)
}

/// Moves a destination's position. What all of them have counts as pushed, and leaves the outbox.
fn advance(
    database: &Connection,
    destination: &str,
    until: i64,
    now: UnixMs,
) -> rusqlite::Result<()> {
    database.execute(
        "UPDATE push_destinations SET acked_seq = max(acked_seq, ?2) WHERE name = ?1",
        params![destination, until],
    )?;
    let done: i64 = database.query_row(
        "SELECT coalesce(min(acked_seq), 0) FROM push_destinations WHERE is_active",
        [],
        |row| row.get(0),
    )?;
    for (kind, table) in TABLES {
        let stamp = format!(
            "UPDATE {table} SET pushed_at = ?1 WHERE id IN
             (SELECT id FROM outbox WHERE seq <= ?2 AND kind = {kind} AND NOT is_refused)"
        );
        database.prepare_cached(&stamp)?.execute(params![now.0, done])?;
    }
    database.prepare_cached("DELETE FROM outbox WHERE seq <= ?1")?.execute([done]).map(drop)
}

/// One row of the log.
fn note(
    database: &Connection,
    destination: &str,
    batch: &Frozen,
    outcome: &Outcome,
    pushed: u64,
) -> rusqlite::Result<()> {
    let ended_at = outcome.at.0.saturating_add(signed(outcome.duration_ms));
    let is_pushed = matches!(outcome.effect, Effect::Acked(_)) && outcome.error.is_none();
    database
        .prepare_cached(
            "INSERT INTO push_log (trace_id, created_at, destination, batch_id, status, http_status,
             events_pushed, bytes, error_message, duration_ms, pushed_at)
             VALUES (lower(hex(randomblob(16))), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            outcome.at.0,
            destination,
            batch.id,
            outcome.status,
            outcome.http_status,
            signed(pushed),
            signed(batch.body.len() as u64),
            outcome.error,
            signed(outcome.duration_ms),
            is_pushed.then_some(ended_at),
        ])?;
    database
        .prepare_cached("DELETE FROM push_log WHERE id <= (SELECT max(id) FROM push_log) - ?1")?
        .execute([LOG_ROWS_MAX])
        .map(drop)
}
