//! A product that is killed at any byte that it writes, again and again, while it records, tells of itself,
//! sends and tells its past: nothing that was answered as taken is lost, nothing is queued twice, and no
//! day passes its ceiling.
//!
//! The kill is a real one, of two kinds. The process may write files of so many bytes and no more, and the
//! system ends it at the first byte past that: in the ledger, in what a request says, or in a line of a log.
//! Or a pipe that nobody reads lies where a file is to be made, and whoever opens it stands still there until
//! it is killed: after what comes before that file, however large. What a place got is what the process
//! printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tempfile::TempDir;
use trueup_core::{HOUR_MS, UnixMs};
use trueup_telemetry::backfill::History;
use trueup_telemetry::budget::Day;
use trueup_telemetry::deliver::Transport;
use trueup_telemetry::manifest::{Input, Manifest, Sink};
use trueup_telemetry::outbox::ItemState;
use trueup_telemetry::product::{Environment, Options, Outcome, Telemetry};
use trueup_telemetry::sink::{Answer, Request, Unreachable};

use crate::product::{MANIFEST, ON, TURN, with_sink};
use crate::world::NOON;

const EVENTS_PER_DAY: usize = 4;
const HARD_CAP: usize = 16;
const REQUESTS_PER_DAY: usize = 24;
/// Days of the past that it tells.
const PAST_DAYS: u32 = 3;

fn manifest() -> Manifest {
    let text = with_sink(MANIFEST)
        .replace("events_per_day = 20", &format!("events_per_day = {EVENTS_PER_DAY}"))
        .replace("hard_cap = 40", &format!("hard_cap = {HARD_CAP}"));
    let text = format!("{text}{}", crate::product::past::BACKFILL);
    Manifest::parse(&text, "telemetry.toml").unwrap()
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    /// One record, of a session of its own, with these tokens.
    Turn(u64),
    /// That session is over.
    End,
    Lifecycle,
    Backfill,
    Flush,
    /// So many hours pass.
    Pass(i64),
    ShutDown,
    /// It ends without a word.
    Abort,
}

/// What a place does with a request.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Say {
    Status(u16),
    /// It takes it, and says nothing.
    Silence,
}

/// One process.
#[derive(Debug, Serialize, Deserialize)]
struct Script {
    number: u64,
    now: i64,
    steps: Vec<Step>,
    /// What is said first; after that all is taken.
    says: Vec<Say>,
    /// Bytes of a file past which it is killed.
    bytes_max: Option<u64>,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// As its steps say.
    Free,
    /// Killed where a file has so many bytes.
    Bytes(u64),
    /// Killed before one of the files is made that it makes whole, counted by [`Law::files`].
    Before(usize),
}

/// How long a process gets that may stand still: some ten times what it takes. One that is killed before
/// is killed all the same.
const STILL_MAX: Duration = Duration::from_millis(300);

/// Prints what arrives.
struct Printing(Vec<Say>);

impl Transport for Printing {
    fn send(&mut self, request: &Request, _: Duration) -> Result<Answer, Unreachable> {
        let say = self.0.pop().unwrap_or(Say::Status(200));
        let is_taken = !matches!(say, Say::Status(400..));
        let word = if is_taken { "arrived" } else { "asked" };
        tell(&format!("{word} {}", String::from_utf8_lossy(&request.body)));
        match say {
            Say::Status(status) => Ok(Answer { status, ..Answer::default() }),
            Say::Silence => Err(Unreachable::TimedOut(0)),
        }
    }
}

/// A line that is out before whatever comes next.
fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// The process. Not a test of its own.
#[test]
#[ignore = "run by the tests of kills"]
fn child_that_is_killed_where_it_writes() {
    let folder = std::env::current_dir().unwrap();
    let Ok(script) = fs::read(folder.join("script.json")) else { return };
    let script: Script = serde_json::from_slice(&script).unwrap();
    let now = Arc::new(AtomicI64::new(script.now));
    let mut options = Options::new(Arc::new(manifest()), &folder, Environment::default());
    options.policy = folder.join("policy.json");
    options.is_driven = true;
    let (clock, count, number) = (Arc::clone(&now), AtomicU64::new(0), script.number);
    options.clock = Arc::new(move || UnixMs(clock.load(Ordering::SeqCst)));
    options.random = Arc::new(move || {
        let mut bytes = [1; 48];
        bytes[8..16].copy_from_slice(&number.to_be_bytes());
        bytes[32..40].copy_from_slice(&number.to_be_bytes());
        bytes[40..].copy_from_slice(&count.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        bytes
    });
    let says: Vec<_> = script.says.iter().rev().copied().collect();
    options.transports =
        Some(Arc::new(move |_: &Sink| -> Box<dyn Transport> { Box::new(Printing(says.clone())) }));
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    setrlimit(Resource::Fsize, Rlimit { current: script.bytes_max, maximum: None }).unwrap();
    let telemetry = Telemetry::open(options);
    let session = format!("session {number}");
    for step in script.steps {
        match step {
            Step::Turn(tokens) => {
                let properties = [("tokens_input", Input::U64(tokens))];
                let recorded = telemetry.record(TURN, Some(&session), &properties);
                assert_eq!(recorded.outcome, Outcome::Taken);
            }
            Step::End => telemetry.end(&session),
            Step::Lifecycle => {
                let recorded = telemetry.lifecycle("worker_started", &[]);
                assert_eq!(recorded.outcome, Outcome::Taken);
            }
            Step::Backfill => {
                let mut history = History::new(telemetry.manifest(), NOON).unwrap();
                for day in 0..PAST_DAYS {
                    let day = Day(20_000 + i64::from(day));
                    history.add(day, [("tokens_input", Input::U64(1))], &|_| true);
                }
                telemetry.backfill(&history, false).unwrap();
            }
            Step::Flush => drop(telemetry.flush()),
            Step::Pass(hours) => drop(now.fetch_add(hours * HOUR_MS, Ordering::SeqCst)),
            Step::ShutDown => telemetry.shut_down(Duration::from_secs(1)),
            Step::Abort => std::process::abort(),
        }
        tell(&format!("done {}", serde_json::to_string(&step).unwrap()));
    }
    telemetry.shut_down(Duration::ZERO);
    tell("done \"ShutDown\"");
}

/// What must hold, and what is known.
struct Law {
    folder: TempDir,
    now: i64,
    number: u64,
    /// Tokens of records that are safe, each a power of two of its own.
    certain: u64,
    all: u64,
    /// Days on which it was told that it began, and that was queued.
    began: BTreeSet<Day>,
    /// Events that arrived, by their ids.
    arrived: BTreeMap<String, Json>,
    /// Ids that were given out, by day, of rollups and of all but history; and requests.
    given: BTreeMap<Day, (BTreeSet<String>, BTreeSet<String>, usize)>,
    kills: usize,
}

impl Law {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("telemetry.json"), ON).unwrap();
        Self {
            folder,
            now: NOON.0,
            number: 0,
            certain: 0,
            all: 0,
            began: BTreeSet::new(),
            arrived: BTreeMap::new(),
            given: BTreeMap::new(),
            kills: 0,
        }
    }

    /// The same in another folder.
    fn copy(&self) -> Self {
        let folder = TempDir::new().unwrap();
        copy(self.folder.path(), folder.path());
        Self {
            folder,
            began: self.began.clone(),
            arrived: self.arrived.clone(),
            given: self.given.clone(),
            ..*self
        }
    }

    fn state(&self, name: &str) -> PathBuf {
        self.folder.path().join("telemetry").join(name)
    }

    fn log_bytes(&self) -> u64 {
        fs::metadata(self.state("outbox/log")).map_or(0, |log| log.len())
    }

    /// Files that are made whole, by the names under which they are written first.
    fn files(&self) -> Vec<PathBuf> {
        let last = self.items().iter().map(|item| item.number).max().unwrap_or(0);
        let bodies = (1..=4).map(|next| format!("outbox/{:08}.body.tmp", last + next));
        let named =
            ["ledger.tmp", "backfill.json.tmp", "outbox/backfill.json.tmp", "outbox/log.tmp"];
        named.map(str::to_owned).into_iter().chain(bodies).map(|name| self.state(&name)).collect()
    }

    /// One process. Its record has tokens of its own.
    fn run(&mut self, steps: &[Step], says: &[Say], end: End) {
        let tokens = 1_u64 << self.number;
        let fill = |step: &Step| if let Step::Turn(_) = step { Step::Turn(tokens) } else { *step };
        let steps: Vec<_> = steps.iter().map(fill).collect();
        let (number, now) = (self.number, self.now);
        let bytes_max = if let End::Bytes(bytes) = end { Some(bytes) } else { None };
        let script = Script { number, now, steps: steps.clone(), says: says.to_vec(), bytes_max };
        let path = self.folder.path().join("script.json");
        fs::write(path, serde_json::to_vec(&script).unwrap()).unwrap();
        self.number += 1;
        let pipe = match end {
            End::Before(file) => self.files().into_iter().nth(file),
            End::Free | End::Bytes(_) => None,
        };
        if let Some(pipe) = &pipe {
            fs::create_dir_all(self.state("outbox")).unwrap();
            // One that was killed before may have left some of it.
            drop(fs::remove_file(pipe));
            mkfifoat(CWD, pipe, Mode::RUSR | Mode::WUSR).unwrap();
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill_laws::child_that_is_killed_where_it_writes"])
            .args(["--ignored", "--nocapture"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while pipe.is_some() && child.try_wait().unwrap().is_none() {
            std::thread::park_timeout(Duration::from_millis(5));
            if began.elapsed() >= STILL_MAX {
                child.kill().unwrap();
            }
        }
        let child = child.wait_with_output().unwrap();
        if let Some(pipe) = &pipe {
            // Where it was not in anybody's way it is still there.
            drop(fs::remove_file(pipe));
        }
        let [killed, cut, aborted] =
            [Signal::KILL, Signal::XFSZ, Signal::ABORT].map(|signal| Some(signal.as_raw()));
        let signal = child.status.signal();
        let is_killed =
            (signal == cut && bytes_max.is_some()) || (signal == killed && pipe.is_some());
        let is_aborted = signal == aborted && steps.contains(&Step::Abort);
        let said = String::from_utf8_lossy(&child.stderr);
        let is_as_meant = child.status.success() || is_killed || is_aborted;
        assert!(is_as_meant, "{script:?} {:?} {said}", child.status);
        self.kills += usize::from(is_killed);
        self.take(&String::from_utf8_lossy(&child.stdout), &steps, tokens);
        self.check();
    }

    /// What a process printed.
    fn take(&mut self, printed: &str, steps: &[Step], tokens: u64) {
        if steps.iter().any(|step| matches!(step, Step::Turn(_))) {
            self.all |= tokens;
        }
        let (mut has_turn, mut begins) = (false, BTreeSet::new());
        for line in printed.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let day = Day::of(UnixMs(self.now));
            match word {
                "arrived" | "asked" => self.request(rest, day, word == "arrived"),
                "done" => match serde_json::from_str(rest).unwrap() {
                    Step::Turn(_) => has_turn = true,
                    Step::Lifecycle => drop(begins.insert(day)),
                    Step::Pass(hours) => self.now += hours * HOUR_MS,
                    Step::Flush | Step::ShutDown => {
                        self.certain |= if has_turn { tokens } else { 0 };
                        self.began.append(&mut begins);
                    }
                    Step::End | Step::Backfill | Step::Abort => {}
                },
                _ => {}
            }
        }
    }

    fn request(&mut self, body: &str, day: Day, is_taken: bool) {
        let body: Json = serde_json::from_str(body).unwrap();
        let (rollups, events, requests) = self.given.entry(day).or_default();
        *requests += 1;
        for event in body["batch"].as_array().unwrap() {
            let id = event["uuid"].as_str().unwrap().to_owned();
            if event["event"] == TURN {
                rollups.insert(id.clone());
            }
            if event["event"] != "historical_activity" {
                events.insert(id.clone());
            }
            let before = if is_taken { self.arrived.insert(id, event.clone()) } else { None };
            assert!(before.is_none_or(|before| before == *event), "the same id, the same event");
        }
    }

    /// What holds after every process.
    fn check(&self) {
        for (day, (rollups, events, requests)) in &self.given {
            assert!(rollups.len() <= EVENTS_PER_DAY, "{day}");
            assert!(events.len() <= HARD_CAP, "{day}");
            assert!(*requests <= REQUESTS_PER_DAY, "{day}");
        }
        let mut ids = BTreeSet::new();
        for item in self.items() {
            for id in item.uuids {
                assert!(ids.insert(id), "queued twice: {id}");
            }
        }
        let mut days = BTreeSet::new();
        for event in self.of("worker_started") {
            let time = UnixMs::parse_rfc3339(event["timestamp"].as_str().unwrap()).unwrap();
            assert!(days.insert(Day::of(time)), "twice on a day: {event}");
        }
    }

    fn items(&self) -> Vec<trueup_telemetry::outbox::Item> {
        let plan = Arc::new(crate::world::plan());
        let store = crate::world::store(&self.state(""), plan, crate::world::roomy());
        store.look(UnixMs(self.now)).unwrap().items
    }

    fn of(&self, name: &str) -> impl Iterator<Item = &Json> {
        self.arrived.values().filter(move |event| event["event"] == name)
    }

    /// Until nothing is left: then all has arrived, and once.
    fn finish(&mut self) {
        let day = [Step::Pass(24), Step::Flush, Step::Flush];
        let days = [Step::Backfill, Step::Flush].into_iter().chain([day; 6].into_iter().flatten());
        self.run(&days.collect::<Vec<_>>(), &[], End::Free);
        assert!(self.items().iter().all(|item| item.state == ItemState::Sent));
        let whole = |event: &Json, name: &str| event["properties"][name].as_u64().unwrap();
        let (count, tokens) = self.of(TURN).fold((0, 0), |(count, tokens), event| {
            (count + whole(event, "count"), tokens + whole(event, "total_tokens_input"))
        });
        // Each record has a bit of its own: what was added twice, or made up, has another.
        assert_eq!(tokens & !self.all, 0);
        assert_eq!(u64::from(tokens.count_ones()), count, "none is counted twice");
        assert_eq!(self.certain & !tokens, 0, "none that was safe is lost");
        let began: BTreeSet<_> = self
            .of("worker_started")
            .map(|it| Day::of(UnixMs::parse_rfc3339(it["timestamp"].as_str().unwrap()).unwrap()))
            .collect();
        assert!(self.began.is_subset(&began), "{:?} {began:?}", self.began);
        assert_eq!(self.of("historical_activity").count(), PAST_DAYS as usize);
        assert!(self.folder.path().join("telemetry/backfill.json").exists());
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// A process that does all of it.
const ALL: [Step; 7] = [
    Step::Turn(0),
    Step::Lifecycle,
    Step::End,
    Step::Backfill,
    Step::Flush,
    Step::Pass(1),
    Step::Flush,
];

/// A product that has run for some days: what they left is longer than what else is written.
fn old() -> Law {
    let mut law = Law::new();
    law.run(&[Step::Turn(0), Step::Flush, Step::Pass(24)], &[], End::Free);
    law.run(&[Step::Turn(0), Step::Lifecycle, Step::Flush], &[Say::Status(503)], End::Free);
    law.run(&[Step::Pass(24)], &[], End::Free);
    law
}

/// A process is killed, and begun again, as on a day like any other. Says whether it was.
fn kill_at(end: End, mut law: Law) -> bool {
    law.run(&ALL, &[Say::Status(503)], end);
    let is_killed = law.kills > 0;
    law.run(&ALL, &[], End::Free);
    law.finish();
    is_killed
}

/// The files of the state, from the smallest on, end at each of their bytes that is tried.
#[test]
fn whoever_is_killed_at_a_byte_of_any_file_loses_and_doubles_nothing() {
    let old = old();
    let log_bytes = old.log_bytes();
    let small = (0..log_bytes).step_by(101);
    let large = (log_bytes..log_bytes + 4_000).step_by(307);
    let kills = small.chain(large).filter(|bytes| kill_at(End::Bytes(*bytes), old.copy())).count();
    assert!(kills > 20, "{kills}");
}

#[test]
fn whoever_is_killed_before_any_file_loses_and_doubles_nothing() {
    for law in [Law::new(), old()] {
        let count = law.files().len();
        let kills = (0..count).filter(|file| kill_at(End::Before(*file), law.copy())).count();
        assert!(kills >= 5, "{kills} of {count}");
    }
}

/// Where the next process is killed, if it is.
#[derive(Debug, Clone, Copy)]
enum Limit {
    At(End),
    /// So far behind what the log of the outbox has.
    Log(u64),
}

#[derive(Debug, Clone)]
struct Run {
    steps: Vec<Step>,
    says: Vec<Say>,
    limit: Limit,
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let step = prop_oneof![
        4 => Just(Step::Turn(0)),
        2 => Just(Step::End),
        3 => Just(Step::Lifecycle),
        2 => Just(Step::Backfill),
        4 => Just(Step::Flush),
        2 => (1..9_i64).prop_map(Step::Pass),
        1 => Just(Step::ShutDown),
        1 => Just(Step::Abort),
    ];
    let say = prop_oneof![
        3 => Just(Say::Status(200)),
        2 => Just(Say::Status(503)),
        2 => Just(Say::Silence),
    ];
    let limit = prop_oneof![
        1 => Just(Limit::At(End::Free)),
        1 => (0..1_500_u64).prop_map(|bytes| Limit::At(End::Bytes(bytes))),
        2 => (0..8_usize).prop_map(|file| Limit::At(End::Before(file))),
        2 => (0..4_000_u64).prop_map(Limit::Log),
    ];
    let run = (prop::collection::vec(step, 1..9), prop::collection::vec(say, 0..4), limit)
        .prop_map(|(steps, says, limit)| Run { steps: one_each(steps), says, limit });
    prop::collection::vec(run, 1..7)
}

/// One record for each process, whose tokens are its own, and nothing behind its end. What it tells of
/// itself counts for the day on which it is queued: no time passes before that.
fn one_each(steps: Vec<Step>) -> Vec<Step> {
    let (mut has_turn, mut waits) = (false, false);
    let mut all = Vec::new();
    for step in steps {
        let is_again = matches!(step, Step::Turn(_)) && std::mem::replace(&mut has_turn, true);
        if is_again {
            continue;
        }
        if matches!(step, Step::Pass(_)) && std::mem::take(&mut waits) {
            all.push(Step::Flush);
        }
        waits = step == Step::Lifecycle || (waits && step != Step::Flush);
        all.push(step);
        if matches!(step, Step::ShutDown | Step::Abort) {
            break;
        }
    }
    all
}

proptest! {
    // Each case is some ten processes.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_sequence_of_kills_loses_or_doubles_what_was_taken(runs in runs()) {
        let mut law = Law::new();
        for Run { steps, says, limit } in &runs {
            let end = match *limit {
                Limit::At(end) => end,
                Limit::Log(behind) => End::Bytes(law.log_bytes() + behind),
            };
            law.run(steps, says, end);
        }
        law.finish();
    }
}
