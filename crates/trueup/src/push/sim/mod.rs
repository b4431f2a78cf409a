//! Push, acknowledge and split, driven through every bad world that a seed can think of.
//!
//! The cycle is the real one; its [`World`](super::world::World) is simulated: a ledger (in memory, or a
//! real one), a hub that keeps the newest word on each id, a network with faults, a clock that somebody
//! sets. What must hold, whatever happens:
//!
//! - what is acknowledged is stored, and is not sent again;
//! - once all is sent, the hub counts what the device counts;
//! - doing it all again, or getting late what was sent before, changes nothing;
//! - each batch of a ledger is made later than the one before it.
//!
//! `TRUEUP_SIM_SEED=17 cargo test -p trueup --bin trueup push::sim` runs one seed, and
//! `TRUEUP_SIM_SEEDS=100000` as many from the first.

mod chance;
mod file;
mod hub;
mod outer;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trueup_core::{FactId, Key, UnixMs};

use super::{End, Pusher, Tries};
use file::RealLedger;
use outer::Outer;
use store::{Copy, Model, Store};

/// Seeds that find what was once wrong: a `Retry-After` that outlives a clock which is set back (309), an
/// older ledger that is put back (720), or a whole machine (547), calls whose rows are gone taken back with
/// them (292), batches that go back in time (3).
const REGRESSIONS: [u64; 5] = [309, 720, 547, 292, 3];
/// Seeds that are run where nobody says how many.
const SEEDS: u64 = 10_000;
/// Seeds that are run on a real ledger.
const REAL_SEEDS: u64 = 150;
/// Steps of one seed, at most.
const STEPS_MAX: u64 = 40;
/// Cycles in which a world that works must have taken everything.
const CYCLES_MAX: u32 = 60;

/// A device, and what it should count.
struct Device<'a> {
    outer: &'a Outer,
    /// What agents have written: read on from where the ledger says.
    files: Vec<Copy>,
    /// What clients posted: a ledger that is put back forgets those that came after its copy.
    posted: BTreeMap<FactId, u64>,
    /// Keys that agents used so far.
    keys: u64,
    has_copy: bool,
}

impl Device<'_> {
    fn write_files(&mut self) {
        let chance = &self.outer.chance;
        for _ in 0..=chance.below(4) {
            // A new call, or another copy of one, better or worse, from another time or the same.
            let is_new = self.keys == 0 || chance.permille(500);
            let number = if is_new { self.keys } else { chance.below(self.keys) };
            self.keys += u64::from(is_new);
            self.files.push(Copy {
                key: Key::of("sim", &[number.to_le_bytes()]),
                at: UnixMs(1_795_000_000_000 + i64::try_from(chance.below(3)).unwrap()),
                output: chance.below(6),
                text_bytes: 0,
            });
        }
    }

    fn post(&mut self) {
        let chance = &self.outer.chance;
        let at = UnixMs(1_795_100_000_000 + i64::try_from(chance.below(1_000)).unwrap());
        let random = u128::from(chance.next()) << 64 | u128::from(chance.next());
        let text_bytes = if chance.permille(20) { 70_000 } else { chance.at(50) };
        let call = Copy { key: Key::fresh(at, random), at, output: chance.below(9), text_bytes };
        let now = self.outer.clock.get();
        let _may_fail = self.outer.write(|store| store.post(call, now));
        // Also where it died right after it had written it, so that the client does not know.
        if self.outer.store.borrow().account().contains_key(&call.id()) {
            self.posted.insert(call.id(), call.output);
        }
    }

    fn read(&self) {
        let now = self.outer.clock.get();
        let _may_fail = self.outer.write(|store| store.read(&self.files, now));
    }

    /// What happens next.
    fn step<'b>(&mut self, pusher: &mut Pusher<&'b Outer>)
    where
        Self: 'b,
    {
        let outer = self.outer;
        match outer.chance.below(21) {
            0..=2 => self.write_files(),
            3..=4 => self.read(),
            5 => self.post(),
            6..=11 => drop(pusher.cycle(tries(outer), &|time| outer.wait(time))),
            12 => outer.pass(Duration::from_secs(outer.chance.below(4_000))),
            13 => outer.is_disk_full.set(outer.chance.permille(300)),
            14 => outer.is_dead.set(true),
            15 => {
                outer.see("clock set");
                outer.set_clock();
            }
            16 => outer.deliver_late(),
            17 => {
                outer.copy();
                self.has_copy = true;
            }
            18 if self.has_copy && outer.chance.permille(300) => {
                // Where a whole machine is put back only the hub knows.
                let is_whole = outer.hub.borrow().says_newest && outer.chance.permille(500);
                outer.see(if is_whole { "old machine put back" } else { "old ledger put back" });
                outer.restore(is_whole);
                outer.is_dead.set(true);
            }
            19 if outer.chance.permille(300) => {
                outer.see("pushed rows removed");
                outer.store.borrow_mut().remove_pushed();
            }
            _ => change_taste(outer),
        }
    }
}

fn tries(outer: &Outer) -> Tries {
    if outer.chance.permille(150) { Tries::Probe } else { Tries::Many }
}

/// The hub likes other things from now on.
fn change_taste(outer: &Outer) {
    let chance = &outer.chance;
    let mut taste = outer.taste.borrow_mut();
    *taste = hub::Taste::default();
    match chance.below(12) {
        0 => taste.bytes_max = Some(4_000 + chance.below(40_000)),
        1 => taste.unread = Some(["gzip", "zstd"][chance.at(2)]),
        2 => taste.poison = Some(chance.below(6)),
        3 => taste.puts_off = Some(2),
        4 => taste.rejects = Some(5),
        5 => taste.heartbeat_seconds = Some(u32::try_from(chance.below(3_000)).unwrap()),
        6 => taste.words = Some(60_000),
        7 => taste.words = Some(70_000),
        _ => {}
    }
}

/// A new process on the same ledger.
fn start(outer: &Outer, bytes_max: u64) -> Pusher<&Outer> {
    outer.is_dead.set(false);
    outer.store.borrow_mut().reopen();
    Pusher::of(outer, bytes_max).unwrap()
}

/// Runs one seed; what was seen, or what does not hold.
fn run(seed: u64, store: Box<dyn Store>) -> Result<BTreeMap<&'static str, u64>, String> {
    let outer = Outer::new(seed, store);
    let chance = &outer.chance;
    outer.faults_permille.set([0, 50, 200, 500, 900][chance.at(5)]);
    outer.deaths_permille.set([0, 2, 20][chance.at(3)]);
    outer.hub.borrow_mut().says_newest = chance.permille(500);
    let bytes_max = [1_500, 8_000, 60_000][chance.at(3)];
    let mut device = Device {
        outer: &outer,
        files: Vec::new(),
        posted: BTreeMap::new(),
        keys: 0,
        has_copy: false,
    };
    let mut pusher = start(&outer, bytes_max);
    for _ in 0..chance.below(STEPS_MAX) {
        device.step(&mut pusher);
        if outer.is_dead.get() {
            pusher = start(&outer, bytes_max);
        }
    }
    settle(&device, bytes_max);
    let wrong = outer.wrong.borrow().clone();
    let seen = outer.seen.borrow().clone();
    wrong.map_or(Ok(seen), Err)
}

/// Everything works again: all must arrive, and nothing more may change.
fn settle(device: &Device<'_>, bytes_max: u64) {
    let outer = device.outer;
    outer.faults_permille.set(0);
    outer.deaths_permille.set(0);
    outer.is_disk_full.set(false);
    *outer.taste.borrow_mut() = hub::Taste::default();
    let mut pusher = start(outer, bytes_max);
    let is_drained = (0..CYCLES_MAX).any(|_| {
        let requests = outer.requests.get();
        // What was read may have to be read again: the hub may know more than the ledger.
        device.read();
        let end = pusher.cycle(Tries::Many, &|time| outer.wait(time)).end;
        outer.pass(Duration::from_mins(5));
        end == End::Drained && outer.requests.get() == requests
    });
    outer.demand(is_drained, || "something is left for ever".to_owned());
    compare(device, "when all is sent");
    let late = outer.late.borrow().clone();
    while !outer.late.borrow().is_empty() {
        outer.deliver_late();
    }
    for batch in &late {
        outer.hub.borrow_mut().take(batch, &outer.taste.borrow());
    }
    let requests = outer.requests.get();
    device.read();
    pusher.cycle(Tries::Many, &|time| outer.wait(time));
    outer.demand(outer.requests.get() == requests, || "a rerun sent something".to_owned());
    compare(device, "after late requests");
}

/// The hub counts what the device counts.
fn compare(device: &Device<'_>, when: &str) {
    let store = device.outer.store.borrow();
    let refused: BTreeSet<FactId> = store.refused().into_iter().collect();
    let known = store.account();
    let at_hub = device.outer.hub.borrow().account();
    let ids: BTreeSet<&FactId> = known.keys().chain(at_hub.keys()).collect();
    for id in ids.into_iter().filter(|id| !refused.contains(id)) {
        let (here, there) = (known.get(id), at_hub.get(id));
        let is_forgotten = here.is_none() && there == device.posted.get(id);
        device.outer.demand(here == there || is_forgotten, || {
            format!("{when}, {id} counts {here:?} here and {there:?} there")
        });
    }
}

/// What became of some seeds.
#[derive(Default)]
struct Ran {
    /// What was seen, and how often.
    seen: BTreeMap<&'static str, u64>,
    /// What did not hold.
    wrong: Vec<String>,
}

/// Runs these seeds on as many threads as there are.
fn run_all(seeds: &[u64], store: fn() -> Box<dyn Store>) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let part = seeds.len().div_ceil(threads).max(1);
    let ran = std::thread::scope(|scope| {
        let parts = seeds.chunks(part).map(|seeds| scope.spawn(move || run_part(seeds, store)));
        let parts: Vec<_> = parts.collect();
        parts.into_iter().fold(Ran::default(), |mut all, part| {
            let Ran { seen, wrong } = part.join().unwrap();
            for (what, count) in seen {
                *all.seen.entry(what).or_default() += count;
            }
            all.wrong.extend(wrong);
            all
        })
    });
    assert!(
        ran.wrong.is_empty(),
        "{} of {} seeds failed:\n{}",
        ran.wrong.len(),
        seeds.len(),
        ran.wrong[..ran.wrong.len().min(9)].join("\n")
    );
    println!("{} seeds, 0 lost, 0 twice", seeds.len());
    ran.seen.iter().for_each(|(what, count)| println!("{count:>8} {what}"));
}

fn run_part(seeds: &[u64], store: fn() -> Box<dyn Store>) -> Ran {
    let mut all = Ran::default();
    for seed in seeds {
        match run(*seed, store()) {
            Ok(seen) => seen
                .into_iter()
                .for_each(|(what, count)| *all.seen.entry(what).or_default() += count),
            Err(wrong) => all.wrong.push(format!("TRUEUP_SIM_SEED={seed}: {wrong}")),
        }
    }
    all
}

/// The seeds that are asked for.
fn seeds(most: u64) -> Vec<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test's own variable, to replay a seed")]
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match (number("TRUEUP_SIM_SEED"), number("TRUEUP_SIM_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => (0..count).collect(),
        (None, None) => REGRESSIONS.into_iter().chain(0..most).collect(),
    }
}

#[test]
fn whatever_happens_the_hub_ends_with_the_account() {
    run_all(&seeds(SEEDS), || Box::new(Model::new()));
}

#[test]
fn so_does_a_real_ledger() {
    run_all(&seeds(REAL_SEEDS), || Box::new(RealLedger::new()));
}
