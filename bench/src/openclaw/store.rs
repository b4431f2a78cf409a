//! OpenClaw's SQLite store: `agents/<agent>/agent/openclaw-agent.sqlite`, schema 23 (2026.9.6).
//!
//! The same lines as in a file, one row each; long ones compressed in `event_zstd` with a NULL
//! `event_json`. Only tables that hold or describe transcripts are made.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rusqlite::{Connection, params};

use super::lines::{Transcript, counted};

const SCHEMA: &str = "
CREATE TABLE schema_meta(meta_key TEXT PRIMARY KEY, role TEXT, schema_version INTEGER NOT NULL, agent_id TEXT,
  app_version TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) STRICT;
CREATE TABLE session_nodes(session_key TEXT PRIMARY KEY, current_session_id TEXT NOT NULL, entry_json TEXT NOT NULL,
  updated_at INTEGER NOT NULL, parent_session_key TEXT, spawned_by TEXT, fork_source_session_key TEXT,
  fork_source_session_id TEXT, created_via TEXT) STRICT;
CREATE TABLE session_windows(session_id TEXT PRIMARY KEY, session_key TEXT NOT NULL, previous_session_id TEXT,
  reason TEXT NOT NULL, model_provider TEXT, model TEXT, agent_harness_id TEXT, created_at INTEGER NOT NULL) STRICT;
CREATE TABLE transcript_events(session_id TEXT NOT NULL, seq INTEGER NOT NULL, event_json TEXT,
  created_at INTEGER NOT NULL, event_zstd BLOB, event_utf8_bytes INTEGER, navigation_json TEXT,
  PRIMARY KEY(session_id, seq)) STRICT;
CREATE TABLE transcript_rewrite_watermarks(session_id TEXT PRIMARY KEY, generation TEXT NOT NULL,
  updated_at INTEGER NOT NULL) STRICT;
CREATE TABLE session_transcript_archives(session_id TEXT NOT NULL, generation TEXT NOT NULL, session_key TEXT,
  reason TEXT NOT NULL, encoding TEXT NOT NULL, archive_blob BLOB NOT NULL, archive_sha256 TEXT, archive_name TEXT,
  created_at INTEGER NOT NULL, published_at INTEGER, PRIMARY KEY(session_id, generation)) STRICT;
";

/// Events from this size on may be compressed.
const ZSTD_BYTES_MIN: usize = 1024;
/// One eligible event in this many is.
const ZSTD_ONE_IN: usize = 3;

/// One agent's database, being written.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    path: PathBuf,
}

/// What was stored in a way that a reader may miss.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stored {
    pub(super) compressed: u64,
    /// The tokens on those lines.
    pub(super) compressed_tokens: u64,
}

impl Store {
    pub(super) fn create(path: &Path, agent: &str, now_ms: i64) -> Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let connection =
            Connection::open(path).with_context(|| format!("create {}", path.display()))?;
        connection.execute_batch(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA user_version=23;",
        )?;
        connection.execute_batch(SCHEMA)?;
        connection.execute(
            "INSERT INTO schema_meta VALUES('primary','agent',23,?1,'2026.9.6',?2,?2)",
            params![agent, now_ms],
        )?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// Stores every line of a transcript as an event of its session.
    pub(super) fn session(
        &mut self,
        transcript: &Transcript,
        parent: Option<&str>,
    ) -> Result<Stored> {
        let (id, at) = (&transcript.id, transcript.now_ms);
        let (_, provider, model) = transcript.engine;
        let key = format!("agent:{}:explicit:{id}", transcript.agent);
        let entry = format!(
            r#"{{"sessionId":"{id}","updatedAt":{at},"modelProvider":"{provider}","model":"{model}"}}"#
        );
        let reason = if parent.is_some() { "fork" } else { "initial" };
        let stored;
        let write = self.connection.transaction()?;
        write.execute(
            "INSERT INTO session_nodes VALUES(?1,?2,?3,?4,NULL,NULL,NULL,?5,'cli')",
            params![key, id, entry, at, parent],
        )?;
        write.execute(
            "INSERT INTO session_windows VALUES(?1,?2,?3,?4,?5,?6,NULL,?7)",
            params![id, key, parent, reason, provider, model, transcript.started_ms],
        )?;
        write.execute(
            "INSERT INTO transcript_rewrite_watermarks VALUES(?1,'0',?2)",
            params![id, transcript.started_ms],
        )?;
        {
            let mut insert =
                write.prepare("INSERT INTO transcript_events VALUES(?1,?2,?3,?4,?5,?6,NULL)")?;
            stored = events(&transcript.out, |seq, text, packed| {
                let bytes = packed.as_ref().map(|_| text.len() as i64);
                let json = packed.is_none().then_some(text);
                insert.execute(params![id, seq, json, at, packed, bytes])?;
                Ok(())
            })?;
        }
        write.commit()?;
        Ok(stored)
    }

    /// Leaves the file as a running gateway does: in WAL mode, checkpointed.
    pub(super) fn close(self) -> Result<()> {
        let mode: String =
            self.connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
        anyhow::ensure!(mode == "wal", "{} stays in mode {mode}", self.path.display());
        self.connection.close().map_err(|(_, error)| error)?;
        Ok(())
    }
}

fn events(
    lines: &[u8],
    mut store: impl FnMut(i64, &str, Option<Vec<u8>>) -> Result<()>,
) -> Result<Stored> {
    let (mut eligible, mut stored) = (0, Stored::default());
    for (seq, line) in
        lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).enumerate()
    {
        eligible += usize::from(line.len() >= ZSTD_BYTES_MIN);
        let pack = line.len() >= ZSTD_BYTES_MIN && eligible.is_multiple_of(ZSTD_ONE_IN);
        let packed = if pack { Some(compress(line)?) } else { None };
        if pack {
            stored.compressed += 1;
            stored.compressed_tokens += counted(line);
        }
        store(seq as i64, std::str::from_utf8(line)?, packed)?;
    }
    Ok(stored)
}

/// Level 1 with content size and checksum, as OpenClaw compresses rows and archives.
pub(super) fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(1)?;
    compressor.include_checksum(true)?;
    Ok(compressor.compress(bytes)?)
}
