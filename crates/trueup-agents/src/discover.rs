//! Finds the stores: which roots exist, and which files in them hold usage.
//!
//! Every file below a root is looked at, never an index of an agent's own: orphaned transcripts
//! count. Folders that cannot be read are named as problems and passed over; links are followed, and
//! a loop of links ends where it began.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use trueup_core::{Problem, ProblemKind, Stamp, StoreId};
use walkdir::WalkDir;

use crate::{Agent, Environment, Root, Store};

/// A root that was looked for.
#[derive(Debug, Clone)]
pub struct FoundRoot {
    /// The agent's source id.
    pub source: &'static str,
    /// Where.
    pub root: Root,
    /// Whether it is there.
    pub exists: bool,
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Every root that was looked for, there or not.
    pub roots: Vec<FoundRoot>,
    /// The stores, by path.
    pub stores: Vec<Store>,
    /// Folders and files that could not be looked at.
    pub problems: Vec<(StoreId, Problem)>,
}

/// Deepest folder that is looked into: agents nest a handful deep, and a loop must end.
const DEPTH_MAX: usize = 16;

/// Looks for the stores of `agents`.
#[must_use]
pub fn discover(agents: &[&'static dyn Agent], environment: &Environment) -> Inventory {
    let mut inventory = Inventory::default();
    for agent in agents {
        let mut seen = BTreeSet::new();
        for root in agent.roots(environment) {
            // Two names of one folder are one root: its files must not be read twice.
            let canonical = root.path.canonicalize().ok().filter(|path| path.is_dir());
            if let Some(path) = &canonical
                && seen.insert(path.clone())
            {
                walk(*agent, path, &mut inventory);
            }
            let exists = canonical.is_some();
            inventory.roots.push(FoundRoot { source: agent.id(), root, exists });
        }
    }
    // By their bytes: to compare paths part by part costs more than to find them.
    inventory.stores.sort_by(|a, b| order(a).cmp(&order(b)));
    inventory.stores.dedup_by(|a, b| a.source == b.source && a.path == b.path);
    inventory
}

fn order(store: &Store) -> (&str, &std::ffi::OsStr) {
    (store.source, store.path.as_os_str())
}

fn walk(agent: &'static dyn Agent, root: &Path, inventory: &mut Inventory) {
    let below = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_path_buf();
    let mut entries = WalkDir::new(root).follow_links(true).max_depth(DEPTH_MAX).into_iter();
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                inventory.problems.extend(walk_problem(agent, root, &error));
                continue;
            }
        };
        if entry.file_type().is_dir() {
            if entry.depth() > 0 && !agent.enters(&below(entry.path())) {
                entries.skip_current_dir();
            }
        } else if let Some(kind) = agent.classify(&below(entry.path())) {
            match entry.metadata() {
                Ok(metadata) if metadata.is_file() => inventory.stores.push(Store {
                    source: agent.id(),
                    root: root.to_path_buf(),
                    path: entry.into_path(),
                    kind,
                    stamp: stamp(&metadata),
                }),
                Ok(_) => {}
                Err(error) => inventory.problems.extend(walk_problem(agent, root, &error)),
            }
        }
    }
}

/// What to say of something that could not be looked at. Files that vanish during the walk are no
/// problem: agents delete sessions.
fn walk_problem(
    agent: &dyn Agent,
    root: &Path,
    error: &walkdir::Error,
) -> Option<(StoreId, Problem)> {
    let has_vanished =
        error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    let is_dangling = error.path().is_some_and(Path::is_symlink);
    if has_vanished && !is_dangling {
        return None;
    }
    let path: PathBuf = error.path().unwrap_or(root).to_path_buf();
    let detail = match error.loop_ancestor() {
        Some(ancestor) => format!("is a link back to {}", ancestor.display()),
        None if is_dangling => "is a link to nothing".to_owned(),
        None => error.io_error().map_or_else(|| "cannot be read".to_owned(), ToString::to_string),
    };
    let store = StoreId {
        source: agent.id().into(),
        path: path.to_string_lossy().as_ref().into(),
        part: "".into(),
    };
    Some((store, Problem { kind: ProblemKind::Unreadable, line: 0, detail }))
}

/// The identity and size of a file.
pub(crate) fn stamp(metadata: &Metadata) -> Stamp {
    Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size_bytes: metadata.size(),
        modified_ns: metadata
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(metadata.mtime_nsec()),
    }
}

/// The stores of one session of Claude Code: its transcript and those of its sub-agents, without a
/// look at anything else. Empty where the transcript is not there.
#[must_use]
pub fn session_stores(agent: &'static dyn Agent, transcript: &Path) -> Vec<Store> {
    let mut inventory = Inventory::default();
    let Some(root) = transcript.parent().and_then(|folder| folder.canonicalize().ok()) else {
        return Vec::new();
    };
    let Some(name) = transcript.file_name() else { return Vec::new() };
    let path = root.join(name);
    // Only a file: opening a pipe would wait for whoever writes into it.
    let metadata = path.metadata().ok().filter(Metadata::is_file);
    if let (Some(metadata), Some(kind)) = (metadata, agent.classify(Path::new(name))) {
        let stamp = stamp(&metadata);
        inventory.stores.push(Store { source: agent.id(), root, path: path.clone(), kind, stamp });
    }
    walk(agent, &path.with_extension(""), &mut inventory);
    inventory.stores
}
