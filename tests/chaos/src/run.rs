//! A run: what goes wrong when, and what it comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::chance::Chance;
use crate::engines::Engines;
use crate::process::{Device, Hub, Programs, Sum, Sums};
use crate::proxy::{FAULTS, Proxy};
use crate::truth::Feed;

/// How long everything may take to arrive once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(200);
/// Between two things that one device tells, at most.
const TELL_MS_MAX: u64 = 60;
/// Between two events of the schedule, in milliseconds: at least, and at most.
const EVENT_MS: (u64, u64) = (150, 900);
/// How far clocks are off, in seconds, where they can be.
const CLOCKS_S: [i64; 7] = [0, 0, 3_600, -3_600, 72_000, 5 * 86_400, -30 * 86_400];
/// In a run with so many kills every kind of fault must have been met.
const KILLS_COMPLETE: u64 = 20;
/// So many more there are where one was not met yet, which slow machines need.
const KILLS_MORE: u64 = 20;
/// The disk that is filled.
const DISK_MB: u32 = 96;

/// What is to happen.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Decides what happens when.
    pub seed: u64,
    /// So many processes are killed.
    pub kills: u64,
    /// So many sidecars.
    pub devices: usize,
    /// What is run.
    pub programs: Programs,
    /// Where all of it lies.
    pub folder: PathBuf,
}

impl Plan {
    /// Whether every kind of fault must be met.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.kills >= KILLS_COMPLETE
    }
}

/// What it came to.
#[derive(Debug)]
pub struct Verdict {
    seed: u64,
    /// What was done to processes, and what the proxy did to requests.
    events: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    /// What proxies before the servers of a store did to statements.
    below: Option<BTreeMap<&'static str, u64>>,
    /// By device and model: what the generator told, what sidecars count, what the hub counts.
    rows: BTreeMap<(String, String), [Sum; 3]>,
}

/// One sidecar, and what is told to it.
struct Told {
    device: Device,
    shared: Arc<Shared>,
    telling: Option<JoinHandle<()>>,
    /// Its ledger is on a disk that can be filled.
    disk: Option<Disk>,
}

/// What a device shares with the thread that tells it something.
struct Shared {
    feed: Mutex<Feed>,
    address: Mutex<Option<SocketAddr>>,
    /// Held while a post is on its way.
    posting: Mutex<()>,
    /// Nothing new is told any more; what was not posted still is.
    is_last: AtomicBool,
    is_over: AtomicBool,
}

/// A disk in memory; it is unmounted when it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one here; `None` where that is not allowed.
    fn mount(at: &Path) -> Option<Self> {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={DISK_MB}m"), "tmpfs"]).arg(at);
        let is_mounted =
            command.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        is_mounted.then(|| Self(at.to_path_buf()))
    }

    /// Leaves no room on it for a while.
    fn fill(&self, time: Duration) -> Result<()> {
        let path = self.0.join("fill");
        let mut file = File::create(&path)?;
        let block = vec![0; 1 << 16];
        while file.write_all(&block).is_ok() {}
        std::thread::park_timeout(time);
        drop(file);
        Ok(fs::remove_file(path)?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        let _is_unmounted = unmounted.is_ok();
    }
}

/// Runs a plan.
///
/// # Errors
/// Where a process does what it may not, or something does not arrive in time.
pub fn run(plan: &Plan) -> Result<Verdict> {
    let engines = Engines::of(&plan.programs.store, plan.seed)?;
    let store = engines.as_ref().map_or_else(|| plan.programs.store.clone(), Engines::store);
    let programs = Programs { store, ..plan.programs.clone() };
    let mut hub = Hub::new(&programs, &plan.folder.join("hub"))?;
    let tokens = tokens(plan, &hub)?;
    let reads = hub.token(None)?;
    hub.start()?;
    let proxy = Proxy::start(hub.address(), Chance::new(plan.seed, 1))?;
    let mut fleet = Vec::new();
    for (number, token) in tokens.iter().enumerate() {
        fleet.push(Told::start(plan, number, proxy.address(), token)?);
    }
    let mut schedule = Schedule {
        plan,
        proxy: &proxy,
        engines: engines.as_ref(),
        chance: Chance::new(plan.seed, 0),
        events: BTreeMap::new(),
    };
    schedule.run(&mut fleet, &mut hub)?;
    schedule.set_faults(0);
    let mut truth = Sums::new();
    for told in &mut fleet {
        truth.extend(told.settle()?);
    }
    // What was late changes nothing, and neither does a rerun.
    schedule.deliver_late(usize::MAX);
    for told in &fleet {
        told.device.push()?;
    }
    let mut recounts = Sums::new();
    for told in &mut fleet {
        recounts.extend(told.end()?);
    }
    let counted = engines.as_ref().map(Engines::sums).transpose()?;
    let at_hub = hub.sums(&reads)?;
    match counted {
        Some(counted) => {
            ensure!(counted == at_hub, "the servers count {counted:?}, the hub tells {at_hub:?}");
        }
        None => hub.check()?,
    }
    hub.kill()?;
    engines.as_ref().map_or(Ok(()), Engines::end)?;
    let keys: BTreeSet<_> = truth.keys().chain(recounts.keys()).chain(at_hub.keys()).collect();
    let row = |key: &(String, String)| {
        let of = |sums: &Sums| sums.get(key).copied().unwrap_or_default();
        (key.clone(), [of(&truth), of(&recounts), of(&at_hub)])
    };
    Ok(Verdict {
        seed: plan.seed,
        events: schedule.events,
        faults: proxy.counts(),
        below: engines.as_ref().map(Engines::faults),
        rows: keys.into_iter().map(row).collect(),
    })
}

fn name(number: usize) -> String {
    format!("d{number}")
}

fn tokens(plan: &Plan, hub: &Hub) -> Result<Vec<String>> {
    (0..plan.devices).map(|number| hub.token(Some(&name(number)))).collect()
}

impl Told {
    fn start(plan: &Plan, number: usize, proxy: SocketAddr, token: &str) -> Result<Self> {
        let name = name(number);
        let home = plan.folder.join(&name);
        let endpoint = format!("http://{proxy}/v1/ingest");
        let mut device = Device::new(&plan.programs, &home, &name, &endpoint, token)?;
        let disk = if number == 0 { Disk::mount(&home.join("ledger")) } else { None };
        let feed =
            Feed::new(&name, &home, disk.is_none(), Chance::new(plan.seed, 100 + number as u64))?;
        device.start(0)?;
        let shared = Arc::new(Shared {
            feed: Mutex::new(feed),
            address: Mutex::new(device.address()),
            posting: Mutex::default(),
            is_last: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let (own, chance) = (Arc::clone(&shared), Chance::new(plan.seed, 200 + number as u64));
        let telling = std::thread::Builder::new().name(name).spawn(move || own.tell(chance))?;
        Ok(Self { device, shared, telling: Some(telling), disk })
    }

    /// Kills it, does something to what it leaves, and starts it again.
    fn restart(
        &mut self,
        clock_off_s: i64,
        meanwhile: impl FnOnce(&mut Device, &mut Feed) -> Result<()>,
    ) -> Result<()> {
        *lock(&self.shared.address) = None;
        self.device.kill()?;
        // A post that was on its way has its answer, or never gets one.
        let posting = lock(&self.shared.posting);
        meanwhile(&mut self.device, &mut lock(&self.shared.feed))?;
        drop(posting);
        self.device.start(clock_off_s)?;
        *lock(&self.shared.address) = self.device.address();
        Ok(())
    }

    /// Waits until it has read, and the hub has taken, all that was told; what that comes to.
    fn settle(&mut self) -> Result<Sums> {
        self.shared.is_last.store(true, Ordering::SeqCst);
        self.restart(0, |_, _| Ok(()))?;
        let until = Instant::now() + PATIENCE;
        loop {
            let (is_posted, truth) = {
                let feed = lock(&self.shared.feed);
                (feed.next_post().is_none(), feed.sums())
            };
            let counts = self.device.counts();
            let is_read = is_posted && counts.as_ref().is_ok_and(|counts| *counts == truth);
            let left = if is_read { self.device.push() } else { Ok(None) };
            if let Ok(Some(0)) = left {
                return Ok(self.named(truth));
            }
            ensure!(
                Instant::now() < until,
                "{}: posted {is_posted}, left to push {left:?}; told {truth:?}, counted {counts:?}",
                self.device.name
            );
            std::thread::park_timeout(LOOK);
        }
    }

    /// Ends it; what its ledger comes to.
    fn end(&mut self) -> Result<Sums> {
        self.shared.is_over.store(true, Ordering::SeqCst);
        if let Some(telling) = self.telling.take() {
            let _has_ended = telling.join().is_ok();
        }
        self.device.end()?;
        let counts = self.device.recount().with_context(|| self.device.name.clone())?;
        // It goes with its disk.
        fs::copy(self.device.home.join("ledger/l.db"), self.device.home.join("last.db"))?;
        self.disk = None;
        Ok(self.named(counts))
    }

    fn named(&self, sums: BTreeMap<String, Sum>) -> Sums {
        sums.into_iter().map(|(model, sum)| ((self.device.name.clone(), model), sum)).collect()
    }
}

impl Shared {
    /// Tells something again and again, until it is over.
    fn tell(&self, mut chance: Chance) {
        while !self.is_over.load(Ordering::SeqCst) {
            if !self.is_last.load(Ordering::SeqCst) {
                let gone_on = lock(&self.feed).go_on();
                debug_assert!(gone_on.is_ok(), "{gone_on:?}");
            }
            self.post();
            std::thread::park_timeout(Duration::from_millis(chance.below(TELL_MS_MAX)));
        }
    }

    fn post(&self) {
        let posting = lock(&self.posting);
        let body = lock(&self.feed).next_post();
        let address = *lock(&self.address);
        if let (Some(address), Some(body)) = (address, body)
            && let Ok(true) = Device::post(address, &body)
        {
            lock(&self.feed).is_posted();
        }
        drop(posting);
    }
}

/// What happens when.
struct Schedule<'a> {
    plan: &'a Plan,
    proxy: &'a Proxy,
    engines: Option<&'a Engines>,
    chance: Chance,
    events: BTreeMap<&'static str, u64>,
}

impl Schedule<'_> {
    fn run(&mut self, fleet: &mut [Told], hub: &mut Hub) -> Result<()> {
        self.set_faults(40);
        while self.lacks_something() {
            let (least, most) = EVENT_MS;
            self.rest(least, most);
            let at = self.chance.at(fleet.len());
            let Some(told) = fleet.get_mut(at) else { break };
            match self.chance.below(12) {
                0..=4 => self.kill(told)?,
                5..=6 => {
                    self.see("hub killed");
                    hub.kill()?;
                    self.rest(0, 500);
                    hub.start()?;
                }
                7 => {
                    self.see("sidecar stopped");
                    told.device.signal(Signal::STOP)?;
                    self.rest(100, 1_500);
                    told.device.signal(Signal::CONT)?;
                }
                8 => {
                    self.see("hub stopped");
                    hub.signal(Signal::STOP)?;
                    self.rest(100, 1_500);
                    hub.signal(Signal::CONT)?;
                }
                9 => {
                    if let Some(disk) = fleet.first().and_then(|told| told.disk.as_ref()) {
                        self.see("disk full");
                        disk.fill(Duration::from_millis(300 + self.chance.below(1_200)))?;
                    }
                }
                10 => self.deliver_late(3),
                _ => {
                    let percent = self.chance.of(&[10, 40, 40, 60, 80]).copied().unwrap_or(40);
                    self.set_faults(percent);
                }
            }
        }
        Ok(())
    }

    fn kill(&mut self, told: &mut Told) -> Result<()> {
        self.see("sidecar killed");
        let off = self.chance.of(&CLOCKS_S).copied().unwrap_or(0);
        let off = if self.plan.programs.has_clock { off } else { 0 };
        if off != 0 {
            self.see("clock set");
        }
        let (copies, restores) = (self.chance.percent(40), self.chance.percent(40));
        let mut is_restored = false;
        told.restart(off, |device, feed| {
            if restores && device.restore()? {
                is_restored = true;
                feed.restored();
            } else if copies {
                device.copy()?;
                feed.copied();
            }
            Ok(())
        })?;
        if is_restored {
            self.see("older ledger put back");
        }
        Ok(())
    }

    fn lacks_something(&self) -> bool {
        let kills = self.kills();
        let is_searching = self.plan.is_whole() && kills < self.plan.kills + KILLS_MORE;
        let below = self.engines.map(Engines::faults);
        kills < self.plan.kills
            || (is_searching
                && !(has_all(&self.proxy.counts()) && below.as_ref().is_none_or(has_all)))
    }

    fn set_faults(&self, percent: u64) {
        self.proxy.set_faults(percent);
        self.engines.inspect(|engines| engines.set_faults(percent));
    }

    fn deliver_late(&self, most: usize) {
        self.proxy.deliver_late(most);
        self.engines.inspect(|engines| engines.deliver_late(most));
    }

    fn kills(&self) -> u64 {
        let of = |what| self.events.get(what).copied().unwrap_or(0);
        of("sidecar killed") + of("hub killed")
    }

    fn rest(&mut self, least_ms: u64, most_ms: u64) {
        let ms = least_ms + self.chance.below(most_ms - least_ms);
        std::thread::park_timeout(Duration::from_millis(ms));
    }

    fn see(&mut self, what: &'static str) {
        *self.events.entry(what).or_default() += 1;
    }
}

impl Verdict {
    /// Calls that the hub does not count, or the sidecars do not.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sum(u64::saturating_sub)
    }

    /// Calls that the hub, or the sidecars, count and nobody told, or that count again.
    #[must_use]
    pub fn twice(&self) -> u64 {
        self.sum(|told, counted| counted.saturating_sub(told))
    }

    /// Whether every kind of fault was met.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        has_all(&self.faults) && self.below.as_ref().is_none_or(has_all)
    }

    /// Whether the three sums agree, to the token.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.rows.values().all(|[told, here, there]| told == here && told == there)
    }

    fn sum(&self, of: impl Fn(u64, u64) -> u64) -> u64 {
        let worse = |[told, here, there]: &[Sum; 3]| {
            of(told.calls, here.calls).max(of(told.calls, there.calls))
        };
        self.rows.values().map(worse).sum()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<6} {:<17} {:>26} {:>26} {:>26}",
            "device", "model", "told", "sidecar", "hub"
        )?;
        for ((device, model), sums) in &self.rows {
            write!(f, "{device:<6} {model:<17}")?;
            for Sum { calls, input, output } in sums {
                write!(f, " {:>26}", format!("{calls} / {input} / {output}"))?;
            }
            let [told, here, there] = sums;
            writeln!(f, "{}", if told == here && told == there { "" } else { "  DIFFERS" })?;
        }
        let list = |counts: &BTreeMap<&'static str, u64>| {
            let words = counts.iter().map(|(what, count)| format!("{count} {what}"));
            words.collect::<Vec<_>>().join(", ")
        };
        let faults: u64 = FAULTS.iter().filter_map(|fault| self.faults.get(fault)).sum();
        writeln!(f, "{}", list(&self.events))?;
        writeln!(f, "{}", list(&self.faults))?;
        if let Some(below) = &self.below {
            writeln!(f, "before the store: {}", list(below))?;
        }
        let kills =
            ["sidecar killed", "hub killed"].iter().filter_map(|what| self.events.get(what));
        write!(
            f,
            "seed {}: {} kills, {faults} faults of {} kinds, {} lost, {} twice, {}",
            self.seed,
            kills.sum::<u64>(),
            FAULTS.iter().filter(|fault| self.faults.contains_key(*fault)).count(),
            self.lost(),
            self.twice(),
            if self.is_exact() { "exact" } else { "NOT exact" }
        )
    }
}

/// Whether every kind of fault is among these.
fn has_all(faults: &BTreeMap<&'static str, u64>) -> bool {
    FAULTS.iter().all(|fault| faults.contains_key(fault))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
