//! What somebody was told of, and what is still to be delivered.
//!
//! That a level was reached, and what is to be said of it to whom, is written in one transaction: a
//! crash between the two can neither swallow an alert nor tell it for ever. What an alert is about is
//! not known here.

use rusqlite::{Connection, OptionalExtension as _, params};
use trueup_core::{DAY_MS, UnixMs};

use crate::retention::count;
use crate::{Ledger, LedgerError, Reader};

/// Deliveries that wait; the oldest give way, and are counted.
const DELIVERIES_MAX: i64 = 1_000;
/// How long a level is remembered: longer than any period, and the days after it in which a provider
/// still corrects it.
const REMEMBERED_DAYS: i64 = 100;

/// The name under which alerts that found no room, or were refused for good, are counted in the ledger.
pub const ALERTS_LOST: &str = "alerts_lost_total";

/// A level that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertState {
    /// What kind of alert.
    pub class: String,
    /// What exactly it is about.
    pub cell: String,
    /// The level in percent; 0 where it has fallen again.
    pub level: u32,
    /// When that was seen.
    pub since: UnixMs,
    /// What the alert that told of it is known by; `None` where the level has fallen to this one, of
    /// which nobody was told then.
    pub told_id: Option<String>,
}

/// A level that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertChange {
    /// What it is from now on.
    pub state: AlertState,
    /// What it was, as far as whoever looked knew: where it no longer is, nothing is changed.
    pub before: u32,
    /// The id and the text that are to be delivered; `None` where nobody is to be told.
    pub message: Option<(String, String)>,
}

/// Something to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertDelivery {
    /// Its number, in the order of their making.
    pub id: i64,
    /// To where.
    pub sink: String,
    /// What the alert is known by, however often it is sent.
    pub alert_id: String,
    /// One line of JSON.
    pub body: String,
    /// When it was raised.
    pub created_at: UnixMs,
    /// Failed attempts so far.
    pub attempts: u64,
    /// Why the last one failed.
    pub error: Option<String>,
}

/// What became of an attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryEnd {
    /// It arrived.
    Delivered,
    /// It will never be taken.
    Refused,
    /// Another try may succeed.
    Failed(String),
}

impl Ledger {
    /// Writes down levels that have changed, and what is to be said of them to each of `sinks`.
    ///
    /// # Errors
    /// What SQLite says; nothing was written.
    pub fn record_alerts(
        &mut self,
        changes: &[AlertChange],
        sinks: &[&str],
        now: UnixMs,
    ) -> Result<(), LedgerError> {
        self.try_change(|database| {
            for change in changes {
                if level(database, &change.state)? == change.before {
                    put(database, &change.state)?;
                    deliver(database, change, sinks, now)?;
                }
            }
            let forget = "DELETE FROM alerts WHERE since < ?1";
            database.execute(forget, [now.0 - REMEMBERED_DAYS * DAY_MS])?;
            let give_way = "DELETE FROM alert_deliveries WHERE id NOT IN
                 (SELECT id FROM alert_deliveries ORDER BY id DESC LIMIT ?1)";
            let lost = database.execute(give_way, [DELIVERIES_MAX])?;
            count(database, ALERTS_LOST, lost as u64)
        })
    }

    /// Notes what became of an attempt to deliver.
    ///
    /// # Errors
    /// What SQLite says; nothing was written.
    pub fn end_alert_delivery(&mut self, id: i64, end: &DeliveryEnd) -> Result<(), LedgerError> {
        self.try_change(|database| match end {
            DeliveryEnd::Delivered => remove(database, id),
            DeliveryEnd::Refused => {
                count(database, ALERTS_LOST, 1)?;
                remove(database, id)
            }
            DeliveryEnd::Failed(reason) => {
                let note = "UPDATE alert_deliveries SET attempts = attempts + 1, error = ?2
                     WHERE id = ?1";
                database.execute(note, params![id, reason]).map(drop)
            }
        })
    }
}

fn level(database: &Connection, state: &AlertState) -> rusqlite::Result<u32> {
    let sql = "SELECT level FROM alerts WHERE class = ?1 AND cell = ?2";
    let known = database.query_row(sql, [&state.class, &state.cell], |row| row.get(0));
    Ok(known.optional()?.unwrap_or(0))
}

fn put(database: &Connection, state: &AlertState) -> rusqlite::Result<()> {
    let sql = "INSERT INTO alerts (class, cell, level, since, told_id) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET level = excluded.level, since = excluded.since,
         told_id = excluded.told_id";
    let AlertState { class, cell, level, since, told_id } = state;
    database.execute(sql, params![class, cell, level, since.0, told_id]).map(drop)
}

fn deliver(
    database: &Connection,
    change: &AlertChange,
    sinks: &[&str],
    now: UnixMs,
) -> rusqlite::Result<()> {
    let Some((alert_id, body)) = &change.message else { return Ok(()) };
    let sql = "INSERT INTO alert_deliveries (sink, alert_id, body, created_at)
         VALUES (?1, ?2, ?3, ?4)";
    for sink in sinks {
        database.execute(sql, params![sink, alert_id, body, now.0])?;
    }
    Ok(())
}

fn remove(database: &Connection, id: i64) -> rusqlite::Result<()> {
    database.execute("DELETE FROM alert_deliveries WHERE id = ?1", [id]).map(drop)
}

impl Reader {
    /// Every level that is remembered, those that have fallen again among them.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn alerts(&self) -> Result<Vec<AlertState>, LedgerError> {
        if !self.has_table("alerts")? {
            return Ok(Vec::new());
        }
        let sql = "SELECT class, cell, level, since, told_id FROM alerts ORDER BY class, cell";
        self.all(sql, [], |row| {
            Ok(AlertState {
                class: row.get(0)?,
                cell: row.get(1)?,
                level: row.get(2)?,
                since: UnixMs(row.get(3)?),
                told_id: row.get(4)?,
            })
        })
    }

    /// What waits to be delivered, the oldest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn alert_deliveries(&self) -> Result<Vec<AlertDelivery>, LedgerError> {
        if !self.has_table("alert_deliveries")? {
            return Ok(Vec::new());
        }
        let sql =
            "SELECT id, sink, alert_id, body, created_at, attempts, error FROM alert_deliveries
             ORDER BY id";
        self.all(sql, [], |row| {
            Ok(AlertDelivery {
                id: row.get(0)?,
                sink: row.get(1)?,
                alert_id: row.get(2)?,
                body: row.get(3)?,
                created_at: UnixMs(row.get(4)?),
                attempts: row.get::<_, i64>(5)?.cast_unsigned(),
                error: row.get(6)?,
            })
        })
    }
}
