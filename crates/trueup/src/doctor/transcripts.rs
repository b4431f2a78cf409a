//! Where the transcripts of sessions lie, and why nothing of one counts.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use trueup_agents::{Contents, Store, StoreKind, agent, inspect, sessions_in_index};
use trueup_core::{Position, ProblemKind, Text};
use trueup_ledger::OpenSession;

use super::stores::{is_archive, kind};
use super::{Item, Mend, OPENCLAW, RESTORE, Sight, Status, Verdict};
use crate::render::number::{self, counted};

/// The transcripts of OpenClaw's sessions.
#[derive(Debug, Default)]
pub(super) struct Transcripts {
    /// Places in the inventory, by session.
    files: BTreeMap<String, Vec<usize>>,
    /// The store that has events of a session, and how many.
    events: BTreeMap<String, (PathBuf, u64)>,
    /// Folders with an index, and the sessions that it names.
    indexes: BTreeMap<PathBuf, BTreeMap<String, Text>>,
}

/// What is put behind a session's name for each topic of a channel.
const TOPIC: &str = "-topic-";

/// How the part of a store is named that holds a session's events.
const EVENTS: &str = "events/";

impl Transcripts {
    pub(super) fn of(sight: &Sight<'_>) -> Self {
        let mut transcripts = Self::default();
        let Some(agent) = agent(OPENCLAW) else { return transcripts };
        for (at, store) in sight.inventory.stores.iter().enumerate() {
            if store.source != OPENCLAW {
                continue;
            }
            if let Some(name) = agent.session_named(store) {
                let session = name.split_once(TOPIC).map_or(name, |(session, _)| session);
                transcripts.files.entry(session.to_owned()).or_default().push(at);
            }
            match store.kind {
                StoreKind::Index => {
                    // One that cannot be read is a problem of its own.
                    if let (Ok(sessions), Some(folder)) =
                        (sessions_in_index(agent, store), store.path.parent())
                    {
                        transcripts.indexes.insert(folder.to_path_buf(), sessions);
                    }
                }
                StoreKind::Database => transcripts.add_events(sight, store),
                StoreKind::Lines | StoreKind::ZstdLines | StoreKind::Document => {}
            }
        }
        transcripts
    }

    fn add_events(&mut self, sight: &Sight<'_>, store: &Store) {
        let path = store.path.to_string_lossy();
        for (part, position) in sight.positions.parts(OPENCLAW, &path) {
            if let Some(session) = part.strip_prefix(EVENTS) {
                let place = (store.path.clone(), position.line);
                self.events.insert(session.to_owned(), place);
            }
        }
    }

    /// Whether anything of a session's transcript is there.
    pub(super) fn has(&self, session: &str) -> bool {
        self.files.contains_key(session) || self.events.contains_key(session)
    }

    /// Where a session's transcript is, or should be.
    pub(super) fn path_of(&self, sight: &Sight<'_>, session: &str) -> Option<String> {
        let mut files = self.files.get(session).into_iter().flatten();
        let file = files.find_map(|at| sight.inventory.stores.get(*at));
        let path = file
            .map(|store| store.path.clone())
            .or_else(|| self.events.get(session).map(|(path, _)| path.clone()))
            .or_else(|| self.expected(session))?;
        Some(path.display().to_string())
    }

    /// Where the transcript of a session should lie that an index names.
    fn expected(&self, session: &str) -> Option<PathBuf> {
        let (folder, _) =
            self.indexes.iter().find(|(_, sessions)| sessions.contains_key(session))?;
        Some(folder.join(format!("{session}.jsonl")))
    }

    /// Why nothing counts of a session of which an index claims usage.
    pub(super) fn why_nothing_counts(&self, sight: &Sight<'_>, open: &OpenSession) -> Item {
        let session = &*open.session;
        let files = self.files.get(session).into_iter().flatten();
        let stores: Vec<&Store> = files.filter_map(|at| sight.inventory.stores.get(*at)).collect();
        let (path, reason, mend) = self
            .broken_archive(sight, session)
            .or_else(|| stores.iter().find_map(|store| unreadable(sight, store)))
            .or_else(|| in_files(&stores))
            .or_else(|| self.in_a_store(session))
            .or_else(|| unknown_schema(sight))
            .unwrap_or_else(|| (self.expected(session), "no transcript file".into(), FIND));
        let path = path.map(|path| path.display().to_string());
        Item { path, ..Item::new(reason) }.of(session).mended(mend)
    }

    /// A cold archive of the session that is gone, or one that is damaged and may be the session's.
    fn broken_archive(&self, sight: &Sight<'_>, session: &str) -> Option<Reason> {
        let named = sight.problems.iter().find(|problem| {
            let is_broken = matches!(kind(problem), ProblemKind::Missing | ProblemKind::Corrupt);
            is_broken && problem.detail.contains(session)
        });
        if let Some(problem) = named {
            let reason = if kind(problem) == ProblemKind::Missing {
                "cold archive missing".to_owned()
            } else {
                format!("archive corrupt: {}", problem.detail)
            };
            return Some((Some(PathBuf::from(&*problem.store.path)), reason, RESTORE));
        }
        // The file of a cold archive does not say whose it is.
        let is_damaged_file = |problem: &&trueup_ledger::StoredProblem| {
            kind(problem) == ProblemKind::Corrupt && is_archive(problem) && !self.has(session)
        };
        let mut damaged = sight.problems.iter().filter(is_damaged_file);
        let (first, more) = (damaged.next()?, damaged.count());
        let which = if more == 0 { String::new() } else { format!(", or one of {more} others") };
        let reason = format!("cold archive corrupt{which}: {}", first.detail);
        Some((Some(PathBuf::from(&*first.store.path)), reason, RESTORE))
    }

    fn in_a_store(&self, session: &str) -> Option<Reason> {
        let (path, events) = self.events.get(session)?;
        let events = counted(*events, "event");
        Some((Some(path.clone()), format!("{events} in the store, and no call in them"), RESTORE))
    }
}

/// What files of the session hold instead of calls.
fn in_files(stores: &[&Store]) -> Option<Reason> {
    let agent = agent(OPENCLAW)?;
    let looked = stores.iter().map(|store| (store, inspect(agent, store)));
    let mut best: Option<(&Store, Contents)> = None;
    for (store, contents) in looked {
        match contents {
            Ok(Some(contents)) if best.is_none_or(|(_, best)| contents.lines > best.lines) => {
                best = Some((*store, contents));
            }
            Ok(_) => {}
            Err(error) => {
                return Some((Some(store.path.clone()), format!("cannot be read: {error}"), READ));
            }
        }
    }
    let (store, contents) = best?;
    let (reason, mend) = why(&contents, store.stamp.size_bytes);
    Some((Some(store.path.clone()), reason, mend))
}

/// Where it is, what is wrong, and what mends it.
type Reason = (Option<PathBuf>, String, Mend);

const FIND: Mend = (
    Some("put it back from a backup, or name the state folder that has it in OPENCLAW_STATE_DIR"),
    "trueup sync",
);
const READ: Mend = (Some("let the user of trueup read it"), "trueup sync");

/// Why a transcript with these lines has no call.
fn why(contents: &Contents, bytes: u64) -> (String, Mend) {
    let Contents { lines, headers, answers, answers_without_usage, mirrors, bad } = *contents;
    if answers > 0 {
        let answers = counted(answers, "answer");
        let reason = format!("{answers} in the transcript, counted in the session it is a copy of");
        return (reason, (None, "trueup report session --source openclaw"));
    }
    if answers_without_usage > 0 {
        let answers = counted(answers_without_usage, "answer");
        let first = "have the provider report usage (`supportsUsageInStreaming` of OpenClaw's model \
             settings); what is past stays an estimate";
        let mend = (Some(first), "trueup sync");
        return (format!("{answers} in the transcript, without usage"), mend);
    }
    if bad > 0 {
        let reason = format!("unreadable lines: {bad} of {lines}");
        return (reason, (None, "trueup sources --problems"));
    }
    if mirrors > 0 {
        let mend = (None, "trueup sources");
        return ("only delivery mirrors: no model was called here".to_owned(), mend);
    }
    let reason = match (lines, headers, bytes) {
        (_, _, 0) => "transcript empty".to_owned(),
        (0, ..) => "transcript without one whole line".to_owned(),
        (1, 1, _) => "header only".to_owned(),
        (lines, ..) => format!("no answer in the {} of the transcript", counted(lines, "line")),
    };
    (reason, RESTORE)
}

fn unreadable(sight: &Sight<'_>, store: &Store) -> Option<Reason> {
    let path = store.path.to_string_lossy();
    let problem = sight
        .problems
        .iter()
        .find(|problem| *problem.store.path == *path && kind(problem) == ProblemKind::Unreadable)?;
    Some((Some(store.path.clone()), format!("cannot be read: {}", problem.detail), READ))
}

fn unknown_schema(sight: &Sight<'_>) -> Option<Reason> {
    let problem = sight.problems.iter().find(|problem| {
        *problem.store.source == *OPENCLAW && kind(problem) == ProblemKind::UnknownSchema
    })?;
    let reason = format!("no transcript, and a store with an unknown schema: {}", problem.detail);
    let mend = (Some("install a trueup that knows it"), "trueup rebuild --source openclaw --yes");
    Some((Some(PathBuf::from(&*problem.store.path)), reason, mend))
}

/// Live transcripts that neither an index nor a store names: they count all the same.
pub(super) fn orphan_transcripts(sight: &Sight<'_>) -> Verdict {
    let transcripts = sight.transcripts();
    let Some(agent) = agent(OPENCLAW) else { return Verdict::ok("") };
    let is_orphan = |store: &&Store| {
        let index = store.path.parent().and_then(|folder| transcripts.indexes.get(folder));
        let is_live = store.path.extension().is_some_and(|ending| ending == "jsonl");
        let name = agent.session_named(store).filter(|_| is_live && store.source == OPENCLAW);
        let session = name.map(|name| name.split_once(TOPIC).map_or(name, |(session, _)| session));
        session.zip(index).is_some_and(|(session, index)| {
            !index.contains_key(session) && !transcripts.events.contains_key(session)
        })
    };
    let items: Vec<Item> = sight
        .inventory
        .stores
        .iter()
        .filter(is_orphan)
        .map(|store| Item {
            session: agent.session_named(store).map(ToOwned::to_owned),
            ..Item::new("no index names it; its calls count").at(&store.path)
        })
        .collect();
    let detail = match items.len() as u64 {
        0 => "none beside an index".to_owned(),
        count => format!("{}, counted all the same", counted(count, "transcript")),
    };
    let count = items.len();
    Verdict::ok(detail).with(items).meta("orphans", count)
}

/// How long the bytes behind the last newline may stay as they are: an agent writes a line in one go.
const TAIL_PATIENCE_MS: i64 = 10 * 60_000;

/// Files whose last line never ended: it is not counted.
pub(super) fn partial_tail_stuck(sight: &Sight<'_>) -> Verdict {
    let mut items = Vec::new();
    for store in sight.inventory.stores.iter().filter(|store| store.kind == StoreKind::Lines) {
        if sight.asked.is_some_and(|asked| asked != store.source) {
            continue;
        }
        let Some(position) = sight.positions.get(&store.id()) else { continue };
        let age_ms = sight.now.0.saturating_sub(store.modified().0);
        if age_ms >= TAIL_PATIENCE_MS && has_tail(position, store) {
            items.push(stuck(store, position, age_ms));
        }
    }
    let verdict = match items.len() as u64 {
        0 => Verdict::ok("every last line has its end"),
        count => {
            let detail = format!(
                "{} with a last line that has no end: it is not counted",
                counted(count, "file")
            );
            Verdict::new(Status::Warn, detail)
        }
    };
    verdict.with(items)
}

fn stuck(store: &Store, position: &Position, age_ms: i64) -> Item {
    let bytes = number::bytes(store.stamp.size_bytes.saturating_sub(position.offset));
    let age = number::duration_ms(age_ms);
    let first = "start the agent again, which ends the line, or end it yourself";
    Item::new(format!("{bytes} behind the last newline, unchanged for {age}"))
        .at(&store.path)
        .mended((Some(first), "trueup sync"))
}

/// Bytes of a tail that are looked at.
const TAIL_BYTES_MAX: u64 = 64 << 10;

/// Whether a file that was read to its end has something behind its last newline. What a crash of the
/// machine left there, zeros, is nothing; nor is what cannot be read now.
fn has_tail(position: &Position, store: &Store) -> bool {
    let is_read = position.stamp == store.stamp;
    if !is_read || position.offset >= store.stamp.size_bytes {
        return false;
    }
    let length = TAIL_BYTES_MAX.min(store.stamp.size_bytes - position.offset);
    let mut tail = vec![0; usize::try_from(length).unwrap_or(0)];
    let read = File::open(&store.path).and_then(|file| file.read_at(&mut tail, position.offset));
    let is_blank = |byte: &u8| *byte == 0 || byte.is_ascii_whitespace();
    read.is_ok_and(|count| !tail.iter().take(count).all(is_blank))
}
