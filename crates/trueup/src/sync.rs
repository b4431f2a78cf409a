//! Brings the ledger up to what lies in the agents' stores.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use trueup_agents::{
    AGENTS, Agent, Discovery, Environment, Inventory, Positions, Scanned, Store, scan,
};
use trueup_core::{Batch, DAY_MS, Position, StoreId, UnixMs};
use trueup_ledger::{Ledger, Reader, StoredPositions, Writer};

/// What one look at the stores came to.
#[derive(Debug, Default)]
pub(crate) struct Synced {
    /// What was found where.
    pub(crate) inventory: Inventory,
    /// Bytes that were new.
    pub(crate) bytes_read: u64,
    /// Places that could not be understood, of those that were looked at.
    pub(crate) problems: u64,
}

/// Told of progress while stores are read.
pub(crate) trait Progress: Sync {
    /// Reading begins: so many stores, with so many bytes.
    fn begin(&self, _stores: usize, _bytes: u64) {}
    /// One more store was read.
    fn store(&self, _store: &Store, _scanned: Scanned) {}
}

/// Nobody is watching.
impl Progress for () {}

/// How far the ledger has read.
struct Known(StoredPositions);

impl Positions for Known {
    fn position(&self, store: &StoreId) -> Option<Position> {
        self.0.get(store).cloned()
    }

    fn parts(&self, source: &str, path: &str) -> BTreeMap<String, Position> {
        self.0.parts(source, path)
    }
}

/// Whose stores are read, and where they are looked for: kept between two looks.
#[derive(Debug)]
pub(crate) struct Stores {
    agents: Vec<&'static dyn Agent>,
    environment: Environment,
    discovery: Discovery,
}

impl Stores {
    /// The stores of every agent.
    pub(crate) fn of_all(environment: &Environment) -> Self {
        Self::of(AGENTS.to_vec(), environment)
    }

    /// The stores of these agents.
    pub(crate) fn of(agents: Vec<&'static dyn Agent>, environment: &Environment) -> Self {
        Self { agents, environment: environment.clone(), discovery: Discovery::default() }
    }

    /// Whether no agent is left out.
    fn are_of_all(&self) -> bool {
        let has = |id: &str| self.agents.iter().any(|agent| agent.id() == id);
        AGENTS.iter().all(|agent| has(agent.id()))
    }

    /// What is found now.
    fn look(&mut self, threads: usize) -> Inventory {
        self.discovery.look(&self.agents, &self.environment, threads)
    }
}

/// The agent of a source id, or what to say to whoever named another.
pub(crate) fn agent_named(id: &str) -> Result<&'static dyn Agent, String> {
    trueup_agents::agent(id).ok_or_else(|| {
        let known: Vec<&str> = AGENTS.iter().map(|agent| agent.id()).collect();
        format!("`{id}` is not an agent that is read; there are {}", known.join(", "))
    })
}

/// Reads what is new in the stores into the ledger, and waits until it is written.
pub(crate) fn sync(
    stores: &mut Stores,
    writer: &Writer,
    reader: &Reader,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Synced> {
    let epoch = reader.identity()?.epoch;
    let (inventory, known) = look(stores, reader, threads)?;
    // A closed writer means that the process is ending: what is lost will be read again.
    let emit = |batch| {
        let _is_queued = writer.submit(batch);
    };
    let synced = read(inventory, &Known(known), threads, &emit, progress);
    if writer.flush() {
        // Everything is told anew since: what was read from where the old positions were is not all.
        if reader.identity()?.epoch != epoch {
            writer.run(Ledger::forget_positions).context("the ledger is closed")??;
        }
        forget_events(&synced.inventory, crate::clock::now());
    }
    // Only where somebody waits for it: a look that finds nothing new must write nothing. A look at
    // some agents says nothing of the calls that others lack.
    if stores.are_of_all() && reader.has_pending_claims()? {
        emit(Batch { is_poll: true, ..Batch::default() });
        let _is_written = writer.flush();
    }
    Ok(synced)
}

/// Nothing counts as read, and where reading ends is kept.
struct Anew;

impl Positions for Anew {
    fn position(&self, _: &StoreId) -> Option<Position> {
        None
    }

    fn parts(&self, _: &str, _: &str) -> BTreeMap<String, Position> {
        BTreeMap::new()
    }

    fn is_anew(&self) -> bool {
        true
    }
}

/// Batches that are read ahead of `take`.
const BATCHES_AHEAD_MAX: usize = 8;

/// Reads the stores from their start, whatever was read before. `take` is handed what is read, some
/// batches at a time, on this thread; after its first error, what is left is passed over.
pub(crate) fn read_anew(
    stores: &mut Stores,
    threads: usize,
    progress: &dyn Progress,
    mut take: impl FnMut(&[&Batch]) -> Result<()>,
) -> Result<Synced> {
    let inventory = stores.look(threads);
    let (sender, batches) = sync_channel::<Batch>(BATCHES_AHEAD_MAX);
    // The receiver goes with the closure: after an error nobody waits to be taken from.
    std::thread::scope(move |scope| {
        let reading = scope.spawn(move || {
            // Nobody takes any more: the error is told below.
            let emit = |batch| {
                let _is_taken = sender.send(batch).is_ok();
            };
            read(inventory, &Anew, threads, &emit, progress)
        });
        while let Ok(first) = batches.recv() {
            let taken: Vec<Batch> =
                std::iter::once(first).chain(batches.try_iter().take(BATCHES_AHEAD_MAX)).collect();
            take(&taken.iter().collect::<Vec<_>>())?;
        }
        reading.join().map_err(|_| anyhow!("reading the stores has failed"))
    })
}

/// How long events of hooks are kept once they were read, so that a rebuild hears them again.
const EVENTS_KEPT_MS: i64 = 30 * DAY_MS;

/// How many are kept: far fewer than a hook leaves before it drops any.
const EVENTS_KEPT_MAX: usize = 2_000;

/// Removes the oldest events of hooks; all of them were read.
fn forget_events(inventory: &Inventory, now: UnixMs) {
    let mut events: Vec<&Store> =
        inventory.stores.iter().filter(|store| store.is_event()).collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.stamp.modified_ns));
    let is_old = |event: &Store| event.modified().0 < now.0 - EVENTS_KEPT_MS;
    for (at, event) in events.into_iter().enumerate() {
        if at >= EVENTS_KEPT_MAX || is_old(event) {
            // One that cannot be removed is read and known, and costs nothing but its place.
            let _is_removed = std::fs::remove_file(&event.path).is_ok();
        }
    }
}

/// Looks for the stores, and meanwhile for how far they were read.
fn look(
    stores: &mut Stores,
    reader: &Reader,
    threads: usize,
) -> Result<(Inventory, StoredPositions)> {
    std::thread::scope(|scope| {
        let found = scope.spawn(|| stores.look(threads));
        let known = reader.positions()?;
        let inventory = found.join().map_err(|_| anyhow!("the search for stores has failed"))?;
        Ok((inventory, known))
    })
}

/// Reads every agent's stores from their start; `emit` takes the batches.
pub(crate) fn read_all(
    environment: &Environment,
    threads: usize,
    emit: &(dyn Fn(Batch) + Sync),
    progress: &dyn Progress,
) -> Synced {
    read(Stores::of_all(environment).look(threads), &(), threads, emit, progress)
}

fn read(
    inventory: Inventory,
    positions: &dyn Positions,
    threads: usize,
    emit: &(dyn Fn(Batch) + Sync),
    progress: &dyn Progress,
) -> Synced {
    if !inventory.problems.is_empty() {
        emit(Batch { problems: inventory.problems.clone(), ..Batch::default() });
    }
    for guide in &inventory.guides {
        let (store, position) = (&guide.guide, guide.position());
        if positions.position(store).unwrap_or_default() != position {
            emit(Batch {
                positions: vec![(store.clone(), position)],
                restarted: vec![store.clone()],
                problems: guide.problems.iter().map(|of| (store.clone(), of.clone())).collect(),
                ..Batch::default()
            });
        }
    }
    let bytes = inventory.stores.iter().map(|store| store.stamp.size_bytes).sum();
    progress.begin(inventory.stores.len(), bytes);
    let (bytes_read, problems) = (AtomicU64::new(0), AtomicU64::new(0));
    scan(AGENTS, &inventory.stores, positions, threads, emit, &|store, scanned| {
        bytes_read.fetch_add(scanned.bytes, Ordering::Relaxed);
        problems.fetch_add(scanned.problems, Ordering::Relaxed);
        progress.store(store, scanned);
    });
    let of_guides: usize = inventory.guides.iter().map(|guide| guide.problems.len()).sum();
    let of_folders = (inventory.problems.len() + of_guides) as u64;
    let problems = problems.into_inner() + of_folders;
    Synced { inventory, bytes_read: bytes_read.into_inner(), problems }
}

/// Reads what is new in a few stores straight into a ledger: for the one session that somebody looks
/// at, without a look at the others.
pub(crate) fn sync_stores(
    agent: &'static dyn Agent,
    stores: &[Store],
    mut ledger: Ledger,
) -> Result<()> {
    let reader = Reader::open(ledger.path())?.context("the ledger has vanished")?;
    let known = Asked(Mutex::new(reader));
    let batches = Mutex::new(Vec::new());
    let take = |batch: Batch| batches.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
    scan(&[agent], stores, &known, 1, &take, &|_, _| {});
    let batches = batches.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !batches.is_empty() {
        ledger.append(&batches.iter().collect::<Vec<_>>(), crate::clock::now())?;
    }
    Ok(())
}

/// How far the ledger has read, asked store by store.
struct Asked(Mutex<Reader>);

impl Positions for Asked {
    fn position(&self, store: &StoreId) -> Option<Position> {
        // A store whose position cannot be read is read from its start: keys make that safe.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).position(store).ok().flatten()
    }

    fn parts(&self, _: &str, _: &str) -> BTreeMap<String, Position> {
        BTreeMap::new()
    }
}

/// The number of threads that a setting of 0 stands for.
pub(crate) fn threads(setting: usize) -> usize {
    match setting {
        0 => std::thread::available_parallelism().map_or(1, Into::into),
        threads => threads,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_ends_where_what_is_read_cannot_be_taken() {
        let home = tempfile::tempdir().unwrap();
        let sessions = home.path().join(".openclaw/agents/main/sessions");
        std::fs::create_dir_all(&sessions).unwrap();
        for at in 0..10 * BATCHES_AHEAD_MAX {
            std::fs::write(sessions.join(format!("{at}.jsonl")), "{}\n").unwrap();
        }
        let environment = Environment { home: home.path().into(), ..Environment::default() };
        let mut stores = Stores::of(vec![agent_named("openclaw").unwrap()], &environment);
        let mut batches = 0;
        let synced = read_anew(&mut stores, 2, &(), |taken| {
            batches += taken.len();
            Ok(())
        });
        assert_eq!(synced.unwrap().inventory.stores.len(), batches);
        let failed = read_anew(&mut stores, 2, &(), |_| Err(anyhow!("no room")));
        assert_eq!(failed.unwrap_err().to_string(), "no room");
    }
}
