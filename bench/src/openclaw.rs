//! OpenClaw: `.openclaw/agents/<agent>/sessions/*.jsonl*`, its index, and its SQLite store.
//!
//! The same entry lies in many places: forks, backups, archives, the store beside its import. Its
//! key is entry id and timestamp, wherever it lies; its owner is the session that wrote it first.

mod index;
mod lines;
mod store;
mod traps;

use std::collections::BTreeMap;

use anyhow::Result;

use self::index::Index;
use self::lines::{Engine, Reply, Transcript, counted};
use self::store::Store;
use self::traps::{
    BACKUP, BACKUP_ONLY, CLAIMED, DELETED, DELETED_ZST, FAILED, FORK, INDEX_ONLY, MIRROR,
    REASONING, RESET, STORED, STORED_COPY, STRADDLE, UNNAMED, ZSTD_ROWS,
};
#[cfg(test)]
pub(crate) use self::traps::{STORE_TRAPS, TRAPS};
use crate::desk::{Desk, Growing};
use crate::instant::{self, DAY_MS, END_MS, HOUR_MS};
use crate::truth::{Call, Usage};

/// The name of this agent in truth and reports.
pub(crate) const NAME: &str = "openclaw";

const ENGINES: &[Engine] = &[
    ("anthropic-messages", "anthropic", "claude-sonnet-4-6"),
    ("anthropic-messages", "anthropic", "claude-opus-4-8"),
    ("openai-responses", "openai", "gpt-5.4"),
    ("google-generative-ai", "google", "gemini-3-pro-preview"),
];
const AGENTS: &[&str] = &["main", "ops", "research"];
const CWDS: &[&str] = &[
    "/home/dev/.openclaw/workspace",
    "/home/dev/.openclaw/workspace-ops",
    "/home/dev/work/ledger",
];

/// What becomes of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    Live,
    Reset,
    Deleted,
    DeletedZst,
    Backup,
    Fork,
    IndexOnly,
    Stored,
    StoredImported,
    StoredFork,
}

const FILE_SCENES: &[Scene] = &[
    Scene::Live,
    Scene::Fork,
    Scene::Reset,
    Scene::Deleted,
    Scene::DeletedZst,
    Scene::Backup,
    Scene::IndexOnly,
    Scene::IndexOnly,
    Scene::IndexOnly,
];
const STORE_SCENES: &[Scene] =
    &[Scene::Stored, Scene::StoredFork, Scene::StoredImported, Scene::StoredImported];
/// The first replies of a corpus.
const REPLIES: &[Reply] =
    &[Reply::Answered, Reply::Mirror, Reply::Unnamed, Reply::Failed, Reply::Injected];

/// How large things are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Mean bytes of a session.
    pub(crate) session_bytes: u64,
    /// Mean bytes of what a tool answers.
    pub(crate) tool_bytes: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self { session_bytes: 450_000, tool_bytes: 4_600 }
    }
}

/// Mean bytes of the first session, which must be small enough to be forked.
const EARLY_BYTES_MEAN: u64 = 40_000;
/// Only sessions up to this size are forked, so that copies stay a small part of a corpus.
const PARENT_BYTES_MAX: usize = 200_000;

/// The state of one run over all sessions.
#[derive(Debug)]
struct Writer<'d, 'a> {
    desk: &'d mut Desk<'a>,
    budget: u64,
    sessions: usize,
    replies: usize,
    /// The last live (or stored) session that may be forked.
    earlier: Option<Transcript>,
    index: Index,
    stores: BTreeMap<&'static str, Store>,
    with_store: bool,
    shape: Shape,
}

/// Writes sessions until `budget` bytes are reached, most of them into SQLite if `with_store`.
pub(crate) fn generate(
    desk: &mut Desk<'_>,
    budget: u64,
    with_store: bool,
    shape: Shape,
) -> Result<()> {
    let mut writer = Writer::new(desk, budget, with_store, shape);
    let deck: Vec<Scene> =
        if with_store { [FILE_SCENES, STORE_SCENES].concat() } else { FILE_SCENES.to_vec() };
    while writer.desk.tree.bytes < budget || writer.sessions < deck.len() {
        let scene = deck.get(writer.sessions).copied().unwrap_or_else(|| writer.odd_scene());
        let early = writer.sessions < deck.len();
        writer.sessions += 1;
        writer.session(scene, early)?;
    }
    writer.index.write(&mut writer.desk.tree)?;
    writer.stores.into_values().try_for_each(Store::close)
}

/// Continues a session file by about `bytes`.
pub(crate) fn append(desk: &mut Desk<'_>, file: &mut Growing, bytes: u64) -> Result<()> {
    let mut writer = Writer::new(desk, bytes, false, Shape::default());
    writer.replies = REPLIES.len();
    let mut transcript = writer.begin(file.now_ms);
    transcript.id.clone_from(&file.session);
    transcript.cwd.clone_from(&file.project);
    if let Some(engine) = ENGINES.iter().find(|(_, _, model)| *model == file.model) {
        transcript.engine = *engine;
    }
    while (transcript.out.len() as u64) < bytes {
        writer.turn(&mut transcript)?;
    }
    file.now_ms = transcript.now_ms;
    desk.tree.extend(&file.path, &transcript.out, transcript.now_ms)
}

impl<'d, 'a> Writer<'d, 'a> {
    fn new(desk: &'d mut Desk<'a>, budget: u64, with_store: bool, shape: Shape) -> Self {
        let (index, stores) = (Index::default(), BTreeMap::new());
        let (sessions, replies, earlier) = (0, 0, None);
        Self { desk, budget, sessions, replies, earlier, index, stores, with_store, shape }
    }

    fn odd_scene(&mut self) -> Scene {
        if self.with_store && self.desk.rng.chance(850) {
            return match self.desk.rng.below(100) {
                0..6 => Scene::StoredFork,
                6..12 => Scene::StoredImported,
                _ => Scene::Stored,
            };
        }
        match self.desk.rng.below(100) {
            0..8 => Scene::Fork,
            8..16 => Scene::Reset,
            16..22 => Scene::Deleted,
            22..27 => Scene::DeletedZst,
            27..32 => Scene::Backup,
            32..36 => Scene::IndexOnly,
            _ => Scene::Live,
        }
    }

    fn begin(&mut self, now_ms: i64) -> Transcript {
        let rng = &mut self.desk.rng;
        let engine = ENGINES.get(rng.below(ENGINES.len() as u64) as usize).copied();
        Transcript {
            id: rng.uuid(),
            agent: rng.pick(AGENTS),
            cwd: rng.pick(CWDS).to_owned(),
            engine: engine.unwrap_or(("openai-responses", "openai", "gpt-5.4")),
            version: if rng.chance(500) { 4 } else { 3 },
            started_ms: now_ms,
            now_ms,
            out: Vec::new(),
            last_entry: String::new(),
            tokens: 0,
            last: None,
            cut: false,
        }
    }

    fn session(&mut self, scene: Scene, early: bool) -> Result<()> {
        let now_ms = instant::start(&mut self.desk.rng, early);
        let mut transcript = self.begin(now_ms);
        if scene == Scene::IndexOnly {
            return self.index_only(&mut transcript);
        }
        transcript.cut = scene == Scene::Backup;
        let parent =
            if matches!(scene, Scene::Fork | Scene::StoredFork) { self.parent() } else { None };
        if let Some(parent) = &parent {
            self.fork(&mut transcript, parent)?;
        } else {
            transcript.header(None)?;
        }
        transcript.opening(self.desk)?;
        self.turns(&mut transcript)?;
        self.finish(transcript, scene, parent.as_ref())
    }

    fn turns(&mut self, transcript: &mut Transcript) -> Result<()> {
        let most = if self.sessions < 2 { EARLY_BYTES_MEAN } else { self.shape.session_bytes };
        let mean = most.min(self.budget / 20).max(6_000);
        let wanted = transcript.out.len() as u64 + self.desk.rng.long_tail(mean).max(6_000);
        self.turn(transcript)?;
        if self.sessions % 7 == 3 {
            self.straddle(transcript)?;
        }
        while (transcript.out.len() as u64) < wanted && transcript.now_ms < END_MS - HOUR_MS {
            self.turn(transcript)?;
        }
        Ok(())
    }

    fn parent(&self) -> Option<Transcript> {
        let fits = |t: &&Transcript| t.out.len() <= PARENT_BYTES_MAX && t.now_ms < END_MS - DAY_MS;
        self.earlier.as_ref().filter(fits).cloned()
    }

    /// A child that repeats its parent's entries under a header of its own, in its own folder.
    fn fork(&mut self, child: &mut Transcript, parent: &Transcript) -> Result<()> {
        let gap = self.desk.rng.millis(HOUR_MS / 4, 6 * HOUR_MS);
        child.started_ms = instant::advance(parent.now_ms, gap);
        (child.now_ms, child.agent, child.version) =
            (child.started_ms, parent.agent, parent.version);
        child.header(Some(&path(parent, "")))?;
        let body = parent.out.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        child.out.extend_from_slice(parent.out.get(body..).unwrap_or_default());
        child.last_entry.clone_from(&parent.last_entry);
        child.tokens = parent.tokens;
        self.desk.trap(&FORK, parent.tokens.cast_signed());
        Ok(())
    }

    fn turn(&mut self, transcript: &mut Transcript) -> Result<()> {
        transcript.now_ms =
            instant::advance(transcript.now_ms, self.desk.rng.millis(2_000, 60_000));
        if self.desk.rng.chance(250) {
            let bytes = self.desk.rng.long_tail(500);
            transcript.prompt(self.desk, bytes)?;
        }
        let reply = REPLIES.get(self.replies).copied().unwrap_or_else(|| odd_reply(self.desk));
        self.replies += 1;
        let reply = if transcript.cut && reply == Reply::Unnamed { Reply::Answered } else { reply };
        let at_ms = transcript.now_ms;
        transcript.now_ms += self.desk.rng.millis(300, 20_000);
        self.reply(transcript, reply, at_ms)?;
        let bytes = self.desk.rng.long_tail(self.shape.tool_bytes);
        transcript.tool_result(self.desk, bytes)?;
        if self.desk.rng.chance(10) { transcript.compaction(self.desk) } else { Ok(()) }
    }

    fn reply(&mut self, transcript: &mut Transcript, reply: Reply, at_ms: i64) -> Result<()> {
        let used = match reply {
            Reply::Answered | Reply::Unnamed => draw(self.desk),
            Reply::Failed | Reply::Mirror | Reply::Injected => Usage::default(),
        };
        transcript.reply(self.desk, reply, at_ms, &used)?;
        match reply {
            Reply::Mirror | Reply::Injected => {
                self.desk.trap(&MIRROR, 0);
                return Ok(());
            }
            Reply::Failed => self.desk.trap(&FAILED, 0),
            Reply::Unnamed => self.desk.trap(&UNNAMED, -used.sum().cast_signed()),
            Reply::Answered => {}
        }
        if used.reasoning > 0 {
            self.desk.trap(&REASONING, used.reasoning.cast_signed());
        }
        transcript.tokens += self.desk.call(&call(transcript, at_ms, used));
        transcript.last = Some(used);
        Ok(())
    }

    /// A call that starts before midnight and is appended after it.
    fn straddle(&mut self, transcript: &mut Transcript) -> Result<()> {
        let midnight = transcript.now_ms - transcript.now_ms.rem_euclid(DAY_MS) + DAY_MS;
        if midnight >= END_MS - HOUR_MS {
            return Ok(());
        }
        transcript.now_ms = midnight + self.desk.rng.millis(200, 9_000);
        let before = transcript.tokens;
        self.reply(transcript, Reply::Answered, midnight - 700)?;
        self.desk.trap(&STRADDLE, (transcript.tokens - before).cast_signed());
        Ok(())
    }

    fn finish(
        &mut self,
        transcript: Transcript,
        scene: Scene,
        parent: Option<&Transcript>,
    ) -> Result<()> {
        let tokens = transcript.tokens.cast_signed();
        match scene {
            Scene::Live | Scene::Fork => self.live(&transcript, &transcript.out)?,
            Scene::Reset => {
                self.file(&transcript, &format!(".reset.{}", stamp(&transcript)), &transcript.out)?;
                self.desk.trap(&RESET, -tokens);
            }
            Scene::Deleted => {
                self.file(
                    &transcript,
                    &format!(".deleted.{}", stamp(&transcript)),
                    &transcript.out,
                )?;
                self.desk.trap(&DELETED, -tokens);
            }
            Scene::DeletedZst => {
                let suffix =
                    format!(".deleted.{}.{}.zst", stamp(&transcript), self.desk.rng.hex(32));
                self.file(&transcript, &suffix, &store::compress(&transcript.out)?)?;
                self.desk.trap(&DELETED_ZST, -tokens);
            }
            Scene::Backup => return self.backup(transcript),
            Scene::Stored | Scene::StoredImported | Scene::StoredFork => {
                self.store(&transcript, scene, parent.map(|p| p.id.as_str()))?;
            }
            Scene::IndexOnly => {}
        }
        if matches!(scene, Scene::Live | Scene::Stored) {
            self.earlier = Some(transcript);
        }
        Ok(())
    }

    /// A live session: its file, its line in the index, and its chance to grow.
    fn live(&mut self, transcript: &Transcript, body: &[u8]) -> Result<()> {
        self.file(transcript, "", body)?;
        if let Some(last) = transcript.last {
            self.index.claim(transcript, transcript.now_ms + 40, &last);
            self.desk.trap(&CLAIMED, last.sum().cast_signed());
        }
        if transcript.cut {
            return Ok(());
        }
        self.desk.tree.growing.push(Growing {
            agent: NAME.to_owned(),
            path: path(transcript, ""),
            session: transcript.id.clone(),
            project: transcript.cwd.clone(),
            model: transcript.engine.2.to_owned(),
            now_ms: transcript.now_ms,
            counters: None,
            torn: None,
        });
        Ok(())
    }

    /// `sessions.compact`: a whole backup, and a live file of the last lines without a header.
    fn backup(&mut self, mut transcript: Transcript) -> Result<()> {
        self.file(&transcript, &format!(".bak.{}", stamp(&transcript)), &transcript.out)?;
        let (half, before) = (transcript.out.len() / 2, transcript.tokens);
        let at = transcript.out.iter().skip(half).position(|&byte| byte == b'\n');
        let live = transcript.out.split_off(at.map_or(half, |at| half + at + 1));
        let kept = counted(&live);
        self.desk.trap(&BACKUP, kept.cast_signed());
        self.desk.trap(&BACKUP_ONLY, -(before - kept).cast_signed());
        transcript.out = live;
        self.turn(&mut transcript)?;
        self.live(&transcript, &transcript.out)
    }

    fn store(&mut self, transcript: &Transcript, scene: Scene, parent: Option<&str>) -> Result<()> {
        let path = format!(".openclaw/agents/{}/agent/openclaw-agent.sqlite", transcript.agent);
        let store = match self.stores.entry(transcript.agent) {
            std::collections::btree_map::Entry::Occupied(store) => store.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => place.insert(Store::create(
                &self.desk.tree.home.join(path),
                transcript.agent,
                transcript.started_ms,
            )?),
        };
        let stored = store.session(transcript, parent)?;
        self.desk.tree.bytes += transcript.out.len() as u64;
        self.desk.trap(&STORED, -transcript.tokens.cast_signed());
        for row in 0..stored.compressed {
            let tokens = if row == 0 { stored.compressed_tokens } else { 0 };
            self.desk.trap(&ZSTD_ROWS, -tokens.cast_signed());
        }
        if scene == Scene::StoredImported {
            self.imported(transcript)?;
        }
        Ok(())
    }

    /// What the migration left behind: the import's archive, or the old live file.
    fn imported(&mut self, transcript: &Transcript) -> Result<()> {
        self.desk.trap(&STORED_COPY, transcript.tokens.cast_signed());
        if self.desk.rng.chance(500) {
            return self.file(transcript, "", &transcript.out);
        }
        let (agent, id) = (transcript.agent, &transcript.id);
        let path = format!(
            ".openclaw/agents/{agent}/session-sqlite-import-archive/agent-{agent}-main.{id}.jsonl.imported-{}",
            transcript.now_ms
        );
        self.desk.tree.write(&path, &transcript.out, transcript.now_ms)
    }

    /// A session of which only the index knows: no file, an empty one, or a header alone.
    fn index_only(&mut self, transcript: &mut Transcript) -> Result<()> {
        let claim = draw(self.desk);
        self.index.claim(transcript, transcript.now_ms, &claim);
        match self.sessions % 3 {
            0 => {}
            1 => self.file(transcript, "", b"")?,
            _ => {
                transcript.header(None)?;
                self.file(transcript, "", &transcript.out)?;
            }
        }
        self.desk.trap(&INDEX_ONLY, -claim.sum().cast_signed());
        let claimed = Usage { reasoning: 0, ..claim };
        self.desk.books.estimated.enter(&call(transcript, transcript.now_ms, claimed));
        Ok(())
    }

    fn file(&mut self, transcript: &Transcript, suffix: &str, body: &[u8]) -> Result<()> {
        self.desk.tree.write(&path(transcript, suffix), body, transcript.now_ms)
    }
}

fn path(transcript: &Transcript, suffix: &str) -> String {
    format!(".openclaw/agents/{}/sessions/{}.jsonl{suffix}", transcript.agent, transcript.id)
}

/// `2026-10-01T12-00-00.000Z`.
fn stamp(transcript: &Transcript) -> String {
    format!("{}.000Z", instant::file_stamp(transcript.now_ms))
}

fn call(transcript: &Transcript, at_ms: i64, usage: Usage) -> Call {
    let (project, session) = (transcript.cwd.clone(), transcript.id.clone());
    Call { at_ms, model: transcript.engine.2.to_owned(), project, session, usage }
}

fn odd_reply(desk: &mut Desk<'_>) -> Reply {
    match desk.rng.below(1000) {
        0..12 => Reply::Mirror,
        12..18 => Reply::Injected,
        18..30 => Reply::Failed,
        30..50 => Reply::Unnamed,
        _ => Reply::Answered,
    }
}

/// The tokens of one call: about 57,000, most of them read from the cache.
fn draw(desk: &mut Desk<'_>) -> Usage {
    let rng = &mut desk.rng;
    let output = rng.long_tail(500) + 8;
    Usage {
        input: rng.long_tail(3_500) + 3,
        cache_read: rng.long_tail(51_000),
        cache_write: rng.long_tail(2_000),
        output,
        reasoning: if rng.chance(300) { output / 2 } else { 0 },
        ..Usage::default()
    }
}
