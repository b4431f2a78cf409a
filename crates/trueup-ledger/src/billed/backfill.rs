//! Backfills: what a long pull of the past was to ask for, and how far it has come.
//!
//! A backfill is written down as a whole before anything is asked, and each step of it when it is over:
//! whatever ends the process, the steps that are left are known, with their days.

use std::collections::BTreeSet;

use rusqlite::params;
use trueup_core::{DAY_MS, UnixMs};

use crate::{Ledger, LedgerError, Reader};

/// Backfills that have not gone on for this long are forgotten.
const FORGET_MS: i64 = 90 * DAY_MS;

/// One family of one connection, over the days of one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillStep {
    /// The connection's name.
    pub connection: String,
    /// The chunk's number, from 1 on.
    pub chunk: u32,
    /// The family: `usage/completions`.
    pub family: String,
    /// Where its first day begins.
    pub from: UnixMs,
    /// What its last day ends before.
    pub until: UnixMs,
}

impl Ledger {
    /// Writes down what a backfill is to ask for, in the place of an earlier one of the same label and
    /// connections.
    ///
    /// # Errors
    /// What SQLite says; nothing was written.
    pub fn begin_backfill(
        &mut self,
        label: &str,
        steps: &[BackfillStep],
        now: UnixMs,
    ) -> Result<(), LedgerError> {
        self.try_change(|database| {
            let forget = "DELETE FROM provider_backfills WHERE updated_at < ?1";
            database.execute(forget, [now.0 - FORGET_MS])?;
            let replace = "DELETE FROM provider_backfills WHERE label = ?1 AND connection = ?2";
            let connections: BTreeSet<&String> =
                steps.iter().map(|step| &step.connection).collect();
            for connection in connections {
                database.execute(replace, params![label, connection])?;
            }
            let mut insert = database.prepare(
                "INSERT INTO provider_backfills (label, connection, chunk, family, from_ms,
                 until_ms, state, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'waiting', ?7)",
            )?;
            for BackfillStep { connection, chunk, family, from, until } in steps {
                insert
                    .execute(params![label, connection, chunk, family, from.0, until.0, now.0])?;
            }
            Ok(())
        })
    }

    /// Notes that a step is over, whole or not.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn end_backfill_step(
        &mut self,
        label: &str,
        step: &BackfillStep,
        is_whole: bool,
        now: UnixMs,
    ) -> Result<(), LedgerError> {
        self.try_change(|database| {
            database
                .prepare_cached(
                    "UPDATE provider_backfills SET state = ?5, updated_at = ?6
                     WHERE label = ?1 AND connection = ?2 AND chunk = ?3 AND family = ?4",
                )?
                .execute(params![
                    label,
                    step.connection,
                    step.chunk,
                    step.family,
                    if is_whole { "done" } else { "failed" },
                    now.0
                ])
                .map(drop)
        })
    }
}

impl Reader {
    /// The steps of a backfill that are not done, in their order; `None` where there is no backfill of
    /// this label.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn backfill_left(&self, label: &str) -> Result<Option<Vec<BackfillStep>>, LedgerError> {
        if !self.has_table("provider_backfills")? {
            return Ok(None);
        }
        let sql = "SELECT connection, chunk, family, from_ms, until_ms, state = 'done'
             FROM provider_backfills WHERE label = ?1 ORDER BY connection, chunk, family";
        let all: Vec<(BackfillStep, bool)> = self.all(sql, [label], |row| {
            let step = BackfillStep {
                connection: row.get(0)?,
                chunk: row.get(1)?,
                family: row.get(2)?,
                from: UnixMs(row.get(3)?),
                until: UnixMs(row.get(4)?),
            };
            Ok((step, row.get::<_, bool>(5)?))
        })?;
        if all.is_empty() {
            return Ok(None);
        }
        Ok(Some(all.into_iter().filter(|(_, is_done)| !is_done).map(|(step, _)| step).collect()))
    }
}
