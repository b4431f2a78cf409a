//! Walks over what lies below one root, on several threads: a folder, or many files of one, waits for
//! whichever is free.
//!
//! Most of the time of a look at the stores is the system's, which serves several at once.

use std::fs::{DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use trueup_core::{Problem, ProblemKind, StoreId};

use super::{Inventory, order, stamp};
use crate::{Agent, Store, StoreKind};

/// Deepest folder that is looked into: agents nest a handful deep, and a loop must end.
const DEPTH_MAX: usize = 16;

/// Files of one folder whose state one thread asks for.
const FILES_MAX: usize = 256;

/// Adds what lies below a root to an inventory, in no order.
pub(super) fn walk(
    agent: &'static dyn Agent,
    root: &Path,
    stands_for: &Path,
    threads: usize,
    inventory: &mut Inventory,
) {
    let walk = Walk {
        agent,
        root: root.into(),
        stands_for,
        waiting: Mutex::default(),
        has_changed: Condvar::default(),
    };
    let mut seen = Seen::default();
    match root.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            let (path, below) = (root.to_path_buf(), stands_for.to_path_buf());
            walk.look_into(Folder { path, below, depth: 0 }, &mut seen);
        }
        Ok(metadata) => walk.linked(root.to_path_buf(), stands_for, &metadata, &mut seen),
        Err(error) => walk.problem(root, &error, &mut seen),
    }
    let is_done = walk.waiting().tasks.is_empty();
    let helpers = if is_done { 0 } else { threads.saturating_sub(1) };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(|| walk.work())).collect();
        seen.add(walk.work());
        for helper in helpers {
            match helper.join() {
                Ok(of_helper) => seen.add(of_helper),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    inventory.stores.append(&mut seen.stores);
    inventory.folders.append(&mut seen.folders);
    inventory.problems.append(&mut seen.problems);
}

/// What one thread has seen.
#[derive(Default)]
struct Seen {
    stores: Vec<Store>,
    folders: Vec<PathBuf>,
    problems: Vec<(StoreId, Problem)>,
}

impl Seen {
    fn add(&mut self, mut other: Self) {
        self.stores.append(&mut other.stores);
        self.folders.append(&mut other.folders);
        self.problems.append(&mut other.problems);
    }
}

/// A folder to look into.
struct Folder {
    path: PathBuf,
    /// The same below the root, or below what that stands for.
    below: PathBuf,
    /// Folders above it, up to the root.
    depth: usize,
}

/// What a thread may take.
enum Task {
    Folder(Folder),
    /// Files of one folder that are stores by their names.
    Files(Vec<(DirEntry, StoreKind)>),
}

/// The tasks that nobody has taken, and how many are being done: while there are any, more may come.
#[derive(Default)]
struct Waiting {
    tasks: Vec<Task>,
    taken: usize,
}

struct Walk<'a> {
    agent: &'static dyn Agent,
    root: Arc<Path>,
    stands_for: &'a Path,
    waiting: Mutex<Waiting>,
    has_changed: Condvar,
}

/// While a task is being done; whatever comes of it, nobody waits for more of it after.
struct Taken<'a>(&'a Walk<'a>);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.waiting().taken -= 1;
        self.0.has_changed.notify_all();
    }
}

impl Walk<'_> {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does tasks until there are none.
    fn work(&self) -> Seen {
        let mut seen = Seen::default();
        while let Some((task, _taken)) = self.take() {
            match task {
                Task::Folder(folder) => self.look_into(folder, &mut seen),
                Task::Files(files) => self.files(files, &mut seen),
            }
        }
        // Long paths that begin alike take long to compare: each thread sorts its own.
        seen.stores.sort_by(|a, b| order(a).cmp(&order(b)));
        seen
    }

    /// A task that waits; nothing where none can come any more.
    fn take(&self) -> Option<(Task, Taken<'_>)> {
        let mut waiting = self.waiting();
        while waiting.tasks.is_empty() && waiting.taken > 0 {
            waiting = self.has_changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let task = waiting.tasks.pop()?;
        waiting.taken += 1;
        Some((task, Taken(self)))
    }

    /// Leaves a task to whichever thread is free.
    fn leave(&self, task: Task) {
        self.waiting().tasks.push(task);
        self.has_changed.notify_one();
    }

    fn look_into(&self, folder: Folder, seen: &mut Seen) {
        let mut files = Vec::new();
        let mut below = folder.below.clone();
        match std::fs::read_dir(&folder.path) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry.and_then(|entry| Ok((entry.file_type()?, entry)));
                    let (kind, entry) = match entry {
                        Ok(entry) => entry,
                        Err(error) => {
                            self.problem(&folder.path, &error, seen);
                            continue;
                        }
                    };
                    below.push(entry.file_name());
                    if kind.is_symlink() {
                        self.link(&folder, entry.path(), &below, seen);
                    } else if kind.is_dir() {
                        self.folder(entry.path(), &below, folder.depth + 1);
                    } else if kind.is_file()
                        && let Some(kind) = self.agent.classify(&below)
                    {
                        files.push((entry, kind));
                    }
                    below.pop();
                    if files.len() == FILES_MAX {
                        self.leave(Task::Files(std::mem::take(&mut files)));
                    }
                }
            }
            Err(error) => self.problem(&folder.path, &error, seen),
        }
        self.files(files, seen);
        seen.folders.push(folder.path);
    }

    fn files(&self, files: Vec<(DirEntry, StoreKind)>, seen: &mut Seen) {
        for (entry, kind) in files {
            match entry.metadata() {
                Ok(metadata) => self.file(entry.path(), kind, &metadata, seen),
                Err(error) => self.problem(&entry.path(), &error, seen),
            }
        }
    }

    /// Follows a link, unless it leads back to where it is.
    fn link(&self, folder: &Folder, path: PathBuf, below: &Path, seen: &mut Seen) {
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => match above(folder, &path) {
                Some(above) => {
                    let detail = format!("is a link back to {}", above.display());
                    self.unreadable(&path, detail, seen);
                }
                None => self.folder(path, below, folder.depth + 1),
            },
            Ok(metadata) => self.linked(path, below, &metadata, seen),
            Err(error) => {
                let leads_nowhere = error.kind() == io::ErrorKind::NotFound;
                let nothing = || "is a link to nothing".to_owned();
                let detail = if leads_nowhere { nothing() } else { error.to_string() };
                self.unreadable(&path, detail, seen);
            }
        }
    }

    /// Has a folder looked into, if the agent may keep stores there.
    fn folder(&self, path: PathBuf, below: &Path, depth: usize) {
        if depth <= DEPTH_MAX && self.agent.enters(below) {
            self.leave(Task::Folder(Folder { path, below: below.to_path_buf(), depth }));
        }
    }

    /// A file that may be no store, or a pipe or a device, which is none.
    fn linked(&self, path: PathBuf, below: &Path, metadata: &Metadata, seen: &mut Seen) {
        if metadata.is_file()
            && let Some(kind) = self.agent.classify(below)
        {
            self.file(path, kind, metadata, seen);
        }
    }

    fn file(&self, path: PathBuf, kind: StoreKind, metadata: &Metadata, seen: &mut Seen) {
        seen.stores.push(Store {
            source: self.agent.id(),
            root: Arc::clone(&self.root),
            stands_for: self.stands_for.to_path_buf(),
            path,
            kind,
            stamp: stamp(metadata),
        });
    }

    /// Notes what could not be looked at. What vanishes during the walk is no problem: agents delete
    /// sessions.
    fn problem(&self, path: &Path, error: &io::Error, seen: &mut Seen) {
        if error.kind() != io::ErrorKind::NotFound {
            self.unreadable(path, error.to_string(), seen);
        }
    }

    fn unreadable(&self, path: &Path, detail: String, seen: &mut Seen) {
        let store = StoreId::of_file(self.agent.id(), &path.to_string_lossy());
        seen.problems.push((store, Problem { kind: ProblemKind::Unreadable, line: 0, detail }));
    }
}

/// The folder on the way from the root to a link in `folder` that the link leads to.
fn above<'f>(folder: &'f Folder, link: &Path) -> Option<&'f Path> {
    let target = link.canonicalize().ok()?;
    let mut way = folder.path.ancestors().take(folder.depth + 1);
    way.find(|above| above.canonicalize().is_ok_and(|above| above == target))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::Discovery;
    use super::*;
    use crate::Environment;

    /// Folders that are linked to each other, and more files in one than a thread asks for at once.
    #[test]
    fn any_number_of_threads_finds_the_same() {
        let home = tempfile::tempdir().unwrap();
        let projects = home.path().join(".claude/projects");
        for folder in ["-a", "-b", "-c/s/subagents"] {
            fs::create_dir_all(projects.join(folder)).unwrap();
        }
        for at in 0..=FILES_MAX * 2 {
            fs::write(projects.join(format!("-a/{at}.jsonl")), "{}\n").unwrap();
        }
        fs::write(projects.join("-c/s/subagents/agent-1.jsonl"), "{}\n").unwrap();
        symlink(projects.join("-b"), projects.join("-a/to-b")).unwrap();
        symlink(projects.join("-a"), projects.join("-b/to-a")).unwrap();
        symlink("nowhere", projects.join("-b/dangling.jsonl")).unwrap();
        let agent = crate::agent("claude-code").unwrap();
        let environment = Environment { home: home.path().to_path_buf(), ..Environment::default() };
        let look = |threads| Discovery::default().look(&[agent], &environment, threads);
        let one = look(1);
        let is_in = |name: &str| one.stores.iter().any(|store| store.path.ends_with(name));
        assert!(is_in("-a/0.jsonl") && is_in("-c/s/subagents/agent-1.jsonl"));
        // By its own name and by the link, but not round and round.
        assert_eq!(one.stores.len(), 2 * (FILES_MAX * 2 + 1) + 1);
        let said: Vec<&str> = one.problems.iter().map(|(_, of)| &*of.detail).collect();
        assert_eq!(said.iter().filter(|said| **said == "is a link to nothing").count(), 2);
        assert_eq!(said.iter().filter(|said| said.starts_with("is a link back to")).count(), 2);
        assert_eq!(said.len(), 4);
        for threads in [2, 3, 8] {
            assert_eq!(format!("{:?}", look(threads)), format!("{one:?}"), "{threads} threads");
        }
    }
}
