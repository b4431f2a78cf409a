//! The positions of every store, as they were when a scan began.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension as _, Row};
use trueup_core::{Position, Stamp, StoreId, Text};

/// How far every store was read.
#[derive(Debug, Default)]
pub struct StoredPositions {
    files: HashMap<(Text, Text), Position>,
    parts: HashMap<(Text, Text), BTreeMap<String, Position>>,
}

impl StoredPositions {
    /// The position of one store, or of one part of a database.
    #[must_use]
    pub fn get(&self, store: &StoreId) -> Option<&Position> {
        let name = (Text::clone(&store.source), Text::clone(&store.path));
        if store.part.is_empty() {
            self.files.get(&name)
        } else {
            self.parts.get(&name)?.get(&*store.part)
        }
    }

    /// The positions of every part of one database.
    #[must_use]
    pub fn parts(&self, source: &str, path: &str) -> Option<&BTreeMap<String, Position>> {
        self.parts.get(&(Text::from(source), Text::from(path)))
    }

    pub(crate) fn load(database: &Connection) -> rusqlite::Result<Self> {
        let mut positions = Self::default();
        let mut statement = database.prepare(&format!("SELECT {COLUMNS} FROM positions"))?;
        let mut rows = statement.query([])?;
        let mut source = Text::default();
        while let Some(row) = rows.next()? {
            let text = |at: usize| row.get_ref(at)?.as_str().map_err(rusqlite::Error::from);
            if *source != *text(0)? {
                source = text(0)?.into();
            }
            let name = (Text::clone(&source), Text::from(text(1)?));
            match text(2)? {
                "" => drop(positions.files.insert(name, of_row(row)?)),
                part => {
                    positions.parts.entry(name).or_default().insert(part.to_owned(), of_row(row)?);
                }
            }
        }
        Ok(positions)
    }

    pub(crate) fn load_one(
        database: &Connection,
        store: &StoreId,
    ) -> rusqlite::Result<Option<Position>> {
        database
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM positions WHERE source = ?1 AND path = ?2 AND part = ?3"
            ))?
            .query_row([&*store.source, &*store.path, &*store.part], of_row)
            .optional()
    }
}

const COLUMNS: &str = "source, path, part, device, inode, size_bytes, modified_ns, offset, line, \
     tail_hash, state";

fn of_row(row: &Row<'_>) -> rusqlite::Result<Position> {
    Ok(Position {
        stamp: Stamp {
            device: row.get::<_, i64>(3)?.cast_unsigned(),
            inode: row.get::<_, i64>(4)?.cast_unsigned(),
            size_bytes: row.get::<_, i64>(5)?.cast_unsigned(),
            modified_ns: row.get(6)?,
        },
        offset: row.get::<_, i64>(7)?.cast_unsigned(),
        line: row.get::<_, i64>(8)?.cast_unsigned(),
        tail_hash: row.get::<_, i64>(9)?.cast_unsigned(),
        state: row.get(10)?,
    })
}
