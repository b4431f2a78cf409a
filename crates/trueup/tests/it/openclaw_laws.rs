//! Whatever OpenClaw does to its files between two looks at them, and wherever trueup is killed: in
//! the end its account is that of one look at the final files.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;
use trueup_agents::{Agent, Environment, Positions, discover, scan};
use trueup_core::{Account, Batch, Position, StoreId, UnixMs, Witness};
use trueup_ledger::{Check, Ledger, LedgerError, OpenOptions, Reader, StoredPositions};

use super::serve::until;
use world::{Change, Run, Used, World, any_change};

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Change(u8, Change),
    /// trueup looks at all stores.
    Poll,
    /// trueup looks, and is killed after a share of what it found was written.
    Killed(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any::<u8>(), any_change()).prop_map(|(which, change)| Step::Change(which, change)),
        2 => Just(Step::Poll),
        1 => any::<u8>().prop_map(Step::Killed),
    ];
    prop::collection::vec(step, 1..60)
}

/// How far a ledger has read.
struct Known(StoredPositions);

impl Positions for Known {
    fn position(&self, store: &StoreId) -> Option<Position> {
        self.0.get(store).cloned()
    }

    fn parts(&self, source: &str, path: &str) -> BTreeMap<String, Position> {
        self.0.parts(source, path)
    }
}

/// What is new in a world's stores.
fn read(world: &World, known: &dyn Positions) -> Vec<Batch> {
    let agents: [&'static dyn Agent; 1] = [trueup_agents::agent("openclaw").unwrap()];
    let state = world.path().display().to_string();
    let environment = Environment {
        home: world.path().join("nobody"),
        variables: BTreeMap::from([("OPENCLAW_STATE_DIR".to_owned(), state)]),
        ..Environment::default()
    };
    let stores = discover(&agents, &environment).stores;
    let batches = Mutex::new(Vec::new());
    scan(&agents, &stores, known, 2, &|batch| batches.lock().unwrap().push(batch), &|_, _| {});
    batches.into_inner().unwrap()
}

/// Looks at all stores; a process that is killed has written only the first `share` of its batches.
fn poll(world: &World, path: &Path, share: Option<u8>) {
    let mut ledger = open(path);
    let reader = Reader::open(path).unwrap().unwrap();
    let batches = read(world, &Known(reader.positions().unwrap()));
    let now = UnixMs(1);
    if let Some(share) = share {
        for batch in &batches[..batches.len() * usize::from(share) / 256] {
            ledger.append(&[batch], now).unwrap();
        }
    } else {
        let end = Batch { is_poll: true, ..Batch::default() };
        ledger.append(&batches.iter().chain([&end]).collect::<Vec<_>>(), now).unwrap();
    }
}

/// The ledger for writing. A program that another test of this process is about to start has its lock
/// for the moment in which it is still a copy of us.
fn open(path: &Path) -> Ledger {
    let mut ledger = None;
    until("no other process is a copy of this one", || {
        ledger = match Ledger::open(path, OpenOptions::default()) {
            Err(LedgerError::Locked { .. }) => None,
            opened => Some(opened.unwrap()),
        };
        ledger.is_some()
    });
    ledger.unwrap()
}

/// What a ledger holds.
#[derive(Debug, Default)]
struct Held {
    /// By session.
    measured: BTreeMap<String, Used>,
    /// The session that owns the call of a time.
    times: BTreeMap<i64, String>,
    /// Claimed runs that count: session, input and output.
    open: BTreeSet<(String, u64, u64)>,
}

fn held(path: &Path) -> Held {
    let reader = Reader::open(path).unwrap().unwrap();
    assert_eq!(reader.check().unwrap(), Check::default());
    let series = reader.series().unwrap();
    let mut held = Held::default();
    let mut sessions = BTreeMap::new();
    let all = (UnixMs(0), UnixMs(i64::from(u32::MAX) * 1_000));
    reader
        .usage_by_session(all.0, all.1, |usage| {
            let name = usage.name.to_string();
            if series[&usage.series].witness == Witness::Measured {
                let used = held.measured.entry(name.clone()).or_default();
                used.calls += usage.counters.calls;
                used.input += usage.counters.tokens.input;
                used.output += usage.counters.tokens.output;
            }
            sessions.insert(usage.session, name);
        })
        .unwrap();
    reader
        .calls_of_sessions(&sessions.keys().copied().collect(), all.0, all.1, |call| {
            if series[&call.series].witness == Witness::Measured {
                let owner = sessions[&call.session].clone();
                let other = held.times.insert(call.time.0, owner);
                assert_eq!(other, None, "a call counts twice: {call:?}");
            } else {
                let tokens = &call.counters.tokens;
                let run = (sessions[&call.session].clone(), tokens.input, tokens.output);
                assert!(held.open.insert(run), "a run counts twice: {call:?}");
            }
        })
        .unwrap();
    held
}

/// Of each claimed run either calls count or the claim, and never both. `is_whole`: all stores were
/// read just now.
fn assert_each_run_counts_once(world: &World, held: &Held, is_whole: bool) {
    let is_held = |time: &i64| held.times.contains_key(time);
    let is_measured = |run: &Run| run.times.iter().any(is_held);
    // Who is killed may have written what a fork copied and not yet the fork's parent: until the next
    // look the calls are the fork's, and cover no claim of the parent.
    let is_elsewhere = |run: &Run| {
        !is_whole
            && run
                .times
                .iter()
                .any(|time| held.times.get(time).is_some_and(|at| *at != run.session))
    };
    // Where the index does not say when a run began, and was touched long after it, half of a run cannot
    // be told from a run before: both count until the other half is written.
    let is_told = |run: &Run| {
        if world.has_times { is_measured(run) } else { run.times.iter().all(is_held) }
    };
    let is_open =
        |run: &Run| held.open.contains(&(run.session.clone(), run.used.input, run.used.output));
    for run in &world.runs {
        let is_twice = is_told(run) && is_open(run) && !is_elsewhere(run);
        assert!(!is_twice, "exact and estimated: {run:?}");
    }
    // Where the index does not say when a run began, calls of a run that it skipped may cover it.
    if is_whole && world.has_times {
        for number in world.claimed.values() {
            let run = &world.runs[*number];
            assert!(is_measured(run) || is_open(run), "neither exact nor estimated: {run:?}");
        }
    }
}

/// The same by the account in memory: by session, and how many claims count.
fn in_memory(world: &World) -> (BTreeMap<String, Used>, usize) {
    let mut account = Account::default();
    for batch in read(world, &()) {
        account.append(batch);
    }
    let mut measured: BTreeMap<String, Used> = BTreeMap::new();
    let mut open = 0;
    for counted in account.counted() {
        if counted.series.witness == Witness::Claimed {
            open += 1;
            continue;
        }
        let used = measured.entry(counted.session.1.to_string()).or_default();
        used.calls += counted.counters.calls;
        used.input += counted.counters.tokens.input;
        used.output += counted.counters.tokens.output;
    }
    (measured, open)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2_000, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn any_interleaving_ends_in_the_account_of_one_read(
        steps in steps(),
        has_times in any::<bool>(),
    ) {
        let ledgers = tempfile::tempdir().unwrap();
        let (kept, fresh) = (ledgers.path().join("kept.db"), ledgers.path().join("fresh.db"));
        let mut world = World::new(has_times);
        for step in steps {
            match step {
                Step::Change(which, change) => world.change(which, change),
                Step::Poll => {
                    poll(&world, &kept, None);
                    assert_each_run_counts_once(&world, &held(&kept), true);
                }
                Step::Killed(share) => {
                    poll(&world, &kept, Some(share));
                    assert_each_run_counts_once(&world, &held(&kept), false);
                }
            }
        }
        world.settle();
        poll(&world, &kept, None);
        poll(&world, &fresh, None);
        for path in [&kept, &fresh] {
            let held = held(path);
            prop_assert_eq!(&held.measured, &world.truth);
            prop_assert!(held.open.is_empty(), "every run was measured: {:?}", held.open);
        }
        prop_assert_eq!(in_memory(&world), (world.truth.clone(), 0));
        // Once more: nothing is new.
        let reader = Reader::open(&kept).unwrap().unwrap();
        prop_assert_eq!(read(&world, &Known(reader.positions().unwrap())), Vec::new());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 0, ..ProptestConfig::with_cases(6) })]

    /// The same with the program itself, killed at any moment after a number of microseconds.
    #[test]
    fn killed_processes_end_in_the_account_of_one_read(
        steps in prop::collection::vec((any::<u8>(), any_change()), 20..50),
        patience_us in prop::collection::vec(0..40_000_u64, 12),
    ) {
        let home = tempfile::tempdir().unwrap();
        let mut world = World::new(true);
        let rounds = steps.len().div_ceil(patience_us.len());
        for (steps, patience_us) in steps.chunks(rounds).zip(patience_us) {
            for (which, change) in steps {
                world.change(*which, *change);
            }
            let mut process = trueup(home.path(), &world, "sync").spawn().unwrap();
            std::thread::park_timeout(Duration::from_micros(patience_us));
            process.kill().unwrap();
            process.wait().unwrap();
        }
        world.settle();
        let report = |line: &str| {
            let output = trueup(home.path(), &world, line).output().unwrap();
            prop_assert!(output.status.success(), "{:?}", output);
            Ok(String::from_utf8(output.stdout).unwrap())
        };
        let kept = report("report session --json")?;
        prop_assert_eq!(&kept, &report("report session --json --no-ledger")?);
        let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
        let calls: u64 = world.truth.values().map(|used| used.calls).sum();
        prop_assert_eq!(&kept["totals"]["exact"]["calls"], calls);
        prop_assert_eq!(&kept["totals"]["estimated"]["calls"], 0);
        prop_assert!(report("check")?.contains("is whole"));
    }
}

fn trueup(home: &Path, world: &World, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
    command
        .args(line.split(' '))
        .env_clear()
        .env("HOME", home)
        .env("TRUEUP_LEDGER", home.join("ledger.db"))
        .env("TRUEUP_SPOOL_DIR", home.join("spool"))
        .env("OPENCLAW_STATE_DIR", world.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}
