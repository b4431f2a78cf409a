//! The SQLite store of one agent: `agent/openclaw-agent.sqlite`, schemas 4 to 23.
//!
//! A row of `transcript_events` is a line of a transcript. Each session is read on from the last `seq`
//! that was seen, unless its history was rewritten meanwhile: then `transcript_rewrite_watermarks` has
//! another generation of it, or, in stores without that table, its last event is another. Deleted,
//! reset and cold sessions leave whole transcripts as blobs.
//!
//! Which tables and columns are there is looked up, never concluded from a version. Pages are short
//! transactions of their own: a reader that holds one long keeps the gateway from tidying its log.
//!
//! ```text
//! session_id   seq  event_json                         event_zstd
//! 3e5aebe9-…   0    {"type":"session","version":4,…}   NULL
//! 3e5aebe9-…   7    NULL                               28b52ffd…
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{self, Read, Seek as _};
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, MAIN_DB, OptionalExtension as _, Row, Statement, params};
use trueup_core::{Position, ProblemKind};
use zstd::bulk::Decompressor;

use super::artifact;
use super::entry::{Entry, session_kind};
use super::transcript::{TranscriptDecoder, is_header};
use crate::agent::{Decoder as _, SessionKinds, Store};
use crate::found::Found;
use crate::json;
use crate::lines::{LINE_BYTES_MAX, LineReader, decode};
use crate::scan::{Positions, hash64, read_first_head};
use crate::sha256::is_sha256_of;
use crate::shorten::Shortened;
use crate::sqlite::{columns, value_bytes_max};

/// Events read in one transaction.
const PAGE_EVENTS: i64 = 2_000;

/// The next session: one step down the index for each, not a walk over all events.
const NEXT_SESSION: &str =
    "SELECT session_id FROM transcript_events WHERE session_id > ?1 ORDER BY session_id LIMIT 1";

/// A page of one session's events. One that is too long to hold gives NULL, and is shortened.
const EVENTS: &str = "SELECT rowid, seq, if(octet_length(event_json) <= ?4, event_json, NULL), NULL
    FROM transcript_events WHERE session_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";

/// The same where events may be compressed, since schema 23.
const EVENTS_ZSTD: &str =
    "SELECT rowid, seq, if(octet_length(event_json) <= ?4, event_json, NULL), event_zstd
    FROM transcript_events WHERE session_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";

/// One event, or the length of one that is too long to hold.
const EVENT: &str =
    "SELECT if(octet_length(event_json) <= ?3, event_json, octet_length(event_json))
    FROM transcript_events WHERE session_id = ?1 AND seq = ?2";

const GENERATION: &str =
    "SELECT generation FROM transcript_rewrite_watermarks WHERE session_id = ?1";

const WINDOW: &str = "SELECT model_provider, model FROM session_windows WHERE session_id = ?1";

/// Before schema 14.
const SESSION: &str = "SELECT model_provider, model FROM sessions WHERE session_id = ?1";

/// The tables that say which key a session has, the newest schema first.
const KEYS: [(&str, &[&str], &str); 4] = [
    (
        "session_windows",
        &["session_id", "session_key"],
        "SELECT session_id, session_key FROM session_windows",
    ),
    (
        "session_nodes",
        &["current_session_id", "session_key"],
        "SELECT current_session_id, session_key FROM session_nodes",
    ),
    ("sessions", &["session_id", "session_key"], "SELECT session_id, session_key FROM sessions"),
    (
        "session_entries",
        &["session_id", "session_key"],
        "SELECT session_id, session_key FROM session_entries",
    ),
];

/// The index, since schema 14 and before: what was touched since it was last read.
const ENTRIES: [(&str, &str); 2] = [
    (
        "session_nodes",
        "SELECT session_key, entry_json, updated_at FROM session_nodes WHERE updated_at >= ?1",
    ),
    (
        "session_entries",
        "SELECT session_key, entry_json, updated_at FROM session_entries WHERE updated_at >= ?1",
    ),
];

/// Cold transcripts that must lie in files.
const COLD_FILES: &str =
    "SELECT session_id, archive_name FROM session_transcript_cold_archives WHERE storage = 'file'";

const ARCHIVES: &str = "SELECT rowid, session_id, generation || '/' || reason, encoding = 'zstd',
    archive_sha256 FROM session_transcript_archives WHERE typeof(archive_blob) = 'blob'";

const COLD_ARCHIVES: &str = "SELECT rowid, session_id, generation, 1, archive_sha256 FROM session_transcript_cold_archives WHERE storage = 'sqlite' AND typeof(archive_blob) = 'blob'";

/// Tables of whole transcripts: the table, the columns it must have, its blobs.
const ARCHIVE_TABLES: [(&str, &[&str], &str); 2] = [
    (
        "session_transcript_archives",
        &["session_id", "generation", "reason", "encoding", "archive_blob"],
        ARCHIVES,
    ),
    (
        "session_transcript_cold_archives",
        &["session_id", "generation", "storage", "archive_blob"],
        COLD_ARCHIVES,
    ),
];

/// Reads what is new in a store.
pub(super) fn read(
    store: &Store,
    database: &Connection,
    marks: &dyn Positions,
    found: &mut Found<'_>,
) -> rusqlite::Result<()> {
    let marks = marks.parts(store.source, &store.path.to_string_lossy());
    let mut reader = Reader {
        database,
        marks,
        found,
        store,
        kinds: SessionKinds::default(),
        backups: None,
        decompressor: None,
        event: Vec::new(),
        buffer: Vec::new(),
    };
    reader.kinds = reader.session_kinds()?;
    if !reader.live_sessions()? {
        return Ok(());
    }
    for (table, columns, blobs) in ARCHIVE_TABLES {
        reader.archives(table, columns, blobs)?;
    }
    for (table, entries) in ENTRIES {
        reader.entries(table, entries)?;
    }
    reader.cold_files(&store.path)
}

struct Reader<'a, 'b> {
    database: &'a Connection,
    marks: BTreeMap<String, Position>,
    found: &'a mut Found<'b>,
    store: &'a Store,
    kinds: SessionKinds,
    /// The copies that `sessions.compact` left when the sessions were in files, once they were asked for.
    backups: Option<BTreeMap<String, Vec<Store>>>,
    decompressor: Option<Decompressor<'static>>,
    /// The event that was decompressed last.
    event: Vec<u8>,
    /// Room for the lines of archives.
    buffer: Vec<u8>,
}

/// What is asked of each session, prepared once, in the words of the store's schema.
struct Questions<'a> {
    next_session: Statement<'a>,
    events: Statement<'a>,
    event: Statement<'a>,
    generation: Option<Statement<'a>>,
    model: Option<Statement<'a>>,
}

impl<'a> Reader<'a, '_> {
    /// Of what kind every session is, by its key.
    fn session_kinds(&self) -> rusqlite::Result<SessionKinds> {
        let mut kinds = HashMap::new();
        for (table, required, keys) in KEYS {
            let columns = columns(self.database, table)?;
            if required.iter().all(|name| columns.contains(*name)) {
                let mut keys = self.database.prepare(keys)?;
                let mut rows = keys.query([])?;
                while let Some(row) = rows.next()? {
                    // A row without either says nothing; it must not keep the transcripts from us.
                    let (session, key): (Option<String>, Option<String>) =
                        (row.get(0)?, row.get(1)?);
                    if let (Some(session), Some(key)) = (session, key) {
                        kinds.entry(session).or_insert_with(|| session_kind(&key).into());
                    }
                }
            }
        }
        Ok(kinds.into())
    }

    /// Reads what the index claims, from the last time on that was seen: the same entry may change twice
    /// in a millisecond.
    fn entries(&mut self, table: &str, entries: &str) -> rusqlite::Result<()> {
        let present = columns(self.database, table)?;
        let required = ["session_key", "entry_json", "updated_at"];
        if present.is_empty() || !self.has_columns(table, &present, &required) {
            return Ok(());
        }
        let before = self.marks.remove(table).map_or(0, |mark| mark.offset);
        let mut last = before;
        let mut odd = 0;
        let mut statement = self.database.prepare(entries)?;
        let mut rows = statement.query([i64::try_from(before).unwrap_or(i64::MAX)])?;
        while let Some(row) = rows.next()? {
            let key = row.get_ref(0)?.as_str().unwrap_or_default();
            let entry = row.get_ref(1)?.as_bytes().unwrap_or_default();
            match json::from_slice::<Entry<'_>>(entry) {
                Ok(entry) => {
                    if let Some(claim) = entry.claim(key, self.store.modified()) {
                        self.found.claim(claim);
                    }
                }
                Err(_) => odd += 1,
            }
            last = last.max(u64::try_from(row.get_ref(2)?.as_i64().unwrap_or(0)).unwrap_or(0));
            if self.found.is_full() {
                self.found.flush();
            }
        }
        if odd > 0 {
            let detail = format!("{table}.entry_json is not an object in {odd} rows");
            self.found.problem(ProblemKind::BadRecord, 0, detail);
        }
        self.found.advance(table, Position { offset: last, ..Position::default() });
        Ok(())
    }

    /// Names cold transcripts whose files are gone.
    fn cold_files(&mut self, database: &Path) -> rusqlite::Result<()> {
        let columns = columns(self.database, "session_transcript_cold_archives")?;
        if !["session_id", "archive_name", "storage"].iter().all(|name| columns.contains(*name)) {
            return Ok(());
        }
        // `agents/main/agent/openclaw-agent.sqlite` has them in `agents/main/sessions/cold`.
        let agent = database.parent().and_then(Path::parent).unwrap_or(database);
        let folders = [agent.join("sessions/cold"), agent.join("cold")];
        let mut statement = self.database.prepare(COLD_FILES)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (session, name): (String, String) = (row.get(0)?, row.get(1)?);
            // A name, not a path: it must not lead elsewhere.
            let name = Path::new(&name).file_name().unwrap_or_default();
            if !folders.iter().any(|folder| folder.join(name).exists()) {
                let detail = format!("the cold archive of session {session} is not there");
                let [path, _] = &folders;
                self.found.problem_at(&path.join(name), ProblemKind::Missing, detail);
            }
        }
        Ok(())
    }

    /// Reads the transcripts; `false` where this is no store of any schema that we know.
    fn live_sessions(&mut self) -> rusqlite::Result<bool> {
        let Some(mut questions) = self.questions()? else { return Ok(false) };
        let mut session = String::new();
        while let Some(next) = text(&mut questions.next_session, &session)? {
            if next <= session {
                self.found.problem(ProblemKind::Corrupt, 0, "transcript_events is out of order");
                break;
            }
            session = next;
            self.session(&mut questions, &session)?;
        }
        Ok(true)
    }

    /// What is there; `None` where there are no transcripts, said as a problem unless that is right.
    fn questions(&mut self) -> rusqlite::Result<Option<Questions<'a>>> {
        let events = columns(self.database, "transcript_events")?;
        if events.is_empty() {
            // Until 2026.7.1 the file held no sessions at all.
            for table in ["session_nodes", "session_entries", "sessions"] {
                if !columns(self.database, table)?.is_empty() {
                    let detail = "has sessions, but no table transcript_events";
                    self.found.problem(ProblemKind::UnknownSchema, 0, detail);
                    break;
                }
            }
            return Ok(None);
        }
        let required = ["session_id", "seq", "event_json"];
        if !self.has_columns("transcript_events", &events, &required) {
            return Ok(None);
        }
        let optional = |table: &str, required: &[&str], question: &str| {
            let columns = columns(self.database, table)?;
            let is_there = required.iter().all(|name| columns.contains(*name));
            is_there.then(|| self.database.prepare(question)).transpose()
        };
        let generation = ["session_id", "generation"];
        let models = ["session_id", "model_provider", "model"];
        let window = optional("session_windows", &models, WINDOW)?;
        Ok(Some(Questions {
            next_session: self.database.prepare(NEXT_SESSION)?,
            events: self.database.prepare(if events.contains("event_zstd") {
                EVENTS_ZSTD
            } else {
                EVENTS
            })?,
            event: self.database.prepare(EVENT)?,
            generation: optional("transcript_rewrite_watermarks", &generation, GENERATION)?,
            model: match window {
                Some(window) => Some(window),
                None => optional("sessions", &models, SESSION)?,
            },
        }))
    }

    /// Whether a table has these columns; the first that is missing is said as a problem.
    fn has_columns(&mut self, table: &str, columns: &BTreeSet<String>, names: &[&str]) -> bool {
        let missing = names.iter().find(|name| !columns.contains(**name));
        if let Some(missing) = missing {
            let detail = format!("{table} has no column {missing}");
            self.found.problem(ProblemKind::UnknownSchema, 0, detail);
        }
        missing.is_none()
    }

    fn session(&mut self, questions: &mut Questions<'_>, session: &str) -> rusqlite::Result<()> {
        let part = format!("events/{session}");
        let generation = match &mut questions.generation {
            Some(question) => text(question, session)?,
            None => None,
        };
        let mut position = match self.marks.remove(&part) {
            Some(mark) if is_continued(questions, session, &mark, generation.as_deref())? => mark,
            _ => Position::default(),
        };
        let generation = generation.unwrap_or_default();
        let state = position.state.split_once('\n').map_or("", |(_, state)| state);
        let mut decoder = TranscriptDecoder::new(session, self.store.modified(), state);
        decoder.expect(&self.kinds);
        if state.is_empty() {
            self.header_elsewhere(session, &mut decoder);
            if let Some(question) = &mut questions.model {
                choose_model(question, session, &mut decoder)?;
            }
        }
        loop {
            let count = self.page(&mut questions.events, session, &mut position, &mut decoder)?;
            if count == 0 {
                return Ok(());
            }
            position.state = format!("{generation}\n{}", decoder.state());
            position.tail_hash = event_hash(&mut questions.event, session, position.offset)?;
            self.found.advance(&part, position.clone());
            if count < PAGE_EVENTS {
                return Ok(());
            }
        }
    }

    /// Reads the header of a session from the first copy of it that was put aside: the session may have
    /// been cut, and have lost its own, before it was moved here.
    fn header_elsewhere(&mut self, session: &str, decoder: &mut TranscriptDecoder) {
        let store = self.store;
        let backups = self.backups.get_or_insert_with(|| backups(store));
        let copies = backups.get(session).map_or(&[][..], Vec::as_slice);
        read_first_head(copies, |_, line| is_header(line), decoder);
    }

    /// Reads one page behind `position` and moves it; returns how many events that were.
    fn page(
        &mut self,
        events: &mut Statement<'_>,
        session: &str,
        position: &mut Position,
        decoder: &mut TranscriptDecoder,
    ) -> rusqlite::Result<i64> {
        // The first event has the number 0.
        let after = if position.line == 0 {
            -1
        } else {
            i64::try_from(position.offset).unwrap_or(i64::MAX)
        };
        let mut rows = events.query(params![session, after, PAGE_EVENTS, value_bytes_max()])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let seq = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
            if position.line > 0 && seq <= position.offset {
                self.found.problem(ProblemKind::Corrupt, 0, "transcript_events is out of order");
                return Ok(0);
            }
            self.event(row, seq + 1, decoder)?;
            position.offset = seq;
            position.line += 1;
            count += 1;
        }
        Ok(count)
    }

    /// Hands one event to the decoder, as the line that it would be in a file.
    fn event(
        &mut self,
        row: &Row<'_>,
        number: u64,
        decoder: &mut TranscriptDecoder,
    ) -> rusqlite::Result<()> {
        if let ValueRef::Text(json) | ValueRef::Blob(json) = row.get_ref(2)? {
            decode(decoder, number, Some(json), self.found);
            return Ok(());
        }
        let result = if let ValueRef::Blob(packed) = row.get_ref(3)? {
            self.packed_event(packed, number, decoder)
        } else {
            let rowid = row.get(0)?;
            match self.database.blob_open(MAIN_DB, "transcript_events", "event_json", rowid, true) {
                Ok(json) => shortened(json, number, decoder, self.found),
                Err(_) => Err(io::Error::other("there is none")),
            }
        };
        if let Err(error) = result {
            let detail = format!("the event cannot be read: {error}");
            self.found.problem(ProblemKind::Corrupt, number, detail);
        }
        Ok(())
    }

    fn packed_event(
        &mut self,
        packed: &[u8],
        number: u64,
        decoder: &mut TranscriptDecoder,
    ) -> io::Result<()> {
        let length = Decompressor::upper_bound(packed).unwrap_or(usize::MAX);
        if length > LINE_BYTES_MAX {
            let json = zstd::stream::read::Decoder::new(packed)?;
            return shortened(json, number, decoder, self.found);
        }
        // One context for all: setting one up costs more than a short event.
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::new()?),
        };
        self.event.clear();
        self.event.reserve(length);
        decompressor.decompress_to_buffer(packed, &mut self.event)?;
        decode(decoder, number, Some(&self.event), self.found);
        Ok(())
    }

    /// Reads the transcripts that a table holds as blobs. They never change: each is read once.
    fn archives(
        &mut self,
        table: &'static str,
        required: &[&str],
        blobs: &str,
    ) -> rusqlite::Result<()> {
        let present = columns(self.database, table)?;
        if present.is_empty() || !self.has_columns(table, &present, required) {
            return Ok(());
        }
        let hash = if present.contains("archive_sha256") { "archive_sha256" } else { "NULL" };
        let mut statement = self.database.prepare(&blobs.replace("archive_sha256", hash))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (rowid, session, name) =
                (row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?);
            let part = format!("{table}/{session}/{name}");
            if self.marks.contains_key(&part) {
                continue;
            }
            let mut blob = self.database.blob_open(MAIN_DB, table, "archive_blob", rowid, true)?;
            let offset = blob.len() as u64;
            let (is_packed, expected) = (row.get(3)?, row.get::<_, Option<String>>(4)?);
            let is_whole = expected.map_or(Ok(true), |expected| is_sha256_of(&expected, &mut blob));
            let result = is_whole.and_then(|is_whole| {
                if !is_whole {
                    return Err(io::Error::other("its bytes are not those of archive_sha256"));
                }
                blob.rewind()?;
                if is_packed {
                    self.archive(zstd::stream::read::Decoder::new(blob)?, &session)
                } else {
                    self.archive(blob, &session)
                }
            });
            if let Err(error) = result {
                let detail = format!("{table}.archive_blob of session {session}: {error}");
                self.found.problem(ProblemKind::Corrupt, rowid.unsigned_abs(), detail);
            }
            self.found.advance(&part, Position { offset, ..Position::default() });
        }
        Ok(())
    }

    fn archive(&mut self, lines: impl Read, session: &str) -> io::Result<()> {
        let mut decoder = TranscriptDecoder::new(session, self.store.modified(), "");
        decoder.expect(&self.kinds);
        let mut reader = LineReader::new(lines, &mut self.buffer, (0, 0), true);
        while reader.next(&mut decoder, self.found)? {
            if self.found.is_full() {
                self.found.flush();
            }
        }
        Ok(())
    }
}

/// The whole copies in the folder of transcripts beside a database: those of each session in order.
fn backups(database: &Store) -> BTreeMap<String, Vec<Store>> {
    let agent = database.path.parent().and_then(Path::parent).unwrap_or(&database.path);
    let mut backups: BTreeMap<String, Vec<Store>> = BTreeMap::new();
    for entry in fs::read_dir(agent.join("sessions")).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if let Some(name) = name.to_str().filter(|name| artifact::is_backup(name))
            && let Some(kind) = artifact::in_sessions(name)
        {
            let copy = Store { path: entry.path(), kind, ..database.clone() };
            backups.entry(artifact::session(name).to_owned()).or_default().push(copy);
        }
    }
    for copies in backups.values_mut() {
        copies.sort_by(|a, b| a.path.cmp(&b.path));
    }
    backups
}

/// One text of one session, where there is one.
fn text(question: &mut Statement<'_>, session: &str) -> rusqlite::Result<Option<String>> {
    question.query_row([session], |row| row.get(0)).optional()
}

/// Whether a session's history up to `mark` is still the one that was read.
fn is_continued(
    questions: &mut Questions<'_>,
    session: &str,
    mark: &Position,
    generation: Option<&str>,
) -> rusqlite::Result<bool> {
    let before = mark.state.split_once('\n').map_or("", |(before, _)| before);
    if before != generation.unwrap_or_default() {
        return Ok(false);
    }
    let is_told = generation.is_some();
    Ok(is_told || event_hash(&mut questions.event, session, mark.offset)? == mark.tail_hash)
}

/// A hash of one event; 0 where it is gone.
fn event_hash(event: &mut Statement<'_>, session: &str, seq: u64) -> rusqlite::Result<u64> {
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    let hash = event.query_row(params![session, seq, value_bytes_max()], |row| {
        Ok(match row.get_ref(0)? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => hash64(bytes),
            ValueRef::Integer(length) => hash64(&length.to_le_bytes()),
            ValueRef::Real(_) | ValueRef::Null => 1,
        })
    });
    Ok(hash.optional()?.unwrap_or(0))
}

/// The model that the session's own row names, for answers that name none.
fn choose_model(
    question: &mut Statement<'_>,
    session: &str,
    decoder: &mut TranscriptDecoder,
) -> rusqlite::Result<()> {
    let choice = question
        .query_row([session], |row| {
            Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?))
        })
        .optional()?;
    if let Some((provider, model)) = choice {
        decoder.choose(provider.as_deref(), model.as_deref());
    }
    Ok(())
}

/// Hands an event that is too long to hold to the decoder.
fn shortened(
    json: impl Read,
    number: u64,
    decoder: &mut TranscriptDecoder,
    found: &mut Found<'_>,
) -> io::Result<()> {
    let json = Shortened::read(json)?.into_bytes();
    decode(decoder, number, json.as_deref(), found);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that looked up another table for each row took 30 s for 13,000 events.
    #[test]
    fn no_question_walks_over_the_events() {
        let database = Connection::open_in_memory().unwrap();
        database
            .execute_batch(
                "CREATE TABLE transcript_events(session_id TEXT NOT NULL, seq INTEGER NOT NULL,
                    event_json TEXT, event_zstd BLOB, PRIMARY KEY(session_id, seq));
                CREATE TABLE transcript_rewrite_watermarks(session_id TEXT NOT NULL PRIMARY KEY,
                    generation TEXT NOT NULL);
                CREATE TABLE session_windows(session_id TEXT NOT NULL PRIMARY KEY, model_provider, model);
                CREATE TABLE sessions(session_id TEXT NOT NULL PRIMARY KEY, model_provider, model);",
            )
            .unwrap();
        for question in [NEXT_SESSION, EVENTS, EVENTS_ZSTD, EVENT, GENERATION, WINDOW, SESSION] {
            let mut plan = database.prepare(&format!("EXPLAIN QUERY PLAN {question}")).unwrap();
            let parameters = vec![""; plan.parameter_count()];
            let mut steps = plan.query(rusqlite::params_from_iter(parameters)).unwrap();
            while let Some(step) = steps.next().unwrap() {
                let step: String = step.get(3).unwrap();
                assert!(step.starts_with("SEARCH"), "{question}: {step}");
            }
        }
    }
}
