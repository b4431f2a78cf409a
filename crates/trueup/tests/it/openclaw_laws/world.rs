//! A state folder that changes as OpenClaw changes it, and what it must come to in the end.
//!
//! Every call has a number of its own, `n`: it used `n²` tokens of input and `n` of output, so that no
//! two runs of a session used the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use proptest::prelude::*;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tempfile::TempDir;

/// When the first session begins.
const BEGIN_MS: i64 = 1_771_027_200_000;

/// Between two runs: longer than the time for which a call before a claim is taken for its run.
const BETWEEN_RUNS_MS: i64 = 15 * 60_000;

/// One change of the folder, to one of its sessions.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    /// A run of so many calls; nothing of it is in a file yet.
    Run(u8),
    /// A share of what is due gets into the transcript, wherever that cuts a line.
    Write(u8),
    /// The index says what the last run used.
    Claim,
    /// Something else in the index changes.
    Touch,
    /// A compaction or a reset clears what the index says.
    Clear,
    /// The session is reset or deleted, its transcript perhaps packed, and another begins.
    Archive { is_reset: bool, is_packed: bool },
    /// A whole copy is put aside, and the transcript loses all but its last lines.
    Compact { keeps: u8, in_place: bool },
    /// A whole copy is put aside.
    Duplicate,
    /// The same bytes, in another file.
    Replace,
    /// A session that begins as a copy.
    Fork,
    /// The session moves to the store; a copy stays in the import's archive.
    Migrate { keeps_file: bool },
    /// The store's rows of the session are written anew.
    Rewrite,
}

/// Any change.
pub(super) fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (1..4_u8).prop_map(Change::Run),
        6 => any::<u8>().prop_map(Change::Write),
        3 => Just(Change::Claim),
        1 => Just(Change::Touch),
        1 => Just(Change::Clear),
        2 => any::<(bool, bool)>()
            .prop_map(|(is_reset, is_packed)| Change::Archive { is_reset, is_packed }),
        2 => (0..4_u8, any::<bool>())
            .prop_map(|(keeps, in_place)| Change::Compact { keeps, in_place }),
        1 => Just(Change::Duplicate),
        1 => Just(Change::Replace),
        2 => Just(Change::Fork),
        2 => any::<bool>().prop_map(|keeps_file| Change::Migrate { keeps_file }),
        2 => Just(Change::Rewrite),
    ]
}

/// What a session came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) calls: u64,
    pub(super) input: u64,
    pub(super) output: u64,
}

/// A run, and the times of its calls.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) session: String,
    pub(super) used: Used,
    pub(super) times: BTreeSet<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    File,
    Store,
    Archive,
}

#[derive(Debug)]
struct Session {
    id: String,
    key: String,
    parent: Option<String>,
    /// The live transcript as it is, or will be when all that is due is written.
    text: Vec<u8>,
    /// Bytes of it that are written; to the store, whole lines.
    written: usize,
    place: Place,
    last_run: Option<usize>,
}

/// The folder and its truth.
#[derive(Debug)]
pub(super) struct World {
    folder: TempDir,
    sessions: Vec<Session>,
    pub(super) runs: Vec<Run>,
    index: BTreeMap<String, Value>,
    /// Runs that the index tells of now, by their sessions' keys.
    pub(super) claimed: BTreeMap<String, usize>,
    pub(super) truth: BTreeMap<String, Used>,
    /// Whether entries of the index say when their run began and ended.
    pub(super) has_times: bool,
    now_ms: i64,
    calls: u64,
    names: u64,
}

impl World {
    /// A folder with two sessions that have done nothing yet.
    pub(super) fn new(has_times: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for below in ["sessions", "agent", "session-sqlite-import-archive"] {
            fs::create_dir_all(folder.path().join("agents/main").join(below)).unwrap();
        }
        let mut world = Self {
            folder,
            sessions: Vec::new(),
            runs: Vec::new(),
            index: BTreeMap::new(),
            claimed: BTreeMap::new(),
            truth: BTreeMap::new(),
            has_times,
            now_ms: BEGIN_MS,
            calls: 0,
            names: 0,
        };
        world.begin("agent:main:main".to_owned(), None, &[]);
        world.begin("agent:main:cron:job".to_owned(), None, &[]);
        world
    }

    /// The state folder.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Changes one of the sessions.
    pub(super) fn change(&mut self, which: u8, change: Change) {
        let at = usize::from(which) % self.sessions.len();
        if self.sessions[at].place == Place::Archive {
            return;
        }
        self.now_ms += 1_000;
        match change {
            Change::Run(calls) => self.run(at, calls),
            Change::Write(share) => self.write(at, share),
            Change::Claim => self.claim(at),
            Change::Touch => self.touch(at),
            Change::Clear => self.clear(at),
            Change::Archive { is_reset, is_packed } => self.archive(at, is_reset, is_packed),
            Change::Compact { keeps, in_place } => self.compact(at, keeps, in_place),
            Change::Duplicate => self.duplicate(at),
            Change::Replace => self.replace(at),
            Change::Fork => self.fork(at),
            Change::Migrate { keeps_file } => self.migrate(at, keeps_file),
            Change::Rewrite => self.rewrite(at),
        }
    }

    /// Writes everything that is due.
    pub(super) fn settle(&mut self) {
        for at in 0..self.sessions.len() {
            self.write(at, u8::MAX);
        }
    }

    fn begin(&mut self, key: String, parent: Option<String>, copied: &[u8]) {
        self.names += 1;
        let id = format!("{:08x}-0000-4000-8000-000000000000", self.names);
        let began = iso(self.now_ms);
        let parent_session = parent.as_ref().map_or_else(String::new, |parent| {
            format!(r#","parentSession":"/srv/{parent}.jsonl""#)
        });
        let header = format!(
            r#"{{"type":"session","version":4,"id":"{id}","timestamp":"{began}","cwd":"/home/u/app"{parent_session}}}"#
        );
        let mut text = format!("{header}\n").into_bytes();
        text.extend_from_slice(copied);
        self.now_ms += 1_000;
        self.sessions.push(Session {
            id,
            key,
            parent,
            text,
            written: 0,
            place: Place::File,
            last_run: None,
        });
    }

    fn run(&mut self, at: usize, calls: u8) {
        self.now_ms += BETWEEN_RUNS_MS;
        let session = &mut self.sessions[at];
        let mut run =
            Run { session: session.id.clone(), used: Used::default(), times: BTreeSet::new() };
        for _ in 0..calls {
            self.calls += 1;
            self.now_ms += 700;
            let (input, output) = (self.calls * self.calls, self.calls);
            let entry = entry(self.calls, self.now_ms);
            session.text.extend_from_slice(format!("{entry}\n").as_bytes());
            run.times.insert(self.now_ms);
            for used in [&mut run.used, self.truth.entry(session.id.clone()).or_default()] {
                used.calls += 1;
                used.input += input;
                used.output += output;
            }
        }
        session.last_run = Some(self.runs.len());
        self.runs.push(run);
        self.now_ms += 50;
    }

    fn write(&mut self, at: usize, share: u8) {
        let session = &self.sessions[at];
        let due = session.text.len() - session.written;
        let bytes = (due * usize::from(share)).div_ceil(255);
        match session.place {
            Place::Archive => {}
            Place::Store => {
                let end = session.written + bytes;
                // A row is written whole.
                let line = session.text[..end].iter().rposition(|byte| *byte == b'\n');
                self.insert(at, line.map_or(0, |line| line + 1));
            }
            Place::File => {
                let path = self.live(at);
                let mut file = File::options().create(true).append(true).open(path).unwrap();
                file.write_all(&session.text[session.written..][..bytes]).unwrap();
                self.sessions[at].written += bytes;
            }
        }
    }

    fn claim(&mut self, at: usize) {
        let session = &self.sessions[at];
        let Some(number) = session.last_run else { return };
        let run = &self.runs[number];
        let (first, last) = (run.times.first().unwrap(), run.times.last().unwrap());
        let mut entry = json!({
            "sessionId": session.id, "updatedAt": last + 30, "modelProvider": "p", "model": "m",
            "inputTokens": run.used.input, "outputTokens": run.used.output,
            "cacheRead": 0, "cacheWrite": 0, "totalTokens": run.used.input,
        });
        if self.has_times {
            entry["startedAt"] = (first - 100).into();
            entry["endedAt"] = (last + 20).into();
            entry["status"] = "done".into();
        }
        if let Some(parent) = &session.parent {
            entry["parentSessionId"] = parent.as_str().into();
        }
        self.index.insert(session.key.clone(), entry);
        self.claimed.insert(session.key.clone(), number);
        self.write_index();
    }

    fn touch(&mut self, at: usize) {
        if let Some(entry) = self.index.get_mut(&self.sessions[at].key) {
            entry["updatedAt"] = self.now_ms.into();
            entry["label"] = format!("{}", self.now_ms).into();
            self.write_index();
        }
    }

    fn clear(&mut self, at: usize) {
        let session = &self.sessions[at];
        let entry =
            json!({"sessionId": session.id, "updatedAt": self.now_ms, "totalTokens": 2_580});
        self.claimed.remove(&session.key);
        self.index.insert(session.key.clone(), entry);
        self.write_index();
    }

    fn archive(&mut self, at: usize, is_reset: bool, is_packed: bool) {
        let Some(path) = self.whole_file(at) else { return };
        let reason = if is_reset { "reset" } else { "deleted" };
        let stamp = self.stamp();
        if is_packed {
            let packed = zstd::bulk::compress(&self.sessions[at].text, 1).unwrap();
            let hex = format!("{:032x}", self.now_ms);
            let name = path.with_extension(format!("jsonl.{reason}.{stamp}.{hex}.zst"));
            fs::write(name, packed).unwrap();
            fs::remove_file(path).unwrap();
        } else {
            fs::rename(&path, path.with_extension(format!("jsonl.{reason}.{stamp}"))).unwrap();
        }
        self.clear(at);
        self.sessions[at].place = Place::Archive;
        self.begin(self.sessions[at].key.clone(), None, &[]);
    }

    fn compact(&mut self, at: usize, keeps: u8, in_place: bool) {
        let Some(path) = self.whole_file(at) else { return };
        let backup = path.with_extension(format!("jsonl.bak.{}", self.stamp()));
        let text = &self.sessions[at].text;
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let text = lines[lines.len().saturating_sub(usize::from(keeps))..].concat();
        if in_place {
            fs::copy(&path, backup).unwrap();
        } else {
            fs::rename(&path, backup).unwrap();
        }
        fs::write(path, &text).unwrap();
        self.sessions[at].written = text.len();
        self.sessions[at].text = text;
    }

    fn duplicate(&mut self, at: usize) {
        if let Some(path) = self.whole_file(at) {
            let copy = path.with_extension(format!("jsonl.bak.{}", self.stamp()));
            fs::copy(path, copy).unwrap();
        }
    }

    fn replace(&self, at: usize) {
        let path = self.live(at);
        if path.exists() {
            let new = path.with_extension("new");
            fs::copy(&path, &new).unwrap();
            fs::rename(new, path).unwrap();
        }
    }

    fn fork(&mut self, at: usize) {
        self.write(at, u8::MAX);
        let parent = &self.sessions[at];
        let mut lines = parent.text.split_inclusive(|byte| *byte == b'\n');
        let copied = lines.by_ref().filter(|line| !line.starts_with(br#"{"type":"session""#));
        let copied: Vec<u8> = copied.flatten().copied().collect();
        let key = format!("agent:main:dashboard:{}", self.names);
        self.begin(key, Some(parent.id.clone()), &copied);
    }

    fn migrate(&mut self, at: usize, keeps_file: bool) {
        let Some(path) = self.whole_file(at) else { return };
        let session = &mut self.sessions[at];
        session.place = Place::Store;
        session.written = 0;
        let name = format!("agent-main.{}.jsonl.imported-{}", session.id, self.now_ms);
        let archive = self.folder.path().join("agents/main/session-sqlite-import-archive");
        fs::copy(&path, archive.join(name)).unwrap();
        self.write(at, u8::MAX);
        if !keeps_file {
            fs::remove_file(path).unwrap();
        }
    }

    fn rewrite(&mut self, at: usize) {
        let session = &mut self.sessions[at];
        if session.place != Place::Store {
            return;
        }
        let end = std::mem::take(&mut session.written);
        let id = session.id.clone();
        let store = self.store();
        store.execute("DELETE FROM transcript_events WHERE session_id = ?1", [&id]).unwrap();
        let sql = "INSERT OR REPLACE INTO transcript_rewrite_watermarks VALUES (?1, ?2, 0)";
        store.execute(sql, params![id, self.now_ms.to_string()]).unwrap();
        self.insert(at, end);
    }

    /// Writes the lines of a session to the store, up to a byte of its text.
    fn insert(&mut self, at: usize, end: usize) {
        let mut store = self.store();
        let session = &mut self.sessions[at];
        let sql =
            "INSERT INTO transcript_events (session_id, seq, event_json, created_at, event_zstd)
            SELECT ?1, coalesce(max(seq), -1) + 1, ?2, 0, ?3 FROM transcript_events
            WHERE session_id = ?1";
        let transaction = store.transaction().unwrap();
        if end > session.written {
            let text = std::str::from_utf8(&session.text[session.written..end]).unwrap();
            for line in text.lines() {
                // Some rows are packed.
                let packed = line.len().is_multiple_of(3);
                let packed = packed.then(|| zstd::bulk::compress(line.as_bytes(), 1).unwrap());
                let plain = packed.is_none().then_some(line);
                transaction.execute(sql, params![session.id, plain, packed]).unwrap();
            }
            session.written = end;
        }
        transaction.commit().unwrap();
    }

    fn store(&self) -> Connection {
        let path = self.folder.path().join("agents/main/agent/openclaw-agent.sqlite");
        let store = Connection::open(path).unwrap();
        store
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
                CREATE TABLE IF NOT EXISTS transcript_events(session_id TEXT NOT NULL,
                    seq INTEGER NOT NULL, event_json TEXT, created_at INTEGER NOT NULL,
                    event_zstd BLOB, PRIMARY KEY(session_id, seq)) STRICT;
                CREATE TABLE IF NOT EXISTS transcript_rewrite_watermarks(
                    session_id TEXT NOT NULL PRIMARY KEY, generation TEXT NOT NULL,
                    updated_at INTEGER NOT NULL) STRICT;",
            )
            .unwrap();
        store
    }

    fn write_index(&self) {
        let path = self.folder.path().join("agents/main/sessions/sessions.json");
        let new = path.with_extension("tmp");
        fs::write(&new, serde_json::to_vec(&self.index).unwrap()).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// The session's file, with all that is due; `None` where it is in the store.
    fn whole_file(&mut self, at: usize) -> Option<PathBuf> {
        (self.sessions[at].place == Place::File).then(|| {
            self.write(at, u8::MAX);
            self.live(at)
        })
    }

    fn live(&self, at: usize) -> PathBuf {
        let name = format!("agents/main/sessions/{}.jsonl", self.sessions[at].id);
        self.folder.path().join(name)
    }

    /// `2026-05-20T10-00-00.000Z`.
    fn stamp(&self) -> String {
        iso(self.now_ms).replace(':', "-")
    }
}

/// A call as a line of a transcript, in OpenClaw's order of fields.
fn entry(number: u64, time_ms: i64) -> String {
    let (input, output, total) = (number * number, number, number * number + number);
    let written = iso(time_ms + 5);
    format!(
        r#"{{"type":"message","id":"{number:08x}","parentId":null,"timestamp":"{written}","message":{{"role":"assistant","content":[{{"type":"text","text":"an answer"}}],"provider":"p","model":"m","usage":{{"input":{input},"output":{output},"cacheRead":0,"cacheWrite":0,"totalTokens":{total}}},"stopReason":"stop","timestamp":{time_ms}}}}}"#
    )
}

fn iso(time_ms: i64) -> String {
    format!("{:.3}", Timestamp::from_millisecond(time_ms).unwrap())
}
