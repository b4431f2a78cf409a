//! When the account was compared with what providers say, and what came of it.
//!
//! The comparison itself is not known here: a run is an id, the days that it covers, a word, and a
//! summary as JSON. Retention asks whether a day was compared after it had settled.

use rusqlite::params;
use trueup_core::UnixMs;

use crate::{Ledger, LedgerError, Reader};

/// Runs that are remembered; the oldest give way, except those that alone cover a day.
const RUNS_MAX: i64 = 10_000;

/// One comparison that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// The hash of what was compared and how.
    pub run_id: String,
    /// When.
    pub at: UnixMs,
    /// Where its first day begins, in UTC.
    pub from: UnixMs,
    /// What its last day ends before.
    pub until: UnixMs,
    /// The only provider; `None` for all.
    pub provider: Option<String>,
    /// The only connection; `None` for all.
    pub connection: Option<String>,
    /// Whether only some models, projects or keys were compared.
    pub is_partial: bool,
    /// What came of it, in a word; `unreadable` where a side could not be read, which proves nothing.
    pub verdict: String,
    /// The hash of the rows of all sides.
    pub inputs: [u8; 16],
    /// More of what came of it, as JSON.
    pub summary: String,
}

impl Ledger {
    /// Remembers a comparison.
    ///
    /// # Errors
    /// What SQLite says; nothing was written.
    pub fn record_reconciliation(&mut self, run: &Reconciled) -> Result<(), LedgerError> {
        self.try_change(|database| {
            database.execute(
                "INSERT INTO reconciliations (run_id, at, from_ms, until_ms, provider, connection,
                 is_partial, verdict, inputs, summary)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    run.run_id,
                    run.at.0,
                    run.from.0,
                    run.until.0,
                    run.provider,
                    run.connection,
                    run.is_partial,
                    run.verdict,
                    run.inputs,
                    run.summary
                ],
            )?;
            let forget = "DELETE FROM reconciliations AS old
                 WHERE id <= (SELECT max(id) FROM reconciliations) - ?1
                 AND EXISTS (SELECT 1 FROM reconciliations new WHERE new.id > old.id
                     AND new.from_ms <= old.from_ms AND new.until_ms >= old.until_ms
                     AND new.provider IS old.provider AND new.connection IS old.connection
                     AND new.is_partial = old.is_partial
                     AND (old.verdict = 'unreadable' OR new.verdict <> 'unreadable'))";
            database.execute(forget, [RUNS_MAX]).map(drop)
        })
    }
}

impl Reader {
    /// Comparisons, the latest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn reconciliations(&self, limit: u32) -> Result<Vec<Reconciled>, LedgerError> {
        if !self.has_table("reconciliations")? {
            return Ok(Vec::new());
        }
        let sql = "SELECT run_id, at, from_ms, until_ms, provider, connection, is_partial, verdict,
             inputs, summary FROM reconciliations ORDER BY id DESC LIMIT ?1";
        self.all(sql, [limit], |row| {
            Ok(Reconciled {
                run_id: row.get(0)?,
                at: UnixMs(row.get(1)?),
                from: UnixMs(row.get(2)?),
                until: UnixMs(row.get(3)?),
                provider: row.get(4)?,
                connection: row.get(5)?,
                is_partial: row.get(6)?,
                verdict: row.get(7)?,
                inputs: row.get(8)?,
                summary: row.get(9)?,
            })
        })
    }
}
