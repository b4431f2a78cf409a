//! A fleet of installations that are real but for their clock, their chance and the place to which they
//! send: what a manifest would cost before anybody installs it.
//!
//! Each installation is a [`Telemetry`] with a folder of its own. Hours pass
//! as fast as they can be worked through, and what arrives is counted where it arrives, by the day on
//! which it does. The load is that of contract §6: so many records a day, distributed by a logarithmic
//! normal law, of which a few installations have a hundred times as many as most.
//!
//! ```text
//! 60,000 installations, healthy day     2 events each     p99 2     most 2
//! ```

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;
use trueup_core::{DAY_MS, HOUR_MS, UnixMs};

use crate::budget::Day;
use crate::deliver::Transport;
use crate::errors::Report;
use crate::manifest::{FieldType, Grain, Input, Manifest, Rollup, Sink};
use crate::product::{Environment, Options, Telemetry, held};
use crate::sink::{Answer, Request, Unreachable};

/// Records of a median day of an installation. With [`SPREAD`] the mean is 131.
const RECORDS_MEDIAN: f64 = 45.8;
/// How far the logarithms of days spread.
const SPREAD: f64 = 1.45;
/// Records of a day at most, which one of some 100,000 days reaches.
const RECORDS_MAX: u64 = 20_000;
/// Records of a session.
const SESSION_RECORDS: u64 = 20;
/// How often a day's work is flushed.
const FLUSHES: u64 = 4;
/// How often an installation in a crash loop begins anew on a day: each ten seconds for six hours.
pub const RESTARTS: u64 = 2_160;
/// Errors of a storm, and different ones among them.
const STORM: u64 = 2_000;
const STORM_KINDS: u64 = 40;
/// When the first day begins.
const BEGIN: UnixMs = UnixMs(20_778 * DAY_MS);

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// How many installations there are.
    pub installs: u64,
    /// Through how many days each goes.
    pub days: u32,
    /// Whether the days are bad: one of 100 installations is killed and restarts every ten seconds, two
    /// have one error over and over, and five a storm of 40 different ones.
    pub is_bad: bool,
    /// How often those that are killed restart on a day, such as [`RESTARTS`].
    pub restarts: u64,
    /// What chance begins with: the same number brings the same days.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Installations and days of each.
    pub installs: u64,
    /// Days of each, without those that pass until the last day is told.
    pub days: u64,
    /// Records that were made.
    pub records: u64,
    /// Records that the rollups that arrived add up to.
    pub told: u64,
    /// Events that arrived.
    pub events: u64,
    /// Requests that were made.
    pub requests: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Events of an installation on a day: how many days had so many, by their number.
    pub by_events: Vec<u64>,
}

impl Figures {
    /// Events of an installation and day, in the mean of all days of the load.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean is rounded anyway")]
    pub fn mean(&self) -> f64 {
        self.events as f64 / (self.installs.saturating_mul(self.days)).max(1) as f64
    }

    /// The most events that an installation sent on a day.
    #[must_use]
    pub const fn most(&self) -> usize {
        self.by_events.len().saturating_sub(1)
    }

    /// So many events or fewer came from every second installation on a day.
    #[must_use]
    pub fn p50(&self) -> usize {
        self.percentile(50)
    }

    /// So many events or fewer came from 99 of 100 installations on a day.
    #[must_use]
    pub fn p99(&self) -> usize {
        self.percentile(99)
    }

    fn percentile(&self, percent: u64) -> usize {
        let all: u64 = self.by_events.iter().sum();
        let mut below = 0;
        let reaches = |count: &u64| {
            below += *count;
            below * 100 >= all * percent
        };
        self.by_events.iter().position(reaches).unwrap_or(0)
    }

    fn add(&mut self, other: &Self) {
        self.installs += other.installs;
        self.records += other.records;
        self.told += other.told;
        self.events += other.events;
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.days = self.days.max(other.days);
        let length = self.by_events.len().max(other.by_events.len());
        self.by_events.resize(length, 0);
        for (count, more) in self.by_events.iter_mut().zip(&other.by_events) {
            *count += more;
        }
    }
}

/// Simulates a fleet of a product. Its files lie in `folder` meanwhile, those of as many installations as
/// there are cores.
///
/// Every sink of the manifest becomes one that counts; a manifest without any gets one.
pub fn simulate(manifest: &Manifest, scenario: Scenario, folder: &Path) -> io::Result<Figures> {
    let manifest = Arc::new(counted(manifest));
    let next = AtomicU64::new(0);
    // What comes of an installation depends on its number alone, so it is the same in any order.
    let some = || -> io::Result<Figures> {
        let mut some = Figures { days: scenario.days.into(), ..Figures::default() };
        loop {
            let install = next.fetch_add(1, Ordering::Relaxed);
            if install >= scenario.installs {
                return Ok(some);
            }
            some.add(&live(&manifest, scenario, install, folder)?);
        }
    };
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(some)).collect();
        let mut all = Figures::default();
        for thread in threads {
            all.add(&thread.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(all)
    })
}

/// One installation, from its first day to its last.
fn live(
    manifest: &Arc<Manifest>,
    scenario: Scenario,
    install: u64,
    folder: &Path,
) -> io::Result<Figures> {
    let own = folder.join(format!("install-{install}"));
    let figures = Install::new(manifest, scenario, install, &own).run();
    if own.exists() {
        fs::remove_dir_all(&own)?;
    }
    Ok(figures)
}

/// The manifest with sinks that can be counted.
fn counted(manifest: &Manifest) -> Manifest {
    let sink = |place: usize| Sink::PostHog {
        host: "https://localhost".to_owned(),
        key: format!("phc_simulated_{place}"),
        is_v1: false,
        geoip: false,
        is_gzip: false,
    };
    let mut manifest = manifest.clone();
    manifest.sinks = (0..manifest.sinks.len().max(1)).map(sink).collect();
    manifest
}

/// One installation.
struct Install {
    options: Options,
    now: Arc<AtomicI64>,
    counter: Counter,
    chance: Chance,
    scenario: Scenario,
    /// Which of 100 it is.
    kind: u64,
    records: u64,
}

impl Install {
    fn new(manifest: &Arc<Manifest>, scenario: Scenario, install: u64, folder: &Path) -> Self {
        let mut chance = Chance(scenario.seed.wrapping_add(install.wrapping_mul(0x9e37_79b9)));
        let now = Arc::new(AtomicI64::new(BEGIN.0));
        let counter = Counter { now: Arc::clone(&now), arrived: Arc::default() };
        let environment =
            Environment { telemetry: Some("on".to_owned()), ..Environment::default() };
        let mut options = Options::new(Arc::clone(manifest), folder, environment);
        options.policy = folder.join("policy.json");
        let clock = Arc::clone(&now);
        options.clock = Arc::new(move || UnixMs(clock.load(Ordering::Relaxed)));
        let random = AtomicU64::new(chance.next());
        options.random = Arc::new(move || bytes(random.fetch_add(1, Ordering::Relaxed)));
        let transport = counter.clone();
        options.transports = Some(Arc::new(move |_: &Sink| Box::new(transport.clone())));
        options.is_driven = true;
        Self { options, now, counter, chance, scenario, kind: install % 100, records: 0 }
    }

    fn run(mut self) -> Figures {
        for day in 0..i64::from(self.scenario.days) {
            self.now.store(BEGIN.0 + day * DAY_MS, Ordering::Relaxed);
            match self.kind {
                0 if self.scenario.is_bad => self.crash_loop(),
                1..=2 if self.scenario.is_bad => self.storm(1),
                3..=7 if self.scenario.is_bad => self.storm(STORM_KINDS),
                _ => self.day(),
            }
        }
        // What waits for the end of its day, and then for room.
        let end = BEGIN.0 + i64::from(self.scenario.days) * DAY_MS;
        for day in 0..2 {
            self.now.store(end + day * DAY_MS, Ordering::Relaxed);
            let telemetry = Telemetry::open(self.options.clone());
            telemetry.flush();
            telemetry.shut_down(Duration::from_secs(1));
        }
        self.figures()
    }

    /// A day of work.
    fn day(&mut self) {
        let telemetry = Telemetry::open(self.options.clone());
        let records = self.chance.records();
        let per_flush = records / FLUSHES + 1;
        for flush in 0..FLUSHES {
            let first = (flush * per_flush).min(records);
            for record in first..(first + per_flush).min(records) {
                self.record(&telemetry, record / SESSION_RECORDS);
            }
            telemetry.flush();
            self.pass(HOUR_MS * 5);
        }
        telemetry.shut_down(Duration::from_secs(1));
    }

    /// It begins, and is killed before it ends.
    fn crash_loop(&mut self) {
        for restart in 0..self.scenario.restarts {
            let telemetry = Telemetry::open(self.options.clone());
            for lifecycle in &self.options.manifest.lifecycles {
                telemetry.lifecycle(&lifecycle.event, &[]);
            }
            self.record(&telemetry, restart);
            telemetry.flush();
            telemetry.abandon();
            self.pass(10_000);
        }
    }

    /// A day of work with errors.
    fn storm(&mut self, kinds: u64) {
        let telemetry = Telemetry::open(self.options.clone());
        for error in 0..STORM {
            let kind = format!("Error{}", letters(error % kinds));
            let report = Report {
                kind: &kind,
                message: "the answer of the server was cut",
                template: None,
                frames: &[],
                is_handled: true,
            };
            telemetry.report(&report);
            if error % (STORM / FLUSHES) == 0 {
                telemetry.flush();
                self.pass(HOUR_MS);
            }
        }
        telemetry.shut_down(Duration::from_secs(1));
        self.day();
    }

    fn record(&mut self, telemetry: &Telemetry, session: u64) {
        let manifest = Arc::clone(&self.options.manifest);
        let sums = |rollup: &&Rollup| !matches!(rollup.grain, Grain::Event { .. });
        let all: Vec<&Rollup> = manifest.rollups.iter().filter(sums).collect();
        let count = u64::try_from(all.len()).unwrap_or(0);
        let Some(rollup) = all.get(self.chance.place(count)) else { return };
        let fields = [&rollup.sums, &rollup.hists, &rollup.enums, &rollup.tops];
        let mut properties: Vec<(&str, Input<'_>)> = Vec::new();
        for used in fields.into_iter().flatten() {
            let Some(field) = manifest.field(used.field) else { continue };
            let value = self.chance.value(&field.holds);
            if properties.iter().all(|(name, _)| *name != field.name) {
                properties.push((&field.name, value));
            }
        }
        let session = format!("session {session}");
        telemetry.record(&rollup.event, Some(&session), &properties);
        self.records += 1;
    }

    fn pass(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }

    fn figures(&self) -> Figures {
        let arrived = held(&self.counter.arrived);
        let days = u64::from(self.scenario.days);
        let mut figures = Figures {
            installs: 1,
            days,
            records: self.records,
            told: arrived.told,
            events: arrived.days.values().sum(),
            requests: arrived.requests,
            bytes: arrived.bytes,
            by_events: Vec::new(),
        };
        let quiet = days.saturating_sub(u64::try_from(arrived.days.len()).unwrap_or(0));
        let busy = arrived.days.values().map(|events| (*events, 1));
        for (events, count) in busy.chain([(0, quiet)]) {
            let place = usize::try_from(events).unwrap_or(0);
            if figures.by_events.len() <= place {
                figures.by_events.resize(place + 1, 0);
            }
            if let Some(days) = figures.by_events.get_mut(place) {
                *days += count;
            }
        }
        figures
    }
}

/// A place that counts what arrives.
#[derive(Clone)]
struct Counter {
    now: Arc<AtomicI64>,
    arrived: Arc<Mutex<Arrived>>,
}

#[derive(Default)]
struct Arrived {
    days: std::collections::BTreeMap<Day, u64>,
    requests: u64,
    bytes: u64,
    told: u64,
}

impl Transport for Counter {
    fn send(&mut self, request: &Request, _: Duration) -> Result<Answer, Unreachable> {
        let body: Json = serde_json::from_slice(&request.body)
            .map_err(|error| Unreachable::Network(error.to_string()))?;
        let batch = body.get("batch").and_then(Json::as_array);
        let events = batch.map_or(0, Vec::len);
        let count = |event: &Json| event.get("properties")?.get("count")?.as_u64();
        let told: u64 = batch.into_iter().flatten().filter_map(count).sum();
        let mut arrived = held(&self.arrived);
        let day = Day::of(UnixMs(self.now.load(Ordering::Relaxed)));
        *arrived.days.entry(day).or_default() += u64::try_from(events).unwrap_or(u64::MAX);
        arrived.requests += 1;
        arrived.bytes += u64::try_from(request.body.len()).unwrap_or(u64::MAX);
        arrived.told += told;
        Ok(Answer { status: 200, ..Answer::default() })
    }
}

/// Numbers that are the same for the same seed: `SplitMix64`.
struct Chance(u64);

impl Chance {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn place(&mut self, count: u64) -> usize {
        usize::try_from(self.next() % count.max(1)).unwrap_or(0)
    }

    /// A number between 0 and 1, neither of both.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    fn part(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Records of a day.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is cut to what fits, and never negative"
    )]
    fn records(&mut self) -> u64 {
        let (radius, angle) = (self.part(), self.part());
        let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
        ((RECORDS_MEDIAN * (SPREAD * normal).exp()).round() as u64).min(RECORDS_MAX)
    }

    /// A value of a type.
    fn value<'m>(&mut self, holds: &'m FieldType) -> Input<'m> {
        match holds {
            FieldType::Bool => Input::Bool(self.next().is_multiple_of(2)),
            FieldType::U64 | FieldType::I64 => Input::U64(self.next() % 100_000),
            FieldType::F64 => Input::U64(self.next() % 1_000),
            FieldType::Usd => Input::F64(self.part()),
            FieldType::Semver => Input::Text("1.2.3"),
            FieldType::Day => Input::Text("2026-11-20"),
            FieldType::Time(_) => Input::I64(BEGIN.0),
            FieldType::Enum(words) => {
                let count = u64::try_from(words.len()).unwrap_or(0);
                words.get(self.place(count)).map_or(Input::Nested, |word| Input::Text(word))
            }
            FieldType::Token { .. } => {
                const TOKENS: [&str; 3] = ["opus", "haiku", "sonnet"];
                Input::Text(TOKENS.get(self.place(3)).copied().unwrap_or_default())
            }
        }
    }
}

/// Bytes that are different for different numbers.
fn bytes(number: u64) -> [u8; 48] {
    let mut bytes = [0; 48];
    let mut chance = Chance(number);
    for to in bytes.chunks_mut(8) {
        to.iter_mut().zip(chance.next().to_be_bytes()).for_each(|(to, from)| *to = from);
    }
    bytes
}

/// A number as letters: digits would be taken out of the name of an error.
fn letters(number: u64) -> String {
    let letter =
        |digit: char| char::from(b'A' + u8::try_from(digit.to_digit(10).unwrap_or(0)).unwrap_or(0));
    number.to_string().chars().map(letter).collect()
}
