//! A fixture's home folder, read into an account.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tempfile::TempDir;
use trueup_agents::{Agent, Environment, Inventory, Positions, Store, discover, scan};
use trueup_core::{
    Batch, Call, Fact, Key, Outcome, Position, Rank, StoreId, Variant, Verdict, settle,
};

/// What a reader of batches keeps: the counted calls, positions and problems.
#[derive(Default, Clone)]
pub(crate) struct Account {
    calls: BTreeMap<Key, Vec<Call>>,
    pub(crate) positions: BTreeMap<StoreId, Position>,
    pub(crate) problems: Vec<String>,
}

impl Account {
    pub(crate) fn append(&mut self, batch: Batch) {
        for fact in batch.facts {
            if let Fact::Call(call) = fact {
                self.count(*call);
            }
        }
        self.positions.extend(batch.positions);
        for (store, problem) in batch.problems {
            let name = Path::new(&*store.path).file_name().unwrap_or_default().to_string_lossy();
            self.problems.push(format!("{name}:{} {}", problem.line, problem.kind.name()));
        }
    }

    fn count(&mut self, call: Call) {
        let counted = self.calls.entry(call.key).or_default();
        let seen: Vec<(Variant, Rank)> =
            counted.iter().map(|call| (call.variant, call.rank)).collect();
        match settle(&seen, call.variant, call.rank) {
            Verdict::Add => counted.push(call),
            Verdict::Replace(at) => counted[at] = call,
            Verdict::ReplaceAll => *counted = vec![call],
            Verdict::Ignore => {}
        }
    }

    /// One line a call, by time.
    pub(crate) fn text(&self) -> String {
        let mut lines: Vec<String> = self.calls.values().flatten().map(line).collect();
        lines.sort();
        let mut text = lines.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }

    pub(crate) fn calls(&self) -> impl Iterator<Item = &Call> {
        self.calls.values().flatten()
    }
}

fn line(call: &Call) -> String {
    let t = &call.tokens;
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let mut line = format!(
        "{} {} {} {} {} in={} read={} w5m={} w1h={} w={} out={} reason={}",
        call.time,
        or_dash(&call.origin.session),
        or_dash(&call.origin.project),
        or_dash(&call.origin.provider),
        or_dash(&call.origin.model),
        t.input,
        t.cache_read,
        t.cache_write_5m,
        t.cache_write_1h,
        t.cache_write,
        t.output,
        t.reasoning
    );
    if let Some(cost) = call.reported_cost {
        write!(line, " cost={cost}").unwrap();
    }
    if call.billing != trueup_core::Billing::default() {
        write!(line, " {:?}", call.billing).unwrap();
    }
    if let Outcome::Failed { error_type } = &call.outcome {
        write!(line, " failed={error_type}").unwrap();
    }
    line
}

impl Positions for Account {
    fn position(&self, store: &StoreId) -> Option<Position> {
        self.positions.get(store).cloned()
    }

    fn parts(&self, source: &str, path: &str) -> BTreeMap<String, Position> {
        self.positions
            .iter()
            .filter(|(store, _)| {
                *store.source == *source && *store.path == *path && !store.part.is_empty()
            })
            .map(|(store, position)| (store.part.to_string(), position.clone()))
            .collect()
    }
}

/// A copy of a fixture's home folder, for as long as a test needs it: opening a database leaves files
/// beside it.
pub(crate) struct Home(TempDir);

impl Deref for Home {
    type Target = Path;

    fn deref(&self) -> &Path {
        self.0.path()
    }
}

/// Where fixtures are kept.
pub(crate) fn fixture_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// One fixture's home folder, by agent and case.
pub(crate) fn fixture(name: &str) -> Home {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture_root().join(name), folder.path());
    Home(folder)
}

/// Every fixture: the agent, the case's name and its home folder.
pub(crate) fn fixtures() -> impl Iterator<Item = (&'static dyn Agent, String, Home)> {
    cases().into_iter().map(|(agent, name)| {
        let home = fixture(&name);
        (agent, name, home)
    })
}

/// Every fixture's agent and name.
pub(crate) fn cases() -> Vec<(&'static dyn Agent, String)> {
    let root = fixture_root();
    let mut cases = Vec::new();
    for agent in trueup_agents::AGENTS {
        let folder = root.join(agent.id());
        let found = fs::read_dir(&folder).unwrap_or_else(|error| {
            panic!("each agent has a fixture folder: {}: {error}", folder.display())
        });
        for case in found {
            cases.push((*agent, format!("{}/{}", agent.id(), case.unwrap().file_name().display())));
        }
    }
    cases.sort_by(|a, b| a.1.cmp(&b.1));
    cases
}

/// The stores of a home folder. Times of change are set to one instant, so that they are the same on
/// every machine.
pub(crate) fn inventory(agent: &'static dyn Agent, home: &Path) -> Inventory {
    let environment = Environment { home: home.to_path_buf(), ..Environment::default() };
    let mut inventory = discover(&[agent], &environment);
    for store in &mut inventory.stores {
        store.stamp.modified_ns = 1_795_000_000_000_000_000;
    }
    inventory
}

/// Reads stores into an account that may already know some of them.
pub(crate) fn read(agent: &'static dyn Agent, stores: &[Store], account: Account) -> Account {
    let before = account.clone();
    let account = Mutex::new(account);
    scan(&[agent], stores, &before, 1, &|batch| account.lock().unwrap().append(batch), &|_, _| {});
    account.into_inner().unwrap()
}

/// Copies a home folder to where a test may change it.
pub(crate) fn copy(from: &Path, to: &Path) {
    for entry in walk(from) {
        let target = to.join(entry.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&entry, &target).unwrap();
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}
