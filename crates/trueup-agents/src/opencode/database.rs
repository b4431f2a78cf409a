//! The SQLite stores: `opencode.db`, and one for each further channel.
//!
//! Rows change in place while an answer is written, so the position of a table is the latest
//! `time_updated` that was seen: rows of a little before that instant or later are read again, and ids
//! keep that from counting twice. Tables and columns are looked up, never concluded from a version.
//!
//! ```text
//! message          id, session_id, time_created, time_updated, data
//! part             id, message_id, …, data            {"type":"step-finish","tokens":{…},"cost":0.01}
//! session_message  id, session_id, type, seq, time_created, time_updated, data
//! session_v2       id, directory, …
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, MAIN_DB, Row, Statement, params};
use trueup_core::{Position, ProblemKind, Stamp, UnixMs};

use super::message::{Era, Message, Part, Place, Used};
use crate::agent::Store;
use crate::found::Found;
use crate::json;
use crate::scan::Positions;
use crate::shorten::Shortened;
use crate::sqlite::{columns, value_bytes_max};

/// A table of messages.
struct Table {
    name: &'static str,
    era: Era,
    /// Which of its rows are answers, as far as a column says.
    condition: &'static str,
    /// The columns that it must have.
    columns: &'static [&'static str],
}

const TABLES: [Table; 2] = [
    Table {
        name: "message",
        era: Era::Version1,
        condition: "1",
        columns: &["id", "session_id", "data"],
    },
    Table {
        name: "session_message",
        era: Era::Version2,
        condition: "type = 'assistant'",
        columns: &["id", "session_id", "data", "type"],
    },
];

/// The tables of sessions, newest first.
const SESSION_TABLES: [&str; 2] = ["session_v2", "session"];

/// How long a row may take from its `time_updated` until others can see it: several processes write to
/// one store, and each takes the time before it commits.
const COMMIT_DELAY_MS: u64 = 60_000;

/// The parts of one message, by its index.
const PARTS: &str = "SELECT rowid, data FROM part WHERE message_id = ?1";

/// Reads what is new in a store.
pub(super) fn read(
    store: &Store,
    database: &Connection,
    marks: &dyn Positions,
    found: &mut Found<'_>,
) -> rusqlite::Result<()> {
    let mut marks = marks.parts(store.source, &store.path.to_string_lossy());
    let tables: Vec<(Table, BTreeSet<String>)> = TABLES
        .into_iter()
        .map(|table| columns(database, table.name).map(|columns| (table, columns)))
        .collect::<rusqlite::Result<_>>()?;
    if tables.iter().all(|(_, columns)| columns.is_empty()) {
        let detail = "has neither a table message nor a table session_message";
        found.problem(ProblemKind::UnknownSchema, 0, detail);
        return Ok(());
    }
    let has_parts = columns(database, "part")?.is_superset(&names(&["message_id", "data"]));
    let mut reader = Reader {
        database,
        store,
        directories: directories(database)?,
        parts: has_parts.then(|| database.prepare(PARTS)).transpose()?,
        found,
    };
    for (table, columns) in tables {
        let missing = table.columns.iter().find(|name| !columns.contains(**name));
        match missing {
            _ if columns.is_empty() => {}
            Some(missing) => {
                let detail = format!("{} has no column {missing}", table.name);
                reader.found.problem(ProblemKind::UnknownSchema, 0, detail);
            }
            None => reader.table(&table, &columns, marks.remove(table.name))?,
        }
    }
    Ok(())
}

struct Reader<'a, 'b> {
    database: &'a Connection,
    store: &'a Store,
    /// The sessions' folders.
    directories: BTreeMap<String, String>,
    parts: Option<Statement<'a>>,
    found: &'a mut Found<'b>,
}

impl Reader<'_, '_> {
    /// Reads the rows that changed since `mark`. One statement sees one state of the store: a row that
    /// changes meanwhile has a later `time_updated` than any that it sees.
    fn table(
        &mut self,
        table: &Table,
        columns: &BTreeSet<String>,
        mark: Option<Position>,
    ) -> rusqlite::Result<()> {
        let stamp = self.store.stamp;
        let file = Stamp { device: stamp.device, inode: stamp.inode, ..Stamp::default() };
        // Another file of the same name was not read at all.
        let mut position = mark
            .filter(|mark| mark.stamp == file)
            .unwrap_or(Position { stamp: file, ..Position::default() });
        let or_zero = |name: &'static str| if columns.contains(name) { name } else { "0" };
        let (created, updated) = (or_zero("time_created"), or_zero("time_updated"));
        let (name, condition) = (table.name, table.condition);
        let mut statement = self.database.prepare(&format!(
            "SELECT rowid, if(octet_length(data) <= ?2, data, NULL), id, session_id, {created}, {updated}
            FROM {name} WHERE {condition} AND {updated} >= ?1"
        ))?;
        let since = position.offset.saturating_sub(COMMIT_DELAY_MS);
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![since, value_bytes_max()])?;
        while let Some(row) = rows.next()? {
            self.message(table, row)?;
            let updated = row.get::<_, Option<i64>>(5)?.unwrap_or(0);
            position.offset = position.offset.max(u64::try_from(updated).unwrap_or(0));
            position.line += 1;
            if self.found.is_full() {
                self.found.flush();
            }
        }
        self.found.advance(table.name, position);
        Ok(())
    }

    fn message(&mut self, table: &Table, row: &Row<'_>) -> rusqlite::Result<()> {
        let Some(json) = self.json(table.name, row)? else { return Ok(()) };
        let Some(message) = self.parse::<Message<'_>>(table.name, &json) else { return Ok(()) };
        if table.era == Era::Version1 && !message.is_answer() {
            return Ok(());
        }
        let (id, session): (String, String) = (row.get(2)?, row.get(3)?);
        let time = row.get::<_, Option<i64>>(4)?.filter(|time| *time > 0);
        let directory = self.directories.get(&session).cloned().unwrap_or_default();
        let place = Place {
            era: table.era,
            id: &id,
            session: &session,
            directory: &directory,
            time: time.map_or(self.store.modified(), UnixMs::from_epoch_number),
        };
        let steps =
            if table.era == Era::Version1 && message.is_blank() { self.steps(&id)? } else { None };
        match steps {
            Some(used) => message.report_used(used, &place, self.found),
            None if message.is_running() => {}
            None => message.report(&place, self.found),
        }
        Ok(())
    }

    /// What the finished steps of a message used; `None` where there are none.
    fn steps(&mut self, id: &str) -> rusqlite::Result<Option<Used>> {
        let Some(mut parts) = self.parts.take() else { return Ok(None) };
        let mut sum: Option<Used> = None;
        let mut rows = parts.query([id])?;
        while let Some(row) = rows.next()? {
            let Some(json) = self.json("part", row)? else { continue };
            let step = self.parse::<Part<'_>>("part", &json).and_then(|part| part.step());
            sum = step.map(|step| sum.unwrap_or_default().plus(step)).or(sum);
        }
        drop(rows);
        self.parts = Some(parts);
        Ok(sum)
    }

    /// The JSON of a row whose first columns are its rowid and its data; NULL is a text too long to hold.
    /// `None` where there is none that can be read.
    fn json<'r>(
        &mut self,
        table: &str,
        row: &'r Row<'_>,
    ) -> rusqlite::Result<Option<Cow<'r, [u8]>>> {
        if let ValueRef::Text(json) | ValueRef::Blob(json) = row.get_ref(1)? {
            return Ok(Some(json.into()));
        }
        // No text at all is no message.
        let text = self.database.blob_open(MAIN_DB, table, "data", row.get(0)?, true);
        let Some(shortened) = text.ok().and_then(|text| Shortened::read(text).ok()) else {
            return Ok(None);
        };
        let json = shortened.into_bytes();
        if json.is_none() {
            self.found.problem(
                ProblemKind::TooLarge,
                0,
                format!("{table}.data is too long to hold"),
            );
        }
        Ok(json.map(Into::into))
    }

    fn parse<'j, T: json::Read<'j>>(&mut self, table: &str, json: &'j [u8]) -> Option<T> {
        let parsed = json::from_slice(json);
        if let Err(error) = &parsed {
            self.found.problem(ProblemKind::NotJson, 0, format!("{table}.data {error}"));
        }
        parsed.ok()
    }
}

/// The folder of each session.
fn directories(database: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let mut directories = BTreeMap::new();
    for table in SESSION_TABLES {
        if columns(database, table)?.is_superset(&names(&["id", "directory"])) {
            let question = format!("SELECT id, directory FROM {table} WHERE directory IS NOT NULL");
            let mut statement = database.prepare(&question)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                directories.entry(row.get(0)?).or_insert(row.get(1)?);
            }
        }
    }
    Ok(directories)
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
