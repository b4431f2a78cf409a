//! Files as older programs left them.

use std::path::Path;

use rusqlite::Connection;

const STEPS: [&str; 9] = [
    include_str!("../../src/schema/001_account.sql"),
    include_str!("../../src/schema/002_host_metrics.sql"),
    include_str!("../../src/schema/003_retention.sql"),
    include_str!("../../src/schema/004_provider.sql"),
    include_str!("../../src/schema/005_statement.sql"),
    include_str!("../../src/schema/006_reconciliation.sql"),
    include_str!("../../src/schema/007_backfill.sql"),
    include_str!("../../src/schema/008_provider_retention.sql"),
    include_str!("../../src/schema/009_posted.sql"),
];

/// A new ledger of a version of the schema, with these rows.
pub(crate) fn ledger(path: &Path, version: u8, rows: &str) {
    let database = Connection::open(path).unwrap();
    for step in &STEPS[..version.into()] {
        database.execute_batch(step).unwrap();
    }
    database.execute_batch(rows).unwrap();
    database.pragma_update(None, "user_version", version).unwrap();
    database.pragma_update(None, "application_id", 0x7472_7570).unwrap();
}
