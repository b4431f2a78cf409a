//! Whatever writers and rotations do, each line counts once.

use std::collections::BTreeMap;
use std::io::Write as _;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A log that is written and rotated, and what was read of it.
struct World {
    folder: TempDir,
    writer: File,
    /// Lines that were written to their ends.
    written: Vec<String>,
    half: String,
    follower: Follower,
    /// What the ledger has: lines by their place, and the state that was committed with them.
    kept: BTreeMap<(Vec<u8>, u64), String>,
    /// Lines that were handed out, also those that the ledger knew.
    handed_out: usize,
    state: String,
    rotations: usize,
    copies: usize,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Line,
    HalfLine,
    /// The file becomes `.1`, and those before it one more.
    Number,
    /// The file gets a name that is not of the log, and the writer goes on in it for a while.
    Away,
    NextDay,
    CopyAndTruncate,
    Poll,
    /// The process ends, and what it had read since its last commit is not in the ledger.
    Crash,
    /// The process ends in order.
    Restart,
}

const SET: &str = "openclaw-2026-11-20.log";

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let writer = append(&folder.path().join(SET));
        let follower = Follower::new(&folder.path().join(SET), "");
        let (written, half, kept) = (Vec::new(), String::new(), BTreeMap::new());
        let state = String::new();
        let (handed_out, rotations, copies) = (0, 0, 0);
        Self { folder, writer, written, half, follower, kept, handed_out, state, rotations, copies }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Line => self.line(),
            Step::HalfLine => {
                let half = format!("half of {}, ", self.written.len());
                self.writer.write_all(half.as_bytes()).unwrap();
                self.half += &half;
            }
            Step::Number => {
                self.end_line();
                self.rotations += 1;
                // The sixth is deleted in life; here none is, because none may be lost.
                for number in (1..self.rotations).rev() {
                    let name = |number| format!("openclaw-2026-11-20.{number}.log");
                    fs::rename(self.path(&name(number)), self.path(&name(number + 1))).unwrap();
                }
                fs::rename(self.path(SET), self.path("openclaw-2026-11-20.1.log")).unwrap();
                self.writer = append(&self.path(SET));
            }
            Step::Away => {
                // It was seen before it went.
                self.poll();
                let away = self.path(&format!("away-{}", self.written.len()));
                fs::rename(self.path(SET), away).unwrap();
                self.line();
                self.poll();
                self.writer = append(&self.path(SET));
            }
            Step::NextDay => {
                self.end_line();
                let day = self.written.len() % 20 + 1;
                self.writer = append(&self.path(&format!("openclaw-2026-12-{day:02}.log")));
            }
            Step::CopyAndTruncate => {
                self.end_line();
                self.copies += 1;
                let copy = self.path(&format!("{SET}.{}", self.copies));
                fs::copy(self.path(SET), copy).unwrap();
                File::options().write(true).open(self.path(SET)).unwrap().set_len(0).unwrap();
            }
            Step::Poll => self.poll(),
            Step::Crash => self.start(),
            Step::Restart => {
                self.state = self.follower.state();
                self.start();
            }
        }
    }

    fn line(&mut self) {
        let line = format!("{}line {}", std::mem::take(&mut self.half), self.written.len());
        let ending = format!("line {}\n", self.written.len());
        self.writer.write_all(ending.as_bytes()).unwrap();
        self.written.push(line);
    }

    /// Whoever rotates does so between two lines.
    fn end_line(&mut self) {
        if !self.half.is_empty() {
            self.line();
        }
    }

    fn start(&mut self) {
        self.follower = Follower::new(&self.path(SET), &self.state);
    }

    /// A poll, of which some commits the position and some does not.
    fn poll(&mut self) {
        self.follower.polls_until_list = 0;
        self.follower.look().unwrap();
        let (kept, handed_out) = (&mut self.kept, &mut self.handed_out);
        while self
            .follower
            .next(|line| {
                *handed_out += 1;
                let text = String::from_utf8(line.bytes.unwrap().to_vec()).unwrap();
                kept.insert((line.head.to_vec(), line.offset), text);
            })
            .unwrap()
        {}
        if self.written.len().is_multiple_of(3) {
            self.state = self.follower.state();
        }
    }

    fn end(mut self) -> (Vec<String>, Vec<String>, usize) {
        self.end_line();
        self.poll();
        self.poll();
        let mut kept: Vec<String> = self.kept.into_values().collect();
        kept.sort_unstable();
        self.written.sort_unstable();
        (kept, self.written, self.handed_out)
    }
}

fn append(path: &Path) -> File {
    File::options().create(true).append(true).open(path).unwrap()
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Line),
        2 => Just(Step::HalfLine),
        2 => Just(Step::Number),
        1 => Just(Step::NextDay),
        1 => Just(Step::CopyAndTruncate),
        4 => Just(Step::Poll),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #[test]
    fn no_line_is_lost_or_counts_twice(steps in prop::collection::vec(step(), 0..60)) {
        let mut world = World::new();
        for step in &steps {
            world.step(*step);
        }
        let (kept, written, handed_out) = world.end();
        prop_assert_eq!(&kept, &written);
        // Without crashes and copies none is even read twice.
        let is_calm = !steps.iter().any(|step| matches!(step, Step::Crash | Step::CopyAndTruncate));
        prop_assert!(!is_calm || handed_out == written.len(), "{handed_out}");
    }
}

#[test]
fn a_file_that_goes_away_is_read_to_its_end() {
    let mut world = World::new();
    for step in [Step::Line, Step::Away, Step::Line, Step::Poll] {
        world.step(step);
    }
    let (kept, written, handed_out) = world.end();
    assert_eq!((&kept, handed_out), (&written, written.len()));
}

#[test]
fn what_is_gone_is_let_go() {
    let mut world = World::new();
    world.step(Step::Line);
    world.poll();
    fs::remove_file(world.path(SET)).unwrap();
    for _ in 0..=SILENT_POLLS_MAX {
        world.poll();
    }
    assert!(world.follower.files.is_empty());
    assert_eq!(world.follower.state(), "[]");
}

#[test]
fn a_missing_folder_is_an_error_until_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs");
    let mut follower = Follower::new(&path.join("gateway.log"), "not a state");
    assert!(follower.look().is_err());
    fs::create_dir(&path).unwrap();
    fs::write(path.join("gateway.log"), "x\n").unwrap();
    follower.look().unwrap();
    let mut lines = 0;
    assert!(follower.next(|_| lines += 1).unwrap());
    assert_eq!(lines, 1);
}
