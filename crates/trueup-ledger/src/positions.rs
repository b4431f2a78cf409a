//! The positions of every store, as they were when a scan began.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row};
use trueup_core::{Position, Stamp, StoreId, Text};

/// How far every store was read.
#[derive(Debug, Default)]
pub struct StoredPositions {
    /// In the order of the stores: there may be many, and each is asked for once or not at all.
    all: Vec<(StoreId, Position)>,
}

impl StoredPositions {
    /// The position of one store, or of one part of a database.
    #[must_use]
    pub fn get(&self, store: &StoreId) -> Option<&Position> {
        let at = self.all.binary_search_by(|(known, _)| known.cmp(store)).ok()?;
        self.all.get(at).map(|(_, position)| position)
    }

    /// The positions of every part of one database.
    #[must_use]
    pub fn parts(&self, source: &str, path: &str) -> BTreeMap<String, Position> {
        let from = self.all.partition_point(|(at, _)| (&*at.source, &*at.path) < (source, path));
        let of_database = self.all.iter().skip(from).take_while(|(at, _)| *at.path == *path);
        let parts = of_database.filter(|(at, _)| *at.source == *source && !at.part.is_empty());
        parts.map(|(at, position)| (at.part.to_string(), position.clone())).collect()
    }

    pub(crate) fn load(database: &Connection) -> rusqlite::Result<Self> {
        let asked = format!("SELECT {COLUMNS} FROM positions ORDER BY source, path, part");
        let mut statement = database.prepare(&asked)?;
        let mut rows = statement.query([])?;
        let mut all: Vec<(StoreId, Position)> = Vec::new();
        while let Some(row) = rows.next()? {
            let last = all.last().map(|(last, _)| last);
            let store = StoreId {
                source: shared(row, 0, last.map(|last| &last.source))?,
                path: shared(row, 1, last.map(|last| &last.path))?,
                part: shared(row, 2, last.map(|last| &last.part))?,
            };
            all.push((store, of_row(row)?));
        }
        Ok(Self { all })
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

/// A text of a row; that of the row before where it is the same, as most sources and parts are.
fn shared(row: &Row<'_>, column: usize, before: Option<&Text>) -> rusqlite::Result<Text> {
    let text = row.get_ref(column)?.as_str()?;
    Ok(before.filter(|before| ***before == *text).map_or_else(|| text.into(), Text::clone))
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
