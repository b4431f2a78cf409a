//! The ledger's tables, and how an older file becomes a present one.
//!
//! Each step of the schema is a file under `schema/`, applied once, in order, each in a transaction of
//! its own. `user_version` says how many were applied, `application_id` that the file is ours.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::LedgerError;

/// `trup`, in the file's header.
const APPLICATION_ID: i64 = 0x7472_7570;

const STEPS: &[&str] = &[
    include_str!("schema/001_account.sql"),
    include_str!("schema/002_host_metrics.sql"),
    include_str!("schema/003_retention.sql"),
    include_str!("schema/004_provider.sql"),
    include_str!("schema/005_statement.sql"),
    include_str!("schema/006_reconciliation.sql"),
    include_str!("schema/007_backfill.sql"),
    include_str!("schema/008_provider_retention.sql"),
    include_str!("schema/009_posted.sql"),
    include_str!("schema/010_alerts.sql"),
    include_str!("schema/011_provider_issues.sql"),
    include_str!("schema/012_claimed.sql"),
    include_str!("schema/013_told.sql"),
    include_str!("schema/014_devices.sql"),
    include_str!("schema/015_metered.sql"),
    include_str!("schema/016_weeks.sql"),
];

/// The newest schema version that this program knows.
#[expect(clippy::cast_possible_wrap, reason = "a handful of steps")]
pub const KNOWN: i64 = STEPS.len() as i64;

/// Brings a file to the present schema; a new file gets all of it.
pub(crate) fn migrate(database: &mut Connection, path: &Path) -> Result<(), LedgerError> {
    let version = check(database, path)?;
    let wrap = LedgerError::sqlite(path);
    apply_from(database, version).map_err(wrap)
}

/// The schema version of a file that this program can read; an error for others.
pub(crate) fn check(database: &Connection, path: &Path) -> Result<i64, LedgerError> {
    let pragma = |name: &str| database.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let id = pragma("application_id").map_err(LedgerError::sqlite(path))?;
    let version = pragma("user_version").map_err(LedgerError::sqlite(path))?;
    let has_tables = database
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
        .map_err(LedgerError::sqlite(path))?
        > 0;
    if id != APPLICATION_ID && has_tables {
        return Err(LedgerError::NotALedger {
            path: path.to_path_buf(),
            what: "a database of another program",
        });
    }
    if version > KNOWN {
        return Err(LedgerError::Newer { path: path.to_path_buf(), found: version, known: KNOWN });
    }
    Ok(version)
}

fn apply_from(database: &mut Connection, version: i64) -> rusqlite::Result<()> {
    for (step, number) in STEPS.iter().zip(1_i64..).filter(|(_, number)| *number > version) {
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.commit()?;
    }
    Ok(())
}
