//! Finds the stores: which roots exist, and which files in them hold usage.
//!
//! Every file below a root is looked at, never an index of an agent's own: orphaned transcripts
//! count. Such an index only adds places, which the agent reads out of [`Guide`]s. Folders that
//! cannot be read are named as problems and passed over; links are followed, and a loop of links
//! ends where it began.

mod guides;
mod pattern;
mod walk;

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use trueup_core::{Problem, ProblemKind, Stamp, StoreId};

use crate::agent::{Guide, Place};
use crate::{Agent, Environment, Root, Store};
pub use guides::GuideProblems;
use guides::Guides;
use walk::walk;

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
    /// The folders that were looked into: where something is written, a store may be.
    pub folders: Vec<PathBuf>,
    /// Folders and files that could not be looked at.
    pub problems: Vec<(StoreId, Problem)>,
    /// Every guide that was read, and what is wrong with it.
    pub guides: Vec<GuideProblems>,
}

/// What the folder that a hook leaves events in would be called in a root.
pub(crate) const SPOOL: &str = "spool";

/// Looks for stores, again and again: what guides say is remembered while they are unchanged.
#[derive(Debug, Default)]
pub struct Discovery {
    guides: Guides,
}

/// Looks for the stores of `agents`, once.
#[must_use]
pub fn discover(agents: &[&'static dyn Agent], environment: &Environment) -> Inventory {
    Discovery::default().look(agents, environment, 1)
}

impl Discovery {
    /// Looks for the stores of `agents`, on `threads` threads.
    pub fn look(
        &mut self,
        agents: &[&'static dyn Agent],
        environment: &Environment,
        threads: usize,
    ) -> Inventory {
        let mut inventory = Inventory::default();
        for agent in agents {
            let walked = Vec::new();
            let mut search = Search { agent: *agent, threads, walked, inventory: &mut inventory };
            for root in roots(*agent, environment) {
                search.root(root);
            }
            search.spool(environment);
            self.follow(&mut search, environment);
        }
        self.guides.forget_unseen();
        // By their bytes: to compare paths part by part costs more than to find them.
        inventory.stores.sort_by(|a, b| order(a).cmp(&order(b)));
        inventory.stores.dedup_by(|a, b| a.source == b.source && a.path == b.path);
        inventory.folders.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
        inventory.problems.sort_by(|a, b| a.0.cmp(&b.0));
        inventory
    }

    /// Reads the guides of every root, and looks where they lead.
    fn follow(&mut self, search: &mut Search<'_>, environment: &Environment) {
        let agent = search.agent;
        let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
        let mut left: Vec<Guide> =
            search.walked.iter().flat_map(|root| agent.guides(root, environment)).collect();
        left.reverse();
        while let Some(guide) = left.pop() {
            if !seen.insert(guide.path.clone()) {
                continue;
            }
            let Some(mut directions) = self.guides.read(agent, &guide, environment) else {
                continue;
            };
            for next in directions.guides.drain(..).filter(|_| guide.named_by.is_none()) {
                left.push(Guide { named_by: Some(guide.path.clone()), ..next });
            }
            for place in directions.places.drain(..) {
                directions.problems.extend(search.place(place));
            }
            let problems = GuideProblems::new(agent, &guide, directions.problems);
            let guides = &mut search.inventory.guides;
            match guides.iter_mut().find(|known| known.guide == problems.guide) {
                Some(known) => known.problems.extend(problems.problems),
                None => guides.push(problems),
            }
        }
    }
}

/// The folders that an agent may keep all its things in, there or not; patterns stand for what they
/// match.
pub fn folders_of(agent: &dyn Agent, environment: &Environment) -> Vec<Root> {
    let expand = |root: Root| match pattern::places(&root) {
        found if found.is_empty() && !root.is_pattern => vec![root],
        found => found,
    };
    let is_meant = |root: &Root| !root.is_pattern || root.path.is_dir();
    roots(agent, environment).into_iter().flat_map(expand).filter(is_meant).collect()
}

fn roots(agent: &dyn Agent, environment: &Environment) -> Vec<Root> {
    match environment.pointed.get(agent.id()) {
        Some(root) => vec![root.clone()],
        None => agent.roots(environment),
    }
}

fn order(store: &Store) -> (&str, &std::ffi::OsStr) {
    (store.source, store.path.as_os_str())
}

/// The search for one agent's stores.
struct Search<'a> {
    agent: &'static dyn Agent,
    threads: usize,
    /// Roots of the usual kind that are there, each under its one real name.
    walked: Vec<PathBuf>,
    inventory: &'a mut Inventory,
}

impl Search<'_> {
    fn root(&mut self, root: Root) {
        let found = pattern::places(&root);
        if root.is_pattern && found.is_empty() {
            self.found(root, false);
            return;
        }
        for found in found {
            // Two names of one folder are one root: its files must not be read twice.
            let canonical = found.path.canonicalize().ok().filter(|path| path.is_dir());
            let exists = canonical.is_some();
            let is_new = canonical.is_some_and(|path| self.walk_once(path, &found.stands_for));
            if is_new || !found.is_pattern {
                self.found(found, exists);
            }
        }
    }

    /// Looks at the events that a hook left: those of the agent as it runs here, not of a folder that
    /// trueup was pointed at.
    fn spool(&mut self, environment: &Environment) {
        let is_pointed = environment.pointed.contains_key(self.agent.id());
        let folder = environment.spools.get(self.agent.id()).filter(|_| !is_pointed);
        if let Some(path) = folder.and_then(|folder| folder.canonicalize().ok()) {
            let stands_for = PathBuf::from(SPOOL);
            walk(self.agent, &path, &stands_for, self.threads, self.inventory);
            self.found(Root { stands_for, ..Root::new(path, "spool_dir") }, true);
        }
    }

    fn found(&mut self, root: Root, exists: bool) {
        self.inventory.roots.push(FoundRoot { source: self.agent.id(), root, exists });
    }

    /// Walks over a folder that was not walked over yet.
    fn walk_once(&mut self, path: PathBuf, stands_for: &Path) -> bool {
        let is_new = !self.walked.contains(&path);
        if is_new {
            walk(self.agent, &path, stands_for, self.threads, self.inventory);
            self.walked.push(path);
        }
        is_new
    }

    /// Looks at a place that a guide names; what is wrong with it.
    fn place(&mut self, place: Place) -> Vec<Problem> {
        let Place { root, line, is_required } = place;
        let mut problems = Vec::new();
        let found = pattern::places(&root);
        if found.is_empty() {
            self.found(root, false);
            return problems;
        }
        for found in found {
            match found.path.canonicalize() {
                Ok(path) if self.is_known(&path) => {}
                Ok(path) => {
                    walk(self.agent, &path, &found.stands_for, self.threads, self.inventory);
                    self.found(found, true);
                }
                Err(error) if is_required || error.kind() != io::ErrorKind::NotFound => {
                    let what = if error.kind() == io::ErrorKind::NotFound {
                        "is not there".to_owned()
                    } else {
                        format!("cannot be read: {error}")
                    };
                    let detail = format!("names {}, which {what}", found.path.display());
                    problems.push(Problem { kind: ProblemKind::Unreadable, line, detail });
                }
                Err(_) => self.found(found, false),
            }
        }
        problems
    }

    /// Whether a place lies in a root where it was found without being named.
    fn is_known(&self, path: &Path) -> bool {
        let is_file = path.is_file();
        self.walked.iter().any(|root| {
            let Ok(below) = path.strip_prefix(root) else { return false };
            let folder = if is_file { below.parent().unwrap_or(below) } else { below };
            let mut above = folder.ancestors().filter(|above| !above.as_os_str().is_empty());
            above.all(|above| self.agent.enters(above))
                && (!is_file || self.agent.classify(below).is_some())
        }) || self
            .inventory
            .roots
            .iter()
            .any(|known| known.source == self.agent.id() && known.exists && known.root.path == path)
    }
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
        inventory.stores.push(Store {
            source: agent.id(),
            root: root.into(),
            stands_for: PathBuf::new(),
            path: path.clone(),
            kind,
            stamp,
        });
    }
    walk(agent, &path.with_extension(""), Path::new(""), 1, &mut inventory);
    inventory.stores
}
