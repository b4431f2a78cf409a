//! `docs/ledger.md` keeps up with the schema.

use rusqlite::Connection;
use trueup_ledger::{Ledger, OpenOptions, SCHEMA_VERSION};

const DOCUMENT: &str = include_str!("../../../../docs/ledger.md");

#[test]
fn the_document_names_every_table_and_the_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trueup.db");
    drop(Ledger::open(&path, OpenOptions::default()).unwrap());
    let database = Connection::open(&path).unwrap();
    let mut tables = database
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')
             AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )
        .unwrap();
    let names = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    for name in names.map(Result::unwrap) {
        assert!(DOCUMENT.contains(&format!("`{name}`")), "{name}");
    }
    let version = format!("version of the schema, {SCHEMA_VERSION} today");
    assert!(DOCUMENT.contains(&version), "{version}");
}
