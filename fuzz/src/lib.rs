//! One store of one agent, made of any bytes: read at once, and in two parts.
//!
//! The law is that both end in the same account, wherever the parts divide. Bytes go through a real
//! file, because that is how they come: what is tested is the reader as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use tempfile::TempDir;
use trueup_agents::{Discovery, Environment, Positions, Store, agent, scan};
use trueup_core::{Account, Batch, Position, Stamp, StoreId};
use trueup_providers::{Ask, NamesOf, Span};

/// The time of change of every store, so that it is not of the clock: 2026-11-18.
const MODIFIED_NS: i64 = 1_795_000_000_000_000_000;

/// Reads `bytes` as the lines of a store at `path` below a home folder, whole and in two parts.
pub fn lines(source: &str, path: &str, bytes: &[u8]) {
    let store = Home::get().store(source, path);
    fs::write(&store.path, bytes).expect("the folder is ours");
    let mut whole = Reading::default();
    whole.read(&store);

    // The place depends on the bytes and on nothing else, so that a crash can be had again.
    let (first, _) = bytes.split_at(division(bytes));
    fs::write(&store.path, first).expect("the folder is ours");
    let mut parts = Reading::default();
    parts.read(&store);
    fs::write(&store.path, bytes).expect("the folder is ours");
    parts.read(&store);

    assert_eq!(parts.text(), whole.text(), "cut at {}", first.len());
    let once = whole.text();
    whole.positions.clear();
    whole.read(&store);
    assert_eq!(whole.text(), once, "read twice");
}

/// Reads `bytes` as a store that is read whole, and reads it again.
pub fn whole(source: &str, path: &str, bytes: &[u8]) {
    let store = Home::get().store(source, path);
    fs::write(&store.path, bytes).expect("the folder is ours");
    let mut reading = Reading::default();
    reading.read(&store);
    let once = reading.text();
    reading.read(&store);
    assert_eq!(reading.text(), once, "read again from where it was");
    reading.positions.clear();
    reading.read(&store);
    assert_eq!(reading.text(), once, "read twice");
}

/// Reads `bytes` as a file that says where further stores lie, twice: the second time from memory.
pub fn guide(source: &str, path: &str, bytes: &[u8]) {
    let home = Home::get();
    let agent = agent(source).expect("an agent that is read");
    let path = home.0.path().join(path);
    fs::create_dir_all(path.parent().expect("it is in a folder")).expect("the folder is ours");
    fs::write(&path, bytes).expect("the folder is ours");
    let environment = Environment { home: home.0.path().to_path_buf(), ..Environment::default() };
    let mut discovery = Discovery::default();
    let mut look = || {
        let inventory = discovery.look(&[agent], &environment, 2);
        inventory.guides.into_iter().map(|guide| guide.problems).collect::<Vec<_>>()
    };
    let once = look();
    assert_eq!(look(), once, "looked at again");
}

/// Reads `bytes` as a page of each family of a provider, and of names, twice. A fixture holds its page in a field.
pub fn page(provider: &str, bytes: &[u8]) {
    let provider = trueup_providers::provider(provider).expect("a provider that is known");
    let span = Span::days("2026-05-01", "2026-12-01").expect("two days");
    for family in provider.families() {
        let ask = Ask::new(family, span);
        let read = provider.page(&ask, page_of(bytes));
        assert_eq!(read, provider.page(&ask, page_of(bytes)), "read twice");
    }
    for of in [NamesOf::Projects, NamesOf::Keys("proj_a")] {
        let read = provider.names_page(of, bytes);
        assert_eq!(read, provider.names_page(of, bytes), "read twice");
    }
}

fn page_of(bytes: &[u8]) -> &[u8] {
    let begin = b"\"page\":";
    let at = bytes.windows(begin.len()).position(|window| window == begin);
    let page = at.and_then(|at| bytes.get(at + begin.len()..)).unwrap_or(bytes);
    page.strip_suffix(b"}\n").unwrap_or(page)
}

/// Where to divide some bytes: anywhere.
fn division(bytes: &[u8]) -> usize {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv);
    usize::try_from(hash % (bytes.len() as u64 + 1)).unwrap_or(0)
}

/// A home folder for as long as the process lives.
struct Home(TempDir);

impl Home {
    fn get() -> &'static Self {
        static HOME: OnceLock<Home> = OnceLock::new();
        HOME.get_or_init(|| Self(tempfile::tempdir().expect("a temporary folder can be made")))
    }

    fn store(&self, source: &str, path: &str) -> Store {
        let agent = agent(source).expect("an agent that is read");
        let path = self.0.path().join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).expect("the folder is ours");
        }
        let environment =
            Environment { home: self.0.path().to_path_buf(), ..Environment::default() };
        let roots = agent.roots(&environment);
        let root = roots.iter().find(|root| path.starts_with(&root.path));
        let root = &*root.expect("the path is in one of the agent's folders").path;
        let below = path.strip_prefix(root).unwrap_or(Path::new(""));
        let kind = agent.classify(below).expect("the path is a store's");
        // No file is stamped like this, so that none counts as unchanged.
        let stamp = Stamp { modified_ns: MODIFIED_NS, ..Stamp::default() };
        let root = root.into();
        Store { source: agent.id(), root, stands_for: PathBuf::new(), path, kind, stamp }
    }
}

/// What was read, and how far.
#[derive(Default)]
struct Reading {
    account: Account,
    positions: BTreeMap<StoreId, Position>,
}

impl Reading {
    fn read(&mut self, store: &Store) {
        let agent = agent(store.source).expect("an agent that is read");
        let batches = Mutex::new(Vec::new());
        let take = |batch: Batch| batches.lock().expect("nobody panicked").push(batch);
        let stores = std::slice::from_ref(store);
        // An error is as good an answer as any: what is asked for is no panic and no double count.
        scan(&[agent], stores, &Known(&self.positions), 1, &take, &|_, _| {});
        let batches = batches.into_inner().expect("nobody panicked");
        for batch in batches {
            self.positions.extend(batch.positions.iter().cloned());
            self.account.append(batch);
        }
    }

    fn text(&self) -> String {
        let mut lines: Vec<String> = self
            .account
            .counted()
            .map(|call| {
                let tokens = &call.counters.tokens;
                assert!(tokens.reasoning <= tokens.output, "reasoning is a part of the output");
                format!("{:?} {:?} {:?} {:?}", call.time, call.series, call.session, call.counters)
            })
            .collect();
        lines.sort_unstable();
        lines.join("\n")
    }
}

struct Known<'a>(&'a BTreeMap<StoreId, Position>);

impl Positions for Known<'_> {
    fn position(&self, store: &StoreId) -> Option<Position> {
        self.0.get(store).cloned()
    }

    fn parts(&self, source: &str, path: &str) -> BTreeMap<String, Position> {
        let is_of = |store: &StoreId| {
            *store.source == *source && *store.path == *path && !store.part.is_empty()
        };
        let parts = self.0.iter().filter(|(store, _)| is_of(store));
        parts.map(|(store, position)| (store.part.to_string(), position.clone())).collect()
    }
}
